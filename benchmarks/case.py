"""Cases: a job, how each library does it, and the targets for it.

::

    Case        a job that users have, on named inputs
    ├── Job     how one library does it, timed in a process that has already imported the library
    ├── Command how one program does it, timed as a whole process
    └── Target  the figure wanted; shown next to the measured one, never asserted
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

MODULES = {"protobuf": "google.protobuf.message", "python": "sys", "saved_model_cli": "tensorflow"}
"""Library -> the module to import, if the names differ."""


@dataclass(frozen=True)
class Job:
    """How one library does the work of a case."""

    run: Callable[[Any], object]
    """Does the work, given the result of ``ready``; its own result is kept until memory has been measured."""
    ready: Callable[[Path], Any] = lambda inputs: inputs
    """Prepares whatever is not timed, given the folder of inputs; called before every run."""
    input: str | None = None
    """The input that it reads, if not the first of the case."""
    is_slow: bool = False
    """Whether it takes so long that it has a single warm run, its first."""


@dataclass(frozen=True)
class Command:
    """How one program does the work of a case."""

    arguments: Callable[[Path], list[str]]
    """Makes the arguments for this Python, given the folder of inputs."""
    needs: str | None = None
    """A module that it needs in addition to the library's."""


Figure = Literal["times", "rate", "private", "peak", "growth", "read", "speed"]
"""The quantity of a target:

times    the median time of a peer, divided by ckptfmt's
rate     bytes per second of ckptfmt, divided by a peer's
private  the largest private memory while the job ran, less the private memory before it, in bytes
peak     peak resident memory of the process, divided by the bytes of the input
growth   the same without imports: peak less the resident memory before the job
read     bytes read from storage when the page cache is cold
speed    bytes per second of ckptfmt
"""


@dataclass(frozen=True)
class Target:
    """A figure that is wanted."""

    figure: Figure
    wanted: float
    """A lower bound of times, rate and speed, and an upper bound of the others."""
    peer: str | None = None
    """The library to compare with, for ``times`` and ``rate``."""
    says: str = ""
    """What the number means, if that is not plain."""


@dataclass(frozen=True)
class Case:
    """One job, done on the same input by each library in turn; ckptfmt is the first of them."""

    inputs: tuple[str, ...]
    """Names of inputs; for cold runs all their files are dropped from the page cache."""
    jobs: Mapping[str, Job | Command]
    """Library, or "library: how" -> what it does."""
    targets: tuple[Target, ...] = ()
    cold: bool = True
    """Whether to run it cold too: in a new process, with its files not in the page cache."""
    rate: bool = False
    """Whether the job reads its whole input, so that bytes per second mean something."""
    note: str = ""
    """What a reader of the numbers should know."""


def module_of(library: str) -> str:
    """Return the module that a library of a case needs; ``library`` may be "name: how"."""
    name = library.partition(":")[0]
    return MODULES.get(name, name)


def missing(case: Case, library: str) -> str | None:
    """Return why a library's job in a case cannot run here, or None if it can."""
    job = case.jobs[library]
    needed = [module_of(library), *([job.needs] if isinstance(job, Command) and job.needs else [])]
    return next(filter(None, map(missing_module, needed)), None)


def missing_module(module: str) -> str | None:
    """Return why a module cannot be imported, or None if it can, without importing it."""
    try:
        found = importlib.util.find_spec(module)
    except ModuleNotFoundError:
        found = None
    return None if found is not None else f"{module.partition('.')[0]} is not installed"
