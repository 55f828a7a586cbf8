"""The current tensors of a plan: those on their way through its steps, by the names they have now."""

from __future__ import annotations

from collections.abc import Mapping

from ckptfmt.arrays.shape import Shape
from ckptfmt.checkpoint.entry import Entry
from ckptfmt.errors import PlanError
from ckptfmt.plans.expressions import Expression, Stored


class Current(dict[str, Expression]):
    """Expressions by name, which know their shapes."""

    def __init__(self, entries: Mapping[str, Entry]) -> None:
        super().__init__({name: Stored(name) for name in entries})
        self._entries = entries

    def shape(self, name: str) -> Shape | None:
        """Return the shape of a tensor; None if a step before does not fit it, which others report."""
        try:
            return self[name].spec(self._entries)[1]
        except PlanError:
            return None
