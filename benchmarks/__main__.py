"""``python -m benchmarks``: every case, ckptfmt and its peers in turn, as medians and ratios."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from pathlib import Path

from benchmarks.case import Case
from benchmarks.cases import CASES
from benchmarks.environment import environment
from benchmarks.layout import SHIPPED, about
from benchmarks.report import document, markdown
from benchmarks.runner import MODES, CaseResult, Plan, RunError, run_case, run_process

SIZES = ("tiny", "small", "full")


def prepare(inputs: Path, names: tuple[str, ...], size: str) -> dict[str, int]:
    """Write inputs, in a process of its own; return the bytes of each. Raises RunError."""
    wanted = [name for name in names if name != SHIPPED]
    if wanted:
        command = [sys.executable, "-m", "benchmarks.inputs", str(inputs), size, *wanted]
        run_process(command, timeout=3600)
    return {name: about(inputs, name)["nbytes"] for name in wanted}


def run(plan: Plan, cases: dict[str, Case], size: str, *, keep: bool) -> dict[str, tuple[Case, CaseResult]]:
    """Run cases one after the other; inputs that no later case needs are removed, unless to ``keep``."""
    results = {}
    left = dict(cases)
    for name, case in cases.items():
        del left[name]
        print(f"  {name}", file=sys.stderr, flush=True)
        try:
            nbytes = prepare(plan.inputs, case.inputs, size)
            result = run_case(plan, name, case)
            result.nbytes = nbytes
        except RunError as error:
            result = CaseResult(not_run=dict.fromkeys(case.jobs, str(error)))
        results[name] = case, result
        needed = {each for other in left.values() for each in other.inputs}
        for each in set(case.inputs) - needed - {SHIPPED} if not keep else ():
            shutil.rmtree(plan.inputs / each, ignore_errors=True)
    return results


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--size", choices=SIZES, default="full", help="how large the inputs are (full)")
    parser.add_argument("--rounds", type=int, default=3, help="how often each library has its turn (3)")
    parser.add_argument("--runs", type=int, default=3, help="timed runs in each warm turn (3)")
    parser.add_argument("--modes", default=",".join(MODES), help="which of warm,cold,memory (all)")
    parser.add_argument("--case", default="", metavar="TEXT", help="only cases with this in their name")
    parser.add_argument("--inputs", type=Path, help="folder to keep the inputs in, for the next time")
    parser.add_argument("--output", type=Path, help="write OUTPUT.json and OUTPUT.md too")
    parser.add_argument("--list", action="store_true", help="only say which cases there are")
    options = parser.parse_args()
    cases = {name: case for name, case in CASES.items() if options.case in name}
    modes = options.modes.split(",")
    if not cases or not set(modes) <= set(MODES):
        parser.error(f"no case with {options.case!r} in its name" if not cases else f"modes: {options.modes}")
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
        options.output.parent.mkdir(parents=True, exist_ok=True)
        json_text = json.dumps(document(facts, results), indent=1)
        options.output.with_suffix(".json").write_text(json_text + "\n", encoding="utf-8")
        options.output.with_suffix(".md").write_text(text, encoding="utf-8")
    failed = [name for name, (_, result) in results.items() if result.failed]
    if failed:
        print(f"failed in: {'; '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
