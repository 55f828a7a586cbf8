"""Message classes are usable, loaded late, and separate from those of other packages."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec

import pytest

from ckptfmt.proto import keras_metadata, messages, pool, proto_splitter


def run(program: str) -> None:
    """Run a program in a fresh interpreter, where nothing has been imported yet."""
    subprocess.run([sys.executable, "-W", "ignore", "-c", program], check=True, timeout=300)


def test_a_message_survives_the_wire() -> None:
    graph = messages.GraphDef()
    node = graph.node.add(name="w", op="Const")
    node.attr["value"].tensor.float_val.extend([1.0, 2.0])
    node.attr["dtype"].type = messages.DataType.DT_FLOAT
    again = messages.GraphDef.FromString(graph.SerializeToString())
    assert again == graph
    assert again.node[0].attr["value"].WhichOneof("value") == "tensor"
    assert again.node[0].attr["value"].tensor.float_val == [1.0, 2.0]


def test_full_names_are_those_of_tensorflow() -> None:
    assert messages.NodeDef.DESCRIPTOR.full_name == "tensorflow.NodeDef"
    assert proto_splitter.ChunkMetadata.DESCRIPTOR.full_name == "tensorflow.proto_splitter.ChunkMetadata"
    keras = "third_party.tensorflow.python.keras.protobuf.SavedMetadata"
    assert keras_metadata.SavedMetadata.DESCRIPTOR.full_name == keras


def test_packages_with_one_short_name_keep_their_messages_apart() -> None:
    names = {module.VersionDef.DESCRIPTOR.full_name for module in (messages, keras_metadata, proto_splitter)}
    assert len(names) == 3


def test_enums_map_names_and_numbers() -> None:
    assert messages.DataType.DT_BFLOAT16 == 14
    assert messages.DataType.Name(14) == "DT_BFLOAT16"
    assert messages.BundleHeaderProto.BIG == messages.BundleHeaderProto.Endianness.Value("BIG") == 1


def test_unknown_enum_numbers_and_fields_are_kept() -> None:
    data = messages.BundleEntryProto(dtype=999).SerializeToString() + b"\xfa\x01\x01x"
    entry = messages.BundleEntryProto.FromString(data)
    assert entry.dtype == 999
    assert entry.SerializeToString() == data


def test_nested_messages_are_attributes() -> None:
    reference = messages.TrackableObjectGraph.TrackableObject.ObjectReference(node_id=3, local_name="w")
    graph = messages.TrackableObjectGraph(nodes=[{"children": [reference]}])  # type: ignore[list-item]
    assert graph.nodes[0].children[0].local_name == "w"
    assert isinstance(graph.nodes[0], messages.TrackableObjectGraph.TrackableObject)


def test_well_known_messages_have_their_methods() -> None:
    info = messages.MetaGraphDef.MetaInfoDef()
    info.any_info.Pack(messages.AssetFileDef(filename="vocab.txt"))
    asset = messages.AssetFileDef()
    assert info.any_info.Unpack(asset)
    assert asset.filename == "vocab.txt"


def test_absent_and_zero_differ_if_the_schema_says_so() -> None:
    assert not proto_splitter.ChunkedMessage().HasField("chunk_index")
    assert proto_splitter.ChunkedMessage.FromString(b"\x08\x00").HasField("chunk_index")
    assert not messages.TensorSliceProto.Extent().HasField("length")


@pytest.mark.parametrize("module", [messages, keras_metadata, proto_splitter], ids=lambda m: m.__name__)
def test_dir_lists_what_can_be_imported(module: object) -> None:
    names = dir(module)
    assert "VersionDef" in names
    assert all(hasattr(module, name) for name in names)


def test_a_wrong_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match=r"'ckptfmt\.proto\.messages' has no attribute 'GraphDeff'"):
        _ = messages.GraphDeff  # type: ignore[attr-defined]
    with pytest.raises(ImportError, match="GraphDeff"):
        from ckptfmt.proto.messages import GraphDeff  # type: ignore[attr-defined]  # noqa: F401


def test_a_class_is_created_once() -> None:
    assert messages.GraphDef is messages.GraphDef
    assert type(messages.MetaGraphDef().graph_def) is messages.GraphDef


def test_the_default_pool_is_left_alone() -> None:
    run(
        "from google.protobuf import descriptor_pool\n"
        "from ckptfmt.proto.messages import GraphDef\n"
        "assert GraphDef().node.add().DESCRIPTOR.full_name == 'tensorflow.NodeDef'\n"
        "for name in 'tensorflow.GraphDef', 'tensorflow.proto_splitter.ChunkInfo':\n"
        "    try: descriptor_pool.Default().FindMessageTypeByName(name)\n"
        "    except KeyError: continue\n"
        "    raise SystemExit(name)\n"
    )


def test_importing_loads_neither_protobuf_nor_the_schema() -> None:
    run(
        "import sys\n"
        "import ckptfmt.proto\n"
        "from ckptfmt.proto import keras_metadata, messages, parse, pool, proto_splitter\n"
        "assert not hasattr(messages, '__wrapped__')\n"
        "assert not [name for name in sys.modules if name.startswith('google.protobuf')]\n"
        "messages.GraphDef\n"
        "assert 'google.protobuf.descriptor_pb2' in sys.modules\n"
    )


def test_threads_that_load_at_once_share_one_pool() -> None:
    run(
        "import sys; sys.setswitchinterval(1e-6)\n"
        "from concurrent.futures import ThreadPoolExecutor\n"
        "from ckptfmt.proto import messages\n"
        "with ThreadPoolExecutor(8) as threads:\n"
        "    classes = set(threads.map(lambda _: messages.GraphDef, range(64)))\n"
        "assert len(classes) == 1, classes\n"
    )


def test_the_classes_belong_to_the_pool() -> None:
    with ThreadPoolExecutor(2) as threads:
        found, here = threads.map(lambda _: pool.descriptor_pool(), range(2))
    assert found is here
    assert found.FindMessageTypeByName("tensorflow.GraphDef") is messages.GraphDef.DESCRIPTOR


PACKAGES_WITH_THE_SAME_NAMES = {
    "tensorflow": "from tensorflow.core.framework.graph_pb2 import GraphDef as Theirs",
    "tensorboard": "from tensorboard.compat.proto.graph_pb2 import GraphDef as Theirs",
}


@pytest.mark.tensorflow
@pytest.mark.parametrize("first", ["ours", "theirs"])
@pytest.mark.parametrize("package", PACKAGES_WITH_THE_SAME_NAMES)
def test_other_packages_with_these_messages_can_be_imported(package: str, first: str) -> None:
    if find_spec(package) is None:
        pytest.skip(f"{package} is not installed")
    ours = "from ckptfmt.proto.messages import GraphDef"
    imports = [ours, PACKAGES_WITH_THE_SAME_NAMES[package]]
    run(
        "\n".join(imports if first == "ours" else imports[::-1])
        + "\ntheirs = Theirs(); theirs.node.add(name='n', op='NoOp').attr['a'].i = 3\n"
        "ours = GraphDef.FromString(theirs.SerializeToString())\n"
        "assert ours.node[0].attr['a'].i == 3\n"
        "assert Theirs.FromString(ours.SerializeToString()) == theirs\n"
        "assert type(ours) is not type(theirs)\n"
    )
