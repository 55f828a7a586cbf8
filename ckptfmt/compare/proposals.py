"""Proposals: for each missing tensor, the unused one of the checkpoint that it may be.

Four rules are tried, from the surest to the least sure; each pairs what the ones before it left:

1.  the names have the same words and numbers (:mod:`ckptfmt.compare.words`)
2.  their templates are alike, the most alike first, and their numbers correspond
    (:mod:`ckptfmt.compare.templates`, :mod:`ckptfmt.compare.alignment`)
3.  each is the only tensor of its shape on its side
4.  both sides have the same number of tensors of one shape and dtype, which are paired in order

A pair fits as it is, transposed, or, if the names are alike, in another dtype of numbers. The less the names
say, the more the shapes must: hence the bounds below, which are a judgement like the weights of words. Each
proposal says why it is made, for a person to review it; a tensor without a likely partner gets none.
"""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from ckptfmt.compare.alignment import aligned
from ckptfmt.compare.fit import Fit, Shape, exact_shape, find_fit
from ckptfmt.compare.templates import Template, Vocabulary, templates_of
from ckptfmt.compare.words import likeness
from ckptfmt.dtypes import DType
from ckptfmt.notebook.fields import fields_card
from ckptfmt.notebook.page import to_html
from ckptfmt.object_graph.keys import VARIABLE_VALUE
from ckptfmt.plans.writing import is_writable
from ckptfmt.tensors.restore import Mismatch, Spec

MAX_COMPARED = 200_000
"""Pairs of templates compared at most, in a second or two; names left over are paired by shape."""

MAX_ALIGNED = 2_000_000
"""Names aligned in all: those of a large template are aligned again with each template that it may fit."""

MIN_LIKENESS = 0.4
"""Templates less alike than this are not paired, even if both have members of one shape.

It is more than the 1/3 of names that share a single word, and not the last: ``dense/kernel``, ``dense/bias``.
"""

LIKELY = 0.6
"""How alike names must be if shapes say little: another dtype, a transposition, open sizes."""

HOPELESS = 0.2
"""Names less alike than this are not paired if all else they have in common is a shape like a scalar's."""

_MAX_SORTED = 1024
"""Characters of a name by which it is sorted."""

_DIGITS = re.compile(r"([0-9]{1,18})")


class Proposal(NamedTuple):
    """A tensor of the checkpoint that may be a wanted one."""

    stored: str
    """Its name in the checkpoint."""
    wanted: str
    """The name it would get."""
    reason: str
    """Why, in words."""
    score: float
    """How alike the names are, 0 to 1; 0 also if they were not compared."""
    cast: DType | None = None
    """The dtype it must be converted to, if any."""
    transpose: bool = False
    """Whether its axes must be reversed."""

    def _repr_html_(self) -> str:
        return to_html(lambda: fields_card(self, "Proposal"))


def propose(
    missing: Mapping[str, Spec],
    unused: Mapping[str, Spec],
    misfits: Sequence[Mismatch],
    *,
    wanted_as: Mapping[str, str] | None = None,
    stored_as: Mapping[str, str] | None = None,
) -> list[Proposal]:
    """Return proposals for missing tensors, in their order, then for misfits.

    ``wanted_as`` and ``stored_as`` map names to those by which they are compared instead of their own.
    """
    # The search sees only the names that are compared; at the end proposals get the tensors' own names back.
    wanted, stored = _compared_names(missing, wanted_as or {}), _compared_names(unused, stored_as or {})
    search = _Search(
        {name: missing[own] for name, own in wanted.items()},
        {name: unused[own] for name, own in stored.items()},
    )
    search.pair_same_words()
    search.pair_templates()
    search.pair_only_ones()
    search.pair_in_order()
    search.transpose_squares()
    by_own_name = {wanted[name]: proposal for name, proposal in search.proposals.items()}
    proposals = [
        by_own_name[own]._replace(wanted=own, stored=stored[by_own_name[own].stored])
        for own in missing
        if own in by_own_name
    ]
    return proposals + [fix for misfit in misfits if (fix := _fix(misfit)) is not None]


