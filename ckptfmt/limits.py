"""Limits: how much memory and work a file may take beyond what its size and the caller's request account for.

A few bytes of a hostile file can stand for gigabytes: a compressed record, a constant whose last value is
repeated, names that share their beginnings. Each such place asks the limits before it takes the memory. The
defaults are far above what honest files take.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import ClassVar

from ckptfmt.errors import LimitError

FREE_BYTES = 64 << 20
"""Bytes that a listing may take in any case; :attr:`Limits.max_ratio` counts beyond them."""


@dataclass(frozen=True)
class Limits:
    """How much a file may take. Each limit may be None, for no limit.

    What is read because the caller asks for it, such as a tensor that is stored with all its bytes, does not
    count: its size is known from the listing.
    """

    max_bytes: int | None = 2 << 30
    """Bytes of one value that takes fewer bytes in the file: a record or a block that is decompressed, a
    constant whose last value is repeated, the message of a split file, the pixels of an image. The default
    is the most that protobuf allows for a message."""
    max_ratio: float | None = 64
    """Bytes of memory for each byte of a file that is listed: the names in an index or in an object graph.
    The first 64 MiB are free."""
    max_names: int | None = 1 << 27
    """Names in one file: of tensors, objects, nodes, tags."""
    max_depth: int | None = 256
    """Levels of objects in objects. Messages in messages have a limit of protobuf's own, 100."""
    max_seconds: float | None = 10
    """Seconds of work that grows faster than the file: searching names for a pattern that backtracks (a
    millisecond for each name is free)."""

    NONE: ClassVar[Limits]
    """No limits, for files that you trust."""

    def __post_init__(self) -> None:
        for field in fields(self):
            limit = getattr(self, field.name)
            if limit is not None and not (isinstance(limit, int | float) and limit >= 0):
                raise ValueError(f"{field.name}: got {limit!r}, want a number that is not negative, or None")

    def check_bytes(
        self, what: str, asked: int, stored: int = 0, *, file: str | None = None, offset: int | None = None
    ) -> None:
        """Raise LimitError if one value takes more than :attr:`max_bytes`.

        If it is stored in many bytes, it may have :attr:`max_ratio` times as many.
        """
        limit = self.max_bytes
        if limit is not None and self.max_ratio is not None:
            limit = max(limit, int(self.max_ratio * stored))
        _check(limit, what, asked, file, offset)

    def memory(self, stored: int) -> int | None:
        """Return the bytes of memory that the listing of a file of ``stored`` bytes may take."""
        return None if self.max_ratio is None else max(FREE_BYTES, int(self.max_ratio * stored))

    def check_names(
        self, what: str, asked: int, *, file: str | None = None, offset: int | None = None
    ) -> None:
        """Raise LimitError if a file has more than :attr:`max_names` names."""
        _check(self.max_names, what, asked, file, offset)

    def check_depth(
        self, what: str, asked: int, *, file: str | None = None, offset: int | None = None
    ) -> None:
        """Raise LimitError if something is nested deeper than :attr:`max_depth`."""
        _check(self.max_depth, what, asked, file, offset)


def _check(limit: int | None, what: str, asked: int, file: str | None, offset: int | None) -> None:
    if limit is not None and asked > limit:
        raise LimitError(what, limit=limit, asked=asked, file=file, offset=offset)


Limits.NONE = Limits(None, None, None, None, None)

DEFAULT = Limits()
"""What readers use if nothing else is given."""
