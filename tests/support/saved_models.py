"""SavedModels made by TensorFlow, and what TensorFlow computes with any SavedModel."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

import ckptfmt

WORDS = ["zero", "one", "two"]
"""The vocabulary of the models here: a word's number is its value."""

FEEDS: dict[str, Any] = {
    "x": np.array([[1.0, 2.0], [3.0, -4.0]], np.float32),
    "scale": np.float32(2),
    "words": np.array([b"two", b"none", b"zero"], object),
}
"""Values for inputs of the models, by the names in their signatures."""


def write_words(folder: Path, words: list[str] = WORDS) -> Path:
    """Write a vocabulary."""
    folder.mkdir(exist_ok=True)
    path = folder / "words.txt"
    path.write_text("".join(f"{word}\n" for word in words))
    return path


def table_of(tf: ModuleType, words: Path) -> Any:
    """A table from words to numbers, filled from a file."""
    kinds = (tf.string, tf.lookup.TextFileIndex.WHOLE_LINE, tf.int64, tf.lookup.TextFileIndex.LINE_NUMBER)
    return tf.lookup.StaticHashTable(tf.lookup.TextFileInitializer(str(words), *kinds), -1)


def save_module(tf: ModuleType, folder: Path, words: Path) -> Path:
    """Save a module of TensorFlow 2 with two signatures, a table and methods."""

    class Module(tf.Module):  # type: ignore[misc,name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.w = tf.Variable([[1.0, 2.0], [3.0, 4.0]], name="w")
            self.b = tf.Variable([1.0, -1.0], name="b")
            self.table = table_of(tf, words)

        @tf.function(input_signature=[tf.TensorSpec([None, 2], name="x"), tf.TensorSpec([], name="scale")])
        def score(self, x: Any, scale: Any) -> Any:
            y = x @ self.w + self.b
            return {"scores": y * scale, "best": tf.argmax(y, 1)}

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="words")])
        def look_up(self, words: Any) -> Any:
            return self.table.lookup(words)

    module = Module()
    signatures = {"serving_default": module.score, "look_up": module.look_up}
    tf.saved_model.save(module, str(folder), signatures=signatures)
    return folder


def save_classic(tf: ModuleType, folder: Path, words: Path, *, resources: bool = False) -> Path:
    """Save a graph of TensorFlow 1 as an Estimator does, for training and for serving."""
    v1 = tf.compat.v1
    with tf.Graph().as_default() as graph, v1.Session(graph=graph) as session:
        x = v1.placeholder(tf.float32, [None, 2], "x")
        scale = v1.placeholder(tf.float32, [], "scale")
        w = v1.get_variable("w", initializer=[[1.0, 2.0], [3.0, 4.0]], use_resource=resources)
        b = v1.get_variable("b", initializer=[1.0, -1.0], use_resource=resources)
        parts = v1.get_variable(
            "parts",
            shape=[4, 2],
            initializer=v1.ones_initializer(),
            partitioner=v1.fixed_size_partitioner(2),
            use_resource=resources,
        )
        step = v1.train.get_or_create_global_step()
        y = tf.identity(tf.matmul(x, w) + b + tf.reduce_sum(tf.convert_to_tensor(parts)), "y")
        scores = tf.multiply(y, scale, "scores")
        loss = tf.reduce_mean(y**2, name="loss")
        minimize = v1.train.AdamOptimizer(0.1).minimize(loss, global_step=step)
        with tf.control_dependencies([minimize]):
            average = tf.train.ExponentialMovingAverage(0.5)
            train = tf.group(average.apply([w, b]), name="train")
        v1.summary.scalar("loss", loss)
        text = v1.placeholder(tf.string, [None], "words")
        path = tf.constant(str(words), name="words_path")
        v1.add_to_collection(v1.GraphKeys.ASSET_FILEPATHS, path)
        kinds = (tf.string, tf.lookup.TextFileIndex.WHOLE_LINE, tf.int64, tf.lookup.TextFileIndex.LINE_NUMBER)
        table = tf.lookup.StaticHashTable(tf.lookup.TextFileInitializer(path, *kinds), -1)
        numbers = tf.identity(table.lookup(text), "numbers")
        session.run([w.initializer, b.initializer])  # averages begin with their values
        session.run([v1.global_variables_initializer(), v1.tables_initializer()])
        session.run(train, {x: FEEDS["x"]})
        build = v1.saved_model.build_signature_def
        info = v1.saved_model.build_tensor_info
        signatures = {
            "serving_default": build(
                {"x": info(x), "scale": info(scale)}, {"scores": info(scores)}, "tensorflow/serving/predict"
            ),
            "look_up": build({"words": info(text)}, {"numbers": info(numbers)}, "tensorflow/serving/predict"),
        }
        builder = v1.saved_model.Builder(str(folder))
        assets = v1.get_collection(v1.GraphKeys.ASSET_FILEPATHS)
        main = v1.tables_initializer()
        builder.add_meta_graph_and_variables(
            session, ["train"], signatures, assets_collection=assets, main_op=main, strip_default_attrs=True
        )
        v1.get_default_graph().clear_collection("saved_model_main_op")
        builder.add_meta_graph(["serve"], signatures, assets_collection=assets, main_op=main)
        builder.save()
    return folder


def run_eagerly(tf: ModuleType, model: Path, tags: list[str] | None = None) -> dict[str, dict[str, Any]]:
    """What every signature computes as ``tf.saved_model.load`` has it, by name."""
    loaded = tf.saved_model.load(str(model), tags=tags)
    computed = {}
    for name, function in loaded.signatures.items():
        arguments = {key: tf.constant(FEEDS[key]) for key in function.structured_input_signature[1]}
        computed[name] = {key: value.numpy() for key, value in function(**arguments).items()}
    return computed


def run_in_session(tf: ModuleType, model: Path, tags: list[str]) -> dict[str, dict[str, Any]]:
    """What every signature computes in a session, as servers run it, by name."""
    v1 = tf.compat.v1
    computed = {}
    with tf.Graph().as_default() as graph, v1.Session(graph=graph) as session:
        meta = v1.saved_model.load(session, tags, str(model))
        for name, signature in meta.signature_def.items():
            if name.startswith("__saved_model"):
                continue
            feeds = {info.name: FEEDS[key] for key, info in signature.inputs.items()}
            fetches = {key: info.name for key, info in signature.outputs.items()}
            computed[name] = session.run(fetches, feeds)
    return computed


def run(tf: ModuleType, model: Path, tags: list[str] | None = None) -> dict[str, dict[str, Any]]:
    """What every signature computes; both ways of loading it and our reader must agree."""
    eager, graph = run_eagerly(tf, model, tags), run_in_session(tf, model, tags or ["serve"])
    check_equal(eager, graph)
    with ckptfmt.open_saved_model(model, tags=tags) as ours:
        assert sorted(ours.signatures) == sorted(eager)
    return eager


def check_equal(one: dict[str, dict[str, Any]], other: dict[str, dict[str, Any]]) -> None:
    """Check that signatures compute the same."""
    assert one.keys() == other.keys()
    for name, values in one.items():
        assert values.keys() == other[name].keys()
        for key, value in values.items():
            np.testing.assert_allclose(value, other[name][key], rtol=1e-6) if value.dtype.kind == "f" else (
                np.testing.assert_array_equal(value, other[name][key])
            )
