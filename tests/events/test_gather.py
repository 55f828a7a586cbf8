"""The files of a run: read whole or not at all, again and again, as they grow and change."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ckptfmt
from ckptfmt.errors import ChecksumError, CkptfmtError, CorruptError, DamageWarning, UnsupportedError
from ckptfmt.events.gather import GatheredRun
from ckptfmt.proto import messages
from ckptfmt.record.damage import Damage
from tests.support.event_log import (
    VERSION,
    open_quietly,
    scalar,
    scalars_by_columns,
    tensor_scalar,
    write_events,
)
from tests.support.records import frame


def log(path: Path, steps: range, tag: str = "x") -> Path:
    return write_events(path, [VERSION, *(scalar(tag, step, step, float(step)) for step in steps)])


def append(path: Path, *events: messages.Event) -> None:
    with path.open("ab") as file:
        file.write(b"".join(frame(event.SerializeToString()) for event in events))


def picture(tag: str, data: bytes, step: int) -> messages.Event:
    event = messages.Event(step=step, wall_time=float(step))
    event.summary.value.add(tag=tag).image.encoded_image_string = data
    return event


# --- errors ------------------------------------------------------------------------------------------------


@contextmanager
def interrupted_after(seconds: float) -> Iterator[None]:
    """Ctrl-C after some time."""
    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="the system has no timers that interrupt")
def test_a_run_is_complete_when_it_is_asked_for_again_after_an_interrupt(tmp_path: Path) -> None:
    count, tags = 120_000, 40
    path = write_events(
        tmp_path / "events.out.tfevents.1.h", (scalar(f"t{i % tags}", i, i, 1.0 + i) for i in range(count))
    )
    interruptions = 0
    for number in range(14):
        events = ckptfmt.open_events(path)
        with interrupted_after(0.004 + 0.006 * number):
            try:
                events.gather()
                for tag in events.tags:
                    assert len(events.scalars[tag])
            except KeyboardInterrupt:
                interruptions += 1
        assert events.num_events == count
        steps = [events.scalars[f"t{tag}"].steps for tag in range(tags)]
        assert [each.tolist() for each in steps] == [list(range(tag, count, tags)) for tag in range(tags)]
    assert interruptions


class StoppedError(Exception):
    """Raised by a caller's own function."""


def test_an_error_of_the_progress_function_leaves_nothing_half_read(tmp_path: Path) -> None:
    log(tmp_path / "events.out.tfevents.1.h", range(100))
    log(tmp_path / "events.out.tfevents.2.h", range(100, 200))
    events = ckptfmt.open_events(tmp_path)
    calls = 0

    def progress(done: int, total: int) -> None:
        nonlocal calls
        calls += 1
        assert 0 < done <= total == sum(path.stat().st_size for path in tmp_path.iterdir())
        if calls == 2:
            raise StoppedError

    with pytest.raises(StoppedError):
        events.gather(progress)
    assert events.scalars["x"].steps.tolist() == list(range(200))
    assert events.num_events == 202
    assert calls == 2
    calls_made: list[tuple[int, int]] = []
    ckptfmt.open_events(tmp_path).gather(lambda *each: calls_made.append(each))
    sizes = [path.stat().st_size for path in sorted(tmp_path.iterdir())]
    assert calls_made == [(sizes[0], sum(sizes)), (sum(sizes), sum(sizes))]


def test_strict_raises_each_time(tmp_path: Path) -> None:
    path = log(tmp_path / "events.out.tfevents.1.h", range(10))
    content = bytearray(path.read_bytes())
    content[200] ^= 0xFF
    path.write_bytes(content)
    events = ckptfmt.open_events(path, strict=True)
    for ask in (events.gather, lambda: events.scalars["x"], lambda: events.damage, events.refresh):
        with pytest.raises(ChecksumError):
            ask()


def test_strict_raises_each_time_that_it_reads_on(tmp_path: Path) -> None:
    path = log(tmp_path / "events.out.tfevents.1.h", range(10))
    events = ckptfmt.open_events(path, strict=True)
    assert len(events.scalars["x"]) == 10
    bad = bytearray(frame(scalar("x", 10, 10).SerializeToString()))
    bad[-1] ^= 0xFF
    with path.open("ab") as file:
        file.write(bad)
    for _ in range(2):
        with pytest.raises(ChecksumError):
            events.refresh()
    with pytest.raises(ChecksumError):
        events.scalars["x"]


TEXT = b"this is not an event file, but a text named like one\n" * 20


