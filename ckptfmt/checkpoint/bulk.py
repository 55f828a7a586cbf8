"""Reading many tensors: large ones in pieces by several threads, small ones together with their neighbours.

::

    large   cut into pieces in the order of the files; threads take one piece after another and pass over its
            bytes once: they copy them if that is wanted, and checksum them while they are in the cache
    small   one after another from the mapped file; without a mapping, neighbours share one read
    other   strings, tensors in slices, all else that has to be decoded: each by one thread

So one tensor of 20 GB keeps all processors busy, and 100,000 small ones cost little more than their bytes.
Apart from the arrays, at most one run of small tensors (:data:`RUN_BYTES`) is in memory.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from operator import itemgetter
from typing import NamedTuple

import numpy as np

from ckptfmt.arrays.array import Array, new_array, read_only
from ckptfmt.arrays.shape import Shape
from ckptfmt.checkpoint.checks import Checks
from ckptfmt.checkpoint.entry import Entry
from ckptfmt.checkpoint.reading import read_tensor
from ckptfmt.checkpoint.store import Store
from ckptfmt.checkpoint.stored_bytes import ByteOrder, Layout, StoredBytes, label_of, layout_of
from ckptfmt.errors import LimitError, NotReadableError, UnsupportedError
from ckptfmt.storage.file import read_with_crc
from ckptfmt.wire.crc32c import combine_all, crc32c
from ckptfmt.wire.threads import cut, in_threads

LARGE = 1 << 20
"""Bytes from which a tensor is read by several threads; below, handing it over costs more than it saves."""

RUN_BYTES = 4 << 20
"""Bytes of small tensors that one read covers in a file that is not mapped."""

RUN_GAP = 4096
"""Unused bytes between two tensors that are read too, which costs less than another read."""

SLOW = 2e-3 / (4 << 20)
"""Seconds per byte above which a piece must have come from storage: 2 GB/s."""

AHEAD = 16 << 20
"""Bytes that the system is then asked to read ahead."""

AT_ONCE = 4096
"""Entries of small tensors that are held at once.

More of them would survive Python's garbage collections, which then take a quarter of the time.
"""

_PLACE = itemgetter(Entry._fields.index("shard"), Entry._fields.index("offset"))
"""Returns where an entry is stored, as a key to sort by; by position, which is quicker than by name."""

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
        How many threads read large tensors and those that have to be decoded.
    copy
        Whether arrays are writable and own their memory.
    out
        Arrays to fill, by name, of the tensors' shapes and dtypes.

    Raises what reading one of them raises; if several fail, the error of one of them.
    """
    arrays: dict[str, Array] = {}
    large: list[_Large] = []
    small: list[Entry] = []
    others: list[Entry] = []

    def read_small() -> None:
        # Bytes between tensors of a mapped file cost nothing, so one run covers all.
        limits = (math.inf, math.inf) if store.has_views else (RUN_BYTES, RUN_GAP)
        for run, start, stop in _runs(small, *limits):
            arrays.update(_read_run(store, run, start, stop, checks, copy=copy, out=out))
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

    def read_other(entry: Entry) -> Array:
        return read_tensor(store, entry, checks, copy=copy, out=out.get(entry.name), threads=1)

    # In the order of the files, so that a disk reads forwards.
    if large:
        large.sort(key=lambda each: (each.stored.entry.shard or 0, each.stored.offset))
        arrays.update(_read_large(large, threads))
    if others:
        others.sort(key=lambda entry: (entry.shard or 0, entry.offset or 0))
        arrays.update(zip((e.name for e in others), in_threads(read_other, others, threads), strict=True))
    checks.all_done(arrays)
    return arrays


def _locate(store: Store, entry: Entry) -> StoredBytes:
    """Return the place of the bytes of an entry that has an offset."""
    stored = store.locate(entry)
    assert stored is not None
    return stored


# --- large tensors ---------------------------------------------------------------------------------------


class _Large(NamedTuple):
    """A large tensor whose stored bytes are those of its array."""

    stored: StoredBytes
    array: Array
    """The array: a view of the file, or memory to fill."""
    target: memoryview | None
    """The bytes of the array if they are to be filled."""
    verify: bool


def _prepare(store: Store, entry: Entry, checks: Checks, *, copy: bool, out: Array | None) -> _Large | None:
    """Return a large tensor with the array to fill or verify; None if its bytes have to be decoded."""
    if out is not None and not out.flags.c_contiguous:
        return None
    stored = _locate(store, entry)
    if not stored.order.is_plain(entry):
        return None
    verify = checks.is_due(entry.name)
    if out is None and not copy and stored.file.has_views:
        return _Large(stored, stored.decode(stored.read()), None, verify)
    try:
        array = new_array(entry.shape, entry.dtype) if out is None else out
    except (LimitError, UnsupportedError) as error:
        label = f"tensor {label_of(entry)}"
        raise error.at(stored.file.name, stored.offset, label=label) from error.__cause__
    # As a plain ndarray: a np.matrix has two dimensions however it is reshaped.
    target = np.asarray(array).reshape(-1).view(np.uint8).data
    if out is None and not copy:
        read_only(array)
    return _Large(stored, array, target, verify)


