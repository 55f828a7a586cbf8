"""What can be saved: mappings of every kind, and several; what is refused before anything is written."""

from __future__ import annotations

from collections import ChainMap, OrderedDict, UserDict
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import ckptfmt
from ckptfmt.errors import NameConflictError
from ckptfmt.saving.save import plan_save
from tests.support.table_writer import write_bundle

W = np.arange(6, dtype=np.float32).reshape(2, 3)
B = np.array([1, 2], ml_dtypes.bfloat16)


def saved(folder: Path, tensors: Any, **options: Any) -> ckptfmt.Checkpoint:
    return ckptfmt.open(ckptfmt.save(folder / "saved", tensors, **options))


@pytest.mark.parametrize(
    "kind", [dict, OrderedDict, MappingProxyType, UserDict, lambda each: ChainMap({}, each)]
)
def test_any_mapping_is_saved(tmp_path: Path, kind: Any) -> None:
    ckpt = saved(tmp_path, kind({"layer/w": W, "layer/b": B}))
    assert set(ckpt) == {"layer/w", "layer/b"}
    assert ckpt["layer/w"].tolist() == W.tolist()
    assert ckpt["layer/b"].dtype == ml_dtypes.bfloat16


def test_nested_mappings_get_names_with_slashes(tmp_path: Path) -> None:
    tree = {"model": {"dense": {"kernel": W, "bias": B}, "step": 3}, "names": ["a", b"bc"]}
    ckpt = saved(tmp_path, tree)
    assert sorted(ckpt) == ["model/dense/bias", "model/dense/kernel", "model/step", "names"]
    assert ckpt["model/step"].dtype == np.int32
    assert ckpt["names"].tolist() == [b"a", b"bc"]


def test_the_data_file_has_the_order_of_the_mapping(tmp_path: Path) -> None:
    ckpt = saved(tmp_path, {"z": W, "a": W, "m": W})
    assert sorted(ckpt, key=lambda name: ckpt.entries[name].offset or 0) == ["z", "a", "m"]


