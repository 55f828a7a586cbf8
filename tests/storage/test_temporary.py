"""Temporary files of writers, and what killed ones leave."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ckptfmt.storage.output import OutputFile, write_file
from ckptfmt.storage.temporary import sweep
from tests.support.faults import killed_at

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="kills processes as POSIX does")

KILLED = """
import os, signal, sys
from ckptfmt.storage.output import OutputFile
file = OutputFile(sys.argv[1])
file.write(b"part")
file.flush()
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture(autouse=True)
def _as_in_a_new_process() -> None:
    sweep.cache_clear()


def leftovers(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.glob(".ckptfmt-*.tmp"))


def killed_writer(path: Path) -> None:
    assert subprocess.run([sys.executable, "-c", KILLED, path]).returncode == -9
    assert not path.exists()


def test_the_next_writer_in_the_directory_removes_what_a_killed_one_left(tmp_path: Path) -> None:
    killed_writer(tmp_path / "a")
    assert len(leftovers(tmp_path)) == 1
    write_file(str(tmp_path / "b"), [b"whole"])
    assert [path.name for path in tmp_path.iterdir()] == ["b"]


def test_a_relative_path_is_swept_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    killed_writer(tmp_path / "a")
    monkeypatch.chdir(tmp_path)
    write_file("b", [b"whole"])
    assert os.listdir() == ["b"]


def test_a_writer_that_still_runs_keeps_its_file(tmp_path: Path) -> None:
    with OutputFile(str(tmp_path / "a")) as file:
        file.write(b"first")
        code = f"from ckptfmt.storage.output import write_file; write_file({str(tmp_path / 'b')!r}, [b'x'])"
        subprocess.run([sys.executable, "-c", code], check=True)
        assert len(leftovers(tmp_path)) == 1
        file.write(b" second")
    assert (tmp_path / "a").read_bytes() == b"first second"
    assert leftovers(tmp_path) == []


def test_the_lock_holds_until_the_file_is_renamed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rename = os.replace

    def sweep_first(old: str, new: str) -> None:
        sweep.cache_clear()
        sweep(str(tmp_path))
        rename(old, new)

    monkeypatch.setattr(os, "replace", sweep_first)
    write_file(str(tmp_path / "a"), [b"x"], overwrite=True)
    assert (tmp_path / "a").read_bytes() == b"x"


def test_files_of_others_stay(tmp_path: Path) -> None:
    others = [".0123456789abcdef.tmp", ".ckptfmt-x.tmp", "ckptfmt-0123456789abcdef.tmp", "a.tmp"]
    for name in others:
        (tmp_path / name).write_text("mine")
    os.mkfifo(tmp_path / ".ckptfmt-0123456789abcdef.tmp")  # opening a pipe could block
    (tmp_path / ".ckptfmt-1123456789abcdef.tmp").symlink_to(tmp_path / "a.tmp")
    write_file(str(tmp_path / "b"), [b"x"])
    assert {*others, "b"} <= set(os.listdir(tmp_path))
    assert (tmp_path / "a.tmp").read_text() == "mine"


def test_unfinished_files_of_checkpoints_are_removed_and_those_of_tensorflow_stay(tmp_path: Path) -> None:
    mine = ["ckpt.index.tempstate000000000000000000001", "é.tempstate099999999999999999999"]
    others = [
        "ckpt.index.tempstate10000000000000000001",  # 20 digits, the most that TensorFlow's have
        "ckpt.index.tempstate1",
        "ckpt.index.tempstate0",
        "ckpt.index.tempstate0123",
        ".tempstate000000000000000000001",
    ]
    for name in mine + others:
        (tmp_path / name).write_bytes(b"x")
    write_file(str(tmp_path / "b"), [b"x"])
    assert set(os.listdir(tmp_path)) == {*others, "b"}


def test_a_writer_killed_at_any_call_leaves_the_old_file_or_the_new_one(tmp_path: Path) -> None:
    path = tmp_path / "file"
    for overwrite in (False, True):
        for number in itertools.count(1):
            path.unlink(missing_ok=True)
            if overwrite:
                path.write_bytes(b"old")
            is_killed = killed_at(number, lambda: write_file(str(path), [b"new"], overwrite=True))
            assert path.exists() or not overwrite
            assert not path.exists() or path.read_bytes() in ([b"new", b"old"] if overwrite else [b"new"])
            sweep.cache_clear()
            write_file(str(tmp_path / "other"), [b"x"], overwrite=True)
            assert set(os.listdir(tmp_path)) <= {"file", "other"}
            if not is_killed:
                break
        assert number > 5


def test_a_dropped_writer_removes_its_file_and_closes_everything(tmp_path: Path) -> None:
    before = len(os.listdir("/dev/fd")) if os.path.isdir("/dev/fd") else 0
    with pytest.warns(ResourceWarning):
        OutputFile(str(tmp_path / "a")).write(b"x")
    assert os.listdir(tmp_path) == []
    if before:
        assert len(os.listdir("/dev/fd")) == before
