"""Which checkpoints of a directory are kept: TensorFlow's two rules, as functions of lists and times.

::

    CheckpointManager   the list loses its oldest until max_to_keep are left. One that leaves is kept for
                        good if it was written N hours or more after the last that was, else deleted.
    Saver               the list loses at most one a save. It is kept for good if it was written after the
                        time at which the next one is due, which then moves on by N hours.

Nothing here reads a clock or a disk.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

HOUR = 3600.0


class Kept(NamedTuple):
    """What a sweep decides."""

    listed: dict[str, float]
    """The checkpoints that stay in the list, and when each was written, oldest first."""
    removed: list[str]
    """Those to delete."""
    time: float
    """The time that the rule goes by, for the next sweep."""


def with_new(listed: Mapping[str, float], path: str, now: float) -> dict[str, float]:
    """Return a list with a new checkpoint at its end; one of that name that it replaces leaves its place."""
    return {**{other: time for other, time in listed.items() if other != path}, path: now}


def sweep(
    listed: Mapping[str, float], max_to_keep: int | None, every_n_hours: float | None, last_preserved: float
) -> Kept:
    """Return what ``tf.train.CheckpointManager`` keeps of a list.

    ``last_preserved`` is when the last checkpoint that is kept for good was written, as is the ``time`` of
    the result. Without ``max_to_keep``, all stay in the list.
    """
    rest = dict(listed)
    removed = []
    while max_to_keep and len(rest) > max_to_keep:
        path = next(iter(rest))
        time = rest.pop(path)
        if every_n_hours and time - every_n_hours * HOUR >= last_preserved:
            last_preserved = time
        else:
            removed.append(path)
    return Kept(rest, removed, last_preserved)


def adopt(
    paths: Sequence[str], times: Sequence[float], last_preserved: float, now: float
) -> tuple[dict[str, float], float]:
    """Return the list that ``tf.train.CheckpointManager`` takes over from a state file, and its last time.

    Only what was written after the last checkpoint that is kept for good is taken over; all else stays on
    the disk. So nothing is if there are no times, as in the state files of ``Saver``. Times in the future,
    after a clock was set back, count as now.
    """
    last_preserved = min(last_preserved, now)
    times = times or [last_preserved] * len(paths)
    capped = zip(paths, (min(time, now) for time in times), strict=False)
    return {path: time for path, time in capped if time > last_preserved}, last_preserved


def sweep_as_saver(
    listed: Mapping[str, float], max_to_keep: int | None, every_n_hours: float, next_due: float
) -> Kept:
    """Return what ``tf.compat.v1.train.Saver`` keeps of a list.

    ``next_due`` is the time after which a checkpoint has to be written to be kept for good, as is the
    ``time`` of the result. Without ``max_to_keep``, the list stays as it is.
    """
    rest = dict(listed)
    if not max_to_keep or len(rest) <= max_to_keep:
        return Kept(rest, [], next_due)
    path = next(iter(rest))
    if rest.pop(path) > next_due:
        return Kept(rest, [], next_due + every_n_hours * HOUR)
    return Kept(rest, [path], next_due)
