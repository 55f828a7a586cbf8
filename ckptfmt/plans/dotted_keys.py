"""Dotted keys of TOML, ``a.b.c = 1``: how many parts they have, known before the text is parsed.

``tomllib`` notes every beginning of a dotted key, so a key of 40,000 parts, 80 KB of text, takes gigabytes of
memory. The keys of a plan have at most two parts.
"""

from __future__ import annotations

import re

MAX_PARTS = 8
"""The most parts of a key that is parsed; a plan has no use for more than two."""

_STRINGS_AND_COMMENTS = re.compile(
    r'"""(?:[^"\\]|\\.|"(?!""))*"""'
    r"|'''(?:[^']|'(?!''))*'''"
    r'|"(?:[^"\\\n]|\\.)*"'
    r"|'[^'\n]*'"
    r"|#[^\n]*",
    re.DOTALL,
)
"""What may hold dots that separate nothing. Each alternative takes linear time."""

_PART = re.compile(r"[ \t]*[A-Za-z0-9_-]+[ \t]*")
"""A part of a key between dots, after each quoted one was replaced by a bare one."""


def find_deep_key(text: str) -> int | None:
    """Return the line of the first key that has more than :data:`MAX_PARTS` parts, or None."""
    bare = _STRINGS_AND_COMMENTS.sub(_bare, text)
    line, parts = 1, 0
    for piece in bare.split("."):
        line += piece.count("\n")
        # Any other piece ends one key and begins another, which has a part after the dot, too.
        parts = parts + 1 if _PART.fullmatch(piece) else 2
        if parts > MAX_PARTS:
            return line
    return None


def _bare(match: re.Match[str]) -> str:
    """Return what takes the place of a string or a comment: a bare key of as many lines."""
    return "k" + "\n" * match[0].count("\n")
