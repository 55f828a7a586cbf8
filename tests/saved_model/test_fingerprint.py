"""Fingerprints of SavedModels, against those that TensorFlow computes of the same files."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import ckptfmt
from ckptfmt.proto.messages import DataType, NodeDef, SavedModel
from ckptfmt.saved_model.deterministic import serialize_deterministic
from ckptfmt.saved_model.fingerprint import (
    Fingerprint,
    compute_fingerprint,
    decode_fingerprint,
    encode_fingerprint,
)
from ckptfmt.wire.farmhash import fingerprint64, fingerprint_cat64
from tests.support.corpus import CORPUS, corpus_path
from tests.support.corpus import entries as corpus_entries
from tests.support.golden import GOLDEN
from tests.support.graph_messages import UNKNOWN_FIELDS

HASHES = Fingerprint._fields[:5]


def read_model(folder: Path) -> tuple[SavedModel, bytes | None]:
    index = folder / "variables" / "variables.index"
    model = SavedModel.FromString((folder / "saved_model.pb").read_bytes())
    return model, index.read_bytes() if index.exists() else None


def stored(folder: Path) -> Fingerprint:
    path = folder / "fingerprint.pb"
    return decode_fingerprint(path.read_bytes(), str(path))


def created_by_tensorflow(folder: Path) -> Fingerprint | None:
    """Return what TensorFlow computes of the files in a folder; None if it refuses."""
    fingerprinting = import_module("tensorflow.python.saved_model.pywrap_saved_model.fingerprinting")
    try:
        return decode_fingerprint(fingerprinting.CreateFingerprintDef(str(folder)), str(folder))
    except fingerprinting.FingerprintException:
        return None


def computed(folder: Path, uuid: str = "1") -> Fingerprint:
    fingerprint = compute_fingerprint(*read_model(folder), uuid=uuid)
    assert fingerprint is not None
    return fingerprint


def test_the_fingerprint_of_a_model_that_tensorflow_saved_is_reproduced() -> None:
    folder = GOLDEN / "saved_model" / "model"
    want = stored(folder)
    assert computed(folder, want.uuid) == want
    assert encode_fingerprint(want) == (folder / "fingerprint.pb").read_bytes()


# Two fields have changed their meaning: the checksum was that of the graph alone at first, and the names of
# signatures were not hashed. The checksum of serving_hp2_tf2 is that of the bytes of its file, with maps in
# another order; TensorFlow 2.21 sorts them.
@pytest.mark.corpus
@pytest.mark.parametrize(
    ("name", "producer", "other"),
    [
        ("serving_hp2_tf2", 1, {"saved_model_checksum"}),
        ("cartpole_policy", 1, {"signature_def_hash"}),
        ("tfnet_lstm", 1, {"signature_def_hash"}),
        ("tfnet_pyfunc", 0, {"saved_model_checksum", "signature_def_hash"}),
    ],
)
def test_stored_fingerprints_of_older_versions(name: str, producer: int, other: set[str]) -> None:
    folder = corpus_path(name)
    got, want = computed(folder), stored(folder)
    assert want.producer == producer
    assert {field for field in HASHES if getattr(got, field) != getattr(want, field)} == other
    meta_graph = read_model(folder)[0].meta_graphs[0]
    if "signature_def_hash" in other:
        without_names = 0
        for _, signature in sorted(meta_graph.signature_def.items()):
            hashed = fingerprint64(serialize_deterministic(signature))
            without_names = fingerprint_cat64(without_names, hashed)
        assert want.signature_def_hash == without_names
    if name == "serving_hp2_tf2":
        assert want.saved_model_checksum == fingerprint64((folder / "saved_model.pb").read_bytes())
    if producer == 0:
        assert want.saved_model_checksum == fingerprint64(serialize_deterministic(meta_graph.graph_def))


@pytest.mark.tensorflow
@pytest.mark.parametrize("entry", corpus_entries("saved_model"))
def test_tensorflow_computes_the_same_for_the_corpus(entry: dict[str, Any], tensorflow: ModuleType) -> None:
    folder = CORPUS / entry["path"]
    if not (folder / "saved_model.pb").exists():
        pytest.skip("the model is not in a binary file")
    want = created_by_tensorflow(folder)
    assert want is not None
    assert computed(folder, want.uuid) == want


@pytest.fixture(scope="module")
def saved(tensorflow: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with functions that call each other, texts, and names that begin with other names."""
    tf = tensorflow
    model = tf.Module()
    model.v = tf.Variable([1.0, 2.0])
    model.table = tf.lookup.StaticHashTable(
        tf.lookup.KeyValueTensorInitializer(tf.constant(["a", "ab"]), tf.constant([1, 2], tf.int64)), 0
    )

    @tf.function(  # type: ignore[untyped-decorator]
        input_signature=[tf.TensorSpec([None]), tf.TensorSpec([None], tf.string)]
    )
    def lookup(x: Any, x_name: Any) -> dict[str, Any]:
        return {"y": x * tf.reduce_sum(model.v), "y_2": model.table.lookup(x_name), "y_10": x + 1.0}

    model.lookup = lookup
    folder = tmp_path_factory.mktemp("saved")
    tf.saved_model.save(model, str(folder), signatures={"serving_default": lookup, "serving": lookup})
    return folder


