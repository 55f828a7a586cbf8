"""Tensors by name, and the methods that make views of them.

::

    Tensors                 Mapping of names to arrays; views are made by its methods
    ├── Checkpoint          the names are those in the index             (checkpoint.py)
    ├── View                the names stand for names of another Tensors (view.py)
    ├── PlanView            the names are the targets of a plan          (plan_view.py)
    ├── CastView            some tensors are converted                   (changed_values.py)
    └── UpdatedView         some tensors have values of the caller       (changed_values.py)

Views are lazy: they hold names, and read from what they view. They stack in any order.

These views are all made by Tensors and Tensors themselves. So they are defined here, and what
they do is in modules that do not know Tensors.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain
from typing import Any, Literal

from ckptfmt import object_graph as objects
from ckptfmt import plans, tensors
from ckptfmt.dtypes import as_dtype
from ckptfmt.errors import GraphError, NameConflictError
from ckptfmt.notebook.card import Card, Fact
from ckptfmt.object_graph.keys import OBJECT_GRAPH_KEY
from ckptfmt.storage.filesystem import Filesystem
from ckptfmt.tensors import dask_arrays, handover, renaming
from ckptfmt.tensors.aliases import no_match
from ckptfmt.tensors.cards import tensors_card
from ckptfmt.tensors.changed_values import CastMapping, UpdatedMapping
from ckptfmt.tensors.mapping import TensorMapping, check_name
from ckptfmt.tensors.plan_view import PlanMapping
from ckptfmt.tensors.renaming import Rule
from ckptfmt.tensors.training_names import AVERAGE
from ckptfmt.tensors.view import NameMapping
from ckptfmt.text.patterns import Pattern, literal_prefixes, matcher


class Tensors(TensorMapping):
    """Tensors by name, read on access, with methods that make views: a checkpoint, or a view of one."""

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
            A mapping *new name → name here*: like the dictionary of ``tf.train.Saver({"saved": variable})``,
            it has the names in the checkpoint and what they are restored to. The view has its names only.
            Or rules, pairs *(regular expression, replacement)* applied to every name one after the other as
            ``re.sub`` does: ``[(r"^layer(\d+)/", r"encoder/\1/")]``. Or a function that returns the new name
            of a name, or None to leave the tensor out.
        keep_rest
            Whether tensors that a mapping does not name stay under their own names.

        Raises
        ------
        TensorNotFoundError
            The mapping names tensors that do not exist: ``.names``.
        NameConflictError
            Two tensors would get one name, or one tensor two: ``.names``.
        """
        if isinstance(names, Mapping):
            return View(self, self._by_mapping(names, keep_rest))
        if keep_rest:
            raise ValueError("keep_rest: rules and functions decide about every name themselves")
        if isinstance(names, str):
            raise TypeError(f"names: got the string {names!r}, want a mapping, rules or a function")
        new_name = names if callable(names) else renaming.by_rules(names)
        return View(self, renaming.renamed(self, new_name, self.prefix))

    def _by_mapping(self, names: Mapping[str, str], keep_rest: bool) -> dict[str, str]:
        for name in (*names, *names.values()):
            check_name(name)
        absent = self._absent(names.values())
        if absent:
            raise self._not_found(absent)
        stored = renaming.unique(
            ((old, new) for new, old in names.items()), "tensor under several new names", self.prefix
        )
        if not keep_rest:
            return dict(names)
        rest = [(name, name) for name in self if name not in stored]
        return renaming.unique([*names.items(), *rest], "new name for several tensors", self.prefix)

    def select(self, *patterns: Pattern, exclude: Pattern | Iterable[Pattern] = ()) -> View:
        """Return a view of the tensors that match any pattern (all without patterns) and no ``exclude``.

        A string is a glob over the whole name in which ``*`` also matches slashes; a name with brackets also
        matches itself. A compiled regular expression is searched for anywhere in the name. The names are
        listed when they are first needed.

        Raises
        ------
        TensorNotFoundError
            A pattern matches no name, when the names are listed; one in ``exclude`` may match none.
        """
        unwanted = (exclude,) if isinstance(exclude, (str, re.Pattern)) else tuple(exclude)
        matcher((*patterns, *unwanted))  # an invalid pattern is an error now, not at first use
        # Only names that can match are listed: a large index is not decoded for a few of its tensors.
        prefixes = literal_prefixes(patterns)
        return View(self, lambda: self._selected(prefixes, patterns, unwanted))

    def _selected(
        self, prefixes: Iterable[str], patterns: Sequence[Pattern], unwanted: Sequence[Pattern]
    ) -> dict[str, str]:
        selected = renaming.selected(chain.from_iterable(map(self._names_below, prefixes)), patterns)
        idle = renaming.idle(patterns, selected)
        if idle:
            raise no_match(idle, lambda: self._names_near(str(idle[0])), self.prefix)
        return renaming.selected(selected, (), unwanted) if unwanted else selected

    def ema(self, suffix: str = AVERAGE) -> View:
        """Return a view in which variables are read from their exponential moving averages.

        Names map as in ``tf.train.ExponentialMovingAverage.variables_to_restore``: ``w`` is read from
        ``w/ExponentialMovingAverage`` if that exists, ``a/w`` also from an average made in an outer scope,
        ``outer/a/w/ExponentialMovingAverage``; every other tensor is read from itself. The averages leave the
        listing, with the ``biased`` and ``local_step`` below them; an average without a variable, which is
        that of some other tensor, stays. ``suffix`` is the name that the average was given.

        Keys of ``tf.train.Checkpoint`` have another form: use ``ckpt.by_full_name().ema()``. For the model's
        variables alone use ``ckpt.ema().model_variables()``: a view without the averages has nothing to read
        them from.
        """
        return AveragedView(self, lambda: renaming.averaged(dict.fromkeys(self), suffix))

    def model_variables(self) -> View:
        """Return a view of the model's variables, without what training adds.

        Left out are optimizers with their slots and hyperparameters, moving averages, counters and
        bookkeeping keys; :mod:`ckptfmt.tensors.model_variables` has each rule.
        """
        return View(self, self._only_model_variables)

    def _only_model_variables(self) -> dict[str, str]:
        kept = self._model_names()
        # Tensors that a plan makes (stored is None) are kept: the plan asks for them.
        return {name: name for name, stored in self._stored().items() if stored is None or stored in kept}

    @property
    def weights(self) -> Weights:
        """The model's own weights, under the names that a person knows: no choice has to be made.

        Names are those of a checkpoint of names, without ``:0``; the full names of variables among objects
        (``dense/kernel``) where each is unique, and object paths where not. Left out are optimizers, moving
        averages, metrics, counters, states of random number generators and lookup tables. Tensors that a
        view has renamed keep their names there. ``ckpt.weights.explain()`` says which rule took each stored
        tensor, and :mod:`ckptfmt.tensors.weight_rules` has the rules.

        ``ckpt.ema().weights`` has the moving averages in place of the variables.
        """
        return Weights(self, self._only_weights)

    def _only_weights(self) -> dict[str, str]:
        known = {each.stored: each.name for each in self._weight_rules() if each.name is not None}
        named = {}
        for name, stored in self._stand_for().items():
            if stored is None:
                named[name] = name  # a plan made it
            elif stored in known:
                named[name] = known[stored] if name == stored else name
        # A name that a view gave may be another weight's.
        unique = renaming.distinct(named, lambda name, _: name, 1)
        return {new: name for name, (new, _) in unique.items()}

    def by_object_path(
        self, below: str | None = None, *, ambiguous: Literal["error", "key"] = "error"
    ) -> View:
        """Return a view of a ``tf.train.Checkpoint`` under short names: ``model/dense/kernel``.

        A name is the key, unescaped, without the suffix of every variable. Keys take the *shortest* path to a
        variable, which with Keras 3 often leads through the optimizer (``optimizer/_trainable_variables/0``).
        With ``below``, the path of an object (``"model"``, ``""`` for the root), the view has the variables
        found below that object, under the names that a walk from there gives them, in which lists of
        variables come last (``_functional/_operations/1/_kernel``).

        Raises
        ------
        GraphError
            The checkpoint has no object graph.
        TensorNotFoundError
            There is no object at the path ``below``.
        NameConflictError
            A name would refer to several tensors; with ``ambiguous="key"`` these keep their keys.
        """
        _check_ambiguous(ambiguous)
        graph = self._require_graph()
        paths = graph.short_names() if below is None else graph.short_names_below(graph[below])
        return self._by_short_names(paths, rest=below is None, ambiguous=ambiguous)

    def by_full_name(self, *, ambiguous: Literal["error", "key"] = "key") -> View:
        """Return a view under the names that variables had in the program.

        These names, such as ``dense/kernel`` and ``adam/dense_kernel_momentum``, are those of name-based
        checkpoints: of these it is a view without changes. A tensor without a full name, such as a lookup
        table, keeps its key.

        Full names need not be unique: metrics share ``total`` and ``count``. If a model's variable is the
        only one of the model of that name, it takes the name, and the others keep their keys. If several
        are, all keep their keys.

        Raises
        ------
        NameConflictError
            A name refers to several tensors, and ``ambiguous="error"``.
        """
        _check_ambiguous(ambiguous)
        graph = self.object_graph
        if graph is None:
            return View(self, lambda: {name: name for name in self})
        return self._by_short_names(graph.full_names, rest=True, ambiguous=ambiguous, prefer_model=True)

    def _require_graph(self) -> objects.ObjectGraph:
        graph = self.object_graph
        if graph is None:
            raise GraphError("no object graph: tf.train.Checkpoint did not write this", file=self.prefix)
        return graph

    def _by_short_names(
        self, short: Mapping[str, str], *, rest: bool, ambiguous: str, prefer_model: bool = False
    ) -> View:
        """Return the view under ``short``, by key; with ``rest``, other tensors keep the names they have.

        With ``prefer_model``, a variable of the model gets a name that none of its other variables has.
        """
        claims = []
        for name, stored in self._stored().items():
            if stored == OBJECT_GRAPH_KEY:
                continue
            new = None if stored is None else short.get(stored)
            if new is not None or rest:
                claims.append((new or name, name))
        clashes = renaming.conflicts(claims) if len(dict(claims)) < len(claims) else {}
        if clashes and ambiguous == "error":
            what = 'several tensors of one name (see ambiguous="key")'
            raise NameConflictError(what, names=clashes, file=self.prefix)
        if clashes:
            kept = self._model_names() if prefer_model else frozenset()
            stored_names = self._stored()
            winners = {}
            for new, several in clashes.items():
                of_model = [old for old in several if stored_names[old] in kept]
                if len(of_model) == 1:
                    winners[new] = of_model[0]
            claims = [
                (new if new not in clashes or winners.get(new) == old else old, old) for new, old in claims
            ]
        # A key may in turn be the short name of another tensor.
        return View(self, renaming.unique(claims, "several tensors of one name", self.prefix))

    def updated(self, values: Mapping[str, Any], *, add: bool = False) -> UpdatedView:
        """Return a view in which some tensors have other values; the others are those here.

        Parameters
        ----------
        values
            New values by name, or nested dictionaries of them. They get the dtype of the tensor that they
            replace, as in :meth:`CheckpointWriter.add`, and may have another shape. Memory of arrays is
            shared, not copied.
        add
            Whether tensors that do not exist are added. By default a name without a tensor is an error, so
            that a misspelt one is noticed.

        Raises
        ------
        TensorNotFoundError
            Names have no tensor, and ``add`` is not given: ``.names``.
        TypeError, ValueError
            The dtype of the tensor cannot have a value: 1.5 is no int, and 300 no int8.
        """
        return UpdatedView(self, values, add=add)

    def cast(
        self,
        dtype: Any,  # noqa: ANN401  (a dtype of any library)
        *,
        only: Pattern | Iterable[Pattern] = (),
        exclude: Pattern | Iterable[Pattern] = (),
    ) -> CastView:
        """Return a view in which numbers are converted to another dtype of their kind.

        A floating-point dtype is that of all floating-point tensors then, an integer dtype that of all
        integers, a complex one that of all complex numbers; tensors of other kinds stay as they are. A plan
        converts between kinds. As in NumPy, floats that are too large become infinite, and integers that do
        not fit wrap around.

        Parameters
        ----------
        dtype
            The dtype, such as ``"bfloat16"``.
        only, exclude
            Patterns of names to convert and of names to leave as they are, as :meth:`select` takes them.

        Raises
        ------
        ValueError
            The dtype is not one of floating-point, integer or complex numbers.
        TensorNotFoundError
            A pattern in ``only`` matches no name.
        """
        wanted = as_dtype(dtype).base_dtype
        if not (wanted.is_floating or wanted.is_integer or wanted.is_complex):
            raise ValueError(f"dtype: got {wanted.name}, want one of numbers")
        patterns = (only,) if isinstance(only, (str, re.Pattern)) else tuple(only)
        return CastView(self, wanted, frozenset(self.select(*patterns, exclude=exclude)))

    def apply(
        self,
        plan: plans.Plan | str | os.PathLike[str],
        *,
        backend: str = "mmap",
        fs: Filesystem | None = None,
    ) -> PlanView:
        """Return a view of what a plan makes of the tensors: renamed, dropped, transformed.

        ``plan`` is a :class:`Plan`, the path of a file, or a name in :func:`ckptfmt.shipped_plans`.
        Names are made now, arrays when they are read. ``plan.lint(ckpt)`` tells beforehand whether every
        tensor fits. ``backend`` and ``fs`` are those of :meth:`Plan.read`, for the path of a plan: the
        checkpoint may be in another file system.

        Raises
        ------
        PlanError
            The file is not a plan, a concat lacks a part, or ``rest="error"`` and tensors are left over.
            A tensor that does not fit its step raises it when it is read.
        NameConflictError
            Several tensors would get one name.
        """
        return PlanView(
            self, plan if isinstance(plan, plans.Plan) else plans.Plan.read(plan, backend=backend, fs=fs)
        )

    # --- for other libraries -----------------------------------------------------------------------------

    def to_torch(
        self,
        device: Any = None,  # noqa: ANN401  (a device of PyTorch)
        *,
        names: Iterable[str] | None = None,
        copy: bool = False,
    ) -> dict[str, Any]:
        """Return tensors of PyTorch by name, with the same shapes, dtypes and bits, bfloat16 too.

        On the CPU, the tensors of a mapped file are not copied: each views the file in memory that is
        private to the result. Writing to one changes neither the file nor arrays read from it, and copies
        the pages that are written. What is not aligned or was computed is copied once.

        Parameters
        ----------
        device
            Where to put them, as PyTorch takes it: ``"cuda"``. By default they stay on the CPU.
        names
            The tensors to hand over; by default all but the object graph.
        copy
            Whether each tensor on the CPU gets memory of its own, independent of the file.

        Raises
        ------
        MissingDependencyError
            PyTorch is not installed.
        ConversionError
            PyTorch has no such dtype: strings, integers of 4 bits; ``.problems`` lists all such tensors.
        TensorNotFoundError
            Some names have no tensor.
        """
        return handover.to_torch(self, device, names, copy=copy)

    def to_jax(
        self,
        device: Any = None,  # noqa: ANN401  (a device, a platform or a sharding of JAX)
        *,
        names: Iterable[str] | None = None,
        copy: bool = False,
    ) -> dict[str, Any]:
        """Return arrays of JAX by name, with the same shapes, dtypes and bits.

        On the CPU an array views the mapped file if it begins at a multiple of 64 there, as JAX requires;
        otherwise it is copied once. 64-bit dtypes are kept even if ``jax_enable_x64`` is off; JAX's functions
        then convert them to 32 bits, and warn.

        Parameters
        ----------
        device
            Where to put them: a device, a sharding, or a platform such as ``"gpu"``, whose first device is
            taken. By default JAX's default device.
        names
            The tensors to hand over; by default all but the object graph.
        copy
            Whether each array on the CPU gets memory of its own, independent of the file.

        Raises
        ------
        MissingDependencyError
            JAX is not installed.
        ConversionError
            JAX has no such dtype: strings; ``.problems`` lists all such tensors.
        TensorNotFoundError
            Some names have no tensor.
        ValueError
            JAX has no such platform here.
        """
        return handover.to_jax(self, device, names, copy=copy)

    def to_dask(self, names: Iterable[str] | None = None, *, chunk_bytes: int = 128 << 20) -> dict[str, Any]:
        """Return arrays of Dask by name, with the shapes and dtypes of the tensors.

        Nothing is read until Dask computes something, and the files have to stay open until then. Chunks
        follow the slices in which a tensor is stored, if these make a grid; each is contiguous in C order.
        Any scheduler will do: other processes open the files again. As with :meth:`slice`, a chunk that has
        all of a tensor or a slice verifies its checksum. Strings are object arrays of ``bytes``.

        Parameters
        ----------
        names
            The tensors; by default all but the object graph.
        chunk_bytes
            Bytes of a chunk, at most: larger slices are cut, the first axis first.

        Raises
        ------
        MissingDependencyError
            Dask is not installed.
        TensorNotFoundError
            Some names have no tensor.
        ValueError
            There would be too many chunks of that size.
        """
        return dask_arrays.to_dask(self, names, chunk_bytes)


