"""A progress bar on a terminal, for work that takes a while."""

from __future__ import annotations

import sys
import time
from importlib.util import find_spec
from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

DELAY = 0.5
"""Seconds after which a bar appears. Work that is done sooner needs no bar, nor the time to import rich."""

INTERVAL = 0.05
"""Seconds between two updates."""


class ProgressBar:
    """Shows on stderr, if that is a terminal, how many bytes are done.

    A context manager, and a function such as ``Checkpoint.verify`` takes as ``progress``.
    """

    def __init__(self, label: str) -> None:
        self._label = label
        self._next = time.monotonic() + DELAY
        self._bar: tuple[Progress, TaskID] | None = None
        # Without rich there is no bar, which is no reason to fail.
        self._enabled = sys.stderr.isatty() and find_spec("rich") is not None

    def __call__(self, done: int, total: int) -> None:
        """Show that ``done`` of ``total`` bytes are done."""
        if not self._enabled or time.monotonic() < self._next:
            return
        if self._bar is None:
            self._bar = _start(self._label)
        progress, task = self._bar
        progress.update(task, completed=done, total=total)
        self._next = time.monotonic() + INTERVAL

    def __enter__(self) -> ProgressBar:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar[0].stop()


def _start(label: str) -> tuple[Progress, TaskID]:
    # Imported here: only a terminal needs it.
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(binary_units=True),
        TimeRemainingColumn(),
    )
    console = Console(file=sys.stderr)
    progress = Progress(*columns, console=console, transient=True, disable=console.is_dumb_terminal)
    progress.start()
    return progress, progress.add_task(label)
