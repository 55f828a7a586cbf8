"""Plans: what becomes of tensors, the inverse, and the file."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path

import numpy as np
import pytest

from ckptfmt.errors import (
    NameConflictError,
    NotReadableError,
    NotWritableError,
    PathNotFoundError,
    PlanError,
)
from ckptfmt.plans import plan as plan_module
from ckptfmt.plans.pattern import Pattern, exact_pattern
from ckptfmt.plans.plan import Fate, Plan
from ckptfmt.plans.steps import Rename, RenameTable
from tests.support.arrays import Arrays
from tests.support.plans import W, plan, step


def applied(plan: Plan, tensors: Arrays) -> dict[str, np.ndarray]:
    return tensors.applied(plan.targets(tensors.entries)).arrays


# --- steps -------------------------------------------------------------------------------------------------


def test_an_empty_plan_keeps_everything(tensors: Arrays) -> None:
    assert list(plan().targets(tensors.entries)) == list(tensors.entries)
    assert plan().lint(tensors) == []
    assert [fate.fate for fate in plan().dry_run(tensors)] == ["kept"] * 8


def test_a_regular_expression_renames_as_re_sub_does(tensors: Arrays) -> None:
    made = plan(step(r"rename = 'layer_(?P<n>\d)|e'", r"to = '<\g<n>>'"))
    wanted = [re.sub(r"layer_(?P<n>\d)|e", r"<\g<n>>", name) for name in tensors.entries]
    assert list(made.targets(tensors.entries)) == wanted


def test_a_table_renames_at_once_and_can_swap_names(tensors: Arrays) -> None:
    table = step("[step.rename]", '"global_step" = "label"', '"label" = "global_step"')
    got = applied(plan(table), tensors)
    assert got["label"] == 10
    assert got["global_step"].tolist() == [b"x", b"yz"]


def test_a_step_sees_the_names_of_the_step_before(tensors: Arrays) -> None:
    made = plan(
        step("rename = '^bert/'", "to = 'encoder/'"), step("drop = '^bert/'"), step("drop = '/Adam$'")
    )
    names = list(made.targets(tensors.entries))
    assert "encoder/layer_0/kernel" in names
    assert not any(name.endswith("Adam") for name in names)


def test_every_transformation_has_numpys_values(tensors: Arrays) -> None:
    made = plan(
        step("transpose = '_0/kernel$'"),
        step("transpose = '_1/kernel$'", "axes = [1, 0]"),
        step("reshape = '^bert/layer_1/kernel$'", "shape = [3, -1]"),
        step("cast = '^bert/layer_0/kernel$'", "dtype = 'float64'"),
        step(r"split = '^(.*)/qkv$'", r"into = ['\1/q', '\1/kv']", "axis = -1", "sizes = [2, 4]"),
        step(r"split = '(.*)/kv'", r"into = ['\1/k', '\1/v']", "axis = 1"),
        step(r"concat = ['^(.*)/v$', '^(.*)/q$']", r"into = '\1/vq'", "axis = 1"),
    )
    assert made.lint(tensors) == []
    got = applied(made, tensors)
    for name, wanted in {
        "bert/layer_0/kernel": W.T.astype(np.float64),
        "bert/layer_1/kernel": (W + 2).T.reshape(3, -1),
        "bert/layer_0/k": W[:, 2:4] + 1,
        "bert/layer_1/vq": W[:, [4, 5, 0, 1]] + 3,
    }.items():
        assert (got[name].shape, got[name].dtype) == (wanted.shape, wanted.dtype)
        np.testing.assert_array_equal(got[name], wanted)


def test_a_single_pattern_joins_its_matches_in_order_of_their_numbers() -> None:
    tensors = Arrays({f"w_2/part_{i}": np.array([i]) for i in (10, 9, 8, 11)})
    for patterns in (r"['^(.*)/part_\d+$']", r"'^(.*)/part_\d+$'"):
        made = plan(step(f"concat = {patterns}", r"into = '\1'", "axis = 0"))
        assert applied(made, tensors)["w_2"].tolist() == [8, 9, 10, 11]


def test_a_number_missing_among_the_parts_is_an_error() -> None:
    tensors = Arrays({f"w_2/part_{i}_of_12": np.array([i]) for i in (8, 9, 11)})
    made = plan(step(r"concat = ['^(.*)/part_\d+_of_12$']", r"into = '\1'", "axis = 0"))
    with pytest.raises(PlanError, match=r"^step 1: concat into 'w_2' lacks a part: no number 10 after"):
        made.targets(tensors.entries)
    assert "lacks a part" in made.lint(tensors)[0].message


def test_tensors_to_be_dropped_give_up_their_names() -> None:
    tensors = Arrays({"v": np.array([10.0]), "v/ExponentialMovingAverage": np.array([0.1]), "w": np.ones(1)})
    average = step("rename = '/ExponentialMovingAverage$'", "to = ''")
    with pytest.raises(NameConflictError, match="'v'"):
        plan(average).targets(tensors.entries)
    made = plan(average, rest="drop")
    assert applied(made, tensors)["v"].tolist() == [0.1]
    assert [fate.fate for fate in made.dry_run(tensors)] == ["dropped", "changed", "dropped"]
    (note,) = made.lint(tensors)
    assert (note.severity, note.names) == ("note", ("v", "w"))
    with pytest.raises(PlanError, match="cannot be inverted"):
        made.inverted(tensors)


def test_axes_are_counted_from_the_end_too() -> None:
    tensors = Arrays({"w": np.arange(24).reshape(2, 3, 4)})
    made = plan(step("transpose = 'w'", "axes = [-1, 0, 1]"))
    np.testing.assert_array_equal(applied(made, tensors)["w"], tensors.arrays["w"].transpose(-1, 0, 1))
    there = Arrays(applied(made, tensors))
    np.testing.assert_array_equal(applied(made.inverted(tensors), there)["w"], tensors.arrays["w"])


def test_the_parts_of_a_split_take_the_place_of_the_whole(tensors: Arrays) -> None:
    made = plan(
        step("split = 'bert/layer_0/qkv'", "into = ['c', 'b', 'a']", "axis = 1"),
        step("rename = '^b$'", "to = 'z'"),
    )
    names = list(made.targets(tensors.entries))
    assert names[2:5] == ["c", "z", "a"]


def test_a_split_matches_the_whole_name_only(tensors: Arrays) -> None:
    made = plan(step("split = 'qkv'", "into = ['q', 'k']", "axis = 0"))
    assert list(made.targets(tensors.entries)) == list(tensors.entries)


@pytest.mark.parametrize(("rest", "names"), [("drop", ["step"]), ("keep", ["step", "w"])])
def test_the_rest_is_kept_or_dropped(rest: str, names: list[str]) -> None:
    tensors = Arrays({"global_step": np.int64(1), "w": W})
    made = plan(step("[step.rename]", "global_step = 'step'"), rest=rest)
    assert list(made.targets(tensors.entries)) == names
    assert made.dry_run(tensors)[1] == Fate("w", () if rest == "drop" else ("w",), (), rest == "drop")


def test_leftovers_under_rest_error_are_listed() -> None:
    tensors = Arrays({"global_step": np.int64(1), "w": W})
    made = plan(step("[step.rename]", "global_step = 'global_step'"), rest="error", file="p.toml")
    with pytest.raises(PlanError, match=r"^p\.toml: rest = 'error': no step takes 'w'$"):
        made.targets(tensors.entries)
    (finding,) = made.lint(tensors)
    assert (finding.severity, finding.step, finding.names) == ("error", None, ("w",))


# --- plans that do not fit these tensors -------------------------------------------------------------------


def test_a_name_made_twice_is_a_conflict_that_names_both(tensors: Arrays) -> None:
    made = plan(step(r"rename = 'layer_\d/'", "to = ''"), file="p.toml")
    with pytest.raises(
        NameConflictError, match=r"^p\.toml: step 1: several tensors would get one name"
    ) as caught:
        made.targets(tensors.entries)
    assert caught.value.names["bert/kernel"] == ("bert/layer_0/kernel", "bert/layer_1/kernel")
    (finding,) = made.lint(tensors)
    assert finding.names == ("bert/kernel", "bert/kernel/Adam", "bert/qkv")
    assert str(finding).startswith("error: step 1: several tensors would get one name")
    fates = {fate.source: fate for fate in made.dry_run(tensors)}
    assert fates["bert/layer_1/kernel"].targets == fates["bert/layer_0/kernel"].targets == ("bert/kernel",)


def test_tensors_made_by_one_step_do_not_give_up_their_names(tensors: Arrays) -> None:
    made = plan(step(r"rename = 'layer_\d/'", "to = ''"), rest="drop")
    with pytest.raises(NameConflictError, match="bert/kernel"):
        made.targets(tensors.entries)
    assert [finding.severity for finding in made.lint(tensors)] == ["error", "note"]


def test_a_name_that_another_tensor_has_is_a_conflict(tensors: Arrays) -> None:
    with pytest.raises(NameConflictError, match="'label' by 'label', 'global_step'"):
        plan(step("[step.rename]", "global_step = 'label'")).targets(tensors.entries)


def test_a_dry_run_tells_the_fate_of_every_tensor_in_order(tensors: Arrays) -> None:
    made = plan(
        step("drop = '/Adam$'"),
        step(r"split = '^(.*)_0/qkv$'", r"into = ['q', 'k', 'v']", "axis = 1"),
        step("drop = '^k$'"),
        step("concat = ['^q$', '^bert/layer_1/qkv$']", "into = 'all'", "axis = 1"),
    )
    assert list(map(str, made.dry_run(tensors))) == [
        "'bert/layer_0/kernel' kept: 'bert/layer_0/kernel'",
        "'bert/layer_0/kernel/Adam' dropped",
        "'bert/layer_0/qkv' partly dropped: 'all', 'v'",
        "'bert/layer_1/kernel' kept: 'bert/layer_1/kernel'",
        "'bert/layer_1/kernel/Adam' dropped",
        "'bert/layer_1/qkv' changed: 'all'",
        "'global_step' kept: 'global_step'",
        "'label' kept: 'label'",
    ]
    assert [fate.steps for fate in made.dry_run(tensors)] == [(), (1,), (2, 3, 4), (), (1,), (4,), (), ()]


# --- inverses ----------------------------------------------------------------------------------------------


def test_the_inverse_gives_names_dtypes_shapes_and_values_back(tensors: Arrays) -> None:
    made = plan(
        step(r"rename = '^bert/layer_(\d)/'", r"to = 'encoder/\1/'"),
        step("[step.rename]", "global_step = 'label'", "label = 'global_step'"),
        step("reshape = 'Adam$'", "shape = [-1]"),
        step("cast = '^label$'", "dtype = 'int64'"),
        step("cast = 'kernel$'", "dtype = 'complex64'"),
        step("transpose = 'kernel$'"),
        step(r"split = '^(.*)/qkv$'", r"into = ['\1/q', '\1/kv']", "axis = -1", "sizes = [2, 4]"),
        step(r"concat = ['^(.*)/kernel/Adam$']", r"into = '\1/slots'", "axis = 0"),
        step(r"concat = ['^(.*)/kv$', '^(.*)/q$']", r"into = '\1/kvq'", "axis = 1"),
    )
    assert made.lint(tensors) == []
    moved = tensors.applied(made.targets(tensors.entries))
    back = Plan.parse(made.inverted(tensors).to_toml())
    # Back to float32, which not every complex64 would survive.
    assert [finding.severity for finding in back.lint(moved)] == ["note"]
    assert_same(moved.applied(back.targets(moved.entries)), tensors)


def assert_same(got: Arrays, wanted: Arrays) -> None:
    assert got.arrays.keys() == wanted.arrays.keys()
    for name, array in wanted.arrays.items():
        assert got.entries[name].dtype == wanted.entries[name].dtype
        assert got.arrays[name].shape == array.shape
        assert got.arrays[name].tobytes() == array.tobytes()


def test_steps_that_cannot_be_undone_are_listed(tensors: Arrays) -> None:
    made = plan(
        step("drop = 'Adam'"),
        step("cast = 'qkv'", "dtype = 'float16'"),
        step("drop = 'nothing'"),
        rest="drop",
        file="p.toml",
    )
    with pytest.raises(
        PlanError, match=r"^p\.toml: cannot be inverted: step 1: drop of 'bert/layer_0/kernel/Adam'"
    ) as caught:
        made.inverted(tensors)
    assert "step 2: cast of 'bert/layer_0/qkv', 'bert/layer_1/qkv' from float32 to float16" in str(
        caught.value
    )
    assert "rest = 'drop' leaves out 'bert/layer_0/kernel'" in str(caught.value)
    assert "step 3" not in str(caught.value)


def test_a_plan_that_does_not_fit_has_no_inverse(tensors: Arrays) -> None:
    with pytest.raises(PlanError, match="12 elements"):
        plan(step("reshape = 'qkv'", "shape = [5]")).inverted(tensors)


# --- the file ----------------------------------------------------------------------------------------------


def test_a_plan_is_read_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "plan.toml"
    path.write_bytes(b"\xef\xbb\xbfversion = 1\r\n[[step]]\r\ndrop = 'a'\r\n")
    assert Plan.read(path) == plan(step("drop = 'a'"))
    assert Plan.read(path).file == str(path)


def test_files_that_are_not_plans_are_refused(tmp_path: Path) -> None:
    with pytest.raises(PathNotFoundError, match=r"nothing\.toml"):
        Plan.read(tmp_path / "nothing.toml")
    with pytest.raises(NotReadableError):
        Plan.read(tmp_path)
    (tmp_path / "latin.toml").write_bytes(b"# caf\xe9")
    with pytest.raises(PlanError, match=r"latin\.toml: not UTF-8 at byte 5"):
        Plan.read(tmp_path / "latin.toml")
    (tmp_path / "empty.toml").touch()
    with pytest.raises(PlanError, match="version: got none"):
        Plan.read(tmp_path / "empty.toml")


def test_a_file_that_is_too_large_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan_module, "MAX_PLAN_BYTES", 10)
    (tmp_path / "plan.toml").write_text("version = 1\n")
    with pytest.raises(PlanError, match="got 12 bytes, want at most 10"):
        Plan.read(tmp_path / "plan.toml")


def test_a_plan_is_never_written_over_a_file(tmp_path: Path) -> None:
    path = tmp_path / "plan.toml"
    plan(step("drop = 'a'")).write(path)
    with pytest.raises(FileExistsError, match="file exists"):
        plan().write(path)
    assert Plan.read(path) == plan(step("drop = 'a'"))
    plan().write(path, overwrite=True)
    assert Plan.read(path) == plan()
    assert [entry.name for entry in tmp_path.iterdir()] == ["plan.toml"]


def test_nothing_is_left_if_a_plan_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(NotWritableError, match="nowhere"):
        plan().write(tmp_path / "nowhere" / "plan.toml")
    (tmp_path / "folder").mkdir()
    with pytest.raises(NotWritableError):
        plan().write(tmp_path / "folder", overwrite=True)
    assert [entry.name for entry in tmp_path.iterdir()] == ["folder"]


# --- many --------------------------------------------------------------------------------------------------


def seconds(work: object) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


@pytest.mark.parametrize("kind", ["table", "literal steps"])
def test_a_hundred_thousand_exact_renames_take_linear_time(kind: str) -> None:
    entry = Arrays({"w": W}).entries["w"]
    entries = {f"layer/{i}": entry for i in range(100_000)}
    if kind == "table":
        made = Plan((RenameTable({name: f"new/{name}" for name in entries}),))
    else:
        made = Plan(tuple(Rename(Pattern(exact_pattern(name)), f"new/{name}") for name in entries))
    # Names times steps would be minutes.
    assert seconds(lambda: made.targets(entries)) < 10
    assert list(made.targets(entries)) == [f"new/{name}" for name in entries]


def test_files_left_by_an_interrupted_writer_are_harmless(tmp_path: Path) -> None:
    path = tmp_path / "plan.toml"
    left_behind = tmp_path / f"plan.toml.{os.getpid()}.tmp"
    left_behind.touch()
    for left in range(3):
        plan().write(path, overwrite=bool(left))
    assert Plan.read(path) == plan()
    assert sorted(tmp_path.iterdir()) == sorted([path, left_behind])
