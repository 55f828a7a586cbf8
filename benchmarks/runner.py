"""Runs cases: every library in turn, round after round, each time in a new process.

This process stays small (it imports none of the libraries): on Linux a program's peak of resident memory is
counted from that of the process that started it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.case import Case, Command, Job, missing
from benchmarks.environment import quiet_environ
from benchmarks.measure import ROOT, files_of
from benchmarks.memory import drop_pages, load_pages

MODES = ("warm", "cold", "memory")


class RunError(Exception):
    """A measurement that failed; says why."""


@dataclass
class Outcome:
    """What was measured of one library in one case: mode -> the reports of its processes."""

    reports: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    def seconds(self, mode: str) -> list[float]:
        """Return the times of all runs."""
        return [each for report in self.reports.get(mode, []) for each in report["seconds"]]

    def figure(self, mode: str, name: str) -> int | None:
        """Return the largest of a figure of all reports, None where none has it."""
        found = [report[name] for report in self.reports.get(mode, []) if report.get(name) is not None]
        return max(found, default=None)


@dataclass
class CaseResult:
    """What was measured in a case, and what was not, and why."""

    libraries: dict[str, Outcome] = field(default_factory=dict)
    not_run: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    nbytes: dict[str, int] = field(default_factory=dict)
    """Input -> bytes of its tensors."""


@dataclass(frozen=True)
class Plan:
    """How to run cases."""

    registry: str
    """Module with the table of cases."""
    inputs: Path
    rounds: int
    """How often each library has its turn."""
    runs: int
    """Timed runs of each warm turn."""
    modes: Collection[str] = MODES
    timeout: float = 1800
    """Seconds for one process."""


def run_case(plan: Plan, name: str, case: Case) -> CaseResult:
    """Run one case; each round gives every library its turn, so that drift hits all.

    Slow jobs have a turn in the first round only.
    """
    result = CaseResult()
    for library in case.jobs:
        reason = missing(case, library)
        if reason is None:
            result.libraries[library] = Outcome()
        else:
            result.not_run[library] = reason
    for mode, number in _turns(plan, case):
        if mode == "warm" and not number:
            load_pages(files_of(case, plan.inputs))
        for library in list(result.libraries):
            if number and _is_slow(case, library):
                continue
            try:
                report = _measure(plan, name, case, library, mode)
            except RunError as error:
                result.failed[library] = str(error)
                del result.libraries[library]
                continue
            result.libraries[library].reports.setdefault(mode, []).append(report)
    return result


def _turns(plan: Plan, case: Case) -> Iterator[tuple[str, int]]:
    for mode in plan.modes:
        if mode == "cold" and not case.cold:
            continue
        for number in range(1 if mode == "memory" else plan.rounds):
            yield mode, number


def _is_slow(case: Case, library: str) -> bool:
    job = case.jobs[library]
    return isinstance(job, Job) and job.is_slow


def _measure(plan: Plan, name: str, case: Case, library: str, mode: str) -> dict[str, Any]:
    job = case.jobs[library]
    if isinstance(job, Command):
        files = files_of(case, plan.inputs)
        command = [sys.executable, *job.arguments(plan.inputs)]
        dropped = drop_pages(files) if mode == "cold" else None
        done = [run_process(command, plan.timeout) for _ in range(plan.runs if mode == "warm" else 1)]
        peaks = [peak for _, peak, _ in done if peak is not None]
        seconds = [each for each, _, _ in done]
        return {"seconds": seconds, "peak_rss": max(peaks, default=None), "dropped": dropped}
    request = {
        "registry": plan.registry,
        "case": name,
        "library": library,
        "inputs": str(plan.inputs),
        "mode": mode,
        "runs": plan.runs,
    }
    command = [sys.executable, "-m", "benchmarks.measure", json.dumps(request)]
    _, _, output = run_process(command, plan.timeout)
    report: dict[str, Any] = json.loads(output.splitlines()[-1])
    return report


def run_process(
    command: list[str], timeout: float, environ: Mapping[str, str] | None = None
) -> tuple[float, int | None, str]:
    """Run a program to its end; return its seconds, its peak of resident memory, and its output."""
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        start = time.perf_counter()
        process = subprocess.Popen(
            command, stdout=output, stderr=errors, cwd=ROOT, env=environ or quiet_environ()
        )
        peak, stopped = _wait(process, timeout)
        seconds = time.perf_counter() - start
        output.seek(0)
        errors.seek(0)
        if stopped:
            raise RunError(f"stopped after {timeout:.0f} s")
        if process.returncode:
            lines = errors.read().decode(errors="replace").strip().splitlines()
            raise RunError(lines[-1] if lines else f"exit code {process.returncode}")
        return seconds, peak, output.read().decode(errors="replace")


def _wait(process: subprocess.Popen[bytes], timeout: float) -> tuple[int | None, bool]:
    """Wait for a process; return its peak of resident memory, and whether it had to be stopped."""
    if not hasattr(os, "wait4"):
        try:
            process.wait(timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            return None, True
        return None, False
    from threading import Timer

    stopped = []

    def stop() -> None:
        stopped.append(True)
        process.kill()

    timer = Timer(timeout, stop)
    timer.start()
    try:
        _, status, usage = os.wait4(process.pid, 0)
    finally:
        timer.cancel()
    process.returncode = os.waitstatus_to_exitcode(status)
    return usage.ru_maxrss if sys.platform == "darwin" else 1024 * usage.ru_maxrss, bool(stopped)
