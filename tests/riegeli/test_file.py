"""Riegeli/records: files of Google's own writer, and hostile ones."""

from __future__ import annotations

import random
import struct
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ckptfmt.errors import (
    ChecksumError,
    CkptfmtError,
    CorruptError,
    LimitError,
    TruncatedError,
    UnsupportedError,
)
from ckptfmt.limits import Limits
from ckptfmt.riegeli.block import SIGNATURE
from ckptfmt.riegeli.file import RiegeliFile
from tests.support.memory_filesystem import MemoryFile
from tests.support.riegeli_files import WRITTEN, golden
from tests.support.riegeli_writer import (
    BLOCK,
    COMPRESSORS,
    WORD,
    RiegeliWriter,
    packed,
    portable_hash,
    simple,
    with_hash,
)
from tests.support.table_writer import encode_varint


def opened(content: bytes, **options: Any) -> RiegeliFile:
    return RiegeliFile(MemoryFile("some.cpb", bytes(content)), **options)


def read(content: bytes, **options: Any) -> list[bytes]:
    return [bytes(record) for record in opened(content, **options).records()]


def test_the_hashes_in_the_signature_are_right() -> None:
    assert struct.unpack("<Q", SIGNATURE[:8])[0] == portable_hash(SIGNATURE[8:24])
    assert struct.unpack("<Q", SIGNATURE[24:32])[0] == portable_hash(SIGNATURE[32:64])
    assert RiegeliWriter().out == SIGNATURE


# Files of Google's writer


@pytest.mark.parametrize("name", ["uncompressed", "brotli", "zstd", "snappy"])
def test_files_of_the_real_writer_are_read(name: str) -> None:
    file = opened(golden(name))
    assert [bytes(record) for record in file.records()][: len(WRITTEN)] == WRITTEN
    chunks = list(file.chunks())
    assert "".join(chr(chunk.type) for chunk in chunks) == "srrrrprp"
    # By position, backwards.
    positions = [chunk.begin + index for chunk in chunks for index in range(chunk.num_records)]
    for position, record in reversed(list(zip(positions, WRITTEN, strict=False))):
        assert bytes(file.record(position)) == record
    assert file.last_position == positions[-1]


@pytest.mark.parametrize("name", ["uncompressed", "brotli", "zstd", "snappy"])
def test_our_writer_writes_what_the_real_one_writes(name: str) -> None:
    # Compressed bytes depend on the compressor's version; all else is the same.
    writer = RiegeliWriter()
    compression = {"uncompressed": "none"}.get(name, name)
    for start in (0, 2, 4):
        writer.records(WRITTEN[start : start + 2], compression)
    if name == "uncompressed":
        assert golden(name).startswith(writer.out)
    assert read(writer.out) == WRITTEN


def test_a_transposed_chunk_is_unsupported() -> None:
    with pytest.raises(UnsupportedError, match=r"some\.cpb @0x40: the records are in a transposed chunk"):
        read(golden("transpose"))


# Files of the writer above


@pytest.mark.parametrize("compression", COMPRESSORS)
@pytest.mark.parametrize("options", [{}, {"verify_up_to": 0}], ids=["verified", "headers verified"])
def test_records_of_many_sizes_are_read(compression: str, options: dict[str, int]) -> None:
    rng = random.Random(7)
    groups = [
        [],
        [b""],
        [b"", b"a", b"", b"bc"],
        [rng.randbytes(200_000), b"x" * 70_000, b""],
        [b"%d" % i for i in range(300)],
    ]
    writer, positions = RiegeliWriter(), []
    for group in groups:
        positions += writer.records(group, compression)
        writer.chunk(b"p", bytes(rng.randrange(300)))
        writer.chunk(b"m", b"not looked at")
        writer.chunk(b"s", b"")
    records = [record for group in groups for record in group]
    assert read(writer.out, **options) == records
    file = opened(writer.out, **options)
    assert [position for position, _ in file.items()] == positions
    shuffled = list(zip(positions, records, strict=True))
    rng.shuffle(shuffled)
    for position, record in shuffled:
        assert bytes(file.record(position)) == record
    assert file.last_position == positions[-1]


