"""The terminal of a person: how wide it is, and how it shows bold and dim text."""

from __future__ import annotations

import os
import sys

import click

from ckptfmt.cli.render.output import on_terminal
from ckptfmt.object_graph.keys import VARIABLE_VALUE

WIDE = "ckptfmt.wide"
"""Key of ``Context.meta``: whether the user asked for lines of any length."""

DEFAULT_COLUMNS = 80
"""Columns of a terminal that does not say how many it has."""


def columns() -> int | None:
    """Return how long a line may be; None if it may have any length, because the user asked for that."""
    context = click.get_current_context(silent=True)
    if context is not None and context.meta.get(WIDE, False):
        return None
    # As every program that draws tables: the variable overrides what the terminal says.
    asked = os.environ.get("COLUMNS", "")
    if asked.isascii() and asked.isdigit() and len(asked) < 9 and int(asked) > 0:
        return int(asked)
    try:
        return os.get_terminal_size(sys.stdout.fileno()).columns or DEFAULT_COLUMNS
    except (OSError, ValueError):
        return DEFAULT_COLUMNS


def on_screen(text: str) -> str:
    """Return text as a terminal shows it, with dim ends of keys; off a terminal, as it is."""
    return Styles().with_dim_endings(text) if on_terminal() else text


class Styles:
    """Bold and dim text on the terminal as it is now; text stays as it is if the terminal shows neither."""

    def __init__(self) -> None:
        # NO_COLOR asks for no colour, and bold and dim are left out with it. Older consoles of Windows print
        # escape sequences as they are.
        is_plain = bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") == "dumb"
        self._are_shown = not is_plain and (sys.platform != "win32" or "WT_SESSION" in os.environ)
        self._dim_ending = self.dim(VARIABLE_VALUE)

    def bold(self, text: str) -> str:
        """Return text in bold."""
        return f"\x1b[1m{text}\x1b[0m" if text and self._are_shown else text

    def dim(self, text: str) -> str:
        """Return dimmed text."""
        return f"\x1b[2m{text}\x1b[0m" if text and self._are_shown else text

    def with_dim_endings(self, line: str) -> str:
        """Return a line in which the ends that all keys of variables share are dimmed."""
        return line.replace(VARIABLE_VALUE, self._dim_ending) if VARIABLE_VALUE in line else line