@pytest.mark.tensorflow
def test_tensorflow_reads_our_fingerprint_as_its_own(
    saved: Path, tensorflow: ModuleType, tmp_path: Path
) -> None:
    read = tensorflow.saved_model.experimental.read_fingerprint
    own, ours = read(str(saved)), computed(saved)
    assert [getattr(own, field) for field in HASHES] == list(ours[:5])
    (tmp_path / "fingerprint.pb").write_bytes(encode_fingerprint(ours))
    assert read(str(tmp_path)) == own
    assert read(str(tmp_path)).singleprint() == own.singleprint() == ours.singleprint()


@pytest.mark.tensorflow
def test_the_bytes_of_the_file_are_tensorflows(saved: Path) -> None:
    data = (saved / "fingerprint.pb").read_bytes()
    assert encode_fingerprint(computed(saved, stored(saved).uuid)) == data


# Names that are the beginning of others, and texts beyond ASCII.
NAMES = st.sampled_from(
    ["", "a", "ab", "abc", "b", "_x", "T", "é", "éz", "\U0001f600", "\uffee", "f_1", "f_10"]
)
FUNCTION_NAMES = st.builds(
    "{}{}".format,
    st.sampled_from(["__inference_f_", "f_", "", "a_b_", "f"]),
    st.one_of(
        st.integers(-3, 200),
        st.sampled_from(["007", "+5", "-0", " 6 ", "x", "", str(2**63 - 1), str(2**63), "1_2", "\u0663"]),
    ),
)


@st.composite
def models(draw: st.DrawFn) -> SavedModel:
    model = SavedModel(saved_model_schema_version=1)
    meta_graph = model.meta_graphs.add()
    graph = meta_graph.graph_def
    for number in range(draw(st.integers(0, 3))):
        node = graph.node.add(name=f"node{number}", op=draw(st.sampled_from(["Const", "NoOp", *CALLS])))
        fill(draw, node)
    if draw(st.booleans()):
        graph.versions.producer = 1395
    for _ in range(draw(st.integers(0, 2))):
        function = graph.library.function.add()
        function.signature.name = draw(FUNCTION_NAMES)
        for key in draw(st.lists(st.integers(0, 2**32 - 1) | st.integers(0, 3), max_size=4)):
            function.arg_attr[key].attr[draw(NAMES)].i = 5
            function.resource_arg_unique_id[key] = key
        for name in draw(st.lists(NAMES, max_size=5)):
            function.ret[name] = name
        fill(draw, function.node_def.add(name="inner", op="NoOp"))
    for name in draw(st.lists(NAMES, max_size=3)):
        signature = meta_graph.signature_def[name]
        for input_name in draw(st.lists(NAMES, max_size=4)):
            signature.inputs[input_name].name = input_name
    for name in draw(st.lists(FUNCTION_NAMES, max_size=4)):
        meta_graph.object_graph_def.concrete_functions[name].bound_inputs.append(len(name))
    for key in draw(st.lists(st.integers(0, 2**64 - 1), max_size=3)):
        graph.debug_info.frames_by_id[key].line = 3
    # Fields that the schema lacks, one of them because it is a number.
    graph.MergeFromString(draw(UNKNOWN_FIELDS) + draw(st.sampled_from([b"", b"\x10\x96\x01"])))
    if draw(st.booleans()):
        model.meta_graphs.add().graph_def.node.add(name="other")
    return model


CALLS = ("PartitionedCall", "StatefulPartitionedCall")


