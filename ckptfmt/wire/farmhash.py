"""FarmHash Fingerprint64, the hash of TensorFlow's fingerprints and of ``tf.strings.to_hash_bucket_fast``.

Up to 64 bytes, few words are read from both ends and mixed. Longer data go through a state of seven 64-bit
words: x, y, z, and the pairs v and w. Every block of 64 bytes mixes all of its eight words into it; the last
64 bytes, which may overlap the block before them, finish the hash. All sums and products are modulo 2**64.

Pure Python reaches about 25 MB/s: each block depends on the state that the block before it left.

Source: FarmHash ``farmhash.cc``, namespace ``farmhashna``.
"""

from __future__ import annotations

import struct

from ckptfmt.wire.coding import Buffer

_MASK = (1 << 64) - 1

_K0 = 0xC3A5C85C97CB3127
_K1 = 0xB492B66FBE98F273
_K2 = 0x9AE16A3B2F90404F

_CAT = 0xC6A4A7935BD1E995
"""The multiplier of :func:`fingerprint_cat64`, which is Murmur's."""

_BLOCK = struct.Struct("<8Q")
_WORD = struct.Struct("<Q")
_HALF_WORD = struct.Struct("<I")


def fingerprint64(data: Buffer) -> int:
    """Return the Fingerprint64 of bytes."""
    size = len(data)
    if size > 64:
        return _hash_long(data)
    if size > 32:
        return _hash_33_to_64(data)
    if size > 16:
        return _hash_17_to_32(data)
    return _hash_0_to_16(data)


def fingerprint_cat64(first: int, second: int) -> int:
    """Return the fingerprint of two fingerprints; source: TensorFlow ``tsl/platform/fingerprint.h``."""
    result = first ^ _CAT
    result ^= _shift_mix(second * _CAT & _MASK) * _CAT & _MASK
    result = result * _CAT & _MASK
    return _shift_mix(_shift_mix(result) * _CAT & _MASK)


def _word(data: Buffer, pos: int) -> int:
    """Return the 64-bit word at a position, counted from the end if it is negative."""
    word: int = _WORD.unpack_from(data, pos)[0]
    return word


def _rotate(word: int, count: int) -> int:
    """Rotate the lowest 64 bits of a number right."""
    word &= _MASK
    return word >> count | word << 64 - count & _MASK


def _shift_mix(word: int) -> int:
    return word ^ word >> 47


def _hash_pair(first: int, second: int, multiplier: int) -> int:
    """Mix two words into one."""
    low = _shift_mix((first ^ second) * multiplier & _MASK)
    return _shift_mix((second & _MASK ^ low) * multiplier & _MASK) * multiplier & _MASK


def _hash_0_to_16(data: Buffer) -> int:
    size = len(data)
    multiplier = _K2 + size * 2
    if size >= 8:
        first, last = _word(data, 0) + _K2, _word(data, size - 8)
        high = _rotate(last, 37) * multiplier + first
        low = (_rotate(first, 25) + last) * multiplier
        return _hash_pair(high, low, multiplier)
    if size >= 4:
        begin, end = _HALF_WORD.unpack_from(data)[0], _HALF_WORD.unpack_from(data, size - 4)[0]
        return _hash_pair(size + (begin << 3), end, multiplier)
    if size:
        low = data[0] + (data[size >> 1] << 8)
        high = size + (data[size - 1] << 2)
        return _shift_mix((low * _K2 ^ high * _K0) & _MASK) * _K2 & _MASK
    return _K2


def _hash_17_to_32(data: Buffer) -> int:
    size = len(data)
    multiplier = _K2 + size * 2
    a, b = _word(data, 0) * _K1, _word(data, 8)
    c, d = _word(data, size - 8) * multiplier, _word(data, size - 16) * _K2
    first = _rotate(a + b, 43) + _rotate(c, 30) + d
    return _hash_pair(first, a + _rotate(b + _K2, 18) + c, multiplier)