@pytest.mark.parametrize("size", range(-70, 30))
def test_block_headers_may_interrupt_anything(size: int) -> None:
    writer = RiegeliWriter()
    writer.records([bytes(BLOCK - 64 - 40 - 4 - 1 + size)])
    positions = writer.records([b"abc", b"defg"])
    positions += writer.records([b"h" * 140_000])
    file = opened(writer.out)
    assert [bytes(file.record(position)) for position in positions] == [b"abc", b"defg", b"h" * 140_000]
    assert len(list(file.records())) == 4


def test_chunks_with_more_records_than_bytes_are_padded() -> None:
    # Empty records compress to nothing, but each has a position of its own.
    writer = RiegeliWriter()
    first = writer.records([b""] * 100_000, "brotli")
    second = writer.records([b"end"])
    assert second[0] > first[-1]
    file = opened(writer.out)
    assert len(list(file.records())) == 100_001
    assert (bytes(file.record(first[-1])), bytes(file.record(second[0]))) == (b"", b"end")


def test_a_stored_record_in_one_block_is_a_view() -> None:
    writer = RiegeliWriter()
    (position,) = writer.records([b"seen, not copied"])
    file = MemoryFile("some.cpb", bytes(writer.out))
    assert RiegeliFile(file).record(position).obj is file.content


def test_a_file_without_records_has_no_last_one() -> None:
    assert read(SIGNATURE) == []
    with pytest.raises(CorruptError, match="no records"):
        _ = opened(SIGNATURE).last_position


# Damage


def small_file(compression: str) -> tuple[bytes, list[list[bytes]]]:
    groups = [[b"first", b""], [b"second" * 9], [b"third"]]
    writer = RiegeliWriter()
    for group in groups:
        writer.records(group, compression)
    return bytes(writer.out), groups


@pytest.mark.parametrize("compression", COMPRESSORS)
def test_every_flipped_bit_is_noticed(compression: str) -> None:
    content, groups = small_file(compression)
    records = [record for group in groups for record in group]
    for at in range(len(content)):
        for bit in range(8):
            damaged = bytearray(content)
            damaged[at] ^= 1 << bit
            got = []
            with pytest.raises(CorruptError) as caught:
                got += opened(damaged).records()
            assert [bytes(record) for record in got] == records[: len(got)]
            assert caught.value.file == "some.cpb"
            assert caught.value.offset is not None


@pytest.mark.parametrize("compression", COMPRESSORS)
def test_a_file_cut_short_has_the_records_of_whole_chunks(compression: str) -> None:
    content, groups = small_file(compression)
    ends = [chunk.end for chunk in opened(content).chunks()]
    for size in range(len(content)):
        if size in ends:
            # The writer could have stopped here; only the signature is required.
            whole = groups[: ends.index(size)]
            assert read(content[:size]) == [record for group in whole for record in group]
        else:
            with pytest.raises(TruncatedError) as caught:
                read(content[:size])
            assert caught.value.available < caught.value.wanted


@pytest.mark.parametrize("name", ["uncompressed", "snappy"])
def test_damage_in_a_real_file_is_noticed(name: str) -> None:
    content = golden(name)
    rng = random.Random(3)
    chunks = list(opened(content).chunks())
    padding = [range(chunk.begin + 40, chunk.end) for chunk in chunks if chr(chunk.type) == "p"]
    for at in [*rng.sample(range(len(content)), 40), BLOCK, BLOCK + 8, BLOCK + 16, BLOCK + 23]:
        damaged = bytearray(content)
        damaged[at] ^= 0x10
        try:
            got = read(damaged)
        except CorruptError:
            continue
        assert got == read(content)
        assert any(at in places for places in padding)


@given(st.binary(max_size=120), st.integers(0, 3))
def test_any_bytes_after_a_signature_are_read_or_refused(data: bytes, kind: int) -> None:
    writer = RiegeliWriter()
    if kind:
        # In a chunk with right hashes, so that the bytes are decoded.
        writer.chunk(b"r", data, kind, kind * 3)
        data = bytes(writer.out)[64:]
    with suppress(CkptfmtError):
        read(SIGNATURE + data)


# Hostile files: right hashes, wrong numbers


