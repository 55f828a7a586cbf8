"""``ckptfmt convert``, and the verbs that list what it writes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import ckptfmt
from tests.support.command_line import run


@pytest.fixture
def source(tmp_path: Path) -> Path:
    values = {
        "dense/kernel": np.arange(12, dtype=np.float32).reshape(3, 4),
        "dense/bias": np.ones(4, np.float32),
        "global_step": np.array(7, np.int64),
        "vocabulary": np.array([b"a"], object),
    }
    ckptfmt.save(tmp_path / "model.ckpt", values)
    return tmp_path / "model.ckpt"


def test_what_is_written_is_said(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "new.safetensors"
    result = run("convert", source, target, "--weights", "--verify")
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == f"{target}: wrote 2 tensors, 64 B as safetensors, verified\n"


def test_tensors_that_do_not_fit_are_wrong_usage(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "new.safetensors"
    result = run("convert", source, target)
    assert result.exit_code == 2
    assert "no dtype string: 'vocabulary'" in result.stderr
    assert "pass --cast or --exclude" in result.stderr
    assert not target.exists()


@pytest.mark.parametrize(
    ("options", "what"),
    [
        (("--to", "hdf5", "--compression", "gzp"), "compression: got 'gzp', want one of none, gzip, lzf"),
        (("--to", "projector", "--select", "dense/kernel", "--verify"), "it cannot be read back"),
        (("--to", "npz", "--config", "model.json"), "--config: npz files have no configuration of a model"),
    ],
)
def test_options_that_a_format_does_not_have_are_wrong_usage(
    source: Path, tmp_path: Path, options: tuple[str, ...], what: str
) -> None:
    pytest.importorskip("h5py", reason="h5py is not installed")
    result = run("convert", source, tmp_path / "new", *options)
    assert result.exit_code == 2
    assert what in result.stderr
    assert not (tmp_path / "new").exists()


def test_the_dry_run_lists_what_would_be_written(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "new.safetensors"
    options = ("--exclude", "vocabulary", "--cast", "float16", "--dry-run")
    result = run("convert", source, target, *options)
    assert result.stdout.splitlines() == [
        "dense/bias\tfloat16\t[4]\t8\tchanged",
        "dense/kernel\tfloat16\t[3,4]\t24\tchanged",
        "global_step\tint64\t[]\t8\tcopied",
    ]
    assert result.stderr == (
        "cast to float16: values are rounded, and those that are too large become infinite\n"
        f"{target}: would write 3 tensors, 40 B as safetensors\n"
    )
    assert not target.exists()


def test_json_has_files_and_tensors(source: Path, tmp_path: Path) -> None:
    options = ("--to", "safetensors", "--max-shard-size", "48", "--select", "dense/*", "--json")
    document = json.loads(run("convert", source, f"{tmp_path}/out/", *options).stdout)
    assert [Path(each).name for each in document["files"]] == [
        "model.safetensors.index.json",
        "model-00001-of-00002.safetensors",
        "model-00002-of-00002.safetensors",
    ]
    assert (document["format"], document["written"], document["verified"]) == ("safetensors", True, False)
    assert document["tensors"][0] == {
        "name": "dense/bias",
        "dtype": "float32",
        "shape": [4],
        "bytes": 16,
        "copied": True,
    }


def test_a_name_that_says_no_format_is_wrong_usage(source: Path, tmp_path: Path) -> None:
    result = run("convert", source, tmp_path / "new.what")
    assert result.exit_code == 2
    assert "pass --to, one of safetensors" in result.stderr


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--max-shard-size", "0"), "--max-shard-size: got 0, want at least 1"),
        (("--to", "npz", "--max-shard-size", "5GB"), "--max-shard-size: npz is not written in several files"),
        (("--compression", "zstd"), "compression: got 'zstd', but safetensors has none"),
    ],
)
def test_options_that_a_format_lacks_are_wrong_usage(
    source: Path, tmp_path: Path, options: tuple[str, ...], said: str
) -> None:
    result = run("convert", source, tmp_path / "new.safetensors", "--weights", *options)
    assert result.exit_code == 2
    assert said in result.stderr
    assert not (tmp_path / "new.safetensors").exists()


def test_the_dry_run_finds_an_existing_target(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "new.safetensors"
    target.write_bytes(b"old")
    result = run("convert", source, target, "--weights", "--dry-run")
    assert result.exit_code == 2
    assert "pass --overwrite to replace it" in result.stderr
    assert run("convert", source, target, "--weights", "--dry-run", "--overwrite").exit_code == 0


@pytest.mark.parametrize("name", ["new.zarr", "new.ckpt", "new.safetensors"])
def test_the_dry_run_finds_what_writing_would(name: str, source: Path, tmp_path: Path) -> None:
    """A directory; an index; and shards, where a single file is to be written."""
    shards = ["--max-shard-size", "48"] if name == "new.safetensors" else []
    command = ("convert", source, tmp_path / name, "--weights")
    assert run(*command, *shards).exit_code == 0
    written, dry = run(*command), run(*command, "--dry-run")
    assert (dry.exit_code, dry.stderr) == (2, written.stderr)
    assert "pass --overwrite to replace it" in dry.stderr
    assert run(*command, "--dry-run", "--overwrite").exit_code == 0


@pytest.mark.parametrize("suffix", ["msgpack", "orbax"])
def test_the_dry_run_finds_names_that_a_tree_cannot_hold(suffix: str, tmp_path: Path) -> None:
    ckptfmt.save(tmp_path / "model", {"W1": np.ones(2), "W1/Adam": np.ones(2), "b": np.ones(2)})
    command = ("convert", tmp_path / "model", tmp_path / f"new.{suffix}", "--dry-run")
    result = run(*command)
    assert result.exit_code == 2
    said = "(no name that is also a scope of others: 'W1'): pass --model-only, --exclude or --plan"
    assert result.stderr.rstrip().endswith(said)
    assert run(*command, "--model-only").exit_code == 0


@pytest.mark.parametrize(
    ("format_", "said"),
    [
        ("projector", "pass --select with the matrices to show"),
        ("projector-bytes", "pass --select with the matrices to show, and --cast if they are not float32"),
    ],
)
def test_what_the_projector_cannot_show_is_to_be_left_out(
    source: Path, tmp_path: Path, format_: str, said: str
) -> None:
    result = run("convert", source, tmp_path / "new", "--to", format_)
    assert result.exit_code == 2
    assert result.stderr.rstrip().endswith(f": {said}")


def test_names_and_scopes_are_renamed(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "new.safetensors"
    assert run("convert", source, target, "--weights", "--rename", "dense=fc").exit_code == 0
    assert set(ckptfmt.open_tensors(target)) == {"fc/kernel", "fc/bias"}


def test_the_way_back_is_the_same_command(source: Path, tmp_path: Path) -> None:
    assert run("convert", source, tmp_path / "new.safetensors", "--weights").exit_code == 0
    assert run("convert", tmp_path / "new.safetensors", tmp_path / "back.ckpt").exit_code == 0
    with ckptfmt.open(tmp_path / "back.ckpt") as back, ckptfmt.open(source) as ckpt:
        assert back["dense/kernel"].tolist() == ckpt["dense/kernel"].tolist()


def test_what_cannot_be_resumed_is_said(source: Path, tmp_path: Path) -> None:
    result = run("convert", source, tmp_path / "new.ckpt", "--resume")
    assert result.exit_code == 0
    assert "checkpoint cannot be resumed: it is written from its beginning" in result.stderr


def test_files_of_other_programs_are_listed_and_shown(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "new.safetensors"
    run("convert", source, target, "--exclude", "vocabulary")
    listed = run("ls", target)
    assert listed.stdout.splitlines() == [
        "dense/bias\tfloat32\t[4]\t16",
        "dense/kernel\tfloat32\t[3,4]\t48",
        "global_step\tint64\t[]\t8",
    ]
    assert listed.stderr == "3 tensors, 17 parameters, 72 B\n"
    assert len(run("ls", target, source).stdout.splitlines()) == 7
    shown = json.loads(run("show", target, "kernel", "--slice", "1", "--json").stdout)
    assert (shown["format"], shown["values"], shown["file"]) == ("safetensors", [4, 5, 6, 7], None)
    info = json.loads(run("info", target, "--json").stdout)
    assert info["kind"] == "safetensors file"
    assert info["all"] == {"tensors": 3, "parameters": 17, "bytes": 72}
    assert run(target).exit_code == 0


def test_an_index_of_shards_is_listed(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "new.safetensors.index.json"
    run("convert", source, target, "--weights")
    assert (tmp_path / "new-00001-of-00001.safetensors").exists()
    assert len(run("ls", target).stdout.splitlines()) == 2
    assert json.loads(run("info", target, "--json").stdout)["format"] == "safetensors"
