"""Events that are not summaries: graphs, meta graphs, traced steps, and notes of when a program ran."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from ckptfmt.events.store import EventStore
from ckptfmt.graph.graph import Graph
from ckptfmt.graph.meta.meta_graph import MetaGraph
from ckptfmt.notebook.fields import fields_card
from ckptfmt.notebook.page import to_html
from ckptfmt.proto import messages
from ckptfmt.proto.parse import parse_message

T = TypeVar("T")


@dataclass(frozen=True)
class SessionLog:
    """A log entry: a program began, ended, or wrote a checkpoint."""

    step: int
    wall_time: float
    """When it was logged, in seconds since 1970."""
    status: str
    """``START``, ``STOP``, ``CHECKPOINT``, ``STATUS_UNSPECIFIED``, or a number."""
    checkpoint_path: str
    message: str

    def _repr_html_(self) -> str:
        return to_html(lambda: fields_card(self, "SessionLog", self.status))


@dataclass(frozen=True)
class OtherEvent:
    """An event that is not a summary: what it holds, and where to read it again."""

    what: str
    """The field of ``Event.what`` that is set: ``graph_def``, ``session_log``, …"""
    step: int
    wall_time: float
    location: int
    """See :mod:`ckptfmt.events.location`."""
    size: int
    """Bytes of its record."""


READABLE = ("graph_def", "meta_graph_def", "tagged_run_metadata", "session_log")
"""The kinds of these events that users can read. Only these are kept from compressed files."""


def read_others(
    others: Sequence[OtherEvent], store: EventStore, decode: Callable[[messages.Event, OtherEvent], T]
) -> list[T]:
    """Return what is decoded from events, each read again; an error says which event it is about."""

    def read(other: OtherEvent) -> T:
        return store.read(other.location, other.size, other.what, lambda event: decode(event, other))

    return list(map(read, others))


def read_graphs(others: Sequence[OtherEvent], store: EventStore) -> list[Graph]:
    """Return the graphs in events with a ``graph_def``."""

    def decode(event: messages.Event, other: OtherEvent) -> Graph:
        return Graph(parse_message(messages.GraphDef, event.graph_def, None), store.name(other.location))

    return read_others(others, store, decode)


def read_meta_graphs(others: Sequence[OtherEvent], store: EventStore) -> list[MetaGraph]:
    """Return the meta graphs in events with a ``meta_graph_def``."""

    def decode(event: messages.Event, other: OtherEvent) -> MetaGraph:
        message = parse_message(messages.MetaGraphDef, event.meta_graph_def, None)
        return MetaGraph(message, store.name(other.location))

    return read_others(others, store, decode)


def read_session_logs(others: Sequence[OtherEvent], store: EventStore) -> list[SessionLog]:
    """Return the notes in events with a ``session_log``."""
    names = {number: name for name, number in messages.SessionLog.SessionStatus.items()}

    def decode(event: messages.Event, other: OtherEvent) -> SessionLog:
        log = event.session_log
        status = names.get(log.status, str(log.status))
        return SessionLog(other.step, other.wall_time, status, log.checkpoint_path, log.msg)

    return read_others(others, store, decode)
