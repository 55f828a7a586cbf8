"""The log of damage: which stretches of a file were skipped, and which of them were reported.

A hostile file can be damaged everywhere, so the list and the number of warnings are both bounded. Calls of a
callback are not: it gets every stretch, and decides for itself how many are too many.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from ckptfmt.errors import CkptfmtError, CorruptError, DamageWarning
from ckptfmt.notebook.card import Card, Sentence
from ckptfmt.notebook.page import to_html

MAX_DAMAGE = 1 << 15
"""Stretches listed for one file; the last one stands for all that follow."""

MAX_WARNINGS = 10
"""Warnings issued for one file; further stretches are only counted."""


@dataclass(frozen=True)
class Damage:
    """A stretch of a file that was skipped because it is damaged."""

    file: str
    offset: int
    """Where it begins; see :attr:`Record.offset`."""
    skipped: int
    """Bytes up to the next frame that was read, or to the end. If a file does not decompress, these are the
    bytes decompressed since the last record; how many are lost after them is unknown."""
    error: CkptfmtError
    """What is wrong, placed at :attr:`offset`."""
    stretches: int = 1
    """The number of stretches that this one stands for: more than one for the last of a full list."""

    def __str__(self) -> str:
        return f"{self.error}: {self.skipped} bytes skipped"

    def _repr_html_(self) -> str:
        return to_html(lambda: Card("Damage", facts=[("", Sentence(self))], state="bad"))


OnDamage: TypeAlias = Callable[[Damage], object]
"""Called with each stretch of damage as it is found, in place of a warning."""


class DamageLog:
    """The damage of one file, noted in the order of the file.

    A stretch that reaches the end of a growing file is *open*: it may turn out to be longer, so the next note
    replaces it.

    Parameters
    ----------
    file
        The file.
    on_damage
        Called with each stretch; without it, warnings are issued for the first :data:`MAX_WARNINGS`.
    """

    def __init__(self, file: str, on_damage: OnDamage | None = None) -> None:
        self._file = file
        self._on_damage = on_damage
        self.stretches: list[Damage] = []
        """The damage so far; always the same list, so that others may hold on to it."""
        self._folded = 0
        """Stretches that the last one of a full list stands for, besides itself."""
        self._unreported = 0
        """Stretches that no warning has mentioned yet."""
        self.begin()

    def begin(self) -> None:
        """Start over at the beginning of the file; what has been noted stays."""
        self.is_damaged = False
        """Whether anything has been noted since :meth:`begin`."""
        self._noted_up_to = 0
        self._is_open = False

    def clear(self) -> None:
        """Start over, and forget what has been noted, which no longer holds."""
        self.stretches.clear()
        self._folded = self._unreported = 0
        self.begin()

    def note(self, offset: int, skipped: int, error: CkptfmtError, *, is_open: bool = False) -> None:
        """Note a stretch, and report it unless it replaces an open one."""
        self.is_damaged = True
        damage = Damage(self._file, offset, skipped, error)
        if self._is_open:
            # The same stretch, grown: it was reported when it was opened.
            self.stretches[-1] = damage
            self._is_open = is_open
            return
        if offset < self._noted_up_to:
            return  # noted before: the caller abandoned the batch, which is read a second time
        self._noted_up_to = offset + 1
        if len(self.stretches) < MAX_DAMAGE:
            self.stretches.append(damage)
            self._is_open = is_open
        else:
            self._fold(damage)
        self._report(damage)

    def close(self) -> None:
        """Keep an open stretch as it is: nothing more of the file can be read."""
        self._is_open = False

    def _fold(self, damage: Damage) -> None:
        """Let the last stretch stand for one more, and for its bytes."""
        last = self.stretches[-1]
        self._folded += 1
        what = f"the first of {self._folded + 1} damaged stretches"
        error = CorruptError(what, file=self._file, offset=last.offset)
        self.stretches[-1] = Damage(
            self._file, last.offset, last.skipped + damage.skipped, error, self._folded + 1
        )

    def _report(self, damage: Damage) -> None:
        if self._on_damage is not None:
            self._on_damage(damage)
        elif len(self.stretches) <= MAX_WARNINGS:
            warnings.warn(str(damage), DamageWarning, stacklevel=2)
        else:
            self._unreported += 1

    def report_rest(self) -> None:
        """Warn once about all the stretches that got no warning of their own."""
        if self._unreported:
            noun = "further stretch was" if self._unreported == 1 else "further stretches were"
            warnings.warn(f"{self._file}: {self._unreported} {noun} skipped", DamageWarning, stacklevel=2)
            self._unreported = 0
