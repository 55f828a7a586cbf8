"""Summaries: what event files say under each tag, gathered as they are read.

Scalars are kept as columns; of everything else only the place is, and it is read when it is asked for.
"""

from __future__ import annotations

import threading
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np

from ckptfmt.errors import CkptfmtError
from ckptfmt.events.form import FLOAT
from ckptfmt.events.scalars import Columns
from ckptfmt.proto import messages
from ckptfmt.tensor.tensor_proto import to_array

FILE_SHIFT = 48
"""A place is the number of a file, above this bit, and an offset in it."""


class What(IntEnum):
    """What a Summary.Value holds."""

    NOTHING = 0
    SIMPLE = 1
    """A ``simple_value``, as TensorFlow 1 writes scalars."""
    FLOAT = 2
    """A tensor of one float32 of rank 0, as TensorFlow 2 writes them."""
    TENSOR = 3
    """Any other tensor."""
    HISTOGRAM = 4
    IMAGE = 5
    AUDIO = 6
    OLD_HISTOGRAM = 7
    """``obsolete_old_style_histogram``: bytes that nothing reads any more."""


_WHAT = {
    None: What.NOTHING,
    "simple_value": What.SIMPLE,
    "tensor": What.TENSOR,
    "histo": What.HISTOGRAM,
    "image": What.IMAGE,
    "audio": What.AUDIO,
    "obsolete_old_style_histogram": What.OLD_HISTOGRAM,
}


@dataclass(frozen=True)
class Metadata:
    """What the first value of a tag says of all of them."""

    plugin: str = ""
    """The plugin of TensorBoard that shows them: ``scalars``, ``histograms``, ``images``, ``text``, …"""
    content: bytes = b""
    """What the plugin stores here."""
    display_name: str = ""
    description: str = ""
    data_class: int = 0
    """1 for scalars, 2 for tensors, 3 for sequences of blobs, 0 where it does not say."""

    @classmethod
    def of(cls, message: messages.SummaryMetadata) -> Metadata:
        """Return the metadata of a message."""
        plugin = message.plugin_data
        return cls(
            plugin.plugin_name,
            plugin.content,
            message.display_name,
            message.summary_description,
            message.data_class,
        )


NO_METADATA = Metadata()


@dataclass
class Values:
    """The values of one tag of one or some kinds, in the order in which they were written."""

    places: np.ndarray
    """Of each the place of its record (int64)."""
    sizes: np.ndarray
    """Bytes of its record (int64)."""
    numbers: np.ndarray
    """Which value of its event it is (int32)."""
    what: np.ndarray
    """What it holds (int8)."""
    steps: np.ndarray
    """Its step (int64)."""
    wall_times: np.ndarray
    """When it was written, in seconds since 1970 (float64)."""
    scalars: np.ndarray
    """Its value, where it is a float32 (float32)."""

    def __len__(self) -> int:
        return len(self.steps)

    def select(self, rows: np.ndarray) -> Values:
        """Return some of them."""
        columns = (getattr(self, name) for name in self.__dataclass_fields__)
        count = int(np.count_nonzero(rows)) if rows.dtype == bool else len(rows)
        # What is the same in all rows takes no memory.
        return Values(
            *(np.broadcast_to(each[:1], count) if each.strides == (0,) else each[rows] for each in columns)
        )


_DTYPES = (np.int64, np.int64, np.int32, np.int8, np.int64, np.float64, np.float32)


