"""Parts: the steps of a plan that cut tensors into parts, and that put parts together."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import accumulate, pairwise

from ckptfmt.errors import PlanError
from ckptfmt.plans.changes import Change, Changes
from ckptfmt.plans.conditions import ConditionalStep, numbers
from ckptfmt.plans.current import Current
from ckptfmt.plans.expressions import Expression
from ckptfmt.plans.joining import Joining
from ckptfmt.plans.operations import Concatenated, Part
from ckptfmt.plans.pattern import Pattern, exact_pattern, exact_template
from ckptfmt.plans.place import StepPlace
from ckptfmt.plans.sizes import Size
from ckptfmt.plans.step import OnError, SpecOf, Step


@dataclass(frozen=True)
class Split(ConditionalStep):
    """Cuts tensors into parts along an axis."""

    verb = "split"
    keys = ("into", "axis", "sizes")
    pattern: Pattern
    into: tuple[str, ...]
    axis: int
    sizes: tuple[Size, ...] | None = None
    """The size of each part along the axis; None for parts of equal size.

    Numbers, or the names that ``shaped`` gives to sizes. One may be -1: what the others leave.
    """
    comment: str = field(default="", compare=False)

    def check(self) -> str | None:
        """Return what is wrong with the names, the sizes or the pattern."""
        if not self.into:
            return "into: got no names, want one for each part"
        if self.sizes is not None and len(self.sizes) != len(self.into):
            return f"sizes: got {len(self.sizes)}, want {len(self.into)}, one for each name of into"
        fixed = [size for size in self.sizes or () if isinstance(size, int)]
        if min(fixed, default=0) < -1 or fixed.count(-1) > 1:
            return f"sizes: got {list(self.sizes or ())}, want none below 0, except one -1 for the rest"
        return self.check_patterns([self.pattern], self.into) or self.check_sizes("sizes", self.sizes or ())

    def changes(self, current: Current, place: StepPlace, on_error: OnError) -> Changes:
        """Return the parts of each tensor that the pattern matches as a whole."""
        return Changes.of(self._changes(current, place, on_error))

    def _changes(self, current: Current, place: StepPlace, on_error: OnError) -> Iterator[Change]:
        count = len(self.into)
        names = self.chosen(current, self.pattern, whole=True)
        for name, parts in self.pattern.expansions(names, self.into):
            whole = current[name]
            bounds = self._bounds(current, name) or [None] * count
            try:
                made = tuple(
                    (part, Part(whole, self.axis, i, count, bounds[i], place=place))
                    for i, part in enumerate(parts)
                )
            except PlanError as error:
                on_error(error, [name])
                made = ()
            yield Change(((name, whole),), made)

    def _bounds(self, current: Current, name: str) -> list[tuple[int, int, int] | None] | None:
        """Return start and stop of each part, and the size that the axis must have; None for equal parts."""
        if self.sizes is None:
            return None
        sizes = list(numbers(self.sizes, self.sizes_named(current, name)))
        if -1 in sizes:
            # A tensor without this axis, or too small for the other parts, is refused when it is read.
            shape = current.shape(name) or ()
            total = shape[self.axis] if -len(shape) <= self.axis < len(shape) else 0
            sizes[sizes.index(-1)] = max(0, total - sum(sizes) - 1)
        ends = [0, *accumulate(sizes)]
        return [(start, stop, ends[-1]) for start, stop in pairwise(ends)]

    def inverse(self, changes: Changes, spec: SpecOf) -> list[Step]:
        """Return a concat of the parts for each tensor."""
        steps: list[Step] = []
        for change in changes:
            parts = tuple(Pattern(exact_pattern(name)) for name, _ in change.made)
            steps.append(Concat(parts, exact_template(change.taken[0][0]), self.axis))
        return steps


@dataclass(frozen=True)
class Concat(Joining):
    """Puts tensors together along an axis."""

    verb = "concat"
    keys = ("into", "axis")
    axis: int
    comment: str = field(default="", compare=False)

    def _joined(self, operands: tuple[Expression, ...], place: StepPlace) -> Expression:
        return Concatenated(operands, self.axis, place=place)

    def inverse(self, changes: Changes, spec: SpecOf) -> list[Step]:
        """Return a split into the parts for each tensor."""
        steps: list[Step] = []
        for change in changes:
            ((target, _),) = change.made
            into = tuple(exact_template(name) for name, _ in change.taken)
            sizes = tuple(spec(part)[1][self.axis] for _, part in change.taken)
            # With sizes, even if the parts are equal: the split then refuses a tensor that is not this one.
            steps.append(Split(Pattern(exact_pattern(target)), into, self.axis, sizes))
        return steps
