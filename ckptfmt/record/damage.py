"""Damage: the stretches of one file that were skipped, listed and told.

A hostile file can be damaged everywhere, so both the list and the warnings have a bound. A callback has none:
it is given every stretch, and decides itself what to do about many.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from ckptfmt.errors import CkptfmtError, CorruptError, DamageWarning

MAX_DAMAGE = 1 << 15
"""Stretches that are listed for one file; the last one stands for all others."""

MAX_WARNINGS = 10
"""Warnings of one file; further stretches are only counted."""


@dataclass(frozen=True)
class Damage:
    """A stretch of a file that was skipped because it is damaged."""

    file: str
    offset: int
    """Where it begins; see :attr:`Record.offset`."""
    skipped: int
    """Bytes up to the next frame that was read, or to the end. If a file does not decompress, the bytes that
    had been decompressed after the last record: nobody knows how many are lost after them."""
    error: CkptfmtError
    """What is wrong; its place is that of the damage."""

    def __str__(self) -> str:
        return f"{self.error}: {self.skipped} bytes skipped"


OnDamage: TypeAlias = Callable[[Damage], object]
"""Takes each stretch of damage when it is found, instead of the warning."""


class DamageLog:
    """The damage of one file, as it is found.

    Stretches are noted in the order of the file. A stretch at the end of a file that grows is *open*: the
    next note replaces it, because it is the same stretch with more of it known.

    Parameters
    ----------
    file
        The file.
    on_damage
        Called with each stretch; without it each of the first :data:`MAX_WARNINGS` is warned of.
    """

    def __init__(self, file: str, on_damage: OnDamage | None = None) -> None:
        self._file = file
        self._on_damage = on_damage
        self.stretches: list[Damage] = []
        """What is noted. It stays the same list, which others may hold."""
        self._folded = 0
        """Stretches that the last one in the list stands for, besides itself."""
        self._untold = 0
        """Stretches that were neither warned of nor counted in a warning."""
        self.begin()

    def begin(self) -> None:
        """Expect stretches from the beginning of the file again; what is noted stays."""
        self.is_damaged = False
        """Whether anything has been noted since the beginning."""
        self._noted_up_to = 0
        self._is_open = False

    def clear(self) -> None:
        """Forget what is noted: it does not hold any more."""
        self.stretches.clear()
        self._folded = self._untold = 0
        self.begin()

    def note(self, offset: int, skipped: int, error: CkptfmtError, *, is_open: bool = False) -> None:
        """Note a stretch, and tell of it unless it replaces an open one."""
        self.is_damaged = True
        damage = Damage(self._file, offset, skipped, error)
        if self._is_open:
            self.stretches[-1] = damage
            self._is_open = is_open
            return
        if offset < self._noted_up_to:
            return  # in a batch that is read a second time
        self._noted_up_to = offset + 1
        if len(self.stretches) < MAX_DAMAGE:
            self.stretches.append(damage)
            self._is_open = is_open
        else:
            self._fold(damage)
        self._tell(damage)

    def close(self) -> None:
        """Let an open stretch be as long as it is: no more of the file can be read."""
        self._is_open = False

    def _fold(self, damage: Damage) -> None:
        """Let the last stretch stand for one more."""
        last = self.stretches[-1]
        self._folded += 1
        what = f"{self._folded + 1} damaged stretches, of which this is the first"
        error = CorruptError(what, file=self._file, offset=last.offset)
        self.stretches[-1] = Damage(self._file, last.offset, last.skipped + damage.skipped, error)

    def _tell(self, damage: Damage) -> None:
        if self._on_damage is not None:
            self._on_damage(damage)
        elif len(self.stretches) <= MAX_WARNINGS:
            warnings.warn(str(damage), DamageWarning, stacklevel=2)
        else:
            self._untold += 1

    def tell_rest(self) -> None:
        """Warn once of all stretches that were one too many for a warning of their own."""
        if self._untold:
            noun = "further stretch was" if self._untold == 1 else "further stretches were"
            warnings.warn(f"{self._file}: {self._untold} {noun} skipped", DamageWarning, stacklevel=2)
            self._untold = 0
