"""What all views have in common: names of their own, for the tensors of a parent."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Iterable, Iterator, Mapping

from ckptfmt import object_graph as objects
from ckptfmt import tensors
from ckptfmt.checkpoint.columns import Entries
from ckptfmt.checkpoint.entry import Entry
from ckptfmt.checkpoint.store import Store
from ckptfmt.tensors.mapping import TensorMapping


class DerivedMapping(TensorMapping):
    """Tensors made from those of a parent, which answers what is asked about the whole checkpoint."""

    _parent: TensorMapping

    @abstractmethod
    def _by_name(self) -> Mapping[str, object]:
        """Return what each name here stands for."""

    @abstractmethod
    def _entry(self, name: str) -> Entry:
        """Return what is known about a tensor, under its name here."""

    @abstractmethod
    def _sources(self, name: str) -> Iterable[str]:
        """Return the parent's tensors that a tensor is made from."""

    @property
    def prefix(self) -> str:
        """The prefix of the checkpoint."""
        return self._parent.prefix

    @property
    def format(self) -> str:
        """``"v2"`` or ``"v1"``."""
        return self._parent.format

    @property
    def object_graph(self) -> objects.ObjectGraph | None:
        """The object graph of the checkpoint; its keys are those in the index."""
        return self._parent.object_graph

    def close(self) -> None:
        """Close the checkpoint. Arrays already returned stay valid."""
        self._parent.close()

    def _absent(self, names: Collection[str]) -> list[str]:
        known = self._by_name()
        return [name for name in names if name not in known]

    def _origin(self) -> Store | None:
        return self._parent._origin()

    def _suggesting_graph(self) -> objects.ObjectGraph | None:
        return self._parent._suggesting_graph()

    def _keys_here(self) -> Collection[str]:
        return {stored for stored in self._stored().values() if stored is not None}

    def _release(self, name: str) -> None:
        for source in self._sources(name):
            self._parent._release(source)

    def _model_names(self) -> frozenset[str]:
        return self._parent._model_names()

    def _weight_rules(self) -> tensors.WeightNames:
        return self._parent._weight_rules()


class DerivedEntries(Entries):
    """The entries of a view, made when they are asked for."""

    def __init__(self, view: DerivedMapping) -> None:
        self._view = view

    def __getitem__(self, name: str) -> Entry:
        return self._view._entry(name)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name in self._view._by_name()

    def __iter__(self) -> Iterator[str]:
        return iter(self._view._by_name())

    def __len__(self) -> int:
        return len(self._view._by_name())

    def __repr__(self) -> str:
        return f"<Entries of {self._view!r}>"
