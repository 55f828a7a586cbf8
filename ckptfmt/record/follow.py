"""Following a file that somebody else writes: how long to wait for more of it."""

from __future__ import annotations

import time
from collections.abc import Callable

POLL = 1.0
"""Seconds between two looks at a file that is being written."""

ASKED_EVERY = 0.1
"""Seconds after which a wait asks whether to end."""


class Patience:
    """How long to wait for what somebody else writes.

    Parameters
    ----------
    poll
        Seconds between two looks.
    timeout
        Seconds without anything new after which to give up; None waits for ever.
    stop
        Asked while waiting, several times a second, whether to give up.
    """

    def __init__(self, poll: float, timeout: float | None, stop: Callable[[], bool] | None) -> None:
        self._poll = poll
        self._timeout = timeout
        self._stop = stop
        self._since: float | None = None

    def renew(self) -> None:
        """Begin to wait anew: something has come."""
        self._since = None

    def wait(self) -> bool:
        """Wait until it is time to look again; return False to give up.

        Time counts from the first look at which nothing new was found: what the caller does with what has
        come may take as long as it likes. When the time is up there is a last look.
        """
        if self._stop is not None and self._stop():
            return False
        now = time.monotonic()
        if self._since is None:
            self._since = now
        elif self._timeout is not None and now - self._since >= self._timeout:
            return False
        until = now + self._poll
        if self._timeout is not None:
            until = min(until, self._since + self._timeout)
        while (left := until - time.monotonic()) > 0:
            time.sleep(left if self._stop is None else min(left, ASKED_EVERY))
            if self._stop is not None and until > time.monotonic() and self._stop():
                return False
        return True
