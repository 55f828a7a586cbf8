"""The index of tags: which kinds of values each tag has, and the series of a kind by tag.

The table of tags knows the codes of a tag's values: what they hold and which plugin they name. Together with
the plugin of the tag, they give the kinds without a look at the values themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import numpy as np

from ckptfmt.cached_property import cached_property
from ckptfmt.errors import NameNotFoundError
from ckptfmt.events.classify import HPARAMS, KINDS, Content, content_of, kind_of_value, noun_of
from ckptfmt.events.gather import GatheredRun
from ckptfmt.events.series import Scalars, Series, Tags
from ckptfmt.events.store import EventStore
from ckptfmt.events.summary_metadata import SummaryMetadata
from ckptfmt.events.tag_table import TagTable
from ckptfmt.events.value_rows import Values
from ckptfmt.proto import messages

T = TypeVar("T")


class _Kinds:
    """The tags of a table by kind, as they are when they are first asked for."""

    def __init__(self, table: TagTable) -> None:
        self._table = table
        self.mappings: dict[str, Tags[Any]] = {}
        """The mappings handed out so far, by kind."""

    @cached_property
    def _codes(self) -> list[tuple[str, list[int]]]:
        """All tags in the order of their first values, with the codes of their values."""
        return list(self._table.codes())

    @cached_property
    def by_kind(self) -> dict[str, dict[str, list[int] | None]]:
        """The tags of each kind, each with the codes of its values of that kind; None if all are."""
        by_kind: dict[str, dict[str, list[int] | None]] = {kind: {} for kind in (*KINDS, HPARAMS)}
        for tag, codes in self._codes:
            plugin = self._table.metadata(tag).plugin
            kinds = [kind_of_value(code, plugin) for code in codes]
            for kind in kinds:
                if kind is not None and tag not in by_kind[kind]:
                    of_kind = [code for code, other in zip(codes, kinds, strict=True) if other == kind]
                    by_kind[kind][tag] = None if len(of_kind) == len(codes) else of_kind
        return by_kind

    @cached_property
    def tags(self) -> dict[str, str]:
        """All tags, each with the first of its kinds."""
        kinds = {tag: kind for kind in reversed(KINDS) for tag in self.by_kind[kind]}
        return {tag: kinds[tag] for tag, _ in self._codes if tag in kinds}


class TagIndex:
    """The tags of a run by kind, and their series. The first question gathers the run.

    What it derives from the run is kept until more is gathered.
    """

    def __init__(self, run: GatheredRun) -> None:
        self._run = run
        self._current: tuple[int, _Kinds] | None = None
        """The kinds of all tags, after the generation of the run that they belong to."""

    def _kinds(self) -> _Kinds:
        with self._run.lock:
            self._run.gather()
            if self._current is None or self._current[0] != self._run.generation:
                self._current = self._run.generation, _Kinds(self._run.tag_table)
            return self._current[1]

    @property
    def tags(self) -> dict[str, str]:
        """All tags, each with the first of its kinds."""
        with self._run.lock:
            return self._kinds().tags

    def of_kind(self, kind: str) -> Mapping[str, list[int] | None]:
        """Return the tags of a kind, each with the codes of its values of that kind; None if all are."""
        with self._run.lock:
            return self._kinds().by_kind[kind]

    def values(self, kind: str, tag: str) -> tuple[Values, SummaryMetadata, EventStore]:
        """Return a tag's values of one kind, its metadata, and the store that reads the values again."""
        with self._run.lock:
            tags = self.of_kind(kind)
            if tag not in tags:
                # The mapping is older than the last gathering, which did not find the tag any more.
                raise NameNotFoundError(tag, file=self._run.path, noun=noun_of(kind))
            values = self._run.tag_table.values(tag)
            metadata, store = self._run.tag_table.metadata(tag, kind), self._run.store
            codes = tags[tag]
        return (values if codes is None else values.select(np.isin(values.codes, codes))), metadata, store

    def series(self, kind: str, decode: Callable[[messages.Summary.Value, str], T]) -> Tags[Series[T]]:
        """Return the series of a kind by tag; ``decode`` makes an item of a value and the file it is in."""

        def make(tag: str) -> Series[T]:
            values, metadata, store = self.values(kind, tag)
            what = f"{kind} {tag!r}"

            def read(values: Values, row: int) -> T:
                file = store.name(int(values.locations[row]))
                return store.read_value(values, row, what, lambda value: decode(value, file))

            return Series(tag, metadata, values, read)

        return self._mapping(kind, make)

    def scalars(self) -> Tags[Scalars]:
        """Return the scalars by tag."""
        return self._mapping("scalars", self._make_scalars)

    def _make_scalars(self, tag: str) -> Scalars:
        values, metadata, _ = self.values("scalars", tag)
        column = values.scalars
        if column.dtype != np.float32 and not any(map(_is_number, np.unique(values.codes).tolist())):
            # The table is float64 because of other tags; this one has only float32 values.
            column = column.astype(np.float32)
        return Scalars(tag, metadata, values, _number_of, column)

    def _mapping(self, kind: str, make: Callable[[str], Any]) -> Tags[Any]:
        """Return the mapping of a kind; it is made once until more is gathered."""
        with self._run.lock:
            mappings = self._kinds().mappings
            if kind not in mappings:
                mappings[kind] = Tags(self.of_kind(kind), make, kind, self._run.path)
            return mappings[kind]


def _is_number(code: int) -> bool:
    return content_of(code) is Content.NUMBER


def _number_of(values: Values, row: int) -> float:
    return float(values.scalars[row])
