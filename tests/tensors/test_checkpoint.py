"""The Checkpoint as its users meet it."""

from __future__ import annotations

import gc
import math
import pickle
import shutil
import subprocess
import sys
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import ckptfmt
from ckptfmt.checkpoint.slices import encode_slice_key
from ckptfmt.dtypes import DTYPES
from ckptfmt.errors import (
    CheckpointNotFoundError,
    ChecksumError,
    CorruptError,
    TensorNotFoundError,
    TruncatedError,
    UnsupportedError,
)
from ckptfmt.wire.crc32c import crc32c, mask
from tests.support.golden import load
from tests.support.table_writer import (
    encode_bundle_index,
    encode_entry,
    encode_field,
    encode_header,
    encode_table,
    write_bundle,
)


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
                    [1, 0, -1, 1],
                    np.array([0, 1]),
                    (np.arange(array.shape[0]) % 2 == 1, ...),
                    (..., [-1, 0]),
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


def test_an_ellipsis_that_stands_for_no_dimension_parts_a_list_from_an_integer(tmp_path: Path) -> None:
    # NumPy puts the list's dimension first then; of shape (3, 3, 1) the result has the same shape either way.
    for shape in ((2, 4, 6), (3, 3, 1)):
        array = np.arange(math.prod(shape), dtype=np.int32).reshape(shape)
        write_bundle(tmp_path / f"w{shape[0]}", {"w": array})
        with ckptfmt.open(tmp_path / f"w{shape[0]}") as ckpt:
            for index in ((slice(None), [2, 0, 1], ..., 0), ([1, 0], ..., 0, 0), ([1, 0], 0, 0, ...)):
                got = ckpt.slice("w")[index]
                assert got.shape == array[index].shape
                np.testing.assert_array_equal(got, array[index])


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
    with pytest.raises(TypeError, match="axis 0: got an array of float64, want integers or bools"):
        reader[[0.5]]
    with pytest.raises(IndexError, match=f"axis 0: {rows} is out of bounds for size {rows}"):
        reader[[0, rows]]
    with pytest.raises(IndexError, match=f"got a mask of {rows + 1}, want {rows}"):
        reader[[True] * (rows + 1)]
    with pytest.raises(IndexError, match="several lists or masks"):
        reader[[0], [0]]
    with pytest.raises(IndexError, match="got an array of 2 dimensions, want one"):
        reader[np.ones(reader.shape, bool)]
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


def test_out_takes_arrays_of_any_memory_order() -> None:
    golden = load("keras3")
    ckpt = ckptfmt.open(golden.path)
    name, entry = next((n, e) for n, e in ckpt.entries.items() if len(e.shape) == 2)
    rows, columns = entry.shape
    for out in (
        np.empty(entry.shape, entry.dtype.numpy, order="F"),
        np.empty((rows, 2 * columns), entry.dtype.numpy)[:, ::2],
    ):
        assert ckpt.read(out={name: out})[name] is out
        np.testing.assert_array_equal(out, ckpt[name])
    for wrong in ([[0.0]], np.ma.masked_all(entry.shape, entry.dtype.numpy)):
        with pytest.raises(TypeError, match="want a plain ndarray"):
            ckpt.read(out={name: wrong})  # type: ignore[dict-item]


def test_it_travels_to_worker_processes(saver: ckptfmt.Checkpoint) -> None:
    copy = pickle.loads(pickle.dumps(saver))
    assert copy.prefix == saver.prefix
    assert copy["global_step"] == saver["global_step"]


def test_names_that_are_no_text_are_refused(saver: ckptfmt.Checkpoint) -> None:
    for name in (b"global_step", 0, None):
        with pytest.raises(TypeError, match="want a str"):
            saver[name]  # type: ignore[index]
        assert saver.get(name, "default") == "default"  # type: ignore[arg-type]
    assert saver.get("globalstep") is None
    assert saver.get("global_step") == saver["global_step"]