def test_a_file_of_a_run_that_is_not_an_event_file_is_damage(tmp_path: Path) -> None:
    log(tmp_path / "events.out.tfevents.1.h", range(10))
    stray = tmp_path / "events.out.tfevents.2.h"
    stray.write_bytes(TEXT)
    log(tmp_path / "events.out.tfevents.3.h", range(10, 20))
    events = ckptfmt.open_events(tmp_path)
    with pytest.warns(DamageWarning, match="a text file, not a TensorBoard event file"):
        events.gather()
    for _ in range(2):
        assert events.scalars["x"].steps.tolist() == list(range(20))
        (damage,) = events.damage
        assert (damage.file, damage.offset, damage.skipped) == (str(stray), 0, len(TEXT))
        assert isinstance(damage.error, UnsupportedError)
        assert events.refresh() == 0
    with pytest.warns(DamageWarning):
        assert len(list(events)) == 22
    with pytest.warns(DamageWarning):
        assert len(list(events.follow(timeout=0))) == 22
    log(stray, range(5), "y")
    assert events.refresh() == 28
    assert events.damage == []
    assert len(events.scalars["y"]) == 5


def test_a_file_that_is_not_an_event_file_is_an_error_each_time(tmp_path: Path) -> None:
    path = tmp_path / "events.out.tfevents.2.h"
    path.write_bytes(TEXT)
    for events, error in (
        (ckptfmt.open_events(path), UnsupportedError),
        (ckptfmt.open_events(tmp_path, strict=True), CkptfmtError),
    ):
        for _ in range(2):
            with pytest.raises(error):
                events.gather()
        with pytest.raises(error):
            list(events)


# --- many files --------------------------------------------------------------------------------------------

MANY = """
import resource, sys, ckptfmt
resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))
for backend in ("mmap", "pread"):
    events = ckptfmt.open_events(sys.argv[1], backend=backend)
    assert events.num_events == 200
    assert [images[0].data for images in events.images["x"]] == [b"%d" % i for i in range(100)]
    assert events.refresh() == 0
    assert len(list(events.follow(timeout=0))) == 200
    assert len(list(events)) == 200
"""


def test_more_files_than_may_be_open(tmp_path: Path) -> None:
    pytest.importorskip("resource", reason="the system has no limit of open files")
    for i in range(100):
        name = f"events.out.tfevents.{1000 + i}.h"
        write_events(tmp_path / name, [VERSION, picture("x", b"%d" % i, i)])
    subprocess.run([sys.executable, "-c", MANY, str(tmp_path)], check=True)


def test_locations_are_right_in_any_number_of_files(tmp_path: Path) -> None:
    """More files than 15 bits can number."""
    first = write_events(tmp_path / "events.out.tfevents.1.h", [VERSION, scalar("x", 1, 1)])
    for i in range(2, 32_772):
        os.link(first, tmp_path / f"events.out.tfevents.{i}.h")
        if i == 32_000 and not hasattr(os, "link"):
            pytest.skip("the system has no links")
    last = tmp_path / "events.out.tfevents.40000.h"
    write_events(last, [VERSION, picture("y", b"last", 7)])
    events = ckptfmt.open_events(tmp_path)
    assert len(events.scalars["x"]) == 32_771
    assert events.images["y"][0][0].data == b"last"


# --- files that change -------------------------------------------------------------------------------------


def test_a_value_of_a_file_that_was_replaced_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "events.out.tfevents.1.h"
    write_events(path, [messages.Event(wall_time=1, file_version="brain.Event:2"), picture("x", b"old", 1)])
    events = ckptfmt.open_events(path)
    series = events.images["x"]
    other = tmp_path / "other"
    # Each record is as long as before, so only the bytes differ.
    write_events(other, [messages.Event(wall_time=2, file_version="brain.Event:2"), picture("x", b"new", 1)])
    other.replace(path)
    with pytest.raises(CorruptError, match=r"images 'x': the file was replaced") as caught:
        series[0]
    assert caught.value.file == str(path)
    assert events.refresh() == 2
    assert events.images["x"][0][0].data == b"new"


def test_a_value_that_was_damaged_after_gathering_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "events.out.tfevents.1.h"
    write_events(path, [*(scalar("x", i, i) for i in range(300)), picture("y", b"abc", 5)])
    events = ckptfmt.open_events(path)
    series = events.images["y"]
    path.write_bytes(path.read_bytes().replace(b"abc", b"abd"))
    with pytest.raises(ChecksumError, match="images 'y'") as caught:
        series[0]
    assert caught.value.offset == path.read_bytes().index(b"abd") - 12 - (
        picture("y", b"abc", 5).SerializeToString().index(b"abc")
    )


