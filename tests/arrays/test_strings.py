"""Strings stored back to back."""

from __future__ import annotations

import numpy as np
import pytest

import ckptfmt.arrays.strings
from ckptfmt.arrays.strings import split_strings
from ckptfmt.errors import CorruptError


def lengths(*sizes: int) -> np.ndarray:
    return np.array(sizes, np.uint64)


@pytest.mark.parametrize("kind", [bytes, memoryview])
def test_strings_are_cut_by_their_lengths(kind: type) -> None:
    assert split_strings(kind(b"ab\0cdef"), lengths(2, 0, 1, 4)).tolist() == [b"ab", b"", b"\0", b"cdef"]


def test_they_come_back_however_many_are_taken_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    strings = [bytes(range(n % 7)) for n in range(50)]
    data = b"".join(strings)
    for at_once in (1, 3, 50, 51):
        monkeypatch.setattr(ckptfmt.arrays.strings, "STRINGS_AT_ONCE", at_once)
        assert split_strings(data, lengths(*map(len, strings))).tolist() == strings


def test_no_strings_are_an_empty_array() -> None:
    array = split_strings(b"", lengths())
    assert (array.shape, array.dtype) == ((0,), np.dtype(object))


@pytest.mark.parametrize("sizes", [(2, 2), (6,), (2**63, 2**63), (2**64 - 1, 6)], ids=str)
def test_lengths_that_do_not_add_up_are_damage(sizes: tuple[int, ...]) -> None:
    """2**63 + 2**63 is 0 in 64 bits, and 2**64 - 1 + 6 is 5."""
    with pytest.raises(CorruptError, match=f"^@0x0: strings: got 5 bytes, want {sum(sizes)}$"):
        split_strings(b"abcde", lengths(*sizes))
