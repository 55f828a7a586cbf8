"""Every input that ever failed, every seed, and the first mutations of each target: no fault."""

from __future__ import annotations

import base64
import zlib
from itertools import islice
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.fuzz.faults import INPUTS
from tests.fuzz.target import check, mutations
from tests.fuzz.targets import TARGETS

KEPT = sorted(path for path in INPUTS.rglob("*") if path.is_file())

NOT_YET: dict[str, str] = {}
"""Inputs that still fail, and why."""


def kept(path: Path) -> Any:
    """Return the parameter of an input, marked if it still fails."""
    name = path.relative_to(INPUTS).as_posix()
    return pytest.param(
        path, id=name, marks=[pytest.mark.xfail(reason=NOT_YET[name])] if name in NOT_YET else []
    )


@pytest.mark.parametrize("path", list(map(kept, KEPT)))
def test_an_input_that_failed_once_does_not_fail_again(path: Path) -> None:
    check(TARGETS[path.parent.name], path.read_bytes())


@pytest.mark.parametrize("name", TARGETS)
def test_seeds_and_their_first_mutations_show_no_fault(name: str) -> None:
    run(name)


@pytest.mark.tensorflow
@pytest.mark.parametrize("name", [name for name, each in TARGETS.items() if "tensorflow" in each.references])
def test_first_mutations_show_no_difference_from_tensorflow(name: str, tensorflow: ModuleType) -> None:
    run(name)


def run(name: str) -> None:
    """Judge the seeds of a target and its first mutations, the same in every run."""
    target = TARGETS[name]
    for data in (*target.seeds(), *islice(mutations(target, seed=13), target.count)):
        try:
            check(target, data)
        except Exception as error:
            packed = base64.b64encode(zlib.compress(data)).decode()
            pytest.fail(f"{error!r} for zlib.decompress(base64.b64decode({packed!r}))")
