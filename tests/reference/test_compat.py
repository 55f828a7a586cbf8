"""``ckptfmt.compat`` gives the answers of ``tf.train``."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ckptfmt import compat
from ckptfmt.dtypes import DTYPES, REF_OFFSET, Storage, find_dtype

tf = pytest.importorskip("tensorflow", reason="compares with TensorFlow, which is not installed")
pytestmark = pytest.mark.tensorflow

QUANTISED = ("qint8", "quint8", "qint16", "quint16", "qint32")
SAVED = [
    tf.as_dtype(dtype.code)
    for dtype in DTYPES.values()
    if dtype.storage is not Storage.NONE and dtype.storage is not Storage.VARIANT
]


def make(dtype: Any, shape: tuple[int, ...]) -> Any:
    """Return a tensor of small values of a dtype."""
    size = int(np.prod(shape))
    if dtype == tf.string:
        return tf.reshape(tf.constant([b"x" * i for i in range(size)], tf.string), shape)
    numbers = np.arange(size).reshape(shape) % 2
    if dtype.name in QUANTISED:
        return tf.bitcast(tf.constant(numbers, dtype.name[1:]), dtype)
    return tf.constant(numbers.astype(dtype.as_numpy_dtype), dtype)


def save_v2(prefix: Path, tensors: dict[str, Any]) -> str:
    tf.raw_ops.SaveV2(
        prefix=str(prefix),
        tensor_names=list(tensors),
        shape_and_slices=[""] * len(tensors),
        tensors=list(tensors.values()),
    )
    return str(prefix)


def assert_same_value(ours: Any, theirs: Any) -> None:
    """Assert that values have one type and are equal; arrays in dtype, shape, flags and bytes."""
    assert type(ours) is type(theirs)
    if isinstance(theirs, bytes):
        assert ours == theirs
        return
    assert ours.dtype == theirs.dtype
    assert ours.shape == theirs.shape
    assert ours.flags.writeable == theirs.flags.writeable
    if theirs.dtype == object:
        assert ours.tolist() == theirs.tolist()
    else:
        assert ours.tobytes() == theirs.tobytes()


def assert_same_reader(path: str) -> None:
    """Assert that both readers answer every question about a checkpoint alike."""
    ours, theirs = compat.load_checkpoint(path), tf.train.load_checkpoint(path)
    shapes = theirs.get_variable_to_shape_map()
    assert ours.get_variable_to_shape_map() == shapes
    assert all(type(shape) is list for shape in ours.get_variable_to_shape_map().values())
    dtypes = theirs.get_variable_to_dtype_map()
    assert {name: dtype.name for name, dtype in ours.get_variable_to_dtype_map().items()} == {
        name: dtype.name for name, dtype in dtypes.items()
    }
    assert compat.list_variables(path) == tf.train.list_variables(path)
    # For V1, TensorFlow lists tensors in the order of a hash table.
    assert sorted(ours.debug_string().splitlines()) == sorted(theirs.debug_string().splitlines())
    for name in shapes:
        assert ours.has_tensor(name)
        assert_same_value(ours.get_tensor(name), theirs.get_tensor(name))
        assert_same_value(ours.get_tensor(name.encode()), theirs.get_tensor(name.encode()))
        assert_same_value(compat.load_variable(path, f"{name}:0"), tf.train.load_variable(path, f"{name}:0"))
    assert not ours.has_tensor("no such tensor")
    assert not theirs.has_tensor("no such tensor")


@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 3), (2, 0, 3), (1, 1, 1)], ids=str)
def test_every_dtype_is_read_as_by_tensorflow(tmp_path: Path, shape: tuple[int, ...]) -> None:
    path = save_v2(tmp_path / "ckpt", {dtype.name: make(dtype, shape) for dtype in SAVED})
    assert_same_reader(path)
    theirs = tf.train.load_checkpoint(path).debug_string()
    assert compat.load_checkpoint(path).debug_string() == theirs


def test_the_dtypes_of_a_checkpoint_equal_tensorflow_dtypes(tmp_path: Path) -> None:
    path = save_v2(tmp_path / "ckpt", {dtype.name: make(dtype, ()) for dtype in SAVED})
    ours = compat.load_checkpoint(path).get_variable_to_dtype_map()
    theirs = tf.train.load_checkpoint(path).get_variable_to_dtype_map()
    assert ours == theirs
    assert theirs == ours


# The code of a reference dtype is 100 more than that of its base.
@pytest.mark.parametrize("code", [*DTYPES, *(REF_OFFSET + code for code in DTYPES)])
def test_dtypes_have_the_same_attributes(code: int) -> None:
    ours, theirs = find_dtype(code), tf.as_dtype(code)
    for attribute in (
        *("name", "as_datatype_enum", "size", "is_floating", "is_integer", "is_complex", "is_bool"),
        *("is_quantized", "is_numpy_compatible"),
    ):
        assert getattr(ours, attribute) == getattr(theirs, attribute), attribute
    assert ours.base_dtype.name == theirs.base_dtype.name
    if ours.storage in (Storage.NONE, Storage.VARIANT):
        return
    if ours.is_quantized:  # in TensorFlow a structure of one integer
        assert [(ours.name, ours.as_numpy_dtype)] == theirs.as_numpy_dtype
    else:
        assert ours.as_numpy_dtype is theirs.as_numpy_dtype


@pytest.mark.parametrize("code", [*DTYPES, 0, 99, 101])
def test_a_dtype_equals_the_same_dtype_of_tensorflow_and_no_other(code: int) -> None:
    ours = find_dtype(code)
    for other in (*DTYPES, 101):
        theirs = tf.as_dtype(other)
        assert (ours == theirs) is (code == other)
        assert (theirs == ours) is (code == other)
        assert (ours != theirs) is (code != other)
        assert (theirs != ours) is (code != other)


def test_any_name_is_read_as_by_tensorflow(tmp_path: Path) -> None:
    names = [
        "a",
        "a/b",
        "a:0",
        "é",
        "模型/カーネル",
        "with space",
        "line\nbreak",
        "x" * 300,
        "0",
        "_CHECKPOINTABLE",
    ]
    assert_same_reader(save_v2(tmp_path / "ckpt", {name: tf.constant(1.0) for name in names}))


def test_partitioned_variables_are_read_as_by_tensorflow(tmp_path: Path) -> None:
    prefix = str(tmp_path / "ckpt")
    tf.raw_ops.SaveV2(
        prefix=prefix,
        tensor_names=["w", "w", "b"],
        shape_and_slices=["4 3 0,2:0,3", "4 3 2,2:0,3", ""],
        tensors=[tf.ones([2, 3]), tf.zeros([2, 3]), tf.zeros([4])],
    )
    ours, theirs = compat.load_checkpoint(prefix), tf.train.load_checkpoint(prefix)
    assert ours.get_variable_to_shape_map() == theirs.get_variable_to_shape_map() == {"w": [4, 3], "b": [4]}
    for name in ("w", "b"):
        assert_same_value(ours.get_tensor(name), theirs.get_tensor(name))
    # TensorFlow's text shows the encoded keys of both slices as well, which are not even text.
    assert ours.debug_string() == b"b (DT_FLOAT) [4]\nw (DT_FLOAT) [4,3], 2 slices\n"
    assert b"\x00w\x00\x01" in theirs.debug_string()


def test_v1_checkpoints_are_read_as_by_tensorflow(tmp_path: Path) -> None:
    path = str(tmp_path / "ckpt")
    dtypes = [tf.float32, tf.float64, tf.int32, tf.uint8, tf.int16, tf.int8, tf.int64, tf.bool, tf.string]
    tensors = {
        f"{dtype.name}{i}": make(dtype, shape)
        for dtype in dtypes
        for i, shape in enumerate([(), (3,), (2, 3)])
    }
    tf.raw_ops.SaveSlices(
        filename=path,
        tensor_names=list(tensors),
        shapes_and_slices=[""] * len(tensors),
        data=list(tensors.values()),
    )
    assert_same_reader(path)


def test_v1_slices_are_counted_as_tensorflow_counts_them(tmp_path: Path) -> None:
    path = str(tmp_path / "ckpt")
    tf.raw_ops.SaveSlices(
        filename=path,
        tensor_names=["w", "w"],
        shapes_and_slices=["4 3 0,2:0,3", "4 3 2,2:0,3"],
        data=[tf.ones([2, 3]), tf.zeros([2, 3])],
    )
    ours, theirs = compat.load_checkpoint(path), tf.train.load_checkpoint(path)
    assert ours.debug_string() == theirs.debug_string() == b"w (DT_FLOAT) [4,3], 2 slices\n"
    with pytest.raises(tf.errors.UnimplementedError):
        theirs.get_tensor("w")
    np.testing.assert_array_equal(ours.get_tensor("w"), np.repeat([1.0, 0.0], 6).reshape(4, 3))


def test_an_object_checkpoint_is_found_in_its_directory(tmp_path: Path) -> None:
    checkpoint = tf.train.Checkpoint(kernel=tf.Variable(tf.ones([2, 3])), step=tf.Variable(5, dtype=tf.int64))
    tf.train.CheckpointManager(checkpoint, str(tmp_path), max_to_keep=1).save()
    assert_same_reader(str(tmp_path))
    assert compat.latest_checkpoint(str(tmp_path)) == tf.train.latest_checkpoint(str(tmp_path))


def test_a_directory_without_a_checkpoint_is_a_value_error_as_in_tensorflow(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "checkpoint").write_text("model_checkpoint_path: 'gone'")
    for directory in (str(tmp_path), str(tmp_path / "x")):
        for module in (tf.train, compat):
            with pytest.raises(ValueError, match="checkpoint"):
                module.load_checkpoint(directory)


@pytest.mark.parametrize(
    "name",
    [
        "load_checkpoint",
        "list_variables",
        "load_variable",
        "latest_checkpoint",
        "get_checkpoint_state",
        "checkpoints_iterator",
        "NewCheckpointReader",
        "checkpoint_exists",
        "summary_iterator",
    ],
)
def test_functions_have_the_arguments_of_tensorflow(name: str) -> None:
    theirs = inspect.signature(getattr(tf.compat.v1.train, name)).parameters.values()
    ours = inspect.signature(getattr(compat, name)).parameters.values()
    assert [(p.name, p.default) for p in ours] == [(p.name, p.default) for p in theirs]


def test_readers_have_the_methods_of_tensorflow() -> None:
    reader = tf.train.load_checkpoint.__globals__["py_checkpoint_reader"].CheckpointReader
    theirs = {name for name in vars(reader) if not name.startswith("_")} - {"CheckpointReader_GetTensor"}
    assert theirs == {name for name in vars(compat.CheckpointReader) if not name.startswith("_")}


NAME = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=12)
SHAPE = st.lists(st.integers(0, 3), max_size=3).map(tuple)


@settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tensors=st.dictionaries(NAME, st.tuples(st.sampled_from(SAVED), SHAPE), min_size=1, max_size=8))
def test_any_saved_tensors_are_read_as_by_tensorflow(
    tmp_path: Path, tensors: dict[str, tuple[Any, tuple[int, ...]]]
) -> None:
    made = {name: make(dtype, shape) for name, (dtype, shape) in tensors.items()}
    assert_same_reader(save_v2(tmp_path / "ckpt", made))
