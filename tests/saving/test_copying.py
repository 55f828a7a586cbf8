"""Checkpoints and views of them, saved: bytes that do not change are copied, verified, in their order."""

from __future__ import annotations

import filecmp
import itertools
import os
import re
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ckptfmt
from ckptfmt import Checkpoint
from ckptfmt.checkpoint.entry import Entry
from ckptfmt.checkpoint.slices import TensorSlice, encode_slice_key
from ckptfmt.errors import (
    AlreadyExistsError,
    CheckpointNotFoundError,
    ChecksumError,
    CkptfmtError,
    CorruptError,
    LimitError,
    TruncatedError,
    UnsupportedError,
)
from ckptfmt.saving.save import plan_save
from ckptfmt.wire.crc32c import crc32c
from ckptfmt.wire.threads import PIECE
from tests.support.bundles import encode_slice
from tests.support.corpus import CHECKPOINT_KINDS, CORPUS, entries, has_variables
from tests.support.faults import CHANGES, REFUSALS, Calls, refuse
from tests.support.memory import memory_growth
from tests.support.memory_filesystem import MemoryFile, MemoryFilesystem
from tests.support.table_writer import (
    HEADER,
    encode_entry,
    encode_header,
    encode_table,
    encode_v1,
    write_bundle,
)

RNG = np.random.default_rng(1)
BIG = RNG.standard_normal(1 << 20).astype(np.float32)
"""4 MiB, which the kernel copies and several pieces make."""

VALUES: dict[str, np.ndarray] = {
    "z/first": np.arange(6, dtype=np.float32).reshape(2, 3),
    "empty": np.zeros((0, 4), np.float32),
    "a/big": BIG,
    "b/step": np.array(7, np.int64),
    "b/more": np.arange(10, dtype=np.float64),
}


def files_of(ckpt: Checkpoint) -> list[str]:
    return [f"{ckpt.prefix}.index", *map(ckpt.shard_path, range(ckpt.num_shards))]


def assert_identical(ckpt: Checkpoint, other: Checkpoint, skipped: int = 0) -> None:
    pairs = list(zip(files_of(ckpt), files_of(other), strict=True))
    assert [pair for pair in pairs[skipped:] if not filecmp.cmp(*pair, shallow=False)] == []


def assert_equal(got: Any, wanted: Any) -> None:
    assert set(got) == set(wanted)
    for name in wanted:
        a, b = np.asarray(got[name]), np.asarray(wanted[name])
        assert (a.dtype, a.shape) == (b.dtype, b.shape), name
        assert repr(a.tolist()) == repr(b.tolist()) if a.dtype.hasobject else a.tobytes() == b.tobytes(), name


def is_compressed(ckpt: Checkpoint) -> bool:
    """Return whether a block of the index is compressed, as only TensorFlow inside Google writes them."""
    table = ckpt._store.tables[0]
    return any(table.file.read(each.offset + each.size, 1)[0] for each in table.handles)


@pytest.mark.parametrize("entry", entries(*CHECKPOINT_KINDS))
def test_a_checkpoint_of_others_is_copied(entry: dict[str, Any], tmp_path: Path) -> None:
    if not has_variables(entry):
        pytest.skip("without variables")
    ckpt = ckptfmt.open(CORPUS / entry["path"])
    try:
        ckpt.read()
    except CkptfmtError as error:
        with pytest.raises(type(error)):
            ckptfmt.save(tmp_path / "copy", ckpt)
        assert not list(tmp_path.iterdir())
        return
    copy = ckptfmt.open(ckptfmt.save(tmp_path / "copy", ckpt))
    assert copy.verify().ok
    assert_equal(copy, ckpt)
    assert_identical(ckptfmt.open(ckptfmt.save(tmp_path / "again", copy)), copy)
    if ckpt.format == "v2":
        assert_identical(copy, ckpt, skipped=int(is_compressed(ckpt)))


