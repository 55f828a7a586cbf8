"""The Checkpoint as its users meet it."""

from __future__ import annotations

import gc
import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import ckptfmt
from ckptfmt.errors import (
    CheckpointNotFoundError,
    ChecksumError,
    TensorNotFoundError,
    TruncatedError,
)
from ckptfmt.wire.crc32c import crc32c
from tests.support.golden import copied, flip, load
from tests.support.table_writer import (
    encode_bundle_index,
    encode_entry,
    encode_header,
    encode_table,
    write_bundle,
)


@pytest.fixture
def saver() -> ckptfmt.Checkpoint:
    return ckptfmt.open(load("saver").path)


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


def test_arrays_outlive_closing() -> None:
    golden = load("saver")
    with ckptfmt.open(golden.path) as ckpt:
        arrays = {name: ckpt[name] for name in ckpt}
    del ckpt
    gc.collect()
    for tensor in golden.tensors.values():
        assert arrays[tensor.name].tobytes() == tensor.expected().tobytes()


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="the system does not list mappings")
@pytest.mark.parametrize("case", ["saver", "sliced_dtypes", "strings", "v1_whole"])
def test_a_dropped_checkpoint_is_unmapped_without_a_garbage_collection(case: str) -> None:
    path = load(case).path
    gc.collect()
    gc.disable()
    try:
        ckpt = ckptfmt.open(path)
        names = list(ckpt)
        assert len(ckpt.read(copy=True)) == len(names) == len(list(ckpt.entries.values()))
        assert str(path) in Path("/proc/self/maps").read_text()
        del ckpt
        assert str(path) not in Path("/proc/self/maps").read_text()
    finally:
        gc.enable()


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


def test_a_missing_shard_spoils_only_its_own_tensors(tmp_path: Path) -> None:
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


def test_a_short_shard_spoils_only_what_is_past_its_end(tmp_path: Path) -> None:
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


def test_the_repr_says_what_it_is(saver: ckptfmt.Checkpoint) -> None:
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


def test_resources_are_refused_with_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "ckpt.index").write_bytes(encode_bundle_index({"handle": encode_entry(dtype=20)}))
    ckpt = ckptfmt.open(tmp_path / "ckpt")
    assert ckpt.entries["handle"].dtype.name == "resource"
    with pytest.raises(ckptfmt.errors.UnsupportedError, match=r"'handle'.*dtype resource"):
        ckpt["handle"]


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


def test_it_can_be_sent_to_worker_processes(saver: ckptfmt.Checkpoint) -> None:
    copy = pickle.loads(pickle.dumps(saver))
    assert copy.prefix == saver.prefix
    assert copy["global_step"] == saver["global_step"]


def test_names_that_are_not_text_are_refused(saver: ckptfmt.Checkpoint) -> None:
    for name in (b"global_step", 0, None):
        with pytest.raises(TypeError, match="want a str"):
            saver[name]  # type: ignore[index]
        assert saver.get(name, "default") == "default"  # type: ignore[arg-type]
    assert saver.get("globalstep") is None
    assert saver.get("global_step") == saver["global_step"]


def test_a_lone_surrogate_is_not_a_name_before_or_after_listing(tmp_path: Path) -> None:
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
