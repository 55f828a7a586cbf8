"""Files that grow: reading them in steps gives the same as reading them at once."""

from __future__ import annotations

import random
import warnings
import zlib
from pathlib import Path

import pytest

import ckptfmt
from ckptfmt.errors import CorruptError, DamageWarning, TruncatedError
from ckptfmt.record.input import Source
from ckptfmt.record.reader import RecordReader
from ckptfmt.storage.local import LocalFilesystem
from tests.support.event_log import VERSION, open_quietly, scalar, tensor_scalar, write_events
from tests.support.records import claim, frame, write

DATA = [b"record %d" % number * (1 + number % 3) for number in range(8)]
CONTENT = b"".join(map(frame, DATA))
NESTED = frame(b"before" + b"".join(frame(b"inner %d" % number) for number in range(3)) + b"z" * 200)


class Growing:
    """A file that grows, and what a reader that looks now and then has read of it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.reader = RecordReader(Source(str(path), LocalFilesystem("pread")))
        self.records: list[tuple[int, bytes]] = []

    def look(self) -> None:
        restarts = self.reader.restarts
        self.reader.source.refresh()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DamageWarning)
            found = [(record.offset, record.data) for record in self.reader.records()]
        self.records = found if self.reader.restarts != restarts else self.records + found

    def state(self) -> tuple[object, ...]:
        damage = [(each.offset, each.skipped, str(each.error)) for each in self.reader.damage]
        return self.records, damage, self.reader.tail, self.reader.count


def in_steps(path: Path, pieces: list[bytes]) -> tuple[object, ...]:
    path.write_bytes(b"")
    growing = Growing(path)
    for piece in pieces:
        with path.open("ab") as file:
            file.write(piece)
        growing.look()
    growing.reader.source.close()
    return growing.state()


def in_one_go(path: Path) -> tuple[object, ...]:
    growing = Growing(path)
    growing.look()
    growing.reader.source.close()
    return growing.state()


def some_content(rng: random.Random) -> bytes:
    """Records, some of which hold frames, some of which are unfinished, and some of which are damaged."""

    def data(depth: int) -> bytes:
        kind = rng.random()
        if depth < 2 and kind < 0.25:
            parts = [frame(data(depth + 1)) for _ in range(rng.randrange(1, 4))]
            return rng.choice([b"", b"before"]) + b"".join(parts) + rng.choice([b"", b"z" * 30])
        return b"%d" % rng.randrange(10) * rng.choice([0, 1, 5, 20, 60])

    parts = []
    for _ in range(rng.randrange(2, 12)):
        part = frame(data(0))
        kind = rng.random()
        if kind < 0.15:
            part = part[: rng.randrange(12, len(part))]
        elif kind < 0.2:
            part = claim(rng.choice([40, 100, 300, 5000, 1 << 40])) + b"begun"
        elif kind < 0.25:
            spoiled = bytearray(part)
            spoiled[rng.randrange(len(part))] ^= 1 << rng.randrange(8)
            part = bytes(spoiled)
        parts.append(part)
    content = frame(b"first") + b"".join(parts)
    return content[: rng.randrange(20, len(content) + 1)] if rng.random() < 0.3 else content


@pytest.mark.parametrize("is_compressed", [False, True], ids=["plain", "GZIP"])
def test_reading_in_steps_equals_reading_at_once(tmp_path: Path, is_compressed: bool) -> None:
    for seed in range(1500):
        rng = random.Random(seed)
        content = some_content(rng)
        cuts = sorted(rng.randrange(len(content) + 1) for _ in range(rng.randrange(1, 8)))
        pieces = [content[a:b] for a, b in zip([0, *cuts], [*cuts, len(content)], strict=True)]
        if is_compressed:
            deflater = zlib.compressobj(wbits=31)
            pieces = [deflater.compress(each) + deflater.flush(zlib.Z_SYNC_FLUSH) for each in pieces]
            pieces.append(deflater.flush())
        path = write(tmp_path / "r", b"")
        assert in_steps(path, pieces) == in_one_go(path), seed


def test_a_record_after_an_unfinished_one_is_not_lost_if_seen_half_written(tmp_path: Path) -> None:
    begun = frame(b"killed" * 20)[:60]
    for nearly in (b"x" * 90, b"x" * 75, b"x" * 61, b"x" * 1000):
        content = CONTENT + begun + frame(nearly) + CONTENT
        start = len(CONTENT) + len(begun)
        path = write(tmp_path / "r", b"")
        for cut in range(start, start + len(frame(nearly)) + 20):
            records, damage, tail, _ = in_steps(path, [content[:cut], content[cut:]])
            assert [data for _, data in records] == [*DATA, nearly, *DATA]  # type: ignore[attr-defined]
            assert [each[:2] for each in damage] == [(len(CONTENT), 60)]  # type: ignore[attr-defined]
            assert tail == 0


def test_frames_in_a_record_that_is_being_written_are_its_own(tmp_path: Path) -> None:
    path = write(tmp_path / "r", CONTENT + NESTED[:-100])
    growing = Growing(path)
    growing.look()
    assert [data for _, data in growing.records] == DATA
    assert (growing.reader.damage, growing.reader.tail) == ([], len(NESTED) - 100)
    path.write_bytes(CONTENT + NESTED + CONTENT)
    growing.look()
    assert (len(growing.records), growing.reader.restarts) == (2 * len(DATA) + 1, 0)
    assert growing.reader.damage == []


def test_frames_mistaken_for_records_are_taken_back(tmp_path: Path) -> None:
    """If a record ends within the frames in its data, nothing tells whose frames they are."""
    path = write(tmp_path / "r", CONTENT + NESTED[:60])
    growing = Growing(path)
    growing.look()
    assert len(growing.records) == len(DATA) + 1
    path.write_bytes(CONTENT + NESTED + CONTENT)
    growing.look()
    assert growing.state() == in_one_go(path)
    assert (len(growing.records), growing.reader.restarts) == (2 * len(DATA) + 1, 1)
    followed = iter(ckptfmt.open_records(path).follow(poll=0, timeout=0))
    assert len(list(followed)) == 2 * len(DATA) + 1


@pytest.mark.parametrize("following", [NESTED[:-100], NESTED[:-100] + b"\1" * 20])
def test_nothing_is_appended_if_records_would_be_cut_off(following: bytes, tmp_path: Path) -> None:
    path = write(tmp_path / "r", CONTENT + following)
    with pytest.raises(CorruptError, match=f"r @0x{len(CONTENT):x}: cannot append: a complete record at 0x"):
        ckptfmt.RecordWriter(path, append=True)
    assert path.read_bytes() == CONTENT + following


def test_damage_is_the_same_whether_the_record_would_end_in_the_file(tmp_path: Path) -> None:
    content = CONTENT + claim(len(CONTENT) // 2 + 3) + b"begun" + CONTENT
    path = write(tmp_path / "r", b"")
    cut = len(CONTENT) + 17 + len(frame(DATA[0]))
    steps = in_steps(path, [content[:cut], content[cut:]])
    assert steps == in_one_go(path)
    error = Growing(path)
    error.look()
    (damage,) = error.reader.damage
    assert isinstance(damage.error, TruncatedError)
    assert (damage.error.available, damage.skipped) == (17, 17)


def test_a_run_forgets_events_that_were_data_of_another(tmp_path: Path) -> None:
    outer = scalar("loss", 1.0, 3)
    inner = b"".join(frame(scalar("inner", 1.0, step).SerializeToString()) for step in range(3))
    value = outer.summary.value.add(tag="blob")
    value.tensor.dtype = 7
    value.tensor.string_val.append(inner + b"z" * 50)
    record = frame(outer.SerializeToString())
    path = write_events(
        tmp_path / "e.tfevents", [VERSION, scalar("loss", 0.0, 1), tensor_scalar("b", 0.0, 1)]
    )
    whole = path.read_bytes() + record + frame(scalar("loss", 2.0, 4).SerializeToString())
    begin = path.stat().st_size
    for cut in range(1, len(record), 7):
        path.write_bytes(whole[: begin + cut])
        events = open_quietly(path)
        events.gather()
        path.write_bytes(whole)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DamageWarning)
            events.refresh()
        assert sorted(events.tags) == ["b", "blob", "loss"]
        assert events.scalars["loss"].steps.tolist() == [1, 3, 4]
        assert (events.num_events, events.damage) == (5, [])
