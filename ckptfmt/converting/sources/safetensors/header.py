"""The header of a safetensors file: names, dtypes and shapes, without the tensors.

::

    offset 0    the header's size in bytes, uint64
    8           the header, a JSON object padded with spaces: name -> dtype, shape, data_offsets
    8 + size    the bytes of all tensors, without gaps; data_offsets count from here

The package ``safetensors`` reads a header only of a local file that it maps itself, or of all the bytes of a
file in memory. Here the header alone is read, from any file system.

Source: https://github.com/huggingface/safetensors, section "Format" of its README, and
``safetensors/src/tensor.rs``.
"""

from __future__ import annotations

import json
import math
import struct
from typing import Any, NamedTuple

from ckptfmt.arrays.shape import MAX_RANK, Shape
from ckptfmt.converting.sources.source import UNREADABLE
from ckptfmt.dtypes import DType, as_dtype
from ckptfmt.errors import CkptfmtError, CorruptError, UnsupportedError
from ckptfmt.storage.file import RandomAccessFile
from ckptfmt.text.quoting import shortened

_SIZE = struct.Struct("<Q")

MAX_HEADER_SIZE = 100_000_000
"""Bytes of the largest header that the package ``safetensors`` reads."""

METADATA = "__metadata__"
"""The one key of a header that is not a tensor."""

_DTYPES = {
    "BOOL": "bool",
    "U8": "uint8",
    "I8": "int8",
    "U16": "uint16",
    "I16": "int16",
    "U32": "uint32",
    "I32": "int32",
    "U64": "uint64",
    "I64": "int64",
    "F16": "float16",
    "BF16": "bfloat16",
    "F32": "float32",
    "F64": "float64",
    "C64": "complex64",
    "F8_E4M3": "float8_e4m3fn",
    "F8_E5M2": "float8_e5m2",
}
"""TensorFlow's name for each dtype of safetensors."""

_OTHER_BITS = {
    "F4": 4,
    "F6_E2M3": 6,
    "F6_E3M2": 6,
    "F8_E8M0": 8,
    "F8_E4M3FNUZ": 8,
    "F8_E5M2FNUZ": 8,
}
"""Bits of an element of each dtype of safetensors that is not read."""

CODES = {name: code for code, name in _DTYPES.items()}
"""The dtype of safetensors for each name of TensorFlow's."""


class Extent(NamedTuple):
    """What a header says about one tensor."""

    dtype: DType
    shape: Shape
    start: int
    """Offset of its bytes after the header."""
    stop: int
    """Offset of the end of its bytes."""
    refused: str = ""
    """Why it is not read; empty if it is."""


class Header(NamedTuple):
    """The header of one file."""

    tensors: dict[str, Extent]
    """The tensors, in the order of the header."""
    metadata: dict[str, str]
    """What the writer says about the file."""
    start: int
    """Offset in the file of the bytes of all tensors."""


def read_safetensors_header(file: RandomAccessFile) -> Header:
    """Return the header of an open safetensors file.

    Raises
    ------
    CorruptError
        The file is not a safetensors file, or its header contradicts itself or the size of the file.
    UnsupportedError
        A tensor has more dimensions than TensorFlow allows.
    """
    try:
        rest = file.size - _SIZE.size
        if rest < 0:
            raise CorruptError(f"got {file.size} bytes, want at least {_SIZE.size}")
        (size,) = _SIZE.unpack(file.read(0, _SIZE.size))
        limit = min(MAX_HEADER_SIZE, rest)
        if size > limit:
            raise CorruptError(f"size of the header: got {size} bytes, want at most {limit}")
        tensors, metadata = decode_safetensors_header(bytes(file.read(_SIZE.size, size)), rest - size)
        return Header(tensors, metadata, _SIZE.size + size)
    except UnsupportedError as error:
        raise error.at(file.name) from None
    except CkptfmtError as error:
        raise error.at(file.name, label="not a safetensors file") from None


