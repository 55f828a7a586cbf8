"""Configurations of versions of Keras 2 that are not installed: from the corpus, and as they wrote them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ckptfmt
from ckptfmt.errors import UnsupportedError
from ckptfmt.keras.listed_variables import place_listed
from ckptfmt.keras.saved_models import saved_description
from ckptfmt.keras.structure import structure
from ckptfmt.keras.translate import translate
from ckptfmt.keras.weight_changes import FromCudnn
from ckptfmt.proto import messages
from tests.support.corpus import CORPUS
from tests.support.keras_models import sequential
from tests.support.keras_pairs import assert_same, build, keras_2

needs_corpus = pytest.mark.skipif(not CORPUS.is_dir(), reason=f"no corpus at {CORPUS}; set CKPTFMT_CORPUS")

# --- SavedModels of the corpus -----------------------------------------------------------------------------


@pytest.mark.tensorflow
@pytest.mark.corpus
@needs_corpus
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["flink_keras_2shard", "rossman_2shard", "spam_keras", "tfnet_lstm"])
def test_models_of_the_corpus_predict_the_same(name: str, tmp_path: Path) -> None:
    """Keras 2.2.4, 2.3, 2.8 and 2.12; the first two describe their layers in saved_model.pb."""
    tf = pytest.importorskip("tensorflow", reason="compares with TensorFlow, which is not installed")
    with ckptfmt.open_saved_model(CORPUS / name) as model:
        new = build(translate(saved_description(model)))
        new.set_weights(list(model.keras_layers[0].weights.values()))
    shutil.copytree(CORPUS / name, tmp_path / name)
    # Without Keras 2, TensorFlow does not know its optimizers, and fails to restore what they keep.
    message = messages.SavedModel()
    message.MergeFromString((CORPUS / name / "saved_model.pb").read_bytes())
    for node in message.meta_graphs[0].object_graph_def.nodes:
        del node.slot_variables[:]
    (tmp_path / name / "saved_model.pb").write_bytes(message.SerializeToString())
    signature = tf.saved_model.load(str(tmp_path / name)).signatures["serving_default"]
    ((key, spec),) = signature.structured_input_signature[1].items()
    shape = [2 if size is None else size for size in spec.shape]
    given = tf.constant(np.random.default_rng(0).integers(0, 9, shape).astype(spec.dtype.as_numpy_dtype))
    (want,) = signature(**{key: given}).values()
    assert_same(new(given, training=False), want, 1e-5)


@pytest.mark.corpus
@needs_corpus
@pytest.mark.parametrize(
    ("name", "layer", "class_name"),
    [
        ("basic_pitch", "cq_t2010v2_1", "CQT2010v2"),
        ("tfx_keras", "transform_features_layer", "TensorFlowTransform>TransformFeaturesLayer"),
        ("tfnet_pyfunc", "transformer", "Transformer"),
        ("tfdf_adult_rf", "", "CartModel"),
    ],
)
def test_classes_of_their_authors_are_named(name: str, layer: str, class_name: str) -> None:
    with ckptfmt.open_saved_model(CORPUS / name) as model:
        refused = translate(saved_description(model)).refused
    assert (layer, class_name) in {(each.layer, each.class_name) for each in refused}


def test_a_saved_model_without_descriptions_says_so(tmp_path: Path) -> None:
    model = sequential()
    model.descriptions()  # takes them out
    with (
        ckptfmt.open_saved_model(model.write(tmp_path)) as opened,
        pytest.raises(
            UnsupportedError, match=r"saved_model.pb: this SavedModel does not describe its layers"
        ),
    ):
        saved_description(opened)


# --- JSON as older versions wrote it -----------------------------------------------------------------------

VARIANCE = {
    "class_name": "VarianceScaling",
    "config": {"scale": 1.0, "mode": "fan_avg", "distribution": "normal", "seed": None},
}


def dense(name: str, units: int, **others: Any) -> dict[str, Any]:
    config = {
        "name": name,
        "trainable": True,
        "units": units,
        "activation": "relu",
        "use_bias": True,
        "kernel_initializer": VARIANCE,
        "bias_initializer": {"class_name": "Zeros", "config": {}},
        "kernel_regularizer": None,
        "bias_regularizer": None,
        "activity_regularizer": None,
        "kernel_constraint": None,
        "bias_constraint": None,
        **others,
    }
    return {"class_name": "Dense", "config": config}


def lstm(**others: Any) -> dict[str, Any]:
    config = {
        "name": "lstm_1",
        "trainable": True,
        "return_sequences": False,
        "go_backwards": False,
        "stateful": False,
        "unroll": False,
        "implementation": 1,
        "units": 2,
        "activation": "tanh",
        "recurrent_activation": "hard_sigmoid",
        "use_bias": True,
        "kernel_initializer": VARIANCE,
        "unit_forget_bias": True,
        "dropout": 0.0,
        "recurrent_dropout": 0.0,
        **others,
    }
    return {"class_name": "LSTM", "config": config}


@pytest.mark.tensorflow
@pytest.mark.filterwarnings("ignore")
def test_a_sequential_model_of_keras_2_1_is_a_list() -> None:
    layers = [dense("dense_1", 3, batch_input_shape=[None, 4], dtype="float32"), dense("dense_2", 2)]
    layers.append({"class_name": "LeakyReLU", "config": {"alpha": {"type": "ndarray", "value": 0.25}}})
    described = {
        "class_name": "Sequential",
        "config": layers,
        "keras_version": "2.1.6",
        "backend": "tensorflow",
    }
    new = build(translate(json.dumps(described)))
    weights = [np.arange(size, dtype=np.float32) - 3 for size in (12, 3, 6, 2)]
    new.set_weights(
        [each.reshape(shape) for each, shape in zip(weights, [(4, 3), 3, (3, 2), 2], strict=True)]
    )
    given = np.ones((1, 4), np.float32)
    hidden = np.maximum(given @ weights[0].reshape(4, 3) + weights[1], 0)
    want = np.maximum(hidden @ weights[2].reshape(3, 2) + weights[3], 0)
    assert_same(new(given), want, 1e-6)
    assert new.layers[-1].negative_slope == 0.25


@pytest.mark.tensorflow
@pytest.mark.filterwarnings("ignore")
def test_nested_lists_and_models_of_tensorflow_js_are_read() -> None:
    inner = {
        "class_name": "Sequential",
        "config": [dense("d", 3, batch_input_shape=[None, 4])],
        "name": "inner",
    }
    layers = [
        {
            "class_name": "InputLayer",
            "name": "input_1",
            "inbound_nodes": [],
            "config": {
                "batch_input_shape": [None, 4],
                "dtype": "float32",
                "sparse": False,
                "name": "input_1",
            },
        },
        {**inner, "inbound_nodes": [[["input_1", 0, 0, {}]]]},
        {**dense("out", 1), "name": "out", "inbound_nodes": [[["inner", 1, 0, {}]]]},
    ]
    config = {
        "name": "model_1",
        "layers": layers,
        "input_layers": [["input_1", 0, 0]],
        "output_layers": [["out", 0, 0]],
    }
    topology = {"keras_version": "2.1.6", "model_config": {"class_name": "Model", "config": config}}
    new = build(translate(topology))
    assert [each.shape for each in new.weights] == [(4, 3), (3,), (3, 1), (1,)]
    assert new(np.ones((2, 4), np.float32)).shape == (2, 1)


@pytest.mark.tensorflow
@pytest.mark.filterwarnings("ignore")
def test_lstm_layers_of_keras_2_1_predict_the_same() -> None:
    keras = keras_2()
    config = {"name": "s", "layers": [lstm(batch_input_shape=[None, 5, 3])]}
    old = keras.Sequential.from_config(json.loads(json.dumps(config)))
    translation = translate({"class_name": "Sequential", "config": config, "keras_version": "2.1.6"})
    new = build(translation)
    (change,) = translation.changes
    assert (change.layer, change.reason) == (
        "lstm_1",
        "hard_sigmoid of Keras 3 is flatter than that of Keras 2",
    )
    values = [np.random.default_rng(at).normal(size=each.shape) for at, each in enumerate(old.weights)]
    old.set_weights(values)
    names = ("kernel", "recurrent_kernel", "bias")
    new.set_weights([change.apply(name, value) for name, value in zip(names, values, strict=True)])
    given = np.random.default_rng(9).normal(size=(2, 5, 3)).astype(np.float32)
    assert_same(new(given), old(given), 2e-6)


@pytest.mark.tensorflow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("class_name", ["CuDNNLSTM", "CuDNNGRU"])
def test_cudnn_layers_become_those_that_keras_2_makes_of_them(class_name: str) -> None:
    keras = keras_2()
    from tf_keras.src.saving.legacy import hdf5_format

    config = {"name": "rnn", "units": 2, "return_sequences": True, "batch_input_shape": [None, 5, 3]}
    layer = {"class_name": class_name, "config": config}
    translation = translate({"class_name": "Sequential", "config": {"name": "s", "layers": [layer]}})
    (change,) = translation.changes
    assert isinstance(change, FromCudnn)
    gates = change.gates
    random = np.random.default_rng(0)
    shapes = {"kernel": (3, 2 * gates), "recurrent_kernel": (2, 2 * gates), "bias": (2 * 2 * gates,)}
    stored = {name: random.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    old = getattr(keras.layers, class_name.removeprefix("CuDNN"))(2, return_sequences=True)
    old.build((None, 5, 3))
    old.set_weights(hdf5_format.preprocess_weights_for_loading(old, list(stored.values())))
    new = build(translation)
    new.set_weights([change.apply(name, value) for name, value in stored.items()])
    for want, got in zip(old.get_weights(), new.get_weights(), strict=True):
        np.testing.assert_array_equal(got, want)
    given = random.normal(size=(2, 5, 3)).astype(np.float32)
    assert_same(new(given), old(given), 2e-6)


@pytest.mark.tensorflow
@pytest.mark.filterwarnings("ignore")
def test_gru_layers_without_the_argument_reset_before() -> None:
    config = {"name": "gru", "units": 2, "recurrent_activation": "sigmoid", "batch_input_shape": [None, 5, 3]}
    layer = {"class_name": "GRU", "config": config}
    new = build(translate({"class_name": "Sequential", "config": {"name": "s", "layers": [layer]}}))
    assert not new.layers[0].reset_after
    assert new.weights[2].shape == (6,)


@pytest.mark.tensorflow
@pytest.mark.filterwarnings("ignore")
def test_spectral_normalization_keeps_its_layer() -> None:
    """Beside Keras 3, tf_keras cannot make one."""
    config = {
        "name": "sn",
        "layer": dense("d", 2, activation="linear"),
        "power_iterations": 3,
        "batch_input_shape": [None, 4],
    }
    layer = {"class_name": "SpectralNormalization", "config": config}
    new = build(translate({"class_name": "Sequential", "config": {"name": "s", "layers": [layer]}}))
    assert new.layers[0].power_iterations == 3
    assert new.layers[0].layer.units == 2


def test_the_kernel_of_spectral_normalization_is_listed_once() -> None:
    inner = {"class_name": "Embedding", "config": {"name": "e", "input_dim": 3, "output_dim": 2}}
    for wrapped, listed in (
        (dense("d", 2), ["sn/kernel:0", "sn/bias:0", "sn/vector_u:0"]),
        (inner, ["sn/embeddings:0", "sn/vector_u:0"]),
    ):
        config = {"name": "sn", "layer": wrapped, "batch_input_shape": [None, 4]}
        layer = {"class_name": "SpectralNormalization", "config": config}
        model = {"class_name": "Sequential", "config": {"name": "s", "layers": [layer]}}
        placed = place_listed(structure(translate(model).config), {"sn": listed}).tensors
        path = "layers/spectral_normalization"
        assert placed[f"{path}/vars/0"] == placed[f"{path}/layer/vars/0"] == listed[0]
        assert placed[f"{path}/vars/1"] == "sn/vector_u:0"
        assert placed.get(f"{path}/layer/vars/1") == ("sn/bias:0" if len(listed) == 3 else None)


def test_the_generator_that_keras_2_chooses_by_default_is_no_remark() -> None:
    config = {"name": "flip", "rng_type": "stateful", "batch_input_shape": [None, 4, 4, 3]}
    for rng_type, dropped in (("stateful", []), ("stateless", [("flip", "rng_type", "stateless")])):
        layer = {"class_name": "RandomFlip", "config": {**config, "rng_type": rng_type}}
        translation = translate({"class_name": "Sequential", "config": {"name": "s", "layers": [layer]}})
        assert list(translation.dropped) == dropped


def test_time_major_layers_are_refused() -> None:
    layers = [lstm(batch_input_shape=[5, None, 3], time_major=True)]
    (refused,) = translate({"class_name": "Sequential", "config": {"name": "s", "layers": layers}}).refused
    assert refused == ("lstm_1", "LSTM", "has the argument time_major=True, which Keras 3 does not have")


def test_what_is_left_out_is_noted_if_it_is_not_the_default() -> None:
    normalization = {
        "class_name": "BatchNormalization",
        "config": {"name": "bn", "axis": [1], "virtual_batch_size": 2, "adjustment": None, "fused": False},
    }
    own = {"class_name": "OwnRegularizer", "config": {"x": 1}}
    layers = [
        dense("d", 2, batch_input_shape=[None, 4], kernel_regularizer=own, bias_constraint="own"),
        normalization,
    ]
    translation = translate({"class_name": "Sequential", "config": {"name": "s", "layers": layers}})
    assert [each[:2] for each in translation.dropped] == [
        *(("d", "kernel_regularizer"), ("d", "bias_constraint"), ("bn", "virtual_batch_size")),
    ]
    assert translation.dropped[0].value == own
    _, first, second = translation.config["config"]["layers"]
    assert (first["config"]["kernel_regularizer"], second["config"]["axis"]) == (None, 1)


# --- TensorFlow 2.0 to 2.3: operations of graphs ------------------------------------------------------------

OPERATIONS: dict[str, Any] = {
    "arithmetic": lambda tf, x, y, image: (x + 1) * y - 2 / (y + 9),
    "relu": lambda tf, x, y, image: tf.nn.relu(x) + tf.nn.leaky_relu(x, 0.1) + tf.nn.softmax(x),
    "mean": lambda tf, x, y, image: tf.reduce_mean(x, axis=1, keepdims=True) + tf.reduce_sum(x),
    "steps": lambda tf, x, y, image: x[:, 1:3, ::2],
    "last": lambda tf, x, y, image: x[:, -1],
    "new axis": lambda tf, x, y, image: x[:, tf.newaxis, ..., 2],
    "slice": lambda tf, x, y, image: tf.slice(x, [0, 0, 0], [-1, 2, 3]),
    "concat": lambda tf, x, y, image: tf.concat([x, y], -1),
    "stack": lambda tf, x, y, image: tf.stack([x, y], 1),
    "unstack": lambda tf, x, y, image: tf.unstack(x, axis=1) + tf.split(x, 2, 1) + tf.split(x, [1, 5], -1),
    "reshape": lambda tf, x, y, image: tf.reshape(x, [-1, 24]),
    "transpose": lambda tf, x, y, image: tf.transpose(x, [0, 2, 1]),
    "matmul": lambda tf, x, y, image: tf.matmul(x, y, transpose_b=True),
    "axes": lambda tf, x, y, image: tf.squeeze(tf.expand_dims(x, -1), -1),
    "cast": lambda tf, x, y, image: tf.cast(tf.cast(x, tf.int32), tf.float32),
    "pad": lambda tf, x, y, image: tf.pad(x, [[0, 0], [1, 1], [0, 0]]),
    "resize": lambda tf, x, y, image: tf.image.resize(image, (4, 4)),
    "pools": lambda tf, x, y, image: (
        tf.nn.max_pool2d(image, 2, 2, "SAME") + tf.nn.avg_pool2d(image, 2, 2, "SAME")
    ),
    "l2": lambda tf, x, y, image: tf.nn.l2_normalize(x, -1) + tf.math.squared_difference(x, y),
    "gather": lambda tf, x, y, image: tf.gather(x, [0, 2], axis=1),
    "clip": lambda tf, x, y, image: tf.clip_by_value(tf.tile(x, [1, 2, 1]), -1.0, 1.0),
    "one hot": lambda tf, x, y, image: tf.one_hot(tf.argmax(x, -1), 6),
    "add n": lambda tf, x, y, image: tf.add_n([x, y, tf.where(x > 0, x, y), tf.identity(x)]),
    "bias": lambda tf, x, y, image: tf.nn.bias_add(x, np.arange(6, dtype=np.float32)),
}


@pytest.mark.tensorflow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("case", OPERATIONS)
def test_operations_of_graphs_compute_the_same(case: str) -> None:
    tf = pytest.importorskip("tensorflow", reason="compares with TensorFlow, which is not installed")
    keras = keras_2()
    arrays = [
        np.random.default_rng(3).normal(size=(2, *size)).astype(np.float32)
        for size in [(4, 6), (4, 6), (8, 8, 3)]
    ]
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        inputs = [keras.Input(each.shape[1:], name=f"input{at}") for at, each in enumerate(arrays)]
        outputs = OPERATIONS[case](tf, *inputs)
        model = keras.Model(inputs, outputs)
        text = model.to_json()
        want = session.run(outputs, dict(zip(inputs, arrays, strict=True)))
    keras.backend.clear_session()
    assert "TensorFlowOpLayer" in text
    assert_same(build(translate(text))([tf.constant(each) for each in arrays]), want, 1e-5)


def test_other_operations_of_graphs_are_named() -> None:
    layer = {
        "class_name": "TensorFlowOpLayer",
        "config": {"name": "Own", "node_def": {"name": "Own", "op": "Own"}, "constants": {}},
        "name": "tf_op_layer_Own",
        "inbound_nodes": [[["x", 0, 0, {}]]],
    }
    entry = {"class_name": "InputLayer", "config": {"name": "x", "batch_input_shape": [None, 3]}, "name": "x"}
    ends = {"input_layers": [["x", 0, 0]], "output_layers": [["tf_op_layer_Own", 0, 0]]}
    config = {"name": "m", "layers": [{**entry, "inbound_nodes": []}, layer], **ends}
    (refused,) = translate({"class_name": "Model", "config": config}).refused
    assert refused.reason == "calls tf.raw_ops.Own, which has no counterpart in Keras 3"


# --- names -------------------------------------------------------------------------------------------------


@pytest.mark.tensorflow
@pytest.mark.filterwarnings("ignore")
def test_slashes_in_the_names_of_layers_become_underscores() -> None:
    keras = keras_2()
    keras.backend.clear_session()
    tensor = keras.Input((4,), name="in/x")
    hidden = keras.layers.Dense(3, name="block/dense")(tensor)
    other = keras.layers.Dense(3, name="block_dense")(tensor)
    inner = keras.Sequential([keras.layers.Dense(3, name="a/b", input_shape=(3,))], name="inner")
    model = keras.Model(tensor, inner(keras.layers.Add(name="sum")([hidden, other])))
    translation = translate(model.to_json())
    assert dict(translation.renamed) == {
        "in_x": "in/x",
        "block_dense_": "block/dense",
        "inner/a_b": "a/b",
        "inner/a_b_input": "a/b_input",
    }
    new = build(translation)
    new.set_weights(model.get_weights())
    given = np.ones((2, 4), np.float32)
    assert_same(new(given), model(given), 1e-6)


@pytest.mark.tensorflow
@pytest.mark.filterwarnings("ignore")
def test_layers_as_activations_are_built_with_their_weights() -> None:
    keras = keras_2()
    layers = keras.layers
    stack = [layers.Conv1D(3, 2, activation=layers.PReLU(), input_shape=(4, 3)), layers.Flatten()]
    model = keras.Sequential([*stack, layers.Dense(2, activation=layers.PReLU())])
    new = build(translate(model.to_json()))
    new.set_weights(model.get_weights())
    given = np.random.default_rng(0).normal(size=(2, 4, 3)).astype(np.float32)
    assert_same(new(given), model(given), 1e-6)
