"""Damage in files of records: where reading resumes after it, what is reported, and how long that takes."""

from __future__ import annotations

import gzip
import subprocess
import sys
import time
import warnings
import zlib
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

import ckptfmt
from ckptfmt.errors import ChecksumError, CorruptError, DamageWarning, TruncatedError
from ckptfmt.record import damage as damage_log
from ckptfmt.record import recovery
from ckptfmt.record.input import Source
from ckptfmt.record.reader import RecordReader
from ckptfmt.storage.local import LocalFilesystem
from ckptfmt.storage.local_file import DescriptorFile
from tests.support.records import claim, frame, read, write

DATA = [b"record %d" % number * (1 + number % 3) for number in range(50)]
FRAMES = [frame(data) for data in DATA]
CONTENT = b"".join(FRAMES)

PLAIN_OR_NOT = pytest.mark.parametrize(
    "compress", [bytes, gzip.compress, zlib.compress], ids=["plain", "GZIP", "ZLIB"]
)


def places(records: ckptfmt.Records) -> list[tuple[int, int]]:
    return [(damage.offset, damage.skipped) for damage in records.damage]


def reader_of(path: Path, **options: bool) -> RecordReader:
    return RecordReader(Source(str(path), LocalFilesystem("pread")), **options)


def rest_of(reader: RecordReader) -> list[bytes]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DamageWarning)
        return [record.data for record in reader.records()]


@PLAIN_OR_NOT
@pytest.mark.parametrize("begun", [b"", b"x", b"begun to be written"])
def test_a_record_that_was_never_finished_costs_no_other(
    tmp_path: Path, compress: object, begun: bytes
) -> None:
    left = len(begun) + len(CONTENT)
    # Beyond the end, up to the end, and anywhere within.
    for length in (1 << 62, 1 << 30, left, left - 4, left - len(FRAMES[-1]), 700, 100):
        if length < len(begun):
            continue
        content = CONTENT + claim(length) + begun + CONTENT
        path = write(tmp_path / "r", compress(content))  # type: ignore[operator]
        found, records = read(path)
        assert found == DATA * 2, length
        assert places(records) == [(len(CONTENT), 12 + len(begun))], length
        assert records.damage[0].error.offset == len(CONTENT)  # type: ignore[attr-defined]
        strict = iter(ckptfmt.open_records(path, strict=True))
        assert [next(strict).data for _ in DATA] == DATA
        with pytest.raises((TruncatedError, ChecksumError)):
            next(strict)


def test_many_unfinished_records_are_passed_over(tmp_path: Path) -> None:
    content = b"".join(each + claim(5000 * (1 + number % 7)) for number, each in enumerate(FRAMES))
    found, records = read(write(tmp_path / "r", content))
    assert found == DATA
    assert [skipped for _, skipped in places(records)] == [12] * 49


def test_records_in_a_damaged_record_are_not_those_of_the_file(tmp_path: Path) -> None:
    outer = bytearray(frame(b"before" + CONTENT))
    outer[14] ^= 1
    for following in (frame(b"following"), b""):
        found, records = read(write(tmp_path / "r", FRAMES[0] + bytes(outer) + following))
        assert found == [DATA[0], *([b"following"] if following else [])]
        assert places(records) == [(len(FRAMES[0]), len(outer))]


def test_reading_does_not_resume_at_an_impossible_length(tmp_path: Path) -> None:
    damaged = b"\xee" * 20 + claim(1 << 62) + b"\xee" * 20
    found, records = read(write(tmp_path / "r", FRAMES[0] + damaged + CONTENT))
    assert found == [DATA[0], *DATA]
    assert places(records) == [(len(FRAMES[0]), len(damaged))]