def test_a_lone_surrogate_is_no_name_before_or_after_listing(tmp_path: Path) -> None:
    # The bytes ed a0 80 would be that surrogate in UTF-8, if there were one; they are a name of their own.
    items = [(b"", encode_header()), (b"\xc3\xa9", encode_entry()), (b"\xed\xa0\x80", encode_entry())]
    (tmp_path / "c.index").write_bytes(encode_table(items))
    ckpt = ckptfmt.open(tmp_path / "c")
    for _ in ("before", "after"):
        assert "\ud800" not in ckpt
        assert "\udcc3\udca9" not in ckpt
        assert "\xe9" in ckpt
        assert "\udced\udca0\udc80" in ckpt
        assert list(ckpt) == ["\xe9", "\udced\udca0\udc80"]


def test_a_reader_of_slices_is_an_array_to_numpy(saver: ckptfmt.Checkpoint) -> None:
    name = next(name for name, entry in saver.entries.items() if len(entry.shape) == 2)
    reader = saver.slice(name)
    assert reader.ndim == 2
    np.testing.assert_array_equal(np.asarray(reader), saver[name])
    assert np.array(reader, np.float64).dtype == np.float64
    assert np.asarray(saver.slice("global_step")).shape == ()
    with pytest.raises(TypeError, match="is a bool"):
        reader[True]
    assert reader.name == name
    assert (reader.size, reader.nbytes) == (saver[name].size, saver[name].nbytes)
    assert (saver.slice("global_step").size, saver.slice("global_step").nbytes) == (1, 8)


@pytest.mark.parametrize("case", ["saver", "sliced_shapes", "strings", "v1_sliced"])
def test_a_reader_of_slices_can_be_sent_to_another_process(case: str) -> None:
    with ckptfmt.open(load(case).path, backend="pread") as ckpt:
        for name, array in ckpt.items():
            for reader in (ckpt.slice(name), ckpt.renamed({"x": name}).slice("x")):
                copy = pickle.loads(pickle.dumps(reader))
                assert copy.entry == reader.entry
                np.testing.assert_array_equal(copy[...], array)
                assert copy.is_verified(...) == reader.is_verified(...)


@pytest.mark.parametrize("big_endian", [False, True], ids=["little", "big"])
@pytest.mark.parametrize(
    "name", ["float32", "bool", "int4", "float4_e2m1fn", "bfloat16", "complex64", "int64"]
)
def test_a_part_is_read_without_the_rest(name: str, big_endian: bool, tmp_path: Path) -> None:
    dtype = next(dtype for dtype in DTYPES.values() if dtype.name == name)
    assert dtype.itemsize is not None
    rows = 1 << 16
    values = np.arange(rows * 256, dtype=np.uint32).astype(np.uint8) & (1 if name == "bool" else 7)
    array = values.view(np.int8).astype(dtype.numpy).reshape(rows, 256)
    word = dtype.itemsize // 2 if name == "complex64" else dtype.itemsize
    data = array.view(np.uint8).reshape(-1, word)[:, :: -1 if big_endian else 1].tobytes()
    entry = encode_entry(dtype=dtype.code, shape=array.shape, size=len(data), crc=crc32c(data))
    header = encode_header(big_endian=big_endian)
    (tmp_path / "c.index").write_bytes(encode_bundle_index({"w": entry}, header))
    (tmp_path / "c.data-00000-of-00001").write_bytes(data)
    ckpt = ckptfmt.open(tmp_path / "c")
    assert ckpt["w"].tobytes() == array.tobytes()
    tracemalloc.start()
    part = ckpt.slice("w")[3:5, ::2]
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert part.tobytes() == array[3:5, ::2].tobytes()
    assert peak < 100_000


def test_a_bool_that_is_neither_0_nor_1_is_true(tmp_path: Path) -> None:
    data = bytes([0, 1, 2, 255])
    entry = encode_entry(dtype=10, shape=(4,), size=4, crc=crc32c(data))
    (tmp_path / "c.index").write_bytes(encode_bundle_index({"b": entry}))
    (tmp_path / "c.data-00000-of-00001").write_bytes(data)
    ckpt = ckptfmt.open(tmp_path / "c")
    assert ckpt["b"].tobytes() == bytes([0, 1, 1, 1])
    assert ckpt.slice("b")[2:].tobytes() == bytes([1, 1])
    assert not ckpt["b"].flags.writeable
    assert ckpt.verify().ok


