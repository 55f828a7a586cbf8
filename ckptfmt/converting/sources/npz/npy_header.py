r"""The header of an array that NumPy saved: its dtype, shape and order.

::

    offset 0    \x93NUMPY, the version in two bytes
    8           the size of the text, uint16; from version 2 on uint32
    10 or 12    {'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }, padded with spaces

NumPy evaluates the text as Python. Here it is matched as what it is, three keys, so that its size bounds the
work. Source: ``numpy/lib/_format_impl.py``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

from ckptfmt.arrays.shape import MAX_RANK, Shape
from ckptfmt.dtypes import BY_NAME, DType, Storage, as_dtype
from ckptfmt.errors import CorruptError, TruncatedError, UnsupportedError
from ckptfmt.wire.coding import Buffer

MAGIC = b"\x93NUMPY"

MAX_TEXT_SIZE = 1 << 16
"""Bytes of the longest text that is read. Only arrays of records have one longer than a few hundred bytes."""

_REMEMBERED_SIZE = 256
"""Bytes of a text up to which it is parsed once."""

_TEXT = r"""'[^'\\]*'|"[^"\\]*\""""
_ENTRY = re.compile(
    rf"""(?a)\s*(?P<key>{_TEXT})\s*:\s*(?:(?P<text>{_TEXT})|(?P<flag>True|False)"""
    r"""|\((?P<sizes>[\d,L\s]*)\)|(?P<fields>[\[(]))\s*(?P<comma>,?)"""
)
_OPEN = re.compile(r"(?a)\s*\{")
_SIZES = re.compile(r"(?a)\s*(?:\d{1,20}L?\s*(?:,\s*|\Z))*")
"""Sizes with commas; Python 2 marked long ones. A size ends where a comma or the text does, so no two ways of
reading it have to be tried."""
_DESCRIPTION = re.compile(r"(?a)([<>|=]?)([?a-zA-Z])(\d{0,18})((?:\[.*)?)")

_NAMES = {
    ("b", 1): "bool",
    **{("i", size): f"int{8 * size}" for size in (1, 2, 4, 8)},
    **{("u", size): f"uint{8 * size}" for size in (1, 2, 4, 8)},
    **{("f", size): f"float{8 * size}" for size in (2, 4, 8)},
    **{("c", size): f"complex{8 * size}" for size in (8, 16)},
}
"""TensorFlow's name for each kind and size of NumPy's."""

NPY_DTYPES = frozenset(_NAMES.values())
"""Names of the dtypes that NumPy stores as what they are. Of ml_dtypes it stores some as bytes."""

_WHY_NOT = {
    "O": "it is a pickle, and loading one runs code",
    "V": "NumPy stores bfloat16, float8 and int4 as bytes without a dtype; save them as another dtype, or "
    "in another format",
    "m": "TensorFlow has no dtype of times",
    "M": "TensorFlow has no dtype of times",
}
"""Why arrays of a kind are not read."""


class NpyHeader(NamedTuple):
    """What is known of an array before its elements."""

    dtype: DType
    """Its dtype; one that cannot be stored if ``refused`` says why it is not read."""
    shape: Shape
    is_fortran: bool
    """Whether the first dimension varies fastest."""
    is_big_endian: bool
    itemsize: int
    """Stored bytes of an element."""
    text: str
    """For strings, NumPy's kind: ``"S"`` of bytes, ``"U"`` of characters of four bytes; else empty."""
    refused: str
    """Why it is not read; else empty."""
    start: int
    """Offset of the elements."""

    @property
    def nbytes(self) -> int:
        """Bytes of all elements."""
        return self.itemsize * math.prod(self.shape)