def test_an_error_is_raised_again(tmp_path: Path) -> None:
    spoiled = bytearray(CONTENT)
    spoiled[len(CONTENT) // 2] ^= 1
    for content in (bytes(spoiled), CONTENT + b"\xee" * 12 + CONTENT, CONTENT + claim(9999) + CONTENT):
        reader = reader_of(write(tmp_path / "r", content), strict=True)
        texts = set()
        for _ in range(3):
            with pytest.raises(CorruptError) as caught:
                list(reader.records())
            texts.add(str(caught.value))
        assert len(texts) == 1
    reader = reader_of(write(tmp_path / "text", b"This is a text, and of some length."))
    for _ in range(3):
        with pytest.raises(CorruptError, match="not a file of records"):
            list(reader.records())


def test_a_batch_that_was_not_used_is_read_again(tmp_path: Path) -> None:
    spoiled = bytearray(CONTENT)
    spoiled[len(FRAMES[0]) + 13] ^= 1
    reader = reader_of(write(tmp_path / "r", bytes(spoiled)))

    def interrupted() -> None:
        for batch in reader.batches():
            with pytest.warns(DamageWarning):
                reader.report_record(batch, 1)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert rest_of(reader) == [DATA[0], *DATA[2:]]
    assert (reader.count, len(reader.damage)) == (49, 1)


# --- in a file that grows ----------------------------------------------------------------------------------


@PLAIN_OR_NOT
def test_damage_in_a_file_that_grows_is_that_of_the_whole_file(tmp_path: Path, compress: object) -> None:
    damaged = bytearray(b"".join(FRAMES[:8]))
    damaged[sum(map(len, FRAMES[:3])) + 2] ^= 0x55
    content = compress(bytes(damaged))  # type: ignore[operator]
    path = write(tmp_path / "whole", content)
    wanted, records = read(path)
    assert wanted == [*DATA[:3], *DATA[4:8]]
    for cut in range(len(content)):
        path = write(tmp_path / "r", content[:cut])
        reader = reader_of(path)
        found = rest_of(reader) if cut < 12 or compress is not bytes else read_part(reader)
        path.write_bytes(content)
        reader.source.refresh()
        found += rest_of(reader)
        assert found == wanted, cut
        assert [(d.offset, d.skipped) for d in reader.damage] == places(records), cut
        assert reader.tail == 0


def read_part(reader: RecordReader) -> list[bytes]:
    """Read the records, and check that they and the damage account for every byte."""
    found = rest_of(reader)
    assert reader.source.size is not None
    skipped = sum(damage.skipped for damage in reader.damage)
    assert sum(len(frame(each)) for each in found) + skipped + reader.tail == reader.source.size
    return found


def test_a_record_being_written_after_damage_is_a_tail(tmp_path: Path) -> None:
    begun = frame(b"x" * 1000)[:100]
    path = write(tmp_path / "r", CONTENT + b"\xee" * 42 + begun)
    reader = reader_of(path)
    assert rest_of(reader) == DATA
    assert ([(d.offset, d.skipped) for d in reader.damage], reader.tail) == ([(len(CONTENT), 42)], 100)


def test_a_record_being_written_after_an_unfinished_one_is_found(tmp_path: Path) -> None:
    content = CONTENT + claim(5000) + b"begun" + frame(b"x" * 1000)
    path = write(tmp_path / "r", content[:-600])
    reader = reader_of(path)
    assert (rest_of(reader), reader.damage) == (DATA, [])
    path.write_bytes(content)
    reader.source.refresh()
    assert rest_of(reader) == [b"x" * 1000]
    assert [(d.offset, d.skipped) for d in reader.damage] == [(len(CONTENT), 17)]


def test_only_a_whole_frame_shows_that_a_length_is_wrong(tmp_path: Path) -> None:
    tail = claim(5000) + claim(4) + b"dataXXXX" + frame(b"x")[:-1]
    reader = reader_of(write(tmp_path / "r", CONTENT + tail))
    assert (rest_of(reader), reader.damage, reader.tail) == (DATA, [], len(tail))


def test_a_half_written_end_is_not_an_error_when_following(tmp_path: Path) -> None:
    for compress in (bytes, gzip.compress):
        path = write(tmp_path / "r", compress(CONTENT + FRAMES[0])[:-5])
        found = [r.data for r in ckptfmt.open_records(path, strict=True).follow(poll=0, timeout=0)]
        assert found == [*DATA, DATA[0]][: len(found)]
        assert len(found) >= len(DATA)
    path = write(tmp_path / "r", CONTENT + b"\xee" * 12 + CONTENT + FRAMES[0][:20])
    with pytest.raises(ChecksumError):
        list(ckptfmt.open_records(path, strict=True).follow(poll=0, timeout=0))


# --- compressed files --------------------------------------------------------------------------------------


@pytest.mark.parametrize("compress", [gzip.compress, zlib.compress], ids=["GZIP", "ZLIB"])
def test_a_compressed_file_that_is_cut_says_so(tmp_path: Path, compress: object) -> None:
    data = [np.random.default_rng(i).bytes(100) for i in range(50)]
    content = compress(b"".join(map(frame, data)))  # type: ignore[operator]
    for cut in (*range(20, len(content), 97), *range(len(content) - 9, len(content))):
        path = write(tmp_path / "r", content[:cut])
        reader = reader_of(path)
        found = rest_of(reader)
        assert found == data[: len(found)]
        assert reader.damage == []
        assert 1 <= reader.tail < 116
        strict = ckptfmt.open_records(path, strict=True)
        with pytest.raises(TruncatedError, match=r"(GZIP|ZLIB) data"):
            list(strict)
    reader = reader_of(write(tmp_path / "r", content))
    assert (rest_of(reader), reader.tail) == (data, 0)


def test_all_offsets_in_a_compressed_file_count_decompressed_bytes(tmp_path: Path) -> None:
    data = [np.random.default_rng(i).bytes(100) for i in range(50)]
    content = gzip.compress(b"".join(map(frame, data)), mtime=0)
    damaged = content[:-8] + b"\0\0\0\0" + content[-4:]
    _, records = read(write(tmp_path / "r", damaged))
    (damage,) = records.damage
    assert (damage.offset, damage.skipped, damage.error.offset) == (5800, 0, 5800)  # type: ignore[attr-defined]
    assert f"@0x{5800:x}: GZIP data do not decompress at byte " in str(damage)
    # zlib notices once it has read the checksum.
    place = int(str(damage).split("at byte ")[1].split()[0])
    assert len(content) - 8 <= place <= len(content) - 4


def test_a_first_length_that_looks_like_zlib_costs_its_record(tmp_path: Path) -> None:
    data = [bytes(24), *DATA]
    content = bytearray(b"".join(map(frame, data)))
    content[1] = 0x19  # 0x1819 is a multiple of 31
    found, records = read(write(tmp_path / "r", bytes(content)))
    assert found == DATA
    assert places(records) == [(0, 40)]


@PLAIN_OR_NOT
def test_a_compressed_file_whose_first_record_is_damaged_is_one(tmp_path: Path, compress: object) -> None:
    content = bytearray(CONTENT)
    content[9] ^= 1
    found, _ = read(write(tmp_path / "r", compress(bytes(content))))  # type: ignore[operator]
    assert found == DATA[1:]


# --- how much is reported, and how long it takes -----------------------------------------------------------


def test_each_file_has_its_own_damage(tmp_path: Path) -> None:
    damaged = write(tmp_path / "1", b"\xee" * 20 + CONTENT)
    garbage = write(tmp_path / "2", b"garbage " * 10)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DamageWarning)
        with pytest.raises(CorruptError, match="2 @0x0: not a file of records"):
            list(ckptfmt.open_records([damaged, garbage]))
        records = ckptfmt.open_records([damaged, damaged])
        first, second = iter(records), iter(records)
        next(first), next(second)
        list(first)
        assert [damage.offset for damage in records.damage] == [0]
        list(second)
    assert len(records.damage) == 2


