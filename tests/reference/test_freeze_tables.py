"""Frozen graphs with lookup tables answer as the models do, when TensorFlow runs their initialisers first."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ckptfmt
from ckptfmt.errors import FreezeWarning, GraphError
from tests.support.command_line import run, run_json
from tests.support.corpus import CORPUS

tf = pytest.importorskip("tensorflow", reason="compares with TensorFlow, which is not installed")
pytestmark = [
    pytest.mark.tensorflow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]

v1 = tf.compat.v1
WORDS = np.array([b"b", b"a", b"q", b"zz"], object)
SIGNATURE = "serving_default"


def run_frozen(graph: ckptfmt.Graph, outputs: list[str], feed: Mapping[str, Any]) -> list[Any]:
    """Run a graph as docs/graphs.md says."""
    with tf.Graph().as_default():
        tf.import_graph_def(v1.GraphDef.FromString(graph.to_bytes()), name="")
        with v1.Session() as session:
            if graph.initializers:
                session.run(list(graph.initializers))
            return list(session.run(outputs, feed))


def check(directory: Path, want: list[Any], feed: Mapping[str, Any]) -> ckptfmt.Graph:
    """Freeze the signature of a model that has been moved, by a relative path and by the command line."""
    moved = directory.with_name("moved")
    shutil.move(directory, moved)
    with ckptfmt.open_saved_model(os.path.relpath(moved)) as model:
        signature = model.signatures[SIGNATURE]
        outputs = [str(signature.outputs[name].tensor) for name in sorted(signature.outputs)]
        fed = {str(signature.inputs[name].tensor): value for name, value in feed.items()}
        frozen = ckptfmt.freeze(model.meta_graph, model.variables, outputs)
        with_init = ckptfmt.freeze(model.meta_graph, model.variables, [*outputs, model.init_op or outputs[0]])
        if frozen.initializers:
            assert frozen == with_init  # who names the init op gets the same
    target = directory.with_name("frozen.pb")
    document = run_json("freeze", moved, "-o", target)
    written = ckptfmt.read_graph(target)
    assert list(written.initializers) == document["initializers"] == list(frozen.initializers)
    for graph in (frozen, written):
        got = run_frozen(graph, outputs, fed)
        for a, b in zip(got, want, strict=True):
            np.testing.assert_array_equal(a, b)
    return frozen


# --- models of TensorFlow 2 ------------------------------------------------------------------------------


def text_file(path: str) -> Any:
    index = tf.lookup.TextFileIndex
    return tf.lookup.TextFileInitializer(path, tf.string, index.WHOLE_LINE, tf.int64, index.LINE_NUMBER)


def pairs() -> Any:
    return tf.lookup.KeyValueTensorInitializer(["a", "b"], [1, 2], tf.string, tf.int64)


def filled(table: Any, values: Any) -> Any:
    table.insert(["a", "q"], values)
    return table


def static(path: str, **kwargs: Any) -> dict[str, Any]:
    return {"t": tf.lookup.StaticHashTable(pairs(), -1, **kwargs)}


def mutable(path: str, **kwargs: Any) -> dict[str, Any]:
    table = tf.lookup.experimental.MutableHashTable(tf.string, tf.int64, -1, **kwargs)
    return {"t": filled(table, tf.constant([10, 20], tf.int64))}


def vectors(path: str) -> dict[str, Any]:
    table = tf.lookup.experimental.MutableHashTable(tf.string, tf.float32, [0.0, 0.0])
    return {"t": filled(table, [[1.0, 2.0], [3.0, 4.0]])}


def dense(path: str, **kwargs: Any) -> dict[str, Any]:
    table = tf.lookup.experimental.DenseHashTable(tf.string, tf.int64, -1, "", "$deleted", **kwargs)
    return {"t": filled(table, tf.constant([10, 20], tf.int64))}


def dense_vectors(path: str) -> dict[str, Any]:
    table = tf.lookup.experimental.DenseHashTable(tf.string, tf.float32, [0.5, 0.5], "", "$deleted")
    return {"t": filled(table, [[1.0, 2.0], [3.0, 4.0]])}


TABLES: dict[str, Callable[[str], dict[str, Any]]] = {
    "static": static,
    "static, anonymous": lambda path: static(path, experimental_is_anonymous=True),
    "static, of one name": lambda path: {**static(path, name="n"), "u": static(path, name="n")["t"]},
    "asset": lambda path: {"t": tf.lookup.StaticHashTable(text_file(path), -1)},
    "vocabulary": lambda path: {"t": tf.lookup.StaticVocabularyTable(text_file(path), 3)},
    "mutable": mutable,
    "mutable, anonymous": lambda path: mutable(path, experimental_is_anonymous=True),
    "mutable, of vectors": vectors,
    "dense": dense,
    "dense, anonymous": lambda path: dense(path, experimental_is_anonymous=True),
    "dense, of vectors": dense_vectors,
    "all": lambda path: {
        "t": mutable(path)["t"],
        "u": mutable(path)["t"],
        "v": dense(path)["t"],
        "w": tf.lookup.StaticVocabularyTable(text_file(path), 3),
        "x": static(path)["t"],
    },
}


def save_lookups(directory: Path, tables: dict[str, Any]) -> None:
    module = tf.Module()
    module.tables, module.scale = tables, tf.Variable([1.5, 2.5])

    def look_up(k: Any) -> dict[str, Any]:
        return {**{name: table.lookup(k) for name, table in tables.items()}, "scale": module.scale * 2}

    module.f = tf.function(look_up, input_signature=[tf.TensorSpec([None], tf.string, name="k")])
    tf.saved_model.save(module, str(directory), signatures=module.f)


def answers(directory: Path, feed: Mapping[str, Any]) -> list[Any]:
    """Return what TensorFlow 2 computes."""
    loaded = tf.saved_model.load(str(directory))
    got = loaded.signatures[SIGNATURE](**{name: tf.constant(value) for name, value in feed.items()})
    return [got[name].numpy() for name in sorted(got)]


@pytest.mark.parametrize("kind", TABLES)
def test_tables_of_tensorflow_2(tmp_path: Path, kind: str) -> None:
    (tmp_path / "vocabulary.txt").write_text("x\na\nb\n")
    directory = tmp_path / "model"
    save_lookups(directory, TABLES[kind](str(tmp_path / "vocabulary.txt")))
    want = answers(directory, {"k": WORDS})
    (tmp_path / "vocabulary.txt").unlink()
    assert check(directory, want, {"k": WORDS}).initializers == ("NoOp",)


@pytest.mark.parametrize("kind", ["static", "vocabulary", "mutable", "all"])
def test_tables_that_functions_make_in_a_model_that_was_loaded_and_saved(tmp_path: Path, kind: str) -> None:
    (tmp_path / "vocabulary.txt").write_text("x\na\nb\n")
    save_lookups(tmp_path / "first", TABLES[kind](str(tmp_path / "vocabulary.txt")))
    loaded = tf.saved_model.load(str(tmp_path / "first"))
    directory = tmp_path / "model"
    tf.saved_model.save(loaded, str(directory), signatures=dict(loaded.signatures))
    check(directory, answers(directory, {"k": WORDS}), {"k": WORDS})


def test_an_asset_that_is_no_table(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("some text")
    module = tf.Module()
    module.asset = tf.saved_model.Asset(str(tmp_path / "text.txt"))
    spec = [tf.TensorSpec([None], tf.string, name="k")]
    module.f = tf.function(
        lambda k: {"t": tf.io.read_file(module.asset.asset_path) + k}, input_signature=spec
    )
    directory = tmp_path / "model"
    tf.saved_model.save(module, str(directory), signatures=module.f)
    want = [np.array([b"some text" + word for word in WORDS], object)]
    assert check(directory, want, {"k": WORDS}).initializers == ()


def test_a_table_that_the_outputs_add_to(tmp_path: Path) -> None:
    module = tf.Module()
    module.table = mutable("")["t"]

    def insert(k: Any) -> dict[str, Any]:
        module.table.insert(k, tf.fill(tf.shape(k), tf.constant(7, tf.int64)))
        return {"t": module.table.lookup(tf.constant(["a", "q", "zz", "n"]))}

    module.f = tf.function(insert, input_signature=[tf.TensorSpec([None], tf.string, name="k")])
    directory = tmp_path / "model"
    tf.saved_model.save(module, str(directory), signatures=module.f)
    check(directory, [[10, 7, 7, -1]], {"k": WORDS[2:]})


def keras_layers(path: str) -> dict[str, Callable[[], tuple[Any, Any]]]:
    keras = pytest.importorskip("keras")
    layers, words = keras.layers, WORDS[:, None]
    texts = np.array([[b"a b q"], [b"zz a"], [b""], [b"b b b b b"]], object)

    def adapted(layer: Any, data: Any) -> Any:
        layer.adapt(data)
        return layer

    return {
        "StringLookup": lambda: (layers.StringLookup(vocabulary=["a", "b"]), words),
        "StringLookup, file": lambda: (layers.StringLookup(vocabulary=path), words),
        "StringLookup, adapted": lambda: (adapted(layers.StringLookup(), words), words),
        "StringLookup, inverted": lambda: (
            layers.StringLookup(vocabulary=["a", "b"], invert=True),
            np.array([[1], [2], [0], [5]], np.int64),
        ),
        "IntegerLookup, adapted": lambda: (
            adapted(layers.IntegerLookup(), np.array([[3], [4]])),
            np.array([[3], [4], [0]], np.int64),
        ),
        "TextVectorization, adapted": lambda: (adapted(layers.TextVectorization(), texts), texts),
        "TextVectorization, file": lambda: (layers.TextVectorization(vocabulary=path), texts),
        "TextVectorization, tf_idf": lambda: (
            adapted(layers.TextVectorization(output_mode="tf_idf"), texts),
            texts,
        ),
    }


@pytest.mark.parametrize(
    "kind",
    [
        *("StringLookup", "StringLookup, file", "StringLookup, adapted", "StringLookup, inverted"),
        *("IntegerLookup, adapted", "TextVectorization, adapted", "TextVectorization, file"),
        "TextVectorization, tf_idf",
    ],
)
def test_layers_of_keras(tmp_path: Path, kind: str) -> None:
    (tmp_path / "vocabulary.txt").write_text("x\na\nb\n")
    layer, data = keras_layers(str(tmp_path / "vocabulary.txt"))[kind]()
    keras = pytest.importorskip("keras")
    given = keras.Input((1,), dtype="string" if data.dtype == object else "int64", name="k")
    directory = tmp_path / "model"
    keras.Model(given, layer(given)).export(str(directory), verbose=False)
    (name,) = ckptfmt.open_saved_model(directory).signatures[SIGNATURE].inputs
    check(directory, answers(directory, {name: data}), {name: data})


def test_a_model_of_keras_that_tensorflow_saves(tmp_path: Path) -> None:
    """Its Saver restores copies of the variables; only the objects say what its functions are bound to."""
    keras = pytest.importorskip("keras", minversion="3")
    (tmp_path / "vocabulary.txt").write_text("x\na\nb\n")
    words = keras.layers.TextVectorization(
        vocabulary=str(tmp_path / "vocabulary.txt"), output_sequence_length=4
    )
    net = [keras.layers.Embedding(6, 3), keras.layers.BatchNormalization(), keras.layers.Dense(2, name="out")]
    given = keras.Input((1,), dtype="string", name="k")
    model = keras.Sequential([words, *net])
    directory = tmp_path / "model"
    texts = np.array([[b"a b q"], [b"zz a"], [b""]], object)
    model(tf.constant(texts))
    tf.saved_model.save(keras.Model(given, model(given)), str(directory))
    variables = ckptfmt.open_saved_model(directory).variables
    kernel = next(name for name in variables if name.endswith("out/kernel"))
    np.testing.assert_array_equal(variables[kernel], net[-1].kernel.numpy())
    (name,) = ckptfmt.open_saved_model(directory).signatures[SIGNATURE].inputs
    check(directory, answers(directory, {name: texts}), {name: texts})


# --- models of TensorFlow 1 ------------------------------------------------------------------------------


def v1_pairs(k: Any, path: str) -> tuple[Any, Any]:
    return v1.lookup.StaticHashTable(pairs(), -1).lookup(k), None


def v1_file(k: Any, path: str) -> tuple[Any, Any]:
    table = v1.lookup.StaticVocabularyTable(text_file(path), 2)
    return table.lookup(k), None


def v1_index_from_file(k: Any, path: str) -> tuple[Any, Any]:
    from tensorflow.python.ops import lookup_ops

    return lookup_ops.index_table_from_file(path, num_oov_buckets=2).lookup(k), None


def v1_strings_from_file(k: Any, path: str) -> tuple[Any, Any]:
    from tensorflow.python.ops import lookup_ops

    numbers = tf.cast(tf.range(tf.size(k)), tf.int64)
    return lookup_ops.index_to_string_table_from_file(path, default_value="?").lookup(numbers), None


def v1_mutable(k: Any, path: str) -> tuple[Any, Any]:
    table = tf.lookup.experimental.MutableHashTable(tf.string, tf.int64, -1, name="table")
    return table.lookup(k), table.insert(["a", "q"], tf.constant([10, 20], tf.int64))


def v1_mutable_vectors(k: Any, path: str) -> tuple[Any, Any]:
    table = tf.lookup.experimental.MutableHashTable(tf.string, tf.float32, [0.0, 0.0], name="table")
    return table.lookup(k), table.insert(["a", "q"], [[1.0, 2.0], [3.0, 4.0]])


def v1_dense(k: Any, path: str) -> tuple[Any, Any]:
    table = tf.lookup.experimental.DenseHashTable(tf.string, tf.int64, -1, "", "$deleted", name="table")
    return table.lookup(k), table.insert(["a", "q"], tf.constant([10, 20], tf.int64))


def v1_added_to(k: Any, path: str) -> tuple[Any, Any]:
    """A table that is restored, and then added to by the init op, in this order."""
    table = tf.lookup.experimental.MutableHashTable(tf.string, tf.int64, -1, name="table")
    more = table.insert(["a"], tf.constant([77], tf.int64))
    v1.add_to_collection(v1.GraphKeys.TABLE_INITIALIZERS, more)
    return table.lookup(k), table.insert(["a", "q"], tf.constant([10, 20], tf.int64))


def v1_reference(k: Any, path: str) -> tuple[Any, Any]:
    """As the first TensorFlow had tables."""
    table = tf.raw_ops.HashTable(key_dtype=tf.string, value_dtype=tf.int64)
    file = tf.constant(path)
    v1.add_to_collection(v1.GraphKeys.ASSET_FILEPATHS, file)
    init = tf.raw_ops.InitializeTableFromTextFile(
        table_handle=table, filename=file, key_index=-2, value_index=-1
    )
    v1.add_to_collection(v1.GraphKeys.TABLE_INITIALIZERS, init)
    default = tf.constant(-1, tf.int64)
    return tf.raw_ops.LookupTableFind(table_handle=table, keys=k, default_value=default), None


def v1_chain(k: Any, path: str) -> tuple[Any, Any]:
    """A table whose values another table has."""
    strings = tf.lookup.KeyValueTensorInitializer(["a", "b"], ["q", "a"], tf.string, tf.string)
    first = v1.lookup.StaticHashTable(strings, "?")
    with tf.control_dependencies([first.initializer]):
        values = first.lookup(tf.constant(["a", "b"]))
    pairs = tf.lookup.KeyValueTensorInitializer(tf.constant(["a", "b"]), values)
    return v1.lookup.StaticHashTable(pairs, "?").lookup(k), None


def v1_branches(k: Any, path: str) -> tuple[Any, Any]:
    first, second = (v1.lookup.StaticHashTable(pairs(), default) for default in (-1, -2))
    return tf.cond(tf.size(k) > 2, lambda: first.lookup(k), lambda: second.lookup(k)), None


V1_MODELS = [v1_pairs, v1_file, v1_index_from_file, v1_strings_from_file, v1_mutable, v1_mutable_vectors]
V1_MODELS += [v1_dense, v1_added_to, v1_reference, v1_chain, v1_branches]


def main_op() -> dict[str, Any]:
    from tensorflow.python.saved_model import main_op as module

    return {"main_op": module.main_op()}  # initialises variables too


INIT_OPS: dict[str, Callable[[], dict[str, Any]]] = {
    "main op": main_op,
    "tables only": lambda: {"main_op": v1.tables_initializer()},
    "legacy": lambda: {"legacy_init_op": v1.tables_initializer()},
}


def save_v1(tmp_path: Path, model: Callable[[Any, str], tuple[Any, Any]], init: str, as_text: bool) -> Path:
    """Save a model and, in ``training``, a checkpoint with its graph."""
    vocabulary = tmp_path / "vocabulary.txt"
    vocabulary.write_text("x\na\nb\n")
    directory = tmp_path / "model"
    with tf.Graph().as_default():
        k = v1.placeholder(tf.string, [None], name="k")
        w = v1.get_variable("w", initializer=[1.5, 2.5])
        y, before = model(k, str(vocabulary))
        y, z = tf.identity(y, "y"), tf.multiply(w, 2.0, name="z")
        infos = {"y": v1.saved_model.build_tensor_info(y), "z": v1.saved_model.build_tensor_info(z)}
        signature = v1.saved_model.build_signature_def({"k": v1.saved_model.build_tensor_info(k)}, infos)
        with v1.Session() as session:
            session.run([v1.global_variables_initializer(), v1.tables_initializer()])
            if before is not None:
                session.run(before)
            builder = v1.saved_model.Builder(str(directory))
            builder.add_meta_graph_and_variables(
                session,
                ["serve"],
                {SIGNATURE: signature},
                assets_collection=v1.get_collection(v1.GraphKeys.ASSET_FILEPATHS) or None,
                **INIT_OPS[init](),
            )
            builder.save(as_text=as_text)
            v1.train.Saver().save(session, str(tmp_path / "training" / "model.ckpt"))
    return directory


def v1_answers(directory: Path) -> list[Any]:
    with v1.Session(graph=tf.Graph()) as session:
        v1.saved_model.load(session, ["serve"], str(directory))
        return list(session.run(["y:0", "z:0"], {"k:0": WORDS}))


@pytest.mark.parametrize("model", V1_MODELS, ids=lambda model: model.__name__)
def test_tables_of_tensorflow_1(tmp_path: Path, model: Callable[[Any, str], tuple[Any, Any]]) -> None:
    directory = save_v1(tmp_path, model, "main op", as_text=False)
    want = v1_answers(directory)
    # A checkpoint's graph names no files of its own: it needs the vocabulary where it was.
    target = tmp_path / "trained.pb"
    result = run("freeze", tmp_path / "training", "-o", target, "--outputs", "y,z")
    trained = ckptfmt.read_graph(target)
    assert f"run {trained.initializers[0]} first" in result.stderr
    for graph in (trained, ckptfmt.freeze(trained, {}, ["y", "z"])):
        for got, expected in zip(run_frozen(graph, ["y:0", "z:0"], {"k:0": WORDS}), want, strict=True):
            np.testing.assert_array_equal(got, expected)
    (tmp_path / "vocabulary.txt").unlink()
    model_init = ckptfmt.open_saved_model(directory).init_op
    assert check(directory, want, {"k": WORDS}).initializers == (model_init,)


@pytest.mark.parametrize("init", INIT_OPS)
@pytest.mark.parametrize("as_text", [False, True])
def test_every_way_to_name_the_init_op(tmp_path: Path, init: str, as_text: bool) -> None:
    directory = save_v1(tmp_path, v1_file, init, as_text)
    want = v1_answers(directory)
    (tmp_path / "vocabulary.txt").unlink()
    check(directory, want, {"k": WORDS})


@pytest.mark.parametrize("model", [v1_pairs, v1_file, v1_chain], ids=lambda model: model.__name__)
def test_tables_of_tensorflow_1_that_tensorflow_2_saved_again(
    tmp_path: Path, model: Callable[[Any, str], tuple[Any, Any]]
) -> None:
    loaded = tf.saved_model.load(str(save_v1(tmp_path, model, "main op", as_text=False)))
    directory = tmp_path / "again"
    tf.saved_model.save(loaded, str(directory), signatures=dict(loaded.signatures))
    check(directory, answers(directory, {"k": WORDS}), {"k": WORDS})


@pytest.mark.parametrize(
    "model", [v1_pairs, v1_mutable, v1_dense, v1_branches], ids=lambda model: model.__name__
)
def test_a_graph_without_collections_and_a_mapping(
    tmp_path: Path, model: Callable[[Any, str], tuple[Any, Any]]
) -> None:
    want = v1_answers(save_v1(tmp_path, model, "main op", as_text=False))
    graph = ckptfmt.read_graph(tmp_path / "training" / "model.ckpt.meta")
    with ckptfmt.open(tmp_path / "training") as values:
        frozen = ckptfmt.freeze(graph, values, ["y", "z"])
        again = ckptfmt.freeze(frozen, {}, ["y", "z"])
        copied = ckptfmt.freeze(graph, {name: values[name] for name in values}, ["y", "z"])
    for each in (frozen, again, copied):
        for got, expected in zip(run_frozen(each, ["y:0", "z:0"], {"k:0": WORDS}), want, strict=True):
            np.testing.assert_array_equal(got, expected)


def test_contents_that_are_not_among_the_values_are_missed(tmp_path: Path) -> None:
    save_v1(tmp_path, v1_mutable, "tables only", as_text=False)
    meta = ckptfmt.read_meta_graph(tmp_path / "training" / "model.ckpt.meta")
    with pytest.raises(GraphError, match="'table-keys' and 'table-values'") as caught:
        ckptfmt.freeze(meta, {"w": np.zeros(2, np.float32)}, "y")
    assert caught.value.node == "table"
    assert not ckptfmt.freeze(meta, {"w": np.zeros(2, np.float32)}, "z").initializers


def test_a_mutable_table_that_was_not_saved_starts_empty_with_a_warning(tmp_path: Path) -> None:
    def unsaved(k: Any, path: str) -> tuple[Any, Any]:
        from tensorflow.python.ops import lookup_ops

        table = lookup_ops.MutableHashTable(tf.string, tf.int64, -1, name="table", checkpoint=False)
        return table.lookup(k), table.insert(["a", "q"], tf.constant([10, 20], tf.int64))

    directory = save_v1(tmp_path, unsaved, "main op", as_text=False)
    model = ckptfmt.open_saved_model(directory)
    with pytest.warns(FreezeWarning, match="'table': MutableHashTableV2 starts empty") as caught:
        frozen = ckptfmt.freeze(model.meta_graph, model.variables, ["y", "z"])
    assert caught[0].filename == __file__
    for got, want in zip(
        run_frozen(frozen, ["y:0", "z:0"], {"k:0": WORDS}), v1_answers(directory), strict=True
    ):
        np.testing.assert_array_equal(got, want)
    result = run("freeze", directory, "-o", tmp_path / "frozen.pb")
    assert "warning: node 'table': MutableHashTableV2 starts empty" in result.stderr
    assert "run " not in result.stderr


# --- the corpus ------------------------------------------------------------------------------------------


@pytest.mark.corpus
@pytest.mark.skipif(not (CORPUS / "tfx_estimator_export").exists(), reason=f"no corpus at {CORPUS}")
@pytest.mark.parametrize("signature", ["serving_default", "predict", "regression"])
def test_an_estimator_with_a_transform_graph(tmp_path: Path, signature: str) -> None:
    example = tf.train.Example()
    for name in ("company", "payment_type"):
        example.features.feature[name].bytes_list.value.append(b"Cash")
    directory = CORPUS / "tfx_estimator_export"
    model = ckptfmt.open_saved_model(directory)
    known = model.signatures[signature]
    outputs = [str(info.tensor) for info in known.outputs.values()]
    (given,) = known.inputs.values()
    feed = {str(given.tensor): np.array([example.SerializeToString()], object)}
    with v1.Session(graph=tf.Graph()) as session:
        v1.saved_model.load(session, list(model.meta_graph.tags), str(directory))
        want = session.run(outputs, feed)
    frozen = ckptfmt.freeze(model.meta_graph, model.variables, outputs)
    assert frozen.initializers == ("group_deps",)
    for a, b in zip(run_frozen(frozen, outputs, feed), want, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.corpus
@pytest.mark.skipif(not (CORPUS / "recsys_string_table").exists(), reason=f"no corpus at {CORPUS}")
def test_string_tables_of_a_recommender() -> None:
    directory = CORPUS / "recsys_string_table"
    model = ckptfmt.open_saved_model(directory)
    known = model.signatures[SIGNATURE]
    outputs = [str(info.tensor) for info in known.outputs.values()]
    feed = {}
    for info in known.inputs.values():
        shape = [2 if size is None else size for size in info.shape or ()]
        feed[str(info.tensor)] = np.full(shape, b"42", object)
    with v1.Session(graph=tf.Graph()) as session:
        v1.saved_model.load(session, list(model.meta_graph.tags), str(directory))
        want = session.run(outputs, feed)
    frozen = ckptfmt.freeze(model.meta_graph, model.variables, outputs)
    assert frozen.initializers == ("NoOp",)
    for a, b in zip(run_frozen(frozen, outputs, feed), want, strict=True):
        np.testing.assert_array_equal(a, b)
