"""Shared bytes: the checksums of tensors that overlap, each byte read once.

No writer stores tensors that overlap, but a hostile index may name the same bytes a hundred thousand times.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

from ckptfmt.checkpoint.entry import Entry
from ckptfmt.checkpoint.stored_bytes import StoredBytes
from ckptfmt.errors import LimitError
from ckptfmt.storage.file import stream_crc
from ckptfmt.wire.crc32c import combine

MAX_SHARED_RATIO = 16
"""How many times a file's bytes may be decoded, in all, for strings and variants that overlap in it."""


def clusters(pieces: Iterable[Entry]) -> Iterator[list[Entry]]:
    """Group pieces, which are in the order of the files, into those that share bytes with a neighbour."""
    cluster: list[Entry] = []
    shard: int | None = None
    end = 0
    for piece in pieces:
        offset = piece.offset or 0
        if cluster and (piece.shard != shard or offset >= end):
            yield cluster
            cluster = []
        if not cluster:
            shard, end = piece.shard, offset
        cluster.append(piece)
        end = max(end, offset + piece.nbytes)
    if cluster:
        yield cluster


class SharedBytes:
    """Pieces of one file that overlap."""

    def __init__(self, pieces: Sequence[StoredBytes]) -> None:
        self._decoded: dict[tuple[object, ...], int] = {}
        self._room = MAX_SHARED_RATIO * pieces[0].file.size
        self._limit = self._room
        # The checksum from the first border to each: that of a piece follows from two of them.
        numbers = [piece for piece in pieces if piece.entry.dtype.itemsize is not None]
        borders = sorted({border for each in numbers for border in (each.offset, each.offset + each.size)})
        self._sums = dict.fromkeys(borders[:1], 0)
        for border, after in pairwise(borders):
            self._sums[after] = stream_crc(pieces[0].file, border, after - border, self._sums[border])

    def check(self, piece: StoredBytes) -> None:
        """Verify one piece; raises what :meth:`StoredBytes.check` does, and LimitError."""
        if piece.entry.dtype.itemsize is not None:
            before, after = self._sums[piece.offset], self._sums[piece.offset + piece.size]
            piece.check(combine(before, after, piece.size))
            return
        place = (piece.offset, piece.size, piece.entry.dtype.code, piece.entry.shape)
        if place not in self._decoded:
            self._room -= piece.size
            if self._room < 0:
                raise LimitError(
                    f"tensor {piece.entry.name!r}: bytes of strings that overlap, decoded to verify them",
                    limit=self._limit,
                    asked=self._limit - self._room,
                    file=piece.file.name,
                    offset=piece.offset,
                )
            self._decoded[place] = piece.checksum()
        piece.check(self._decoded[place])
