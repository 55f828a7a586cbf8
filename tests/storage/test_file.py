"""Files, mapped or read through a descriptor: reads at any offset, errors with their place, and what
happens to files that others cut, remove or close meanwhile.
"""

from __future__ import annotations

import errno
import gc
import mmap
import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import ckptfmt.storage.file
import ckptfmt.storage.local_file
from ckptfmt.errors import LimitError, NotReadableError, PathNotFoundError, TruncatedError
from ckptfmt.storage.file import STREAMED_AT_ONCE, RandomAccessFile, read_with_crc, stream_crc
from ckptfmt.storage.local import BACKENDS, LocalFilesystem, filesystem_of
from ckptfmt.storage.local_file import GUARDED_FROM, DescriptorFile, MappedFile, working_directory
from ckptfmt.wire.crc32c import crc32c
from tests.support.memory_filesystem import MemoryFile

CONTENT = bytes(range(256)) * 64

LARGE = os.urandom(4 * GUARDED_FROM)
"""Large enough for reads that check whether the file has been cut short."""

WAYS = {
    "mmap": MappedFile,
    "pread": DescriptorFile,
    "one cursor": DescriptorFile,
    "memory": lambda path: MemoryFile(path, Path(path).read_bytes()),
}
"""Every kind of file; "one cursor" is a system that cannot read by offset."""

Opener: TypeAlias = Callable[[str], RandomAccessFile]

LOCAL = [way for way in WAYS if way != "memory"]

can_cut = pytest.mark.skipif(sys.platform == "win32", reason="an open file cannot be cut there")

