"""SavedModels: the contents of the directory, and the tensor of the checkpoint for each variable."""

from __future__ import annotations

import copy
import pickle
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ckptfmt
from ckptfmt.errors import CkptfmtError, CorruptError, GraphError, NameNotFoundError, PathNotFoundError
from ckptfmt.graph.meta.variables import Source
from ckptfmt.graph.ops import VARIABLE_OPS
from ckptfmt.proto import keras_metadata, messages
from ckptfmt.saved_model.structured import NamedValues, TensorSpec, TypeSpec, decode_value
from ckptfmt.saved_model.variables import ModelVariables
from tests.support.corpus import CORPUS
from tests.support.corpus import entries as corpus_entries


def write(folder: Path, *metas: messages.MetaGraphDef) -> Path:
    model = messages.SavedModel(saved_model_schema_version=1, meta_graphs=metas)
    (folder / "saved_model.pb").write_bytes(model.SerializeToString())
    return folder


def meta_graph(*tags: str) -> messages.MetaGraphDef:
    meta = messages.MetaGraphDef()
    meta.graph_def.node.add(name="x", op="Placeholder")
    meta.graph_def.versions.producer = 24
    meta.meta_info_def.tags.extend(tags)
    return meta


@pytest.mark.parametrize("entry", corpus_entries("saved_model"))
def test_every_variable_of_the_corpus_is_found_in_its_checkpoint(entry: dict[str, Any]) -> None:
    try:
        model = ckptfmt.open_saved_model(CORPUS / entry["path"])
    except CkptfmtError as error:
        pytest.skip(str(error))
    for meta in model.meta_graphs:
        with ckptfmt.open_saved_model(CORPUS / entry["path"], tags=meta.tags) as chosen:
            check_variables(chosen)
            assert list(chosen.functions) == sorted(meta.message.object_graph_def.concrete_functions)
            assert all(Path(asset.path).is_file() == asset.exists for asset in chosen.assets.values())
            assert {asset.filename for asset in meta.assets} <= set(chosen.assets)


def check_variables(model: ckptfmt.SavedModel) -> None:
    if model.checkpoint is None:
        return
    nodes = {n.name: n for n in model.meta_graph.message.graph_def.node if n.op in VARIABLE_OPS}
    entries = model.checkpoint.entries
    for name, source in model.variables.sources.items():
        entry, node = entries[source.name], nodes[name]
        assert entry.dtype.code == node.attr["dtype"].type % 100
        sizes = [dim.size for dim in node.attr["shape"].shape.dim]
        got = entry.shape if source.region is None else [stop - start for start, stop in source.region]
        assert list(got) == sizes or node.op == "Variable"
    objects = model.object_variables
    for variable in objects:
        if variable.key is None:
            continue  # not saved: a metric, or a variable that was made untracked
        entry = entries[variable.key]
        assert entry.dtype == variable.dtype
        assert variable.shape is not None
        assert all(size in (None, got) for size, got in zip(variable.shape, entry.shape, strict=True))
    # The graph's Saver and the objects agree.
    restored = {source.name for source in model.variables.sources.values()}
    if objects:
        assert {variable.key for variable in objects if variable.key is not None} == {
            key for key in restored if key.endswith("VARIABLE_VALUE")
        }
    for name in list(model.variables)[:5]:
        assert model.variables[name].dtype == entries[model.variables.sources[name].name].dtype.numpy


def test_meta_graphs_are_chosen_by_all_their_tags(tmp_path: Path) -> None:
    write(tmp_path, meta_graph("serve"), meta_graph("serve", "gpu"))
    model = ckptfmt.open_saved_model(tmp_path)
    assert [meta.tags for meta in model.meta_graphs] == [{"serve"}, {"serve", "gpu"}]
    with pytest.raises(GraphError, match="serve; gpu, serve"):
        model.signatures  # noqa: B018
    assert ckptfmt.open_saved_model(tmp_path / "saved_model.pb", tags="serve").meta_graph.tags == {"serve"}
    with pytest.raises(GraphError, match="got the tags gpu"):
        ckptfmt.open_saved_model(tmp_path, tags=["gpu"])


