"""Following a file while another program writes it: how long to wait for more."""

from __future__ import annotations

import time
from collections.abc import Callable

POLL = 1.0
"""Seconds between two looks at a file that is being written."""

ASKED_EVERY = 0.1
"""Seconds between two calls of ``stop`` during a wait."""


class Patience:
    """How long to wait for what another program writes.

    Parameters
    ----------
    poll
        Seconds between two looks.
    timeout
        Seconds without anything new after which to give up; None waits forever.
    stop
        Called several times a second during a wait; a true result gives up.
    """

    def __init__(self, poll: float, timeout: float | None, stop: Callable[[], bool] | None) -> None:
        self._poll = poll
        self._timeout = timeout
        self._stop = stop
        self._since: float | None = None

    def renew(self) -> None:
        """Start the timeout over, because something new has been read."""
        self._since = None

    def wait(self) -> bool:
        """Wait until it is time to look again; return False to give up.

        The timeout counts from the first look that finds nothing new, so the caller may take any time to
        handle what was read. After the timeout, the file is looked at one last time.
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
            # Not past the timeout, however long the poll: the next call gives up then, after that last look.
            until = min(until, self._since + self._timeout)
        while (left := until - time.monotonic()) > 0:
            time.sleep(left if self._stop is None else min(left, ASKED_EVERY))
            # Not asked again when the wait is over: the next call begins with that question.
            if self._stop is not None and until > time.monotonic() and self._stop():
                return False
        return True
