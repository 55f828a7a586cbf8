"""Views under other names: renamed, selected, averaged."""

from __future__ import annotations

import pickle
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ckptfmt import Checkpoint, Plan, errors
from tests.support.checkpoints import new_checkpoint


def test_renamed_by_a_mapping_has_just_its_names_in_its_order(ckpt: Checkpoint) -> None:
    view = ckpt.renamed({"new": "b/w", "other": "a/b"})
    assert list(view) == ["new", "other"]
    assert view["new"].tolist() == ckpt["b/w"].tolist()
    assert view.entries["new"] == ckpt.entries["b/w"]._replace(name="new")
    assert view.stored_name("new") == "b/w"
    assert "b/w" not in view
    assert view.get("b/w") is None
    assert np.shares_memory(view["new"], ckpt["b/w"])


def test_renamed_by_a_mapping_can_keep_the_rest(ckpt: Checkpoint) -> None:
    view = ckpt.renamed({"new": "b/w"}, keep_rest=True)
    assert set(view) == set(ckpt) - {"b/w"} | {"new"}
    with pytest.raises(errors.NameConflictError) as caught:
        ckpt.renamed({"a/b": "b/w"}, keep_rest=True)
    assert caught.value.names == {"a/b": ("b/w", "a/b")}


def test_renamed_lists_all_names_that_are_missing(ckpt: Checkpoint) -> None:
    with pytest.raises(errors.TensorNotFoundError) as caught:
        ckpt.renamed({"x": "no", "y": "b/w", "z": "neither"})
    assert caught.value.names == ("no", "neither")
    assert "'no', 'neither'" in str(caught.value)


def test_renamed_lists_all_names_given_twice(ckpt: Checkpoint) -> None:
    with pytest.raises(errors.NameConflictError) as caught:
        ckpt.renamed({"x": "b/w", "y": "b/w", "z": "a/b"})
    assert caught.value.names == {"b/w": ("x", "y")}
    with pytest.raises(errors.NameConflictError) as caught:
        ckpt.renamed(lambda name: name.partition("_")[0])
    assert caught.value.names == {"b/w/Adam": ("b/w/Adam", "b/w/Adam_1")}
    with pytest.raises(errors.NameConflictError):
        ckpt.renamed([(r"beta\d", "beta")])


def test_renamed_by_rules_applies_one_after_the_other(ckpt: Checkpoint) -> None:
    view = ckpt.renamed([("^a/", "x/"), (re.compile("^x/b(.*)"), r"y\1")])
    assert list(view)[:3] == ["y", "yias", "b/w"]
    assert len(view) == len(ckpt)


def test_renamed_by_a_function_leaves_out_what_it_has_no_name_for(ckpt: Checkpoint) -> None:
    view = ckpt.renamed(lambda name: name.upper() if name.startswith("a") else None)
    assert list(view) == ["A/B", "A/BIAS"]
    with pytest.raises(TypeError, match="new name of 'a/b'"):
        ckpt.renamed(lambda name: 1)  # type: ignore[arg-type,return-value]


def test_select_by_globs_and_regular_expressions(ckpt: Checkpoint) -> None:
    assert list(ckpt.select("a/*")) == ["a/b", "a/bias"]
    assert list(ckpt.select("a/b", re.compile("^beta"))) == ["a/b", "beta1_power", "beta2_power"]
    assert list(ckpt.select("b/*", exclude="*Adam*")) == ["b/w"]
    assert list(ckpt.select(exclude=[re.compile("Adam|beta"), "a/*"])) == ["b/w", "c[0]", "global_step"]
    assert list(ckpt.select("c[0]")) == ["c[0]"]
    assert list(ckpt.select("a/*", exclude="nothing")) == ["a/b", "a/bias"]
    with pytest.raises(TypeError, match="want a glob"):
        ckpt.select(3)  # type: ignore[arg-type]


