"""Completion: the names of tensors, for shells that ask what may follow."""

from __future__ import annotations

from contextlib import suppress
from itertools import chain

import click

import ckptfmt
from ckptfmt.cli.failures import FAILURES
from ckptfmt.object_graph.keys import VARIABLE_VALUE

MAX_SUGGESTED = 500
"""Names that are suggested at once; shells become slow with more."""


def complete_names(context: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    """Return names of tensors in the checkpoint of the command that begin as the user has typed.

    They are those of weights, then those in the index. Nothing is suggested if the path leads nowhere.
    """
    path: str = context.params.get("path") or ""
    names: dict[str, None] = {}
    with suppress(*FAILURES), ckptfmt.open(path) as checkpoint:
        stored = (name.removesuffix(VARIABLE_VALUE) for name in checkpoint)
        for name in chain(checkpoint.weights, stored):
            # A shell would take a line break for the end of a name.
            if name.startswith(incomplete) and name.isprintable():
                names[name] = None
                if len(names) == MAX_SUGGESTED:
                    break
    return list(names)
