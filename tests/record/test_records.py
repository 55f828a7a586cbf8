"""Files of records: compressed, several, damaged, and being written."""

from __future__ import annotations

import gzip
import threading
import zlib
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import ckptfmt
from ckptfmt.errors import (
    ChecksumError,
    CorruptError,
    DamageWarning,
    LimitError,
    PathNotFoundError,
    TruncatedError,
    UnsupportedError,
)
from ckptfmt.limits import Limits
from ckptfmt.record import reader, recovery
from tests.support.command_line import run
from tests.support.records import HELLO, claim, frame, read, write


def test_records_are_read_with_their_offsets(tmp_path: Path) -> None:
    path = write(tmp_path / "r", HELLO + frame(b"") + HELLO)
    records = list(ckptfmt.open_records(path))
    assert [(r.data, r.offset, r.file) for r in records] == [
        (b"hello", 0, str(path)),
        (b"", 21, str(path)),
        (b"hello", 37, str(path)),
    ]


def test_an_empty_file_has_no_records(tmp_path: Path) -> None:
    assert read(write(tmp_path / "r", b""))[0] == []


# --- compression -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("compress", [gzip.compress, zlib.compress], ids=["GZIP", "ZLIB"])
def test_compression_is_recognised_by_content(tmp_path: Path, compress: object) -> None:
    data = [bytes([i % 256]) * i for i in range(3000)]
    content = compress(b"".join(map(frame, data)))  # type: ignore[operator]
    assert read(write(tmp_path / "r", content))[0] == data
    with pytest.raises(UnsupportedError, match=r"compressed with .*: records can only be read in order"):
        ckptfmt.open_records(tmp_path / "r").scan()


def test_concatenated_gzip_files_are_one(tmp_path: Path) -> None:
    path = write(tmp_path / "r", gzip.compress(HELLO) + gzip.compress(frame(b"x") + HELLO))
    assert read(path)[0] == [b"hello", b"x", b"hello"]


def test_a_frame_that_begins_like_a_compressed_file_is_a_frame(tmp_path: Path) -> None:
    for length in (0x8B1F, 0x0178, 0x9C78):
        data = bytes(length)
        assert read(write(tmp_path / "r", frame(data)))[0] == [data]


def test_a_compressed_file_cut_short_gives_its_whole_records(tmp_path: Path) -> None:
    data = [np.random.default_rng(i).bytes(100) for i in range(50)]
    content = gzip.compress(b"".join(map(frame, data)))
    path = write(tmp_path / "r", content[:3000])
    found, records = read(path)
    assert 0 < len(found) < 50
    assert found == data[: len(found)]
    assert records.damage == []
    with pytest.raises(TruncatedError, match="GZIP data end within a record") as caught:
        list(ckptfmt.open_records(path, strict=True))
    assert caught.value.offset == 116 * len(found)


def test_a_compressed_file_that_is_damaged_says_so(tmp_path: Path) -> None:
    data = [np.random.default_rng(i).bytes(100) for i in range(50)]
    content = bytearray(gzip.compress(b"".join(map(frame, data)), mtime=0))
    content[-6] ^= 0xFF  # of the checksum of it all
    path = write(tmp_path / "r", bytes(content))
    found, records = read(path)
    assert found == data
    assert "do not decompress" in str(records.damage[0])
    with pytest.raises(CorruptError, match="GZIP data do not decompress"):
        list(ckptfmt.open_records(path, strict=True))


@pytest.mark.parametrize("compress", [gzip.compress, zlib.compress], ids=["GZIP", "ZLIB"])
def test_bombs_are_bounded(tmp_path: Path, compress: object) -> None:
    bomb = HELLO + claim(1 << 40) + bytes(30 << 20)
    path = write(tmp_path / "r", compress(bomb))  # type: ignore[operator]
    with pytest.raises(LimitError) as caught:
        list(ckptfmt.open_records(path, limits=Limits(max_record=1 << 20)))
    assert (caught.value.limit, caught.value.asked) == (1 << 20, (1 << 40) + 16)
    bomb = HELLO + bytes(30 << 20)
    path = write(tmp_path / "r", compress(bomb))  # type: ignore[operator]
    for _ in range(2):
        records = ckptfmt.open_records(path, limits=Limits(max_record=1 << 20))
        with pytest.raises(LimitError, match="bytes without a record"):
            list(records)


def test_the_limit_of_a_record_fits_into_memory(tmp_path: Path) -> None:
    # Incompressible data, so that the file is large enough for a record of that length.
    content = claim(300 << 20) + np.random.default_rng(0).bytes(400_000)
    path = write(tmp_path / "r", gzip.compress(content))
    with pytest.raises(
        LimitError,
        match=r"bytes of a record in a compressed file: \d+ exceeds the limit of \d+ \(Limits.max_record\)",
    ) as caught:
        list(ckptfmt.open_records(path))
    assert caught.value.limit == 256 << 20
    data = bytes(20 << 20)
    assert read(write(tmp_path / "r", gzip.compress(frame(data), 1)), limits=Limits(max_record=21 << 20))[
        0
    ] == [data]


