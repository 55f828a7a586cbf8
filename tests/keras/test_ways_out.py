"""Models with vocabularies, without a configuration, and of classes that Keras 3 does not have."""

from __future__ import annotations

import importlib
import json
import marshal
import pickle
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ckptfmt
from ckptfmt.errors import CkptfmtError, ConversionError, TensorNotFoundError, UnsupportedError
from ckptfmt.keras.archive_variables import translate_paths
from tests.support.command_line import run, run_json
from tests.support.corpus import CORPUS
from tests.support.keras_2_models import floats
from tests.support.keras_pairs import assert_same, fill, keras_2, keras_3
from tests.support.memory_filesystem import MemoryFilesystem

pytestmark = pytest.mark.filterwarnings("ignore")

MODEL = Path(__file__).parent.parent / "data" / "keras" / "flowers"
"""A SavedModel of Keras 2: see ``tests/support/make_keras_2_model.py``."""

RENAMING = "version = 1\n[[step]]\nrename = '/'\nto = '.'\n"


@pytest.mark.parametrize("name", ["new.keras", "new.weights.h5"])
def test_variables_that_are_left_out_are_remarked_by_layer(name: str, tmp_path: Path) -> None:
    whole = ckptfmt.convert(MODEL, tmp_path / name)
    assert not any("left out" in each for each in whole.remarks)
    part = ckptfmt.convert(MODEL, tmp_path / name, exclude="layers/dense/vars/0", overwrite=True)
    (remark,) = (each for each in part.remarks if each not in whole.remarks)
    assert remark.startswith("Keras cannot load the file into the model, since variables of these layers are")
    assert remark.endswith("left out: 'hidden'")


# --- vocabularies -------------------------------------------------------------------------------------------


def vocabularies(keras: Any, folder: Path) -> tuple[Any, list[Any]]:
    import tensorflow as tf

    layers = keras.layers
    text, number = keras.Input((1,), dtype="string"), keras.Input((1,), dtype="int64")
    (folder / "words.txt").write_text("u\nv\nw")
    adapted = layers.StringLookup()
    adapted.adapt(tf.constant(["a", "b", "b"]))
    weighted = layers.StringLookup(output_mode="tf_idf")
    weighted.adapt(tf.constant([["a"], ["b"], ["b"]]))
    numbers = layers.IntegerLookup(output_mode="one_hot")
    numbers.adapt(tf.constant([5, 7, 7]))
    sequences = layers.TextVectorization(output_sequence_length=3)
    sequences.adapt(tf.constant(["a b c", "b d"]))
    counts = layers.TextVectorization(output_mode="tf_idf")
    counts.adapt(tf.constant(["a b c", "b d"]))
    outputs = [
        *(adapted(text), layers.StringLookup(vocabulary=["x", "y"], mask_token="m")(text), weighted(text)),
        *(layers.StringLookup(vocabulary=str(folder / "words.txt"), output_mode="one_hot")(text),),
        *(sequences(text), counts(text), numbers(number)),
        *(layers.StringLookup(vocabulary=["x", "y"], invert=True)(number),),
        *(layers.StringLookup(vocabulary=["a\nb", "y"])(text),),
    ]
    words = ["a", "b", "x", "m", "v", "a b d", "a\nb"]
    return keras.Model([text, number], outputs), [
        tf.constant([[word] for word in words]),
        np.array([[5], [7], [1], [2], [0], [3], [3]]),
    ]


@pytest.mark.tensorflow
def test_vocabularies_stay(tmp_path: Path) -> None:
    model, inputs = vocabularies(keras_2(), tmp_path)
    want = model.predict(inputs, verbose=0)
    model.save(tmp_path / "saved", save_format="tf")
    ckptfmt.convert(tmp_path / "saved", tmp_path / "new.keras")
    new = keras_3().saving.load_model(tmp_path / "new.keras")
    assert_same(new.predict(inputs, verbose=0), want, 1e-6)
    with zipfile.ZipFile(tmp_path / "new.keras") as archive:
        assert archive.read("assets/layers/string_lookup/vocabulary.txt") == b"[UNK]\nb\na"
        assert archive.read("assets/layers/integer_lookup/vocabulary.txt") == b"-1\n7\n5"
        # A word with a line break cannot be in a file of lines.
        assert "assets/layers/string_lookup_5/vocabulary.txt" not in archive.namelist()

    # A .keras file of Keras 2 does not have the words that a file outside of it has.
    model.save(tmp_path / "old.keras")
    with pytest.raises(UnsupportedError, match=r"the vocabulary of layer 'string_lookup_\d'"):
        ckptfmt.convert(tmp_path / "old.keras", tmp_path / "other.keras")