@pytest.mark.parametrize("count", [3, 10, 30])
def test_a_file_that_was_replaced_is_read_again(tmp_path: Path, count: int) -> None:
    path = log(tmp_path / "events.out.tfevents.1.h", range(10))
    events = ckptfmt.open_events(tmp_path)
    old = events.scalars
    assert len(old["x"]) == 10
    log(tmp_path / "other", range(1000, 1000 + count), "new").replace(path)
    assert events.refresh() == 1 + count
    assert events.scalars["new"].steps.tolist() == list(range(1000, 1000 + count))
    assert list(events.tags) == ["new"]
    with pytest.raises(KeyError):
        old["x"]


@pytest.mark.parametrize("backend", ["mmap", "pread"])
def test_values_can_be_read_whenever_they_were_written(backend: Any, tmp_path: Path) -> None:
    path = write_events(tmp_path / "events.out.tfevents.1.h", [VERSION, picture("p", b"first", 0)])
    events = ckptfmt.open_events(path, backend=backend)
    assert events.images["p"][0][0].data == b"first"
    for step in range(1, 4):
        append(path, picture("p", b"%d" % step, step))
        assert events.refresh() == 1
        series = events.images["p"]
        assert [images[0].data for images in series] == [b"first", *(b"%d" % n for n in range(1, step + 1))]


def test_two_interrupts_leave_nothing_half_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    log(tmp_path / "events.out.tfevents.1.h", range(100))
    log(tmp_path / "events.out.tfevents.2.h", range(100, 200))
    events = ckptfmt.open_events(tmp_path)
    begin, calls = GatheredRun._begin, []

    def interrupt(*_: object) -> None:
        monkeypatch.setattr(GatheredRun, "_begin", begin)
        raise KeyboardInterrupt

    def progress(done: int, total: int) -> None:
        calls.append(done)
        if len(calls) == 2:
            # The second interrupt comes while everything is being forgotten.
            monkeypatch.setattr(GatheredRun, "_begin", interrupt)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        events.gather(progress)
    assert events.scalars["x"].steps.tolist() == list(range(200))
    assert events.num_events == 202
    assert events.refresh() == 0


def test_other_events_are_in_the_order_of_the_files(tmp_path: Path) -> None:
    def session(path: str) -> messages.Event:
        return messages.Event(session_log=messages.SessionLog(checkpoint_path=path))

    first = write_events(tmp_path / "events.out.tfevents.1.h", [VERSION, session("a")])
    write_events(tmp_path / "events.out.tfevents.2.h", [VERSION, session("c")])
    events = ckptfmt.open_events(tmp_path)
    assert [log.checkpoint_path for log in events.session_logs] == ["a", "c"]
    append(first, session("b"))
    assert events.refresh() == 1
    assert [log.checkpoint_path for log in events.session_logs] == ["a", "b", "c"]


def test_a_mapping_taken_earlier_returns_current_values(tmp_path: Path) -> None:
    path = log(tmp_path / "events.out.tfevents.1.h", range(10))
    events = ckptfmt.open_events(path)
    scalars, series, tags = events.scalars, events.scalars["x"], events.tags
    assert events.scalars is scalars
    assert events.tags is tags
    append(path, scalar("x", 10, 10), scalar("y", 1, 1))
    assert events.refresh() == 2
    assert len(scalars["x"]) == 11
    assert (len(series), list(scalars), list(events.scalars)) == (10, ["x"], ["x", "y"])
    assert events.tags == {"x": "scalars", "y": "scalars"}


def test_a_refreshed_run_equals_one_opened_again(tmp_path: Path) -> None:
    log(tmp_path / "events.out.tfevents.20.h", range(100, 103))
    events = ckptfmt.open_events(tmp_path)
    assert len(events.scalars["x"]) == 3
    log(tmp_path / "events.out.tfevents.10.h", range(3))
    assert events.refresh() == 4
    append(tmp_path / "events.out.tfevents.10.h", scalar("x", 3, 3), tensor_scalar("y", 1, 1))
    log(tmp_path / "events.out.tfevents.30.h", range(200, 202))
    assert events.refresh() == 5
    fresh = ckptfmt.open_events(tmp_path)
    assert events.files == fresh.files
    assert scalars_by_columns(events) == scalars_by_columns(fresh)
    assert events.scalars["x"].steps.tolist() == [0, 1, 2, 3, 100, 101, 102, 200, 201]


def test_many_refreshes_are_one_read(tmp_path: Path) -> None:
    random = np.random.default_rng(3)
    path = log(tmp_path / "events.out.tfevents.1.h", range(2))
    events = ckptfmt.open_events(path)
    step = 2
    events.gather()
    for _ in range(60):
        new = [
            scalar(f"t{random.integers(5)}", step + i, step + i) for i in range(int(random.integers(0, 40)))
        ]
        step += len(new)
        append(path, *new)
        assert events.refresh() == len(new)
        if random.random() < 0.5:
            assert events.scalars
    assert scalars_by_columns(events) == scalars_by_columns(ckptfmt.open_events(path))


