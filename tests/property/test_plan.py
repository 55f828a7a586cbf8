"""Laws of plans: what is written reads back, and what is undone is as it was."""

from __future__ import annotations

import math
import re
import sys
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ckptfmt.dtypes import BY_NAME
from ckptfmt.errors import CkptfmtError, NameConflictError, PlanError
from ckptfmt.plans.about import About
from ckptfmt.plans.casts import is_castable, is_exact
from ckptfmt.plans.lint import Finding
from ckptfmt.plans.parts import Concat, Split
from ckptfmt.plans.pattern import Pattern, exact_pattern, exact_template
from ckptfmt.plans.plan import Plan
from ckptfmt.plans.removals import Drop, Refuse
from ckptfmt.plans.sizes import ShapePattern
from ckptfmt.plans.step import Step
from ckptfmt.plans.steps import STEPS, CastTo, Rename, RenameTable, Reshape, Transpose
from ckptfmt.plans.values import Fill, Sum
from tests.support.arrays import Arrays

TEXT = st.text(st.characters(codec="utf-8"), max_size=8) | st.text(
    "ab/'\"\\\n\r\t\b\x00\x1b\x7f#=[]. ", max_size=8
)
LITERAL = TEXT.map(exact_pattern).map(Pattern)
TEMPLATE = TEXT.map(exact_template)
NUMBERS = [dtype for dtype in BY_NAME.values() if is_castable(dtype)]
AXIS = st.integers(-3, 3)


@st.composite
def splits(draw: st.DrawFn) -> Split:
    into = draw(st.lists(TEMPLATE, min_size=1, max_size=3))
    sizes = draw(st.none() | st.lists(st.integers(0, 9), min_size=len(into), max_size=len(into)).map(tuple))
    return Split(draw(LITERAL), tuple(into), draw(AXIS), sizes)


CONDITIONS: dict[str, Any] = {
    "shaped": st.none()
    | st.sampled_from([(), ("u",), ("u", "4*u"), ("h*k", "h", "k"), (2, "n"), ("a", "a")]).map(ShapePattern),
    "beside": st.none() | TEMPLATE,
}

ANY_STEP: st.SearchStrategy[Step] = st.one_of(
    st.builds(Rename, LITERAL, TEMPLATE, TEXT, **CONDITIONS),
    st.builds(RenameTable, st.dictionaries(TEXT, TEXT, max_size=4), st.dictionaries(TEXT, TEXT, max_size=2)),
    st.builds(Drop, LITERAL, **CONDITIONS),
    st.builds(Transpose, LITERAL, st.none() | st.permutations(range(3)).map(tuple), **CONDITIONS),
    st.builds(Reshape, LITERAL, st.lists(st.integers(0, 1 << 40), max_size=3).map(lambda s: (*s, -1))),
    st.builds(
        Reshape,
        LITERAL,
        st.permutations(["a", 1, "3*b"]).map(tuple),
        shaped=st.just(ShapePattern(("a", "3*b"))),
    ),
    st.builds(CastTo, LITERAL, st.sampled_from(NUMBERS), **CONDITIONS),
    splits(),
    st.builds(Concat, st.lists(LITERAL, min_size=1, max_size=3).map(tuple), TEMPLATE, AXIS, **CONDITIONS),
    st.builds(
        Fill,
        LITERAL,
        TEMPLATE,
        st.sampled_from([0, 1, -3, 0.5, 1e300, math.inf]),
        st.none() | st.lists(st.integers(0, 5), max_size=3).map(tuple),
        st.none() | st.just(BY_NAME["float64"]),
    ),
    st.builds(Sum, st.lists(LITERAL, min_size=1, max_size=3).map(tuple), TEMPLATE, **CONDITIONS),
    st.builds(Refuse, LITERAL, TEXT, **CONDITIONS),
)
ANY_PLAN = st.builds(
    Plan,
    st.lists(ANY_STEP, max_size=5).map(tuple),
    st.sampled_from(["keep", "drop", "error"]),
    comment=TEXT,
    is_general=st.booleans(),
    about=st.none() | st.builds(About, TEXT, TEXT, TEXT, TEXT, st.lists(TEXT).map(tuple), TEXT),
)


