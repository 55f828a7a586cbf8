"""Run metadata: what a program measured while it traced a step.

TensorFlow 1 writes them as events of their own, TensorFlow 2 as tensors under tags of two plugins.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np

from ckptfmt.events.other_events import OtherEvent, read_others
from ckptfmt.events.store import EventStore
from ckptfmt.events.summaries import strings_of
from ckptfmt.events.value_rows import Values
from ckptfmt.notebook.card import Card, Table
from ckptfmt.notebook.page import to_html
from ckptfmt.proto import messages
from ckptfmt.proto.parse import parse_message

PLUGINS = ("graph_run_metadata", "graph_run_metadata_graph")
"""Plugins whose tensors are RunMetadata messages."""


@dataclass(frozen=True)
class RunMetadata:
    """The measurements of one step, or the graphs that ran in it."""

    tag: str
    step: int
    wall_time: float
    """When it was logged, in seconds since 1970."""
    data: bytes = field(repr=False)
    """The serialized ``tensorflow.RunMetadata`` message."""
    message: messages.RunMetadata = field(repr=False)
    """The message: ``step_stats``, ``cost_graph``, ``partition_graphs``, ``function_graphs``."""

    def _card(self) -> Card:
        devices = Table(
            "Devices",
            ("device", "nodes measured"),
            lambda: self.message.step_stats.dev_stats,
            lambda device: (device.device, len(device.node_stats)),
            is_open=True,
        )
        return Card("RunMetadata", self.tag, [("step", self.step)], [devices])

    def _repr_html_(self) -> str:
        return to_html(self._card)

    def to_columns(self) -> dict[str, np.ndarray]:
        """Return how long each node took: a row for each time that it ran.

        Returns
        -------
        dict
            ``device``, ``node``, ``label`` (objects, ``str``), ``thread`` (uint32), ``start_micros`` (int64,
            microseconds since 1970), ``duration_micros`` and ``duration_nanos`` (int64) from its start to its
            end. ``duration_nanos`` is 0 if the program did not measure nanoseconds.
        """
        rows = [
            (device.device, node)
            for device in self.message.step_stats.dev_stats
            for node in device.node_stats
        ]
        return {
            "device": np.array([device for device, _ in rows], object),
            "node": np.array([node.node_name for _, node in rows], object),
            "label": np.array([node.timeline_label for _, node in rows], object),
            "thread": np.array([node.thread_id for _, node in rows], np.uint32),
            "start_micros": np.array([node.all_start_micros for _, node in rows], np.int64),
            "duration_micros": np.array([node.all_end_rel_micros for _, node in rows], np.int64),
            "duration_nanos": np.array([node.all_end_rel_nanos for _, node in rows], np.int64),
        }


Located: TypeAlias = tuple[int, RunMetadata]
"""Run metadata with their location, by which both kinds are sorted together."""


def read_logged_events(others: Sequence[OtherEvent], store: EventStore) -> list[Located]:
    """Return the run metadata in events with ``tagged_run_metadata``."""

    def decode(event: messages.Event, other: OtherEvent) -> Located:
        logged = event.tagged_run_metadata
        data = logged.run_metadata
        message = parse_message(messages.RunMetadata, data, None)
        return other.location, RunMetadata(logged.tag, other.step, other.wall_time, data, message)

    return read_others(others, store, decode)


def read_logged_tensors(tag: str, values: Values, store: EventStore) -> Iterator[Located]:
    """Iterate over the run metadata under a tag of one of :data:`PLUGINS`."""
    for row, location in enumerate(values.locations.tolist()):
        data, message = store.read_value(values, row, f"run metadata {tag!r}", _decode_tensor)
        step, wall_time = int(values.steps[row]), float(values.wall_times[row])
        yield location, RunMetadata(tag, step, wall_time, data, message)


def _decode_tensor(value: messages.Summary.Value) -> tuple[bytes, messages.RunMetadata]:
    """Return the message in the first element of a string tensor, as bytes and decoded."""
    # An empty tensor gives no bytes, which are an empty message.
    data = b"".join(strings_of(value).reshape(-1)[:1].tolist())
    return data, parse_message(messages.RunMetadata, data, None)