def test_warnings_of_one_file_are_few_and_counted(tmp_path: Path) -> None:
    path = write(tmp_path / "r", b"".join(each + b"\xee" * 12 for each in FRAMES))
    records = ckptfmt.open_records(path)
    with pytest.warns(DamageWarning) as caught:
        assert len(list(records)) == 50
    assert len(records.damage) == 50
    assert len(caught) == damage_log.MAX_WARNINGS + 1
    assert str(caught[-1].message) == f"{path}: 40 further stretches were skipped"


def test_endless_damage_is_noted_up_to_a_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(damage_log, "MAX_DAMAGE", 5)
    found, records = read(write(tmp_path / "r", b"".join(each + b"\xee" * 12 for each in FRAMES)))
    assert found == DATA
    assert len(records.damage) == 5
    assert sum(damage.skipped for damage in records.damage) == 50 * 12
    assert "the first of 46 damaged stretches" in str(records.damage[-1])
    assert [damage.stretches for damage in records.damage] == [1, 1, 1, 1, 46]


@pytest.mark.parametrize(
    "pair",
    [
        frame(b"") + bytes(16),
        frame(b"") + b"\xee" * 12,
        frame(b"") + claim(1 << 40),
        frame(b"") + claim(1 << 20),
        frame(b"") + claim(3000),
        claim(1 << 19),
    ],
    ids=["zeros", "lengths", "beyond", "far", "near", "none"],
)
@pytest.mark.parametrize("compress", [bytes, gzip.compress], ids=["plain", "GZIP"])
def test_damage_everywhere_takes_linear_time(tmp_path: Path, pair: bytes, compress: object) -> None:
    path = write(tmp_path / "r", compress(pair * (200_000 // len(pair))))  # type: ignore[operator]
    started = time.perf_counter()
    read(path)
    # It takes 15 s if each damage has the rest of the file searched to its end.
    assert time.perf_counter() - started < 7


class Counted(DescriptorFile):
    """A file that counts the bytes that are read from it."""

    asked = 0

    def read(self, offset: int, size: int) -> memoryview:
        Counted.asked += size
        return super().read(offset, size)


class Interrupted(DescriptorFile):
    """A file that raises KeyboardInterrupt once, in its second half."""

    left = 0

    def read(self, offset: int, size: int) -> memoryview:
        if offset + size > self.size // 2 and Interrupted.left:
            Interrupted.left -= 1
            raise KeyboardInterrupt
        return super().read(offset, size)


class Opening(LocalFilesystem):
    """The file system of this machine, with another class of files."""

    def __init__(self, file: type[DescriptorFile]) -> None:
        super().__init__()
        object.__setattr__(self, "_file", file)

    def open(self, path: str, *, changing: bool = False) -> DescriptorFile:
        return self._file(path)  # type: ignore[attr-defined, no-any-return]


@PLAIN_OR_NOT
def test_interrupted_reading_can_be_continued(tmp_path: Path, compress: object) -> None:
    data = [np.random.default_rng(i).bytes(300_000) for i in range(40)]
    path = write(tmp_path / "r", compress(b"".join(map(frame, data))))  # type: ignore[operator]
    reader = RecordReader(Source(str(path), Opening(Interrupted)))
    Interrupted.left = 1
    found: dict[int, bytes] = {}
    for _ in range(2):
        with suppress(KeyboardInterrupt):
            found.update((record.offset, record.data) for record in reader.records())
    assert Interrupted.left == 0
    assert list(found.values()) == data
    assert (reader.count, reader.tail, reader.damage) == (40, 0, [])


@pytest.mark.parametrize(
    "damage", [b"\xee" * 12, claim(1 << 40), claim(100_001)], ids=["lengths", "beyond", "within"]
)
def test_the_bytes_read_because_of_damage_are_linear(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: bytes
) -> None:
    monkeypatch.setattr(recovery, "CHECKED", 0)
    read_of_each = []
    for count in (1000, 16_000):
        path = write(tmp_path / "r", (frame(b"") + damage) * count)
        monkeypatch.setattr(Counted, "asked", 0)
        rest_of(RecordReader(Source(str(path), Opening(Counted))))
        read_of_each.append(Counted.asked / count)
    assert read_of_each[1] < min(16_000, 2 * read_of_each[0])


def test_zeros_at_the_end_are_passed_quickly(tmp_path: Path) -> None:
    path = write(tmp_path / "r", CONTENT)
    with path.open("r+b") as file:
        file.truncate(64 << 20)
    started = time.perf_counter()
    found, records = read(path)
    assert (found, places(records)) == (DATA, [(len(CONTENT), (64 << 20) - len(CONTENT))])
    assert time.perf_counter() - started < 10


@pytest.mark.parametrize("backend", ["mmap", "pread"])
@pytest.mark.parametrize("is_compressed", [False, True], ids=["plain", "GZIP"])
def test_a_record_that_exceeds_memory_is_a_limit_error(
    tmp_path: Path, backend: str, is_compressed: bool
) -> None:
    pytest.importorskip("resource", reason="memory cannot be limited here")
    size = 400 << 20
    path = tmp_path / "r"
    with gzip.open(path, "wb", 1) if is_compressed else path.open("wb") as file:
        file.write(claim(size))
        if is_compressed:
            for _ in range(size >> 20):
                file.write(bytes(1 << 20))
            file.write(bytes(100))
        else:
            file.truncate(size + 16)
    program = f"""
import resource, ckptfmt, ckptfmt.errors, warnings
from ckptfmt.record import reader, records
warnings.simplefilter("ignore")
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
room = used + ({size >> 2} if {is_compressed or backend == "pread"} else {size + (size >> 2)})
resource.setrlimit(resource.RLIMIT_AS, (room, room))
try:
    for record in ckptfmt.open_records({str(path)!r}, backend={backend!r}, limits=ckptfmt.Limits.NONE):
        record.data
    print("read", flush=True)
except ckptfmt.errors.LimitError as error:
    print("LimitError", error.asked >= {size}, flush=True)
"""
    if not Path("/proc/self/statm").exists():
        pytest.skip("the system does not tell how much memory is used")
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=100)
    mapped = backend == "mmap" and not is_compressed
    # Only what is copied from a mapped file is in memory, and these data do not match.
    assert done.stdout == ("read\n" if mapped else "LimitError True\n"), done.stderr
