"""CRC-32C (Castagnoli): masked, as TensorFlow stores it, and combined from the CRCs of pieces.

The CRC of bytes that themselves hold CRCs is weak, so LevelDB and TensorFlow rotate a CRC and add a constant
before they store it::

    masked = rotr32(crc, 15) + 0xa282ead8   (mod 2^32)

A CRC is the remainder of a polynomial over GF(2) when divided by P. Appending B to A multiplies the
polynomial of A by x^(8 · len(B)) and adds that of B, so the CRC of both follows from theirs::

    crc(A + B) = crc(A) · x^(8 · len(B)) + crc(B)   (mod P)

The inversions before and after, which CRC-32C has besides, cancel out in this sum. So a large buffer can be
cut into pieces for several threads. Source of the arithmetic: ``crc32_combine`` by Mark Adler in zlib
``crc32.c``, there for another polynomial.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache, lru_cache

from crc32c import crc32c as crc32c

from ckptfmt.wire.threads import PIECE, cut, default_threads, in_threads

_MASK_DELTA = 0xA282EAD8

# As in the CRC itself, bit 31 is the coefficient of x^0 and bit 0 that of x^31: multiplying by x is a shift
# to the right, and a bit that falls out is x^32, which is _POLYNOMIAL modulo P.
_POLYNOMIAL = 0x82F63B78
_ONE = 1 << 31
_X = 1 << 30

_ORDER = 2**31 - 1
"""Exponents of x count modulo this, as x^_ORDER = 1: P is x + 1 times a primitive polynomial of degree 31."""


def mask(crc: int) -> int:
    """Return the stored form of a CRC-32C."""
    return (((crc >> 15) | (crc << 17)) + _MASK_DELTA) & 0xFFFFFFFF


def unmask(masked: int) -> int:
    """Return the CRC-32C of a stored form; the inverse of :func:`mask`."""
    rotated = (masked - _MASK_DELTA) & 0xFFFFFFFF
    return ((rotated >> 17) | (rotated << 15)) & 0xFFFFFFFF


def combine(first: int, second: int, size: int) -> int:
    """Return the CRC-32C of two pieces of bytes joined.

    Parameters
    ----------
    first, second
        The CRC-32C of each.
    size
        Bytes in the second piece; large ones take no longer.
    """
    return _multiply(first, _shift(size)) ^ second


def combine_all(pieces: Iterable[tuple[int, int]]) -> int:
    """Return the CRC-32C of pieces of bytes joined, from the CRC and the size in bytes of each."""
    crc = 0
    for piece, size in pieces:
        crc = combine(crc, piece, size)
    return crc


def crc32c_in_threads(data: memoryview, threads: int | None = None) -> int:
    """Return the CRC-32C of bytes, computed by up to ``threads`` threads including this one.

    None means as many as :func:`~ckptfmt.wire.threads.default_threads` says. ``data`` must have bytes as
    items. One piece (4 MiB) or less is left to this thread.
    """
    if data.nbytes <= PIECE or threads == 1:
        return crc32c(data)
    if threads is None:
        threads = default_threads()
    pieces = list(cut(0, data.nbytes))
    crcs = in_threads(lambda piece: crc32c(data[piece[0] : piece[0] + piece[1]]), pieces, threads)
    return combine_all(zip(crcs, (size for _, size in pieces), strict=True))


def _multiply(a: int, b: int) -> int:
    """Return the product of two polynomials modulo P: shift and add, from the x^0 of ``a`` on."""
    product = 0
    while a:
        if a & _ONE:
            product ^= b
        a = a << 1 & 0xFFFFFFFF
        b = b >> 1 ^ _POLYNOMIAL if b & 1 else b >> 1  # times x
    return product


@cache
def _squares() -> tuple[int, ...]:
    """Return x^(2^k) for each bit k of an exponent below _ORDER."""
    squares = [_X]
    while len(squares) < _ORDER.bit_length():
        squares.append(_multiply(squares[-1], squares[-1]))
    return tuple(squares)


# Nearly all pieces have the same size, so that the factor is computed once.
@lru_cache(maxsize=64)
def _shift(size: int) -> int:
    """Return the factor by which ``size`` bytes that follow multiply a CRC: x^(8 · size)."""
    # Square and multiply, with squares computed once: at most 31 products whatever the size.
    exponent = 8 * size % _ORDER
    power = _ONE
    for k, square in enumerate(_squares()):
        if exponent >> k & 1:
            power = _multiply(square, power)
    return power
