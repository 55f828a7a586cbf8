"""The layers of Keras 2 in SavedModels of every age: their names, classes, configurations and weights."""

from __future__ import annotations

import json
import shutil
import time
import warnings
from collections.abc import Callable
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ckptfmt
from ckptfmt.errors import (
    CheckpointNotFoundError,
    CkptfmtError,
    CorruptError,
    GraphError,
    LimitError,
    NameNotFoundError,
)
from ckptfmt.proto import keras_metadata, messages
from ckptfmt.proto.parse import format_text
from ckptfmt.types import KerasLayer
from tests.support.corpus import CORPUS
from tests.support.corpus import entries as corpus_entries
from tests.support.keras_models import KerasModel, sequential
from tests.support.memory_filesystem import MemoryFilesystem

# --- the corpus --------------------------------------------------------------------------------------------

CLASSES: dict[str, dict[str, str | None]] = {
    # TensorFlow 1.15, 2.2, 2.3 and 2.4: the descriptions are in the objects.
    "flink_keras_2shard": {"aaa_input": "InputLayer", "aaa": "Dense", "bbb": "Dense"},
    "rossman_2shard": {"dense_10": "Dense", "batch_normalization_8": "BatchNormalization"},
    "tfx_keras": {"dense": "Dense", "transform_features_layer": "TensorFlowTransform>TransformFeaturesLayer"},
    "basic_pitch": {
        "conv2d_1": "Conv2D",
        "contours-reduced": "Conv2D",
        "reflection_pad1d": "ReflectionPad1D",
    },
    # Later ones: they are in keras_metadata.pb.
    "spam_keras": {"embedding": "Embedding", "dense_1": "Dense", "dropout": "Dropout"},
    "tfnet_lstm": {"lstm": "LSTM", "lstm_cell": "LSTMCell", "dense": "Dense"},
    "tfnet_pyfunc": {"transformer": "Transformer", "softmax": "Softmax"},
    "tfdf_adult_rf": {"cart_model": "CartModel"},
    # tf.saved_model.save of TensorFlow 2.10 and 2.12, which describes nothing.
    "recsys_string_table": {"embedding_7": None, "user_model_1": None, "dense_2": None},
    "cartpole_policy": {"dense": None, "dense_1": None},
}
"""Layers of the corpus and their classes, as the JSON in the files has them."""

needs_corpus = pytest.mark.skipif(not CORPUS.is_dir(), reason=f"no corpus at {CORPUS}; set CKPTFMT_CORPUS")


def parameters_of(layer: KerasLayer) -> int | None:
    """Return how many parameters a layer has by its configuration; None if that does not tell."""
    config: dict[str, Any] = dict(layer.config or {})
    axes: dict[str, int] = {}
    spec = layer.metadata.get("input_spec")
    if isinstance(spec, dict):
        axes = spec["config"]["axes"]
    inputs, bias = axes.get("-1", 0), bool(config.get("use_bias"))
    if layer.class_name == "Embedding":
        return int(config["input_dim"] * config["output_dim"])
    if layer.class_name == "Dense":
        return int(config["units"] * (inputs + bias))
    if layer.class_name == "Conv2D":
        return int(config["filters"] * (prod(items_of(config["kernel_size"])) * inputs + bias))
    if layer.class_name == "BatchNormalization":
        return int(sum(axes.values()) * (2 + config["scale"] + config["center"]))
    if layer.class_name in ("Dropout", "Concatenate", "InputLayer", "ReLU", "GlobalAveragePooling1D"):
        return 0
    return None


def items_of(value: Any) -> Any:
    """Return the items of a tuple, which later versions of Keras write as an object."""
    return value["items"] if isinstance(value, dict) else value


@pytest.mark.corpus
@needs_corpus
@pytest.mark.parametrize("name", CLASSES)
def test_layers_of_the_corpus_have_the_weights_that_their_configurations_give(name: str) -> None:
    with ckptfmt.open_saved_model(CORPUS / name) as model:
        layers = model.keras_layers
        classes = {layer.name: layer.class_name for layer in layers}
        assert CLASSES[name].items() <= classes.items()
        by_layer = {layer.name: dict(layer.weights) for layer in layers}
        for layer in layers:
            wanted = parameters_of(layer)
            got = sum(array.size for array in by_layer[layer.name].values())
            assert got == layer.parameters
            assert wanted in (None, got), layer
        assert (
            any(parameters_of(layer) for layer in layers)
            or not all(CLASSES[name].values())
            or len(layers) < 6
        )


