"""``ckptfmt records`` as its users see it."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path

import pytest

from ckptfmt.wire.coding import encode_varint
from tests.support.command_line import drawn_by_rich, on_terminal, run, run_json
from tests.support.event_log import EVENTS
from tests.support.records import frame


def delimited(number: int, content: bytes) -> bytes:
    return encode_varint(number << 3 | 2) + encode_varint(len(content)) + content


def integers(*values: int) -> bytes:
    return delimited(3, delimited(1, b"".join(map(encode_varint, values))))


def strings(*values: bytes) -> bytes:
    return delimited(1, b"".join(delimited(1, value) for value in values))


def floats(content: str) -> bytes:
    return delimited(2, delimited(1, bytes.fromhex(content)))


def example(**features: bytes) -> bytes:
    entries = (delimited(1, name.encode()) + delimited(2, value) for name, value in features.items())
    return delimited(1, b"".join(delimited(1, entry) for entry in entries))


def sequence(length: int) -> bytes:
    steps = b"".join(delimited(1, integers(*range(step))) for step in range(length))
    lists = delimited(1, delimited(1, b"frames") + delimited(2, steps))
    return example(length=integers(length)) + delimited(2, lists)


HALF = "0000003f"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for shard in range(2):
        records = [example(label=integers(shard), ids=integers(*range(5 + n))) for n in range(3)]
        (tmp_path / f"train-{shard:05d}-of-00002").write_bytes(b"".join(map(frame, records)))
    data = b"".join(map(frame, [sequence(2), sequence(3)]))
    (tmp_path / "sequences.tfrecord.gz").write_bytes(gzip.compress(data))
    one = example(image=strings(b"\x89PNG" * 100, b"x"), box=floats(2 * HALF), unset=b"")
    (tmp_path / "one.tfrecord").write_bytes(frame(one))
    (tmp_path / "bytes.tfrecord").write_bytes(frame(b"no example") + frame(b""))
    return tmp_path


def test_files_and_features_are_listed(folder: Path) -> None:
    result = run("records", folder / "train@2")
    assert result.exit_code == 0
    size = (folder / "train-00000-of-00002").stat().st_size
    assert [line.split("\t") for line in result.stdout.splitlines()] == [
        [str(folder / "train-00000-of-00002"), "3", str(size), "-", "Example", "-"],
        [str(folder / "train-00001-of-00002"), "3", str(size), "-", "Example", "-"],
        [""],
        ["ids", "int64", "5-7", "6", "0 1 2 3 4"],
        ["label", "int64", "1", "6", "0"],
    ]
    assert result.stderr == "2 files, 6 records\n"


def test_each_dtype(folder: Path) -> None:
    lines = run("records", folder / "one.tfrecord").stdout.splitlines()[2:]
    png = "\\x89PNG" * 10
    assert [line.split("\t") for line in lines] == [
        ["box", "float32", "2", "1", "0.5 0.5"],
        ["image", "string", "2", "1", f'"{png}"… (400 bytes) "x"'],
        ["unset", "-", "0", "1", ""],
    ]


def test_sequences_have_steps(folder: Path) -> None:
    lines = run("records", folder / "sequences.tfrecord.gz").stdout.splitlines()
    assert lines[0].split("\t")[1:] == [
        "2",
        str((folder / "sequences.tfrecord.gz").stat().st_size),
        *("GZIP", "SequenceExample", "-"),
    ]
    assert lines[2:] == ["length\tint64\t-\t1\t2\t2", "frames\tint64\t2-3\t0-2\t2\t0"]


def test_json_has_the_same(folder: Path) -> None:
    document = run_json("records", folder / "train-*", folder / "sequences.tfrecord.gz")
    assert document["records"] == 8
    assert [file["content"] for file in document["files"]] == [
        {"Example": 3},
        {"Example": 3},
        {"SequenceExample": 2},
    ]
    assert {each["feature"]: (each["length"], each["steps"]) for each in document["features"]} == {
        "ids": ([5, 7], None),
        "label": ([1, 1], None),
        "length": ([1, 1], None),
        "frames": ([0, 2], [2, 3]),
    }


def test_records_one_by_one(folder: Path) -> None:
    result = run("records", folder / "train@2", "--head", "1", "--record", "5")
    assert result.stdout.splitlines() == [
        "0\tlabel\tint64\t1\t0",
        "0\tids\tint64\t5\t0 1 2 3 4",
        "5\tlabel\tint64\t1\t1",
        "5\tids\tint64\t7\t0 1 2 3 4 5 …",
    ]
    lines = run("records", folder / "train@2", "--record", 5, "--values", "--features", "i*").stdout
    assert lines == "5\tids\tint64\t7\t0 1 2 3 4 5 6\n"
    lines = run("records", folder / "sequences.tfrecord.gz", "--record", 0).stdout
    assert lines == "0\tlength\tint64\t1\t2\n0\tframes[0]\tint64\t0\t\n0\tframes[1]\tint64\t1\t0\n"


def test_json_of_records_is_a_document_a_line(folder: Path) -> None:
    result = run("records", folder / "one.tfrecord", folder / "sequences.tfrecord.gz", "--head", 2, "--json")
    first, second = map(json.loads, result.stdout.splitlines())
    assert (first["record"], first["offset"], first["content"]) == (0, 0, "Example")
    assert first["features"]["box"] == {"dtype": "float32", "values": [0.5, 0.5]}
    assert first["features"]["image"]["values"][1] == "x"
    assert first["features"]["image"]["values"][0]["base64"].startswith("iVBOR4lQ")
    assert [step["values"] for step in second["feature_lists"]["frames"]] == [[], [0]]


def test_records_that_are_not_examples(folder: Path) -> None:
    assert run("records", folder / "bytes.tfrecord").stdout.split("\t")[4] == "bytes"
    lines = run("records", folder / "bytes.tfrecord", "--head", "9").stdout.splitlines()
    assert lines == ['0\t-\tbytes\t10\t"no example"', '1\t-\tbytes\t0\t""']
    result = run("records", EVENTS / "tf1" / "events.out.tfevents.1700000000.host")
    assert result.stdout.split("\t")[4] == "Event"
    assert "'ckptfmt events' shows" in result.stderr


def test_a_directory(folder: Path) -> None:
    lines = run("records", folder).stdout.split("\n\n")[0].splitlines()
    assert [os.path.basename(line.split("\t")[0]) for line in lines] == [
        "bytes.tfrecord",
        "one.tfrecord",
        "sequences.tfrecord.gz",
        "train-00000-of-00002",
        "train-00001-of-00002",
    ]


def test_a_missing_shard_is_named(folder: Path) -> None:
    (folder / "train-00001-of-00002").unlink()
    for path in (folder / "train@2", folder, folder / "train-?????-of-00002"):
        result = run("records", path)
        assert result.exit_code == 4
        assert f"{folder / 'train-00001-of-00002'}: missing, one of 2 shards" in result.stderr
    assert run("records", folder / "train-00000-of-00002").exit_code == 0


def test_damage_is_reported_and_the_rest_is_shown(folder: Path) -> None:
    path = folder / "train-00000-of-00002"
    data = bytearray(path.read_bytes())
    data[20] ^= 1
    path.write_bytes(data)
    result = run("records", path)
    assert result.exit_code == 3
    assert result.stdout.splitlines()[0].split("\t")[1::4] == ["2", "1"]
    assert "checksum mismatch" in result.stderr
    document = run_json("records", path, code=3)
    assert document["files"][0]["damage"][0]["offset"] == 0
    assert run("records", path, "--strict").exit_code == 3
    path.write_bytes(path.read_bytes()[:-3])
    result = run("records", path)
    assert "the last record is incomplete" in result.stderr


def test_a_file_of_another_kind(folder: Path) -> None:
    other = folder / "other"
    other.write_text("neither records nor anything else that is known")
    result = run("records", other)
    assert (result.exit_code, result.stdout) == (3, "")
    assert "a text file, not a TFRecord file: it begins 'neither records" in result.stderr
    result = run("records", other, folder / "one.tfrecord")
    assert result.exit_code == 3
    assert [line.split("\t")[1] for line in result.stdout.splitlines()[:2]] == ["?", "1"]
    assert run("records", folder / "nothing").exit_code == 4


def test_wrong_names_and_numbers(folder: Path) -> None:
    result = run("records", folder / "train@2", "--features", "lable")
    assert result.exit_code == 4
    assert "no feature named 'lable'; did you mean 'label'?" in result.stderr
    result = run("records", folder / "train@2", "--record", "6")
    assert result.exit_code == 4
    assert "no record 6: got 6 records, numbered from 0" in result.stderr
    assert run("records", folder / "train@2", "--values").exit_code == 2
    assert run("records").exit_code == 2


@drawn_by_rich
def test_a_terminal_of_80_columns_loses_nothing(folder: Path) -> None:
    name = "a/very/long/name/" * 5
    words = [f"word number {n} of many" for n in range(5)]
    features = {name: strings(*(word.encode() for word in words)), "label\x1b[2J": integers(7)}
    (folder / "long.tfrecord").write_bytes(frame(example(**features)))
    for options in ([], ["--head", "1"]):
        code, shown = on_terminal("records", folder / "long.tfrecord", *options, COLUMNS="80")
        assert code == 0
        plain = shown.replace("\x1b[1m", "").replace("\x1b[0m", "")
        assert "\x1b[2J" not in plain
        lines = [line for line in plain.splitlines() if line != str(folder / "long.tfrecord")]
        assert max(map(len, lines)) <= 80
        squeezed = "".join(plain.split())
        assert "label\\x1b[2J" in squeezed
        names = "".join(line.split("  ")[0] for line in lines)
        assert name in names
        for word in words:
            assert sum(part in plain for part in word.split()) == len(word.split())


def test_the_number_of_reports_is_bounded(tmp_path: Path) -> None:
    damaged = bytearray(b"".join(frame(b"record %d" % n) for n in range(200)))
    for at in range(14, len(damaged), 50):
        damaged[at] ^= 1
    (tmp_path / "x.tfrecord").write_bytes(damaged)
    result = run("records", tmp_path / "x.tfrecord")
    assert result.exit_code == 3
    assert len(result.stderr.splitlines()) == 4
    assert "more damaged stretches" in result.stderr
