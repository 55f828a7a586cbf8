"""Split protos that we write: they merge into the message that was split, whatever it holds."""

from __future__ import annotations

import os
import random
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, get_args

import numpy as np
import pytest
from google.protobuf.message import Message
from hypothesis import given
from hypothesis import strategies as st

import ckptfmt
from ckptfmt.proto.messages import FingerprintDef, GraphDef, NodeDef, SavedModel, TensorProto
from ckptfmt.proto.proto_splitter import ChunkedMessage, ChunkInfo, ChunkMetadata
from ckptfmt.riegeli.compression import Compression
from ckptfmt.riegeli.divide import FieldPath, divide
from ckptfmt.riegeli.divide import FieldStep as Step
from ckptfmt.riegeli.file import RiegeliFile
from ckptfmt.riegeli.merge import ChunkMerger
from ckptfmt.riegeli.split_message import SplitProto
from ckptfmt.riegeli.split_writer import MAX_PART, write_split_message
from ckptfmt.saved_model.deterministic import serialize_deterministic
from ckptfmt.storage.output import OutputFile
from ckptfmt.wire.farmhash import fingerprint64, fingerprint_cat64
from tests.support.corpus import CORPUS
from tests.support.corpus import entries as corpus_entries
from tests.support.graph_messages import UNKNOWN_FIELDS, graphs, saved_models
from tests.support.memory_filesystem import MemoryFile, MemoryFilesystem, MemoryOutput
from tests.support.split_writer import constant


def split(message: Message, contents: list[tuple[FieldPath, Any]] | None = None, **options: Any) -> bytes:
    fs = MemoryFilesystem()
    with MemoryOutput(fs, "some.cpb") as output:
        write_split_message(output, message, contents or [], **options)
    return fs.files["some.cpb"].content


def merged(content: bytes, cls: type[Message]) -> Message:
    return SplitProto(MemoryFile("some.cpb", content)).merge(cls)


def metadata(content: bytes) -> ChunkMetadata:
    file = RiegeliFile(MemoryFile("some.cpb", content))
    return ChunkMetadata.FromString(bytes(file.record(file.last_position)))


def content_path(number: int, before: FieldPath = ()) -> FieldPath:
    """Return the path to the content of a constant of a graph."""
    return (*before, Step(1, number), Step(5, "value"), Step(8), Step(4))


@given(
    message=saved_models() | graphs(),
    unknown=UNKNOWN_FIELDS,
    max_part=st.integers(1, 400),
    compression=st.sampled_from([None, "brotli"]),
)
def test_any_message_is_merged_again(
    message: Message, unknown: bytes, max_part: int, compression: Compression | None
) -> None:
    message.MergeFromString(unknown)
    content = split(message, max_part=max_part, compression=compression)
    assert merged(content, type(message)) == message


@given(message=saved_models() | graphs(), max_part=st.integers(1, 400))
def test_parts_are_no_longer_than_they_may_be(message: Message, max_part: int) -> None:
    descriptor: Any = message.DESCRIPTOR
    for part in divide(memoryview(message.SerializeToString()), descriptor, max_part):
        # One value alone may be longer, with the fields around it.
        longest = max(max_part, 700)
        assert sum(map(len, part.pieces)) <= longest


@given(graph=graphs(), max_part=st.integers(1, 400), data=st.data())
def test_contents_are_put_into_the_message(graph: GraphDef, max_part: int, data: st.DataObject) -> None:
    want = GraphDef()
    want.CopyFrom(graph)
    model, contents = SavedModel(), []
    constants = [number for number, node in enumerate(graph.node) if node.op == "Const"]
    graph_path = (Step(2, 0), Step(2))
    for number in constants:
        value = data.draw(st.binary(min_size=1, max_size=2000))
        want.node[number].attr["value"].tensor.tensor_content = value
        graph.node[number].attr["value"].tensor.ClearField("tensor_content")
        contents.append((content_path(number, graph_path), memoryview(value)))
    model.meta_graphs.add().graph_def.CopyFrom(graph)
    got = merged(split(model, contents, max_part=max_part), SavedModel)
    assert isinstance(got, SavedModel)
    assert got.meta_graphs[0].graph_def == want


