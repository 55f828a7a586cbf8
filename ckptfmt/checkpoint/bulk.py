"""Reading many tensors of a bundle: large ones in pieces by several threads, small ones as they lie together.

::

    large   pieces of all of them, in the order of the files; a thread takes one after the other, and passes
            over its bytes once: copied, if they are copied, and checksummed while they are in the cache
    small   one after the other, from the mapping; where there is none, those that lie together in one read
    other   strings, tensors in slices, what must be decoded: each by one thread

What is in flight beside the arrays themselves is a run of :data:`RUN_BYTES` of small tensors.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from operator import attrgetter
from typing import NamedTuple

import numpy as np

from ckptfmt.arrays.array import Array, Shape, check_shape, expected_size, new_array, read_only
from ckptfmt.checkpoint.bundle import Bundle, Place
from ckptfmt.checkpoint.entry import Entry
from ckptfmt.errors import NotReadableError, UnsupportedError
from ckptfmt.storage.file import read_with_crc
from ckptfmt.wire.crc32c import combine_all, crc32c
from ckptfmt.wire.threads import cut, in_threads

LARGE = 1 << 20
"""Tensors of this many bytes and more are read by several threads; for less, handing over costs more."""

RUN_BYTES = 4 << 20
"""Bytes of small tensors that are read at once where files are not mapped."""

SLOW = 2e-3 / (4 << 20)
"""Seconds for a byte from which on a piece is taken to come from storage: 2 GB/s and less."""

AHEAD = 16 << 20
"""Bytes that the system is asked to read ahead then."""

AT_ONCE = 4096
"""Entries of small tensors that are held at once. More would outlive Python's collections of garbage, which
take a quarter of the time then."""

RUN_GAP = 4096
"""Bytes between two tensors that are read in vain rather than making two reads."""


class _Large(NamedTuple):
    """A large tensor whose stored bytes are those of its array."""

    entry: Entry
    place: Place
    array: Array
    """The array: a view of the file, or memory to fill."""
    target: memoryview | None
    """The bytes of the array, where they are to be filled."""
    verify: bool


def read_tensors(
    bundle: Bundle,
    entries: Iterable[Entry],
    load: Callable[[Entry], Array],
    *,
    to_verify: Callable[[str], bool],
    threads: int,
    copy: bool,
    out: Mapping[str, Array],
) -> dict[str, Array]:
    """Return the arrays of many tensors, in the order of ``entries``.

    Parameters
    ----------
    entries
        Of tensors that are there.
    load
        Reads any one of them, in one thread.
    to_verify
        Whether the checksum of one that is stored whole, given its name, is still to be verified.
    threads, copy, out
        As of :meth:`ckptfmt.Checkpoint.read`.

    Raises what reading one of them raises; of several errors, one.
    """
    arrays: dict[str, Array] = {}
    large: list[_Large] = []
    small: list[Entry] = []
    others: list[Entry] = []

    def read_small() -> None:
        limits = (math.inf, math.inf) if bundle.has_views else (RUN_BYTES, RUN_GAP)
        for run in _runs(small, *limits):
            arrays.update(_read_run(bundle, run, load, to_verify, copy=copy, out=out))
        small.clear()

    for entry in entries:
        arrays[entry.name] = _NOTHING  # for the order
        if entry.nbytes < LARGE and not entry.slices:
            small.append(entry)
            if len(small) == AT_ONCE:
                read_small()
        elif bundle.is_plain(entry) and _fits(out.get(entry.name)):
            large.append(_prepare(bundle, entry, to_verify(entry.name), copy=copy, out=out.get(entry.name)))
        else:
            others.append(entry)
    read_small()
    large.sort(key=lambda each: (each.entry.shard or 0, each.place.offset))
    arrays.update(_read_large(bundle, large, threads))
    others.sort(key=lambda entry: (entry.shard or 0, entry.offset or 0))
    arrays.update(zip((e.name for e in others), in_threads(load, others, threads), strict=True))
    return arrays


_NOTHING: Array = np.empty(0)


def _fits(target: Array | None) -> bool:
    """Whether stored bytes can be put into an array as they are."""
    return target is None or bool(target.flags.c_contiguous)


# --- large tensors ---------------------------------------------------------------------------------------


def _prepare(bundle: Bundle, entry: Entry, verify: bool, *, copy: bool, out: Array | None) -> _Large:
    place = bundle.place(entry)
    if out is None and not copy and place.file.has_views:
        return _Large(entry, place, bundle.decode(entry, place, place.read()), None, verify)
    array = new_array(entry.shape, entry.dtype) if out is None else out
    # Not of a subclass: a matrix has two dimensions however it is reshaped.
    target = np.asarray(array).reshape(-1).view(np.uint8).data
    if out is None and not copy:
        read_only(array)
    return _Large(entry, place, array, target, verify)


def _read_large(bundle: Bundle, large: Sequence[_Large], threads: int) -> dict[str, Array]:
    at_work = [each for each in large if each.verify or each.target]
    pieces = [(each, piece) for each in at_work for piece in cut(0, each.place.size)]
    crcs = iter(in_threads(_read_piece, pieces, threads))
    for each in at_work:
        crc = combine_all([(next(crcs), size) for _, size in cut(0, each.place.size)])
        if each.verify:
            bundle.compare(each.entry, each.place, crc)
    return {each.entry.name: each.array for each in large}


def _read_piece(item: tuple[_Large, tuple[int, int]]) -> int:
    """Put a piece where it belongs, if anywhere; return its checksum if that is wanted."""
    each, (start, size) = item
    place = each.place
    before = time.perf_counter()
    crc = 0
    if each.target is None:
        crc = crc32c(place.file.read(place.offset + start, size))
    elif each.verify:
        crc = read_with_crc(place.file, place.offset + start, each.target[start : start + size])
    else:
        place.file.read_into(place.offset + start, each.target[start : start + size])
    if time.perf_counter() - before > SLOW * size:
        # From storage, not from the cache, where advice is in vain and costs time.
        behind = start + size
        place.file.prefetch(place.offset + behind, min(AHEAD, place.size - behind))
    return crc


# --- small tensors ---------------------------------------------------------------------------------------


def _runs(entries: list[Entry], limit: float, gap: float) -> Iterator[list[Entry]]:
    """Entries in the order of the files, those together that lie together.

    A run is of up to ``limit`` bytes, with up to ``gap`` bytes between two tensors.
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
    bundle: Bundle,
    run: Sequence[Entry],
    load: Callable[[Entry], Array],
    to_verify: Callable[[str], bool],
    *,
    copy: bool,
    out: Mapping[str, Array],
) -> dict[str, Array]:
    """The arrays of small tensors that lie together, as views of what one read returns."""
    file = bundle.place(run[0]).file
    # Mapped, what lies before them costs nothing, and a longer read is surer to see a file cut short.
    start = 0 if file.has_views else run[0].offset or 0
    stop = max((entry.offset or 0) + entry.nbytes for entry in run)
    if stop > file.size:
        for entry in run:
            bundle.place(entry)  # raises, and says which it is
    try:
        data = file.read(start, stop - start)
    except NotReadableError:
        # What lies between two of them, perhaps.
        return {entry.name: load(entry) for entry in run}
    layouts: dict[tuple[int, Shape], _Layout] = {}
    arrays: dict[str, Array] = {}
    # Little is called here for each: with 100,000 tensors every call is seen.
    for entry in run:
        name, dtype, shape, nbytes, _, offset, crc, _ = entry
        assert offset is not None
        at = offset - start
        key = dtype.code, shape
        layout = layouts.get(key)
        if layout is None:
            layout = layouts[key] = _layout(bundle, entry)
        if layout.dtype is None or nbytes != layout.nbytes:
            place = bundle.place(entry)
            array = bundle.decode(entry, place, data[at : at + nbytes], verify=to_verify(name))
        else:
            if to_verify(name) and (computed := crc32c(data[at : at + nbytes])) != crc:
                bundle.compare(entry, bundle.place(entry), computed)
            array = np.ndarray(shape, layout.dtype, data, at)
        if name in out:
            np.copyto(out[name], array)
            array = out[name]
        elif copy:
            array = array.copy()
        arrays[name] = array
    return arrays


class _Layout(NamedTuple):
    """How the tensors of one dtype and shape lie in a file."""

    dtype: np.dtype[np.generic] | None
    """Of the array that has their bytes as they are; None where there is no such array."""
    nbytes: int


def _layout(bundle: Bundle, entry: Entry) -> _Layout:
    if bundle.is_plain(entry):
        with suppress(UnsupportedError):  # of which decoding says whose shape it is
            check_shape(entry.shape, entry.dtype)
            return _Layout(entry.dtype.numpy, expected_size(entry.dtype, entry.shape) or 0)
    return _Layout(None, 0)
