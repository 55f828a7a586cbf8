"""TensorProto messages that TensorFlow wrote, and others that it reads, as arrays."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

import ckptfmt
from ckptfmt.arrays.decode import MAX_NESTING, decode_tensor_proto, decode_variant
from ckptfmt.dtypes import BY_NAME
from ckptfmt.errors import CorruptError, LimitError, UnsupportedError
from ckptfmt.proto.messages import TensorProto, VariantTensorDataProto
from tests.support.tensor_protos import RESOURCE, VARIANT, WRITTEN

FLOAT32, INT32, STRING, COMPLEX64, BOOL = (
    BY_NAME[name].code for name in ("float32", "int32", "string", "complex64", "bool")
)


def shaped(*sizes: int) -> dict[str, list[dict[str, int]]]:
    return {"dim": [{"size": size} for size in sizes]}


@pytest.mark.parametrize("name", WRITTEN)
def test_what_tensorflow_wrote_is_read(name: str) -> None:
    data, array = WRITTEN[name]
    for given in (data, memoryview(data), TensorProto.FromString(data)):
        got = ckptfmt.to_array(given)
        assert (got.dtype, got.shape) == (array.dtype, array.shape)
        assert got.tolist() == array.tolist()
        assert not got.flags.writeable


def test_numbers_in_tensor_content_are_a_view() -> None:
    data, _ = WRITTEN["float32"]
    assert np.shares_memory(decode_tensor_proto(memoryview(data)), np.frombuffer(data, np.uint8))


# --- how many values ----------------------------------------------------------------------------------------


def test_fewer_values_repeat_the_last_one() -> None:
    proto = TensorProto(dtype=INT32, tensor_shape=shaped(2, 2), int_val=[1, 2])
    assert ckptfmt.to_array(proto).tolist() == [[1, 2], [2, 2]]


def test_one_value_repeated_takes_no_memory() -> None:
    proto = TensorProto(dtype=FLOAT32, tensor_shape=shaped(2**20, 2**20), float_val=[0.5])
    array = ckptfmt.to_array(proto)
    assert array.shape == (2**20, 2**20)
    assert array.strides == (0, 0)
    assert array[3, 2**19] == 0.5


@pytest.mark.parametrize(("dtype", "zero"), [(FLOAT32, 0.0), (STRING, b""), (BOOL, False)])
def test_no_values_mean_zeros(dtype: int, zero: object) -> None:
    assert ckptfmt.to_array(TensorProto(dtype=dtype, tensor_shape=shaped(3))).tolist() == [zero] * 3


def test_surplus_values_are_dropped() -> None:
    proto = TensorProto(dtype=INT32, tensor_shape=shaped(2), int_val=[1, 2, 3])
    assert ckptfmt.to_array(proto).tolist() == [1, 2]


def test_a_few_bytes_do_not_ask_for_any_amount_of_memory() -> None:
    proto = TensorProto(dtype=FLOAT32, tensor_shape=shaped(2**40), float_val=[1, 2])
    with pytest.raises(
        LimitError, match=r"^bytes of the constant float32\[1099511627776\] from 2 values"
    ) as caught:
        ckptfmt.to_array(proto)
    assert (caught.value.asked, caught.value.limit) == (2**42, 2 << 30)


def test_a_shape_of_too_many_dimensions_is_refused() -> None:
    for values in ([], [1.0]):
        proto = TensorProto(dtype=FLOAT32, tensor_shape=shaped(*[1] * 65), float_val=values)
        with pytest.raises(UnsupportedError, match="NumPy has no array of shape"):
            ckptfmt.to_array(proto)


# --- how values are written ---------------------------------------------------------------------------------


def test_packed_and_single_values_may_be_mixed() -> None:
    floats = b"\x2d" + np.float32(1).tobytes() + b"\x2a\x08" + np.float32([2, 3]).tobytes()
    assert decode_tensor_proto(b"\x08\x01\x12\x04\x12\x02\x08\x03" + floats).tolist() == [1, 2, 3]
    integers = b"\x38\x01\x3a\x02\x02\x03"
    assert decode_tensor_proto(b"\x08\x03\x12\x04\x12\x02\x08\x03" + integers).tolist() == [1, 2, 3]


def test_integers_are_truncated_to_the_width_of_the_dtype() -> None:
    proto = TensorProto(dtype=BY_NAME["uint8"].code, tensor_shape=shaped(3), int_val=[-1, 256, 257])
    assert ckptfmt.to_array(proto).tolist() == [255, 0, 1]
    proto = TensorProto(dtype=BY_NAME["int4"].code, tensor_shape=shaped(2), int_val=[15, 7])
    assert ckptfmt.to_array(proto).astype(int).tolist() == [-1, 7]


def test_a_lone_real_part_is_dropped() -> None:
    proto = TensorProto(dtype=COMPLEX64, tensor_shape=shaped(2), scomplex_val=[1, 2, 3])
    assert ckptfmt.to_array(proto).tolist() == [1 + 2j, 1 + 2j]


def test_the_last_bytes_of_small_floats_count() -> None:
    once = bytes(WRITTEN["one float8"][0])
    assert ckptfmt.to_array(once + b"\x92\x01\x01\x40").tolist() == ml_dtypes.float8_e5m2(2)


def test_strings_in_tensor_content_follow_their_lengths() -> None:
    """TensorFlow's C++ writes so with AsProtoTensorContent."""
    proto = TensorProto(dtype=STRING, tensor_shape=shaped(3), tensor_content=b"\x01\x00\x03ab\0c")
    assert ckptfmt.to_array(proto).tolist() == [b"a", b"", b"b\0c"]


