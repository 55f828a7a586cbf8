"""Output streams: data goes to stdout, messages go to stderr."""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Iterable, Mapping
from itertools import islice

from ckptfmt.cli.render.text import one_line
from ckptfmt.storage.output import open_null

_PIECE = 1 << 16
"""Characters written at a time."""

_BATCH = 1000
"""Lines that are joined before they are written."""


def prepare_streams() -> None:
    """Make the streams escape characters that their encoding does not have, instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def on_terminal() -> bool:
    """Return whether data goes to a terminal, where a person reads it."""
    return sys.stdout.isatty()


def write(text: str) -> None:
    """Write text to stdout."""
    # In pieces: with python -u, a write that is cut short because the reader went away counts as complete.
    for start in range(0, len(text), _PIECE):
        sys.stdout.write(text[start : start + _PIECE])


def write_lines(lines: Iterable[str]) -> None:
    """Write lines to stdout as they come, so that they are never all in memory."""
    lines = iter(lines)
    while batch := list(islice(lines, _BATCH)):
        batch.append("")
        write("\n".join(batch))


def write_json(document: Mapping[str, object]) -> None:
    """Write one JSON document to stdout, in ASCII: indented on a terminal, else on one line."""
    write(json.dumps(document, indent=2 if on_terminal() else None, allow_nan=False) + "\n")


def write_json_list(head: Mapping[str, object], key: str, items: Iterable[object]) -> None:
    """Write a JSON document as :func:`write_json` does, with a list under ``key`` after the keys of ``head``.

    Items are written one by one, so they need not fit in memory together.
    """
    pretty = on_terminal()
    outer, inner = ("\n", "\n    ") if pretty else ("", "")
    start = json.dumps(dict(head), indent=2 if pretty else None, allow_nan=False).rstrip("\n}")
    write(f"{start},{outer}{'  ' if pretty else ' '}{json.dumps(key)}: [")
    separator = ""
    for item in items:
        text = json.dumps(item, indent=2 if pretty else None, allow_nan=False)
        write(separator + inner + text.replace("\n", inner))
        separator = "," if pretty else ", "
    write(f"{outer}{'  ' if pretty and separator else ''}]{outer}}}\n")


def note(message: str) -> None:
    """Write a message to stderr, on one line."""
    sys.stdout.flush()  # so that the data written before it also appear before it
    sys.stderr.write(f"{one_line(message)}\n")
    sys.stderr.flush()


def complain(message: str) -> None:
    """Write to stderr what went wrong, on one line that begins with the program's name."""
    note(f"ckptfmt: {message}")


def printable(text: str, fallback: str) -> str:
    """Return ``text`` if the encoding of stdout has its characters, else ``fallback``."""
    try:
        text.encode(sys.stdout.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return fallback
    return text


def discard_output() -> None:
    """Discard what is still buffered, so that Python's last flush does not fail again."""
    devnull = open_null()
    try:
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except OSError:
                os.dup2(devnull, stream.fileno())
    finally:
        os.close(devnull)
