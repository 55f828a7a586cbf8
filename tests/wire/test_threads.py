"""Work in pieces: every byte is in one piece, results come in order, and the first error ends it."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import threading
import time
import weakref

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ckptfmt.wire.threads import PIECE, cut, in_threads


@given(st.integers(0, 2**40), st.integers(0, 64 * PIECE))
def test_pieces_follow_one_another_and_all_but_the_first_are_full(offset: int, size: int) -> None:
    at = offset
    pieces = list(cut(offset, size))
    for start, length in pieces:
        assert start == at
        at += length
    assert at == offset + size
    assert all(length == PIECE for _, length in pieces[1:])
    assert all(0 < length <= PIECE for _, length in pieces[:1])


@pytest.mark.parametrize(
    ("size", "sizes"),
    [
        (0, []),
        (1, [1]),
        (PIECE - 1, [PIECE - 1]),
        (PIECE, [PIECE]),
        (PIECE + 1, [1, PIECE]),
        (3 * PIECE, [PIECE] * 3),
    ],
)
def test_the_first_piece_is_the_remainder(size: int, sizes: list[int]) -> None:
    assert [length for _, length in cut(12345, size)] == sizes


@pytest.mark.parametrize("threads", [-1, 0, 1, 2, 3, 16, 1000])
def test_results_come_in_the_order_of_the_items(threads: int) -> None:
    def work(item: int) -> int:
        time.sleep(0.001 if item % 3 else 0)
        return item * item

    assert in_threads(work, iter(range(60)), threads) == [n * n for n in range(60)]


def test_without_items_nothing_is_done() -> None:
    assert in_threads(lambda item: item, [], 4) == []


def test_no_more_threads_work_than_were_asked_for_and_this_is_one() -> None:
    barrier = threading.Barrier(3, timeout=10)
    workers = set()

    def work(item: int) -> None:
        barrier.wait()  # all three are in it at once
        workers.add(threading.get_ident())

    in_threads(work, range(3), 3)
    assert len(workers) == 3
    assert threading.get_ident() in workers


def test_one_thread_starts_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(threading.Thread, "start")
    assert in_threads(str, range(3), 1) == ["0", "1", "2"]
    assert in_threads(str, [5], 8) == ["5"]


def test_this_thread_does_it_all_if_no_other_can_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    started = []
    start = threading.Thread.start

    def refuse(thread: threading.Thread) -> None:
        if started:
            raise RuntimeError("can't start new thread")
        started.append(thread)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refuse)
    assert in_threads(str, range(100), 8) == [str(n) for n in range(100)]


@pytest.mark.parametrize("threads", [1, 2, 8])
def test_the_error_of_the_first_item_is_raised(threads: int) -> None:
    done = []

    def work(item: int) -> None:
        done.append(item)
        if item in (20, 21, 40):
            time.sleep(0.01 if item == 20 else 0)
            raise ValueError(item)

    for _ in range(10):
        done.clear()
        with pytest.raises(ValueError, match=r"^20$"):
            in_threads(work, range(1000), threads)
        assert set(range(20)) <= set(done)


def test_after_an_error_no_new_item_is_begun() -> None:
    done = []
    barrier = threading.Barrier(2, timeout=10)

    def work(item: int) -> None:
        done.append(item)
        barrier.wait()  # both are in it at once
        if item == 0:
            raise ValueError
        time.sleep(0.5)

    with pytest.raises(ValueError):  # noqa: PT011
        in_threads(work, range(1000), 2)
    assert sorted(done) == [0, 1]


def test_an_index_error_of_the_work_is_an_error() -> None:
    with pytest.raises(IndexError, match="of the work"):
        in_threads(lambda _: _raise(IndexError("of the work")), range(4), 2)


def _raise(error: BaseException) -> None:
    raise error


def test_threads_have_ended_when_the_call_returns_or_raises() -> None:
    before = threading.active_count()
    in_threads(lambda _: time.sleep(0.001), range(20), 4)
    assert threading.active_count() == before
    with pytest.raises(KeyboardInterrupt):
        in_threads(lambda _: _raise(KeyboardInterrupt()), range(20), 4)
    assert threading.active_count() == before


def test_an_error_keeps_nothing_in_memory_once_it_is_handled() -> None:
    class Payload:
        pass

    def work(payload: Payload) -> None:
        raise ValueError

    payload = Payload()
    alive = weakref.ref(payload)
    gc.disable()
    try:
        with pytest.raises(ValueError) as caught:  # noqa: PT011
            in_threads(work, [payload], 1)
        del payload, caught
        assert alive() is None
    finally:
        gc.enable()


INTERRUPTED = """
import os, signal, threading, time
from ckptfmt.wire.threads import in_threads
def work(item):
    time.sleep(0.2 if threading.current_thread() is threading.main_thread() else 1.2)
threading.Timer(0.6, os.kill, (os.getpid(), signal.SIGINT)).start()
try:
    in_threads(work, [1, 2], 2)
except KeyboardInterrupt:
    print("interrupted", threading.active_count())
"""


@pytest.mark.skipif(os.name == "nt", reason="interrupts are sent otherwise there")
def test_threads_do_not_outlive_a_call_that_is_interrupted_while_it_waits() -> None:
    done = subprocess.run([sys.executable, "-c", INTERRUPTED], capture_output=True, text=True, check=True)
    assert done.stdout == "interrupted 1\n"
