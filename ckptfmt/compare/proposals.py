"""Proposals: what may be meant by tensors that are missing, among those that nobody wants.

From the surest to the least sure:

1.  the names mean the same, word by word and number by number
2.  their templates are alike, the best pairs first, and their numbers correspond
3.  it is the only one of its shape on both sides
4.  there are as many of one shape and dtype on both sides: in order

A pair fits in shape, with the axes turned round, or, where the names are alike, in another dtype of numbers.
Each proposal says why it is made; it is for a person to review, and what has no likely partner gets none.
"""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from ckptfmt.compare.words import Template, Vocabulary, aligned, likeness, templates_of
from ckptfmt.dtypes import DType
from ckptfmt.object_graph.keys import VARIABLE_VALUE
from ckptfmt.plans.expressions import is_castable
from ckptfmt.plans.toml import is_writable
from ckptfmt.tensors.restore import Mismatch, Spec

MAX_COMPARED = 200_000
"""Pairs of templates compared at most, a second or two; names beyond that go by order."""

MAX_ALIGNED = 2_000_000
"""Names looked at in all while templates are paired: a name of a large template is, once for each pair."""

MIN_LIKENESS = 0.4
"""Templates less alike than this are no pair, where more than one could be."""

LIKELY = 0.6
"""What names must be alike at least where shapes say little: another dtype, axes turned round, open sizes."""

HOPELESS = 0.2
"""Names less alike than this are no pair where all that speaks for it is a shape as common as that of a
scalar."""

_DIGITS = re.compile(r"([0-9]{1,18})")

_Shape = tuple[int | None, ...]


class Proposal(NamedTuple):
    """A tensor of the checkpoint that may be one that is wanted."""

    stored: str
    """Its name in the checkpoint."""
    wanted: str
    """The name it would get."""
    reason: str
    """Why, in words."""
    score: float
    """How alike the names are, 0 to 1; 0 also where they say nothing."""
    cast: DType | None = None
    """The dtype it must be converted to, if any."""
    transpose: bool = False
    """Whether its axes must be turned round."""


def propose(
    missing: Mapping[str, Spec],
    unused: Mapping[str, Spec],
    misfits: Sequence[Mismatch],
    *,
    wanted_as: Mapping[str, str] | None = None,
    stored_as: Mapping[str, str] | None = None,
) -> list[Proposal]:
    """Return what may be meant, in the order of ``missing``; then what would make misfits fit.

    ``wanted_as`` and ``stored_as`` have the names by which some are compared instead of their own.
    """
    wanted, stored = _compared(missing, wanted_as or {}), _compared(unused, stored_as or {})
    guesses = _Guesses(
        {name: missing[own] for name, own in wanted.items()},
        {name: unused[own] for name, own in stored.items()},
    )
    guesses.by_words()
    guesses.by_templates()
    guesses.by_shape()
    guesses.square_ones()
    made = {wanted[name]: guess for name, guess in guesses.made.items()}
    found = [
        made[own]._replace(wanted=own, stored=stored[made[own].stored]) for own in missing if own in made
    ]
    return found + [fix for misfit in misfits if (fix := _fix(misfit)) is not None]


def _compared(names: Iterable[str], others: Mapping[str, str]) -> dict[str, str]:
    """The name by which each is compared, and its own; of those that a plan can name."""
    own = {name: name for name in names if is_writable(name)}
    if not others:
        return own
    counts = Counter(others.get(name, name) for name in own)
    # A name that several would be compared by says nothing of any of them.
    return {other if counts[other] == 1 else name: name for name in own for other in [others.get(name, name)]}


class _Fit(NamedTuple):
    """What it takes to make a stored tensor fit."""

    cast: DType | None
    transpose: bool

    @property
    def plain(self) -> bool:
        return self.cast is None and not self.transpose


def _fit(got: Spec, want: Spec) -> _Fit | None:
    """What makes one fit the other: nothing, a cast, a transposition; None where these do not do."""
    if got.shape is None:
        return None
    if _sizes_fit(got.shape, want.shape):
        transpose = False
    elif len(got.shape) == 2 and _sizes_fit(got.shape[::-1], want.shape):
        transpose = True
    else:
        return None
    if want.dtype is None or got.dtype == want.dtype:
        return _Fit(None, transpose)
    if got.dtype is None or not (is_castable(got.dtype) and is_castable(want.dtype)):
        return None
    return _Fit(want.dtype, transpose)


def _sizes_fit(got: _Shape, want: _Shape | None) -> bool:
    return want is None or (
        len(got) == len(want) and all(q is None or p == q for p, q in zip(got, want, strict=True))
    )


