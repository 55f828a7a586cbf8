"""Fixtures of the tests that compare with TensorFlow."""

from __future__ import annotations

from collections.abc import Iterator
from types import ModuleType

import pytest


@pytest.fixture(params=[1, 2], ids=["control flow 1", "control flow 2"])
def control_flow(request: pytest.FixtureRequest, tensorflow: ModuleType) -> Iterator[int]:
    """Run a test with both versions of TensorFlow's control flow: ops of their own, and functions."""
    v1 = tensorflow.compat.v1
    (v1.enable_control_flow_v2 if request.param == 2 else v1.disable_control_flow_v2)()
    yield request.param
    v1.enable_control_flow_v2()
