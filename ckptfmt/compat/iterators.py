"""Iterators over checkpoints as they appear, and over the events of a file."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator

from ckptfmt.compat.reader import PathLike
from ckptfmt.compat.state import latest_checkpoint
from ckptfmt.events.event_log import open_events
from ckptfmt.proto import messages

POLL_SECONDS = 1.0
"""Seconds between two looks of :func:`checkpoints_iterator` for a new checkpoint."""


def checkpoints_iterator(
    checkpoint_dir: str | os.PathLike[str],
    min_interval_secs: float = 0,
    timeout: float | None = None,
    timeout_fn: Callable[[], bool] | None = None,
) -> Iterator[str]:
    """Yield the latest checkpoint of a directory, and later ones as they appear.

    Each time, only the latest one is returned: checkpoints that others followed in the meantime are skipped.

    Parameters
    ----------
    checkpoint_dir
        Directory with a state file, or one that will get it.
    min_interval_secs
        Least number of seconds between two checkpoints.
    timeout
        Seconds to wait for a new checkpoint, also for the first; None waits forever.
    timeout_fn
        Called after each checkpoint and each timeout; a true result ends the iteration. Without it, the first
        timeout does.
    """
    last: str | None = None
    while True:
        new = _wait_for_other(checkpoint_dir, last, timeout)
        if new is not None:
            # From here on, so that the time that the caller spends on a checkpoint counts.
            due = time.monotonic() + min_interval_secs
            last = new
            yield new
            rest = due - time.monotonic()
            if rest > 0:
                time.sleep(rest)
        elif timeout_fn is None:
            return
        if timeout_fn is not None and timeout_fn():
            return


def summary_iterator(path: PathLike) -> Iterator[messages.Event]:
    """Iterate over the events of an event file, as ``tf.compat.v1.train.summary_iterator`` does.

    A damaged event is skipped with a warning, while TensorFlow raises: see :func:`ckptfmt.open_events`.
    ``ckptfmt.to_array(value.tensor)`` returns what ``tf.make_ndarray`` does.
    """
    return iter(open_events(os.fsdecode(path)))


def _wait_for_other(directory: str | os.PathLike[str], last: str | None, timeout: float | None) -> str | None:
    """Return the latest checkpoint once it is not ``last``; None if the timeout comes first."""
    end = None if timeout is None else time.monotonic() + timeout
    while True:
        latest = latest_checkpoint(directory)
        if latest is not None and latest != last:
            return latest
        # As in TensorFlow, no wait goes past the timeout.
        if end is not None and time.monotonic() + POLL_SECONDS > end:
            return None
        time.sleep(POLL_SECONDS)
