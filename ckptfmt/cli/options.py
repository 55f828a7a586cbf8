"""Arguments and options that several verbs take."""

from __future__ import annotations

import dataclasses
from typing import Any

import click

from ckptfmt.cli.completion import complete_files
from ckptfmt.cli.render.terminal import WIDE
from ckptfmt.dtypes import BY_NAME, find_dtype
from ckptfmt.limits import DEFAULT, Limits
from ckptfmt.proto import messages
from ckptfmt.text.closest import closest_names, did_you_mean
from ckptfmt.text.patterns import matcher
from ckptfmt.text.sizes import parse_size

JSON = "ckptfmt.json"
"""Key of ``Context.meta``: whether the user asked for JSON. Errors are then written as JSON too."""

LIMITS = "ckptfmt.limits"
"""Key of ``Context.meta``: the limits that the user gave."""


def _remember_json(context: click.Context, _: click.Parameter, value: bool) -> bool:
    context.meta[JSON] = value
    return value


path_argument = click.argument("path", shell_complete=complete_files)
json_option = click.option(
    "--json",
    "as_json",
    is_flag=True,
    callback=_remember_json,
    help="Write one JSON document instead of text.",
)


def parse_limits(text: str) -> Limits:
    """Return the limits in a text: ``none``, or changes to the usual ones, ``max_bytes=4GiB,max_depth=none``.

    Raises ValueError if the text is not of this form.
    """
    if text.strip().lower() == "none":
        return Limits.NONE
    changes: dict[str, Any] = {}
    for part in text.split(","):
        name, equals, value = (each.strip() for each in part.partition("="))
        names = [field.name for field in dataclasses.fields(Limits)]
        if not equals or name not in names:
            raise ValueError(f"got {part!r}, want none, or NAME=NUMBER with a NAME of {', '.join(names)}")
        parse = float if name in ("max_ratio", "max_seconds") else parse_size
        changes[name] = None if value.lower() == "none" else parse(value)
    return Limits(**changes)


def _remember_limits(context: click.Context, _: click.Parameter, value: str | None) -> None:
    try:
        context.meta[LIMITS] = DEFAULT if value is None else parse_limits(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def given_limits() -> Limits:
    """Return the limits that the user gave, by default the usual ones."""
    limits: Limits = click.get_current_context().meta.get(LIMITS, DEFAULT)
    return limits


def size_value(_: click.Context, __: click.Parameter, value: str | None) -> int | None:
    """Click callback of options that take a number of bytes."""
    if value is None:
        return None
    try:
        return parse_size(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def comma_separated(_: click.Context, __: click.Parameter, value: str | None) -> list[str] | None:
    """Click callback of options that take names separated by commas; empty ones are left out."""
    return None if value is None else [name for name in value.split(",") if name]


def dtype_globs(_: click.Context, __: click.Parameter, value: tuple[str, ...]) -> tuple[str, ...]:
    """Click callback of options that take globs over dtype names; each must match some dtype's name."""
    # A listing also shows codes that are not dtypes: references, invalid, unknown_99.
    names = {find_dtype(code).name for code in range(256)} if value else set()
    for glob in value:
        if not any(map(matcher([glob]), names)):
            raise click.BadParameter(f"no dtype matches {glob!r}{_dtype_hint(glob)}")
    return value


def _dtype_hint(glob: str) -> str:
    """Return what to write instead of a glob that matches no dtype, as the end of an error message."""
    short = glob.lower().removeprefix("dt_")
    # TensorFlow's enum has other names for some: DT_FLOAT is float32.
    code = dict(messages.DataType.items()).get(f"DT_{short.upper()}")
    close = closest_names(short, BY_NAME) if code is None else [find_dtype(code).name]
    return did_you_mean(close) or "; pass, for example, float32, bfloat16 or 'int*'"


def remember_wide(context: click.Context, _: click.Parameter, value: bool) -> bool:
    """Click callback of ``--wide``: tables drawn from now on have lines of any length."""
    context.meta[WIDE] = value
    return value


wide_option = click.option(
    "--wide",
    is_flag=True,
    expose_value=False,
    callback=remember_wide,
    help="On a terminal: fold no line, however long.",
)
tags_option = click.option(
    "--tags",
    metavar="TAG,TAG",
    callback=comma_separated,
    help="Select the meta graph with exactly these tags.",
)
output_option = click.option(
    "-o",
    "--output",
    "target",
    required=True,
    metavar="FILE",
    shell_complete=complete_files,
    help="The file to write.",
)
overwrite_option = click.option(
    "--overwrite", "--force", "overwrite", is_flag=True, help="Replace files that already exist."
)
duplicates_option = click.option(
    "--keep-duplicate",
    "keep",
    type=click.Choice(["first", "last"]),
    metavar="WHICH",
    help="Of nodes with one name keep the first or the last.",
)
limits_option = click.option(
    "--limits",
    metavar="LIMIT=N,…",
    expose_value=False,
    callback=_remember_limits,
    help="Bounds on memory and work: max_bytes=4GiB, or none.",
)
