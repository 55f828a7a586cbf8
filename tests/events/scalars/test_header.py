"""Headers of events: wall times and steps, decoded for many events at once."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import ckptfmt
from ckptfmt.events.scalars.header import decode_headers
from ckptfmt.record.batch import Batch
from ckptfmt.wire.crc32c import crc32c
from tests.support.event_log import (
    long_varint,
    scalar,
    write_events,
)
from tests.support.records import frame

STEPS = [0, 1, 127, 128, 300, 2**14 - 1, 2**14, 2**31, 2**49, 2**56 - 1, 2**56, 2**63 - 1, -1, -(2**63)]


@pytest.mark.parametrize("verify", [True, False])
@pytest.mark.parametrize("begin", [0, 1e9])
def test_steps_of_any_size_are_those_of_protobuf(tmp_path: Path, verify: bool, begin: float) -> None:
    steps = [step for step in STEPS for _ in range(5)]
    wall_times = [begin + i * bool(begin) for i in range(len(steps))]
    events = [scalar("loss", i / 8, *header) for i, header in enumerate(zip(steps, wall_times, strict=True))]
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
def test_headers_are_decoded_as_they_were_written(headers: list[tuple[float, int, int, bytes]]) -> None:
    # Left out where they are 0; a step may take more bytes than it needs.
    pieces = [
        (b"\x09" + struct.pack("<d", wall_time) if wall_time else b"")
        + (b"\x10" + long_varint(step, size) if step else b"")
        for wall_time, step, size, _ in headers
    ]
    records = [piece + header[3] for piece, header in zip(pieces, headers, strict=True)]
    frames = [frame(record) for record in records]
    found = decode_headers(Batch(b"".join(frames), 0, np.cumsum([0, *map(len, frames)])))
    crcs = found.crcs()
    for i, (wall_time, step, _, _) in enumerate(headers):
        step_size = len(pieces[i]) - (9 if wall_time else 0)
        is_usual = step_size <= 9 and len(records[i]) >= 14
        assert found.sizes[i] == (len(pieces[i]) if is_usual else -1)
        if is_usual:
            assert found.steps[i] == step
            assert np.array_equal(found.wall_times[i], wall_time, equal_nan=True)
            assert crcs[i] == crc32c(pieces[i])
