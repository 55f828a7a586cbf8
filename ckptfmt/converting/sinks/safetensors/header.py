"""The header of a safetensors file that is written, and how its tensors are ordered.

::

    offset 0    the header's size in bytes, uint64
    8           the header, JSON padded with spaces to a multiple of 8: name -> dtype, shape, data_offsets
    8 + size    the bytes of all tensors, without gaps, little-endian, in C order

The order is that in which the package ``safetensors`` writes them, so that files are the same byte by byte:
by dtype, those of large elements first, then by name. Each tensor is aligned then.

Source: ``safetensors/src/tensor.rs``, ``prepare`` and ``Dtype``.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable, Mapping, Sequence

from ckptfmt.converting.sinks.outgoing import Outgoing
from ckptfmt.converting.sources.safetensors.header import CODES, MAX_HEADER_SIZE, METADATA
from ckptfmt.errors import LimitError

MOST_IN_HUB = 25_000_000
"""Bytes of the largest header that the Hugging Face Hub reads, to show what is in a file."""

_ORDER = (
    *("U64", "I64", "F64", "C64", "F32", "U32", "I32", "BF16", "F16", "U16", "I16"),
    *("F8_E4M3", "F8_E5M2", "I8", "U8", "BOOL"),
)
_RANKS = {code: rank for rank, code in enumerate(_ORDER)}


def in_order(tensors: Iterable[Outgoing]) -> list[Outgoing]:
    """Return tensors in the order of the file."""
    return sorted(tensors, key=lambda each: (_RANKS[CODES[each.dtype.name]], each.name))


def encode_header(tensors: Sequence[Outgoing], metadata: Mapping[str, str], file: str) -> bytes:
    """Return the header of a file with these tensors, in its order.

    Raises LimitError if readers would refuse it.
    """
    members: dict[str, object] = {METADATA: dict(metadata)}
    offset = 0
    for tensor in tensors:
        end = offset + tensor.nbytes
        members[tensor.name] = {
            "dtype": CODES[tensor.dtype.name],
            "shape": tensor.shape,
            "data_offsets": (offset, end),
        }
        offset = end
    text = json.dumps(members, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    if len(text) > MAX_HEADER_SIZE:
        raise LimitError(
            f"{len(tensors):,} tensors in one file (pass max_shard_bytes for several): bytes of the header",
            limit=MAX_HEADER_SIZE,
            asked=len(text),
            file=file,
        )
    return struct.pack("<Q", len(text)) + text
