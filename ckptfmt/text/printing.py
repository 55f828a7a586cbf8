"""Text for people, in terminals and notebooks: names made safe to print, shapes, sizes and counts."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

_UNITS = ("KiB", "MiB", "GiB", "TiB", "PiB", "EiB")
_SHORT = {"\t": "\\t", "\n": "\\n", "\r": "\\r", "\\": "\\\\"}


def escape(text: str) -> str:
    r"""Return the text with everything escaped that does not print as itself.

    Control characters, bidirectional and other invisible ones, odd spaces and unpaired surrogates become
    ``\t``, ``\x1b``, ``\u202e``. A byte that is not UTF-8, which the library keeps as a surrogate, becomes
    ``\xff``. A backslash is doubled, so that two names never look the same.
    """
    if text.isprintable() and "\\" not in text:
        return text
    return "".join(c if c.isprintable() and c != "\\" else _escape(c) for c in text)


def one_line(message: str) -> str:
    """Return a message on one line and safe to print.

    Backslashes stay: names in messages are quoted with ``repr``, which has escaped them.
    """
    if message.isprintable():
        return message
    return "".join(c if c.isprintable() else _escape(c) for c in message)


def _escape(char: str) -> str:
    code = ord(char)
    if char in _SHORT:
        return _SHORT[char]
    if 0xDC80 <= code <= 0xDCFF:  # what Python's surrogateescape makes of the bytes 0x80 to 0xff
        return f"\\x{code - 0xDC00:02x}"
    if code < 0x80:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


# A listing of a million tensors has few different shapes.
@lru_cache(maxsize=4096)
def shape_text(shape: Sequence[int | None] | None) -> str:
    """Return a shape without spaces: ``[3,?]``, or ``[]`` for a scalar, or ``[…]`` if it is not known."""
    if shape is None:
        return "[…]"
    return f"[{','.join('?' if size is None else str(size) for size in shape)}]"


def size_text(size: int) -> str:
    """Return a number of bytes for people: ``512 B``, ``1.5 MiB``."""
    if size < 1024:
        return f"{size} B"
    value = float(size)
    for unit in _UNITS:
        value /= 1024
        if value < 1024 or unit == _UNITS[-1]:
            break
    return f"{value:.1f} {unit}"


def count_text(count: int, noun: str) -> str:
    """Return a count and its noun: ``1 tensor``, ``1,200 tensors``."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
