from __future__ import annotations

import os
import pickle
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from ckptfmt import compat
from ckptfmt.errors import CheckpointNotFoundError, CorruptError, TensorNotFoundError
from tests.support.table_writer import (
    HEADER,
    encode_entry,
    encode_table,
    encode_v1,
    write_bundle,
)

TENSORS = {
    "w": np.arange(6, dtype=np.float32).reshape(2, 3),
    "step": np.array(7, dtype=np.int64),
    "empty": np.zeros((0, 3), np.float64),
}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("run").mkdir()
    return tmp_path


@pytest.fixture
def prefix() -> str:
    return write_bundle("run/ckpt-1", TENSORS, num_shards=2)


def save(name: str) -> None:
    """Save a checkpoint as the latest, the state file last and at once, as TensorFlow does."""
    write_bundle(f"run/{name}")
    Path("run/checkpoint.tmp").write_text(f'model_checkpoint_path: "{name}"\n')
    Path("run/checkpoint.tmp").replace("run/checkpoint")


# --- readers -------------------------------------------------------------------------------------------


class TestReader:
    def test_maps(self, prefix: str) -> None:
        reader = compat.load_checkpoint(prefix)
        assert reader.get_variable_to_shape_map() == {"empty": [0, 3], "step": [], "w": [2, 3]}
        dtypes = reader.get_variable_to_dtype_map()
        assert {name: dtype.name for name, dtype in dtypes.items()} == {
            "empty": "float64",
            "step": "int64",
            "w": "float32",
        }
        assert dtypes["w"].as_numpy_dtype is np.float32
        assert dtypes["w"].as_datatype_enum == 1
        assert dtypes["w"] == np.float32
        assert dtypes["w"] == "float32"
        assert np.zeros(2, dtypes["w"]).dtype == np.float32

    def test_has_tensor(self, prefix: str) -> None:
        reader = compat.load_checkpoint(prefix)
        assert reader.has_tensor("w")
        assert reader.has_tensor(b"w")
        assert not reader.has_tensor("W")
        assert not reader.has_tensor("")
        with pytest.raises(TypeError, match="tensor name: got 3, want str or bytes"):
            reader.has_tensor(3)  # type: ignore[arg-type]

    def test_arrays_are_the_callers_own(self, prefix: str) -> None:
        reader = compat.load_checkpoint(prefix)
        array = reader.get_tensor("w")
        np.testing.assert_array_equal(array, TENSORS["w"])
        array[:] = 0
        np.testing.assert_array_equal(reader.get_tensor(b"w"), TENSORS["w"])
        empty = reader.get_tensor("empty")
        assert (empty.shape, empty.dtype) == ((0, 3), np.float64)

    def test_a_scalar_is_a_numpy_scalar(self, prefix: str) -> None:
        step = compat.load_checkpoint(prefix).get_tensor("step")
        assert type(step) is np.int64
        assert step == 7

    def test_a_missing_tensor_is_a_key_error(self, prefix: str) -> None:
        with pytest.raises(TensorNotFoundError) as caught:
            compat.load_checkpoint(prefix).get_tensor("stop")
        assert isinstance(caught.value, KeyError)
        assert str(caught.value) == "run/ckpt-1: no tensor named 'stop'; did you mean 'step'?"
        assert caught.value.close_matches == ("step",)

    def test_debug_string(self, prefix: str) -> None:
        debug = compat.load_checkpoint(prefix).debug_string()
        assert debug == b"empty (DT_DOUBLE) [0,3]\nstep (DT_INT64) []\nw (DT_FLOAT) [2,3]\n"

    def test_debug_string_of_a_name_that_is_not_utf8(self) -> None:
        table = encode_table(
            [(b"", HEADER), (b"caf\xc3", encode_entry()), ("é".encode(), encode_entry(dtype=19))]
        )
        Path("odd.index").write_bytes(table)
        reader = compat.load_checkpoint("odd")
        assert reader.debug_string() == b"caf\xc3 (DT_FLOAT) []\n\xc3\xa9 (DT_HALF) []\n"
        assert reader.has_tensor(b"caf\xc3")

    def test_v1(self) -> None:
        Path("run/old").write_bytes(encode_v1(TENSORS))
        reader = compat.NewCheckpointReader("run/old")
        assert reader.get_variable_to_shape_map() == {"empty": [0, 3], "step": [], "w": [2, 3]}
        np.testing.assert_array_equal(reader.get_tensor("w"), TENSORS["w"])
        assert type(reader.get_tensor("step")) is np.int64
        assert reader.debug_string() == b"empty (DT_DOUBLE) [0,3]\nstep (DT_INT64) []\nw (DT_FLOAT) [2,3]\n"


