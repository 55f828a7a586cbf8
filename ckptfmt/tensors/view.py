"""Views under other names: each name stands for a name of the parent."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from ckptfmt.arrays.array import Array
from ckptfmt.cached_property import cached_property
from ckptfmt.checkpoint.columns import Entries
from ckptfmt.checkpoint.entry import Entry
from ckptfmt.checkpoint.slices import Region
from ckptfmt.tensors.derived import DerivedEntries, DerivedMapping
from ckptfmt.tensors.mapping import TensorMapping, check_name
from ckptfmt.tensors.slice_reader import SliceReader


class NameMapping(DerivedMapping):
    """Tensors of a parent under other names; what :class:`~ckptfmt.tensors.tensors.View` does.

    Several names may stand for one tensor. Each is then a tensor of its own, read by itself.
    """

    def __init__(
        self, parent: TensorMapping, names: Mapping[str, str] | Callable[[], Mapping[str, str]]
    ) -> None:
        """View ``parent``; a function that makes the names is called when they are first needed."""
        self._parent = parent
        self._make_names = names
        self.entries: Entries = DerivedEntries(self)

    @cached_property
    def names(self) -> Mapping[str, str]:
        """Each name in the view, and the name in the parent that it refers to."""
        return self._make_names() if callable(self._make_names) else self._make_names

    def __getitem__(self, name: str) -> Array:
        """Return a tensor as a read-only array; see :meth:`Checkpoint.__getitem__`."""
        return self._parent[self._viewed(name)]

    def stored_name(self, name: str) -> str | None:
        """Return what the checkpoint calls a tensor, or None if a plan makes it from others."""
        return self._parent.stored_name(self._viewed(name))

    def slice(self, name: str) -> SliceReader:
        """Return a reader of parts of one tensor."""
        return self._parent.slice(self._viewed(name)).renamed(name)

    def _viewed(self, name: str) -> str:
        check_name(name)
        viewed = self.names.get(name)
        if viewed is None:
            raise self._not_found([name])
        return viewed

    def _by_name(self) -> Mapping[str, object]:
        return self.names

    def _entry(self, name: str) -> Entry:
        return self._parent.entries[self._viewed(name)]._replace(name=name)

    def _sources(self, name: str) -> Iterable[str]:
        return (self._viewed(name),)

    def _stored(self) -> Mapping[str, str | None]:
        stored = self._parent._stored()
        return {name: stored[viewed] for name, viewed in self.names.items()}

    def _unchanged(self) -> Mapping[str, str | None]:
        unchanged = self._parent._unchanged()
        return {name: unchanged[viewed] for name, viewed in self.names.items()}

    def _stand_for(self) -> Mapping[str, str | None]:
        variables = self._parent._stand_for()
        return {name: variables[viewed] for name, viewed in self.names.items()}

    def _region(self, name: str, region: Region | None, *, verified: bool) -> Array:
        return self._parent._region(self._viewed(name), region, verified=verified)

    def _regions(self, name: str) -> Callable[[Region], Array]:
        return self._parent._regions(self._viewed(name))

    def _load(
        self, wanted: Sequence[str] | None, *, threads: int, copy: bool, out: Mapping[str, Array]
    ) -> dict[str, Array]:
        names = list(self.names) if wanted is None else wanted
        arrays: dict[str, Array] = {}
        left = names
        while left:
            # The parent returns one array for each of its names, so each round reads at most one of several
            # names for a tensor. Nearly always the first round reads all.
            round_: dict[str, str] = {}
            for name in left:
                round_.setdefault(self.names[name], name)
            target = {viewed: out[name] for viewed, name in round_.items() if name in out}
            loaded = self._parent._load(list(round_), threads=threads, copy=copy, out=target)
            arrays.update((name, loaded[viewed]) for viewed, name in round_.items())
            left = [name for name in left if name not in arrays]
        return {name: arrays[name] for name in names}

    def __reduce__(self) -> tuple[object, ...]:
        # The function that makes the names need not be picklable; the names are.
        return type(self), (self._parent, dict(self.names))
