"""The terminal of a person: how wide it is, and how it shows bold and dim text."""

from __future__ import annotations

import os
import sys

import click

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
    if asked.isascii() and asked.isdigit() and int(asked) > 0:
        return int(asked)
    try:
        return os.get_terminal_size(sys.stdout.fileno()).columns or DEFAULT_COLUMNS
    except (OSError, ValueError):
        return DEFAULT_COLUMNS


def bold(text: str) -> str:
    """Return text in bold, if the terminal shows that."""
    return f"\x1b[1m{text}\x1b[0m" if text and _has_styles() else text


def dim(text: str) -> str:
    """Return text dimmed, if the terminal shows that."""
    return f"\x1b[2m{text}\x1b[0m" if text and _has_styles() else text


def with_dim_endings(line: str) -> str:
    """Return a line in which the ends that all keys of variables share are dimmed."""
    return line.replace(VARIABLE_VALUE, dim(VARIABLE_VALUE)) if VARIABLE_VALUE in line else line


def _has_styles() -> bool:
    # NO_COLOR asks for no colour, and bold and dim are left out with it. Older consoles of Windows print
    # escape sequences as they are.
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return False
    return sys.platform != "win32" or "WT_SESSION" in os.environ
