"""Event files made by tests, and their contents as protobuf decodes them."""

from __future__ import annotations

import struct
import warnings
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

import ckptfmt
from ckptfmt.errors import CkptfmtError, DamageWarning
from ckptfmt.proto import messages
from ckptfmt.wire.coding import encode_varint
from tests.support.records import frame

EVENTS = Path(__file__).parent.parent / "data" / "events"
"""Event files written by TensorFlow; see make_events."""

VERSION = messages.Event(wall_time=1.5, file_version="brain.Event:2")


def scalar(tag: str, value: float, step: int, wall_time: float = 1.5) -> messages.Event:
    """Return an event with one scalar, as TensorFlow 1 writes it."""
    event = messages.Event(wall_time=wall_time, step=step)
    event.summary.value.add(tag=tag, simple_value=value)
    return event


def tensor_scalar(tag: str, value: float, step: int, wall_time: float = 1.5) -> messages.Event:
    """Return an event with one scalar, as TensorFlow 2 writes it."""
    event = messages.Event(wall_time=wall_time, step=step)
    added = event.summary.value.add(tag=tag)
    added.metadata.plugin_data.plugin_name = "scalars"
    added.tensor.dtype = 1
    added.tensor.tensor_shape.SetInParent()
    added.tensor.tensor_content = struct.pack("<f", value)
    return event


def tensor_event(tag: str, tensor: Any, plugin: str, step: int = 1) -> messages.Event:
    """Return an event with one tensor, as TensorFlow 2 writes it for a plugin."""
    event = messages.Event(step=step, wall_time=float(step))
    value = event.summary.value.add(tag=tag)
    if plugin:
        value.metadata.plugin_data.plugin_name = plugin
    value.tensor.CopyFrom(ckptfmt.to_proto(tensor))
    return event


def write_events(path: Path, events: Iterable[messages.Event | bytes]) -> Path:
    """Write a file of events, or of any bytes in their place."""
    path.parent.mkdir(parents=True, exist_ok=True)
    data = [event if isinstance(event, bytes) else event.SerializeToString() for event in events]
    path.write_bytes(b"".join(map(frame, data)))
    return path


Found = dict[str, list[tuple[int, bytes, bytes]]]
"""Tag -> step, and the bytes of wall time and value, which compare to the last bit."""


def float_bytes(number: float) -> bytes:
    """Return the bytes of a float32, which tell NaNs apart."""
    return np.float32(number).tobytes()


def tag_by_protobuf(value: Any) -> str:
    """Return the tag of a value, by TensorBoard's rule for tensors without one."""
    return value.tag or (value.node_name if value.HasField("tensor") else "")


def scalars_by_protobuf(events: Iterable[Any]) -> Found:
    """Return the scalars of events, decoded one by one."""
    found: Found = {}
    plugins: dict[str, str] = {}
    for event in events:
        for value in event.summary.value:
            if value.HasField("metadata"):
                plugins.setdefault(tag_by_protobuf(value), value.metadata.plugin_data.plugin_name)
    for event in events:
        for value in event.summary.value:
            if value.HasField("simple_value"):
                stored = float_bytes(value.simple_value)
            elif value.HasField("tensor") and plugins.get(tag_by_protobuf(value)) == "scalars":
                stored = np.asarray(ckptfmt.to_array(value.tensor.SerializeToString())).tobytes()
            else:
                continue
            found.setdefault(tag_by_protobuf(value), []).append(
                (event.step, np.float64(event.wall_time).tobytes(), stored)
            )
    return found


def assert_same_scalars(found: ckptfmt.EventLog, events: Iterable[Any]) -> None:
    """Assert that scalars of any dtype are those that protobuf decodes, in the order of the file."""
    wanted = numbers_by_protobuf(list(events))
    assert set(found.scalars) == set(wanted)
    for tag, rows in wanted.items():
        series = found.scalars[tag]
        assert series.steps.tolist() == [step for step, _, _ in rows]
        assert [wall.tobytes() for wall in series.wall_times] == [wall for _, wall, _ in rows]
        numbers = np.array([number for _, _, number in rows]).astype(series.values.dtype)
        assert numbers.tobytes() == series.values.tobytes()


def numbers_by_protobuf(events: list[Any]) -> dict[str, list[tuple[int, bytes, float]]]:
    """Return the scalars of events, decoded one by one: step, bytes of the wall time, value."""
    plugins: dict[str, str] = {}
    for event in events:
        for value in event.summary.value:
            if value.HasField("metadata"):
                plugins.setdefault(tag_by_protobuf(value), value.metadata.plugin_data.plugin_name)
    rows: dict[str, list[tuple[int, bytes, float]]] = {}
    for event in events:
        for value in event.summary.value:
            plugin = value.metadata.plugin_data.plugin_name or plugins.get(tag_by_protobuf(value), "")
            number: float | None = None
            if value.HasField("simple_value"):
                number = value.simple_value
            elif value.HasField("tensor") and plugin == "scalars":
                with suppress(CkptfmtError):
                    array = ckptfmt.to_array(value.tensor)
                    if array.size == 1 and array.dtype.kind not in "Oc":
                        number = float(array.reshape(-1)[0])
            if number is not None:
                wall = np.float64(event.wall_time).tobytes()
                rows.setdefault(tag_by_protobuf(value), []).append((event.step, wall, number))
    return rows


def scalars_by_columns(events: ckptfmt.EventLog, *tags: str) -> Found:
    """Return the scalars of an EventLog from its columns, for some tags or for all."""
    return {
        tag: list(
            zip(
                series.steps.tolist(),
                [wall_time.tobytes() for wall_time in series.wall_times],
                [value.tobytes() for value in series.values],
                strict=True,
            )
        )
        for tag in tags or events.scalars
        for series in [events.scalars[tag]]
    }


def open_quietly(path: Path, **options: Any) -> ckptfmt.EventLog:
    """Open and read event files; warnings of damage are ignored."""
    events = ckptfmt.open_events(path, **options)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DamageWarning)
        events.gather()
    return events


def long_varint(number: int, size: int) -> bytes:
    """Return a varint of at least this many bytes."""
    short = encode_varint(number % 2**64)
    more = size - len(short)
    return short if more <= 0 else short[:-1] + bytes([short[-1] | 0x80]) + b"\x80" * (more - 1) + b"\0"