@pytest.mark.corpus
@needs_corpus
def test_parameters_of_an_lstm_layer_are_those_of_its_four_gates() -> None:
    with ckptfmt.open_saved_model(CORPUS / "tfnet_lstm") as model:
        root, lstm, dense, cell = model.keras_layers[:4]
    units, inputs = 32, 3
    assert lstm.parameters == cell.parameters == 4 * units * (inputs + units + 1)
    assert root.parameters == 4 * units * (inputs + units + 1) + units + 1
    assert list(lstm.object_variables) == [f"lstm_cell/{name}" for name in cell.object_variables]
    assert list(cell.object_variables) == ["kernel", "recurrent_kernel", "bias"]
    assert list(root.object_variables) == [
        *(f"lstm/{name}" for name in lstm.object_variables),
        *("dense/kernel", "dense/bias"),
    ]
    assert repr(dense) == "<KerasLayer 'dense' Dense, 2 weights, 33 parameters>"


@pytest.mark.parametrize("entry", corpus_entries("saved_model"))
def test_every_model_of_the_corpus_lists_its_layers(entry: dict[str, Any]) -> None:
    try:
        model = ckptfmt.open_saved_model(CORPUS / entry["path"])
    except CkptfmtError as error:
        pytest.skip(str(error))
    with model:
        layers = model.keras_layers
        assert bool(layers) == (entry["name"] in CLASSES)
        assert len({layer.path for layer in layers}) == len(layers)
        assert all(layer.name and "\n" not in repr(layer) for layer in layers)


@pytest.mark.corpus
@needs_corpus
@pytest.mark.parametrize("name", ["spam_keras", "tfnet_lstm", "tfnet_pyfunc", "tfdf_adult_rf"])
def test_paths_are_those_that_keras_writes(name: str, tmp_path: Path) -> None:
    """Without the file of descriptions, the paths are worked out from the objects."""
    shutil.copytree(CORPUS / name, tmp_path / name)
    described = ckptfmt.open_saved_model(tmp_path / name).keras_layers
    (tmp_path / name / "keras_metadata.pb").unlink()
    bare = ckptfmt.open_saved_model(tmp_path / name).keras_layers
    assert [(layer.node, layer.path, layer.identifier) for layer in bare] == [
        (layer.node, layer.path, layer.identifier) for layer in described
    ]
    assert all((layer.class_name, layer.config, layer.metadata) == (None, None, {}) for layer in bare)


@pytest.mark.tensorflow
@pytest.mark.corpus
@needs_corpus
@pytest.mark.parametrize(
    "name",
    [
        *("flink_keras_2shard", "rossman_2shard", "spam_keras", "tfnet_lstm", "tfnet_pyfunc", "basic_pitch"),
    ],
)
def test_weights_of_the_corpus_are_those_that_tensorflow_restores(name: str, tmp_path: Path) -> None:
    tf = pytest.importorskip("tensorflow", reason="compares with TensorFlow, which is not installed")
    shutil.copytree(CORPUS / name, tmp_path / name)
    # Without Keras 2, TensorFlow does not know its optimizers, and fails to restore what they keep.
    message = messages.SavedModel()
    message.MergeFromString((CORPUS / name / "saved_model.pb").read_bytes())
    for node in message.meta_graphs[0].object_graph_def.nodes:
        del node.slot_variables[:]
    (tmp_path / name / "saved_model.pb").write_bytes(message.SerializeToString())
    restored = tf.saved_model.load(str(tmp_path / name))
    with ckptfmt.open_saved_model(CORPUS / name) as model:
        for layer in model.keras_layers:
            theirs = restored
            for edge in layer.path.split(".")[1:]:
                theirs = theirs[int(edge)] if edge.isdigit() else getattr(theirs, edge)
            if not hasattr(theirs, "variables"):
                continue  # Keras lists no weights for some layers
            wanted = [variable.numpy() for variable in theirs.variables]
            for got, want in zip(layer.weights.values(), wanted, strict=True):
                np.testing.assert_array_equal(got, want)


# --- Keras 2 -----------------------------------------------------------------------------------------------


