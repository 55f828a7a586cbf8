"""``ckptfmt plans``: the plans that ship with the package."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import click

import ckptfmt
from ckptfmt import Plan
from ckptfmt.cli.completion import complete_plans
from ckptfmt.cli.failures import ExitCode
from ckptfmt.cli.options import json_option, wide_option
from ckptfmt.cli.render.output import on_terminal, write, write_json, write_lines
from ckptfmt.cli.render.table import LEFT, draw_table
from ckptfmt.cli.verb import Verb
from ckptfmt.plans.about import About
from ckptfmt.plans.shipped_files import read_shipped


@click.command(
    "plans",
    cls=Verb,
    short_help="List the plans that ship: layers and models between frameworks.",
    examples=[
        "ckptfmt plans",
        "ckptfmt plans keras-torch",
        "ckptfmt plans keras-torch > mine.toml",
        "ckptfmt plans --json | jq '.plans[].name'",
    ],
    json_keys="""
    {"plans": [{"name", "title", "description", "source", "target", "notes", "back", "steps"}]}; with NAME,
    these keys of one plan, and "text".

    "source" and "target" say in words which tensors the plan takes and makes, "notes" what the user should
    know, "back" which plan goes the other way (null if none does), "steps" how many steps it has; "text" is
    the file as TOML.
    """,
)
@click.argument("name", required=False, shell_complete=complete_plans)
@wide_option
@json_option
def command(name: str | None, as_json: bool) -> int:
    """List the plans that ship with ckptfmt, or print the one called NAME as TOML.

    Each line is one plan: its name and its title. Wherever a command takes PLAN.toml, such a name will do:
    ckptfmt copy training/ out.ckpt --plan keras-torch. A file of the same name comes first.

    The printed text is the file itself, with its comments, to be changed and used as a plan of your own. Its
    notes say what no tensor does, such as constants of layers that differ between the frameworks.
    """
    if name is not None:
        text = read_shipped(name)
        if as_json:
            write_json({**_describe(name, Plan.read_shipped(name)), "text": text})
        else:
            write(text)
        return ExitCode.FINE
    plans = ckptfmt.shipped_plans()
    if as_json:
        write_json({"plans": [_describe(each, plan) for each, plan in plans.items()]})
    elif on_terminal():
        draw_table(["plan", "for"], [LEFT, LEFT], list(_rows(plans.items())))
    else:
        write_lines(map("\t".join, _rows(plans.items())))
    return ExitCode.FINE


def _rows(plans: Iterable[tuple[str, Plan]]) -> Iterator[tuple[str, str]]:
    return ((name, plan.about.title if plan.about else "") for name, plan in plans)


def _describe(name: str, plan: Plan) -> dict[str, object]:
    """Return a plan for JSON."""
    about = plan.about or About()
    return {
        "name": name,
        "title": about.title,
        "description": about.description,
        "source": about.source,
        "target": about.target,
        "notes": about.notes,
        "back": about.back or None,
        "steps": len(plan.steps),
    }
