"""Files and directories that are kept when writing stops, and gone on with."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ckptfmt import errors
from ckptfmt.storage.local import LocalFilesystem
from ckptfmt.storage.output import PartialFile, partial, partial_directory
from ckptfmt.storage.output.partial_directory import PartialDirectory
from tests.support.faults import in_fork

WORDS = ["one ", "two ", "three ", "four"]


class StoppedError(Exception):
    """Ends a writer in its midst."""


@pytest.fixture(autouse=True)
def notes_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(partial, "NOTED_EVERY", 0)
    monkeypatch.setattr(partial_directory, "NOTED_AFTER", 0)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "file"


def write_file(path: Path, key: str = "k", stop: int = len(WORDS), *, overwrite: bool = False) -> list[str]:
    """Write the words that the file lacks, up to some; return those that it had."""
    with PartialFile(str(path), key, overwrite=overwrite) as file:
        for word in WORDS[len(file.notes) : stop]:
            file.write(word.encode())
            file.note(word)
        if stop < len(WORDS):
            raise StoppedError
    file.forget()
    return file.notes


def write_directory(
    path: Path, key: str = "k", stop: int = len(WORDS), *, overwrite: bool = False
) -> list[str]:
    """The same with a file for each word."""
    with PartialDirectory(LocalFilesystem(), str(path), key, overwrite=overwrite) as directory:
        for word in WORDS[len(directory.notes) : stop]:
            with directory.create(f"words/{word}") as file:
                file.write(word.encode())
            directory.note(word)
        if stop < len(WORDS):
            raise StoppedError
    return directory.notes


def content(path: Path) -> str:
    if path.is_file():
        return path.read_text()
    return "".join((path / "words" / word).read_text() for word in WORDS)


BOTH = pytest.mark.parametrize("write", [write_file, write_directory])


@BOTH
def test_what_was_noted_is_there_the_next_time(path: Path, write: object) -> None:
    assert callable(write)
    for stop in (0, 1, 3):
        with pytest.raises(StoppedError):
            write(path, stop=stop)
        assert sorted(os.listdir(path.parent)) == ["file.partial", "file.partial.journal"]
    assert write(path) == WORDS[:3]
    assert content(path) == "".join(WORDS)
    assert os.listdir(path.parent) == ["file"]


@BOTH
def test_another_key_begins_anew(path: Path, write: object) -> None:
    assert callable(write)
    with pytest.raises(StoppedError):
        write(path, stop=2)
    assert write(path, "other") == []
    assert content(path) == "".join(WORDS)


@BOTH
def test_an_old_one_stays_until_the_new_one_is_whole(path: Path, write: object) -> None:
    assert callable(write)
    write(path)
    with pytest.raises(errors.AlreadyExistsError):
        write(path)
    with pytest.raises(StoppedError):
        write(path, stop=2, overwrite=True)
    assert content(path) == "".join(WORDS)
    assert write(path, overwrite=True) == WORDS[:2]
    assert os.listdir(path.parent) == ["file"]


@BOTH
def test_one_program_at_a_time_writes(path: Path, write: object) -> None:
    assert callable(write)
    with PartialFile(str(path), "k") as file:
        with pytest.raises(errors.NotWritableError, match="another program is writing it"):
            write(path)
        file.write(b"x")
    file.forget()
    assert path.read_bytes() == b"x"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks as POSIX does")
def test_a_fork_writes_nothing(path: Path) -> None:
    def write_in_fork() -> None:
        with pytest.raises(errors.NotWritableError, match="a fork of the one that writes it"):
            file.write(b"of the fork")

    with PartialFile(str(path), "k") as file:
        file.write(b"of the parent")
        assert in_fork(write_in_fork) == 0
    file.forget()
    assert path.read_bytes() == b"of the parent"
    assert os.listdir(path.parent) == ["file"]


def test_a_file_that_has_its_name_already_is_whole(path: Path) -> None:
    with PartialFile(str(path), "k") as file:
        file.write(b"all")
        file.note("all")
    file.discard()  # as a writer does whose next file fails
    assert path.exists()
    with PartialFile(str(path), "k") as again:
        assert again.is_whole
        assert again.notes == ["all"]
        again.write(b"ignored")
    again.forget()
    assert path.read_bytes() == b"all"
    assert os.listdir(path.parent) == ["file"]


@pytest.mark.parametrize("kind", ["link", "directory", "pipe"])
def test_what_only_has_the_name_of_a_partial_file_is_refused(path: Path, kind: str) -> None:
    partial_path = path.with_name("file.partial")
    other = path.with_name("other")
    other.write_bytes(b"other")
    if kind == "link":
        partial_path.symlink_to(other)
    elif kind == "directory":
        partial_path.mkdir()
    else:
        os.mkfifo(partial_path)
    with pytest.raises(errors.NotWritableError):
        write_file(path)
    assert other.read_bytes() == b"other"


def test_the_mode_of_the_old_file_is_kept(path: Path) -> None:
    path.write_bytes(b"old")
    path.chmod(0o600)
    with pytest.raises(StoppedError):
        write_file(path, stop=1, overwrite=True)
    assert path.with_name("file.partial").stat().st_mode & 0o777 == 0o600
    write_file(path, overwrite=True)
    assert path.stat().st_mode & 0o777 == 0o600
