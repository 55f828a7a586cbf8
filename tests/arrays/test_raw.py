"""Raw bytes: a view if NumPy stores them alike, and no byte outside the part that is asked for."""

from __future__ import annotations

import numpy as np
import pytest

from ckptfmt.arrays.raw import decode_raw
from ckptfmt.dtypes import BY_NAME, DType
from ckptfmt.errors import CorruptError, UnsupportedError

FLOAT32, BOOL, INT4 = BY_NAME["float32"], BY_NAME["bool"], BY_NAME["int4"]


def test_numbers_are_a_read_only_view() -> None:
    data = np.arange(6, dtype="<f4").tobytes()
    array = decode_raw(data, FLOAT32, (2, 3))
    assert array.tolist() == [[0, 1, 2], [3, 4, 5]]
    assert np.shares_memory(array, np.frombuffer(data, np.uint8))
    assert not array.flags.writeable


def test_a_view_may_be_unaligned() -> None:
    data = memoryview(b"?" + np.arange(3, dtype="<f8").tobytes())[1:]
    array = decode_raw(data, BY_NAME["float64"], (3,))
    assert np.shares_memory(array, np.frombuffer(data, np.uint8))
    assert array.sum() == 3


@pytest.mark.parametrize("shape", [(), (0,), (3, 0, 2)], ids=str)
def test_one_element_and_none_are_arrays_too(shape: tuple[int, ...]) -> None:
    size = int(np.prod(shape)) * 4
    array = decode_raw(bytes(size), FLOAT32, shape)
    assert (array.shape, array.dtype) == (shape, np.float32)


@pytest.mark.parametrize("name", ["int4", "uint4", "int2", "uint2"])
def test_small_integers_are_the_low_bits_of_their_byte(name: str) -> None:
    dtype = BY_NAME[name]
    array = decode_raw(bytes(range(256)), dtype, (256,))
    low = [byte % 2**dtype.bits for byte in range(256)]
    half = 2 ** (dtype.bits - 1)
    expected = [n - 2 * half if dtype.signed and n >= half else n for n in low]
    assert array.dtype == dtype.numpy
    assert array.astype(np.int64).tolist() == expected


def test_a_small_integer_without_dimensions_is_an_array() -> None:
    array = decode_raw(b"\x0f", INT4, ())
    assert isinstance(array, np.ndarray)
    assert (array.shape, int(array.astype(int))) == ((), -1)


def test_bools_are_a_view_unless_a_byte_is_neither_0_nor_1() -> None:
    data = b"\x00\x01\x01"
    array = decode_raw(data, BOOL, (3,))
    assert np.shares_memory(array, np.frombuffer(data, np.uint8))
    odd = decode_raw(b"\x00\x02\xff", BOOL, (3,))
    assert odd.tolist() == [False, True, True]
    assert odd.tobytes() == b"\x00\x01\x01"
    assert not odd.flags.writeable


@pytest.mark.parametrize("name", ["float32", "complex64", "int4", "bool", "uint8"])
@pytest.mark.parametrize("big_endian", [False, True])
def test_a_part_is_that_part_of_the_whole(name: str, big_endian: bool) -> None:
    dtype: DType = BY_NAME[name]
    data = bytes(np.random.default_rng(5).integers(0, 2, 12 * (dtype.itemsize or 0), np.uint8))
    whole = decode_raw(data, dtype, (3, 4), big_endian=big_endian)
    boxes = [(slice(1, 3), ...), (0, slice(None, None, -1), ...), (slice(1, 3), np.array([2, 0]), ...)]
    for box in boxes:
        part = decode_raw(data, dtype, (3, 4), big_endian=big_endian, at=box)  # type: ignore[arg-type]
        assert part.dtype == whole.dtype
        np.testing.assert_array_equal(part, whole[box])  # type: ignore[index]


def test_bytes_of_the_other_order_are_swapped_by_word() -> None:
    array = decode_raw(
        np.array([1 + 2j, 3 - 4j], ">c8").tobytes(), BY_NAME["complex64"], (2,), big_endian=True
    )
    assert array.tolist() == [1 + 2j, 3 - 4j]
    assert array.dtype == np.complex64
    assert not array.flags.writeable


def test_bytes_that_do_not_fill_the_shape_are_damage() -> None:
    with pytest.raises(CorruptError, match=r"float32 of shape \[2, 3\]: got 23 bytes, want 24$") as caught:
        decode_raw(bytes(23), FLOAT32, (2, 3))
    assert caught.value.offset == 0


def test_what_has_no_fixed_size_has_no_raw_bytes() -> None:
    with pytest.raises(UnsupportedError, match=r"^dtype string has no fixed-size elements$"):
        decode_raw(b"", BY_NAME["string"], (0,))


def test_a_shape_of_too_many_dimensions_is_refused() -> None:
    for dtype, big_endian in ((FLOAT32, False), (FLOAT32, True), (INT4, False)):
        with pytest.raises(UnsupportedError, match="NumPy has no array of shape"):
            decode_raw(bytes(dtype.itemsize or 0), dtype, (1,) * 65, big_endian=big_endian)