def paths(content: bytes) -> list[str]:
    """Return the paths of all parts but the first, as text."""
    found = []
    for field in metadata(content).message.chunked_fields:
        tags = []
        for tag in field.field_tag:
            kind = tag.WhichOneof("kind")
            tags.append(f"[{tag.index}]" if kind == "index" else tag.map_key.s or str(tag.field))
        found.append(" ".join(tags))
    return found


def example() -> SavedModel:
    model = SavedModel(saved_model_schema_version=1)
    graph = model.meta_graphs.add().graph_def
    graph.node.extend(NodeDef(name=f"node{i}", op="NoOp") for i in range(100))
    graph.node.insert(3, constant("large", bytes(5000)))
    for number in range(3):
        function = graph.library.function.add()
        function.signature.name = f"function{number}"
        function.node_def.extend(NodeDef(name=f"inner{i}", op="NoOp") for i in range(20 + 30 * number))
    model.meta_graphs[0].object_graph_def.nodes.add().user_object.identifier = "root"
    return model


def test_parts_are_those_of_tensorflows_splitter() -> None:
    # graph_def_splitter.cc: constants, the library, functions, runs of nodes.
    content = split(example(), max_part=1000)
    assert sorted(set(paths(content))) == [
        "2 [0] 2",
        "2 [0] 2 1 [3] 5 value 8 4",
        "2 [0] 2 2",
        "2 [0] 2 2 1 [2]",
    ]
    assert merged(content, SavedModel) == example()


def test_a_message_that_is_short_enough_is_one_part() -> None:
    content = split(example())
    assert paths(content) == []
    assert len(metadata(content).chunks) == 1
    assert merged(content, SavedModel) == example()


def test_the_metadata_name_the_version_and_each_part() -> None:
    found = metadata(split(example(), max_part=1000))
    assert (found.version.splitter_version, found.version.join_version) == (1, 0)
    assert found.message.chunk_index == 0
    assert [field.message.chunk_index for field in found.message.chunked_fields] == list(
        range(1, len(found.chunks))
    )
    kinds = [chunk.type for chunk in found.chunks]
    assert kinds.count(ChunkInfo.BYTES) == 1
    assert kinds[0] == ChunkInfo.MESSAGE


def test_a_graph_of_our_split_file_is_read(tmp_path: Path) -> None:
    graph = example().meta_graphs[0].graph_def
    with OutputFile(str(tmp_path / "graph.cpb")) as output:
        write_split_message(output, graph, max_part=1000)
    assert ckptfmt.read_graph(tmp_path / "graph.cpb").message == graph


def test_a_saved_model_of_our_split_file_is_opened(tmp_path: Path) -> None:
    model = example()
    model.meta_graphs[0].meta_info_def.tags.append("serve")
    with OutputFile(str(tmp_path / "saved_model.cpb")) as output:
        write_split_message(output, model, max_part=1000)
    graph = ckptfmt.open_saved_model(tmp_path).meta_graph.graph
    assert graph.message == model.meta_graphs[0].graph_def


@pytest.mark.parametrize(
    "path",
    [
        pytest.param((), id="the message itself"),
        pytest.param((Step(77),), id="no such field"),
        pytest.param((Step(1, 0),), id="a message"),
        pytest.param((Step(1, 0), Step(1), Step(1)), id="after a text"),
        pytest.param((Step(1, 0), Step(5, "value"), Step(8), Step(1)), id="a number"),
        pytest.param((Step(1, 0), Step(5), Step(8), Step(4)), id="a map without a key"),
        pytest.param((Step(1), Step(5, "value"), Step(8), Step(4)), id="a list without an index"),
        pytest.param((Step(1, "a"), Step(5, "value"), Step(8), Step(4)), id="a list with a key"),
        pytest.param((Step(1, 0), Step(5, 3), Step(8), Step(4)), id="a map with an index"),
        pytest.param(
            (Step(1, 0), Step(5, "value"), Step(8, 0), Step(4)),
            id="one message with an index",
        ),
    ],
)
def test_a_path_to_no_bytes_is_refused(path: FieldPath) -> None:
    with pytest.raises(ValueError, match=r"GraphDef: (no field|not a field of bytes) at"):
        split(GraphDef(node=[NodeDef()]), [(path, b"x")])


