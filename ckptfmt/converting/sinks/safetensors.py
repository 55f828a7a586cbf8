"""safetensors, written: a header of all names and places, then the bytes of all tensors.

::

    offset 0    the header's size in bytes, uint64
    8           the header, JSON padded with spaces to a multiple of 8: name -> dtype, shape, data_offsets
    8 + size    the bytes of all tensors, without gaps, little-endian, in C order

The package ``safetensors`` takes all tensors in memory at once. Sizes are known beforehand, so the header can
be written first and the tensors streamed after it. They are in the order in which the package writes them, by
the size of an element, the largest first, then by name: so each is aligned.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence

from ckptfmt.arrays.raw import encode_pieces
from ckptfmt.converting.sinks.outgoing import Outgoing
from ckptfmt.converting.sinks.sink import Writing
from ckptfmt.converting.sources.safetensors_header import CODES, METADATA


class SafetensorsSink:
    """Writes safetensors files; a :class:`~ckptfmt.converting.sinks.sink.Sink`."""

    format = "safetensors"

    def problem(self, tensor: Outgoing) -> str | None:
        """Return why the format cannot hold a tensor."""
        return None if tensor.dtype.name in CODES else f"no dtype {tensor.dtype.name}"

    def write(self, tensors: Sequence[Outgoing], writing: Writing) -> list[str]:
        """Write one file."""
        ordered = sorted(tensors, key=lambda each: (-(each.dtype.itemsize or 0), each.name))
        with writing.create() as output:
            output.write(_header(ordered, {"format": "pt", **writing.metadata}))
            for tensor in ordered:
                for piece in tensor.pieces():
                    output.write_all(encode_pieces(piece, tensor.dtype))
                    writing.advance(piece.nbytes)
                tensor.release()
        return [writing.path]


def _header(tensors: Sequence[Outgoing], metadata: dict[str, str]) -> bytes:
    members: dict[str, object] = {METADATA: metadata}
    offset = 0
    for tensor in tensors:
        end = offset + tensor.nbytes
        members[tensor.name] = {
            "dtype": CODES[tensor.dtype.name],
            "shape": list(tensor.shape),
            "data_offsets": [offset, end],
        }
        offset = end
    text = json.dumps(members, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text
