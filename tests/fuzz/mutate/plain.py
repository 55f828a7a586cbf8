"""Bytes and texts of no structure, and what other mutators are made of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import TypeAlias

from tests.fuzz import parts

Mutator: TypeAlias = Callable[[bytes, Random], bytes]

NUMBERS = (0, 1, 2, 7, 8, 127, 128, 255, 256, 1 << 16, (1 << 31) - 1, 1 << 31, (1 << 32) - 1, 1 << 32)
"""Numbers at which a width, a sign or a bound changes."""

MORE_NUMBERS = (*NUMBERS, 1 << 40, 1 << 62, (1 << 63) - 1, 1 << 63, (1 << 64) - 2, (1 << 64) - 1)
"""The same with those of 64 bits."""


def of_bytes(data: bytes, rng: Random) -> bytes:
    """Change, remove, repeat or move some bytes anywhere."""
    out = bytearray(data)
    at = rng.randrange(len(out) + 1)
    size = min(rng.choice((1, 1, 1, 2, 4, 8, rng.randrange(1, 64))), len(out) - at)
    action = rng.randrange(7)
    if action == 0 and size:
        out[at] ^= 1 << rng.randrange(8)
    elif action == 1:
        width = rng.choice((1, 2, 4, 8))
        number = rng.choice(MORE_NUMBERS) & (1 << 8 * width) - 1
        out[at : at + width] = number.to_bytes(width, rng.choice(("little", "big")))
    elif action == 2:
        del out[at : at + size]
    elif action == 3:
        out[at:at] = out[at : at + size] * rng.choice((1, 1, 2, 30))
    elif action == 4:
        to = rng.randrange(len(out) + 1)
        out[to : to + size] = out[at : at + size]
    elif action == 5:
        out[at:at] = rng.randbytes(rng.randrange(1, 9))
    else:
        del out[at:]
    return bytes(out)


def words(*tokens: bytes) -> Mutator:
    """Return a mutator of texts that also inserts these tokens, and moves whole lines."""

    def mutate(data: bytes, rng: Random) -> bytes:
        action = rng.randrange(4)
        if action == 0:
            return of_bytes(data, rng)
        if action == 1:
            at = rng.randrange(len(data) + 1)
            return data[:at] + rng.choice(tokens) * rng.choice((1, 1, 1, 2, 40)) + data[at:]
        if action == 2:
            old = rng.choice(tokens)
            return data.replace(old, rng.choice(tokens), rng.choice((1, 1, -1)))
        return b"\n".join(shuffled(data.split(b"\n"), rng))

    return mutate


def shuffled(items: Sequence[bytes], rng: Random) -> list[bytes]:
    """Return a sequence with one item removed, repeated or moved."""
    out = list(items)
    if out:
        item = out.pop(rng.randrange(len(out)))
        if rng.randrange(3):
            at = rng.randrange(len(out) + 1)
            out[at:at] = [item] * rng.choice((1, 2))
    return out


def one_of(*mutators: Mutator) -> Mutator:
    """Return a mutator that is one of these, each time another; name one twice for twice as often."""
    return lambda data, rng: rng.choice(mutators)(data, rng)


def of_parts(*mutators: Mutator) -> Mutator:
    """Return a mutator of one of the files in an input; the last mutator is for all further files too."""

    def mutate(data: bytes, rng: Random) -> bytes:
        files = parts.split(data) or [b""]
        i = rng.randrange(len(files))
        files[i] = mutators[min(i, len(mutators) - 1)](files[i], rng)
        return parts.join(files)

    return mutate


def often(mutate: Mutator) -> Mutator:
    """Return a mutator that changes an input once or a few times."""

    def several(data: bytes, rng: Random) -> bytes:
        for _ in range(rng.choice((1, 1, 1, 2, 3, 8))):
            data = mutate(data, rng)
        return data

    return several
