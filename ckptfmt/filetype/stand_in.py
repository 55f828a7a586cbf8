"""Stand-ins: files that a download left in place of those it should have brought.

The data files of a checkpoint have no magic number, and the bytes of a tensor may be those of a text. So a
stand-in is only suspected here; the checksums of the tensors decide whether it is one.
"""

from __future__ import annotations

import re
from contextlib import suppress

from ckptfmt import filetype
from ckptfmt.errors import NotReadableError
from ckptfmt.storage.file import RandomAccessFile

MAX_SIZE = 1 << 20
"""Bytes of the largest file that is suspected; pages of failed downloads are far smaller."""

BEGINNING_SIZE = 64
"""Bytes that are read of every data file."""

_BEGINNING = re.compile(
    rb"(?:\xef\xbb\xbf)?\s*(?:version https://(?:git-lfs|hawser)|(?:\.\./)*(?:\.git)?/annex/objects/|<[!?a-z]|\{\s*\")",
    re.IGNORECASE,
)
"""How the pointers of Git LFS and git-annex begin, HTML or XML, and the JSON of a server's error."""


def suspected_stand_in(file: RandomAccessFile) -> filetype.Kind | None:
    """Return what a file seems to be if it begins like a pointer, a web page or a server's error."""
    if file.size > MAX_SIZE:
        return None
    with suppress(NotReadableError):  # reading a tensor raises it again
        head = bytes(file.read(0, min(file.size, BEGINNING_SIZE)))
        if _BEGINNING.match(head) and filetype.is_text(head):
            return filetype.recognise(file)
    return None