@pytest.mark.parametrize("pattern", ["nothing", "nothing*", re.compile("nothing")], ids=str)
def test_a_pattern_that_matches_nothing_is_an_error(ckpt: Checkpoint, pattern: str | re.Pattern[str]) -> None:
    with pytest.raises(errors.TensorNotFoundError, match="no tensor matches 'nothing") as caught:
        list(ckpt.select("a/*", pattern))
    assert caught.value.name in ("nothing", "nothing*")
    with pytest.raises(errors.TensorNotFoundError, match="did you mean 'a/bias'"):
        list(ckpt.select("a/bios"))


def test_thousands_of_names_are_selected_in_the_order_of_the_listing(tmp_path: Path) -> None:
    arrays = {f"layer_{number:05}/w": np.zeros(()) for number in range(20_000)}
    ckpt = new_checkpoint(tmp_path, arrays)
    assert list(ckpt.select(*reversed(arrays))) == list(arrays)
    with pytest.raises(errors.TensorNotFoundError, match="no tensor matches 'layer_1/w'"):
        list(ckpt.select(*arrays, "layer_1/w"))


def test_ema_reads_the_textbook_case_from_its_average(tmp_path: Path) -> None:
    average = np.float32(0.0999999)
    with new_checkpoint(tmp_path, {"v": 10.0, "v/ExponentialMovingAverage": average, "n": 3}).ema() as view:
        assert view["v"] == average
        assert view["n"] == 3
        assert list(view) == ["n", "v"]


def test_ema_takes_another_suffix_and_leaves_averages_without_a_variable(tmp_path: Path) -> None:
    names = ["v", "v/avg", "v/avg/biased", "v/avg/local_step", "loss/avg", "loss/avg/biased", "v/biased"]
    ckpt = new_checkpoint(tmp_path, {name: i for i, name in enumerate(names)})
    assert list(ckpt.ema()) == sorted(names)
    assert dict(ckpt.ema("avg").names) == {
        "loss/avg": "loss/avg",
        "loss/avg/biased": "loss/avg/biased",
        "v": "v/avg",
        "v/biased": "v/biased",
    }


def test_ema_keeps_names_that_end_in_an_output_number(tmp_path: Path) -> None:
    names = ["w:0", "w/ExponentialMovingAverage:0", "w/ExponentialMovingAverage/biased:0", "n:0"]
    names += ["a/b:0", "out/a/b/ExponentialMovingAverage:0", "mixed", "mixed/ExponentialMovingAverage:0"]
    ckpt = new_checkpoint(tmp_path, {name: i for i, name in enumerate(names)})
    assert dict(ckpt.ema().names) == {
        "a/b:0": "out/a/b/ExponentialMovingAverage:0",
        "mixed": "mixed/ExponentialMovingAverage:0",
        "n:0": "n:0",
        "w:0": "w/ExponentialMovingAverage:0",
    }


def test_model_variables_of_averages_are_read_from_them(tmp_path: Path) -> None:
    tensors = {"w": 1.0, "w/Adam": 2.0, "w/ExponentialMovingAverage": 3.0, "global_step": 4.0}
    view = new_checkpoint(tmp_path, tensors).ema().renamed([("^w$", "x")]).model_variables()
    assert dict(view) == {"x": 3.0}
    assert pickle.loads(pickle.dumps(view))["x"] == 3.0


CONFLICTS: dict[str, Callable[[Checkpoint], object]] = {
    "mapping": lambda ckpt: ckpt.renamed({"a/b": "b/w"}, keep_rest=True),
    "two names": lambda ckpt: ckpt.renamed({"x": "b/w", "y": "b/w"}, keep_rest=True),
    "rules": lambda ckpt: ckpt.renamed([(".*", "x")]),
    "function": lambda ckpt: ckpt.select("b/*").renamed(lambda name: "x"),
    "plan": lambda ckpt: ckpt.apply(Plan.parse("version = 1\n[[step]]\nrename = '.+'\nto = 'x'\n")),
}


@pytest.mark.parametrize("how", CONFLICTS)
def test_a_conflict_names_the_checkpoint(ckpt: Checkpoint, how: str) -> None:
    with pytest.raises(errors.NameConflictError) as caught:
        CONFLICTS[how](ckpt)
    assert caught.value.file == ckpt.prefix
    assert str(caught.value).startswith(f"{ckpt.prefix}: ")
