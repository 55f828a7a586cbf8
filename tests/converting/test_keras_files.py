"""Files of Keras as tensors: archives, weights, and the HDF5 files of Keras 2."""

from __future__ import annotations

import io
import json
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import ckptfmt
from tests.support.memory_filesystem import MemoryFilesystem

h5py = pytest.importorskip("h5py", reason="h5py is not installed")

WEIGHTS = {"layers/dense/vars/0": np.arange(6.0).reshape(2, 3), "layers/dense/vars/1": np.arange(3.0)}


def hdf5(arrays: Mapping[str, np.ndarray]) -> bytes:
    content = io.BytesIO()
    with h5py.File(content, "w") as file:
        for name, array in arrays.items():
            file[name] = array
    return content.getvalue()


def archive(members: Mapping[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", method) as file:
        for name, data in members.items():
            file.writestr(name, data)
    return content.getvalue()


KERAS = {"metadata.json": b"{}", "config.json": b"{}", "model.weights.h5": hdf5(WEIGHTS)}


def assert_same(tensors: ckptfmt.Tensors, arrays: Mapping[str, np.ndarray] = WEIGHTS) -> None:
    assert list(tensors) == list(arrays)
    for name, array in arrays.items():
        assert tensors[name].dtype == array.dtype
        assert np.array_equal(tensors[name], array)


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_an_archive_is_read_in_place(tmp_path: Path, method: int) -> None:
    (tmp_path / "m.keras").write_bytes(archive(KERAS, method))
    with ckptfmt.open_tensors(tmp_path / "m.keras") as tensors:
        assert tensors.format == "keras"
        assert tensors.prefix == str(tmp_path / "m.keras")
        assert_same(tensors)
        assert tensors.slice("layers/dense/vars/0")[1].tolist() == [3, 4, 5]
        assert np.shares_memory(tensors["layers/dense/vars/0"], tensors["layers/dense/vars/0"])
    fs = MemoryFilesystem({"m.keras": archive(KERAS, method)}, has_views=False)
    assert_same(ckptfmt.open_tensors("m.keras", fs=fs))


def test_archives_without_weights(tmp_path: Path) -> None:
    path = tmp_path / "m.keras"
    whole = archive(KERAS)
    pickled = {**KERAS, "model.weights.npz": b""}
    del pickled["model.weights.h5"]
    header = whole.rindex(b"PK\3\4")
    cases = {
        "weights are pickled": archive(pickled),
        "not an HDF5 file": archive({**KERAS, "model.weights.h5": b"text"}),
        "local header": whole[:header] + b"X" + whole[header + 1 :],
    }
    for what, content in cases.items():
        path.write_bytes(content)
        with pytest.raises(ckptfmt.errors.CkptfmtError, match=what) as caught:
            ckptfmt.open_tensors(path)
        assert str(caught.value.file).startswith(str(path))
    for size in range(1, len(whole), 501):
        path.write_bytes(whole[:size])
        with pytest.raises(ckptfmt.errors.CkptfmtError):
            ckptfmt.open_tensors(path)


def test_a_member_that_inflates_to_too_much_is_refused(tmp_path: Path) -> None:
    members = {**KERAS, "model.weights.h5": bytes(1 << 22)}
    (tmp_path / "m.keras").write_bytes(archive(members, zipfile.ZIP_DEFLATED))
    with pytest.raises(ckptfmt.errors.LimitError, match=r"model\.weights\.h5"):
        ckptfmt.open_tensors(tmp_path / "m.keras", limits=ckptfmt.Limits(max_bytes=1 << 20))


def test_weights_in_several_files(tmp_path: Path) -> None:
    names = list(WEIGHTS)
    shards = [f"m_{number:05}.weights.h5" for number in range(2)]
    files = {shard: hdf5({name: WEIGHTS[name]}) for shard, name in zip(shards, names, strict=True)}
    index = {"metadata": {"total_size": 72}, "weight_map": {"/layers/dense/vars": shards}}
    files["m.weights.json"] = json.dumps(index).encode()
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    assert_same(ckptfmt.open_tensors(tmp_path / "m.weights.json"))
    assert_same(ckptfmt.open_tensors("m.weights.json", fs=MemoryFilesystem(files)))
    (tmp_path / "m.keras").write_bytes(archive({"config.json": b"{}", "metadata.json": b"{}", **files}))
    assert_same(ckptfmt.open_tensors(tmp_path / "m.keras"))


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"{", "not a list of weights"),
        (b"[]", "want an object"),
        (b'{"weight_map": {"a": "../b.h5"}}', "want one beside this file"),
        (b'{"weight_map": {"a": [".."]}}', "want one beside this file"),
        (b'{"weight_map": {"a": 1}}', "want one beside this file"),
        (b'{"weight_map": {"a": ["x.h5", "y.h5"]}}', "in both"),
    ],
)
def test_lists_of_files_that_are_wrong(tmp_path: Path, content: bytes, what: str) -> None:
    for name in ("x.h5", "y.h5"):
        (tmp_path / name).write_bytes(hdf5(WEIGHTS))
    (tmp_path / "m.weights.json").write_bytes(content)
    with pytest.raises(ckptfmt.errors.CorruptError, match=what):
        ckptfmt.open_tensors(tmp_path / "m.weights.json")


