"""CRC-32C (Castagnoli) as TensorFlow stores it: masked; and CRCs of pieces put together.

A CRC of bytes that themselves hold CRCs is weak, so LevelDB and TensorFlow rotate it and add a constant
before storing it::

    masked = rotr32(crc, 15) + 0xa282ead8   (mod 2^32)

A CRC is the remainder of a polynomial over GF(2), so that of two pieces follows from theirs::

    crc(A + B) = crc(A) · x^(8 · len(B)) + crc(B)   (mod P)

and a large buffer can be cut into pieces that several threads work on. Source of the arithmetic: zlib
``crc32.c``, ``crc32_combine`` by Mark Adler, there for another polynomial.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache, lru_cache

from crc32c import crc32c as crc32c

from ckptfmt.wire.threads import PIECE, cut, default_threads, in_threads

_MASK_DELTA = 0xA282EAD8

# Polynomials here have the coefficient of x^0 in bit 31, that of x^31 in bit 0, as the CRC has them.
_POLYNOMIAL = 0x82F63B78
_ONE = 1 << 31
_X = 1 << 30

_ORDER = 2**31 - 1
"""x^_ORDER = 1 (mod P): P is x + 1 times a primitive polynomial of degree 31."""


def mask(crc: int) -> int:
    """Return the stored form of a CRC-32C."""
    return (((crc >> 15) | (crc << 17)) + _MASK_DELTA) & 0xFFFFFFFF


def unmask(masked: int) -> int:
    """Return the CRC-32C of a stored form; the inverse of :func:`mask`."""
    rotated = (masked - _MASK_DELTA) & 0xFFFFFFFF
    return ((rotated >> 17) | (rotated << 15)) & 0xFFFFFFFF


def combine(first: int, second: int, size: int) -> int:
    """Return the CRC-32C of two pieces of bytes, one behind the other.

    Parameters
    ----------
    first, second
        The CRC-32C of each.
    size
        Bytes in the second piece, as many as you like.
    """
    return _multiply(first, _shift(size)) ^ second


def combine_all(pieces: Iterable[tuple[int, int]]) -> int:
    """Return the CRC-32C of pieces of bytes, one behind the other, from the CRC and byte size of each."""
    crc = 0
    for piece, size in pieces:
        crc = combine(crc, piece, size)
    return crc


def crc32c_in_threads(data: memoryview, threads: int | None = None) -> int:
    """Return the CRC-32C of bytes, computed by up to ``threads`` threads, this one among them.

    Without a number as many as :func:`ckptfmt.wire.threads.default_threads` says.

    ``data`` has bytes for items; threads help from two pieces (8 MiB) on.
    """
    if data.nbytes <= PIECE or threads == 1:
        return crc32c(data)
    if threads is None:
        threads = default_threads()
    stretches = list(cut(0, data.nbytes))
    crcs = in_threads(lambda at: crc32c(data[at[0] : at[0] + at[1]]), stretches, threads)
    return combine_all(zip(crcs, (size for _, size in stretches), strict=True))


def _multiply(a: int, b: int) -> int:
    """The product of two polynomials, modulo P."""
    product = 0
    while a:
        if a & _ONE:
            product ^= b
        a = a << 1 & 0xFFFFFFFF
        b = b >> 1 ^ _POLYNOMIAL if b & 1 else b >> 1  # times x
    return product


@cache
def _squares() -> tuple[int, ...]:
    """x^(2^k) for each bit k of an exponent below _ORDER."""
    squares = [_X]
    while len(squares) < _ORDER.bit_length():
        squares.append(_multiply(squares[-1], squares[-1]))
    return tuple(squares)


# Most pieces are of one size.
@lru_cache(maxsize=64)
def _shift(size: int) -> int:
    """What a CRC is multiplied with when ``size`` bytes follow: x^(8 · size)."""
    exponent = 8 * size % _ORDER
    power = _ONE
    for k, square in enumerate(_squares()):
        if exponent >> k & 1:
            power = _multiply(square, power)
    return power