@pytest.mark.parametrize("backend", ["mmap", "pread"])
def test_large_records_are_read_as_small_ones(tmp_path: Path, backend: str) -> None:
    data = [bytes([i]) * (reader.LARGE * (1 + i % 3) + i) for i in range(100)]
    data += [b"small"] * 300 + [bytes(reader.WINDOW + 5)] + data[:50]
    content = bytearray(b"".join(map(frame, data)))
    path = write(tmp_path / "r", bytes(content))
    assert read(path, backend=backend)[0] == data
    content[200_000] ^= 1
    found, records = read(write(path, bytes(content)), backend=backend)
    assert (len(found), len(records.damage)) == (len(data) - 1, 1)


# --- several files -----------------------------------------------------------------------------------------


def test_files_of_a_pattern_are_read_in_natural_order(tmp_path: Path) -> None:
    for number in (10, 9, 1):
        write(tmp_path / f"train-{number}.tfrecord", frame(b"%d" % number))
    (tmp_path / "train-dir").mkdir()
    records = ckptfmt.open_records(tmp_path / "train-*")
    assert [record.data for record in records] == [b"1", b"9", b"10"]
    index = records.scan()
    assert [record.data for record in index] == [b"1", b"9", b"10"]
    assert index.file_numbers.tolist() == [0, 1, 2]
    both = ckptfmt.open_records([tmp_path / "train-9.tfrecord", tmp_path / "train-1.tfrecord"])
    assert [record.data for record in both] == [b"9", b"1"]


def test_missing_files_are_errors(tmp_path: Path) -> None:
    with pytest.raises(PathNotFoundError):
        ckptfmt.open_records(tmp_path / "nothing")
    with pytest.raises(PathNotFoundError, match="no file matches this pattern"):
        ckptfmt.open_records(tmp_path / "*.tfrecord")
    with pytest.raises(PathNotFoundError, match="no file of records in this directory"):
        ckptfmt.open_records(tmp_path)
    with pytest.raises(UnsupportedError, match="a text file, not a TFRecord file: it begins 'This is"):
        list(ckptfmt.open_records(write(tmp_path / "text", b"This is a text, and of some length.")))


# --- damage ------------------------------------------------------------------------------------------------

DATA = [b"first", b"", b"third and longer", bytes(range(40)), b"last"]
CONTENT = b"".join(map(frame, DATA))
BORDERS = np.cumsum([0, *map(len, map(frame, DATA))]).tolist()


@pytest.mark.parametrize("bits", [0xFF, 0x10, 0x01])
def test_a_flipped_byte_loses_the_record_it_is_in_and_no_other(tmp_path: Path, bits: int) -> None:
    for at in range(len(CONTENT)):
        damaged = bytearray(CONTENT)
        damaged[at] ^= bits
        path = write(tmp_path / "r", bytes(damaged))
        found, records = read(path)
        lost = next(i for i in range(len(DATA)) if at < BORDERS[i + 1])
        assert found == [*DATA[:lost], *DATA[lost + 1 :]], at
        (damage,) = records.damage
        assert (damage.file, damage.offset) == (str(path), BORDERS[lost])
        assert damage.skipped == BORDERS[lost + 1] - BORDERS[lost]
        assert isinstance(damage.error, ChecksumError)
        with pytest.raises(ChecksumError) as caught:
            list(ckptfmt.open_records(path, strict=True))
        assert caught.value.offset == BORDERS[lost]


def test_damage_is_reported_by_a_warning(tmp_path: Path) -> None:
    damaged = bytearray(CONTENT)
    damaged[BORDERS[2] + 14] ^= 1
    records = ckptfmt.open_records(write(tmp_path / "r", bytes(damaged)))
    message = r"r @0x25: record: checksum mismatch: stored .*: 32 bytes skipped"
    with pytest.warns(DamageWarning, match=message):
        assert len(list(records)) == 4


def test_without_verifying_damaged_data_go_through(tmp_path: Path) -> None:
    damaged = bytearray(CONTENT)
    damaged[BORDERS[2] + 14] ^= 1
    found, records = read(write(tmp_path / "r", bytes(damaged)), verify=False)
    assert (len(found), records.damage) == (5, [])


def test_every_truncation_gives_the_records_that_are_whole(tmp_path: Path) -> None:
    for size in range(len(CONTENT)):
        path = write(tmp_path / "r", CONTENT[:size])
        whole = sum(border <= size for border in BORDERS[1:])
        found, records = read(path)
        assert (found, records.damage) == (DATA[:whole], [])
        if size not in BORDERS:
            with pytest.raises(TruncatedError):
                list(ckptfmt.open_records(path, strict=True))


