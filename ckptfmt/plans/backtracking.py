r"""Backtracking: how much work a regular expression can be, known from its structure before it runs.

``re`` tries one way after another to match a name. ``(a+)+$`` takes a second for 25 letters ``a`` and a
``b``, and twice as long for each further letter, so that a checkpoint whose names are made for the patterns
of a plan would hang whoever applies it. The number of ways is bounded here:

- A repeat of single characters followed by a character that it cannot contain, as in ``layer_(\d+)/``, stops
  at one place only: no choice.
- Any other repeat of single characters can stop at each place: a choice among as many ways as the name has
  characters. Choices one after another multiply.
- A repeat of something that contains a choice is exponential.

So a pattern with ``d`` choices takes at most about ``length ** (d + 2) / d!`` steps: the places of the
choices are in order, each way is as long as the name, and a search begins at every character unless it is
anchored. Most names take far fewer.
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, TypeAlias

if sys.version_info >= (3, 11):
    from re import _constants as sre  # type: ignore[attr-defined]
    from re import _parser as parser  # type: ignore[attr-defined]
else:  # pragma: no cover
    import sre_constants as sre
    import sre_parse as parser

MAX_UNROLLED = 8
"""The most repetitions that count as alternatives; more are like any number of them."""

_OTHER = 128
"""Stands for all characters that are not ASCII, in sets of characters."""

_ALL: Final = frozenset(range(_OTHER + 1))

_BEGINNINGS = (sre.AT_BEGINNING, sre.AT_BEGINNING_STRING)
_REPEATS = frozenset({"MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"})
_SINGLE = frozenset({"LITERAL", "NOT_LITERAL", "ANY", "IN"})

_Item: TypeAlias = "tuple[Any, Any]"
"""An operation of the parser, and its arguments."""
_Repeat: TypeAlias = "tuple[int, int, Iterable[_Item]]"
"""The least and the most repetitions, and what is repeated."""


@dataclass(frozen=True)
class Work:
    """How the work of a search grows with the length of a name."""

    choices: float = 0
    """Repeats that can stop anywhere; infinite if the work is exponential."""
    factor: float = 1
    """In how many ways the alternatives and optional parts can be combined."""
    is_anchored: bool = False
    """Whether a match can only begin where the name does."""

    @property
    def is_exponential(self) -> bool:
        """Whether no power of the length bounds the work."""
        return math.isinf(self.choices)

    def steps(self, length: int) -> float:
        """Return the most steps of a search in a name of this length, infinite if they are exponential."""
        if self.is_exponential:
            return math.inf
        choices = int(self.choices)
        try:
            ways = self.factor * (length + 1) ** choices / math.factorial(choices)
        except OverflowError:
            return math.inf
        return float(ways * (length + 1) * (1 if self.is_anchored else length + 1))

    def then(self, other: Work) -> Work:
        """Return the work of one pattern followed by another."""
        return Work(self.choices + other.choices, self.factor * other.factor)


def search_work(text: str) -> Work:
    """Return how the work of searching for a valid regular expression grows."""
    tree = parser.parse(text)
    items = list(_flatten(tree.data))
    starts = (sre.AT_BEGINNING_STRING,) if tree.state.flags & re.MULTILINE else _BEGINNINGS
    is_anchored = bool(items) and str(items[0][0]) == "AT" and items[0][1] in starts
    return replace(_Walk(tree.state.flags).sequence(items, is_last=True), is_anchored=is_anchored)


class _Walk:
    """A walk over the tree of the parser."""

    def __init__(self, flags: int) -> None:
        # A letter also matches its other case then: sets of characters do not say which ones can follow.
        self._flags = flags
        self._folds = bool(flags & re.IGNORECASE)

    def sequence(self, items: Iterable[_Item], *, is_last: bool) -> Work:
        """Return the work of some operations; ``is_last`` if the match ends after them."""
        flat = list(_flatten(items))
        work = Work()
        for number, item in enumerate(flat):
            following = flat[number + 1 :]
            work = work.then(self._item(item, following, is_last=is_last and not following))
        return work

    def _item(self, item: _Item, following: Sequence[_Item], *, is_last: bool) -> Work:
        op, arguments = str(item[0]), item[1]
        if op in _REPEATS:
            return self._repeat(arguments, following, is_last=is_last)
        if op == "BRANCH":
            branches = [self.sequence(branch, is_last=is_last) for branch in arguments[1]]
            choices = max(branch.choices for branch in branches)
            return Work(choices, sum(branch.factor for branch in branches))
        if op in ("ASSERT", "ASSERT_NOT"):
            return self.sequence(arguments[1], is_last=False)
        if op == "GROUPREF_EXISTS":
            branches = [self.sequence(branch or (), is_last=False) for branch in arguments[1:]]
            return branches[0].then(branches[1])
        if op == "SUBPATTERN":  # one that sets flags
            return _Walk(self._flags | arguments[1]).sequence(arguments[3], is_last=False)
        # A reference to a group compares as many characters as the group has.
        return Work(choices=1) if op == "GROUPREF" else Work()

    def _repeat(self, arguments: _Repeat, following: Sequence[_Item], *, is_last: bool) -> Work:
        least, most, body = arguments
        items = list(_flatten(body))
        if len(items) == 1 and str(items[0][0]) in _SINGLE:
            if least == most or most == 1:
                return Work(factor=1 + most - least)
            return Work(choices=0 if self._stops_once(items[0], following, is_last=is_last) else 1)
        inner = self.sequence(items, is_last=False)
        if most <= MAX_UNROLLED:
            return Work(inner.choices * most, (1 + most - least) * inner.factor**most)
        return Work(choices=1 if inner == Work() else math.inf)

    def _stops_once(self, item: _Item, following: Sequence[_Item], *, is_last: bool) -> bool:
        """Whether a repeat of a character can only stop at its end, given what follows it."""
        if is_last:
            return True  # nothing that follows can fail
        if not following or self._folds:
            return False
        op, arguments = str(following[0][0]), following[0][1]
        if op == "AT":
            # The end of the text, if no line feed comes before it: what stops earlier cannot be at the end.
            is_end = arguments in (sre.AT_END, sre.AT_END_STRING)
            return is_end and ord("\n") not in self._characters(item)
        if op in _REPEATS and arguments[0] > 0:
            inner = list(_flatten(arguments[2]))
            op, arguments = (str(inner[0][0]), inner[0][1]) if inner else ("", None)
        if op not in _SINGLE:
            return False
        return self._characters(item).isdisjoint(self._characters((op, arguments)))

    def _characters(self, item: _Item) -> frozenset[int]:
        """Return the characters that an operation for a single one matches, perhaps too many."""
        op, arguments = str(item[0]), item[1]
        if op == "LITERAL":
            return frozenset({min(arguments, _OTHER)})
        if op == "NOT_LITERAL":
            return _ALL - {arguments} if arguments < _OTHER else _ALL
        if op == "ANY":
            return _ALL if self._flags & re.DOTALL else _ALL - {ord("\n")}
        listed: set[int] = set()
        negated = False
        for kind, value in arguments:
            if str(kind) == "NEGATE":
                negated = True
            elif str(kind) == "LITERAL":
                listed.add(min(value, _OTHER))
            elif str(kind) == "RANGE":
                listed.update(range(min(value[0], _OTHER), min(value[1], _OTHER) + 1))
            else:
                listed |= _category(str(value))
        # Some characters that are not ASCII may be listed and others not.
        return frozenset(_ALL - (listed - {_OTHER})) if negated else frozenset(listed)


def _flatten(items: Iterable[_Item]) -> Iterable[_Item]:
    """Yield operations, those of groups in the place of the groups."""
    # As a stack, since groups may be nested as deep as the parser allows.
    stack = [iter(items)]
    while stack:
        for op, arguments in stack[-1]:
            if str(op) == "SUBPATTERN" and not arguments[1] and not arguments[2]:
                stack.append(iter(arguments[3]))
                break
            if str(op) == "ATOMIC_GROUP":
                stack.append(iter(arguments))
                break
            yield op, arguments
        else:
            stack.pop()


def _category(name: str) -> set[int]:
    """Return the characters of a class, such as that of digits."""
    escape = {"DIGIT": r"\d", "SPACE": r"\s", "WORD": r"\w"}[name.rpartition("_")[2]]
    if "_NOT_" in name:
        escape = escape.upper()
    return {code for code in range(_OTHER) if re.match(escape, chr(code))} | {_OTHER}
