"""Limits: how much memory and work a file may take beyond what its size and the caller's request account for.

A few bytes of a hostile file can stand for gigabytes: a compressed record, a constant whose last value is
repeated, names that share their beginnings. Each such place asks the limits before it takes the memory. The
defaults are far above what honest files take.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, fields
from typing import ClassVar

from ckptfmt.errors import LimitError


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How much a file may take. Each limit may be None, for no limit.

    What is read because the caller asks for it, such as a tensor that is stored with all its bytes, does not
    count: its size is known before it is read.
    """

    max_bytes: int | None = 2 << 30
    """Bytes of one value that takes fewer bytes in the file: a constant whose last value is repeated, the
    message of a split file, the pixels of an image. A message of protobuf has at most 2 GiB."""
    max_record: int | None = 256 << 20
    """Bytes of one record of a compressed TFRecord file, or of a stretch of it without records; and bytes of
    memory for all compressed files of one event log."""
    max_ratio: float | None = 128
    """Bytes of memory for each byte of a file whose names are listed."""
    free_bytes: int = 64 << 20
    """Bytes that a listing may take, however small its file is."""
    max_names: int | None = 1 << 27
    """Names in one file, of tensors or of objects."""
    max_depth: int | None = 256
    """Levels of objects in objects. Messages in messages have a limit of protobuf's own, 100."""
    max_seconds: float | None = 10
    """Seconds of work that can grow faster than the file: searching its names for a pattern of a plan. A
    millisecond for each name is free."""

    NONE: ClassVar[Limits]
    """No limits, for files that you trust."""

    def __post_init__(self) -> None:
        for field in fields(self):
            limit = getattr(self, field.name)
            is_number = isinstance(limit, int | float) and not isinstance(limit, bool) and limit >= 0
            if not is_number and (limit is not None or field.name == "free_bytes"):
                raise ValueError(f"{field.name}: got {limit!r}, want a number that is not negative, or None")

    def memory(self, stored: int) -> int:
        """Return the bytes of memory that a listing of a file of ``stored`` bytes may take."""
        return sys.maxsize if self.max_ratio is None else max(self.free_bytes, int(self.max_ratio * stored))

    @property
    def value(self) -> int:
        """:attr:`max_bytes` as a number to compare with."""
        return sys.maxsize if self.max_bytes is None else self.max_bytes

    @property
    def record(self) -> int:
        """:attr:`max_record` as a number to compare with."""
        return sys.maxsize if self.max_record is None else self.max_record

    def check_bytes(
        self, what: str, asked: int, stored: int = 0, *, file: str | None = None, offset: int | None = None
    ) -> None:
        """Raise LimitError if one value takes more than :attr:`max_bytes`.

        If it is stored in many bytes, it may have :attr:`max_ratio` times as many.
        """
        limit = self.max_bytes
        if limit is not None and self.max_ratio is not None:
            limit = max(limit, int(self.max_ratio * stored))
        _check("max_bytes", limit, what, asked, file, offset)

    def check_memory(self, what: str, asked: int, stored: int, *, file: str | None = None) -> None:
        """Raise LimitError if a listing of ``stored`` bytes takes more than :meth:`memory`."""
        _check("max_ratio", self.memory(stored), what, asked, file, None)

    def check_names(self, what: str, asked: int, *, file: str | None = None) -> None:
        """Raise LimitError if a file has more than :attr:`max_names` names."""
        _check("max_names", self.max_names, what, asked, file, None)

    def check_depth(self, what: str, asked: int, *, file: str | None = None) -> None:
        """Raise LimitError if something is nested deeper than :attr:`max_depth`."""
        _check("max_depth", self.max_depth, what, asked, file, None)


def _check(
    field: str, limit: int | None, what: str, asked: int, file: str | None, offset: int | None
) -> None:
    if limit is not None and asked > limit:
        raise LimitError(what, limit=limit, asked=asked, field=field, file=file, offset=offset)


Limits.NONE = Limits(
    max_bytes=None, max_record=None, max_ratio=None, max_names=None, max_depth=None, max_seconds=None
)

DEFAULT = Limits()
"""What readers use if nothing else is given."""


def check_limits(limits: object) -> None:
    """Raise TypeError if a caller passes something else as limits, such as a dictionary of them."""
    if not isinstance(limits, Limits):
        got = "None" if limits is None else f"a {type(limits).__name__}"
        raise TypeError(
            f"limits: got {got}, want a ckptfmt.Limits, such as Limits(max_bytes=1 << 30) or Limits.NONE"
        )