def _compared_names(names: Iterable[str], others: Mapping[str, str]) -> dict[str, str]:
    """For tensors that a plan can name: the name by which each is compared -> its own."""
    own = {name: name for name in names if is_writable(name)}
    if not others:
        return own
    counts = Counter(others.get(name, name) for name in own)
    # A name that several tensors would be compared by tells nothing about any of them.
    return {other if counts[other] == 1 else name: name for name in own for other in [others.get(name, name)]}


def _fix(misfit: Mismatch) -> Proposal | None:
    """The change that would make a tensor of the right name fit, if any."""
    fit = find_fit(misfit.got, misfit.want)
    if fit is None or not (is_writable(misfit.name) and is_writable(misfit.stored)):
        return None
    reason = _reason("found by name", fit, misfit.got)
    return Proposal(misfit.stored, misfit.name, reason, 1.0, fit.cast, fit.transpose)


def _reason(why: str, fit: Fit, got: Spec) -> str:
    notes = [why]
    if fit.transpose:
        notes.append("transposed")
    if fit.cast is not None and got.dtype is not None:
        notes.append(f"{got.dtype.name} to {fit.cast.name}")
    return ", ".join(notes)


class _Search:
    """The proposals made so far, and the names that have none yet."""

    def __init__(self, missing: Mapping[str, Spec], unused: Mapping[str, Spec]) -> None:
        self.proposals: dict[str, Proposal] = {}
        """By wanted name."""
        self._specs = {name: unused[name] for name in sorted(unused, key=_natural)}
        """Specs of all stored tensors, sorted by name with numbers as numbers: rule 4 pairs in this order."""
        self._wanted = dict(missing)
        """Specs of the wanted names that have no proposal yet."""
        self._stored = self._specs.copy()
        """Specs of the stored names that are not proposed yet."""
        self._known = Vocabulary()

    def _propose(self, wanted: str, stored: str, fit: Fit, why: str, score: float) -> None:
        reason = _reason(why, fit, self._stored[stored])
        self.proposals[wanted] = Proposal(stored, wanted, reason, round(score, 2), fit.cast, fit.transpose)
        del self._wanted[wanted], self._stored[stored]

    # --- rule 1 ------------------------------------------------------------------------------------------

    def pair_same_words(self) -> None:
        """Pair names that have the same words and numbers, if each side has only one such name."""
        wanted_by_words, stored_by_words = self._by_words(self._wanted), self._by_words(self._stored)
        for key, wanted in wanted_by_words.items():
            stored = stored_by_words.get(key, ())
            if len(wanted) == len(stored) == 1:
                fit = find_fit(self._stored[stored[0]], self._wanted[wanted[0]])
                if fit is not None:
                    self._propose(wanted[0], stored[0], fit, "same words", 1.0)

    def _by_words(self, names: Iterable[str]) -> dict[tuple[tuple[str, ...], tuple[int, ...]], list[str]]:
        """Names by their words and numbers."""
        groups: dict[tuple[tuple[str, ...], tuple[int, ...]], list[str]] = defaultdict(list)
        for template in templates_of(names, self._known):
            for name, numbers in template.members.items():
                groups[template.words.all, numbers].append(name)
        return groups

    # --- rule 2 ------------------------------------------------------------------------------------------

    def pair_templates(self) -> None:
        """Pair names whose templates are alike, the most alike first; if order alone decides, say so."""
        # Score the pairs that may fit, then take the best first. A pair taken is never given up for a better
        # sum, so this takes linear time apart from the scoring and the sort, which MAX_COMPARED bounds.
        wanted, stored = (templates_of(names, self._known) for names in (self._wanted, self._stored))
        scored = [
            (likeness(wanted[i].words, stored[j].words), i, j) for i, j in self._candidates(wanted, stored)
        ]
        scored = [pair for pair in scored if pair[0] >= MIN_LIKENESS]
        # Pairs of one score are taken in the order of the wanted names, then of the stored ones.
        scored.sort(key=lambda pair: (-pair[0], pair[1], pair[2]))
        # If another candidate for one side of a pair has the same score and members of the same shapes, only
        # order decides between them. Such rivals are counted for both sides.
        wanted_shapes, stored_shapes = _shapes(wanted, self._wanted), _shapes(stored, self._stored)
        rivals = Counter(
            key
            for score, i, j in scored
            for key in ((score, i, stored_shapes[j]), (score, wanted_shapes[i], j))
        )
        budget = MAX_ALIGNED
        for score, i, j in scored:
            budget -= len(wanted[i].members) + len(stored[j].members)
            if budget < 0:
                break
            is_tie = rivals[score, i, stored_shapes[j]] > 1 or rivals[score, wanted_shapes[i], j] > 1
            why = f"similar name {score:.2f}{', others are as similar' if is_tie else ''}"
            self._pair_members(wanted[i], stored[j], score, why)

    def _candidates(self, wanted: Sequence[Template], stored: Sequence[Template]) -> set[tuple[int, int]]:
        """Pairs of templates, by index, that are worth comparing: those with members of the same shape."""
        # Comparing all templates would be quadratic. A rare shape tells most and costs least, so shapes are
        # taken from the rarest on, until MAX_COMPARED pairs are found. A wanted shape with open sizes may be
        # that of any stored template.
        wanted_by_shape, stored_by_shape = _by_shape(wanted, self._wanted), _by_shape(stored, self._stored)
        groups: list[tuple[list[int], Sequence[int]]] = []
        for shape, left in wanted_by_shape.items():
            if shape is not None:
                transposed = stored_by_shape.get(shape[::-1], ()) if len(shape) == 2 else ()
                groups.append((left, [*stored_by_shape.get(shape, ()), *transposed]))
        groups.append((wanted_by_shape.get(None, []), range(len(stored))))
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
            want = self._wanted[name]
            fit = find_fit(self._stored[other], want)
            if fit is None:
                continue
            # The names are alike enough by themselves, or the tensor fits unchanged in a shape that is known.
            if score >= LIKELY or (fit.is_unchanged and exact_shape(want) is not None):
                self._propose(name, other, fit, why, score)
                del wanted.members[name], stored.members[other]

    # --- rule 3 ------------------------------------------------------------------------------------------

    def pair_only_ones(self) -> None:
        """Pair the only tensors of a shape, unless the names differ and the shape says little."""
        wanted_by_shape, stored_by_shape = _by_exact_shape(self._wanted), _by_exact_shape(self._stored)
        for shape, wanted in wanted_by_shape.items():
            stored = stored_by_shape.get(shape, [])
            if len(wanted) != 1 or len(stored) != 1:
                continue
            fit = find_fit(self._stored[stored[0]], self._wanted[wanted[0]])
            if fit is None:
                continue
            score = likeness(self._known.words(wanted[0]), self._known.words(stored[0]))
            # A scalar is often the only one on its side, and two such scalars may mean different things: only
            # the names can say. A cast needs more likeness than a transposition.
            needed = HOPELESS if fit.cast is None else MIN_LIKENESS
            if score >= needed or (fit.is_unchanged and math.prod(shape) > 1):
                self._propose(wanted[0], stored[0], fit, "only one of this shape", score)

    # --- rule 4 ------------------------------------------------------------------------------------------

    def pair_in_order(self) -> None:
        """Pair tensors of one shape and dtype in order, if both sides have the same number of them."""
        for name, other in list(self._in_order()):
            self._propose(name, other, Fit(None, False), "by order among tensors of this shape", 0.0)

    def _in_order(self) -> Iterator[tuple[str, str]]:
        wanted_by_shape, stored_by_shape = _by_exact_shape(self._wanted), _by_exact_shape(self._stored)
        for shape, names in wanted_by_shape.items():
            # The order of scalars tells nothing, and rule 3 has looked at single tensors.
            if math.prod(shape) <= 1 or len(names) < 2:
                continue
            others = stored_by_shape.get(shape, [])
            wanted, stored = _by_dtype(names, self._wanted), _by_dtype(others, self._stored)
            any_dtype = wanted.pop(None, [])
            for dtype, some in list(wanted.items()):
                if len(some) == len(stored.get(dtype, ())):
                    yield from zip(some, stored.pop(dtype), strict=True)
                    del wanted[dtype]
            # Tensors wanted in any dtype get those left over, if all that want a certain dtype have theirs.
            rest = [name for name in others if self._stored[name].dtype in stored]
            if not wanted and len(any_dtype) == len(rest):
                yield from zip(any_dtype, rest, strict=True)

    # --- squares -----------------------------------------------------------------------------------------

    def transpose_squares(self) -> None:
        """Transpose square matrices if all others of their kind that are proposed are transposed."""
        # A square fits either way. If a framework stores its kernels the other way round, those that are not
        # square show it, as long as all of them agree.
        ways: dict[tuple[str, str], set[bool]] = defaultdict(set)
        squares = []
        for name, proposal in self.proposals.items():
            shape = self._specs[proposal.stored].shape
            if shape is None or len(shape) != 2:
                continue
            if shape[0] == shape[1]:
                squares.append(name)
            else:
                ways[_kind(proposal)].add(proposal.transpose)
        for name in squares:
            proposal = self.proposals[name]
            if ways[_kind(proposal)] == {True}:
                reason = f"{proposal.reason}, transposed like the others of its kind"
                self.proposals[name] = proposal._replace(transpose=True, reason=reason)