def _hash_33_to_64(data: Buffer) -> int:
    size = len(data)
    multiplier = _K2 + size * 2
    a, b = _word(data, 0) * _K2, _word(data, 8)
    c, d = _word(data, size - 8) * multiplier, _word(data, size - 16) * _K2
    y = _rotate(a + b, 43) + _rotate(c, 30) + d
    z = _hash_pair(y, a + _rotate(b + _K2, 18) + c, multiplier)
    e, f = _word(data, 16) * multiplier, _word(data, 24)
    g = (y + _word(data, size - 32)) * multiplier
    h = (z + _word(data, size - 24)) * multiplier
    first = _rotate(e + f, 43) + _rotate(g, 30) + h
    return _hash_pair(first, e + _rotate(f + a, 18) + g, multiplier)


def _hash_long(data: Buffer) -> int:
    """Return the hash of more than 64 bytes."""
    size = len(data)
    y = 81 * _K1 + 113 & _MASK
    z = _shift_mix(y * _K2 + 113 & _MASK) * _K2 & _MASK
    x = 81 * _K2 + _word(data, 0) & _MASK
    # All blocks but the last, which is whole or the remainder.
    blocks = memoryview(data)[: (size - 1) // 64 * 64]
    x, y, z, v0, v1, w0, w1 = _mix_blocks(x, y, z, blocks)
    multiplier = _K1 + ((z & 0xFF) << 1)
    word0, word1, word2, word3, word4, word5, word6, word7 = _BLOCK.unpack_from(data, size - 64)
    w0 += size - 1 & 63
    v0 += w0
    w0 += v0
    x = _rotate(x + y + v0 + word1, 37) * multiplier
    y = _rotate(y + v1 + word6, 42) * multiplier
    x ^= w1 * 9
    y += v0 * 9 + word5
    z = _rotate(z + w0, 33) * multiplier
    v0, v1 = _weak_hash(word0, word1, word2, word3, v1 * multiplier, x + w0)
    w0, w1 = _weak_hash(word4, word5, word6, word7, z + w1, y + word2)
    low = _hash_pair(v0, w0, multiplier) + _shift_mix(y & _MASK) * _K0 + x
    return _hash_pair(low, _hash_pair(v1, w1, multiplier) + z, multiplier)


def _weak_hash(word0: int, word1: int, word2: int, word3: int, a: int, b: int) -> tuple[int, int]:
    """Mix half a block into two words, which replace a pair of the state."""
    a += word0
    b = _rotate(b + a + word3, 21)
    c = a
    a += word1 + word2
    return a + word3 & _MASK, b + _rotate(a, 44) + c & _MASK


def _mix_blocks(x: int, y: int, z: int, blocks: memoryview) -> tuple[int, ...]:
    """Return the state (x, y, z, v, w) after whole blocks of 64 bytes."""
    # Everything is written out, because the calls would take longer than the arithmetic.
    mask, k1 = _MASK, _K1
    v0 = v1 = w0 = w1 = 0
    for word0, word1, word2, word3, word4, word5, word6, word7 in _BLOCK.iter_unpack(blocks):
        x = x + y + v0 + word1 & mask
        x = (x >> 37 | x << 27) * k1 & mask ^ w1
        y = y + v1 + word6 & mask
        y = (y >> 42 | y << 22 & mask) * k1 + v0 + word5
        z = z + w0 & mask
        z = (z >> 33 | z << 31 & mask) * k1 & mask
        # The two weak hashes.
        a = v1 * k1 + word0
        b = x + w0 + a + word3 & mask
        v1 = a + (b >> 21 | b << 43 & mask)
        a = a + word1 + word2 & mask
        v1 = v1 + (a >> 44 | a << 20 & mask) & mask
        v0 = a + word3 & mask
        a = z + w1 + word4
        b = y + word2 + a + word7 & mask
        w1 = a + (b >> 21 | b << 43 & mask)
        a = a + word5 + word6 & mask
        w1 = w1 + (a >> 44 | a << 20 & mask) & mask
        w0 = a + word7 & mask
        x, z = z, x
    return x, y & mask, z, v0, v1, w0, w1
