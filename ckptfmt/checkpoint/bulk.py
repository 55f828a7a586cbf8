"""Reading many tensors: large ones in pieces by several threads, small ones together with their neighbours.

::

    large   cut into pieces, in the order of the files; each thread takes one piece after the other, and
            copies and checksums its bytes in one pass, while they are in the cache
    small   one after the other from a mapped file; without a mapping, neighbours share a read
    other   strings, tensors in slices, and all others that must be decoded: one thread for each

So one tensor of 20 GB keeps all processors busy, and 100,000 small ones cost little more than their bytes.
Besides the arrays, at most :data:`RUN_BYTES` of small tensors are in memory.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from operator import attrgetter
from typing import NamedTuple

import numpy as np

from ckptfmt.arrays.array import Array, new_array, read_only
from ckptfmt.checkpoint.checks import Checks
from ckptfmt.checkpoint.entry import Entry
from ckptfmt.checkpoint.reading import read_tensor
from ckptfmt.checkpoint.store import Store
from ckptfmt.checkpoint.stored import StoredBytes, decode_run
from ckptfmt.errors import NotReadableError
from ckptfmt.storage.file import read_with_crc
from ckptfmt.wire.crc32c import combine_all, crc32c
from ckptfmt.wire.threads import cut, in_threads

LARGE = 1 << 20
"""Bytes from which on several threads read a tensor. For less, handing the work over costs more than it."""

RUN_BYTES = 4 << 20
"""Bytes of small tensors in one read from a file that is not mapped."""

SLOW = 2e-3 / (4 << 20)
"""Seconds a byte from which on a piece counts as read from storage, not from the cache: 2 GB/s."""

AHEAD = 16 << 20
"""Bytes that the system is asked to read ahead after a piece that came from storage."""

AT_ONCE = 4096
"""Entries of small tensors that are collected before they are read.

