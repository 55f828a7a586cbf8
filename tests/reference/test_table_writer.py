"""TensorFlow reads the checkpoints that tests write, and writes the same bytes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.support.table_writer import (
    HEADER,
    encode_bundle_index,
    encode_entry,
    encode_table,
    encode_v1,
    write_bundle,
)

tf = pytest.importorskip("tensorflow", reason="compares with TensorFlow, which is not installed")
pytestmark = pytest.mark.tensorflow

TENSORS = {
    "w": np.arange(6, dtype=np.float32).reshape(2, 3),
    "double": np.linspace(0, 1, 5),
    "step": np.array(-7, np.int64),
    "ints": np.array([[1, -2], [3, 2**31 - 1]], np.int32),
    "empty": np.zeros((0, 3), np.float32),
}


@pytest.mark.parametrize("num_shards", [1, 2, 5])
def test_tensorflow_reads_written_bundles(tmp_path: Path, num_shards: int) -> None:
    prefix = write_bundle(tmp_path / "model", TENSORS, num_shards)
    reader = tf.train.load_checkpoint(prefix)
    assert reader.get_variable_to_shape_map() == {name: list(a.shape) for name, a in TENSORS.items()}
    for name, array in TENSORS.items():
        read = reader.get_tensor(name)
        assert read.dtype == array.dtype
        np.testing.assert_array_equal(read, array)


def test_tensorflow_reads_written_v1_files(tmp_path: Path) -> None:
    path = tmp_path / "model"
    path.write_bytes(encode_v1(TENSORS))
    reader = tf.train.load_checkpoint(str(path))
    assert reader.get_variable_to_shape_map() == {name: list(a.shape) for name, a in TENSORS.items()}
    for name, array in TENSORS.items():
        np.testing.assert_array_equal(reader.get_tensor(name), array)


@pytest.mark.parametrize("compression", [None, "snappy"])
@pytest.mark.parametrize("block_size", [1, 100, 4096, 262144])
@pytest.mark.parametrize("restart_interval", [1, 2, 16, 1000])
def test_tensorflow_reads_written_tables(
    tmp_path: Path, compression: None, block_size: int, restart_interval: int
) -> None:
    names = sorted(f"layer_{i}/{part}" for i in range(150) for part in ("bias", "kernel", "kernel/Adam"))
    entries = [(name.encode(), encode_entry(shape=(i, 2))) for i, name in enumerate(names)]
    table = encode_table(
        [(b"", HEADER), *entries],
        block_size=block_size,
        compression=compression,
        restart_interval=restart_interval,
    )
    (tmp_path / "model.index").write_bytes(table)
    reader = tf.train.load_checkpoint(str(tmp_path / "model"))
    assert reader.get_variable_to_shape_map() == {name: [i, 2] for i, name in enumerate(names)}
    assert all(reader.has_tensor(name) for name in names)
    assert not reader.has_tensor("layer_1")


def test_a_bundle_has_the_bytes_that_tensorflow_writes(tmp_path: Path) -> None:
    names = sorted(f"layer_{i}/{part}" for i in range(300) for part in ("bias", "kernel"))
    arrays = {name: np.full((i % 3, 2), i, np.float32) for i, name in enumerate(names)}
    prefix = str(tmp_path / "tf")
    tf.raw_ops.SaveV2(
        prefix=prefix, tensor_names=names, shape_and_slices=[""] * len(names), tensors=list(arrays.values())
    )
    ours = write_bundle(tmp_path / "ours", arrays)
    for suffix in (".index", ".data-00000-of-00001"):
        assert Path(ours + suffix).read_bytes() == Path(prefix + suffix).read_bytes()


def test_a_v1_file_has_the_bytes_that_tensorflow_writes(tmp_path: Path) -> None:
    path = str(tmp_path / "tf")
    tf.raw_ops.SaveSlices(
        filename=path,
        tensor_names=list(TENSORS),
        shapes_and_slices=[""] * len(TENSORS),
        data=list(TENSORS.values()),
    )
    # The op sorts tensors by name.
    assert encode_v1(dict(sorted(TENSORS.items()))) == Path(path).read_bytes()


def test_an_index_made_from_a_mapping_is_sorted(tmp_path: Path) -> None:
    (tmp_path / "model.index").write_bytes(encode_bundle_index({"b": encode_entry(), "a": encode_entry()}))
    reader = tf.train.load_checkpoint(str(tmp_path / "model"))
    assert reader.debug_string() == b"a (DT_FLOAT) []\nb (DT_FLOAT) []\n"
