"""Event files: scalars as columns, and all that else is in them."""

from __future__ import annotations

import gzip
import struct
import tempfile
import threading
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st

import ckptfmt
from ckptfmt.errors import (
    CorruptError,
    LimitError,
    MissingDependencyError,
    NameNotFoundError,
    PathNotFoundError,
    UnsupportedError,
)
from ckptfmt.events.scalars.header import decode_headers
from ckptfmt.events.scalars.template import find_layout
from ckptfmt.proto import messages
from ckptfmt.record.batch import Batch
from ckptfmt.wire.coding import encode_varint
from ckptfmt.wire.crc32c import crc32c
from tests.support.corpus import CORPUS, entries, load_expected
from tests.support.event_log import (
    EVENTS,
    VERSION,
    assert_same_scalars,
    frame,
    open_quietly,
    scalar,
    scalars_by_columns,
    scalars_by_protobuf,
    tensor_scalar,
    write_events,
)

# --- scalars -----------------------------------------------------------------------------------------------


def test_scalars_are_columns(tmp_path: Path) -> None:
    path = write_events(
        tmp_path / "e.tfevents.1.h", [VERSION, *(scalar("loss", i / 2, 10 * i, 1e9 + i) for i in range(300))]
    )
    loss = ckptfmt.open_events(path).scalars["loss"]
    assert (loss.steps.dtype, loss.wall_times.dtype, loss.values.dtype) == (np.int64, np.float64, np.float32)
    assert loss.steps.tolist() == [10 * i for i in range(300)]
    assert loss.wall_times.tolist() == [1e9 + i for i in range(300)]
    assert loss.values.tolist() == [i / 2 for i in range(300)]
    assert (loss[-1], loss[1:3], list(loss)[:2], len(loss)) == (149.5, [0.5, 1.0], [0.0, 0.5], 300)
    assert not loss.values.flags.writeable


def test_both_ways_to_write_scalars_are_one(tmp_path: Path) -> None:
    events = [
        VERSION,
        *(tensor_scalar("a", i, i) for i in range(50)),
        *(scalar("b", i, i) for i in range(50)),
    ]
    found = ckptfmt.open_events(write_events(tmp_path / "e.tfevents", events))
    assert found.tags == {"a": "scalars", "b": "scalars"}
    assert np.array_equal(found.scalars["a"].values, found.scalars["b"].values)
    assert found.scalars["a"].metadata.plugin == "scalars"


def test_metadata_of_the_first_value_are_those_of_all(tmp_path: Path) -> None:
    events = [tensor_scalar("loss", i, i) for i in range(100)]
    for event in events[1:]:
        event.summary.value[0].ClearField("metadata")
    found = ckptfmt.open_events(write_events(tmp_path / "e.tfevents", [VERSION, *events]))
    assert found.scalars["loss"].steps.tolist() == list(range(100))


def test_every_tag_of_a_form_has_its_metadata(tmp_path: Path) -> None:
    events = []
    for i in range(20):
        event = tensor_scalar("ab"[i % 2], i, i)
        event.summary.value[0].metadata.display_name = f"name {i % 2}"
        events.append(event)
    found = ckptfmt.open_events(write_events(tmp_path / "e.tfevents", events)).scalars
    assert [found[tag].metadata.display_name for tag in "ab"] == ["name 0", "name 1"]


@pytest.mark.parametrize("data", [b"", b"0", b"\x09", b"\x10\x05"], ids=repr)
def test_files_of_one_short_record(tmp_path: Path, data: bytes) -> None:
    for count in (1, 10):
        path = tmp_path / f"{count}.tfevents"
        path.write_bytes(frame(data) * count)
        found = open_quietly(path)
        is_event = data in (b"", b"\x10\x05")
        assert found.num_events == count * is_event
        assert len(found.damage) == count * (not is_event)
        assert not found.tags


def test_events_of_any_length_are_those_of_protobuf(tmp_path: Path) -> None:
    """Lengths that are the same modulo 65,536 too."""
    short, long = "t" * 100, "t" * (100 + (1 << 16))
    events = [scalar(tag, i, i) for i in range(10) for tag in (short, long, "t" * 4080, "t" * 4200)]
    found = ckptfmt.open_events(write_events(tmp_path / "e.tfevents", events))
    assert_same_scalars(found, events)
    assert list(found.tags) == [short, long, "t" * 4080, "t" * 4200]


