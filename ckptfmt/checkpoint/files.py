"""The files of one checkpoint, and how one of them leads to the others.

The content decides what a file is. A sorted table is a V1 checkpoint if its value for the empty key begins
with a length-delimited field 1 (SavedTensorSlices), and otherwise a V2 index (BundleHeaderProto, whose field
1 is a number). Names only lead from one file to its neighbours.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Sequence
from contextlib import closing
from typing import NamedTuple

from ckptfmt import filetype
from ckptfmt.checkpoint.directory import Directories
from ckptfmt.errors import (
    CheckpointNotFoundError,
    CorruptError,
    NotReadableError,
    TruncatedError,
    UnsupportedError,
)
from ckptfmt.filenames import (
    INDEX_SUFFIX,
    V1_PATTERN_SUFFIX,
    V1_SHARD_SUFFIX,
    shard_path,
)
from ckptfmt.filetype.stand_in import suspected_stand_in
from ckptfmt.filetype.tables import Format, begins_as_checkpoint, checkpoint_format, has_table_magic
from ckptfmt.limits import Limits
from ckptfmt.storage.filesystem import Filesystem
from ckptfmt.table import Table
from ckptfmt.table.format import FOOTER_SIZE, MAGIC_BYTES
from ckptfmt.text.quoting import listed

MAX_LISTED = 10
"""Error messages name at most this many checkpoints."""

MAX_ADDED = 1 << 20
"""Bytes at the end of a file in which the end of its table is looked for: copies add less than that."""


class CheckpointFiles(NamedTuple):
    """The files of one checkpoint."""

    prefix: str
    """TensorFlow's name for it: ``dir/model.ckpt-1000``, or ``dir/name-?????-of-00002`` for V1 in shards."""
    format: Format
    """``"v2"`` (an index and data files) or ``"v1"`` (tables)."""
    tables: tuple[str, ...]
    """The index of V2, usually ``prefix + ".index"``; the table of V1, or its shards that exist."""
    missing: tuple[str, ...] = ()
    """V1 shards that the names of the others announce, but that do not exist; what they held is unknown."""


def stale_shards(fs: Filesystem, prefix: str, num_shards: int) -> list[str]:
    """Return the data files of a prefix that are not among its ``num_shards`` shards."""
    # A save with another number of shards leaves the old files beside the new ones. The path is compared too,
    # because ``\d+`` also matches digits padded otherwise, which TensorFlow never looks for.
    own = re.compile(rf"\.data-(\d+)-of-{num_shards:05d}")
    stale = []
    for path in Directories(fs).data_files(prefix):
        match = own.fullmatch(path[len(prefix) :])
        if (
            match is None
            or path != shard_path(prefix, int(match[1]), num_shards)
            or int(match[1]) >= num_shards
        ):
            stale.append(path)
    return stale


# --- neighbours ---


def files_at_index(look: Directories, prefix: str, *, keep: bool = False) -> CheckpointFiles:
    """Return the checkpoint of an existing file named like the index of a prefix.

    ``keep`` says that this checkpoint is the one to be opened: its table stays open if anybody wants it.
    """
    # An empty prefix, of the file ".index" in the working directory, could not be opened again.
    prefix = prefix or os.path.join(os.curdir, "")
    path = prefix + INDEX_SUFFIX
    table, found = _open_table(look.fs, path)
    linked = _linked_prefix(look, prefix) if found == "v2" else None
    if keep and linked is None and look.opened is not None:
        look.opened[path] = table
    else:
        table.file.close()
    if found == "v1":
        return CheckpointFiles(path, "v1", (path,))
    prefix = linked or prefix
    return CheckpointFiles(prefix, "v2", (prefix + INDEX_SUFFIX,))


def _linked_prefix(look: Directories, prefix: str) -> str | None:
    """Return the prefix whose index is the target of a link, if the data files exist only under that one."""
    path = prefix + INDEX_SUFFIX
    target = look.fs.link_target(path)
    if target is None or not target.endswith(INDEX_SUFFIX):
        return None
    target = target.removesuffix(INDEX_SUFFIX)
    directory = os.path.dirname(prefix)
    link_home = look.fs.status(directory or os.curdir)
    target_home = look.fs.status(os.path.dirname(target))
    if link_home is not None and target_home is not None and link_home.identity == target_home.identity:
        # The link stays in its directory: so does the prefix, which remains relative if it was.
        target = os.path.join(directory, os.path.basename(target))
    try:
        # Data files beside the link come first: then it is a checkpoint of its own, linked file by file.
        return None if look.data_files(prefix) else target if look.data_files(target) else None
    except NotReadableError:
        return None  # without a listing of the directory, the given name has to do


def renamed_prefix(look: Directories, path: str) -> str:
    """Return the prefix of an index under another name.

    Suffixes are removed one by one until data shards of that name exist; without any, it is the path itself.
    """
    # For example model.ckpt-5.index.bak, model.ckpt-5.index, model.ckpt-5. The prefix itself may have dots,
    # so only its data shards tell where it ends.
    candidate = path
    while not look.data_files(candidate):
        # Not os.path.splitext() alone: to it, ".index" is a name without a suffix.
        shorter = candidate.removesuffix(INDEX_SUFFIX)
        if shorter == candidate:
            shorter = os.path.splitext(candidate)[0]
        if shorter == candidate:
            return path
        candidate = shorter
    return candidate


def files_at_v1(look: Directories, path: str) -> CheckpointFiles:
    """Return the V1 checkpoint of one of its files."""
    suffix = V1_SHARD_SUFFIX.search(path)
    if suffix is None:
        return CheckpointFiles(path, "v1", (path,))
    prefix = f"{path[: suffix.start()]}-?????-of-{suffix[2]}"
    return _v1_set(prefix, look.v1_shards(prefix).get(prefix, [path]))