@pytest.mark.parametrize("num_shards", [1, 3])
@pytest.mark.parametrize("backend", ["mmap", "pread"])
def test_a_copy_is_identical(tmp_path: Path, num_shards: int, backend: Any) -> None:
    write_bundle(tmp_path / "old", VALUES, num_shards, strings={"label": b"x" * 1000})
    ckpt = ckptfmt.open(tmp_path / "old", backend=backend)
    assert_identical(ckptfmt.open(ckptfmt.save(tmp_path / "new", ckpt)), ckpt)


def test_a_data_file_without_bytes_is_kept(tmp_path: Path) -> None:
    ckpt = ckptfmt.open(write_bundle(tmp_path / "old", {"w": np.ones(3, np.float32)}, 3))
    assert_identical(ckptfmt.open(ckptfmt.save(tmp_path / "new", ckpt)), ckpt)


def test_a_view_is_copied_under_its_names(tmp_path: Path) -> None:
    ckpt = ckptfmt.open(write_bundle(tmp_path / "old", VALUES, 2))
    view = ckpt.select("?/*").renamed([("^z/", "layers/")])
    assert all(each.is_copied for each in plan_save(tmp_path / "new", view).tensors)
    copy = ckptfmt.open(ckptfmt.save(tmp_path / "new", view))
    assert_equal(copy, view)
    assert copy.verify().ok
    assert copy.entries["layers/first"].crc32c == ckpt.entries["z/first"].crc32c


def test_a_data_file_of_which_nothing_is_kept_is_dropped(tmp_path: Path) -> None:
    tensors = {name: array for name, array in VALUES.items() if array.size}
    ckpt = ckptfmt.open(write_bundle(tmp_path / "old", tensors, 4))
    copy = ckptfmt.open(ckptfmt.save(tmp_path / "new", ckpt.select("b/*")))
    assert copy.num_shards == 2
    assert_equal(copy, ckpt.select("b/*"))


def test_what_a_plan_makes_is_computed_and_the_rest_copied(tmp_path: Path) -> None:
    ckpt = ckptfmt.open(write_bundle(tmp_path / "old", VALUES))
    plan = tmp_path / "plan.toml"
    steps = ["transpose = '^z/first$'", "rename = '^b/'\nto = 'c/'", "cast = '.'\ndtype = 'float32'"]
    plan.write_text("version = 1\n" + "".join(f"[[step]]\n{step}\n" for step in steps))
    view = ckpt.apply(plan)
    tensors = plan_save(tmp_path / "new", view).tensors
    assert {each.name for each in tensors if not each.is_copied} == {"z/first", "c/more", "c/step"}
    copy = ckptfmt.open(ckptfmt.save(tmp_path / "new", view))
    assert_equal(copy, view)
    assert copy["z/first"].shape == (3, 2)


def test_a_tensor_may_be_saved_under_several_names(tmp_path: Path) -> None:
    ckpt = ckptfmt.open(write_bundle(tmp_path / "old", VALUES))
    view = ckptfmt.View(ckpt, {"one": "a/big", "two": "a/big", "three": "b/step"})
    copy = ckptfmt.open(ckptfmt.save(tmp_path / "new", view))
    assert_equal(copy, view)
    assert copy.verify().problems == []


# --- data files ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("num_shards", [1, 2, 4, 40])
def test_a_checkpoint_gets_as_many_data_files_as_asked_for(tmp_path: Path, num_shards: int) -> None:
    tensors = {f"t{i:03}": RNG.standard_normal(100) for i in range(100)}
    ckpt = ckptfmt.open(write_bundle(tmp_path / "old", tensors, 3))
    planned = plan_save(tmp_path / "new", ckpt, num_shards=num_shards)
    copy = ckptfmt.open(ckptfmt.save(tmp_path / "new", ckpt, num_shards=num_shards))
    assert copy.num_shards == num_shards
    assert_equal(copy, ckpt)
    assert copy.verify().problems == []
    sizes = [Path(copy.shard_path(shard)).stat().st_size for shard in range(num_shards)]
    assert sizes == planned.shard_bytes
    assert max(sizes) - min(sizes) <= 1600