@pytest.mark.parametrize("size", [5, 6, 10])
@pytest.mark.parametrize("count", [1, 20])
def test_longer_lengths_than_protobuf_takes_are_damage(tmp_path: Path, size: int, count: int) -> None:
    """Whether one event is written so, or many are."""
    plain = scalar("abc", 1, 3).SerializeToString()
    at = plain.index(b"*") + 1
    event = plain[:at] + _long_varint(plain[at], size) + plain[at + 1 :]
    path = write_events(tmp_path / "e.tfevents", [VERSION, *[event] * count])
    try:
        messages.Event.FromString(event)
    except DecodeError:
        assert open_quietly(path).num_events == 1
    else:
        assert ckptfmt.open_events(path).scalars["abc"].values.tolist() == [1] * count


def test_numbers_of_other_dtypes_are_scalars_too(tmp_path: Path) -> None:
    events = [tensor_scalar("x", i, i) for i in range(6)]
    for event in events[3:]:
        event.summary.value[0].tensor.CopyFrom(ckptfmt.to_proto(np.float64(event.step) + 0.1))
    series = ckptfmt.open_events(write_events(tmp_path / "e.tfevents", events)).scalars["x"]
    assert series.values.dtype == np.float64
    assert series.values.tolist() == [0.0, 1.0, 2.0, 3.1, 4.1, 5.1]


TAGS = ["loss", "acc", "ü/rate", "a" * 130]
NUMBERS = st.one_of(st.floats(width=32), st.sampled_from([0.0, -0.0, float("nan"), float("inf")]))


@st.composite
def odd_events(draw: Any) -> bytes:
    """Events that mean something to protobuf, written in any way."""
    step = draw(st.one_of(st.integers(0, 300), st.integers(-(2**63), 2**63 - 1)))
    event = messages.Event(step=step, wall_time=draw(st.sampled_from([0.0, 1.5, 1e9, float("nan")])))
    for _ in range(draw(st.integers(1, 3))):
        make = draw(st.sampled_from([scalar, tensor_scalar]))
        value = make(draw(st.sampled_from(TAGS)), draw(NUMBERS), 0).summary.value[0]
        kind = draw(st.integers(0, 9))
        if value.HasField("tensor"):
            if kind == 0:
                value.ClearField("metadata")
            elif kind == 1:
                value.tensor.CopyFrom(ckptfmt.to_proto(np.float32(draw(NUMBERS))))
            elif kind == 2:
                value.tensor.CopyFrom(ckptfmt.to_proto(np.float32([1, 2])))
                value.metadata.plugin_data.plugin_name = draw(st.sampled_from(["other", "scalars", "text"]))
            elif kind == 3:
                value.tensor.version_number = 7
            elif kind == 4:
                value.tensor.CopyFrom(ckptfmt.to_proto(np.float64(draw(NUMBERS)) + 0.1))
        elif kind == 4:
            value.node_name = "node"
        elif kind == 5:
            value.ClearField("tag")
        event.summary.value.add().CopyFrom(value)
    data: bytes = event.SerializeToString()
    odd = draw(st.integers(0, 12))
    if odd == 0:
        data += b"\x9a\x06\x03abc"  # an unknown field
    elif odd == 1:
        data += data  # merged: the numbers of the second, the values of both
    elif odd == 2:
        data = b"\x10\x05" + data  # a step that is written again
    elif odd == 3:
        data += b"\x10\x85\x80\x00"  # a step in more bytes than it needs
    elif odd == 4:
        data = data[:9] if len(data) > 9 and data[0] == 9 else data
    return data


@given(st.lists(odd_events(), max_size=12), st.integers(1, 6), st.booleans())
def test_columns_are_what_protobuf_decodes(events: list[bytes], repeats: int, compressed: bool) -> None:
    records = [record for record in events for _ in range(repeats)]
    with tempfile.TemporaryDirectory() as folder:
        path = write_events(Path(folder, "e.tfevents"), records)
        if compressed:
            path.write_bytes(gzip.compress(path.read_bytes()))
        found = ckptfmt.open_events(path)
        assert found.num_events == len(records)
        assert_same_scalars(found, [messages.Event.FromString(record) for record in records])