def test_the_error_for_a_directory_without_a_model_lists_the_files_tried(tmp_path: Path) -> None:
    with pytest.raises(PathNotFoundError, match=r"saved_model\.cpb") as caught:
        ckptfmt.open_saved_model(tmp_path)
    assert len(caught.value.tried) == 3
    (tmp_path / "saved_model.pbtxt").write_text("nonsense {")
    with pytest.raises(CorruptError):
        ckptfmt.open_saved_model(tmp_path)


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "/etc/passwd", "a/../../b", "..", "", "C:\\x", "..\\x", "\\x", "a\x00b"]
)
def test_assets_stay_within_their_directory(tmp_path: Path, name: str) -> None:
    meta = meta_graph("serve")
    meta.asset_file_def.add(filename=name)
    with pytest.raises(CorruptError, match="leads out of the model"):
        ckptfmt.open_saved_model(write(tmp_path, meta)).assets  # noqa: B018


def test_assets_are_listed_with_their_paths(tmp_path: Path) -> None:
    meta = meta_graph("serve")
    for name in ("vocab.txt", "sub/words"):
        meta.asset_file_def.add(filename=name).tensor_info.name = f"{name}:0"
    (tmp_path / "assets").mkdir()
    (tmp_path / "assets" / "vocab.txt").touch()
    (tmp_path / "assets.extra" / "deep").mkdir(parents=True)
    (tmp_path / "assets.extra" / "deep" / "mine").touch()
    model = ckptfmt.open_saved_model(write(tmp_path, meta))
    assert [(a.filename, a.tensor, a.exists) for a in model.assets.values()] == [
        ("vocab.txt", "vocab.txt:0", True),
        ("sub/words", "sub/words:0", False),
    ]
    assert list(model.assets_extra) == ["deep/mine"]
    with pytest.raises(
        NameNotFoundError, match=r"no asset named 'vocab'; did you mean 'vocab\.txt'\?$"
    ) as caught:
        model.assets["vocab"]
    assert (caught.value.file, isinstance(caught.value, KeyError)) == (model.file, True)
    assert ("vocab" in model.assets, model.assets.get("vocab"), "vocab.txt" in model.assets) == (
        *(False, None),
        True,
    )
    for same in (pickle.loads(pickle.dumps(model.assets)), copy.copy(model.assets)):
        assert same == model.assets == dict(model.assets)
        with pytest.raises(NameNotFoundError, match=re.escape(model.file)):
            same["vocab"]
    assert model.checkpoint is None
    assert model.fingerprint is None
    assert model.keras_layers == ()
    assert dict(model.variables) == {}


def test_fingerprints_and_layers_are_data(tmp_path: Path) -> None:
    write(tmp_path, meta_graph("serve"))
    fingerprint = messages.FingerprintDef(saved_model_checksum=1 << 63, checkpoint_hash=5, uuid="7")
    (tmp_path / "fingerprint.pb").write_bytes(fingerprint.SerializeToString())
    layers = keras_metadata.SavedMetadata()
    layers.nodes.add(
        node_id=3,
        node_path="root.layer-0",
        identifier="_tf_keras_layer",
        metadata='{"class_name": "Dense", "config": {"units": 4}}',
    )
    (tmp_path / "keras_metadata.pb").write_bytes(layers.SerializeToString())
    model = ckptfmt.open_saved_model(tmp_path)
    assert model.fingerprint is not None
    assert (model.fingerprint.saved_model_checksum, model.fingerprint.uuid) == (1 << 63, "7")
    (layer,) = model.keras_layers
    assert (layer.node, layer.class_name, layer.config) == (3, "Dense", {"units": 4})
    layers.nodes[0].metadata = "{"
    (tmp_path / "keras_metadata.pb").write_bytes(layers.SerializeToString())
    with pytest.raises(CorruptError, match="not JSON"):
        model.keras_layers  # noqa: B018


