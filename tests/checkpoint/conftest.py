"""The folder that tests of checkpoints run in, and a checkpoint in it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.support.checkpoints import write_large


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder of the test's own, its working directory, so that the paths in messages are short."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def large(tmp_path: Path) -> dict[str, np.ndarray]:
    """Return the arrays of a checkpoint with tensors that are read in pieces by several threads."""
    return write_large(tmp_path / "ckpt")
