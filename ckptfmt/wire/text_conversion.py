"""Text conversion: whether binary data went through a program that took them for text.

Two conversions are common. FTP in ASCII mode, and Git with ``autocrlf``, put a carriage return before every
line feed. A program that decodes bytes and encodes them as UTF-8 replaces each byte from 0x80 on: by U+FFFD
if it decoded as UTF-8, by two bytes if it decoded as Latin-1.
"""

from __future__ import annotations

import codecs
import re

from ckptfmt.wire.coding import Buffer

SAMPLE_SIZE = 1 << 20
"""Bytes from the beginning that are looked at."""

_CONTROL = re.compile(rb"[\x00-\x06\x0e-\x1a\x1c-\x1f]")
"""Control characters that texts do not have: what has none of them may end its lines as it likes."""

_REPLACEMENT = "\N{REPLACEMENT CHARACTER}".encode()

_LATIN_1_CONTROL = re.compile(rb"\xc2[\x80-\x9f]")
"""The bytes 0x80 to 0x9f decoded as Latin-1, as UTF-8. No text has these characters."""

_LEAST = 3
"""Traces of a conversion that must be found: by chance, a line feed follows a carriage return once in 256."""


def text_conversion(data: Buffer) -> str | None:
    """Return how binary data were changed as text, as a clause; None if they do not look like it.

    Only for data that have turned out to be damaged: intact ones may look converted too, if they are small.
    """
    sample = bytes(data[:SAMPLE_SIZE])
    if not _CONTROL.search(sample):
        return None
    again = "transfer it again as binary"
    line_feeds = sample.count(b"\n")
    if line_feeds >= _LEAST and sample.count(b"\r\n") == line_feeds:
        return f"changed as text: every \\n became \\r\\n (FTP in ASCII mode, git autocrlf); {again}"
    if not _is_utf8(sample):
        return None
    if sample.count(_REPLACEMENT) >= _LEAST:
        return f"changed as text: recoded as UTF-8, so every byte from 0x80 on is lost; {again}"
    if len(_LATIN_1_CONTROL.findall(sample)) >= _LEAST:
        return f"changed as text: recoded as UTF-8, so every byte from 0x80 on became two; {again}"
    return None


def _is_utf8(sample: bytes) -> bool:
    try:
        codecs.getincrementaldecoder("utf-8")().decode(sample)  # the last character may be cut
    except UnicodeDecodeError:
        return False
    return True
