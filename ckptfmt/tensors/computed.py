"""Views of computed tensors: expressions over those of a parent, evaluated when they are read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import NamedTuple

from ckptfmt import plans
from ckptfmt.arrays.array import Array, as_asked
from ckptfmt.arrays.shape import expected_size
from ckptfmt.checkpoint.columns import Entries
from ckptfmt.checkpoint.entry import Entry
from ckptfmt.checkpoint.selection import Selection
from ckptfmt.checkpoint.slices import Region
from ckptfmt.errors import LimitError, UnsupportedError
from ckptfmt.plans.expressions import Expression, Reading, Stored
from ckptfmt.tensors.derived import DerivedEntries, DerivedMapping
from ckptfmt.tensors.mapping import TensorMapping, check_name
from ckptfmt.tensors.slice_reader import SliceReader


class ComputedMapping(DerivedMapping):
    """Expressions over a parent's tensors, by name.

    A target that was only renamed is read as the parent reads it. Any other is evaluated each time it is
    read.
    """

    def __init__(self, parent: TensorMapping, targets: Mapping[str, Expression]) -> None:
        self._parent = parent
        self._targets = targets
        self.entries: Entries = DerivedEntries(self)

    def __getitem__(self, name: str) -> Array:
        """Return a tensor as a read-only array, a view if NumPy can make one.

        Raises what reading its sources raises, and PlanError if they do not fit the plan.
        """
        return self._region(name, None, verified=True)

    def stored_name(self, name: str) -> str | None:
        """Return what the checkpoint calls a tensor that was only renamed, or None for any other."""
        target = self._target(name)
        return self._parent.stored_name(target.name) if isinstance(target, Stored) else None

    def slice(self, name: str) -> SliceReader:
        """Return a reader of parts of one tensor; parts of a reshaped tensor are read row by row."""
        target = self._target(name)
        if isinstance(target, Stored):
            return self._parent.slice(target.name).renamed(name)
        return SliceReader(self.entries[name], ComputedTensor(self, name))

    def _target(self, name: str) -> Expression:
        check_name(name)
        target = self._targets.get(name)
        if target is None:
            raise self._not_found([name])
        return target

    def _by_name(self) -> Mapping[str, object]:
        return self._targets

    def _entry(self, name: str) -> Entry:
        target = self._target(name)
        entries = self._parent.entries
        if isinstance(target, Stored):
            return entries[target.name]._replace(name=name)
        dtype, shape = target.spec(entries)
        nbytes = expected_size(dtype, shape)
        if nbytes is None:
            # The size of strings is not known without reading them; their sources bound it.
            nbytes = sum(entries[source].nbytes for source in target.sources)
        return Entry(name, dtype, shape, nbytes, None, None, None, ())

    def _sources(self, name: str) -> Iterable[str]:
        return self._target(name).sources

    def _stored(self) -> Mapping[str, str | None]:
        stored = self._parent._stored()
        return {n: stored[t.name] if isinstance(t, Stored) else None for n, t in self._targets.items()}

    def _unchanged(self) -> Mapping[str, str | None]:
        unchanged = self._parent._unchanged()
        same = {name: self._same_as(target) for name, target in self._targets.items()}
        return {name: None if source is None else unchanged[source] for name, source in same.items()}

    def _same_as(self, target: Expression) -> str | None:
        """Return the parent's tensor that a target is bit by bit, or None."""
        if isinstance(target, plans.Cast) and isinstance(target.operand, Stored):
            name = target.operand.name
            return name if self._parent.entries[name].dtype == target.dtype else None
        return target.name if isinstance(target, Stored) else None

    def _region(self, name: str, region: Region | None, *, verified: bool) -> Array:
        return self._value(name, self._reading(verified=verified), region)

    def _regions(self, name: str) -> Callable[[Region], Array]:
        sources: dict[str, Callable[[Region], Array]] = {}

        def fetch(source: str, region: Region | None) -> Array:
            if region is None:
                return self._parent._region(source, None, verified=True)
            if source not in sources:
                sources[source] = self._parent._regions(source)
            return sources[source](region)

        # One for all regions: it keeps the operand of a reshape.
        reading = Reading(fetch, self._parent.entries)
        return lambda region: self._value(name, reading, region)

    def _value(self, name: str, reading: Reading, region: Region | None = None) -> Array:
        """Return a target, or a region of it; an error that knows no file is about this view's checkpoint."""
        try:
            return self._target(name).value(reading, region)
        except (LimitError, UnsupportedError) as error:
            # Memory for what a step makes: one that was raised while a source was read is placed already.
            label = f"tensor {name!r}" if error.file is None else ""
            raise error.at(self.prefix, label=label) from error.__cause__

    def _reading(self, *, verified: bool) -> Reading:
        return Reading(partial(self._parent._region, verified=verified), self._parent.entries)

    def _load(
        self, wanted: Sequence[str] | None, *, threads: int, copy: bool, out: Mapping[str, Array]
    ) -> dict[str, Array]:
        names = list(self._targets) if wanted is None else wanted
        plain = {n: t.name for n in names if isinstance(t := self._targets[n], Stored)}
        target = {plain[name]: array for name, array in out.items() if name in plain}
        stored = self._parent._load(list(plain.values()), threads=threads, copy=copy, out=target)
        # One Reading for all: targets that are parts of one expression have it evaluated once.
        reading = self._reading(verified=True)

        def load(name: str) -> Array:
            return as_asked(self._value(name, reading), out.get(name), copy=copy)

        return {name: stored[plain[name]] if name in plain else load(name) for name in names}


class ComputedTensor(NamedTuple):
    """One computed tensor, as a :class:`SliceSource`."""

    view: ComputedMapping
    name: str

    def read(self, selection: Selection) -> Array:
        """Return what a selection takes, cut out of the smallest region that holds it."""
        return selection.taken_from(self.view._region(self.name, selection.region, verified=False))

    def is_verified(self, selection: Selection) -> bool:
        """Return False: an expression reads parts of its sources without their checksums."""
        return False
