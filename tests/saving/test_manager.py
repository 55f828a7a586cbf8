"""``CheckpointManager``: what it writes, keeps, takes over and deletes."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ckptfmt
from ckptfmt.checkpoint.state_file import CheckpointState
from ckptfmt.checkpoint.state_writer import write_state
from ckptfmt.errors import CheckpointNotFoundError, CorruptError, NotWritableError
from ckptfmt.saving import manager as manager_module
from ckptfmt.storage.local import LocalFilesystem
from tests.support.memory_filesystem import MemoryFilesystem

HOUR = 3600.0


class Clock:
    """A clock that moves when it is told to, or when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def time(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(manager_module, "time", clock)
    return clock


def tensors(value: float = 1.0) -> dict[str, Any]:
    return {"w": np.full(3, value, np.float32)}


def saved(directory: str = "run") -> list[str]:
    """Return the checkpoints that exist in a directory, by name."""
    return sorted(path.stem for path in Path(directory).glob("*.index"))


def state(directory: str = "run") -> CheckpointState:
    found = ckptfmt.read_checkpoint_state(directory)
    assert found is not None
    return found


def write(paths: list[str], times: list[float], preserved: float = 0.0, latest: str | None = None) -> None:
    Path("run").mkdir(exist_ok=True)
    write_state(CheckpointState("run", latest or paths[-1], tuple(paths), tuple(times), preserved))


# --- saving ------------------------------------------------------------------------------------------------


def test_the_newest_are_kept() -> None:
    manager = ckptfmt.CheckpointManager("run", max_to_keep=3)
    assert manager.latest is None
    assert manager.checkpoints == []
    prefixes = [manager.save(tensors(step), step) for step in (10, 20, 30, 40)]
    assert prefixes == [os.path.join("run", f"ckpt-{step}") for step in (10, 20, 30, 40)]
    assert saved() == ["ckpt-20", "ckpt-30", "ckpt-40"]
    assert min(os.listdir("run")) == "checkpoint"
    assert len(os.listdir("run")) == 7
    assert manager.checkpoints == prefixes[1:]
    assert manager.latest == manager.latest_checkpoint == ckptfmt.latest_checkpoint("run") == prefixes[-1]
    assert ckptfmt.open("run")["w"].tolist() == [40, 40, 40]


def test_all_are_kept_without_a_number() -> None:
    manager = ckptfmt.CheckpointManager("run", max_to_keep=None, checkpoint_name="model.ckpt")
    for _ in range(7):
        manager.save(tensors())
    assert saved() == [f"model.ckpt-{step}" for step in range(1, 8)]
    assert len(manager.checkpoints) == 7


@pytest.mark.parametrize("number", [0, -1])
def test_at_least_one_is_kept(number: int) -> None:
    with pytest.raises(ValueError, match="max_to_keep: got"):
        ckptfmt.CheckpointManager("run", max_to_keep=number)


def test_one_every_so_many_hours_is_kept_for_good(clock: Clock) -> None:
    manager = ckptfmt.CheckpointManager("run", max_to_keep=1, keep_checkpoint_every_n_hours=3)
    for _ in range(7):
        clock.now += HOUR
        manager.save(tensors())
    assert saved() == ["ckpt-3", "ckpt-6", "ckpt-7"]
    assert manager.checkpoints == [os.path.join("run", "ckpt-7")]
    assert state().last_preserved_timestamp == 1_000_000 + 6 * HOUR
    assert state().all_model_checkpoint_timestamps == (1_000_000 + 7 * HOUR,)


def test_a_step_that_was_saved_is_replaced_and_the_newest() -> None:
    manager = ckptfmt.CheckpointManager("run", max_to_keep=3)
    for step in (1, 2, 3, 1):
        manager.save(tensors(step + 10 * len(manager.checkpoints)), step)
    assert [os.path.basename(path) for path in manager.checkpoints] == ["ckpt-2", "ckpt-3", "ckpt-1"]
    assert ckptfmt.open("run")["w"][0] == 31
    assert ckptfmt.open("run").verify().ok


def test_a_step_may_be_an_array_of_one_integer() -> None:
    manager = ckptfmt.CheckpointManager("run")
    assert manager.save(tensors(), np.array(7, np.int64)) == os.path.join("run", "ckpt-7")  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        manager.save(tensors(), 7.5)  # type: ignore[arg-type]


def test_options_of_save_are_passed_on() -> None:
    manager = ckptfmt.CheckpointManager("run")
    manager.save(tensors(), 1, num_shards=2)
    assert ckptfmt.open("run").num_shards == 2
    with pytest.raises(FileExistsError):
        manager.save(tensors(), 1, overwrite=False)


def test_names_with_the_characters_of_patterns_are_names() -> None:
    for name in ("ckpt-1", "x-1", "1-1"):
        ckptfmt.save(os.path.join("run", name), tensors())
    for name in ("[x1]", "*", "é'\"\\"):
        manager = ckptfmt.CheckpointManager("run", max_to_keep=1, checkpoint_name=name)
        for step in (1, 2):
            manager.save(tensors(step), step)
        assert saved() == sorted(["ckpt-1", "x-1", "1-1", f"{name}-2"])
        assert ckptfmt.CheckpointManager("run").latest == os.path.join("run", f"{name}-2")
        os.unlink(os.path.join("run", "checkpoint"))
        for path in Path("run").iterdir():
            if path.name.startswith(name):
                path.unlink()


def test_a_name_has_to_be_text() -> None:
    with pytest.raises(ValueError, match="UTF-8"):
        ckptfmt.CheckpointManager("run", checkpoint_name="\udcff")


@pytest.mark.parametrize("directory", ["run", "run/", "./run", "", ".", "a/../run"])
def test_the_state_file_has_relative_paths(directory: str, folder: Path) -> None:
    manager = ckptfmt.CheckpointManager(directory)
    assert manager.restore_or_none() is None
    manager.save(tensors())
    assert manager.restore_or_none() is not None
    assert manager.checkpoints == [os.path.join(directory, "ckpt-1")]
    assert state(directory or ".").model_checkpoint_path == "ckpt-1"
    absolute = ckptfmt.CheckpointManager(folder / directory)
    absolute.save(tensors())
    assert state(directory or ".").all_model_checkpoint_paths == ("ckpt-1", "ckpt-2")


def test_in_another_file_system() -> None:
    fs = MemoryFilesystem()
    manager = ckptfmt.CheckpointManager("store/run", max_to_keep=2, fs=fs)
    assert manager.restore_or_none() is None
    for _ in range(3):
        manager.save(tensors())
    assert sorted(fs.files) == [
        "store/run/checkpoint",
        *(f"store/run/ckpt-{step}.{end}" for step in (2, 3) for end in ("data-00000-of-00001", "index")),
    ]
    restored = ckptfmt.CheckpointManager("store/run", fs=fs).restore_or_none()
    assert restored is not None
    assert restored.prefix == "store/run/ckpt-3"
    assert os.listdir() == []


# --- numbers -----------------------------------------------------------------------------------------------


def test_numbers_go_on_from_the_directory() -> None:
    for number in (1, 2, 3):
        assert ckptfmt.CheckpointManager("run").save(tensors()) == os.path.join("run", f"ckpt-{number}")


def test_the_save_counter_of_the_latest_counts() -> None:
    counter = {"save_counter/.ATTRIBUTES/VARIABLE_VALUE": np.array(41, np.int64)}
    ckptfmt.CheckpointManager("run").save({**tensors(), **counter}, step=7)
    assert ckptfmt.CheckpointManager("run").save(tensors()) == os.path.join("run", "ckpt-42")


def test_numbers_count_the_saves_as_in_tensorflow() -> None:
    manager = ckptfmt.CheckpointManager("run")
    manager.save(tensors(), step=100)
    assert manager.save(tensors()) == os.path.join("run", "ckpt-2")


def test_a_counted_number_replaces_none_that_is_listed() -> None:
    manager = ckptfmt.CheckpointManager("run")
    manager.save(tensors(), step=2)
    assert manager.save(tensors()) == os.path.join("run", "ckpt-3")
    assert len(manager.checkpoints) == 2


def test_what_a_killed_program_did_not_list_is_replaced() -> None:
    ckptfmt.CheckpointManager("run").save(tensors())
    ckptfmt.save(os.path.join("run", "ckpt-2"), tensors(5))
    assert ckptfmt.CheckpointManager("run").save(tensors(6)) == os.path.join("run", "ckpt-2")
    assert ckptfmt.open("run")["w"][0] == 6


# --- restoring ---------------------------------------------------------------------------------------------


def test_nothing_to_restore() -> None:
    assert ckptfmt.CheckpointManager("run").restore_or_none() is None
    Path("run").mkdir()
    Path("run", "notes.txt").write_text("mine")
    assert ckptfmt.CheckpointManager("run").restore_or_none() is None


def test_the_latest_is_restored_and_not_a_prefix_named_like_the_directory() -> None:
    ckptfmt.save("run", tensors(5))
    manager = ckptfmt.CheckpointManager("run")
    assert manager.restore_or_none() is None
    manager.save(tensors(1))
    manager.save(tensors(2))
    restored = manager.restore_or_none(verify=True)
    assert restored is not None
    assert restored["w"].tolist() == [2, 2, 2]


def test_a_run_does_not_begin_anew_if_its_latest_checkpoint_is_missing() -> None:
    manager = ckptfmt.CheckpointManager("run")
    manager.save(tensors())
    os.unlink("run/ckpt-1.index")
    with pytest.raises(CheckpointNotFoundError, match="ckpt-1"):
        manager.restore_or_none()
    assert manager.latest == os.path.join("run", "ckpt-1")


def test_a_run_does_not_begin_anew_if_the_state_file_is_missing() -> None:
    for step in (1, 2):
        ckptfmt.save(f"run/ckpt-{step}", tensors())
    with pytest.raises(CheckpointNotFoundError, match="2 checkpoints and no file 'checkpoint'"):
        ckptfmt.CheckpointManager("run").restore_or_none()


@pytest.mark.parametrize("content", [b"", b"model_checkpoint_path: ", b"\x80\x81", b'no_such_field: "x"\n'])
def test_a_state_file_that_cannot_be_parsed(content: bytes, caplog: pytest.LogCaptureFixture) -> None:
    ckptfmt.save("run/ckpt-1", tensors())
    Path("run", "checkpoint").write_bytes(content)
    with caplog.at_level(logging.WARNING):
        manager = ckptfmt.CheckpointManager("run", max_to_keep=1)
    assert "checkpoint state ignored" in caplog.text
    with pytest.raises(CorruptError):
        manager.restore_or_none()
    assert manager.save(tensors(), 5) == os.path.join("run", "ckpt-5")
    manager.save(tensors(), 6)
    assert saved() == ["ckpt-1", "ckpt-6"]  # what the file may have listed is never deleted


def test_a_directory_in_place_of_the_state_file() -> None:
    Path("run/checkpoint").mkdir(parents=True)
    manager = ckptfmt.CheckpointManager("run")
    assert manager.restore_or_none() is None
    with pytest.raises(NotWritableError, match="checkpoint: Is a directory"):
        manager.save(tensors())
    assert os.listdir("run") == ["checkpoint"]  # before anything is written
    Path("file").write_bytes(b"")
    with pytest.raises(NotWritableError):
        ckptfmt.CheckpointManager("file").save(tensors())


def test_what_cannot_be_saved_changes_nothing() -> None:
    manager = ckptfmt.CheckpointManager("run", max_to_keep=1)
    manager.save(tensors())
    before = Path("run", "checkpoint").read_bytes()
    with pytest.raises(TypeError):
        manager.save({"w": object()})
    assert Path("run", "checkpoint").read_bytes() == before
    assert saved() == ["ckpt-1"]
    assert manager.save(tensors()) == os.path.join("run", "ckpt-2")


# --- taking over -------------------------------------------------------------------------------------------


def test_a_directory_is_taken_over(clock: Clock) -> None:
    first = ckptfmt.CheckpointManager("run", max_to_keep=3)
    for _ in range(3):
        clock.now += 1
        first.save(tensors())
    second = ckptfmt.CheckpointManager("run", max_to_keep=2)
    assert second.checkpoints == first.checkpoints
    assert second.latest == first.latest
    second.save(tensors())
    assert saved() == ["ckpt-3", "ckpt-4"]


def test_a_directory_without_times_keeps_its_checkpoints() -> None:
    for step in (1, 2):
        ckptfmt.save(f"run/model.ckpt-{step}", tensors())
    write(["model.ckpt-1", "model.ckpt-2"], [])
    manager = ckptfmt.CheckpointManager("run", max_to_keep=1, checkpoint_name="model.ckpt")
    assert manager.checkpoints == []
    assert manager.latest == os.path.join("run", "model.ckpt-2")
    manager.save(tensors())
    manager.save(tensors())
    assert saved() == ["model.ckpt-1", "model.ckpt-2", "model.ckpt-4"]


def test_times_in_the_future_delete_nothing_early(clock: Clock) -> None:
    write(["ckpt-1", "ckpt-2"], [clock.now + 5, clock.now + 6], preserved=clock.now - 50)
    assert len(ckptfmt.CheckpointManager("run").checkpoints) == 2
    write(["ckpt-1", "ckpt-2"], [clock.now + 5, clock.now + 6], preserved=clock.now + 4)
    manager = ckptfmt.CheckpointManager("run", max_to_keep=1)
    assert manager.checkpoints == []
    clock.now += 1
    manager.save(tensors(), 3)
    assert state().last_preserved_timestamp == clock.now - 1


def test_what_no_longer_exists_is_listed_until_it_is_its_turn(clock: Clock) -> None:
    ckptfmt.save("run/ckpt-2", tensors())
    write(["ckpt-1", "ckpt-2"], [clock.now - 2, clock.now - 1], preserved=clock.now - 3)
    manager = ckptfmt.CheckpointManager("run", max_to_keep=2)
    manager.save(tensors(), 3)
    assert saved() == ["ckpt-2", "ckpt-3"]
    assert state().all_model_checkpoint_paths == ("ckpt-2", "ckpt-3")


def test_a_directory_moved_with_absolute_paths_is_its_own(clock: Clock, folder: Path) -> None:
    for step in (1, 2):
        ckptfmt.save(f"run/ckpt-{step}", tensors(step))
        ckptfmt.save(f"original/ckpt-{step}", tensors(step))
    times = [clock.now - 2, clock.now - 1]
    for home in ("/mnt/gone", str(folder / "original"), "D:\\work", "../original"):
        write([os.path.join(home, f"ckpt-{step}") for step in (1, 2)], times, preserved=1)
        manager = ckptfmt.CheckpointManager("run", max_to_keep=2)
        assert manager.checkpoints == [os.path.join("run", f"ckpt-{step}") for step in (1, 2)]
        manager.save(tensors(), 3)
        assert saved() == ["ckpt-2", "ckpt-3"]
        assert saved("original") == ["ckpt-1", "ckpt-2"]
        ckptfmt.save("run/ckpt-1", tensors(1))


def test_what_was_just_saved_is_not_deleted_under_another_spelling(clock: Clock, folder: Path) -> None:
    for stored in ("./ckpt-1", "../run/ckpt-1", str(folder / "run" / "ckpt-1"), "x/../ckpt-1"):
        ckptfmt.save("run/ckpt-1", tensors(), overwrite=True)
        write([stored], [clock.now - 2], preserved=1)
        manager = ckptfmt.CheckpointManager("run", max_to_keep=1)
        assert manager.checkpoints == [os.path.join("run", "ckpt-1")]
        manager.save(tensors(2), 1)
        assert ckptfmt.open("run")["w"][0] == 2
        assert state().all_model_checkpoint_paths == ("ckpt-1",)


def test_files_outside_of_the_directory_are_not_deleted(clock: Clock, folder: Path) -> None:
    ckptfmt.save("elsewhere/model-1", tensors())
    ckptfmt.save("run/ckpt-2", tensors())
    for path in (str(folder / "elsewhere" / "model-1"), "../elsewhere/model-1"):
        write([path, "ckpt-2"], [clock.now - 2, clock.now - 1], preserved=1)
        manager = ckptfmt.CheckpointManager("run", max_to_keep=1)
        assert manager.checkpoints == [os.path.join("run", "ckpt-2")]
        manager.save(tensors(), 2)
        assert saved("elsewhere") == ["model-1"]


# --- several managers, failures and kills ------------------------------------------------------------------


def test_two_managers_of_one_directory_see_each_other() -> None:
    first = ckptfmt.CheckpointManager("run", max_to_keep=3)
    second = ckptfmt.CheckpointManager("run", max_to_keep=3)
    prefixes = [manager.save(tensors()) for manager in (first, second, first, second, second, first)]
    assert [os.path.basename(path) for path in prefixes] == [f"ckpt-{number}" for number in range(1, 7)]
    assert first.checkpoints == second.checkpoints == prefixes[3:]
    assert first.latest == second.latest == prefixes[-1]
    assert saved() == ["ckpt-4", "ckpt-5", "ckpt-6"]


def test_threads_save_at_the_same_time() -> None:
    managers = [ckptfmt.CheckpointManager("run", max_to_keep=4) for _ in range(2)]
    errors: list[BaseException] = []

    def work(start: int) -> None:
        try:
            for step in range(start, start + 5):
                managers[start % 2].save(tensors(), step)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=[start]) for start in (0, 11, 20, 31)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert sorted(state().all_model_checkpoint_paths) == saved()
    assert len(saved()) == 4
    assert len(os.listdir("run")) == 9


