"""Files of graphs that are cut or damaged: the error has the place and the field."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import ckptfmt
from ckptfmt.errors import CkptfmtError, CorruptError, TruncatedError
from ckptfmt.proto import messages
from tests.support.golden import GOLDEN
from tests.support.graphs import varied_graph

LARGE = 100_000
"""Bytes of a constant that is kept beside its graph."""


def meta_graph() -> messages.MetaGraphDef:
    meta = messages.MetaGraphDef(graph_def=varied_graph())
    meta.meta_info_def.tags.append("serve")
    meta.meta_info_def.tensorflow_version = "1.15.0"
    meta.saver_def.restore_op_name = "save/restore_all"
    return meta


def saved_model() -> messages.SavedModel:
    return messages.SavedModel(saved_model_schema_version=1, meta_graphs=[meta_graph()])


def large_graph() -> messages.GraphDef:
    graph = messages.GraphDef()
    for number in range(4):
        node = graph.node.add(name=f"w{number}", op="Const")
        node.attr["dtype"].type = 1
        node.attr["value"].tensor.dtype = messages.DataType.DT_FLOAT
        node.attr["value"].tensor.tensor_shape.dim.add(size=LARGE // 4)
        node.attr["value"].tensor.tensor_content = bytes([number + 1]) * LARGE
    return graph


FILES = {
    "graph.pb": (varied_graph, ckptfmt.read_graph),
    "model.meta": (meta_graph, ckptfmt.read_meta_graph),
    "saved_model.pb": (saved_model, ckptfmt.open_saved_model),
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_cut_anywhere_is_read_or_has_an_error_with_a_place(name: str, tmp_path: Path) -> None:
    message, read = FILES[name]
    data, path = message().SerializeToString(deterministic=True), tmp_path / name
    sizes = range(4, len(data), 5)  # fewer bytes may be text
    errors = []
    for size in sizes:
        path.write_bytes(data[:size])
        try:
            read(path)
        except CkptfmtError as error:
            errors.append(error)
    assert len(errors) > len(sizes) * 0.9
    assert [error for error in errors if error.offset is None or "Wire format" in error.what] == []


@pytest.mark.parametrize("read", [ckptfmt.read_graph, ckptfmt.read_meta_graph])
def test_bytes_in_memory_are_damaged_at_the_same_place(read: Callable[[bytes], object]) -> None:
    data = saved_model().SerializeToString(deterministic=True)
    start = data.rindex(b"x" * 200)
    with pytest.raises(TruncatedError) as caught:
        read(data[: start + 7])
    assert str(caught.value) == (
        f"<bytes> @0x{start:x}: not a tensorflow.SavedModel message: ends in field "
        'meta_graphs[0].graph_def.node[2].attr["value"].tensor.tensor_content: got 7 bytes, want 200'
    )
    assert (caught.value.available, caught.value.wanted) == (7, 200)


def test_large_constants_do_not_move_the_place(tmp_path: Path) -> None:
    data, path = large_graph().SerializeToString(deterministic=True), tmp_path / "frozen.pb"
    start = data.index(b"\x03" * LARGE)
    path.write_bytes(data[: start + 1000])
    with pytest.raises(TruncatedError) as caught:
        ckptfmt.read_graph(path)
    assert str(caught.value) == (
        f"{path} @0x{start:x}: not a tensorflow.GraphDef message: "
        'ends in field node[2].attr["value"].tensor.tensor_content: got 1000 bytes, want 100000'
    )
    # All lengths are right: only protobuf refuses the name.
    broken = bytearray(data)
    at = data.index(b"w3")
    broken[at] = 0xFF
    path.write_bytes(broken)
    with pytest.raises(CorruptError, match=r"message: field node\[3\]\.name: not UTF-8$") as corrupt:
        ckptfmt.read_graph(path)
    assert corrupt.value.offset == at


def test_a_page_of_zeros_is_found_among_the_first_fields(tmp_path: Path) -> None:
    data, path = bytearray(large_graph().SerializeToString(deterministic=True)), tmp_path / "frozen.pb"
    at = data.index(b"w2") - 20
    data[at : at + 64] = bytes(64)
    path.write_bytes(data)
    with pytest.raises(CorruptError) as caught:
        ckptfmt.read_graph(path)
    assert str(caught.value).startswith(f"{path} @0x")
    assert ": not a tensorflow.GraphDef message: " in str(caught.value)
    assert caught.value.offset is not None
    assert at - 20 <= caught.value.offset <= at + 64


def test_a_file_that_is_no_message_at_all_says_so_first(tmp_path: Path) -> None:
    path = tmp_path / "graph.pb"
    path.write_bytes(b"\x00\x01\x02" * 50)
    with pytest.raises(CorruptError, match="@0x0: an unknown kind of file, not a graph: 150 bytes"):
        ckptfmt.read_graph(path)


def test_an_official_saved_model_cut_in_the_middle_says_where(tmp_path: Path) -> None:
    data = (GOLDEN / "saved_model" / "model" / "saved_model.pb").read_bytes()
    path = tmp_path / "saved_model.pb"
    path.write_bytes(data[:-1])
    with pytest.raises(TruncatedError, match=r"ends in field meta_graphs\[0\]\.object_graph_def\.") as caught:
        ckptfmt.open_saved_model(tmp_path)
    assert caught.value.offset is not None
    assert caught.value.available == len(data) - 1 - caught.value.offset


@pytest.mark.parametrize("name", ["fingerprint", "keras_layers"])
def test_files_beside_a_saved_model_are_damaged_at_a_place(name: str, tmp_path: Path) -> None:
    (tmp_path / "saved_model.pb").write_bytes(saved_model().SerializeToString())
    file = {"fingerprint": "fingerprint.pb", "keras_layers": "keras_metadata.pb"}[name]
    (tmp_path / file).write_bytes(b"\x3a\x05ab" if name == "fingerprint" else b"\x0a\x05\x12\x03ab")
    with pytest.raises(TruncatedError, match="ends in field ") as caught:
        getattr(ckptfmt.open_saved_model(tmp_path), name)
    assert caught.value.offset == (2 if name == "fingerprint" else 4)


def test_a_text_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "graph.pbtxt"
    path.write_text('node { name: "a" op: "NoOp" }', "utf-8-sig")
    assert list(ckptfmt.read_graph(path)) == ["a"]
    assert list(ckptfmt.read_graph(path.read_bytes())) == ["a"]
