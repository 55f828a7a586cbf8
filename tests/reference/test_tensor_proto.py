"""TensorProtos: written byte for byte as TensorFlow writes them, and read as TensorFlow reads them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ckptfmt import DTYPES, to_array, to_proto
from ckptfmt.dtypes import DType
from tests.support.corpus import GRAPH_FILES, read_graphs

tf = pytest.importorskip("tensorflow", reason="compares with TensorFlow, which is not installed")
pytestmark = pytest.mark.tensorflow

NUMBERS = [d for d in DTYPES.values() if d.itemsize is not None]
SHAPES: list[tuple[int, ...]] = [(), (1,), (2,), (2, 3), (0,), (3, 0, 2), (1, 1, 1)]


def written(proto: Any) -> bytes:
    return bytes(proto.SerializeToString(deterministic=True))


def values_of(dtype: DType, shape: tuple[int, ...]) -> np.ndarray:
    count = int(np.prod(shape))
    codes = np.random.default_rng(count).integers(0, 256, count * dtype.numpy.itemsize, np.uint8)
    if dtype.bits:
        codes &= (1 << dtype.bits) - 1
        if dtype.signed:
            codes |= np.where(codes >> (dtype.bits - 1), 0xFF << dtype.bits & 0xFF, 0).astype(np.uint8)
    if dtype.is_bool:
        codes &= 1
    return codes.view(dtype.numpy).reshape(shape)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("dtype", NUMBERS, ids=lambda d: d.name)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_arrays_are_written_byte_for_byte(dtype: DType, shape: tuple[int, ...]) -> None:
    array = values_of(dtype, shape)
    # Quantised values are plain integers in NumPy; in TensorFlow they have dtypes of their own.
    theirs = array.astype(tf.as_dtype(dtype.code).as_numpy_dtype) if dtype.is_quantized else array
    got = to_proto(array, dtype)
    try:
        want = tf.make_tensor_proto(theirs, tf.as_dtype(dtype.code))
    except TypeError as error:
        # Some dtypes TensorFlow writes only as tensor_content, never a single number.
        assert "not supported in TensorProto" in str(error)  # noqa: PT017
    else:
        assert written(got) == written(want)
        if not dtype.is_quantized:
            assert written(to_proto(array)) == written(want)
    back = to_array(got)
    assert (back.dtype, back.shape) == (array.dtype, array.shape)
    assert back.tobytes() == array.tobytes()


@pytest.mark.parametrize(
    "values",
    [
        *(1, -1, 2**31, 2**40, True, 1.5, 1e300, 1 + 2j, "text", b"\x00\xff\x00", "ünï"),
        *([], [[]], [1, 2], [[1.0], [2.0]], [True, False], ["a", "bc"], [[b"a\x00"], [b""]], [1, 2.5]),
        *([2**31, 1], (1, 2), [[1 + 1j, 2]]),
    ],
    ids=repr,
)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_python_values_are_written_byte_for_byte(values: Any) -> None:
    assert written(to_proto(values)) == written(tf.make_tensor_proto(values))


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        *((1, "float32"), ([1, 2], "int64"), ([1, 2], "uint16"), ([0.5], "bfloat16"), ([1, 2], "bfloat16")),
        *((3, "float16"), ([1, 2, 3], "int8"), (["a"], "string"), ([1.5, 2], "complex64"), ([], "int32")),
        *(([1.5, 2.0], "float8_e5m2"), ([0.5], "float8_e4m3fn"), (True, "bool"), ([1, -1], "int4")),
    ],
    ids=repr,
)
def test_values_with_a_dtype_are_written_byte_for_byte(values: Any, dtype: str) -> None:
    assert written(to_proto(values, dtype)) == written(tf.make_tensor_proto(values, dtype))


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        ([1.5], "int32"),
        (["a"], "float32"),
        ([1], "string"),
        ([1j], "float32"),
        ([1], "bool"),
        (["a"], "int8"),
    ],
)
def test_values_of_another_kind_are_refused(values: Any, dtype: str) -> None:
    for write in (to_proto, tf.make_tensor_proto):
        with pytest.raises(TypeError):
            write(values, dtype)


@pytest.mark.parametrize(
    ("values", "shape"), [(7, (2, 3)), ([1, 2], (5,)), ([1, 2, 3, 4], (2, 2)), ([0.5], (1, 1)), (b"x", (3,))]
)
def test_a_shape_of_more_elements_repeats_the_last_value(values: Any, shape: tuple[int, ...]) -> None:
    got = to_proto(values, shape=shape)
    want = tf.make_tensor_proto(values, shape=shape)
    assert written(got) == written(want)
    np.testing.assert_array_equal(to_array(got), tf.make_ndarray(want))


def test_more_values_than_elements_are_refused() -> None:
    for write in (to_proto, tf.make_tensor_proto):
        with pytest.raises(ValueError, match=r"(?i)too many"):
            write([1, 2, 3], shape=(2,))
        with pytest.raises(ValueError, match=r"."):
            write([[1, 2], [3]])


@given(st.data())
@settings(max_examples=100, deadline=None)
def test_any_array_is_written_byte_for_byte_and_comes_back(data: st.DataObject) -> None:
    dtype = data.draw(st.sampled_from([d.numpy for d in NUMBERS if d.numpy.isbuiltin == 1]))
    array = data.draw(hnp.arrays(dtype, hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4)))
    proto = to_proto(array)
    assert written(proto) == written(tf.make_tensor_proto(array))
    assert to_array(proto).tobytes() == array.tobytes()


@pytest.mark.skipif(not GRAPH_FILES, reason="the corpus is not here")
def test_every_constant_of_the_corpus_is_the_one_that_tensorflow_reads() -> None:
    count = 0
    for graph in read_graphs().values():
        for name, node in graph.items():
            if node.op != "Const":
                continue
            theirs = tf.compat.v1.AttrValue.FromString(node.message.attr["value"].SerializeToString()).tensor
            want = tf.make_ndarray(theirs)
            got = graph.constants[name]
            assert got.shape == want.shape
            if got.dtype == object:
                assert got.tolist() == want.tolist()
            else:
                assert got.tobytes() == want.tobytes()
            count += 1
    assert count > 1000
