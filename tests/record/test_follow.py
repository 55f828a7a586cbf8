"""Files of records that grow, or are replaced or removed, while they are read."""

from __future__ import annotations

import gzip
import os
import time
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

import ckptfmt
from ckptfmt.record.input import Source
from ckptfmt.record.reader import RecordReader
from ckptfmt.storage.local import LocalFilesystem
from tests.support.records import frame, write

DATA = [b"record %d" % number for number in range(20)]
CONTENT = b"".join(map(frame, DATA))
OTHER = [b"other record %d" % number for number in range(60)]

BOTH = pytest.mark.parametrize("backend", ["mmap", "pread"])


def reader_of(path: Path, backend: str = "pread") -> RecordReader:
    return RecordReader(Source(str(path), LocalFilesystem(backend)))


def rest_of(reader: RecordReader) -> list[bytes]:
    return [record.data for record in reader.records()]


def followed(path: Path, *looks: Callable[[], object]) -> list[bytes]:
    """Return what is read from a file that changes before each look."""
    left = list(looks)

    def stop() -> bool:
        if left:
            left.pop(0)()
            return False
        return True

    return [record.data for record in ckptfmt.open_records(path).follow(poll=0, stop=stop)]


def replace(path: Path, content: bytes) -> None:
    path.with_name("new").write_bytes(content)
    path.with_name("new").replace(path)


# --- replaced and removed ----------------------------------------------------------------------------------


@pytest.mark.parametrize("compress", [bytes, gzip.compress], ids=["plain", "GZIP"])
def test_a_file_that_is_replaced_is_read_from_its_beginning(tmp_path: Path, compress: object) -> None:
    path = write(tmp_path / "r", CONTENT)
    for count in (0, 1, 5, len(OTHER)):
        content = compress(b"".join(map(frame, OTHER[:count])))  # type: ignore[operator]
        write(path, CONTENT)
        assert followed(path, partial(replace, path, content)) == DATA + OTHER[:count]


def test_a_file_that_is_replaced_by_one_that_begins_alike_is_another_one(tmp_path: Path) -> None:
    path = write(tmp_path / "r", CONTENT)
    assert followed(path, partial(replace, path, CONTENT + frame(b"new"))) == [*DATA, *DATA, b"new"]


def test_a_file_that_is_rewritten_is_read_from_its_beginning(tmp_path: Path) -> None:
    path = write(tmp_path / "r", CONTENT)
    assert followed(path, lambda: path.write_bytes(frame(b"new"))) == [*DATA, b"new"]
    path = write(tmp_path / "r", CONTENT)
    larger = b"".join(map(frame, OTHER))
    assert followed(path, lambda: path.write_bytes(larger)) == DATA + OTHER


def test_a_file_that_was_removed_has_ended(tmp_path: Path) -> None:
    path = write(tmp_path / "r", CONTENT)
    records = ckptfmt.open_records(path).follow(poll=0)
    assert [next(records).data for _ in DATA] == DATA
    path.unlink()
    assert list(records) == []
    write(path, CONTENT)
    new = lambda: replace(path, frame(b"new"))  # noqa: E731
    assert followed(path, path.unlink, new, lambda: None) == [*DATA, b"new"]


def test_a_file_that_was_removed_while_closed_has_ended(tmp_path: Path) -> None:
    path = write(tmp_path / "r", CONTENT + b"tail")
    reader = reader_of(path)
    assert rest_of(reader) == DATA
    reader.source.close()
    path.unlink()
    reader.source.refresh()
    assert (rest_of(reader), reader.source.is_missing, reader.tail) == ([], True, 4)
    write(path, frame(b"new"))
    reader.source.refresh()
    assert (rest_of(reader), reader.source.is_missing, reader.tail) == ([b"new"], False, 0)


# --- closed and opened again -------------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize("compress", [bytes, gzip.compress, zlib.compress], ids=["plain", "GZIP", "ZLIB"])
def test_a_file_that_was_closed_is_read_on(tmp_path: Path, compress: object, backend: str) -> None:
    content = compress(CONTENT + b"".join(map(frame, OTHER)))  # type: ignore[operator]
    for cut in range(0, len(content), 37):
        path = write(tmp_path / "r", content[:cut])
        reader = reader_of(path, backend)
        found = rest_of(reader)
        reader.source.close()
        with path.open("ab") as file:
            file.write(content[cut:])
        reader.source.refresh()
        assert found + rest_of(reader) == DATA + OTHER
        reader.source.close()
        reader.source.refresh()
        assert (rest_of(reader), reader.tail, reader.count) == ([], 0, len(DATA + OTHER))


