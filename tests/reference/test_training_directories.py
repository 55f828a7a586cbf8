"""Training directories are those of TensorFlow: the same files stay, and state files have the same bytes."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import ckptfmt
from ckptfmt import compat
from ckptfmt.compat import saver as saver_module
from ckptfmt.saving import manager as manager_module
from tests.support.table_writer import encode_v1, write_bundle

pytestmark = pytest.mark.tensorflow

HOUR = 3600.0

EXAMPLES = settings(
    max_examples=15,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


class Clock:
    """A clock that stands still until a test moves it, for both libraries."""

    def __init__(self) -> None:
        self.now = 1_795_247_177.25

    def time(self) -> float:
        return self.now

    monotonic = time


@pytest.fixture
def clock(tensorflow: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Clock:
    from tensorflow.python.checkpoint import checkpoint_management
    from tensorflow.python.training import saver

    clock = Clock()
    for module in (checkpoint_management, saver, manager_module, saver_module):
        monkeypatch.setattr(module, "time", clock)
    return clock


@contextmanager
def inside(directory: Path) -> Iterator[None]:
    """Work in a directory, which is made."""
    before = os.getcwd()
    directory.mkdir(exist_ok=True)
    os.chdir(directory)
    try:
        yield
    finally:
        os.chdir(before)


def names(directory: Path) -> list[str]:
    """Return the names of the files, without the numbers of data files, by which a checkpoint is replaced."""
    found = directory.iterdir() if directory.exists() else ()
    return sorted({re.sub(r"-\d{5}-of-\d{5}\Z", "", path.name) for path in found})


def content(directory: Path, name: str = "checkpoint") -> bytes | None:
    """Return a state file, with the parts of paths left out that differ between directories."""
    path = directory / "run" / name
    return path.read_bytes().replace(os.fsencode(directory), b"") if path.exists() else None


def assert_same(ours: Path, theirs: Path) -> None:
    assert names(ours / "run") == names(theirs / "run")
    assert content(ours) == content(theirs)


# --- CheckpointManager -------------------------------------------------------------------------------------


def their_manager(tf: ModuleType, directory: str, **options: Any) -> Callable[[int | None], str]:
    checkpoint = tf.train.Checkpoint(w=tf.Variable([1.0, 2.0]))
    manager = tf.train.CheckpointManager(checkpoint, directory, **options)
    if manager.latest_checkpoint and "w" not in compat.load_checkpoint(directory).get_variable_to_shape_map():
        checkpoint.restore(manager.latest_checkpoint)
    return lambda step: str(manager.save(step))


def our_manager(directory: str, *, objects: bool = False, **options: Any) -> Callable[[int | None], str]:
    manager = ckptfmt.CheckpointManager(directory, **options)
    return lambda step: manager.save({"w": np.array([1, 2], np.float32)}, step, objects=objects)


def their_copy(directory: str, **options: Any) -> Callable[[int | None], str]:
    checkpoint = compat.Checkpoint(w=np.array([1, 2], np.float32))
    manager = compat.CheckpointManager(checkpoint, directory, **options)
    checkpoint.restore(manager.latest_checkpoint)
    return manager.save


def read_all(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


MANAGERS = st.fixed_dictionaries(
    {
        "max_to_keep": st.none() | st.integers(1, 4),
        "keep_checkpoint_every_n_hours": st.none() | st.sampled_from([0.5, 1, 2.25]),
    }
)
WAITS = st.sampled_from([0.0, 0.1, 1.0, 600.0, HOUR, 2 * HOUR, -10.0, -5 * HOUR])

RUNS = st.lists(
    st.tuples(MANAGERS, st.booleans(), st.lists(st.tuples(WAITS, st.integers(0, 8)), min_size=1, max_size=8)),
    min_size=1,
    max_size=3,
)
"""Runs one after the other: a manager's options, whether it is ours, then waits and steps."""


@EXAMPLES
@given(RUNS, st.booleans())
@example(
    [({"max_to_keep": 2, "keep_checkpoint_every_n_hours": 1}, True, [(HOUR, step) for step in range(8)])],
    False,
)
def test_either_manager_continues_the_directory_of_the_other(
    tensorflow: ModuleType,
    clock: Clock,
    tmp_path_factory: pytest.TempPathFactory,
    runs: list[tuple[dict[str, Any], bool, list[tuple[float, int]]]],
    is_absolute: bool,
) -> None:
    base = tmp_path_factory.mktemp("directories")
    ours, theirs = base / "ours", base / "theirs"
    for options, is_ours, saves in runs:
        with inside(theirs):
            directory = str(theirs / "run") if is_absolute else "run"
            their_save = their_manager(tensorflow, directory, **options)
        with inside(ours):
            directory = str(ours / "run") if is_absolute else "run"
            our_save = (
                our_manager(directory, **options)
                if is_ours
                else their_manager(tensorflow, directory, **options)
            )
        for wait, step in saves:
            clock.now += wait
            with inside(theirs):
                saved = their_save(step)
            with inside(ours):
                assert our_save(step) == saved.replace(str(theirs), str(ours))
            assert_same(ours, theirs)
            with inside(ours):
                assert tensorflow.train.latest_checkpoint("run") == os.path.join("run", f"ckpt-{step}")


