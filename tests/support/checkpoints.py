"""Checkpoints that tests write, and what they expect of finding them."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import pytest

import ckptfmt
from ckptfmt import Checkpoint
from ckptfmt.checkpoint.directory import Directories
from ckptfmt.checkpoint.files import CheckpointFiles
from ckptfmt.checkpoint.find import find_checkpoint
from ckptfmt.checkpoint.scan import scan
from ckptfmt.errors import CheckpointNotFoundError
from ckptfmt.object_graph.keys import OBJECT_GRAPH_KEY
from ckptfmt.storage.local import LOCAL
from tests.support.table_writer import write_bundle

ANY_BYTES = sys.platform == "linux"
"""Whether file names may hold any bytes but 0 and /."""


def v2(prefix: str) -> CheckpointFiles:
    """Return the files of the V2 checkpoint of a prefix."""
    return CheckpointFiles(prefix, "v2", (prefix + ".index",))


def v1(*paths: str, prefix: str | None = None, missing: tuple[str, ...] = ()) -> CheckpointFiles:
    """Return the files of a V1 checkpoint, by default in one file."""
    return CheckpointFiles(prefix or paths[0], "v1", paths, missing)


def write_state(directory: str, *lines: str) -> None:
    """Write the state file of a directory."""
    Path(directory, "checkpoint").write_text("\n".join(lines), encoding="utf-8")


def list_checkpoints(directory: str | os.PathLike[str]) -> list[CheckpointFiles]:
    """Return the checkpoints in a directory."""
    return scan(Directories(LOCAL), os.fspath(directory)).checkpoints


def not_found(path: str | os.PathLike[str]) -> CheckpointNotFoundError:
    """Return the error that finding a path raises, which is one line and a FileNotFoundError."""
    with pytest.raises(CheckpointNotFoundError) as caught:
        find_checkpoint(path)
    assert isinstance(caught.value, FileNotFoundError)
    assert "\n" not in str(caught.value)
    return caught.value


def write_large(prefix: Path) -> dict[str, np.ndarray]:
    """Write a checkpoint with tensors that are read in pieces by several threads; return its arrays."""
    rng = np.random.default_rng(1)
    arrays: dict[str, np.ndarray] = {
        "a": rng.normal(size=(3_000_000,)).astype(np.float32),
        "b": rng.integers(0, 9, (1 << 18, 3), np.int32),
        "c": rng.normal(size=(700, 1000)),
        "small": np.arange(5, dtype=np.int64),
    }
    write_bundle(prefix, arrays)
    return arrays


def same(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether two arrays are equal to the last bit; variants are compared by how they are shown."""
    if a.dtype == object:
        return a.shape == b.shape and [str(x) for x in a.flat] == [str(x) for x in b.flat]
    return (a.shape, a.dtype, a.tobytes()) == (b.shape, b.dtype, b.tobytes())


def new_checkpoint(folder: Path, tensors: dict[str, object], graph: bytes | None = None) -> Checkpoint:
    """Write a checkpoint of tensors, with an object graph if given, and open it.

    Arrays and NumPy's scalars keep their dtype; other values become float32.
    """
    arrays = {
        name: np.asarray(value, None if isinstance(value, (np.ndarray, np.generic)) else np.float32)
        for name, value in tensors.items()
    }
    write_bundle(folder / "ckpt", arrays, strings={} if graph is None else {OBJECT_GRAPH_KEY: graph})
    return ckptfmt.open(folder / "ckpt")