@given(ANY_PLAN)
def test_a_plan_that_is_written_reads_back(plan: Plan) -> None:
    again = Plan.parse(plan.to_toml())
    assert again == plan
    assert again.about == plan.about


@given(TEXT)
def test_the_exact_pattern_of_any_name_is_that_name(name: str) -> None:
    assert Pattern(exact_pattern(name)).literal == name
    assert re.sub("x", exact_template(name), "x") == name


@given(st.text("^$\\.ab|d()[]+", max_size=8))
def test_what_is_looked_up_is_what_would_be_found(text: str) -> None:
    """As far as Python takes the text for a pattern at all, and but for its $ before a last newline."""
    pattern = Pattern(text)
    if pattern.literal is not None:
        assert re.search(text, pattern.literal)
        assert not re.search(text, f"{pattern.literal}x")
        assert not re.search(text, f"x{pattern.literal}")


@pytest.mark.skipif(sys.version_info < (3, 11), reason="words are those of tomllib")
@given(st.text(max_size=40) | st.text("[]='\"\n.step1rename-dropaxis ", max_size=60))
def test_any_text_is_a_plan_or_a_plan_error(text: str) -> None:
    with suppress(PlanError):
        Plan.parse(f"version = 1\n{text}")


def test_every_verb_is_tried() -> None:
    assert {kind.verb for kind in STEPS} == {
        *("rename", "drop", "transpose", "reshape", "cast", "split", "concat", "fill", "sum", "refuse"),
    }


# --- the way back ------------------------------------------------------------------------------------------

NAMES = ["a/0/kernel", "a/1/kernel", "a/1/bias", "b.c\\d", "step", "label", "x'\n"]


@st.composite
def some_tensors(draw: st.DrawFn) -> Arrays:
    arrays = {}
    for name in draw(st.lists(st.sampled_from(NAMES), min_size=1, unique=True)):
        shape = tuple(draw(st.lists(st.sampled_from([1, 2, 4, 6, 0]), max_size=3)))
        count = int(np.prod(shape))
        if name == "label":
            array = np.empty(count, object)
            array[:] = [b"%d" % i for i in range(count)]
        else:
            array = (np.arange(count) % 7).astype(draw(st.sampled_from(NUMBERS)).numpy)
        arrays[name] = array.reshape(shape)
    return Arrays(arrays)


@st.composite
def fitting_step(draw: st.DrawFn, tensors: Arrays) -> Step:
    """A step that has something to do with these tensors, and that can be undone, mostly."""
    names = list(tensors.entries)
    name = draw(st.sampled_from(names))
    entry = tensors.entries[name]
    shape, rank = entry.shape, len(entry.shape)
    pattern = Pattern(draw(st.sampled_from([exact_pattern(name), "kernel", "a", ""])))
    exact = Pattern(exact_pattern(name))
    kinds = [
        "rename",
        "table",
        "transpose",
        "axes",
        "reshape",
        "named",
        "cast",
        "fill",
        *(["split", "sizes", "concat"] * bool(rank)),
    ]
    kind = draw(st.sampled_from(kinds))
    axis = draw(st.integers(-rank, rank - 1)) if rank else 0
    if kind == "rename":
        return Rename(pattern, draw(st.sampled_from(["k", "", "new/\\g<0>"])))
    if kind == "table":
        return RenameTable(dict(zip(names, draw(st.permutations(names)), strict=True)))
    if kind == "transpose":
        return Transpose(pattern)
    if kind == "axes":
        return Transpose(exact, tuple(draw(st.permutations(range(rank)))))
    if kind == "reshape":
        return Reshape(pattern, draw(st.sampled_from([(-1,), (1, *shape), (2, -1), shape[::-1]])))
    if kind == "named":
        letters = [f"n{axis}" for axis in range(rank)]
        shaped = ShapePattern(tuple(letters))
        if draw(st.booleans()):
            return Transpose(pattern, tuple(draw(st.permutations(range(rank)))), shaped=shaped)
        return Reshape(pattern, (1, "*".join(letters) or 1), shaped=shaped)
    if kind == "fill":
        return Fill(exact, "\\g<0>/ones", 1, dtype=draw(st.none() | st.just(BY_NAME["int64"])))
    if kind == "cast":
        to = [dtype for dtype in NUMBERS if is_exact(entry.dtype, dtype)] or NUMBERS
        return CastTo(draw(st.sampled_from([pattern, exact])), draw(st.sampled_from(to)))
    if kind == "split":
        return Split(exact, ("p/0", "p/1"), axis)
    if kind == "sizes":
        cut = draw(st.integers(0, shape[axis]))
        return Split(exact, ("p/0", "\\g<0>/1"), axis, (cut, shape[axis] - cut))
    alike = [n for n in names if tensors.entries[n][1:3] == entry[1:3]]
    return Concat(tuple(Pattern(exact_pattern(n)) for n in draw(st.permutations(alike))), "joined", axis)


@settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large], deadline=None)
@given(some_tensors(), st.data())
def test_a_plan_and_its_inverse_give_everything_back(tensors: Arrays, data: st.DataObject) -> None:
    steps: list[Step] = []
    made = tensors
    for _ in range(data.draw(st.integers(1, 6))):
        step = data.draw(fitting_step(made))
        try:
            Plan((step,)).inverted(made)
            made = made.applied(Plan((step,)).targets(made.entries))
        except (PlanError, NameConflictError):
            continue  # names clash, a cast is lossy, or the others that match do not fit
        steps.append(step)
    plan = Plan(tuple(steps))
    assert _errors(plan, tensors) == []
    moved = tensors.applied(plan.targets(tensors.entries))
    assert {name: array.tolist() for name, array in moved.arrays.items()} == {
        name: array.tolist() for name, array in made.arrays.items()
    }
    back = Plan.parse(plan.inverted(tensors).to_toml())
    assert _errors(back, moved) == []
    restored = moved.applied(back.targets(moved.entries))
    assert restored.arrays.keys() == tensors.arrays.keys()
    for name, array in tensors.arrays.items():
        assert restored.entries[name].dtype == tensors.entries[name].dtype
        assert restored.arrays[name].shape == array.shape
        assert restored.arrays[name].tolist() == array.tolist()


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(some_tensors(), st.lists(ANY_STEP, max_size=4).map(tuple), st.sampled_from(["keep", "drop", "error"]))
def test_lint_finds_an_error_exactly_where_something_fails(
    tensors: Arrays, steps: tuple[Step, ...], rest: str
) -> None:
    # Steps that match nothing stop nothing; here the names are those of the tensors.
    names = list(tensors.entries)
    moved = [
        step if not hasattr(step, "pattern") else _aimed(step, names[i % len(names)])
        for i, step in enumerate(steps)
    ]
    plan = Plan(tuple(moved), rest)
    errors = _errors(plan, tensors)
    assert [fate.source for fate in plan.dry_run(tensors)] == names
    try:
        tensors.applied(plan.targets(tensors.entries))
    except CkptfmtError:
        assert errors
    else:
        assert not errors


def _aimed(step: Step, name: str) -> Step:
    # Without conditions, which the tensor might not meet, except those that name the sizes of a shape.
    aimed = replace(step, pattern=Pattern(exact_pattern(name)))
    return (
        aimed if isinstance(aimed, Reshape) or not hasattr(aimed, "beside") else replace(aimed, beside=None)
    )


def _errors(plan: Plan, tensors: Arrays) -> list[Finding]:
    """What lint finds that stops something."""
    return [
        finding
        for finding in plan.lint(tensors)
        if finding.severity == "error"
        and not finding.message.endswith(" matches nothing")
        and "no tensor for " not in finding.message
    ]
