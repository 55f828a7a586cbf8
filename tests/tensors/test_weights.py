"""Weights: the model's own numbers under the names that people know, of every kind of checkpoint."""

from __future__ import annotations

import math
import pickle
import re
import shutil
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ckptfmt
from ckptfmt import Tensors
from ckptfmt.errors import CheckpointNotFoundError, CorruptError, TensorNotFoundError
from tests.support.checkpoints import new_checkpoint
from tests.support.corpus import CORPUS, corpus_path
from tests.support.object_graph import encode_graph, encode_node, encode_variable

VALUE = "/.ATTRIBUTES/VARIABLE_VALUE"
DIGITS = "examples/digits"


def parameters(tensors: Tensors) -> int:
    return sum(math.prod(entry.shape) for entry in tensors.entries.values())


def test_the_weights_of_the_example_are_the_model_s() -> None:
    with ckptfmt.open(DIGITS) as ckpt:
        weights = ckpt.weights
        # What Keras' summary() says of examples/train_digits.py.
        assert parameters(weights) == 3_882
        nested = weights.to_nested()["digits"]
        assert set(nested) == {"conv1", "conv2", "norm", "logits"}
        np.testing.assert_array_equal(nested["logits"]["bias"], ckpt.by_full_name()["digits/logits/bias"])
        assert list(weights.select("*/bias")) == [
            f"digits/{layer}/bias" for layer in ("conv1", "conv2", "logits")
        ]


def test_explain_has_each_stored_tensor_and_its_rule() -> None:
    with ckptfmt.open(DIGITS) as ckpt:
        rows = ckpt.weights.explain()
        assert [row.stored for row in rows] == list(ckpt)
        assert [row.name for row in rows if row.name is not None] == list(ckpt.weights)
        rules = {row.stored.removesuffix(VALUE): row.rule for row in rows}
    assert rules["epoch"] == rules["save_counter"] == "counter or setting of training"
    assert rules["optimizer/_learning_rate"] == "part of an optimizer"
    assert rules["optimizer/_trainable_variables/0"] == "full name"
    assert rules["_CHECKPOINTABLE_OBJECT_GRAPH"] == "object graph"


def test_explain_prints_as_a_table() -> None:
    with ckptfmt.open(DIGITS) as ckpt:
        rows = ckpt.weights.explain()
        assert repr(rows) == "<WeightNames of 31 tensors, 10 of which are weights; print() lists them>"
        assert rows.left_out() == {
            "part of an optimizer": 18,
            "counter or setting of training": 2,
            "object graph": 1,
        }
        shown = [re.split("  +", line) for line in str(rows).splitlines()]
        assert shown == [[row.name or "-", row.rule, row.stored] for row in rows]


def test_names_lose_output_numbers_and_what_training_adds(tmp_path: Path) -> None:
    kept = {"dense/kernel:0": [1, 2], "dense/bias:0": [1], "scale:0": 1.5}
    left_out = {
        "dense/kernel/Adam:0": [1, 2],
        "dense/kernel/ExponentialMovingAverage:0": [1, 2],
        "BackupVariables/dense/kernel:0": [1, 2],
        "global_step:0": np.int64(7),
        "epoch:0": np.int64(3),
        "seen:0": np.int32(3),
        "train/epoch:0": 3,
        "is_trained:0": np.bool_(True),
        "total_1:0": 3.0,
        "count_1:0": 4.0,
        "true_positives:0": [1.0, 2.0],
        "false_negatives:0": [1.0, 2.0],
        "losses_avg/problem_0/total_loss:0": 2.0,
        "seed_generator/seed_generator_state:0": np.array([1, 2, 3]),
        "learning_rate:0": 0.5,
        "train/lr:0": 0.5,
        "precision/true_positives/count:0": 2.0,
        "mean/total_tensor:0": [1.0, 2.0],
        "mean/count_tensor:0": [1.0, 2.0],
        "mean_iou/total_confusion_matrix:0": [[1.0, 2.0]],
        "recall/true_positive_at_1:0": np.float64(2),
        "ids-keys:0": [1, 2],
        "ids-values:0": [1, 2],
    }
    ckpt = new_checkpoint(tmp_path, kept | left_out)
    assert set(ckpt.weights) == {"dense/kernel", "dense/bias", "scale"}
    np.testing.assert_array_equal(ckpt.weights["dense/kernel"], [1, 2])


