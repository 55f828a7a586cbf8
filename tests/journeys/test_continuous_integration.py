"""A job of CI that lets a model pass if it is complete, intact, finite, and of the right size."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

from tests.support.journeys import Journey
from tests.support.table_writer import write_bundle

DIGITS = "examples/digits"
CHECK = "ckptfmt verify --all --finite --json models"


def test_good_models_pass_and_are_counted(journey: Journey) -> None:
    journey.bring(DIGITS, "models")
    found = json.loads(journey.shell(f"{CHECK} --weights").stdout)
    assert found["ok"]
    assert [each["parameters"] for each in found["checkpoints"]] == [3882, 3882]
    assert all(each["tensors"] == each["tensors_checked"] for each in found["checkpoints"])
    assert journey.commands == 1


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_number_that_is_not_finite_fails_the_job(journey: Journey, value: float) -> None:
    journey.bring(DIGITS, "models")
    write_bundle(journey.folder / "models" / "worse", {"w": np.array([1, value], np.float32)})
    found = json.loads(journey.shell(CHECK, code=1).stdout)
    bad = [each for each in found["checkpoints"] if not each["ok"]]
    assert [(each["prefix"], each["problems"][0]["name"]) for each in bad] == [("models/worse", "w")]
    assert journey.commands == 1


def test_a_damaged_model_fails_the_job_and_names_the_tensor(journey: Journey) -> None:
    folder = journey.bring(DIGITS, "models")
    data = folder / "ckpt-9.data-00000-of-00001"
    damaged = bytearray(data.read_bytes())
    damaged[1000] ^= 1
    data.write_bytes(damaged)
    found = json.loads(journey.shell(CHECK, code=3).stdout)
    assert [each["ok"] for each in found["checkpoints"]] == [False, True]
    assert found["checkpoints"][0]["problems"][0]["kind"] == "checksum"
    assert journey.commands == 1


def test_a_missing_shard_fails_the_job(journey: Journey) -> None:
    folder = journey.bring("tests/data/golden/sharded", "models")
    (folder / "ckpt.data-00001-of-00003").unlink()
    journey.shell(CHECK, code=3)


def test_an_empty_directory_fails_the_job(journey: Journey) -> None:
    (journey.folder / "models").mkdir()
    result = journey.shell(CHECK, code=4)
    assert "no checkpoint" in result.stderr
    shutil.rmtree("models")
    journey.shell(CHECK, code=4)
