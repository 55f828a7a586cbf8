"""Conditions of steps, and the steps that make, add up and refuse values."""

from __future__ import annotations

import numpy as np
import pytest

from ckptfmt import Plan
from ckptfmt.errors import PlanError
from ckptfmt.plans.plan import Fate
from ckptfmt.plans.sizes import ShapePattern
from tests.support.arrays import Arrays
from tests.support.plans import plan, step


def draw(*shape: int) -> np.ndarray:
    return np.random.default_rng(7).normal(size=shape).astype(np.float32)


LAYERS = Arrays(
    {
        "conv/kernel": draw(3, 3, 2, 5),
        "dense/kernel": draw(4, 6),
        "gru/kernel": draw(4, 9),
        "gru/recurrent_kernel": draw(3, 9),
        "lstm/bias": draw(12),
        "lstm/kernel": draw(4, 12),
        "lstm/recurrent_kernel": draw(3, 12),
    }
)


def applied(plan: Plan, tensors: Arrays = LAYERS) -> dict[str, np.ndarray]:
    assert [each for each in plan.lint(tensors) if each.severity == "error"] == []
    return tensors.applied(plan.targets(tensors.entries)).arrays


MATCHES = {
    "rank": (("a", "b"), (3, 4), {"a": 3, "b": 4}),
    "other rank": (("a", "b"), (3, 4, 5), None),
    "scalar": ((), (), {}),
    "number": ((1, "a"), (1, 4), {"a": 4}),
    "other number": ((1, "a"), (2, 4), None),
    "same": (("a", "a"), (3, 3), {"a": 3}),
    "not the same": (("a", "a"), (3, 4), None),
    "factor": (("u", "4*u"), (3, 12), {"u": 3}),
    "factor first": (("4*u", "u"), (12, 3), {"u": 3}),
    "factor alone": (("3*u",), (12,), {"u": 4}),
    "no multiple": (("3*u",), (13,), None),
    "factor that differs": (("u", "4*u"), (3, 9), None),
    "product": (("h*k", "h", "k"), (12, 3, 4), {"h": 3, "k": 4}),
    "product that differs": (("h*k", "h", "k"), (13, 3, 4), None),
    "square": (("a*a", "a"), (9, 3), {"a": 3}),
    "spaces": (("2 * a",), (6,), {"a": 3}),
    "nothing": (("a", "4*a"), (0, 0), {"a": 0}),
    "times nothing": (("0*a",), (0,), None),
}


@pytest.mark.parametrize("case", MATCHES)
def test_a_shape_matches_if_its_names_can_stand_for_its_sizes(case: str) -> None:
    sizes, shape, wanted = MATCHES[case]
    assert ShapePattern(sizes).check() is None
    assert ShapePattern(sizes).sizes_of(shape) == wanted


def test_one_step_for_each_rank() -> None:
    got = applied(
        plan(
            step("transpose = 'kernel$'", "shaped = ['i', 'o']"),
            step("transpose = 'kernel$'", "shaped = ['h', 'w', 'i', 'o']", "axes = [3, 2, 0, 1]"),
        )
    )
    np.testing.assert_array_equal(got["dense/kernel"], LAYERS.arrays["dense/kernel"].T)
    np.testing.assert_array_equal(got["conv/kernel"], LAYERS.arrays["conv/kernel"].transpose(3, 2, 0, 1))


def test_named_sizes_say_what_a_reshape_makes() -> None:
    text = step("reshape = 'conv'", "shaped = ['h', 'w', 'i', 'o']", "shape = ['i*o', 1, 'h', 'w']")
    assert applied(plan(text))["conv/kernel"].shape == (10, 1, 3, 3)


def test_a_tensor_beside_another_is_told_from_others_of_its_name() -> None:
    made = plan(
        step(r"rename = '^(.*)/recurrent_kernel$'", r"to = '\1/lstm/recurrent'", "shaped = ['u', '4*u']"),
        step(r"rename = '^(.*)/(kernel|bias)$'", r"to = '\1/lstm/\2'", r"beside = '\1/lstm/recurrent'"),
    )
    assert sorted(applied(made)) == [
        *("conv/kernel", "dense/kernel", "gru/kernel", "gru/recurrent_kernel"),
        *("lstm/lstm/bias", "lstm/lstm/kernel", "lstm/lstm/recurrent"),
    ]


def test_parts_take_their_sizes_from_the_shape_and_one_takes_the_rest() -> None:
    text = step(
        r"split = '(lstm)/kernel'", r"into = ['\1/x', '\1/h']", "axis = 0", "sizes = [-1, 'u']",
        "shaped = ['n', '12*u']",
    )  # fmt: skip
    got = applied(plan(text))
    assert (got["lstm/x"].shape, got["lstm/h"].shape) == ((3, 12), (1, 12))
    text = step("split = 'lstm/kernel'", "into = ['x', 'h']", "axis = 0", "sizes = [-1, 5]")
    (finding,) = plan(text).lint(LAYERS)
    assert "got sizes that add up to 5, want 4" in finding.message
    text = step("split = 'lstm/kernel'", "into = ['x', 'h']", "axis = 2", "sizes = [-1, 5]")
    (finding,) = plan(text).lint(LAYERS)
    assert "got axis 2, want one of the 2" in finding.message