counts_descriptors = pytest.mark.skipif(
    sys.platform != "linux", reason="counts the descriptors of the process in /proc"
)


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.fixture(params=LOCAL)
def opener(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Opener:
    """Each way to open a local file."""
    if request.param == "one cursor":
        monkeypatch.delattr(os, "preadv", raising=False)
    return WAYS[request.param]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(CONTENT)
    return path


@pytest.fixture
def large(tmp_path: Path) -> Path:
    path = tmp_path / "large"
    path.write_bytes(LARGE)
    return path


@pytest.fixture(params=WAYS)
def file(request: pytest.FixtureRequest, path: Path, monkeypatch: pytest.MonkeyPatch) -> RandomAccessFile:
    """A file of CONTENT, open in each way."""
    if request.param == "one cursor":
        monkeypatch.delattr(os, "preadv", raising=False)
    return WAYS[request.param](str(path))


# --- reads --------------------------------------------------------------------------------------------------


def test_a_file_has_a_name_and_a_size(file: RandomAccessFile) -> None:
    assert file.size == len(CONTENT)
    assert file.name.endswith("file")


@pytest.mark.parametrize("kind", [MappedFile, DescriptorFile])
def test_it_shows_what_it_is(kind: type[Any], path: Path) -> None:
    assert repr(kind(str(path))) == f"<{kind.__name__} {str(path)!r} 16384 bytes>"


@pytest.mark.parametrize(("offset", "size"), [(0, 16384), (0, 0), (255, 2), (16383, 1), (16384, 0)])
def test_reads_are_read_only_views(file: RandomAccessFile, offset: int, size: int) -> None:
    view = file.read(offset, size)
    assert isinstance(view, memoryview)
    assert view.readonly
    assert view.format == "B"
    assert bytes(view) == CONTENT[offset : offset + size]


@pytest.mark.parametrize(("offset", "size"), [(0, 16384), (0, 0), (255, 2), (16383, 1), (16384, 0)])
def test_reads_fill_the_given_memory(file: RandomAccessFile, offset: int, size: int) -> None:
    memory = bytearray(b"?" * (size + 2))
    file.read_into(offset, memoryview(memory)[1 : size + 1])
    assert memory == b"?" + CONTENT[offset : offset + size] + b"?"


OUTSIDE = [
    (0, 16385, 16384),
    (16384, 1, 0),
    (20000, 1, 0),
    (16380, 2**62, 4),
    (2**63, 1, 0),
    (-1, 1, 0),
    (5, -1, 16379),
]


@pytest.mark.parametrize(("offset", "size", "available"), OUTSIDE, ids=str)
def test_reads_outside_the_file_say_how_many_bytes_exist(
    file: RandomAccessFile, offset: int, size: int, available: int
) -> None:
    with pytest.raises(TruncatedError) as caught:
        file.read(offset, size)
    error = caught.value
    assert (error.file, error.offset, error.wanted, error.available) == (file.name, offset, size, available)


@pytest.mark.parametrize(
    ("offset", "size", "available"), [case for case in OUTSIDE if 0 <= case[1] < 2**20], ids=str
)
def test_a_read_that_fails_leaves_the_memory_as_it_was(
    file: RandomAccessFile, offset: int, size: int, available: int
) -> None:
    memory = bytearray(b"?" * size)
    with pytest.raises(TruncatedError) as caught:
        file.read_into(offset, memoryview(memory))
    error = caught.value
    assert (error.file, error.offset, error.wanted, error.available) == (file.name, offset, size, available)
    assert memory == b"?" * size


def test_many_threads_read_without_a_shared_cursor(file: RandomAccessFile) -> None:
    offsets = [(i * 37) % (len(CONTENT) - 50) for i in range(2000)]

    def read(offset: int) -> bytes:
        memory = bytearray(50)
        file.read_into(offset, memoryview(memory))
        assert memory == file.read(offset, 50)
        return bytes(memory)

    with ThreadPoolExecutor(8) as pool:
        views = pool.map(read, offsets)
    assert all(view == CONTENT[o : o + 50] for o, view in zip(offsets, views, strict=True))


def test_arrays_stay_valid_after_the_file_is_closed(opener: Opener, path: Path) -> None:
    file = opener(str(path))
    array = np.frombuffer(file.read(1, 1000), np.uint8)
    file.close()
    gc.collect()
    assert array.tobytes() == CONTENT[1:1001]
    with pytest.raises(ValueError, match=r"file: the file is closed$"):
        file.read(0, 1)
    with pytest.raises(ValueError, match="closed"):
        file.read_into(0, memoryview(bytearray(1)))
    file.close()


def test_an_empty_file_has_no_bytes(opener: Opener, tmp_path: Path) -> None:
    path = tmp_path / "empty"
    path.touch()
    file = opener(str(path))
    assert file.size == 0
    assert bytes(file.read(0, 0)) == b""
    file.read_into(0, memoryview(b""))
    with pytest.raises(TruncatedError):
        file.read(0, 1)
    with pytest.raises(TruncatedError):
        file.read_into(0, memoryview(bytearray(1)))
    assert read_with_crc(file, 0, memoryview(b"")) == 0
    assert stream_crc(file, 0, 0) == 0
    file.prefetch(0, 10)
    file.release(0, 10)
    file.close()
    with pytest.raises(ValueError, match="closed"):
        file.read(0, 0)


def test_advice_changes_nothing(file: RandomAccessFile) -> None:
    array = np.frombuffer(file.read(0, file.size), np.uint8)
    for advise in (file.prefetch, file.release):
        for offset, size in [(0, file.size), (0, 0), (1, 100), (4095, 8194), (0, 2**62), (file.size, 10)]:
            advise(offset, size)
            assert array.tobytes() == CONTENT
            assert bytes(file.read(0, file.size)) == CONTENT
    for advise in (file.prefetch, file.release):
        advise(-5, 10)
        advise(2**70, 10)
    file.close()
    file.prefetch(0, 10)
    file.release(0, 10)


# --- checksums while reading --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def lasting(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("lasting") / "file"
    path.write_bytes(CONTENT)
    return str(path)


@pytest.mark.parametrize("way", ["mmap", "pread", "memory"])
@given(
    ends=st.tuples(st.integers(0, len(CONTENT)), st.integers(0, len(CONTENT))),
    before=st.binary(max_size=5),
    chunk=st.sampled_from([1000, mmap.PAGESIZE, 1 << 20]),
)
def test_the_checksum_is_of_the_bytes_that_were_read(
    lasting: str, way: str, ends: tuple[int, int], before: bytes, chunk: int
) -> None:
    start, stop = sorted(ends)
    content = CONTENT[start:stop]
    file = WAYS[way](lasting)
    out = bytearray(stop - start)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ckptfmt.storage.file, "COPIED_AT_ONCE", chunk)
        patch.setattr(ckptfmt.storage.file, "STREAMED_AT_ONCE", chunk)
        assert read_with_crc(file, start, memoryview(out)) == crc32c(content)
        assert out == content
        assert stream_crc(file, start, stop - start, crc32c(before)) == crc32c(before + content)


def test_checksums_beyond_the_end_are_refused(file: RandomAccessFile) -> None:
    with pytest.raises(TruncatedError):
        read_with_crc(file, 0, memoryview(bytearray(file.size + 1)))
    with pytest.raises(TruncatedError):
        stream_crc(file, 0, file.size + 1)


