"""``python -m benchmarks.restore_parity``: frameworks have on a device the values that ckptfmt reads.

Values are compared bit for bit, in every dtype that the framework takes. TensorFlow saves variables on
``/GPU:0`` (``/CPU:0`` if it sees no GPU), restores them in a session, and reads them back; PyTorch and JAX
receive arrays from ckptfmt and read them back. The exit code is 1 if an array differs or a framework failed;
a framework that is not installed is listed as not run.
"""

# ruff: noqa: RUF001  (a multiplication sign is meant)

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.case import missing_module
from benchmarks.environment import environment, quiet_environ
from benchmarks.parity.result import Report
from benchmarks.report import environment_text, save, table
from benchmarks.runner import RunError, run_process

FRAMEWORKS = {
    "tensorflow": "benchmarks.parity.session",
    "torch": "benchmarks.parity.to_torch",
    "jax": "benchmarks.parity.to_jax",
}
"""Framework -> the module to run."""

RESULTS = Path(__file__).parent / "results"
ENVIRON = {"XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
"""Keeps JAX from taking most of a GPU's memory at once."""


def run(folder: Path, frameworks: list[str], nbytes: int, rounds: int) -> tuple[list[Report], dict[str, str]]:
    """Run each framework in its own process; return the reports, and why the others were not run."""
    reports, gaps = [], {}
    for name in frameworks:
        gaps[name] = missing_module(name) or ""
        if gaps[name]:
            continue
        print(f"  {name}", file=sys.stderr, flush=True)
        command = [sys.executable, "-m", FRAMEWORKS[name], str(folder / name), str(nbytes), str(rounds)]
        try:
            _, _, output = run_process(command, 1800, quiet_environ(gpu=True) | ENVIRON)
        except RunError as error:
            gaps[name] = f"failed: {error}"
            continue
        reports.append(Report.from_json(output.splitlines()[-1]))
    return reports, {name: why for name, why in gaps.items() if why}


def device_of(reports: list[Report]) -> str:
    """Return the kinds of device that were used: "GPU", "CPU", or both."""
    kinds = {"CPU" if "cpu" in report.device.lower() else "GPU" for report in reports}
    return " and ".join(sorted(kinds)) or "none"


def markdown(facts: Mapping[str, Any], reports: list[Report], gaps: Mapping[str, str]) -> str:
    """Return the reports as a page of Markdown."""
    sections = ["# Restore parity", environment_text(facts), "## Bit for bit", _verdicts(reports)]
    different = [
        f"- {report.framework}: {check.what} ({check.how})"
        for report in reports
        for check in report.checks
        if not check.equal
    ]
    if different:
        sections += ["## Different", "\n".join(different)]
    sections += [
        "## Time",
        "Medians, warm: the files are in the page cache, the framework is imported, and the first round is "
        "not counted. *of the limit*: bytes per second, relative to the fastest copy to the device of data "
        "already in memory.",
        _times(reports),
    ]
    refused = _refused(reports)
    if refused:
        sections += ["## Refused by the frameworks on this device", refused]
    if gaps:
        sections += ["## Not run", "\n".join(f"- {name}: {why}" for name, why in gaps.items())]
    return "\n\n".join(sections) + "\n"


def _verdicts(reports: list[Report]) -> str:
    rows = []
    for report in reports:
        hows = dict.fromkeys(check.how for check in report.checks)
        for how in hows:
            checks = [check for check in report.checks if check.how == how]
            equal = sum(check.equal for check in checks)
            framework, placed = f"{report.framework} {report.version}", ", ".join(report.placed)
            rows.append([framework, report.device, placed, how, str(len(checks)), str(equal)])
    head = ["framework", "device", "placed on", "how", "arrays read back", "bit-identical to ckptfmt's"]
    return table(head, ["---", "---", "---", "---", "--:", "--:"], rows) if rows else "Nothing was run."


def _times(reports: list[Report]) -> str:
    rows = []
    for report in reports:
        rates = [t.nbytes / statistics.median(t.seconds) for t in report.timings if t.is_limit]
        for timing in report.timings:
            median = statistics.median(timing.seconds)
            rate = timing.nbytes / median
            spread = f"{1e3 * min(timing.seconds):,.1f} to {1e3 * max(timing.seconds):,.1f}"
            share = f"{rate / max(rates):.2f} ×" if rates else ""
            what = f"*limit*: {timing.what}" if timing.is_limit else timing.what
            rows.append(
                [report.framework, what, f"{1e3 * median:,.1f}", spread, f"{rate / (1 << 30):.2f}", share]
            )
    head = ["framework", "what", "median, ms", "min to max, ms", "GiB/s", "of the limit"]
    return table(head, ["---", "---", "--:", "--:", "--:", "--:"], rows) if rows else "Nothing was run."


def _refused(reports: list[Report]) -> str:
    lines = []
    for report in reports:
        reasons: dict[str, list[str]] = {}
        for what, why in report.refused.items():
            reasons.setdefault(why, []).append(what)
        lines += [f"- {report.framework}, {why}: {'; '.join(whats)}" for why, whats in reasons.items()]
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.restore_parity", description=__doc__)
    parser.add_argument("--mebibytes", type=int, default=1024, help="MiB of weights to time (1024)")
    parser.add_argument("--rounds", type=int, default=5, help="timed rounds (5)")
    parser.add_argument("--frameworks", default=",".join(FRAMEWORKS), help="the frameworks to run (all)")
    parser.add_argument(
        "--save", action="store_true", help="write results/restore-parity-DEVICE.json and .md"
    )
    parser.add_argument("--output", type=Path, help="write OUTPUT.json and OUTPUT.md")
    options = parser.parse_args()
    frameworks = options.frameworks.split(",")
    if not set(frameworks) <= set(FRAMEWORKS):
        parser.error(f"frameworks: got {options.frameworks}, want some of {', '.join(FRAMEWORKS)}")
    with tempfile.TemporaryDirectory() as folder:
        reports, gaps = run(Path(folder), frameworks, options.mebibytes << 20, options.rounds)
    facts = environment(device_of(reports)) | {"weights_mib": options.mebibytes}
    text = markdown(facts, reports, gaps)
    print(text)
    saved = RESULTS / f"restore-parity-{device_of(reports).lower().replace(' ', '-')}"
    for target in [options.output, saved if options.save else None]:
        if target is not None:
            document = {"environment": facts, "reports": [asdict(each) for each in reports], "not_run": gaps}
            save(target, document, text)
    wrong = [check for report in reports for check in report.checks if not check.equal]
    failed = [why for why in gaps.values() if why.startswith("failed")]
    return 1 if wrong or failed else 0


if __name__ == "__main__":
    sys.exit(main())
