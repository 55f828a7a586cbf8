"""Event logs: the files of a run, and the questions that they answer."""

from __future__ import annotations

import gzip
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ckptfmt
from ckptfmt.errors import (
    CkptfmtError,
    CorruptError,
    NameNotFoundError,
    NotReadableError,
    PathNotFoundError,
    UnsupportedError,
)
from ckptfmt.events.classify import KINDS
from ckptfmt.proto import messages
from tests.support.corpus import CORPUS, entries, load_expected
from tests.support.event_log import (
    EVENTS,
    VERSION,
    scalar,
    scalars_by_columns,
    tensor_event,
    tensor_scalar,
    write_events,
)
from tests.support.memory_filesystem import MemoryFilesystem
from tests.support.records import frame


def test_files_of_a_run_are_read_in_time_order(tmp_path: Path) -> None:
    names = [
        "events.out.tfevents.999.host",
        "events.out.tfevents.1000.host.12.9.v2",
        "events.out.tfevents.1000.host.12.10.v2",
        "events.out.tfevents.20000.host",
    ]
    for number, name in reversed(list(enumerate(names))):
        write_events(tmp_path / name, [VERSION, scalar("x", number, number)])
    (tmp_path / "notes.txt").write_text("no events")
    events = ckptfmt.open_events(tmp_path)
    assert [Path(file).name for file in events.files] == names
    assert events.scalars["x"].steps.tolist() == [0, 1, 2, 3]
    assert [event.step for event in events if event.HasField("summary")] == [0, 1, 2, 3]
    assert [record.file for record in events.records()] == [f for f in events.files for _ in range(2)]


def test_a_resumed_run_keeps_all_values() -> None:
    loss = ckptfmt.open_events(EVENTS / "restarted").scalars["loss"]
    assert loss.steps.tolist() == [0, 1, 2, 3, 4, 3, 4, 5, 6, 7]
    assert loss.values.tolist() == [*(i / 8 for i in range(5)), *(3 + i / 8 for i in range(3, 8))]


def test_runs_below_a_directory(tmp_path: Path) -> None:
    for run in ("", "train", "eval/a"):
        write_events(tmp_path / run / "events.out.tfevents.1.h", [VERSION])
    assert ckptfmt.find_runs(tmp_path) == {
        ".": str(tmp_path),
        "eval/a": str(tmp_path / "eval" / "a"),
        "train": str(tmp_path / "train"),
    }
    with pytest.raises(PathNotFoundError, match=r"no event file in this directory, but in 1 below it .*: a"):
        ckptfmt.open_events(tmp_path / "eval")
    with pytest.raises(PathNotFoundError):
        ckptfmt.find_runs(tmp_path / "nothing")


def test_files_that_macos_adds_are_no_event_files(tmp_path: Path) -> None:
    name = "events.out.tfevents.1.host"
    with ckptfmt.RecordWriter(tmp_path / name) as writer:
        writer.write(messages.Event(file_version="brain.Event:2").SerializeToString())
    (tmp_path / f"._{name}").write_bytes(b"\0\x05\x16\x07\0\x02\0\0Mac OS X        " + bytes(100))
    assert ckptfmt.open_events(tmp_path).files == (str(tmp_path / name),)
    (tmp_path / "copied").mkdir()
    (tmp_path / f"._{name}").rename(tmp_path / "copied" / f"._{name}")
    assert list(ckptfmt.find_runs(tmp_path)) == ["."]


def test_a_directory_that_cannot_be_listed_is_not_one_without_runs() -> None:
    event_file = frame(VERSION.SerializeToString())
    fs = MemoryFilesystem({f"top/{run}/events.out.tfevents.1.h": event_file for run in ("a", "b", "b/c")})
    fs.refused = {"top/b"}
    assert ckptfmt.find_runs("top", fs=fs) == {"a": "top/a"}
    for find in (ckptfmt.find_runs, ckptfmt.open_events):
        with pytest.raises(NotReadableError) as caught:
            find("top/b", fs=fs)
        assert caught.value.file == "top/b"