def old_format(folder: Path) -> None:
    """Move the descriptions into the objects, where TensorFlow 2.4 has them."""
    model, described = messages.SavedModel(), keras_metadata.SavedMetadata()
    model.MergeFromString((folder / "saved_model.pb").read_bytes())
    described.MergeFromString((folder / "keras_metadata.pb").read_bytes())
    for node in described.nodes:
        model.meta_graphs[0].object_graph_def.nodes[node.node_id].user_object.metadata = node.metadata
    (folder / "saved_model.pb").write_bytes(model.SerializeToString())
    (folder / "keras_metadata.pb").unlink()


def stack(keras: Any, shape: tuple[int, ...], *layers: Any) -> Any:
    inputs = outputs = keras.Input(shape)
    for layer in layers:
        outputs = layer(outputs)
    return keras.Model(inputs, outputs)


def subclassed(keras: Any) -> Any:
    tf = pytest.importorskip("tensorflow")

    class Own(keras.layers.Layer):  # type: ignore[misc]
        def build(self, shape: Any) -> None:
            self.w = tf.Variable(np.ones((shape[-1], 3), np.float32))
            self._scale = tf.Variable(2.0, name="scale")
            self.k = self.add_weight(name="kern", shape=(2,), trainable=False)
            self.many = [tf.Variable([1.0]), tf.Variable([2.0])]

        def call(self, x: Any) -> Any:
            return x @ self.w

    class Net(keras.Model):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__(name="net")
            self.blocks = [keras.layers.Dense(3, name="same"), keras.layers.Dense(3, name="same")]
            self.own = Own(name="own")

        def call(self, x: Any) -> Any:
            for block in self.blocks:
                x = block(x)
            return self.own(x)

    net = Net()
    net(np.zeros((2, 3), np.float32))
    return net


def nested(keras: Any) -> Any:
    layers = keras.layers
    inner = keras.Sequential(
        [keras.Input((4,)), layers.Dense(3, name="d"), layers.BatchNormalization()], "in"
    )
    model = stack(keras, (4,), inner, layers.Dense(2, name="d"))
    model.compile(keras.optimizers.Adam(), "mse", metrics=["mae"])
    model.fit(np.zeros((4, 4)), np.zeros((4, 2)), verbose=0)
    return model


def recurrent(keras: Any) -> Any:
    layers = keras.layers
    both = layers.Bidirectional(layers.LSTM(2, return_sequences=True), name="both")
    return stack(
        keras, (5, 4), both, layers.RNN([layers.GRUCell(3, name="g"), layers.GRUCell(2)], name="rnn")
    )


def attention(keras: Any) -> Any:
    inputs = keras.Input((5, 4))
    return keras.Model(inputs, keras.layers.MultiHeadAttention(2, 3, name="att")(inputs, inputs))


NAMES: dict[str, tuple[Callable[[Any], Any], dict[str, list[str]]]] = {
    "nested": (
        nested,
        {
            "root": [
                *("in/d/kernel", "in/d/bias", "in/batch_normalization/gamma", "in/batch_normalization/beta"),
                *("in/batch_normalization/moving_mean", "in/batch_normalization/moving_variance"),
                *("d/kernel", "d/bias"),
            ],
            "root.keras_api.metrics.1": ["total", "count"],
        },
    ),
    "recurrent": (
        recurrent,
        {
            "root.layer_with_weights-0": [
                *(f"forward_lstm/lstm_cell/{name}" for name in ("kernel", "recurrent_kernel", "bias")),
                *(f"backward_lstm/lstm_cell/{name}" for name in ("kernel", "recurrent_kernel", "bias")),
            ],
            "root.layer_with_weights-1.cell.cells.0": ["kernel", "recurrent_kernel", "bias"],
        },
    ),
    "attention": (
        attention,
        {
            "root.layer_with_weights-0": [
                f"{part}/{name}"
                for part in ("query", "key", "value", "attention_output")
                for name in ("kernel", "bias")
            ]
        },
    ),
    "subclassed": (
        subclassed,
        {
            "root": [
                *("blocks/0/kernel", "blocks/0/bias", "blocks/1/kernel", "blocks/1/bias"),
                *("own/w", "own/scale", "own/many/0", "own/many/1", "own/kern"),
            ],
            "root.own": ["w", "scale", "many/0", "many/1", "kern"],
            "root.blocks.1": ["kernel", "bias"],
        },
    ),
}
"""Models, and names of weights as people write them who know the model."""


