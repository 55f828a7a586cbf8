"""Split protos: merged as TensorFlow merges them, and hostile files that would become too large."""

from __future__ import annotations

import copy
import random
import time
from contextlib import suppress
from pathlib import Path
from types import ModuleType

import pytest
from google.protobuf.message import Message

import ckptfmt
from ckptfmt.errors import ChecksumError, CkptfmtError, CorruptError, LimitError, UnsupportedError
from ckptfmt.limits import DEFAULT, Limits
from ckptfmt.proto.messages import AttrValue, FunctionDef, GraphDef, NodeDef, SavedModel
from ckptfmt.proto.proto_splitter import ChunkedMessage, ChunkInfo, ChunkMetadata, FieldIndex
from ckptfmt.riegeli.file import RiegeliFile
from ckptfmt.riegeli.split_message import SplitProto
from ckptfmt.storage.local_file import MappedFile
from tests.support.memory_filesystem import MemoryFile
from tests.support.riegeli_writer import RiegeliWriter
from tests.support.split_writer import (
    ATTR,
    CONTENT,
    FUNCTION,
    LIBRARY,
    NAME,
    NODE,
    NODE_DEF,
    OP,
    TENSOR,
    VERSIONS,
    Split,
    Step,
    constant,
    encoded,
    split_saved_model,
    tag,
)


def merged(content: bytes, cls: type[Message] = GraphDef, limits: Limits = DEFAULT) -> Message:
    return SplitProto(MemoryFile("some.cpb", content), limits=limits).merge(cls)


def example() -> GraphDef:
    graph = GraphDef(node=[NodeDef(name=f"node/{i}", op="NoOp") for i in range(9)])
    graph.node[4].CopyFrom(constant("node/4", bytes(range(256)) * 300))
    graph.versions.producer = 1395
    for i in range(3):
        function = graph.library.function.add()
        function.signature.name = f"function_{i}"
        function.node_def.extend(constant(f"inner/{i}/{k}", b"%d" % (i + k) * 50) for k in range(4))
        function.ret["out"] = "inner:0"
    return graph


def split_example() -> Split:
    """The parts into which TensorFlow splits a graph: content first, then the messages without it."""
    graph = example()
    split = Split(graph)
    tensor = graph.node[4].attr["value"].tensor
    split.add(tensor.tensor_content, NODE, (4,), ATTR, "value", TENSOR, CONTENT)
    tensor.ClearField("tensor_content")
    for first in (3, 6):
        split.add(GraphDef(node=graph.node[first : first + 3]))
    del graph.node[3:]
    split.add(copy.deepcopy(graph.library.function[1]), LIBRARY, FUNCTION, (1,))
    graph.library.function[1].Clear()
    inner = graph.library.function[2].node_def[3].attr["value"].tensor
    split.add(inner.tensor_content, LIBRARY, FUNCTION, (2,), NODE_DEF, (3,), ATTR, "value", TENSOR, CONTENT)
    inner.ClearField("tensor_content")
    return split


@pytest.mark.parametrize("compression", ["none", "brotli", "zstd", "snappy"])
@pytest.mark.parametrize("in_chunk", [1, 2, 100])
def test_a_graph_is_put_together_again(compression: str, in_chunk: int) -> None:
    assert merged(split_example().content(compression, in_chunk)) == example()


def test_the_order_in_which_parts_are_listed_does_not_matter() -> None:
    content = split_example()
    rng = random.Random(1)
    fields = list(content.message.chunked_fields)
    for _ in range(10):
        rng.shuffle(fields)
        content.message.ClearField("chunked_fields")
        content.message.chunked_fields.extend(fields)
        assert merged(content.content()) == example()


def test_messages_in_messages_are_split_again() -> None:
    split = Split(GraphDef())
    library = split.add(GraphDef().library, LIBRARY)
    for index in (1, 0):
        function = split.add(FunctionDef(), FUNCTION, (index,), within=library.message)
        function.message.ClearField("chunk_index")
        part = example().library.function[index]
        split.parts[-1] = part
        within = function.message.chunked_fields.add()
        within.message.chunk_index = len(split.parts) - 1
    graph = merged(split.content())
    assert list(graph.library.function) == list(example().library.function[:2])


def test_only_messages_that_a_path_names_are_present() -> None:
    # Presence counts: an empty message is present, one that no path leads to is not.
    split = Split(GraphDef())
    split.add(GraphDef().versions, VERSIONS)
    graph = merged(split.content())
    assert graph.HasField("versions")
    assert not graph.HasField("library")
    split = Split(GraphDef())
    split.message.ClearField("chunk_index")
    split.add(b"", NODE, (0,), NAME)
    assert merged(split.content()) == GraphDef(node=[NodeDef()])


