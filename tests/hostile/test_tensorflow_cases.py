"""Each kind of bad input: what TensorFlow 2.21 does with it, and what this package does, in one table.

TensorFlow's answers were found by letting it read such files: first that of RestoreV2, then that of
``tf.train.load_checkpoint`` if it differs. ABORT means that the whole process ends.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest

import ckptfmt
from ckptfmt.checkpoint.slices import FULL
from ckptfmt.errors import (
    CheckpointNotFoundError,
    ChecksumError,
    CkptfmtError,
    CorruptError,
    TensorNotFoundError,
    TruncatedError,
    UnsupportedError,
)
from ckptfmt.wire.crc32c import crc32c
from tests.support.bundles import (
    GOOD,
    GOOD_DATA,
    GOOD_VALUE,
    encode_extents,
    encode_index,
    encode_strings,
)
from tests.support.memory_filesystem import PREFIX, open_bundle, open_files, open_tables
from tests.support.table_writer import (
    HEADER,
    RawBlock,
    encode_blocks,
    encode_entry,
    encode_field,
    encode_header,
    encode_shape,
    encode_table,
)
from tests.support.v1_files import TWO_FLOATS, V1_KEY, v1_data, v1_meta, v1_table

BIG = encode_header(big_endian=True)


def items(*pairs: tuple[bytes, bytes], header: bytes = HEADER) -> bytes:
    return encode_table([(b"", header), *pairs])


def flipped(content: bytes, at: int) -> bytes:
    return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]


INDEX = items((b"a", GOOD), (b"b", GOOD))
STRINGS = encode_strings([3], b"abc")
STRINGS_CRC = crc32c(b"abc", crc32c(STRINGS[1:5], crc32c((3).to_bytes(4, "little"))))


def v2(index: bytes = INDEX, *shards: bytes) -> ckptfmt.Checkpoint:
    return open_bundle(index, *(shards or (GOOD_DATA,)))


def entry(value: bytes) -> ckptfmt.Checkpoint:
    """A bundle of two tensors: "a" has this entry, and "b" is good."""
    return v2(items((b"a", value), (b"b", GOOD)))


def header(value: bytes) -> ckptfmt.Checkpoint:
    return v2(items((b"a", GOOD), (b"b", GOOD), header=value))


def strings(content: bytes = STRINGS, size: int | None = None) -> ckptfmt.Checkpoint:
    value = encode_entry(dtype=7, size=len(STRINGS) if size is None else size, crc=STRINGS_CRC)
    return v2(items((b"a", value)), content)


def read(ckpt: ckptfmt.Checkpoint) -> Any:
    return ckpt["a"].tolist()


def names(ckpt: ckptfmt.Checkpoint) -> list[str]:
    return list(ckpt)


class Case(NamedTuple):
    id: str
    tensorflow: str
    """TensorFlow's answer."""
    make: Callable[[], ckptfmt.Checkpoint]
    ours: tuple[type[CkptfmtError], str] | Any
    """Our error and part of its message, or the value."""
    ask: Callable[[ckptfmt.Checkpoint], Any] = read
    others_read: bool = False
    """Whether the names and the other tensor, "b", can still be read."""


ABORTS = "InvalidArgument; the reader ABORTs"
WRONG_SHAPE = "DataLoss 'Invalid tensor shape'; the reader ABORTs when it opens the file"

