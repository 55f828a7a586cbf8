"""Tensors by name: a mapping whose values are read when they are asked for.

:class:`TensorMapping` is what a checkpoint and its views have in common. It reads, restores, nests and
iterates with a few methods that each kind of tensors provides (its first section). The public
:class:`~ckptfmt.tensors.tensors.Tensors` adds only the methods that make views.
"""

from __future__ import annotations

import warnings
from abc import abstractmethod
from collections.abc import (
    Callable,
    Collection,
    ItemsView,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
    Set,
    ValuesView,
)
from types import TracebackType
from typing import Any, Literal, TypeVar

import numpy as np

from ckptfmt import object_graph as objects
from ckptfmt import tensors
from ckptfmt.arrays.array import Array
from ckptfmt.checkpoint.columns import Entries
from ckptfmt.checkpoint.entry import Entry
from ckptfmt.checkpoint.slices import Region
from ckptfmt.checkpoint.store import Store
from ckptfmt.errors import CkptfmtError, TensorNotFoundError
from ckptfmt.notebook.card import Card
from ckptfmt.notebook.completions import first_keys
from ckptfmt.notebook.page import to_html
from ckptfmt.object_graph.keys import OBJECT_GRAPH_KEY
from ckptfmt.tensors.aliases import not_found
from ckptfmt.tensors.cards import tensors_card
from ckptfmt.tensors.nesting import nest
from ckptfmt.tensors.slice_reader import SliceReader
from ckptfmt.wire.threads import default_threads

T = TypeVar("T")
Self = TypeVar("Self", bound="TensorMapping")