def keras_2(layers: Mapping[str, list[str]], *, container: str = "model_weights", parts: int = 0) -> bytes:
    """Return a file like one of Keras 2: in ``parts`` parts, the texts of attributes."""
    content = io.BytesIO()
    with h5py.File(content, "w") as file:
        group = file.require_group(container) if container else file
        end = "0" * bool(parts)
        group.attrs[f"layer_names{end}"] = list(layers)
        for number, (layer, weights) in enumerate(layers.items()):
            folder = group.create_group(layer)
            folder.attrs[f"weight_names{end}"] = weights
            for place, weight in enumerate(weights):
                folder[weight] = np.array([number, place], np.float32)
        if container:
            slots = file.create_group("optimizer_weights")
            slots.attrs["weight_names"] = ["Adam/m/dense/kernel:0"]
            slots["Adam/m/dense/kernel:0"] = np.float32(7)
    return content.getvalue()


@pytest.mark.parametrize("container", ["model_weights", ""])
@pytest.mark.parametrize("parts", [0, 1])
def test_names_of_keras_2(container: str, parts: int) -> None:
    layers = {
        "dense": ["dense/kernel:0", "dense/bias:0"],
        "block/conv": ["block/conv/kernel:0"],
        "one": ["shared/kernel:0", "own:0"],
        "two": ["shared/kernel:0"],
        "empty": [],
    }
    fs = MemoryFilesystem({"m.h5": keras_2(layers, container=container, parts=parts)})
    tensors = ckptfmt.open_tensors("m.h5", fs=fs)
    expected = {
        "dense/kernel": [0, 0],
        "dense/bias": [0, 1],
        "block/conv/kernel": [1, 0],
        "one/shared/kernel": [2, 0],
        "own": [2, 1],
        "two/shared/kernel": [3, 0],
    }
    weights = tensors.model_variables()
    assert {name: weights[name].tolist() for name in weights} == expected
    with pytest.raises(ckptfmt.errors.TensorNotFoundError, match="did you mean 'dense/kernel'") as caught:
        tensors[f"{container}/dense/dense/kernel:0"]
    assert caught.value.close_matches == ("dense/kernel",)
    rest = [name for name in tensors if name not in expected]
    assert rest == (["optimizer_weights/Adam/m/dense/kernel"] if container else [])


def model_of(keras: Any) -> Any:
    inner = keras.Sequential([keras.layers.Dense(3, name="inner", input_shape=(4,))], name="nest")
    model = keras.Sequential([inner, keras.layers.Dense(2), keras.layers.BatchNormalization()])
    model.compile("adam", "mse")
    model.fit(np.ones((4, 4)), np.ones((4, 2)), verbose=0)
    return model


@pytest.mark.tensorflow
@pytest.mark.filterwarnings("ignore")
def test_files_of_keras_2(tmp_path: Path) -> None:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    keras = pytest.importorskip("tf_keras", reason="writes files of Keras 2, which is not installed")
    model = model_of(keras)
    model.save(tmp_path / "m.h5")
    model.save_weights(tmp_path / "w.h5")
    named = {weight.name.removesuffix(":0"): weight.numpy() for weight in model.weights}
    slots = {f"optimizer_weights/{each.name.removesuffix(':0')}" for each in model.optimizer.variables}
    for file in ("m.h5", "w.h5"):
        tensors = ckptfmt.open_tensors(tmp_path / file)
        weights = tensors.model_variables()
        assert set(weights) == set(named)
        assert all(np.array_equal(weights[name], array) for name, array in named.items())
        assert set(tensors) - set(weights) == (slots if file == "m.h5" else set())
    model.save(tmp_path / "m.keras")
    values = sorted(repr(array.tolist()) for array in named.values())
    weights = ckptfmt.open_tensors(tmp_path / "m.keras").model_variables()
    assert sorted(repr(weights[name].tolist()) for name in weights) == values
    # The names are those of a checkpoint of the same model.
    model.save_weights(tmp_path / "tf" / "model")
    checkpoint = ckptfmt.open(tmp_path / "tf" / "model").by_full_name().model_variables()
    assert set(checkpoint) == set(named)


@pytest.mark.tensorflow
@pytest.mark.filterwarnings("ignore")
def test_files_of_keras_3(tmp_path: Path) -> None:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    keras = pytest.importorskip("keras", reason="writes files of Keras 3, which is not installed")
    model = model_of(keras)
    assert keras.version().startswith("3")
    values = sorted(repr(weight.numpy().tolist()) for weight in model.weights)
    model.save(tmp_path / "m.keras")
    model.save_weights(tmp_path / "m.weights.h5")
    model.save(tmp_path / "m.h5")
    model.save_weights(tmp_path / "s.weights.json", max_shard_size=1e-7)
    assert len(list(tmp_path.glob("s_*.weights.h5"))) > 1
    for file in ("m.keras", "m.weights.h5", "m.h5", "s.weights.json"):
        weights = ckptfmt.open_tensors(tmp_path / file).model_variables()
        assert sorted(repr(weights[name].tolist()) for name in weights) == values, file
    assert "layers/dense/vars/0" in ckptfmt.open_tensors(tmp_path / "m.keras")
    assert set(ckptfmt.open_tensors(tmp_path / "m.h5").model_variables()) == {w.path for w in model.weights}


@pytest.mark.tensorflow
@pytest.mark.filterwarnings("ignore")
def test_bfloat16_of_keras_3(tmp_path: Path) -> None:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    keras = pytest.importorskip("keras", reason="writes files of Keras 3, which is not installed")
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, dtype="bfloat16")])
    model.save_weights(tmp_path / "m.weights.h5")
    kernel = ckptfmt.open_tensors(tmp_path / "m.weights.h5")["layers/dense/vars/0"]
    assert kernel.dtype == ml_dtypes.bfloat16
    assert kernel.tolist() == keras.ops.convert_to_numpy(model.weights[0]).tolist()
