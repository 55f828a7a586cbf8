"""The Checkpoint as its users meet it."""

from __future__ import annotations

import gc
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import ckptfmt
from ckptfmt.errors import (
    CheckpointNotFoundError,
    ChecksumError,
    CorruptError,
    TensorNotFoundError,
    TruncatedError,
)
from tests.support.golden import load
from tests.support.table_writer import encode_bundle_index, encode_entry, write_bundle


@pytest.fixture
def saver() -> ckptfmt.Checkpoint:
    return ckptfmt.open(load("saver").path)


def copied(case: str, to: Path) -> Path:
    """A copy of a golden case that a test may damage; the path to open."""
    golden = load(case)
    shutil.copytree(golden.folder, to / case)
    return to / case / golden.path.relative_to(golden.folder)


def flip(path: Path, offset: int) -> None:
    data = bytearray(path.read_bytes())
    data[offset] ^= 0x10
    path.write_bytes(data)


def test_it_is_a_mapping_of_sorted_names(saver: ckptfmt.Checkpoint) -> None:
    names = list(saver)
    assert names == sorted(names)
    assert len(saver) == len(names) > 3
    assert "global_step" in saver
    assert "global_steps" not in saver
    assert "" not in saver
    assert 3 not in saver
    assert saver.get("no such name") is None
    assert {name: array.shape for name, array in saver.items()} == {
        name: entry.shape for name, entry in saver.entries.items()
    }


def test_scalars_are_arrays_without_dimensions(saver: ckptfmt.Checkpoint) -> None:
    step = saver["global_step"]
    assert isinstance(step, np.ndarray)
    assert step.shape == ()
    assert step.dtype == np.int64


def test_arrays_are_read_only_views_of_the_file(saver: ckptfmt.Checkpoint) -> None:
    name = next(name for name, entry in saver.entries.items() if entry.nbytes > 8)
    array = saver[name]
    assert not array.flags.owndata
    assert not array.flags.writeable
    with pytest.raises(ValueError, match="read-only"):
        array[...] = 0
    assert np.shares_memory(array, saver[name])


@pytest.mark.parametrize("case", ["saver", "sliced_dtypes", "strings", "dtypes", "v1_whole"])
def test_every_array_is_read_only(case: str) -> None:
    for array in ckptfmt.open(load(case).path).values():
        assert not array.flags.writeable


def test_closing_leaves_arrays_that_were_handed_out() -> None:
    golden = load("saver")
    with ckptfmt.open(golden.path) as ckpt:
        arrays = {name: ckpt[name] for name in ckpt}
    del ckpt
    gc.collect()
    for tensor in golden.tensors.values():
        assert arrays[tensor.name].tobytes() == tensor.expected().tobytes()


def test_reading_after_closing_says_so(saver: ckptfmt.Checkpoint) -> None:
    saver.close()
    with pytest.raises(ValueError, match="closed"):
        saver["global_step"]


def test_opening_reads_no_data_file(tmp_path: Path) -> None:
    path = copied("saver", tmp_path)
    for shard in path.parent.glob("*.data-*"):
        shard.unlink()
    ckpt = ckptfmt.open(path)
    assert ckpt.entries["global_step"].dtype.name == "int64"
    with pytest.raises(CheckpointNotFoundError, match=r"shard 0 of 1.*'global_step'") as caught:
        ckpt["global_step"]
    assert caught.value.tried == (f"{path}.data-00000-of-00001",)


def test_a_missing_shard_spoils_only_what_lies_in_it(tmp_path: Path) -> None:
    path = copied("sharded", tmp_path)
    whole = ckptfmt.open(path)
    lost = {name for name, entry in whole.entries.items() if entry.shard == 1 or entry.slices}
    values = {name: whole[name].tobytes() for name in whole}
    assert 0 < len(lost) < len(values)
    next(path.parent.glob("*.data-00001-of-*")).unlink()
    ckpt = ckptfmt.open(path)
    assert list(ckpt) == list(values)
    for name in ckpt:
        if name in lost:
            with pytest.raises(CheckpointNotFoundError, match="shard 1 of"):
                ckpt[name]
        else:
            assert ckpt[name].tobytes() == values[name]
    report = ckpt.verify()
    assert [problem.kind for problem in report.problems] == ["missing"]
    assert report.tensors_checked == len(values) - len(lost)