@EXAMPLES
@given(
    st.lists(
        st.tuples(st.integers(1, 3), st.lists(st.booleans(), min_size=1, max_size=4)),
        min_size=1,
        max_size=3,
    ),
    st.booleans(),
)
def test_objects_are_saved_and_counted_as_in_tensorflow(
    tensorflow: ModuleType,
    clock: Clock,
    tmp_path_factory: pytest.TempPathFactory,
    runs: list[tuple[int, list[bool]]],
    is_compat: bool,
) -> None:
    base = tmp_path_factory.mktemp("directories")
    ours, theirs = base / "ours", base / "theirs"
    numbers = count(1000)
    for max_to_keep, are_counted in runs:
        with inside(theirs):
            their_save = their_manager(tensorflow, "run", max_to_keep=max_to_keep)
        with inside(ours):
            if is_compat:
                our_save = their_copy("run", max_to_keep=max_to_keep)
            else:
                our_save = our_manager("run", max_to_keep=max_to_keep, objects=True)
        for is_counted in are_counted:
            clock.now += 1
            step = None if is_counted else next(numbers)
            with inside(theirs):
                saved = their_save(step)
            with inside(ours):
                assert our_save(step) == saved
            assert read_all(ours / "run") == read_all(theirs / "run")


def test_compat_checkpoints_are_those_of_tensorflow(tensorflow: ModuleType, tmp_path: Path) -> None:
    arrays = {
        "w": np.arange(3, dtype=np.float32),
        "layers": [np.array([1], np.int64), np.array([2], np.int64)],
    }
    variables = {
        "w": tensorflow.Variable(arrays["w"]),
        "layers": [tensorflow.Variable(array) for array in arrays["layers"]],
    }
    for library, directory, values in (
        (compat, tmp_path / "ours", arrays),
        (tensorflow.train, tmp_path / "theirs", variables),
    ):
        with inside(directory):
            checkpoint = library.Checkpoint(**values)
            assert checkpoint.write("run/written") == "run/written"
            assert [checkpoint.save("run/ckpt") for _ in range(2)] == ["run/ckpt-1", "run/ckpt-2"]
            assert int(checkpoint.save_counter) == 2
    assert read_all(tmp_path / "ours" / "run") == read_all(tmp_path / "theirs" / "run")
    with inside(tmp_path / "theirs"):
        again = compat.Checkpoint(w=np.zeros(3))
        restored = again.restore(compat.latest_checkpoint("run"))
        assert sorted(restored) == ["layers/0", "layers/1", "w"]
        assert restored["layers/1"].tolist() == [2]
        assert again.save("run/ckpt") == "run/ckpt-3"


def test_counting_goes_on_from_the_save_counter_of_tensorflow(
    tensorflow: ModuleType, clock: Clock, tmp_path: Path
) -> None:
    with inside(tmp_path):
        save = their_manager(tensorflow, "run", max_to_keep=5)
        for step in (100, 200, 300):
            clock.now += 1
            save(step)
        assert ckptfmt.CheckpointManager("run").save({"w": 1.0}) == os.path.join("run", "ckpt-4")