def test_variants_compare_and_hash_as_objects() -> None:
    ckpt = ckptfmt.open(load("variants").path)
    variants = [v for array in ckpt.values() for v in array.flat]
    assert variants
    assert len(set(variants)) == len(variants)
    assert variants[0] == variants[0]


def test_a_shard_the_system_refuses_is_not_called_damaged(tmp_path: Path) -> None:
    path = copied("saver", tmp_path)
    shard = next(path.parent.glob(f"{path.name}.data-*"))
    shard.unlink()
    shard.mkdir()
    report = ckptfmt.open(path).verify()
    assert not report.ok
    assert {problem.kind for problem in report.problems} == {"unreadable"}


MEASURED = """
import resource, sys, ckptfmt
ckpt = ckptfmt.open(sys.argv[1])
list(ckpt)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
report = ckpt.verify()
assert report.ok, report.problems
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux: ru_maxrss in KiB, and pages given back")
def test_verify_takes_little_memory_however_large_the_shards(tmp_path: Path) -> None:
    size, strings = 256 << 20, 3_000_000
    zeros = bytes(1 << 20)
    crc = 0
    with (tmp_path / "c.data-00000-of-00001").open("wb") as file:
        for _ in range(size >> 20):
            crc = crc32c(zeros, crc)
        file.truncate(size)
        # A great many empty strings: a byte each.
        lengths = crc32c(bytes(4 * strings))
        stored = mask(lengths).to_bytes(4, "little")
        file.seek(size + strings)
        file.write(stored)
    entries = {
        "w": encode_entry(dtype=4, shape=(size,), size=size, crc=crc),
        "s": encode_entry(
            dtype=7, shape=(strings,), offset=size, size=strings + 4, crc=crc32c(stored, lengths)
        ),
    }
    (tmp_path / "c.index").write_bytes(encode_bundle_index(entries))
    command = [sys.executable, "-c", MEASURED, str(tmp_path / "c")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 64 << 10, "KiB"


MANY_SHARDS = """
import resource, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (200, 200))
import ckptfmt
ckpt = ckptfmt.open(sys.argv[1])
assert ckpt.verify().ok
assert len(ckpt.read(copy=True)) == 300
"""


@pytest.mark.skipif(sys.platform == "win32", reason="limits of the process")
def test_more_shards_than_files_that_may_be_open(tmp_path: Path) -> None:
    tensors = {f"t{i:03}": np.full(3, i, np.int32) for i in range(300)}
    write_bundle(tmp_path / "c", tensors, num_shards=300)
    command = [sys.executable, "-c", MANY_SHARDS, str(tmp_path / "c")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("code", "values", "message"),
    [
        (20, encode_field(14, encode_field(3, b"handle")), "values of dtype resource"),
        (99, b"", "values of dtype unknown_99"),
        (0, b"", "values of dtype invalid"),
    ],
    ids=["resource", "unknown", "invalid"],
)
def test_v1_tensors_that_cannot_be_stored_are_listed_and_refused(
    code: int, values: bytes, message: str, tmp_path: Path
) -> None:
    (tmp_path / "c").write_bytes(v1_scalar(code, values))
    ckpt = ckptfmt.open(tmp_path / "c")
    assert ckpt.entries["t"].dtype.code == code
    with pytest.raises(UnsupportedError, match=f"tensor 't'.*{message}"):
        ckpt["t"]
    assert [problem.kind for problem in ckpt.verify().problems] == ["unsupported"]


def test_v1_variants_read(tmp_path: Path) -> None:
    (tmp_path / "c").write_bytes(v1_scalar(21, encode_field(15, encode_field(1, b"T"))))
    ckpt = ckptfmt.open(tmp_path / "c")
    assert ckpt.entries["t"].nbytes == 0
    assert ckpt["t"].item().type_name == "T"
    assert ckpt.verify().ok


def v1_scalar(code: int, values: bytes) -> bytes:
    """A V1 file of one scalar "t" of any dtype."""
    meta = encode_field(1, b"t") + encode_field(2, b"") + encode_field(3, code) + encode_field(4, b"")
    data = encode_field(1, b"t") + encode_field(2, b"") + encode_field(3, values)
    key = encode_slice_key(b"t", ckptfmt.TensorSlice(()))
    return encode_table([(b"", encode_field(1, encode_field(1, meta))), (key, encode_field(2, data))])
