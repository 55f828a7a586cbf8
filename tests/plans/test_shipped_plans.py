"""The plans that ship: found by name, complete in what they say; files of the same name come first."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import ckptfmt
from ckptfmt import Plan
from ckptfmt.errors import PathNotFoundError, PlanError
from tests.support.arrays import Arrays
from tests.support.memory_filesystem import MemoryFilesystem
from tests.support.plans import W
from tests.support.table_writer import write_bundle

NAMES = sorted(ckptfmt.shipped_plans())

OWN = "version = 1\n[[step]]\nrename = 'dense'\nto = 'own'\n"


@pytest.mark.parametrize("name", NAMES)
def test_a_plan_is_found_by_its_name_and_says_what_it_is_for(name: str) -> None:
    plan = Plan.read(name)
    assert plan == ckptfmt.shipped_plans()[name]
    assert plan.file == name
    assert plan.is_general
    assert plan.about is not None
    about = plan.about
    assert all([about.title, about.description, about.source, about.target])
    assert len(about.title) <= 70
    assert "\n" not in about.title
    assert about.back in ("", *NAMES)
    assert not about.back or ckptfmt.shipped_plans()[about.back].about.back == name  # type: ignore[union-attr]


@pytest.mark.parametrize("name", NAMES)
def test_the_text_of_a_plan_reads_back(name: str) -> None:
    plan = Plan.read(name)
    again = Plan.parse(plan.to_toml())
    assert again == plan
    assert again.about == plan.about


def test_a_checkpoint_applies_a_plan_by_name(tmp_path: Path) -> None:
    with ckptfmt.open(write_bundle(tmp_path / "m", {"dense/kernel": W})) as ckpt:
        view = ckpt.apply("keras-torch")
        np.testing.assert_array_equal(view["dense.weight"], W.T)


def test_a_file_comes_before_the_plan_of_the_same_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("keras-torch").write_text(OWN)
    assert Plan.read("keras-torch") == Plan.parse(OWN)
    assert Plan.read(Path("keras-torch")) == Plan.parse(OWN)


def test_a_file_of_another_file_system_comes_first_too() -> None:
    fs = MemoryFilesystem()
    assert Plan.read("keras-torch", fs=fs).is_general
    with fs.create("keras-torch") as file:
        file.write(OWN.encode())
    assert Plan.read("keras-torch", fs=fs) == Plan.parse(OWN)


def test_a_typo_is_told_the_right_name() -> None:
    with pytest.raises(PathNotFoundError, match="ships with ckptfmt; did you mean 'keras-torch'"):
        Plan.read("keras-torhc")


def test_an_unknown_name_is_told_all_names() -> None:
    with pytest.raises(PathNotFoundError, match=r"ckptfmt plans lists .*keras-torch"):
        Plan.read("qqq")


def test_a_missing_file_is_just_missing() -> None:
    with pytest.raises(PathNotFoundError) as caught:
        Plan.read("missing/plan.toml")
    assert "ships" not in str(caught.value)


def test_steps_of_a_general_plan_may_match_nothing_but_not_all_of_them() -> None:
    text = "version = 1\ngeneral = true\n[[step]]\nrename = 'dense'\nto = 'own'\n[[step]]\ndrop = 'other'\n"
    plan = Plan.parse(text)
    assert plan.lint(Arrays({"dense/kernel": W})) == []
    (finding,) = plan.lint(Arrays({"w": W}))
    assert (finding.severity, finding.message) == ("error", "no step matches any tensor")


def test_a_plan_may_begin_with_a_shipped_one() -> None:
    mine = Plan.parse(
        "version = 1\ninclude = 'keras-torch'\n[[step]]\nrename = '^model[.]'\nto = ''\n", "my.toml"
    )
    assert mine.is_general
    assert mine.steps[:-1] == Plan.read("keras-torch").steps
    assert list(mine.targets(Arrays({"model/dense/kernel": W}).entries)) == ["dense.weight"]
    assert Plan.parse(mine.to_toml()) == mine  # all steps are written


def test_an_error_of_an_included_step_names_its_file_and_its_number_there() -> None:
    mine = Plan.parse(
        "version = 1\ninclude = 'keras-names'\n[[step]]\nrefuse = '.'\nbecause = 'no'\n", "my.toml"
    )
    with pytest.raises(PlanError, match=r"^my.toml: step 1: 'dense/kernel': no$"):
        mine.targets(Arrays({"dense/kernel": W}).entries)
    weights = {f"batch_normalization/vars/{i}": W[0] for i in range(3)}
    with pytest.raises(
        PlanError, match=r"^keras-names: step \d+: 'batch_normalization/vars/2': three variables"
    ):
        mine.targets(Arrays(weights).entries)