def _read_large(large: Sequence[_Large], threads: int) -> dict[str, Array]:
    """Fill and verify large tensors, piece by piece; the checksum of a tensor is combined from its pieces."""
    at_work = [each for each in large if each.verify or each.target]
    # Pieces of all tensors are in one list, so that threads never wait for the last piece of a tensor. Their
    # checksums come back in the same order, and cut() tells again how many belong to each tensor.
    pieces = [(each, piece) for each in at_work for piece in cut(0, each.stored.size)]
    crcs = iter(in_threads(_read_piece_of, pieces, threads))
    for each in at_work:
        crc = combine_all([(next(crcs), size) for _, size in cut(0, each.stored.size)])
        if each.verify:
            each.stored.compare(crc)
    return {each.stored.entry.name: each.array for each in large}


def _read_piece_of(item: tuple[_Large, tuple[int, int]]) -> int:
    """Fill one piece of an array, if it is to be filled; return the piece's checksum, or 0 if not wanted."""
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
        # The bytes came from storage, so the next ones will too. For bytes in the page cache, advice would
        # only cost time.
        rest = each.stored.size - start - size
        file.prefetch(offset + size, min(AHEAD, rest))
    return crc


# --- small tensors ---------------------------------------------------------------------------------------


def _runs(entries: list[Entry], limit: float, gap: float) -> Iterator[tuple[list[Entry], int, int]]:
    """Group entries, in the order of the files, into runs of neighbours that one read covers.

    With each run comes where its bytes begin and end. It covers up to ``limit`` bytes, with up to ``gap``
    unused bytes between two tensors.
    """
    entries.sort(key=_PLACE)
    run: list[Entry] = []
    start = stop = 0
    shard: int | None = None
    for entry in entries:
        offset = entry.offset or 0
        end = offset + entry.nbytes
        if run and (entry.shard != shard or offset > stop + gap or end > start + limit):
            yield run, start, stop
            run = []
        if not run:
            start = stop = offset
            shard = entry.shard
        run.append(entry)
        # Not simply the end of the last entry: two tensors may share bytes.
        if end > stop:
            stop = end
    if run:
        yield run, start, stop


def _read_run(
    store: Store,
    run: Sequence[Entry],
    start: int,
    stop: int,
    checks: Checks,
    *,
    copy: bool,
    out: Mapping[str, Array],
) -> dict[str, Array]:
    """Read the small tensors of a run with one read, and view its bytes as their arrays."""
    first = _locate(store, run[0])
    # In a mapped file bytes before the run cost nothing, and a mapping checks only longer reads for a file
    # that was cut short.
    if first.file.has_views:
        start = 0
    if stop > first.file.size or store.is_suspect(first.entry.shard):
        for entry in run:
            _locate(store, entry)  # raises for the one that does not fit, or is not intact in a suspect file
    try:
        data = first.file.read(start, stop - start)
    except NotReadableError:
        # Perhaps only the bytes between two tensors cannot be read.
        return {e.name: read_tensor(store, e, checks, copy=copy, out=out.get(e.name), threads=1) for e in run}
    decoded = _decode_run(store, run, data, start, first.order, checks)
    arrays: dict[str, Array] = {}
    if not out and not copy:
        return dict(zip([entry.name for entry in run], decoded, strict=True))
    for entry, array in zip(run, decoded, strict=True):
        name = entry.name
        if name in out:
            np.copyto(out[name], array)
            array = out[name]
        elif copy:
            array = array.copy()
        arrays[name] = array
    return arrays


def _decode_run(
    store: Store, run: Sequence[Entry], data: memoryview, start: int, order: ByteOrder, checks: Checks
) -> list[Array]:
    """Return the arrays of a run, whose bytes are in ``data``, which begins at offset ``start``.

    For each entry this does what :meth:`StoredBytes.decode` does, without a call for each: with 100,000 small
    tensors, calls are most of the time. Entries of one dtype and shape share their layout. An entry that has
    to be decoded, or is damaged, takes the long way, which also raises the error.
    """
    layouts: dict[tuple[int, Shape], Layout] = {}
    arrays: list[Array] = []
    enabled, intact = checks.enabled, checks.intact
    of_dtype, of_shape = None, None
    for entry in run:
        name, dtype, shape, nbytes, _shard, offset, crc, _slices = entry
        at = (offset or 0) - start
        if shape is not of_shape or dtype is not of_dtype:  # quicker than a look-up
            of_dtype, of_shape = dtype, shape
            layout = layouts.get((dtype.code, shape))
            if layout is None:
                layout = layouts[dtype.code, shape] = layout_of(entry, order)
            viewed, size = layout
        verify = enabled and name not in intact
        if viewed is None or nbytes != size:
            array = _locate(store, entry).decode(data[at : at + nbytes], verify=verify)
        else:
            if verify and (computed := crc32c(data[at : at + nbytes])) != crc:
                _locate(store, entry).compare(computed)
            array = np.ndarray(shape, viewed, data, at)
        arrays.append(array)
    return arrays
