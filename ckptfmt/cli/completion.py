"""Completion: what may follow, for a shell that asks.

click's scripts for the shells ask after every Tab, so that each answer is a process of its own: nothing that
takes long is looked up. A path that leads nowhere, or to something else, has no completions.
"""

from __future__ import annotations

from contextlib import suppress
from itertools import chain

import click
from click.shell_completion import CompletionItem

import ckptfmt
from ckptfmt.cli.failures import FAILURES
from ckptfmt.dtypes import BY_NAME
from ckptfmt.object_graph.keys import VARIABLE_VALUE
from ckptfmt.plans.shipped_files import shipped_names

MAX_SUGGESTED = 500
"""Names that are suggested at once; shells become slow with more."""


def complete_files(_: click.Context, __: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Let the shell complete a path, as it does by itself."""
    return [CompletionItem(incomplete, type="file")]


def complete_verbs(context: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    """Return the verbs that begin as the user has typed."""
    group = context.parent
    assert group is not None
    assert isinstance(group.command, click.Group)
    return [verb for verb in group.command.list_commands(group) if verb.startswith(incomplete)]


def complete_plans(_: click.Context, __: click.Parameter, incomplete: str) -> list[str]:
    """Return the names of shipped plans that begin as the user has typed."""
    return [name for name in shipped_names() if name.startswith(incomplete)]


def complete_plans_and_files(
    context: click.Context, param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Return the shipped plans that begin as the user has typed; without any, leave it to the shell."""
    names = complete_plans(context, param, incomplete) if incomplete else []
    return [CompletionItem(name) for name in names] or complete_files(context, param, incomplete)


def complete_dtypes(_: click.Context, __: click.Parameter, incomplete: str) -> list[str]:
    """Return the names of dtypes that begin as the user has typed."""
    return [name for name in BY_NAME if name.startswith(incomplete)]


def complete_names(context: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    """Return names of tensors in the checkpoint of the command that begin as the user has typed.

    They are those of weights, then those in the index.
    """
    path: str = context.params.get("path") or ""
    names: dict[str, None] = {}
    with suppress(*FAILURES), ckptfmt.open(path) as checkpoint:
        stored = (name.removesuffix(VARIABLE_VALUE) for name in checkpoint)
        weights: list[str] = []
        with suppress(*FAILURES):  # a damaged object graph; stored names are known without it
            weights = list(checkpoint.weights)
        for name in chain(weights, stored):
            # A shell would take a line break for the end of a name.
            if name.startswith(incomplete) and name.isprintable():
                names[name] = None
                if len(names) == MAX_SUGGESTED:
                    break
    return list(names)


def complete_names_and_files(
    context: click.Context, param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Return names of tensors that begin as the user has typed; without any, leave it to the shell."""
    names = complete_names(context, param, incomplete)
    return [CompletionItem(name) for name in names] or complete_files(context, param, incomplete)
