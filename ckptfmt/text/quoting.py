"""Names and texts in messages: the first few of many, and no more than a line of each.

A damaged or hostile file can make a name as long as it likes; a message that quotes it stays readable.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from itertools import islice

_LISTED = 5
"""Names that a message lists unless told otherwise."""

_QUOTED_LENGTH = 300
"""Longer texts are shortened in messages."""


def listed(names: Collection[str], most: int = _LISTED, *, quote: Callable[[str], str] = repr) -> str:
    """Return names as a message lists them: ``'a', 'b' and 7 more``."""
    shown = ", ".join(map(quote, islice(names, most)))
    more = len(names) - most
    return f"{shown} and {more:,} more" if more > 0 else shown


def shortened(text: str, length: int = _QUOTED_LENGTH) -> str:
    """Return a text as messages quote it: whole, or its beginning and its end with its length."""
    if len(text) <= length:
        return text
    return f"{text[: length // 2]} … {text[-length // 2 :]} ({len(text)} characters)"