def test_strings_and_lists_of_strings_are_merged() -> None:
    split = Split(NodeDef(input=["a", "b"]))
    split.add("Größe".encode(), NAME)
    split.add(b"first", 3, (0,))
    split.add(b"third", 3, (2,))
    split.add(b"bytes", ATTR, "list", 1, 2, (0,))
    node = merged(split.content(), NodeDef)
    assert (node.name, list(node.input)) == ("Größe", ["first", "b", "third"])
    assert list(node.attr["list"].list.s) == [b"bytes"]


def test_a_map_of_strings_is_merged() -> None:
    split = Split(FunctionDef(ret={"a": "x"}))
    split.add(b"y", 4, "a")
    split.add(b"z", 4, "b")
    assert dict(merged(split.content(), FunctionDef).ret) == {"a": "y", "b": "z"}


def test_maps_with_numbers_as_keys_are_merged() -> None:
    attrs = FunctionDef.ArgAttrs(attr={"a": AttrValue(i=5)})
    split = Split(FunctionDef())
    field = split.add(attrs, 7)
    field.field_tag.add().map_key.ui32 = 3
    assert merged(split.content(), FunctionDef) == FunctionDef(arg_attr={3: attrs})


# Damage


@pytest.mark.parametrize("compression", ["none", "brotli"])
def test_a_damaged_file_is_refused(compression: str) -> None:
    split = Split(GraphDef(node=[NodeDef(name="first")]))
    split.add(GraphDef(node=[NodeDef(name="second")]))
    split.add(b"Const", NODE, (0,), OP)
    content = split.content(compression)
    assert [(node.name, node.op) for node in merged(content).node] == [("first", "Const"), ("second", "")]
    for at in range(len(content)):
        for cls in (GraphDef, SavedModel):
            with pytest.raises(CorruptError) as caught:
                merged(content[:at], cls)
            assert caught.value.file == "some.cpb"
        for bits in (1, 0x80, 0xFF):
            damaged = bytearray(content)
            damaged[at] ^= bits
            with pytest.raises(CorruptError) as caught:
                merged(bytes(damaged))
            assert caught.value.file == "some.cpb"


def test_any_metadata_is_merged_or_refused() -> None:
    # Right hashes around wrong bytes: each byte of the metadata changed.
    split = split_example()
    writer = RiegeliWriter()
    offsets = writer.records([encoded(part) for part in split.parts], "zstd")
    metadata = split.metadata(offsets).SerializeToString()
    before = bytes(writer.out)
    rng = random.Random(5)
    for at in range(len(metadata)):
        damaged = bytearray(metadata)
        damaged[at] = rng.randrange(256)
        writer.out = bytearray(before)
        writer.records([bytes(damaged)])
        with suppress(CkptfmtError):
            merged(bytes(writer.out)).SerializeToString()


# Hostile files


def hostile(change) -> bytes:
    """A file of three parts whose metadata was changed."""
    split = Split(GraphDef(node=[NodeDef(name="a"), NodeDef(name="b")]))
    split.add(b"Const", NODE, (0,), OP)
    split.add(NodeDef(op="NoOp"), NODE, (1,))
    writer = RiegeliWriter()
    offsets = writer.records([encoded(part) for part in split.parts])
    metadata = split.metadata(offsets)
    change(metadata)
    writer.records([metadata.SerializeToString()])
    return bytes(writer.out)


def path(*steps: Step | FieldIndex, field: int = 0):
    """Change a path of the metadata."""

    def change(metadata: ChunkMetadata) -> None:
        chunked = metadata.message.chunked_fields[field]
        chunked.ClearField("field_tag")
        chunked.field_tag.extend(step if isinstance(step, FieldIndex) else tag(step) for step in steps)

    return change


def index(value: int):
    return lambda metadata: setattr(metadata.message.chunked_fields[0].message, "chunk_index", value)


def info(field: str, value: int, chunk: int = 1):
    return lambda metadata: setattr(metadata.chunks[chunk], field, value)


def to(message: bool = True):
    """A path to a number, whose chunk holds bytes or a message."""
    return path(VERSIONS, 1, field=1 if message else 0)


def drop_index(metadata: ChunkMetadata) -> None:
    metadata.message.chunked_fields[0].message.ClearField("chunk_index")


