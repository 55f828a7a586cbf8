"""Messages are recognised whole, cut short and as text."""

from __future__ import annotations

import pytest

from ckptfmt.filetype import kinds
from ckptfmt.filetype.content import recognise, recognise_message
from ckptfmt.filetype.kinds import Kind
from ckptfmt.proto import messages
from ckptfmt.proto.parse import format_text
from tests.support.file_kinds import KERAS, graph_def, meta_graph
from tests.support.memory_filesystem import MemoryFile


def kind_of(data: bytes) -> Kind | None:
    return recognise(MemoryFile("file", data))


def full_graph() -> messages.GraphDef:
    graph = graph_def()
    graph.node.add(name="scope/y", op="Custom>Op", input=["x"], device="/GPU:0").attr["T"].type = 1
    graph.library.function.add().signature.name = "f"
    return graph


def full_meta_graph() -> messages.MetaGraphDef:
    meta = meta_graph()
    meta.graph_def.CopyFrom(full_graph())
    meta.meta_info_def.meta_graph_version = "v"
    meta.meta_info_def.stripped_op_list.op.add(name="Abs")
    meta.meta_info_def.tags.append("gpu")
    meta.saver_def.restore_op_name = "save/restore_all"
    meta.collection_def["variables"].bytes_list.value.append(b"\x0a\x01v")
    meta.object_graph_def.nodes.add()
    return meta


MESSAGES = {
    "graph": (full_graph(), kinds.GRAPH),
    "library": (messages.GraphDef(library=full_graph().library, versions=full_graph().versions), kinds.GRAPH),
    "meta": (full_meta_graph(), kinds.META_GRAPH),
    "meta without info": (
        messages.MetaGraphDef(graph_def=full_graph(), saver_def=full_meta_graph().saver_def),
        kinds.META_GRAPH,
    ),
    "model": (
        messages.SavedModel(saved_model_schema_version=1, meta_graphs=[full_meta_graph()] * 2),
        kinds.SAVED_MODEL,
    ),
    "hub": (messages.SavedModel(meta_graphs=[full_meta_graph()] * 2), kinds.SAVED_MODEL),
    "hub with only a graph": (
        messages.SavedModel(meta_graphs=[messages.MetaGraphDef(graph_def=full_graph())]),
        kinds.SAVED_MODEL,
    ),
    "fingerprint": (
        messages.FingerprintDef(saved_model_checksum=1, checkpoint_hash=1 << 63, uuid="1234"),
        kinds.FINGERPRINT,
    ),
    "keras": (KERAS, kinds.KERAS_METADATA),
}


@pytest.mark.parametrize("name", MESSAGES)
def test_a_message_that_is_cut_short_is_recognised(name: str) -> None:
    message, wanted = MESSAGES[name]
    data = message.SerializeToString(deterministic=True)
    assert recognise_message(data) is wanted
    assert recognise_message(memoryview(data)) is wanted
    found = [kind_of(data[:size]) for size in range(1, len(data))]
    first = found.index(wanted) if wanted in found else len(found)
    # Cut to a few bytes it may be many things; from some size on it is recognised.
    assert first < 40 or name in ("library", "meta without info")
    others = {kind.what for kind in found[first:] if kind not in (wanted, None)}  # type: ignore[union-attr]
    assert not others or name in ("library", "meta without info")


@pytest.mark.parametrize("name", ["graph", "meta", "model", "hub"])
def test_text_is_recognised_like_the_message(name: str) -> None:
    message, wanted = MESSAGES[name]
    for before in ("", "\n# by hand\n\n", "\ufeff"):
        kind = recognise_message(f"{before}{format_text(message)}".encode())
        assert kind is not None
        assert kind.holds is wanted.holds


def test_a_graph_of_a_library_only_is_not_a_model() -> None:
    library = messages.GraphDef(library=full_graph().library)
    library.library.function.add().node_def.add(name="n", op="NoOp")
    library.library.gradient.add(function_name="f", gradient_func="g")
    for message in (
        library,
        messages.GraphDef(library=messages.FunctionDefLibrary(gradient=library.library.gradient)),
        messages.MetaGraphDef(graph_def=library),
        messages.MetaGraphDef(graph_def=messages.GraphDef(node=[messages.NodeDef(name="n", op="NoOp")])),
    ):
        kind = recognise_message(message.SerializeToString())
        assert kind is None or kind.holds is not kinds.Holds.SAVED_MODEL


def test_other_messages_are_of_no_kind() -> None:
    event = messages.Event(wall_time=1.5, file_version="brain.Event:2")
    objects = messages.TrackableObjectGraph()
    objects.nodes.add().children.add(node_id=1, local_name="model")
    objects.nodes.add().attributes.add(name="VARIABLE_VALUE", checkpoint_key="model")
    example = b"\x0a\x0f\x0a\x0d\x0a\x01x\x12\x08\x12\x06\x0a\x04\x00\x00\x80\x3f"
    for data in (event.SerializeToString(), objects.SerializeToString(), example, b"\xff" * 100):
        assert kind_of(data) is None
