"""Stored bytes copied from one bundle to another without being decoded, and verified on the way.

::

    entries in the order of the source         w  b  s     v  x      (after s, something is left out)
    a batch of up to BATCH bytes              [w  b  s     v]
    its ranges, copied by the kernel if large  =======     =
    its pieces, verified by other threads      w  b  s     v

The bytes of a batch are read twice, the second time from the system's cache, because the kernel copies them
faster than a program that has to see them. Threads verify one batch while it is copied, so that both find
its bytes in the cache even if the file is larger than memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import groupby
from typing import TypeAlias

from ckptfmt.arrays.shape import Shape, expected_size
from ckptfmt.checkpoint.bulk import RUN_GAP
from ckptfmt.checkpoint.bundle import Bundle
from ckptfmt.checkpoint.entry import Entry
from ckptfmt.storage.file import RandomAccessFile, stream_crc
from ckptfmt.storage.output import Output
from ckptfmt.storage.output.kernel_copy import COPIED_BY_KERNEL_FROM
from ckptfmt.wire.crc32c import combine_all, crc32c
from ckptfmt.wire.threads import PIECE, cut, default_threads, in_threads

Range: TypeAlias = tuple[int, int]
"""An offset and a size."""

BATCH = 64 << 20
"""Bytes that are copied while threads verify them."""

Advance: TypeAlias = "Callable[[int], None]"
"""Is called with the bytes that have been copied since the last call."""


def check_places(bundle: Bundle, entries: Sequence[Entry]) -> None:
    """Raise what locating the first of many pieces that cannot be located raises; see :meth:`Bundle.locate`.

    Pieces sorted by place take 1 µs each: what is sound is seen without locating it.
    """
    sizes: dict[tuple[int, Shape], int | None] = {}
    shard, file_size = -1, 0
    for entry in entries:
        key = entry.dtype.code, entry.shape
        if key not in sizes:
            sizes[key] = expected_size(entry.dtype, entry.shape)
        if (
            entry.shard == shard
            and sizes[key] == entry.nbytes
            and (entry.offset or 0) + entry.nbytes <= file_size
        ):
            continue
        file = bundle.locate(entry).file
        shard, file_size = (-1, 0) if bundle.is_suspect(entry.shard) else (entry.shard or 0, file.size)


def copy_pieces(bundle: Bundle, entries: Sequence[Entry], output: Output, advance: Advance) -> None:
    """Write the bytes of pieces that :func:`check_places` has passed, one after the other.

    Raises
    ------
    ChecksumError, CorruptError
        The bytes of one are damaged; the message names the tensor.
    NotReadableError, TruncatedError
        The source cannot be read, or was cut short.
    NotWritableError
        The system refuses to write.
    """
    for batch in _batches(entries):
        if len(batch) == 1 and batch[0].nbytes > BATCH and batch[0].dtype.itemsize is not None:
            copy_large(bundle, batch[0], output, advance)
        else:
            _copy_batch(bundle, batch, output)
            advance(sum(entry.nbytes for entry in batch))


def _batches(entries: Sequence[Entry]) -> Iterator[Sequence[Entry]]:
    """Cut entries into batches of up to BATCH bytes, or of one entry, each with the bytes of one file."""
    start = size = 0
    for number, entry in enumerate(entries):
        is_other = entry.shard != entries[start].shard
        if number > start and (size + entry.nbytes > BATCH or is_other):
            yield entries[start:number]
            start, size = number, 0
        size += entry.nbytes
    if start < len(entries):
        yield entries[start:]


def copy_large(
    bundle: Bundle,
    entry: Entry,
    output: Output,
    advance: Advance,
    *,
    done: int = 0,
    crc: int = 0,
    note: Callable[[int, int], None] = lambda done, crc: None,
) -> None:
    """Copy a tensor larger than a batch, whose checksum is that of its pieces.

    ``done`` bytes with the checksum ``crc`` are in the output already, and ``note`` is told both after each
    batch. Raises what :func:`copy_pieces` does.
    """
    stored = bundle.locate(entry)
    file = stored.file
    pieces = list(cut(stored.offset + done, stored.size - done))
    at_once = max(1, BATCH // PIECE)
    for start in range(0, len(pieces), at_once):
        part = pieces[start : start + at_once]
        offset, size = part[0][0], sum(length for _, length in part)
        works = [
            partial(_copy_range, file, offset, size, output),
            *(partial(stream_crc, file, *p) for p in part),
        ]
        crcs = zip(_in_threads(works)[1:], (length for _, length in part), strict=True)
        crc = combine_all([(crc, done), *crcs])
        done += size
        note(done, crc)
        advance(size)
    stored.compare(crc)


def _copy_batch(bundle: Bundle, entries: Sequence[Entry], output: Output) -> None:
    """Copy pieces of one file while threads verify them."""
    file = bundle.locate(entries[0]).file
    works = [partial(_copy_ranges, file, list(_ranges(entries)), output)]
    start = size = 0
    for number, entry in enumerate(entries):
        if number > start and size + entry.nbytes > PIECE:
            works.append(partial(_verify, bundle, file, entries[start:number]))
            start, size = number, 0
        size += entry.nbytes
    works.append(partial(_verify, bundle, file, entries[start:]))
    _in_threads(works)


def _ranges(entries: Sequence[Entry]) -> Iterator[Range]:
    """Iterate over the ranges of bytes of entries in their order, neighbours joined."""
    start = stop = entries[0].offset or 0
    for entry in entries:
        if entry.offset != stop:
            if stop > start:
                yield start, stop - start
            start = stop = entry.offset or 0
        stop += entry.nbytes
    if stop > start:
        yield start, stop - start


def _in_threads(works: Sequence[Callable[[], int]]) -> list[int]:
    return in_threads(lambda work: work(), works, default_threads())


def _copy_range(file: RandomAccessFile, offset: int, size: int, output: Output) -> int:
    output.copy_from(file, offset, size)
    return size


def _copy_ranges(file: RandomAccessFile, ranges: Sequence[Range], output: Output) -> int:
    """Copy large ranges by themselves, and small ones together with what is near."""
    for is_small, several in groupby(ranges, key=lambda each: each[1] < COPIED_BY_KERNEL_FROM):
        if not is_small:
            for offset, size in several:
                output.copy_from(file, offset, size)
            continue
        for data, inside in _read_windows(file, several):
            output.write(b"".join([data[at : at + size] for at, size in inside]))
    return 0


def _read_windows(
    file: RandomAccessFile, ranges: Iterable[Range]
) -> Iterator[tuple[memoryview, list[Range]]]:
    """Read small ranges, those near each other at once: the bytes, and where each range is in them.

    Reading one by one would take a call of the system for each of a million tensors.
    """
    inside: list[Range] = []
    start = stop = 0
    for offset, size in ranges:
        is_near = start <= offset <= stop + RUN_GAP and max(stop, offset + size) - start <= PIECE
        if inside and not is_near:
            yield file.read(start, stop - start), inside
            file.release(start, stop - start)
            inside = []
        if not inside:
            start = stop = offset
        inside.append((offset - start, size))
        stop = max(stop, offset + size)
    if inside:
        yield file.read(start, stop - start), inside
        file.release(start, stop - start)


def _verify(bundle: Bundle, file: RandomAccessFile, entries: Sequence[Entry]) -> int:
    """Verify pieces of a file that together have up to PIECE bytes, or of a single larger one."""
    numbers = []
    for entry in entries:
        if entry.dtype.itemsize is None:
            bundle.locate(entry).check()  # strings have lengths and checksums of their own
        elif entry.nbytes > PIECE:
            bundle.locate(entry).compare(stream_crc(file, entry.offset or 0, entry.nbytes))
        else:
            numbers.append(entry)
    left = iter(numbers)
    for data, inside in _read_windows(file, [(entry.offset or 0, entry.nbytes) for entry in numbers]):
        for (at, size), entry in zip(inside, left, strict=False):
            crc = crc32c(data[at : at + size])
            if crc != entry.crc32c:
                bundle.locate(entry).compare(crc)
    return 0
