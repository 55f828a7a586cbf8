"""Texts: whether the first bytes of a file are text, and where it begins."""

from __future__ import annotations

import re

HEAD_SIZE = 4096
"""How many bytes from the beginning tell what a file is, unless it is a serialized message."""

_SPACE_AND_COMMENTS = re.compile(rb"(?:\xef\xbb\xbf)?(?:\s|#[^\n]*\n)*")
"""Skipped by protobuf's text format; before them, the byte order mark that some editors write."""

_NOT_TEXT = re.compile(rb"[\x00-\x08\x0e-\x1f\x7f]")


def is_text(head: bytes) -> bool:
    """Return whether the first bytes of a file are text.

    A serialized message is not: its first fields have a tag or a length below 0x20.
    """
    return not _NOT_TEXT.search(head)


def start_of(head: bytes) -> int:
    """Return where a text begins, after space and comments."""
    skipped = _SPACE_AND_COMMENTS.match(head)
    return 0 if skipped is None else skipped.end()
