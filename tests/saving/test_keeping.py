"""The rules by which checkpoints are kept, with times in place of a clock."""

from __future__ import annotations

import math

from ckptfmt.saving.keeping import HOUR, Kept, adopt, sweep, sweep_as_saver, with_new


def listed(*times: float) -> dict[str, float]:
    return {f"ckpt-{number}": time for number, time in enumerate(times, 1)}


def test_a_new_checkpoint_is_the_last() -> None:
    assert list(with_new(listed(1, 2, 3), "ckpt-1", 4).items()) == [
        ("ckpt-2", 2),
        ("ckpt-3", 3),
        ("ckpt-1", 4),
    ]


def test_the_oldest_leave() -> None:
    assert sweep(listed(1, 2, 3, 4), 2, None, 0) == Kept({"ckpt-3": 3, "ckpt-4": 4}, ["ckpt-1", "ckpt-2"], 0)
    assert sweep(listed(1, 2), 2, None, 0) == Kept(listed(1, 2), [], 0)
    assert sweep(listed(1, 2, 3), None, None, 0) == Kept(listed(1, 2, 3), [], 0)


def test_one_every_so_many_hours_stays() -> None:
    times = [hour * HOUR for hour in range(1, 8)]
    kept = sweep(listed(*times), 1, 3, 0)
    assert kept.removed == ["ckpt-1", "ckpt-2", "ckpt-4", "ckpt-5"]  # 3 hours after the start, and 3 more
    assert kept.time == 6 * HOUR
    assert list(kept.listed) == ["ckpt-7"]


def test_only_what_is_newer_than_the_last_kept_for_good_is_taken_over() -> None:
    assert adopt(["a", "b", "c"], [1, 2, 3], 2, 10) == ({"c": 3}, 2)


def test_without_times_nothing_is_taken_over() -> None:
    assert adopt(["a", "b"], [], 0, 10) == ({}, 0)


def test_times_in_the_future_count_as_now() -> None:
    assert adopt(["a", "b"], [5, 100], 4, 10) == ({"a": 5, "b": 10}, 4)
    assert adopt(["a", "b"], [5, 100], 50, 10) == ({}, 10)
    assert adopt(["a"], [math.nan], 0, 10) == ({}, 0)


def test_paths_without_a_time_are_not_taken_over() -> None:
    assert adopt(["a", "b"], [1], 0, 10) == ({"a": 1}, 0)


def test_a_saver_drops_one_at_a_time() -> None:
    assert sweep_as_saver(listed(1, 2, 3, 4), 2, 1, HOUR) == Kept(
        {"ckpt-2": 2, "ckpt-3": 3, "ckpt-4": 4}, ["ckpt-1"], HOUR
    )
    assert sweep_as_saver(listed(1, 2), None, 1, HOUR) == Kept(listed(1, 2), [], HOUR)


def test_a_saver_keeps_what_is_written_after_the_next_one_is_due() -> None:
    first = sweep_as_saver({"a": HOUR, "b": HOUR + 1}, 1, 1, HOUR)
    assert first == Kept({"b": HOUR + 1}, ["a"], HOUR)
    assert sweep_as_saver({**first.listed, "c": HOUR + 2}, 1, 1, HOUR) == Kept({"c": HOUR + 2}, [], 2 * HOUR)
