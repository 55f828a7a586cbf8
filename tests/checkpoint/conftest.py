"""The folder that tests of checkpoints run in."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder of the test's own, its working directory, so that the paths in messages are short."""
    monkeypatch.chdir(tmp_path)
    return tmp_path