@pytest.mark.tensorflow
def test_a_model_without_weights_is_a_model(tmp_path: Path) -> None:
    keras = keras_2()
    model = keras.Sequential([keras.Input((4,)), keras.layers.Reshape((2, 2))])
    model.save(tmp_path / "old.h5")
    ckptfmt.convert(tmp_path / "old.h5", tmp_path / "new.keras")
    new = keras_3().saving.load_model(tmp_path / "new.keras")
    assert new.predict(floats(3, 4), verbose=0).shape == (3, 2, 2)


def test_the_command_line_names_its_own_options(tmp_path: Path) -> None:
    result = run("convert", MODEL / "variables" / "variables", tmp_path / "new.keras")
    assert (result.exit_code, "as --config" in result.stderr) == (3, True)


@pytest.mark.tensorflow
def test_vocabularies_of_archives_stay(tmp_path: Path) -> None:
    import tensorflow as tf

    keras = keras_2()
    text = keras.Input((1,), dtype="string")
    layer = keras.layers.TextVectorization(output_mode="tf_idf")
    layer.adapt(tf.constant(["a b c", "b d"]))
    model = keras.Model(text, layer(text))
    words = tf.constant([["a d"], ["q"]])
    model.save(tmp_path / "old.keras")
    ckptfmt.convert(tmp_path / "old.keras", tmp_path / "new.keras")
    new = keras_3().saving.load_model(tmp_path / "new.keras")
    assert_same(new.predict(words, verbose=0), model.predict(words, verbose=0), 1e-6)


# --- what cannot be translated ------------------------------------------------------------------------------


