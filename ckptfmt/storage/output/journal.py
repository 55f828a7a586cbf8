"""Journals of what is being written: which parts of it are whole, for a later writer to go on with.

::

    {"key": "9f86d0…"}                     what is being written, as its writer identifies it
    [0, null]                              a note: after so many bytes, whatever the writer noted
    [67108864, ["dense/kernel", 3735928559]]
    {"committed": [2049, 131, 134217728]}  the target is whole: device, number, size of the file

A journal is locked like any claim (:mod:`ckptfmt.storage.output.claim`), so that one program at a time
writes a target.
"""

from __future__ import annotations

import json
import os
from typing import Any

from ckptfmt.storage.output.claim import LocalClaim

_MOST_BYTES = 256 << 20
"""Bytes of the largest journal that is read: that of millions of tensors."""


class Journal:
    """What is whole of something that is being written, kept beside it."""

    def __init__(self, path: str, name: str, key: str) -> None:
        """Open the journal of a target, or begin one; NotWritableError if another program has it."""
        self._claim = LocalClaim(path, name)
        self.notes: list[tuple[int, Any]] = []
        """The notes of earlier writers with this key: bytes that were written, and what was noted."""
        self.committed: list[int] | None = None
        """The file that has its name already: its device, number and size."""
        self.is_new = True
        """Whether nobody has begun yet, or only somebody with another key."""
        self.has_other_key = False
        """Whether somebody with another key has begun."""
        self._key = key
        try:
            self._read(self._claim.read(_MOST_BYTES))
        except BaseException:
            self._claim.leave()
            raise

    def _read(self, data: bytes | None) -> None:
        """Take the notes of earlier writers, up to the first line that is not whole."""
        lines = (data or b"").split(b"\n")[:-1]
        for number, line in enumerate(lines):
            try:
                value = json.loads(line)
            except (ValueError, RecursionError):
                return
            if number == 0:
                self.has_other_key = value != {"key": self._key}
                if self.has_other_key:
                    return
                self.is_new = False
            elif isinstance(value, dict):
                self.committed = value.get("committed")
            elif _is_note(value) and value[0] >= (self.notes[-1][0] if self.notes else 0):
                self.notes.append((value[0], value[1]))
            else:
                return

    def begin(self) -> None:
        """Begin anew."""
        self.notes, self.committed, self.is_new = [], None, False
        self._claim.note(_line({"key": self._key}))

    def restart_after(self, count: int) -> None:
        """Keep only the first notes."""
        del self.notes[count:]
        self.committed = None
        self._claim.note(b"".join(map(_line, [{"key": self._key}, *self.notes])))

    def add(self, notes: list[tuple[int, Any]]) -> None:
        """Add notes about what has been synced."""
        self._claim.append(b"".join(map(_line, notes)))

    def commit(self, status: os.stat_result) -> None:
        """Note that a file is whole, and is about to get its name."""
        self._claim.append(_line({"committed": list(_identity(status))}))

    def is_committed(self, target: str) -> bool:
        """Whether the target is the whole file of an earlier writer."""
        try:
            return self.committed == list(_identity(os.stat(target)))
        except OSError:
            return False

    def leave(self) -> None:
        """Keep it for a later writer."""
        self._claim.leave()

    def remove(self) -> None:
        """Remove it."""
        self._claim.release()


def _is_note(value: object) -> bool:
    return isinstance(value, list) and len(value) == 2 and type(value[0]) is int


def _line(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode() + b"\n"


def _identity(status: os.stat_result) -> tuple[int, int, int]:
    return status.st_dev, status.st_ino, status.st_size
