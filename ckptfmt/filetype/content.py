"""Content: the kind of a file, going by its bytes and not by its name."""

from __future__ import annotations

from contextlib import closing

from ckptfmt.filetype.kinds import KINDS, Kind
from ckptfmt.filetype.look import Look
from ckptfmt.filetype.signs import Strength
from ckptfmt.storage.file import RandomAccessFile
from ckptfmt.storage.filesystem import Filesystem
from ckptfmt.storage.in_memory import MemoryFile
from ckptfmt.wire.coding import Buffer

_SIGNS = sorted(
    ((sign, kind) for kind in KINDS for sign in kind.signs),
    key=lambda each: each[0].strength,  # stable, so the order of the table counts too
)
"""All signs of all kinds, the surest first."""

_MESSAGE_SIGNS = [each for each in _SIGNS if Strength.TEXT <= each[0].strength <= Strength.MESSAGE]
"""Those of messages, serialized or as text."""


def recognise(file: RandomAccessFile) -> Kind | None:
    """Return what a file seems to be, even if it is damaged further on; None if nothing is recognised."""
    return recognise_look(Look(file))


def recognise_look(look: Look) -> Kind | None:
    """Return what a file seems to be; see :func:`recognise`."""
    return next((kind for sign, kind in _SIGNS if sign.is_in(look)), None)


def recognise_file(fs: Filesystem, path: str) -> Kind | None:
    """Return what a file seems to be; see :func:`recognise`."""
    with closing(fs.open(path)) as file:
        return recognise(file)


def recognise_message(data: Buffer) -> Kind | None:
    """Return the kind of message that bytes hold, serialized or as text, or None."""
    look = Look(MemoryFile(memoryview(data)))
    return next((kind for sign, kind in _MESSAGE_SIGNS if sign.is_in(look)), None) if look.size else None
