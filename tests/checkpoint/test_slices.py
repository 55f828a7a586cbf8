"""Slices: their keys and messages, and what is wrong if they overlap or leave a gap."""

from __future__ import annotations

import pytest

import ckptfmt
from ckptfmt.checkpoint.partition import plan
from ckptfmt.checkpoint.slices import FULL, TensorSlice, decode_slice_key, encode_slice_key
from ckptfmt.errors import CorruptError
from tests.support.golden import load


def test_slices_that_leave_a_gap_are_an_error_that_says_where() -> None:
    golden = load("sliced_incomplete")
    ckpt = ckptfmt.open(golden.path)
    broken = [tensor for tensor in golden.tensors.values() if not tensor.has_value]
    assert broken
    for tensor in broken:
        with pytest.raises(CorruptError, match=r"elements uncovered, first at \d") as caught:
            ckpt[tensor.name]
        assert repr(tensor.name) in str(caught.value)
        assert caught.value.file == f"{golden.path}.index"


def test_slices_that_overlap_are_an_error_that_names_them() -> None:
    golden = load("sliced_overlapping")
    ckpt = ckptfmt.open(golden.path)
    for tensor in golden.tensors.values():
        if not tensor.has_value:
            with pytest.raises(CorruptError, match=r"slices \S+ and \S+ overlap"):
                ckpt[tensor.name]


def test_a_slice_key_is_the_one_that_tensorflow_writes() -> None:
    part = TensorSlice(((2, 3), (0, FULL)))
    key = encode_slice_key(b"w", part)
    # 0, the name and its end, rank 2, then start and length of each dimension.
    assert key == b"\x00" + b"w\x00\x01" + b"\x01\x02" + b"\x82\x83" + b"\x80\x7f"
    assert decode_slice_key(key) == (b"w", part)
    assert str(part) == "2,3:-"
    for bad in (key[:-1], key + b"\x00", b"\x01\x01" + key[1:]):
        with pytest.raises(CorruptError):
            decode_slice_key(bad)


def test_the_slices_that_a_region_needs_are_named_with_what_they_hold() -> None:
    low, high = TensorSlice(((0, 2), (0, FULL))), TensorSlice(((2, 2), (0, FULL)))
    assert plan((4, 3), [high, low], ((1, 2), (0, 3))) == [(low, ((0, 2), (0, 3)))]
    assert [part for part, _ in plan((4, 3), [high, low], ((1, 3), (0, 3)))] == [high, low]
    told = r"leave 3 of 6 .* uncovered, first at 2,1:0,3; stored: 0,2:-; .* ckpt.slice\(name\)\[0:2, 0:3\]$"
    with pytest.raises(CorruptError, match=told):
        plan((4, 3), [low], ((1, 3), (0, 3)))
    with pytest.raises(CorruptError, match=r"slices 0,2:- and 0,2:- overlap"):
        plan((4, 3), [low, low], ((0, 1), (0, 3)))
