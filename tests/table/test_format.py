"""Footer and blocks: an index that TensorFlow 2.21 wrote, byte for byte, and what is refused."""

from __future__ import annotations

import cramjam
import pytest

from ckptfmt.errors import ChecksumError, CorruptError, TruncatedError
from ckptfmt.table import Table
from ckptfmt.table.format import BlockHandle, Footer, decode_handle, read_block, read_footer
from ckptfmt.wire.crc32c import crc32c, mask
from tests.support.memory_filesystem import MemoryFile, open_bundle
from tests.support.table_writer import (
    RawBlock,
    append_block,
    encode_block,
    encode_blocks,
    encode_footer,
    encode_handle,
    encode_table,
)

# Seven tensors that TensorFlow 2.21 saved in this order: a = [[1, 2], [3, 4]] float32, b/c = [1, 2, 3] int8,
# empty = zeros([0, 3]) float32, scalar = 7 int64, s = "hello", estr = strings of shape [0], z5 = 5.0 float64.
DATA_BLOCK = bytes.fromhex(
    "000006 08011a020801"
    "000113 61 0801120812020802120208022810354c289874"
    "000311 622f63 0806120412020803201028033539cdc086"
    "000511 656d707479 08011206120012020803201335d8ea82a2"
    "01030f 737472 0807120212002025280435f6c10c64"
    "00010d 73 08071200201b280a35ece0c029"
    "01050d 63616c6172 080912002013280835bbd79f11"
    "00020d 7a35 08021200202928083510635a21"
    "00000000 01000000"
)
METAINDEX_BLOCK = bytes.fromhex("00000000 01000000")
INDEX_BLOCK = bytes.fromhex("000103 7b 00a501 00000000 01000000")
INDEX = (
    DATA_BLOCK
    + bytes.fromhex("00 49fdd5ce")
    + METAINDEX_BLOCK
    + bytes.fromhex("00 c0f2a1b0")
    + INDEX_BLOCK
    + bytes.fromhex("00 71c413d8")
    + bytes.fromhex("aa0108 b7010f")
    + bytes(34)
    + bytes.fromhex("57fb808b247547db")
)
DATA = bytes.fromhex(
    "0000803f000000400000404000008040 010203 070000000000000005d9c69c4368656c6c6f d8ea82a2 0000000000001440"
)


def test_the_index_is_the_one_that_tensorflow_wrote() -> None:
    assert len(INDEX) == 251
    assert len(DATA) == 49
    file = MemoryFile("index", INDEX)
    assert read_footer(file) == Footer(metaindex=BlockHandle(170, 8), index=BlockHandle(183, 15))
    assert bytes(read_block(file, BlockHandle(0, 165))) == DATA_BLOCK
    assert bytes(read_block(file, BlockHandle(170, 8))) == METAINDEX_BLOCK
    assert bytes(read_block(file, BlockHandle(183, 15))) == INDEX_BLOCK
    keys = [key for key, _ in Table(file).items()]
    assert keys == [b"", b"a", b"b/c", b"empty", b"estr", b"s", b"scalar", b"z5"]
    assert Table(file).handles == [BlockHandle(0, 165)]
    assert bytes(Table(file).get(b"z5") or b"") == bytes.fromhex("08021200202928083510635a21")
    assert Table(file).get(b"z") is None
    assert Table(file).get(b"{") is None


def test_its_tensors_read_as_they_were_saved() -> None:
    ckpt = open_bundle(INDEX, DATA)
    assert {name: (ckpt.entries[name].dtype.name, ckpt[name].tolist()) for name in ckpt} == {
        "a": ("float32", [[1, 2], [3, 4]]),
        "b/c": ("int8", [1, 2, 3]),
        "empty": ("float32", []),
        "estr": ("string", []),
        "s": ("string", b"hello"),
        "scalar": ("int64", 7),
        "z5": ("float64", 5.0),
    }
    assert ckpt["empty"].shape == (0, 3)
    assert ckpt.entries["a"].offset == 0
    assert ckpt.entries["z5"].offset == 41
    report = ckpt.verify()
    assert report.problems == []
    assert (report.tensors, report.tensors_checked, report.bytes_checked) == (7, 7, 165 + 49)


def test_the_writer_of_these_tests_writes_the_same_bytes() -> None:
    items = [(key, bytes(value)) for key, value in Table(MemoryFile("index", INDEX)).items()]
    assert encode_table(items) == INDEX


def test_a_handle_is_two_varints() -> None:
    assert decode_handle(bytes.fromhex("aa0108b7010f"), 0) == (BlockHandle(170, 8), 3)
    assert decode_handle(bytes.fromhex("aa0108b7010f"), 3) == (BlockHandle(183, 15), 6)


@pytest.mark.parametrize("size", [0, 1, 47])
def test_a_file_shorter_than_a_footer_is_not_a_table(size: int) -> None:
    with pytest.raises(TruncatedError, match="too short to be a table") as caught:
        read_footer(MemoryFile("short", bytes(size)))
    error = caught.value
    assert (error.file, error.wanted, error.available) == ("short", 48, size)


def test_a_file_without_the_magic_is_not_a_table() -> None:
    with pytest.raises(CorruptError, match=r"not a table: got magic 0{16}, want 57fb808b247547db") as caught:
        read_footer(MemoryFile("zeros", bytes(100)))
    assert (caught.value.file, caught.value.offset) == ("zeros", 92)


def test_a_footer_of_endless_varints_is_refused() -> None:
    footer = b"\xff" * 40 + bytes.fromhex("57fb808b247547db")
    with pytest.raises(CorruptError, match="longer than 10 bytes") as caught:
        read_footer(MemoryFile("f", bytes(10) + footer))
    assert (caught.value.file, caught.value.offset) == ("f", 10)