@pytest.mark.parametrize(
    "name",
    [*("count", "layer/total", "keys", "w-keys", "layer/count"), "layer/learning_rate", "quantize/step"],
)
def test_a_word_alone_leaves_nothing_out(tmp_path: Path, name: str) -> None:
    ckpt = new_checkpoint(tmp_path, {"w": [1.0], name: 2.5})
    assert set(ckpt.weights) == {"w", name}


def test_whole_numbers_are_weights_if_there_is_nothing_else(tmp_path: Path) -> None:
    assert list(new_checkpoint(tmp_path, {"v1": np.int64(1), "v2": np.int64(2)}).weights) == ["v1", "v2"]
    assert list(new_checkpoint(tmp_path, {"v1": np.int64(1), "step": np.int64(2)}).weights) == ["v1"]
    assert list(new_checkpoint(tmp_path, {"v1": np.int64(1), "w": [1.0]}).weights) == ["w"]
    # A layer may count what it has seen: Keras' Normalization does.
    names = ["norm/count", "norm/mean"]
    assert list(new_checkpoint(tmp_path, {"norm/count": np.int64(3), "norm/mean": [1.0]}).weights) == names


def test_a_total_of_another_shape_than_the_count_is_a_weight(tmp_path: Path) -> None:
    names = ["layer/total", "layer/count"]
    assert set(new_checkpoint(tmp_path, dict(zip(names, ([1.0, 2.0], 2.5), strict=True))).weights) == set(
        names
    )


def objects(
    folder: Path, values: dict[str, Any], full_names: dict[str, str] | None = None
) -> ckptfmt.Checkpoint:
    """A checkpoint of variables at paths, which are their full names too unless these are given."""
    numbers = {"": 0}
    for path in values:
        parts = path.split("/")
        for end in range(len(parts)):
            numbers.setdefault("/".join(parts[: end + 1]), len(numbers))
    nodes = []
    for path in numbers:
        if path in values:
            nodes.append(encode_variable(path, (full_names or {}).get(path, path)))
        else:
            below = [each for each in numbers if each and each.rpartition("/")[0] == path]
            nodes.append(encode_node([(numbers[each], each.rpartition("/")[2]) for each in below]))
    folder.mkdir(exist_ok=True)
    return new_checkpoint(
        folder, {f"{name}{VALUE}": value for name, value in values.items()}, encode_graph(nodes)
    )


def test_objects_are_judged_by_their_paths_too(tmp_path: Path) -> None:
    # Keras 2 gives the variables of Normalization and of metrics no scope.
    values = {
        "net/norm/mean": [1.0],
        "net/norm/count": np.int64(3),
        "acc/total": 1.0,
        "acc/count": 2.0,
        "net/offset": np.int32(3),
        "seen": np.int32(3),
        "net/n": np.int32(3),
    }
    full_names = {path: path.rpartition("/")[2] for path in values} | {"net/n": "train_step"}
    assert set(objects(tmp_path, values, full_names).weights) == {"mean", "count", "offset"}


def test_a_trainer_that_has_a_counter_and_a_learning_rate_keeps_its_model(tmp_path: Path) -> None:
    values = {
        "trainer/iterations": np.int64(3),
        "trainer/learning_rate": 0.5,
        "trainer/net/w": [1.0],
        "trainer/adam/iterations": np.int64(3),
        "trainer/adam/learning_rate": 0.5,
        "trainer/adam/velocities/0": [1.0],
        "trainer/average/iterations": np.int64(3),
        "trainer/average/momentum": 0.5,
        "trainer/average/base_optimizer/velocities/0": [1.0],
        "trainer/average/learning_rate/start": 0.5,
    }
    assert list(objects(tmp_path, values).weights) == ["trainer/net/w"]


def test_many_nodes_with_one_large_child_take_linear_time(tmp_path: Path) -> None:
    count = 3000
    shared, first = count + 1, count + 2
    names = [f"t/{i}" for i in range(count)]
    edges = [(first, "iterations"), (first, "learning_rate"), (shared, "parts")]
    nodes = [encode_node([(i + 1, f"o{i}") for i in range(count)]), *[encode_node(edges)] * count]
    nodes += [encode_node([(first + i, str(i)) for i in range(count)]), *map(encode_variable, names)]
    ckpt = new_checkpoint(tmp_path, {f"{name}{VALUE}": [1.0] for name in names}, encode_graph(nodes))
    start = time.process_time()
    len(ckpt.weights)
    assert time.process_time() - start < 3  # it would look at 9,000,000 parts


