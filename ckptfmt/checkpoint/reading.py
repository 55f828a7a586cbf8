"""Reading one tensor: each piece that a selection meets is read once, and several are put together.

::

    stored whole, all or part of it wanted      the store's own array, a view of the file if possible
    in slices, the selection within one         the same for that slice
    in slices, the selection across several     a new array, filled slice by slice
"""

from __future__ import annotations

import numpy as np

from ckptfmt.arrays.array import Array, new_array, read_only
from ckptfmt.checkpoint.checks import Checks
from ckptfmt.checkpoint.entry import Entry
from ckptfmt.checkpoint.selection import Part, Selection
from ckptfmt.checkpoint.slices import TensorSlice, plan, whole
from ckptfmt.checkpoint.store import Store
from ckptfmt.errors import CorruptError


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

    ``threads`` is the number of threads that verify a large piece together; None leaves it to the store.
    """
    if not entry.slices:
        array = _read_piece(store, entry, None, checks, threads=threads)
        if out is not None:
            np.copyto(out, array)
            return out
        return array.copy() if copy else array
    is_own = copy or out is not None
    selection = Selection.of(whole(entry.shape))
    array = _assemble(store, entry, selection, checks, out=out, is_own=is_own, threads=threads)
    return array if is_own else read_only(array)


def read_selection(store: Store, entry: Entry, selection: Selection, checks: Checks) -> Array:
    """Return the selected part of a tensor; only the pieces that it meets are read.

    A checksum covers a whole piece, so it is verified only if all of the piece is selected.
    """
    if entry.slices:
        return _assemble(store, entry, selection, checks, is_own=False)
    part = selection.within(whole(entry.shape))
    if part is None:
        return new_array(selection.shape, entry.dtype)  # empty
    return _read_piece(store, entry, None, checks, part)


def is_verified(store: Store, entry: Entry, selection: Selection, checks: Checks) -> bool:
    """Return whether :func:`read_selection` verifies the checksums of everything that it reads."""
    if store.has_checked_values:
        return True
    if not checks.enabled or entry.dtype.itemsize is None:
        return checks.enabled  # finding an element of a string or variant piece takes reading all of it
    try:
        pieces = [part.region(entry.shape) for part in entry.slices] or [whole(entry.shape)]
    except CorruptError as error:
        raise _placed(error, store, entry) from None
    parts = [part for part in map(selection.within, pieces) if part is not None]
    return bool(parts) and all(part.is_whole for part in parts)


def _assemble(
    store: Store,
    entry: Entry,
    selection: Selection,
    checks: Checks,
    *,
    is_own: bool,
    out: Array | None = None,
    threads: int | None = None,
) -> Array:
    """Put the selected part of a tensor in slices together.

    A part within one slice is returned as the store gives it, unless the caller needs an array of their own
    (``is_own``). Memory for the whole is allocated only after all pieces have been read, so that a shape
    claimed by a damaged index costs nothing. Raises CorruptError if slices overlap or leave part of the
    selection uncovered.
    """
    parts: list[tuple[Part, Array]] = []
    try:
        for piece, region in plan(entry.shape, entry.slices, selection.region):
            part = selection.within(region)
            if part is not None:
                parts.append((part, _read_piece(store, entry, piece, checks, part, threads=threads)))
    except CorruptError as error:
        raise _placed(error, store, entry) from None
    if len(parts) == 1 and not is_own and parts[0][1].shape == selection.shape:
        return parts[0][1]
    array = new_array(selection.shape, entry.dtype) if out is None else out
    for part, values in parts:
        array[part.target] = values
    return array


def _read_piece(
    store: Store,
    entry: Entry,
    piece: TensorSlice | None,
    checks: Checks,
    part: Part | None = None,
    *,
    threads: int | None = None,
) -> Array:
    """Read one piece, or part of it; its checksum is verified if all of it is read and that is still due."""
    at = None if part is None or part.is_whole else part.source
    mark = entry.name if piece is None else (entry.name, piece)
    verify = (at is None or entry.dtype.itemsize is None) and checks.is_due(mark)
    array = store.read_piece(entry, piece, verify=verify, at=at, threads=threads)
    if verify:
        checks.done((mark,))
    return array


def _placed(error: CorruptError, store: Store, entry: Entry) -> CorruptError:
    """Place an error about slices at the tensor and the file that lists it; name missing files of V1."""
    if error.file is not None:
        return error
    if store.files.missing:
        error.what += f"; missing: {', '.join(store.files.missing)}"
    return error.at(store.files.tables[0], label=f"tensor {entry.name!r}")