def test_an_archive_of_numpy_is_saved(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", w=W, **{"scope/step": np.array(3)})
    with np.load(tmp_path / "x.npz") as archive:
        ckpt = saved(tmp_path, archive)
        nested = saved(tmp_path / "nested", {"in": archive})
    assert ckpt["w"].tolist() == W.tolist()
    assert ckpt["scope/step"] == 3
    assert sorted(nested) == ["in/scope/step", "in/w"]


def test_a_file_of_h5py_is_saved(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py", reason="h5py is not installed")
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["layer/kernel"] = W
        file["step"] = 3
        file["labels"] = [b"a", b"bc"]
        ckpt = saved(tmp_path, file)
    assert ckpt["layer/kernel"].tolist() == W.tolist()
    assert ckpt["step"] == 3
    assert ckpt["labels"].tolist() == [b"a", b"bc"]


def test_files_of_safetensors_are_saved(tmp_path: Path) -> None:
    safetensors = pytest.importorskip("safetensors", reason="safetensors is not installed")
    from safetensors.numpy import load_file, save_file

    save_file({"w": W, "layer.b": np.ones(2, np.int8)}, tmp_path / "x.safetensors")
    loaded = saved(tmp_path / "loaded", load_file(tmp_path / "x.safetensors"))
    with safetensors.safe_open(tmp_path / "x.safetensors", framework="np") as file:
        opened = saved(tmp_path / "opened", file)
    for ckpt in (loaded, opened):
        assert ckpt["w"].tolist() == W.tolist()
        assert ckpt["layer.b"].dtype == np.int8


def test_arrays_of_other_libraries_are_saved(tmp_path: Path) -> None:
    class Foreign:
        def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
            return W

    assert saved(tmp_path, {"w": Foreign()})["w"].tolist() == W.tolist()


def test_one_value_at_a_time_is_loaded(tmp_path: Path) -> None:
    alive: set[int] = set()

    class Loaded(np.ndarray):
        def __array_finalize__(self, other: Any) -> None:
            alive.add(id(self))

        def __del__(self) -> None:
            alive.discard(id(self))

    class Lazy(Mapping[str, Any]):
        most = 0

        def __getitem__(self, name: str) -> Any:
            array = np.full(5000, int(name)).view(Loaded)
            Lazy.most = max(Lazy.most, len(alive))
            return array

        def __iter__(self) -> Iterator[str]:
            return map(str, range(50))

        def __len__(self) -> int:
            return 50

    ckpt = saved(tmp_path, Lazy())
    assert all(ckpt[str(i)].tolist() == [i] * 5000 for i in range(50))
    assert Lazy.most < 10


def test_several_are_merged(tmp_path: Path) -> None:
    one = ckptfmt.open(write_bundle(tmp_path / "one", {"w": W, "b": np.ones(2, np.float32)}, 2))
    two = ckptfmt.open(write_bundle(tmp_path / "two", {"v": W * 2}))
    for merged in (
        [one, two.renamed(lambda name: f"two/{name}"), {"step": 3}],
        (one, {"two": two, "step": 3}),
    ):
        ckpt = saved(tmp_path, merged, overwrite=True)
        assert sorted(ckpt) == ["b", "step", "two/v", "w"]
        assert ckpt["two/v"].tolist() == (W * 2).tolist()
        assert ckpt.verify().ok
        copied = [each.name for each in plan_save(tmp_path / "x", merged).tensors if each.is_copied]
        assert sorted(copied) == ["b", "two/v", "w"]


def test_names_that_several_have_are_said_before_anything_is_written(tmp_path: Path) -> None:
    ckpt = ckptfmt.open(write_bundle(tmp_path / "one", {"w": W}))
    with pytest.raises(NameConflictError, match=r"'w' by .*one', 'mapping 2'") as caught:
        ckptfmt.save(tmp_path / "new" / "ckpt", [ckpt, {"w": W, "b": B}])
    assert set(caught.value.names) == {"w"}
    with pytest.raises(NameConflictError, match="'a/b'"):
        ckptfmt.save(tmp_path / "new" / "ckpt", {"a/b": W, "a": {"b": W}})
    assert not (tmp_path / "new").exists()


def test_a_path_is_not_a_mapping(tmp_path: Path) -> None:
    for tensors in ("old/ckpt", Path("old/ckpt"), ["old/ckpt"]):
        with pytest.raises(TypeError, match=r"got the path 'old/ckpt', .*ckptfmt\.open\('old/ckpt'\)"):
            ckptfmt.save(tmp_path / "new", tensors)  # type: ignore[arg-type]
    for wrong in (W, 3, [W], None):
        with pytest.raises(TypeError, match="want a mapping"):
            ckptfmt.save(tmp_path / "new", wrong)  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_stored_is_said_before_anything_is_written(tmp_path: Path) -> None:
    for wrong, error in (
        ({"": W}, ValueError),
        ({"\0w": W}, ValueError),
        ({"\ud800": W}, ValueError),
        ({3: W}, TypeError),
        ({"w": object()}, TypeError),
        ({"w": None}, TypeError),
        ({"w": np.array(["2020-01-01"], "datetime64[D]")}, TypeError),
        ({"w": np.zeros(2, [("a", "i4")])}, TypeError),
    ):
        with pytest.raises(error):
            ckptfmt.save(tmp_path / "new" / "ckpt", {"good": W, **wrong})  # type: ignore[dict-item]
    assert not (tmp_path / "new").exists()


def test_no_tensors_make_an_empty_checkpoint(tmp_path: Path) -> None:
    assert len(saved(tmp_path, {})) == 0
    assert len(saved(tmp_path, [], overwrite=True)) == 0


def test_strings_have_the_size_that_a_plan_says(tmp_path: Path) -> None:
    tensors = {"s": np.array([b"abc", "\u00fc" * 200, b""], object), "w": W}
    plan = plan_save(tmp_path / "saved", tensors)
    ckpt = saved(tmp_path, tensors)
    size = Path(ckpt.shard_path(0)).stat().st_size
    assert size <= plan.nbytes <= size + 3 * 10