def test_a_length_of_2_to_the_62_is_not_believed(tmp_path: Path) -> None:
    for length in (1 << 62, (1 << 64) - 1, 1 << 32):
        path = write(tmp_path / "r", HELLO + claim(length) + bytes(100))
        assert read(path)[0] == [b"hello"]
        with pytest.raises(TruncatedError) as caught:
            list(ckptfmt.open_records(path, strict=True))
        assert caught.value.wanted == length + 16


def test_a_long_stretch_of_damage_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (reader, recovery):
        monkeypatch.setattr(module, "WINDOW", 64)
    for size in range(1, 300, 7):
        path = write(tmp_path / "r", HELLO + b"\xee" * size + HELLO + b"\xee" * 20)
        found, records = read(path)
        assert found == [b"hello", b"hello"]
        assert [(d.offset, d.skipped) for d in records.damage] == [(21, size), (42 + size, 20)]


@given(st.binary(max_size=300))
def test_any_bytes_are_records_or_an_error(content: bytes) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        try:
            found, _ = read(write(Path(folder, "r"), content))
        except (CorruptError, UnsupportedError):
            return
        assert len(content) < 12 or found or content[:2] == b"\x1f\x8b" or content[0] & 0xF == 8


# --- files that are being written --------------------------------------------------------------------------


def test_a_growing_file_is_followed(tmp_path: Path) -> None:
    path = write(tmp_path / "r", b"")
    content = b"".join(map(frame, DATA * 3))

    def grow() -> None:
        with path.open("ab", buffering=0) as file:
            for at in range(0, len(content), 11):
                file.write(content[at : at + 11])

    writer = threading.Thread(target=grow)
    writer.start()
    followed = ckptfmt.open_records(path).follow(poll=0.001, timeout=30)
    assert [next(followed).data for _ in range(len(DATA) * 3)] == DATA * 3
    writer.join()
    followed.close()  # type: ignore[attr-defined]
    assert [r.data for r in ckptfmt.open_records(path).follow(poll=0, timeout=0)] == DATA * 3
    assert len(list(ckptfmt.open_records(path).follow(poll=0, stop=lambda: True))) == 15


def test_a_compressed_file_is_followed(tmp_path: Path) -> None:
    with ckptfmt.RecordWriter(tmp_path / "r", compression="GZIP") as writer:
        writer.write(b"one")
        writer.flush()
        followed = ckptfmt.open_records(tmp_path / "r").follow(poll=0.001, timeout=30)
        assert next(followed).data == b"one"
        writer.write(b"two")
        writer.flush()
        assert next(followed).data == b"two"
        followed.close()  # type: ignore[attr-defined]


@pytest.mark.tensorflow
@pytest.mark.parametrize("compression", [None, "GZIP", "ZLIB"])
def test_tensorflow_reads_and_writes_the_same(
    tmp_path: Path, tensorflow: ModuleType, compression: object
) -> None:
    options = tensorflow.io.TFRecordOptions(compression_type=compression or "")
    data = [*DATA, bytes(70_000)]
    with tensorflow.io.TFRecordWriter(str(tmp_path / "tf"), options) as theirs:
        for each in data:
            theirs.write(each)
    assert read(tmp_path / "tf", strict=True)[0] == data
    with ckptfmt.RecordWriter(tmp_path / "own", compression=compression) as own:  # type: ignore[arg-type]
        for each in data:
            own.write(each)
    if compression is None:
        assert (tmp_path / "own").read_bytes() == (tmp_path / "tf").read_bytes()
    dataset = tensorflow.data.TFRecordDataset(str(tmp_path / "own"), compression_type=compression or "")
    assert [each.numpy() for each in dataset] == data


@pytest.mark.parametrize(
    "data", [b"a\tb\n1\t2\n", b"cats", b"\xff\xd8\xff\xe0\0\x10JFIF", b"1234567890a"], ids=repr
)
def test_a_short_file_of_another_kind_is_not_an_empty_one(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a"
    for stored in (data, gzip.compress(data)):
        path.write_bytes(stored)
        with pytest.raises((CorruptError, UnsupportedError), match=r"not a (TFRecord )?file"):
            list(ckptfmt.open_records(path))
        assert run("records", path).exit_code == 3
        assert run("events", path).exit_code == 3


@pytest.mark.parametrize("size", range(12))
def test_the_beginning_of_a_header_is_an_incomplete_record(size: int, tmp_path: Path) -> None:
    path = tmp_path / "a"
    for length in (1, 24, 1 << 28):
        path.write_bytes(length.to_bytes(8, "little")[:size] + b"\xff" * (size - 8))
        assert list(ckptfmt.open_records(path)) == []