def test_what_another_program_removes_is_not_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    manager = ckptfmt.CheckpointManager("run")
    manager.save(tensors(), 1)

    def save_and_lose(prefix: str, *values: Any, **options: Any) -> None:
        ckptfmt.save(prefix, *values, **options)
        os.unlink(prefix + ".index")

    monkeypatch.setattr(manager_module, "save", save_and_lose)
    with pytest.raises(NotWritableError, match="another program has removed it"):
        manager.save(tensors(), 2)
    assert state().model_checkpoint_path == "ckpt-1"


def test_a_manager_waits_for_another_one_only_so_long(clock: Clock) -> None:
    manager = ckptfmt.CheckpointManager("run")
    manager.save(tensors())
    claim = LocalFilesystem().claim(os.path.join("run", "checkpoint.tempstate0"))
    with pytest.raises(NotWritableError, match="another program"):
        manager.save(tensors())
    assert clock.now >= 1_000_000 + manager_module.PATIENCE
    claim.release()
    assert state().model_checkpoint_path == "ckpt-1"
    assert manager.save(tensors()) == os.path.join("run", "ckpt-2")


def test_a_checkpoint_that_cannot_be_deleted_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    manager = ckptfmt.CheckpointManager("run", max_to_keep=1)
    manager.save(tensors())
    claim = LocalFilesystem().claim(os.path.join("run", "ckpt-1.tempstate0"))
    with caplog.at_level(logging.WARNING):
        assert manager.save(tensors()) == manager.latest
    claim.release()
    assert "old checkpoint not deleted: run" in caplog.text
    assert state().all_model_checkpoint_paths == ("ckpt-2",)


