"""What a case is: one job, done by each library, and what is to be reached.

::

    Case        a job that users have, on named inputs
    ├── Job     how one library does it, timed in a process that has the library imported
    ├── Command how one program does it, timed as a whole process
    └── Target  what is wanted; stated beside what was measured, asserted nowhere
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

MODULES = {"protobuf": "google.protobuf.message", "python": "sys", "saved_model_cli": "tensorflow"}
"""Library -> the module to import, where the names differ."""


@dataclass(frozen=True)
class Job:
    """How one library does the work of a case."""

    run: Callable[[Any], object]
    """Does it, given what ``ready`` returned; what it returns is held until memory has been measured."""
    ready: Callable[[Path], Any] = lambda inputs: inputs
    """Gets the folder of inputs and makes ready what is not timed; done anew before every run."""
    input: str | None = None
    """The input that it reads, where that is not the first of the case."""
    is_slow: bool = False
    """Whether it takes so long that it has one warm run in all, its first."""


@dataclass(frozen=True)
class Command:
    """How one program does the work of a case: arguments of this Python, given the folder of inputs."""

    arguments: Callable[[Path], list[str]]
    needs: str | None = None
    """A module that it needs beside that of the library."""


Figure = Literal["times", "rate", "private", "peak", "growth", "read", "speed"]
"""What a target is about:

times    the median of a peer, divided by that of ckptfmt
rate     bytes a second of ckptfmt, divided by those of a peer
private  most private memory while the job ran, above that before it, in bytes
peak     peak resident memory of the process, divided by the bytes of the input
growth   how far it grew, imports left out, divided likewise
read     bytes read from storage, the page cache being cold
speed    bytes a second of ckptfmt
"""


@dataclass(frozen=True)
class Target:
    """What is to be reached."""

    figure: Figure
    wanted: float
    """At least this; of memory and bytes read at most."""
    peer: str | None = None
    """The library it is about, for ``times`` and ``rate``."""
    says: str = ""
    """What the number means, in words, where it is not plain."""


@dataclass(frozen=True)
class Case:
    """One job, on the same input, done by each library in turn; the first of them is ckptfmt."""

    inputs: tuple[str, ...]
    """Names of inputs; the page cache of all their files is dropped for the cold runs."""
    jobs: Mapping[str, Job | Command]
    """Library, or "library: how" -> what it does."""
    targets: tuple[Target, ...] = ()
    cold: bool = True
    """Whether to run it cold too: in a new process, its files not in the page cache."""
    rate: bool = False
    """Whether all of the input is read, so that bytes a second mean something."""
    note: str = ""
    """What to know when reading the numbers."""


def module_of(library: str) -> str:
    """Return the module that a library of a case needs."""
    name = library.partition(":")[0]
    return MODULES.get(name, name)


def missing(case: Case, library: str) -> str | None:
    """Return why a library's job in a case cannot be run here, None where it can."""
    job = case.jobs[library]
    needed = [module_of(library), *([job.needs] if isinstance(job, Command) and job.needs else [])]
    return next(filter(None, map(missing_module, needed)), None)


def missing_module(module: str) -> str | None:
    """Return why a module cannot be imported, None where it can, without importing it."""
    try:
        found = importlib.util.find_spec(module)
    except ModuleNotFoundError:
        found = None
    return None if found is not None else f"{module.partition('.')[0]} is not installed"
