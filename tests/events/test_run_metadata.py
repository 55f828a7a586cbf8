"""Run metadata, which TensorFlow 1 and 2 write in different ways."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import ckptfmt
from ckptfmt.errors import (
    CorruptError,
)
from ckptfmt.proto import messages
from tests.support.event_log import (
    VERSION,
    tensor_event,
    write_events,
)


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
        events.append(tensor_event("new", data, "graph_run_metadata", 2 * i + 1))
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
    event = tensor_event("m", np.array([b"\xff"], object), "graph_run_metadata")
    if is_old:
        event = messages.Event(tagged_run_metadata=messages.TaggedRunMetadata(run_metadata=b"\xff"))
    path = write_events(tmp_path / "e.tfevents", [VERSION, event])
    with pytest.raises(CorruptError, match=r"not a tensorflow\.RunMetadata message") as caught:
        _ = ckptfmt.open_events(path).run_metadata
    assert (caught.value.file, caught.value.offset) == (str(path), len(VERSION.SerializeToString()) + 16)