def decode_safetensors_header(header: bytes, data_size: int) -> tuple[dict[str, Extent], dict[str, str]]:
    """Return the tensors and the metadata of a header that ``data_size`` bytes of tensors follow."""
    try:
        # As text: from bytes, Python would take UTF-16 and a byte order mark too.
        members = json.loads(
            header.decode(), object_pairs_hook=_without_duplicates, parse_constant=_no_constant
        )
        if b"\\ud" in header.lower():
            json.dumps(members, ensure_ascii=False).encode()  # half a surrogate pair is not a character
    except CorruptError:
        raise
    except RecursionError:
        raise CorruptError("header: JSON nested too deeply") from None
    except ValueError as error:  # not JSON, not UTF-8, or a number with too many digits
        raise CorruptError(f"header: not JSON: {error}") from None
    if not isinstance(members, dict):
        raise CorruptError(f"header: got {type(members).__name__}, want an object")
    metadata = members.get(METADATA)
    if metadata is not None and not _are_strings(metadata):
        raise CorruptError(f"header: {METADATA}: want an object of strings")
    tensors = {name: _decode_tensor(name, member) for name, member in members.items() if name != METADATA}
    # As the package demands, the tensors cover all bytes, one after another: none shares the bytes of
    # another, and nothing is hidden between them.
    end = 0
    for name, tensor in sorted(tensors.items(), key=lambda each: each[1][2:4]):
        if tensor.start != end:
            raise CorruptError(f"tensor {name!r}: begins at {tensor.start}, want {end}")
        end = tensor.stop
    if end != data_size:
        raise CorruptError(f"bytes of all tensors: got {data_size}, want {end}")
    return tensors, metadata or {}


def _decode_tensor(name: str, member: Any) -> Extent:  # noqa: ANN401  (whatever JSON holds)
    what = f"tensor {name!r}"
    if not isinstance(member, dict):
        raise CorruptError(f"{what}: got {type(member).__name__}, want an object")
    code = member.get("dtype")
    shape, offsets = (_decode_numbers(f"{what}: {key}", member.get(key)) for key in ("shape", "data_offsets"))
    if len(offsets) != 2:
        raise CorruptError(f"{what}: data_offsets: got {len(offsets)} numbers, want 2")
    if not isinstance(code, str):
        raise CorruptError(f"{what}: dtype: got {type(code).__name__}, want a string")
    if len(shape) > MAX_RANK:
        raise UnsupportedError(f"{what}: TensorFlow has no shape of {len(shape)} dimensions")
    start, stop = offsets
    if code not in _DTYPES:
        _check_other(what, code, shape, stop - start)
        return Extent(UNREADABLE, shape, start, stop, f"dtype {shortened(code)} is not read")
    dtype = as_dtype(_DTYPES[code])
    size = math.prod(shape) * dtype.numpy.itemsize
    if stop - start != size:
        raise CorruptError(f"{what}: got {stop - start} bytes, want {size} for {dtype.name}{list(shape)}")
    return Extent(dtype, shape, start, stop)


def _check_other(what: str, code: str, shape: Shape, size: int) -> None:
    """Raise CorruptError for a tensor that is not read if its size cannot be that of its dtype and shape."""
    bits = _OTHER_BITS.get(code)
    if size < 0 or (bits is not None and size * 8 != math.prod(shape) * bits):
        raise CorruptError(f"{what}: got {size} bytes for {shortened(code)}{list(shape)}")


def _decode_numbers(what: str, values: Any) -> tuple[int, ...]:  # noqa: ANN401  (whatever JSON holds)
    # By exact type: True is an int in Python, and 1.0 is not an offset. The bound keeps products small.
    if not isinstance(values, list) or any(
        type(value) is not int or not 0 <= value < 1 << 63 for value in values
    ):
        raise CorruptError(f"{what}: want a list of numbers from 0 to 2**63 - 1")
    return tuple(values)


def _are_strings(metadata: Any) -> bool:  # noqa: ANN401  (whatever JSON holds)
    return isinstance(metadata, dict) and all(isinstance(text, str) for text in metadata.values())


def _no_constant(name: str) -> None:
    """Refuse NaN and the infinities, which Python reads although JSON does not have them."""
    raise ValueError(f"unknown word {name}")


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return the members of an object; CorruptError if two have the same name, since readers would differ."""
    members = dict(pairs)
    if len(members) != len(pairs):
        raise CorruptError("header: several members of an object have the same name")
    return members