PROGRAM = """
import sys
import numpy as np
import ckptfmt
manager = ckptfmt.CheckpointManager("run", max_to_keep=2)
latest = manager.restore_or_none()
step = 0 if latest is None else int(latest["step"])
while True:
    step += 1
    manager.save({"step": np.int64(step), "w": np.full(10_000, step, np.int32)}, step=step % 5)
    print("saved", flush=True)
"""


def test_killed_programs_leave_a_whole_checkpoint() -> None:
    last = 0
    for milliseconds in (0, 3, 7, 12, 20, 35, 60):
        command = [sys.executable, "-c", PROGRAM]
        program = subprocess.Popen(command, stdout=subprocess.PIPE)
        assert program.stdout is not None
        assert program.stdout.readline() == b"saved\n"
        time.sleep(milliseconds / 1000)
        program.kill()
        program.communicate()
        latest = ckptfmt.CheckpointManager("run").restore_or_none()
        assert latest is not None
        assert latest.verify().ok
        assert np.array_equal(latest["w"], np.full(10_000, latest["step"]))
        assert int(latest["step"]) > last
        last = int(latest["step"])


class Killed(BaseException):
    """The program ends here."""


class Mortal(LocalFilesystem):
    """A file system whose program is killed at a given change."""

    left = 0

    @classmethod
    def change(cls) -> None:
        cls.left -= 1
        if cls.left < 0:
            raise Killed

    def create(self, path: str, **options: Any) -> Any:  # type: ignore[override]
        self.change()
        file = super().create(path, **options)
        commit = file.commit

        def mortal_commit() -> None:
            try:
                self.change()
            except Killed:
                file.discard()  # as the system closes the files of the dead
                raise
            commit()
            self.change()

        file.commit = mortal_commit  # type: ignore[method-assign]
        return file

    def remove(self, path: str) -> None:
        self.change()
        super().remove(path)


def test_wherever_it_is_killed_the_latest_is_whole() -> None:
    complete = False
    for changes in range(100):
        directory = f"run{changes}"
        manager = ckptfmt.CheckpointManager(directory, max_to_keep=2)
        for step in (1, 2):
            manager.save(tensors(step), step)
        Mortal.left = changes
        mortal = ckptfmt.CheckpointManager(directory, max_to_keep=2, fs=Mortal())
        try:
            mortal.save(tensors(3), 3)
            complete = True
        except Killed:
            pass
        latest = ckptfmt.CheckpointManager(directory).restore_or_none()
        assert latest is not None
        assert latest.verify().ok
        assert latest["w"][0] in (2, 3)
        again = ckptfmt.CheckpointManager(directory, max_to_keep=2)
        again.save(tensors(4), 4)
        again.save(tensors(5), 5)
        assert [path for path in saved(directory) if path != "ckpt-3"] == ["ckpt-4", "ckpt-5"]
        assert all(ckptfmt.open(f"{directory}/{path}").verify().ok for path in saved(directory))
        if complete:
            return
    raise AssertionError("it was killed each time")