@pytest.mark.tensorflow
@pytest.mark.parametrize("case", NAMES)
def test_layers_that_keras_2_saves_have_its_weights_in_its_order(case: str, tmp_path: Path) -> None:
    keras = pytest.importorskip("tf_keras", reason="compares with Keras 2 (tf_keras), which is not installed")
    tf = pytest.importorskip("tensorflow")
    make, names = NAMES[case]
    keras.backend.clear_session()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = make(keras)
        for seed, variable in enumerate(theirs.weights):
            variable.assign(np.random.default_rng(seed).random(variable.shape))
        theirs.save(str(tmp_path / "model"), save_format="tf")
        tf.saved_model.save(theirs, str(tmp_path / "bare"))

    def check(folder: Path, *, is_described: bool) -> list[list[str]]:
        with ckptfmt.open_saved_model(folder) as model:
            layers = model.keras_layers
            for want in (theirs, *theirs._flatten_layers(include_self=False)):
                if not want.weights:
                    continue  # some input layers are not saved
                values = [weight.numpy() for weight in want.weights]
                same = [
                    layer
                    for layer in layers
                    if layer.name == want.name
                    and layer.class_name == (type(want).__name__ if is_described else None)
                    and len(layer.weights) == len(values)
                    and all(map(np.array_equal, layer.weights.values(), values))
                ]
                assert len(same) == 1, want.name
                assert same[0].parameters == want.count_params()
                assert [each.trainable for each in same[0].object_variables.values()] == [
                    each.trainable for each in want.weights
                ]
            by_path = {layer.path: list(layer.weights) for layer in layers}
            if is_described:
                assert {path: by_path[path] for path in names} == names
            return list(by_path.values())

    described = check(tmp_path / "model", is_described=True)
    check(tmp_path / "bare", is_described=False)
    old_format(tmp_path / "model")
    assert check(tmp_path / "model", is_described=True) == described


@pytest.mark.tensorflow
@pytest.mark.parametrize("how", ["export", "save"])
def test_models_of_keras_3_have_weights_but_no_layers(how: str, tmp_path: Path) -> None:
    tf = pytest.importorskip("tensorflow", reason="compares with TensorFlow, which is not installed")
    keras = pytest.importorskip("keras")
    if not keras.__version__.startswith("3."):
        pytest.skip("Keras 2 is installed as keras")
    theirs = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, name="d")])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if how == "export":
            theirs.export(str(tmp_path / "model"), verbose=False)
        else:
            tf.saved_model.save(theirs, str(tmp_path / "model"))
    with ckptfmt.open_saved_model(tmp_path / "model") as model:
        assert model.keras_layers == ()
        kernels = [each for each in model.object_variables if each.name.endswith("d/kernel")]
        assert kernels


# --- names and values --------------------------------------------------------------------------------------


def test_weights_are_named_within_their_layer_in_the_order_of_keras(tmp_path: Path) -> None:
    with ckptfmt.open_saved_model(sequential().write(tmp_path)) as model:
        weights = {layer.name: dict(layer.weights) for layer in model.keras_layers}
        assert {name: list(each) for name, each in weights.items()} == {
            "net": ["dense/kernel", "dense/bias", "lstm/lstm_cell/kernel"],
            "dense": ["kernel", "bias"],
            "lstm": ["lstm_cell/kernel"],
            "lstm_cell": ["kernel"],
        }
        np.testing.assert_array_equal(weights["dense"]["kernel"], [[0, 1, 2], [3, 4, 5]])
        np.testing.assert_array_equal(weights["net"]["lstm/lstm_cell/kernel"], np.arange(12).reshape(3, 4))
        net, dense, lstm, _ = model.keras_layers
        assert [net.path, dense.path, lstm.path] == ["root", "root.layer-0", "root.layer-1"]
        assert (dense.class_name, dense.config, dense.identifier) == (
            *("Dense", {"name": "dense"}),
            "_tf_keras_layer",
        )
        assert list(map(repr, (net, dense))) == [
            "<KerasLayer 'net' Sequential, 3 weights, 21 parameters>",
            "<KerasLayer 'dense' Dense, 2 weights, 9 parameters>",
        ]
        assert dense.weights.read(["bias"])["bias"].tolist() == [0, 1, 2]
        assert dense.object_variables["kernel"].shape == (2, 3)
        with pytest.raises(NameNotFoundError, match="no variable named 'kernle'; did you mean 'kernel'"):
            dense.weights["kernle"]