def test_structured_values_are_python_values() -> None:
    value = messages.StructuredValue()
    fields = value.dict_value.fields
    fields["none"].none_value.SetInParent()
    fields["int"].int64_value = -3
    fields["shape"].tensor_shape_value.dim.add(size=-1)
    fields["dtype"].tensor_dtype_value = 1
    spec = fields["spec"].tensor_spec_value
    spec.name, spec.dtype = "x", 9
    fields["type"].type_spec_value.type_spec_class_name = "RaggedTensorSpec"
    fields["type"].type_spec_value.type_state.string_value = "s"
    fields["list"].list_value.values.add().bool_value = True
    fields["tuple"].tuple_value.values.add().float64_value = 0.5
    fields["named"].named_tuple_value.name = "P"
    fields["named"].named_tuple_value.values.add(key="a").value.int64_value = 1
    fields["array"].numpy_value.CopyFrom(ckptfmt.to_proto([1, 2]))
    got = decode_value(value)
    np.testing.assert_array_equal(got.pop("array"), [1, 2])
    assert got == {
        "none": None,
        "int": -3,
        "shape": (None,),
        "dtype": "float32",
        "spec": TensorSpec("x", ckptfmt.DTYPES[9], ()),
        "type": TypeSpec("RaggedTensorSpec", "s"),
        "list": [True],
        "tuple": (0.5,),
        "named": NamedValues("P", {"a": 1}),
    }
    deep = messages.StructuredValue()
    inner = deep
    for _ in range(101):
        inner = inner.list_value.values.add()
    with pytest.raises(CorruptError, match="nested"):
        decode_value(deep)


@pytest.mark.tensorflow
def test_objects_of_the_same_name_are_told_apart(tmp_path: Path) -> None:
    tf = pytest.importorskip("tensorflow", reason="compares with TensorFlow, which is not installed")

    class Model(tf.Module):  # type: ignore[misc,name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.parts = [tf.Variable([float(i)], name="same") for i in range(3)]

        @tf.function(input_signature=[tf.TensorSpec([1], tf.float32)])
        def __call__(self, x: Any) -> Any:
            return x + tf.add_n(self.parts)

    tf.saved_model.save(Model(), str(tmp_path))
    with ckptfmt.open_saved_model(tmp_path) as model:
        assert {variable.name for variable in model.object_variables} == {"same"}
        assert model.checkpoint is not None
        by_key = {v.key: model.checkpoint[v.key].tolist() for v in model.object_variables if v.key}
        assert by_key == {f"parts/{i}/.ATTRIBUTES/VARIABLE_VALUE": [float(i)] for i in range(3)}
        assert sorted(array.tolist() for array in model.variables.values()) == [[0.0], [1.0], [2.0]]
        (function,) = (
            f for f in model.functions.values() if len(f.captures) == 3 and "signature" not in f.name
        )
        assert function.arguments[0][0].dtype == "float32"
        assert model.fingerprint is not None


def test_names_of_nothing_are_errors_with_close_names(tmp_path: Path) -> None:
    meta = meta_graph("serve")
    meta.collection_def["table_initializer"].node_list.value.append("n")
    meta.object_graph_def.concrete_functions["__inference_call_7"].SetInParent()
    model = ckptfmt.open_saved_model(write(tmp_path, meta))
    for mapping, name, close in (
        (model.meta_graph.collections, "table_initialiser", "table_initializer"),
        (model.functions, "__inference_call", "__inference_call_7"),
        (ModelVariables({"kernel": Source("kernel", None)}, None, model.file), "kernal", "kernel"),
    ):
        with pytest.raises(NameNotFoundError, match=rf"{name}'; did you mean '{close}'\?$") as caught:
            mapping[name]  # type: ignore[index]
        assert caught.value.file == model.file
