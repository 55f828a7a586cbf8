"""``ckptfmt plan`` as its users see it."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

import ckptfmt
from tests.support.command_line import on_terminal, run, run_json
from tests.support.table_writer import write_bundle

PLAN = r"""
version = 1
[[step]]
rename = '^layer_(\d)/'
to = 'block/\1/'
[[step]]
split = '^(.*)/qk$'
into = ['\1/q', '\1/k']
axis = 1
"""


@pytest.fixture
def model(tmp_path: Path) -> str:
    array = np.arange(8, dtype=np.float32).reshape(2, 4)
    return write_bundle(tmp_path / "model", dict.fromkeys(("layer_0/qk", "layer_1/w", "w\x1b"), array))


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    path = tmp_path / "plan.toml"
    path.write_text(PLAN)
    return path


def test_each_tensor_is_a_line_with_its_fate_and_targets(model: str, plan: Path) -> None:
    result = run("plan", model, plan)
    assert result.exit_code == 0
    assert result.stdout == (
        "layer_0/qk\tchanged\tblock/0/q\tfloat32[2,2]\tblock/0/k\tfloat32[2,2]\n"
        "layer_1/w\tchanged\tblock/1/w\tfloat32[2,4]\n"
        "w\\x1b\tkept\tw\\x1b\tfloat32[2,4]\n"
    )
    assert result.stderr == "3 tensors: 2 changed, 1 kept\n"


def test_errors_and_notes_are_on_stderr_and_errors_are_exit_code_1(model: str, plan: Path) -> None:
    plan.write_text(PLAN + "[[step]]\ncast = 'w$'\ndtype = 'float16'\n")
    result = run("plan", model, plan)
    assert (result.exit_code, result.stderr.splitlines()[1][:12]) == (0, "note: step 3")
    plan.write_text(PLAN + "[[step]]\ntranspose = 'w$'\naxes = [0]\n")
    result = run("plan", model, plan)
    assert result.exit_code == 1
    assert result.stderr.splitlines()[1].startswith("error: step 3: transpose of 'layer_1/w': got axes [0]")
    assert result.stdout.splitlines()[1:] == [
        "layer_1/w\tchanged\tblock/1/w\t?",
        "w\\x1b\tkept\tw\\x1b\tfloat32[2,4]",
    ]


def test_a_file_that_is_not_a_plan_is_exit_code_2(model: str, plan: Path) -> None:
    plan.write_text("version = 1\n[[step]]\ndorp = 'a'")
    result = run("plan", model, plan)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith(f"ckptfmt: {plan}: step 1: unknown key 'dorp'; did you mean 'drop'")
    error = run_json("plan", model, plan, code=2)["error"]
    assert (error["type"], error["file"], error["step"]) == ("PlanError", str(plan), 1)


def test_a_missing_file_is_exit_code_4(model: str, tmp_path: Path) -> None:
    result = run("plan", model, tmp_path / "nothing.toml")
    assert result.exit_code == 4
    assert result.stderr == f"ckptfmt: {tmp_path / 'nothing.toml'}: no such file\n"


def test_json_has_these_keys(model: str, plan: Path) -> None:
    plan.write_text(PLAN + "[[step]]\nrename = 'nothing'\nto = ''\n")
    document = run_json("plan", model, plan, code=1)
    assert list(document) == ["prefix", "format", "ok", "tensors", "findings"]
    assert document["ok"] is False
    assert document["tensors"][0] == {
        "name": "layer_0/qk",
        "fate": "changed",
        "targets": [
            {"name": "block/0/q", "dtype": "float32", "shape": [2, 2]},
            {"name": "block/0/k", "dtype": "float32", "shape": [2, 2]},
        ],
        "steps": [1, 2],
    }
    (finding,) = document["findings"]
    assert list(finding) == ["severity", "step", "message", "names"]
    assert (finding["severity"], finding["step"]) == ("error", 3)


def test_the_inverse_is_written_and_undoes_the_plan(model: str, plan: Path, tmp_path: Path) -> None:
    out = tmp_path / "back.toml"
    result = run("plan", model, plan, "--invert", out)
    assert (result.exit_code, result.stderr.splitlines()[-1]) == (0, f"{out}: written")
    with ckptfmt.open(model) as checkpoint:
        view = checkpoint.apply(ckptfmt.Plan.read(plan))
        back = view.apply(ckptfmt.Plan.read(out))
        assert list(back) == list(checkpoint)
        for name, array in checkpoint.items():
            assert back[name].tobytes() == array.tobytes()


def test_the_inverse_replaces_a_file_only_with_overwrite(model: str, plan: Path) -> None:
    result = run("plan", model, plan, "--invert", plan)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == f"ckptfmt: {plan}: file exists; pass --overwrite to replace it\n"
    error = run_json("plan", model, plan, "--invert", plan, code=2)["error"]
    assert (error["type"], error["file"]) == ("AlreadyExistsError", str(plan))
    assert error["message"] == f"{plan}: file exists; pass --overwrite to replace it"
    assert plan.read_text() == PLAN
    assert run("plan", model, plan, "--invert", plan, "--overwrite").exit_code == 0
    assert plan.read_text() != PLAN


def test_overwrite_needs_an_inverse(model: str, plan: Path) -> None:
    result = run("plan", model, plan, "--overwrite")
    assert (result.exit_code, "--overwrite requires --invert" in result.stderr) == (2, True)


def test_without_an_inverse_nothing_is_written(model: str, plan: Path, tmp_path: Path) -> None:
    out = tmp_path / "back.toml"
    plan.write_text(PLAN + "[[step]]\ndrop = '/w$'\n")
    result = run("plan", model, plan, "--invert", out)
    assert result.exit_code == 2
    assert "cannot be inverted: step 3: drop of 'block/1/w'" in result.stderr
    plan.write_text(PLAN + "[[step]]\nreshape = 'w'\nshape = [3]\n")
    result = run("plan", model, plan, "--invert", out)
    assert result.exit_code == 1
    assert result.stderr.endswith(f"{out}: not written: the plan has errors\n")
    assert not out.exists()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pseudo-terminals")
def test_on_a_terminal_it_is_a_table(model: str, plan: Path) -> None:
    code, shown = on_terminal("plan", model, plan)
    assert code == 0
    assert "becomes" in shown
    assert "block/0/q float32[2,2], block/0/k float32[2,2]" in shown
    assert shown.splitlines()[-1] == "3 tensors: 2 changed, 1 kept"
