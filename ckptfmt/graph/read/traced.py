"""Traced graphs: those of functions that ran while TensorFlow traced them.

``tf.summary.trace_export`` and the TensorBoard callback of Keras log them in a RunMetadata message, which is
the string in a tensor of a summary. TensorFlow 1 has an event for the message itself::

    Event:             5 Summary, 8 TaggedRunMetadata
    Summary:           1 Value
    Value:             1 tag, 8 tensor, 9 metadata, which name a plugin
    TaggedRunMetadata: 1 tag, 2 RunMetadata as bytes
    RunMetadata:       3 GraphDef, one for each device; 4 FunctionGraphs, one for each function that ran
    FunctionGraphs:    1 GraphDef, one for each device; 2 GraphDef before optimization, 3 after it

As in TensorBoard, the graphs before optimization count, and several are shown as one, in which the names of
the first begin with ``graph_1/``. A message without functions has only the graphs of devices, and many have
none.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from ckptfmt.arrays.decode import decode_tensor_proto
from ckptfmt.errors import NameConflictError
from ckptfmt.graph.merge import import_graph, merge_graphs
from ckptfmt.proto import messages
from ckptfmt.proto.parse import parse_message
from ckptfmt.wire.coding import Buffer
from ckptfmt.wire.fields import LENGTH_DELIMITED, find_fields

_SUMMARY, _TAGGED = 5, 8
"""Fields of an Event."""

_PLUGIN = b"graph_run_metadata"
"""The beginning of the names of both plugins: ``graph_run_metadata`` and ``graph_run_metadata_graph``."""

_TAGGED_TAG = b"\x42"
_HEAD_SIZE = 32
"""Bytes of an event in which its field begins: before it are only the wall time and the step."""


class Trace(NamedTuple):
    """A RunMetadata message with graphs."""

    tag: str
    data: bytes
    """The message, serialized."""


def may_have_trace(event: bytes) -> bool:
    """Whether to look for a trace in an event: a search of its bytes, which spares nearly all of them."""
    return _PLUGIN in event or _TAGGED_TAG in event[:_HEAD_SIZE]


def trace_in(event: Buffer) -> Trace | None:
    """Return the last trace with graphs in an event, or None. Raises CorruptError if it cannot be decoded."""
    traces = [
        trace
        for number, content in _contents(event)
        for trace in (
            _values(content) if number == _SUMMARY else [_tagged(content)] if number == _TAGGED else []
        )
        if any(field == 3 or field == 4 for field, _ in _contents(trace.data))
    ]
    return traces[-1] if traces else None


def traced_graph(data: bytes, file: str) -> messages.GraphDef:
    """Return the graph in a serialized RunMetadata message.

    Raises CorruptError if it is damaged, NameConflictError if its functions contradict one another.
    """
    message = parse_message(messages.RunMetadata, data, None)
    graphs = [each.pre_optimization_graph for each in message.function_graphs] or message.partition_graphs
    if len(graphs) == 1:
        return graphs[0]
    imported = [import_graph(graph, f"graph_{number}/", {}, file) for number, graph in enumerate(graphs, 1)]
    try:
        return merge_graphs(imported)
    except NameConflictError as error:  # functions of one name in one program are the same
        raise error.at(file) from None


def _contents(data: Buffer) -> Iterator[tuple[int, Buffer]]:
    """Iterate over number and content of the fields that have a length."""
    for field in find_fields(data):
        if field.wire_type == LENGTH_DELIMITED:
            yield field.number, data[field.content : field.stop]


def _values(summary: Buffer) -> Iterator[Trace]:
    """Iterate over the traces in a summary."""
    for number, value in _contents(summary):
        fields = dict(_contents(value)) if number == 1 else {}
        if _PLUGIN in bytes(fields.get(9, b"")) and 8 in fields:
            strings = decode_tensor_proto(fields[8]).reshape(-1)[:1].tolist()
            yield Trace(
                _text(fields.get(1, b"")), strings[0] if strings and type(strings[0]) is bytes else b""
            )


def _tagged(content: Buffer) -> Trace:
    fields = dict(_contents(content))
    return Trace(_text(fields.get(1, b"")), bytes(fields.get(2, b"")))


def _text(data: Buffer) -> str:
    return bytes(data).decode("utf-8", "backslashreplace")
