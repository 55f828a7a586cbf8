"""Faults while a SavedModel is written: the old one stays whole, and nothing is left of the new one."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ckptfmt
from ckptfmt.errors import NotWritableError
from ckptfmt.proto import messages
from ckptfmt.storage.temporary import is_temporary, sweep

READ = "w/Read/ReadVariableOp:0"


def small_graph() -> ckptfmt.Graph:
    """A graph of one variable, and a placeholder for the path of a file."""
    graph = messages.GraphDef()
    graph.versions.producer = 1882
    variable = graph.node.add(name="w", op="VarHandleOp")
    variable.attr["dtype"].type = messages.DataType.DT_FLOAT
    variable.attr["shape"].shape.dim.add(size=3)
    variable.attr["shared_name"].s = b"w"
    read = graph.node.add(name="w/Read/ReadVariableOp", op="ReadVariableOp", input=["w"])
    read.attr["dtype"].type = messages.DataType.DT_FLOAT
    path = graph.node.add(name="path", op="Placeholder")
    path.attr["dtype"].type = messages.DataType.DT_STRING
    return ckptfmt.Graph(graph)


def write_model(path: Path, value: float, *, overwrite: bool = False) -> None:
    w = np.full(3, value, np.float32)
    ckptfmt.write_saved_model(
        path, small_graph(), {"w": w}, outputs={"w": READ}, assets={"path": b"text"}, overwrite=overwrite
    )


def value_of(path: Path) -> float:
    """Return the value of the model, which must be whole."""
    with ckptfmt.open_saved_model(path) as model:
        assert model.checkpoint is not None
        assert model.checkpoint.verify().ok
        assert all(asset.exists for asset in model.assets.values())
        (value,) = set(model.checkpoint["w"].tolist())
    return float(value)


@pytest.mark.parametrize("call", ["fsync", "link", "rename", "mkdir", "open", "fdopen"])
@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC])
def test_a_refusal_of_the_system_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, number: int
) -> None:
    write_model(tmp_path / "m", 1)
    before = sorted((tmp_path / "m").rglob("*"))
    with ckptfmt.open_saved_model(tmp_path / "m") as model:
        edited = model.with_variables({"w": np.zeros(3, np.float32)}).with_signatures(rename=EDIT)
        assert edited.message  # whatever it reads is read by now
        original, calls = getattr(os, call), [0]
        for failing in range(1, 100):

            def fail(*arguments: Any, failing: int = failing, **options: Any) -> Any:
                calls[0] += 1
                if calls[0] == failing:
                    raise OSError(number, os.strerror(number))
                return original(*arguments, **options)

            calls[0] = 0
            with monkeypatch.context() as patched:
                patched.setattr(os, call, fail)
                try:
                    edited.write(tmp_path / "m", overwrite=True)
                except ckptfmt.errors.CkptfmtError as error:
                    refused: Exception | None = error
                else:
                    refused = None
            if calls[0] < failing:
                break
            if refused is not None:
                assert isinstance(refused, (NotWritableError, ckptfmt.errors.NotReadableError))
            if value_of(tmp_path / "m") == 1:
                assert refused is not None
                assert sorted((tmp_path / "m").rglob("*")) == before
            else:
                # Whether or not there was an error: the directory above could not be synced, for example.
                write_model(tmp_path / "m", 1, overwrite=True)
        assert failing < 99
    # What could not even be removed is so by the next process that writes here.
    assert all(path.name == "m" or is_temporary(path.name) for path in tmp_path.iterdir())
    sweep.cache_clear()
    write_model(tmp_path / "m", 1, overwrite=True)
    assert os.listdir(tmp_path) == ["m"]


EDIT = {"serving_default": "serving_default"}

_WRITER = """
import sys
from pathlib import Path
from tests.saved_model.test_writing_faults import write_model
print("ready", flush=True)
for value in range(1, 1_000_000):
    write_model(Path(sys.argv[1]), value, overwrite=True)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs signals and an exchange of names")
def test_a_kill_at_any_moment_leaves_a_whole_model(tmp_path: Path) -> None:
    target = tmp_path / "m"
    write_model(target, 0)
    for attempt in range(8):
        command = [sys.executable, "-c", _WRITER, str(target)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2]) as writer:
            assert writer.stdout is not None
            writer.stdout.readline()
            time.sleep(0.011 * attempt)
            writer.send_signal(signal.SIGKILL)
        value_of(target)
        assert all(path.name == "m" or is_temporary(path.name) for path in tmp_path.iterdir())
    sweep.cache_clear()  # as another process would begin
    write_model(target, 7, overwrite=True)
    assert value_of(target) == 7
    assert os.listdir(tmp_path) == ["m"]
