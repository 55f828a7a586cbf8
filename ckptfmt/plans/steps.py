r"""Steps: what a plan does, one verb each.

A step takes tensors by the names that the steps before it gave them, and gives back what it makes of them:
:class:`Event` by :class:`Event`, one for each tensor or group of tensors, so that everything else (names made
twice, what became of a source, how to undo it) follows from what steps tell.

A pattern that is a literal between ``^`` and ``$``, ``^dense/kernel$``, stands for exactly that name and is
looked up, not searched for: a plan of many such steps takes time for its steps, not for steps times names.
"""

from __future__ import annotations

import re
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import accumulate, pairwise
from typing import ClassVar, NamedTuple, TypeAlias

from ckptfmt.arrays.shape import Shape
from ckptfmt.dtypes import DTYPES, DType
from ckptfmt.errors import CkptfmtError, NameConflictError, PlanError
from ckptfmt.plans.expressions import (
    MAX_RANK,
    Cast,
    Concatenated,
    Expression,
    Part,
    Place,
    Reshaped,
    Transposed,
    is_castable,
    is_exact,
)

_SPECIAL = frozenset(".^$*+?{}[]|()")

_NUMBER = re.compile("[0-9]+")

_GROUP = re.compile(r"\\([1-9])")
_SIMPLE = re.compile(r"[^\\]*(?:\\[1-9](?![0-9])[^\\]*)+")

_DIGITS = 18
"""Of longer numbers, which count nothing, int() would refuse the longest."""


Claims: TypeAlias = "Mapping[str, Expression]"
"""The tensors on their way through a plan, under the names they have by now."""
Report: TypeAlias = "Callable[[CkptfmtError, Sequence[str]], None]"
"""Takes an error and the names it is about; raises it, or keeps it in a list."""
SpecOf: TypeAlias = "Callable[[Expression], tuple[DType, Shape]]"


class Event(NamedTuple):
    """What a step does to tensors that belong together."""

    taken: tuple[tuple[str, Expression], ...]
    """The tensors it takes, under the names they had."""
    made: tuple[tuple[str, Expression], ...]
    """Those it makes of them."""