@given(
    st.lists(st.sampled_from(TAGS + [f"t{i}" for i in range(40)]), min_size=5, max_size=300), st.integers()
)
def test_any_mixture_of_tags_keeps_its_order(tags: list[str], seed: int) -> None:
    random = np.random.default_rng(abs(seed))
    events = [
        (scalar if random.random() < 0.5 or tag.startswith("t") else tensor_scalar)(
            tag, float(np.float32(random.normal())), int(random.integers(0, 40000)), float(random.random())
        )
        for tag in tags
    ]
    with tempfile.TemporaryDirectory() as folder:
        found = ckptfmt.open_events(write_events(Path(folder, "e.tfevents"), [VERSION, *events]))
        assert scalars_by_columns(found) == scalars_by_protobuf(events)
        assert list(found.tags) == list(dict.fromkeys(tags))


STEPS = [0, 1, 127, 128, 300, 2**14 - 1, 2**14, 2**31, 2**49, 2**56 - 1, 2**56, 2**63 - 1, -1, -(2**63)]


@pytest.mark.parametrize("verify", [True, False])
@pytest.mark.parametrize("begin", [0, 1e9])
def test_steps_of_any_size_are_those_of_protobuf(tmp_path: Path, verify: bool, begin: float) -> None:
    steps = [step for step in STEPS for _ in range(5)]
    wall_times = [begin + i * bool(begin) for i in range(len(steps))]
    events = [scalar("loss", i / 8, *stamp) for i, stamp in enumerate(zip(steps, wall_times, strict=True))]
    path = write_events(tmp_path / "e.tfevents", events)
    found = ckptfmt.open_events(path, verify=verify).scalars["loss"]
    assert found.steps.tolist() == steps
    assert found.wall_times.tolist() == wall_times
    assert found.values.tolist() == [i / 8 for i in range(len(steps))]


@given(
    st.lists(
        st.tuples(
            st.one_of(st.just(0), st.floats(width=64)),
            st.one_of(st.integers(0, 2**56 - 1), st.sampled_from(STEPS)),
            st.integers(1, 10),
            st.sampled_from([b"", b"*\x00", b"*" * 20]),
        ),
        min_size=1,
        max_size=20,
    )
)
def test_stamps_are_what_events_begin_with(stamps: list[tuple[float, int, int, bytes]]) -> None:
    # Left out where they are 0; a step may take more bytes than it needs.
    pieces = [
        (b"\x09" + struct.pack("<d", wall_time) if wall_time else b"")
        + (b"\x10" + _long_varint(step, size) if step else b"")
        for wall_time, step, size, _ in stamps
    ]
    records = [piece + stamp[3] for piece, stamp in zip(pieces, stamps, strict=True)]
    frames = [frame(record) for record in records]
    found = decode_headers(Batch(b"".join(frames), 0, np.cumsum([0, *map(len, frames)])))
    crcs = found.crcs()
    for i, (wall_time, step, _, _) in enumerate(stamps):
        step_size = len(pieces[i]) - (9 if wall_time else 0)
        is_usual = step_size <= 9 and len(records[i]) >= 14
        assert found.sizes[i] == (len(pieces[i]) if is_usual else -1)
        if is_usual:
            assert found.steps[i] == step
            assert np.array_equal(found.wall_times[i], wall_time, equal_nan=True)
            assert crcs[i] == crc32c(pieces[i])


def _long_varint(number: int, size: int) -> bytes:
    """A varint of at least some bytes."""
    short = encode_varint(number % 2**64)
    more = size - len(short)
    return short if more <= 0 else short[:-1] + bytes([short[-1] | 0x80]) + b"\x80" * (more - 1) + b"\0"


