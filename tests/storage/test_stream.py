"""Files as file objects, parts of files as files, and scratch files."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest

import ckptfmt
from ckptfmt.storage.in_memory import MemoryFile
from ckptfmt.storage.local import LocalFilesystem
from ckptfmt.storage.output.scratch import open_scratch
from ckptfmt.storage.stream import FilePart, InputStream


def test_a_stream_reads_and_seeks_like_any_file() -> None:
    content = bytes(range(100))
    stream, expected = InputStream(MemoryFile(content)), io.BytesIO(content)
    for offset, whence, size in (
        (5, os.SEEK_SET, 7),
        (-3, os.SEEK_END, 9),
        (-1, os.SEEK_CUR, 1),
        (200, 0, 5),
    ):
        assert stream.seek(offset, whence) == expected.seek(offset, whence)
        assert stream.read(size) == expected.read(size)
        assert stream.tell() == expected.tell()
    with pytest.raises(ValueError, match="offset: got -1"):
        stream.seek(-1)


def test_a_part_knows_nothing_of_the_rest() -> None:
    part = FilePart(MemoryFile(b"before, here, after"), 8, 4, "name")
    assert (part.size, part.name, part.has_views) == (4, "name", True)
    assert bytes(part.read(0, 4)) == b"here"
    out = bytearray(2)
    part.read_into(1, memoryview(out))
    assert out == b"er"
    for offset, size in ((0, 5), (-1, 1), (4, 1)):
        with pytest.raises(ckptfmt.errors.TruncatedError):
            part.read(offset, size)
    with pytest.raises(ckptfmt.errors.TruncatedError):
        FilePart(MemoryFile(b"short"), 3, 3, "name")


def test_a_scratch_file_has_no_name_and_holes_are_zeros(tmp_path: Path) -> None:
    with open_scratch(LocalFilesystem(), str(tmp_path / "target")) as scratch:
        scratch.seek(5)
        scratch.write(b"x")
        scratch.seek(2)
        scratch.write(b"yz")
        assert b"".join(scratch.pieces()) == b"\0\0yz\0x"
        scratch.truncate(3)
        assert b"".join(scratch.pieces()) == b"\0\0y"
        assert list(tmp_path.iterdir()) == []
    with pytest.raises(ckptfmt.errors.NotWritableError):
        open_scratch(LocalFilesystem(), str(tmp_path / "missing" / "target"))
