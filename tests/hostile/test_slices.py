"""Hostile slices: out of the shape, missing, overlapping, and very many."""

from __future__ import annotations

import time

import numpy as np
import pytest

import ckptfmt
from ckptfmt.checkpoint.slices import FULL, TensorSlice, decode_slice, encode_slice_key
from ckptfmt.errors import CorruptError, LimitError
from ckptfmt.wire.crc32c import crc32c
from tests.support.bundles import GOOD, encode_extents, open_entry, open_items
from tests.support.table_writer import encode_entry

MANY = 100_000
SECONDS = 60
"""Generous: each of these takes a few seconds here, and would take hours if the work were quadratic."""


def open_slices(shape: tuple[int, ...], parts: list[bytes]) -> ckptfmt.Checkpoint:
    """Open a bundle whose tensor "bad" lists these slices, though the index holds none of them."""
    return open_entry(encode_entry(shape=shape, slices=parts))


@pytest.mark.parametrize(
    "extents", [[(1, 5), (0, FULL)], [(0, 2)], [(-1, 2), (0, 2)]], ids=["out", "rank", "-1"]
)
def test_every_use_of_a_slice_out_of_the_shape_names_the_tensor(extents: list[tuple[int, int]]) -> None:
    part = encode_extents(*extents)
    found = decode_slice(part)
    ckpt = open_items(
        (encode_slice_key(b"bad", found), GOOD), (b"bad", encode_entry(shape=(2, 2), slices=[part]))
    )
    reader = ckpt.slice("bad")
    for read in (
        lambda: reader.is_verified(0),
        lambda: reader[0],
        lambda: ckpt._region("bad", ((0, 1), (0, 2)), verified=True),
        lambda: ckpt._store.index.find_slice(reader.entry, found),
    ):
        with pytest.raises(CorruptError, match=r"tensor 'bad': slice .* (not fit|ranks differ)") as caught:
            read()
        assert caught.value.file == "nowhere/ckpt.index"


def test_many_missing_slices_are_refused_in_time() -> None:
    start = time.monotonic()
    ckpt = open_slices((MANY,), [encode_extents((i, 1)) for i in range(MANY)])
    with pytest.raises(CorruptError, match="slice 0,1 is not in the index"):
        ckpt["bad"]
    assert len(ckpt.entries["bad"].slices) == MANY
    assert not ckpt.verify().ok
    assert time.monotonic() - start < SECONDS


def test_many_slices_with_a_gap_are_refused_in_time() -> None:
    start = time.monotonic()
    parts = [encode_extents((i, 1)) for i in range(MANY) if i != MANY // 2]
    with pytest.raises(CorruptError, match=f"first at {MANY // 2},1"):
        open_slices((MANY,), parts)["bad"]
    assert time.monotonic() - start < SECONDS


def test_many_slices_that_meet_in_every_dimension_are_refused_in_time() -> None:
    start = time.monotonic()
    # Half are single rows of a column, half single columns of a row: in each dimension half share a position.
    half = MANY // 2
    parts = [encode_extents((i, 1), (0, 1)) for i in range(half)]
    parts += [encode_extents((half, 1), (i, 1)) for i in range(half)]
    with pytest.raises(LimitError, match="comparisons among 100000 slices"):
        open_slices((half + 1, half), parts)["bad"]
    # If all are the same, the first two overlap already.
    with pytest.raises(CorruptError, match="overlap"):
        open_slices((5, 5), [encode_extents((0, 5), (0, 5))] * MANY)["bad"]
    assert time.monotonic() - start < SECONDS


def test_many_slices_are_read_in_time() -> None:
    start = time.monotonic()
    count = 20_000
    values = np.arange(count, dtype=np.float32)
    parts = [TensorSlice(((i, 1),)) for i in range(count)]
    items = {
        encode_slice_key(b"t", part): encode_entry(
            shape=(1,), offset=4 * i, size=4, crc=crc32c(values[i : i + 1].tobytes())
        )
        for i, part in enumerate(parts)
    }
    items[b"t"] = encode_entry(shape=(count,), slices=[encode_extents(*part.extents) for part in parts])
    ckpt = open_items(*sorted(items.items()), data=values.tobytes())
    np.testing.assert_array_equal(ckpt["t"], values)
    assert time.monotonic() - start < SECONDS
