"""Places: the step of a plan, and the file of the plan, that an error is about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ckptfmt.errors import NameConflictError, PlanError


class StepPlace(NamedTuple):
    """The place of a step, for errors: its plan's file, and its number from 1."""

    file: str | None = None
    step: int | None = None

    def error(self, what: str) -> PlanError:
        """Return an error placed here."""
        return PlanError(what, file=self.file, step=self.step)

    def conflict(self, what: str, names: Mapping[str, Sequence[str]]) -> NameConflictError:
        """Return an error placed here about names that several tensors claim."""
        step = "" if self.step is None else f"step {self.step}: "
        return NameConflictError(f"{step}{what}", names=names, file=self.file)