def test_forms_are_only_those_of_scalars() -> None:
    data = scalar("loss", 1.0, 0, 0.0).SerializeToString()
    assert data[:1] == b"*"  # neither a wall time nor a step
    layout = find_layout(data)
    assert layout is not None
    assert layout.tags == ("loss",)
    assert find_layout(VERSION.SerializeToString()) is None
    assert find_layout(data[:-1]) is None
    assert find_layout(b"") is None
    assert find_layout(data + b"\x10\x05") is None  # a step behind it
    assert find_layout(data + data) is None
    bad = data.replace(b"loss", b"lo\xff\xff")
    assert find_layout(bad) is None


# --- files -------------------------------------------------------------------------------------------------


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


def test_a_run_that_began_again_keeps_all_values() -> None:
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


def test_what_is_no_event_file_is_called_what_it_is(tmp_path: Path) -> None:
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
    with pytest.raises(UnsupportedError, match=r"open_events reads it, 'ckptfmt events' shows it"):
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


def test_a_tag_that_is_not_there(tmp_path: Path) -> None:
    events = ckptfmt.open_events(EVENTS / "tf2")
    with pytest.raises(NameNotFoundError, match="no scalars 'los'; did you mean 'loss'"):
        events.scalars["los"]
    with pytest.raises(KeyError):
        events.histograms["loss"]


# --- other kinds -------------------------------------------------------------------------------------------


def pixels(step: int) -> np.ndarray:
    return (np.arange(2 * 3 * 4 * 3).reshape(2, 3, 4, 3) * (step + 1) % 256).astype(np.uint8)


def test_every_kind_of_tensorflow_1() -> None:
    events = ckptfmt.open_events(EVENTS / "tf1")
    assert (events.version, events.writer) == ("brain.Event:2", "tensorflow.core.util.events_writer")
    assert events.scalars["loss"].values.tolist() == [0, 0.25, 0.5, 0.75, 1]
    histogram = events.histograms["weights"][4]
    assert (histogram.min, histogram.max, histogram.num, histogram.sum) == (0, 19, 20, 190)
    assert histogram.counts.sum() == 20
    assert (histogram.left[1:] == histogram.right[:-1]).all()
    (image,) = events.images["pictures/image/1"][2]
    assert (image.format, image.height, image.width, image.channels) == ("png", 3, 4, 3)
    (clip,) = events.audio["sound/audio/0"][1]
    assert (clip.content_type, clip.sample_rate, clip.num_channels, clip.length_frames) == (
        "audio/wav",
        8000,
        1,
        20,
    )
    assert clip.data.startswith(b"RIFF")
    assert events.text["words"][1].item() == "0.250000"
    assert events.tensors["matrix"][4].tolist() == [[1, 1], [1, 1]]
    assert "x" in events.graphs[0]
    assert "loss" in events.meta_graphs[0].graph
    assert [(log.status, log.checkpoint_path) for log in events.session_logs] == [
        ("START", ""),
        ("CHECKPOINT", "ckpt-1"),
        ("STOP", ""),
    ]
    (metadata,) = events.run_metadata
    assert (metadata.tag, metadata.step) == ("step1", 1)
    (device,) = metadata.message.step_stats.dev_stats
    columns = metadata.to_columns()
    assert columns["node"].tolist() == [node.node_name for node in device.node_stats]
    assert {"pictures", "loss"} <= set(columns["node"])
    assert set(columns["device"]) == {device.device}
    assert all(label.startswith(node) for node, label in zip(columns["node"], columns["label"], strict=True))
    ends = [node.all_start_micros + node.all_end_rel_micros for node in device.node_stats]
    assert (columns["start_micros"] + columns["duration_micros"]).tolist() == ends
    assert columns["thread"].tolist() == [node.thread_id for node in device.node_stats]
    assert [column.dtype for column in columns.values()] == [
        *[object] * 3,
        np.uint32,
        *[np.int64] * 3,
    ]
    assert (abs(columns["duration_nanos"] / 1000 - columns["duration_micros"]) <= 1).all()
    assert events.hparams is None


