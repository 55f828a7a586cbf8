"""Steps: what a plan does, one class for each verb; more in ``removals``, ``parts`` and ``values``."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ckptfmt.dtypes import DType
from ckptfmt.errors import PlanError
from ckptfmt.plans.casts import is_castable, is_exact
from ckptfmt.plans.changes import Changes
from ckptfmt.plans.conditions import ConditionalStep, numbers
from ckptfmt.plans.current import Current
from ckptfmt.plans.expressions import Expression
from ckptfmt.plans.operations import MAX_RANK, Cast, Transposed
from ckptfmt.plans.parts import Concat, Split
from ckptfmt.plans.pattern import Pattern, exact_pattern
from ckptfmt.plans.place import StepPlace
from ckptfmt.plans.removals import Drop, Refuse
from ckptfmt.plans.reshaped import Reshaped
from ckptfmt.plans.sizes import Size
from ckptfmt.plans.step import OnError, SpecOf, Step
from ckptfmt.plans.values import Fill, Sum
from ckptfmt.text.quoting import listed


class _Renaming(Step):
    """A step that changes names and nothing else."""

    @abstractmethod
    def new_names(self, current: Current) -> Mapping[str, str]:
        """Return new names by current ones."""

    def changes(self, current: Current, place: StepPlace, on_error: OnError) -> Changes:
        """Return the same tensors under new names."""
        names = self.new_names(current)
        # A tensor whose new name is the old one is taken too: it counts as touched, which matters for
        # ``rest``.
        taken = {name: current[name] for name in names}
        return Changes(taken, list(names.values()), list(taken.values()))

    def inverse(self, changes: Changes, spec: SpecOf) -> list[Step]:
        """Return a table of the old names by the new ones."""
        pairs = zip(changes.names, changes.taken, strict=True)
        back = {new: old for new, old in pairs if new != old}
        return [RenameTable(back)] if back else []


@dataclass(frozen=True)
class _Transformation(ConditionalStep):
    """A step that changes each tensor that its pattern is found in, and no name."""

    pattern: Pattern

    @abstractmethod
    def _apply(self, operand: Expression, sizes: Mapping[str, int], place: StepPlace) -> Expression:
        """Return what becomes of one tensor; PlanError if the expression gets too deep."""

    def changes(self, current: Current, place: StepPlace, on_error: OnError) -> Changes:
        """Return the transformed tensors under the names they have."""
        names = self.pattern.found_in(self.chosen(current, self.pattern))
        taken = {name: current[name] for name in names}
        made = []
        for name, operand in taken.items():
            try:
                made.append(self._apply(operand, self.sizes_named(current, name), place))
            except PlanError as error:
                on_error(error, [name])
                # Unchanged, so that a dry run or a lint can go on to the steps that follow.
                made.append(operand)
        return Changes(taken, list(taken), made)

    def _patterns_back(self, changes: Changes, olds: Sequence[object]) -> list[Pattern]:
        """Return the patterns of the steps that undo this one; ``olds`` is what they restore."""
        # A transformation changes no name, so after it its own pattern still finds the same tensors; but its
        # conditions may not hold any more.
        if len(set(olds)) == 1 and not self.is_conditional:
            return [self.pattern]
        return [Pattern(exact_pattern(name)) for name in changes.taken]


@dataclass(frozen=True)
class Rename(ConditionalStep, _Renaming):
    """Replaces what a regular expression finds in names, as ``re.sub`` does."""

    verb = "rename"
    keys = ("to",)
    pattern: Pattern
    to: str
    comment: str = field(default="", compare=False)

    def check(self) -> str | None:
        """Return what is wrong with the pattern or the replacement."""
        return self.check_patterns([self.pattern], [self.to])

    def new_names(self, current: Current) -> Mapping[str, str]:
        """Return the names that the pattern is found in, with its matches replaced."""
        return self.pattern.replacements(self.chosen(current, self.pattern), self.to)


@dataclass(frozen=True)
class RenameTable(_Renaming):
    """Renames tensors one by one."""

    verb = "rename"
    subject = "names"
    names: Mapping[str, str]
    """New names by old ones."""
    comments: Mapping[str, str] = field(default_factory=dict, compare=False)
    """Text written after a pair in a file, by its old name; not read back."""
    comment: str = field(default="", compare=False)

    def check(self) -> str | None:
        """Return None: a table always makes sense."""
        return None

    def new_names(self, current: Current) -> Mapping[str, str]:
        """Return the pairs of the table whose tensor exists."""
        return {name: new for name, new in self.names.items() if name in current}

    def __str__(self) -> str:
        return f"rename of {len(self.names)} names"


@dataclass(frozen=True)
class Transpose(_Transformation):
    """Puts axes in another order."""

    verb = "transpose"
    keys = ("axes",)
    pattern: Pattern
    axes: tuple[int, ...] | None = None
    """For each axis, the one that it was before; None reverses them."""
    comment: str = field(default="", compare=False)

    def check(self) -> str | None:
        """Return what is wrong if the axes are not a permutation."""
        if self.axes is not None and sorted(self._from_front or ()) != list(range(len(self.axes))):
            return f"axes: got {list(self.axes)}, want a permutation of 0 to {len(self.axes) - 1}"
        return self.check_patterns([self.pattern])

    def _apply(self, operand: Expression, sizes: Mapping[str, int], place: StepPlace) -> Expression:
        return Transposed(operand, self._from_front, place=place)

    def inverse(self, changes: Changes, spec: SpecOf) -> list[Step]:
        """Return the transpose with the inverse permutation."""
        if not changes.taken:
            return []
        axes = self._from_front
        # Sorting the axes by where they came from inverts the permutation.
        back = axes and tuple(sorted(range(len(axes)), key=axes.__getitem__))
        return [Transpose(pattern, back) for pattern in self._patterns_back(changes, [back])]

    @property
    def _from_front(self) -> tuple[int, ...] | None:
        """The axes, all of them counted from the front."""
        rank = len(self.axes or ())
        return self.axes and tuple(axis + rank if -rank <= axis < 0 else axis for axis in self.axes)


@dataclass(frozen=True)
class Reshape(_Transformation):
    """Gives tensors another shape."""

    verb = "reshape"
    keys = ("shape",)
    pattern: Pattern
    shape: tuple[Size, ...]
    """Numbers, or the names that ``shaped`` gives to sizes. One number may be -1."""
    comment: str = field(default="", compare=False)

    def check(self) -> str | None:
        """Return what is wrong if the sizes cannot be a shape."""
        fixed = [size for size in self.shape if isinstance(size, int)]
        if min(fixed, default=0) < -1 or fixed.count(-1) > 1 or len(self.shape) > MAX_RANK:
            return f"shape: got {list(self.shape)}, want at most {MAX_RANK} sizes, one of them -1 at most"
        return self.check_patterns([self.pattern]) or self.check_sizes("shape", self.shape)

    def _apply(self, operand: Expression, sizes: Mapping[str, int], place: StepPlace) -> Expression:
        return Reshaped(operand, numbers(self.shape, sizes), place=place)

    def inverse(self, changes: Changes, spec: SpecOf) -> list[Step]:
        """Return a reshape to the old shape, or one for each tensor if their shapes differed."""
        shapes = [spec(operand)[1] for operand in changes.taken.values()]
        patterns = self._patterns_back(changes, shapes)
        # If one pattern stands for all tensors, their shapes are the same, and the first of them is used.
        return [Reshape(pattern, shape) for pattern, shape in zip(patterns, shapes, strict=False)]


@dataclass(frozen=True)
class CastTo(_Transformation):
    """Converts elements to another dtype."""

    verb = "cast"
    keys = ("dtype",)
    pattern: Pattern
    dtype: DType
    comment: str = field(default="", compare=False)

    def check(self) -> str | None:
        """Return what is wrong if the dtype is not one of numbers."""
        if not is_castable(self.dtype):
            return f"dtype: got {self.dtype.name!r}, want one of numbers or bool"
        return self.check_patterns([self.pattern])

    def _apply(self, operand: Expression, sizes: Mapping[str, int], place: StepPlace) -> Expression:
        return Cast(operand, self.dtype, place=place)

    def lossy(self, taken: Mapping[str, Expression], spec: SpecOf) -> dict[DType, list[str]]:
        """Return the names of tensors whose values the cast may change, by the dtype they had."""
        names: dict[DType, list[str]] = {}
        for name, operand in taken.items():
            dtype = spec(operand)[0]
            if not is_exact(dtype, self.dtype):
                names.setdefault(dtype, []).append(name)
        return names

    def inverse(self, changes: Changes, spec: SpecOf) -> list[Step]:
        """Return a cast to the old dtype, or one for each tensor if their dtypes differed."""
        lossy = self.lossy(changes.taken, spec)
        if lossy:
            olds = ", ".join(dtype.name for dtype in lossy)
            names = [name for group in lossy.values() for name in group]
            raise PlanError(
                f"cast of {listed(names)} from {olds} to {self.dtype.name}: values may have changed"
            )
        dtypes = [spec(operand)[0] for operand in changes.taken.values()]
        patterns = self._patterns_back(changes, dtypes)
        return [CastTo(pattern, dtype) for pattern, dtype in zip(patterns, dtypes, strict=False)]


STEPS: tuple[type[Step], ...] = (
    Rename, Drop, Transpose, Reshape, CastTo, Split, Concat, Fill, Sum, Refuse,
)  # fmt: skip
"""One class for each verb, in the order of the documentation."""
