"""Steps: what a plan does, one class for each verb."""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, pairwise

from ckptfmt.dtypes import DType
from ckptfmt.errors import PlanError
from ckptfmt.plans.casts import is_castable, is_exact
from ckptfmt.plans.changes import Change, Changes
from ckptfmt.plans.expressions import Expression
from ckptfmt.plans.operations import MAX_RANK, Cast, Concatenated, Part, Reshaped, Transposed
from ckptfmt.plans.pattern import Pattern, exact_pattern, exact_template
from ckptfmt.plans.place import StepPlace
from ckptfmt.plans.step import Current, OnError, SpecOf, Step
from ckptfmt.text.quoting import listed

_NUMBER = re.compile("[0-9]+")

_DIGITS = 18
"""Digits of a number in a name that are compared; int() refuses the longest numbers."""


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


class _Transformation(Step):
    """A step that changes each tensor that its pattern is found in, and no name."""

    pattern: Pattern

    @abstractmethod
    def _apply(self, operand: Expression, place: StepPlace) -> Expression:
        """Return what becomes of one tensor; PlanError if the expression gets too deep."""

    def changes(self, current: Current, place: StepPlace, on_error: OnError) -> Changes:
        """Return the transformed tensors under the names they have."""
        taken = {name: current[name] for name in self.pattern.found_in(current)}
        made = []
        for name, operand in taken.items():
            try:
                made.append(self._apply(operand, place))
            except PlanError as error:
                on_error(error, [name])
                # Unchanged, so that a dry run or a lint can go on to the steps that follow.
                made.append(operand)
        return Changes(taken, list(taken), made)


@dataclass(frozen=True)
class Rename(_Renaming):
    """Replaces what a regular expression finds in names, as ``re.sub`` does."""

    verb = "rename"
    keys = ("to",)
    pattern: Pattern
    to: str
    comment: str = field(default="", compare=False)

    def check(self) -> str | None:
        """Return what is wrong with the pattern or the replacement."""
        return self.pattern.check() or self.pattern.check_template(self.to)

    def new_names(self, current: Current) -> Mapping[str, str]:
        """Return the names that the pattern is found in, with its matches replaced."""
        return self.pattern.replacements(current, self.to)


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
class Drop(Step):
    """Leaves tensors out."""

    verb = "drop"
    pattern: Pattern
    comment: str = field(default="", compare=False)

    def check(self) -> str | None:
        """Return what is wrong with the pattern."""
        return self.pattern.check()

    def changes(self, current: Current, place: StepPlace, on_error: OnError) -> Changes:
        """Return the tensors that the pattern is found in as taken, and nothing as made."""
        taken = {name: current[name] for name in self.pattern.found_in(current)}
        return Changes(taken, (), (), [(1, 0)] * len(taken))

    def inverse(self, changes: Changes, spec: SpecOf) -> list[Step]:
        """Return no steps if nothing was dropped; otherwise PlanError."""
        if changes.taken:
            raise PlanError(f"drop of {listed(changes.taken)}: dropped tensors cannot be restored")
        return []


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
        return self.pattern.check()

    def _apply(self, operand: Expression, place: StepPlace) -> Expression:
        return Transposed(operand, self._from_front, place=place)

    def inverse(self, changes: Changes, spec: SpecOf) -> list[Step]:
        """Return the transpose with the inverse permutation."""
        if not changes.taken:
            return []
        axes = self._from_front
        # Sorting the axes by where they came from inverts the permutation.
        back = axes and tuple(sorted(range(len(axes)), key=axes.__getitem__))
        return [Transpose(self.pattern, back)]

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
    shape: tuple[int, ...]
    comment: str = field(default="", compare=False)

    def check(self) -> str | None:
        """Return what is wrong if the sizes cannot be a shape."""
        if min(self.shape, default=0) < -1 or self.shape.count(-1) > 1 or len(self.shape) > MAX_RANK:
            return f"shape: got {list(self.shape)}, want at most {MAX_RANK} sizes, one of them -1 at most"
        return self.pattern.check()

    def _apply(self, operand: Expression, place: StepPlace) -> Expression:
        return Reshaped(operand, self.shape, place=place)

    def inverse(self, changes: Changes, spec: SpecOf) -> list[Step]:
        """Return a reshape to the old shape, or one for each tensor if their shapes differed."""
        shapes = [spec(operand)[1] for operand in changes.taken.values()]
        patterns = _patterns_back(self.pattern, changes, shapes)
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
        return self.pattern.check()

    def _apply(self, operand: Expression, place: StepPlace) -> Expression:
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
        patterns = _patterns_back(self.pattern, changes, dtypes)
        return [CastTo(pattern, dtype) for pattern, dtype in zip(patterns, dtypes, strict=False)]


