"""Checksums: which stored pieces still have to be verified."""

from __future__ import annotations

from collections.abc import Iterable, Set
from typing import TypeAlias

from ckptfmt.checkpoint.slices import TensorSlice

Piece: TypeAlias = "str | tuple[str, TensorSlice]"
"""What one checksum covers: a tensor stored whole, by name, or one slice of a tensor."""


class Checks:
    """The checksums of a checkpoint: each is verified when its bytes are first read.

    Readers ask :meth:`is_due` before they read a piece and say :meth:`done` after it was found intact. Two
    threads may both find a piece due and verify it twice, which does no harm.

    Parameters
    ----------
    enabled
        Whether checksums are verified at all.
    once
        Whether bytes found intact stay intact, as those of a mapped file do. Bytes that are read again
        each time are verified each time.
    """

    def __init__(self, *, enabled: bool, once: bool) -> None:
        self.enabled = enabled
        self._once = once
        self._done: set[Piece] = set()

    def is_due(self, piece: Piece) -> bool:
        """Return whether the checksum of a piece must be verified when the piece is read."""
        return self.enabled and (piece not in self._done or not self._once)

    @property
    def intact(self) -> Set[Piece]:
        """The pieces that need not be verified again, if checksums are verified at all."""
        return self._done if self._once else frozenset()

    def done(self, piece: Piece) -> None:
        """Note that the checksum of a piece has been verified."""
        if self._once:
            self._done.add(piece)

    def all_done(self, pieces: Iterable[Piece]) -> None:
        """Note that every checksum of these pieces that was due has been verified."""
        if self.enabled and self._once:
            self._done.update(pieces)