def test_a_content_of_2_gib_is_refused() -> None:
    class Long(bytes):
        def __len__(self) -> int:
            return MAX_PART + 1

    with pytest.raises(ValueError, match=r"got 2147483648 bytes, want at most 2147483647"):
        split(GraphDef(node=[NodeDef()]), [(content_path(0), Long())])


def test_large_contents_are_stored_as_they_are() -> None:
    graph = GraphDef(node=[NodeDef(op="Const"), NodeDef(op="Const")])
    contents = [(content_path(0), bytes(2 << 20)), (content_path(1), bytes(1 << 20))]
    content = split(graph, contents)
    assert 2 << 20 < len(content) < (2 << 20) + 10_000
    got = merged(content, GraphDef)
    assert isinstance(got, GraphDef)
    want = [TensorProto(tensor_content=value) for _, value in contents]
    assert [node.attr["value"].tensor for node in got.node] == want


def test_contents_are_asked_for_one_by_one() -> None:
    held: list[int] = []

    def contents() -> Any:
        for number in range(5):
            held.append(number)
            yield content_path(number), bytes([number]) * 10

    graph = GraphDef(node=[NodeDef(op="Const", name=str(number)) for number in range(5)])
    got = merged(split(graph, contents()), GraphDef)
    assert isinstance(got, GraphDef)
    assert held == list(range(5))
    assert [node.attr["value"].tensor.tensor_content[:1] for node in got.node] == [
        bytes([i]) for i in range(5)
    ]


def test_many_nodes_are_divided_in_a_time_proportional_to_their_number() -> None:
    graph = GraphDef(node=[NodeDef(name=f"node{i}", op="NoOp") for i in range(50_000)])
    content = split(graph, max_part=2000)
    assert len(metadata(content).chunks) > 400
    assert merged(content, GraphDef) == graph


GRAPH = "2 [0] 2"
"""The path to the graph of the first meta graph of a SavedModel."""


def expected_program_hash(content: bytes) -> int:
    """Return what TensorFlow's ``HashGraphDef`` makes of a split SavedModel.

    It merges the parts whose path is that of the graph, hashes the result, then each part of the graph.
    """
    file = RiegeliFile(MemoryFile("some.cpb", content))
    found = metadata(content)
    chunks = {n: (info, bytes(file.record(info.offset))) for n, info in enumerate(found.chunks)}
    of_graph, hashed = ChunkedMessage(chunk_index=0), 0
    for field, path in zip(found.message.chunked_fields, paths(content), strict=True):
        assert path.startswith("2 [0] ")
        if not path.startswith(GRAPH):
            continue
        hashed = fingerprint_cat64(hashed, fingerprint64(chunks[field.message.chunk_index][1]))
        if path == GRAPH:
            of_graph.chunked_fields.add().CopyFrom(field)
    model = SavedModel()
    ChunkMerger("some.cpb", chunks).merge(of_graph, model)
    graph = fingerprint64(serialize_deterministic(model.meta_graphs[0].graph_def))
    return fingerprint_cat64(graph, hashed)


def hashed_by_tensorflow(folder: Path) -> FingerprintDef:
    fingerprinting = import_module("tensorflow.python.saved_model.pywrap_saved_model.fingerprinting")
    return FingerprintDef.FromString(fingerprinting.CreateFingerprintDef(str(folder)))