def test_conditional_steps_are_undone_tensor_by_tensor() -> None:
    made = plan(
        step("transpose = 'kernel$'", "shaped = ['i', 'o']"),
        step("reshape = 'kernel$'", "shaped = ['h', 'w', 'i', 'o']", "shape = ['h*w', 'i*o']"),
        step("cast = 'bias'", "dtype = 'float64'", "shaped = ['n']"),
        step(r"rename = '(.*)/kernel'", r"to = '\1.weight'", r"beside = '\1/bias'"),
        step(r"split = '(gru)/kernel'", r"into = ['\1/a', '\1/b']", "axis = 0", "sizes = ['u', '2*u']",
             "shaped = ['3*u', 'n']"),
    )  # fmt: skip
    moved = LAYERS.applied(made.targets(LAYERS.entries))
    assert moved.arrays.keys() > {"lstm.weight", "gru/a", "gru/b"}
    back = Plan.parse(made.inverted(LAYERS).to_toml())
    restored = applied(back, moved)
    assert restored.keys() == LAYERS.arrays.keys()
    for name, array in LAYERS.arrays.items():
        np.testing.assert_array_equal(restored[name], array)
        assert restored[name].dtype == array.dtype


def test_a_condition_on_a_tensor_that_a_step_does_not_fit_does_not_hold() -> None:
    made = plan(
        step("transpose = 'dense'", "axes = [0, 1, 2]"), step("drop = 'dense'", "shaped = ['a', 'b']")
    )
    messages = [finding.message for finding in made.lint(LAYERS)]
    assert any("want a permutation of the 2 axes" in message for message in messages)


# --- fill --------------------------------------------------------------------------------------------------

FILL = step(r"fill = '(.*)/bias'", r"into = '\1/bias_hh'", "value = 0")


def test_fill_makes_a_tensor_beside_another() -> None:
    got = applied(plan(FILL))
    np.testing.assert_array_equal(got["lstm/bias_hh"], np.zeros(12, np.float32))
    np.testing.assert_array_equal(got["lstm/bias"], LAYERS.arrays["lstm/bias"])
    count = step(r"fill = '(.*)/bias'", r"into = '\1/count'", "value = 3", "shape = []", 'dtype = "int64"')
    got = applied(plan(count))
    assert (got["lstm/count"], got["lstm/count"].dtype) == (3, np.int64)
    named = step(r"fill = '(.*)/bias'", r"into = '\1/b'", "value = 1", "shape = [2, 'u']", "shaped = ['4*u']")
    assert applied(plan(named))["lstm/b"].shape == (2, 3)


def test_fill_leaves_a_tensor_that_exists() -> None:
    tensors = Arrays({"a/bias": np.float32(1), "a/bias_hh": np.float32(2)})
    assert applied(plan(FILL), tensors)["a/bias_hh"] == 2


def test_a_dry_run_shows_what_is_filled_beside_its_tensor_and_the_inverse_drops_it() -> None:
    assert Fate("lstm/bias", ("lstm/bias", "lstm/bias_hh"), (1,), False) in plan(FILL).dry_run(LAYERS)
    (undo,) = plan(FILL).inverted(LAYERS).steps
    assert undo.fields() == {"drop": "^lstm/bias_hh$"}


# --- sum ---------------------------------------------------------------------------------------------------


def test_sum_adds_what_one_layer_has() -> None:
    tensors = Arrays({f"{layer}/bias_{kind}": draw(3) + i for layer in "ab" for i, kind in enumerate("xy")})
    made = plan(step(r"sum = ['(.*)/bias_x', '(.*)/bias_y']", r"into = '\1/bias'"))
    got = applied(made, tensors)
    assert list(got) == ["a/bias", "b/bias"]
    np.testing.assert_array_equal(got["b/bias"], draw(3) + (draw(3) + 1))
    with pytest.raises(PlanError, match="the parts of a sum cannot be restored"):
        made.inverted(tensors)


def test_a_number_is_added_by_filling_and_adding() -> None:
    tensors = Arrays({"f": draw(3)})
    made = plan(step("fill = 'f'", "into = 'one'", "value = 1.0"), step("sum = ['f', 'one']", "into = 'f'"))
    np.testing.assert_array_equal(applied(made, tensors)["f"], draw(3) + np.float32(1))


def test_a_sum_that_lacks_a_part_or_does_not_fit_is_an_error() -> None:
    tensors = Arrays({"a/x": draw(3), "a/y": draw(4), "b/x": draw(3)})
    made = plan(step(r"sum = ['(.*)/x', '(.*)/y']", r"into = '\1'"))
    messages = [finding.message for finding in made.lint(tensors)]
    assert any("sum into 'b' lacks a part: nothing matches '(.*)/y'" in message for message in messages)
    assert any("sum of 'a/x' and 'a/y': got float32[4], want float32[3]" in message for message in messages)


# --- refuse ------------------------------------------------------------------------------------------------


def test_refuse_is_an_error_only_if_something_matches() -> None:
    made = plan(step("refuse = 'gru/'", "because = 'no such layer in PyTorch'"), file="p.toml")
    with pytest.raises(PlanError, match=r"^p.toml: step 1: 'gru/kernel', .*: no such layer in PyTorch$"):
        made.targets(LAYERS.entries)
    (finding,) = made.lint(LAYERS)
    assert (finding.severity, finding.names) == ("error", ("gru/kernel", "gru/recurrent_kernel"))
    other = Arrays({"w": draw(2)})
    assert made.lint(other) == []
    assert made.inverted(other).steps == ()
    assert list(made.targets(other.entries)) == ["w"]
