"""Runs cases: every library in turn, round after round, each time in a new process.

This process imports none of the libraries and so stays small: on Linux the peak resident memory of a program
is never less than that of the process that started it.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.case import Case, Command, Job, missing
from benchmarks.environment import quiet_environ
from benchmarks.layout import SHIPPED, about
from benchmarks.measure import ROOT, files_of
from benchmarks.memory import drop_pages, load_pages

MODES = ("warm", "cold", "memory")


class RunError(Exception):
    """A measurement failed; the message says why."""


@dataclass
class Outcome:
    """Measurements of one library in one case: mode -> the reports of its processes."""

    reports: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    def seconds(self, mode: str) -> list[float]:
        """Return the times of all runs in a mode."""
        return [each for report in self.reports.get(mode, []) for each in report["seconds"]]

    def figure(self, mode: str, name: str) -> int | None:
        """Return the largest value of a figure among all reports, or None if no report has it."""
        found = [report[name] for report in self.reports.get(mode, []) if report.get(name) is not None]
        return max(found, default=None)


@dataclass
class CaseResult:
    """What was measured in a case, and why the rest was not."""

    libraries: dict[str, Outcome] = field(default_factory=dict)
    not_run: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    nbytes: dict[str, int] = field(default_factory=dict)
    """Input -> bytes of its tensors."""


@dataclass(frozen=True)
class Plan:
    """How to run cases."""

    registry: str
    """The module with the table of cases."""
    inputs: Path
    rounds: int
    """How many turns each library has."""
    runs: int
    """Timed runs of each warm turn."""
    modes: Collection[str] = MODES
    timeout: float = 1800
    """Seconds allowed for one process."""


def run_case(plan: Plan, name: str, case: Case) -> CaseResult:
    """Run one case. Each round gives every library its turn, so that drift of the machine affects all alike.

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


def prepare(inputs: Path, names: tuple[str, ...], size: str) -> dict[str, int]:
    """Write inputs, in a process of their own; return the bytes of each. Raises RunError."""
    wanted = [name for name in names if name != SHIPPED]
    if wanted:
        command = [sys.executable, "-m", "benchmarks.inputs", str(inputs), size, *wanted]
        run_process(command, timeout=3600)
    return {name: about(inputs, name)["nbytes"] for name in wanted}


def remove_inputs(inputs: Path, case: Case, later: Iterable[Case]) -> None:
    """Remove the inputs of a case that no later case needs, so that the disk never holds all of them."""
    needed = {name for other in later for name in other.inputs}
    for name in set(case.inputs) - needed - {SHIPPED}:
        shutil.rmtree(inputs / name, ignore_errors=True)


def run_process(
    command: list[str], timeout: float, environ: Mapping[str, str] | None = None
) -> tuple[float, int | None, str]:
    """Run a program to its end; return its seconds, its peak resident memory, and its output."""
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
    """Wait for a process; return its peak resident memory, and whether it had to be stopped.

    ``wait4`` is the only call that returns the peak, and it takes no timeout: a timer kills the process.
    """
    if not hasattr(os, "wait4"):
        try:
            process.wait(timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            return None, True
        return None, False
    stopped = []

    def stop() -> None:
        stopped.append(True)
        process.kill()

    timer = threading.Timer(timeout, stop)
    timer.start()
    try:
        _, status, usage = os.wait4(process.pid, 0)
    finally:
        timer.cancel()
    process.returncode = os.waitstatus_to_exitcode(status)
    return usage.ru_maxrss if sys.platform == "darwin" else 1024 * usage.ru_maxrss, bool(stopped)
