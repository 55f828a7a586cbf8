"""Matches: how a checkpoint would restore into what is wanted, found out without TensorFlow."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypedDict

from ckptfmt.cached_property import cached_property
from ckptfmt.compare.inventory import Expected, expected_inventory, stored_inventory
from ckptfmt.compare.layouts import Layout, best_layout
from ckptfmt.compare.pairing import pair
from ckptfmt.compare.proposals import Proposal, propose
from ckptfmt.compare.proposed_plan import proposed_plan
from ckptfmt.limits import DEFAULT, Limits, check_limits
from ckptfmt.notebook.card import Card, Sentence, Table
from ckptfmt.plans.plan import Plan
from ckptfmt.storage.filesystem import Filesystem
from ckptfmt.storage.local import filesystem_of
from ckptfmt.tensors.restore import Mismatch, RestoreReport, Spec
from ckptfmt.tensors.tensors import Tensors

_MAX_PROPOSED = 10_000
"""Pairs of a missing and an unused tensor up to which a notebook shows proposals without being asked."""


@dataclass(frozen=True)
class Match(RestoreReport):
    """How a checkpoint would restore into the expected tensors, and proposals for the rest."""

    stored: Mapping[str, Spec] = field(default_factory=dict, repr=False)
    """Every tensor of the checkpoint."""
    wanted: Mapping[str, Spec] = field(default_factory=dict, repr=False)
    """Every tensor that is wanted."""
    stored_as: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Full names of stored keys, by which proposals compare them."""
    wanted_as: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Full names of wanted keys."""

    @cached_property
    def proposals(self) -> tuple[Proposal, ...]:
        """Proposals to review, in the order expected: tensors for missing ones, changes for misfits."""
        missing = {name: self.wanted[name] for name in self.missing}
        unused = {name: self.stored[name] for name in self.unused}
        # A stored tensor can be changed for only one of the names that want it: the first.
        takers = {source: name for name, source in self.matched.items()}
        misfits = {
            misfit.name: misfit
            for misfit in (*self.wrong_dtype, *self.wrong_shape)
            if takers.setdefault(misfit.stored, misfit.name) == misfit.name
        }
        return tuple(
            propose(
                missing,
                unused,
                list(misfits.values()),
                wanted_as=self.wanted_as,
                stored_as=self.stored_as,
            )
        )

    @cached_property
    def layout(self) -> str | None:
        """The shipped plan after which more matches than by names alone, or as much with doubtful kernels."""
        return self._laid_out[0].name if self._laid_out is not None else None

    @cached_property
    def _laid_out(self) -> tuple[Layout, Match] | None:
        """The layout, and how what it makes would restore."""
        if not (self.missing or self.wrong_shape):
            return None
        layout = best_layout(self.stored, self.wanted, self.stored_as)
        if layout is None:
            return None
        misfits = {misfit.name for misfit in (*self.wrong_shape, *self.wrong_dtype)}
        optional = self.wanted.keys() - {*self.missing, *self.matched, *misfits}
        wanted = {n: spec for n, spec in self.wanted.items() if n in layout.made or n not in optional}
        names = {name: name for name in wanted if name in layout.made}
        match = Match(
            **_compared(layout.made, wanted, names),
            missing=[name for name in wanted if name not in names],
            unused=[name for name in layout.made if name not in names],
            stored=layout.made,
            wanted=wanted,
            wanted_as=self.wanted_as,
            file=self.file,
        )
        # Names decide between layouts whose shapes agree. A layout leaves nothing to transpose.
        kept = [proposal for proposal in match.proposals if not proposal.transpose]
        with_layout, without = len(match.matched) + len(kept), len(self.matched) + len(self.proposals)
        # No shape tells whether a square kernel is to be transposed, but a layout knows.
        shapes = [self.wanted[proposal.wanted].shape for proposal in self.proposals]
        is_unsure = any(shape is not None and len(shape) == 2 and shape[0] == shape[1] for shape in shapes)
        is_better = with_layout > without or (with_layout == without and is_unsure)
        return (layout, match) if is_better else None

    def _card(self) -> Card:
        card = super()._card()
        # To look for proposals may take seconds; those for a few names take no time.
        if "proposals" not in self.__dict__ and len(self.missing) * len(self.unused) > _MAX_PROPOSED:
            return card
        proposals = Table(
            "Proposals",
            ("wanted", "stored", "reason"),
            lambda: self.proposals,
            lambda each: (each.wanted, each.stored, Sentence(each.reason)),
        )
        return card._replace(parts=[*card.parts, proposals])

    def propose(self) -> Plan:
        """Return a plan for a person to review: :attr:`proposals`, and what matched under other names.

        ``match(checkpoint.apply(plan), expected)`` matches everything that is proposed. The plan's TOML gives
        the reason beside each name, and lists at the end what is still missing or unused. If more matches
        after a plan that ships, :attr:`layout`, the plan begins with that, and proposes the rest.
        """
        if self._laid_out is None:
            return proposed_plan(self, self.stored, self.proposals)
        layout, match = self._laid_out
        rest = proposed_plan(match, match.stored, match.proposals)
        steps = (*layout.plan.steps, *rest.steps)
        return Plan(steps, comment=rest.comment, is_general=True, include=layout.name)

    @property
    def num_proposed(self) -> int:
        """How many of the tensors that do not match :meth:`propose` has a proposal for."""
        if self._laid_out is None:
            return len(self.proposals)
        _, match = self._laid_out
        return len(match.matched) + len(match.proposals) - len(self.matched)


def match(
    checkpoint: Tensors | str | os.PathLike[str],
    expected: Expected,
    *,
    backend: str = "mmap",
    fs: Filesystem | None = None,
    limits: Limits = DEFAULT,
) -> Match:
    """Compare a checkpoint with the tensors expected from it, as TensorFlow's partial restore would.

    Parameters
    ----------
    checkpoint
        An open checkpoint, a view of one, or a path that leads to one. A view counts by its names only, not
        by its objects.
    expected
        Another checkpoint or view; the path of a checkpoint, of a ``.meta`` file (the variables that its
        Saver restores) or of a safetensors file, told apart by their content; or a mapping, nested or not, of
        names to arrays, to specs (anything with ``.shape`` and ``.dtype``; a size of None is open) or to
        shapes of any dtype, as tuples or lists.
    backend, fs
        How the files at paths are read, and the file system they are in: see :func:`ckptfmt.open`.
    limits
        How much memory and work the files may take: see :class:`ckptfmt.Limits`.

    Returns
    -------
    Match
        The tensors that match, are missing, are unused, or have another shape or dtype. No tensor is read.

    Raises
    ------
    TypeError
        ``expected`` is not one of these.
    CkptfmtError
        A file is missing, damaged, or not of these kinds.
    """
    check_limits(limits)
    fs = filesystem_of(backend, fs)
    stored = stored_inventory(checkpoint, fs, limits)
    wanted = expected_inventory(expected, fs, limits)
    pairing = pair(stored, wanted)
    return Match(
        **_compared(stored.specs, wanted.specs, pairing.stored_for),
        missing=[
            name for name in wanted.specs if name not in pairing.stored_for and name not in pairing.optional
        ],
        unused=[name for name in stored.specs if name not in pairing.consumed],
        stored=stored.specs,
        wanted=wanted.specs,
        stored_as=stored.called,
        wanted_as=wanted.called,
        file=stored.file,
    )


class _Compared(TypedDict):
    """What matches, and what does not though it has the right name."""

    matched: dict[str, str]
    wrong_shape: list[Mismatch]
    wrong_dtype: list[Mismatch]


def _compared(
    stored: Mapping[str, Spec], wanted: Mapping[str, Spec], stored_for: Mapping[str, str]
) -> _Compared:
    """Return how the stored tensors fit the wanted ones that they are paired with."""
    compared = _Compared(matched={}, wrong_shape=[], wrong_dtype=[])
    for name, want in wanted.items():
        source = stored_for.get(name)
        if source is None:
            continue
        got = stored[source]
        same_shape, same_dtype = _same_shape(got, want), want.dtype is None or got.dtype == want.dtype
        if not same_shape:
            compared["wrong_shape"].append(Mismatch(name, source, got, want))
        if not same_dtype:
            compared["wrong_dtype"].append(Mismatch(name, source, got, want))
        if same_shape and same_dtype:
            compared["matched"][name] = source
    return compared


def _same_shape(got: Spec, want: Spec) -> bool:
    """Whether a shape is one of those wanted; an open size fits any."""
    if got.shape is None or want.shape is None or got.shape == want.shape:
        return True
    return len(got.shape) == len(want.shape) and all(
        a == b or a is None or b is None for a, b in zip(got.shape, want.shape, strict=True)
    )
