"""The index of ``--slice``: ``0:4,:`` as in NumPy's brackets, parsed without being executed."""

from __future__ import annotations

import re
from types import EllipsisType
from typing import TypeAlias

Index: TypeAlias = "tuple[int | slice | EllipsisType, ...]"

_NUMBER = re.compile(r"[+-]?[0-9]{1,19}")
"""As many digits as a 64-bit integer has."""


def parse_index(text: str) -> Index:
    """Return the index that a text describes: integers, slices and an ellipsis, separated by commas.

    Raises ValueError if the text is not an index.
    """
    inner = text.strip()
    if inner.startswith("[") and inner.endswith("]"):
        inner = inner[1:-1]
    if not inner.strip():
        raise ValueError("the slice is empty; pass, for example, 0:4,: or ...")
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


def index_text(index: Index) -> str:
    """Return an index as its shortest text, in brackets: ``[0:4,:]``."""
    return f"[{','.join(map(_item_text, index))}]"


def _item_text(item: int | slice | EllipsisType) -> str:
    if not isinstance(item, slice):
        return "..." if item is Ellipsis else f"{item}"
    start, stop, step = ("" if part is None else f"{part}" for part in (item.start, item.stop, item.step))
    return f"{start}:{stop}:{step}" if step else f"{start}:{stop}"
