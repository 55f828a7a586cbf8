"""Where output goes: data to stdout, talk to stderr."""

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

_LINES = 1000
"""Lines put together before they are written."""


def prepare_streams() -> None:
    """Let characters that an output's encoding does not have be escaped, not fail."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def on_terminal() -> bool:
    """Whether data goes to a terminal, where a person reads it."""
    return sys.stdout.isatty()


def write(text: str) -> None:
    """Write text to stdout."""
    # In pieces: unbuffered (python -u), a write cut short by a reader that goes away passes for a whole one.
    for start in range(0, len(text), _PIECE):
        sys.stdout.write(text[start : start + _PIECE])


def write_lines(lines: Iterable[str]) -> None:
    """Write lines to stdout as they come, so that never all of them are held."""
    lines = iter(lines)
    while batch := list(islice(lines, _LINES)):
        batch.append("")
        write("\n".join(batch))


def write_json(document: Mapping[str, object]) -> None:
    """Write one JSON document to stdout, in ASCII: on one line for programs, indented on a terminal."""
    write(json.dumps(document, indent=2 if on_terminal() else None, allow_nan=False) + "\n")


def note(message: str) -> None:
    """Tell the user something on stderr, on one line; data that is still buffered goes out before."""
    sys.stdout.flush()
    sys.stderr.write(f"{one_line(message)}\n")
    sys.stderr.flush()


def complain(message: str) -> None:
    """Tell the user what went wrong, on one line of stderr that says who speaks."""
    note(f"ckptfmt: {message}")


def printable(text: str, fallback: str) -> str:
    """Return ``text`` where the encoding of stdout has it, else ``fallback``."""
    try:
        text.encode(sys.stdout.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return fallback
    return text


def discard_output() -> None:
    """Send what is still to be written to nowhere, so that Python's last flush does not fail again."""
    devnull = open_null()
    try:
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except OSError:
                os.dup2(devnull, stream.fileno())
    finally:
        os.close(devnull)
