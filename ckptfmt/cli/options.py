"""Arguments and options that several verbs take."""

from __future__ import annotations

import re

import click

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