def test_states_of_recurrent_layers_are_not_weights(tmp_path: Path) -> None:
    values = {
        "a/rnn/cell/kernel": [1.0],
        "a/rnn/states/0": [1.0],
        "b/keras_api/states/0": [1.0],
        "b/cell/kernel": [1.0],
        "markov/states/0": [1.0],
    }
    assert set(objects(tmp_path, values).weights) == {
        "a/rnn/cell/kernel",
        "b/cell/kernel",
        "markov/states/0",
    }


def test_names_that_give_way_one_after_the_other(tmp_path: Path) -> None:
    # The first two share a full name; the path of each is the full name of the next.
    values = {f"v{i:02}": [float(i)] for i in range(20)}
    full_names = {f"v{i:02}": f"v{i + 1:02}" for i in range(20)} | {"v00": "v02"}
    ckpt = objects(tmp_path, values, full_names)
    weights = ckpt.weights
    assert len(weights) == 20
    assert {row.stored: row.name for row in weights.explain() if row.name} == {
        weights.stored_name(name): name for name in weights
    }


def test_no_weight_is_lost_to_names_that_a_view_gave(tmp_path: Path) -> None:
    # In the view, "a" is the key's own name, and "b" and "c" would be called as other weights are.
    stored = {f"{name}{VALUE}": name for name in "abc"}
    ckpt = objects(tmp_path, {"a": [1.0], "b": [2.0], "c": [3.0]}, {"a": "x", "b": "y", "c": "z"})
    view = ckpt.renamed({"x": f"b{VALUE}", "y": f"c{VALUE}"}, keep_rest=True)
    weights = view.weights
    assert len(weights) == 3
    assert sorted(float(array[0]) for array in weights.values()) == [1, 2, 3]
    assert set(map(weights.stored_name, weights)) == set(stored)
    assert float(weights["x"][0]) == 2
    assert float(weights["y"][0]) == 3


def two_models(folder: Path, *full_names: str) -> ckptfmt.Checkpoint:
    """A checkpoint of a generator and a discriminator, each with one variable of a full name."""
    folder.mkdir()
    names = ("generator/w", "discriminator/w")
    graph = encode_graph(
        [
            encode_node([(1, "generator"), (2, "discriminator")]),
            encode_node([(3, "w")]),
            encode_node([(4, "w")]),
            *(encode_variable(name, full) for name, full in zip(names, full_names, strict=True)),
        ]
    )
    return new_checkpoint(folder, {f"{name}{VALUE}": [1.0] for name in names}, graph)


def test_full_names_that_are_not_unique_give_way_to_object_paths(tmp_path: Path) -> None:
    assert set(two_models(tmp_path / "a", "g/w", "d/w").weights) == {"g/w", "d/w"}
    ckpt = two_models(tmp_path / "b", "dense/w", "dense/w")
    assert set(ckpt.weights) == {"generator/w", "discriminator/w"}
    assert {row.rule for row in ckpt.weights.explain() if row.name} == {
        "object path, because no full name is its own"
    }
    # The full name of one is the object path of the other.
    ckpt = two_models(tmp_path / "c", "discriminator/w", "discriminator/w")
    assert set(ckpt.weights) == {"generator/w", "discriminator/w"}


def test_weights_of_views(tmp_path: Path) -> None:
    average = "/ExponentialMovingAverage"
    ckpt = new_checkpoint(
        tmp_path,
        {
            "a/w": [1.0],
            f"a/w{average}": [2.0],
            "a/w/Adam": [0.5],
            "b/w": [3.0],
            "global_step": 7,
        },
    )
    assert dict(ckpt.weights.items()) == {"a/w": 1, "b/w": 3}
    for view in (ckpt.ema(), ckpt.ema().select("*"), ckpt.select("*").ema()):
        assert dict(view.weights.items()) == {"a/w": 2, "b/w": 3}
    assert list(ckpt.renamed([("^a/", "new/")]).weights) == ["new/w", "b/w"]
    assert list(ckpt.select("a/*").weights) == ["a/w"]
    weights = ckpt.weights
    assert weights.weights is weights
    with ckptfmt.open(DIGITS) as digits:
        assert set(digits.by_full_name().weights) == set(digits.weights)


