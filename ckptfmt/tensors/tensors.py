"""Tensors by name: what a checkpoint and every view of one have in common.

::

    Tensors                 Mapping of names to arrays; views are made by its methods
    ├── Checkpoint          the names are those in the index             (checkpoint.py)
    ├── View                the names stand for names of another Tensors
    └── PlanView            the names are the targets of a plan

Views are lazy: they hold names, and read from what they view. They can be piled up in any order.
"""

from __future__ import annotations

import os
import re
from abc import abstractmethod
from collections.abc import (
    Callable,
    Collection,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from functools import cached_property, partial
from itertools import chain
from typing import Literal, TypeVar

import numpy as np

from ckptfmt.arrays.array import Array
from ckptfmt.arrays.shape import expected_size
from ckptfmt.checkpoint.columns import Entries
from ckptfmt.checkpoint.entry import Entry
from ckptfmt.checkpoint.selection import Selection
from ckptfmt.checkpoint.slices import Region
from ckptfmt.errors import GraphError, NameConflictError
from ckptfmt.object_graph.keys import OBJECT_GRAPH_KEY
from ckptfmt.object_graph.object_graph import ObjectGraph
from ckptfmt.plans.expressions import Expression, Reading, Stored
from ckptfmt.plans.plan import Plan, read_plan
from ckptfmt.tensors import renaming
from ckptfmt.tensors.mapping import TensorMapping, check_name
from ckptfmt.tensors.renaming import Rule
from ckptfmt.tensors.slice_reader import SliceReader
from ckptfmt.text.patterns import Pattern, literal_prefixes, matcher

T = TypeVar("T")
Self = TypeVar("Self", bound="Tensors")


class Tensors(TensorMapping):
    """Tensors by name, read when asked for, and the views of them: a checkpoint, or a view of one."""

    def renamed(
        self,
        names: Mapping[str, str] | Iterable[Rule] | Callable[[str], str | None],
        *,
        keep_rest: bool = False,
    ) -> View:
        r"""Return a view under other names.

        Parameters
        ----------
        names
            A mapping *new name → name here*, as the dictionary of ``tf.train.Saver({"saved": variable})``
            has names in the checkpoint and what they are restored to; the view has these names only. Or
            rules, pairs *(regular expression, replacement)* applied to every name one after the other as
            ``re.sub`` does: ``[(r"^layer(\d+)/", r"encoder/\1/")]``. Or a function of a name that returns the
            new one, or None to leave the tensor out.
        keep_rest
            Whether, with a mapping, the tensors it does not name stay under their own names.

        Raises
        ------
        TensorNotFoundError
            The mapping names tensors that are not there: ``.names``.
        NameConflictError
            Two tensors would get one name, or one tensor two: ``.names``.
        """
        if isinstance(names, Mapping):
            return View(self, self._by_mapping(names, keep_rest))
        if keep_rest:
            raise ValueError("keep_rest: rules and functions say themselves what becomes of each name")
        if isinstance(names, str):
            raise TypeError(f"names: got the string {names!r}, want a mapping, rules or a function")
        return View(self, renaming.renamed(self, names if callable(names) else renaming.by_rules(names)))

    def _by_mapping(self, names: Mapping[str, str], keep_rest: bool) -> dict[str, str]:
        for name in (*names, *names.values()):
            check_name(name)
        absent = self._absent(names.values())
        if absent:
            raise self._not_found(absent)
        stored = renaming.unique(((old, new) for new, old in names.items()), "tensor under several new names")
        if not keep_rest:
            return dict(names)
        rest = [(name, name) for name in self if name not in stored]
        return renaming.unique([*names.items(), *rest], "new name for several tensors")

    def select(self, *patterns: Pattern, exclude: Pattern | Iterable[Pattern] = ()) -> View:
        """Return a view of the tensors that match any pattern (all, where none is given) and no ``exclude``.

        A string is a glob over the whole name in which ``*`` also matches slashes; a name that has brackets
        also matches itself. What ``re.compile`` returns is searched for anywhere in the name.
        """
        unwanted = (exclude,) if isinstance(exclude, (str, re.Pattern)) else tuple(exclude)
        matcher((*patterns, *unwanted))  # what is no pattern is an error now, not at first use
        prefixes = literal_prefixes(patterns)
        return View(
            self,
            lambda: renaming.selected(
                chain.from_iterable(map(self._names_below, prefixes)), patterns, unwanted
            ),
        )

    def ema(self, suffix: str = renaming.AVERAGE) -> View:
        """Return a view in which variables are read from their exponential moving averages.

        As ``tf.train.ExponentialMovingAverage.variables_to_restore`` maps them: ``w`` is read from
        ``w/ExponentialMovingAverage`` where that is there, ``a/w`` also from an average made in an outer
        scope, ``outer/a/w/ExponentialMovingAverage``; every other tensor is read from itself. The averages
        are gone from the listing, with the ``biased`` and ``local_step`` below them; an average without a
        variable, that of some other tensor, stays. ``suffix`` is the name the average was given.

        The keys of ``tf.train.Checkpoint`` have other forms: ``ckpt.by_full_name().ema()``.
        """
        return View(self, lambda: renaming.averaged(dict.fromkeys(self), suffix))

    def model_variables(self) -> View:
        """Return a view of the model's variables, without what training adds.

        Left out are optimizers with their slots and hyperparameters, moving averages, counters and the keys
        of the bookkeeping; :mod:`ckptfmt.tensors.model_variables` has each rule.
        """
        return View(self, self._only_model_variables)

    def _only_model_variables(self) -> dict[str, str]:
        kept = self._model_names()
        # What a plan has made it was told to make.
        return {name: name for name, stored in self._stored().items() if stored is None or stored in kept}

    def by_object_path(
        self, below: str | None = None, *, ambiguous: Literal["error", "key"] = "error"
    ) -> View:
        """Return a view of a ``tf.train.Checkpoint`` under short names: ``model/dense/kernel``.

        A name is the key without what is appended to every variable, and unescaped. Keys take the *shortest*
        path to a variable, which with Keras 3 often leads through the optimizer
        (``optimizer/_trainable_variables/0``). With ``below``, the path of an object (``"model"``, ``""`` for
        the root), the view has the variables found below that object, under the names a walk from there gives
        them, in which lists of variables come last (``_functional/_operations/1/_kernel``).

        Raises
        ------
        GraphError
            The checkpoint has no object graph.
        TensorNotFoundError
            No object at the path ``below``.
        NameConflictError
            A name would stand for several tensors; with ``ambiguous="key"`` these keep their keys.
        """
        graph = self._require_graph()
        paths = graph.short_names() if below is None else graph.short_names_below(graph[below])
        return self._by_short_names(paths, rest=below is None, ambiguous=ambiguous)

    def by_full_name(self, *, ambiguous: Literal["error", "key"] = "error") -> View:
        """Return a view of a ``tf.train.Checkpoint`` under the names variables had in the program.

        ``dense/kernel``, ``adam/dense_kernel_momentum``: the names that name-based checkpoints use. What has
        none, such as a lookup table, keeps its key.

        Raises
        ------
        GraphError
            The checkpoint has no object graph.
        NameConflictError
            A name stands for several tensors; names need not be unique. With ``ambiguous="key"`` these keep
            their keys.
        """
        return self._by_short_names(self._require_graph().full_names, rest=True, ambiguous=ambiguous)

    def _require_graph(self) -> ObjectGraph:
        graph = self.object_graph
        if graph is None:
            raise GraphError(f"{self.prefix}: no object graph: tf.train.Checkpoint did not write this")
        return graph

    def _by_short_names(self, short: Mapping[str, str], *, rest: bool, ambiguous: str) -> View:
        """The view under ``short``, by key; of what is not in it the ``rest`` under the names it has."""
        if ambiguous not in ("error", "key"):
            raise ValueError(f'ambiguous: got {ambiguous!r}, want "error" or "key"')
        claims = []
        for name, stored in self._stored().items():
            if stored == OBJECT_GRAPH_KEY:
                continue
            new = None if stored is None else short.get(stored)
            if new is not None or rest:
                claims.append((new or name, name))
        clashes = renaming.conflicts(claims) if len(dict(claims)) < len(claims) else {}
        if clashes and ambiguous == "error":
            raise NameConflictError('several tensors of one name (see ambiguous="key")', names=clashes)
        if clashes:
            claims = [(old if new in clashes else new, old) for new, old in claims]
        # A key may also be the short name of something else.
        return View(self, renaming.unique(claims, "several tensors of one name"))

    def apply(self, plan: Plan | str | os.PathLike[str]) -> PlanView:
        """Return a view of what a plan, or a plan file, makes of the tensors: renamed, dropped, transformed.

        Names are made now, arrays when they are read. ``plan.lint(ckpt)`` tells beforehand whether every
        tensor fits.

        Raises
        ------
        PlanError
            The file is no plan, a concat misses a part, or ``rest="error"`` and tensors are left over. Where
            a tensor does not fit its step, reading that one raises it.
        NameConflictError
            Several tensors would get one name.
        """
        return PlanView(self, plan if isinstance(plan, Plan) else read_plan(plan))


class _Derived(Tensors):
    """What views of other Tensors have in common: the files are those of what they view."""

    _parent: Tensors

    @abstractmethod
    def _names(self) -> Mapping[str, object]:
        """What the names here stand for."""

    @abstractmethod
    def _entry(self, name: str) -> Entry:
        """What is known of a tensor, under its name here."""

    @property
    def prefix(self) -> str:
        """What TensorFlow calls the checkpoint."""
        return self._parent.prefix

    @property
    def format(self) -> str:
        """``"v2"`` or ``"v1"``."""
        return self._parent.format

    @property
    def object_graph(self) -> ObjectGraph | None:
        """The object graph of the checkpoint; its keys are those in the index."""
        return self._parent.object_graph

    def _absent(self, names: Collection[str]) -> list[str]:
        known = self._names()
        return [name for name in names if name not in known]

    def close(self) -> None:
        """Close the checkpoint. Arrays already returned stay valid."""
        self._parent.close()

    def _model_names(self) -> frozenset[str]:
        return self._parent._model_names()

    def _release(self, name: str) -> None:
        for source in self._sources(name):
            self._parent._release(source)

    @abstractmethod
    def _sources(self, name: str) -> Iterable[str]:
        """What of its parent a tensor is made of."""


class _DerivedEntries(Entries):
    """The entries of a view, made as they are asked for."""

    def __init__(self, view: _Derived) -> None:
        self._view = view

    def __getitem__(self, name: str) -> Entry:
        return self._view._entry(name)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name in self._view._names()

    def __iter__(self) -> Iterator[str]:
        return iter(self._view._names())

    def __len__(self) -> int:
        return len(self._view._names())

    def __repr__(self) -> str:
        return f"<Entries of {self._view!r}>"


class View(_Derived):
    """Tensors under names that stand for names of other Tensors.

    Two names may stand for one tensor: each is then a tensor of its own, read by itself.
    """

    def __init__(self, parent: Tensors, names: Mapping[str, str] | Callable[[], Mapping[str, str]]) -> None:
        self._parent = parent
        self._make_names = names
        self.entries = _DerivedEntries(self)

    @cached_property
    def names(self) -> Mapping[str, str]:
        """Each name here and the name it stands for in what is viewed."""
        return self._make_names() if callable(self._make_names) else self._make_names

    def __getitem__(self, name: str) -> Array:
        """Return a tensor as a read-only array; see :meth:`Checkpoint.__getitem__`."""
        return self._parent[self._viewed(name)]

    def stored_name(self, name: str) -> str | None:
        """Return what the checkpoint calls a tensor; None where a plan makes it out of others."""
        return self._parent.stored_name(self._viewed(name))

    def _stored(self) -> Mapping[str, str | None]:
        stored = self._parent._stored()
        return {name: stored[viewed] for name, viewed in self.names.items()}

    def _region(self, name: str, region: Region | None, *, verified: bool) -> Array:
        return self._parent._region(self._viewed(name), region, verified=verified)

    def _selection(self, name: str, selection: Selection) -> Array:
        return self._parent._selection(self._viewed(name), selection)

    def _is_verified(self, name: str, selection: Selection) -> bool:
        return self._parent._is_verified(self._viewed(name), selection)

    def slice(self, name: str) -> SliceReader:
        """Return a reader of parts of one tensor."""
        return self._parent.slice(self._viewed(name)).renamed(name)

    def _names(self) -> Mapping[str, object]:
        return self.names

    def _entry(self, name: str) -> Entry:
        return self._parent.entries[self._viewed(name)]._replace(name=name)

    def _sources(self, name: str) -> Iterable[str]:
        return (self._viewed(name),)

    def _viewed(self, name: str) -> str:
        check_name(name)
        viewed = self.names.get(name)
        if viewed is None:
            raise self._not_found([name])
        return viewed

    def _load(
        self, wanted: Sequence[str] | None, *, threads: int, copy: bool, out: Mapping[str, Array]
    ) -> dict[str, Array]:
        names = list(self.names) if wanted is None else wanted
        arrays: dict[str, Array] = {}
        left = names
        while left:
            # One name for each tensor at a time: two names for one get an array each.
            viewed: dict[str, str] = {}
            for name in left:
                viewed.setdefault(self.names[name], name)
            target = {old: out[name] for old, name in viewed.items() if name in out}
            loaded = self._parent._load(list(viewed), threads=threads, copy=copy, out=target)
            arrays.update((name, loaded[old]) for old, name in viewed.items())
            left = [name for name in left if name not in arrays]
        return {name: arrays[name] for name in names}

    def __reduce__(self) -> tuple[object, ...]:
        return View, (self._parent, dict(self.names))


class PlanView(_Derived):
    """What a plan makes of tensors, under the names it gives them."""

    def __init__(self, parent: Tensors, plan: Plan) -> None:
        self._parent = parent
        self.plan = plan
        """The plan applied."""
        self._targets = plan.targets(parent.entries)
        self.entries = _DerivedEntries(self)

    def __getitem__(self, name: str) -> Array:
        """Return a tensor as a read-only array: a view where NumPy can make one.

        Raises what reading its sources raises, and PlanError where they do not fit the plan.
        """
        return self._region(name, None, verified=True)

    def stored_name(self, name: str) -> str | None:
        """Return what the checkpoint calls a tensor that was only renamed; None of others."""
        target = self._target(name)
        return self._parent.stored_name(target.name) if isinstance(target, Stored) else None

    def _stored(self) -> Mapping[str, str | None]:
        stored = self._parent._stored()
        return {n: stored[t.name] if isinstance(t, Stored) else None for n, t in self._targets.items()}

    def slice(self, name: str) -> SliceReader:
        """Return a reader of parts of one tensor; what was reshaped is read whole for any part."""
        target = self._target(name)
        if isinstance(target, Stored):
            return self._parent.slice(target.name).renamed(name)
        return SliceReader(self.entries[name], self, name)

    def _names(self) -> Mapping[str, object]:
        return self._targets

    def _entry(self, name: str) -> Entry:
        target = self._target(name)
        entries = self._parent.entries
        if isinstance(target, Stored):
            return entries[target.name]._replace(name=name)
        dtype, shape = target.spec(entries)
        nbytes = expected_size(dtype, shape)
        if nbytes is None:
            # Of strings: what all the tensors take that it is made of.
            nbytes = sum(entries[source].nbytes for source in target.sources)
        # What is not stored as it is has no place in a file.
        return Entry(name, dtype, shape, nbytes, None, None, None, ())

    def _sources(self, name: str) -> Iterable[str]:
        return self._target(name).sources

    def _target(self, name: str) -> Expression:
        check_name(name)
        target = self._targets.get(name)
        if target is None:
            raise self._not_found([name])
        return target

    def _region(self, name: str, region: Region | None, *, verified: bool) -> Array:
        return self._target(name).value(self._reading(verified=verified), region)

    def _selection(self, name: str, selection: Selection) -> Array:
        array = self._region(name, selection.region, verified=False)
        part = selection.within(selection.region)
        return np.empty(selection.shape, array.dtype) if part is None else array[part.source]

    def _is_verified(self, name: str, selection: Selection) -> bool:
        return False  # the parts of what a plan makes are read without their checksums

    def _reading(self, *, verified: bool) -> Reading:
        return Reading(partial(self._parent._region, verified=verified), self._parent.entries)

    def _load(
        self, wanted: Sequence[str] | None, *, threads: int, copy: bool, out: Mapping[str, Array]
    ) -> dict[str, Array]:
        names = list(self._targets) if wanted is None else wanted
        plain = {n: t.name for n in names if isinstance(t := self._targets[n], Stored)}
        target = {plain[name]: array for name, array in out.items() if name in plain}
        stored = self._parent._load(list(plain.values()), threads=threads, copy=copy, out=target)
        reading = self._reading(verified=True)

        def load(name: str) -> Array:
            return _into(self._target(name).value(reading), out.get(name), copy)

        return {name: stored[plain[name]] if name in plain else load(name) for name in names}

    def __reduce__(self) -> tuple[object, ...]:
        return PlanView, (self._parent, self.plan)


def _into(array: Array, out: Array | None, copy: bool) -> Array:
    """An array in ``out``, as a copy, or as it is."""
    if out is not None:
        np.copyto(out, array)
        return out
    return array.copy() if copy else array
