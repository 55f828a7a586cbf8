"""Names and texts in messages: the first few of many, and a line of each at most.

A damaged or hostile file can have names of any length and number; messages that quote them stay readable.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from itertools import islice
from typing import TypeVar

T = TypeVar("T")

_LISTED = 5
"""Names that a message lists unless the caller says how many."""

_QUOTED_LENGTH = 300
"""Characters of the longest text that messages quote whole."""

_SHOWN_BYTES = 16
"""Bytes that a message quotes of binary data."""


def listed(names: Collection[T], most: int = _LISTED, *, quote: Callable[[T], str] = repr) -> str:
    """Return names as a message lists them: ``'a', 'b' and 7 more``."""
    shown = ", ".join(map(quote, islice(names, most)))
    more = len(names) - most
    return f"{shown} and {more:,} more" if more > 0 else shown


def shortened(text: str, length: int = _QUOTED_LENGTH) -> str:
    """Return a text as messages quote it: whole, or its beginning, its end and its length."""
    if len(text) <= length:
        return text
    return f"{text[: length // 2]} … {text[-length // 2 :]} ({len(text)} characters)"


def beginning(head: bytes, size: int) -> str:
    """Return how binary data of a size begin, given their first bytes: ``20 bytes that begin 08 01 (..)``."""
    shown = head[:_SHOWN_BYTES]
    printable = "".join(chr(byte) if 0x20 <= byte < 0x7F else "." for byte in shown)
    more = " …" if size > len(shown) else ""
    return f"{size:,} {'byte' if size == 1 else 'bytes'} that begin {shown.hex(' ')}{more} ({printable})"
