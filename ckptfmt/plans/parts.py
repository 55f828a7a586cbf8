"""Parts: the steps of a plan that cut tensors into parts, and that put parts together."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, pairwise

from ckptfmt.errors import PlanError
from ckptfmt.plans.changes import Change, Changes
from ckptfmt.plans.operations import Concatenated, Part
from ckptfmt.plans.pattern import Pattern, exact_pattern, exact_template
from ckptfmt.plans.place import StepPlace
from ckptfmt.plans.step import Current, OnError, SpecOf, Step

_NUMBER = re.compile("[0-9]+")

_DIGITS = 18
"""Digits of a number in a name that are compared; int() refuses the longest numbers."""


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
