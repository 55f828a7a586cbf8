"""Dtypes equal other names of the same dtype, and NumPy accepts them as dtypes."""

# ruff: noqa: SIM300  (which side a dtype stands on is what is tested)
from __future__ import annotations

import copy
import pickle
from types import SimpleNamespace
from typing import Any
from unittest import mock

import numpy as np
import pytest

from ckptfmt.dtypes import DTYPES, DType, Storage, as_dtype, find_dtype

FLOAT32, STRING, RESOURCE, VARIANT = (find_dtype(code) for code in (1, 7, 20, 21))
STORED = [dtype for dtype in DTYPES.values() if dtype.storage is not Storage.NONE]

all_stored = pytest.mark.parametrize("dtype", STORED, ids=lambda dtype: dtype.name)


@pytest.mark.parametrize(
    "other", ["float32", np.float32, np.dtype("f4"), find_dtype(1), SimpleNamespace(as_datatype_enum=1)]
)
def test_names_of_the_same_dtype_are_equal(other: object) -> None:
    assert FLOAT32 == other
    assert not FLOAT32 != other  # noqa: SIM202  (both operators)
    if not isinstance(other, SimpleNamespace):
        assert other == FLOAT32


@pytest.mark.parametrize(
    "other",
    [
        *("float64", "FLOAT32", np.float64, np.dtype("f8"), np.dtype(object), find_dtype(2), find_dtype(101)),
        *(SimpleNamespace(as_datatype_enum=2), SimpleNamespace(as_datatype_enum="1")),
    ],
)
def test_names_of_other_dtypes_are_not(other: object) -> None:
    assert FLOAT32 != other
    assert other != FLOAT32


@pytest.mark.parametrize(
    "other",
    [None, 1, 1.5, b"float32", object(), [], {}, ..., int, float, np.floating, np.generic, np.float32(1), np],
)
def test_other_objects_are_unequal_without_error_or_warning(other: object) -> None:
    assert (FLOAT32 == other) in (False, np.False_)
    assert (other == FLOAT32) in (False, np.False_)


def test_the_other_object_is_asked_too() -> None:
    assert FLOAT32 == mock.ANY


@all_stored
def test_each_equals_its_own_name_and_numpy_dtype(dtype: DType) -> None:
    assert dtype == dtype.name
    assert dtype == dtype.numpy
    assert dtype.numpy == dtype
    assert dtype == dtype.numpy.type
    assert dtype == dtype.as_numpy_dtype
    assert [other.name for other in DTYPES.values() if other == dtype] == [dtype.name]


def test_quantised_dtypes_equal_the_dtype_of_their_arrays_and_not_that_integer() -> None:
    qint8, int8 = find_dtype(11), find_dtype(6)
    assert qint8 == np.int8 == int8
    assert qint8 != int8
    assert qint8 != "int8"


def test_only_dtypes_of_stored_objects_equal_object() -> None:
    for dtype in (STRING, VARIANT):
        assert dtype == np.dtype(object)
        assert dtype == object  # noqa: E721  (as_numpy_dtype of strings)
        assert dtype == np.object_
    for dtype in (RESOURCE, find_dtype(0), find_dtype(99), find_dtype(101)):
        assert dtype != np.dtype(object)
        assert dtype != object  # noqa: E721
        assert np.dtype(object) != dtype


@all_stored
def test_a_dtype_hashes_as_its_name(dtype: DType) -> None:
    assert hash(dtype) == hash(dtype.name)
    assert {dtype.name: 1}[dtype] == 1  # type: ignore[index]


def test_dtypes_not_kept_are_equal_by_their_code() -> None:
    first = find_dtype(99)
    find_dtype.cache_clear()
    second = find_dtype(99)
    assert first is not second
    assert first == second
    assert hash(first) == hash(second)


@all_stored
def test_numpy_accepts_it_as_a_dtype(dtype: DType) -> None:
    assert np.dtype(dtype) == dtype.numpy
    made: list[np.ndarray[Any, Any]] = [
        np.zeros((2, 3), dtype),
        np.empty(2, dtype=dtype),
        np.zeros(2, np.int8).astype(dtype),
        np.asarray(np.zeros(2, dtype), dtype=dtype),
    ]
    assert {array.dtype for array in made} == {dtype.numpy}
    assert dtype.__numpy_dtype__ == dtype.dtype == dtype.numpy


@pytest.mark.parametrize("code", [0, 20, 99, 101])
def test_numpy_does_not_accept_dtypes_that_are_not_stored(code: int) -> None:
    with pytest.raises(TypeError):
        np.zeros(3, find_dtype(code))
    assert not hasattr(find_dtype(code), "dtype")


@pytest.mark.parametrize("code", [*DTYPES, 0, 99, 101])
def test_pickled_and_copied_it_is_the_same_object(code: int) -> None:
    dtype = find_dtype(code)
    assert pickle.loads(pickle.dumps(dtype)) is dtype
    assert copy.deepcopy(dtype) is dtype


def test_it_stays_frozen() -> None:
    with pytest.raises(AttributeError):
        FLOAT32.code = 2  # type: ignore[misc]


@pytest.mark.parametrize(
    ("code", "size", "kind"),
    [
        (1, 4, "is_floating"),
        (14, 2, "is_floating"),
        (33, 1, "is_floating"),
        (3, 4, "is_integer"),
        (30, 1, "is_integer"),
        (18, 16, "is_complex"),
        (10, 1, "is_bool"),
        (13, 4, "is_quantized"),
        (101, 4, "is_floating"),
        (7, 0, None),
        (21, 0, None),
        (0, 0, None),
        (99, 0, None),
    ],
)
def test_size_and_kind(code: int, size: int, kind: str | None) -> None:
    dtype = find_dtype(code)
    kinds = ("is_floating", "is_integer", "is_complex", "is_bool", "is_quantized")
    assert [name for name in kinds if getattr(dtype, name)] == ([] if kind is None else [kind])
    assert dtype.size == size
    assert dtype.is_numpy_compatible is (kind is not None or code == 7)


def test_the_base_of_a_reference_is_what_it_refers_to() -> None:
    assert find_dtype(101).base_dtype is FLOAT32
    assert FLOAT32.base_dtype is FLOAT32
    assert find_dtype(99).base_dtype == find_dtype(99)


@pytest.mark.parametrize("name", ["float32", "bfloat16", "string", "qint8"])
def test_a_dtype_prints_its_name(name: str) -> None:
    dtype = as_dtype(name)
    assert f"{dtype}" == str(dtype) == name
    assert repr(dtype) == f"<DType {name}>"