@pytest.mark.parametrize("function", [compat.load_checkpoint, compat.NewCheckpointReader])
class TestOpening:
    @pytest.mark.parametrize("suffix", ["", ".index", ".data-00000-of-00002"])
    def test_prefixes_and_files_as_str_bytes_and_path(
        self, prefix: str, function: object, suffix: str
    ) -> None:
        assert callable(function)
        for path in (prefix + suffix, Path(prefix + suffix), os.fsencode(prefix + suffix)):
            assert isinstance(function(path), compat.CheckpointReader)

    def test_the_latest_of_a_directory(self, function: object) -> None:
        assert callable(function)
        save("ckpt-1")
        save("ckpt-2")
        assert function("run").has_tensor("w")
        assert function(Path("run")).has_tensor("w")

    def test_nothing_there(self, function: object) -> None:
        assert callable(function)
        with pytest.raises(CheckpointNotFoundError) as caught:
            function("run/nothing")
        assert not isinstance(caught.value, ValueError)
        for wrong in (None, 3):
            with pytest.raises(TypeError):
                function(wrong)


class TestDirectoryWithoutCheckpoint:
    def test_it_is_a_value_error_too(self) -> None:
        """So ``tf.train.load_checkpoint`` documents it, and callers catch it."""
        for function in (compat.load_checkpoint, compat.list_variables):
            with pytest.raises(ValueError, match=r"^run: no checkpoint in this directory") as caught:
                function("run")
            assert isinstance(caught.value, CheckpointNotFoundError)
            assert isinstance(caught.value, FileNotFoundError)
            assert caught.value.tried[0] == os.path.join("run", "checkpoint")

    def test_the_error_can_be_pickled(self) -> None:
        with pytest.raises(ValueError, match="run") as caught:
            compat.load_checkpoint("run")
        copy = pickle.loads(pickle.dumps(caught.value))
        assert (type(copy), str(copy), copy.tried) == (
            type(caught.value),
            str(caught.value),
            caught.value.tried,
        )


def test_list_variables(prefix: str) -> None:
    assert compat.list_variables(prefix) == [("empty", [0, 3]), ("step", []), ("w", [2, 3])]


def test_load_variable_takes_names_of_outputs(prefix: str) -> None:
    for name in ("step", "step:0"):
        assert compat.load_variable(prefix, name) == 7
    with pytest.raises(TensorNotFoundError):
        compat.load_variable(prefix, "step:1")


# --- state ---------------------------------------------------------------------------------------------


def test_latest_checkpoint_has_tensorflows_argument_names() -> None:
    save("ckpt-1")
    assert compat.latest_checkpoint(checkpoint_dir="run", latest_filename=None) == os.path.join(
        "run", "ckpt-1"
    )
    assert compat.latest_checkpoint("run", "other") is None


def test_checkpoint_exists(prefix: str) -> None:
    assert compat.checkpoint_exists(prefix)
    assert compat.checkpoint_exists(Path(prefix))
    assert not compat.checkpoint_exists("run/ckpt-*")
    assert not compat.checkpoint_exists("run")


class TestGetCheckpointState:
    def write(self, *lines: str) -> None:
        Path("run/checkpoint").write_text("\n".join(lines))

    def test_paths_are_joined_to_the_directory(self, prefix: str) -> None:
        self.write(
            'model_checkpoint_path: "ckpt-1"',
            'all_model_checkpoint_paths: "ckpt-0"',
            'all_model_checkpoint_paths: "ckpt-1"',
            "all_model_checkpoint_timestamps: 1.5",
            "all_model_checkpoint_timestamps: 2.5",
            "last_preserved_timestamp: 0.5",
        )
        state = compat.get_checkpoint_state(checkpoint_dir=Path("run"))
        assert state is not None
        assert state.DESCRIPTOR.full_name == "tensorflow.CheckpointState"
        assert state.model_checkpoint_path == os.path.join("run", "ckpt-1")
        assert list(state.all_model_checkpoint_paths) == [os.path.join("run", f"ckpt-{i}") for i in (0, 1)]
        assert list(state.all_model_checkpoint_timestamps) == [1.5, 2.5]
        assert state.last_preserved_timestamp == 0.5

    def test_a_moved_directory(self, prefix: str) -> None:
        self.write('model_checkpoint_path: "/old/ckpt-1"', 'all_model_checkpoint_paths: "/old/ckpt-0"')
        state = compat.get_checkpoint_state("run")
        assert state is not None
        assert state.model_checkpoint_path == os.path.join("run", "ckpt-1")
        assert list(state.all_model_checkpoint_paths) == ["/old/ckpt-0"]

    def test_none_where_there_is_none_or_it_does_not_parse(self) -> None:
        assert compat.get_checkpoint_state("run") is None
        self.write("garbage")
        assert compat.get_checkpoint_state("run") is None
        assert compat.get_checkpoint_state("run", "other") is None

    def test_without_a_latest_it_is_a_value_error(self) -> None:
        self.write("")
        with pytest.raises(ValueError, match="model_checkpoint_path: got none") as caught:
            compat.get_checkpoint_state("run")
        assert isinstance(caught.value, CorruptError)