def test_a_file_that_was_removed_has_ended(tmp_path: Path) -> None:
    first = log(tmp_path / "events.out.tfevents.1.h", range(3))
    events = ckptfmt.open_events(tmp_path)
    followed = ckptfmt.open_events(tmp_path).follow(poll=0.001, timeout=0.05)
    assert [next(followed).step for _ in range(4)] == [0, 0, 1, 2]
    assert events.num_events == 4
    first.unlink()
    log(tmp_path / "events.out.tfevents.2.h", range(3, 5))
    assert events.refresh() == 3
    assert events.scalars["x"].steps.tolist() == list(range(5))
    assert [event.step for event in followed] == [0, 3, 4]


def test_a_file_that_is_replaced_is_followed_from_its_beginning(tmp_path: Path) -> None:
    path = log(tmp_path / "events.out.tfevents.1.h", range(3))
    followed = ckptfmt.open_events(path).follow(poll=0.001, timeout=0.2)
    assert [next(followed).step for _ in range(4)] == [0, 0, 1, 2]
    log(tmp_path / "other", range(1000, 1009)).replace(path)
    assert [event.step for event in followed] == [0, *range(1000, 1009)]


def test_following_strictly_waits_for_the_rest_of_an_event(tmp_path: Path) -> None:
    path = log(tmp_path / "events.out.tfevents.1.h", range(3))
    more = frame(scalar("x", 3, 3).SerializeToString())
    with path.open("ab") as file:
        file.write(more[:20])
    followed = ckptfmt.open_events(path, strict=True).follow(poll=0.001, timeout=0.2)
    assert [next(followed).step for _ in range(4)] == [0, 0, 1, 2]
    with path.open("ab") as file:
        file.write(more[20:])
    assert [event.step for event in followed] == [3]


def test_following_skips_damage(tmp_path: Path) -> None:
    path = log(tmp_path / "events.out.tfevents.1.h", range(3))
    bad = bytearray(frame(scalar("x", 3, 3).SerializeToString()))
    bad[-1] ^= 1
    with path.open("ab") as file:
        file.write(bad + frame(scalar("x", 4, 4).SerializeToString()))
    with pytest.warns(DamageWarning):
        assert [event.step for event in ckptfmt.open_events(path).follow(timeout=0)] == [0, 0, 1, 2, 4]


def test_damage_goes_to_the_function_that_asks_for_it(tmp_path: Path) -> None:
    content = bytearray(log(tmp_path / "events.out.tfevents.1.h", range(3)).read_bytes())
    content[-1] ^= 1
    (tmp_path / "events.out.tfevents.1.h").write_bytes(content + content)
    (tmp_path / "events.out.tfevents.2.h").write_bytes(TEXT)
    reported: list[Damage] = []
    events = ckptfmt.open_events(tmp_path, on_damage=reported.append)
    with warnings.catch_warnings():
        warnings.simplefilter("error", DamageWarning)
        events.gather()
        assert reported == events.damage
        assert [type(damage.error) for damage in reported] == [ChecksumError, ChecksumError, UnsupportedError]
        del reported[:]
        list(events)
        assert len(reported) == 3
        followed: list[Damage] = []
        list(events.follow(timeout=0, on_damage=followed.append))
    assert (len(reported), len(followed)) == (3, 3)


def test_a_slow_reader_misses_nothing(tmp_path: Path) -> None:
    path = log(tmp_path / "events.out.tfevents.1.h", range(1))
    found = []
    for event in ckptfmt.open_events(path).follow(poll=0.01, timeout=0.05):
        found.append(event.step)
        if len(found) == 2:
            append(path, scalar("x", 1, 1), scalar("x", 2, 2))
            __import__("time").sleep(0.1)
    assert found == [0, 0, 1, 2]


def test_files_are_closed_after_reading(tmp_path: Path) -> None:
    if not Path("/proc/self/fd").is_dir():
        pytest.skip("the system does not tell which files are open")
    shutil.copy(log(tmp_path / "a", range(3)), tmp_path / "events.out.tfevents.1.h")

    def is_open() -> bool:
        found: list[Any] = []
        for each in Path("/proc/self/fd").iterdir():
            try:
                found.append(each.readlink())
            except OSError:
                continue
        return any(tmp_path in each.parents for each in found)

    events = open_quietly(tmp_path / "events.out.tfevents.1.h", backend="pread")
    assert not is_open()
    assert events.num_events == 4