class View(NameMapping, Tensors):
    """A view: other names for the tensors of a parent.

    Several names may refer to one tensor. Each is then a tensor of its own, read separately.
    """


class Weights(View):
    """The weights of a model; see :attr:`Tensors.weights`."""

    @property
    def weights(self) -> Weights:
        """The weights themselves."""
        return self

    def explain(self) -> tensors.WeightNames:
        """Return what became of each tensor in the checkpoint: its name there, its name here, and the rule.

        The name is None for what is not a weight. The result prints as a table.
        """
        return self._weight_rules()

    def _card(self) -> Card:
        def left_out() -> str | None:
            counts = self._weight_rules().left_out()
            return ", ".join(f"{rule} ({count:,})" for rule, count in counts.items()) or None

        facts: list[tuple[str, Fact]] = [("left out", left_out)]
        return tensors_card("Weights", self, facts, [tensors.left_out_table(self._weight_rules)])


class AveragedView(View):
    """A view in which variables are read from their moving averages."""

    def _stand_for(self) -> Mapping[str, str | None]:
        # The average of a variable stands for the variable, whose name it has here.
        variables = self._parent._stand_for()
        return {name: variables[name] for name in self.names}

    def _model_names(self) -> frozenset[str]:
        # The average of a variable stands for it, so it counts as the model's here.
        kept, stored = super()._model_names(), self._parent._stored()
        averages = (stored[viewed] for name, viewed in self.names.items() if stored[name] in kept)
        return kept.union(name for name in averages if name is not None)


class PlanView(PlanMapping, Tensors):
    """The tensors that a plan makes, under the names that it gives them."""


class CastView(CastMapping, Tensors):
    """Tensors, some of them converted to another dtype."""


class UpdatedView(UpdatedMapping, Tensors):
    """Tensors, some of them with values that the caller gave, or added by the caller."""


def _check_ambiguous(ambiguous: str) -> None:
    if ambiguous not in ("error", "key"):
        raise ValueError(f'ambiguous: got {ambiguous!r}, want "error" or "key"')
