"""``ckptfmt plans``: the plans that ship, as users see them; and their names in place of plan files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import ckptfmt
from ckptfmt import Plan
from ckptfmt.cli.app import VERBS
from tests.support.command_line import run, run_json
from tests.support.table_writer import write_bundle


def test_it_lists_names_and_titles() -> None:
    plans = ckptfmt.shipped_plans()
    lines = run("plans").stdout.splitlines()
    assert lines == [f"{name}\t{plan.about and plan.about.title}" for name, plan in plans.items()]


def test_it_prints_a_plan_that_can_be_used(tmp_path: Path) -> None:
    for name, plan in ckptfmt.shipped_plans().items():
        mine = tmp_path / f"{name}.toml"
        mine.write_text(run("plans", name).stdout, encoding="utf-8")
        assert Plan.read(mine) == plan


def test_its_json_has_what_the_plans_say() -> None:
    listed = {each["name"]: each for each in run_json("plans")["plans"]}
    assert set(listed) == set(ckptfmt.shipped_plans())
    one = run_json("plans", "keras-torch")
    assert one.pop("text") == run("plans", "keras-torch").stdout
    assert one == listed["keras-torch"]
    assert one["title"]
    assert one["steps"] > 1


def test_a_typo_is_told_the_right_name() -> None:
    result = run("plans", "keras-torhc")
    assert result.exit_code == 4
    assert "did you mean 'keras-torch'" in result.stderr


@pytest.fixture
def prefix(tmp_path: Path) -> str:
    return write_bundle(tmp_path / "model-1", {"dense/kernel": np.ones((3, 4), np.float32)})


def test_a_name_stands_for_a_plan_file(prefix: str, tmp_path: Path) -> None:
    result = run("plan", prefix, "keras-torch")
    assert (result.exit_code, result.stdout) == (0, "dense/kernel\tchanged\tdense.weight\tfloat32[4,3]\n")
    result = run("copy", prefix, tmp_path / "out", "--plan", "keras-torch")
    assert result.exit_code == 0, result.stderr
    with ckptfmt.open(tmp_path / "out") as copy:
        assert copy.entries["dense.weight"].shape == (4, 3)


def test_the_error_for_an_unknown_name_names_a_verb_that_exists(prefix: str) -> None:
    result = run("plan", prefix, "qqq")
    assert result.exit_code == 4
    assert "ckptfmt plans lists" in result.stderr
    assert "plans" in VERBS
