"""Files of records: records change, and their frames have the right lengths and checksums."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from random import Random

from tests.fuzz.mutate.plain import Mutator, of_bytes, shuffled
from tests.support.records import claim, frame

OVERHEAD = 16
"""Bytes of a frame without its record."""


def decode_records(data: bytes) -> list[bytes]:
    """Return the records of a file, gzipped or not, up to the first frame that does not fit."""
    if data[:2] == b"\x1f\x8b":
        try:
            data = zlib.decompressobj(31).decompress(data, 1 << 20)
        except zlib.error:
            return []
    return list(_walk(data))


def _walk(data: bytes) -> Iterator[bytes]:
    pos = 0
    while pos + OVERHEAD <= len(data):
        size = int.from_bytes(data[pos : pos + 8], "little")
        if pos + OVERHEAD + size > len(data):
            return
        yield data[pos + 12 : pos + 12 + size]
        pos += OVERHEAD + size


def mutator(record: Mutator, *, compressed: bool = True) -> Mutator:
    """Return a mutator of files of records, in which ``record`` changes one."""

    def mutate(data: bytes, rng: Random) -> bytes:
        records = decode_records(data)
        action = rng.randrange(10)
        if not records or action == 0:
            return of_bytes(data, rng)
        if action == 1:
            records = shuffled(records, rng)
        else:
            i = rng.randrange(len(records))
            records[i] = record(records[i], rng)
        frames = [frame(each) for each in records]
        if action == 2 and frames:
            # Damage, and a claim of a length after it: reading goes on at the next frame that is whole.
            i = rng.randrange(len(frames))
            frames[i] = rng.choice((of_bytes(frames[i], rng), claim(rng.randrange(1 << 20)) + frames[i]))
        content = b"".join(frames)
        return gzip.compress(content, mtime=0) if compressed and rng.randrange(6) == 0 else content

    return mutate
