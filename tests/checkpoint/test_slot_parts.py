"""Slots in parts; ``tests/reference/test_partitioned_slots.py`` has those that TensorFlow writes."""

from __future__ import annotations

import numpy as np
import pytest

import ckptfmt
from ckptfmt.checkpoint.slices import TensorSlice, encode_slice_key
from ckptfmt.errors import CorruptError, TensorNotFoundError
from ckptfmt.wire.crc32c import crc32c
from tests.support.bundles import encode_slice
from tests.support.memory_filesystem import MemoryFilesystem
from tests.support.table_writer import HEADER, encode_entry, encode_table

VALUES = np.arange(12, dtype=np.float32)


def open_parts(parts: dict[str, list[tuple[int, int]]]) -> ckptfmt.Checkpoint:
    """Open a checkpoint with these slices of twelve numbers under each name."""
    items = {b"": HEADER}
    for name, extents in parts.items():
        slices = [TensorSlice((extent,)) for extent in extents]
        items[name.encode()] = encode_entry(shape=[12], slices=map(encode_slice, slices))
        for part, (start, size) in zip(slices, extents, strict=True):
            stored = VALUES[start : start + size].tobytes()
            items[encode_slice_key(name.encode(), part)] = encode_entry(
                shape=[size], offset=4 * start, size=4 * size, crc=crc32c(stored)
            )
    files = {"c.index": encode_table(sorted(items.items())), "c.data-00000-of-00001": VALUES.tobytes()}
    return ckptfmt.open("c", fs=MemoryFilesystem(files))


def in_parts(
    tails: list[str], slot: str = "Adam", variable: str = "net/w"
) -> dict[str, list[tuple[int, int]]]:
    """Return twelve parts of a slot, whose names have these tails."""
    parts: dict[str, list[tuple[int, int]]] = {}
    for number, tail in enumerate(tails):
        parts.setdefault(f"{variable}/{tail}/{slot}", []).append((number, 1))
    return parts


@pytest.mark.parametrize("letters", range(2, 30))
def test_parts_are_joined_whatever_the_length_of_the_scope(letters: int) -> None:
    # The name of a slot without as many letters as that of its variable: "scope/net/w/part_0/Adam".
    scope = "s" * (letters - 1)
    tails = []
    for number in range(12):
        part = f"net/w/part_{number}/"
        tails.append(f"{scope}/{part}"[len(part) :].removesuffix("/"))
    for listed_first in (False, True):
        ckpt = open_parts(in_parts(tails))
        if listed_first:
            assert list(ckpt) == ["net/w/Adam"]
        np.testing.assert_array_equal(ckpt["net/w/Adam"], VALUES)
        assert list(ckpt.select("net/w/A*")) == ["net/w/Adam"]
        assert ckpt.verify().ok
        with pytest.raises(CorruptError, match="a part of the slot 'net/w/Adam'"):
            ckpt[next(iter(in_parts(tails)))]
        with pytest.raises(TensorNotFoundError, match="did you mean 'net/w/Adam'"):
            ckpt["net/w/Adan"]


def test_a_slot_whose_name_exists_keeps_that_of_its_first_part() -> None:
    tails = [f"art_{number}"[-5:] for number in range(10)] + ["rt_10", "rt_11"]
    ckpt = open_parts({**in_parts(tails), "net/w/Adam": [(0, 12)]})
    assert set(ckpt) == {"net/w/Adam", "net/w/art_0/Adam"}
    np.testing.assert_array_equal(ckpt["net/w/art_0/Adam"], VALUES)
    assert ckpt.verify().ok


def test_a_name_of_many_slashes_and_numbers_takes_little_time() -> None:
    parts = {"1/" * 400 + f"{number}/x": [(number, 1)] for number in range(12)}
    ckpt = open_parts(parts)
    assert len(ckpt) == 12
    with pytest.raises(CorruptError, match="11 of 12 elements uncovered"):
        ckpt.read()
