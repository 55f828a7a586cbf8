"""A model as one frozen graph, and what is in that."""

from __future__ import annotations

import json

import numpy as np

import ckptfmt
from tests.support.golden import load
from tests.support.journeys import Journey


def test_a_saved_model(journey: Journey) -> None:
    journey.bring("tests/data/golden/saved_model/model", "export")
    journey.shell("ckptfmt freeze export -o frozen.pb")
    found = json.loads(journey.shell("ckptfmt graph frozen.pb --json").stdout)
    assert found["outputs"]
    assert journey.commands == 2
    frozen = ckptfmt.read_graph("frozen.pb")
    assert not any(node.op in ("VarHandleOp", "ReadVariableOp") for node in frozen.values())


def test_a_checkpoint_of_tensorflow_1(journey: Journey) -> None:
    journey.bring("tests/data/golden/v1_saver", "training")
    journey.shell("ckptfmt freeze training -o frozen.pb --outputs layer/w/read")
    frozen = ckptfmt.read_graph("frozen.pb")
    wanted = load("v1_saver").tensors[b"layer/w"].expected()
    np.testing.assert_array_equal(frozen.constants["layer/w"], wanted)
    assert journey.commands == 1
