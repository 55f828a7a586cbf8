"""Arguments and options that several verbs take."""

from __future__ import annotations

import fnmatch
import re

import click

from ckptfmt import DTYPES, errors
from ckptfmt.storage import output

JSON = "ckptfmt.json"
"""Key of ``Context.meta``: whether the user asked for JSON, so that errors come in it too."""

_SIZE = re.compile(r"([0-9]{1,20}(?:\.[0-9]{1,20})?)\s*([kmgtp]?)(i?)(b?)", re.IGNORECASE)


def _remember_json(context: click.Context, _: click.Parameter, value: bool) -> bool:
    context.meta[JSON] = value
    return value


path_argument = click.argument("path")
json_option = click.option(
    "--json",
    "as_json",
    is_flag=True,
    callback=_remember_json,
    help="Write one JSON document instead of text. See the keys below.",
)


def parse_size(text: str) -> int:
    """Return a number of bytes: ``4096``, ``1.5MiB``, ``64k`` (K, KiB: 1024; KB: 1000). Else ValueError."""
    match = _SIZE.fullmatch(text.strip())
    if match is None or (match[3] and not match[2]):
        raise ValueError(f"{text!r} is no size; write for example 4096, 64K, 1.5MiB or 2GB")
    base = 1000 if match[2] and match[4] and not match[3] else 1024
    power = " kmgtp".index(match[2].lower() or " ")
    number = float(match[1]) if "." in match[1] else int(match[1])
    return int(number * base**power)


def size_value(_: click.Context, __: click.Parameter, value: str | None) -> int | None:
    """Click callback of options that take a number of bytes."""
    if value is None:
        return None
    try:
        return parse_size(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


_OTHER_NAMES = {"float": "float32", "double": "float64", "half": "float16"}
"""Dtypes that ``enum DataType`` names in another way."""


def dtype_globs(_: click.Context, __: click.Parameter, value: tuple[str, ...]) -> tuple[str, ...]:
    """Click callback of options that take globs over dtype names; each must match some name there is."""
    # What is no dtype is listed too: references, invalid, unknown_99.
    known = [dtype.name for dtype in DTYPES.values()]
    names = [
        *known,
        *(f"{name}_ref" for name in known),
        "invalid",
        *(f"unknown_{code}" for code in range(256)),
    ]
    for glob in value:
        if not fnmatch.filter(names, glob):
            raise click.BadParameter(f"no dtype matches {glob!r}{_hint(glob)}")
    return value


def _hint(glob: str) -> str:
    """What a name of no dtype may have been meant for."""
    import difflib  # only errors need it

    short = glob.lower().removeprefix("dt_")
    names = [dtype.name for dtype in DTYPES.values()]
    close = [_OTHER_NAMES[short]] if short in _OTHER_NAMES else difflib.get_close_matches(short, names)
    if close:
        return f"; did you mean {' or '.join(map(repr, close))}?"
    return "; write for example float32, bfloat16 or 'int*'"


overwrite_option = click.option(
    "--overwrite", "--force", "overwrite", is_flag=True, help="Replace what is there of the files to write."
)


def check_target(target: str, *, overwrite: bool) -> None:
    """Refuse, before any work is done, a file to write that is there already or that has no directory.

    UsageError or NotWritableError; whoever writes the file looks again.
    """
    try:
        output.check_target(target, overwrite=overwrite)
    except errors.AlreadyExistsError:
        raise click.UsageError(f"{target!r} exists; pass --overwrite to replace it") from None
