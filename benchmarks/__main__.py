"""``python -m benchmarks``: runs ckptfmt and its peers on every case; prints medians and ratios."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from benchmarks.case import Case
from benchmarks.cases import CASES
from benchmarks.environment import environment
from benchmarks.layout import SIZES
from benchmarks.report import document, markdown, save
from benchmarks.runner import MODES, CaseResult, Plan, RunError, prepare, remove_inputs, run_case


def run(plan: Plan, cases: dict[str, Case], size: str, *, keep: bool) -> dict[str, tuple[Case, CaseResult]]:
    """Run cases one after the other; unless ``keep`` is set, inputs are removed after their last case."""
    results = {}
    for number, (name, case) in enumerate(cases.items(), 1):
        print(f"  {name}", file=sys.stderr, flush=True)
        try:
            nbytes = prepare(plan.inputs, case.inputs, size)
            result = run_case(plan, name, case)
            result.nbytes = nbytes
        except RunError as error:
            result = CaseResult(not_run=dict.fromkeys(case.jobs, str(error)))
        results[name] = case, result
        if not keep:
            remove_inputs(plan.inputs, case, list(cases.values())[number:])
    return results


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--size", choices=SIZES, default="full", help="how large the inputs are (full)")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each library (3)")
    parser.add_argument("--runs", type=int, default=3, help="timed runs in each warm turn (3)")
    parser.add_argument("--modes", default=",".join(MODES), help="which of warm,cold,memory to run (all)")
    parser.add_argument(
        "--case", action="append", metavar="TEXT", help="only cases with this in their name (repeatable)"
    )
    parser.add_argument("--inputs", type=Path, help="folder in which to keep the inputs for the next time")
    parser.add_argument("--output", type=Path, help="write OUTPUT.json and OUTPUT.md as well")
    parser.add_argument("--list", action="store_true", help="only list the cases")
    options = parser.parse_args()
    cases = {name: case for name, case in CASES.items() if any(text in name for text in options.case or [""])}
    modes = options.modes.split(",")
    if not cases or not set(modes) <= set(MODES):
        wanted = f"modes: got {options.modes}, want some of {','.join(MODES)}"
        parser.error(f"no case has {options.case!r} in its name" if not cases else wanted)
    if options.list:
        print("\n".join(cases))
        return 0
    with tempfile.TemporaryDirectory() as temporary:
        inputs = (options.inputs or Path(temporary)).resolve()
        plan = Plan("benchmarks.cases", inputs, options.rounds, options.runs, modes)
        results = run(plan, cases, options.size, keep=options.inputs is not None)
    facts = environment() | {"inputs": options.size}
    text = markdown(facts, results)
    print(text)
    if options.output is not None:
        save(options.output, document(facts, results), text)
    failed = [name for name, (_, result) in results.items() if result.failed]
    if failed:
        print(f"failed in: {'; '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
