"""Plans: what a file says, what becomes of tensors, what does not fit, and the way back."""

from __future__ import annotations

import importlib
import os
import re
import time
from pathlib import Path

import numpy as np
import pytest

from ckptfmt.errors import (
    MissingDependencyError,
    NameConflictError,
    NotReadableError,
    NotWritableError,
    PathNotFoundError,
    PlanError,
)
from ckptfmt.plans import plan as plan_module
from ckptfmt.plans.lint import Finding
from ckptfmt.plans.pattern import Pattern, exact_pattern
from ckptfmt.plans.plan import Fate, Plan
from ckptfmt.plans.steps import Rename, RenameTable
from tests.support.arrays import Arrays


def step(*lines: str) -> str:
    return "\n".join(["[[step]]", *lines])


def plan(*steps: str, rest: str = "keep", file: str | None = None) -> Plan:
    return Plan.parse("\n".join(["version = 1", f'rest = "{rest}"', *steps]), file)


W = np.arange(12, dtype=np.float32).reshape(2, 6)


@pytest.fixture
def tensors() -> Arrays:
    return Arrays(
        {
            "bert/layer_0/kernel": W,
            "bert/layer_0/kernel/Adam": W * 0,
            "bert/layer_0/qkv": W + 1,
            "bert/layer_1/kernel": W + 2,
            "bert/layer_1/kernel/Adam": W * 0,
            "bert/layer_1/qkv": W + 3,
            "global_step": np.int64(10),
            "label": np.array([b"x", b"yz"], object),
        }
    )


def applied(plan: Plan, tensors: Arrays) -> dict[str, np.ndarray]:
    return tensors.applied(plan.targets(tensors.entries)).arrays


# --- what steps do -----------------------------------------------------------------------------------------


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


def test_one_pattern_joins_its_matches_by_their_numbers() -> None:
    tensors = Arrays({f"w_2/part_{i}": np.array([i]) for i in (10, 9, 8, 11)})
    for patterns in (r"['^(.*)/part_\d+$']", r"'^(.*)/part_\d+$'"):
        made = plan(step(f"concat = {patterns}", r"into = '\1'", "axis = 0"))
        assert applied(made, tensors)["w_2"].tolist() == [8, 9, 10, 11]


def test_a_number_that_is_missing_among_the_parts_is_an_error() -> None:
    tensors = Arrays({f"w_2/part_{i}_of_12": np.array([i]) for i in (8, 9, 11)})
    made = plan(step(r"concat = ['^(.*)/part_\d+_of_12$']", r"into = '\1'", "axis = 0"))
    with pytest.raises(PlanError, match=r"^step 1: concat into 'w_2' misses a part: no number 10 after"):
        made.targets(tensors.entries)
    assert "misses a part" in made.lint(tensors)[0].message


def test_what_is_to_be_dropped_gives_way() -> None:
    tensors = Arrays({"v": np.array([10.0]), "v/ExponentialMovingAverage": np.array([0.1]), "w": np.ones(1)})
    average = step("rename = '/ExponentialMovingAverage$'", "to = ''")
    with pytest.raises(NameConflictError, match="'v'"):
        plan(average).targets(tensors.entries)
    made = plan(average, rest="drop")
    assert applied(made, tensors)["v"].tolist() == [0.1]
    assert [fate.fate for fate in made.dry_run(tensors)] == ["dropped", "changed", "dropped"]
    (note,) = made.lint(tensors)
    assert (note.severity, note.names) == ("note", ("v", "w"))
    with pytest.raises(PlanError, match="no inverse"):
        made.inverted(tensors)


def test_axes_are_counted_from_the_end_too() -> None:
    tensors = Arrays({"w": np.arange(24).reshape(2, 3, 4)})
    made = plan(step("transpose = 'w'", "axes = [-1, 0, 1]"))
    np.testing.assert_array_equal(applied(made, tensors)["w"], tensors.arrays["w"].transpose(-1, 0, 1))
    there = Arrays(applied(made, tensors))
    np.testing.assert_array_equal(applied(made.inverted(tensors), there)["w"], tensors.arrays["w"])


def test_what_a_split_makes_stands_where_the_source_stood(tensors: Arrays) -> None:
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


