"""Tensors in many slices: whatever the partition, all of it and any part are right, and cost little."""

from __future__ import annotations

import pickle
from collections.abc import Iterator

import numpy as np
import pytest

import ckptfmt
from ckptfmt.checkpoint import partition as partitions
from ckptfmt.checkpoint.partition import Partition, Slices, plan
from ckptfmt.checkpoint.slices import TensorSlice, encode_slice_key
from ckptfmt.errors import ChecksumError, CorruptError, TruncatedError
from ckptfmt.wire.crc32c import crc32c
from tests.support.bundles import encode_slice
from tests.support.memory_filesystem import MemoryFilesystem
from tests.support.table_writer import HEADER, encode_entry, encode_table


def grid(shape: tuple[int, ...], steps: tuple[int, ...]) -> Iterator[TensorSlice]:
    """Cut a tensor into boxes of a size, smaller ones at its ends."""
    for index in np.ndindex(*(-(-size // step) for size, step in zip(shape, steps, strict=True))):
        starts = [i * step for i, step in zip(index, steps, strict=True)]
        ends = [min(a + step, size) for a, step, size in zip(starts, steps, shape, strict=True)]
        yield TensorSlice(tuple((a, b - a) for a, b in zip(starts, ends, strict=True)))


def box(part: TensorSlice) -> tuple[slice, ...]:
    return tuple(slice(start, start + length) for start, length in part.extents)


def files_of(
    array: np.ndarray, slices: list[TensorSlice], order: list[int], shards: int = 1
) -> dict[str, bytes]:
    """Return a checkpoint of a tensor ``t`` whose slices are written in an order, to shards in turn."""
    data = [bytearray(b"??") for _ in range(shards)]
    shape = list(array.shape)
    items = {b"": b"\x08" + bytes([shards]) + HEADER[2:]}
    items[b"t"] = encode_entry(shape=shape, slices=[encode_slice(part) for part in slices])
    for count, number in enumerate(order):
        part = slices[number]
        stored = array[box(part)]
        content, shard = stored.tobytes(), count % shards
        items[encode_slice_key(b"t", part)] = encode_entry(
            shape=list(stored.shape),
            shard=shard,
            offset=len(data[shard]),
            size=len(content),
            crc=crc32c(content),
        )
        data[shard] += content
    files = {f"c.data-{i:05}-of-{shards:05}": bytes(each) for i, each in enumerate(data)}
    return {"c.index": encode_table(sorted(items.items())), **files}


CUTS = {
    "rows": ((200, 3), (1, 3)),
    "uneven rows": ((203, 3), (4, 3)),
    "columns": ((3, 200), (3, 2)),
    "both": ((40, 30), (3, 4)),
    "vector": ((500,), (7,)),
    "three": ((12, 10, 8), (3, 5, 2)),
    "few": ((10, 4), (3, 4)),
}


@pytest.mark.parametrize("has_views", [True, False])
@pytest.mark.parametrize("shards", [1, 3])
@pytest.mark.parametrize("shuffled", [False, True])
@pytest.mark.parametrize("cut", CUTS.values(), ids=CUTS)
def test_all_and_any_part_are_read(
    cut: tuple[tuple[int, ...], tuple[int, ...]], shuffled: bool, shards: int, has_views: bool
) -> None:
    shape, steps = cut
    random = np.random.default_rng(0)
    array = random.random(shape, dtype=np.float32)
    slices = list(grid(shape, steps))
    order = random.permutation(len(slices)).tolist() if shuffled else list(range(len(slices)))
    listed = [slices[i] for i in random.permutation(len(slices))] if shuffled else slices
    files = files_of(array, slices, order, shards)
    listed_files = files_of(array, listed, order, shards)
    for each in (files, listed_files):
        ckpt = ckptfmt.open("c", fs=MemoryFilesystem(each, has_views=has_views))
        reader = ckpt.slice("t")
        for index in (0, shape[0] - 1, slice(1, 3), [shape[0] - 1, 0, 1], slice(None, None, -2), ...):
            np.testing.assert_array_equal(reader[index], array[index])
        np.testing.assert_array_equal(ckpt["t"], array)
        np.testing.assert_array_equal(ckpt.read(copy=True)["t"], array)
        out = np.empty(shape[::-1], np.float32).T
        assert ckpt.read(out={"t": out})["t"] is out
        np.testing.assert_array_equal(out, array)
        assert not ckpt["t"].flags.writeable
        assert ckpt.verify().ok


@pytest.mark.parametrize("cut", CUTS.values(), ids=CUTS)
def test_damage_to_any_slice_is_found(cut: tuple[tuple[int, ...], tuple[int, ...]]) -> None:
    shape, steps = cut
    array = np.random.default_rng(0).random(shape, dtype=np.float32)
    slices = list(grid(shape, steps))
    files = files_of(array, slices, list(range(len(slices))))
    data = "c.data-00000-of-00001"
    for at in (2, len(files[data]) // 2, len(files[data]) - 1):
        content = bytearray(files[data])
        content[at] ^= 1
        ckpt = ckptfmt.open("c", fs=MemoryFilesystem({**files, data: bytes(content)}))
        with pytest.raises(ChecksumError, match=r"tensor 't', slice [0-9]"):
            ckpt["t"]
        unverified = ckptfmt.open("c", verify=False, fs=MemoryFilesystem({**files, data: bytes(content)}))
        assert (unverified["t"].view(np.uint8) != array.view(np.uint8)).sum() == 1
    with pytest.raises(TruncatedError, match="tensor 't', slice"):
        ckptfmt.open("c", fs=MemoryFilesystem({**files, data: files[data][:-1]}))["t"]


def test_a_slice_that_is_missing_or_of_another_form_is_named() -> None:
    array = np.arange(400, dtype=np.float32).reshape(100, 4)
    slices = list(grid((100, 4), (2, 4)))
    data = array.tobytes()

    def open_with(key: bytes, entry: bytes | None) -> ckptfmt.Checkpoint:
        items = {b"": HEADER, b"t": encode_entry(shape=[100, 4], slices=[encode_slice(p) for p in slices])}
        for i, part in enumerate(slices):
            items[encode_slice_key(b"t", part)] = encode_entry(
                shape=[2, 4], offset=32 * i, size=32, crc=crc32c(data[32 * i : 32 * i + 32])
            )
        if entry is None:
            del items[key]
        else:
            items[key] = entry
        files = {"c.index": encode_table(sorted(items.items())), "c.data-00000-of-00001": data}
        return ckptfmt.open("c", fs=MemoryFilesystem(files))

    last = encode_slice_key(b"t", slices[-1])
    for entry, told in {
        None: "slice 98,2:0,4 is not in the index",
        encode_entry(shape=[4, 2], size=32): r"slice 98,2:0,4: got float32\[4, 2\], want float32\[2, 4\]",
        encode_entry(dtype=3, shape=[2, 4], size=32): r"slice 98,2:0,4: got int32\[2, 4\]",
        encode_entry(shape=[2, 4], size=28): r"size in the index: got 28 bytes, want 32",
    }.items():
        with pytest.raises(CorruptError, match=told):
            open_with(last, entry)["t"]


def test_slices_are_compared_once_however_often_parts_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    array = np.arange(4000, dtype=np.float32).reshape(1000, 4)
    slices = list(grid((1000, 4), (2, 4)))
    ckpt = ckptfmt.open("c", fs=MemoryFilesystem(files_of(array, slices, list(range(len(slices))))))
    compared = []
    original = Partition.__init__

    def counted(self: Partition, *args: object) -> None:
        compared.append(args)
        original(self, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(partitions.Partition, "__init__", counted)
    for row in range(0, 1000, 50):
        np.testing.assert_array_equal(ckpt.slice("t")[row], array[row])
    np.testing.assert_array_equal(ckpt["t"], array)
    assert len(compared) == 1


def test_slices_are_a_tuple_that_can_be_pickled() -> None:
    slices = Slices(grid((10,), (5,)))
    assert slices.partition((10,)) is slices.partition((10,))
    again = pickle.loads(pickle.dumps(slices))
    assert again == slices == tuple(slices)
    assert hash(again) == hash(tuple(slices))
    assert len(plan((10,), again, ((2, 4),))) == 1
