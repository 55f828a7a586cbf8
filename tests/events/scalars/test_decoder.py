"""Scalars decoded as columns are what protobuf decodes one by one."""

from __future__ import annotations

import gzip
import struct
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st

import ckptfmt
from ckptfmt.proto import messages
from ckptfmt.wire.coding import encode_varint
from tests.support.event_log import (
    VERSION,
    assert_same_scalars,
    long_varint,
    open_quietly,
    scalar,
    scalars_by_columns,
    scalars_by_protobuf,
    tensor_scalar,
    write_events,
)
from tests.support.records import frame


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


def test_scalars_of_both_versions_of_tensorflow_are_the_same(tmp_path: Path) -> None:
    events = [
        VERSION,
        *(tensor_scalar("a", i, i) for i in range(50)),
        *(scalar("b", i, i) for i in range(50)),
    ]
    found = ckptfmt.open_events(write_events(tmp_path / "e.tfevents", events))
    assert found.tags == {"a": "scalars", "b": "scalars"}
    assert np.array_equal(found.scalars["a"].values, found.scalars["b"].values)
    assert found.scalars["a"].metadata.plugin == "scalars"


def test_the_first_value_of_a_tag_has_the_metadata_of_all(tmp_path: Path) -> None:
    events = [tensor_scalar("loss", i, i) for i in range(100)]
    for event in events[1:]:
        event.summary.value[0].ClearField("metadata")
    found = ckptfmt.open_events(write_events(tmp_path / "e.tfevents", [VERSION, *events]))
    assert found.scalars["loss"].steps.tolist() == list(range(100))


def test_every_tag_of_a_template_has_its_metadata(tmp_path: Path) -> None:
    events = []
    for i in range(20):
        event = tensor_scalar("ab"[i % 2], i, i)
        event.summary.value[0].metadata.display_name = f"name {i % 2}"
        events.append(event)
    found = ckptfmt.open_events(write_events(tmp_path / "e.tfevents", events)).scalars
    assert [found[tag].metadata.display_name for tag in "ab"] == ["name 0", "name 1"]


@pytest.mark.parametrize("data", [b"", b"0", b"\x09", b"\x10\x05"], ids=repr)
def test_files_of_short_records(tmp_path: Path, data: bytes) -> None:
    for count in (1, 10):
        path = tmp_path / f"{count}.tfevents"
        path.write_bytes(frame(data) * count)
        found = open_quietly(path)
        is_event = data in (b"", b"\x10\x05")
        assert found.num_events == count * is_event
        assert len(found.damage) == count * (not is_event)
        assert not found.tags


def test_events_of_any_size_are_those_of_protobuf(tmp_path: Path) -> None:
    """Lengths that are the same modulo 65,536 too."""
    short, long = "t" * 100, "t" * (100 + (1 << 16))
    events = [scalar(tag, i, i) for i in range(10) for tag in (short, long, "t" * 4080, "t" * 4200)]
    found = ckptfmt.open_events(write_events(tmp_path / "e.tfevents", events))
    assert_same_scalars(found, events)
    assert list(found.tags) == [short, long, "t" * 4080, "t" * 4200]


@pytest.mark.parametrize("size", [5, 6, 10])
@pytest.mark.parametrize("count", [1, 20])
def test_varints_that_are_too_long_for_protobuf_are_damage(tmp_path: Path, size: int, count: int) -> None:
    """Whether one event is written so, or many are."""
    plain = scalar("abc", 1, 3).SerializeToString()
    at = plain.index(b"*") + 1
    event = plain[:at] + long_varint(plain[at], size) + plain[at + 1 :]
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


def test_events_without_step_and_wall_time_are_at_zero(tmp_path: Path) -> None:
    value = b"\x0a\x01x\x15" + struct.pack("<f", 2.5)
    summary = b"\x0a" + encode_varint(len(value)) + value
    event = b"\x2a" + encode_varint(len(summary)) + summary
    series = open_quietly(write_events(tmp_path / "e.tfevents", [event] * 5)).scalars["x"]
    assert (series.steps.tolist(), series.wall_times.tolist(), series.values.tolist()) == (
        [0] * 5,
        [0.0] * 5,
        [2.5] * 5,
    )


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
