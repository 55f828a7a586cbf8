"""Settings: the option ``--set``, which makes placeholders of a graph constants."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

import click

from ckptfmt import Graph, errors

_BOOLS = {"true": True, "false": False, "1": True, "0": False, "yes": True, "no": False}


class Setting(NamedTuple):
    """A value for a node, as the command line has it."""

    name: str
    """The node, or its output ``name:0``."""
    text: str
    """The value: for a string the text itself, else a number, ``true`` or ``false``, or lists of these."""


def _split(_: click.Context, __: click.Parameter, values: tuple[str, ...]) -> list[Setting]:
    """Click callback: split each value at the first equals sign."""
    settings = []
    for value in values:
        name, equals, text = value.partition("=")
        if not name or not equals:
            raise click.BadParameter(f"got {value!r}, want NAME=VALUE, such as is_training=false")
        settings.append(Setting(name, text))
    return settings


set_option = click.option(
    "--set",
    "settings",
    metavar="NAME=VALUE",
    multiple=True,
    callback=_split,
    help="Make a placeholder a constant; may be repeated.",
)


def parse_settings(settings: Sequence[Setting], graph: Graph) -> dict[str, Any]:
    """Return the values of settings, as the dtypes of the nodes ask for."""
    return {name: _parse(name, text, graph) for name, text in settings}


def _parse(name: str, text: str, graph: Graph) -> Any:  # noqa: ANN401
    try:
        dtype = graph.tensor(name).dtype
    except errors.CkptfmtError:
        return text  # with_constants() says what is wrong with the name
    if dtype is None or dtype.name == "string":
        return text
    # Old versions of Keras have a learning phase that is a number.
    if text.lower() in (_BOOLS if dtype.name == "bool" else ("true", "false")):
        return _BOOLS[text.lower()]
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        want = "true or false" if dtype.name == "bool" else "a number, or a list such as [1, 2]"
        raise click.UsageError(f"--set {name}: got {text!r}, want {want} ({dtype.name})") from None