def go_on(metadata: ChunkMetadata) -> None:
    metadata.message.chunked_fields[0].message.chunked_fields.add()


def same_record(metadata: ChunkMetadata) -> None:
    metadata.chunks[1].CopyFrom(metadata.chunks[0])


BIG = 2**64 - 1
HOSTILE = {
    "chunk 3 of 3": (index(3), "got chunk 3, want 0 to 2"),
    "chunk 2**64 - 1": (index(BIG), "got chunk 18446744073709551615, want 0 to 2"),
    "the base again": (index(0), "chunk 0 is used twice"),
    "a chunk twice": (index(2), "chunk 2 is used twice|got kind 1, want 2"),
    "no chunk": (drop_index, "no chunk for tensorflow.NodeDef.op"),
    "a field that does not exist": (path(99), "tensorflow.GraphDef has no field 99"),
    "field 0": (path(0), "tensorflow.GraphDef has no field 0"),
    "field 2**32 - 1": (path(2**32 - 1), "no field 4294967295"),
    "a field without index": (path(NODE, OP), "tensorflow.GraphDef.node: got no index, want index"),
    "a field with map key": (path(NODE, "a", OP), "tensorflow.GraphDef.node: got map_key, want index"),
    "an index of nothing": (path((0,), OP), "an index or map key without a field of tensorflow.GraphDef"),
    "two indices": (path(NODE, (0,), (0,), OP), "an index or map key without a field of tensorflow.NodeDef"),
    "an index of one message": (path(LIBRARY, (0,)), "tensorflow.GraphDef.library: got index, want no index"),
    "a map with index": (path(NODE, (0,), ATTR, (0,)), "tensorflow.NodeDef.attr: got index, want map_key"),
    "a map without key": (path(NODE, (0,), ATTR), "tensorflow.NodeDef.attr: got no index, want map_key"),
    "a key without a value": (
        path(NODE, (0,), ATTR, FieldIndex(map_key=FieldIndex.MapKey()), TENSOR, CONTENT),
        "tensorflow.NodeDef.attr: a map key without a value",
    ),
    "a number for text": (
        path(NODE, (0,), ATTR, FieldIndex(map_key=FieldIndex.MapKey(i32=-1)), TENSOR, CONTENT),
        "tensorflow.NodeDef.attr: map key -1",
    ),
    "a tag that says nothing": (path(FieldIndex()), "an index or map key without a field"),
    "nothing for an index": (path(NODE, FieldIndex()), "tensorflow.GraphDef.node: got nothing, want index"),
    "an index after the end": (path(NODE, (3,), OP), "tensorflow.GraphDef.node: got index 3, want at most 2"),
    "an index of 2**32": (
        path(NODE, (2**32,), OP),
        "tensorflow.GraphDef.node: got index 4294967296, want at most 2",
    ),
    "an index of 2**64 - 1": (path(NODE, (BIG,), OP), "node: got index 18446744073709551615, want at most 2"),
    "bytes for a message": (path(NODE, (0,)), "chunk 1: got kind 2, want 1"),
    "a message for bytes": (path(NODE, (1,), OP, field=1), "chunk 2: got kind 1, want 2"),
    "a kind that does not exist": (info("type", 0), "chunk 1: got kind 0, want 2"),
    "a number": (to(message=False), "tensorflow.VersionDef.producer is a number"),
    "a path through text": (path(NODE, (0,), OP, 1), "the path continues after tensorflow.NodeDef.op"),
    "fields of text": (go_on, "the path continues after tensorflow.NodeDef.op"),
    "a position in no chunk": (info("offset", 1), "no record at this position"),
    "a position after the file": (info("offset", BIG), "no record of a chunk at this position"),
    "the record of another chunk": (same_record, "chunk 1: another chunk has the same record"),
    "a wrong size": (info("size", 6), "chunk 1: got 5 bytes, want 6"),
    "a size of 2**64 - 1": (info("size", BIG), "chunk 1: got 5 bytes, want 18446744073709551615"),
    "no message": (lambda metadata: metadata.ClearField("message"), "not the metadata of a split proto"),
}


@pytest.mark.parametrize(("change", "message"), HOSTILE.values(), ids=HOSTILE)
def test_parts_that_do_not_fit_are_refused(change, message: str) -> None:
    with pytest.raises(CorruptError, match=message) as caught:
        merged(hostile(change))
    assert caught.value.file == "some.cpb"
    assert str(caught.value).startswith("some.cpb")


