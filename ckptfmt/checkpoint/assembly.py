"""Assembly: a whole tensor from many slices, with few steps for each.

A variable in thousands of partitions is thousands of small pieces, and a call for each would take most of the
time. So their places are found together (:meth:`Store.locate_slices`), and slices that follow one another in
the file and in the array are read and copied at once. Only checksums are computed one by one.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import numpy as np

from ckptfmt.arrays.array import Array
from ckptfmt.checkpoint.partition import Partition
from ckptfmt.checkpoint.stored_bytes import SlicePlaces
from ckptfmt.storage.file import RandomAccessFile
from ckptfmt.wire.crc32c import crc32c
from ckptfmt.wire.threads import in_threads

MANY = 16
"""The fewest slices for which a tensor is assembled like this."""

RUN_BYTES = 1 << 20
"""Bytes that are copied at once: they are still in the cache when their checksums are computed."""


class _Run(NamedTuple):
    """Slices that follow one another in a file and, if the tensor is cut into rows, in the array."""

    file: RandomAccessFile
    offset: int
    size: int
    numbers: list[int]
    """The slices, in the order of the file."""


def assemble(
    array: Array, partition: Partition, places: SlicePlaces, *, verify: bool, threads: int
) -> int | None:
    """Fill an array with its slices; return the number of a slice whose checksum is wrong, or None."""
    # If the tensor is cut along the first axis only, the bytes of each slice are consecutive in the array.
    in_rows = (
        array.flags.c_contiguous
        and type(array) is np.ndarray
        and not partition.starts[:, 1:].any()
        and bool((partition.stops[:, 1:] == partition.shape[1:]).all())
    )
    offsets, sizes, crcs = places.offsets.tolist(), places.sizes.tolist(), places.crcs.tolist()
    target = array.reshape(-1).view(np.uint8) if in_rows else np.empty(0, np.uint8)
    row = array[:1].nbytes if in_rows else 0
    begins = (partition.starts[:, 0] * row).tolist()

    def read(run: _Run) -> int | None:
        if in_rows:
            begin = begins[run.numbers[0]]
            out = target[begin : begin + run.size]
            if run.file.has_views:
                out[:] = np.frombuffer(run.file.read(run.offset, run.size), np.uint8)
            else:
                run.file.read_into(run.offset, out.data)
            data = out.data
        else:
            data = run.file.read(run.offset, run.size)
            for number in run.numbers:
                box = tuple(map(slice, partition.starts[number].tolist(), partition.stops[number].tolist()))
                shape = array[box].shape
                array[box] = np.ndarray(shape, array.dtype, data, offsets[number] - run.offset)
        if verify:
            at = 0
            for number in run.numbers:
                end = at + sizes[number]
                if crc32c(data[at:end]) != crcs[number]:
                    return number
                at = end
        return None

    runs = list(_runs(partition, places, row))
    wrong = in_threads(read, runs, threads if len(runs) > 1 else 1)
    return next((number for number in wrong if number is not None), None)


def _runs(partition: Partition, places: SlicePlaces, row: int) -> list[_Run]:
    """Group slices into runs; ``row`` is the bytes of a row if slices are whole rows, else 0."""
    order = np.lexsort((places.offsets, places.shards))
    shards, offsets, sizes = places.shards[order], places.offsets[order], places.sizes[order]
    ends = offsets + sizes
    breaks = (shards[1:] != shards[:-1]) | (offsets[1:] != ends[:-1])
    breaks |= np.diff(np.cumsum(sizes) // RUN_BYTES) > 0
    if row:
        begins = partition.starts[order, 0] * row
        breaks |= begins[1:] != begins[:-1] + sizes[:-1]
    borders = [0, *(np.flatnonzero(breaks) + 1).tolist(), len(order)]
    return [
        _Run(
            places.files[int(shards[start])],
            int(offsets[start]),
            int(ends[stop - 1] - offsets[start]),
            order[start:stop].tolist(),
        )
        for start, stop in pairwise(borders)
    ]
