"""Reading one tensor: each piece that a selection touches is read once, and several are put together.

::

    stored whole, all or part of it wanted      the store's own array, a view of the file if possible
    in slices, the selection within one         the same, of that slice
    in slices, the selection across several     a new array, filled slice by slice
    in many slices, all of it wanted            a new array, filled by runs of slices (assembly.py)
"""

from __future__ import annotations

import numpy as np

from ckptfmt import checkpoint
from ckptfmt.arrays.array import Array, new_array, read_only
from ckptfmt.checkpoint.assembly import MANY, assemble
from ckptfmt.checkpoint.checks import Checks
from ckptfmt.checkpoint.entry import Entry
from ckptfmt.checkpoint.partition import Partition, partition_of
from ckptfmt.checkpoint.selection import Part, Selection
from ckptfmt.checkpoint.slices import TensorSlice, whole
from ckptfmt.checkpoint.slot_parts import is_partial
from ckptfmt.checkpoint.store import Store
from ckptfmt.errors import CkptfmtError, CorruptError
from ckptfmt.wire.threads import default_threads

SHARED = 4 << 20
"""The fewest bytes for which a tensor in many slices is read by several threads."""


def read_tensor(
    store: Store,
    entry: Entry,
    checks: Checks,
    *,
    copy: bool = False,
    out: Array | None = None,
    threads: int | None = None,
) -> Array:
    """Return a whole tensor: in ``out``, as a writable copy, or read-only and a view if possible.

    ``threads`` is how many share the work of verifying a large piece; None leaves it to the store.
    """
    if entry.slices:
        own = copy or out is not None
        selection = Selection.of(whole(entry.shape))
        array = _assemble(store, entry, selection, checks, out=out, own=own, threads=threads)
        return array if own else read_only(array)
    # As in _read_piece, without the call: nearly every tensor is read here.
    verify = checks.is_due(entry.name)
    array = store.read_piece(entry, None, verify=verify, threads=threads)
    if verify:
        checks.done(entry.name)
    if out is not None:
        np.copyto(out, array)
        return out
    return array.copy() if copy else array


def read_selection(store: Store, entry: Entry, selection: Selection, checks: Checks) -> Array:
    """Return what a selection takes of a tensor, read-only; only the pieces that it touches are read.

    A checksum covers a whole piece, so it is verified only if all of the piece is taken.
    """
    if entry.slices:
        return read_only(_assemble(store, entry, selection, checks, own=False))
    part = selection.within(whole(entry.shape))
    if part is None:  # without elements
        try:
            return read_only(new_array(selection.shape, entry.dtype))
        except CkptfmtError as error:
            raise _of_tensor(error, store, entry) from None
    return _read_piece(store, entry, None, part, checks)


def is_verified(store: Store, entry: Entry, selection: Selection, checks: Checks) -> bool:
    """Return whether :func:`read_selection` verifies the checksums of everything that it reads."""
    if store.has_checked_values:
        return True
    if not checks.enabled or entry.dtype.itemsize is None:
        return checks.enabled  # all of a string or variant piece is read to find any of its elements
    try:
        pieces = [part.region(entry.shape) for part in entry.slices] or [whole(entry.shape)]
    except CorruptError as error:
        raise _of_tensor(error, store, entry) from None
    parts = [part for part in map(selection.within, pieces) if part is not None]
    return bool(parts) and all(part.is_whole for part in parts)


def _assemble(
    store: Store,
    entry: Entry,
    selection: Selection,
    checks: Checks,
    *,
    own: bool,
    out: Array | None = None,
    threads: int | None = None,
) -> Array:
    """Put together what a selection takes of a tensor stored in slices.

    What is within one slice is returned as the store gives it, unless the array is to be the caller's
    ``own``. Memory for the whole is allocated after all pieces have been read, so that a shape that a damaged
    index claims costs nothing. Raises CorruptError if slices overlap or leave part of the selection
    uncovered.
    """
    try:
        partition = partition_of(entry.shape, entry.slices)
        needed = partition.needed(selection.region)
    except CkptfmtError as error:
        raise _of_tensor(error, store, entry) from None
    if len(needed) >= MANY:
        if selection.shape == entry.shape and all(isinstance(each, range) for each in selection.positions):
            array = _assemble_all(store, entry, partition, checks, out=out, threads=threads)
            if array is not None:
                return array
        needed = selection.touched(needed, partition.starts, partition.stops)
    parts: list[tuple[Part, Array]] = []
    for number in needed.tolist():
        piece = entry.slices[number]
        part = selection.within(partition.region(number))
        if part is not None:
            parts.append((part, _read_piece(store, entry, piece, part, checks, threads=threads)))
    # One slice holds all of the selection: no memory is needed.
    if len(parts) == 1 and not own and parts[0][1].shape == selection.shape:
        return parts[0][1]
    try:
        array = new_array(selection.shape, entry.dtype) if out is None else out
    except CkptfmtError as error:
        raise _of_tensor(error, store, entry) from None
    # The array is uninitialised. needed() has made sure that the parts fill all of it and do not overlap.
    for part, values in parts:
        array[part.target] = values
    return array


def _assemble_all(
    store: Store,
    entry: Entry,
    partition: Partition,
    checks: Checks,
    *,
    out: Array | None,
    threads: int | None,
) -> Array | None:
    """Return all of a tensor in many slices; None if these have to be read one by one, perhaps to raise."""
    sizes = (partition.stops - partition.starts).tolist()
    places = store.locate_slices(entry, list(map(tuple, sizes)))
    if places is None:
        return None
    try:
        array = new_array(entry.shape, entry.dtype) if out is None else out
    except CkptfmtError as error:
        raise _of_tensor(error, store, entry) from None
    verify = checks.is_due(entry.name)
    if threads is None:
        threads = default_threads() if entry.nbytes >= SHARED else 1
    damaged = assemble(array, partition, places, verify=verify, threads=threads)
    if damaged is not None:
        # Read again by itself, it raises.
        store.read_piece(entry, entry.slices[damaged], verify=True)
        return None
    if verify:
        checks.done(entry.name)
    return array


def _read_piece(
    store: Store,
    entry: Entry,
    piece: TensorSlice | None,
    part: Part,
    checks: Checks,
    *,
    threads: int | None = None,
) -> Array:
    """Read part of one piece; its checksum is verified if it is due and all of the piece has to be read."""
    at = None if part.is_whole else part.source
    mark = entry.name if piece is None else (entry.name, piece)
    # Of strings and variants all of the piece is read, whatever part of it is taken.
    verify = (
        (at is None or entry.dtype.itemsize is None) and checks.is_due(mark) and checks.is_due(entry.name)
    )
    array = store.read_piece(entry, piece, verify=verify, at=at, threads=threads)
    if verify:
        checks.done(mark)
    return array


def _of_tensor(error: CkptfmtError, store: Store, entry: Entry) -> CkptfmtError:
    """Name the tensor that an error is about, the file that lists it, and files that may hold the rest."""
    # Elements that no slice covers may be in one of these files.
    if isinstance(error, CorruptError):
        missing = store.files.missing
        error.what += (
            f"; missing: {', '.join(missing)}"
            if missing
            else checkpoint.siblings_holding(entry, store.files, store.fs)
        )
    slot = store.index.slots.slot_of(entry.name) if is_partial(entry) else None
    if slot is not None:
        error.what = f"a part of the slot {slot!r}: {error.what}"
    return error.at(store.files.tables[0], label=f"tensor {entry.name!r}")