CASES = [
    # --- the index as a table
    Case(
        "bad magic",
        "DataLoss 'not an sstable (bad magic number)'",
        lambda: v2(b"text " * 20),
        (CorruptError, "not a table"),
    ),
    Case(
        "index of 47 bytes",
        "DataLoss 'file is too short to be an sstable'",
        lambda: v2(INDEX[-47:]),
        (TruncatedError, "too short to be a table: got 47 bytes, want 48"),
    ),
    Case(
        "empty index",
        "DataLoss 'file is too short to be an sstable'",
        lambda: v2(b""),
        (TruncatedError, "got 0 bytes, want 48"),
    ),
    Case(
        "bytes cut out of the middle of the index",
        "DataLoss 'block checksum mismatch'",
        lambda: v2(INDEX[:20] + INDEX[30:]),
        (CorruptError, "block|outside"),
    ),
    Case(
        "flipped bit in a data block",
        "DataLoss 'block checksum mismatch'",
        lambda: v2(flipped(INDEX, 12)),
        (ChecksumError, "block: checksum mismatch: stored 0x"),
    ),
    Case(
        "flipped bit in the index block",
        "DataLoss 'block checksum mismatch'",
        lambda: v2(flipped(INDEX, len(INDEX) - 60)),
        (ChecksumError, "block: checksum mismatch"),
    ),
    Case(
        "unknown block type",
        "DataLoss 'bad block type'",
        lambda: v2(encode_blocks([RawBlock(b"z", b"", 9)])),
        (CorruptError, "block type: got 9"),
    ),
    Case(
        "more restarts than the block holds",
        "DataLoss 'bad block contents'",
        lambda: v2(encode_index(b"", 0, 99)),
        (CorruptError, "claims 99 restart points"),
    ),
    Case(
        "block of less than 4 bytes",
        "DataLoss 'bad block contents'",
        lambda: v2(encode_blocks([RawBlock(b"z", b"\x00")])),
        (TruncatedError, "block: got 1 bytes, want 4"),
    ),
    Case(
        "restart point past the entries",
        "Internal 'failed to seek to header entry'",
        lambda: v2(encode_index(b"", 0, 99, 2)),
        (CorruptError, "restart point at 99"),
        lambda ckpt: ckpt["a"],
    ),
    Case(
        "shared length beyond the previous key",
        "end of the data: NotFound",
        lambda: v2(encode_index(b"\x09\x01\x00a", 0, 1)),
        (CorruptError, "shares 9 bytes with a key of 0"),
    ),
    Case(
        "value past the block",
        "end of the data: NotFound",
        lambda: v2(encode_index(b"\x00\x01\x7fa", 0, 1)),
        (CorruptError, "entry outside its block"),
    ),
    Case(
        "keys out of order, listed",
        "listed, though some are not found",
        lambda: v2(items((b"b", GOOD), (b"a", GOOD))),
        (CorruptError, "keys out of order"),
        names,
    ),
    Case(
        "duplicate keys, one read", "the first wins", lambda: v2(items((b"a", GOOD), (b"a", b""))), GOOD_VALUE
    ),
    Case(
        "duplicate keys, listed",
        "the first wins",
        lambda: v2(items((b"a", GOOD), (b"a", b""))),
        (CorruptError, "keys out of order: b'a' after b'a'"),
        names,
    ),
    # --- the header
    Case(
        "no header",
        "accepted if the first entry parses as a header; that entry is lost",
        lambda: v2(encode_table([(b"a", GOOD)])),
        (CorruptError, "no bundle header"),
    ),
    Case(
        "unparseable header",
        "DataLoss 'unable to parse header'",
        lambda: header(b"\x0f\xff"),
        (CorruptError, "wire type 7"),
    ),
    Case(
        "min_consumer 2",
        "InvalidArgument 'Checkpoint min consumer version 2 above current version 1'",
        lambda: header(encode_header(version=b"\x10\x02")),
        (UnsupportedError, "needs readers of version 2 or later, this is 1"),
    ),
    Case(
        "bad_consumers 1",
        "InvalidArgument 'Checkpoint disallows consumer version 1'",
        lambda: header(encode_header(version=b"\x1a\x02\x05\x01")),
        (UnsupportedError, "excludes readers of version 1"),
    ),
    Case("a larger producer", "accepted", lambda: header(encode_header(version=b"\x08\x63")), GOOD_VALUE),
    Case("no version", "accepted", lambda: header(encode_header(version=None)), GOOD_VALUE),
    Case(
        "num_shards 0",
        "NotFound '…data-00000-of-00000'; names are listed",
        lambda: header(encode_header(num_shards=0)),
        (CheckpointNotFoundError, "data-00000-of-00000"),
    ),
    Case(
        "num_shards 2 with one file",
        "NotFound '…data-00000-of-00002'; names are listed",
        lambda: header(encode_header(num_shards=2)),
        (CheckpointNotFoundError, "data-00000-of-00002"),
    ),
    Case(
        "num_shards -1",
        "NotFound '…data-00000-of--0001'; names are listed",
        lambda: header(encode_header(num_shards=-1)),
        (CheckpointNotFoundError, "data-00000-of--0001"),
    ),
    Case(
        "num_shards wrong, listed",
        "names are listed",
        lambda: header(encode_header(num_shards=-1)),
        ["a", "b"],
        names,
    ),
    Case(
        "big-endian header, little-endian numbers",
        "silently byte-swapped",
        lambda: header(BIG),
        np.frombuffer(GOOD_DATA, ">f4").reshape(2, 2).tolist(),
    ),
    Case(
        "big-endian header, little-endian strings",
        "DataLoss 'The length checksum does not match'",
        lambda: v2(
            items((b"a", encode_entry(dtype=7, size=len(STRINGS), crc=STRINGS_CRC)), header=BIG), STRINGS
        ),
        (ChecksumError, "string lengths: checksum mismatch"),
    ),
    Case(
        "big-endian variants",
        "Unimplemented",
        lambda: v2(items((b"a", encode_entry(dtype=21, size=5)), header=BIG), b"\x00abcd"),
        (UnsupportedError, "dtype variant .* in big-endian order"),
    ),
    # --- the data file
    Case(
        "data file missing",
        "NotFound 'No such file or directory'",
        lambda: open_files({f"{PREFIX}.index": INDEX}),
        (CheckpointNotFoundError, "data-00000-of-00001: no such file"),
    ),
    Case(
        "data file missing, listed",
        "names and shapes are listed",
        lambda: open_files({f"{PREFIX}.index": INDEX}),
        {"a": (2, 2), "b": (2, 2)},
        lambda ckpt: {name: e.shape for name, e in ckpt.entries.items()},
    ),
    Case(
        "data file cut short",
        "OutOfRange 'Read less bytes than requested'",
        lambda: v2(INDEX, GOOD_DATA[:15]),
        (TruncatedError, "got 15 bytes, want 16"),
    ),
    Case("data file with more bytes", "accepted", lambda: v2(INDEX, GOOD_DATA + b"more"), GOOD_VALUE),
    Case(
        "flipped bit in the data",
        "DataLoss 'Checksum does not match: stored X vs. calculated on the restored bytes Y'",
        lambda: v2(INDEX, flipped(GOOD_DATA, 3)),
        (ChecksumError, "tensor 'a': checksum mismatch: stored 0x"),
    ),
    Case(
        "checksum field 0",
        "DataLoss 'Checksum does not match'",
        lambda: entry(GOOD[:-4] + bytes(4)),
        (ChecksumError, "tensor 'a': checksum mismatch"),
        others_read=True,
    ),
    # --- entries
    Case(
        "size too small",
        "DataLoss 'Invalid size in bundle entry'",
        lambda: entry(encode_entry(shape=(2, 2), size=12)),
        (CorruptError, "got 12 bytes, want 16"),
        others_read=True,
    ),
    Case(
        "size 2**40",
        "DataLoss 'Invalid size in bundle entry'",
        lambda: entry(encode_entry(shape=(2, 2), size=2**40)),
        (CorruptError, "got 1099511627776 bytes, want 16"),
        others_read=True,
    ),
    Case(
        "negative size",
        "DataLoss 'Invalid size in bundle entry'",
        lambda: entry(encode_entry(shape=(2, 2), size=-16)),
        (CorruptError, "negative .* size -16"),
        others_read=True,
    ),
    Case(
        "negative offset",
        "InvalidArgument 'Seeking to a negative position: -4'",
        lambda: entry(encode_entry(shape=(2, 2), offset=-4, size=16)),
        (CorruptError, "negative .* offset -4"),
        others_read=True,
    ),
    Case(
        "offset beyond the file",
        "OutOfRange 'Read less bytes than requested'",
        lambda: entry(encode_entry(shape=(2, 2), offset=99, size=16)),
        (TruncatedError, "got 0 bytes, want 16"),
        others_read=True,
    ),
    Case(
        "offset 2**63 - 1",
        "InvalidArgument, from the system",
        lambda: entry(encode_entry(shape=(2, 2), offset=2**63 - 1, size=16)),
        (TruncatedError, "@0x7fffffffffffffff: tensor 'a': file too short"),
        others_read=True,
    ),
    Case(
        "shard 5 of 1",
        "NotFound '…data-00005-of-00001'",
        lambda: entry(encode_entry(shape=(2, 2), shard=5, size=16)),
        (CheckpointNotFoundError, "data-00005-of-00001"),
        others_read=True,
    ),
    Case(
        "shard -1",
        "NotFound '…data--0001-of-00001'",
        lambda: entry(encode_entry(shape=(2, 2), shard=-1, size=16)),
        (CorruptError, "negative shard -1"),
        others_read=True,
    ),
    Case(
        "dtype 0",
        ABORTS,
        lambda: entry(encode_entry(dtype=0, shape=(2, 2), size=16)),
        (UnsupportedError, "dtype invalid"),
        others_read=True,
    ),
    Case(
        "dtype 99",
        ABORTS,
        lambda: entry(encode_entry(dtype=99, shape=(2, 2), size=16)),
        (UnsupportedError, "dtype unknown_99"),
        others_read=True,
    ),
    Case(
        "dtype float_ref",
        ABORTS,
        lambda: entry(encode_entry(dtype=101, shape=(2, 2), size=16)),
        (UnsupportedError, "dtype float32_ref"),
        others_read=True,
    ),
    Case(
        "dtype resource",
        "DataLoss 'Invalid size in bundle entry'",
        lambda: entry(encode_entry(dtype=20, size=8)),
        (UnsupportedError, "dtype resource"),
        others_read=True,
    ),
    Case(
        "negative dimension",
        WRONG_SHAPE,
        lambda: entry(encode_entry(shape=(-2, 2), size=16)),
        (CorruptError, "dimension 0 of a shape: got -2, want at least 0"),
        others_read=True,
    ),
    Case(
        "shape [2**40, 2**40]",
        WRONG_SHAPE,
        lambda: entry(encode_entry(shape=(2**40, 2**40), size=16)),
        (CorruptError, "more than 2..63 - 1 elements"),
        others_read=True,
    ),
    Case(
        "rank 301",
        WRONG_SHAPE,
        lambda: entry(encode_entry(shape=(1,) * 301, size=4)),
        (CorruptError, "shape: got 301 dimensions, want at most 254"),
        others_read=True,
    ),
    Case(
        "rank 254",
        "accepted",
        lambda: entry(encode_entry(shape=(1,) * 254, size=4, crc=crc32c(bytes(4)))),
        (UnsupportedError, "NumPy has no array of shape"),
        others_read=True,
    ),
    Case(
        "shape [0, 2**62, 2**62], size 16",
        "DataLoss 'Invalid size in bundle entry'",
        lambda: entry(encode_entry(shape=(0, 2**62, 2**62), size=16)),
        (CorruptError, "got 16 bytes, want 0"),
        others_read=True,
    ),
    Case(
        "shape [2**40] with 16 bytes",
        "ResourceExhausted: it allocates before it looks at the size",
        lambda: entry(encode_entry(shape=(2**40,), size=16)),
        (CorruptError, "got 16 bytes, want 4398046511104"),
        others_read=True,
    ),
    Case(
        "unknown_rank beside dimensions",
        "the dimensions count",
        lambda: entry(
            encode_field(1, 1)
            + encode_field(2, encode_shape((2, 2)) + encode_field(3, 1))
            + GOOD[GOOD.index(b"\x28") :]
        ),
        GOOD_VALUE,
        others_read=True,
    ),
    Case(
        "unparseable entry",
        "DataLoss 'Entry for key K not parseable.'; the reader ABORTs when it opens the file",
        lambda: entry(b"\xff" * 12),
        (CorruptError, "tensor 'a': varint"),
        others_read=True,
    ),
    Case("empty entry", ABORTS, lambda: entry(b""), (UnsupportedError, "dtype invalid"), others_read=True),
    Case(
        "missing key",
        "NotFound 'Key K not found in checkpoint'",
        v2,
        (TensorNotFoundError, "no tensor named 'aa'; did you mean 'a'"),
        lambda ckpt: ckpt["aa"],
    ),
    Case(
        "key that is not UTF-8",
        "accepted; get_variable_to_shape_map raises UnicodeDecodeError",
        lambda: v2(items((b"\xff", GOOD))),
        {"\udcff": GOOD_VALUE},
        lambda ckpt: {name: array.tolist() for name, array in ckpt.items()},
    ),
    Case(
        "two tensors of the same bytes",
        "accepted",
        v2,
        [GOOD_VALUE, GOOD_VALUE],
        lambda ckpt: [array.tolist() for array in ckpt.values()],
    ),
    # --- strings
    Case(
        "string length altered",
        "DataLoss 'The length checksum does not match'",
        lambda: strings(b"\x02" + STRINGS[1:]),
        (CorruptError, "strings: got 3 bytes after their lengths, want 2"),
    ),
    Case(
        "length checksum altered",
        "DataLoss 'The length checksum does not match'",
        lambda: strings(flipped(STRINGS, 2)),
        (ChecksumError, "string lengths: checksum mismatch"),
    ),
    Case(
        "strings cut short",
        "OutOfRange 'Read less bytes than requested'",
        lambda: strings(STRINGS[:-1]),
        (TruncatedError, "got 7 bytes, want 8"),
    ),
    Case(
        "string bytes altered",
        "DataLoss 'Checksum does not match'",
        lambda: strings(flipped(STRINGS, 7)),
        (ChecksumError, "tensor 'a': checksum mismatch"),
    ),
    Case(
        "lengths past the size",
        "DataLoss 'String lengths longer than expected offset'",
        lambda: strings(size=1),
        (TruncatedError, "checksum of string lengths: got 1 bytes, want 5"),
    ),
    # --- slices
    Case(
        "slices incomplete",
        "InvalidArgument 'Does not have sufficient slices'",
        lambda: entry(GOOD + encode_field(7, encode_extents((0, 1), (0, FULL)))),
        (CorruptError, "tensor 'a': the slices leave 2 of 4 elements uncovered"),
        others_read=True,
    ),
    Case(
        "slices overlap",
        "Internal 'Overlapping slices'",
        lambda: entry(
            GOOD
            + encode_field(7, encode_extents((0, 2), (0, FULL)))
            + encode_field(7, encode_extents((1, 1), (0, FULL)))
        ),
        (CorruptError, "tensor 'a': slices .* overlap"),
        others_read=True,
    ),
    # --- V1
    Case(
        "V1: bad magic",
        "DataLoss 'perhaps your file is in a different file format'",
        lambda: open_tables(b"x" * 60),
        (CorruptError, "not a table"),
    ),
    Case(
        "V1: no metadata",
        "Internal 'Failed to find the saved tensor slices at the beginning of the checkpoint file'",
        lambda: open_tables(encode_table([(V1_KEY, v1_data(TWO_FLOATS))])),
        (CorruptError, "no metadata"),
    ),
    Case(
        "V1: metadata unparseable",
        "Internal 'Failed to find the saved tensor slices …'",
        lambda: open_tables(encode_table([(b"", b"\x0a\x7f")])),
        (CorruptError, "field 1: got 0 bytes, want 127"),
    ),
    Case(
        "V1: min_consumer 9",
        "InvalidArgument",
        lambda: open_tables(v1_table(version=b"\x10\x09")),
        (UnsupportedError, "needs readers of version 9"),
    ),
    Case(
        "V1: no version",
        "accepted",
        lambda: open_tables(v1_table(version=b"")),
        [1, 2],
        lambda ckpt: ckpt["t"].tolist(),
    ),
    Case(
        "V1: too few values",
        "InvalidArgument 'Error copying slice data'",
        lambda: open_tables(v1_table(v1_meta(shape=(3,)))),
        (CorruptError, "tensor 't': slice -: got 2 values, want 3"),
        lambda ckpt: ckpt["t"],
    ),
    Case(
        "V1: too many values",
        "InvalidArgument 'Error copying slice data'",
        lambda: open_tables(v1_table(v1_meta(shape=(1,)))),
        (CorruptError, "tensor 't': slice -: got 2 values, want 1"),
        lambda ckpt: ckpt["t"],
    ),
    Case(
        "V1: slice key missing",
        "InvalidArgument 'Error copying slice data'",
        lambda: open_tables(v1_table(key=V1_KEY + b"?")),
        (CorruptError, "tensor 't': the values of slice - are not in the file"),
        lambda ckpt: ckpt["t"],
    ),
    Case(
        "V1: wrong dtype in the metadata",
        "InvalidArgument 'Error copying slice data'",
        lambda: open_tables(v1_table(v1_meta(dtype=2))),
        (CorruptError, "got 0 values, want 2 for float64"),
        lambda ckpt: ckpt["t"],
    ),
    Case(
        "V1: dimension -5",
        "InvalidArgument 'Expected a non-negative size, got -5'",
        lambda: open_tables(v1_table(v1_meta(shape=(-5,)))),
        (CorruptError, "tensor 't': dimension 0 of a shape: got -5, want at least 0"),
        lambda ckpt: ckpt["t"],
    ),
    Case(
        "V1: dimension 2**62",
        "ResourceExhausted: it allocates first",
        lambda: open_tables(v1_table(v1_meta(shape=(2**62,)))),
        (CorruptError, "got 2 values, want 4611686018427387904"),
        lambda ckpt: ckpt["t"],
    ),
    Case(
        "V1: slice out of the shape",
        "Internal 'Extent in dimension 0 out of bounds: shape = [2], slice = 1,5'",
        lambda: open_tables(v1_table(v1_meta(slices=(encode_extents((1, 5)),)))),
        (CorruptError, "tensor 't': slice 1,5 does not fit shape .2."),
        lambda ckpt: ckpt["t"],
    ),
    Case(
        "V1: a slice missing, the other tensor",
        "read",
        lambda: open_tables(v1_table(key=V1_KEY + b"?")),
        [1, 2],
        lambda ckpt: ckpt["u"].tolist(),
    ),
]


@pytest.mark.parametrize("case", CASES, ids=[case.id for case in CASES])
def test_each_case_has_its_answer(case: Case) -> None:
    match case.ours:
        case (type() as error, str(message)):
            with pytest.raises(error, match=message):
                case.ask(case.make())
        case value:
            assert case.ask(case.make()) == value
    if case.others_read:
        ckpt = case.make()
        assert list(ckpt) == ["a", "b"]
        assert "a" in ckpt
        assert ckpt["b"].tolist() == GOOD_VALUE


@pytest.mark.parametrize("case", CASES, ids=[case.id for case in CASES])
def test_verify_finds_what_reading_finds(case: Case) -> None:
    try:
        ckpt = case.make()
    except CkptfmtError:
        return
    report = ckpt.verify()
    try:
        for name in ckpt:
            ckpt[name]
    except CkptfmtError:
        assert not report.ok


def test_the_table_has_many_cases_that_differ() -> None:
    assert len({case.id for case in CASES}) == len(CASES) >= 60
    assert all(case.tensorflow for case in CASES)
