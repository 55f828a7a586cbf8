"""``--names``, ``--weights``, ``--ema``, and several checkpoints at once, as users see them."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import pytest

import ckptfmt
from tests.support import golden
from tests.support.command_line import run, run_json
from tests.support.table_writer import write_bundle

DIGITS = "examples/digits"
AVERAGE = "/ExponentialMovingAverage"


@pytest.fixture
def trained(tmp_path: Path) -> str:
    """A checkpoint of names: two variables, one with a slot and a moving average."""
    return write_bundle(
        tmp_path / "run" / "ckpt-1",
        {
            "a/w": np.array([1, 2], np.float32),
            f"a/w{AVERAGE}": np.array([3, 4], np.float32),
            "a/w/Adam": np.array([0, 0], np.float32),
            "b": np.array([5], np.float32),
            "global_step": np.array(7, np.int64),
        },
    )


@pytest.fixture(autouse=True)
def folders(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()


def names(*arguments: object) -> list[str]:
    return [line.split("\t")[0] for line in run("ls", *arguments).stdout.splitlines()]


def test_ls_lists_weights_by_every_kind_of_name() -> None:
    with ckptfmt.open(DIGITS) as ckpt:
        weights = ckpt.weights
        assert names(DIGITS, "--weights") == list(weights)
        assert names(DIGITS, "--weights", "--names", "stored") == [
            weights.stored_name(each) for each in weights
        ]
        assert names(DIGITS, "--names", "full") == list(ckpt.by_full_name())
        assert names(DIGITS, "--names", "path") == list(ckpt.by_object_path())
        assert names(DIGITS, "--names", "stored") == names(DIGITS) == list(ckpt)
    assert "3,882 parameters" in run("ls", DIGITS, "--weights").stderr


def test_ls_and_show_read_averages(trained: str) -> None:
    assert names(trained, "--ema", "--weights") == ["a/w", "b"]
    assert run_json("show", trained, "a/w", "--ema")["values"] == [3, 4]
    assert run_json("show", trained, "a/w")["values"] == [1, 2]
    shown = run_json("show", trained, "*", "--ema", "--weights")
    assert {each["name"]: each["values"] for each in shown["tensors"]} == {"a/w": [3, 4], "b": [5]}


@pytest.mark.parametrize("kind", ["stored", "full", "path"])
def test_the_names_that_ls_prints_are_accepted_by_ls_and_show(kind: str) -> None:
    printed = names(DIGITS, "--names", kind)
    for name in printed[1::7]:
        shown = run_json("show", DIGITS, name, "--no-stats")
        with_kind = run_json("show", DIGITS, name, "--names", kind, "--no-stats")
        assert with_kind["name"] == name
        assert (with_kind["offset"], with_kind["values"]) == (shown["offset"], shown["values"])
        assert len(names(DIGITS, name)) == 1


def test_a_name_that_is_not_chosen_is_an_error() -> None:
    result = run("show", DIGITS, "save_counter", "--weights")
    assert result.exit_code == 4
    assert "'save_counter' is not among the tensors chosen" in result.stderr


def test_tree_shows_weights_by_their_scopes() -> None:
    document = run_json("tree", DIGITS, "--weights")
    assert (document["kind"], document["totals"]["parameters"]) == ("scopes", 3_882)
    assert [node["name"] for node in document["nodes"] if node["depth"] == 2] == [
        *("conv1", "conv2", "logits", "norm"),
    ]


def test_verify_checks_the_weights_alone(trained: str) -> None:
    document = run_json("verify", trained, "--weights")
    assert (document["ok"], document["tensors"], document["tensors_checked"]) == (True, 2, 2)
    assert document["parameters"] == 3
    # Damage elsewhere does not count, damage in a weight does.
    data = Path(f"{trained}.data-00000-of-00001")
    content = bytearray(data.read_bytes())
    content[8] ^= 1
    data.write_bytes(content)
    assert run("verify", trained, "--weights").exit_code == 0
    assert run("verify", trained).exit_code == 3
    content[0] ^= 1
    data.write_bytes(content)
    result = run("verify", trained, "--weights")
    assert result.exit_code == 3
    assert re.search(r"^error: checksum: .*'a/w'", result.stdout, re.MULTILINE)
    assert "FAILED (damaged): 1 of 2 tensors intact" in result.stdout


def test_verify_names_tensors_as_asked(tmp_path: Path) -> None:
    for file in Path(DIGITS).iterdir():
        (tmp_path / "run" / file.name).write_bytes(file.read_bytes())
    with ckptfmt.open(DIGITS) as ckpt:
        offset = ckpt.weights.entries["digits/logits/bias"].offset
    assert offset is not None
    data = tmp_path / "run" / "ckpt-10.data-00000-of-00001"
    content = bytearray(data.read_bytes())
    content[offset] ^= 1
    data.write_bytes(content)
    document = run_json("verify", tmp_path / "run", "--names", "full", code=3)
    assert [problem["name"] for problem in document["problems"]] == ["digits/logits/bias"]


@pytest.mark.parametrize(
    ("values", "found"),
    [
        ([1.0, np.nan, np.nan], "2 NaNs in 3 elements"),
        ([np.inf, 1.0, -np.inf], "2 infinite numbers in 3 elements"),
        ([np.nan, np.inf, 1.0], "1 NaN and 1 infinite number in 3 elements"),
    ],
)
@pytest.mark.parametrize("dtype", ["float32", "float16", "float64"])
def test_verify_finds_what_is_not_finite(tmp_path: Path, values: list[float], found: str, dtype: str) -> None:
    array = np.array(values, np.float32).astype(ckptfmt.as_dtype(dtype).numpy)
    prefix = write_bundle(tmp_path / "ckpt", {"w": array, "n": np.array([1, 2])})
    assert run("verify", prefix).exit_code == 0
    result = run("verify", prefix, "--finite")
    assert result.exit_code == 1
    assert f"error: not finite: tensor 'w': {found}" in result.stdout
    assert "FAILED (not finite): 2 of 2 tensors intact" in result.stdout
    assert run("verify", DIGITS, "--finite").stdout.startswith("OK: ")


def test_all_checkpoints_of_a_directory() -> None:
    result = run("verify", "--all", DIGITS)
    assert result.exit_code == 0
    assert [line.split(": ")[:2] for line in result.stdout.splitlines()] == [
        [f"{DIGITS}/ckpt-9", "OK"],
        [f"{DIGITS}/ckpt-10", "OK"],
    ]
    listed = run_json("ls", "--all", DIGITS)["checkpoints"]
    assert [each["prefix"] for each in listed] == [f"{DIGITS}/ckpt-9", f"{DIGITS}/ckpt-10"]


def test_several_checkpoints_and_patterns(trained: str) -> None:
    result = run("ls", DIGITS, trained, "--weights")
    assert {line.split("\t")[0] for line in result.stdout.splitlines()} == {f"{DIGITS}/ckpt-10", trained}
    listed = run_json("ls", f"{DIGITS}/ckpt-9", f"{DIGITS}/ckpt-10", "*save_counter*")["checkpoints"]
    assert [len(each["tensors"]) for each in listed] == [1, 1]


def test_a_checkpoint_that_does_not_open_does_not_hide_the_others(trained: str, tmp_path: Path) -> None:
    (tmp_path / "bad.index").write_bytes(b"nonsense")
    result = run("verify", trained, tmp_path / "bad", DIGITS)
    assert result.exit_code == 3
    assert [line.rpartition("/")[2].split(",")[0] for line in result.stdout.splitlines()] == [
        "ckpt-1: OK: 5 of 5 tensors intact",
        "ckpt-10: OK: 31 of 31 tensors intact",
    ]
    assert "bad.index" in result.stderr
    document = run_json("verify", trained, tmp_path / "bad", code=3)
    assert [each["ok"] for each in document["checkpoints"]] == [True, False]
    assert not document["ok"]


# --- paths and patterns ------------------------------------------------------------------------------------


@pytest.fixture
def names_in_the_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current directory, in which files and directories are called like tensors and scopes."""
    shutil.copytree(DIGITS, tmp_path / "training")
    (tmp_path / "model").mkdir()
    (tmp_path / "epoch").write_text("")
    (tmp_path / "digits" / "conv1").mkdir(parents=True)
    shutil.copytree(DIGITS, tmp_path / "other")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.usefixtures("names_in_the_way")
