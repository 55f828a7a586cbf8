"""Writing records: reading returns them; writing that fails, and writing to existing files."""

from __future__ import annotations

import gc
import gzip
import os
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

import ckptfmt
from ckptfmt.errors import CorruptError, NotWritableError
from tests.support.records import HELLO, claim, frame, write

FULL = "/dev/full"
COMPRESSIONS = pytest.mark.parametrize("compression", [None, "GZIP", "ZLIB"])


def interrupt(path: str | Path) -> None:
    """Overwrite a file, and end the block with an exception."""
    with ckptfmt.RecordWriter(path, overwrite=True) as writer:
        writer.write(b"hello")
        raise ZeroDivisionError


def write_and_flush(writer: ckptfmt.RecordWriter, data: bytes) -> None:
    writer.write(data)
    writer.flush()


@pytest.mark.parametrize("compression", [None, "GZIP", "ZLIB"])
def test_what_is_written_is_read(tmp_path: Path, compression: object) -> None:
    data = [b"first", b"", bytes(range(40)), bytes(100_000)]
    with ckptfmt.RecordWriter(tmp_path / "r", compression=compression) as writer:  # type: ignore[arg-type]
        offsets = [writer.write(each) for each in data]
        assert writer.position == offsets[-1] + 100_016
    records = list(ckptfmt.open_records(tmp_path / "r", strict=True))
    assert [(r.data, r.offset) for r in records] == list(zip(data, offsets, strict=True))


def test_an_existing_file_is_left_alone(tmp_path: Path) -> None:
    path = write(tmp_path / "r", HELLO)
    with pytest.raises(FileExistsError):
        ckptfmt.RecordWriter(path)
    assert path.read_bytes() == HELLO
    with ckptfmt.RecordWriter(path, overwrite=True) as writer:
        writer.write(memoryview(b"new"))
    assert path.read_bytes() == frame(b"new")
    with pytest.raises(ValueError, match="compression: got 'LZ4'"):
        ckptfmt.RecordWriter(path, compression="LZ4")  # type: ignore[arg-type]
    with pytest.raises(NotWritableError):
        ckptfmt.RecordWriter(tmp_path / "no" / "folder")


def test_appending_goes_on_after_the_last_whole_record(tmp_path: Path) -> None:
    path = write(tmp_path / "r", HELLO + HELLO[:-1])
    with ckptfmt.RecordWriter(path, append=True) as writer:
        assert writer.write(b"x") == 21
    assert path.read_bytes() == HELLO + frame(b"x")
    with ckptfmt.RecordWriter(tmp_path / "new", append=True) as writer:
        writer.write(b"hello")
    assert (tmp_path / "new").read_bytes() == HELLO
    for content in (HELLO + bytes(30), gzip.compress(HELLO)):
        with pytest.raises(CorruptError):
            ckptfmt.RecordWriter(write(path, content), append=True)
        assert path.read_bytes() == content


@pytest.mark.skipif(not Path(FULL).exists(), reason="the system has no disk that is always full")
@COMPRESSIONS
def test_a_full_disk_is_an_error_of_this_package(compression: object) -> None:
    for size in (1, 10_000_000):
        writer = ckptfmt.RecordWriter(FULL, overwrite=True, compression=compression)  # type: ignore[arg-type]
        with pytest.raises(NotWritableError, match=f"{FULL}: No space left on device"):
            write_and_flush(writer, os.urandom(size))
        # Nobody knows what the file contains now, so nothing more can be written to it.
        for again in (writer.flush, lambda writer=writer: writer.write(b"x")):
            with pytest.raises(NotWritableError, match="No space left"):
                again()
        writer.close()
    with pytest.raises(NotWritableError, match="No space left"):  # noqa: SIM117
        with ckptfmt.RecordWriter(FULL, overwrite=True, compression=compression) as writer:  # type: ignore[arg-type]
            writer.write(b"x")
    with pytest.raises(ZeroDivisionError):
        interrupt(FULL)
    assert sorted(Path("/dev").glob("full*")) == [Path(FULL)]


@COMPRESSIONS
def test_nothing_is_written_once_it_was_closed(tmp_path: Path, compression: object) -> None:
    writer = ckptfmt.RecordWriter(tmp_path / "r", compression=compression)  # type: ignore[arg-type]
    writer.write(b"x")
    writer.close()
    writer.close()
    content = (tmp_path / "r").read_bytes()
    for call in (writer.flush, lambda: writer.write(b"y")):
        with pytest.raises(ValueError, match="the writer is closed"):
            call()
    assert (writer.position, (tmp_path / "r").read_bytes()) == (17, content)


def test_all_kinds_of_bytes_can_be_written(tmp_path: Path) -> None:
    array = np.arange(12, dtype=np.float32).reshape(3, 4)
    with ckptfmt.RecordWriter(tmp_path / "r") as writer:
        writer.write(bytearray(b"bytes"))
        writer.write(array.data)
        writer.write(array[:, ::2].data)
        writer.write(array[:0].data)
        with pytest.raises(TypeError):
            writer.write("text")  # type: ignore[arg-type]
    found = [record.data for record in ckptfmt.open_records(tmp_path / "r", strict=True)]
    assert found == [b"bytes", array.tobytes(), array[:, ::2].tobytes(), b""]


@pytest.mark.parametrize(
    "content", [b"hello", b"x", b"12345678", b"123456789ab", HELLO[:8] + b"\0", b"text" * 9]
)
def test_a_file_of_something_else_is_not_appended_to(tmp_path: Path, content: bytes) -> None:
    path = write(tmp_path / "notes.txt", content)
    with pytest.raises(CorruptError, match=r"notes\.txt @0x0: .*not a file of records"):
        ckptfmt.RecordWriter(path, append=True)
    assert path.read_bytes() == content


