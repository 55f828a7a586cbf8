"""Checkpoints as targets, restored by TensorFlow."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import ckptfmt
from ckptfmt import errors

VALUES: dict[str, Any] = {
    "dense/kernel": np.arange(12, dtype=np.float32).reshape(3, 4),
    "dense/bias": np.arange(4).astype(ml_dtypes.bfloat16),
    "flags": np.array([True, False]),
    "step": np.array(7, np.int64),
}


@pytest.mark.tensorflow
def test_tensors_of_a_file_are_restored_by_name(tmp_path: Path, tensorflow: ModuleType) -> None:
    ckptfmt.convert(VALUES, tmp_path / "in.safetensors")
    written = ckptfmt.convert(tmp_path / "in.safetensors", tmp_path / "out" / "model.ckpt-7", verify=True)
    ends = (".index", ".data-00000-of-00001")
    assert written.files == tuple(f"{tmp_path}/out/model.ckpt-7{end}" for end in ends)
    reader = tensorflow.train.load_checkpoint(f"{tmp_path}/out/model.ckpt-7")
    assert set(reader.get_variable_to_shape_map()) == set(VALUES)
    for name, array in VALUES.items():
        assert reader.get_tensor(name).tobytes() == array.tobytes()


@pytest.mark.tensorflow
def test_objects_are_kept(tmp_path: Path, tensorflow: ModuleType) -> None:
    tf = tensorflow
    layers = {name: tf.Variable(tf.fill([2], value)) for name, value in (("kernel", 1.0), ("bias", 2.0))}
    saved = tf.train.Checkpoint(net=tf.train.Checkpoint(**layers)).save(str(tmp_path / "in" / "ckpt"))
    ckptfmt.convert(saved, tmp_path / "out", to="checkpoint", select="net/*", verify=True)
    restored = {name: tf.Variable(tf.zeros([2])) for name in layers}
    status = tf.train.Checkpoint(net=tf.train.Checkpoint(**restored)).read(str(tmp_path / "out"))
    status.assert_existing_objects_matched()
    assert restored["bias"].numpy().tolist() == [2, 2]


def test_shards_are_counted_by_size(tmp_path: Path) -> None:
    ckptfmt.convert(VALUES, tmp_path / "m.ckpt", max_shard_bytes=48)
    with ckptfmt.open(tmp_path / "m.ckpt") as ckpt:
        assert ckpt.num_shards > 1
        assert ckpt["step"] == 7


def test_an_old_checkpoint_stays_unless_overwritten(tmp_path: Path) -> None:
    ckptfmt.convert({"w": np.zeros(2)}, tmp_path / "m.ckpt")
    with pytest.raises(errors.AlreadyExistsError):
        ckptfmt.convert(VALUES, tmp_path / "m.ckpt")
    assert set(ckptfmt.open(tmp_path / "m.ckpt")) == {"w"}
    ckptfmt.convert(VALUES, tmp_path / "m.ckpt", overwrite=True)
    assert set(ckptfmt.open(tmp_path / "m.ckpt")) == set(VALUES)


@pytest.mark.parametrize("name", ["", "\0a"])
def test_names_that_tensorflow_cannot_read_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(errors.ConversionError) as caught:
        ckptfmt.convert({name: np.zeros(1)}, tmp_path / "m.ckpt")
    assert list(caught.value.problems) == [name]


def test_a_directory_gets_a_checkpoint_of_the_usual_name(tmp_path: Path) -> None:
    written = ckptfmt.convert(VALUES, f"{tmp_path}/out/", to="checkpoint")
    assert written.files[0] == f"{tmp_path}/out/model.ckpt.index"