def one_chunk(data: bytes, num_records: int, decoded: int, kind: bytes = b"r") -> bytes:
    writer = RiegeliWriter()
    writer.chunk(kind, data, num_records, decoded)
    return bytes(writer.out)


def of(sizes: bytes, values: bytes, compression: bytes = b"\0") -> bytes:
    return compression + encode_varint(len(sizes)) + sizes + values


def claims(compression: str, size: int) -> bytes:
    """A chunk with one record of ten bytes that claims to decompress to another size."""
    sizes = packed(encode_varint(size), compression)
    return of(sizes, packed(bytes(10), compression, size), COMPRESSORS[compression][0])


BAD_CHUNKS = {
    "no data": (one_chunk(b"", 1, 0), "simple chunk: got 0 bytes, want 1"),
    "sizes after the end": (one_chunk(b"\0\x05\x01a", 1, 1), "sizes of records: got 2 bytes, want 5"),
    "sizes of 2**63": (
        one_chunk(b"\0" + encode_varint(2**63), 1, 1),
        "sizes of records: got 0 bytes, want 92233720",
    ),
    "no sizes": (one_chunk(of(b"", b"ab"), 1, 2), "sizes of records: got 0 bytes, want 1 to 10"),
    "too many sizes": (one_chunk(of(b"\1\1\0", b"ab"), 2, 2), "sizes of 2 records: got 3 bytes, want 2"),
    "too few sizes": (one_chunk(of(b"\x81\1", b"a" * 129), 2, 129), "2 varints"),
    "sizes too large": (one_chunk(of(b"\1\2", b"ab"), 2, 2), "sizes of records: got 3 in all, want 2"),
    "sizes that overflow": (
        one_chunk(of(encode_varint(2**64 - 1) + b"\3", b"ab"), 2, 2),
        "sizes of records: got 18446744073709551618 in all, want 2",
    ),
    "values too short": (one_chunk(of(b"\1\2", b"ab"), 2, 3), "values of records: got 2 bytes, want 3"),
    "values too long": (one_chunk(of(b"\1\1", b"abc"), 2, 2), "values of records: got 3 bytes, want 2"),
    "records in padding": (one_chunk(b"", 1, 0, b"p"), "chunk of type 'p': got 1 records, want 0"),
    "records in metadata": (one_chunk(b"", 1, 0, b"m"), "chunk of type 'm': got 1 records, want 0"),
    **{
        f"{name} data that are not compressed": (
            one_chunk(of(b"\1\xff", b"\1\xff", COMPRESSORS[name][0]), 1, 1),
            f"{name} data do not decompress",
        )
        for name in ("brotli", "zstd", "snappy")
    },
    **{
        f"{name} {what} than said": (one_chunk(claims(name, size), 1, size), f"{name} data")
        for name in ("brotli", "zstd", "snappy")
        for what, size in (("less", 11), ("more", 9), ("gigabytes less", 2 << 30))
    },
    **{
        f"{name} said to be more than the header has it": (
            one_chunk(claims(name, 10).replace(packed(bytes(10), name), packed(bytes(10), name, 99)), 1, 10),
            "values of records: got 99 bytes, want 10",
        )
        for name in ("brotli", "zstd", "snappy")
    },
}


@pytest.mark.parametrize(("content", "message"), BAD_CHUNKS.values(), ids=BAD_CHUNKS)
def test_bad_chunks_are_refused_with_their_place(content: bytes, message: str) -> None:
    with pytest.raises(CorruptError, match=message) as caught:
        read(content)
    assert (caught.value.file, caught.value.offset) == ("some.cpb", 64)
    assert str(caught.value).startswith("some.cpb @0x40: ")


@pytest.mark.parametrize("compression", ["brotli", "zstd", "snappy"])
def test_false_claims_of_gigabytes_take_no_memory(compression: str) -> None:
    resource = pytest.importorskip("resource", reason="the system does not tell")
    content = one_chunk(claims(compression, 2 << 30), 1, 2 << 30)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(CorruptError):
        read(content)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # kilobytes


@pytest.mark.parametrize("size", [2**16, 2**40, 2**63, 2**64 - 1])
def test_a_chunk_longer_than_the_file_is_refused(size: int) -> None:
    writer = RiegeliWriter()
    writer.chunk(b"r", b"", 1, 0, size=size)
    with pytest.raises(TruncatedError, match="chunk outside the file") as caught:
        read(writer.out)
    assert caught.value.offset == 64


