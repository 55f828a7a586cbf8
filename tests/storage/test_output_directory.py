"""Directories to write: they appear whole or not at all, and replace others in one step."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ckptfmt.errors import AlreadyExistsError, NotWritableError
from ckptfmt.storage.local import LOCAL, LocalFilesystem
from ckptfmt.storage.output import directory as module
from ckptfmt.storage.output.directory import create_directory
from ckptfmt.storage.temporary import is_temporary, sweep
from tests.support.memory_filesystem import MemoryFilesystem


def fill(path: Path, text: str, *, overwrite: bool = False) -> None:
    with create_directory(LOCAL, str(path), overwrite=overwrite) as output:
        for name in ("a", "sub/b", "sub/deep/c"):
            with output.create(name) as file:
                file.write(text.encode())


def content(path: Path) -> dict[str, str]:
    return {p.relative_to(path).as_posix(): p.read_text() for p in path.rglob("*") if p.is_file()}


def test_a_directory_appears_when_it_is_whole(tmp_path: Path) -> None:
    target = tmp_path / "above" / "new"
    with create_directory(LOCAL, str(target)) as output:
        with output.create("x/y") as file:
            file.write(b"1")
        output.make_directory("empty/inner")
        assert not target.exists()
        (name,) = os.listdir(tmp_path / "above")
        assert is_temporary(name)
    assert content(target) == {"x/y": "1"}
    assert (target / "empty" / "inner").is_dir()
    assert os.listdir(tmp_path / "above") == ["new"]


def test_an_exception_leaves_nothing(tmp_path: Path) -> None:
    output = create_directory(LOCAL, str(tmp_path / "new"))
    with output.create("x") as file:
        file.write(b"1")
    output.__exit__(KeyError, KeyError(), None)
    assert os.listdir(tmp_path) == []


def test_only_overwrite_replaces_a_directory_that_is_not_empty(tmp_path: Path) -> None:
    target = tmp_path / "d"
    target.mkdir()
    fill(target, "1")
    with pytest.raises(AlreadyExistsError, match="overwrite=True"):
        fill(target, "2")
    (target / "old").write_text("old")
    os.chmod(target, 0o750)
    fill(target, "2", overwrite=True)
    assert content(target) == dict.fromkeys(("a", "sub/b", "sub/deep/c"), "2")
    assert target.stat().st_mode & 0o777 == 0o750
    assert os.listdir(tmp_path) == ["d"]
    (tmp_path / "file").write_text("")
    with pytest.raises(NotWritableError, match="Not a directory"):
        fill(tmp_path / "file", "3", overwrite=True)


def test_a_check_may_refuse_to_replace(tmp_path: Path) -> None:
    def refuse() -> None:
        raise AlreadyExistsError(str(tmp_path), "no")

    (tmp_path / "d").mkdir()
    create_directory(LOCAL, str(tmp_path / "d"), overwrite=True, check=refuse).__exit__(None, None, None)
    (tmp_path / "d" / "x").touch()
    with pytest.raises(AlreadyExistsError, match="no"):
        create_directory(LOCAL, str(tmp_path / "d"), overwrite=True, check=refuse)


def test_a_directory_that_appears_meanwhile_stays(tmp_path: Path) -> None:
    output = create_directory(LOCAL, str(tmp_path / "d"))
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "theirs").touch()
    with pytest.raises(AlreadyExistsError):
        output.__exit__(None, None, None)
    assert [p.name for p in tmp_path.rglob("*")] == ["d", "theirs"]


def test_links_are_written_through(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    fill(tmp_path / "link", "1")
    fill(tmp_path / "link", "2", overwrite=True)
    assert (tmp_path / "link").is_symlink()
    assert content(tmp_path / "real")["a"] == "2"


def test_relative_paths_count_from_the_directory_of_the_file_system(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (
        create_directory(LocalFilesystem(directory=str(tmp_path)), "d") as output,
        output.create("x") as file,
    ):
        file.write(b"1")
    monkeypatch.chdir(tmp_path)
    with create_directory(LOCAL, "e/") as output, output.create("x") as file:
        file.write(b"1")
    assert content(tmp_path) == {"d/x": "1", "e/x": "1"}


@pytest.mark.parametrize("number", [errno.EXDEV, errno.EPERM, errno.EMLINK])
def test_files_are_linked_or_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    source = tmp_path / "source"
    source.write_bytes(os.urandom(3 << 20))
    source.chmod(0o640)
    (tmp_path / "link").symlink_to("source")
    with create_directory(LOCAL, str(tmp_path / "d")) as output:
        output.take(LOCAL, str(tmp_path / "link"), "linked")
        output.take(LOCAL, str(source), "copied", link=False)

        link = os.link

        def refuse(old: str, new: str) -> None:
            if Path(old) == source:
                raise OSError(number, "no")
            link(old, new)

        monkeypatch.setattr(os, "link", refuse)
        output.take(LOCAL, str(source), "sub/refused")
    assert os.path.samefile(tmp_path / "d" / "linked", source)
    for name in ("copied", "sub/refused"):
        new = tmp_path / "d" / name
        assert not os.path.samefile(new, source)
        assert new.read_bytes() == source.read_bytes()
        assert new.stat().st_mode & 0o777 == 0o640


def test_systems_that_cannot_exchange_names_rename_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_exchange", lambda one, other: False)
    fill(tmp_path / "d", "1")
    fill(tmp_path / "d", "2", overwrite=True)
    assert content(tmp_path / "d")["a"] == "2"
    assert os.listdir(tmp_path) == ["d"]
    rename, calls = os.rename, []

    def second_fails(old: str, new: str) -> None:
        calls.append(new)
        if len(calls) == 2:
            raise OSError(errno.EIO, "I/O error")
        rename(old, new)

    monkeypatch.setattr(os, "rename", second_fails)
    with pytest.raises(NotWritableError, match="I/O error"):
        fill(tmp_path / "d", "3", overwrite=True)
    assert content(tmp_path / "d")["a"] == "2"
    assert os.listdir(tmp_path) == ["d"]


_WRITER = """
import os, sys
from ckptfmt.storage.local import LOCAL
from ckptfmt.storage.output.directory import create_directory
print("ready", flush=True)
number = 0
while True:
    number += 1
    with create_directory(LOCAL, sys.argv[1], overwrite=True) as output:
        for name in ("a", "sub/b", "sub/deep/c"):
            with output.create(name) as file:
                file.write(str(number).encode())
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs signals and an exchange of names")
def test_a_kill_at_any_moment_leaves_the_old_directory_or_the_new_one(tmp_path: Path) -> None:
    target = tmp_path / "d"
    fill(target, "0")
    for attempt in range(12):
        with subprocess.Popen([sys.executable, "-c", _WRITER, str(target)], stdout=subprocess.PIPE) as writer:
            assert writer.stdout is not None
            writer.stdout.readline()
            time.sleep(0.003 * attempt)
            writer.send_signal(signal.SIGKILL)
        found = content(target)
        assert sorted(found) == ["a", "sub/b", "sub/deep/c"]
        assert len(set(found.values())) == 1
        assert all(name == "d" or is_temporary(name) for name in os.listdir(tmp_path))
    sweep.cache_clear()  # as another process would begin
    fill(target, "last", overwrite=True)
    assert os.listdir(tmp_path) == ["d"]


@pytest.mark.skipif(sys.platform == "win32", reason="directories cannot be locked")
def test_the_directory_of_a_writer_at_work_is_not_swept(tmp_path: Path) -> None:
    with create_directory(LOCAL, str(tmp_path / "d")) as output:
        with output.create("x") as file:
            file.write(b"1")
        sweep.cache_clear()
        fill(tmp_path / "other", "1")
    assert content(tmp_path / "d") == {"x": "1"}


def test_other_file_systems_get_one_file_after_the_other(tmp_path: Path) -> None:
    fs = MemoryFilesystem({"d/old": b"old", "d/sub/older": b"old"})
    with pytest.raises(AlreadyExistsError):
        create_directory(fs, "d")
    (tmp_path / "local").write_text("local")
    with create_directory(fs, "d", overwrite=True) as output:
        output.take(LOCAL, str(tmp_path / "local"), "sub/new")
        with fs.create(output.path("last")) as file:
            file.write(b"1")
    assert {name: file.content for name, file in fs.files.items()} == {"d/sub/new": b"local", "d/last": b"1"}
    with create_directory(LOCAL, str(tmp_path / "d")) as output:
        output.take(fs, "d/sub/new", "back")
    assert content(tmp_path / "d") == {"back": "local"}
