"""Casts: their values, and which of them keep every value."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ckptfmt.dtypes import BY_NAME, DTYPES
from ckptfmt.plans.casts import is_castable, is_exact
from ckptfmt.plans.expressions import Stored
from ckptfmt.plans.operations import Cast
from tests.support.arrays import Arrays

BFLOAT16 = BY_NAME["bfloat16"]

NUMBERS = [dtype for dtype in DTYPES.values() if is_castable(dtype)]


@pytest.mark.parametrize("old", NUMBERS, ids=lambda dtype: dtype.name)
def test_every_dtype_of_numbers_casts_to_every_other(old: object) -> None:
    tensors = Arrays({"w": np.array([0, 1, 1, 0], old.numpy)})
    for new in NUMBERS:
        got = tensors.value(Cast(Stored("w"), new))
        assert got.dtype == new.numpy
        assert got.astype(np.complex128 if new.is_complex else np.float64).tolist() == [0, 1, 1, 0]


def test_casts_of_values_that_do_not_fit_are_silent_and_keep_the_real_part() -> None:
    tensors = Arrays({"w": np.array([np.nan, np.inf, 1e300]), "c": np.array([1 + 2j, 3 - 1j])})
    for name in ("int32", "float32", "bfloat16", "float16", "float8_e4m3fn", "bool"):
        tensors.value(Cast(Stored("w"), BY_NAME[name]))
    assert tensors.value(Cast(Stored("c"), BFLOAT16)).tolist() == [1, 3]
    assert tensors.value(Cast(Stored("c"), BY_NAME["int8"])).tolist() == [1, 3]


EXACT = [
    *[("bfloat16", "float32"), ("float16", "float32"), ("float32", "float64"), ("int32", "float64")],
    *[("uint8", "bfloat16"), ("bool", "int8"), ("float8_e5m2", "float16"), ("int4", "int8")],
    *[("uint2", "uint4"), ("complex64", "complex128"), ("float32", "complex64"), ("qint8", "qint8")],
]


LOSSY = [
    *[("float32", "bfloat16"), ("bfloat16", "float16"), ("float16", "bfloat16"), ("int64", "float64")],
    *[("uint64", "float64"), ("int64", "complex128"), ("int32", "float32"), ("int8", "uint8")],
    *[("uint16", "bfloat16"), ("float8_e5m2", "float8_e4m3fn"), ("float32", "int64"), ("int8", "bool")],
    *[("float4_e2m1fn", "float8_e4m3fnuz"), ("string", "float32"), ("complex64", "float64")],
]


@pytest.mark.parametrize(("old", "new"), EXACT)
def test_exact_casts(old: str, new: str) -> None:
    assert is_exact(BY_NAME[old], BY_NAME[new])


@pytest.mark.parametrize(("old", "new"), LOSSY)
def test_lossy_casts(old: str, new: str) -> None:
    assert not is_exact(BY_NAME[old], BY_NAME[new])


@given(st.sampled_from([d for d in NUMBERS if d.storage.name == "FIXED"]), st.data())
def test_an_exact_cast_and_back_gives_the_value(old: object, data: st.DataObject) -> None:
    new = data.draw(st.sampled_from([dtype for dtype in NUMBERS if is_exact(old, dtype)]))
    raw = data.draw(st.binary(min_size=old.numpy.itemsize, max_size=old.numpy.itemsize))
    value = np.frombuffer(bytes(b & 1 for b in raw) if old.is_bool else raw, old.numpy)
    tensors = Arrays({"w": value})
    back = tensors.value(Cast(Cast(Stored("w"), new), old))
    with np.errstate(all="ignore"):  # signalling NaNs
        np.testing.assert_array_equal(back.astype(np.complex128), value.astype(np.complex128))
