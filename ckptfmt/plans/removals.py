"""Removals: the steps of a plan that leave out the tensors that they match, or refuse them."""

from __future__ import annotations

from dataclasses import dataclass, field

from ckptfmt.errors import PlanError
from ckptfmt.plans.changes import Changes
from ckptfmt.plans.conditions import ConditionalStep
from ckptfmt.plans.current import Current
from ckptfmt.plans.pattern import Pattern
from ckptfmt.plans.place import StepPlace
from ckptfmt.plans.step import OnError, SpecOf, Step
from ckptfmt.text.quoting import listed


@dataclass(frozen=True)
class Drop(ConditionalStep):
    """Leaves tensors out."""

    verb = "drop"
    pattern: Pattern
    comment: str = field(default="", compare=False)

    def check(self) -> str | None:
        """Return what is wrong with the pattern."""
        return self.check_patterns([self.pattern])

    def changes(self, current: Current, place: StepPlace, on_error: OnError) -> Changes:
        """Return the tensors that the pattern is found in as taken, and nothing as made."""
        names = self.pattern.found_in(self.chosen(current, self.pattern))
        taken = {name: current[name] for name in names}
        return Changes(taken, (), (), [(1, 0)] * len(taken))

    def inverse(self, changes: Changes, spec: SpecOf) -> list[Step]:
        """Return no steps if nothing was dropped; otherwise PlanError."""
        if changes.taken:
            raise PlanError(f"drop of {listed(changes.taken)}: dropped tensors cannot be restored")
        return []


@dataclass(frozen=True)
class Refuse(ConditionalStep):
    """Refuses tensors for which the plan has no right answer."""

    verb = "refuse"
    keys = ("because",)
    pattern: Pattern
    because: str
    """What is wrong with them, for the error."""
    comment: str = field(default="", compare=False)

    def check(self) -> str | None:
        """Return what is wrong with the pattern."""
        return self.check_patterns([self.pattern])

    def changes(self, current: Current, place: StepPlace, on_error: OnError) -> Changes:
        """Return no changes; the tensors that the pattern is found in are an error."""
        names = list(self.pattern.found_in(self.chosen(current, self.pattern)))
        if names:
            on_error(place.error(f"{listed(names)}: {self.because}"), names)
        return Changes({}, (), ())

    def inverse(self, changes: Changes, spec: SpecOf) -> list[Step]:
        """Return no steps."""
        return []
