"""Which files of records a path stands for."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

import ckptfmt
from ckptfmt.errors import LimitError, PathNotFoundError
from tests.support.memory_filesystem import MemoryFilesystem
from tests.support.records import frame


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number in range(4):
        (tmp_path / f"train-{number:05d}-of-00004").write_bytes(frame(b"train %d" % number))
        (tmp_path / f"eval-{number:05d}-of-00004.tfrecord.gz").write_bytes(gzip.compress(frame(b"eval")))
    return tmp_path


def read(path: object, **options: object) -> list[bytes]:
    return [record.data for record in ckptfmt.open_records(path, **options)]  # type: ignore[arg-type]


TRAIN = [b"train %d" % number for number in range(4)]


@pytest.mark.parametrize("name", ["train@4", "train@*", "train-?????-of-00004", "train-*", "train-*-of-*"])
def test_all_shards_are_read_in_order(folder: Path, name: str) -> None:
    assert read(folder / name) == TRAIN
    assert read([folder / name, folder / name]) == 2 * TRAIN


def test_a_short_name_keeps_its_ending(folder: Path) -> None:
    files = ckptfmt.open_records(folder / "eval@4.tfrecord.gz").files
    assert files == tuple(str(folder / f"eval-{number:05d}-of-00004.tfrecord.gz") for number in range(4))
    with pytest.raises(PathNotFoundError, match="no shard of this name, such as 'eval-00000-of-00004'"):
        ckptfmt.open_records(folder / "eval@4")


def test_a_relative_short_name(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    assert read("train@4") == read("./train@4") == TRAIN


def test_a_file_of_just_that_name_comes_first(folder: Path) -> None:
    (folder / "train@4").write_bytes(frame(b"itself"))
    assert read(folder / "train@4") == [b"itself"]


@pytest.mark.parametrize("name", ["train@4", "train@*", "train-?????-of-00004", "train-*", ""])
def test_a_missing_shard_is_named(folder: Path, name: str) -> None:
    (folder / "train-00002-of-00004").unlink()
    with pytest.raises(PathNotFoundError, match="one of 4 shards") as raised:
        ckptfmt.open_records(folder / name)
    assert raised.value.file == str(folder / "train-00002-of-00004")
    (folder / "train-00001-of-00004").unlink()
    with pytest.raises(PathNotFoundError, match="so are 'train-00002-of-00004'"):
        ckptfmt.open_records(folder / name)


def test_a_pattern_may_leave_shards_out(folder: Path) -> None:
    (folder / "train-00002-of-00004").unlink()
    assert read(folder / "train-0000[013]-of-00004") == [TRAIN[0], TRAIN[1], TRAIN[3]]
    assert read([folder / "train-00003-of-00004"]) == TRAIN[3:]


def test_other_counts_are_suggested(folder: Path) -> None:
    with pytest.raises(PathNotFoundError, match="such as 'train-00000-of-00005'; there are @4"):
        ckptfmt.open_records(folder / "train@5")
    (folder / "train-00000-of-00005").write_bytes(b"")
    with pytest.raises(PathNotFoundError, match="several sets of shards: @4, @5; name one"):
        ckptfmt.open_records(folder / "train@*")
    with pytest.raises(PathNotFoundError, match="no shard of this name"):
        ckptfmt.open_records(folder / "test@*")


@pytest.mark.parametrize(
    ("name", "short"),
    [
        ("train", "train@4"),
        ("train@2.tfrecord", "train@4"),
        ("eval", "eval@4.tfrecord.gz"),
        ("eval@4", "eval@4.tfrecord.gz"),
        ("eval@*", "eval@4.tfrecord.gz"),
        ("eval.tfrecord.gz", "eval@4.tfrecord.gz"),
    ],
)
def test_a_name_without_files_is_answered_with_short_names(name: str, short: str, folder: Path) -> None:
    with pytest.raises(PathNotFoundError) as caught:
        ckptfmt.open_records(folder / name)
    assert caught.value.file == str(folder / name)
    assert caught.value.what.endswith(str(folder / short))
    fs = MemoryFilesystem({f"store/{path.name}": path.read_bytes() for path in folder.iterdir()})
    with pytest.raises(PathNotFoundError, match=f"store/{short}$"):
        ckptfmt.open_records(f"store/{name}", fs=fs)


def test_a_number_beyond_all_bounds_takes_no_time(folder: Path) -> None:
    match = "shards of one set: 9999999 exceeds the limit of 1000000"
    with pytest.raises(LimitError, match=match) as caught:
        ckptfmt.open_records(folder / "train@9999999")
    assert caught.value.file == str(folder / "train@9999999")
    with pytest.raises(LimitError):
        ckptfmt.open_records(folder / "train@99999999999")
    alone = folder / "train-00000-of-99999999999"
    alone.write_bytes(frame(b"alone"))
    with pytest.raises(LimitError):
        ckptfmt.open_records(folder / "train-*-of-99999999999")
    assert read([alone]) == [b"alone"]


def test_a_directory_stands_for_the_files_of_records_in_it(folder: Path) -> None:
    (folder / "README").write_text("not records, and long enough to be sure")
    (folder / "empty.tfrecord").write_bytes(b"")
    (folder / ".hidden.tfrecord").write_bytes(frame(b"hidden"))
    (folder / "events.out.tfevents.1.host").write_bytes(frame(b"an event"))
    (folder / "no name of its own").write_bytes(frame(b"by content"))
    (folder / "train-00003-of-00004").write_bytes(b"")
    (folder / "more").mkdir()
    assert read(folder) == [b"eval"] * 4 + [b"by content"] + TRAIN[:3]
    assert len(ckptfmt.open_records(folder).files) == 10


def test_a_data_set_about_events_is_one_of_records(tmp_path: Path) -> None:
    (tmp_path / "tfevents.tfrecord").write_bytes(frame(b"a record"))
    (tmp_path / "events.out.tfevents.1.host").write_bytes(frame(b"an event"))
    (tmp_path / "my_tfevents_1").write_bytes(frame(b"an event, as TensorBoard takes it"))
    assert read(tmp_path) == [b"a record"]


def test_a_directory_without_records_says_what_it_has(tmp_path: Path) -> None:
    with pytest.raises(PathNotFoundError, match="no file of records in this directory"):
        ckptfmt.open_records(tmp_path)
    (tmp_path / "events.out.tfevents.1.host").write_bytes(frame(b"an event"))
    with pytest.raises(PathNotFoundError, match="besides 1 of events"):
        ckptfmt.open_records(tmp_path)


def test_another_file_system(folder: Path) -> None:
    files = {f"store/{path.name}": path.read_bytes() for path in folder.iterdir()}
    fs = MemoryFilesystem(files)
    assert read("store/train@4", fs=fs) == TRAIN
    assert read("store/train-*", fs=fs) == TRAIN
    assert len(read("store", fs=fs)) == 8
    del files["store/train-00001-of-00004"]
    with pytest.raises(PathNotFoundError, match="one of 4 shards"):
        ckptfmt.open_records("store/train@4", fs=MemoryFilesystem(files))
