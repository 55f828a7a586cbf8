"""Checkpoints of Orbax, written: Orbax restores them."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import ckptfmt
from ckptfmt.converting.sinks import orbax as orbax_sink
from ckptfmt.errors import (
    AlreadyExistsError,
    CkptfmtError,
    ConversionError,
    MissingDependencyError,
    UnsupportedError,
)
from tests.support.memory_filesystem import MemoryFilesystem

WAY = {
    "key_metadata": [{"key": "a", "key_type": 2}, {"key": 0, "key_type": 1}],
    "value_metadata": {"value_type": "np.ndarray", "skip_deserialize": False},
}
TEXT = {"value_type": "string", "skip_deserialize": False}
RANDOM = np.random.default_rng(9)


def values(name: str) -> np.ndarray:
    dtype = ckptfmt.as_dtype(name).numpy
    return np.frombuffer(RANDOM.integers(0, 2, 6 * dtype.itemsize, np.uint8).tobytes(), dtype).reshape(2, 3)


@pytest.fixture
def orbax() -> Any:
    reason = "Orbax needs JAX, too large for the usual test environment"
    return pytest.importorskip("orbax.checkpoint", reason=reason)


@pytest.mark.frameworks
def test_orbax_restores_what_is_written(tmp_path: Path, orbax: Any) -> None:
    arrays = {
        **{f"params/{name}": values(name) for name in sorted(orbax_sink._DTYPES)},
        "opt/../up": np.ones(2),
        "a//b": np.arange(3),
        "scalar": np.array(3),
        "list/0": np.ones(1),
        "ünï": np.ones(2, np.float32),
    }
    ckptfmt.save(tmp_path / "model", arrays)
    done = ckptfmt.convert(tmp_path / "model", tmp_path / "w.orbax")
    assert done.format == "orbax"
    for checkpointer in (orbax.StandardCheckpointer(), orbax.PyTreeCheckpointer()):
        with checkpointer:
            restored = ckptfmt.flatten(checkpointer.restore(tmp_path / "w.orbax"))
        assert set(restored) == set(arrays)
        for name, array in arrays.items():
            assert (restored[name].dtype, restored[name].shape) == (array.dtype, array.shape)
            assert np.asarray(restored[name]).tobytes() == array.tobytes()
    with pytest.raises(UnsupportedError, match="an Orbax checkpoint of JAX"):
        ckptfmt.open(tmp_path / "w.orbax")
    with ckptfmt.open_tensors(tmp_path / "w.orbax") as tensors:
        assert tensors.format == "orbax"
        assert {name: array.tobytes() for name, array in tensors.items()} == {
            name: array.tobytes() for name, array in arrays.items()
        }
        assert {name: entry.dtype.name for name, entry in tensors.entries.items()} == {
            name: array.dtype.name for name, array in arrays.items()
        }
        assert tensors.slice("params/float32")[1:, ::2].tolist() == arrays["params/float32"][1:, ::2].tolist()
    with pytest.raises(ValueError, match="closed"):
        tensors["scalar"]
    with pytest.raises(AlreadyExistsError):
        ckptfmt.convert(tmp_path / "model", tmp_path / "w.orbax")


@pytest.mark.frameworks
def test_names_that_orbax_takes_for_one_are_an_error(tmp_path: Path, orbax: Any) -> None:
    ckptfmt.save(tmp_path / "model", {"a.b": np.ones(1), "a/b": np.zeros(1)})
    with pytest.raises(ConversionError, match=r"no two names that differ only in / and \.: 'a\.b', 'a/b'"):
        ckptfmt.convert(tmp_path / "model", tmp_path / "w.orbax")
    assert not (tmp_path / "w.orbax").exists()


def test_what_orbax_cannot_hold_is_an_error_that_lists_it(tmp_path: Path) -> None:
    arrays = {
        "text": np.array([b"a"], object),
        "four": np.ones(2, ml_dtypes.uint4),
        "empty": np.zeros((0, 3)),
    }
    ckptfmt.save(tmp_path / "model", arrays)
    with pytest.raises(ConversionError) as caught:
        ckptfmt.convert(tmp_path / "model", tmp_path / "w", to="orbax")
    assert caught.value.problems == {
        "text": "no dtype string",
        "four": "no dtype uint4",
        "empty": "no array without elements",
    }


def test_without_orbax_the_error_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ckptfmt.save(tmp_path / "model", {"w": np.ones(2)})
    monkeypatch.setitem(sys.modules, "orbax.checkpoint", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'ckptfmt\[orbax\]'"):
        ckptfmt.convert(tmp_path / "model", tmp_path / "w.orbax")
    assert not (tmp_path / "w.orbax").exists()


def test_another_file_system_is_refused(tmp_path: Path) -> None:
    ckptfmt.save(tmp_path / "model", {"w": np.ones(2)})
    with pytest.raises(UnsupportedError, match="directories of this machine only"):
        ckptfmt.convert(ckptfmt.open(tmp_path / "model"), "/w.orbax", fs=MemoryFilesystem())


@pytest.mark.frameworks
def test_what_orbax_saves_is_read(tmp_path: Path, orbax: Any) -> None:
    jax = pytest.importorskip("jax")
    tree = {
        "layers": [{"w": jax.numpy.ones((2, 3))}, {"w": jax.numpy.zeros(2, "bfloat16")}],
        "step": 3,
        "pair": (np.arange(4), 2.5),
        "nothing": None,
    }
    with orbax.StandardCheckpointer() as checkpointer:
        checkpointer.save(tmp_path / "saved", tree)
    with orbax.CheckpointManager(tmp_path / "run") as manager:
        manager.save(7, args=orbax.args.StandardSave(tree))
        manager.wait_until_finished()
    for path in (tmp_path / "saved", tmp_path / "saved" / "_METADATA", tmp_path / "run" / "7"):
        with ckptfmt.open_tensors(path) as tensors:
            assert set(tensors) == {"layers/0/w", "layers/1/w", "step", "pair/0", "pair/1"}
            assert tensors["layers/0/w"].tolist() == [[1, 1, 1], [1, 1, 1]]
            assert tensors["layers/1/w"].dtype == ml_dtypes.bfloat16
            assert tensors["step"].item() == 3
            assert tensors.slice("pair/0")[1:3].tolist() == [1, 2]
    ckptfmt.save(tmp_path / "model", ckptfmt.open_tensors(tmp_path / "saved"))
    assert ckptfmt.open(tmp_path / "model")["pair/1"].item() == 2.5


@pytest.mark.frameworks
@pytest.mark.parametrize(
    ("metadata", "why"),
    [
        ("{", "not the metadata of Orbax"),
        ("[]", "not the metadata of Orbax"),
        ('{"tree_metadata": {"a": 3}}', "not the metadata of Orbax"),
        (json.dumps({"tree_metadata": {"a": WAY}, "use_ocdbt": True}), "'a/0': "),
        (json.dumps({"tree_metadata": {"a": WAY, "b": WAY}}), "several arrays are named 'a/0'"),
        (json.dumps({"tree_metadata": {"a": {**WAY, "value_metadata": TEXT}}}), "'a/0' is text"),
    ],
)
def test_damaged_metadata_is_an_error(metadata: str, why: str, tmp_path: Path, orbax: Any) -> None:
    (tmp_path / "_METADATA").write_text(metadata)
    with pytest.raises(CkptfmtError, match=why) as caught:
        ckptfmt.open_tensors(tmp_path)
    assert str(caught.value.file).startswith(str(tmp_path))


def test_a_directory_with_several_items_asks_for_one(tmp_path: Path) -> None:
    for name in ("params", "state"):
        (tmp_path / "7" / name).mkdir(parents=True)
        (tmp_path / "7" / name / "_METADATA").write_text("{}")
    (tmp_path / "7" / "_CHECKPOINT_METADATA").write_text("{}")
    with pytest.raises(UnsupportedError, match=r"several items, .*params.*: pass the path of one"):
        ckptfmt.open_tensors(tmp_path / "7")