def test_the_metadata_record_is_not_a_chunk() -> None:
    split = Split(GraphDef())
    writer = RiegeliWriter()
    offsets = writer.records([b""])
    metadata = split.metadata(offsets)
    metadata.chunks[0].offset = len(writer.out)
    writer.records([metadata.SerializeToString()])
    with pytest.raises(CorruptError, match="no record of a chunk at this position"):
        merged(bytes(writer.out))


def test_a_chunk_that_is_not_a_message_is_refused() -> None:
    split = Split(GraphDef())
    split.add(NodeDef(name="a"), NODE, (0,))
    split.add(b"\xff\xfe", NODE, (0,), NAME)
    with pytest.raises(CorruptError, match=r"tensorflow\.NodeDef\.name: 'utf-8' codec"):
        merged(split.content())
    writer = RiegeliWriter()
    (offset,) = writer.records([b"\x0a\xff"])
    metadata = ChunkMetadata(message=ChunkedMessage(chunk_index=0))
    metadata.chunks.add(type=ChunkInfo.MESSAGE, size=2, offset=offset)
    writer.records([metadata.SerializeToString()])
    with pytest.raises(CorruptError, match=r"chunk 0 is not a tensorflow\.GraphDef message") as caught:
        merged(bytes(writer.out))
    assert (caught.value.file, caught.value.offset) == ("some.cpb", offset)


def test_paths_do_not_nest_without_end() -> None:
    # NodeDef -> attr -> func -> attr -> func …
    for steps in (60, 100_000):
        split = Split(NodeDef())
        split.add(AttrValue(i=1), *([ATTR, "f", 10] + [2, "f", 10] * steps))
        with pytest.raises(CorruptError, match="nested deeper than 100 messages"):
            merged(split.content(), NodeDef)
    split = Split(NodeDef())
    split.add(AttrValue().func, ATTR, "f", 10, *[2, "f", 10] * 40)
    assert merged(split.content(), NodeDef).SerializeToString()


def test_trees_do_not_nest_without_end() -> None:
    # What protobuf itself refuses to decode, and what it still takes.
    for depth in (40, 10_000):
        message = b""
        for _ in range(depth):
            field = b"\x12" + encode_length(message) + message
            message = b"\x12" + encode_length(field) + field
        writer = RiegeliWriter()
        writer.records([b"\x1a" + encode_length(message) + message])
        with suppress(CorruptError):
            assert merged(bytes(writer.out)) == GraphDef()


def encode_length(data: bytes) -> bytes:
    size, out = len(data), b""
    while size > 0x7F:
        out += bytes([size & 0x7F | 0x80])
        size >>= 7
    return out + bytes([size])


def test_a_small_file_does_not_become_a_large_message() -> None:
    split = Split(GraphDef(node=[constant(str(i), b"") for i in range(8)]))
    for i in range(8):
        split.add(bytes(1_000_000), NODE, (i,), ATTR, "value", TENSOR, CONTENT)
    content = split.content("brotli")
    assert len(content) < 10_000
    assert merged(content).ByteSize() > 8_000_000
    assert merged(content, limits=Limits(max_bytes=8_100_000))
    with pytest.raises(LimitError, match=r"some\.cpb: bytes of a split proto") as caught:
        merged(content, limits=Limits(max_bytes=4_000_000))
    assert 4_000_000 < caught.value.asked < 6_000_000


def test_many_parts_in_one_chunk_take_linear_time() -> None:
    # Each part finds the headers of its chunk verified: one by one, this would take a minute.
    names = [b"%050d" % i for i in range(20_000)]
    split = Split(NodeDef())
    for i, name in enumerate(names):
        split.add(name, 3, (i,))
    content = split.content(in_chunk=30_000)
    start = time.perf_counter()
    assert [name.encode() for name in merged(content, NodeDef).input] == names
    assert time.perf_counter() - start < 5


def test_files_that_are_not_split_protos_are_refused() -> None:
    writer = RiegeliWriter()
    writer.records([SavedModel(saved_model_schema_version=1).SerializeToString()])
    with pytest.raises(CorruptError, match="the last record is not the metadata of a split proto"):
        merged(bytes(writer.out), SavedModel)
    with pytest.raises(CorruptError, match="no records"):
        merged(bytes(RiegeliWriter().out))
    with pytest.raises(CorruptError, match="not a Riegeli/records file"):
        merged(SavedModel(saved_model_schema_version=1).SerializeToString() + bytes(64))
    writer.records([b"\xff"])
    with pytest.raises(CorruptError, match=r"not a tensorflow\.proto_splitter\.ChunkMetadata message"):
        merged(bytes(writer.out))


