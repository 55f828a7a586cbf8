"""Text conversion: whether binary data went through a program that took them for text.

Three conversions are common. FTP in ASCII mode, and Git with ``autocrlf``, put a carriage return before every
line feed. In the other direction, they remove carriage returns, as the text modes of languages do. A program
that decodes bytes and encodes them as UTF-8 replaces each byte from 0x80 on: by U+FFFD if it decoded as
UTF-8, by two bytes if it decoded as Latin-1.
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

_ODD = re.compile(
    rb"\xc2[\x80-\x9f]|\xc6\x92|\xcb[\x86\x9c]|\xe2\x80[\x9a\x9e\xa0\xa1\xb0\xb9\xba]|\xef\xbf\xbd"
)
"""Characters that hardly any text has: U+FFFD, and 0x80 to 0x9f decoded as Latin-1 or as Windows-1252."""

_NOT_ASCII = re.compile(rb"[\xc2-\xf4]")
"""First bytes of characters from U+0080 on."""

_LEAST = 2
"""Traces of a conversion that must be found: by chance, a line feed follows a carriage return once in 256."""

_COMMON = 16
"""Occurrences of similar bytes from which a lack of carriage returns is no accident. No intact file of 8,600
without carriage returns has more than 4."""

_COMMON_PAIRS = 200
"""Expected pairs from which a lack of pairs is no accident. It takes more of them, because bytes depend on
those before them: intact files of Python without pairs are expected to have up to 30."""


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
    if _lacks_returns(sample):
        return f"changed as text: carriage returns were removed (git autocrlf, a text mode); {again}"
    is_recoded = (
        _ODD.search(sample) is not None and len(_NOT_ASCII.findall(sample)) >= _LEAST and is_utf8(sample)
    )
    if not is_recoded:
        return None
    # Some programs replace a whole run of bytes by one character, others each byte.
    lost = "is lost" if _REPLACEMENT in sample else "became several"
    return f"changed as text: recoded as UTF-8, so that every byte from 0x80 on {lost}; {again}"


def _lacks_returns(sample: bytes) -> bool:
    """Return whether carriage returns are missing: all of them, or those before line feeds."""
    returns = sample.count(b"\r")
    if not returns:
        return all(sample.count(byte) >= _COMMON for byte in (b"\t", b"\v", b"\f", b"\x0e", b"\x0f"))
    # The number of pairs to expect if the two bytes are independent of each other.
    expected = returns * sample.count(b"\n") / len(sample)
    # A few pairs may be left: of two carriage returns before a line feed, one is removed.
    return expected >= _COMMON_PAIRS and 8 * sample.count(b"\r\n") <= expected


def is_utf8(head: bytes) -> bool:
    """Return whether the first bytes of a file are UTF-8; the last character may be cut."""
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return False
    return True