def test_every_kind_of_tensorflow_2() -> None:
    events = ckptfmt.open_events(EVENTS / "tf2")
    assert events.scalars["accuracy"].values.tolist() == [1, 0.75, 0.5, 0.25, 0]
    assert events.scalars["accuracy"].metadata.description == "of the **test** set"
    histogram = events.histograms["weights"][4]
    assert (histogram.min, histogram.max, histogram.num, histogram.sum) == (0, 76, 20, None)
    assert len(histogram.counts) == 7
    images = events.images["pictures"][2]
    assert [(each.format, each.height, each.width) for each in images] == [("png", 3, 4)] * 2
    assert [clip.content_type for clip in events.audio["sound"][1]] == ["audio/wav"] * 2
    assert events.text["words"][1].item() == "1"
    assert events.text["table"][2].tolist() == [["a", "b"], ["ü", "2"]]
    assert events.tensors["matrix"][3].dtype == np.float64
    assert events.tensors["number"][3] == np.float32(3)
    assert events.tensors["number"].steps.tolist() == [0, 1, 2, 3, 4]
    hparams = events.hparams
    assert hparams is not None
    assert hparams.values == {"units": 16.0, "rate": 0.5, "optimizer": "adam", "bias": True}
    assert hparams.group_name == "trial"
    (metadata,) = events.run_metadata
    assert metadata.step == 3
    assert len(metadata.message.function_graphs)
    assert not metadata.to_columns()["node"].size
    assert len(events.graphs) == 1


def test_images_are_decoded_through_pillow() -> None:
    pytest.importorskip("PIL", reason="Pillow is not installed")
    for case, tag in (("tf1", "pictures/image/0"), ("tf2", "pictures")):
        for step, images in enumerate(ckptfmt.open_events(EVENTS / case).images[tag]):
            assert np.array_equal(images[0].decode(), pixels(step)[0])
    damaged = ckptfmt.Image(images[0].data[:40], "png", 3, 4, 3)
    with pytest.raises(CorruptError, match="image of 40 bytes"):
        damaged.decode()
    with pytest.raises(ckptfmt.errors.LimitError):
        images[0].decode(max_pixels=11)