# --- checkpoints_iterator ------------------------------------------------------------------------------


class Clock:
    """Time that passes only in sleep, and things that happen then."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []
        self.events: dict[float, str] = {}

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.slept.append(seconds)
        self.now += seconds
        for at in [at for at in self.events if 1000.0 + at <= self.now]:
            save(self.events.pop(at))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(time, "monotonic", clock.monotonic)
    monkeypatch.setattr(time, "sleep", clock.sleep)
    return clock


class TestCheckpointsIterator:
    def test_it_waits_for_the_first_and_yields_each_once(self, clock: Clock) -> None:
        clock.events = {2.5: "ckpt-1", 4.5: "ckpt-2"}
        found = [(clock.now - 1000, path) for path in compat.checkpoints_iterator("run", timeout=5)]
        assert found == [(3.0, os.path.join("run", "ckpt-1")), (5.0, os.path.join("run", "ckpt-2"))]
        # It looks once a second, and not after the timeout.
        assert set(clock.slept) == {1.0}
        assert clock.now == 1010.0

    def test_what_comes_and_goes_between_two_looks_is_left_out(self, clock: Clock) -> None:
        save("ckpt-1")
        iterator = compat.checkpoints_iterator("run", timeout=0)
        assert next(iterator) == os.path.join("run", "ckpt-1")
        save("ckpt-2")
        save("ckpt-3")
        assert next(iterator) == os.path.join("run", "ckpt-3")
        assert list(iterator) == []

    def test_min_interval_counts_from_one_to_the_next(self, clock: Clock) -> None:
        save("ckpt-1")
        iterator = compat.checkpoints_iterator("run", min_interval_secs=10, timeout=0)
        next(iterator)
        save("ckpt-2")
        clock.now += 4
        next(iterator)
        assert clock.slept == [6.0]
        clock.now += 11
        assert list(iterator) == []
        assert clock.slept == [6.0]

    def test_a_timeout_without_a_function_ends(self, clock: Clock) -> None:
        assert list(compat.checkpoints_iterator("run", timeout=0)) == []
        assert clock.slept == []
        assert list(compat.checkpoints_iterator("nowhere", timeout=3)) == []
        assert clock.slept == [1.0, 1.0, 1.0]

    def test_a_function_is_asked_after_each_timeout_and_each_checkpoint(self, clock: Clock) -> None:
        clock.events = {2.5: "ckpt-1"}
        asked: list[float] = []

        def timeout_fn() -> bool:
            asked.append(clock.now - 1000)
            return clock.now >= 1005

        found = list(compat.checkpoints_iterator("run", timeout=1, timeout_fn=timeout_fn))
        assert found == [os.path.join("run", "ckpt-1")]
        assert asked == [1.0, 2.0, 3.0, 4.0, 5.0]

    def test_without_a_timeout_it_waits_for_ever(self, clock: Clock) -> None:
        clock.events = {100000.0: "ckpt-1"}
        assert next(compat.checkpoints_iterator("run")) == os.path.join("run", "ckpt-1")

    def test_it_is_lazy(self) -> None:
        assert isinstance(compat.checkpoints_iterator("run"), Iterator)

    def test_with_the_real_clock(self) -> None:
        timer = threading.Timer(0.05, save, ["ckpt-1"])
        timer.start()
        try:
            assert list(compat.checkpoints_iterator("run", timeout=1.5)) == [os.path.join("run", "ckpt-1")]
        finally:
            timer.join()