def test_data_files_are_cut_at_a_size(tmp_path: Path) -> None:
    ckpt = ckptfmt.open(write_bundle(tmp_path / "old", {f"t{i}": np.zeros(25) for i in range(10)}))
    copy = ckptfmt.open(ckptfmt.save(tmp_path / "new", ckpt, max_shard_bytes=700))
    sizes = [Path(copy.shard_path(shard)).stat().st_size for shard in range(copy.num_shards)]
    assert sizes == [600, 600, 600, 200]
    assert_equal(copy, ckpt)


def test_too_small_a_size_is_refused() -> None:
    fs = MemoryFilesystem()
    tensors = {f"t{i}": np.int8(1) for i in range(100_000)}
    with pytest.raises(ValueError, match="max_shard_bytes: got 1, which needs more than 99999 shards"):
        ckptfmt.save("new", tensors, max_shard_bytes=1, fs=fs)
    assert fs.list_directory("").files == []


def test_one_way_to_say_how_many_data_files(tmp_path: Path) -> None:
    for options in ({"num_shards": 0}, {"max_shard_bytes": 0}, {"num_shards": 2, "max_shard_bytes": 2}):
        with pytest.raises(ValueError, match="want"):
            ckptfmt.save(tmp_path / "new", {"w": 1}, **options)
    assert not list(tmp_path.iterdir())


# --- slices ----------------------------------------------------------------------------------------------


def sliced_files(parts: dict[str, list[tuple[int, int]]]) -> dict[str, bytes]:
    """Return a checkpoint "c" with these slices of twelve numbers under each name."""
    values = np.arange(12, dtype=np.float32)
    items = {b"": HEADER}
    data = b""
    for name, extents in parts.items():
        slices = [TensorSlice((extent,)) for extent in extents]
        items[name.encode()] = encode_entry(shape=[12], slices=map(encode_slice, slices))
        for part, (start, size) in zip(slices, extents, strict=True):
            stored = values[start : start + size].tobytes()
            items[encode_slice_key(name.encode(), part)] = encode_entry(
                shape=[size], offset=len(data), size=len(stored), crc=crc32c(stored)
            )
            data += stored
    return {"c.index": encode_table(sorted(items.items())), "c.data-00000-of-00001": data}


def stored_entries(ckpt: Checkpoint) -> list[Entry]:
    return list(ckpt._store.index.stored_entries())


def test_slices_are_kept_as_slices() -> None:
    fs = MemoryFilesystem(sliced_files({"w": [(8, 4), (0, 3), (3, 5)]}))
    ckpt = ckptfmt.open("c", fs=fs)
    ckptfmt.save("same", ckpt, fs=fs)
    assert stored_entries(ckptfmt.open("same", fs=fs)) == stored_entries(ckpt)
    assert fs.open("same.data-00000-of-00001").content == fs.open("c.data-00000-of-00001").content
    ckptfmt.save("new", ckpt.renamed({"net/v": "w"}), num_shards=2, fs=fs)
    copy = ckptfmt.open("new", fs=fs)
    assert copy.entries["net/v"].slices == ckpt.entries["w"].slices
    assert copy["net/v"].tolist() == list(range(12))
    assert copy.verify().problems == []


def test_slices_with_a_gap_are_an_error() -> None:
    fs = MemoryFilesystem(sliced_files({"w": [(8, 4), (0, 3)]}))
    with pytest.raises(CorruptError, match="uncovered"):
        ckptfmt.save("new", ckptfmt.open("c", fs=fs), fs=fs)
    assert fs.list_directory("").files == ["c.data-00000-of-00001", "c.index"]


PARTS = {"net/w/art_0/Adam": [(0, 5)], "net/w/art_1/Adam": [(5, 7)]}
"""A slot in parts, as TensorFlow 1 stores it and looks for it."""


def test_a_slot_in_parts_stays_in_parts_under_its_name() -> None:
    fs = MemoryFilesystem(sliced_files(PARTS))
    ckpt = ckptfmt.open("c", fs=fs)
    assert list(ckpt) == ["net/w/Adam"]
    ckptfmt.save("new", ckpt, fs=fs)
    assert stored_entries(ckptfmt.open("new", fs=fs)) == stored_entries(ckpt)