def test_a_later_version_is_unsupported() -> None:
    content = hostile(lambda metadata: setattr(metadata.version, "join_version", 1))
    with pytest.raises(UnsupportedError, match=r"some\.cpb: split proto: got join version 1, want 0"):
        merged(content)


# TensorFlow itself


@pytest.mark.tensorflow
@pytest.mark.parametrize("compression", ["none", "brotli", "zstd", "snappy"])
@pytest.mark.parametrize("in_chunk", [1, 3])
def test_a_split_saved_model_that_tensorflow_reads(
    tensorflow: ModuleType, tmp_path: Path, compression: str, in_chunk: int
) -> None:
    """TensorFlow of PyPI has no writer of these files and loads none, but it takes their fingerprint.

    For that it reads each part by its position and verifies its hash, as the damage shows.
    """
    from tensorflow.python.saved_model.pywrap_saved_model import fingerprinting

    tf = tensorflow
    from tensorflow.core.protobuf.fingerprint_pb2 import FingerprintDef

    class Module(tf.Module):
        def __init__(self) -> None:
            self.weights = tf.Variable(tf.range(6.0), name="weights")

        @tf.function(input_signature=[tf.TensorSpec([6], tf.float32)])
        def __call__(self, x: object) -> object:
            return {"sum": self.weights + x + tf.constant(list(range(20_000)), tf.float32)[:6]}

    module = Module()
    tf.saved_model.save(module, str(tmp_path), signatures=module.__call__)
    whole = tmp_path / "saved_model.pb"
    model = SavedModel.FromString(whole.read_bytes())
    original = copy.deepcopy(model)
    wanted = tf.saved_model.experimental.read_fingerprint(str(tmp_path))

    split = split_saved_model(model)
    assert len(split.parts) > 5
    content = split.content(compression, in_chunk)
    path = tmp_path / "saved_model.cpb"
    path.write_bytes(content)
    whole.unlink()

    assert SplitProto(MappedFile(str(path))).merge(SavedModel) == original
    found = FingerprintDef.FromString(fingerprinting.CreateFingerprintDef(str(tmp_path)))
    assert found.checkpoint_hash == wanted.checkpoint_hash

    _, *chunks = RiegeliFile(MappedFile(str(path))).chunks()  # without the signature
    for chunk in chunks:
        damaged = bytearray(content)
        damaged[chunk.end - 1] ^= 1
        path.write_bytes(damaged)
        with pytest.raises(ChecksumError) as ours:
            SplitProto(MappedFile(str(path))).merge(SavedModel)
        with pytest.raises(fingerprinting.FingerprintException) as theirs:
            fingerprinting.CreateFingerprintDef(str(tmp_path))
        error = ours.value
        assert f"computed 0x{error.computed:016x}, stored 0x{error.stored:016x}" in str(theirs.value)


# Files recognised by their content


@pytest.mark.parametrize("name", ["graph.cpb", "anything"])
def test_a_split_graph_opens_as_a_graph(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(split_example().content("zstd"))
    assert ckptfmt.read_graph(path).message == example()
    with pytest.raises(UnsupportedError, match=r"a GraphDef .*, not a MetaGraphDef: ckptfmt\.read_graph"):
        ckptfmt.read_meta_graph(path)


def test_a_split_saved_model_opens_as_a_graph(tmp_path: Path) -> None:
    model = SavedModel(saved_model_schema_version=1)
    model.meta_graphs.add().graph_def.CopyFrom(example())
    model.meta_graphs[0].meta_info_def.tags.append("serve")
    original = copy.deepcopy(model)
    (tmp_path / "saved_model.cpb").write_bytes(split_saved_model(model).content("brotli"))
    assert ckptfmt.read_graph(tmp_path).message == original.meta_graphs[0].graph_def
    assert ckptfmt.read_graph(tmp_path / "saved_model.cpb", tags=["serve"]).message == example()
    assert ckptfmt.read_meta_graph(tmp_path).message == original.meta_graphs[0]
    assert ckptfmt.open_saved_model(tmp_path).message == original


def test_a_split_message_of_another_kind_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.cpb"
    path.write_bytes(Split(ChunkInfo(size=3)).content())
    with pytest.raises(CorruptError, match="an unknown kind of file, not a"):
        ckptfmt.read_graph(path)