@pytest.mark.parametrize("begun", [b"", HELLO[:8], HELLO[:10], HELLO[:12], HELLO[:20], claim(100) + b"x"])
def test_an_unfinished_first_record_is_overwritten(tmp_path: Path, begun: bytes) -> None:
    path = write(tmp_path / "r", begun)
    with ckptfmt.RecordWriter(path, append=True) as writer:
        assert writer.write(b"new") == 0
    assert path.read_bytes() == frame(b"new")


def test_appending_after_damage_goes_on_at_the_end(tmp_path: Path) -> None:
    path = write(tmp_path / "r", HELLO + claim(1000) + b"begun" + HELLO)
    with ckptfmt.RecordWriter(path, append=True) as writer:
        writer.write(b"new")
    assert path.read_bytes() == HELLO + claim(1000) + b"begun" + HELLO + frame(b"new")


def test_a_file_is_replaced_when_the_new_one_is_whole(tmp_path: Path) -> None:
    path = write(tmp_path / "r", HELLO)
    path.chmod(0o640)
    link = tmp_path / "link"
    link.symlink_to(path)
    with pytest.raises(ZeroDivisionError):
        interrupt(link)
    assert path.read_bytes() == HELLO
    assert sorted(tmp_path.iterdir()) == [link, path]
    with ckptfmt.RecordWriter(link, overwrite=True) as writer:
        writer.write(b"new")
        assert path.read_bytes() == HELLO
    assert (path.read_bytes(), link.is_symlink()) == (frame(b"new"), True)
    assert path.stat().st_mode & 0o777 == 0o640
    assert sorted(tmp_path.iterdir()) == [link, path]


def test_what_was_written_before_an_exception_is_kept_in_a_new_file(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        interrupt(tmp_path / "r")
    assert (tmp_path / "r").read_bytes() == HELLO


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_new_file_is_read_while_it_is_written(tmp_path: Path, overwrite: bool) -> None:
    path = tmp_path / "r"
    with ckptfmt.RecordWriter(path, overwrite=overwrite) as writer:
        assert path.read_bytes() == b""
        write_and_flush(writer, b"hello")
        assert path.read_bytes() == HELLO
        assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_is_replaced_keeps_its_records_also_after_flush(tmp_path: Path) -> None:
    path = write(tmp_path / "r", HELLO)
    with ckptfmt.RecordWriter(path, overwrite=True) as writer:
        write_and_flush(writer, b"new")
        assert path.read_bytes() == HELLO
    assert path.read_bytes() == frame(b"new")


DIES = """
import os, sys, ckptfmt
writer = ckptfmt.RecordWriter(sys.argv[1], overwrite=True)
writer.write(b"hello")
writer.flush()
writer.write(b"lost")
os._exit(0)
"""


@pytest.mark.parametrize("old", [None, frame(b"old")], ids=["new", "replaced"])
def test_a_writer_that_dies_leaves_the_old_records_or_a_file_to_append_to(
    tmp_path: Path, old: bytes | None
) -> None:
    path = tmp_path / "r"
    if old is not None:
        path.write_bytes(old)
    subprocess.run([sys.executable, "-c", DIES, str(path)], check=True, timeout=60)
    kept = HELLO if old is None else old
    assert path.read_bytes() == kept
    with ckptfmt.RecordWriter(path, append=True) as writer:
        assert writer.write(b"more") == len(kept)
    assert path.read_bytes() == kept + frame(b"more")


def test_a_file_with_a_long_name_is_replaced(tmp_path: Path) -> None:
    path = write(tmp_path / ("e" * 250), HELLO)
    with ckptfmt.RecordWriter(path, overwrite=True) as writer:
        writer.write(b"new")
    assert [each.read_bytes() for each in tmp_path.iterdir()] == [frame(b"new")]


def test_a_writer_that_is_never_closed_leaves_no_temporary_file(tmp_path: Path) -> None:
    path = write(tmp_path / "r", HELLO)
    writer = ckptfmt.RecordWriter(path, overwrite=True)
    writer.write(b"new")
    assert len(list(tmp_path.iterdir())) == 2
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        del writer
        gc.collect()
    assert list(tmp_path.iterdir()) == [path]
    assert path.read_bytes() == HELLO


def test_appending_creates_the_file_that_a_link_leads_to(tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to("r")
    for data in (b"1", b"2"):
        with ckptfmt.RecordWriter(link, append=True) as writer:
            writer.write(data)
    assert link.is_symlink()
    assert (tmp_path / "r").read_bytes() == frame(b"1") + frame(b"2")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names here")
@pytest.mark.parametrize("mode", [{}, {"append": True}, {"overwrite": True}], ids=str)
def test_records_are_written_to_a_pipe(tmp_path: Path, mode: dict[str, bool]) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        with ckptfmt.RecordWriter(pipe, **mode) as writer:  # type: ignore[arg-type]
            assert writer.write(b"hello") == 0
            writer.flush()
            assert os.read(reader, 100) == HELLO
    finally:
        os.close(reader)
    assert list(tmp_path.iterdir()) == [pipe]


def test_records_are_appended_to_a_device() -> None:
    with ckptfmt.RecordWriter(os.devnull, append=True) as writer:
        assert writer.write(b"hello") == 0


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="the system refuses root nothing")
def test_a_file_that_may_not_be_read_is_not_appended_to(tmp_path: Path) -> None:
    path = write(tmp_path / "r", HELLO)
    path.chmod(0o200)
    with pytest.raises(NotWritableError, match=r"r: Permission denied$"):
        ckptfmt.RecordWriter(path, append=True)