class Summaries:
    """The values of all tags."""

    def __init__(self) -> None:
        self._ids: dict[str, int] = {}
        self._metadata: dict[int, Metadata] = {}
        self._parts: dict[int, list[tuple[Columns, int, int]]] = {}
        """Of a tag the columns it is in, its number there, and the number of the file."""
        self._tags = array("i")
        self._rows: tuple[array[Any], ...] = tuple(array(code) for code in "qqibqdf")
        """Values that came one by one: of each what :class:`Values` has."""
        self._order: tuple[np.ndarray, np.ndarray] | None = None
        self._counts: dict[int, list[int]] = {}
        """Of a tag how many simple values and floats came in columns."""
        self._merged: dict[int, tuple[Values, int]] = {}
        """Of a tag all its values, as they were asked for last, and how many of them came one by one."""
        self._lock = threading.Lock()

    @property
    def tags(self) -> list[str]:
        """All tags, in the order in which they came."""
        return list(self._ids)

    def metadata(self, tag: str) -> Metadata:
        """Return what the first value of a tag that has metadata says."""
        return self._metadata.get(self._ids[tag], NO_METADATA)

    def _id(self, tag: str) -> int:
        return self._ids.setdefault(tag, len(self._ids))

    def add_columns(self, columns: Columns, file: int) -> None:
        """Take the scalars of events of one layout."""
        for number, (tag, metadata) in enumerate(
            zip(columns.layout.tags, columns.layout.metadata, strict=True)
        ):
            tag_id = self._id(tag)
            self._parts.setdefault(tag_id, []).append((columns, number, file))
            if metadata and tag_id not in self._metadata:
                self._metadata[tag_id] = Metadata.of(messages.SummaryMetadata.FromString(metadata))
            of_tag = self._counts.setdefault(tag_id, [0, 0])
            of_tag[columns.layout.form.values[number].is_tensor] += len(columns.steps)

    def add_event(self, event: messages.Event, place: int, size: int) -> None:
        """Take the values of an event."""
        step, wall_time = event.step, event.wall_time
        for number, value in enumerate(event.summary.value):
            tag_id = self._id(value.tag)
            if tag_id not in self._metadata and value.HasField("metadata"):
                self._metadata[tag_id] = Metadata.of(value.metadata)
            what = _WHAT[value.WhichOneof("value")]
            scalar = 0.0
            if what is What.SIMPLE:
                scalar = value.simple_value
            elif what is What.TENSOR:
                found = _float_of(value.tensor)
                if found is not None:
                    what, scalar = What.FLOAT, found
            self._tags.append(tag_id)
            for column, item in zip(
                self._rows, (place, size, number, what, step, wall_time, scalar), strict=True
            ):
                column.append(item)
        self._order = None

    def values(self, tag: str) -> Values:
        """Return the values of a tag, in the order in which they were written."""
        tag_id = self._ids[tag]
        with self._lock:
            before, taken = self._merged.get(tag_id, (None, 0))
            # What is merged is not kept twice.
            parts = self._parts.pop(tag_id, [])
            others = self._one_by_one(tag_id, taken)
            if before is not None and not parts and others is None:
                return before
            values = self._merge(before, others, parts)
            self._merged[tag_id] = values, taken + (0 if others is None else len(others[0]))
            return values

    @staticmethod
    def _merge(
        before: Values | None,
        others: tuple[np.ndarray, ...] | None,
        columns_of_tag: list[tuple[Columns, int, int]],
    ) -> Values:
        parts: list[tuple[np.ndarray | int, ...]] = [] if others is None else [others]
        if before is not None:
            parts.append(tuple(getattr(before, name) for name in before.__dataclass_fields__))
        for columns, number, file in columns_of_tag:
            form = columns.layout.form
            parts.append(
                (
                    columns.offsets + (file << FILE_SHIFT),
                    form.size,
                    number,
                    What.FLOAT if form.values[number].is_tensor else What.SIMPLE,
                    columns.steps,
                    columns.wall_times,
                    columns.values[number],
                )
            )
        parts.sort(key=lambda part: int(np.asarray(part[0])[0]))
        counts = [len(np.asarray(part[0])) for part in parts]
        columns_of_parts = zip(zip(*parts, strict=True), _DTYPES, strict=True)
        values = Values(*(_joined(column, counts, dtype) for column, dtype in columns_of_parts))
        places = values.places
        if (places[1:] < places[:-1]).any():
            values = values.select(np.lexsort((values.numbers, places)))
        return values

    def _one_by_one(self, tag_id: int, taken: int) -> tuple[np.ndarray, ...] | None:
        """Of a tag the values that came one by one but the first ones, None where it has none of these."""
        if self._order is None:
            tags = np.array(self._tags, np.int32)
            order = np.argsort(tags, kind="stable")
            counts = np.bincount(tags, minlength=len(self._ids))
            self._order = order, np.concatenate([[0], np.cumsum(counts)])
        order, borders = self._order
        if tag_id + 1 >= len(borders) or borders[tag_id] + taken == borders[tag_id + 1]:
            return None
        rows = order[borders[tag_id] + taken : borders[tag_id + 1]]
        # Copied: an array that somebody views cannot grow.
        columns = zip(self._rows, _DTYPES, strict=True)
        return tuple(np.array([column[row] for row in rows.tolist()], dtype) for column, dtype in columns)

    def counts(self) -> Iterator[tuple[str, int, int]]:
        """Iterate over all tags with what they hold and how many of each."""
        tags = np.array(self._tags, np.int64)
        kinds = len(What)
        counts = np.bincount(
            tags * kinds + np.array(self._rows[3], np.int64), minlength=kinds * len(self._ids)
        )
        for tag, tag_id in self._ids.items():
            of_tag = counts[kinds * tag_id : kinds * (tag_id + 1)].copy()
            simple, floats = self._counts.get(tag_id, (0, 0))
            of_tag[What.SIMPLE] += simple
            of_tag[What.FLOAT] += floats
            for what in np.flatnonzero(of_tag).tolist():
                yield tag, what, int(of_tag[what])


def _joined(parts: tuple[np.ndarray | int, ...], counts: list[int], dtype: Any) -> np.ndarray:  # noqa: ANN401
    """One column of its parts, of each an array or the number that is the same in all rows."""
    if all(isinstance(part, int) and part == parts[0] for part in parts):
        return np.broadcast_to(np.array(parts[0], dtype), sum(counts))
    if len(parts) == 1:
        return np.asarray(parts[0])
    return np.concatenate(
        [np.broadcast_to(np.asarray(part, dtype), count) for part, count in zip(parts, counts, strict=True)]
    )


def _float_of(tensor: messages.TensorProto) -> float | None:
    """The value of a tensor of one float32 of rank 0, None where it is another."""
    if tensor.dtype != FLOAT or tensor.tensor_shape.dim or tensor.tensor_shape.unknown_rank:
        return None
    if len(tensor.tensor_content) != 4 and (len(tensor.float_val) != 1 or tensor.tensor_content):
        return None
    try:
        return float(to_array(tensor))
    except CkptfmtError:
        return None
