"""Arrays as the TensorProto messages that TensorFlow makes of them."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest

import ckptfmt
import ckptfmt.arrays.encode
from ckptfmt.arrays.encode import outline_proto
from ckptfmt.dtypes import BY_NAME
from ckptfmt.proto.messages import TensorProto
from tests.support.tensor_protos import WRITTEN


@pytest.mark.parametrize("name", WRITTEN)
def test_an_array_is_written_as_tensorflow_writes_it(name: str) -> None:
    data, array = WRITTEN[name]
    assert ckptfmt.to_proto(array).SerializeToString(deterministic=True) == data


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        *((1, "int32"), (2**31, "int64"), ([1, -(2**40)], "int64"), (True, "bool"), (1.5, "float32")),
        *(([1, 2.5], "float32"), (1j, "complex128"), ("a", "string"), (b"a\0", "string"), ([], "float32")),
        *((np.float64(1), "float64"), (np.int64(1), "int64"), (bytearray(b"ab"), "uint8")),
    ],
    ids=repr,
)
def test_pythons_numbers_have_tensorflows_dtypes_and_numpys_their_own(values: Any, dtype: str) -> None:
    assert BY_NAME[dtype].code == ckptfmt.to_proto(values).dtype


def test_a_float_too_large_for_float32_is_infinite() -> None:
    assert ckptfmt.to_array(ckptfmt.to_proto(1e300)) == np.inf


def test_strings_keep_zeros_at_their_end() -> None:
    assert list(ckptfmt.to_proto([b"a\0", "ü"]).string_val) == [b"a\0", "ü".encode()]


def test_values_are_given_a_dtype() -> None:
    assert ckptfmt.to_array(ckptfmt.to_proto([1, 2], np.float16)).dtype == np.float16
    reference = ckptfmt.as_dtype(101)
    assert ckptfmt.to_proto([1, 2], reference).dtype == reference.base_dtype.code == 1
    quantised = ckptfmt.to_proto(np.int8([1, -1]), "qint8")
    assert (quantised.dtype, quantised.tensor_content) == (BY_NAME["qint8"].code, b"\x01\xff")
    small = ckptfmt.to_proto([0.5, 1], ml_dtypes.bfloat16)
    assert ckptfmt.to_array(small).tolist() == [0.5, 1]


def test_a_shape_of_more_elements_keeps_the_values_given() -> None:
    proto = ckptfmt.to_proto([1, 2], shape=(2, np.int64(3)))
    assert list(proto.int_val) == [1, 2]
    assert ckptfmt.to_array(proto).tolist() == [[1, 2, 2], [2, 2, 2]]


def test_a_message_is_returned_as_it_is() -> None:
    proto = TensorProto(dtype=1)
    assert ckptfmt.to_proto(proto) is proto


def test_variants_and_resources_come_back() -> None:
    handle = ckptfmt.ResourceHandle("/cpu:0", "c", "v", 2**64 - 1, "Var")
    inner = ckptfmt.Variant("inner", b"\0", ())
    tensors = (np.float32([1, 2]), np.array([inner, inner]), np.array(handle), np.array([b"a"], object))
    variant = ckptfmt.Variant("outer", b"meta", tensors)
    back = ckptfmt.to_array(ckptfmt.to_proto([variant], "variant")).item()
    assert (back.type_name, back.metadata) == ("outer", b"meta")
    assert back.tensors[0].tolist() == [1, 2]
    assert [each.type_name for each in back.tensors[1]] == ["inner", "inner"]
    assert back.tensors[2].item() == handle
    assert back.tensors[3].tolist() == [b"a"]


def test_large_contents_are_a_view_of_the_array() -> None:
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    proto = TensorProto()
    content = outline_proto(proto, array, BY_NAME["float32"], (2, 3))
    assert content is not None
    assert np.shares_memory(content, array)
    assert not proto.tensor_content
    assert ckptfmt.to_array(TensorProto(tensor_content=content.tobytes(), **fields(proto))).tolist() == (
        array.tolist()
    )
    transposed = outline_proto(TensorProto(), array.T, BY_NAME["float32"], (3, 2))
    assert transposed is not None
    assert transposed.tobytes() == array.T.tobytes()


def fields(proto: TensorProto) -> dict[str, Any]:
    return {"dtype": proto.dtype, "tensor_shape": proto.tensor_shape}


# --- what is refused ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "dtype", "message"),
    [
        ([1.5], "int32", "got values of float64, want int32"),
        (["a"], "float32", "got values of object, want float32"),
        ([1], "bool", "got values of int64, want bool"),
        ([1j], "float32", "got values of complex128, want float32"),
        ([1], "string", "got values of int64, want string"),
        ([object()], "string", "element of a string tensor: got object, want bytes or str"),
        ([1], "variant", "element of a variant tensor: got int, want a Variant"),
        ([1], "resource", "element of a resource tensor: got int, want a ResourceHandle"),
        (["a"], 99, r"dtype unknown_99 \(code 99\) has no values"),
        ([1], "float31", "dtype: got float31, want one of TensorFlow's"),
    ],
)
def test_values_of_another_kind_are_refused(values: Any, dtype: Any, message: str) -> None:
    with pytest.raises(TypeError, match=f"^{message}$"):
        ckptfmt.to_proto(values, dtype)


def test_more_values_than_elements_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^too many values: got 3, want at most 2 for shape \[2\]$"):
        ckptfmt.to_proto([1, 2, 3], shape=(2,))


def test_lists_of_different_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="inhomogeneous"):
        ckptfmt.to_proto([[1, 2], [3]])


def test_an_integer_that_no_dtype_holds_is_refused() -> None:
    with pytest.raises(ValueError, match=r"out of bounds|too large"):
        ckptfmt.to_proto([300], "uint8")


def test_more_than_a_message_holds_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ckptfmt.arrays.encode, "MAX_CONTENT", 8)
    with pytest.raises(ValueError, match=r"^float32\[2\]: got 8 bytes, want less than 2 GiB$"):
        ckptfmt.to_proto(np.float32([1, 2]))
