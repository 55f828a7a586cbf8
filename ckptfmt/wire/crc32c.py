"""CRC-32C (Castagnoli) as TensorFlow stores it: masked.

A CRC of bytes that themselves hold CRCs is weak, so LevelDB and TensorFlow rotate it and add a constant
before storing it::

    masked = rotr32(crc, 15) + 0xa282ead8   (mod 2^32)
"""

from __future__ import annotations

from crc32c import crc32c as crc32c

_MASK_DELTA = 0xA282EAD8


def mask(crc: int) -> int:
    """Return the stored form of a CRC-32C."""
    return (((crc >> 15) | (crc << 17)) + _MASK_DELTA) & 0xFFFFFFFF


def unmask(masked: int) -> int:
    """Return the CRC-32C of a stored form; the inverse of :func:`mask`."""
    rotated = (masked - _MASK_DELTA) & 0xFFFFFFFF
    return ((rotated >> 17) | (rotated << 15)) & 0xFFFFFFFF
