"""Mapped files: reads at any offset, errors with their place, and arrays that outlive the file."""

from __future__ import annotations

import gc
import mmap
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from ckptfmt.errors import CheckpointNotFoundError, NotReadableError, TruncatedError
from ckptfmt.wire.file import MappedFile, RandomAccessFile

CONTENT = bytes(range(256)) * 64


@pytest.fixture
def file(tmp_path: Path) -> MappedFile:
    path = tmp_path / "file"
    path.write_bytes(CONTENT)
    return MappedFile(str(path))


def test_it_is_a_random_access_file(file: MappedFile) -> None:
    access: RandomAccessFile = file
    assert access.size == len(CONTENT)
    assert access.name.endswith("file")
    assert repr(file) == f"<MappedFile {file.name!r} 16384 bytes>"


@pytest.mark.parametrize(("offset", "size"), [(0, 16384), (0, 0), (255, 2), (16383, 1), (16384, 0)])
def test_reads_are_read_only_views(file: MappedFile, offset: int, size: int) -> None:
    view = file.read(offset, size)
    assert isinstance(view, memoryview)
    assert view.readonly
    assert bytes(view) == CONTENT[offset : offset + size]


def test_two_reads_of_the_same_bytes_share_memory(file: MappedFile) -> None:
    one, two = (np.frombuffer(file.read(10, 100), np.uint8) for _ in range(2))
    assert np.shares_memory(one, two)


@pytest.mark.parametrize(
    ("offset", "size", "available"),
    [
        (0, 16385, 16384),
        (16384, 1, 0),
        (20000, 1, 0),
        (16380, 2**62, 4),
        (2**63, 1, 0),
        (-1, 1, 0),
        (5, -1, 16379),
    ],
    ids=str,
)
def test_reads_outside_the_file_say_what_is_there(
    file: MappedFile, offset: int, size: int, available: int
) -> None:
    with pytest.raises(TruncatedError) as caught:
        file.read(offset, size)
    error = caught.value
    assert (error.file, error.offset, error.wanted, error.available) == (file.name, offset, size, available)


def test_arrays_stay_valid_after_the_file_is_closed(file: MappedFile) -> None:
    array = np.frombuffer(file.read(1, 1000), np.uint8)
    file.close()
    gc.collect()
    assert array.tobytes() == CONTENT[1:1001]
    with pytest.raises(ValueError, match="closed"):
        file.read(0, 1)
    file.close()


def test_released_bytes_come_back(file: MappedFile) -> None:
    array = np.frombuffer(file.read(0, file.size), np.uint8)
    assert array.sum() == sum(CONTENT)
    for offset, size in [(0, file.size), (1, 100), (4095, 8194), (0, 2**62), (file.size, 10)]:
        file.release(offset, size)
        assert array.tobytes() == CONTENT
    file.close()
    file.release(0, 10)


def test_an_empty_file_has_no_bytes(tmp_path: Path) -> None:
    path = tmp_path / "empty"
    path.touch()
    file = MappedFile(str(path))
    assert file.size == 0
    assert bytes(file.read(0, 0)) == b""
    with pytest.raises(TruncatedError):
        file.read(0, 1)
    file.release(0, 10)
    file.close()
    with pytest.raises(ValueError, match="closed"):
        file.read(0, 0)


def test_a_missing_file_is_not_found(tmp_path: Path) -> None:
    path = str(tmp_path / "missing")
    with pytest.raises(CheckpointNotFoundError, match="no such file") as caught:
        MappedFile(path)
    assert caught.value.tried == (path,)
    assert isinstance(caught.value, FileNotFoundError)


def test_a_directory_is_not_readable(tmp_path: Path) -> None:
    with pytest.raises(NotReadableError) as caught:
        MappedFile(str(tmp_path))
    assert caught.value.file == str(tmp_path)
    assert isinstance(caught.value, OSError)


def test_a_path_with_a_nul_is_not_readable() -> None:
    with pytest.raises(NotReadableError, match="null"):
        MappedFile("a\x00b")


@pytest.mark.skipif(
    sys.platform == "win32" or not hasattr(os, "geteuid") or os.geteuid() == 0,
    reason="needs a user whom the system refuses a file",
)
def test_a_file_without_permission_is_not_readable(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_bytes(b"x")
    path.chmod(0)
    with pytest.raises(NotReadableError, match="ermission"):
        MappedFile(str(path))


def test_many_threads_read_without_a_shared_cursor(file: MappedFile) -> None:
    offsets = [(i * 37) % (len(CONTENT) - 50) for i in range(2000)]
    with ThreadPoolExecutor(8) as pool:
        views = pool.map(lambda offset: bytes(file.read(offset, 50)), offsets)
    assert all(view == CONTENT[o : o + 50] for o, view in zip(offsets, views, strict=True))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(NotReadableError, match="not a regular file"):
        MappedFile(str(tmp_path / "pipe"))


def test_a_directory_is_called_one(tmp_path: Path) -> None:
    with pytest.raises(NotReadableError, match=r"directory|denied"):
        MappedFile(str(tmp_path))


@pytest.mark.skipif(not Path("/dev/zero").is_char_device(), reason="no devices here")
def test_a_device_is_refused() -> None:
    with pytest.raises(NotReadableError, match=r"^/dev/zero: not a regular file$"):
        MappedFile("/dev/zero")


@pytest.mark.skipif(sys.platform == "win32", reason="an open file cannot be cut there")
def test_a_file_that_shrinks_while_it_is_opened_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "f"
    path.write_bytes(CONTENT)
    fstat = os.fstat

    def fstat_then_shrink(descriptor: int) -> os.stat_result:
        status = fstat(descriptor)
        os.truncate(path, 10)
        return status

    with monkeypatch.context() as patch:
        patch.setattr("ckptfmt.wire.file.os.fstat", fstat_then_shrink)
        with pytest.raises(NotReadableError, match="length"):
            MappedFile(str(path))


def test_where_pages_cannot_be_given_back_nothing_happens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(mmap, "MADV_DONTNEED", raising=False)
    (tmp_path / "f").write_bytes(bytes(3 * mmap.PAGESIZE))
    file = MappedFile(str(tmp_path / "f"))
    file.release(0, file.size)
    assert bytes(file.read(0, file.size)) == bytes(3 * mmap.PAGESIZE)


@pytest.mark.skipif(sys.platform != "linux", reason="counts the descriptors of the process in /proc")
@pytest.mark.skipif(sys.version_info < (3, 13), reason="mmap keeps a descriptor before Python 3.13")
def test_a_mapping_keeps_no_descriptor(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"content")
    before = len(list(Path("/proc/self/fd").iterdir()))
    files = [MappedFile(str(tmp_path / "f")) for _ in range(10)]
    assert len(list(Path("/proc/self/fd").iterdir())) == before
    assert all(file.read(0, 7) == b"content" for file in files)