def test_a_slot_in_parts_becomes_slices_under_another_name() -> None:
    fs = MemoryFilesystem(sliced_files(PARTS))
    view = ckptfmt.open("c", fs=fs).renamed({"v/Adam": "net/w/Adam"})
    ckptfmt.save("new", view, fs=fs)
    copy = ckptfmt.open("new", fs=fs)
    assert [str(part) for part in copy.entries["v/Adam"].slices] == ["0,5", "5,7"]
    assert copy["v/Adam"].tolist() == list(range(12))


def test_a_slot_in_parts_gives_way_to_tensors_with_the_names_of_its_parts() -> None:
    fs = MemoryFilesystem(sliced_files({**PARTS, "b": [(0, 12)]}))
    view = ckptfmt.open("c", fs=fs).renamed({"net/w/art_0/Adam": "b"}, keep_rest=True)
    ckptfmt.save("new", view, fs=fs)
    copy = ckptfmt.open("new", fs=fs)
    assert_equal(copy, view)


def test_many_small_tensors_take_few_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    fs = MemoryFilesystem(has_views=False)
    ckptfmt.save("c", {f"t{i:05}": np.full(3, i, np.int32) for i in range(20_000)}, fs=fs)
    ckpt = ckptfmt.open("c", fs=fs)
    view = ckpt.select(re.compile("[02468]$"))
    assert len(view) == 10_000
    reads: list[int] = []
    read = MemoryFile.read
    monkeypatch.setattr(MemoryFile, "read", lambda *each: reads.append(1) or read(*each))
    ckptfmt.save("new", view, fs=fs)
    assert len(reads) < 100
    assert_equal(ckptfmt.open("new", fs=fs), view)


# --- what has to be decoded ------------------------------------------------------------------------------


def test_a_v1_checkpoint_becomes_a_v2_checkpoint(tmp_path: Path) -> None:
    tensors = {"w": np.arange(6, dtype=np.float32).reshape(2, 3), "step": np.array(3, np.int64)}
    (tmp_path / "v1.ckpt").write_bytes(encode_v1(tensors))
    ckpt = ckptfmt.open(tmp_path / "v1.ckpt")
    assert ckpt.format == "v1"
    copy = ckptfmt.open(ckptfmt.save(tmp_path / "v2", ckpt))
    assert copy.format == "v2"
    assert_equal(copy, tensors)


def test_a_big_endian_checkpoint_becomes_little_endian() -> None:
    values = np.arange(5, dtype=np.int32)
    stored = values.astype(">i4").tobytes()
    entry = encode_entry(dtype=3, shape=[5], size=20, crc=crc32c(stored))
    index = encode_table([(b"", encode_header(big_endian=True)), (b"w", entry)])
    fs = MemoryFilesystem({"c.index": index, "c.data-00000-of-00001": stored})
    ckptfmt.save("new", ckptfmt.open("c", fs=fs), fs=fs)
    assert ckptfmt.open("new", fs=fs)["w"].tolist() == [0, 1, 2, 3, 4]
    assert fs.open("new.data-00000-of-00001").content == values.tobytes()


# --- damage ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["z/first", "a/big", "b/step"])
@pytest.mark.parametrize("verify", [True, False])
def test_a_damaged_tensor_leaves_no_checkpoint(tmp_path: Path, name: str, verify: bool) -> None:
    ckpt = ckptfmt.open(write_bundle(tmp_path / "old", VALUES))
    path = Path(ckpt.shard_path(0))
    data = bytearray(path.read_bytes())
    entry = ckpt.entries[name]
    data[(entry.offset or 0) + entry.nbytes - 1] ^= 1
    path.write_bytes(data)
    with pytest.raises(ChecksumError, match=f"tensor '{name}': checksum mismatch"):
        ckptfmt.save(tmp_path / "new", ckptfmt.open(tmp_path / "old", verify=verify))
    assert sorted(each.name for each in tmp_path.iterdir()) == ["old.data-00000-of-00001", "old.index"]
    rest = ckptfmt.open(tmp_path / "old").select(exclude=name)
    assert_equal(ckptfmt.open(ckptfmt.save(tmp_path / "new", rest)), rest)


