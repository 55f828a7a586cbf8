"""Shapes of files: what TensorFlow takes for one, and what NumPy does."""

from __future__ import annotations

import numpy as np
import pytest

from ckptfmt.arrays.array import new_array, shaped
from ckptfmt.arrays.shape import MAX_RANK, check_shape, decode_shape, expected_size
from ckptfmt.dtypes import BY_NAME
from ckptfmt.errors import CorruptError, LimitError, UnsupportedError
from ckptfmt.proto import messages

FLOAT32, STRING = BY_NAME["float32"], BY_NAME["string"]


def encode_shape(*sizes: int) -> bytes:
    return messages.TensorShapeProto(dim=[{"size": size} for size in sizes]).SerializeToString()


@pytest.mark.parametrize("shape", [(), (0,), (1,), (3, 4), (2**40, 0, 7), (1,) * MAX_RANK], ids=len)
def test_a_shape_is_its_dimensions(shape: tuple[int, ...]) -> None:
    assert decode_shape(encode_shape(*shape)) == shape


def test_names_of_dimensions_and_an_unknown_rank_are_ignored() -> None:
    proto = messages.TensorShapeProto(dim=[{"size": 2, "name": "batch"}, {"size": 3}], unknown_rank=True)
    assert decode_shape(proto.SerializeToString()) == (2, 3)


def test_a_size_that_is_not_stated_is_zero() -> None:
    assert decode_shape(b"\x12\x00") == (0,)


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ((3, -1), "dimension 1 of a shape: got -1, want at least 0"),
        ((2**32, 2**31), "more than 2**63 - 1 elements"),
        ((2**32, 2**31, 0), "more than 2**63 - 1 elements"),
        ((1,) * (MAX_RANK + 1), "shape: got 255 dimensions, want at most 254"),
    ],
    ids=["negative", "too many elements", "too many elements before a zero", "too many dimensions"],
)
def test_shapes_that_tensorflow_does_not_have_are_damage(sizes: tuple[int, ...], message: str) -> None:
    with pytest.raises(CorruptError) as caught:
        decode_shape(encode_shape(*sizes))
    assert message in caught.value.what


def test_the_stored_size_is_that_of_all_elements_unless_they_vary() -> None:
    assert expected_size(FLOAT32, (2, 3)) == 24
    assert expected_size(BY_NAME["int4"], (2, 3)) == 6
    assert expected_size(FLOAT32, ()) == 4
    assert expected_size(STRING, (2,)) is None


def test_numpy_has_fewer_dimensions_than_tensorflow() -> None:
    shape = (1,) * 65
    check_shape((1,) * 32, FLOAT32)
    check_shape((2**20, 2**20), FLOAT32)
    for refuse in (
        lambda: check_shape(shape, FLOAT32),
        lambda: new_array(shape, FLOAT32),
        lambda: shaped(np.zeros(1), shape),
    ):
        with pytest.raises(UnsupportedError, match=r"^NumPy has no array of shape \[1, 1, "):
            refuse()


def test_an_array_that_memory_does_not_hold_is_refused() -> None:
    message = r"^bytes of memory for float32\[1125899906842624\]: \d+ exceeds"
    with pytest.raises(LimitError, match=message) as caught:
        new_array((2**50,), FLOAT32)
    assert caught.value.asked == 2**52


def test_a_shaped_array_is_a_read_only_view() -> None:
    values = np.arange(6)
    array = shaped(values, (2, 3))
    assert np.shares_memory(array, values)
    assert not array.flags.writeable
    assert values.flags.writeable