def png(width: int, height: int) -> bytes:
    """A black image of one bit a pixel."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    rows = zlib.compress(bytes((1 + -(-width // 8)) * height), 1)
    head = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def test_limits_of_images_are_those_that_are_told() -> None:
    pillow = pytest.importorskip("PIL.Image", reason="Pillow is not installed")
    # More than Pillow warns of, which here are errors.
    image = ckptfmt.Image(png(10_000, 9_000), "png", 9_000, 10_000, 1)
    pixels = image.decode()
    assert (pixels.shape, pixels.dtype) == ((9_000, 10_000), bool)
    with pytest.raises(LimitError) as caught:
        image.decode(max_pixels=1000)
    assert (caught.value.limit, caught.value.asked) == (1000, 90_000_000)
    large = ckptfmt.Image(png(14_000, 14_000), "png", 14_000, 14_000, 1)
    with pytest.raises(LimitError) as caught:
        large.decode(max_pixels=1 << 30)
    assert (caught.value.limit, caught.value.asked) == (2 * pillow.MAX_IMAGE_PIXELS, 14_000 * 14_000)


def test_without_pillow_images_are_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "PIL", None)
    image = ckptfmt.open_events(EVENTS / "tf2").images["pictures"][0][0]
    with pytest.raises(MissingDependencyError, match="images"):
        image.decode()


def test_summaries_that_are_not_what_their_plugin_says(tmp_path: Path) -> None:
    event = messages.Event(step=1)
    for plugin in ("histograms", "images", "audio", "text", "scalars"):
        value = event.summary.value.add(tag=plugin)
        value.metadata.plugin_data.plugin_name = plugin
        value.tensor.CopyFrom(ckptfmt.to_proto(np.arange(3)))
    events = ckptfmt.open_events(write_events(tmp_path / "e.tfevents", [VERSION, event]))
    for kind in ("histograms", "images", "audio", "text"):
        with pytest.raises((CorruptError, UnsupportedError)):
            getattr(events, kind)[kind][0]
    assert events.tags["scalars"] == "tensors"
    assert events.tensors["scalars"][0].tolist() == [0, 1, 2]


def summary(tag: str, tensor: Any, plugin: str, step: int = 1) -> messages.Event:
    """An event of one tensor."""
    event = messages.Event(step=step, wall_time=float(step))
    value = event.summary.value.add(tag=tag)
    if plugin:
        value.metadata.plugin_data.plugin_name = plugin
    value.tensor.CopyFrom(ckptfmt.to_proto(tensor))
    return event


@pytest.mark.parametrize(
    "odd",
    [
        pytest.param(np.float32([1, 2]), id="two numbers"),
        pytest.param(np.array(b"text", object), id="a string"),
        pytest.param(np.complex64(1 + 2j), id="a complex number"),
        pytest.param(np.zeros((0,), np.float32), id="none"),
    ],
)
def test_a_scalar_that_is_no_number_is_a_tensor(tmp_path: Path, odd: Any) -> None:
    events = [*(tensor_scalar("loss", i, i) for i in range(5)), summary("loss", odd, "scalars", 5)]
    events += [tensor_scalar("loss", 6, 6), summary("odd", odd, "scalars")]
    found = ckptfmt.open_events(write_events(tmp_path / "e.tfevents", [VERSION, *events]))
    assert found.tags == {"loss": "scalars", "odd": "tensors"}
    assert found.scalars["loss"].steps.tolist() == [0, 1, 2, 3, 4, 6]
    assert found.scalars["loss"].values.dtype == np.float32
    assert len(found.to_columns()["value"]) == 6
    assert found.tensors["loss"].steps.tolist() == [5]
    assert np.array_equal(found.tensors["loss"][0], odd)
    assert np.array_equal(found.tensors["odd"][0], odd)


@pytest.mark.parametrize("compressed", [False, True])
def test_a_tag_that_changes_its_kind_has_all_its_values(tmp_path: Path, compressed: bool) -> None:
    buckets = np.array([[0, 1, 5], [1, 2, 6]], np.float64)
    events = [VERSION]
    for i in range(6):
        events += [tensor_scalar("kind", i, i), summary("kind", buckets * (i + 1), "histograms", i)]
        events += [summary("kind", np.float32(i), "other", i), summary("none", np.float32(i), "", i)]
        events += [scalar("none", i + 0.5, i)]
    path = write_events(tmp_path / "e.tfevents", events)
    if compressed:
        path.write_bytes(gzip.compress(path.read_bytes()))
    found = ckptfmt.open_events(path)
    assert found.tags == {"kind": "scalars", "none": "scalars"}
    assert found.scalars["kind"].values.tolist() == [0, 1, 2, 3, 4, 5]
    assert [histogram.counts.tolist() for histogram in found.histograms["kind"]] == [
        [5 * i, 6 * i] for i in range(1, 7)
    ]
    assert [value.item() for value in found.tensors["kind"]] == [0, 1, 2, 3, 4, 5]
    assert found.scalars["none"].values.tolist() == [i + 0.5 for i in range(6)]
    assert [value.item() for value in found.tensors["none"]] == [0, 1, 2, 3, 4, 5]
    metadata = [getattr(found, kind)["kind"].metadata.plugin for kind in ("scalars", "histograms", "tensors")]
    assert metadata[:2] == ["scalars", "histograms"]
    for tag, kind in found.tags.items():
        assert getattr(found, kind)[tag].tag == tag


def test_what_is_said_to_be_of_a_plugin_and_is_a_number_is_an_error_of_its_own(tmp_path: Path) -> None:
    events = [summary("x", np.float32(i), "histograms", i) for i in range(10)]
    for compress in (bytes, gzip.compress):
        path = tmp_path / "e.tfevents"
        path.write_bytes(compress(write_events(path, [VERSION, *events]).read_bytes()))
        series = ckptfmt.open_events(path).histograms["x"]
        assert len(series) == 10
        with pytest.raises(CorruptError, match=r"histograms 'x': histogram: got float32\[\]"):
            series[3]


def test_errors_of_values_say_where_they_are(tmp_path: Path) -> None:
    good = np.zeros((2, 3))
    events = [VERSION, summary("h", good, "histograms"), summary("h", np.float32([1, 2]), "histograms")]
    events += [
        summary("words", np.float32([1, 2]), "text"),
        summary("m", np.float32([1]), "graph_run_metadata"),
    ]
    events.append(messages.Event(graph_def=b"\xff\xff"))
    path = write_events(tmp_path / "e.tfevents", events)
    offsets = np.cumsum([0, *(len(event.SerializeToString()) + 16 for event in events)]).tolist()
    found = ckptfmt.open_events(path)
    assert len(found.histograms["h"][0].counts) == 2
    with pytest.raises(CorruptError, match="histograms 'h': histogram: got float32") as caught:
        found.histograms["h"][1]
    assert (caught.value.file, caught.value.offset) == (str(path), offsets[2])
    with pytest.raises(UnsupportedError, match=f"@0x{offsets[3]:x}: text 'words': text: got") as unsupported:
        found.text["words"][0]
    assert unsupported.value.file == str(path)
    with pytest.raises(
        UnsupportedError, match=f"@0x{offsets[4]:x}: run metadata 'm': .* want one of strings"
    ):
        _ = found.run_metadata
    with pytest.raises(CorruptError, match=r"graph_def: not a tensorflow\.GraphDef") as caught:
        _ = found.graphs
    assert (caught.value.file, caught.value.offset) == (str(path), offsets[5])


def test_tags_are_in_the_order_of_their_first_values(tmp_path: Path) -> None:
    """Whatever way they are decoded: of one form, alone, or several in an event."""
    events = [VERSION, summary("z", np.float32([1, 2]), "other")]
    for i in range(20):
        events += [scalar("bb", i, i), scalar("a", i, i), tensor_scalar("c", i, i)]
        both = scalar("y", i, i)
        both.summary.value.add(tag="x", simple_value=i)
        events.append(both)
    found = ckptfmt.open_events(write_events(tmp_path / "e.tfevents", events))
    assert list(found.tags) == ["z", "bb", "a", "c", "y", "x"]
    assert list(found.scalars) == ["bb", "a", "c", "y", "x"]


def session(version: int) -> bytes:
    """Serialized run metadata that tell which they are."""
    return messages.RunMetadata(
        session_metadata=messages.SessionMetadata(version=version)
    ).SerializeToString()


def test_run_metadata_are_in_the_order_in_which_they_were_written(tmp_path: Path) -> None:
    events = [VERSION]
    for i in range(3):
        events.append(messages.Event(step=2 * i))
        events[-1].tagged_run_metadata.tag = f"old{i}"
        events[-1].tagged_run_metadata.run_metadata = session(i)
        data = np.array([session(10 + i)], object)
        events.append(summary("new", data, "graph_run_metadata", 2 * i + 1))
    found = ckptfmt.open_events(write_events(tmp_path / "e.tfevents", events)).run_metadata
    assert [(each.tag, each.step, each.message.session_metadata.version) for each in found] == [
        ("old0", 0, 0),
        ("new", 1, 10),
        ("old1", 2, 1),
        ("new", 3, 11),
        ("old2", 4, 2),
        ("new", 5, 12),
    ]
    assert [each.data for each in found[1::2]] == [session(10 + i) for i in range(3)]


@pytest.mark.parametrize("is_old", [True, False], ids=["event", "tensor"])
def test_damaged_run_metadata_say_where_they_are(tmp_path: Path, is_old: bool) -> None:
    event = summary("m", np.array([b"\xff"], object), "graph_run_metadata")
    if is_old:
        event = messages.Event(tagged_run_metadata=messages.TaggedRunMetadata(run_metadata=b"\xff"))
    path = write_events(tmp_path / "e.tfevents", [VERSION, event])
    with pytest.raises(CorruptError, match=r"not a tensorflow\.RunMetadata message") as caught:
        _ = ckptfmt.open_events(path).run_metadata
    assert (caught.value.file, caught.value.offset) == (str(path), len(VERSION.SerializeToString()) + 16)


# --- hyperparameters ---------------------------------------------------------------------------------------


def field(number: int, data: bytes) -> bytes:
    return encode_varint(number << 3 | 2) + encode_varint(len(data)) + data


def hparams_event(tag: str, content: bytes) -> messages.Event:
    event = messages.Event()
    value = event.summary.value.add(tag=tag)
    value.metadata.plugin_data.plugin_name = "hparams"
    value.metadata.plugin_data.content = content
    return event


def number(value: float) -> bytes:
    return b"\x11" + struct.pack("<d", value)


def test_all_that_is_said_of_hyperparameters(tmp_path: Path) -> None:
    layers = field(6, field(1, number(64)) + field(1, number(32)) + field(1, field(3, b"out")))
    nested = field(5, field(1, field(1, b"rate") + field(2, number(0.5))) + field(1, field(1, b"decay")))
    session = (
        field(1, field(1, b"layers") + field(2, layers))
        + field(1, field(1, b"optimizer") + field(2, nested))
        + field(1, field(1, b"nothing") + field(2, b"\x08\x00"))
        + field(2, b"model")
        + field(3, b"url")
        + field(4, b"group")
        + b"\x29"
        + struct.pack("<d", 12.5)
    )
    end = b"\x08\x02\x11" + struct.pack("<d", 99.5)
    experiment = (
        field(6, b"name")
        + field(1, b"what it is for")
        + field(5, field(1, field(1, b"eval") + field(2, b"loss")))
        + field(5, field(1, field(2, b"accuracy")))
    )
    events = [
        hparams_event("_hparams_/experiment", field(2, experiment)),
        hparams_event("_hparams_/session_start_info", field(3, session)),
        hparams_event("_hparams_/session_end_info", field(4, end)),
        scalar("loss", 1, 1),
    ]
    found = ckptfmt.open_events(write_events(tmp_path / "e.tfevents", [VERSION, *events]))
    assert found.tags == {"loss": "scalars"}
    hparams = found.hparams
    assert hparams is not None
    assert hparams.values == {
        "layers": [64.0, 32.0, "out"],
        "optimizer": {"rate": 0.5, "decay": None},
        "nothing": None,
    }
    assert (hparams.group_name, hparams.model_uri, hparams.monitor_url) == ("group", "model", "url")
    assert (hparams.start_time, hparams.end_time, hparams.status) == (12.5, 99.5, "failure")
    assert (hparams.experiment, hparams.description) == ("name", "what it is for")
    assert hparams.metrics == ["eval/loss", "accuracy"]


def test_damaged_hyperparameters_spoil_only_themselves(tmp_path: Path) -> None:
    events = [VERSION, *(scalar("loss", i, i) for i in range(5))]
    offset = sum(len(event.SerializeToString()) + 16 for event in events)
    events.append(hparams_event("_hparams_/session_start_info", b"\x1a\x05\xff"))
    path = write_events(tmp_path / "e.tfevents", events)
    found = ckptfmt.open_events(path)
    assert found.tags == {"loss": "scalars"}
    assert len(found.to_columns()["step"]) == 5
    for _ in range(2):
        with pytest.raises(CorruptError, match="hparams '_hparams_/session_start_info'") as caught:
            _ = found.hparams
        assert (caught.value.file, caught.value.offset) == (str(path), offset)


def test_hyperparameters_that_nest_without_end_are_refused(tmp_path: Path) -> None:
    value = number(1)
    for _ in range(2000):
        value = field(6, field(1, value))
    content = field(3, field(1, field(1, b"x") + field(2, value)))
    found = ckptfmt.open_events(write_events(tmp_path / "e.tfevents", [hparams_event("h", content)]))
    with pytest.raises(CorruptError, match="nested deeper"):
        _ = found.hparams


@pytest.mark.parametrize("entry", entries("events"))
def test_files_of_other_people_hold_what_tensorflow_says(entry: dict[str, Any]) -> None:
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


# --- files that are being written --------------------------------------------------------------------------


def test_what_was_written_since_is_read(tmp_path: Path) -> None:
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


def test_events_without_numbers_are_at_zero(tmp_path: Path) -> None:
    value = b"\x0a\x01x\x15" + struct.pack("<f", 2.5)
    summary = b"\x0a" + encode_varint(len(value)) + value
    event = b"\x2a" + encode_varint(len(summary)) + summary
    series = open_quietly(write_events(tmp_path / "e.tfevents", [event] * 5)).scalars["x"]
    assert (series.steps.tolist(), series.wall_times.tolist(), series.values.tolist()) == (
        [0] * 5,
        [0.0] * 5,
        [2.5] * 5,
    )