def test_a_damaged_tensor_larger_than_a_batch_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ckptfmt.checkpoint.raw_copy.BATCH", PIECE)
    ckpt = ckptfmt.open(write_bundle(tmp_path / "old", VALUES | {"a/big": np.tile(BIG, 3)[1:]}))
    assert_identical(ckptfmt.open(ckptfmt.save(tmp_path / "new", ckpt)), ckpt)
    path = Path(ckpt.shard_path(0))
    data = bytearray(path.read_bytes())
    data[2 << 20] ^= 1
    path.write_bytes(data)
    with pytest.raises(ChecksumError, match="tensor 'a/big': checksum mismatch"):
        ckptfmt.save(tmp_path / "other", ckptfmt.open(tmp_path / "old"))


def test_a_data_file_that_is_too_short_is_noticed_before_anything_is_written(tmp_path: Path) -> None:
    ckpt = ckptfmt.open(write_bundle(tmp_path / "old", VALUES))
    path = Path(ckpt.shard_path(0))
    path.write_bytes(path.read_bytes()[:-1])
    for planned in (plan_save, ckptfmt.save):
        with pytest.raises(TruncatedError, match="'b/more'"):
            planned(tmp_path / "new" / "ckpt", ckptfmt.open(tmp_path / "old"))
    path.unlink()
    with pytest.raises(CheckpointNotFoundError, match="which holds tensor"):
        ckptfmt.save(tmp_path / "new" / "ckpt", ckptfmt.open(tmp_path / "old"))
    assert not (tmp_path / "new").exists()


def test_entries_that_share_bytes_are_copied_within_limits() -> None:
    data = bytes(4000)
    entry = encode_entry(shape=[1000], size=4000, crc=crc32c(data))
    names = [f"t{i:04}" for i in range(2000)]
    fs = MemoryFilesystem(
        {"c.index": encode_table([(b"", HEADER), *((name.encode(), entry) for name in names)])}
        | {"c.data-00000-of-00001": data}
    )
    few = ckptfmt.open("c", fs=fs).select("t000*")
    ckptfmt.save("few", few, fs=fs)
    assert_equal(ckptfmt.open("few", fs=fs), few)
    limits = ckptfmt.Limits(max_bytes=1 << 20)
    with pytest.raises(LimitError, match="share those of a data file"):
        ckptfmt.save("all", ckptfmt.open("c", fs=fs, limits=limits), fs=fs)


def test_a_stored_name_that_begins_with_a_zero_byte_is_not_copied() -> None:
    index = encode_table([(b"", HEADER), (b"\0w", encode_entry(shape=[1], size=4, crc=crc32c(bytes(4))))])
    fs = MemoryFilesystem({"c.index": index, "c.data-00000-of-00001": bytes(4)})
    ckpt = ckptfmt.open("c", fs=fs)
    assert ckpt["\0w"].tolist() == [0]
    with pytest.raises(UnsupportedError, match="zero byte"):
        ckptfmt.save("new", ckpt, fs=fs)
    ckptfmt.save("new", ckpt.renamed({"w": "\0w"}), fs=fs)
    assert ckptfmt.open("new", fs=fs)["w"].tolist() == [0]


# --- places ----------------------------------------------------------------------------------------------


def test_a_checkpoint_may_replace_itself(tmp_path: Path) -> None:
    ckpt = ckptfmt.open(write_bundle(tmp_path / "c", VALUES))
    with pytest.raises(AlreadyExistsError):
        ckptfmt.save(tmp_path / "c", ckpt)
    with pytest.raises(AlreadyExistsError):
        plan_save(tmp_path / "c", ckpt)
    wanted = {name.upper(): array.copy() for name, array in ckpt.items() if name != "empty"}
    ckptfmt.save(tmp_path / "c", ckpt.select(exclude="empty").renamed(str.upper), overwrite=True)
    assert_equal(ckptfmt.open(tmp_path / "c"), wanted)
    assert ckptfmt.open(tmp_path / "c").verify().ok