def test_a_short_shard_spoils_only_what_lies_behind_its_end(tmp_path: Path) -> None:
    path = copied("saver", tmp_path)
    entries = ckptfmt.open(path).entries
    last = max(entries.values(), key=lambda entry: entry.offset or 0)
    data = next(path.parent.glob(f"{path.name}.data-*"))
    data.write_bytes(data.read_bytes()[:-1])
    ckpt = ckptfmt.open(path)
    with pytest.raises(TruncatedError) as caught:
        ckpt[last.name]
    error = caught.value
    assert (error.file, error.offset) == (str(data), last.offset)
    assert (error.wanted, error.available) == (last.nbytes, last.nbytes - 1)
    assert sum(1 for name in ckpt if name != last.name and ckpt[name] is not None) == len(entries) - 1


def test_a_flipped_bit_is_found_on_first_read_unless_asked_not_to(tmp_path: Path) -> None:
    path = copied("saver", tmp_path)
    entry = ckptfmt.open(path).entries["global_step"]
    data = next(path.parent.glob(f"{path.name}.data-*"))
    assert entry.offset is not None
    flip(data, entry.offset)
    with pytest.raises(
        ChecksumError, match=r"'global_step': checksum mismatch: stored 0x\w{8}, computed 0x"
    ) as caught:
        ckptfmt.open(path)["global_step"]
    assert caught.value.stored == entry.crc32c
    assert caught.value.computed != entry.crc32c
    assert (caught.value.file, caught.value.offset) == (str(data), entry.offset)
    assert ckptfmt.open(path, verify=False)["global_step"].shape == ()


def test_a_wrong_name_gives_close_ones(saver: ckptfmt.Checkpoint) -> None:
    with pytest.raises(TensorNotFoundError, match="did you mean 'global_step'") as caught:
        saver["globalstep"]
    assert caught.value.name == "globalstep"
    assert caught.value.close_matches[0] == "global_step"
    assert isinstance(caught.value, KeyError)
    with pytest.raises(TensorNotFoundError):
        saver.entries["globalstep"]
    with pytest.raises(TensorNotFoundError):
        saver.read(["global_step", "globalstep"])
    with pytest.raises(TensorNotFoundError):
        saver.slice("globalstep")


def test_many_threads_read_the_same(saver: ckptfmt.Checkpoint) -> None:
    expected = {name: saver[name].tobytes() for name in saver}
    fresh = ckptfmt.open(saver.prefix)
    with ThreadPoolExecutor(8) as pool:
        names = list(expected) * 20
        results = pool.map(lambda name: (name, fresh[name].tobytes()), names)
        assert all(expected[name] == data for name, data in results)


def test_large_tensors_are_read_by_threads_and_in_the_order_asked(tmp_path: Path) -> None:
    rng = np.random.default_rng(7)
    arrays = {f"t{i}": rng.standard_normal(300_000).astype(np.float32) for i in range(6)} | {
        "small": np.arange(3, dtype=np.int32)
    }
    write_bundle(tmp_path / "ckpt", arrays)
    ckpt = ckptfmt.open(tmp_path / "ckpt")
    names = ["t5", "small", "t0", "t3"]
    for threads in (None, 1, 4):
        for copy in (False, True):
            got = ckpt.read(names, threads=threads, copy=copy)
            assert list(got) == names
            for name in names:
                np.testing.assert_array_equal(got[name], arrays[name])
    flip(tmp_path / "ckpt.data-00000-of-00001", 1_000_000)
    with pytest.raises(ChecksumError):
        ckptfmt.open(tmp_path / "ckpt").read()