def _natural(name: str) -> list[tuple[int, int, str]]:
    """Return a sort key that compares numbers in names as numbers."""
    return [
        (0, int(part), "") if part.isdigit() and part.isascii() else (1, 0, part)
        for part in _DIGITS.split(name[:_MAX_SORTED])
    ]


def _kind(proposal: Proposal) -> tuple[str, str]:
    """The last parts of both names: ``kernel`` and ``weight``."""
    stored, wanted = (
        re.split(r"[/.]", name.removesuffix(VARIABLE_VALUE))[-1]
        for name in (proposal.stored, proposal.wanted)
    )
    return stored, wanted


def _by_shape(templates: Sequence[Template], specs: Mapping[str, Spec]) -> dict[Shape | None, list[int]]:
    """Indices of the templates that have members of each shape; under None, of a shape with open sizes."""
    groups: dict[Shape | None, dict[int, None]] = {}
    for index, template in enumerate(templates):
        for name in template.members:
            groups.setdefault(exact_shape(specs[name]), {})[index] = None
    return {shape: list(indices) for shape, indices in groups.items()}


def _shapes(templates: Sequence[Template], specs: Mapping[str, Spec]) -> list[frozenset[Shape | None]]:
    """The shapes of the members of each template."""
    return [frozenset(specs[name].shape for name in template.members) for template in templates]


def _by_exact_shape(specs: Mapping[str, Spec]) -> dict[tuple[int, ...], list[str]]:
    """Names of each shape without open sizes."""
    groups: dict[tuple[int, ...], list[str]] = {}
    for name, spec in specs.items():
        shape = exact_shape(spec)
        if shape is not None:
            groups.setdefault(shape, []).append(name)
    return groups


def _by_dtype(names: Sequence[str], specs: Mapping[str, Spec]) -> dict[DType | None, list[str]]:
    groups: dict[DType | None, list[str]] = {}
    for name in names:
        groups.setdefault(specs[name].dtype, []).append(name)
    return groups