def test_the_age_of_a_model_changes_only_where_its_layers_are_described(tmp_path: Path) -> None:
    model = sequential()
    old = model.write(tmp_path / "old")
    (tmp_path / "text" / "variables").mkdir(parents=True)
    for path in (old / "variables").iterdir():
        shutil.copy(path, tmp_path / "text" / "variables")
    (tmp_path / "text" / "saved_model.pbtxt").write_text(format_text(model.message))
    described = model.descriptions()
    new = model.write(tmp_path / "new")
    (new / "keras_metadata.pb").write_bytes(described)

    def seen(folder: Path) -> list[tuple[Any, ...]]:
        with ckptfmt.open_saved_model(folder) as opened:
            return [
                (each.node, each.name, each.class_name, each.metadata, list(each.weights), each.parameters)
                for each in opened.keras_layers
            ]

    assert seen(old) == seen(new) == seen(tmp_path / "text")


def test_layers_without_descriptions_are_named_after_what_the_model_has_of_them(tmp_path: Path) -> None:
    model = KerasModel()
    for number, edge in enumerate(("traced", "scoped", "attribute"), 1):
        model.describe(model.object(0, edge), "")
        assert len(model.graph.nodes) == number + 1
    function = model.object(1, "call_and_return_all_conditional_losses")
    names = ["__inference_my_layer_1_layer_call_and_return_conditional_losses_7"]
    model.graph.nodes[function].function.concrete_functions.extend(names)
    model.variable(2, "kernel", "net/dense_1/kernel", [1])
    model.variable(3, "mean", "mean", [2])
    with ckptfmt.open_saved_model(model.write(tmp_path)) as opened:
        assert [(each.name, list(each.weights)) for each in opened.keras_layers] == [
            ("my_layer_1", []),
            ("dense_1", ["kernel"]),
            ("attribute", ["mean"]),
        ]
        assert repr(opened.keras_layers[1]) == "<KerasLayer 'dense_1', 1 weight, 1 parameter>"


def test_names_that_keras_repeats_are_told_apart(tmp_path: Path) -> None:
    model = KerasModel()
    net = model.describe(0, {"name": "net", "class_name": "Net"})
    layers = [model.layer(model.object(net, f"part{i}"), "block", "same") for i in range(2)]
    own = [model.variable(layer, "w", f"same/w_{i}", [i]) for i, layer in enumerate(layers)]
    unnamed = [model.variable(net, f"v{i}", "net/Variable", [i]) for i in range(2)]
    hidden = model.variable(model.object(net, "keras_api"), "x", "hidden", [5])
    model.list_weights(net, *own, *unnamed, hidden, own[0])
    with ckptfmt.open_saved_model(model.write(tmp_path)) as opened:
        assert {name: array.tolist() for name, array in opened.keras_layers[0].weights.items()} == {
            "part0/block/w": [0],
            "part1/block/w": [1],
            "v0": [0],
            "v1": [1],
            "hidden": [5],
        }


def test_names_of_damaged_edges_never_hide_a_weight(tmp_path: Path) -> None:
    model = KerasModel()
    model.describe(0, {"name": "net"})
    names = ["w", "net/variables/4", "net/variables/4_", "w", "w"]
    weights = [model.variable(0, "w", name, [i]) for i, name in enumerate(names)]
    model.list_weights(0, *weights)
    with ckptfmt.open_saved_model(model.write(tmp_path)) as opened:
        variables = opened.keras_layers[0].object_variables
        assert [each.node for each in variables.values()] == weights


def test_layers_without_a_checkpoint_are_listed_and_cannot_be_read(tmp_path: Path) -> None:
    sequential().write(tmp_path)
    shutil.rmtree(tmp_path / "variables")
    with ckptfmt.open_saved_model(tmp_path) as model:
        dense = model.keras_layers[1]
        assert (list(dense.weights), dense.parameters) == (["kernel", "bias"], 9)
        with pytest.raises(CheckpointNotFoundError):
            dense.weights["kernel"]


