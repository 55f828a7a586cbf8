"""The bytes of tensors, one after the other, as safetensors has them: copied if possible, and resumable.

::

    stored whole, its bytes those of the array      a stretch, copied by the kernel while threads verify it
    in slices along the first axis                  a stretch for each slice
    bools, other axes, V1, what a plan makes        a stretch that is read and encoded piece by piece

A note has the number of stretches that are written, the bytes of the next one, and their checksum so far.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import NamedTuple

from ckptfmt.arrays.raw import encode_pieces
from ckptfmt.checkpoint.bundle import Bundle
from ckptfmt.checkpoint.entry import Entry
from ckptfmt.checkpoint.partition import partition_of
from ckptfmt.checkpoint.raw_copy import BATCH, check_places, copy_large, copy_pieces
from ckptfmt.checkpoint.slices import whole
from ckptfmt.converting.sinks.outgoing import Outgoing
from ckptfmt.converting.sinks.writing import Writing
from ckptfmt.errors import CkptfmtError, CorruptError
from ckptfmt.storage.output import NewFile


class Stretch(NamedTuple):
    """Bytes that follow one another in the target."""

    tensor: Outgoing
    place: Entry | None
    """The entry of a tensor, or of a slice of one, to copy; None if the tensor is read."""

    @property
    def bundle(self) -> Bundle | None:
        """The checkpoint to copy from."""
        store = self.tensor.store
        return store if self.place is not None and isinstance(store, Bundle) else None


def stretches_of(tensors: Iterable[Outgoing]) -> list[Stretch]:
    """Return the stretches of tensors; raises what locating those that are copied raises."""
    stretches = [stretch for each in tensors for stretch in _of_one(each)]
    by_bundle: dict[int, tuple[Bundle, list[Entry]]] = {}
    for each in stretches:
        if (bundle := each.bundle) is not None and each.place is not None:
            by_bundle.setdefault(id(bundle), (bundle, []))[1].append(each.place)
    for bundle, places in by_bundle.values():
        check_places(bundle, sorted(places, key=lambda place: (place.shard or 0, place.offset or 0)))
    return stretches


def _of_one(tensor: Outgoing) -> Iterator[Stretch]:
    if not tensor.is_plain or tensor.stored is None or not isinstance(tensor.store, Bundle):
        yield Stretch(tensor, None)
    elif not tensor.stored.slices:
        yield Stretch(tensor, tensor.stored)
    else:
        yield from _in_slices(tensor, tensor.stored, tensor.store)


def _in_slices(tensor: Outgoing, entry: Entry, bundle: Bundle) -> Iterator[Stretch]:
    """Iterate over the slices of a tensor if these follow one another in C order; else it is read."""
    try:
        partition = partition_of(entry.shape, entry.slices)
        needed = partition.needed(whole(entry.shape)).tolist()
    except CkptfmtError as error:  # they overlap, or leave a part uncovered
        raise error.at(bundle.files.tables[0], label=f"tensor {entry.name!r}") from None
    rest = whole(entry.shape)[1:]
    if not entry.shape or any(partition.region(number)[1:] != rest for number in needed):
        yield Stretch(tensor, None)
        return
    for number in sorted(needed, key=lambda each: partition.region(each)[0]):
        yield Stretch(tensor, bundle.index.find_slice(entry, entry.slices[number]))


def write_stretches(stretches: Sequence[Stretch], output: NewFile, writing: Writing) -> None:
    """Write stretches, from where the notes about the output say that an earlier conversion stopped.

    Raises what reading the tensors and writing the output raise.
    """
    number, done, crc = _last_note(writing.noted(output), stretches, output.name)
    # Bytes that are written already count as progress.
    writing.advance(sum(_nbytes(each) for each in stretches[:number]) + done)
    for run in _runs(stretches, number, done):
        number = _write_run(stretches[run.start : run.stop], run, output, writing, done, crc)
        done = crc = 0
        writing.note(output, [number, 0, 0])


def _last_note(notes: Sequence[object], stretches: Sequence[Stretch], file: str) -> tuple[int, int, int]:
    """Return where an earlier conversion stopped; CorruptError if a journal says what none has written."""
    note = notes[-1] if notes else [0, 0, 0]
    if isinstance(note, list) and len(note) == 3 and all(type(each) is int and each >= 0 for each in note):
        number, done, crc = note
        most = _nbytes(stretches[number]) if number < len(stretches) else 0
        if number <= len(stretches) and done <= most:
            return number, done, crc
    what = "notes of an earlier conversion: not about these tensors; remove the journal"
    raise CorruptError(what, file=file)


def _nbytes(stretch: Stretch) -> int:
    return stretch.tensor.nbytes if stretch.place is None else stretch.place.nbytes


def _runs(stretches: Sequence[Stretch], first: int, done: int) -> Iterator[range]:
    """Cut stretches into runs that are written at once: a single large one, or up to BATCH bytes."""
    start = first
    while start < len(stretches):
        bundle, size = stretches[start].bundle, _nbytes(stretches[start])
        stop = start + 1
        is_begun = start == first and done
        while (
            not is_begun
            and bundle is not None
            and stop < len(stretches)
            and stretches[stop].bundle is bundle
            and (size := size + _nbytes(stretches[stop])) <= BATCH
        ):
            stop += 1
        yield range(start, stop)
        start = stop


def _write_run(
    run: Sequence[Stretch], place: range, output: NewFile, writing: Writing, done: int, crc: int
) -> int:
    """Write a run, of whose first stretch some bytes are written; return the number of the next stretch."""
    tensor, entry = run[0]
    bundle = run[0].bundle

    def note(done: int, crc: int) -> None:
        writing.note(output, [place.start, done, crc])

    if bundle is None or entry is None:
        for piece in tensor.pieces(skip=done):
            output.write_all(encode_pieces(piece, tensor.dtype))
            done += piece.nbytes
            note(done, 0)
            writing.advance(piece.nbytes)
        tensor.release()
    elif len(run) == 1 and (done or entry.nbytes > BATCH):
        copy_large(bundle, entry, output, writing.advance, done=done, crc=crc, note=note)
    else:
        places = [each.place for each in run if each.place is not None]
        for _, several in groupby(places, key=lambda each: each.nbytes > BATCH):
            copy_pieces(bundle, list(several), output, writing.advance)
    return place.stop
