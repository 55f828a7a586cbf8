"""The report of a framework's process as JSON: comparisons, refusals and times."""

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
    """One array read back from a framework, compared with ckptfmt's."""

    what: str
    equal: bool
    nbytes: int
    how: str = ""


@dataclass
class Timing:
    """The times of something, one for each run."""

    what: str
    seconds: list[float]
    nbytes: int
    is_limit: bool = False
    """Whether it is the best that the machine can do, with nothing read from a file."""


@dataclass
class Report:
    """Everything that a process reports."""

    framework: str
    version: str
    device: str
    checks: list[Check] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    """What the framework refuses on this device -> its reason."""
    timings: list[Timing] = field(default_factory=list)
    placed: list[str] = field(default_factory=list)
    """The devices on which the framework says it put the checked arrays."""

    def compare(
        self, what: str, theirs: np.ndarray[Any, Any], ours: np.ndarray[Any, Any], how: str = ""
    ) -> None:
        """Record whether two arrays have the same shape and bytes."""
        self.checks.append(Check(what, same(theirs, ours), ours.nbytes, how))

    def to_json(self) -> str:
        """Return the report as one line."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Report:
        """Return the report that :meth:`to_json` wrote."""
        fields = json.loads(text)
        fields["checks"] = [Check(**check) for check in fields["checks"]]
        fields["timings"] = [Timing(**timing) for timing in fields["timings"]]
        return cls(**fields)


def same(theirs: np.ndarray[Any, Any], ours: np.ndarray[Any, Any]) -> bool:
    """Return whether two arrays have the same shape and, bit for bit, the same values.

    A value of less than a byte, such as an int4, is the low bits of its byte; libraries differ in what they
    leave in the other bits, so those are not compared.
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
"""Beginnings of the lines in TensorFlow's messages that say where an error happened."""


def reason_of(error: BaseException) -> str:
    """Return an error as one short line, without TensorFlow's traces."""
    lines = [line.strip() for line in str(error).splitlines()]
    lines = [line for line in lines if line and not line.startswith(_PLACES)]
    what = lines[0].partition(" used by {{")[0] if lines else "no message"
    text = f"{type(error).__name__}: {what}"
    return text if len(text) <= 200 else text[:197] + "..."


def alternate(jobs: dict[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Time jobs, each once in every round; the first round is not counted."""
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