HANDLES = {
    "just after the file": (BlockHandle(247, 0), 4),
    "into the end": (BlockHandle(0, 247), 251),
    "offset 2**63": (BlockHandle(2**63, 10), 0),
    "offset and size 2**64 - 1": (BlockHandle(2**64 - 1, 2**64 - 1), 0),
}


@pytest.mark.parametrize(("handle", "available"), HANDLES.values(), ids=HANDLES)
def test_blocks_outside_the_file_are_refused(handle: BlockHandle, available: int) -> None:
    with pytest.raises(TruncatedError, match="block outside the file") as caught:
        read_block(MemoryFile("index", INDEX), handle)
    error = caught.value
    assert (error.file, error.offset) == ("index", handle.offset)
    assert (error.wanted, error.available) == (handle.size + 5, available)


def test_a_checksum_covers_the_block_and_its_type() -> None:
    for at in (0, 164, 165):
        damaged = bytearray(INDEX)
        damaged[at] ^= 1
        with pytest.raises(ChecksumError, match=r"block: checksum mismatch: stored 0x[0-9a-f]{8}") as caught:
            read_block(MemoryFile("index", bytes(damaged)), BlockHandle(0, 165))
        error = caught.value
        assert (error.file, error.offset) == ("index", 0)
        assert mask(error.stored) == int.from_bytes(bytes.fromhex("49fdd5ce"), "little")
        assert error.computed == crc32c(bytes(damaged[:166]))


def one_block(stored: bytes, block_type: int) -> bytes:
    return encode_blocks([RawBlock(b"z", stored, block_type)])


@pytest.mark.parametrize("block_type", [2, 3, 7, 255])
def test_other_block_types_are_refused(block_type: int) -> None:
    file = MemoryFile("t", one_block(encode_block([]), block_type))
    with pytest.raises(CorruptError, match=rf"block type: got {block_type}, want one of \[0, 1\]") as caught:
        list(Table(file).items())
    assert (caught.value.file, caught.value.offset) == ("t", 8)


def test_snappy_blocks_decompress() -> None:
    items = [(b"%04d" % i, b"the same value all over again") for i in range(1000)]
    stored = bytes(cramjam.snappy.compress_raw(encode_block(items)))
    assert len(stored) < len(encode_block(items)) // 4
    table = Table(MemoryFile("t", one_block(stored, 1)))
    assert list(table.items()) == items
    assert table.get(b"0500") == items[500][1]


def test_a_snappy_block_by_hand() -> None:
    # Format description of snappy: length 23 as a varint; a literal of 9 bytes; a copy of 14 from 9 back.
    contents = encode_block([(b"ab", b"x" * 30)])
    assert contents.count(b"x") == 30
    literal = contents[:6]
    copied = bytes([(29 - 1) << 2 | 2]) + (1).to_bytes(2, "little")  # 29 bytes from 1 back
    tail = contents[35:]
    stored = (
        bytes([len(contents), (len(literal) - 1) << 2])
        + literal
        + copied
        + bytes([(len(tail) - 1) << 2])
        + tail
    )
    assert list(Table(MemoryFile("t", one_block(stored, 1))).items()) == [(b"ab", b"x" * 30)]


BAD_SNAPPY = {
    "no bytes at all": (b"", "varint"),
    "length only": (b"\x05", "does not decompress"),
    "length bomb of 2**40": (b"\x80\x80\x80\x80\x80\x40" + b"\x00x", "claims to hold"),
    "length bomb of 2**63": (b"\x80" * 9 + b"\x01" + b"\x00x", "claims to hold 9223372036854775808"),
    "length varint of 11 bytes": (b"\x80" * 11 + b"\x01", "varint longer than 10 bytes"),
    "shorter than it says": (b"\x08\x00x", "does not decompress"),
    "longer than it says": (b"\x01\x04xy", "does not decompress"),
    "copy from before the start": (b"\x0c\x00x" + b"\x2a\x09\x00", "does not decompress"),
    "copy from 0 back": (b"\x0c\x00x" + b"\x2a\x00\x00", "does not decompress"),
    "literal past the end": (b"\x14\x50x", "does not decompress"),
    "framed stream instead of raw": (b"\xff\x06\x00\x00sNaPpY", "snappy block"),
}


@pytest.mark.parametrize(("stored", "message"), BAD_SNAPPY.values(), ids=BAD_SNAPPY)
def test_bad_snappy_is_refused(stored: bytes, message: str) -> None:
    with pytest.raises(CorruptError, match=message) as caught:
        list(Table(MemoryFile("t", one_block(stored, 1))).items())
    assert caught.value.file == "t"


def test_bytes_between_blocks_are_not_read() -> None:
    file = bytearray(b"junk before")
    data = append_block(file, encode_block([(b"a", b"1")]))
    file += b"junk between"
    metaindex = append_block(file, encode_block([]))
    index = append_block(file, encode_block([(b"b", data + b"junk after the handle")], 1))
    file += b"junk before the footer" + encode_footer(metaindex, index)
    assert list(Table(MemoryFile("t", bytes(file))).items()) == [(b"a", b"1")]


def test_the_footer_pads_with_anything() -> None:
    damaged = bytearray(INDEX)
    damaged[-20] = 0xFF
    assert len(list(Table(MemoryFile("t", bytes(damaged))).items())) == 8


def test_handles_need_not_be_the_shortest() -> None:
    assert decode_handle(b"\x80\x80\x00" + encode_handle(3, 4), 0)[0] == BlockHandle(0, 3)
