"""The index of ``--slice``: ``0:4,:`` as in NumPy's brackets, parsed without being executed."""

from __future__ import annotations

import re
from collections.abc import Sequence
from types import EllipsisType
from typing import TypeAlias

from ckptfmt import Entry

Index: TypeAlias = "tuple[int | slice | EllipsisType, ...]"
_Region: TypeAlias = "tuple[tuple[int, int], ...]"

_NUMBER = re.compile(r"[+-]?[0-9]{1,19}")


def parse_index(text: str) -> Index:
    """Return the index that a text means: integers, slices and an ellipsis, separated by commas.

    Raises
    ------
    ValueError
        It means none.
    """
    inner = text.strip()
    if inner.startswith("[") and inner.endswith("]"):
        inner = inner[1:-1]
    if not inner.strip():
        raise ValueError("the slice is empty; write for example 0:4,: or ...")
    return tuple(_parse_item(item.strip(), text) for item in inner.removesuffix(",").split(","))


def _parse_item(item: str, text: str) -> int | slice | EllipsisType:
    if item == "...":
        return Ellipsis
    parts = [part.strip() for part in item.split(":")]
    if len(parts) > 3 or not all(_NUMBER.fullmatch(part) or (len(parts) > 1 and not part) for part in parts):
        raise ValueError(f"{item!r} in {text!r} is neither a number, a range like 0:4 or ::2, nor ...")
    if len(parts) == 1:
        return int(item)
    start, stop, step = [int(part) if part else None for part in (*parts, "")[:3]]
    if step == 0:
        raise ValueError(f"{item!r} in {text!r}: the step is zero")
    return slice(start, stop, step)


def takes_whole_pieces(index: Index, entry: Entry) -> bool:
    """Whether a valid index takes all of every stored piece that it touches, so that checksums are verified.

    A checksum covers a piece as a whole: the tensor, or one of the slices it is stored in. What counts is the
    box around the positions taken, for that is what is read.
    """
    shape = entry.shape
    box = _box(index, shape)
    full = tuple((0, size) for size in shape)
    if box == full:
        return True
    if not entry.slices or any(start == stop for start, stop in box):
        return False
    shared = [(_intersect(box, piece), piece) for piece in (part.region(shape) for part in entry.slices)]
    return all(part == piece for part, piece in shared if all(start < stop for start, stop in part))


def _box(index: Index, shape: Sequence[int]) -> _Region:
    """Start and stop, for each dimension, of the least box that holds the positions taken."""
    items = list(index) if Ellipsis in index else [*index, Ellipsis]
    at = items.index(Ellipsis)
    items[at : at + 1] = [slice(None)] * (len(shape) - len(items) + 1)
    box = []
    for item, size in zip(items, shape, strict=True):
        positions = range(*item.indices(size)) if isinstance(item, slice) else (int(item) % size,)  # type: ignore[arg-type]
        ends = (positions[0], positions[-1]) if positions else (0, -1)
        box.append((min(ends), max(ends) + 1) if positions else (0, 0))
    return tuple(box)


def _intersect(a: _Region, b: _Region) -> _Region:
    return tuple((max(p, r), min(q, s)) for (p, q), (r, s) in zip(a, b, strict=True))