def test_streaming_reads_little_at_a_time() -> None:
    file = MemoryFile("f", bytes(3 * STREAMED_AT_ONCE))
    stream_crc(file, 100, file.size - 150)
    assert [size for _, size in file.reads] == [
        STREAMED_AT_ONCE - 100,
        STREAMED_AT_ONCE,
        STREAMED_AT_ONCE - 50,
    ]


# --- files that cannot be opened ---------------------------------------------------------------------------


def test_a_missing_file_is_not_found(opener: Opener, tmp_path: Path) -> None:
    path = str(tmp_path / "missing")
    with pytest.raises(PathNotFoundError, match="no such file") as caught:
        opener(path)
    assert caught.value.tried == (path,)
    assert isinstance(caught.value, FileNotFoundError)


def test_a_directory_is_not_readable(opener: Opener, tmp_path: Path) -> None:
    with pytest.raises(NotReadableError, match=r"directory|denied") as caught:
        opener(str(tmp_path))
    assert caught.value.file == str(tmp_path)
    assert isinstance(caught.value, OSError)


def test_a_path_with_a_nul_is_not_readable(opener: Opener) -> None:
    with pytest.raises(NotReadableError, match="null"):
        opener("a\x00b")


@pytest.mark.skipif(
    sys.platform == "win32" or not hasattr(os, "geteuid") or os.geteuid() == 0,
    reason="needs a user whom the system refuses a file",
)
def test_a_file_without_permission_is_not_readable(opener: Opener, path: Path) -> None:
    path.chmod(0)
    with pytest.raises(NotReadableError, match="ermission"):
        opener(str(path))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_pipe_is_refused_and_not_waited_for(opener: Opener, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(NotReadableError, match="not a regular file"):
        opener(str(tmp_path / "pipe"))


@pytest.mark.skipif(not Path("/dev/zero").is_char_device(), reason="no devices here")
def test_a_device_is_refused(opener: Opener) -> None:
    with pytest.raises(NotReadableError, match=r"^/dev/zero: not a regular file$"):
        opener("/dev/zero")


@counts_descriptors
def test_a_failed_open_leaves_no_descriptor(opener: Opener, tmp_path: Path) -> None:
    before = open_descriptors()
    for path in (tmp_path, tmp_path / "missing"):
        with pytest.raises((NotReadableError, PathNotFoundError)):
            opener(str(path))
    assert open_descriptors() == before


def test_a_backend_has_a_name() -> None:
    assert list(BACKENDS) == ["mmap", "pread"]
    with pytest.raises(ValueError, match=r"^backend: got 'read', want 'mmap' or 'pread'$"):
        filesystem_of("read")


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_path_counts_from_a_directory(
    backend: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    (tmp_path / "below").mkdir()
    opener = LocalFilesystem(backend, str(tmp_path)).open
    for directory in (tmp_path / "below", tmp_path):
        monkeypatch.chdir(directory)
        file = opener("a")
        assert (file.name, bytes(file.read(0, 3))) == ("a", b"abc")
        assert bytes(opener(str(tmp_path / "a")).read(0, 3)) == b"abc"
        with pytest.raises(PathNotFoundError, match="b: no such file"):
            opener("b")
        with pytest.raises(NotReadableError, match="below: "):
            opener("below")
    monkeypatch.chdir(tmp_path / "below")
    try:
        (tmp_path / "below").rmdir()
    except OSError:
        return  # not every system allows it
    assert working_directory() == ""
    assert bytes(opener("a").read(0, 3)) == b"abc"


# --- mapped files -------------------------------------------------------------------------------------------


def test_two_reads_of_the_same_mapped_bytes_share_memory(path: Path) -> None:
    file = MappedFile(str(path))
    one, two = (np.frombuffer(file.read(10, 100), np.uint8) for _ in range(2))
    assert file.has_views
    assert np.shares_memory(one, two)


@pytest.mark.parametrize(
    "error", [OSError(errno.ENODEV, "No such device"), OverflowError("too large to convert")], ids=repr
)
def test_a_file_that_cannot_be_mapped_is_read(
    path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr("ckptfmt.storage.local_file.mmap.mmap", refuse)
        patch.setattr("ckptfmt.storage.local_file.MAPPED_FROM", 1)
        with pytest.raises(NotReadableError, match=r"file: cannot be mapped \(.*\)$"):
            MappedFile(str(path))
        with closing(LocalFilesystem("mmap").open(str(path))) as file:
            assert not file.has_views
            assert bytes(file.read(0, 3)) == CONTENT[:3]


def test_too_many_open_files_are_reported_as_such(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    with monkeypatch.context() as patch:
        patch.setattr("ckptfmt.storage.local_file.mmap.mmap", refuse)
        patch.setattr("ckptfmt.storage.local_file.MAPPED_FROM", 1)
        with pytest.raises(NotReadableError, match=r"file: Too many open files$"):
            MappedFile(str(path))


def test_without_advice_to_the_system_nothing_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(mmap, "MADV_DONTNEED", raising=False)
    monkeypatch.delattr(mmap, "MADV_WILLNEED", raising=False)
    monkeypatch.delattr(os, "posix_fadvise", raising=False)
    (tmp_path / "f").write_bytes(bytes(3 * mmap.PAGESIZE))
    for kind in (MappedFile, DescriptorFile):
        file = kind(str(tmp_path / "f"))
        file.prefetch(0, file.size)
        file.release(0, file.size)
        assert bytes(file.read(0, file.size)) == bytes(3 * mmap.PAGESIZE)


@pytest.mark.skipif(not hasattr(mmap, "MADV_DONTNEED"), reason="no advice here")
def test_refused_advice_is_not_an_error(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Locked:
        def madvise(self, *_: int) -> None:
            raise OSError(errno.EINVAL, "Invalid argument")

    file = MappedFile(str(path))
    monkeypatch.setattr(file, "_map", Locked())
    file.prefetch(0, file.size)
    file.release(0, file.size)


@pytest.mark.skipif(not hasattr(mmap, "MADV_WILLNEED"), reason="no advice here")
@pytest.mark.parametrize(
    ("offset", "size", "advised"),
    [
        (0, 10, [(0, 10)]),
        (5000, 10, [(4096, 914)]),
        (0, 1 << 30, [(0, 1 << 17), (1 << 17, 1 << 17)]),
        (-10, 20, [(0, 10)]),
        (1 << 30, 10, []),
        (10, 0, []),
    ],
)
def test_pages_are_asked_for_in_small_parts_of_the_file_only(
    large: Path, monkeypatch: pytest.MonkeyPatch, offset: int, size: int, advised: list[tuple[int, int]]
) -> None:
    given = []

    class Mapping:
        def madvise(self, advice: int, *stretch: int) -> None:
            assert advice == mmap.MADV_WILLNEED
            given.append(stretch)

    file = MappedFile(str(large))
    monkeypatch.setattr(file, "_map", Mapping())
    monkeypatch.setattr(mmap, "PAGESIZE", 4096)
    file.prefetch(offset, size)
    assert given == advised


@pytest.mark.skipif(not hasattr(os, "posix_fadvise"), reason="no advice here")
@pytest.mark.parametrize(
    ("offset", "size", "advised"),
    [
        (5000, 10, [(5000, 10)]),
        (0, 1 << 30, [(0, 1 << 17), (1 << 17, 1 << 17)]),
        (-10, 20, [(0, 10)]),
        (1 << 30, 10, []),
        (10, 0, []),  # to the system, size 0 would mean the rest of the file
    ],
)
def test_bytes_are_asked_for_in_small_parts_of_the_file_only(
    large: Path, monkeypatch: pytest.MonkeyPatch, offset: int, size: int, advised: list[tuple[int, int]]
) -> None:
    given = []

    def advise(_: int, offset: int, size: int, advice: int) -> None:
        assert advice == os.POSIX_FADV_WILLNEED
        given.append((offset, size))

    file = DescriptorFile(str(large))
    monkeypatch.setattr(os, "posix_fadvise", advise)
    file.prefetch(offset, size)
    assert given == advised


@counts_descriptors
@pytest.mark.skipif(sys.version_info < (3, 13), reason="mmap keeps a descriptor before Python 3.13")
def test_a_mapping_keeps_no_descriptor(path: Path) -> None:
    before = open_descriptors()
    files = [MappedFile(str(path)) for _ in range(10)]
    assert open_descriptors() == before
    assert all(file.read(0, 7) == CONTENT[:7] for file in files)


# --- files read through a descriptor ------------------------------------------------------------------------


def test_each_read_through_a_descriptor_has_memory_of_its_own(path: Path) -> None:
    file = DescriptorFile(str(path))
    one, two = (np.frombuffer(file.read(10, 100), np.uint8) for _ in range(2))
    assert not file.has_views
    assert not np.shares_memory(one, two)


@counts_descriptors
def test_a_descriptor_is_closed_with_its_file(path: Path) -> None:
    before = open_descriptors()
    file = DescriptorFile(str(path))
    view = file.read(0, 100)
    assert open_descriptors() == before + 1
    file.close()
    assert open_descriptors() == before
    assert view == CONTENT[:100]


@counts_descriptors
def test_a_file_that_is_dropped_leaves_no_descriptor(path: Path) -> None:
    before = open_descriptors()
    views = [DescriptorFile(str(path)).read(0, 100) for _ in range(10)]
    assert open_descriptors() == before
    assert all(view == CONTENT[:100] for view in views)


def test_a_file_closed_during_a_read_is_closed_after_it(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If it were closed at once, its descriptor could be another file's before the read ends."""
    file = DescriptorFile(str(path))
    read_into = ckptfmt.storage.local_file._Descriptor.read_into
    others = []

    def close_then_read(descriptor: Any, offset: int, out: memoryview) -> int:
        file.close()
        others.append(DescriptorFile(str(tmp_path / "other")))
        return read_into(descriptor, offset, out[:5000])

    (tmp_path / "other").write_bytes(bytes(len(CONTENT)))
    monkeypatch.setattr("ckptfmt.storage.local_file._Descriptor.read_into", close_then_read)
    assert bytes(file.read(0, file.size)) == CONTENT
    assert len(others) == 4
    with pytest.raises(ValueError, match="closed"):
        file.read(0, 1)


@pytest.mark.skipif(not hasattr(os, "preadv"), reason="no reads by offset here")
def test_short_reads_are_continued(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    preadv = os.preadv

    def short(descriptor: int, buffers: list[memoryview], offset: int) -> int:
        asked.append(buffers[0].nbytes)
        return preadv(descriptor, [buffers[0][:1000]], offset)

    file = DescriptorFile(str(path))
    monkeypatch.setattr(os, "preadv", short)
    assert bytes(file.read(5, 2500)) == CONTENT[5:2505]
    assert asked == [2500, 1500, 500]


def test_no_call_asks_for_more_than_systems_give(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = DescriptorFile(str(path))
    monkeypatch.setattr(ckptfmt.storage.local_file, "_ASKED_AT_ONCE", 100)
    assert bytes(file.read(5, 2505)) == CONTENT[5:2510]


@pytest.mark.skipif(not hasattr(os, "preadv"), reason="no reads by offset here")
def test_a_disk_that_fails_is_not_readable(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> int:
        raise OSError(errno.EIO, "Input/output error")

    file = DescriptorFile(str(path))
    monkeypatch.setattr(os, "preadv", fail)
    for read in (lambda: file.read(0, 10), lambda: file.read_into(0, memoryview(bytearray(10)))):
        with pytest.raises(NotReadableError, match=r"file: Input/output error$") as caught:
            read()
        assert isinstance(caught.value.__cause__, OSError)
        assert caught.value.file == file.name


def test_more_than_memory_holds_is_refused(path: Path) -> None:
    file = DescriptorFile(str(path))
    file.size = 2**62
    with pytest.raises(LimitError, match=f"bytes of memory: {2**62} exceeds") as caught:
        file.read(0, file.size)
    assert caught.value.asked == 2**62


def test_only_one_thread_at_a_time_moves_the_cursor(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "preadv", raising=False)
    file = DescriptorFile(str(path))
    inside = threading.Lock()
    lseek = os.lseek

    def alone(*args: int) -> int:
        # The lock of the file is held from here on until the bytes are read.
        assert inside.acquire(blocking=False)
        try:
            return lseek(*args)
        finally:
            inside.release()

    monkeypatch.setattr(os, "lseek", alone)
    with ThreadPoolExecutor(8) as pool:
        reads = pool.map(lambda n: bytes(file.read(n, 300)), range(1000))
    assert all(read == CONTENT[n : n + 300] for n, read in enumerate(reads))


def test_a_small_file_is_read_and_survives_being_cut(path: Path) -> None:
    file = MappedFile(str(path))
    view = file.read(100, 1000)
    path.write_bytes(b"")
    assert bytes(view) == CONTENT[100:1100]
    assert bytes(file.read(0, file.size)) == CONTENT
    file.close()
    with pytest.raises(ValueError, match="closed"):
        file.read(0, 1)


# --- files that change while they are open ------------------------------------------------------------------


@can_cut
@pytest.mark.parametrize(("mapped_from", "reason"), [(1, "length"), (1 << 30, "cut short")])
def test_a_file_that_shrinks_while_it_is_opened_is_refused(
    path: Path, monkeypatch: pytest.MonkeyPatch, mapped_from: int, reason: str
) -> None:
    fstat = os.fstat

    def fstat_then_shrink(descriptor: int) -> os.stat_result:
        status = fstat(descriptor)
        os.truncate(path, 10)
        return status

    with monkeypatch.context() as patch:
        patch.setattr("ckptfmt.storage.local_file.os.fstat", fstat_then_shrink)
        patch.setattr("ckptfmt.storage.local_file.MAPPED_FROM", mapped_from)
        with pytest.raises(NotReadableError, match=reason):
            MappedFile(str(path))


@can_cut
def test_bytes_that_were_cut_off_are_an_error(opener: Opener, large: Path) -> None:
    file = opener(str(large))
    left = len(LARGE) - 1000
    os.truncate(large, left)
    out = memoryview(bytearray(len(LARGE) - 10))
    for read in (
        lambda: file.read(10, len(out)),
        lambda: file.read_into(10, out),
        lambda: read_with_crc(file, 10, out),
        lambda: stream_crc(file, 10, len(out)),
    ):
        message = r"file was truncated while open: got \d+ bytes, want 262134"
        with pytest.raises(TruncatedError, match=message) as caught:
            read()
        error = caught.value
        assert (error.file, error.offset, error.wanted) == (str(large), 10, len(out))
        assert error.available == left - 10


@can_cut
def test_bytes_after_the_cut_are_all_missing(opener: Opener, large: Path) -> None:
    file = opener(str(large))
    os.truncate(large, 10)
    with pytest.raises(TruncatedError, match=r"truncated while open: got 0 bytes, want 65536$"):
        file.read(GUARDED_FROM, GUARDED_FROM)


@can_cut
def test_bytes_that_were_not_cut_off_can_be_read(opener: Opener, large: Path) -> None:
    file = opener(str(large))
    os.truncate(large, len(LARGE) - 1000)
    assert bytes(file.read(0, 2 * GUARDED_FROM)) == LARGE[: 2 * GUARDED_FROM]
    assert stream_crc(file, 5, 2 * GUARDED_FROM) == crc32c(LARGE[5 : 2 * GUARDED_FROM + 5])


@can_cut
@pytest.mark.parametrize("size", [1, 100, GUARDED_FROM - 1])
def test_reads_through_a_descriptor_of_any_size_notice_a_cut(large: Path, size: int) -> None:
    file = DescriptorFile(str(large))
    os.truncate(large, size // 2)
    with pytest.raises(TruncatedError, match="truncated while open") as caught:
        file.read(0, size)
    assert (caught.value.wanted, caught.value.available) == (size, size // 2)


@can_cut
def test_a_cut_between_two_chunks_is_noticed(
    opener: Opener, large: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crc_then_shrink(data: memoryview, crc: int) -> int:
        os.truncate(large, GUARDED_FROM + 100)
        return 0

    monkeypatch.setattr(ckptfmt.storage.file, "COPIED_AT_ONCE", GUARDED_FROM)
    monkeypatch.setattr(ckptfmt.storage.file, "crc32c", crc_then_shrink)
    file = opener(str(large))
    with pytest.raises(TruncatedError, match="truncated while open") as caught:
        read_with_crc(file, 0, memoryview(bytearray(len(LARGE))))
    assert (caught.value.offset, caught.value.available) == (GUARDED_FROM, 100)


@pytest.mark.skipif(sys.platform == "win32", reason="an open file cannot be removed or replaced there")
@pytest.mark.parametrize("change", ["removed", "renamed", "replaced"])
def test_a_file_that_was_renamed_or_removed_is_read_as_it_was(
    opener: Opener, large: Path, change: str
) -> None:
    file = opener(str(large))
    if change == "removed":
        large.unlink()
    else:
        large.rename(large.with_name("renamed"))
    if change == "replaced":
        large.write_bytes(b"another")
    assert bytes(file.read(0, len(LARGE))) == LARGE
    out = memoryview(bytearray(len(LARGE)))
    assert read_with_crc(file, 0, out) == crc32c(LARGE)
    assert out == LARGE


def test_a_file_that_grows_has_the_size_it_had(opener: Opener, large: Path) -> None:
    file = opener(str(large))
    with large.open("ab") as more:
        more.write(LARGE)
    assert bytes(file.read(0, file.size)) == LARGE
    with pytest.raises(TruncatedError, match="too short"):
        file.read(0, file.size + 1)
