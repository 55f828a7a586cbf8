"""Removing a checkpoint: its files, by their literal names.

TensorFlow removes what matches ``PREFIX.data-?????-of-?????``, so a prefix with ``*`` or ``[1]`` in it makes
it remove the files of others, or none. Here a prefix is never a pattern.
"""

from __future__ import annotations

import os

from ckptfmt.checkpoint.directory import Directories
from ckptfmt.checkpoint.files import is_table
from ckptfmt.checkpoint.prefix_claim import PrefixClaim
from ckptfmt.errors import CkptfmtError
from ckptfmt.filenames import INDEX_SUFFIX, META_SUFFIX, count_of, meta_path, prefix_within
from ckptfmt.storage.filesystem import Filesystem


def remove_v2(fs: Filesystem, prefix: str, *, meta_suffix: str = META_SUFFIX) -> None:
    """Remove the index, the data files and the graph of a prefix, as far as they exist.

    The index goes first: whenever the program is killed, no index is left that promises missing data, and the
    next writer in the directory removes the data files that are.

    Raises
    ------
    NotWritableError
        The system refuses, or a writer is at work on the prefix.
    """
    prefix = prefix_within(prefix) or prefix
    if not _directory_exists(fs, prefix):
        return
    claim = PrefixClaim(fs, prefix)
    try:
        data = Directories(fs).data_files(prefix)
        counts = set(filter(None, map(count_of, data)))
        claim.note(counts, sync=False)
        fs.remove(prefix + INDEX_SUFFIX)
        fs.remove(meta_path(prefix, meta_suffix))
        for path in data:
            fs.remove(path)
        claim.forget(counts)
    finally:
        claim.end()


def remove_v1(fs: Filesystem, prefix: str, *, meta_suffix: str = META_SUFFIX) -> None:
    """Remove the file, or the shards, of a V1 prefix, and its graph, as far as they exist.

    A file that is not a table is not a checkpoint, and stays. Raises NotWritableError if the system refuses.
    """
    files = [file for shards in Directories(fs).v1_shards(prefix).values() for file in shards]
    for path in files or [prefix]:
        if fs.path_type(path) == "file" and _is_table(fs, path):
            fs.remove(path)
    fs.remove(meta_path(prefix, meta_suffix))


def remove_checkpoint(fs: Filesystem, prefix: str, *, meta_suffix: str = META_SUFFIX) -> None:
    """Remove a checkpoint of either format, and its graph, as far as they exist.

    Raises
    ------
    NotWritableError
        The system refuses, or a writer is at work on the prefix.
    """
    if fs.path_type(prefix + INDEX_SUFFIX) is None:
        remove_v1(fs, prefix, meta_suffix=meta_suffix)
    # Without an index too: a program that was killed may have left data files.
    remove_v2(fs, prefix, meta_suffix=meta_suffix)


def _directory_exists(fs: Filesystem, prefix: str) -> bool:
    return fs.path_type(os.path.dirname(prefix) or os.curdir) == "directory"


def _is_table(fs: Filesystem, path: str) -> bool:
    try:
        return is_table(fs, path)
    except CkptfmtError:
        return False
