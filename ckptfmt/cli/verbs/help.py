"""``ckptfmt help``: everything about a verb; ``ckptfmt VERB --help`` shows the beginning."""

from __future__ import annotations

import click

from ckptfmt.cli.app import App
from ckptfmt.cli.completion import complete_verbs
from ckptfmt.cli.failures import ExitCode
from ckptfmt.cli.render.output import write
from ckptfmt.cli.verb import Verb


@click.command(
    "help",
    cls=Verb,
    short_help="Explain a verb in full.",
    examples=["ckptfmt help", "ckptfmt help ls"],
)
@click.argument("verb", required=False, shell_complete=complete_verbs)
@click.pass_context
def command(context: click.Context, verb: str | None) -> int:
    """Explain VERB, or the whole command, in full.

    ckptfmt VERB --help shows the part of it that fits on a screen, and ckptfmt VERB --help-json only the keys
    of its JSON document.
    """
    group = context.parent
    assert group is not None
    assert isinstance(group.command, App)
    if verb is None:
        write(group.command.full_help(group))
        return ExitCode.FINE
    name, found, _ = group.command.resolve_command(group, [verb])
    assert isinstance(found, Verb)
    with click.Context(found, info_name=name, parent=group) as inner:
        write(found.full_help(inner))
    return ExitCode.FINE