def _fix(misfit: Mismatch) -> Proposal | None:
    """What would make a tensor of the right name fit."""
    fit = _fit(misfit.got, misfit.want)
    if fit is None or not (is_writable(misfit.name) and is_writable(misfit.stored)):
        return None
    return Proposal(
        misfit.stored, misfit.name, _reason("found by name", fit, misfit.got), 1.0, fit.cast, fit.transpose
    )


def _reason(why: str, fit: _Fit, got: Spec) -> str:
    notes = [why]
    if fit.transpose:
        notes.append("axes turned round")
    if fit.cast is not None and got.dtype is not None:
        notes.append(f"{got.dtype.name} to {fit.cast.name}")
    return ", ".join(notes)


def _natural(name: str) -> list[tuple[int, int, str]]:
    """Key that sorts numbers in names as numbers."""
    return [
        (0, int(part), "") if part.isdigit() and part.isascii() else (1, 0, part)
        for part in _DIGITS.split(name[:1024])
    ]


class _Guesses:
    """Proposals as they are found, and the names that still have none."""

    def __init__(self, missing: Mapping[str, Spec], unused: Mapping[str, Spec]) -> None:
        self.made: dict[str, Proposal] = {}
        """Name wanted → proposal."""
        self._wanted = dict(missing)
        self._stored = {name: unused[name] for name in sorted(unused, key=_natural)}
        self._specs = self._stored.copy()
        self._known = Vocabulary()

    def _propose(self, wanted: str, stored: str, fit: _Fit, why: str, score: float) -> None:
        reason = _reason(why, fit, self._stored[stored])
        self.made[wanted] = Proposal(stored, wanted, reason, round(score, 2), fit.cast, fit.transpose)
        del self._wanted[wanted], self._stored[stored]

    def by_words(self) -> None:
        """Pair names whose words and numbers are the same, where there is one of them on each side."""
        sides: list[dict[object, list[str]]] = [defaultdict(list), defaultdict(list)]
        for names, side in zip((self._wanted, self._stored), sides, strict=True):
            for template in templates_of(names, self._known):
                for name, numbers in template.members.items():
                    side[template.words.all, numbers].append(name)
        for key, wanted in sides[0].items():
            stored = sides[1].get(key, ())
            if len(wanted) == len(stored) == 1:
                fit = _fit(self._stored[stored[0]], self._wanted[wanted[0]])
                if fit is not None:
                    self._propose(wanted[0], stored[0], fit, "same words", 1.0)

    def by_templates(self) -> None:
        """Pair names whose templates are alike, the most alike first."""
        wanted, stored = (templates_of(names, self._known) for names in (self._wanted, self._stored))
        scored = [
            (likeness(wanted[i].words, stored[j].words), i, j) for i, j in self._candidates(wanted, stored)
        ]
        scored = [pair for pair in scored if pair[0] >= MIN_LIKENESS]
        # Of pairs as much alike, those come first that come first in both lists.
        scored.sort(key=lambda pair: (-pair[0], pair[1], pair[2]))
        here, there = _shapes(wanted, self._wanted), _shapes(stored, self._stored)
        rivals = Counter(key for score, i, j in scored for key in ((score, i, there[j]), (score, here[i], j)))
        budget = MAX_ALIGNED
        for score, i, j in scored:
            budget -= len(wanted[i].members) + len(stored[j].members)
            if budget < 0:
                break
            is_tie = rivals[score, i, there[j]] > 1 or rivals[score, here[i], j] > 1
            why = f"similar name {score:.2f}{', as others are' if is_tie else ''}"
            self._pair_members(wanted[i], stored[j], score, why)

    def _candidates(self, wanted: Sequence[Template], stored: Sequence[Template]) -> set[tuple[int, int]]:
        """Numbers of templates with members of the same shape; no more than can be compared."""
        here, there = _by_shape(wanted, self._wanted), _by_shape(stored, self._stored)
        every = range(len(stored))
        groups = [
            (left, [*there.get(shape, ()), *(there.get(shape[::-1], ()) if len(shape) == 2 else ())])
            for shape, left in here.items()
            if shape is not None
        ]
        groups.append((here.get(None, []), list(every)))
        candidates: set[tuple[int, int]] = set()
        for left, right in sorted(groups, key=lambda group: len(group[0]) * len(group[1])):
            if len(left) * len(right) > MAX_COMPARED - len(candidates):
                break
            candidates.update((i, j) for i in left for j in right)
        return candidates

    def _pair_members(self, wanted: Template, stored: Template, score: float, why: str) -> None:
        """Propose the members of two templates whose numbers correspond and whose specs fit."""
        if not wanted.members or not stored.members:
            return
        for name, other in aligned(wanted.members, stored.members):
            fit = _fit(self._stored[other], self._wanted[name])
            if fit is not None and (score >= LIKELY or (fit.plain and _is_exact(self._wanted[name]))):
                self._propose(name, other, fit, why, score)
                del wanted.members[name], stored.members[other]

    def by_shape(self) -> None:
        """Pair what is the only one of its shape, then what there is as much of on both sides."""
        here, there = _by_exact_shape(self._wanted), _by_exact_shape(self._stored)
        for shape, left in here.items():
            right = there.get(shape, [])
            if len(left) == len(right) == 1:
                score = likeness(self._known.words(left[0]), self._known.words(right[0]))
                fit = _fit(self._stored[right[0]], self._wanted[left[0]])
                needed = MIN_LIKENESS if fit is not None and fit.cast is not None else HOPELESS
                if fit is not None and (score >= needed or (fit.plain and math.prod(shape) > 1)):
                    self._propose(left[0], right[0], fit, "only one of this shape", score)
        for name, other in list(self._in_order()):
            self._propose(name, other, _Fit(None, False), "by order", 0.0)

    def _in_order(self) -> Iterator[tuple[str, str]]:
        """Pairs of the same shape and dtype, where there are as many on both sides."""
        here, there = _by_exact_shape(self._wanted), _by_exact_shape(self._stored)
        for shape, names in here.items():
            if math.prod(shape) <= 1 or len(names) < 2:
                continue
            left, right = _by_dtype(names, self._wanted), _by_dtype(there.get(shape, []), self._stored)
            any_dtype = left.pop(None, [])
            for dtype, some in list(left.items()):
                if len(some) == len(right.get(dtype, ())):
                    yield from zip(some, right.pop(dtype), strict=True)
                    del left[dtype]
            # Those of which any dtype will do have what the others leave, when these all have theirs.
            rest = [name for name in there.get(shape, ()) if self._stored[name].dtype in right]
            if not left and len(any_dtype) == len(rest):
                yield from zip(any_dtype, rest, strict=True)

    def square_ones(self) -> None:
        """Turn the axes of square matrices whose kind is turned wherever they are not square."""
        ways: dict[tuple[str, str], set[bool]] = defaultdict(set)
        square = []
        for name, proposal in self.made.items():
            shape = self._specs[proposal.stored].shape
            if shape is None or len(shape) != 2:
                continue
            if shape[0] == shape[1]:
                square.append(name)
            else:
                ways[self._kind(proposal)].add(proposal.transpose)
        for name in square:
            proposal = self.made[name]
            if ways[self._kind(proposal)] == {True}:
                reason = f"{proposal.reason}, axes turned round as in others of its kind"
                self.made[name] = proposal._replace(transpose=True, reason=reason)

    def _kind(self, proposal: Proposal) -> tuple[str, str]:
        """The last parts of both names: ``kernel`` and ``weight``."""
        ends = [re.split(r"[/.]", name.removesuffix(VARIABLE_VALUE))[-1] for name in proposal[:2]]
        return ends[0], ends[1]


