"""Parsing: messages from bytes and from text, with this package's errors; and messages as text."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING, TypeVar

from ckptfmt.errors import CorruptError
from ckptfmt.proto.pool import descriptor_pool
from ckptfmt.proto.text_check import BAD_ESCAPE, Sketch, find_fault
from ckptfmt.text.quoting import shortened
from ckptfmt.wire.damage import MAX_DEPTH, find_damage

if TYPE_CHECKING:
    from google.protobuf.message import Message

M = TypeVar("M", bound="Message")

MAX_REASON = 400
"""Characters of protobuf's error that are kept."""

_MANY_BACKSLASHES = 64

_BACKSLASHES = re.compile(rf"\\{{{_MANY_BACKSLASHES},}}")
"""Runs of backslashes, in which protobuf looks for hexadecimal escapes in quadratic time."""

_ANY_ESCAPE = re.compile(r"\\.")

_PROTOBUF_PLACE = re.compile(r"^(\d+):(\d+) : ")

_NOT_ASCII = re.compile(r"[^\n\x20-\x7e]")

_ESCAPE = re.compile(r"\\(?:(?P<short>u[0-9A-Fa-f]{4}(?:\\u[0-9A-Fa-f]{4})*)|U(?P<long>[0-9A-Fa-f]{8})|.)")


def parse_message(cls: type[M], data: bytes | memoryview, file: str | None, offset: int | None = 0) -> M:
    """Decode a message; the bytes are copied.

    Parameters
    ----------
    cls
        The class of the message.
    data
        The bytes.
    file
        What errors call the file.
    offset
        Where in the file the bytes begin; None if they are not in it as they are.

    Raises
    ------
    CorruptError
        The bytes are not such a message: the error says which field is damaged, and where in the file it is.
        ``__cause__`` is protobuf's own error.
    """
    from google.protobuf.message import DecodeError

    try:
        return cls.FromString(bytes(data))
    except (DecodeError, RecursionError, ValueError) as error:
        # ValueError: the pure-Python decoder's UnicodeDecodeError.
        damage = damage_in(cls, data, file, offset)
        raise (damage or _corrupt(cls, error, file, offset=offset)) from error


def damage_in(
    cls: type[Message], data: bytes | memoryview, file: str | None, offset: int | None = 0
) -> CorruptError | None:
    """Return the error of :func:`parse_message` for bytes, None if no field of the message is damaged."""
    damage = find_damage(cls, memoryview(data))
    if damage is not None:
        damage.what = f"{_refused(cls)}: {_printable(shortened(damage.what, MAX_REASON))}"
        damage.file = file
        damage.offset = None if offset is None else offset + (damage.offset or 0)
    return damage


def parse_text(
    cls: type[M], text: bytes | str, file: str, *, last_wins: bool = False, unknown_escapes: bool = False
) -> M:
    r"""Parse a message in text format (``.pbtxt``); unknown fields are errors.

    A field that is given twice but has only one value is an error too, unless ``last_wins``. So is an unknown
    escape such as ``\w``, unless ``unknown_escapes``, which keeps it as protobuf's parser in Python does.

    Raises
    ------
    CorruptError
        The text is not such a message, is nested deeper than :data:`MAX_DEPTH`, or is not UTF-8. The error
        has line and column if they are known.
    """
    from google.protobuf import text_format

    try:
        # A str is encoded too: it may hold surrogates, on which protobuf fails with a SystemError.
        text = (text.encode() if isinstance(text, str) else text).decode()
    except (UnicodeDecodeError, UnicodeEncodeError) as error:
        before = error.object[: error.start]
        at = 1 + (before.count("\n") if isinstance(before, str) else before.count(b"\n"))
        raise _corrupt(cls, f"line {at}: not UTF-8", file, offset=error.start) from error
    if unknown_escapes:
        text = _ANY_ESCAPE.sub(_kept, text)
    sketch = Sketch(text.encode())
    if sketch.is_suspicious(MAX_DEPTH):
        fault = find_fault(text, MAX_DEPTH)
        if fault is not None:
            raise _corrupt(cls, f"{_place(text, fault.at)}: {fault.reason}", file)
    if sketch.has_code_points:
        text = _ESCAPE.sub(_octal, text)
    if "\\" * _MANY_BACKSLASHES in text:
        text = _BACKSLASHES.sub(_octal_backslashes, text)
    try:
        parse = text_format.Merge if last_wins else text_format.Parse
        return parse(text, cls(), descriptor_pool=descriptor_pool())
    except text_format.ParseError as error:
        # protobuf writes "LINE:COLUMN : 'TEXT OF THE LINE': REASON". The line may be the whole file.
        number = error.GetLine() or 1
        line = text.split("\n", number)[number - 1]
        reason = str(error).replace(f" : '{line}': ", " : ", 1)
        raise _corrupt(cls, _PROTOBUF_PLACE.sub(r"line \1, column \2: ", reason), file) from error
    except (RecursionError, ValueError) as error:
        # ValueError: a number with thousands of digits.
        raise _corrupt(cls, error, file) from error


