"""The plan made of proposals: what it does, and what it says is left over."""

from __future__ import annotations

from pathlib import Path

import numpy as np

import ckptfmt
from ckptfmt.compare.proposals import Proposal
from ckptfmt.compare.proposed_plan import proposed_plan
from ckptfmt.plans.plan import Plan
from ckptfmt.tensors.restore import RestoreReport
from tests.support.table_writer import write_bundle


def test_a_tensor_that_is_wanted_twice_gets_the_first_name() -> None:
    plan = proposed_plan(
        RestoreReport({"left": "shared", "right": "shared", "same": "same"}), ["shared", "same"], ()
    )
    assert Plan.parse(plan.to_toml()).steps == plan.steps
    (step,) = plan.steps
    assert step.fields() == {"rename": {"shared": "left"}}
    assert "'shared' as 'right'" in plan.comment


def test_names_that_toml_cannot_hold_are_left_out_and_listed() -> None:
    report = RestoreReport({"a": "x\udc80", "b\udcff": "y", "c": "z"})
    plan = proposed_plan(report, ["x\udc80", "y", "z"], ())
    text = plan.to_toml()
    (step,) = Plan.parse(text).steps
    assert step.fields() == {"rename": {"z": "c"}}
    assert r"'x\udc80' as 'a'" in text
    assert r"'y' as 'b\udcff'" in text


def test_tensors_in_the_way_of_a_name_are_dropped_and_the_rest_is_listed() -> None:
    report = RestoreReport({}, missing=["w", "v"], unused=["old/w", "w2"])
    plan = proposed_plan(report, ["old/w", "w", "w2"], [Proposal("old/w", "w", "same words", 1.0)])
    assert [step.verb for step in plan.steps] == ["drop", "rename"]
    assert plan.comment.splitlines() == ["still missing:", "  'v'", "still unused:", "  'w2'"]


def test_a_tensor_is_changed_for_only_one_that_wants_it(tmp_path: Path) -> None:
    path = write_bundle(tmp_path / "c", {"old": np.zeros((2, 3), np.float32)})
    result = ckptfmt.match(path, {"old": ckptfmt.Spec(None, (3, 2))})
    misfit = result.wrong_shape[0]
    again = misfit._replace(name="other")
    both = ckptfmt.Match(
        {},
        wrong_shape=[misfit, again],
        stored=result.stored,
        wanted=dict.fromkeys(("old", "other"), result.wanted["old"]),
    )
    assert [proposal.wanted for proposal in both.proposals] == ["old"]
    assert "'other'" in both.propose().comment
    with ckptfmt.open(path) as ckpt:
        assert both.propose().lint(ckpt) == []


def test_tensors_wanted_in_any_dtype_get_what_others_leave(tmp_path: Path) -> None:
    path = write_bundle(tmp_path / "c", {"alpha": np.zeros(5, np.int64), "omega": np.zeros(5, np.float32)})
    wanted = {"x": np.zeros(5, np.float32), "y": ckptfmt.Spec(None, (5,))}
    result = ckptfmt.match(path, wanted)
    assert {(p.stored, p.wanted) for p in result.proposals} == {("omega", "x"), ("alpha", "y")}
    with ckptfmt.open(path) as ckpt:
        assert ckptfmt.match(ckpt.apply(result.propose()), wanted).ok
