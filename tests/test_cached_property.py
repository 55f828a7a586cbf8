"""Properties that are computed once, without locks that others wait for."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest

import ckptfmt
from ckptfmt.cached_property import cached_property
from tests.support.table_writer import write_bundle


class Box:
    def __init__(self) -> None:
        self.computed = 0

    @cached_property
    def value(self) -> list[int]:
        """A value."""
        self.computed += 1
        return [self.computed]


def test_a_value_is_computed_once() -> None:
    box = Box()
    assert box.value is box.value
    assert box.computed == 1
    del box.value
    assert box.value == [2]
    assert Box.value.__doc__ == "A value."


@contextmanager
def slow_listing(path: str) -> Iterator[None]:
    """A thread that lists a view, and takes until the end of the block."""
    inside, go_on = threading.Event(), threading.Event()

    def names() -> dict[str, str]:
        inside.set()
        go_on.wait()
        return {"w": "w"}

    thread = threading.Thread(target=list, args=(ckptfmt.View(ckptfmt.open(path), names),))
    thread.start()
    inside.wait()
    try:
        yield
    finally:
        go_on.set()
        thread.join()


@pytest.fixture
def path(tmp_path: os.PathLike[str]) -> str:
    prefix = os.path.join(tmp_path, "m")
    write_bundle(prefix, {"w": np.zeros(2, np.float32)})
    return prefix


def test_one_checkpoint_does_not_wait_for_another(path: str) -> None:
    with slow_listing(path):
        assert list(ckptfmt.open(path).select("*")) == ["w"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_process_forked_meanwhile_does_not_hang(path: str) -> None:
    with slow_listing(path):
        child = os.fork()
        if not child:
            signal.alarm(20)
            os._exit(0 if list(ckptfmt.open(path).select("*")) == ["w"] else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