def test_layers_in_memory_are_read_and_shown_after_the_model_is_closed(tmp_path: Path) -> None:
    folder = sequential().write(tmp_path)
    files = {
        f"d/{path.relative_to(folder)}": path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }
    with ckptfmt.open_saved_model("d", fs=MemoryFilesystem(files)) as model:
        layers = model.keras_layers
        assert layers[1].weights["bias"].tolist() == [0, 1, 2]
        unread = model.keras_layers[2]
    assert repr(layers[1]) == "<KerasLayer 'dense' Dense, 2 weights, 9 parameters>"
    assert repr(unread).startswith("<KerasLayer 'lstm' LSTM")


def test_layers_of_a_model_that_was_never_read_are_shown_after_it_is_closed(tmp_path: Path) -> None:
    with ckptfmt.open_saved_model(sequential().write(tmp_path)) as model:
        assert model.checkpoint is not None
        layers = model.keras_layers
    assert all(repr(layer).startswith(f"<KerasLayer {layer.name!r}") for layer in layers)


def test_a_weight_that_the_checkpoint_lacks_is_not_listed(tmp_path: Path) -> None:
    model = sequential()
    bias = next(
        number for number, node in enumerate(model.graph.nodes) if node.variable.name.endswith("bias")
    )
    del model.stored.nodes[bias].attributes[:]
    with ckptfmt.open_saved_model(model.write(tmp_path)) as opened:
        dense = opened.keras_layers[1]
        assert (list(dense.weights), list(dense.object_variables)) == (["kernel"], ["kernel", "bias"])
        assert dense.object_variables["bias"].key is None


def test_layers_are_those_of_the_chosen_meta_graph(tmp_path: Path) -> None:
    model = sequential()
    model.message.meta_graphs.add().meta_info_def.tags.append("train")
    model.write(tmp_path / "one")
    assert len(ckptfmt.open_saved_model(tmp_path / "one", tags="serve").keras_layers) == 4
    assert ckptfmt.open_saved_model(tmp_path / "one", tags="train").keras_layers == ()
    model.message.meta_graphs[1].object_graph_def.nodes.add()
    with pytest.raises(GraphError, match="serve; train"):
        ckptfmt.open_saved_model(model.write(tmp_path / "two")).keras_layers  # noqa: B018


# --- damage ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_new", [False, True])
@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "not JSON"),
        ('{"name": "dense"', "not JSON"),
        ("[1]", "got JSON of type list, want an object"),
        ("7", "got JSON of type int, want an object"),
        ('{"units": ' + "1" * 5000 + "}", "not JSON"),
    ],
)
def test_damaged_descriptions_are_errors_that_name_the_layer(
    text: str, said: str, tmp_path: Path, *, is_new: bool
) -> None:
    model = sequential()
    model.describe(1, text)
    described = model.descriptions() if is_new else b""
    model.write(tmp_path)
    if is_new:
        (tmp_path / "keras_metadata.pb").write_bytes(described)
    path = "root.1" if is_new else "root.layer-0"
    with pytest.raises(CorruptError, match=f"layer '{path}': {said}") as caught:
        ckptfmt.open_saved_model(tmp_path).keras_layers  # noqa: B018
    assert caught.value.file == str(tmp_path / ("keras_metadata.pb" if is_new else "saved_model.pb"))


def test_layers_of_objects_that_do_not_exist_are_errors_when_weights_are_wanted(tmp_path: Path) -> None:
    model = sequential()
    described = keras_metadata.SavedMetadata()
    for number in (99, -1):
        described.nodes.add(node_id=number, node_path="root.gone", metadata='{"name": "gone"}')
    model.write(tmp_path)
    (tmp_path / "keras_metadata.pb").write_bytes(described.SerializeToString())
    for layer in ckptfmt.open_saved_model(tmp_path).keras_layers:
        assert repr(layer) == "<KerasLayer 'gone'>"
        with pytest.raises(CorruptError, match=rf"layer 'gone': got object {layer.node}, want one of 11"):
            layer.weights  # noqa: B018


def test_parts_of_descriptions_that_are_something_else_are_none(tmp_path: Path) -> None:
    model = KerasModel()
    model.describe(0, {"class_name": 5, "config": [], "name": None})
    model.describe(model.object(0, "a\nb"), {"class_name": "A\nB" * 99, "config": {"name": "c\x1b"}})
    first, second = ckptfmt.open_saved_model(model.write(tmp_path)).keras_layers
    assert (first.name, first.class_name, first.config) == ("root", None, None)
    assert second.name == "c\x1b"
    assert repr(second).startswith(r"<KerasLayer 'c\x1b' A\nBA\nB")
    assert len(repr(second)) < 300


