"""Details: what an error says about one file besides its kind."""

from __future__ import annotations

import re
from codecs import BOM_UTF8

from ckptfmt.filetype.archives import members_of, worth_naming
from ckptfmt.filetype.look import Look
from ckptfmt.text.quoting import shortened

_CODE = re.compile(rb"<Code>\s*([\w.\-]{1,100})\s*</Code>")

MAX_LINE = 60
"""Characters of the first line of a text that are quoted."""


def first_line(look: Look) -> str:
    """Return a clause that quotes the first line of a text."""
    # Not from look.text, which begins after what protobuf takes for comments.
    lines = look.head.removeprefix(BOM_UTF8).decode("utf-8", "replace").lstrip().splitlines()
    return f"it begins {shortened(lines[0].strip(), MAX_LINE)!r}" if lines else ""


def error_code(look: Look) -> str:
    """Return a clause with the code of an error message in XML."""
    code = _CODE.search(look.head)
    return f"its code is {code[1].decode()}" if code else first_line(look)


def contents(look: Look) -> str:
    """Return a clause that lists files in an archive."""
    return worth_naming(members_of(look.file))
