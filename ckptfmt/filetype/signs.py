"""Signs: what a file of some kind shows in its content, from the surest to the weakest.

The table of kinds gives each kind its signs. All signs of all kinds are tried in the order of
:class:`Strength`, and those of the same strength in the order of the table, so that a weak sign of one kind
never hides a sure one of another.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from enum import IntEnum
from functools import cache, partial
from typing import AnyStr, NamedTuple

from ckptfmt.filetype.look import Look
from ckptfmt.filetype.messages import MessageField
from ckptfmt.filetype.msgpack import map_keys
from ckptfmt.filetype.tables import TableContent
from ckptfmt.record.frame import HEADER_SIZE, decode_header


class Strength(IntEnum):
    """How sure a sign is; smaller is surer."""

    MAGIC = 0
    """First bytes that a format reserves for itself."""
    STRUCTURE = 1
    """Sizes or checksums that fit the file."""
    WEAK_MAGIC = 2
    """First bytes that other binary files could have by chance."""
    TEXT = 3
    """Names at the beginning of a text."""
    ANY_TEXT = 4
    """Any text."""
    FOREIGN_MESSAGE = 5
    """A serialized message with what no message of TensorFlow has in that place."""
    MESSAGE = 6
    """Another serialized message: almost any bytes can be the beginning of one."""
    LAST = 7
    """What is left if nothing else is recognised."""


class Sign(NamedTuple):
    """A sign in the content of a file."""

    strength: Strength
    is_in: Callable[[Look], bool]


def _pattern(text: AnyStr, flags: int = 0) -> Callable[[], re.Pattern[AnyStr]]:
    """Return a function that returns a pattern, compiled when it is first used.

    Programs that only open checkpoints use none of the two hundred patterns of the table.
    """
    return cache(partial(re.compile, text, flags))


# --- bytes ------------------------------------------------------------------------------------------------


def begins(pattern: bytes, *, strength: Strength = Strength.MAGIC) -> Sign:
    """The file begins with a pattern."""
    compiled = _pattern(pattern, re.DOTALL)
    return Sign(strength, lambda look: compiled().match(look.head) is not None)


def begins_and_has(pattern: bytes, within: bytes) -> Sign:
    """The file begins with a pattern, and another one is near its beginning or at its end."""
    first, second = _pattern(pattern, re.DOTALL), _pattern(within)
    return Sign(
        Strength.MAGIC,
        lambda look: first().match(look.head) is not None and second().search(look.near) is not None,
    )


def zip_has(pattern: str, *more: str) -> Sign:
    """The file is a zip archive that has a file for each pattern."""
    compiled = [_pattern(each) for each in (pattern, *more)]
    return Sign(
        Strength.MAGIC,
        lambda look: bool(look.members) and all(any(map(each().search, look.members)) for each in compiled),
    )


def zip_begins(pattern: str) -> Sign:
    """The first file in a zip archive has a name like this."""
    compiled = _pattern(pattern)
    return Sign(
        Strength.MAGIC, lambda look: bool(look.members) and compiled().search(look.members[0]) is not None
    )


def is_empty(look: Look) -> bool:
    """Whether a file is empty."""
    return not look.size


MAX_SAFETENSORS_HEADER = 100_000_000
"""Bytes of the largest header that the package safetensors reads."""


def is_safetensors(look: Look) -> bool:
    """Whether a file begins with the size of a JSON header, a uint64, and the header, perhaps cut short."""
    size = int.from_bytes(look.head[:8], "little")
    fits = 2 <= size <= look.size - 8 and look.head[8:9] == b"{"
    return fits or (look.size - 8 < size <= MAX_SAFETENSORS_HEADER and look.head[8:10] == b'{"')


def is_record(look: Look) -> bool:
    """Whether a file begins with the header of a TFRecord: a length, and the checksum of the length."""
    return look.size >= HEADER_SIZE and decode_header(look.head[:HEADER_SIZE]) is not None


def is_event_record(look: Look) -> bool:
    """Whether a file begins with the record of an event that holds nothing but a version."""
    return b"brain.Event:" in look.head[:64] and is_record(look)


def table_of(content: TableContent) -> Sign:
    """The file is a sorted table that holds this."""
    return Sign(Strength.STRUCTURE, lambda look: look.table == content)


MAX_ZEROS = 1 << 30
"""Bytes that are looked at for anything but zeros."""


def is_zeros(look: Look) -> bool:
    """Whether a file holds nothing but zeros, as far as it is looked at."""
    if not look.size or look.head.strip(b"\0"):
        return False
    step = 1 << 20
    stop = min(look.size, MAX_ZEROS)
    return not any(
        bytes(look.file.read(pos, min(step, stop - pos))).strip(b"\0") for pos in range(0, stop, step)
    )


# --- texts ------------------------------------------------------------------------------------------------


def text_begins(pattern: bytes, *, anywhere: bool = False) -> Sign:
    """A text begins with a pattern, after space and comments; or has it ``anywhere`` in its first bytes."""
    compiled = _pattern(pattern)

    def is_in(look: Look) -> bool:
        find = compiled().search if anywhere else compiled().match
        return bool(look.text) and find(look.text) is not None

    return Sign(Strength.TEXT, is_in)


def fields(*names: str) -> Sign:
    """A text in protobuf's format has all these fields; ``outer.inner`` is one within another."""
    return Sign(
        Strength.TEXT, lambda look: bool(look.text) and not look.outline.is_json and _has(look, names)
    )


def json(*names: str, **values: str) -> Sign:
    """A JSON text has all these keys, ``outer.inner`` within another, and the strings of these."""
    return Sign(
        Strength.TEXT,
        lambda look: (
            look.text[:1] in (b"{", b"[")
            and _has(look, names)
            and all(look.outline.names.get(key) == value for key, value in values.items())
        ),
    )


def _has(look: Look, names: Sequence[str]) -> bool:
    outline = look.outline
    return all(
        tuple(name.split(".")) in outline.inner if "." in name else name in outline.names for name in names
    )


# --- messages ---------------------------------------------------------------------------------------------


def message(
    test: Callable[[Sequence[MessageField]], bool], strength: Strength = Strength.FOREIGN_MESSAGE
) -> Sign:
    """The file is a serialized message whose first fields pass a test."""
    return Sign(strength, lambda look: bool(look.fields) and test(look.fields))


def msgpack_map(*keys: str) -> Sign:
    """The file is a MessagePack map with one of these keys, or with any."""
    wanted = set(keys)

    def is_in(look: Look) -> bool:
        if look.head == b"\x80" and not wanted:
            return True  # a map without keys is the whole file
        found = map_keys(look.head)
        return bool(found) and (not wanted or not wanted.isdisjoint(found))

    return Sign(Strength.WEAK_MAGIC, is_in)


# --- directories ------------------------------------------------------------------------------------------


class DirectorySign(NamedTuple):
    """Names that a directory has."""

    patterns: tuple[Callable[[], re.Pattern[str]], ...]
    """For each of these there is a name; those of directories end in a slash."""

    def is_in(self, names: Sequence[str]) -> bool:
        """Whether a directory with these names has them."""
        return all(any(map(pattern().fullmatch, names)) for pattern in self.patterns)


def has(*patterns: str) -> DirectorySign:
    """The directory has a name for each of these patterns."""
    return DirectorySign(tuple(map(_pattern, patterns)))
