"""Messages from bytes and text, with this package's errors; and messages as text."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, TypeVar

from ckptfmt.errors import CorruptError
from ckptfmt.proto.pool import descriptor_pool

if TYPE_CHECKING:
    from google.protobuf.message import Message

M = TypeVar("M", bound="Message")

MAX_DEPTH = 100
"""Messages within messages that text may have: what protobuf itself reads and writes in binary."""

_NESTING = re.compile(
    r"""
      "[^"\\\n]*(?:\\.[^"\\\n]*)*"?     # a string, perhaps not closed: brackets in it do not count
    | '[^'\\\n]*(?:\\.[^'\\\n]*)*'?
    | \#[^\n]*
    | [{}<>]
    """,
    re.VERBOSE,
)


def parse_message(cls: type[M], data: bytes | memoryview, file: str) -> M:
    """Decode a message; the bytes are copied.

    Raises
    ------
    CorruptError
        The bytes are no such message; its cause is protobuf's own error.
    """
    from google.protobuf.message import DecodeError

    try:
        return cls.FromString(bytes(data))
    except (DecodeError, RecursionError, ValueError) as error:
        # ValueError: the pure-Python decoder's UnicodeDecodeError.
        raise _corrupt(cls, error, file, offset=0) from error


def parse_text(cls: type[M], text: bytes | str, file: str) -> M:
    """Parse a message in text format (``.pbtxt``); unknown fields are errors.

    Raises
    ------
    CorruptError
        The text is no such message, nests deeper than :data:`MAX_DEPTH` or is not UTF-8. The
        message tells line and column where they are known.
    """
    from google.protobuf import text_format

    try:
        text = text if isinstance(text, str) else text.decode()
    except UnicodeDecodeError as error:
        raise _corrupt(cls, error, file, offset=error.start) from error
    _check_depth(cls, text, file)
    try:
        return text_format.Parse(text, cls(), descriptor_pool=descriptor_pool())
    except (text_format.ParseError, RecursionError, ValueError, TypeError) as error:
        raise _corrupt(cls, error, file) from error


def format_text(message: Message) -> str:
    """Return a message in text format, as UTF-8 text without escapes for letters.

    What an ``Any`` holds is written out where it is a message of this package that can be decoded.
    """
    from google.protobuf import text_format
    from google.protobuf.descriptor_pool import DescriptorPool
    from google.protobuf.message import DecodeError

    try:
        return text_format.MessageToString(message, as_utf8=True, descriptor_pool=descriptor_pool())
    except (DecodeError, RecursionError, ValueError):
        # Something is wrong in an Any; a pool that knows no messages leaves them all as bytes.
        return text_format.MessageToString(message, as_utf8=True, descriptor_pool=DescriptorPool())


def _check_depth(cls: type[Message], text: str, file: str) -> None:
    """Refuse deep text before a parser that recurses sees it."""
    depth = 0
    for token in _NESTING.finditer(text):
        if token[0] in "{<":
            depth += 1
        elif token[0] in "}>":
            depth -= 1
        if depth > MAX_DEPTH:
            line = text.count("\n", 0, token.start()) + 1
            column = token.start() - text.rfind("\n", 0, token.start())
            error = f"{line}:{column} : nested deeper than {MAX_DEPTH} messages"
            raise _corrupt(cls, error, file)


def _corrupt(
    cls: type[Message], error: Exception | str, file: str, *, offset: int | None = None
) -> CorruptError:
    return CorruptError(f"not a {cls.DESCRIPTOR.full_name} message: {error}", file=file, offset=offset)