def test_a_string_of_names_is_refused(saver: ckptfmt.Checkpoint) -> None:
    with pytest.raises(TypeError, match="want a list of names"):
        saver.read("global_step")


def test_arrays_to_fill_must_fit(saver: ckptfmt.Checkpoint) -> None:
    with pytest.raises(ValueError, match=r"got int32\[\], want int64\[\]"):
        saver.read(out={"global_step": np.empty((), np.int32)})
    with pytest.raises(ValueError, match=r"got int64\[1\], want int64\[\]"):
        saver.read(out={"global_step": np.empty(1, np.int64)})
    frozen = np.empty((), np.int64)
    frozen.flags.writeable = False
    with pytest.raises(ValueError, match="not writable"):
        saver.read(out={"global_step": frozen})
    with pytest.raises(ValueError, match="not among the names"):
        saver.read([], out={"global_step": np.empty((), np.int64)})


def test_the_repr_tells_what_it_is(saver: ckptfmt.Checkpoint) -> None:
    assert repr(saver) == f"<Checkpoint {saver.prefix!r} v2, {len(saver)} tensors>"
    saver.close()
    assert "saver" in repr(saver)


def test_checkpoints_compare_by_identity(saver: ckptfmt.Checkpoint) -> None:
    assert saver == saver
    assert saver != ckptfmt.open(saver.prefix)
    assert len({saver, saver}) == 1


def test_names_that_are_not_utf8_read_by_their_escapes() -> None:
    golden = load("names")
    ckpt = ckptfmt.open(golden.path)
    odd = [tensor for tensor in golden.tensors.values() if b"\xff" in tensor.key]
    assert odd
    for tensor in odd:
        assert ckptfmt.open(golden.path)[tensor.name].tobytes() == tensor.expected().tobytes()
        assert tensor.name in ckpt


@pytest.mark.parametrize(
    "case", ["sliced_shapes", "sliced_dtypes", "v1_sliced", "max_shard", "saver", "v1_whole"]
)
def test_slices_equal_numpys(case: str) -> None:
    ckpt = ckptfmt.open(load(case).path)
    for name, array in ckpt.items():
        reader = ckpt.slice(name)
        assert reader.shape == array.shape
        for index in (
            ...,
            *(
                [
                    0,
                    -1,
                    np.int64(0),
                    slice(None),
                    slice(1, None),
                    slice(None, None, 2),
                    slice(None, None, -1),
                    slice(-2, None),
                    slice(5, 2),
                    (..., 0),
                    (slice(1, 3), ...),
                ]
                if array.ndim and min(array.shape) > 1
                else []
            ),
        ):
            got, expected = reader[index], np.asarray(array[index], array.dtype)
            assert got.shape == expected.shape, (name, index)
            assert got.dtype == expected.dtype
            assert got.tolist() == expected.tolist() or got.tobytes() == expected.tobytes()
            assert not got.flags.writeable


def test_slices_refuse_what_numpy_refuses(saver: ckptfmt.Checkpoint) -> None:
    name = next(name for name, entry in saver.entries.items() if len(entry.shape) == 2)
    reader = saver.slice(name)
    rows = reader.shape[0]
    assert len(reader) == rows
    with pytest.raises(IndexError, match="out of bounds"):
        reader[rows]
    with pytest.raises(IndexError, match="3 indices for a tensor of 2"):
        reader[0, 0, 0]
    with pytest.raises(TypeError, match="neither an integer"):
        reader["a"]
    with pytest.raises(TypeError, match="no length"):
        len(saver.slice("global_step"))


