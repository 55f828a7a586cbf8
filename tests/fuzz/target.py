"""What a target is, and the bounds that every target keeps."""

from __future__ import annotations

import logging
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from random import Random
from typing import NamedTuple, TypeVar

from ckptfmt.errors import CkptfmtError, DamageWarning
from tests.fuzz.mutate.plain import Mutator, often

if sys.platform != "win32":
    import resource

T = TypeVar("T")

SECONDS = 4.0
SECONDS_PER_BYTE = 40e-6
"""Processor time for an input: several times what any needs under atheris, which counts every branch."""

MEMORY = 256 << 20
MEMORY_PER_BYTE = 256
"""Bytes by which an input may raise the most that this process ever had."""


class Target(NamedTuple):
    """A decoder, and how to feed it."""

    judge: Callable[[bytes], None]
    """Reads an input in every way, and raises if it meets a fault."""
    seeds: Callable[[], list[bytes]]
    """Returns valid inputs, which mutations start from."""
    mutate: Mutator
    count: int = 200
    """Mutations that the tests judge: as many as take about half a second."""
    references: tuple[str, ...] = ()
    """Packages that the judge compares with, if the program has imported them."""


class Fault(AssertionError):  # noqa: N818  (it is what is looked for)
    """An answer that is wrong, or takes too much time or memory."""


def outcome(read: Callable[[], T]) -> T | CkptfmtError:
    """Return what a function returns, or the error of this package that it raises."""
    try:
        return read()
    except CkptfmtError as error:
        str(error)
        return error


def check(target: Target, data: bytes) -> None:
    """Judge an input within the bounds of time and memory; any exception is a fault."""
    logging.disable(logging.ERROR)
    started, held = time.process_time(), _most_memory()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", DamageWarning)
        target.judge(data)
    seconds, memory = time.process_time() - started, _most_memory() - held
    if seconds > SECONDS + SECONDS_PER_BYTE * len(data):
        raise Fault(f"{len(data)} bytes took {seconds:.1f} s")
    if memory > MEMORY + MEMORY_PER_BYTE * len(data):
        raise Fault(f"{len(data)} bytes took {memory >> 20} MiB")


def _most_memory() -> int:
    """Return the most bytes that this process has ever had resident, 0 on Windows."""
    if sys.platform == "win32":
        return 0
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def mutations(target: Target, seed: int) -> Iterator[bytes]:
    """Iterate for ever over mutations of seeds and of earlier mutations; a number always gives the same."""
    rng = Random(seed)
    pool = target.seeds()
    mutate = often(target.mutate)
    while True:
        data = mutate(rng.choice(pool), rng)
        yield data
        if rng.randrange(8) == 0 and len(data) < 1 << 16:
            pool.append(data)
            if len(pool) > 500:
                del pool[rng.randrange(len(pool))]
