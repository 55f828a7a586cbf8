"""Fixtures and settings of all tests: TensorFlow imported quietly, hypothesis, garbage collection."""

from __future__ import annotations

import gc
import os
import warnings
from importlib.util import find_spec
from types import ModuleType

import pytest
from hypothesis import HealthCheck, settings

# No deadline: the first example may import something slow, so a time limit would fail at random.
settings.register_profile("default", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", settings.get_profile("default"), derandomize=True, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "default")


@pytest.fixture(scope="session")
def tensorflow() -> ModuleType:
    """TensorFlow, the reference implementation; without it, tests that use this fixture are skipped."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
    with warnings.catch_warnings():
        # The warnings of its own imports are not ours to fix.
        warnings.simplefilter("ignore")
        return pytest.importorskip("tensorflow", reason="TensorFlow is not installed")  # type: ignore[no-any-return]


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip tests that are marked ``tensorflow`` if it is not installed, however they import it."""
    if item.get_closest_marker("tensorflow") is not None and find_spec("tensorflow") is None:
        pytest.skip("TensorFlow is not installed")


def pytest_collection_finish() -> None:
    """Leave what has been imported by now out of later garbage collections.

    TensorFlow, hypothesis and the tests themselves are millions of objects. A full collection visits all of
    them, and a test that builds a large graph of objects starts many collections.
    """
    gc.collect()
    gc.freeze()
