"""Checks of messages in text format, for what protobuf's parser in Python should refuse but does not.

The parser recurses without a bound of its own. It hands strings to one of Python's codecs, which warns of
unknown escapes and keeps them; TensorFlow's parser refuses them.

A text graph with large constants is nearly all escapes, and a loop over these takes longer than the parser
does. So :class:`Sketch` first looks at all bytes at once with NumPy. It errs only on the side of suspicion:
it counts as an escape what is one only within a string. :func:`find_fault` then walks a suspicious text token
by token, and finds the place.
"""

from __future__ import annotations

import re
from typing import NamedTuple

import numpy as np

from ckptfmt.cached_property import cached_property

_STRING_OR_BRACKET = re.compile(
    r"""
      "[^"\\\n]*(?:\\.[^"\\\n]*)*"?     # a string, perhaps not closed: brackets in it do not count
    | '[^'\\\n]*(?:\\.[^'\\\n]*)*'?
    | \#[^\n]*
    | [{}<>]
    """,
    re.VERBOSE,
)

BAD_ESCAPE = re.compile(r"""\\(?![abfnrtvxuU'"0-7])|\\[4-7][0-7]{2}""")

_BACKSLASH = ord("\\")

_NO_BRACKETS = re.compile(rb"""\"[^"\n]*"? | '[^'\n]*'? | \#[^\n]* | \n""", re.VERBOSE)
"""What is no bracket among the special bytes of a text."""


def _table(chars: bytes) -> np.ndarray:
    table = np.zeros(256, np.bool_)
    table[list(chars)] = True
    return table


_SPECIAL = _table(b"\"'#{}<>\n")
_QUOTES = _table(b"\"'")
# An escape of three digits that begins with 4 to 7 is more than a byte; nobody writes the shorter ones.
_SUSPICIOUS = ~_table(b"abfnrtvxuU'\"0123")
_CODE_POINTS = _table(b"uU")

_STEP = np.zeros(256, np.int8)
_STEP[list(b"{<")] = 1
_STEP[list(b"}>")] = -1


class Fault(NamedTuple):
    """What is wrong at a position of a text."""

    at: int
    reason: str


class Sketch:
    """What may be in a text, from a look at all its bytes at once."""

    def __init__(self, data: bytes) -> None:
        # Without the escaped backslashes, each backslash begins an escape.
        self._bytes = np.frombuffer(data.replace(rb"\\", b"  "), np.uint8)

    @cached_property
    def _escaped(self) -> np.ndarray:
        """The bytes after backslashes."""
        after: np.ndarray = self._bytes[1:][self._is_backslash[:-1]]
        return after

    @cached_property
    def _is_backslash(self) -> np.ndarray:
        found: np.ndarray = self._bytes == _BACKSLASH
        return found

    @property
    def has_code_points(self) -> bool:
        r"""Whether a character may be written as ``\u`` or ``\U``."""
        return bool(_CODE_POINTS[self._escaped].any())

    def is_suspicious(self, max_depth: int) -> bool:
        """Whether an escape may be bad, or messages nested too deep."""
        return bool(_SUSPICIOUS[self._escaped].any()) or self._depth > max_depth

    @property
    def _depth(self) -> int:
        """The depth of brackets outside strings and comments."""
        is_special = _SPECIAL[self._bytes]
        # In a comment, a newline after a backslash still ends the comment.
        is_special[1:] &= ~(self._is_backslash[:-1] & _QUOTES[self._bytes[1:]])
        brackets = _NO_BRACKETS.sub(b"", self._bytes[is_special].tobytes())
        steps = _STEP[np.frombuffer(brackets, np.uint8)]
        return int(np.cumsum(steps, dtype=np.int64).max(initial=0))


def find_fault(text: str, max_depth: int) -> Fault | None:
    """Return the first place where a text is nested too deep or has a bad escape, None if there is none."""
    depth = 0
    for token in _STRING_OR_BRACKET.finditer(text):
        first, at = token[0][0], token.start()
        if first in "{<":
            depth += 1
            if depth > max_depth:
                return Fault(at, f"nested deeper than {max_depth} messages")
        elif first in "}>":
            depth -= 1
        elif first in "\"'" and "\\" in token[0]:
            # Without the escaped backslashes, each backslash begins an escape.
            escape = BAD_ESCAPE.search(token[0].replace("\\\\", "  "))
            if escape is not None:
                at += escape.start()
                return Fault(at, f"bad escape {text[at : at + 2]!r}")
    return None
