"""Texts in columns: how many columns a text takes, and long texts folded into several lines."""

from __future__ import annotations

import unicodedata
from functools import lru_cache

from ckptfmt.object_graph.keys import VARIABLE_VALUE

_BREAKS = frozenset("/_.,")
"""Characters after which a line ends if it has no space."""


@lru_cache(maxsize=4096)
def _columns_of(char: str) -> int:
    if unicodedata.category(char) in ("Mn", "Me"):  # drawn over the character before it
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def num_columns(text: str) -> int:
    """Return how many columns of a terminal a text takes: 2 for each wide character, as Chinese ones are."""
    return len(text) if text.isascii() else sum(map(_columns_of, text))


def padded(text: str, width: int, side: str) -> str:
    """Return a text with the spaces that make it ``width`` columns wide, after it or (``>``) before it."""
    spaces = " " * (width - num_columns(text))
    return spaces + text if side == ">" else text + spaces


def fold(text: str, width: int) -> list[str]:
    """Return a text as lines of at most ``width`` columns, 2 or more; joined, they are the text.

    A line ends after a space, a slash or another break if there is one in its second half, and before the end
    that all keys of variables share.
    """
    if num_columns(text) <= width:
        return [text]
    tail = len(text) - len(VARIABLE_VALUE) if text.endswith(VARIABLE_VALUE) else len(text)
    lines: list[str] = []
    start = 0
    while start < len(text):
        end = _end(text, start, width)
        if start < tail < end:
            end = tail
        elif end < len(text):
            end = _last_break(text, start, end)
        lines.append(text[start:end])
        start = end
    return lines


def _end(text: str, start: int, room: int) -> int:
    """Return where a line ends that begins at ``start`` and has as many characters as fit into ``room``."""
    end = min(start + room, len(text))
    if text[start:end].isascii():
        return end
    for at in range(start, len(text)):
        room -= _columns_of(text[at])
        if room < 0:
            return at
    return len(text)


def _last_break(text: str, start: int, end: int) -> int:
    middle = (start + end) // 2
    space = text.rfind(" ", middle, end)
    if space >= 0:
        return space + 1
    return next((at for at in range(end, middle, -1) if text[at - 1] in _BREAKS), end)