def test_tensorflow_restores_the_objects_of_our_manager(
    tensorflow: ModuleType, clock: Clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ours = ckptfmt.CheckpointManager("run", max_to_keep=2)
    for value in (1, 2, 3):
        clock.now += 1
        ours.save({"w": np.full(2, value, np.float32)}, objects=True)
    clock.now += 1
    w = tensorflow.Variable([0.0, 0.0])
    checkpoint = tensorflow.train.Checkpoint(w=w)
    theirs = tensorflow.train.CheckpointManager(checkpoint, "run", max_to_keep=2)
    assert theirs.checkpoints == ours.checkpoints
    checkpoint.restore(theirs.latest_checkpoint).assert_existing_objects_matched()
    assert w.numpy().tolist() == [3, 3]
    assert theirs.save() == os.path.join("run", "ckpt-4")
    assert ours.checkpoints == [os.path.join("run", f"ckpt-{number}") for number in (3, 4)]
    assert ours.save({"w": 1.0}) == os.path.join("run", "ckpt-5")


@pytest.mark.parametrize("name", ["é ü", "it's", 'a"b', "back\\slash", "tab\tline\nend", "\x01", "ckpt.x"])
def test_any_name_is_written_as_tensorflow_does(
    tensorflow: ModuleType, clock: Clock, tmp_path: Path, name: str
) -> None:
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    with inside(theirs):
        their_save = their_manager(tensorflow, "run", max_to_keep=2, checkpoint_name=name)
    with inside(ours):
        our_save = our_manager("run", max_to_keep=2, checkpoint_name=name)
    for step in (1, 2):
        with inside(theirs):
            their_save(step)
        with inside(ours):
            our_save(step)
        assert_same(ours, theirs)


# --- Saver -------------------------------------------------------------------------------------------------


ARRAYS = {
    "v2": np.arange(6, dtype=np.float32).reshape(2, 3),
    "v1": np.array(7, np.int64),
    "a/b": np.zeros((0, 2), np.float64),
    "B": np.array([True, False]),
}

SAVERS = st.fixed_dictionaries(
    {
        "max_to_keep": st.none() | st.integers(0, 4),
        "keep_checkpoint_every_n_hours": st.sampled_from([10000.0, 1.0, 0.5]),
        "pad_step_number": st.booleans(),
        "save_relative_paths": st.booleans(),
    }
)
SAVES = st.tuples(
    WAITS,
    st.none() | st.integers(0, 8),
    st.fixed_dictionaries({}, optional={"latest_filename": st.just("other"), "write_state": st.booleans()}),
)
SAVER_RUNS = st.lists(
    st.tuples(
        SAVERS,
        st.sampled_from(["new", "recover", "set"]),
        st.lists(SAVES, min_size=1, max_size=8),
    ),
    min_size=1,
    max_size=3,
)


def age(directory: Path, prefix: str, now: float) -> None:
    """Give the files of a checkpoint the time at which they were written."""
    for path in (directory / "run").glob(os.path.basename(prefix) + ".*"):
        os.utime(path, (now, now))


def hand_over(saver: Any, how: str, get_state: Callable[[str], Any], directory: str) -> None:
    """Tell a saver of the checkpoints that the directory has."""
    state = get_state(directory)
    if state is not None and how == "recover":
        saver.recover_last_checkpoints(list(state.all_model_checkpoint_paths))
    elif state is not None and how == "set":
        saver.set_last_checkpoints(list(state.all_model_checkpoint_paths))


@EXAMPLES
@given(SAVER_RUNS, st.booleans())
def test_a_saver_leaves_the_files_that_tensorflow_leaves(
    tensorflow: ModuleType,
    clock: Clock,
    tmp_path_factory: pytest.TempPathFactory,
    runs: list[tuple[dict[str, Any], str, list[tuple[float, int | None, dict[str, Any]]]]],
    is_absolute: bool,
) -> None:
    base = tmp_path_factory.mktemp("directories")
    ours, theirs = base / "ours", base / "theirs"
    variables = {name: tensorflow.Variable(array) for name, array in ARRAYS.items()}
    for each in (ours, theirs):
        (each / "run").mkdir(parents=True)
    replaced: set[str] = set()
    for options, how, saves in runs:
        with inside(theirs):
            their_saver = tensorflow.compat.v1.train.Saver(variables, **options)
            directory = str(theirs / "run") if is_absolute else "run"
            hand_over(their_saver, how, tensorflow.train.get_checkpoint_state, directory)
        with inside(ours):
            our_saver = compat.Saver(ARRAYS, **options)
            directory = str(ours / "run") if is_absolute else "run"
            hand_over(our_saver, how, compat.get_checkpoint_state, directory)
        for wait, step, choices in saves:
            clock.now += wait
            with inside(theirs):
                path = str(theirs / "run" / "model.ckpt") if is_absolute else "run/model.ckpt"
                saved = their_saver.save(None, path, global_step=step, **choices)
                age(theirs, saved, clock.now)
            with inside(ours):
                path = str(ours / "run" / "model.ckpt") if is_absolute else "run/model.ckpt"
                assert our_saver.save(None, path, step, **choices) == saved.replace(str(theirs), str(ours))
                age(ours, saved, clock.now)
            assert_same(ours, theirs)
            assert content(ours, "other") == content(theirs, "other")
            for end in (".index", ".data-00000-of-00001"):
                name = os.path.basename(saved) + end
                if saved not in replaced:
                    assert (ours / "run" / name).read_bytes() == (theirs / "run" / name).read_bytes()
            replaced.add(saved)
            listed = [str(path).replace(str(theirs), str(ours)) for path in their_saver.last_checkpoints]
            assert our_saver.last_checkpoints == listed


def test_tensorflow_restores_what_our_saver_wrote(
    tensorflow: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    compat.Saver(ARRAYS).save(None, "ckpt/model.ckpt", global_step=7)
    variables = {name: tensorflow.Variable(np.zeros_like(array)) for name, array in ARRAYS.items()}
    latest = tensorflow.train.latest_checkpoint("ckpt")
    tensorflow.compat.v1.train.Saver(variables).restore(None, latest)
    for name, variable in variables.items():
        assert np.array_equal(variable.numpy(), ARRAYS[name])


# --- the functions -----------------------------------------------------------------------------------------


def answer(function: Callable[..., Any], *values: Any) -> Any:
    """Return what a function returns, or the class of errors that it raises."""
    try:
        return function(*values)
    except (ValueError, RuntimeError) as error:
        return RuntimeError if isinstance(error, RuntimeError) else ValueError


PATHS = st.sampled_from(["run/ckpt-1", "ckpt-2", "/abs/ckpt-3", "run/", ".", "", "../x", "run/é\"'\\\n\x7f"])


@EXAMPLES
@given(
    st.sampled_from(["run", "run/", "./run", "", ".", "ABSOLUTE"]),
    PATHS,
    st.none() | st.lists(PATHS, max_size=4),
    st.none() | st.lists(st.floats(allow_nan=False, width=64), max_size=4),
    st.none() | st.floats(allow_nan=False),
)
def test_a_state_file_is_updated_as_by_tensorflow(
    tensorflow: ModuleType,
    tmp_path_factory: pytest.TempPathFactory,
    directory: str,
    latest: str,
    paths: list[str] | None,
    times: list[float] | None,
    preserved: float | None,
) -> None:
    base = tmp_path_factory.mktemp("directories")
    results = []
    for name, library in (("ours", compat), ("theirs", tensorflow.compat.v1.train)):
        with inside(base / name):
            os.mkdir("run")
            given_directory = str(base / name / "run") if directory == "ABSOLUTE" else directory
            result = answer(
                library.update_checkpoint_state,
                given_directory,
                latest,
                None if paths is None else list(paths),
                None,
                times,
                preserved,
            )
            files = {
                path.relative_to(base / name): path.read_bytes()
                for path in (base / name).rglob("*")
                if path.is_file()
            }
            message = answer(
                library.generate_checkpoint_state_proto,
                given_directory,
                latest,
                None if paths is None else list(paths),
                times,
                preserved,
            )
            is_message = hasattr(message, "SerializeToString")
            results.append((result, files, message.SerializeToString() if is_message else message))
    assert results[0] == results[1]


def test_checkpoints_are_found_dated_and_removed_as_by_tensorflow(
    tensorflow: ModuleType, tmp_path: Path
) -> None:
    found = []
    for library, directory in (
        (compat, tmp_path / "ours"),
        (tensorflow.compat.v1.train, tmp_path / "theirs"),
    ):
        with inside(directory):
            for prefix in ("v2", "both", "gone"):
                write_bundle(Path(prefix), {}, 2)
            for path in ("v1", "both", "s-00000-of-00002", "s-00001-of-00002"):
                Path(path).write_bytes(encode_v1({}))
            for path in ("v2.meta", "v1.meta", "s.meta", "both.other", "v2.meta.txt"):
                Path(path).write_bytes(b"")
            for number, path in enumerate(sorted(Path().iterdir())):
                # TensorFlow takes the time of any shard.
                seconds = 1000 if path.name.startswith("s-") else 1001 + number
                os.utime(path, (seconds, seconds))
            prefixes = ["v2", "v1", "both", "s-?????-of-00002", "none"]
            answers = [library.get_checkpoint_mtimes(prefixes)]
            for prefix, version, suffix in (
                ("v2", 2, "meta"),
                ("v1", 2, "other"),
                ("v1", 1, "other"),
                ("both", 1, "other"),
                ("s-?????-of-00002", 1, "meta"),
                ("none", 2, "meta"),
            ):
                library.remove_checkpoint(prefix, version, suffix)
                answers += [names(directory), [library.checkpoint_exists(each) for each in prefixes]]
            found.append(answers)
    assert found[0] == found[1]