@dataclass(frozen=True)
class Pattern:
    """A regular expression, or the one name that a literal between ``^`` and ``$`` stands for."""

    text: str

    @cached_property
    def literal(self) -> str | None:
        """The name that is meant, or None where it takes a search."""
        if len(self.text) < 2 or self.text[0] != "^" or self.text[-1] != "$":
            return None
        inner = self.text[1:-1]
        if "\\" not in inner:
            return None if _SPECIAL.intersection(inner) else inner
        chars = []
        characters = iter(inner)
        for char in characters:
            if char == "\\":
                char = next(characters, "a")
                if char.isalnum():
                    return None  # a class, a group, or the $ itself escaped
            elif char in _SPECIAL:
                return None
            chars.append(char)
        return "".join(chars)

    @cached_property
    def regex(self) -> re.Pattern[str]:
        """The compiled regular expression."""
        return re.compile(self.text)

    def check(self) -> str | None:
        """Return what is wrong with it, or None."""
        if self.literal is None:
            try:
                self.regex  # noqa: B018  (compiles it)
            except (re.error, RecursionError, OverflowError, ValueError) as error:
                return f"{self.text!r} is no regular expression: {str(error) or type(error).__name__}"
        return None

    def check_template(self, template: str) -> str | None:
        """Return what is wrong with a replacement for it, or None."""
        if "\\" in template:
            try:
                # Whether or not there is a match, the template is parsed first.
                self.regex.sub(template, "")
            except (re.error, IndexError, ValueError) as error:
                return f"{template!r} is no replacement for {self.text!r}: {error}"
        return None

    def found_in(self, names: Collection[str]) -> Iterable[str]:
        """Return the names it is found in."""
        if self.literal is None:
            return filter(self.regex.search, names)
        return (self.literal,) if self.literal in names else ()

    def replacements(self, names: Collection[str], template: str) -> dict[str, str]:
        """Return the names it is found in, and these with what is found replaced."""
        if self.literal is not None:
            return {self.literal: self._expanded(template, None)} if self.literal in names else {}
        subn, filled = self.regex.subn, _filled(template)
        return {name: new for name in names for new, count in (subn(filled, name),) if count}

    def expansions(self, names: Collection[str], templates: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
        """Yield the names that it matches whole, and what the templates become for each."""
        if self.literal is not None:
            if self.literal in names:
                yield self.literal, [self._expanded(template, None) for template in templates]
            return
        match = self.regex.fullmatch
        for name in names:
            found = match(name)
            if found:
                yield name, [self._expanded(template, found) for template in templates]

    def _expanded(self, template: str, found: re.Match[str] | None) -> str:
        if "\\" not in template:
            return template
        if found is None:
            assert self.literal is not None
            # A literal has no groups but itself, \g<0>.
            found = re.compile(re.escape(self.literal)).fullmatch(self.literal)
            assert found is not None
        return found.expand(template)


def _filled(template: str) -> str | Callable[[re.Match[str]], str]:
    r"""The template of a replacement, or a function that does the same sooner.

    Before Python 3.12 ``re`` fills templates in Python: text with ``\1`` to ``\9`` in it is filled here.
    """
    if sys.version_info >= (3, 12) or not _SIMPLE.fullmatch(template):
        return template
    texts = _GROUP.split(template)[::2]
    groups = [int(number) for number in _GROUP.findall(template)]
    if len(groups) == 1:
        (before, after), (group,) = texts, groups
        return lambda found: before + (found[group] or "") + after
    first, *rest = texts
    return lambda found: (
        first
        + "".join(
            [part for group, text in zip(groups, rest, strict=True) for part in (found[group] or "", text)]
        )
    )


def exact_pattern(name: str) -> str:
    """Return the pattern that stands for one name."""
    return f"^{re.escape(name)}$"


def exact_template(name: str) -> str:
    """Return the replacement that gives one name."""
    return name.replace("\\", "\\\\")


class Step(ABC):
    """One step of a plan; each kind is a frozen dataclass."""

    verb: ClassVar[str]
    """What it is called in a plan."""
    keys: ClassVar[tuple[str, ...]] = ()
    """The keys it has beside its verb."""
    comment: str
    """Lines written above it, not read back."""

    @abstractmethod
    def fields(self) -> dict[str, object]:
        """Return its keys and values in a plan, the verb first."""

    @abstractmethod
    def check(self) -> str | None:
        """Return what makes no sense in it, or None."""

    @abstractmethod
    def events(self, claims: Claims, place: Place, report: Report) -> Iterator[Event]:
        """Yield what it does to the tensors there are."""

    @abstractmethod
    def inverse(self, events: Sequence[Event], spec: SpecOf) -> list[Step]:
        """Return the steps that undo what it did; PlanError where nothing can."""

    def new_names(self, claims: Claims) -> Mapping[str, str] | None:
        """Return the new names by old ones, where the step gives names and does nothing else; else None."""
        return None

    def __str__(self) -> str:
        first, *rest = self.fields().items()
        return " ".join(f"{key} {value!r}" for key, value in (first, *rest))


@dataclass(frozen=True)
class Rename(Step):
    """Replaces what a regular expression finds in names, as ``re.sub`` does."""

    verb = "rename"
    keys = ("to",)
    pattern: Pattern
    to: str
    comment: str = field(default="", compare=False)

    def fields(self) -> dict[str, object]:  # noqa: D102
        return {"rename": self.pattern.text, "to": self.to}

    def check(self) -> str | None:  # noqa: D102
        return self.pattern.check() or self.pattern.check_template(self.to)

    def new_names(self, claims: Claims) -> Mapping[str, str]:  # noqa: D102
        return self.pattern.replacements(claims, self.to)

    def events(self, claims: Claims, place: Place, report: Report) -> Iterator[Event]:  # noqa: D102
        return _renamed(claims, self.new_names(claims))

    def inverse(self, events: Sequence[Event], spec: SpecOf) -> list[Step]:  # noqa: D102
        return _names_back(events)


@dataclass(frozen=True)
class RenameTable(Step):
    """Renames tensors one by one."""

    verb = "rename"
    names: Mapping[str, str]
    """New names by old ones."""
    comments: Mapping[str, str] = field(default_factory=dict, compare=False)
    """Text written behind a pair, by its old name; not read back."""
    comment: str = field(default="", compare=False)

    def fields(self) -> dict[str, object]:  # noqa: D102
        return {"rename": dict(self.names)}

    def check(self) -> str | None:  # noqa: D102
        return None

    def new_names(self, claims: Claims) -> Mapping[str, str]:  # noqa: D102
        return {name: new for name, new in self.names.items() if name in claims}

    def events(self, claims: Claims, place: Place, report: Report) -> Iterator[Event]:  # noqa: D102
        return _renamed(claims, self.new_names(claims))

    def inverse(self, events: Sequence[Event], spec: SpecOf) -> list[Step]:  # noqa: D102
        return _names_back(events)

    def __str__(self) -> str:
        return f"rename of {len(self.names)} names"


@dataclass(frozen=True)
class Drop(Step):
    """Leaves tensors out."""

    verb = "drop"
    pattern: Pattern
    comment: str = field(default="", compare=False)

    def fields(self) -> dict[str, object]:  # noqa: D102
        return {"drop": self.pattern.text}

    def check(self) -> str | None:  # noqa: D102
        return self.pattern.check()

    def events(self, claims: Claims, place: Place, report: Report) -> Iterator[Event]:  # noqa: D102
        for name in self.pattern.found_in(claims):
            yield Event(((name, claims[name]),), ())

    def inverse(self, events: Sequence[Event], spec: SpecOf) -> list[Step]:  # noqa: D102
        if events:
            raise PlanError(f"drop of {_listed(events)}: what is dropped is gone")
        return []


@dataclass(frozen=True)
class Transpose(Step):
    """Puts axes in another order."""

    verb = "transpose"
    keys = ("axes",)
    pattern: Pattern
    axes: tuple[int, ...] | None = None
    """None reverses them."""
    comment: str = field(default="", compare=False)

    def fields(self) -> dict[str, object]:  # noqa: D102
        axes = {} if self.axes is None else {"axes": list(self.axes)}
        return {"transpose": self.pattern.text, **axes}

    def check(self) -> str | None:  # noqa: D102
        if self.axes is not None and sorted(self._from_front or ()) != list(range(len(self.axes))):
            return f"axes: got {list(self.axes)}, want a permutation of 0 to {len(self.axes) - 1}"
        return self.pattern.check()

    def events(self, claims: Claims, place: Place, report: Report) -> Iterator[Event]:  # noqa: D102
        axes = self._from_front

        def transposed(operand: Expression) -> Expression:
            return Transposed(operand, axes, place)

        return _transformed(self.pattern, claims, transposed, report)

    def inverse(self, events: Sequence[Event], spec: SpecOf) -> list[Step]:  # noqa: D102
        if not events:
            return []
        axes = self._from_front
        back = axes and tuple(sorted(range(len(axes)), key=axes.__getitem__))
        return [Transpose(self.pattern, back)]

    @property
    def _from_front(self) -> tuple[int, ...] | None:
        """The axes, those counted from the end counted from the front."""
        rank = len(self.axes or ())
        return self.axes and tuple(axis + rank if -rank <= axis < 0 else axis for axis in self.axes)


@dataclass(frozen=True)
class Reshape(Step):
    """Gives elements another shape."""

    verb = "reshape"
    keys = ("shape",)
    pattern: Pattern
    shape: tuple[int, ...]
    comment: str = field(default="", compare=False)

    def fields(self) -> dict[str, object]:  # noqa: D102
        return {"reshape": self.pattern.text, "shape": list(self.shape)}

    def check(self) -> str | None:  # noqa: D102
        if min(self.shape, default=0) < -1 or self.shape.count(-1) > 1 or len(self.shape) > MAX_RANK:
            return f"shape: got {list(self.shape)}, want at most {MAX_RANK} sizes, one of them -1 at most"
        return self.pattern.check()

    def events(self, claims: Claims, place: Place, report: Report) -> Iterator[Event]:  # noqa: D102
        def reshaped(operand: Expression) -> Expression:
            return Reshaped(operand, self.shape, place)

        return _transformed(self.pattern, claims, reshaped, report)

    def inverse(self, events: Sequence[Event], spec: SpecOf) -> list[Step]:  # noqa: D102
        shapes = [spec(event.taken[0][1])[1] for event in events]
        if len(set(shapes)) == 1:
            return [Reshape(self.pattern, shapes[0])]
        names = (event.taken[0][0] for event in events)
        return [
            Reshape(Pattern(exact_pattern(name)), shape) for name, shape in zip(names, shapes, strict=True)
        ]


@dataclass(frozen=True)
class CastTo(Step):
    """Converts elements to another dtype."""

    verb = "cast"
    keys = ("dtype",)
    pattern: Pattern
    dtype: DType
    comment: str = field(default="", compare=False)

    def fields(self) -> dict[str, object]:  # noqa: D102
        return {"cast": self.pattern.text, "dtype": self.dtype.name}

    def check(self) -> str | None:  # noqa: D102
        if not is_castable(self.dtype):
            return f"dtype: got {self.dtype.name!r}, want one of numbers or bool"
        return self.pattern.check()

    def events(self, claims: Claims, place: Place, report: Report) -> Iterator[Event]:  # noqa: D102
        def cast(operand: Expression) -> Expression:
            return Cast(operand, self.dtype, place)

        return _transformed(self.pattern, claims, cast, report)

    def lossy(self, events: Sequence[Event], spec: SpecOf) -> dict[DType, list[str]]:
        """Return the names of what it may change the values of, by the dtype they had."""
        found: dict[DType, list[str]] = {}
        for event in events:
            ((name, expression),) = event.taken
            dtype = spec(expression)[0]
            if not is_exact(dtype, self.dtype):
                found.setdefault(dtype, []).append(name)
        return found

    def inverse(self, events: Sequence[Event], spec: SpecOf) -> list[Step]:  # noqa: D102
        lossy = self.lossy(events, spec)
        if lossy:
            dtypes = ", ".join(dtype.name for dtype in lossy)
            names = [name for group in lossy.values() for name in group]
            raise PlanError(
                f"cast of {named(names)} from {dtypes} to {self.dtype.name}: values may have changed"
            )
        dtypes_before = [spec(event.taken[0][1])[0] for event in events]
        if len(set(dtypes_before)) == 1:
            return [CastTo(self.pattern, dtypes_before[0])]
        names_before = [event.taken[0][0] for event in events]
        return [
            CastTo(Pattern(exact_pattern(name)), dtype)
            for name, dtype in zip(names_before, dtypes_before, strict=True)
        ]


@dataclass(frozen=True)
class Split(Step):
    """Cuts tensors into parts along an axis."""

    verb = "split"
    keys = ("into", "axis", "sizes")
    pattern: Pattern
    into: tuple[str, ...]
    axis: int
    sizes: tuple[int, ...] | None = None
    """None for parts of one size."""
    comment: str = field(default="", compare=False)

    def fields(self) -> dict[str, object]:  # noqa: D102
        sizes = {} if self.sizes is None else {"sizes": list(self.sizes)}
        return {"split": self.pattern.text, "into": list(self.into), "axis": self.axis, **sizes}

    def check(self) -> str | None:  # noqa: D102
        if not self.into:
            return "into: got no names, want one for each part"
        if self.sizes is not None and len(self.sizes) != len(self.into):
            return f"sizes: got {len(self.sizes)}, want {len(self.into)}, one for each name of into"
        if self.sizes is not None and min(self.sizes) < 0:
            return f"sizes: got {list(self.sizes)}, want none below 0"
        wrong = self.pattern.check()
        return wrong or next(filter(None, map(self.pattern.check_template, self.into)), None)

    def events(self, claims: Claims, place: Place, report: Report) -> Iterator[Event]:  # noqa: D102
        count = len(self.into)
        bounds: list[tuple[int, int, int] | None] = [None] * count
        if self.sizes is not None:
            ends = [0, *accumulate(self.sizes)]
            bounds = [(start, stop, ends[-1]) for start, stop in pairwise(ends)]
        for name, news in self.pattern.expansions(claims, self.into):
            whole = claims[name]
            try:
                made = tuple(
                    (new, Part(whole, self.axis, i, count, bounds[i], place)) for i, new in enumerate(news)
                )
            except PlanError as error:
                report(error, [name])
                made = ()
            yield Event(((name, whole),), made)

    def inverse(self, events: Sequence[Event], spec: SpecOf) -> list[Step]:  # noqa: D102
        steps: list[Step] = []
        for event in events:
            parts = tuple(Pattern(exact_pattern(name)) for name, _ in event.made)
            steps.append(Concat(parts, exact_template(event.taken[0][0]), self.axis))
        return steps


@dataclass(frozen=True)
class Concat(Step):
    """Puts tensors together along an axis."""

    verb = "concat"
    keys = ("into", "axis")
    patterns: tuple[Pattern, ...]
    """One for each part; a single one matches all parts, ordered by the numbers in their names."""
    into: str
    axis: int
    comment: str = field(default="", compare=False)

    def fields(self) -> dict[str, object]:  # noqa: D102
        return {"concat": [p.text for p in self.patterns], "into": self.into, "axis": self.axis}

    def check(self) -> str | None:  # noqa: D102
        if not self.patterns:
            return "concat: got no patterns, want one for each part"
        for pattern in self.patterns:
            wrong = pattern.check() or pattern.check_template(self.into)
            if wrong:
                return wrong
        return None

    def events(self, claims: Claims, place: Place, report: Report) -> Iterator[Event]:  # noqa: D102
        groups = self._groups(claims, place, report)
        for target, parts in groups.items():
            taken = tuple((name, claims[name]) for name in parts)
            operands = tuple(expression for _, expression in taken)
            try:
                expression: Expression = Concatenated(operands, self.axis, place)
            except PlanError as error:
                report(error, list(parts))
                yield Event(taken, ())
                continue
            yield Event(taken, ((target, expression),))

    def _groups(self, claims: Claims, place: Place, report: Report) -> dict[str, list[str]]:
        """The names of the parts, in order, by what is made of them."""
        found: dict[str, list[list[str]]] = {}
        user: dict[str, str] = {}
        for number, pattern in enumerate(self.patterns):
            for name, (target,) in pattern.expansions(claims, [self.into]):
                if name in user:
                    what = f"{name!r} is used twice, for {user[name]!r} and for {target!r}"
                    report(place.error(what), [name])
                    continue
                user[name] = target
                if target not in found:
                    found[target] = [[] for _ in self.patterns]
                found[target][number].append(name)
        groups = {}
        for target, parts in found.items():
            if len(self.patterns) == 1:
                groups[target] = sorted(parts[0], key=_by_numbers)
                gap = _gap(groups[target])
                if gap:
                    report(place.error(f"concat into {target!r} misses a part: {gap}"), groups.pop(target))
                continue
            missing = [p.text for p, names in zip(self.patterns, parts, strict=True) if not names]
            several = [names for names in parts if len(names) > 1]
            if missing:
                wanted = ", ".join(map(repr, missing[:3]))
                report(
                    place.error(f"concat into {target!r} misses a part: nothing matches {wanted}"), [target]
                )
            elif several:
                report(
                    NameConflictError(
                        f"{place}{': ' if str(place) else ''}several tensors for one part of a concat",
                        names={target: several[0]},
                    ),
                    [target],
                )
            else:
                groups[target] = [name for (name,) in parts]
        return groups

    def inverse(self, events: Sequence[Event], spec: SpecOf) -> list[Step]:  # noqa: D102
        steps: list[Step] = []
        for event in events:
            ((target, _),) = event.made
            into = tuple(exact_template(name) for name, _ in event.taken)
            sizes = tuple(spec(part)[1][self.axis] for _, part in event.taken)
            steps.append(Split(Pattern(exact_pattern(target)), into, self.axis, sizes))
        return steps


STEPS: tuple[type[Step], ...] = (Rename, Drop, Transpose, Reshape, CastTo, Split, Concat)
"""One for each verb, in the order of the documentation."""

DTYPE_NAMES = {dtype.name: dtype for dtype in DTYPES.values()}
"""Dtypes as a plan names them."""


def _renamed(claims: Claims, names: Mapping[str, str]) -> Iterator[Event]:
    """What giving new names does."""
    for name, new in names.items():
        yield Event(((name, claims[name]),), ((new, claims[name]),))


def _transformed(
    pattern: Pattern, claims: Claims, transform: Callable[[Expression], Expression], report: Report
) -> Iterator[Event]:
    """What a transformation makes of the tensors a pattern is found in, under their names."""
    for name in pattern.found_in(claims):
        made = before = claims[name]
        try:
            made = transform(before)
        except PlanError as error:
            report(error, [name])
        yield Event(((name, before),), ((name, made),))


def _names_back(events: Sequence[Event]) -> list[Step]:
    """The table that takes back a renaming."""
    pairs = ((event.made[0][0], event.taken[0][0]) for event in events)
    back = {new: old for new, old in pairs if new != old}
    return [RenameTable(back)] if back else []


def _by_numbers(name: str) -> tuple[list[tuple[int, str]], str]:
    """Sorts names by the numbers in them."""
    # Leading zeros aside, a number of more digits is larger; int() refuses very long ones.
    numbers = (digits.lstrip("0") for digits in _NUMBER.findall(name))
    return [(len(digits), digits) for digits in numbers], name


def _listed(events: Sequence[Event]) -> str:
    return named([name for event in events for name, _ in event.taken])


def named(names: Sequence[str]) -> str:
    """Return names as a message has them: not all of many."""
    return ", ".join(map(repr, names[:5])) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def _gap(names: Sequence[str]) -> str | None:
    """What is missing between names of which one number counts up; None where nothing is, or none does."""
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
