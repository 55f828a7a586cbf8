"""Riegeli files that we write: as Google's writer does, and read by the reader."""

from __future__ import annotations

import random
import tracemalloc
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ckptfmt.riegeli.block import BLOCK_SIZE, SIGNATURE
from ckptfmt.riegeli.compression import Compression
from ckptfmt.riegeli.file import RiegeliFile
from ckptfmt.riegeli.writer import CHUNK_SIZE, RiegeliWriter
from tests.support import riegeli_writer as independent
from tests.support.memory_filesystem import MemoryFile, MemoryFilesystem, MemoryOutput
from tests.support.riegeli_files import WRITTEN, golden

COMPRESSIONS: list[Compression | None] = [None, *get_args(Compression)]


class Written:
    """A file in memory, and a writer of it."""

    def __init__(self, compression: Compression | None) -> None:
        self._fs = MemoryFilesystem()
        self._output = MemoryOutput(self._fs, "some.cpb", overwrite=True)
        self.writer = RiegeliWriter(self._output, compression=compression)

    @property
    def content(self) -> bytes:
        self.writer.flush()
        self._output.commit()
        return self._fs.files["some.cpb"].content

    @property
    def file(self) -> RiegeliFile:
        return RiegeliFile(MemoryFile("some.cpb", self.content))


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_the_bytes_are_those_of_googles_writer(compression: Compression | None) -> None:
    written = Written(compression)
    for number, record in enumerate(WRITTEN):
        if number % 2 == 0:
            written.writer.flush()
        written.writer.write(record)
    want = golden(compression or "uncompressed")
    if compression is None:
        assert want.startswith(written.content)
    # Compressed bytes depend on the version of the compressor, the chunks do not.
    assert [bytes(record) for record in written.file.records()] == WRITTEN
    google = [chunk for chunk in RiegeliFile(MemoryFile("g", want)).chunks() if chunk.num_records]
    for ours, theirs in zip(list(written.file.chunks())[1:], google, strict=False):
        assert (ours.type, ours.num_records, ours.decoded_size) == (
            theirs.type,
            theirs.num_records,
            theirs.decoded_size,
        )


@pytest.mark.parametrize("compression", COMPRESSIONS)
@given(
    groups=st.lists(
        st.lists(st.binary(max_size=50) | st.sampled_from([b"", bytes(70_000), b"ab" * 99_000]), max_size=5),
        max_size=5,
    ),
    stored=st.sets(st.integers(0, 25)),
)
def test_records_are_read_as_they_were_written(
    compression: Compression | None, groups: list[list[bytes]], stored: set[int]
) -> None:
    written, positions = Written(compression), []
    records = [record for group in groups for record in group]
    for number, record in enumerate(records):
        half = len(record) // 2
        pieces = (record[:half], memoryview(record)[half:])
        write = written.writer.write_stored if number in stored else written.writer.write
        positions.append(write(*pieces))
    file = written.file
    assert [(position, bytes(record)) for position, record in file.items()] == list(
        zip(positions, records, strict=True)
    )
    for position, record in zip(positions, records, strict=True):
        assert bytes(file.record(position)) == record


@given(st.lists(st.lists(st.binary(max_size=30), min_size=1, max_size=4), max_size=4), st.integers(-60, 20))
def test_every_byte_is_as_the_description_says(groups: list[list[bytes]], size: int) -> None:
    # The first record moves the others to the end of a block.
    groups = [[bytes(BLOCK_SIZE - 64 - 40 - 4 - 1 + size)], *groups]
    written, by_description = Written(None), independent.RiegeliWriter()
    for group in groups:
        for record in group:
            written.writer.write(record)
        written.writer.flush()
        by_description.records(group)
    assert written.content == by_description.out


def test_chunks_end_at_a_mebibyte() -> None:
    # 8 bytes of each record's position count too.
    written = Written(None)
    for size in (CHUNK_SIZE // 2 - 8, CHUNK_SIZE // 2 - 8, 0, CHUNK_SIZE, 1, 2):
        written.writer.write(bytes(size))
    chunks = [chunk.num_records for chunk in written.file.chunks()]
    assert chunks == [0, 2, 1, 1, 2]


def test_many_empty_records_have_positions_of_their_own() -> None:
    written = Written("brotli")
    positions = [written.writer.write(b"") for _ in range(300_000)]
    assert len(set(positions)) == 300_000
    assert written.file.last_position == positions[-1]
    assert written.file.chunk_at(positions[150_000]).decoded_size == 0


def test_a_file_without_records_is_its_signature() -> None:
    assert Written(None).content == SIGNATURE


def test_a_stored_record_is_not_copied() -> None:
    record = memoryview(random.Random(3).randbytes(1 << 19))
    written = Written("brotli")
    tracemalloc.start()
    try:
        sizes: list[int] = []
        written._output.write = lambda data: sizes.append(len(data))  # type: ignore[method-assign]
        written.writer.write_stored(record)
        assert tracemalloc.get_traced_memory()[1] < 1 << 18
    finally:
        tracemalloc.stop()
    assert sum(sizes) > len(record)
