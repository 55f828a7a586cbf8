"""Tensors to which tests apply plans."""

from __future__ import annotations

import numpy as np
import pytest

from tests.support.arrays import Arrays
from tests.support.plans import W


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