def test_a_part_touches_only_the_slices_it_needs(tmp_path: Path) -> None:
    path = copied("sliced_shapes", tmp_path)
    ckpt = ckptfmt.open(path)
    sliced = [entry for entry in ckpt.entries.values() if len(entry.slices) > 1 and entry.dtype.itemsize]
    assert sliced
    entry = sliced[0]
    array = ckpt[entry.name]
    first, *_, last = (part.region(entry.shape) for part in entry.slices)
    # Damage every stored byte but those of the first slice: it alone must still read.
    index = tuple(slice(*bounds) for bounds in first)
    kept = array[index].tobytes()
    data = next(path.parent.glob("*.data-*"))
    content = data.read_bytes()
    at = content.index(kept)
    data.write_bytes(
        bytes(b ^ 0xFF for b in content[:at]) + kept + bytes(b ^ 0xFF for b in content[at + len(kept) :])
    )
    damaged = ckptfmt.open(path)
    assert damaged.slice(entry.name)[index].tobytes() == kept
    with pytest.raises(ChecksumError):
        damaged.slice(entry.name)[tuple(slice(*bounds) for bounds in last)]
    with pytest.raises(ChecksumError, match="slice"):
        damaged[entry.name]


def test_resources_are_refused_with_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "ckpt.index").write_bytes(encode_bundle_index({"handle": encode_entry(dtype=20)}))
    ckpt = ckptfmt.open(tmp_path / "ckpt")
    assert ckpt.entries["handle"].dtype.name == "resource"
    with pytest.raises(ckptfmt.errors.UnsupportedError, match=r"'handle'.*dtype resource"):
        ckpt["handle"]


def test_verify_streams_and_reports_progress(saver: ckptfmt.Checkpoint) -> None:
    seen: list[tuple[int, int]] = []
    report = saver.verify(progress=lambda done, total: seen.append((done, total)))
    assert report.ok
    assert seen[-1][0] == seen[-1][1] == report.bytes_checked
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)


def test_verify_finds_orphan_bytes_and_stale_shards(tmp_path: Path) -> None:
    path = copied("sharded", tmp_path)
    shard = next(path.parent.glob("*.data-00000-of-*"))
    size = shard.stat().st_size
    shard.write_bytes(shard.read_bytes() + b"left over")
    stale = path.parent / f"{path.name}.data-00000-of-00009"
    stale.write_bytes(b"x")
    report = ckptfmt.open(path).verify()
    assert report.ok
    assert [(p.severity, p.kind, p.file, p.offset) for p in report.problems] == [
        ("warning", "orphan", str(shard), size),
        ("warning", "stale", str(stale), None),
    ]


def test_verify_goes_on_behind_a_damaged_block(tmp_path: Path) -> None:
    path = copied("many", tmp_path)
    index = path.with_name(f"{path.name}.index")
    flip(index, 1000)
    with pytest.raises(CorruptError):
        list(ckptfmt.open(path, verify=False))
    flip(index, 1000)
    flip(index, index.stat().st_size // 2)
    report = ckptfmt.open(path).verify()
    assert not report.ok
    assert {problem.kind for problem in report.problems if problem.severity == "error"} == {"block"}
    assert report.tensors_checked > 100


def test_a_missing_v1_shard_is_named(tmp_path: Path) -> None:
    path = copied("v1_sharded", tmp_path)
    shards = sorted(path.parent.glob("*-00001-of-*"))
    assert len(shards) == 1
    names = list(ckptfmt.open(path))
    shards[0].unlink()
    ckpt = ckptfmt.open(path)
    report = ckpt.verify()
    assert not report.ok
    assert [problem.file for problem in report.problems if problem.kind == "missing"] == [str(shards[0])]
    cut = [name for name, entry in ckpt.entries.items() if entry.slices]
    assert cut
    for name in cut:
        with pytest.raises(CorruptError, match=f"elements uncovered.*missing: .*{shards[0].name}"):
            ckpt[name]
    assert set(ckpt) <= set(names)
    assert any(ckpt[name] is not None for name in ckpt if name not in cut)
