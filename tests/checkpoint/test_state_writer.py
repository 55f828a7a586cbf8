"""The state file is written as protobuf's printer writes it, and read again."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from google.protobuf import text_format
from hypothesis import given
from hypothesis import strategies as st

from ckptfmt.checkpoint.state_file import CheckpointState, read_checkpoint_state
from ckptfmt.checkpoint.state_writer import encode_state, write_state
from ckptfmt.proto import messages

PATHS = st.text(st.characters(exclude_categories=["Cs"]))
TIMES = st.floats(allow_nan=False)


@st.composite
def states(draw: st.DrawFn) -> CheckpointState:
    paths = draw(st.lists(PATHS, max_size=5))
    return CheckpointState(
        directory="run",
        model_checkpoint_path=draw(PATHS),
        all_model_checkpoint_paths=tuple(paths),
        all_model_checkpoint_timestamps=tuple(draw(st.lists(TIMES, max_size=5))),
        last_preserved_timestamp=draw(TIMES),
    )


def printed(state: CheckpointState) -> bytes:
    """Return what protobuf prints of a state, as TensorFlow has it print."""
    message = messages.CheckpointState(
        model_checkpoint_path=state.model_checkpoint_path,
        all_model_checkpoint_paths=state.all_model_checkpoint_paths,
        all_model_checkpoint_timestamps=state.all_model_checkpoint_timestamps,
        last_preserved_timestamp=state.last_preserved_timestamp,
    )
    return text_format.MessageToString(message, as_utf8=True).encode()


@given(states())
def test_the_bytes_are_those_of_protobuf(state: CheckpointState) -> None:
    assert encode_state(state) == printed(state)


@given(states().filter(lambda state: state.model_checkpoint_path))
def test_what_is_written_is_read(tmp_path_factory: pytest.TempPathFactory, state: CheckpointState) -> None:
    directory = tmp_path_factory.mktemp("run")
    (directory / "checkpoint").write_bytes(encode_state(state))
    read = read_checkpoint_state(directory)
    assert read is not None
    assert read.model_checkpoint_path == state.model_checkpoint_path
    assert read.all_model_checkpoint_paths == state.all_model_checkpoint_paths
    assert read.all_model_checkpoint_timestamps == state.all_model_checkpoint_timestamps
    assert read.last_preserved_timestamp == state.last_preserved_timestamp


def test_quotes_backslashes_and_lines_are_escaped() -> None:
    state = CheckpointState("run", "a\"b'c\\d\ne\tf\x01\x7fé\u2028")
    assert encode_state(state).decode() == (
        r'model_checkpoint_path: "a\"b\'c\\d\ne\tf\001\177' + 'é\u2028"\n'
    )


def test_times_are_the_shortest_that_are_read_as_the_same() -> None:
    times = (1795247177.7651331, 3.0, 1e22, math.inf, math.nan, 0.0)
    text = encode_state(CheckpointState("run", "a", (), times, -0.0)).decode()
    assert [line.partition(": ")[2] for line in text.splitlines()[1:]] == [
        "1795247177.7651331",
        "3.0",
        "1e+22",
        "inf",
        "nan",
        "0.0",
        "-0.0",
    ]


def test_a_path_has_to_be_text() -> None:
    with pytest.raises(ValueError, match="want text that UTF-8 can encode"):
        encode_state(CheckpointState("run", "ckpt-\udcff"))


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    for latest in ("ckpt-1", "ckpt-2"):
        data = write_state(CheckpointState(str(tmp_path), latest, filename="other"))
        assert (tmp_path / "other").read_bytes() == data
    assert [path.name for path in tmp_path.iterdir()] == ["other"]
