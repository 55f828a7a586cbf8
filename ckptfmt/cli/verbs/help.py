"""``ckptfmt help``: the help of a verb, as ``ckptfmt VERB --help`` prints it."""

from __future__ import annotations

import click

from ckptfmt.cli.failures import ExitCode
from ckptfmt.cli.render.output import write


@click.command(
    "help",
    short_help="Show the help of a verb.",
    epilog="""\b
    Examples:
      ckptfmt help
      ckptfmt help ls
    """,
)
@click.argument("verb", required=False)
@click.pass_context
def command(context: click.Context, verb: str | None) -> int:
    """Show the help of VERB, or of the whole command."""
    group = context.parent
    assert group is not None
    assert isinstance(group.command, click.Group)
    if verb is None:
        write(group.get_help() + "\n")
        return ExitCode.FINE
    name, found, _ = group.command.resolve_command(group, [verb])
    assert found is not None
    with click.Context(found, info_name=name, parent=group) as inner:
        write(found.get_help(inner) + "\n")
    return ExitCode.FINE
