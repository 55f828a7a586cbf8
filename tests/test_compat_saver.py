"""``compat.Saver``, and the functions of ``tf.train`` that write and remove, without TensorFlow."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import numpy as np
import pytest

import ckptfmt
from ckptfmt import compat
from ckptfmt.compat import saver as saver_module
from ckptfmt.errors import CheckpointNotFoundError, GraphError, NotWritableError, TensorNotFoundError
from ckptfmt.storage.local import LOCAL
from tests.support.table_writer import encode_v1, write_bundle


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def arrays() -> dict[str, np.ndarray[tuple[int, ...], np.dtype[np.float32]]]:
    return {"v2": np.zeros((2, 3), np.float32), "v1": np.arange(3, dtype=np.float32)}


def saved(directory: str = "ckpt") -> list[str]:
    return sorted(path.stem for path in Path(directory).glob("*.index"))


def state_text(name: str = "checkpoint") -> str:
    return Path("ckpt", name).read_text(encoding="utf-8")


# --- Saver -------------------------------------------------------------------------------------------------


def test_the_tutorial() -> None:
    saver = compat.Saver(arrays(), max_to_keep=3)
    for step in range(5, 9):
        assert saver.save(None, "ckpt/model.ckpt", global_step=step) == f"ckpt/model.ckpt-{step}"
    assert saved() == ["model.ckpt-6", "model.ckpt-7", "model.ckpt-8"]
    assert saver.last_checkpoints == ["ckpt/model.ckpt-6", "ckpt/model.ckpt-7", "ckpt/model.ckpt-8"]
    assert state_text() == (
        'model_checkpoint_path: "model.ckpt-8"\n'
        'all_model_checkpoint_paths: "model.ckpt-6"\n'
        'all_model_checkpoint_paths: "model.ckpt-7"\n'
        'all_model_checkpoint_paths: "model.ckpt-8"\n'
    )
    restored = compat.Saver().restore(None, compat.latest_checkpoint("ckpt"))
    assert sorted(restored) == ["v1", "v2"]
    restored["v1"] += 1
    assert restored["v1"].tolist() == [1, 2, 3]


def test_arrays_are_read_at_each_save() -> None:
    variables = arrays()
    saver = compat.Saver(variables)
    variables["v1"] += 10
    saver.save(None, "model")
    assert compat.load_variable("model", "v1").tolist() == [10, 11, 12]


def test_tensors_are_stored_by_name() -> None:
    compat.Saver({"b": np.zeros(1), "a": {"z": np.zeros(1), "c": np.zeros(1)}}).save(None, "model")
    offsets = {name: entry.offset for name, entry in ckptfmt.open("model").entries.items()}
    assert offsets == {"a/c": 0, "a/z": 8, "b": 16}


def test_a_checkpoint_may_be_saved_again() -> None:
    compat.Saver(arrays()).save(None, "model")
    compat.Saver(ckptfmt.open("model").renamed({"v3": "v1"}, keep_rest=True)).save(None, "other")
    assert sorted(compat.Saver().restore(None, "other")) == ["v2", "v3"]


@pytest.mark.parametrize(
    ("step", "pads", "name"),
    [
        (None, False, "model"),
        (7, False, "model-7"),
        (np.int64(7), True, "model-00000007"),
        (np.array(7), False, "model-7"),
    ],
)
def test_steps_in_names(step: int | None, *, pads: bool, name: str) -> None:
    assert compat.Saver(arrays(), pad_step_number=pads).save(None, "model", step) == name
    assert saved(".") == [name]


def test_absolute_paths_stay_absolute_unless_relative_ones_are_asked_for(folder: Path) -> None:
    for is_relative, stored in ((False, str(folder / "ckpt" / "model")), (True, "model")):
        compat.Saver(arrays(), save_relative_paths=is_relative).save(None, folder / "ckpt" / "model")
        assert state_text().splitlines()[0] == f'model_checkpoint_path: "{stored}"'


def test_the_state_file_may_have_another_name_or_none() -> None:
    saver = compat.Saver(arrays())
    saver.save(None, "ckpt/model", write_state=False)
    assert not Path("ckpt/checkpoint").exists()
    saver.save(None, "ckpt/model", 1, latest_filename="best")
    assert compat.latest_checkpoint("ckpt", "best") == "ckpt/model-1"
    assert saver.last_checkpoints == ["ckpt/model-1"]


def test_no_checkpoint_has_the_name_of_the_state_file() -> None:
    saver = compat.Saver(arrays())
    with pytest.raises(ValueError, match="the name of the state file"):
        saver.save(None, "ckpt/checkpoint")
    with pytest.raises(ValueError, match="latest_filename: got 'a/b'"):
        saver.save(None, "ckpt/model", latest_filename="a/b")
    assert saver.save(None, "ckpt/checkpoint", 1) == "ckpt/checkpoint-1"


def test_without_variables_nothing_is_saved() -> None:
    for nothing in (None, {}):
        with pytest.raises(ValueError, match="no variables to save"):
            compat.Saver(nothing).save(None, "model")
    with pytest.raises(TypeError, match="var_list: got list, want arrays by name"):
        compat.Saver([np.zeros(3)])  # type: ignore[arg-type]


def test_a_saver_takes_the_arguments_of_tensorflows() -> None:
    saver = compat.Saver({}, allow_empty=True, restore_sequentially=True, builder=None, write_version=2)
    path = saver.save(None, "ckpt/empty", write_meta_graph=False, strip_default_attrs=True)
    assert list(ckptfmt.open(path)) == []
    with pytest.raises(ValueError, match="write_version: got 1, want 2"):
        compat.Saver(arrays(), write_version=1)


def test_all_are_kept_without_a_number() -> None:
    for number in (None, 0):
        saver = compat.Saver(arrays(), max_to_keep=number)
        for step in range(7):
            saver.save(None, "ckpt/model", step)
        assert len(saved()) == 7
        assert saver.last_checkpoints == []
        assert state_text().count("all_model_checkpoint_paths") == 1


def test_a_graph_is_deleted_with_its_checkpoint() -> None:
    saver = compat.Saver(arrays(), max_to_keep=1)
    saver.save(None, "ckpt/model", 1)
    for end in ("meta", "graph"):
        Path(f"ckpt/model-1.{end}").write_bytes(b"")
    saver.save(None, "ckpt/model", 2, meta_graph_suffix="graph")
    assert sorted(os.listdir("ckpt")) == [
        "checkpoint",
        "model-1.meta",
        "model-2.data-00000-of-00001",
        "model-2.index",
    ]


def test_a_run_goes_on_with_the_checkpoints_of_the_directory() -> None:
    for step in (1, 2):
        compat.Saver(arrays()).save(None, "ckpt/model", step)
    Path("ckpt/old").write_bytes(encode_v1({}))
    saver = compat.Saver(arrays(), max_to_keep=2)
    saver.recover_last_checkpoints(["ckpt/old", "ckpt/model-1", "ckpt/gone", "ckpt/model-2"])
    assert saver.last_checkpoints == ["ckpt/old", "ckpt/model-1", "ckpt/model-2"]
    for step in (3, 4):
        saver.save(None, "ckpt/model", step)
    assert not Path("ckpt/old").exists()  # one is dropped at each save
    assert saved() == ["model-2", "model-3", "model-4"]


def test_checkpoints_that_are_set_are_never_deleted() -> None:
    saver = compat.Saver(arrays(), max_to_keep=1)
    first = saver.save(None, "ckpt/model", 1)
    saver.set_last_checkpoints([first])
    second = saver.save(None, "ckpt/model", 2)
    saver.set_last_checkpoints_with_time([(second, 0.0)])
    saver.save(None, "ckpt/model", 3)
    assert saved() == ["model-1", "model-3"]


def test_what_was_just_saved_is_not_deleted_under_another_spelling(folder: Path) -> None:
    saver = compat.Saver(arrays(), max_to_keep=1)
    for path in ("ckpt/model", "./ckpt/model", folder / "ckpt" / "model", "ckpt//model"):
        saver.save(None, path)
        assert saved() == ["model"]
        assert len(saver.last_checkpoints) == 1


def test_one_every_so_many_hours_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(saver_module.time, "time", lambda: now)
    saver = compat.Saver(arrays(), max_to_keep=1, keep_checkpoint_every_n_hours=2)
    for step in range(1, 7):
        now += 3600
        saver.save(None, "ckpt/model", step)
    assert saved() == ["model-3", "model-5", "model-6"]


def test_a_checkpoint_that_cannot_be_deleted_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    saver = compat.Saver(arrays(), max_to_keep=1)
    saver.save(None, "ckpt/model", 1)
    claim = LOCAL.claim("ckpt/model-1.tempstate0")
    with caplog.at_level(logging.WARNING):
        saver.save(None, "ckpt/model", 2)
    claim.release()
    assert "old checkpoint not deleted: ckpt/model-1" in caplog.text


def test_only_the_variables_are_restored() -> None:
    compat.Saver({**arrays(), "step": np.int64(7)}).save(None, "model")
    assert list(compat.Saver({"v1": np.zeros(3)}).restore(None, "model")) == ["v1"]
    assert compat.Saver({"step": 0}).restore(None, b"model") == {"step": 7}
    with pytest.raises(TensorNotFoundError, match="v9"):
        compat.Saver({"v9": np.zeros(3)}).restore(None, "model")


def test_a_v1_checkpoint_is_restored() -> None:
    Path("old.ckpt").write_bytes(encode_v1(arrays()))
    assert sorted(compat.Saver().restore(None, "old.ckpt")) == ["v1", "v2"]


@pytest.mark.parametrize("path", [None, "missing", "ckpt/missing-7"])
def test_nothing_to_restore(path: str | None) -> None:
    with pytest.raises(ValueError, match=r"None|missing") as caught:
        compat.Saver().restore(None, path)
    assert path is None or isinstance(caught.value, CheckpointNotFoundError)


# --- Checkpoint and CheckpointManager ----------------------------------------------------------------------


def test_the_tutorial_of_objects() -> None:
    checkpoint = compat.Checkpoint(**arrays())
    manager = compat.CheckpointManager(checkpoint, "ckpt", max_to_keep=2)
    assert checkpoint.restore(manager.latest_checkpoint) == {}
    assert [manager.save() for _ in range(3)] == [f"ckpt/ckpt-{number}" for number in (1, 2, 3)]
    assert manager.save(checkpoint_number=np.int64(100)) == manager.latest_checkpoint == "ckpt/ckpt-100"
    assert manager.checkpoints == ["ckpt/ckpt-3", "ckpt/ckpt-100"]
    assert manager.directory == "ckpt"

    again = compat.Checkpoint(v1=np.zeros(3))
    restored = again.restore(compat.latest_checkpoint("ckpt"))
    assert sorted(restored) == ["v1", "v2"]
    restored["v1"] += 1
    assert restored["v1"].tolist() == [1, 2, 3]
    assert again.save_counter == 4
    assert compat.CheckpointManager(again, "ckpt", max_to_keep=2).save() == "ckpt/ckpt-5"
    assert again.save("ckpt/other") == "ckpt/other-6"


def test_a_checkpoint_of_names_is_restored_by_name() -> None:
    compat.Saver({"a/b": np.ones(2), "step": np.int64(7)}).save(None, "model")
    restored = compat.Checkpoint().restore("model")
    assert list(restored) == ["a/b", "step"]
    assert restored["step"] == 7


def test_what_is_no_object_changes_nothing() -> None:
    checkpoint = compat.Checkpoint(w=object())
    for write in (checkpoint.save, checkpoint.write):
        with pytest.raises(GraphError, match="w"):
            write("ckpt/model")
    assert checkpoint.save_counter == 0
    assert not Path("ckpt", "checkpoint").exists()
    with pytest.raises(CheckpointNotFoundError):
        checkpoint.restore("missing")


# --- functions ---------------------------------------------------------------------------------------------


def test_a_state_file_that_is_updated_is_read() -> None:
    os.mkdir("ckpt")
    compat.update_checkpoint_state("ckpt", "ckpt/b", ["ckpt/a"])
    state = compat.get_checkpoint_state("ckpt")
    assert state is not None
    assert list(state.all_model_checkpoint_paths) == ["ckpt/a", "ckpt/b"]
    compat.update_checkpoint_state(Path("ckpt"), "ckpt/b", ["ckpt/b"], "other", [1.5], 0.25)
    assert state_text("other") == (
        'model_checkpoint_path: "b"\n'
        'all_model_checkpoint_paths: "b"\n'
        "all_model_checkpoint_timestamps: 1.5\n"
        "last_preserved_timestamp: 0.25\n"
    )


def test_the_list_that_was_given_stays_as_it_is() -> None:
    paths = ["ckpt/a"]
    message = compat.generate_checkpoint_state_proto("ckpt", "ckpt/b", paths)
    assert paths == ["ckpt/a"]
    assert list(message.all_model_checkpoint_paths) == ["a", "b"]


def test_what_a_state_file_cannot_say(folder: Path) -> None:
    with pytest.raises(ValueError, match="timestamps: got 1, want one for each of 2 paths"):
        compat.generate_checkpoint_state_proto("ckpt", "b", ["a", "b"], [1.0])
    with pytest.raises(ValueError, match="UTF-8"):
        compat.generate_checkpoint_state_proto("ckpt", b"\xff")
    with pytest.raises(RuntimeError, match="choose another path"):
        compat.update_checkpoint_state(folder, folder / "checkpoint")
    with pytest.raises(NotWritableError):
        compat.update_checkpoint_state("missing", "b")
    assert os.listdir() == []


def test_times_and_removal() -> None:
    write_bundle("model", {}, 2)
    Path("model.meta").write_bytes(b"")
    Path("old").write_bytes(encode_v1({}))
    os.utime("model.index", (1.5, 1.5))
    os.utime("old", (2.5, 2.5))
    assert compat.get_checkpoint_mtimes(["old", "none", "s3://bucket/model", Path("model")]) == [2.5, 1.5]
    compat.remove_checkpoint("old")
    compat.remove_checkpoint("model")
    assert os.listdir() == ["old"]
    compat.remove_checkpoint(b"old", checkpoint_format_version=1)
    compat.remove_checkpoint("old", checkpoint_format_version=1)
    assert os.listdir() == []
