"""Checkpoints of Orbax, written: Orbax restores them."""

from __future__ import annotations

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
    ConversionError,
    MissingDependencyError,
    NameConflictError,
    UnsupportedError,
)
from tests.support.memory_filesystem import MemoryFilesystem

RANDOM = np.random.default_rng(9)


def values(name: str) -> np.ndarray:
    dtype = ckptfmt.as_dtype(name).numpy
    return np.frombuffer(RANDOM.integers(0, 2, 6 * dtype.itemsize, np.uint8).tobytes(), dtype).reshape(2, 3)


@pytest.fixture
def orbax() -> Any:
    reason = "Orbax needs JAX, too large for the usual test environment"
    return pytest.importorskip("orbax.checkpoint", reason=reason)


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
    with pytest.raises(AlreadyExistsError):
        ckptfmt.convert(tmp_path / "model", tmp_path / "w.orbax")


def test_names_that_orbax_takes_for_one_are_an_error(tmp_path: Path, orbax: Any) -> None:
    ckptfmt.save(tmp_path / "model", {"a.b": np.ones(1), "a/b": np.zeros(1)})
    with pytest.raises(NameConflictError, match=r"'a\.b' by 'a\.b', 'a/b'"):
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