@pytest.mark.parametrize("depth", [250, 300, 100_000])
def test_deep_descriptions_are_bounded(depth: int, tmp_path: Path) -> None:
    model = KerasModel()
    text = '{"a": "[[[\\"[", "b": ' + "[" * depth + "]" * depth + "}"
    model.describe(0, text)
    opened = ckptfmt.open_saved_model(model.write(tmp_path))
    if depth < 256:
        assert opened.keras_layers[0].metadata["a"] == '[[["['
    else:
        with pytest.raises(
            LimitError, match=f"layer 'root': JSON values in JSON values.* {depth + 1} exceeds"
        ) as caught:
            opened.keras_layers  # noqa: B018
        assert caught.value.file == str(tmp_path / "saved_model.pb")


def test_brackets_in_strings_of_descriptions_do_not_count(tmp_path: Path) -> None:
    model = KerasModel()
    model.describe(0, {"regex": "[{" * 500 + '"\\', "many": [[]] * 500})
    assert len(ckptfmt.open_saved_model(model.write(tmp_path)).keras_layers[0].metadata["many"]) == 500


def test_layers_deeper_than_the_limits_allow_are_refused(tmp_path: Path) -> None:
    model = KerasModel()
    above = 0
    for _ in range(300):
        above = model.object(above, "x")
    model.layer(above, "layer", "deep")
    with pytest.raises(LimitError, match="objects in objects above a Keras layer"):
        ckptfmt.open_saved_model(model.write(tmp_path)).keras_layers  # noqa: B018


def test_layers_that_share_one_list_of_weights_are_bounded(tmp_path: Path) -> None:
    """A file of a few hundred kilobytes with a list of many weights, which each of many layers has."""
    model = KerasModel()
    shared = model.object(0, "variables")
    for i in range(2000):
        model.variable(shared, str(i), f"v{i}", 0)
    for i in range(2000):
        model.link(model.layer(0, f"l{i}", f"l{i}"), "variables", shared)
    start = time.monotonic()
    with ckptfmt.open_saved_model(model.write(tmp_path)) as opened:
        layers = opened.keras_layers
        with pytest.raises(LimitError, match="names of weights of Keras layers"):
            [layer.object_variables for layer in layers]
    assert time.monotonic() - start < 30


def test_many_layers_that_search_the_same_objects_are_bounded_in_time(tmp_path: Path) -> None:
    model = KerasModel()
    shared = model.object(0, "shared")
    for i in range(5000):
        model.object(shared, f"o{i}")
    wanted = model.variable(0, "w", "w", 1)
    for i in range(500):
        number = model.layer(0, f"l{i}", f"l{i}")
        model.link(number, "shared", shared)
        model.list_weights(number, wanted)
    limits = ckptfmt.Limits(max_seconds=0.2)
    with ckptfmt.open_saved_model(model.write(tmp_path), limits=limits) as opened:
        layers = opened.keras_layers
        start = time.monotonic()
        with pytest.raises(LimitError, match="seconds to find the weights of Keras layers"):
            [layer.object_variables for layer in layers]
        assert time.monotonic() - start < 5


def test_a_file_of_many_empty_descriptions_is_refused(tmp_path: Path) -> None:
    sequential().write(tmp_path)
    (tmp_path / "keras_metadata.pb").write_bytes(b"\x0a\x00" * 200_000)
    with pytest.raises(LimitError, match="Keras layers"):
        ckptfmt.open_saved_model(tmp_path).keras_layers  # noqa: B018


def test_damaged_objects_give_weights_or_one_of_our_errors(tmp_path: Path) -> None:
    content = bytearray(sequential().message.SerializeToString())
    sequential().write(tmp_path)
    for at in range(len(content)):
        changed = bytearray(content)
        changed[at] ^= 0x15
        (tmp_path / "saved_model.pb").write_bytes(changed)
        try:
            with ckptfmt.open_saved_model(tmp_path) as model:
                for layer in model.keras_layers:
                    assert "\n" not in repr(layer)
                    assert all(array.size >= 0 for array in layer.weights.values())
                    json.dumps(layer.metadata)
        except CkptfmtError as error:
            assert error.file  # noqa: PT017