If more were alive at once, Python's garbage collector would scan them again and again: a quarter of the time.
"""

RUN_GAP = 4096
"""Unused bytes between two tensors that are read to save a second read."""

_PENDING: Array = np.empty(0)
"""Holds the place of a tensor not yet read, so that the result has the order of the entries."""


def read_tensors(
    store: Store,
    entries: Iterable[Entry],
    checks: Checks,
    *,
    threads: int,
    copy: bool,
    out: Mapping[str, Array],
) -> dict[str, Array]:
    """Return the arrays of many tensors by name, in the order of ``entries``.

    Parameters
    ----------
    threads
        Number of threads for large tensors and for those that must be decoded.
    copy
        Whether arrays are writable and own their memory.
    out
        Arrays to fill by name, with the shapes and dtypes of the tensors.

    Errors are those of reading one tensor; if several fail, the error of one of them is raised.
    """
    arrays: dict[str, Array] = {}
    large: list[_Large] = []
    small: list[Entry] = []
    others: list[Entry] = []

    def read_small() -> None:
        limits = (math.inf, math.inf) if store.has_views else (RUN_BYTES, RUN_GAP)
        for run in _runs(small, *limits):
            arrays.update(_read_run(store, run, checks, copy=copy, out=out))
        small.clear()

    for entry in entries:
        arrays[entry.name] = _PENDING
        if entry.offset is None:
            others.append(entry)  # in slices, or encoded in a table
        elif entry.nbytes < LARGE:
            small.append(entry)
            if len(small) == AT_ONCE:
                read_small()
        elif (target := _prepare(store, entry, checks, copy=copy, out=out.get(entry.name))) is not None:
            large.append(target)
        else:
            others.append(entry)
    read_small()
    # In the order of the files, so that a disk reads forwards.
    large.sort(key=lambda each: (each.stored.entry.shard or 0, each.stored.offset))
    arrays.update(_read_large(large, threads))
    others.sort(key=lambda entry: (entry.shard or 0, entry.offset or 0))

    def read_other(entry: Entry) -> Array:
        return read_tensor(store, entry, checks, copy=copy, out=out.get(entry.name), threads=1)

    arrays.update(zip((e.name for e in others), in_threads(read_other, others, threads), strict=True))
    checks.done(arrays)
    return arrays


# --- large tensors ---------------------------------------------------------------------------------------


class _Large(NamedTuple):
    """A large tensor whose stored bytes are the bytes of its array."""

    stored: StoredBytes
    array: Array
    """The array: a view of the file, or memory to fill."""
    target: memoryview | None
    """The bytes of the array to fill; None if it is a view of the file."""
    verify: bool


def _prepare(store: Store, entry: Entry, checks: Checks, *, copy: bool, out: Array | None) -> _Large | None:
    """Prepare the array of a large tensor for filling or verification; None if its bytes must be decoded."""
    if out is not None and not out.flags.c_contiguous:
        return None
    stored = store.locate(entry)
    if stored is None or not stored.order.is_plain(entry):
        return None
    verify = checks.is_due(entry.name)
    if out is None and not copy and stored.file.has_views:
        return _Large(stored, stored.decode(stored.read()), None, verify)
    array = new_array(entry.shape, entry.dtype) if out is None else out
    # asarray, because an np.matrix keeps two dimensions however it is reshaped.
    target = np.asarray(array).reshape(-1).view(np.uint8).data
    if out is None and not copy:
        read_only(array)
    return _Large(stored, array, target, verify)


def _read_large(large: Sequence[_Large], threads: int) -> dict[str, Array]:
    """Fill or verify large tensors; return their arrays.

    The pieces of all tensors form one queue, so that no thread waits for a tensor to be finished. The
    checksum of a tensor is combined from those of its pieces, which needs their sizes but not their bytes.
    """
    unfinished = [each for each in large if each.verify or each.target]
    pieces = [(each, piece) for each in unfinished for piece in cut(0, each.stored.size)]
    crcs = iter(in_threads(_read_piece, pieces, threads))
    for each in unfinished:
        crc = combine_all([(next(crcs), size) for _, size in cut(0, each.stored.size)])
        if each.verify:
            each.stored.compare(crc)
    return {each.stored.entry.name: each.array for each in large}


def _read_piece(item: tuple[_Large, tuple[int, int]]) -> int:
    """Fill a piece of an array unless it is a view; return its checksum, 0 if that is not verified."""
    each, (start, size) = item
    file, offset = each.stored.file, each.stored.offset + start
    before = time.perf_counter()
    crc = 0
    if each.target is None:
        crc = crc32c(file.read(offset, size))
    elif each.verify:
        crc = read_with_crc(file, offset, each.target[start : start + size])
    else:
        file.read_into(offset, each.target[start : start + size])
    if time.perf_counter() - before > SLOW * size:
        # The bytes came from storage. For bytes in the cache, the advice would only cost time.
        rest = each.stored.size - start - size
        file.prefetch(offset + size, min(AHEAD, rest))
    return crc


# --- small tensors ---------------------------------------------------------------------------------------


def _runs(entries: list[Entry], limit: float, gap: float) -> Iterator[list[Entry]]:
    """Group entries into runs of neighbours that one read covers, in the order of the files.

    A run covers up to ``limit`` bytes, with up to ``gap`` unused bytes between two tensors.
    """
    entries.sort(key=attrgetter("shard", "offset"))
    run: list[Entry] = []
    start = stop = 0
    for entry in entries:
        offset = entry.offset or 0
        end = offset + entry.nbytes
        if run and (run[0].shard != entry.shard or offset > stop + gap or end > start + limit):
            yield run
            run = []
        if not run:
            start = stop = offset
        run.append(entry)
        if end > stop:
            stop = end
    if run:
        yield run


def _read_run(
    store: Store, run: Sequence[Entry], checks: Checks, *, copy: bool, out: Mapping[str, Array]
) -> dict[str, Array]:
    """Read the small tensors of a run with one read, and view its bytes as their arrays."""

    def locate(entry: Entry) -> StoredBytes:
        stored = store.locate(entry)
        assert stored is not None
        return stored

    first = locate(run[0])
    # Bytes before the run cost nothing if the file is mapped, and with them the read is sure to notice that
    # the file has been cut short.
    start = 0 if first.file.has_views else first.offset
    stop = max((entry.offset or 0) + entry.nbytes for entry in run)
    if stop > first.file.size:
        for entry in run:
            locate(entry)  # raises for the one that does not fit
    try:
        data = first.file.read(start, stop - start)
    except NotReadableError:
        # Perhaps only the bytes between two tensors cannot be read.
        return {e.name: read_tensor(store, e, checks, copy=copy, out=out.get(e.name), threads=1) for e in run}
    arrays: dict[str, Array] = {}
    for entry, array in zip(
        run, decode_run(run, data, start, first.order, locate, checks.is_due), strict=True
    ):
        name = entry.name
        if name in out:
            np.copyto(out[name], array)
            array = out[name]
        elif copy:
            array = array.copy()
        arrays[name] = array
    return arrays