def _v1_set(prefix: str, paths: Sequence[str]) -> CheckpointFiles:
    """Return a V1 checkpoint in shards, given the literal pattern of their names and those that exist."""
    base, _, count = prefix.rpartition("-?????-of-")
    # The count has five digits, so a name of a few bytes can announce 99,999 files at most.
    announced = (f"{base}-{shard:05d}-of-{count}" for shard in range(int(count)))
    existing = set(paths)
    missing = tuple(path for path in announced if path not in existing)
    return CheckpointFiles(prefix, "v1", tuple(paths), missing)


def listed_paths(paths: Collection[str]) -> str:
    """Return paths as messages about the files of a checkpoint list them."""
    return listed(paths, MAX_LISTED, quote=str)


def v1_files_named(look: Directories, prefix: str) -> CheckpointFiles | None:
    """Return the V1 checkpoint of a prefix: a file, the pattern of its shards, or the part before that."""
    if look.fs.path_type(prefix) == "file":
        is_v1 = is_table(look.fs, prefix) and table_format(look.fs, prefix) == "v1"
        return files_at_v1(look, prefix) if is_v1 else None
    is_pattern = V1_PATTERN_SUFFIX.search(prefix) is not None
    sets = look.v1_shards(prefix if is_pattern else f"{prefix}-?????-of-?????")
    if not is_pattern:
        # Shards of data sets are named like this too, and are no error unless their pattern was given.
        sets = {key: paths for key, paths in sets.items() if is_table(look.fs, paths[0])}
    if len(sets) > 1:
        raise CheckpointNotFoundError(
            f"{len(sets)} checkpoints have this name; name one: {listed_paths(sets)}",
            file=prefix,
            tried=list(sets),
        )
    for key, paths in sets.items():
        if table_format(look.fs, paths[0]) == "v1":
            return _v1_set(key, paths)
    return None


# --- contents ---


def is_table(fs: Filesystem, path: str) -> bool:
    """Return whether a file ends like a sorted table."""
    # The last bytes suffice, so that every file of a directory can be asked.
    with closing(fs.open(path)) as file:
        return has_table_magic(file)


def table_format(fs: Filesystem, path: str) -> Format:
    """Return whether a table is a V2 index or a V1 checkpoint; CorruptError if it is neither."""
    table, found = _open_table(fs, path)
    table.file.close()
    return found


def _open_table(fs: Filesystem, path: str) -> tuple[Table, Format]:
    """Open a table and tell its format; errors are those of :func:`table_format`."""
    file = fs.open(path)
    try:
        if not has_table_magic(file):
            raise not_a_table(fs, path)
        try:
            table = Table(file)
            found = checkpoint_format(table)
        except CorruptError as error:
            converted = filetype.conversion_of(file)
            if converted is not None:
                raise CorruptError(converted, file=path) from error
            raise error.at(path) from error.__cause__
        if found is None:
            raise CorruptError("a table without the empty key: not a checkpoint", file=path)
        return table, found
    except BaseException:
        file.close()
        raise


def open_table(fs: Filesystem, path: str, limits: Limits) -> Table:
    """Open a table of a checkpoint.

    If the file lacks its end, or a download left something else in its place, the error says so.
    """
    file = fs.open(path)
    try:
        return Table(file, limits=limits)
    except CorruptError as error:
        kind = suspected_stand_in(file)
        if kind is not None:
            raise filetype.refusal_of(kind, path, filetype.Holds.CHECKPOINT) from None
        raise (None if has_table_magic(file) else _cut_short(filetype.Look(file))) or error from None


def not_a_table(fs: Filesystem, path: str) -> CorruptError | UnsupportedError:
    """Return the error for a file that is not a table: it says what the file seems to be."""
    with closing(fs.open(path)) as file:
        look = filetype.Look(file)
        kind = filetype.recognise_look(look) or filetype.recognise_name(path)
        if kind is filetype.EMPTY:
            what = f"an empty file, not {filetype.Holds.CHECKPOINT.value}"
            return TruncatedError(what, wanted=FOOTER_SIZE, available=0, file=path)
        if kind is None and filetype.conversion_of(file) is None and (cut := _cut_short(look)) is not None:
            return cut
        if kind is None and path.endswith(INDEX_SUFFIX) and filetype.conversion_of(file) is None:
            # Its name says what it was: what matters is how it is damaged.
            try:
                Table(file)
            except CorruptError as error:
                return error
        refused = filetype.refusal_of(kind, path, filetype.Holds.CHECKPOINT, look=look)
        assert isinstance(refused, CorruptError | UnsupportedError)
        return refused


def _cut_short(look: filetype.Look) -> CorruptError | None:
    """Return the error for a checkpoint that lacks its end, or has bytes after it; None if it is neither."""
    begins = begins_as_checkpoint(look.head)
    if begins is None or look.size < FOOTER_SIZE:
        return None
    what = "the index of a checkpoint" if begins == "v2" else "a V1 checkpoint"
    start = max(0, look.size - MAX_ADDED)
    end = bytes(look.file.read(start, look.size - start)).rfind(MAGIC_BYTES)
    if end >= 0:
        offset = start + end + len(MAGIC_BYTES)
        added = f"{look.size - offset} bytes follow the end of {what}; without them it can be opened"
        return CorruptError(added, file=look.file.name, offset=offset)
    ends = bytes(look.file.read(look.size - len(MAGIC_BYTES), len(MAGIC_BYTES)))
    return CorruptError(
        f"cut short, or its end is damaged: it begins like {what} but does not end like one: "
        f"got magic {ends.hex()}, want {MAGIC_BYTES.hex()}",
        file=look.file.name,
        offset=look.size - len(MAGIC_BYTES),
    )
