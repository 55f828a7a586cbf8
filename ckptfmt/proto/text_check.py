"""Checks of messages in text format, for what protobuf's parser in Python should refuse but does not.

The parser recurses without a bound of its own. It hands strings to one of Python's codecs, which warns of
unknown escapes and keeps them; TensorFlow's parser refuses them.

A text graph with large constants is nearly all escapes, and a loop over these takes longer than the parser
does. So :class:`Sketch` first looks at all bytes at once with NumPy. It errs only on the side of suspicion:
it also counts what would be an escape within a string. :func:`find_fault` then walks a suspicious text token
by token, and finds the place.
"""

from __future__ import annotations

import re
from typing import NamedTuple

import numpy as np

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
"""Special bytes of a text that are not brackets, or do not count as such."""


# What a byte is, if it is escaped, and if it is not.
_BAD, _CODE_POINT, _SPECIAL, _QUOTE = 1, 2, 4, 8


def _classes() -> bytes:
    """Return a table from each byte to what it may be."""
    # An escape of three digits that begins with 4 to 7 is more than a byte; nobody writes the shorter ones.
    table = bytearray(0 if byte in b"abfnrtvxuU'\"0123" else _BAD for byte in range(256))
    for flag, chars in ((_CODE_POINT, b"uU"), (_SPECIAL, b"\"'#{}<>\n"), (_QUOTE, b"\"'")):
        for char in chars:
            table[char] |= flag
    return bytes(table)


_CLASSES = _classes()

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
        data = data.replace(rb"\\", b"  ")
        self._bytes = np.frombuffer(data, np.uint8)
        self._classes = np.frombuffer(data.translate(_CLASSES), np.uint8)
        is_escaped = np.zeros(len(data), np.uint8)
        is_escaped[1:] = self._bytes[:-1] == _BACKSLASH
        self._escaped = self._classes * is_escaped
        """The classes of escaped bytes, and 0 for others."""
        self._has = int(np.bitwise_or.reduce(self._escaped, initial=0))

    @property
    def has_code_points(self) -> bool:
        r"""Whether a character may be written as ``\u`` or ``\U``."""
        return bool(self._has & _CODE_POINT)

    def is_suspicious(self, max_depth: int) -> bool:
        """Whether an escape may be bad, or messages nested too deep."""
        return bool(self._has & _BAD) or self._depth > max_depth

    @property
    def _depth(self) -> int:
        """The depth of brackets outside strings and comments."""
        # In a comment, a newline after a backslash still ends the comment.
        is_special = (self._classes & _SPECIAL > 0) & (self._escaped & _QUOTE == 0)
        brackets = _NO_BRACKETS.sub(b"", self._bytes[is_special].tobytes())
        steps = _STEP[np.frombuffer(brackets, np.uint8)]
        return int(np.cumsum(steps, dtype=np.int64).max(initial=0))


def find_fault(text: str, max_depth: int) -> Fault | None:
    """Return the first place where a text is nested too deep or has a bad escape, or None."""
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
