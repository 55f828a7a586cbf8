"""The options that choose tensors and their names: ``--names``, ``--weights``, ``--ema``."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import NamedTuple

import click

from ckptfmt import Tensors

STORED, FULL, PATH = "stored", "full", "path"


class Selection(NamedTuple):
    """Which tensors a verb is about, and what it calls them."""

    names: str | None
    """One of the kinds of names; None for the usual one."""
    weights: bool
    ema: bool

    @property
    def is_all(self) -> bool:
        """Whether it is the checkpoint as it is."""
        return not self.weights and not self.ema and self.names in (None, STORED)

    def of(self, checkpoint: Tensors) -> Tensors:
        """Return the chosen tensors, under the chosen kind of names."""
        if self.is_all:
            return checkpoint
        view = checkpoint
        has_objects = checkpoint.object_graph is not None
        if self.ema:
            # Averages are found by the names of variables, which keys do not have.
            view = view.by_full_name().ema() if has_objects else view.ema()
        if self.weights:
            view = view.weights
        if self.names == FULL and not self.ema:
            view = view.by_full_name()
        elif self.names == PATH and has_objects:
            view = view.by_object_path(ambiguous="key")
        elif self.names == STORED:
            view = view.renamed(view.stored_name)
        return view


def selection_options(command: Callable[..., int]) -> Callable[..., int]:
    """Add the options to a command, which gets them as ``selection``."""

    @click.option(
        "--names",
        type=click.Choice([STORED, FULL, PATH]),
        metavar="KIND",
        help="Names: stored, full (dense/kernel) or object path.",
    )
    @click.option("--weights", is_flag=True, help="Only the model's own weights, by their usual names.")
    @click.option("--ema", is_flag=True, help="Read variables from their moving averages.")
    @functools.wraps(command)
    def with_selection(names: str | None, weights: bool, ema: bool, **others: object) -> int:
        return command(selection=Selection(names, weights, ema), **others)

    return with_selection