# Nothing else in TensorFlow 2.21 reads a split SavedModel: its loaders ask for saved_model.pb or .pbtxt.
@pytest.mark.tensorflow
@pytest.mark.parametrize("compression", [None, *get_args(Compression)])
@pytest.mark.parametrize("max_part", [300, 1000, 3000, 10_000, MAX_PART])
def test_tensorflow_merges_what_we_split(
    max_part: int, compression: Compression | None, tmp_path: Path, tensorflow: ModuleType
) -> None:
    model = example()
    model.meta_graphs[0].signature_def["serving_default"].method_name = "tensorflow/serving/predict"
    content = split(model, max_part=max_part, compression=compression)
    (tmp_path / "saved_model.cpb").write_bytes(content)
    hashed = hashed_by_tensorflow(tmp_path)
    assert hashed.version.producer == 2
    assert hashed.graph_def_program_hash == expected_program_hash(content)
    # The signatures are in the first part, as before.
    (tmp_path / "saved_model.cpb").write_bytes(split(model))
    assert hashed_by_tensorflow(tmp_path).signature_def_hash == hashed.signature_def_hash


@pytest.mark.tensorflow
@pytest.mark.parametrize("entry", corpus_entries("saved_model"))
def test_tensorflow_merges_the_corpus_that_we_split(
    entry: dict[str, Any], tmp_path: Path, tensorflow: ModuleType
) -> None:
    path = CORPUS / entry["path"] / "saved_model.pb"
    if not path.exists():
        pytest.skip("the model is not in a binary file")
    model = SavedModel.FromString(path.read_bytes())
    without_graph = SavedModel()
    without_graph.CopyFrom(model)
    for meta_graph in without_graph.meta_graphs:
        meta_graph.ClearField("graph_def")
    # TensorFlow itself splits graphs alone, so the rest has to fit into the first part.
    max_part = without_graph.ByteSize() + max(1000, model.ByteSize() // 7)
    content = split(model, max_part=max_part)
    assert merged(content, SavedModel) == model
    if len(model.meta_graphs) > 1:
        return  # the graphs of the others are moved with their meta graphs
    (tmp_path / "saved_model.cpb").write_bytes(content)
    assert hashed_by_tensorflow(tmp_path).graph_def_program_hash == expected_program_hash(content)


@pytest.mark.tensorflow
def test_tensorflow_reads_contents_and_every_block(tmp_path: Path, tensorflow: ModuleType) -> None:
    model = SavedModel()
    graph = model.meta_graphs.add().graph_def
    graph.node.extend(NodeDef(name=f"constant{i}", op="Const") for i in range(3))
    contents = [
        (content_path(i, (Step(2, 0), Step(2))), random.Random(i).randbytes(700_000 + i)) for i in range(3)
    ]
    content = split(model, contents)
    (tmp_path / "saved_model.cpb").write_bytes(content)
    assert hashed_by_tensorflow(tmp_path).graph_def_program_hash == expected_program_hash(content)


@pytest.mark.scale
@pytest.mark.tensorflow
@pytest.mark.skipif("CKPTFMT_HUGE" not in os.environ, reason="takes three minutes: set CKPTFMT_HUGE")
def test_a_model_of_more_than_2_gib_is_read(tmp_path: Path, tensorflow: ModuleType) -> None:
    # Most of the time is for hashes.
    model = SavedModel()
    graph = model.meta_graphs.add().graph_def
    graph.node.extend(NodeDef(name=f"constant{i}", op="Const") for i in range(3))
    size = 720 << 20
    contents = [
        (content_path(i, (Step(2, 0), Step(2))), memoryview(np.full(size, i, np.uint8))) for i in range(3)
    ]
    file = tmp_path / "saved_model.cpb"
    with OutputFile(str(file)) as output:
        write_split_message(output, model, contents)
    assert file.stat().st_size > 2 << 30
    # It verifies every hash.
    assert hashed_by_tensorflow(tmp_path).version.producer == 2
    got = ckptfmt.open_saved_model(tmp_path).meta_graph.graph
    for i, (_, content) in enumerate(contents):
        assert got[f"constant{i}"].message.attr["value"].tensor.tensor_content == content