def test_files_that_are_called_like_tensors_do_not_hide_them() -> None:
    assert len(run_json("ls", "training", "epoch", "digits/conv1/*")["tensors"]) == 3
    result = run("ls", "training", "model")
    assert result.exit_code == 4
    assert "no tensor matches 'model'" in result.stderr
    assert [each["prefix"] for each in run_json("ls", "training", "other", "epoch")["checkpoints"]] == [
        "training/ckpt-10",
        "other/ckpt-10",
    ]
    # What is neither a checkpoint nor a name is a path that does not open.
    Path("notes.txt").write_text("hello")
    result = run("ls", "training", "notes.txt")
    assert result.exit_code == 3
    assert "notes.txt: a text file" in result.stderr


@pytest.mark.usefixtures("names_in_the_way")
@pytest.mark.parametrize("verb", ["info", "ls", "verify"])
def test_a_pattern_of_paths_that_the_shell_has_left_alone(verb: str) -> None:
    document = run_json(verb, "training/ckpt-*")
    assert [each["prefix"] for each in document["paths" if verb == "info" else "checkpoints"]] == [
        "training/ckpt-9",
        "training/ckpt-10",
    ]
    assert run(verb, "training/none-*").exit_code == 4


def test_a_pattern_of_v1_files_stays_one_checkpoint() -> None:
    path = golden.load("v1_sharded").path
    assert "checkpoints" not in run_json("verify", path)
