"""What files seem to be, whole and damaged; what errors say of it is tested in ``cli/test_kinds.py``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ckptfmt.filetype import kinds
from ckptfmt.filetype.content import recognise
from ckptfmt.filetype.kinds import EVENTS, Holds, Kind
from ckptfmt.filetype.messages import recognise_message
from ckptfmt.filetype.paths import recognise_path
from ckptfmt.proto import keras_metadata, messages
from ckptfmt.proto.parse import format_text
from ckptfmt.storage.local import LOCAL
from tests.support.corpus import CORPUS, entries
from tests.support.golden import GOLDEN
from tests.support.memory_filesystem import MemoryFile

WANTED = {
    "frozen_graph": Holds.GRAPH,
    "graph_pbtxt": Holds.GRAPH,
    "meta_graph": Holds.META_GRAPH,
    "saved_model": Holds.SAVED_MODEL,
    "checkpoint_v1": Holds.CHECKPOINT,
    "bundle_v2": Holds.CHECKPOINT,
}


def kind_of(data: bytes) -> Kind | None:
    return recognise(MemoryFile("file", data))


@pytest.mark.parametrize("entry", entries(*WANTED, "events"))
def test_every_file_of_the_corpus_is_what_it_is(entry: dict[str, Any]) -> None:
    kind = recognise_path(LOCAL, str(CORPUS / entry["path"]))
    assert kind is not None
    assert kind is EVENTS if entry["kind"] == "events" else kind.holds is WANTED[entry["kind"]]
    if entry["kind"] == "saved_model":
        (message,) = (CORPUS / entry["path"]).glob("saved_model.pb*")
        kind = recognise_path(LOCAL, str(message))
        assert kind is not None
        assert kind.holds is Holds.SAVED_MODEL


def test_every_golden_file_is_of_a_checkpoint_or_beside_one() -> None:
    for path in GOLDEN.rglob("*"):
        kind = recognise_path(LOCAL, str(path))
        suffix = path.suffix
        if suffix == ".meta":
            assert kind is kinds.META_GRAPH
        elif suffix == ".index":
            assert kind is kinds.INDEX
        elif path.name == "checkpoint":
            assert kind is kinds.STATE


def graph_def() -> messages.GraphDef:
    graph = messages.GraphDef()
    graph.versions.producer = 24
    graph.node.add(name="scope/x", op="Placeholder").attr["dtype"].type = 1
    graph.node.add(name="out", op="Custom>Op", input=["x"], device="/GPU:0").attr["T"].type = 1
    graph.library.function.add().signature.name = "f"
    return graph


def meta_graph() -> messages.MetaGraphDef:
    meta = messages.MetaGraphDef(graph_def=graph_def())
    meta.meta_info_def.meta_graph_version = "v"
    meta.meta_info_def.stripped_op_list.op.add(name="Abs")
    meta.meta_info_def.tags.extend(["serve", "gpu"])
    meta.meta_info_def.tensorflow_version = "1.15.0"
    meta.saver_def.restore_op_name = "save/restore_all"
    meta.collection_def["variables"].bytes_list.value.append(b"\x0a\x01v")
    meta.signature_def["s"].outputs["y"].name = "out:0"
    meta.object_graph_def.nodes.add()
    return meta


KERAS = keras_metadata.SavedMetadata()
KERAS.nodes.add(node_id=1, node_path="root", identifier="_tf_keras_model", metadata="{}")
MESSAGES = {
    "graph": (graph_def(), kinds.GRAPH),
    "library": (messages.GraphDef(library=graph_def().library, versions=graph_def().versions), kinds.GRAPH),
    "meta": (meta_graph(), kinds.META_GRAPH),
    "meta without info": (
        messages.MetaGraphDef(graph_def=graph_def(), saver_def=meta_graph().saver_def),
        kinds.META_GRAPH,
    ),
    "model": (
        messages.SavedModel(saved_model_schema_version=1, meta_graphs=[meta_graph()] * 2),
        kinds.SAVED_MODEL,
    ),
    "fingerprint": (
        messages.FingerprintDef(saved_model_checksum=1, checkpoint_hash=1 << 63, uuid="1234"),
        kinds.FINGERPRINT,
    ),
    "keras": (KERAS, kinds.KERAS_METADATA),
}


@pytest.mark.parametrize("name", MESSAGES)
def test_a_message_is_told_as_far_as_it_is_there(name: str) -> None:
    message, wanted = MESSAGES[name]
    data = message.SerializeToString(deterministic=True)
    assert recognise_message(data) is wanted
    assert recognise_message(memoryview(data)) is wanted
    found = [kind_of(data[:size]) for size in range(1, len(data))]
    first = found.index(wanted) if wanted in found else len(found)
    # Cut to a few bytes it may be many things, from some size on it is what it was.
    assert first < 40 or name in ("library", "meta without info")
    others = {kind.what for kind in found[first:] if kind not in (wanted, None)}  # type: ignore[union-attr]
    assert not others or name in ("library", "meta without info")


@pytest.mark.parametrize("name", ["graph", "meta", "model"])
def test_text_is_told_as_the_message_is(name: str) -> None:
    message, wanted = MESSAGES[name]
    for before in ("", "\n# by hand\n\n", "\ufeff"):
        kind = recognise_message(f"{before}{format_text(message)}".encode())
        assert kind is not None
        assert kind.holds is wanted.holds


def test_other_messages_are_none_of_these(tmp_path: Path) -> None:
    event = messages.Event(wall_time=1.5, file_version="brain.Event:2")
    objects = messages.TrackableObjectGraph()
    objects.nodes.add().children.add(node_id=1, local_name="model")
    objects.nodes.add().attributes.add(name="VARIABLE_VALUE", checkpoint_key="model")
    example = b"\x0a\x0f\x0a\x0d\x0a\x01x\x12\x08\x12\x06\x0a\x04\x00\x00\x80\x3f"
    for data in (event.SerializeToString(), objects.SerializeToString(), example, bytes(100), b"\xff" * 100):
        assert kind_of(data) is None
    (tmp_path / "debug_info").write_bytes(b"\x0a\x0b/usr/lib/x.py\x12\x00")
    assert recognise_path(LOCAL, str(tmp_path / "debug_info")) is None


def test_the_name_of_a_node_is_no_magic_number() -> None:
    graph = messages.GraphDef()
    graph.node.add(name="TFL3", op="NoOp")
    assert kind_of(graph.SerializeToString()) is kinds.GRAPH


@given(st.binary(max_size=300), st.sampled_from(["", "graph", "meta", "model", "fingerprint"]))
def test_any_bytes_are_something_or_nothing(data: bytes, begin: str) -> None:
    head = MESSAGES[begin][0].SerializeToString()[: len(data)] if begin else b""
    kind = kind_of(head + data)
    assert kind is None or kind.what


def test_only_the_first_fields_of_a_large_graph_are_looked_at() -> None:
    graph = messages.GraphDef()
    for i in range(10 * kinds.MAX_PARTS):
        graph.node.add(name=f"n{i}", op="NoOp")
    file = MemoryFile("file", graph.SerializeToString() + b"\xff" * 10)
    assert recognise(file) is kinds.GRAPH