@dataclass(frozen=True)
class Split(Step):
    """Cuts tensors into parts along an axis."""

    verb = "split"
    keys = ("into", "axis", "sizes")
    pattern: Pattern
    into: tuple[str, ...]
    axis: int
    sizes: tuple[int, ...] | None = None
    """The size of each part along the axis; None for parts of equal size."""
    comment: str = field(default="", compare=False)

    def check(self) -> str | None:
        """Return what is wrong with the names, the sizes or the pattern."""
        if not self.into:
            return "into: got no names, want one for each part"
        if self.sizes is not None and len(self.sizes) != len(self.into):
            return f"sizes: got {len(self.sizes)}, want {len(self.into)}, one for each name of into"
        if self.sizes is not None and min(self.sizes) < 0:
            return f"sizes: got {list(self.sizes)}, want none below 0"
        wrong = self.pattern.check()
        return wrong or next(filter(None, map(self.pattern.check_template, self.into)), None)

    def changes(self, current: Current, place: StepPlace, on_error: OnError) -> Changes:
        """Return the parts of each tensor that the pattern matches as a whole."""
        return Changes.of(self._changes(current, place, on_error))

    def _changes(self, current: Current, place: StepPlace, on_error: OnError) -> Iterator[Change]:
        count = len(self.into)
        bounds: list[tuple[int, int, int] | None] = [None] * count
        if self.sizes is not None:
            ends = [0, *accumulate(self.sizes)]
            # The last number is the size that the axis must have. It is compared later: shapes are not known
            # here.
            bounds = [(start, stop, ends[-1]) for start, stop in pairwise(ends)]
        for name, parts in self.pattern.expansions(current, self.into):
            whole = current[name]
            try:
                made = tuple(
                    (part, Part(whole, self.axis, i, count, bounds[i], place=place))
                    for i, part in enumerate(parts)
                )
            except PlanError as error:
                on_error(error, [name])
                made = ()
            yield Change(((name, whole),), made)

    def inverse(self, changes: Changes, spec: SpecOf) -> list[Step]:
        """Return a concat of the parts for each tensor."""
        steps: list[Step] = []
        for change in changes:
            parts = tuple(Pattern(exact_pattern(name)) for name, _ in change.made)
            steps.append(Concat(parts, exact_template(change.taken[0][0]), self.axis))
        return steps