def format_text(message: Message) -> str:
    """Return a message in text format, as UTF-8 text without escapes for letters.

    The content of an ``Any`` is written out if it is a message of this package that can be decoded.
    """
    from google.protobuf import text_format
    from google.protobuf.descriptor_pool import DescriptorPool
    from google.protobuf.message import DecodeError

    try:
        text = text_format.MessageToString(message, as_utf8=True, descriptor_pool=descriptor_pool())
    except (DecodeError, RecursionError, ValueError):
        # Something is wrong in an Any; a pool that knows no messages leaves them all as bytes.
        text = text_format.MessageToString(message, as_utf8=True, descriptor_pool=DescriptorPool())
    # protobuf leaves control characters as they are, and those that turn the direction of writing. A terminal
    # would not show the text that the file has, and a file that has them is not recognised as text.
    return _NOT_ASCII.sub(_escaped, text)


def _escaped(match: re.Match[str]) -> str:
    """Return a character, or, if it does not print as itself, an escape for each of its bytes."""
    char = match[0]
    return char if char.isprintable() else "".join(f"\\{byte:03o}" for byte in char.encode())


def _kept(escape: re.Match[str]) -> str:
    """Spell an unknown escape so that its backslash is kept."""
    # An escaped backslash looks like an unknown escape too.
    is_unknown = BAD_ESCAPE.match(escape[0]) and escape[0] != r"\\"
    return rf"\134{escape[0][1:]}" if is_unknown else escape[0]


def _octal_backslashes(run: re.Match[str]) -> str:
    """Spell the escaped backslashes of a run in octal; the last of an odd number begins another escape."""
    pairs, rest = divmod(len(run[0]), 2)
    return r"\134" * pairs + "\\" * rest


def _octal(escape: re.Match[str]) -> str:
    """Spell an escaped code point as the escaped bytes of its UTF-8, which protobuf 4 understands too."""
    if escape["short"]:  # one or more: two may be the halves of one code point
        units = bytes.fromhex(escape["short"].replace("\\u", "")[1:])
        char = units.decode("utf-16-be", "surrogatepass")
    elif escape["long"] and int(escape["long"], 16) <= sys.maxunicode:
        char = chr(int(escape["long"], 16))
    else:
        return escape[0]
    # One half alone gives bytes that are not UTF-8, which a string field refuses.
    return "".join(f"\\{byte:03o}" for byte in char.encode("utf-8", "surrogatepass"))


def _place(text: str, at: int) -> str:
    """Line and column of a character, both from 1 as protobuf's parser counts them."""
    line = text.count("\n", 0, at) + 1
    column = at - text.rfind("\n", 0, at)
    return f"line {line}, column {column}"


def _corrupt(
    cls: type[Message], error: Exception | str, file: str | None, *, offset: int | None = None
) -> CorruptError:
    reason = str(error)
    if len(reason) > MAX_REASON:
        reason = f"{reason[:MAX_REASON]} …"
    return CorruptError(f"{_refused(cls)}: {_printable(reason)}", file=file, offset=offset)


def _refused(cls: type[Message]) -> str:
    return f"not a {cls.DESCRIPTOR.full_name} message"


def _printable(reason: str) -> str:
    """Return a reason without control characters: it may quote the file, and so contain anything."""
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in reason)