def fill(draw: st.DrawFn, node: NodeDef) -> None:
    """Give a node attributes, among them those that TensorFlow requires."""
    node.MergeFromString(draw(UNKNOWN_FIELDS))
    for key in draw(st.lists(NAMES, max_size=4)):
        node.attr[key].func.attr[draw(NAMES)].i = 1
        node.attr[key].func.attr[draw(NAMES)].list.func.add().attr["ab"].b = True
        node.attr[key].func.attr[draw(NAMES)].i = 1
    if node.op in CALLS:
        node.attr["f"].func.name = draw(FUNCTION_NAMES)
        if draw(st.booleans()):
            node.attr["config_proto"].s = draw(st.binary(max_size=5))
    elif node.op == "Const":
        node.attr["dtype"].type = draw(st.sampled_from([DataType.DT_STRING, DataType.DT_FLOAT]))
        node.attr["value"].tensor.dtype = node.attr["dtype"].type
        node.attr["value"].tensor.string_val.append(b"text")


@pytest.mark.tensorflow
@given(model=models(), index=st.none() | st.binary(max_size=200))
def test_tensorflow_computes_the_same_for_any_model(
    model: SavedModel, index: bytes | None, tmp_path_factory: pytest.TempPathFactory, tensorflow: ModuleType
) -> None:
    folder = tmp_path_factory.mktemp("model")
    (folder / "saved_model.pb").write_bytes(model.SerializeToString())
    if index is not None:
        (folder / "variables").mkdir()
        (folder / "variables" / "variables.index").write_bytes(index)
    want = created_by_tensorflow(folder)
    got = compute_fingerprint(model, index, uuid="" if want is None else want.uuid)
    if got is None and want is not None:
        # TensorFlow takes either of two functions of one number.
        names = model.meta_graphs[0].object_graph_def.concrete_functions
        numbers = [int(name.rpartition("_")[2]) for name in names]
        assert len(set(numbers)) < len(numbers)
    else:
        assert got == want


def test_two_functions_of_one_number_have_no_fingerprint() -> None:
    model = SavedModel()
    functions = model.meta_graphs.add().object_graph_def.concrete_functions
    functions["f_1"].SetInParent()
    assert compute_fingerprint(model, None) is not None
    functions["g_1"].SetInParent()
    assert compute_fingerprint(model, None) is None


def test_a_function_without_a_number_has_no_fingerprint() -> None:
    model = SavedModel()
    functions = model.meta_graphs.add().object_graph_def.concrete_functions
    functions["f_" + "0" * 5000 + "1"].SetInParent()
    assert compute_fingerprint(model, None) is not None
    functions["f"].SetInParent()
    assert compute_fingerprint(model, None) is None


def test_a_model_that_crashes_tensorflow_has_no_fingerprint() -> None:
    assert compute_fingerprint(SavedModel(), None) is None
    for node in (NodeDef(op="PartitionedCall"), NodeDef(op="Const")):
        model = SavedModel()
        model.meta_graphs.add().graph_def.node.append(node)
        assert compute_fingerprint(model, None) is None
    model.meta_graphs[0].graph_def.node[0].attr["dtype"].type = DataType.DT_STRING
    assert compute_fingerprint(model, None) is None


def test_a_model_with_groups_has_no_fingerprint() -> None:
    model = SavedModel()
    model.meta_graphs.add().graph_def.MergeFromString(b"\xfb\xff\xff\xff\x0f\xfc\xff\xff\xff\x0f")
    assert compute_fingerprint(model, None) is None


def test_the_model_stays_as_it_was() -> None:
    model, index = read_model(GOLDEN / "saved_model" / "model")
    before = model.SerializeToString(deterministic=True)
    compute_fingerprint(model, index)
    assert model.SerializeToString(deterministic=True) == before


def test_every_fingerprint_has_another_random_number() -> None:
    model, index = read_model(GOLDEN / "saved_model" / "model")
    numbers = set()
    for _ in range(20):
        fingerprint = compute_fingerprint(model, index)
        assert fingerprint is not None
        assert int(fingerprint.uuid) < 1 << 128
        numbers.add(fingerprint.uuid)
    assert len(numbers) == 20


def test_an_opened_model_says_its_singleprint() -> None:
    fingerprint = ckptfmt.open_saved_model(GOLDEN / "saved_model" / "model").fingerprint
    assert fingerprint is not None
    want = "/".join(str(getattr(fingerprint, field)) for field in HASHES[1:])
    assert fingerprint.singleprint() == want