@pytest.mark.corpus
@pytest.mark.parametrize("folder", ["serving_half_plus_three", "tfx_keras"])
def test_weights_of_a_saved_model(folder: str) -> None:
    with ckptfmt.open_saved_model(corpus_path(folder)) as model:
        assert list(model.weights) == list(ckptfmt.open(corpus_path(folder)).weights)
        # The nodes of its graph have these names.
        assert set(model.weights) <= {name.partition("/Read")[0] for name in model.meta_graph.graph}


@pytest.mark.corpus
@pytest.mark.parametrize("folder", ["serving_matrix", "t2onnx_redundant", "tfx_tft_tf1", "tfx_tft_tf2"])
def test_a_saved_model_without_variables_has_no_weights(folder: str) -> None:
    with ckptfmt.open_saved_model(corpus_path(folder)) as model:
        weights = model.weights
        assert dict(weights) == weights.to_nested() == weights.read() == {}
        assert [row for row in weights.explain() if row.name is not None] == []
        assert "0 tensors" in repr(weights)
        assert "</" in weights._repr_html_()
        assert pickle.loads(pickle.dumps(weights)).names == {}
        with pytest.raises(TensorNotFoundError, match="no tensor named 'w'"):
            weights["w"]


@pytest.mark.corpus
def test_a_saved_model_without_its_checkpoint_says_so(tmp_path: Path) -> None:
    shutil.copy(corpus_path("serving_half_plus_three") / "saved_model.pb", tmp_path)
    with (
        ckptfmt.open_saved_model(tmp_path) as model,
        pytest.raises(CheckpointNotFoundError, match="without variables"),
    ):
        model.weights  # noqa: B018


@pytest.mark.corpus
def test_weights_of_every_saved_model_of_the_corpus_just_come_out() -> None:
    for file in sorted(CORPUS.rglob("saved_model.pb*")):
        # One is damaged, and opening it says so.
        with suppress(CorruptError), ckptfmt.open_saved_model(file.parent) as model:
            try:
                weights = model.weights
            except CheckpointNotFoundError:
                assert any(model.narrowed(meta).variables.sources for meta in model.meta_graphs)
            else:
                assert len(weights) == len(list(weights))


# --- the corpus --------------------------------------------------------------------------------------------

DNN = {f"dnn/hiddenlayer_{i}/{kind}" for i in range(4) for kind in ("bias", "kernel")}
CORPUS_WEIGHTS: dict[str, tuple[int, int, set[str]]] = {
    "assoc_lstm_v1": (5, 23_937, {"input_embedding/embedding", "softmax/softmax_w"}),
    "basic_pitch": (24, 16_864, {"batch_normalization/beta", "conv2d_1/kernel"}),
    "cartpole_policy": (6, 5_065, {"sequential/dense/kernel", "sequential/dense_2/bias"}),
    "dl4j_simple": (1, 4, {"Variable"}),
    "dog_breed_strings": (2, 245_880, {"dense/bias", "dense/kernel"}),
    "dqn_v1": (4, 1_801, {"W1", "W2", "b1", "b2"}),
    "flink_keras_2shard": (4, 131, {"aaa/bias", "aaa/kernel", "bbb/bias", "bbb/kernel"}),
    "lingvo": (6, 763_810, {"lenet5/conv0/w/var", "lenet5/softmax/weight_0/var"}),
    "njuse_multi_metagraph": (4, 101_770, {"dense/bias", "dense_1/kernel"}),
    "overtopping_ema": (24, 162_225, {"CCN_1Conv_x0/convA10/bias"}),
    "ranking_bert_lite": (23, 86, {"word_embeddings/embeddings", "embeddings/layer_norm/beta"}),
    "recall_model": (27, 84_238, {"batch_normalization/moving_mean"}),
    "recsys_string_table": (13, 485_316, {"embedding_4/embeddings", "dense_1/kernel", "mean", "count"}),
    "rossman_2shard": (26, 175_617, {"dense_10/bias", "batch_normalization_8/gamma"}),
    "serving_counter": (1, 1, {"counter"}),
    "serving_half_plus_three": (3, 3, {"a", "b", "c"}),
    "serving_hp2_config": (5, 5, {"a", "a2", "b", "c", "c2"}),
    "serving_hp2_cpu": (5, 5, {"a", "a2", "b", "c", "c2"}),
    "serving_hp2_mkl": (9, 9, {"a", "conv2d_2/kernel"}),
    "serving_hp2_tf2": (3, 3, {"a", "b", "c"}),
    "serving_v1_bad": (2, 2, {"Variable", "Variable_1"}),
    "serving_v1_sharded": (2, 2, {"a", "b"}),
    "spam_keras": (5, 14_093, {"embedding/embeddings", "dense_1/kernel"}),
    "t2onnx_regression/ckpt": (2, 2, {"W", "b"}),
    "t2onnx_regression/saved_model": (2, 2, {"W", "b"}),
    "t2t_2shard": (81, 139_200, {"transformer/body/decoder/layer_0/ffn/conv1/bias"}),
    "tfdf_adult_rf": (0, 0, set()),
    "tfjs_int64_multiply": (2, 2, {"v1", "v2"}),
    "tfjs_module_with_multiple_signatures": (2, 2, {"two", "v"}),
    "tfjs_times_three_float": (1, 1, {"Variable"}),
    "tfjs_uint8_multiply": (2, 2, {"v1", "v2"}),
    "tfnet_lstm": (5, 4_641, {"lstm/lstm_cell/recurrent_kernel", "dense/bias"}),
    "tfnet_pyfunc": (1, 7_840, {"transformer/matrix"}),
    "tfx_estimator_export": (20, 14_707, DNN),
    # Without full names: they come from the SavedModel.
    "tfx_keras": (6, 139, {f"dense{n}/{kind}" for n in ("", "_1", "_2") for kind in ("bias", "kernel")}),
    "tfx_tfma_eval": (20, 14_707, DNN),
    "tfx_tft_tf2": (0, 0, set()),
    "tfx_trainer": (20, 14_707, DNN),
    "unique_mnist": (6, 4_842, {"conv2d/bias", "conv2d_1/kernel", "dense/kernel"}),
    "vocal_autoencoder_v1": (6, 296_576, {"Variable", "Variable_5"}),
    "word_segmentation": (7, 121_986, {"Variable", "dense/bias"}),
}
"""Folder of the corpus -> how many weights it has, their numbers, and some of their names."""