@pytest.mark.tensorflow
@pytest.mark.parametrize("name", ["saved", "model.h5", "model.keras"])
def test_layers_of_code_are_named_and_not_run(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keras = keras_2()
    layers = keras.layers
    stack = [
        keras.Input((4,)),
        layers.Dense(3),
        layers.Lambda(lambda x: x * 2, name="twice"),
        layers.Dense(2),
    ]
    model = keras.Sequential(stack)
    model.save(tmp_path / name)

    def refuse(*args: object) -> None:
        raise AssertionError("code of a model was decoded")

    monkeypatch.setattr(marshal, "loads", refuse)
    with pytest.raises(UnsupportedError, match=r"layer 'twice' of class 'Lambda' is code of Python"):
        ckptfmt.convert(tmp_path / name, tmp_path / "new.keras")
    assert not (tmp_path / "new.keras").exists()
    # The weights of all other layers are known.
    ckptfmt.convert(tmp_path / name, tmp_path / "new.weights.h5")
    with ckptfmt.open_tensors(tmp_path / "new.weights.h5") as tensors:
        for path, value in {
            "layers/dense/vars/0": model.layers[0].kernel,
            "layers/dense_1/vars/1": model.layers[2].bias,
        }.items():
            assert np.array_equal(tensors[path], value.numpy())


@pytest.mark.tensorflow
def test_weights_of_subclassed_models_load(tmp_path: Path) -> None:
    """By attribute: the same class of Keras 3 takes them."""

    def made(keras: Any) -> Any:
        class Scale(keras.layers.Layer):  # type: ignore[misc]
            def build(self, shape: Any) -> None:
                self.offset = self.add_weight(name="offset", shape=(3,), trainable=False)
                self.factor = self.add_weight(name="factor", shape=(3,))
                super().build(shape)

            def call(self, inputs: Any) -> Any:
                return inputs * self.factor + self.offset

        class Network(keras.Model):  # type: ignore[misc]
            def __init__(self) -> None:
                super().__init__()
                self.first = keras.layers.Dense(3)
                self.norm = keras.layers.BatchNormalization()
                self.scale = Scale()
                self.rnn = keras.layers.GRU(2)

            def call(self, inputs: Any) -> Any:
                return self.rnn(self.scale(self.norm(self.first(inputs))))

        return Network()

    data = floats(2, 5, 4)
    old, new = made(keras_2()), made(keras_3())
    old.predict(data, verbose=0), new.predict(data, verbose=0)
    fill(old)
    old.save(tmp_path / "saved", save_format="tf")
    with pytest.raises(UnsupportedError, match=r"the model of class 'Network' is code"):
        ckptfmt.convert(tmp_path / "saved", tmp_path / "new.keras")
    done = ckptfmt.convert(tmp_path / "saved", tmp_path / "new.weights.h5", verify=True)
    assert any("order of Keras 2" in remark for remark in done.remarks)
    new.load_weights(tmp_path / "new.weights.h5")
    assert_same(new.predict(data, verbose=0), old.predict(data, verbose=0), 1e-6)


@pytest.mark.tensorflow
def test_layers_of_cudnn_have_the_weights_that_keras_2_gives_them(tmp_path: Path) -> None:
    keras = keras_2()
    layers = keras.layers
    rnn = "tf_keras.src.layers.rnn"
    lstm_of_cudnn = importlib.import_module(f"{rnn}.cudnn_lstm").CuDNNLSTM
    gru_of_cudnn = importlib.import_module(f"{rnn}.cudnn_gru").CuDNNGRU

    def stack(lstm: Any, gru: Any) -> Any:
        made = [lstm(3, return_sequences=True), layers.Bidirectional(gru(2)), layers.Dense(1)]
        return keras.Sequential([keras.Input((5, 4)), *made])

    model, other = stack(lstm_of_cudnn, gru_of_cudnn), stack(layers.LSTM, layers.GRU)
    fill(model)
    model.save_weights(tmp_path / "only.h5")
    other.load_weights(tmp_path / "only.h5")
    other.save_weights(tmp_path / "other.weights.h5")
    model.save(tmp_path / "model.h5")
    model.save(tmp_path / "model.keras")
    model.save_weights(tmp_path / "ckpt", save_format="tf")
    with ckptfmt.open_tensors(tmp_path / "other.weights.h5") as want:
        for name, config in {"model.h5": None, "model.keras": None, "ckpt": model.to_json()}.items():
            target = tmp_path / f"{name}.weights.h5"
            done = ckptfmt.convert(tmp_path / name, target, config=config, verify=True)
            with ckptfmt.open_tensors(target) as got:
                for path in done.tensors:
                    np.testing.assert_allclose(got[path], want[path], rtol=1e-6)


@pytest.mark.tensorflow
def test_classes_that_have_other_names_in_keras_3(tmp_path: Path) -> None:
    keras = keras_2()
    layers = keras.layers
    norms = [layers.experimental.SyncBatchNormalization(), layers.BatchNormalization()]
    model = keras.Sequential([keras.Input((4,)), *norms, layers.experimental.SyncBatchNormalization()])
    fill(model)
    data = floats(3, 4)
    for name in ("model.keras", "model.h5", "saved"):
        model.save(tmp_path / name)
        ckptfmt.convert(tmp_path / name, tmp_path / "new.keras", overwrite=True)
        new = keras_3().saving.load_model(tmp_path / "new.keras")
        assert_same(new.predict(data, verbose=0), model.predict(data, verbose=0), 1e-6)


def test_paths_of_keras_2_12() -> None:
    names = ["_layer_checkpoint_dependencies/dense/vars/0", "_layer_checkpoint_dependencies/dense/vars/1"]
    assert translate_paths([*names, "optimizer/vars/0", "metrics/mean/vars/1"]) == {
        "layers/dense/vars/0": names[0],
        "layers/dense/vars/1": names[1],
    }


@pytest.mark.tensorflow
def test_activations_with_weights_are_refused(tmp_path: Path) -> None:
    layers = keras_2().layers
    model = keras_2().Sequential(
        [keras_2().Input((4,)), layers.Dense(3, activation=layers.PReLU(), name="d")]
    )
    model.save(tmp_path / "model.h5")
    with pytest.raises(UnsupportedError, match=r"weights of activations.*'d/activation'"):
        ckptfmt.convert(tmp_path / "model.h5", tmp_path / "new.keras")


# --- without a configuration --------------------------------------------------------------------------------


@pytest.mark.tensorflow
def test_classes_are_inferred_from_the_names_of_layers(tmp_path: Path) -> None:
    keras = keras_2()
    keras.backend.clear_session()
    layers = keras.layers
    given = keras.Input((5, 4))
    hidden = layers.Dense(4)(layers.Normalization()(given))
    hidden = layers.TimeDistributed(layers.Dense(3))(layers.Dense(4)(hidden))
    hidden = layers.Bidirectional(layers.LSTM(2, return_sequences=True))(hidden)
    hidden = layers.RNN([layers.GRUCell(2), layers.LSTMCell(3)], return_sequences=True)(hidden)
    hidden = layers.MultiHeadAttention(2, 2)(hidden, hidden)
    model = keras.Model(given, layers.BatchNormalization()(layers.GRU(3)(layers.Dropout(0.1)(hidden))))
    fill(model)
    model.save_weights(tmp_path / "ckpt")
    done = ckptfmt.convert(tmp_path / "ckpt", tmp_path / "inferred.weights.h5")
    assert any("inferred from their names" in remark for remark in done.remarks)
    ckptfmt.convert(tmp_path / "ckpt", tmp_path / "known.weights.h5", config=model.to_json())
    one, other = (ckptfmt.open_tensors(tmp_path / f"{name}.weights.h5") for name in ("inferred", "known"))
    assert sorted(one) == sorted(other)
    assert all(np.array_equal(one[name], other[name]) for name in one)
    with pytest.raises(UnsupportedError, match=r"pass config="):
        ckptfmt.convert(tmp_path / "ckpt", tmp_path / "new.keras")
    ckptfmt.convert(tmp_path / "ckpt", tmp_path / "new.keras", config=model.get_config())

    # A SavedModel without descriptions, as TensorFlow itself writes it.
    import tensorflow as tf

    tf.saved_model.save(model, str(tmp_path / "plain"))
    with pytest.raises(UnsupportedError, match=r"pass config="):
        ckptfmt.convert(tmp_path / "plain", tmp_path / "plain.keras")
    ckptfmt.convert(tmp_path / "plain", tmp_path / "plain.weights.h5")
    ckptfmt.convert(tmp_path / "plain", tmp_path / "plain.keras", config=model.to_json())
    with ckptfmt.open_tensors(tmp_path / "plain.weights.h5") as plain:
        assert all(np.array_equal(plain[name], other[name]) for name in other)


@pytest.mark.tensorflow
def test_what_names_do_not_tell_asks_for_the_configuration(tmp_path: Path) -> None:
    keras = keras_2()
    layers = keras.layers
    named = keras.Sequential([keras.Input((4,)), layers.Dense(3, name="hidden"), layers.Dense(3)])
    inner = keras.Sequential([keras.Input((4,)), keras.Sequential([layers.Flatten(), layers.Dense(3)])])
    for number, (model, what) in enumerate([(named, "'hidden'"), (inner, "'a model in the model'")]):
        model.save_weights(tmp_path / f"{number}")
        with pytest.raises(UnsupportedError, match=rf"{what}.*pass the configuration"):
            ckptfmt.convert(tmp_path / f"{number}", tmp_path / "new.weights.h5")
        ckptfmt.convert(tmp_path / f"{number}", tmp_path / f"{number}.weights.h5", config=model.to_json())
    named.save_weights(tmp_path / "only.h5")
    with pytest.raises(
        UnsupportedError, match=r"weights of Keras 2 and does not describe their layers.*config="
    ):
        ckptfmt.convert(tmp_path / "only.h5", tmp_path / "new.weights.h5")
    # Of the same architecture, with other names.
    other = keras.Sequential([keras.Input((4,)), layers.Dense(3), layers.Dense(3)])
    ckptfmt.convert(tmp_path / "only.h5", tmp_path / "other.weights.h5", config=other.to_json())
    wrong = keras.Sequential([keras.Input((4,)), layers.Dense(3, use_bias=False, name="hidden")])
    with pytest.raises(UnsupportedError, match=r"weights of 2 layers .*, the configuration 1 "):
        ckptfmt.convert(tmp_path / "only.h5", tmp_path / "wrong.weights.h5", config=wrong.to_json())


# --- a model that is here -----------------------------------------------------------------------------------


def test_a_saved_model_becomes_files_of_keras_3_without_keras(tmp_path: Path) -> None:
    done = ckptfmt.convert(MODEL, tmp_path / "new.keras", verify=True)
    assert done.format == "keras"
    assert done.is_verified
    with zipfile.ZipFile(tmp_path / "new.keras") as archive:
        assert archive.testzip() is None
        assert archive.namelist()[:3] == ["metadata.json", "config.json", "model.weights.h5"]
        assert {info.compress_type for info in archive.infolist()} == {zipfile.ZIP_STORED}
        assert json.loads(archive.read("config.json"))["class_name"] == "Functional"
        assert json.loads(archive.read("metadata.json"))["keras_version"].startswith("3.")
    weights = ckptfmt.convert(MODEL, tmp_path / "out", to="keras-weights")
    (tmp_path / "folder").mkdir()
    inside = ckptfmt.convert(MODEL, tmp_path / "folder", to="keras-weights")
    assert inside.files == (str(tmp_path / "folder" / "model.weights.h5"),)
    assert weights.tensors == inside.tensors == done.tensors
    with ckptfmt.open_tensors(tmp_path / "new.keras") as one, ckptfmt.open_tensors(tmp_path / "out") as other:
        assert all(np.array_equal(one[name], other[name]) for name in done.tensors)


@pytest.mark.tensorflow
def test_keras_3_loads_that_model(tmp_path: Path) -> None:
    ckptfmt.convert(MODEL, tmp_path / "new.keras")
    model = keras_3().saving.load_model(tmp_path / "new.keras")
    want = np.load(MODEL.parent / "flowers.npz")
    assert_same(model.predict(want["inputs"], verbose=0), want["outputs"], 1e-6)


def test_views_of_models_are_written(tmp_path: Path) -> None:
    target = tmp_path / "new.weights.h5"
    done = ckptfmt.convert(MODEL, target, select="layers/dense/*", cast="float16")
    assert done.tensors == ("layers/dense/vars/0", "layers/dense/vars/1")
    with ckptfmt.open_tensors(target) as tensors:
        assert {each.dtype for each in tensors.values()} == {np.dtype("float16")}
        ckptfmt.convert(tensors, tmp_path / "again.weights.h5", cast="bfloat16", verify=True)
        with ckptfmt.open_tensors(tmp_path / "again.weights.h5") as again:
            assert again.entries["layers/dense/vars/0"].dtype.name == "bfloat16"
    with pytest.raises(TensorNotFoundError):
        ckptfmt.convert(MODEL, tmp_path / "none.weights.h5", select="dense/kernel")
    with pytest.raises(ConversionError, match=r"names other than those of Keras 3"):
        ckptfmt.convert(MODEL, tmp_path / "b.weights.h5", plan=ckptfmt.Plan.parse(RENAMING))
    with pytest.raises(ValueError, match=r"config: safetensors"):
        ckptfmt.convert(MODEL, tmp_path / "c.safetensors", config="{}")
    with pytest.raises(ValueError, match=r"got 2 of them"):
        ckptfmt.convert([MODEL, MODEL], tmp_path / "c.keras")


def test_the_command_writes_models(tmp_path: Path) -> None:
    document = run_json("convert", MODEL, tmp_path / "new.keras", "--verify")
    assert document["format"] == "keras"
    assert document["verified"] is True
    assert next(each["name"] for each in document["tensors"]) == "layers/dense/vars/0"
    done = run("convert", MODEL, tmp_path / "new.weights.h5", "--dry-run")
    assert done.exit_code == 0
    assert "layers/dense/vars/0" in done.stdout
    done = run("convert", MODEL / "variables" / "variables", tmp_path / "b.keras", "--config", MODEL)
    assert done.exit_code == 0, done.stderr
    done = run("convert", MODEL.parent.parent / "golden" / "keras3", tmp_path / "c.keras")
    assert done.exit_code != 0
    assert "the checkpoint has no Keras model among its objects" in done.stderr


def test_file_systems_in_memory(tmp_path: Path) -> None:
    files = {
        f"m/{path.relative_to(MODEL).as_posix()}": path.read_bytes()
        for path in MODEL.rglob("*")
        if path.is_file()
    }
    fs = MemoryFilesystem(files)
    ckptfmt.convert("m", "new.keras", fs=fs, verify=True)
    ckptfmt.convert("new.keras", "new.weights.h5", fs=fs, verify=True)
    with ckptfmt.open_tensors("new.weights.h5", fs=fs) as tensors:
        assert len(tensors) == 8


def test_pickled_variables(tmp_path: Path) -> None:
    from ckptfmt.keras.open_model import open_keras_model
    from ckptfmt.limits import DEFAULT
    from ckptfmt.storage.local import filesystem_of

    model = open_keras_model(filesystem_of(), str(MODEL), None, DEFAULT)
    copy = pickle.loads(pickle.dumps(model.tensors))
    assert all(np.array_equal(copy[name], model.tensors[name]) for name in model.tensors)
    part = model.tensors.slice("layers/dense/vars/0")[1:3, :2]
    assert np.array_equal(part, model.tensors["layers/dense/vars/0"][1:3, :2])


# --- files of others, and damage ----------------------------------------------------------------------------


@pytest.mark.corpus
def test_saved_models_of_others_are_converted_or_refused_by_name(tmp_path: Path) -> None:
    if not CORPUS.is_dir():
        pytest.skip(f"no corpus at {CORPUS}; set CKPTFMT_CORPUS")
    outcomes: dict[str, dict[str, int | str]] = {"keras": {}, "weights.h5": {}}
    for file in sorted(CORPUS.glob("*/saved_model.pb")):
        model = ckptfmt.open_saved_model(file.parent)
        if len(model.meta_graphs) > 1 or not model.keras_layers:
            continue
        for ending, found in outcomes.items():
            try:
                done = ckptfmt.convert(file.parent, tmp_path / f"{file.parent.name}.{ending}", verify=True)
                found[file.parent.name] = len(done.tensors)
            except UnsupportedError as error:
                found[file.parent.name] = str(error)
    for name, classes in {
        "basic_pitch": ["HarmonicStacking", "FlattenFreqCh"],
        "tfnet_pyfunc": ["Transformer"],
        "tfdf_adult_rf": ["CartModel"],
        "tfx_keras": ["TensorFlowTransform>TransformFeaturesLayer"],
    }.items():
        assert all(each in str(outcomes["keras"][name]) for each in classes)
    converted = {name: count for name, count in outcomes["keras"].items() if isinstance(count, int)}
    assert converted == {"flink_keras_2shard": 4, "rossman_2shard": 26, "spam_keras": 5, "tfnet_lstm": 5}
    weights = {name: count for name, count in outcomes["weights.h5"].items() if isinstance(count, int)}
    assert {
        **converted,
        "basic_pitch": 24,
        "tfnet_pyfunc": 1,
        "tfdf_adult_rf": 1,
        "tfx_keras": 6,
    }.items() <= weights.items()


def test_damaged_headers_of_hdf5_files_are_errors() -> None:
    """Every byte of what describes a model, changed: a result or one of our errors, and no hang."""
    h5py = pytest.importorskip("h5py", reason="writes an HDF5 file")
    import io

    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        dense = {"name": "d", "trainable": True, "dtype": "float32", "units": 2, "use_bias": True}
        layers = [{"class_name": "Dense", "config": {**dense, "batch_input_shape": [None, 3]}}]
        description = {"class_name": "Sequential", "config": {"name": "s", "layers": layers}}
        file.attrs["model_config"] = json.dumps(description).encode()
        weights = file.create_group("model_weights")
        weights.attrs["layer_names"] = [b"d"]
        group = weights.create_group("d")
        group.attrs["weight_names"] = [b"d/kernel:0", b"d/bias:0"]
        group.create_dataset("d/kernel:0", data=np.zeros((3, 2), np.float32))
        group.create_dataset("d/bias:0", data=np.zeros(2, np.float32))
    content = buffer.getvalue()
    fs = MemoryFilesystem({"m.h5": content})
    ckptfmt.convert("m.h5", "m.keras", fs=fs)
    done = 0
    for at in range(0, len(content), 3):
        damaged = bytearray(content)
        damaged[at] ^= 0xFF
        with suppress(CkptfmtError):
            ckptfmt.convert("m.h5", "m.keras", fs=MemoryFilesystem({"m.h5": bytes(damaged)}))
            done += 1
    assert done
