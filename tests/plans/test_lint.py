"""Linting: what a plan gets wrong with tensors, and what is worth knowing."""

from __future__ import annotations

import re

import pytest

from ckptfmt.errors import NameConflictError, PlanError
from ckptfmt.plans.lint import Finding
from tests.support.arrays import Arrays
from tests.support.plans import plan, step

MISFITS = {
    "nothing matches": (step("rename = '^gpt/'", "to = ''"), "matches nothing", ()),
    "name not there": (step("[step.rename]", "a = 'b'", "label = 'c'"), "no tensor for 1 of 2 names", ("a",)),
    "empty name": (step("rename = '^label$'", "to = ''"), "got an empty one", ("label",)),
    "part missing": (
        step(r"concat = ['^(.*_\d)/kernel$', '^(.*_0)/qkv$']", r"into = '\1/all'", "axis = 0"),
        "concat into 'bert/layer_1/all' lacks a part",
        ("bert/layer_1/all",),
    ),
    "part twice": (
        step(r"concat = ['^bert/layer_./kernel$', '^label$']", "into = 'all'", "axis = 0"),
        "several tensors for one part",
        ("all",),
    ),
    "used twice": (
        step(r"concat = ['^(label)$', '^(l.*)$']", r"into = '\1/all'", "axis = 0"),
        "'label' is used twice",
        ("label",),
    ),
    "axes": (
        step("transpose = '_0/qkv$'", "axes = [0, 2, 1]"),
        "permutation of the 2 axes",
        ("bert/layer_0/qkv",),
    ),
    "shape": (step("reshape = '_0/qkv$'", "shape = [7, -1]"), "12 elements", ("bert/layer_0/qkv",)),
    "cast": (step("cast = 'label'", "dtype = 'int8'"), "numbers or bool", ("label",)),
    "sizes": (
        step("split = '^label$'", "into = ['a', 'b']", "axis = 0", "sizes = [1, 2]"),
        "add up to 3, want 2",
        ("a", "b"),
    ),
}


@pytest.mark.parametrize("case", MISFITS)
def test_lint_finds(case: str, tensors: Arrays) -> None:
    text, message, names = MISFITS[case]
    findings = plan(step("rename = 'global'", "to = 'g'"), text).lint(tensors)
    wanted = [finding for finding in findings if message in finding.message]
    assert [(f.severity, f.step, f.names) for f in wanted] == [("error", 2, names)], findings


@pytest.mark.parametrize("case", ["part missing", "part twice", "used twice", "empty name"])
def test_names_that_do_not_fit_stop_targets(case: str, tensors: Arrays) -> None:
    text, message, _ = MISFITS[case]
    with pytest.raises((PlanError, NameConflictError), match=re.escape(message)):
        plan(text).targets(tensors.entries)


def test_lint_lists_everything_at_once(tensors: Arrays) -> None:
    bad = [text for text, _, _ in MISFITS.values()]
    findings = plan(*bad).lint(tensors)
    assert {finding.step for finding in findings} >= {1, 2, 3}
    assert all(str(finding).startswith(f"error: step {finding.step}: ") for finding in findings)


def test_casts_and_drops_that_may_be_meant_are_notes(tensors: Arrays) -> None:
    made = plan(step("cast = 'kernel$'", "dtype = 'bfloat16'"), step("drop = 'Momentum'"), rest="drop")
    cast, drop, rest = made.lint(tensors)
    assert cast == Finding(
        "note",
        1,
        "cast of 'bert/layer_0/kernel', 'bert/layer_1/kernel' from float32 to bfloat16 may change values",
        ("bert/layer_0/kernel", "bert/layer_1/kernel"),
    )
    assert (drop.severity, drop.step) == ("note", 2)
    assert (rest.severity, len(rest.names)) == ("note", 6)
