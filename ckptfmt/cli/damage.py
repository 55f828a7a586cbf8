"""Damage in a few lines: the first places in each file, and a count of all others."""

from __future__ import annotations

from ckptfmt.cli.failures import Problems
from ckptfmt.cli.render.text import size_text
from ckptfmt.types import Damage

MOST = 3
"""Places that are reported one by one for each file."""


class DamageReport:
    """Reports damage on stderr while it is found."""

    def __init__(self, problems: Problems) -> None:
        self._problems = problems
        self._counts: dict[str, list[int]] = {}  # all, those only counted, and their bytes

    def add(self, damage: Damage) -> None:
        """Report a stretch, or only count it if its file has had enough of them."""
        counts = self._counts.setdefault(damage.file, [0, 0, 0])
        counts[0] += 1
        if counts[0] <= MOST and damage.stretches == 1:
            self._problems.report_damage(str(damage))
        else:
            counts[1] += damage.stretches
            counts[2] += damage.skipped

    def close(self) -> None:
        """Report how much was only counted."""
        for file, (_, stretches, skipped) in self._counts.items():
            if stretches:
                noun = "stretch" if stretches == 1 else "stretches"
                what = f"… and {stretches:,} more damaged {noun}: {size_text(skipped)} skipped"
                self._problems.report_damage(f"{file}: {what}")
        self._counts.clear()
