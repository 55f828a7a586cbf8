"""A look at a file: the parts that signs of its kind may be in, each read once and only if a sign asks."""

from __future__ import annotations

from collections.abc import Sequence

from ckptfmt.cached_property import cached_property
from ckptfmt.filetype.archives import zip_members
from ckptfmt.filetype.messages import MessageField, first_fields
from ckptfmt.filetype.tables import TableContent, has_table_magic, table_content
from ckptfmt.filetype.text_outline import TextOutline, outline_of
from ckptfmt.filetype.texts import HEAD_SIZE, is_text, start_of
from ckptfmt.storage.file import RandomAccessFile
from ckptfmt.wire.text_conversion import is_utf8

NEAR_SIZE = 64 << 10
"""Bytes from the beginning that are searched for words: some formats say only there what they hold."""


class Look:
    """A look at the content of a file."""

    def __init__(self, file: RandomAccessFile) -> None:
        self.file = file
        self.size = file.size

    @cached_property
    def head(self) -> bytes:
        """The first bytes."""
        return bytes(self.file.read(0, min(self.size, HEAD_SIZE)))

    @cached_property
    def near(self) -> bytes:
        """The first bytes, and the last ones."""
        first = min(self.size, NEAR_SIZE)
        last = min(self.size - first, HEAD_SIZE)
        return bytes(self.file.read(0, first)) + bytes(self.file.read(self.size - last, last))

    @cached_property
    def is_text(self) -> bool:
        """Whether the first bytes are text."""
        return is_text(self.head)

    @cached_property
    def text(self) -> bytes:
        """The beginning of a text after space and comments; empty for other files."""
        return self.head[start_of(self.head) :] if self.is_text else b""

    @cached_property
    def is_utf8(self) -> bool:
        """Whether the first bytes are text in UTF-8."""
        return self.is_text and is_utf8(self.head)

    @cached_property
    def outline(self) -> TextOutline:
        """The names of fields at the beginning of a text, in JSON or in protobuf's text format."""
        return outline_of(self.text)

    @cached_property
    def fields(self) -> Sequence[MessageField]:
        """The first fields of a serialized message; none if the file is not one."""
        if self.is_text or not self.size:
            return ()
        return first_fields(self.file.read(0, self.size))

    @cached_property
    def members(self) -> Sequence[str]:
        """The names of the first files in a zip archive."""
        return zip_members(self.file) if self.head.startswith(b"PK\x03\x04") else ()

    @cached_property
    def table(self) -> TableContent | None:
        """What a sorted table holds; None if the file does not end like one."""
        return table_content(self.file) if has_table_magic(self.file) else None
