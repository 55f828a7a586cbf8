"""Several checkpoints: the arguments that lead to one each, and ``--all`` for those of a directory."""

from __future__ import annotations

from collections.abc import Sequence

import click

from ckptfmt.checkpoint.directory import Directories
from ckptfmt.checkpoint.scan import scan
from ckptfmt.filenames import INDEX_SUFFIX
from ckptfmt.storage.local import LOCAL

all_option = click.option(
    "--all", "with_all", is_flag=True, help="Every checkpoint in the directory, not only the latest."
)


def expanded(paths: Sequence[str], *, with_all: bool) -> list[str]:
    """Return the paths; with ``--all``, a directory is replaced by the prefixes of the checkpoints in it."""
    if not with_all:
        return list(paths)
    found: list[str] = []
    for path in paths:
        is_directory = LOCAL.path_type(path) == "directory"
        # A directory without any, such as that of a SavedModel, may lead to one; opening it tells.
        found += (scan(Directories(LOCAL), path).prefixes if is_directory else []) or [path]
    return found


def split_paths(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the first argument and those after it that are paths too; and the rest, which are patterns."""
    count = 1
    while count < len(arguments) and _leads_somewhere(arguments[count]):
        count += 1
    return list(arguments[:count]), list(arguments[count:])


def _leads_somewhere(path: str) -> bool:
    return any(LOCAL.path_type(each) is not None for each in (path, path + INDEX_SUFFIX))
