"""Decompressed bytes, read forwards."""

from __future__ import annotations

import gzip
import random
import zlib

import numpy as np
import pytest

from ckptfmt.record import inflate
from ckptfmt.record.inflate import Compression, InflatedStream
from tests.support.memory_filesystem import MemoryFile

DATA = np.random.default_rng(0).integers(0, 4, 20_000, dtype=np.uint8).tobytes()

BOTH = pytest.mark.parametrize(
    ("compression", "compress"), [("GZIP", gzip.compress), ("ZLIB", zlib.compress)]
)


def file_of(content: bytes) -> MemoryFile:
    return MemoryFile("f", content)


@BOTH
def test_any_stretch_can_be_read(
    compression: Compression, compress: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inflate, "COMPRESSED_AT_ONCE", 100)
    file = file_of(compress(DATA))  # type: ignore[operator]
    stream = InflatedStream(compression)
    rng = random.Random(0)
    for _ in range(200):
        offset = rng.randrange(len(DATA) + 100)
        size = rng.choice([0, 1, 50, 3000])
        assert bytes(stream.view(file, offset, size)) == DATA[offset : offset + size]


def test_bytes_before_the_offset_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inflate, "COMPRESSED_AT_ONCE", 100)
    file = file_of(gzip.compress(DATA))
    stream = InflatedStream("GZIP")
    for offset in range(0, len(DATA), 500):
        stream.view(file, offset, 500)
        assert len(stream._data) < 1000
    # Reading back decompresses from the beginning again.
    assert bytes(stream.view(file, 0, 10)) == DATA[:10]


def test_a_view_stays_what_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inflate, "COMPRESSED_AT_ONCE", 100)
    file = file_of(gzip.compress(DATA))
    stream = InflatedStream("GZIP")
    first = stream.view(file, 0, 700)
    stream.view(file, 5000, 700)
    assert bytes(first) == DATA[:700]
    with pytest.raises(TypeError):
        first[0] = 0


def test_compressed_data_that_follow_one_another_are_one_stream() -> None:
    stream = InflatedStream("GZIP")
    assert bytes(stream.view(file_of(gzip.compress(b"ab") + gzip.compress(b"cd")), 0, 10)) == b"abcd"
    assert not stream.is_cut


@BOTH
def test_a_file_that_grows_is_read_on(compression: Compression, compress: object) -> None:
    content = compress(DATA)  # type: ignore[operator]
    stream = InflatedStream(compression)
    for size in range(0, len(content), 997):
        file = file_of(content[:size])
        found = bytes(stream.view(file, 0, len(DATA)))
        assert DATA.startswith(found)
        assert stream.is_exhausted(size)
        assert stream.is_cut
    assert bytes(stream.view(file_of(content), 0, len(DATA))) == DATA
    assert bytes(stream.view(file_of(content), len(DATA), 1)) == b""
    assert not stream.is_cut


def test_damage_has_an_offset_and_bytes_before_it_are_returned() -> None:
    content = bytearray(gzip.compress(DATA, mtime=0))
    content[-8] ^= 1  # the checksum
    stream = InflatedStream("GZIP")
    assert bytes(stream.view(file_of(bytes(content)), 0, len(DATA) + 1)) == DATA
    assert stream.fault is not None
    assert stream.fault.startswith("GZIP data do not decompress at byte ")
    place = int(stream.fault.split("byte ")[1].split()[0])
    assert len(content) - 8 <= place <= len(content) - 4
    assert stream.is_exhausted(0)


def test_an_interruption_leaves_the_stream_whole() -> None:
    class Interrupted(MemoryFile):
        left = 1

        def read(self, offset: int, size: int) -> memoryview:
            if offset and Interrupted.left:
                Interrupted.left -= 1
                raise KeyboardInterrupt
            return super().read(offset, size)

    data = np.random.default_rng(0).bytes(1 << 20)
    file = Interrupted("f", gzip.compress(data))
    stream = InflatedStream("GZIP")
    with pytest.raises(KeyboardInterrupt):
        stream.view(file, 0, 1 << 20)
    assert bytes(stream.view(file, 0, 1 << 20)) == data
