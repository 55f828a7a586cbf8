"""Every checkpoint of tests/data/golden, against what TensorFlow 2.21 recorded of it."""

from __future__ import annotations

import numpy as np
import pytest

import ckptfmt
from tests.support.golden import Golden, GoldenTensor, GoldenVariant, cases, load

CASES = cases()
SPEC = pytest.mark.parametrize("golden", CASES, ids=str)


def assert_same(got: np.ndarray, golden: GoldenTensor) -> None:
    """Equal to the last bit, also where values are NaN."""
    expected = golden.expected()
    assert got.shape == golden.shape
    if golden.dtype == "variant":
        assert_same_variants(got, expected)
    elif got.dtype == object:
        assert got.tolist() == expected.tolist()
    else:
        if golden.cast:
            got = got.astype(expected.dtype)
        assert got.dtype == expected.dtype
        assert got.tobytes() == expected.tobytes()


def assert_same_variants(got: np.ndarray, expected: np.ndarray) -> None:
    for variant, recorded in zip(got.flat, expected.flat, strict=True):
        assert isinstance(variant, ckptfmt.Variant)
        assert isinstance(recorded, GoldenVariant)
        assert variant.type_name == recorded.type_name
        assert variant.metadata == recorded.metadata
        assert len(variant.tensors) == len(recorded.tensors)
        for tensor, (_, value) in zip(variant.tensors, recorded.tensors, strict=True):
            if value.dtype == object and value.size and isinstance(value.flat[0], GoldenVariant):
                assert_same_variants(tensor, value)
            elif value.dtype == object:
                assert tensor.tolist() == value.tolist()
            else:
                assert tensor.tobytes() == value.tobytes()


@SPEC
def test_names_dtypes_and_shapes_are_tensorflows(golden: Golden) -> None:
    ckpt = ckptfmt.open(golden.path)
    assert ckpt.format == golden.format
    assert list(ckpt) == [tensor.name for tensor in golden.tensors.values()]
    for tensor in golden.tensors.values():
        entry = ckpt.entries[tensor.name]
        assert (entry.name, entry.dtype.name, entry.shape) == (tensor.name, tensor.dtype, tensor.shape)


@SPEC
def test_values_are_tensorflows(golden: Golden) -> None:
    ckpt = ckptfmt.open(golden.path)
    for tensor in golden.tensors.values():
        if tensor.has_value:
            assert_same(ckpt[tensor.name], tensor)


@SPEC
def test_reading_all_at_once_gives_the_same(golden: Golden) -> None:
    ckpt = ckptfmt.open(golden.path)
    names = [tensor.name for tensor in golden.tensors.values() if tensor.has_value]
    arrays = ckpt.read(names, copy=True)
    assert list(arrays) == names
    for tensor in golden.tensors.values():
        if tensor.has_value:
            assert arrays[tensor.name].flags.writeable
            assert arrays[tensor.name].flags.owndata
            assert_same(arrays[tensor.name], tensor)


@SPEC
def test_numbers_fill_the_callers_arrays(golden: Golden) -> None:
    ckpt = ckptfmt.open(golden.path)
    out = {
        tensor.name: np.empty(tensor.shape, ckpt.entries[tensor.name].dtype.numpy)
        for tensor in golden.tensors.values()
        if tensor.has_value
    }
    arrays = ckpt.read(out=out)
    for tensor in golden.tensors.values():
        if tensor.has_value:
            assert arrays[tensor.name] is out[tensor.name]
            assert_same(out[tensor.name], tensor)


@SPEC
def test_a_whole_checkpoint_verifies(golden: Golden) -> None:
    report = ckptfmt.open(golden.path).verify()
    broken = [tensor.name for tensor in golden.tensors.values() if not tensor.has_value]
    assert [problem.name for problem in report.problems] == broken
    assert report.ok == (not broken)
    assert report.tensors == len(golden.tensors)
    assert report.tensors_checked == len(golden.tensors) - len(broken)


@SPEC
def test_stored_sizes_add_up(golden: Golden) -> None:
    ckpt = ckptfmt.open(golden.path)
    for tensor in golden.tensors.values():
        entry = ckpt.entries[tensor.name]
        if entry.dtype.itemsize is not None:
            assert entry.nbytes == int(np.prod(tensor.shape)) * entry.dtype.itemsize
        elif tensor.has_value and entry.dtype.name == "string":
            assert entry.nbytes >= sum(map(len, tensor.expected().flat))


def test_every_dtype_that_tensorflow_stores_is_covered() -> None:
    stored = {
        entry.dtype.name
        for case in ("dtypes", "strings", "variants")
        for entry in ckptfmt.open(load(case).path).entries.values()
    }
    everything = {dtype.name for dtype in ckptfmt.dtypes.DTYPES.values()}
    assert everything - stored == {"resource"}
