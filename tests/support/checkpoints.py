"""What tests of finding checkpoints expect and write."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from ckptfmt.checkpoint.directory import Directories
from ckptfmt.checkpoint.files import CheckpointFiles
from ckptfmt.checkpoint.find import find_checkpoint
from ckptfmt.checkpoint.scan import scan
from ckptfmt.errors import CheckpointNotFoundError
from ckptfmt.storage.local import LOCAL

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
