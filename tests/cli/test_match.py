"""``ckptfmt match`` as its users see it."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

import ckptfmt
from tests.support.command_line import on_terminal, run, run_json
from tests.support.table_writer import write_bundle

FLOATS = {"dense/kernel": (3, 4), "dense/bias": (4,), "step": ()}


def write(path: Path, shapes: dict[str, tuple[int, ...]], dtype: type = np.float32) -> str:
    return write_bundle(path, {name: np.zeros(shape, dtype) for name, shape in shapes.items()})


@pytest.fixture
def model(tmp_path: Path) -> str:
    return write(tmp_path / "model", FLOATS)


def test_a_checkpoint_matches_itself(model: str) -> None:
    result = run("match", model, model)
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "3 matched\n")


def test_each_difference_is_a_line(model: str, tmp_path: Path) -> None:
    other = write(tmp_path / "other", {"dense/kernel": (4, 4), "dense/bias": (4,), "new": (2,)})
    result = run("match", model, other)
    assert result.exit_code == 1
    assert result.stdout.splitlines() == [
        "missing\tnew\t-\tfloat32[2]",
        "shape\tdense/kernel\tfloat32[3,4]\tfloat32[4,4]",
        "unused\tstep\tfloat32[]\t-",
    ]
    assert result.stderr == "1 matched, 1 missing, 1 shape, 1 unused\n"


def test_another_dtype_is_a_line(model: str, tmp_path: Path) -> None:
    result = run("match", model, write(tmp_path / "other", FLOATS, np.float64))
    assert result.exit_code == 1
    assert "dtype\tstep\tfloat32[]\tfloat64[]" in result.stdout.splitlines()


def test_unused_tensors_are_fine_with_expect_partial(model: str, tmp_path: Path) -> None:
    part = write(tmp_path / "part", {"dense/bias": (4,)})
    assert run("match", model, part).exit_code == 1
    assert run("match", model, part, "--expect-partial").exit_code == 0
    assert run("match", part, model, "--expect-partial").exit_code == 1


def test_json_says_the_same(model: str, tmp_path: Path) -> None:
    other = write(tmp_path / "other", {"dense/bias": (5,), "new": (2,)})
    document = run_json("match", model, other, code=1)
    assert document["ok"] is False
    assert document["totals"] == {"matched": 0, "missing": 1, "shape": 1, "dtype": 0, "unused": 2}
    assert document["mismatches"][:2] == [
        {"kind": "missing", "name": "new", "stored": None, "got": None}
        | {"want": {"dtype": "float32", "shape": [2]}},
        {
            "kind": "shape",
            "name": "dense/bias",
            "stored": "dense/bias",
            "got": {"dtype": "float32", "shape": [4]},
            "want": {"dtype": "float32", "shape": [5]},
        },
    ]
    assert run_json("match", model, model)["matched"] == {name: name for name in sorted(FLOATS)}


def test_a_plan_is_proposed_that_makes_it_match(model: str, tmp_path: Path) -> None:
    other = write(tmp_path / "other", {"layer.weight": (4, 3), "layer.bias": (4,), "step": ()})
    plan = tmp_path / "plan.toml"
    result = run("match", model, other, "--propose", plan)
    assert result.exit_code == 1
    assert "2 of 2 proposed" in result.stderr
    with ckptfmt.open(model) as checkpoint:
        assert ckptfmt.match(checkpoint.apply(ckptfmt.Plan.read(plan)), other).ok


def test_a_proposed_plan_replaces_a_file_only_with_overwrite(model: str, tmp_path: Path) -> None:
    plan = tmp_path / "plan.toml"
    plan.write_text("mine")
    result = run("match", model, model, "--propose", plan)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == f"ckptfmt: {plan}: file exists; pass --overwrite to replace it\n"
    assert plan.read_text() == "mine"
    assert run("match", model, model, "--propose", plan, "--overwrite").exit_code == 0
    assert plan.read_text() != "mine"


def test_overwrite_needs_a_plan_to_propose(model: str) -> None:
    result = run("match", model, model, "--overwrite")
    assert (result.exit_code, "--overwrite requires --propose" in result.stderr) == (2, True)


def test_names_are_safe_to_print(model: str, tmp_path: Path) -> None:
    other = write(tmp_path / "other", {"a\x1b[31m": (2,)})
    assert "\x1b" not in run("match", model, other).stdout


def test_a_missing_file_is_not_found(model: str, tmp_path: Path) -> None:
    assert run("match", model, tmp_path / "nothing").exit_code == 4
    assert (
        run_json("match", tmp_path / "nothing", model, code=4)["error"]["type"] == "CheckpointNotFoundError"
    )


@pytest.mark.skipif(sys.platform == "win32", reason="no pseudo-terminals")
def test_on_a_terminal_it_is_a_table_with_the_summary_below(model: str, tmp_path: Path) -> None:
    code, shown = on_terminal("match", model, write(tmp_path / "other", {"dense/bias": (4,), "x": (2,)}))
    assert code == 1
    lines = shown.splitlines()
    assert "kind" in lines[0]
    assert "want" in lines[0]
    assert lines[-1].strip() == "1 matched, 1 missing, 2 unused"