def test_a_copy_crosses_file_systems(tmp_path: Path) -> None:
    ckpt = ckptfmt.open(write_bundle(tmp_path / "old", VALUES, 2))
    fs = MemoryFilesystem()
    ckptfmt.save("c", ckpt, fs=fs)
    there = ckptfmt.open("c", fs=fs)
    assert_equal(there, VALUES)
    assert_identical(ckptfmt.open(ckptfmt.save(tmp_path / "back", there)), ckpt)


def test_progress_is_told_in_bytes(tmp_path: Path) -> None:
    ckpt = ckptfmt.open(write_bundle(tmp_path / "old", VALUES))
    calls: list[tuple[int, int]] = []
    ckptfmt.save(
        tmp_path / "new", ckpt.cast("float16", only="b/*"), progress=lambda *each: calls.append(each)
    )
    total = sum(array.nbytes for array in VALUES.values()) - 60
    assert calls[-1] == (total, total)
    assert calls == sorted(calls)


def test_a_plan_says_what_would_be_written(tmp_path: Path) -> None:
    ckpt = ckptfmt.open(write_bundle(tmp_path / "old", VALUES, strings={"label": b"abc"}))
    plan = plan_save(tmp_path / "new", ckpt.cast("bfloat16", only="a/*"), num_shards=2)
    assert not (tmp_path / "new.index").exists()
    rows = {each.name: (each.dtype.name, each.shape, each.nbytes, each.is_copied) for each in plan.tensors}
    assert rows == {
        "z/first": ("float32", (2, 3), 24, True),
        "empty": ("float32", (0, 4), 0, True),
        "a/big": ("bfloat16", BIG.shape, 2 * BIG.size, False),
        "b/step": ("int64", (), 8, True),
        "b/more": ("float64", (10,), 80, True),
        "label": ("string", (), 8, True),
    }
    assert plan.num_shards == 2
    assert plan.nbytes == sum(plan.shard_bytes) == 2 * BIG.size + 120
    assert plan.copied_bytes == 120


@pytest.mark.skipif(not hasattr(os, "copy_file_range"), reason="the system cannot copy between files")
@pytest.mark.parametrize("error", REFUSALS)
def test_a_copy_that_the_system_refuses_loses_nothing(tmp_path: Path, error: int) -> None:
    write_bundle(tmp_path / "old", VALUES, 2)
    wanted = ckptfmt.open(tmp_path / "old")
    succeeded = 0
    for number in itertools.count(1):
        ckpt = ckptfmt.open(tmp_path / "old")
        calls = Calls(number, refuse(error))
        with calls.counted([*CHANGES, "fstat"]), suppress(CkptfmtError):
            ckptfmt.save(tmp_path / "new", ckpt)
            succeeded += 1
        # If the directory cannot be synced at last, the new checkpoint may be there.
        if (tmp_path / "new.index").exists():
            assert_identical(ckptfmt.open(tmp_path / "new"), wanted)
        for path in tmp_path.glob("new*"):
            path.unlink()
        if not calls.has_happened:
            break
    assert succeeded > 2  # for example without the kernel
    assert number > 15


# --- memory ----------------------------------------------------------------------------------------------


def test_a_copy_takes_little_memory(tmp_path: Path) -> None:
    tensors = {f"t{i}": np.full(4 << 20, i, np.float32) for i in range(8)}
    ckpt = ckptfmt.open(write_bundle(tmp_path / "old", tensors, 2))
    view = ckpt.select(exclude="t3").renamed(str.upper)
    with memory_growth() as growth:
        ckptfmt.save(tmp_path / "new", view, num_shards=3)
    assert growth.peak < 48 << 20
    assert ckptfmt.open(tmp_path / "new")["T7"][0] == 7


@pytest.mark.parametrize("backend", ["mmap", "pread"])
def test_a_copy_through_memory_takes_little_of_it(
    tmp_path: Path, backend: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ckptfmt.storage.output.local_output.copy_in_kernel", lambda *_: 0)
    write_bundle(tmp_path / "old", {f"t{i}": np.full(16 << 20, i, np.float32) for i in range(2)})
    with memory_growth() as growth:
        ckptfmt.save(tmp_path / "new", ckptfmt.open(tmp_path / "old", backend=backend))
    assert growth.peak < 48 << 20
