"""Kinds of values: by what they hold, and by the plugins that they and their tags name."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ckptfmt
from ckptfmt.errors import (
    CorruptError,
    UnsupportedError,
)
from ckptfmt.proto import messages
from ckptfmt.wire.coding import encode_varint
from tests.support.command_line import run
from tests.support.event_log import (
    VERSION,
    scalar,
    tensor_event,
    tensor_scalar,
    write_events,
)
from tests.support.records import frame


def test_summaries_whose_content_does_not_fit_their_plugin(tmp_path: Path) -> None:
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


@pytest.mark.parametrize(
    "odd",
    [
        pytest.param(np.float32([1, 2]), id="two numbers"),
        pytest.param(np.array(b"text", object), id="a string"),
        pytest.param(np.complex64(1 + 2j), id="a complex number"),
        pytest.param(np.zeros((0,), np.float32), id="none"),
    ],
)
def test_a_scalar_that_is_not_one_number_is_a_tensor(tmp_path: Path, odd: Any) -> None:
    events = [*(tensor_scalar("loss", i, i) for i in range(5)), tensor_event("loss", odd, "scalars", 5)]
    events += [tensor_scalar("loss", 6, 6), tensor_event("odd", odd, "scalars")]
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
        events += [tensor_scalar("kind", i, i), tensor_event("kind", buckets * (i + 1), "histograms", i)]
        events += [
            tensor_event("kind", np.float32(i), "other", i),
            tensor_event("none", np.float32(i), "", i),
        ]
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


def test_a_number_under_another_plugin_is_an_error_when_it_is_read(tmp_path: Path) -> None:
    events = [tensor_event("x", np.float32(i), "histograms", i) for i in range(10)]
    for compress in (bytes, gzip.compress):
        path = tmp_path / "e.tfevents"
        path.write_bytes(compress(write_events(path, [VERSION, *events]).read_bytes()))
        series = ckptfmt.open_events(path).histograms["x"]
        assert len(series) == 10
        with pytest.raises(CorruptError, match=r"histograms 'x': got float32\[\]"):
            series[3]


@pytest.mark.parametrize("stored_tag", [b"", b"\x0a\x00"], ids=["no tag", "an empty tag"])
def test_tensors_without_a_tag_have_the_name_of_their_node(tmp_path: Path, stored_tag: bytes) -> None:
    content = frame(VERSION.SerializeToString())
    for step in range(8):  # enough of one form to be decoded together
        for node in ("a", "b"):
            value = messages.Summary.Value(node_name=node, tensor=ckptfmt.to_proto(np.float32(step)))
            value.metadata.plugin_data.plugin_name = "scalars"
            data = value.SerializeToString() + stored_tag
            summary = b"\x2a" + encode_varint(len(data) + 2) + b"\x0a" + encode_varint(len(data)) + data
            content += frame(messages.Event(step=step, wall_time=1.5).SerializeToString() + summary)
    path = tmp_path / "events.out.tfevents.1.h"
    path.write_bytes(content)
    with ckptfmt.open_events(path) as events:
        assert list(events.scalars) == ["a", "b"]
        for series in events.scalars.values():
            assert series.values.tolist() == series.steps.tolist() == list(range(8))
    result = run("events", path, "b", "--follow", "--timeout", "0")
    assert [line.split("\t")[:2] for line in result.stdout.splitlines()] == [["b", str(n)] for n in range(8)]


def test_a_simple_value_without_a_tag_has_none(tmp_path: Path) -> None:
    event = messages.Event(step=1)
    event.summary.value.add(node_name="a", simple_value=2)
    with ckptfmt.open_events(write_events(tmp_path / "e.tfevents", [VERSION, event])) as events:
        assert list(events.scalars) == [""]
