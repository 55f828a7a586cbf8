"""Examples, encoded by hand."""

from __future__ import annotations

import numpy as np

from ckptfmt.wire.coding import encode_varint


def delimited(number: int, content: bytes) -> bytes:
    return encode_varint(number << 3 | 2) + encode_varint(len(content)) + content


def entry(name: str, feature: bytes) -> bytes:
    return delimited(1, delimited(1, name.encode()) + delimited(2, feature))


def integers(*values: int) -> bytes:
    packed = b"".join(encode_varint(value % (1 << 64)) for value in values)
    return delimited(3, delimited(1, packed))


def strings(*values: bytes) -> bytes:
    return delimited(1, b"".join(delimited(1, value) for value in values))


def floats(*values: float) -> bytes:
    return delimited(2, delimited(1, np.array(values, "<f4").tobytes()))


def example(**features: bytes) -> bytes:
    return delimited(1, b"".join(entry(name, feature) for name, feature in features.items()))