@pytest.mark.parametrize("count", [1000, 2**32, 2**56 - 1])
def test_a_chunk_that_claims_more_records_than_bytes_is_refused(count: int) -> None:
    header = struct.pack("<QQQQ", 0, portable_hash(b""), ord("r") | count << 8, 0)
    with pytest.raises(TruncatedError, match="chunk outside the file"):
        read(SIGNATURE + with_hash(header))


def test_data_that_decompress_to_more_than_the_limit_are_refused() -> None:
    writer = RiegeliWriter()
    writer.records([bytes(10_000_000)], "brotli")
    assert len(writer.out) < 1000
    assert [len(record) for record in read(writer.out)] == [10_000_000]
    with pytest.raises(LimitError, match=r"some\.cpb @0x40: bytes of a chunk") as caught:
        read(writer.out, limits=Limits(max_bytes=9_999_999))
    assert (caught.value.limit, caught.value.asked) == (9_999_999, 10_000_000)
    assert read(writer.out, limits=Limits(max_bytes=10_000_000))


def test_wrong_hashes_are_checksum_errors() -> None:
    writer = RiegeliWriter()
    writer.records([b"right"])
    begin = writer.chunk(b"r", simple([b"wrong"], "none"), 1, 5, wrong_hash=True)
    with pytest.raises(ChecksumError, match="chunk data: hash mismatch: stored 0x") as caught:
        read(writer.out)
    assert caught.value.offset == begin
    assert caught.value.stored ^ caught.value.computed == 1
    # The caller decides.
    assert read(writer.out, verify_up_to=0) == [b"right", b"wrong"]
    assert read(writer.out, verify_up_to=7) == [b"right", b"wrong"]
    with pytest.raises(ChecksumError):
        read(writer.out, verify_up_to=8)


def test_a_block_header_of_another_chunk_is_refused() -> None:
    writer = RiegeliWriter()
    writer.records([bytes(BLOCK)])
    for distances in ((BLOCK - 64, 10), (0, len(writer.out) - BLOCK), (WORD, WORD)):
        content = bytearray(writer.out)
        content[BLOCK : BLOCK + 24] = with_hash(struct.pack("<QQ", *distances))
        with pytest.raises(CorruptError, match="block header: got distances") as caught:
            read(content)
        assert caught.value.offset == BLOCK


@pytest.mark.parametrize("kind", [0, 1, 0x75, 0xFF])
def test_unknown_chunks_and_compressions_are_unsupported(kind: int) -> None:
    writer = RiegeliWriter()
    writer.chunk(bytes([kind]), b"")  # without records, it is skipped
    writer.records([b"a"])
    assert read(writer.out) == [b"a"]
    writer.chunk(bytes([kind]), b"", 1)
    with pytest.raises(UnsupportedError, match=f"records in a chunk of type 0x{kind:02x}"):
        read(writer.out)
    with pytest.raises(UnsupportedError, match=r"some\.cpb @0x40: compression 0x71"):
        read(one_chunk(b"q\0", 1, 0))


def test_a_position_without_a_record_is_refused() -> None:
    writer = RiegeliWriter()
    positions = writer.records([b"a", b"b"])
    file = opened(writer.out)
    for position in (0, 63, positions[-1] + 1, len(writer.out), 2**64 - 1):
        with pytest.raises(CorruptError, match="no record at this position") as caught:
            file.record(position)
        assert caught.value.offset == position


NOT_RIEGELI = {
    "nothing": (b"", "too short to be a Riegeli/records file: got 0 bytes, want 64"),
    "63 bytes": (SIGNATURE[:63], "too short"),
    "a TFRecord": (struct.pack("<QI", 4, 0) + bytes(60), "not a Riegeli/records file: got signature 0400"),
}


@pytest.mark.parametrize(("content", "message"), NOT_RIEGELI.values(), ids=NOT_RIEGELI)
def test_other_files_are_refused(content: bytes, message: str) -> None:
    with pytest.raises(CorruptError, match=message):
        opened(content)