@pytest.mark.corpus
@pytest.mark.parametrize("folder", CORPUS_WEIGHTS)
def test_weights_of_the_corpus(folder: str) -> None:
    count, numbers, names = CORPUS_WEIGHTS[folder]
    with ckptfmt.open(corpus_path(folder)) as ckpt:
        weights = ckpt.weights
        assert len(weights) == count
        assert parameters(weights) == numbers
        assert names <= set(weights)


# --- TensorFlow and Keras ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def keras_model(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path]:
    """A model of Keras 3 with a model inside, trained for a step, and the folder it was saved in each way."""
    tf = pytest.importorskip("tensorflow")
    import keras

    folder = tmp_path_factory.mktemp("keras")
    inner = keras.Sequential(
        [
            keras.layers.Input((4,)),
            keras.layers.Dense(3),
            keras.layers.BatchNormalization(),
            keras.layers.Dropout(0.5),
            keras.layers.Dense(2),
        ]
    )
    inputs = keras.Input((4,))
    outputs = inner(inputs) + keras.layers.Dense(2)(keras.layers.Dense(3, name="first")(inputs))
    model = keras.Model(inputs, outputs)
    model.compile("adam", "mse", metrics=["mae"])
    model.fit(np.ones((8, 4)), np.ones((8, 2)), verbose=0)
    epoch = tf.Variable(3, dtype=tf.int64)
    tf.train.Checkpoint(model=model, optimizer=model.optimizer, epoch=epoch).save(str(folder / "both"))
    tf.train.Checkpoint(model).save(str(folder / "root"))
    tf.saved_model.save(model, str(folder / "saved"))
    model.export(str(folder / "export"), verbose=False)
    return model, folder


@pytest.mark.tensorflow
@pytest.mark.parametrize("saved", ["both-1", "root-1", "saved", "export"])
def test_weights_of_a_keras_model_are_those_that_keras_lists(
    keras_model: tuple[Any, Path], saved: str
) -> None:
    model, folder = keras_model
    wanted = {weight.path: weight.numpy() for weight in model.weights if "seed" not in weight.path}
    with ckptfmt.open(folder / saved) as ckpt:
        found = ckpt.weights
        assert set(found) == set(wanted)
        assert parameters(found) == sum(array.size for array in wanted.values())
        for name, array in wanted.items():
            np.testing.assert_array_equal(found[name], array)


