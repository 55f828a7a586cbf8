"""Content: any bytes are recognised as a kind of file, or as none."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ckptfmt.filetype import kinds
from ckptfmt.filetype.content import recognise
from ckptfmt.filetype.messages import MAX_FIELDS
from ckptfmt.proto import messages
from tests.support.file_kinds import FINGERPRINT, graph_def, meta_graph, saved_model
from tests.support.memory_filesystem import MemoryFile

BEGINNINGS = {
    "nothing": b"",
    "graph": graph_def().SerializeToString(),
    "meta": meta_graph().SerializeToString(),
    "model": saved_model().SerializeToString(),
    "fingerprint": FINGERPRINT.SerializeToString(),
}


@given(st.binary(max_size=300), st.sampled_from(sorted(BEGINNINGS)))
def test_any_bytes_are_of_a_kind_or_none(data: bytes, beginning: str) -> None:
    head = BEGINNINGS[beginning][: len(data)]
    kind = recognise(MemoryFile("file", head + data))
    assert kind is None or kind.what


def test_the_name_of_a_node_is_not_a_magic_number() -> None:
    graph = messages.GraphDef()
    graph.node.add(name="TFL3", op="NoOp")
    assert recognise(MemoryFile("file", graph.SerializeToString())) is kinds.GRAPH


def test_only_the_first_fields_of_a_large_graph_are_looked_at() -> None:
    graph = messages.GraphDef()
    for i in range(10 * MAX_FIELDS):
        graph.node.add(name=f"n{i}", op="NoOp")
    file = MemoryFile("file", graph.SerializeToString() + b"\xff" * 10)
    assert recognise(file) is kinds.GRAPH
