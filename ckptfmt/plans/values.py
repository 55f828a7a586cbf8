"""Values: the steps of a plan that make values which no tensor has."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from ckptfmt.dtypes import DType
from ckptfmt.errors import PlanError
from ckptfmt.plans.arithmetic import Filled, Summed, fill_value
from ckptfmt.plans.casts import is_castable
from ckptfmt.plans.changes import Change, Changes
from ckptfmt.plans.conditions import ConditionalStep, numbers
from ckptfmt.plans.current import Current
from ckptfmt.plans.expressions import Expression
from ckptfmt.plans.joining import Joining
from ckptfmt.plans.operations import MAX_RANK
from ckptfmt.plans.pattern import Pattern, exact_pattern
from ckptfmt.plans.place import StepPlace
from ckptfmt.plans.removals import Drop
from ckptfmt.plans.sizes import Size
from ckptfmt.plans.step import OnError, SpecOf, Step
from ckptfmt.text.quoting import listed


@dataclass(frozen=True)
class Fill(ConditionalStep):
    """Makes a tensor of one number beside each tensor that the pattern matches, unless it exists."""

    verb = "fill"
    keys = ("into", "value", "shape", "dtype")
    pattern: Pattern
    """The tensors beside which others are made; these pass through."""
    into: str
    """The names of the tensors made."""
    value: float
    shape: tuple[Size, ...] | None = None
    """Their shape; None for that of the tensor beside them."""
    dtype: DType | None = None
    """Their dtype; None for that of the tensor beside them."""
    comment: str = field(default="", compare=False)

    def check(self) -> str | None:
        """Return what is wrong with the pattern, the new name, the shape or the dtype."""
        if self.dtype is not None and not is_castable(self.dtype):
            return f"dtype: got {self.dtype.name!r}, want one of numbers or bool"
        if self.dtype is not None and fill_value(self.value, self.dtype) is None:
            return f"value: {self.dtype.name} cannot hold {self.value!r}"
        shape = self.shape or ()
        if len(shape) > MAX_RANK or any(isinstance(size, int) and size < 0 for size in shape):
            return f"shape: got {list(shape)}, want at most {MAX_RANK} sizes"
        return self.check_patterns([self.pattern], [self.into]) or self.check_sizes("shape", shape)

    def changes(self, current: Current, place: StepPlace, on_error: OnError) -> Changes:
        """Return each tensor that the pattern matches as a whole, with the one that is made beside it."""
        return Changes.of(self._changes(current, place, on_error))

    def _changes(self, current: Current, place: StepPlace, on_error: OnError) -> Iterator[Change]:
        names = self.chosen(current, self.pattern, whole=True)
        for name, (new,) in self.pattern.expansions(names, [self.into]):
            kept = (name, current[name])
            if new in current:
                yield Change((kept,), (kept,))
                continue
            shape = self.shape if self.shape is None else numbers(self.shape, self.sizes_named(current, name))
            try:
                filled = Filled(current[name], self.value, shape, self.dtype, place=place)
            except PlanError as error:
                on_error(error, [name])
                yield Change((kept,), (kept,))
                continue
            yield Change((kept,), (kept, (new, filled)))

    def inverse(self, changes: Changes, spec: SpecOf) -> list[Step]:
        """Return drops of the tensors made."""
        return [Drop(Pattern(exact_pattern(name))) for change in changes for name, _ in change.made[1:]]


@dataclass(frozen=True)
class Sum(Joining):
    """Adds tensors up, element by element."""

    verb = "sum"
    keys = ("into",)
    comment: str = field(default="", compare=False)

    def _joined(self, operands: tuple[Expression, ...], place: StepPlace) -> Expression:
        return Summed(operands, place=place)

    def inverse(self, changes: Changes, spec: SpecOf) -> list[Step]:
        """Return no steps if nothing was added; otherwise PlanError."""
        if changes.taken:
            raise PlanError(f"sum of {listed(changes.taken)}: the parts of a sum cannot be restored")
        return []
