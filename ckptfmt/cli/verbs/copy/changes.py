"""What a copy changes: the options that choose tensors, and give them other names and dtypes."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import click

from ckptfmt import Plan, Tensors, errors
from ckptfmt.cli.completion import complete_plans_and_files
from ckptfmt.cli.options import given_limits
from ckptfmt.cli.selection import Selection, selection_options
from ckptfmt.dtypes import as_dtype
from ckptfmt.text.closest import closest_names


class Renaming(NamedTuple):
    """What ``--rename OLD=NEW`` says: a tensor, or a scope with all that is below it, and its new name."""

    old: str
    new: str

    def apply(self, name: str) -> str:
        """Return the new name of a tensor, which may be its old one."""
        scope = self.old.rstrip("/") + "/"
        if name == self.old:
            return self.new
        return f"{self.new.rstrip('/')}/{name[len(scope) :]}" if name.startswith(scope) else name

    def concerns(self, name: str) -> bool:
        """Whether the tensor gets a new name."""
        return name == self.old or name.startswith(self.old.rstrip("/") + "/")


class Changes(NamedTuple):
    """Which tensors are copied, and what becomes of them, in the order in which it is done."""

    selection: Selection
    model_only: bool
    select: Sequence[str]
    exclude: Sequence[str]
    renamings: Sequence[Renaming]
    plan: str | None
    dtype: str | None

    @property
    def is_none(self) -> bool:
        """Whether everything is copied as it is."""
        return self.selection.is_all and not any(self[1:])

    def of(self, tensors: Tensors, *, rename: Callable[[Tensors], Tensors] = lambda view: view) -> Tensors:
        """Return tensors as they are to be written; ``rename`` gives them names before the other changes."""
        view = rename(self.selection.of(tensors))
        if self.model_only:
            view = view.model_variables()
        if self.select or self.exclude:
            view = view.select(*self.select, exclude=self.exclude)
        if self.renamings:
            view = self._renamed(view)
        if self.plan is not None:
            view = view.apply(Plan.read(self.plan, limits=given_limits()))
        return view if self.dtype is None else view.cast(self.dtype)

    def _renamed(self, view: Tensors) -> Tensors:
        names = list(view)
        for renaming in self.renamings:
            if not any(map(renaming.concerns, names)):
                near = closest_names(renaming.old, _scopes_and(names))
                raise errors.TensorNotFoundError(
                    renaming.old, file=view.prefix, noun="tensor or scope", close_matches=near
                )
            names = list(map(renaming.apply, names))

        def new_name(name: str) -> str:
            return functools.reduce(lambda each, renaming: renaming.apply(each), self.renamings, name)

        return view.renamed(new_name)


def has_averages(checkpoint: Tensors) -> bool:
    """Return whether ``--ema`` finds any."""
    view: Tensors = checkpoint if checkpoint.object_graph is None else checkpoint.by_full_name()
    return len(view.ema()) < len(view)  # the averages leave the listing


def _scopes_and(names: Iterable[str]) -> set[str]:
    """Return names and the scopes in them."""
    found = set()
    for name in names:
        while name:
            found.add(name)
            name = name.rpartition("/")[0]
    return found


def changes_options(command: Callable[..., int]) -> Callable[..., int]:
    """Add the options to a command, which gets them as ``changes``."""

    @click.option(
        "--select", multiple=True, metavar="PATTERN", help="Take only tensors that match; repeatable."
    )
    @click.option(
        "--exclude", multiple=True, metavar="PATTERN", help="Leave out tensors that match; repeatable."
    )
    @click.option("--model-only", is_flag=True, help="Leave out optimizers, averages and counters.")
    @selection_options
    @click.option(
        "--rename",
        "renamings",
        multiple=True,
        metavar="OLD=NEW",
        callback=_parse_renamings,
        help="Rename a tensor or a scope; repeatable.",
    )
    @click.option(
        "--plan",
        metavar="PLAN",
        shell_complete=complete_plans_and_files,
        help="Apply a plan: a file, or a name of ckptfmt plans.",
    )
    @click.option(
        "--cast",
        "dtype",
        metavar="DTYPE",
        callback=_parse_dtype,
        help="Convert floats (or ints) to this dtype of their kind.",
    )
    @functools.wraps(command)
    def with_changes(
        select: tuple[str, ...],
        exclude: tuple[str, ...],
        model_only: bool,
        selection: Selection,
        renamings: list[Renaming],
        plan: str | None,
        dtype: str | None,
        **others: object,
    ) -> int:
        changes = Changes(selection, model_only, select, exclude, renamings, plan, dtype)
        return command(changes=changes, **others)

    return with_changes


def _parse_renamings(_: click.Context, __: click.Parameter, value: tuple[str, ...]) -> list[Renaming]:
    """Click callback of ``--rename OLD=NEW``."""
    renamings = []
    for text in value:
        old, equals, new = text.partition("=")
        if not old.strip("/") or not equals or not new.strip("/"):
            raise click.BadParameter(f"got {text!r}, want OLD=NEW")
        renamings.append(Renaming(old, new))
    return renamings


def _parse_dtype(_: click.Context, __: click.Parameter, value: str | None) -> str | None:
    """Click callback of ``--cast``."""
    try:
        return None if value is None else as_dtype(value).name
    except TypeError as error:
        raise click.BadParameter(str(error)) from None
