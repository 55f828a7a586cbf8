"""Matches: which tensor of a checkpoint each tensor wanted would be restored from.

As TensorFlow pairs them:

=============  =============  ============================================================================
checkpoint     wanted         pairs
=============  =============  ============================================================================
object graph   object graph   both graphs walked from their roots by local names, then slot variables
object graph   names          by key, else by full name, as ``tf.compat.v1.train.Saver`` restores, else by
                              key without what is appended to it
names          object graph   by full name, as ``tf.train.Checkpoint`` restores a Saver's checkpoint
names          names          by name
=============  =============  ============================================================================

Sources: ``python/checkpoint/restore.py``, ``python/checkpoint/checkpoint.py``,
``python/training/saver.py: object_graph_key_mapping``.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from ckptfmt.compare.inventory import Expected, Tally, read_expected, read_stored
from ckptfmt.compare.object_pairs import pair_objects
from ckptfmt.compare.proposals import Proposal, propose
from ckptfmt.compare.proposed_plan import plan_of
from ckptfmt.object_graph.keys import VARIABLE_VALUE
from ckptfmt.object_graph.object_graph import ObjectGraph
from ckptfmt.plans.plan import Plan
from ckptfmt.storage.filesystem import Filesystem
from ckptfmt.storage.local import filesystem_of
from ckptfmt.tensors.restore import Mismatch, RestoreReport, Spec
from ckptfmt.tensors.tensors import Tensors

SAVE_COUNTER = f"save_counter{VARIABLE_VALUE}"
"""What ``tf.train.Checkpoint`` counts its saves with; it does not expect a Saver to have written it."""


@dataclass(frozen=True)
class Match(RestoreReport):
    """How a checkpoint meets what is wanted, and what could be done about the rest."""

    stored: Mapping[str, Spec] = field(default_factory=dict, repr=False)
    """All that the checkpoint has."""
    wanted: Mapping[str, Spec] = field(default_factory=dict, repr=False)
    """All that is wanted."""
    stored_as: Mapping[str, str] = field(default_factory=dict, repr=False)
    """What people call some of what is stored: the full names of keys, by which proposals compare them."""
    wanted_as: Mapping[str, str] = field(default_factory=dict, repr=False)
    """The same of what is wanted."""

    @cached_property
    def proposals(self) -> tuple[Proposal, ...]:
        """What may be meant by what is missing or does not fit, in the order wanted: guesses to review."""
        missing = {name: self.wanted[name] for name in self.missing}
        unused = {name: self.stored[name] for name in self.unused}
        # A tensor can be made to fit one of those that want it, the first.
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

        ``match(checkpoint.apply(plan), expected)`` matches all that is proposed. Its TOML says beside each
        name why it is there, and at its end what stays missing and unused.
        """
        return plan_of(self, self.stored, self.proposals)


def match(
    checkpoint: Tensors | str | os.PathLike[str],
    expected: Expected,
    *,
    backend: str = "mmap",
    fs: Filesystem | None = None,
) -> Match:
    """Tell how a checkpoint meets what is wanted from it, as TensorFlow's partial restore would.

    Parameters
    ----------
    checkpoint
        An open checkpoint, a view of one, or a path that leads to one. Of a view only the names count, not
        the objects.
    expected
        Another checkpoint or view; the path of a checkpoint, of a ``.meta`` file (the variables that its
        Saver restores) or of a safetensors file, told apart by what is in them; or a mapping, nested or not,
        of names to arrays, to specs (anything with ``.shape`` and ``.dtype``, a size None where any will do)
        or to shapes, tuples or lists, of any dtype.
    backend, fs
        How the files at paths are read, and where they lie: see :func:`ckptfmt.open`.

    Returns
    -------
    Match
        What matched, is missing, is left unused, or has another shape or dtype. No tensor is read.

    Raises
    ------
    TypeError
        ``expected`` is none of these.
    MissingDependencyError
        It is a safetensors file, and the package is not installed.
    CkptfmtError
        A file is missing, damaged, or not of these kinds.
    """
    fs = filesystem_of(backend, fs)
    has, wanted = read_stored(checkpoint, fs), read_expected(expected, fs)
    stored = has.specs
    pairs = _pair(has.graph, stored, wanted)
    matched: dict[str, str] = {}
    wrong_shape: list[Mismatch] = []
    wrong_dtype: list[Mismatch] = []
    for name, want in wanted.specs.items():
        source = pairs.stored_for.get(name)
        if source is None:
            continue
        got = stored[source]
        mismatch = Mismatch(name, source, got, want)
        fits = True
        if not _same_shape(got, want):
            wrong_shape.append(mismatch)
            fits = False
        if want.dtype is not None and got.dtype != want.dtype:
            wrong_dtype.append(mismatch)
            fits = False
        if fits:
            matched[name] = source
    return Match(
        matched,
        missing=[n for n in wanted.specs if n not in pairs.stored_for and n not in pairs.optional],
        unused=[name for name in stored if name not in pairs.consumed],
        wrong_shape=wrong_shape,
        wrong_dtype=wrong_dtype,
        stored=stored,
        wanted=wanted.specs,
        stored_as=has.called,
        wanted_as=wanted.called,
    )


def _same_shape(got: Spec, want: Spec) -> bool:
    """Whether a shape is one of those wanted; sizes that are not known are any."""
    if got.shape is None or want.shape is None or got.shape == want.shape:
        return True
    return len(got.shape) == len(want.shape) and all(
        a == b or a is None or b is None for a, b in zip(got.shape, want.shape, strict=True)
    )


@dataclass
class _Pairing:
    """Names wanted and what they are restored from."""

    stored_for: dict[str, str]
    """Name wanted → name in the checkpoint."""
    consumed: set[str]
    """Names in the checkpoint that somebody wants."""
    optional: frozenset[str] = frozenset()
    """Names wanted that may be missing."""


def _pair(graph: ObjectGraph | None, stored: Mapping[str, Spec], wanted: Tally) -> _Pairing:
    consumed: set[str] = set()
    optional: frozenset[str] = frozenset()
    found: Iterator[tuple[str, str]]
    if graph is not None and wanted.graph is not None:
        pairs = pair_objects(graph, wanted.graph)
        consumed = pairs.consumed
        # Keys of no object go by name.
        free = set(graph.unreached).intersection(wanted.graph.unreached)
        found = iter([*pairs.stored_for.items(), *((key, key) for key in free)])
    elif graph is not None:
        found = _by_full_name(graph, stored, wanted.specs)
    elif wanted.graph is not None:
        found = _to_full_name(wanted.graph, stored, wanted.specs)
        optional = frozenset([SAVE_COUNTER])
    else:
        found = ((name, name) for name in wanted.specs)
    stored_for = {name: source for name, source in found if name in wanted.specs and source in stored}
    return _Pairing(stored_for, consumed.union(stored_for.values()), optional)


def _by_full_name(
    graph: ObjectGraph, stored: Mapping[str, Spec], wanted: Mapping[str, Spec]
) -> Iterator[tuple[str, str]]:
    by_full_name = graph.keys_by_full_name
    for name in wanted:
        keys = by_full_name.get(name, ())
        if name in stored:
            yield name, name
        elif keys:
            yield name, keys[-1]  # of several variables of one name TensorFlow restores the last
        else:
            yield name, name + VARIABLE_VALUE


def _to_full_name(
    graph: ObjectGraph, stored: Mapping[str, Spec], wanted: Mapping[str, Spec]
) -> Iterator[tuple[str, str]]:
    for key in wanted:
        # A view may have the keys themselves.
        yield key, key if key in stored else graph.full_names.get(key, key)
