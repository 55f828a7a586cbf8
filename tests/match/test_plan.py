"""The plan that proposals make: what it does, and what it says it leaves."""

from __future__ import annotations

from ckptfmt.checkpoint.plan import parse_plan
from ckptfmt.checkpoint.restore import RestoreReport
from ckptfmt.match.plan import plan_of
from ckptfmt.match.propose import Proposal


def test_one_tensor_that_is_wanted_twice_gets_the_first_name() -> None:
    plan = plan_of(
        RestoreReport({"left": "shared", "right": "shared", "same": "same"}), ["shared", "same"], ()
    )
    assert parse_plan(plan.to_toml()).steps == plan.steps
    (step,) = plan.steps
    assert step.fields() == {"rename": {"shared": "left"}}
    assert "'shared' as 'right'" in plan.comment


def test_names_that_toml_cannot_have_are_left_out_and_said() -> None:
    report = RestoreReport({"a": "x\udc80", "b\udcff": "y", "c": "z"})
    plan = plan_of(report, ["x\udc80", "y", "z"], ())
    text = plan.to_toml()
    (step,) = parse_plan(text).steps
    assert step.fields() == {"rename": {"z": "c"}}
    assert r"'x\udc80' as 'a'" in text
    assert r"'y' as 'b\udcff'" in text


def test_what_is_in_the_way_of_a_name_is_dropped_and_what_is_left_is_listed() -> None:
    report = RestoreReport({}, missing=["w", "v"], unused=["old/w", "w2"])
    plan = plan_of(report, ["old/w", "w", "w2"], [Proposal("old/w", "w", "same words", 1.0)])
    assert [step.verb for step in plan.steps] == ["drop", "rename"]
    assert plan.comment.splitlines() == ["still missing:", "  'v'", "still unused:", "  'w2'"]