@pytest.mark.tensorflow
def test_random_generators_and_steps_are_not_weights(tmp_path: Path) -> None:
    tf = pytest.importorskip("tensorflow")

    module = tf.Module()
    module.w = tf.Variable([1.0, 2.0], name="w")
    module.rng = tf.random.Generator.from_seed(1)
    module.train_step = tf.Variable(3, dtype=tf.int64)
    module.table = tf.lookup.experimental.MutableHashTable(tf.string, tf.int64, -1)
    path = tf.train.Checkpoint(module=module).save(str(tmp_path / "ckpt"))
    with ckptfmt.open(path) as ckpt:
        assert list(ckpt.weights) == ["w"]


def keras_models() -> dict[str, Any]:
    """Models with parts that are called as those of training often are, or that keep more than weights."""
    import keras
    from keras import layers

    normalization = layers.Normalization()
    normalization.adapt(np.arange(20.0).reshape(5, 4))
    scaled = layers.Normalization(name="second")
    scaled.adapt(np.arange(20.0).reshape(5, 4))

    class Autoencoder(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.momentum = layers.Dense(3)
            self.iterations = layers.Dense(4)
            self.momentum.build((None, 4))
            self.iterations.build((None, 3))
            self.tracker = keras.metrics.Mean(name="total_loss")
            self.auc = keras.metrics.AUC(name="auc")

        def call(self, inputs: Any) -> Any:
            return self.iterations(self.momentum(inputs))

    autoencoder = Autoencoder()
    autoencoder(np.ones((2, 4), np.float32))
    autoencoder.tracker.update_state(1.0)
    stateful = keras.Sequential(
        [
            keras.Input(batch_shape=(2, 3, 4)),
            layers.LSTM(3, stateful=True, return_sequences=True),
            layers.GRU(2, stateful=True),
        ]
    )
    return {
        "normalization": keras.Sequential([keras.Input((4,)), normalization, layers.Dense(4), scaled]),
        "autoencoder": autoencoder,
        "stateful": stateful,
    }


@pytest.mark.tensorflow
@pytest.mark.parametrize("name", ["normalization", "autoencoder", "stateful"])
def test_weights_of_models_that_keep_more_than_weights(tmp_path: Path, name: str) -> None:
    tf = pytest.importorskip("tensorflow")
    import keras

    model = keras_models()[name]
    optimizer = keras.optimizers.SGD(momentum=0.9, use_ema=True)
    optimizer.build(model.trainable_variables)
    trackers = {id(each) for metric in model.metrics for each in metric.variables}
    wanted = {each.path: each.numpy() for each in model.weights if id(each) not in trackers}
    paths = [
        tf.train.Checkpoint(model=model, training=optimizer, step=tf.Variable(1)).save(
            str(tmp_path / "both")
        ),
        tf.train.Checkpoint(model).save(str(tmp_path / "root")),
    ]
    tf.saved_model.save(model, str(tmp_path / "saved"))
    for path in [*paths, tmp_path / "saved"]:
        with ckptfmt.open(path) as ckpt:
            weights = ckpt.weights
            assert set(weights) == set(wanted)
            assert parameters(weights) == sum(array.size for array in wanted.values())
            for each, array in wanted.items():
                np.testing.assert_array_equal(weights[each], array)


@pytest.mark.tensorflow
def test_local_variables_of_metrics_are_not_weights(tmp_path: Path) -> None:
    tf = pytest.importorskip("tensorflow")
    v1 = tf.compat.v1

    with tf.Graph().as_default(), v1.Session() as session:
        w = v1.get_variable("dense/kernel", (2, 3))
        step = v1.train.get_or_create_global_step()
        v1.train.AdagradOptimizer(0.1).minimize(tf.reduce_sum(w), global_step=step)
        ones, halves = tf.constant([1]), tf.constant([0.5])
        for metric in ("accuracy", "precision", "recall", "true_positives", "false_negatives"):
            getattr(v1.metrics, metric)(ones, ones)
        v1.metrics.mean(halves)
        v1.metrics.mean_tensor(tf.constant([1.0, 2.0]))
        v1.metrics.auc(tf.constant([1.0]), halves)
        v1.metrics.mean_iou(ones, ones, 2)
        v1.metrics.recall_at_k(tf.constant([[1]], tf.int64), tf.constant([[0.1, 0.2]]), 1)
        v1.metrics.root_mean_squared_error(halves, halves)
        session.run([v1.global_variables_initializer(), v1.local_variables_initializer()])
        saver = v1.train.Saver(v1.global_variables() + v1.local_variables())
        path = saver.save(session, str(tmp_path / "ckpt"))
    with ckptfmt.open(path) as ckpt:
        assert list(ckpt.weights) == ["dense/kernel"]