@BOTH
def test_a_file_that_was_closed_in_the_middle_is_read_on(tmp_path: Path, backend: str) -> None:
    large = [bytes([number]) * (3 << 20) for number in range(4)]
    for compress in (bytes, gzip.compress):
        path = write(tmp_path / "r", compress(b"".join(map(frame, large))))
        reader = reader_of(path, backend)
        found = []
        for batch in reader.batches():
            (begin,), (size,) = batch.begins, batch.sizes
            found.append(bytes(batch.data[begin : begin + size]))
            reader.source.close()
            reader.source.refresh()
        assert found == large
        reader = reader_of(path, backend)
        reader.source.close()
        with pytest.raises(ValueError, match="the file is closed"):
            rest_of(reader)


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="the system does not list open files")
def test_closed_files_are_not_open(tmp_path: Path) -> None:
    path = write(tmp_path / "r", CONTENT + b"tail")
    before = len(os.listdir("/proc/self/fd"))
    readers = [reader_of(path) for _ in range(5)]
    for reader in readers:
        rest_of(reader)
        reader.source.close()
        # Nothing is new, so nothing is opened.
        reader.source.refresh()
        assert rest_of(reader) == []
    assert len(os.listdir("/proc/self/fd")) == before


def test_compression_is_recognised_once_the_file_is_long_enough(tmp_path: Path) -> None:
    for compress in (gzip.compress, zlib.compress, bytes):
        content = compress(CONTENT)
        for first in range(40):
            path = write(tmp_path / "r", content[:first])

            def grow(path: Path = path, more: bytes = content[first:]) -> None:
                with path.open("ab") as file:
                    file.write(more)

            assert followed(path, grow) == DATA, (compress, first)


@pytest.mark.parametrize("compress", [bytes, gzip.compress], ids=["plain", "GZIP"])
def test_progress_reaches_the_end_of_the_file(tmp_path: Path, compress: object) -> None:
    data = [os.urandom(100_000) for _ in range(100)]
    content = compress(b"".join(map(frame, data)))  # type: ignore[operator]
    reader = reader_of(write(tmp_path / "r", content))
    assert reader.source.progress == (0, len(content))
    seen = [reader.source.progress for _ in reader.batches()]
    assert len(seen) > 2
    assert seen == sorted(set(seen))
    assert 0 < seen[0][0] < len(content)
    assert {total for _, total in seen} == {len(content)}
    assert reader.source.progress == (len(content), len(content))


# --- how long to wait --------------------------------------------------------------------------------------


def test_the_timeout_starts_over_with_each_record(tmp_path: Path) -> None:
    path = write(tmp_path / "r", frame(b"0"))
    began, written = time.monotonic(), 1

    def stop() -> bool:
        nonlocal written
        if written <= 5 and time.monotonic() - began > 0.2 * written:
            with path.open("ab") as file:
                file.write(frame(b"%d" % written))
            written += 1
        return False

    found = [r.data for r in ckptfmt.open_records(path).follow(poll=0.02, timeout=0.5, stop=stop)]
    assert found == [b"%d" % number for number in range(6)]


def test_records_written_while_the_caller_was_busy_are_read(tmp_path: Path) -> None:
    path = write(tmp_path / "r", CONTENT)
    found = []
    for record in ckptfmt.open_records(path).follow(poll=0.01, timeout=0.1):
        found.append(record.data)
        if len(found) == len(DATA):
            with path.open("ab") as file:
                file.write(frame(b"late"))
            time.sleep(0.3)
    assert found == [*DATA, b"late"]


def test_a_long_wait_ends_in_time(tmp_path: Path) -> None:
    path = write(tmp_path / "r", CONTENT)
    began = time.monotonic()
    assert len(list(ckptfmt.open_records(path).follow(poll=20, timeout=0.1))) == len(DATA)
    stop = lambda: time.monotonic() - began > 0.5  # noqa: E731
    assert len(list(ckptfmt.open_records(path).follow(poll=20, stop=stop))) == len(DATA)
    assert time.monotonic() - began < 5
