"""What a framework's process reports: comparisons, refusals and times, as JSON."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from ckptfmt.dtypes import Storage, as_dtype


@dataclass
class Check:
    """One array read back from a framework, beside that of ckptfmt."""

    what: str
    equal: bool
    nbytes: int
    how: str = ""


@dataclass
class Timing:
    """How long something took, run after run."""

    what: str
    seconds: list[float]
    nbytes: int
    is_limit: bool = False
    """Whether it is what the machine does at best, with nothing read."""


@dataclass
class Report:
    """All that a process has to say."""

    framework: str
    version: str
    device: str
    checks: list[Check] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    """What the framework does not do on this device -> its reason."""
    timings: list[Timing] = field(default_factory=list)
    placed: list[str] = field(default_factory=list)
    """Where the framework says that it put what was checked."""

    def compare(
        self, what: str, theirs: np.ndarray[Any, Any], ours: np.ndarray[Any, Any], how: str = ""
    ) -> None:
        """Note whether two arrays have the same shape and bytes."""
        self.checks.append(Check(what, same(theirs, ours), ours.nbytes, how))

    def to_json(self) -> str:
        """Return it as one line."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Report:
        """Return it from one line."""
        fields = json.loads(text)
        fields["checks"] = [Check(**check) for check in fields["checks"]]
        fields["timings"] = [Timing(**timing) for timing in fields["timings"]]
        return cls(**fields)


def same(theirs: np.ndarray[Any, Any], ours: np.ndarray[Any, Any]) -> bool:
    """Return whether two arrays have the same shape and, bit for bit, the same values.

    Of dtypes of less than a byte, such as int4, the low bits of each byte are the value; libraries differ in
    what they leave in the others.
    """
    theirs, ours = np.asarray(theirs), np.asarray(ours)
    if theirs.shape != ours.shape:
        return False
    if theirs.dtype == object or ours.dtype == object:
        return theirs.dtype == ours.dtype and theirs.ravel().tolist() == ours.ravel().tolist()
    if theirs.dtype.itemsize != ours.dtype.itemsize:
        return False
    dtype = as_dtype(ours.dtype)
    if dtype.storage is Storage.LOW_BITS:
        mask = np.uint8((1 << dtype.bits) - 1)
        theirs, ours = theirs.view(np.uint8) & mask, ours.view(np.uint8) & mask
    return theirs.tobytes() == ours.tobytes()


_PLACES = ("Graph execution error", "Detected at node", "File ", "Node:", "Original stack trace", "[[")
"""How the lines of TensorFlow's messages begin that say where, not what."""


def reason_of(error: BaseException) -> str:
    """Return an error as one short line."""
    lines = [line.strip() for line in str(error).splitlines()]
    lines = [line for line in lines if line and not line.startswith(_PLACES)]
    what = lines[0].partition(" used by {{")[0] if lines else "no message"
    text = f"{type(error).__name__}: {what}"
    return text if len(text) <= 200 else text[:197] + "..."


def alternate(jobs: dict[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Return the times of jobs, each having its turn in every round; a first round is not counted."""
    seconds: dict[str, list[float]] = {what: [] for what in jobs}
    for number in range(rounds + 1):
        for what, job in jobs.items():
            start = time.perf_counter()
            result = job()
            took = time.perf_counter() - start
            del result
            if number:
                seconds[what].append(took)
    return seconds