def test_a_rest_that_is_an_error_is_listed() -> None:
    tensors = Arrays({"global_step": np.int64(1), "w": W})
    made = plan(step("[step.rename]", "global_step = 'global_step'"), rest="error", file="p.toml")
    with pytest.raises(PlanError, match=r"^p\.toml: rest = 'error': no step takes 'w'$"):
        made.targets(tensors.entries)
    (finding,) = made.lint(tensors)
    assert (finding.severity, finding.step, finding.names) == ("error", None, ("w",))


# --- what does not fit these tensors -----------------------------------------------------------------------


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


def test_what_one_step_makes_gives_way_to_nothing_else_it_makes(tensors: Arrays) -> None:
    made = plan(step(r"rename = 'layer_\d/'", "to = ''"), rest="drop")
    with pytest.raises(NameConflictError, match="bert/kernel"):
        made.targets(tensors.entries)
    assert [finding.severity for finding in made.lint(tensors)] == ["error", "note"]


def test_a_name_that_another_tensor_has_is_a_conflict(tensors: Arrays) -> None:
    with pytest.raises(NameConflictError, match="'label' by 'label', 'global_step'"):
        plan(step("[step.rename]", "global_step = 'label'")).targets(tensors.entries)


MISFITS = {
    "nothing matches": (step("rename = '^gpt/'", "to = ''"), "matches nothing", ()),
    "name not there": (step("[step.rename]", "a = 'b'", "label = 'c'"), "1 of 2 names are not there", ("a",)),
    "empty name": (step("rename = '^label$'", "to = ''"), "got an empty one", ("label",)),
    "part missing": (
        step(r"concat = ['^(.*_\d)/kernel$', '^(.*_0)/qkv$']", r"into = '\1/all'", "axis = 0"),
        "concat into 'bert/layer_1/all' misses a part",
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


def test_what_may_be_meant_is_a_note(tensors: Arrays) -> None:
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


# --- the way back ------------------------------------------------------------------------------------------


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


def test_what_cannot_be_undone_is_listed(tensors: Arrays) -> None:
    made = plan(
        step("drop = 'Adam'"),
        step("cast = 'qkv'", "dtype = 'float16'"),
        step("drop = 'nothing'"),
        rest="drop",
        file="p.toml",
    )
    with pytest.raises(
        PlanError, match=r"^p\.toml: no inverse: step 1: drop of 'bert/layer_0/kernel/Adam'"
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


# --- patterns ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["a", "a.b", "a$", "^", "\\", "a\\d", "a b-c/d:0", "x\ny", "[(", "", "é", "a\n"]
)
def test_the_exact_pattern_of_a_name_is_looked_up(name: str) -> None:
    assert Pattern(exact_pattern(name)).literal == name
    assert re.compile(exact_pattern(name)).search(name)


@pytest.mark.parametrize(
    "text", ["a", "^a", "a$", "^a.$", "^a|b$", r"^\d$", r"^a\$", "^(a)$", "^$x$", "", "^", "$"]
)
def test_other_patterns_are_searched_for(text: str) -> None:
    assert Pattern(text).literal is None


def test_a_literal_pattern_takes_a_replacement_with_the_whole_match(tensors: Arrays) -> None:
    names = plan(step("rename = '^label$'", r"to = 'old/\g<0>'")).targets(tensors.entries)
    assert "old/label" in names


# --- the file ----------------------------------------------------------------------------------------------

NO_PLANS = {
    "no toml": ("version = = 1", "no TOML: "),
    "deep": ("version = " + "[" * 100_000, "no TOML: "),
    "huge number": ("version = " + "1" * 10_000, "no TOML: |version: got 1111"),
    "no version": ("", "version: got none, want 1"),
    "other version": ("version = 2", "version: got 2, want 1"),
    "version true": ("version = true", "version: got True, want 1"),
    "top key": ("version = 1\nstpe = 1", "unknown key 'stpe'; did you mean 'step'"),
    "rest": (
        "version = 1\nrest = 'kep'",
        "rest: got 'kep', want 'keep', 'drop' or 'error'; did you mean 'keep'",
    ),
    "rest list": ("version = 1\nrest = []", r"rest: got \[\], want"),
    "step table": ("version = 1\n[step]\ndrop = 'a'", r"step: got .*, want tables, each headed \[\[step\]\]"),
}


@pytest.mark.parametrize("case", NO_PLANS)
def test_no_plan(case: str) -> None:
    text, message = NO_PLANS[case]
    with pytest.raises(PlanError, match=message) as caught:
        Plan.parse(text, "p.toml")
    assert str(caught.value).startswith("p.toml: ")


NO_STEPS = {
    "empty": ("", "verb: got none, want exactly one of 'rename', 'drop'"),
    "no verb": ("to = 'a'", r"verb: got the keys \['to'\], want exactly one of"),
    "two verbs": ("drop = 'a'\ncast = 'b'", "verb: got 'drop' and 'cast', want exactly one of"),
    "verb mistyped": ("transpos = 'a'", "unknown key 'transpos'; did you mean 'transpose'"),
    "key mistyped": ("transpose = 'a'\naxis = [0]", "unknown key 'axis'; did you mean 'axes'"),
    "key of another": ("drop = 'a'\nto = 'b'", "unknown key 'to'; drop has 'drop'"),
    "rename without to": ("rename = 'a'", "rename without 'to'"),
    "table with to": ("to = 'a'\n[step.rename]\na = 'b'", "unknown key 'to'"),
    "table of numbers": ("[step.rename]\na = 1", "rename.'a': got 1, want a string"),
    "dotted name": ("[step.rename]\na.b = 'c'", "quote names that have dots"),
    "wrong type": ("drop = 1", "drop: got 1, want a string"),
    "regex": ("drop = '('", r"'\(' is no regular expression"),
    "deep regex": ("drop = '" + "(" * 20_000 + "'", "is no regular expression"),
    "huge repeat": ("drop = 'a{99999999999999999999}'", "is no regular expression"),
    "template group": (r"rename = 'a'" + "\n" + r"to = '\1'", r"is no replacement for 'a': invalid group reference"),  # noqa: E501
    "template name": (r"rename = '^a$'" + "\n" + r"to = '\g<n>'", "is no replacement for"),
    "axes twice": ("transpose = 'a'\naxes = [0, 0]", r"axes: got \[0, 0\], want a permutation of 0 to 1"),
    "axes twice from the end": ("transpose = 'a'\naxes = [-1, 1]", "want a permutation"),
    "axes beyond": ("transpose = 'a'\naxes = [-3, 0]", "want a permutation"),
    "axes floats": ("transpose = 'a'\naxes = [0.0]", "want a list of integers"),
    "axes bools": ("transpose = 'a'\naxes = [false]", "want a list of integers"),
    "two unknown": ("reshape = 'a'\nshape = [-1, -1]", "one of them -1 at most"),
    "below -1": ("reshape = 'a'\nshape = [-2]", "one of them -1 at most"),
    "no shape": ("reshape = 'a'", "reshape without 'shape'"),
    "dtype": ("cast = 'a'\ndtype = 'flaot32'", "got 'flaot32', want the name of a dtype.*did you mean 'float32'"),  # noqa: E501
    "dtype string": ("cast = 'a'\ndtype = 'string'", "got 'string', want one of numbers or bool"),
    "split without into": ("split = 'a'\naxis = 0", "split without 'into'"),
    "split into nothing": ("split = 'a'\ninto = []\naxis = 0", "into: got no names"),
    "split without axis": ("split = 'a'\ninto = ['b']", "split without 'axis'"),
    "sizes": ("split = 'a'\ninto = ['b', 'c']\naxis = 0\nsizes = [1]", "sizes: got 1, want 2"),
    "size below 0": ("split = 'a'\ninto = ['b', 'c']\naxis = 0\nsizes = [-1, 2]", "want none below 0"),
    "split template": ("split = 'a'\ninto = ['\\2']\naxis = 0", "is no replacement"),
    "concat number": ("concat = 1\ninto = 'b'\naxis = 0", "concat: got 1, want a list of strings"),
    "concat nothing": ("concat = []\ninto = 'b'\naxis = 0", "concat: got no patterns"),
    "concat template": ("concat = ['(a)', 'b']\ninto = '\\1'\naxis = 0", "is no replacement for 'b'"),
}  # fmt: skip


@pytest.mark.parametrize("case", NO_STEPS)
def test_no_step(case: str) -> None:
    text, message = NO_STEPS[case]
    with pytest.raises(PlanError, match=message) as caught:
        plan(step("drop = 'fine'"), step(text), file="p.toml")
    assert str(caught.value).startswith("p.toml: step 2: ")
    assert (caught.value.file, caught.value.step) == ("p.toml", 2)


def test_a_plan_is_read_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "plan.toml"
    path.write_bytes(b"\xef\xbb\xbfversion = 1\r\n[[step]]\r\ndrop = 'a'\r\n")
    assert Plan.read(path) == plan(step("drop = 'a'"))
    assert Plan.read(path).file == str(path)


def test_files_that_are_no_plan(tmp_path: Path) -> None:
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


def test_a_file_too_large_is_no_plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan_module, "MAX_PLAN_BYTES", 10)
    (tmp_path / "plan.toml").write_text("version = 1\n")
    with pytest.raises(PlanError, match="got 12 bytes, want at most 10"):
        Plan.read(tmp_path / "plan.toml")


def test_without_a_toml_reader_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> None:
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(importlib, "import_module", absent)
    with pytest.raises(MissingDependencyError, match=r"tomli: pip install 'ckptfmt\[plans\]'"):
        Plan.parse("version = 1")


def test_comments_are_written_and_not_read() -> None:
    table = RenameTable({"a": "b", "c": "d"}, {"a": "same\nshape\x7f"}, "proposed\nby match")
    made = Plan((table, Rename(Pattern("x"), "y", "\x1b[2J\udc80")), comment="missing: z")
    text = made.to_toml()
    assert "# proposed\n# by match\n[[step]]\n[step.rename]\n" in text
    assert '"a" = "b"  # same shape\\x7f\n"c" = "d"\n' in text
    assert text.endswith("\n# missing: z\n")
    assert Plan.parse(text) == made


def test_names_that_are_not_utf8_cannot_be_written() -> None:
    made = Plan((RenameTable({"fine": "a\udcff", "also fine": "b"}),))
    with pytest.raises(PlanError, match=r"not UTF-8 cannot be written: 'a\\udcff'$"):
        made.to_toml()


def test_a_plan_is_never_written_over_a_file(tmp_path: Path) -> None:
    path = tmp_path / "plan.toml"
    plan(step("drop = 'a'")).write(path)
    with pytest.raises(FileExistsError, match="file exists"):
        plan().write(path)
    assert Plan.read(path) == plan(step("drop = 'a'"))
    plan().write(path, overwrite=True)
    assert Plan.read(path) == plan()
    assert [entry.name for entry in tmp_path.iterdir()] == ["plan.toml"]


def test_where_a_plan_cannot_be_written_nothing_is_left(tmp_path: Path) -> None:
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


@pytest.mark.parametrize(
    "text",
    [
        "version = BIG",
        "version = 1\nrest = BIG",
        "version = 1\nrest" + ".a" * 3000 + " = 1",
        "version = 1\n[[step]]\ntranspose = 'k'\naxes = [BIG]",
        "version = 1\n[[step]]\nreshape = 'k'\nshape = [BIG]",
        "version = 1\n[[step]]\nsplit = 'k'\ninto = ['a']\naxis = BIG",
        "version = 1\n[[step]]\nsplit = 'k'\ninto = ['a']\naxis = 0\nsizes = [BIG]",
        "version = 1\n[[step]]\nrename = 'a{" + "9" * 5000 + "}'\nto = ''",
        "version = 1\n[[step]]\nrename" + ".a" * 3000 + " = 1",
    ],
    ids=range(9),
)
def test_numbers_and_tables_beyond_all_measure_are_errors_of_the_plan(text: str) -> None:
    with pytest.raises(PlanError):
        Plan.parse(text.replace("BIG", "0x" + "f" * 6000))


def test_what_a_writer_left_behind_is_in_nobodys_way(tmp_path: Path) -> None:
    path = tmp_path / "plan.toml"
    left_behind = tmp_path / f"plan.toml.{os.getpid()}.tmp"
    left_behind.touch()
    for left in range(3):
        plan().write(path, overwrite=bool(left))
    assert Plan.read(path) == plan()
    assert sorted(tmp_path.iterdir()) == sorted([path, left_behind])


@pytest.mark.parametrize(
    "template",
    [r"\1", r"a\1b", r"<\2|\1>", r"\3\1\1", r"x\g<1>y", r"\10", r"\\1", r"\n\1", "plain", ""],
)
def test_replacements_are_those_of_re(template: str) -> None:
    regex = "(a+)(b)?((((((((c))))))))?"
    names = ["aab/ab", "a", "abc-acc", "zzz"]
    made = plan(step(f"rename = '{regex}'", f"to = '{template}x'"))
    got = list(made.targets(Arrays(dict.fromkeys(names, np.zeros(1))).entries))
    assert got == [re.sub(regex, template + "x", name) for name in names]
