"""Several checkpoints: the arguments that lead to one each, and ``--all`` for those of a directory."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import chain

import click

from ckptfmt import errors
from ckptfmt.checkpoint.directory import Directories
from ckptfmt.checkpoint.find import find_checkpoint
from ckptfmt.checkpoint.scan import scan
from ckptfmt.cli.opening import foreign_kind, open_listed
from ckptfmt.cli.typed_names import TypedNames
from ckptfmt.filenames import INDEX_SUFFIX
from ckptfmt.storage.filesystem import natural_order
from ckptfmt.storage.local import LOCAL
from ckptfmt.text.patterns import is_glob, matcher

all_option = click.option(
    "--all", "with_all", is_flag=True, help="Every checkpoint in the directory, not only the latest."
)


def expanded(paths: Sequence[str], *, with_all: bool) -> list[str]:
    """Return the paths; with ``--all``, a directory is replaced by the prefixes of the checkpoints in it.

    A pattern that the shell has left alone is replaced by what it matches. Of several paths that lead to one
    checkpoint, only the first is kept.
    """
    found: list[str] = []
    for path in chain.from_iterable(map(matching_paths, paths)):
        is_directory = with_all and LOCAL.path_type(path) == "directory"
        # A directory without any, such as that of a SavedModel, may lead to one; opening it tells.
        found += (scan(Directories(LOCAL), path).prefixes if is_directory else []) or [path]
    return found if len(found) == 1 else list(distinct(found))


def matching_paths(path: str) -> list[str]:
    """Return the paths of checkpoints that a pattern matches, in natural order; or a path itself.

    Shells of Windows leave patterns to programs.
    """
    directory, pattern = os.path.split(path)
    if not is_glob(pattern) or _leads_to_checkpoint(path):  # files of V1 may be one checkpoint together
        return [path]
    with suppress(errors.CkptfmtError):
        names = sorted(LOCAL.list_directory(directory or os.curdir).files, key=natural_order)
        matches = (os.path.join(directory, name) for name in filter(matcher([pattern]), names))
        return list(distinct(list(filter(_leads_to_checkpoint, matches)))) or [path]
    return [path]


def _leads_to_checkpoint(path: str) -> bool:
    if foreign_kind(path) is not None:
        return True
    with suppress(errors.CkptfmtError):
        find_checkpoint(path)
        return True
    return False


def distinct(paths: Sequence[str]) -> Iterator[str]:
    """Leave out paths to a checkpoint that one before leads to.

    A shell lists all files of a checkpoint for ``model.ckpt-10*``, and each of them leads to it.
    """
    seen: set[str] = set()
    for path in paths:
        prefix = path
        with suppress(errors.CkptfmtError):  # opening it tells what is wrong
            prefix = find_checkpoint(path).prefix
        if prefix not in seen:
            seen.add(prefix)
            yield path


def split_paths(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the first argument and those after it that are paths too; and the rest, which are patterns."""
    count = 1
    while count < len(arguments) and _is_path(arguments[count], arguments[0]):
        count += 1
    return list(arguments[:count]), list(arguments[count:])


def _is_path(argument: str, first: str) -> bool:
    """Return whether an argument is a path, rather than a pattern for tensors of the first checkpoint.

    Files and directories may have the names of scopes. They are paths if they lead to a checkpoint.
    """
    if all(LOCAL.path_type(each) is None for each in (argument, argument + INDEX_SUFFIX)):
        return False
    if _leads_to_checkpoint(argument):
        return True
    with suppress(errors.CkptfmtError), open_listed(first) as checkpoint:
        typed = TypedNames(checkpoint, first)
        for pattern in (argument, f"{argument.rstrip('/')}/*"):
            with suppress(errors.TensorNotFoundError):
                return not typed.matching(pattern)
    return True