def test_a_file_of_another_kind_is_named_in_the_error(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("this is a text of some length")
    (tmp_path / "model.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))
    (tmp_path / "data.tfrecord").write_bytes(frame(b"example"))
    with pytest.raises(
        UnsupportedError, match=r"a TFRecord file, not a TensorBoard event file: .*open_records"
    ):
        ckptfmt.open_events(tmp_path / "data.tfrecord")
    for name, what in (("text", "a text file"), ("model.h5", "an HDF5 file")):
        with pytest.raises(UnsupportedError, match=what):
            ckptfmt.open_events(tmp_path / name).gather()
        with pytest.raises(UnsupportedError, match=what):
            list(ckptfmt.open_events(tmp_path / name))
    with pytest.raises(PathNotFoundError):
        ckptfmt.open_events(tmp_path / "nothing")
    with pytest.raises(UnsupportedError, match=r"open_events reads it and 'ckptfmt events' shows it"):
        ckptfmt.read_graph(write_events(tmp_path / "e", [VERSION]))


def test_compressed_event_files_are_read(tmp_path: Path) -> None:
    for path in EVENTS.glob("*/*"):
        packed = tmp_path / path.name
        packed.write_bytes(gzip.compress(path.read_bytes()))
        plain, found = ckptfmt.open_events(path), ckptfmt.open_events(packed)
        assert scalars_by_columns(found) == scalars_by_columns(plain)
        assert found.tags == plain.tags
        for tag, series in plain.tensors.items():
            assert all(map(np.array_equal, series, found.tensors[tag]))
        for tag, images in plain.images.items():
            assert list(images) == list(found.images[tag])


def test_a_missing_tag_is_an_error_that_suggests_others(tmp_path: Path) -> None:
    events = ckptfmt.open_events(EVENTS / "tf2")
    with pytest.raises(NameNotFoundError, match="no scalar tag named 'los'; did you mean 'loss'"):
        events.scalars["los"]
    with pytest.raises(KeyError):
        events.histograms["loss"]


def test_tags_are_in_the_order_of_their_first_values(tmp_path: Path) -> None:
    """However values are decoded: with a template, alone, or several in an event."""
    events = [VERSION, tensor_event("z", np.float32([1, 2]), "other")]
    for i in range(20):
        events += [scalar("bb", i, i), scalar("a", i, i), tensor_scalar("c", i, i)]
        both = scalar("y", i, i)
        both.summary.value.add(tag="x", simple_value=i)
        events.append(both)
    found = ckptfmt.open_events(write_events(tmp_path / "e.tfevents", events))
    assert list(found.tags) == ["z", "bb", "a", "c", "y", "x"]
    assert list(found.scalars) == ["bb", "a", "c", "y", "x"]


def test_errors_of_values_say_where_they_are(tmp_path: Path) -> None:
    good = np.zeros((2, 3))
    events = [
        VERSION,
        tensor_event("h", good, "histograms"),
        tensor_event("h", np.float32([1, 2]), "histograms"),
    ]
    events += [
        tensor_event("words", np.float32([1, 2]), "text"),
        tensor_event("m", np.float32([1]), "graph_run_metadata"),
    ]
    events.append(messages.Event(graph_def=b"\xff\xff"))
    path = write_events(tmp_path / "e.tfevents", events)
    offsets = np.cumsum([0, *(len(event.SerializeToString()) + 16 for event in events)]).tolist()
    found = ckptfmt.open_events(path)
    assert len(found.histograms["h"][0].counts) == 2
    with pytest.raises(CorruptError, match="histograms 'h': got float32") as caught:
        found.histograms["h"][1]
    assert (caught.value.file, caught.value.offset) == (str(path), offsets[2])
    with pytest.raises(UnsupportedError, match=f"@0x{offsets[3]:x}: text 'words': got") as unsupported:
        found.text["words"][0]
    assert unsupported.value.file == str(path)
    with pytest.raises(
        UnsupportedError, match=f"@0x{offsets[4]:x}: run metadata 'm': .* want one of strings"
    ):
        _ = found.run_metadata
    with pytest.raises(CorruptError, match=r"graph_def: not a tensorflow\.GraphDef") as caught:
        _ = found.graphs
    assert (caught.value.file, caught.value.offset) == (str(path), offsets[5])


def test_refresh_reads_what_was_written_since(tmp_path: Path) -> None:
    path = write_events(
        tmp_path / "events.out.tfevents.1.h", [VERSION, *(scalar("x", i, i) for i in range(10))]
    )
    events = ckptfmt.open_events(tmp_path)
    assert len(events.scalars["x"]) == 10
    more = frame(scalar("x", 10, 10).SerializeToString())
    with path.open("ab") as file:
        file.write(more + more[:9])
    assert events.refresh() == 1
    assert events.tails == {str(path): 9}
    with path.open("ab") as file:
        file.write(more[9:])
    write_events(tmp_path / "events.out.tfevents.2.h", [VERSION, tensor_scalar("y", 1, 1)])
    assert events.refresh() == 3
    assert events.scalars["x"].steps.tolist() == [*range(11), 10]
    assert set(events.scalars) == {"x", "y"}
    assert events.tails == {}
    assert events.refresh() == 0


def test_a_run_is_followed_through_its_files(tmp_path: Path) -> None:
    first = write_events(tmp_path / "events.out.tfevents.1.h", [VERSION])

    def write() -> None:
        for number in range(3):
            with first.open("ab") as file:
                data = frame(scalar("x", number, number).SerializeToString())
                file.write(data[:20])
                file.flush()
                file.write(data[20:])
        write_events(tmp_path / "events.out.tfevents.2.h", [VERSION, scalar("x", 3, 3)])

    followed = ckptfmt.open_events(tmp_path).follow(poll=0.001, timeout=30)
    assert next(followed).file_version == "brain.Event:2"
    writer = threading.Thread(target=write)
    writer.start()
    found = [next(followed) for _ in range(5)]
    writer.join()
    assert [event.step for event in found if event.HasField("summary")] == [0, 1, 2, 3]
    followed.close()  # type: ignore[attr-defined]
    assert len(list(ckptfmt.open_events(tmp_path).follow(poll=0, timeout=0))) == 6


@pytest.mark.parametrize("entry", entries("events"))
def test_foreign_files_hold_what_tensorflow_reads_in_them(entry: dict[str, Any]) -> None:
    expected = load_expected(entry["name"])
    events = ckptfmt.open_events(CORPUS / entry["path"])
    assert events.num_events == expected["events"]
    assert events.version == expected["file_version"]
    assert events.damage == []
    whats = [event.WhichOneof("what") for event in events]
    assert {what: whats.count(what) for what in set(whats) if what} == {
        what: count for what, count in expected["what"].items() if what != "None"
    }
    kinds = events.tags
    for tag, facts in expected["tags"].items():
        series = getattr(events, kinds[tag])[tag]
        if "values" in facts and kinds[tag] == "scalars" and facts["kinds"] == ["simple_value"]:
            found = zip(series.steps.tolist(), series.values.tolist(), strict=True)
            assert [[step, value] for step, value in found] == facts["values"]


def test_an_error_about_a_value_names_its_kind_once(tmp_path: Path) -> None:
    wrong = messages.Event(step=1)
    for plugin in ("histograms", "images", "audio", "text"):
        value = wrong.summary.value.add(tag=plugin[:2])
        value.metadata.plugin_data.plugin_name = plugin
        value.tensor.CopyFrom(ckptfmt.to_proto(np.zeros(3, np.float32)))
    nothing = wrong.summary.value.add(tag="runs")
    nothing.metadata.plugin_data.plugin_name = "graph_run_metadata"
    nothing.tensor.CopyFrom(ckptfmt.to_proto(np.zeros(3, np.float32)))
    events = ckptfmt.open_events(write_events(tmp_path / "events.out.tfevents.1.h", [VERSION, wrong]))
    reads = {
        "histograms 'hi': got float32[3], want numbers [k, 3]": lambda: events.histograms["hi"][0],
        "images 'im': got a tensor of float32, want one of strings": lambda: events.images["im"][0],
        "audio 'au': got a tensor of float32, want one of strings": lambda: events.audio["au"][0],
        "text 'te': got a tensor of float32, want one of strings": lambda: events.text["te"][0],
        "run metadata 'runs': got a tensor of float32, want one of strings": lambda: events.run_metadata,
    }
    for what, read in reads.items():
        with pytest.raises(CkptfmtError) as caught:
            read()
        assert caught.value.what == what


@pytest.mark.parametrize("kind", KINDS)
def test_a_tag_that_does_not_exist_is_called_by_its_kind(kind: str) -> None:
    plurals = {"scalars": "scalar", "histograms": "histogram", "images": "image", "tensors": "tensor"}
    noun = plurals.get(kind, kind)
    with pytest.raises(NameNotFoundError, match=f": no {noun} tag named '/no/such'$"):
        getattr(ckptfmt.open_events(EVENTS / "tf2"), kind)["/no/such"]
