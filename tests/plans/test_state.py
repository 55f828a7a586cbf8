"""Steps applied one by one: what each changes, and the tensors that exist after it."""

from __future__ import annotations

from ckptfmt.errors import CkptfmtError
from ckptfmt.plans.changes import Change, Changes
from ckptfmt.plans.expressions import Stored
from ckptfmt.plans.parts import Concat, Split
from ckptfmt.plans.pattern import Pattern
from ckptfmt.plans.place import StepPlace
from ckptfmt.plans.removals import Drop
from ckptfmt.plans.state import PlanState, Rest
from ckptfmt.plans.step import Step
from ckptfmt.plans.steps import Rename, RenameTable, Transpose
from tests.support.arrays import Arrays
from tests.support.plans import W

NAMES = ["a", "b", "c", "d"]


def state_after(*steps: Step, rest: Rest = "keep") -> tuple[PlanState, list[Changes], list[str]]:
    errors: list[str] = []

    def keep(error: CkptfmtError, names: object) -> None:
        errors.append(f"{error} {names}")

    state = PlanState(Arrays(dict.fromkeys(NAMES, W)).entries, rest, keep)
    changes = [state.apply(step, StepPlace("p.toml", number)) for number, step in enumerate(steps, 1)]
    return state, changes, errors


def test_a_rename_takes_and_makes_the_same_tensors() -> None:
    state, (changes,), errors = state_after(Rename(Pattern("^[ab]$"), r"n/\g<0>"))
    assert list(changes) == [
        Change((("a", Stored("a")),), (("n/a", Stored("a")),)),
        Change((("b", Stored("b")),), (("n/b", Stored("b")),)),
    ]
    assert list(state.kept()) == ["n/a", "n/b", "c", "d"]
    assert state.leftovers() == ["c", "d"]
    assert errors == []


def test_a_drop_makes_nothing() -> None:
    state, (changes,), _ = state_after(Drop(Pattern("[bc]")))
    assert [(len(change.taken), len(change.made)) for change in changes] == [(1, 0)] * 2
    assert state.dropped == [Stored("b"), Stored("c")]
    assert list(state.kept()) == ["a", "d"]


def test_changes_are_returned_one_by_one_as_they_were_given() -> None:
    given = [
        Change((("a", Stored("a")),), (("x", Stored("a")), ("y", Stored("a")))),
        Change((("b", Stored("b")), ("c", Stored("c"))), (("z", Stored("b")),)),
        Change((("d", Stored("d")),), ()),
    ]
    assert list(Changes.of(given)) == given


def test_names_can_be_exchanged_in_a_circle() -> None:
    table = {"a": "b", "b": "c", "c": "a"}
    state, _, errors = state_after(RenameTable(table))
    assert {name: made.sources for name, made in state.current.items()} == {
        "d": ("d",), "b": ("a",), "c": ("b",), "a": ("c",),
    }  # fmt: skip
    assert list(state.kept()) == ["b", "c", "a", "d"]
    assert errors == []


def test_parts_take_the_place_of_the_whole_and_a_concat_that_of_its_first_part() -> None:
    steps: list[Step] = [
        Split(Pattern("b"), ("z", "y", "x"), 0),
        Split(Pattern("y"), ("y1", "y2"), 0),
        Concat((Pattern("d"), Pattern("x")), "joined", 0),
    ]
    state, _, _ = state_after(*steps[:2])
    assert list(state.kept()) == ["a", "z", "y1", "y2", "x", "c", "d"]
    state, _, _ = state_after(*steps)
    assert list(state.kept()) == ["a", "z", "y1", "y2", "joined", "c"]


def test_a_name_that_two_would_get_is_reported_with_both() -> None:
    state, _, (error,) = state_after(RenameTable({"a": "n", "b": "n", "c": "d"}))
    assert error == (
        "p.toml: step 1: several tensors would get one name: 'n' by 'a', 'b', 'd' by 'd', 'c' ['n', 'd']"
    )
    assert state.clashing == [("n", Stored("b")), ("d", Stored("c"))]
    assert {name: made.sources for name, made in state.current.items()} == {"n": ("a",), "d": ("d",)}


def test_an_empty_name_is_reported_and_the_step_goes_on() -> None:
    state, _, (error,) = state_after(RenameTable({"a": "", "b": "n"}))
    assert error == "p.toml: step 1: new name of 'a': got an empty one ['a']"
    assert list(state.kept()) == ["n", "c", "d"]


def test_only_untouched_tensors_give_up_their_names() -> None:
    state, _, errors = state_after(RenameTable({"a": "b"}), rest="drop")
    assert (errors, list(state.kept()), state.leftovers()) == ([], ["b"], ["b", "c", "d"])
    state, _, errors = state_after(Transpose(Pattern("b")), RenameTable({"a": "b"}), rest="drop")
    assert len(errors) == 1
    assert list(state.kept()) == ["b"]