def test_shapes_given_twice_are_joined() -> None:
    part = b"\x12\x04\x12\x02\x08\x02"
    assert decode_tensor_proto(b"\x08\x03" + part + part).shape == (2, 2)


# --- values that are not numbers ----------------------------------------------------------------------------


def test_a_tensor_list_is_a_variant_of_its_tensors() -> None:
    array = ckptfmt.to_array(VARIANT)
    assert array.shape == ()
    variant = array.item()
    assert isinstance(variant, ckptfmt.Variant)
    assert variant.type_name == "tensorflow::TensorList"
    assert [tensor.tolist() for tensor in variant.tensors] == [1.0, 2.0]
    shown = "<Variant 'tensorflow::TensorList' metadata=12 bytes tensors=(float32[], float32[])>"
    assert repr(variant) == shown
    many = ckptfmt.Variant("t", b"", variant.tensors * 3)
    assert repr(many).endswith("float32[], … 6 in all)>")


def test_a_variable_is_a_resource_handle() -> None:
    handle = ckptfmt.to_array(RESOURCE).item()
    assert isinstance(handle, ckptfmt.ResourceHandle)
    assert handle.device == "/job:localhost/replica:0/task:0/device:CPU:0"
    assert handle.container == "Anonymous"
    assert handle.name == "Variable/0"
    assert handle.type_name == "N10tensorflow3VarE"
    assert handle.hash_code > 2**63


def test_variants_are_nested_only_so_deep() -> None:
    def nest(depth: int) -> VariantTensorDataProto:
        variant = VariantTensorDataProto(type_name="v")
        if depth:
            variant.tensors.add(dtype=BY_NAME["variant"].code).variant_val.add().CopyFrom(nest(depth - 1))
        return variant

    data = nest(40).SerializeToString()
    inner = decode_variant(data)
    for _ in range(40):
        inner = inner.tensors[0].item()
    assert inner.tensors == ()
    decode_variant(data, nesting=MAX_NESTING - 40)
    with pytest.raises(CorruptError, match=f"nested more than {MAX_NESTING} deep"):
        decode_variant(data, nesting=MAX_NESTING - 39)


def test_values_in_variants_are_repeated_less_often() -> None:
    variant = VariantTensorDataProto(type_name="v")
    variant.tensors.add(dtype=FLOAT32, tensor_shape=shaped(2**20), float_val=[1, 2])
    with pytest.raises(LimitError, match="from 2 values"):
        decode_variant(variant.SerializeToString())


# --- damage -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (b"\x2a\x03abc", "field 5: got 3 bytes, want a multiple of 4"),
        (b"\x29" + bytes(8), "field 5: got wire type 1, want 5"),
        (b"\x28\x01", "field 5: got wire type 0, want 5"),
        (b"\x22\x03abc", r"float32 of shape \[\]: got 3 bytes, want 4"),
        (b"\x2d\x00", "got 1 bytes, want 4"),
    ],
    ids=["a part of a float", "fixed64", "varint", "content", "cut short"],
)
def test_what_is_not_a_tensor_is_damage(values: bytes, message: str) -> None:
    with pytest.raises(CorruptError, match=message):
        decode_tensor_proto(b"\x08\x01" + values)


@pytest.mark.parametrize(("dtype", "field"), [(STRING, b"\x40\x01"), (25, b"\x90\x01\x01")])
def test_a_number_is_neither_a_string_nor_bytes(dtype: int, field: bytes) -> None:
    with pytest.raises(CorruptError, match="got wire type 0, want 2"):
        decode_tensor_proto(bytes([8, dtype]) + field)


@pytest.mark.parametrize(("code", "name"), [(0, "invalid"), (99, "unknown_99"), (101, "float32_ref")])
def test_dtypes_without_values_are_refused(code: int, name: str) -> None:
    with pytest.raises(UnsupportedError, match=rf"^dtype {name} \(code {code}\) has no values$"):
        decode_tensor_proto(bytes([8, code]))