@dataclass(frozen=True)
class Concat(Step):
    """Puts tensors together along an axis."""

    verb = "concat"
    subject = "patterns"
    keys = ("into", "axis")
    patterns: tuple[Pattern, ...]
    """One for each part; a single one matches all parts, which are ordered by the numbers in their names."""
    into: str
    axis: int
    comment: str = field(default="", compare=False)

    def check(self) -> str | None:
        """Return what is wrong with the patterns or the new name."""
        if not self.patterns:
            return "concat: got no patterns, want one for each part"
        for pattern in self.patterns:
            wrong = pattern.check() or pattern.check_template(self.into)
            if wrong:
                return wrong
        return None

    def changes(self, current: Current, place: StepPlace, on_error: OnError) -> Changes:
        """Return one tensor for each name that the patterns' matches give to their parts."""
        return Changes.of(self._changes(current, place, on_error))

    def _changes(self, current: Current, place: StepPlace, on_error: OnError) -> Iterator[Change]:
        for target, names in self._groups(current, place, on_error).items():
            taken = tuple((name, current[name]) for name in names)
            operands = tuple(expression for _, expression in taken)
            try:
                joined = Concatenated(operands, self.axis, place=place)
            except PlanError as error:
                on_error(error, list(names))
                yield Change(taken, ())
                continue
            yield Change(taken, ((target, joined),))

    def _groups(self, current: Current, place: StepPlace, on_error: OnError) -> dict[str, list[str]]:
        """Return the names of the parts, in order, by the name of the tensor made of them."""
        # Each pattern must match one tensor for every target, except that a single pattern matches all the
        # parts of a target. A target that misses a part is left out, so that a checkpoint that lacks a shard
        # is never concatenated into something shorter.
        groups = {}
        for target, parts in self._matches(current, place, on_error).items():
            if len(self.patterns) == 1:
                names = sorted(parts[0], key=_by_numbers)
                gap = _gap(names)
                if gap:
                    on_error(place.error(f"concat into {target!r} lacks a part: {gap}"), names)
                else:
                    groups[target] = names
                continue
            missing = [p.text for p, names in zip(self.patterns, parts, strict=True) if not names]
            several = [names for names in parts if len(names) > 1]
            if missing:
                wanted = ", ".join(map(repr, missing[:3]))
                on_error(
                    place.error(f"concat into {target!r} lacks a part: nothing matches {wanted}"), [target]
                )
            elif several:
                what = "several tensors for one part of a concat"
                on_error(place.conflict(what, {target: several[0]}), [target])
            else:
                groups[target] = [name for (name,) in parts]
        return groups

    def _matches(self, current: Current, place: StepPlace, on_error: OnError) -> dict[str, list[list[str]]]:
        """Return the names that each pattern matches, by the name of the tensor made of them."""
        # The template of the target is filled from every match, so that parts find one another by what their
        # names share: matches of '^(.*)/q$' and '^(.*)/k$' meet in the target '\1/qk' of the same layer.
        matches: dict[str, list[list[str]]] = {}
        target_of: dict[str, str] = {}
        for number, pattern in enumerate(self.patterns):
            for name, (target,) in pattern.expansions(current, [self.into]):
                if name in target_of:
                    what = f"{name!r} is used twice, for {target_of[name]!r} and for {target!r}"
                    on_error(place.error(what), [name])
                    continue
                target_of[name] = target
                if target not in matches:
                    matches[target] = [[] for _ in self.patterns]
                matches[target][number].append(name)
        return matches

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


STEPS: tuple[type[Step], ...] = (Rename, Drop, Transpose, Reshape, CastTo, Split, Concat)
"""One class for each verb, in the order of the documentation."""


def _patterns_back(pattern: Pattern, changes: Changes, olds: Sequence[object]) -> list[Pattern]:
    """Return the patterns of the steps that restore old shapes or dtypes: one step if all are the same."""
    # A transformation changes no name, so after it its own pattern still finds the same tensors.
    if len(set(olds)) == 1:
        return [pattern]
    return [Pattern(exact_pattern(name)) for name in changes.taken]


def _by_numbers(name: str) -> tuple[list[tuple[int, str]], str]:
    """Return a sort key that compares names by the numbers in them."""
    # Without leading zeros, the number with more digits is the larger one. Not int(), which refuses very long
    # numbers.
    numbers = (digits.lstrip("0") for digits in _NUMBER.findall(name))
    return [(len(digits), digits) for digits in numbers], name


def _gap(names: Sequence[str]) -> str | None:
    """Return what is missing among names in which one number counts up; None if nothing seems to be."""
    # Exactly one of the numbers in names like layer_2/part_7_of_12 should differ from name to name. Only then
    # does a jump in it mean that a part is missing; otherwise the writer may have chosen the numbers so.
    numbers = [[int(digits[:_DIGITS]) for digits in _NUMBER.findall(name)] for name in names]
    if len({len(each) for each in numbers}) != 1:
        return None
    counting = [column for column in zip(*numbers, strict=True) if len(set(column)) > 1]
    if len(counting) != 1:
        return None
    for name, number, following in zip(names, counting[0], counting[0][1:], strict=False):
        if following > number + 1:
            return f"no number {number + 1} after {name!r}"
    return None
