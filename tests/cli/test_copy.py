"""``ckptfmt copy`` as its users see it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import ckptfmt
from tests.support.command_line import run, run_json
from tests.support.table_writer import write_bundle

W = np.arange(6, dtype=np.float32).reshape(2, 3)


@pytest.fixture
def model(tmp_path: Path) -> str:
    """A checkpoint of a model with Adam's slots, a moving average and a step."""
    tensors = {
        "dense/kernel": W,
        "dense/bias": W[0],
        "dense/kernel/Adam": W * 0,
        "dense/kernel/Adam_1": W * 0,
        "dense/kernel/ExponentialMovingAverage": W * 10,
        "global_step": np.int64(7),
    }
    return write_bundle(tmp_path / "model.ckpt-7", tensors)


def names(prefix: object) -> list[str]:
    return list(ckptfmt.open(str(prefix)))


def test_a_copy_has_the_same_bytes(model: str, tmp_path: Path) -> None:
    result = run("copy", model, tmp_path / "new")
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == f"{tmp_path}/new: wrote 6 tensors, 116 B in 1 data file, copied as stored\n"
    for end in (".index", ".data-00000-of-00001"):
        assert Path(model + end).read_bytes() == (tmp_path / f"new{end}").read_bytes()


def test_tensors_are_chosen_renamed_and_cast(model: str, tmp_path: Path) -> None:
    new = tmp_path / "new"
    run("copy", model, new, "--model-only", "--rename", "dense=encoder/fc", "--exclude", "*step")
    assert names(new) == ["encoder/fc/bias", "encoder/fc/kernel"]
    run("copy", model, new, "--overwrite", "--ema", "--model-only", "--cast", "bfloat16")
    ckpt = ckptfmt.open(new)
    assert ckpt.entries["dense/kernel"].dtype == "bfloat16"
    assert np.array_equal(ckpt["dense/kernel"].astype(np.float32), W * 10)
    assert ckpt["dense/bias"].astype(np.float32).tolist() == [0, 1, 2]
    run("copy", model, new, "--overwrite", "--select", "dense/*", "--exclude", "*Adam*")
    assert names(new) == ["dense/bias", "dense/kernel", "dense/kernel/ExponentialMovingAverage"]


def test_tensors_are_renamed_one_by_one(model: str, tmp_path: Path) -> None:
    options = ("--rename", "dense/bias=b", "--rename", "global_step=step", "--rename", "step=steps/step")
    assert (
        run(
            "copy", model, tmp_path / "new", "--select", "dense/bias", "--select", "*step", *options
        ).exit_code
        == 0
    )
    assert names(tmp_path / "new") == ["b", "steps/step"]


def test_missing_averages_are_noted(tmp_path: Path) -> None:
    plain = write_bundle(tmp_path / "plain", {"w": W})
    result = run("copy", plain, tmp_path / "new", "--ema")
    assert result.exit_code == 0
    assert result.stderr.startswith("no moving averages: variables are copied as they are\n")


def test_a_plan_is_applied(model: str, tmp_path: Path) -> None:
    plan = tmp_path / "plan.toml"
    plan.write_text("version = 1\nrest = 'drop'\n[[step]]\ntranspose = '^dense/kernel$'\naxes = [1, 0]\n")
    assert run("copy", model, tmp_path / "new", "--plan", plan).exit_code == 0
    assert np.array_equal(ckptfmt.open(tmp_path / "new")["dense/kernel"], W.T)


def test_several_sources_are_merged_into_shards(model: str, tmp_path: Path) -> None:
    other = write_bundle(tmp_path / "head", {"head/kernel": W})
    document = run_json("copy", model, other, tmp_path / "all", "--shards", 2)
    assert (document["num_shards"], document["written"], len(document["shard_bytes"])) == (2, True, 2)
    assert document["copied_bytes"] == document["bytes"] == sum(document["shard_bytes"])
    assert names(tmp_path / "all") == sorted([*names(model), "head/kernel"])
    again = run("copy", model, model, tmp_path / "twice")
    assert again.exit_code == 2
    assert "dense/bias" in again.stderr
    assert not (tmp_path / "twice.index").exists()


def test_a_dry_run_writes_nothing(model: str, tmp_path: Path) -> None:
    result = run("copy", model, tmp_path / "new", "--dry-run", "--cast", "float16", "--select", "dense/bias*")
    assert result.stdout == "dense/bias\tfloat16\t[3]\t6\t0\tchanged\n"
    assert "would write 1 tensor, 6 B in 1 data file, 6 B of them changed" in result.stderr
    assert not (tmp_path / "new.index").exists()


def test_the_state_file_names_the_copy_last(model: str, tmp_path: Path) -> None:
    folder = tmp_path / "new"
    for step in (1, 2):
        assert run_json("copy", model, folder / f"ckpt-{step}", "--state")["state_file"]
    state = ckptfmt.read_checkpoint_state(folder)
    assert state is not None
    assert state.model_checkpoint_path == "ckpt-2"
    assert state.all_model_checkpoint_paths == ("ckpt-1", "ckpt-2")
    assert ckptfmt.latest_checkpoint(folder) == str(folder / "ckpt-2")


def test_a_directory_takes_the_name_of_the_source(model: str, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    run("copy", model, tmp_path / "out")
    assert (tmp_path / "out" / "model.ckpt-7.index").exists()
    assert run("copy", model, model, tmp_path / "out").exit_code == 2


def test_an_existing_checkpoint_is_replaced_only_on_request(model: str, tmp_path: Path) -> None:
    assert run("copy", model, tmp_path / "new").exit_code == 0
    refused = run("copy", model, tmp_path / "new")
    assert refused.exit_code == 2
    assert "overwrite" in refused.stderr
    assert run("copy", tmp_path / "new", tmp_path / "new", "--overwrite", "--model-only").exit_code == 0
    assert ckptfmt.open(tmp_path / "new").verify().ok


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--rename", "dens=x"], "did you mean 'dense'"),
        (["--rename", "dense"], "want OLD=NEW"),
        (["--cast", "flot16"], "flot16"),
        (["--select", "nothing"], "nothing"),
        (["--shards", "2", "--max-shard-size", "1K"], "only one of them"),
    ],
)
def test_what_cannot_be_done_is_said_before_anything_is_written(
    model: str, tmp_path: Path, options: list[str], message: str
) -> None:
    result = run("copy", model, tmp_path / "new", *options)
    assert result.exit_code != 0
    assert message in result.stderr
    assert not (tmp_path / "new.index").exists()