def read_npy_header(read: Callable[[int, int], Buffer], size: int) -> NpyHeader | None:
    """Return the header at the beginning of ``size`` bytes, of which ``read`` returns those from a to b.

    Returns None if these bytes are not an array of NumPy's. Raises CorruptError if the header is damaged,
    UnsupportedError if its version is unknown, with offsets from the beginning of these bytes.
    """
    head = bytes(read(0, min(size, 10)))
    if not head.startswith(MAGIC):
        return None
    if len(head) < 10:
        raise TruncatedError("header of an array", wanted=10, available=len(head), offset=0)
    version, minor = head[6], head[7]
    if not 1 <= version <= 3 or minor:
        raise UnsupportedError(f"array of format version {version}.{minor}, want 1.0 to 3.0", offset=6)
    if version > 1:
        head += bytes(read(10, min(size, 12)))
    start, length = len(head), int.from_bytes(head[8:], "little")
    if start + length > size:
        raise TruncatedError("header of an array", wanted=length, available=size - start, offset=start)
    text = bytes(read(start, start + min(length, MAX_TEXT_SIZE)))
    parse = _parse_once if length <= _REMEMBERED_SIZE else _parse
    header = parse(text.decode("utf-8" if version == 3 else "latin-1", "replace"), start + length)
    if length > MAX_TEXT_SIZE and not header.refused:
        raise CorruptError(f"header of an array: got {length} bytes, want at most {MAX_TEXT_SIZE}", offset=8)
    if not header.refused and header.nbytes != size - start - length:
        raise CorruptError(
            f"array of shape {list(header.shape)}: got {size - start - length} bytes, want {header.nbytes}",
            offset=start,
        )
    if len(text) < length:
        read(start + len(text), start + length)  # for the checksum
    return header


# An archive repeats a few shapes in thousands of arrays.
@lru_cache(maxsize=1024)
def _parse_once(text: str, start: int) -> NpyHeader:
    return _parse(text, start)


def _parse(text: str, start: int) -> NpyHeader:
    entries: dict[str, re.Match[str]] = {}
    begin = _OPEN.match(text)
    pos = -1 if begin is None else begin.end()
    while pos >= 0 and (entry := _ENTRY.match(text, pos)) is not None:
        entries[entry["key"][1:-1]] = entry
        if entry["fields"]:
            return _refused("a structure of fields", "TensorFlow has no such dtype", start)
        pos = entry.end()
        if not entry["comma"]:
            break
    keys = ("descr", "fortran_order", "shape")
    if pos < 0 or text[pos:].strip(" \t\r\n") != "}" or entries.keys() != set(keys):
        raise CorruptError("header of an array: want descr, fortran_order and shape", offset=8)
    described, order, sizes = (entries[key] for key in keys)
    if described["text"] is None or order["flag"] is None or sizes["sizes"] is None:
        raise CorruptError("header of an array: want a dtype, a truth value and a shape", offset=8)
    if not _SIZES.fullmatch(sizes["sizes"]):
        raise CorruptError(f"header of an array: got the shape ({sizes['sizes'][:100]})", offset=8)
    shape = tuple(int(each) for each in re.findall(r"\d+", sizes["sizes"]))
    description = described["text"][1:-1]
    if len(shape) > MAX_RANK:
        return _refused(description, f"TensorFlow has no shape of {len(shape)} dimensions", start)
    known = _DESCRIPTION.fullmatch(description)
    if known is None:
        raise CorruptError(f"header of an array: got the dtype {description[:100]!r}", offset=8)
    byte_order, kind, digits, _ = known.groups()
    kind = {"?": "b", "a": "S"}.get(kind, kind)
    size = int(digits or (1 if kind == "b" else 0))
    if kind in "SU":
        dtype, text_kind, itemsize = BY_NAME["string"], kind, size * (4 if kind == "U" else 1)
    elif (kind, size) in _NAMES and not known[4]:
        dtype, text_kind, itemsize = as_dtype(_NAMES[kind, size]), "", size
    else:
        return _refused(description, _WHY_NOT.get(kind, "TensorFlow has no such dtype"), start, shape)
    return NpyHeader(dtype, shape, order["flag"] == "True", byte_order == ">", itemsize, text_kind, "", start)


def _refused(description: str, why: str, start: int, shape: Shape = ()) -> NpyHeader:
    dtype = DType(0, description, "object", Storage.NONE)
    what = f"array of dtype {description}: {why}"
    return NpyHeader(dtype, shape, False, False, 0, "", what, start)
