"""Joining: steps that make one tensor of several, which are grouped by what their names share."""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ckptfmt.errors import PlanError
from ckptfmt.plans.changes import Change, Changes
from ckptfmt.plans.conditions import ConditionalStep
from ckptfmt.plans.current import Current
from ckptfmt.plans.expressions import Expression
from ckptfmt.plans.pattern import Pattern
from ckptfmt.plans.place import StepPlace
from ckptfmt.plans.step import OnError

_NUMBER = re.compile("[0-9]+")

_DIGITS = 18
"""Digits of a number in a name that are compared; int() refuses the longest numbers."""


@dataclass(frozen=True)
class Joining(ConditionalStep):
    """A step that makes one tensor of several."""

    subject = "patterns"
    patterns: tuple[Pattern, ...]
    """One for each part; a single one matches all parts, which are ordered by the numbers in their names."""
    into: str

    @abstractmethod
    def _joined(self, operands: tuple[Expression, ...], place: StepPlace) -> Expression:
        """Return what becomes of the parts; PlanError if the expression gets too deep."""

    def check(self) -> str | None:
        """Return what is wrong with the patterns or the new name."""
        if not self.patterns:
            return f"{self.verb}: got no patterns, want one for each part"
        return self.check_patterns(self.patterns, [self.into])

    def changes(self, current: Current, place: StepPlace, on_error: OnError) -> Changes:
        """Return one tensor for each name that the patterns' matches give to their parts."""
        return Changes.of(self._changes(current, place, on_error))

    def _changes(self, current: Current, place: StepPlace, on_error: OnError) -> Iterator[Change]:
        for target, names in self._groups(current, place, on_error).items():
            taken = tuple((name, current[name]) for name in names)
            try:
                joined = self._joined(tuple(expression for _, expression in taken), place)
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
                    on_error(place.error(f"{self.verb} into {target!r} lacks a part: {gap}"), names)
                else:
                    groups[target] = names
                continue
            missing = [p.text for p, names in zip(self.patterns, parts, strict=True) if not names]
            several = [names for names in parts if len(names) > 1]
            if missing:
                wanted = ", ".join(map(repr, missing[:3]))
                on_error(
                    place.error(f"{self.verb} into {target!r} lacks a part: nothing matches {wanted}"),
                    [target],
                )
            elif several:
                what = f"several tensors for one part of a {self.verb}"
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
            for name, (target,) in pattern.expansions(self.chosen(current, pattern, whole=True), [self.into]):
                if name in target_of:
                    what = f"{name!r} is used twice, for {target_of[name]!r} and for {target!r}"
                    on_error(place.error(what), [name])
                    continue
                target_of[name] = target
                if target not in matches:
                    matches[target] = [[] for _ in self.patterns]
                matches[target][number].append(name)
        return matches


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
