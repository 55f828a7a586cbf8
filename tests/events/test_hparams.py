"""Hyperparameters of runs."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

import ckptfmt
from ckptfmt.errors import (
    CorruptError,
)
from ckptfmt.proto import messages
from ckptfmt.wire.coding import encode_varint
from tests.support.event_log import (
    VERSION,
    scalar,
    write_events,
)


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


def test_hyperparameters_are_decoded(tmp_path: Path) -> None:
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


def test_hyperparameters_that_nest_too_deeply_are_refused(tmp_path: Path) -> None:
    value = number(1)
    for _ in range(2000):
        value = field(6, field(1, value))
    content = field(3, field(1, field(1, b"x") + field(2, value)))
    found = ckptfmt.open_events(write_events(tmp_path / "e.tfevents", [hparams_event("h", content)]))
    with pytest.raises(CorruptError, match="nested deeper"):
        _ = found.hparams
