"""Matches: how a checkpoint would restore into what is wanted, found out without TensorFlow."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field

from ckptfmt.cached_property import cached_property
from ckptfmt.compare.inventory import Expected, expected_inventory, stored_inventory
from ckptfmt.compare.pairing import pair
from ckptfmt.compare.proposals import Proposal, propose
from ckptfmt.compare.proposed_plan import proposed_plan
from ckptfmt.limits import DEFAULT, Limits, check_limits
from ckptfmt.plans.plan import Plan
from ckptfmt.storage.filesystem import Filesystem
from ckptfmt.storage.local import filesystem_of
from ckptfmt.tensors.restore import Mismatch, RestoreReport, Spec
from ckptfmt.tensors.tensors import Tensors


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

    def propose(self) -> Plan:
        """Return a plan for a person to review: :attr:`proposals`, and what matched under other names.

        ``match(checkpoint.apply(plan), expected)`` matches everything that is proposed. The plan's TOML gives
        the reason beside each name, and lists at the end what is still missing or unused.
        """
        return proposed_plan(self, self.stored, self.proposals)


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
    matched: dict[str, str] = {}
    wrong_shape: list[Mismatch] = []
    wrong_dtype: list[Mismatch] = []
    for name, want in wanted.specs.items():
        source = pairing.stored_for.get(name)
        if source is None:
            continue
        got = stored.specs[source]
        same_shape, same_dtype = _same_shape(got, want), want.dtype is None or got.dtype == want.dtype
        if not same_shape:
            wrong_shape.append(Mismatch(name, source, got, want))
        if not same_dtype:
            wrong_dtype.append(Mismatch(name, source, got, want))
        if same_shape and same_dtype:
            matched[name] = source
    return Match(
        matched,
        missing=[
            name for name in wanted.specs if name not in pairing.stored_for and name not in pairing.optional
        ],
        unused=[name for name in stored.specs if name not in pairing.consumed],
        wrong_shape=wrong_shape,
        wrong_dtype=wrong_dtype,
        stored=stored.specs,
        wanted=wanted.specs,
        stored_as=stored.called,
        wanted_as=wanted.called,
        file=stored.file,
    )


def _same_shape(got: Spec, want: Spec) -> bool:
    """Whether a shape is one of those wanted; an open size fits any."""
    if got.shape is None or want.shape is None or got.shape == want.shape:
        return True
    return len(got.shape) == len(want.shape) and all(
        a == b or a is None or b is None for a, b in zip(got.shape, want.shape, strict=True)
    )