class TensorMapping(Mapping[str, Array]):
    """Tensors by name, read when asked for: a checkpoint, or a view of one."""

    entries: Entries
    """What is known about each tensor without its values, by name."""

    # --- what each kind of tensors provides --------------------------------------------------------------

    @property
    @abstractmethod
    def prefix(self) -> str:
        """The prefix, by which TensorFlow names the checkpoint, e.g. ``dir/model.ckpt-1000``."""

    @property
    @abstractmethod
    def format(self) -> str:
        """``"v2"`` (index and data files) or ``"v1"``; another program's format by its name."""

    @property
    @abstractmethod
    def object_graph(self) -> objects.ObjectGraph | None:
        """The objects that ``tf.train.Checkpoint`` saved, or None if something else wrote the checkpoint.

        A view has the object graph of its checkpoint: the keys in it are those in the index.
        """

    @abstractmethod
    def stored_name(self, name: str) -> str | None:
        """Return what the checkpoint calls a tensor, or None if a plan makes it from others."""

    @abstractmethod
    def slice(self, name: str) -> SliceReader:
        """Return a reader of parts of one tensor: ``ckpt.slice("w")[10:20, :]`` reads only that part."""

    @abstractmethod
    def close(self) -> None:
        """Close the files. Arrays already returned stay valid."""

    @abstractmethod
    def _absent(self, names: Collection[str]) -> list[str]:
        """Return those of many names that no tensor has."""

    @abstractmethod
    def _stored(self) -> Mapping[str, str | None]:
        """Return the stored name of every tensor; see :meth:`stored_name`."""

    @abstractmethod
    def _region(self, name: str, region: Region | None, *, verified: bool) -> Array:
        """Read a region of a tensor, or all of it if None.

        With ``verified``, checksums are verified even if that takes reading more than the region.
        """

    def _regions(self, name: str) -> Callable[[Region], Array]:
        """Return a function that reads regions of a tensor, one after the other, until all of it is read.

        Checksums are verified once, in bounded memory, and what several regions need is made once.
        """
        return lambda region: self._region(name, region, verified=True)

    @abstractmethod
    def _load(
        self, wanted: Sequence[str] | None, *, threads: int, copy: bool, out: Mapping[str, Array]
    ) -> dict[str, Array]:
        """Read tensors that exist (None: all), those in ``out`` into its arrays, which fit."""

    @abstractmethod
    def _release(self, name: str) -> None:
        """Let the system forget the bytes of a tensor; touched again, they are read again."""

    @abstractmethod
    def _model_names(self) -> frozenset[str]:
        """Return the names, in the checkpoint, of the model's variables."""

    @abstractmethod
    def _weight_rules(self) -> tensors.WeightNames:
        """Return what each tensor of the checkpoint is among the weights."""

    @abstractmethod
    def _origin(self) -> Store | None:
        """Return the store that all of this is read from; None for a file of another program."""

    def _unchanged(self) -> Mapping[str, str | None]:
        """Return, for each name here, the stored tensor that it is bit by bit; None if its value is made."""
        return self._stored()

    def _stand_for(self) -> Mapping[str, str | None]:
        """Return, for each name here, the stored name of the variable that it is, None if a plan makes it."""
        return self._stored()

    def _suggesting_graph(self) -> objects.ObjectGraph | None:
        """Return the object graph for an error to look names up in, unless reading it takes long."""

    def _keys_here(self) -> Collection[str] | None:
        """Return the stored names of the tensors here, or None if these are all of the checkpoint."""
        return None

    def _names_below(self, prefix: str) -> Iterator[str]:
        """Iterate over the names that begin with a prefix, in their order."""
        return (name for name in self if name.startswith(prefix))

    def _names_near(self, name: str) -> Iterator[str]:
        """Iterate over the names to compare with one that does not exist."""
        yield from self

    # --- reading -----------------------------------------------------------------------------------------

    def __contains__(self, name: object) -> bool:
        return name in self.entries

    def __iter__(self) -> Iterator[str]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)

    def values(self) -> ValuesView[Array]:
        """Return a view of the arrays; iteration keeps in memory only what the caller keeps."""
        return _ArrayValues(self)

    def items(self) -> ItemsView[str, Array]:
        """Return a view of names and arrays; iteration keeps in memory only what the caller keeps."""
        return _ArrayItems(self)

    def get(self, name: str, default: T | None = None) -> Array | T | None:  # type: ignore[override]
        """Return a tensor, or ``default`` if no tensor has that name."""
        if name not in self:
            return default  # catching the error instead would cost its search for close matches
        return self[name]

    def read(
        self,
        names: Iterable[str] | None = None,
        *,
        threads: int | None = None,
        copy: bool = False,
        out: Mapping[str, np.ndarray] | None = None,
        missing: Literal["error", "skip"] | None = None,
    ) -> dict[str, Array]:
        """Return several tensors by name, in the order of ``names``.

        Parameters
        ----------
        names
            The tensors to read; by default those in ``out`` or, without ``out``, all tensors.
        threads
            How many threads read large tensors; by default one for each processor, at most 8.
        copy
            Whether to return arrays that are writable and own their memory.
        out
            Arrays to fill, by name, of exactly the tensors' shapes and dtypes; they are returned for these
            names.
        missing
            Deprecated: :meth:`restore` reads the names that exist and reports the others.

        Raises
        ------
        ValueError
            An array of ``out`` has another shape or dtype, is not writable, or is not among ``names``.
        TypeError
            Something in ``out`` is not a plain ndarray, or ``names`` is a string.
        TensorNotFoundError
            Some names have no tensor, see ``.names``; nothing has been read.
        """
        if missing is not None:
            _warn_of_missing(missing)
            return self._restore(names, threads, copy, out, strict=missing == "error")
        wanted, targets = _asked_for(names, out)
        absent = self._absent(wanted) if wanted else []
        if absent:
            raise self._not_found(absent)
        return self._read_known(wanted, targets, absent, threads, copy)

    def restore(
        self,
        names: Iterable[str] | None = None,
        *,
        threads: int | None = None,
        copy: bool = False,
        out: Mapping[str, np.ndarray] | None = None,
    ) -> tensors.Restored:
        """Return those of several tensors that exist, and a report of what matched, is missing or unused.

        This is TensorFlow's partial restore: ``ckpt.restore(names).report.assert_consumed()``. Parameters and
        errors are those of :meth:`read`, except that names without a tensor are listed in
        ``.report.missing``.
        """
        return self._restore(names, threads, copy, out, strict=False)

    def _restore(
        self,
        names: Iterable[str] | None,
        threads: int | None,
        copy: bool,
        out: Mapping[str, np.ndarray] | None,
        *,
        strict: bool,
    ) -> tensors.Restored:
        wanted, targets = _asked_for(names, out)
        absent = self._absent(wanted) if wanted else []
        if absent and strict:
            raise self._not_found(absent)
        restored = tensors.Restored(self._read_known(wanted, targets, absent, threads, copy))
        stored = self._stored()
        # The object graph describes the file. No model asks for it, so it does not count as unused.
        restored.report = tensors.RestoreReport(
            {name: stored[name] or name for name in restored},
            missing=absent,
            unused=[n for n, key in stored.items() if n not in restored and key != OBJECT_GRAPH_KEY],
            file=self.prefix,
        )
        return restored

    def _read_known(
        self,
        wanted: list[str] | None,
        targets: dict[str, np.ndarray],
        absent: Sequence[str],
        threads: int | None,
        copy: bool,
    ) -> dict[str, Array]:
        """Read the tensors asked for except the absent ones; all tensors if None."""
        if wanted is not None:
            unknown = set(absent)
            # All before the first is filled, so that an error leaves every array as it was.
            _check_targets(targets, wanted, self.entries, unknown)
            wanted = [name for name in wanted if name not in unknown]
        threads = default_threads() if threads is None else threads
        out = {name: targets[name] for name in wanted or () if name in targets}
        return self._load(wanted, threads=threads, copy=copy, out=out)

    def _not_found(self, absent: Sequence[str]) -> TensorNotFoundError:
        near, keys = self._names_near(absent[0]), self._keys_here()
        return not_found(absent, near, self.prefix, self._suggesting_graph, keys)

    def to_nested(self, separator: str = "/", *, copy: bool = False) -> dict[str, Any]:
        """Read everything into nested dictionaries, names split at each ``/``: a pytree for JAX and flax.

        :func:`ckptfmt.flatten` is the inverse. Arrays are those of :meth:`read`: read-only views of tensors
        stored whole, unless ``copy``.

        Raises
        ------
        NameConflictError
            A name is both a tensor and a scope of others, as ``w`` and ``w/Adam`` are: see
            :meth:`model_variables`.
        """
        # Report bad names before reading anything.
        nest(((name, np.empty(0)) for name in self), separator, self.prefix)
        return nest(self.read(copy=copy).items(), separator, self.prefix)

    def nested(self, separator: str = "/", *, copy: bool = False) -> dict[str, Any]:
        """Return :meth:`to_nested`, under its old name."""
        warnings.warn("nested() is now to_nested()", DeprecationWarning, stacklevel=2)
        return self.to_nested(separator, copy=copy)

    # --- the context -------------------------------------------------------------------------------------

    def __enter__(self: Self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # Mapping's comparison would read both checkpoints whole and fail on ambiguous arrays.
    __eq__ = object.__eq__
    __hash__ = object.__hash__

    def __repr__(self) -> str:
        try:
            size = f"{len(self)} tensors"
        except (CkptfmtError, ValueError):
            size = "names not readable"
        return f"<{type(self).__name__} {self.prefix!r} {self.format}, {size}>"

    def _card(self) -> Card:
        return tensors_card(type(self).__name__, self)

    def _repr_html_(self) -> str:
        return to_html(self._card)

    def _ipython_key_completions_(self) -> list[str]:
        return first_keys(self)


class _ArrayItems(ItemsView[str, Array]):
    _mapping: TensorMapping

    def __iter__(self) -> Iterator[tuple[str, Array]]:
        for name in self._mapping:
            yield name, self._mapping[name]
            # Memory then holds one tensor at a time. An array that was kept stays valid: touched again, its
            # bytes are read again.
            self._mapping._release(name)


class _ArrayValues(ValuesView[Array]):
    _mapping: TensorMapping

    def __iter__(self) -> Iterator[Array]:
        return (array for _, array in self._mapping.items())


def _asked_for(
    names: Iterable[str] | None, out: Mapping[str, np.ndarray] | None
) -> tuple[list[str] | None, dict[str, np.ndarray]]:
    """Return the names to read, each once and None for all, and the arrays to fill."""
    if isinstance(names, str):
        raise TypeError(f"names: got the string {names!r}, want a list of names")
    targets = dict(out or {})
    # An ``out`` without arrays asks for nothing, not for everything.
    if names is None and out is None:
        return None, targets
    wanted = list(dict.fromkeys(targets if names is None else names))
    for name in wanted:
        check_name(name)
    return wanted, targets


def _warn_of_missing(missing: object) -> None:
    if missing not in ("error", "skip"):
        raise ValueError(f'missing: got {missing!r}, want "error" or "skip"')
    warnings.warn("read(missing=…) is now restore()", DeprecationWarning, stacklevel=3)


def check_name(name: object) -> None:
    """Raise TypeError unless a name is a string."""
    if not isinstance(name, str):
        raise TypeError(f"name of a tensor: got {name!r}, want a str")


def _check_targets(
    targets: Mapping[str, Any], wanted: Iterable[str], entries: Mapping[str, Entry], absent: Set[str]
) -> None:
    """Raise if an array to fill cannot take the values of its tensor, or was not asked for."""
    if not targets:
        return
    asked = set(wanted)
    for name, target in targets.items():
        if name not in asked:
            raise ValueError(f"out[{name!r}] is not among the names to read")
        # Filling a masked array would leave its mask as it was, over the new values.
        if not isinstance(target, np.ndarray) or isinstance(target, np.ma.MaskedArray):
            raise TypeError(f"out[{name!r}]: got {type(target).__name__}, want a plain ndarray")
        if name in absent:
            continue
        entry = entries[name]
        if target.shape != entry.shape or target.dtype != entry.dtype.numpy:
            raise ValueError(
                f"out[{name!r}]: got {target.dtype}{list(target.shape)}, "
                f"want {entry.dtype.numpy}{list(entry.shape)}"
            )
        if not target.flags.writeable:
            raise ValueError(f"out[{name!r}] is not writable")
