"""State files written by TensorFlow or by hand are read as TensorFlow reads them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import ckptfmt
from ckptfmt import compat
from ckptfmt.checkpoint.state_file import CheckpointState
from tests.support.table_writer import encode_v1, write_bundle

tf = pytest.importorskip("tensorflow", reason="compares with TensorFlow, which is not installed")
pytestmark = pytest.mark.tensorflow


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def answer(function: Callable[[], Any]) -> Any:
    """Return what a function returns, or ValueError if it raises one."""
    try:
        return function()
    except ValueError:
        return ValueError


def assert_same_state(directory: str) -> CheckpointState | None:
    """Assert that both read the same from a state file; return its state."""
    theirs = answer(lambda: tf.train.get_checkpoint_state(directory))
    message = answer(lambda: compat.get_checkpoint_state(directory))
    if theirs is None or theirs is ValueError:
        assert message == theirs
        return None
    assert message.SerializeToString() == theirs.SerializeToString()
    state = ckptfmt.read_checkpoint_state(directory)
    assert state is not None
    assert os.path.join(directory, state.model_checkpoint_path) == theirs.model_checkpoint_path
    joined = [os.path.join(directory, path) for path in state.all_model_checkpoint_paths]
    assert joined == list(theirs.all_model_checkpoint_paths)
    assert list(state.all_model_checkpoint_timestamps) == list(theirs.all_model_checkpoint_timestamps)
    assert state.last_preserved_timestamp == theirs.last_preserved_timestamp
    assert ckptfmt.latest_checkpoint(directory) == tf.train.latest_checkpoint(directory) is not None
    return state


def test_the_state_of_a_checkpoint_manager_is_read() -> None:
    value = tf.Variable(1.0)
    checkpoint = tf.train.Checkpoint(value=value)
    manager = tf.train.CheckpointManager(checkpoint, "run", max_to_keep=2, keep_checkpoint_every_n_hours=1e-9)
    for _ in range(4):
        manager.save()
        state = assert_same_state("run")
    assert state is not None
    assert state.model_checkpoint_path == "ckpt-4"
    assert len(state.all_model_checkpoint_timestamps) == len(state.all_model_checkpoint_paths) == 2
    assert state.last_preserved_timestamp > 1e9
    assert list(state.existing) == manager.checkpoints
    assert float(ckptfmt.open("run")["value/.ATTRIBUTES/VARIABLE_VALUE"]) == 1.0


def test_states_of_object_checkpoints_are_read_whatever_their_names() -> None:
    checkpoint = tf.train.Checkpoint(value=tf.Variable(1.0))
    for prefix in ("run/plain", "run/é 模型", "run/q\"uo'te"):
        checkpoint.save(prefix)
        assert_same_state("run")
        assert_same_state("./run/")


@pytest.mark.parametrize("name", ["back\\slash", "a[1]", "a{b}", "what?", "all*"])
def test_names_that_look_like_patterns_are_found(name: str) -> None:
    checkpoint = tf.train.Checkpoint(value=tf.Variable(1.0))
    prefix = checkpoint.save(f"run/{name}")
    assert ckptfmt.latest_checkpoint("run") == prefix
    assert tf.train.latest_checkpoint("run") in (None, prefix)


@pytest.mark.parametrize("write_version", [1, 2], ids=["v1", "v2"])
@pytest.mark.parametrize("sharded", [False, True])
@pytest.mark.parametrize("directory", ["run", "absolute"])
@pytest.mark.parametrize("relative", [False, True])
def test_the_state_of_a_saver_is_read_and_survives_a_move(
    folder: Path, write_version: int, sharded: bool, directory: str, relative: bool
) -> None:
    directory = str(folder / "run") if directory == "absolute" else directory
    Path(directory).mkdir()
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        variable = tf.compat.v1.get_variable("v", initializer=np.arange(4.0))
        session.run(variable.initializer)
        saver = tf.compat.v1.train.Saver(
            max_to_keep=2, sharded=sharded, write_version=write_version, save_relative_paths=relative
        )
        for step in (8, 9, 10):
            saver.save(session, os.path.join(directory, "model.ckpt"), global_step=step)
            state = assert_same_state(directory)
    assert state is not None
    assert len(state.existing) == 2
    latest = tf.train.latest_checkpoint(directory)
    with ckptfmt.open(directory) as checkpoint:
        assert checkpoint.prefix == latest
        np.testing.assert_array_equal(checkpoint["v"], np.arange(4.0))
    # After a move TensorFlow finds only relative paths.
    shutil.move(directory, "elsewhere")
    found = ckptfmt.latest_checkpoint("elsewhere")
    assert found == os.path.join("elsewhere", os.path.basename(latest))
    assert tf.train.latest_checkpoint("elsewhere") == (found if relative or directory == "run" else None)
    np.testing.assert_array_equal(ckptfmt.open("elsewhere")["v"], np.arange(4.0))


TEXTS = [
    "",
    "garbage",
    "unknown: 3",
    'model_checkpoint_path: ""',
    'model_checkpoint_path: "v2"',
    "model_checkpoint_path: 'v2' # comment",
    'model_checkpoint_path: "v" "2"',
    'model_checkpoint_path: "v1"',
    'model_checkpoint_path: "v1" model_checkpoint_path: "v2"',
    'model_checkpoint_path: "v2", all_model_checkpoint_paths: ["a", "b"];',
    'model_checkpoint_path: "\\166\\x32"',
    'model_checkpoint_path: "v2" last_preserved_timestamp: 1e400 all_model_checkpoint_timestamps: -inf',
    'model_checkpoint_path: "v2" last_preserved_timestamp: 12f all_model_checkpoint_timestamps: 5',
    'model_checkpoint_path: "v2" last_preserved_timestamp: "12"',
    'model_checkpoint_path: "v2" all_model_checkpoint_paths: ""',
    'model_checkpoint_path: "nothing"',
    'model_checkpoint_path: "../run/v2"',
    'model_checkpoint_path: "v2\nall"',
    'model_checkpoint_path: "v2"}',
    "model_checkpoint_path { }",
    '[tensorflow.x]: 3 model_checkpoint_path: "v2"',
    "1: 'v2'",
]


@pytest.mark.parametrize("text", TEXTS)
def test_hand_written_states_are_read_as_tensorflow_reads_them(text: str) -> None:
    write_bundle_and_v1()
    Path("run/checkpoint").write_text(text, encoding="utf-8")
    theirs = answer(lambda: tf.train.get_checkpoint_state("run"))
    ours = answer(lambda: compat.get_checkpoint_state("run"))
    if theirs is None or theirs is ValueError:
        assert ours == theirs
    else:
        assert ours.SerializeToString() == theirs.SerializeToString()
    assert answer(lambda: ckptfmt.latest_checkpoint("run")) == answer(
        lambda: tf.train.latest_checkpoint("run")
    )


def write_bundle_and_v1() -> None:
    """Write the checkpoints that the texts name."""
    Path("run").mkdir(exist_ok=True)
    write_bundle("run/v2")
    Path("run/v1").write_bytes(encode_v1())


PATH = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=20)
STAMP = st.floats(allow_nan=False)


@settings(deadline=None, max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(latest=PATH, paths=st.lists(PATH, max_size=4), stamps=st.lists(STAMP, max_size=4), last=STAMP)
def test_any_state_that_protobuf_prints_is_read(
    latest: str, paths: list[str], stamps: list[float], last: float
) -> None:
    from google.protobuf import text_format
    from tensorflow.python.training.checkpoint_state_pb2 import CheckpointState as Message

    message = Message(
        model_checkpoint_path=latest,
        all_model_checkpoint_paths=paths,
        all_model_checkpoint_timestamps=stamps,
        last_preserved_timestamp=last,
    )
    Path("s").mkdir(exist_ok=True)
    for as_utf8 in (True, False):
        Path("s/checkpoint").write_bytes(text_format.MessageToString(message, as_utf8=as_utf8).encode())
        state = ckptfmt.read_checkpoint_state("s")
        assert state is not None
        assert state.model_checkpoint_path == latest
        assert list(state.all_model_checkpoint_paths) == paths
        assert list(state.all_model_checkpoint_timestamps) == stamps
        assert state.last_preserved_timestamp == last


WRITTEN = [
    *(r"D:\work\m-0", r"D:\new\m-0", r"C:\Users\me\m-0", r"D:\xdir\m-0", r"D:\xz\m-0", r"D:\unet\m-0"),
    *(
        r"D:\ckpt\100\m-0",
        r"D:\400\m-0",
        r"D:\Gdir\8m\m-0",
        r"D:\work" "\\",
        r"\\server\share\m-0",
        r"a\ b\m-0",
    ),
    *(r"\\\\server\\share\\m-0", r"\?\C:\m-0", "D:/runs/m-0", "m-0 ", "./m-0", "gs://bucket/m-0"),
    *("m-0.index", "m-0.data-00000-of-00001", "m-0.meta"),
]


@pytest.mark.filterwarnings("ignore:invalid .*escape sequence:DeprecationWarning")  # TensorFlow's
@pytest.mark.parametrize("stored", WRITTEN)
@pytest.mark.parametrize("ending", ["\n", "\r\n", "  \n"])
def test_paths_that_people_write_are_read_as_tensorflow_reads_them(stored: str, ending: str) -> None:
    Path("run").mkdir()
    line = f'"{stored}"{ending}'
    Path("run/checkpoint").write_bytes(
        f"model_checkpoint_path: {line}all_model_checkpoint_paths: {line}".encode()
    )
    theirs = answer(lambda: tf.train.get_checkpoint_state("run"))
    ours = answer(lambda: compat.get_checkpoint_state("run"))
    assert (ours and ours.SerializeToString()) == (theirs and theirs.SerializeToString())
    # Unlike TensorFlow, which gives up, this package finds the checkpoint beside the file.
    if stored.endswith("\\"):
        return
    write_bundle("run/m-0")
    assert os.path.normpath(ckptfmt.open("run").prefix) == os.path.join("run", "m-0")
    assert os.path.normpath(ckptfmt.latest_checkpoint("run") or "") == os.path.join("run", "m-0")


def test_byte_order_marks_are_left_to_tensorflow() -> None:
    write_bundle_and_v1()
    Path("run/checkpoint").write_text('model_checkpoint_path: "v2"', encoding="utf-8-sig")
    assert tf.train.get_checkpoint_state("run") is compat.get_checkpoint_state("run") is None
    assert ckptfmt.latest_checkpoint("run") == os.path.join("run", "v2")


@pytest.mark.parametrize("directory", ["weights", "a/weights"])
def test_a_prefix_that_is_a_directory_is_found_as_in_tensorflow(directory: str) -> None:
    os.makedirs(directory)
    tf.train.Checkpoint(v=tf.Variable([1.0, 2.0])).write(f"{directory}/")
    Path(directory, "checkpoint").write_text('model_checkpoint_path: "."\nall_model_checkpoint_paths: "."\n')
    theirs = tf.train.get_checkpoint_state(directory)
    ours = compat.get_checkpoint_state(directory)
    assert ours is not None
    assert ours.SerializeToString() == theirs.SerializeToString()
    latest = tf.train.latest_checkpoint(directory)
    assert ckptfmt.latest_checkpoint(directory) == latest
    reader = tf.compat.v1.train.NewCheckpointReader(f"{directory}/")
    for path in (directory, f"{directory}/", f"{directory}/.index", latest):
        for ours_reader in (compat.NewCheckpointReader(path), compat.load_checkpoint(path)):
            shapes = ours_reader.get_variable_to_shape_map()
            assert shapes == reader.get_variable_to_shape_map()
            for name in shapes:
                np.testing.assert_array_equal(ours_reader.get_tensor(name), reader.get_tensor(name))
