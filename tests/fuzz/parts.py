"""Several files in one input: each with its length before it, as a uint32."""

from __future__ import annotations

from collections.abc import Iterable


def join(parts: Iterable[bytes]) -> bytes:
    """Return the input that consists of these files."""
    return b"".join(len(part).to_bytes(4, "little") + part for part in parts)


def split(data: bytes) -> list[bytes]:
    """Return the files of an input; any bytes are an input, and the last file may be cut."""
    parts = []
    while data:
        size = int.from_bytes(data[:4], "little")
        parts.append(data[4 : 4 + size])
        data = data[4 + size :]
    return parts