def _is_exact(spec: Spec) -> bool:
    return spec.shape is not None and None not in spec.shape


def _by_shape(templates: Sequence[Template], specs: Mapping[str, Spec]) -> dict[_Shape | None, list[int]]:
    """Numbers of the templates that have members of each shape; None of those not known in full."""
    found: dict[_Shape | None, dict[int, None]] = {}
    for number, template in enumerate(templates):
        for name in template.members:
            shape = specs[name].shape if _is_exact(specs[name]) else None
            found.setdefault(shape, {})[number] = None
    return {shape: list(numbers) for shape, numbers in found.items()}


def _shapes(templates: Sequence[Template], specs: Mapping[str, Spec]) -> list[frozenset[_Shape | None]]:
    """The shapes of the members of each template."""
    return [frozenset(specs[name].shape for name in template.members) for template in templates]


def _by_exact_shape(specs: Mapping[str, Spec]) -> dict[tuple[int, ...], list[str]]:
    """Names of each shape that is known in full."""
    found: dict[tuple[int, ...], list[str]] = {}
    for name, spec in specs.items():
        if spec.shape is not None:
            shape = tuple(size for size in spec.shape if size is not None)
            if len(shape) == len(spec.shape):
                found.setdefault(shape, []).append(name)
    return found


def _by_dtype(names: Sequence[str], specs: Mapping[str, Spec]) -> dict[DType | None, list[str]]:
    found: dict[DType | None, list[str]] = {}
    for name in names:
        found.setdefault(specs[name].dtype, []).append(name)
    return found
