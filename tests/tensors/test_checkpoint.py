"""The Checkpoint as its users meet it."""

from __future__ import annotations

import gc
import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import ckptfmt
from ckptfmt.errors import TensorNotFoundError
from tests.support.golden import load


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
def test_a_dropped_checkpoint_is_unmapped_without_a_garbage_collection(
    case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ckptfmt.storage.local_file.MAPPED_FROM", 1)
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
