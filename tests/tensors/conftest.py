"""The checkpoint that tests of views read."""

from __future__ import annotations

from pathlib import Path

import pytest

from ckptfmt import Checkpoint
from tests.support.checkpoints import new_checkpoint


@pytest.fixture
def ckpt(tmp_path: Path) -> Checkpoint:
    """Return a checkpoint of variables, slots and counters, of two numbers each."""
    names = [
        "a/b",
        "a/bias",
        "b/w",
        "b/w/Adam",
        "b/w/Adam_1",
        "beta1_power",
        "beta2_power",
        "c[0]",
        "global_step",
    ]
    return new_checkpoint(tmp_path, {name: [i, i + 0.5] for i, name in enumerate(names)})
