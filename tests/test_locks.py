"""Locks that are held while a process forks."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

import ckptfmt
from ckptfmt.locks import new_lock, new_reentrant_lock
from tests.support.event_log import VERSION, scalar, write_events

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here"),
    pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning"),
]


def in_child(work: Callable[[], bool]) -> int:
    """Return the exit code of a forked process: 0 if the work succeeds; it is killed after 20 seconds."""
    child = os.fork()
    if not child:
        signal.alarm(20)
        os._exit(0 if work() else 1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.mark.parametrize("make", [new_lock, new_reentrant_lock])
def test_a_lock_that_another_thread_holds_is_free_in_a_child(
    make: Callable[[], threading.Lock | threading.RLock],
) -> None:
    lock = make()
    held, go_on = threading.Event(), threading.Event()

    def hold() -> None:
        with lock:
            held.set()
            go_on.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait()
    try:
        assert not lock.acquire(blocking=False)
        assert in_child(lambda: lock.acquire(timeout=10)) == 0
    finally:
        go_on.set()
        thread.join()


def test_a_child_reads_a_log_that_a_thread_of_the_parent_was_reading(tmp_path: Path) -> None:
    write_events(tmp_path / "events.out.tfevents.1.h", [VERSION, scalar("loss", 2.0, 1)])
    log = ckptfmt.open_events(tmp_path)
    inside, go_on = threading.Event(), threading.Event()

    def report(done: int, total: int) -> None:
        inside.set()
        go_on.wait()

    thread = threading.Thread(target=log.gather, args=(report,))
    thread.start()
    inside.wait()
    try:
        assert in_child(lambda: log.scalars["loss"].values.tolist() == [2.0]) == 0
    finally:
        go_on.set()
        thread.join()
    assert log.scalars["loss"].values.tolist() == [2.0]
