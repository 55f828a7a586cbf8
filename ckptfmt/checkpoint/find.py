"""Finding: from any path that a person may give to the files of one checkpoint.

A path may be a file, a prefix or a directory, and a directory may lead to a state file, a SavedModel or a
single checkpoint. Each step below either returns files or goes on to the next step with a simpler path; none
goes back, so that files which name each other cannot make a loop.
"""

from __future__ import annotations

import os

from ckptfmt import checkpoint, filetype
from ckptfmt.checkpoint.directory import Directories
from ckptfmt.checkpoint.files import (
    CheckpointFiles,
    files_at_index,
    files_at_v1,
    is_table,
    listed_paths,
    not_a_table,
    renamed_prefix,
    table_format,
    v1_files_named,
)
from ckptfmt.checkpoint.scan import looks_like_home, scan
from ckptfmt.errors import CheckpointNotFoundError, CorruptError, PathNotFoundError
from ckptfmt.filenames import (
    INDEX_SUFFIX,
    META_SUFFIX,
    SAVED_MODEL_FILES,
    STATE_FILE,
    prefix_of_neighbour,
    prefix_within,
)
from ckptfmt.storage.filesystem import Filesystem
from ckptfmt.storage.local import LOCAL
from ckptfmt.table import Table
from ckptfmt.text.quoting import shortened

SAVED_MODEL_PREFIX = os.path.join("variables", "variables")
"""Prefix of a SavedModel's variables, relative to its directory."""

MAX_SUBDIRECTORIES = 100
"""Subdirectories searched for a hint if a directory has no checkpoint."""


def find_checkpoint(
    path: str | os.PathLike[str], fs: Filesystem = LOCAL, opened: dict[str, Table] | None = None
) -> CheckpointFiles:
    """Return the files of the checkpoint that a path leads to.

    The path may be a prefix; an index, data shard or ``.meta`` file; a V1 file, one of its shards, or the
    literal ``name-?????-of-00002``; a ``checkpoint`` state file; a directory with a state file (its latest
    checkpoint is returned), or with a single checkpoint; a SavedModel directory, its ``saved_model.pb`` or
    its ``variables`` folder. An index under another name opens too: its data shards are searched under that
    name without its suffixes, one by one; without data shards, names and shapes can still be listed. A link
    to the index of another prefix leads to that prefix if the data shards exist there and not beside the
    link.

    If a path leads nowhere but is a pattern (``ckpt-*``) of V1 files, these are one checkpoint, as in
    TensorFlow. A missing data shard does not matter here. ``~`` is not expanded, and a relative path stays
    relative. An index that had to be opened is put into ``opened``, if given, by its path, and left open.

    Raises
    ------
    CheckpointNotFoundError
        The path does not exist, or there are several checkpoints and no state file. ``.tried`` has the paths
        that were tried, and the message says what exists instead.
    CorruptError
        The file is not a table, or a damaged one; or a state file cannot be parsed.
    UnsupportedError
        The file is of another known format; the message says which.
    NotReadableError
        The operating system refuses to read a file or directory.
    """
    given = os.fspath(path)
    if not isinstance(given, str):
        raise TypeError(f"path: got {type(given).__name__}, want str or os.PathLike[str]")
    if not given:
        raise CheckpointNotFoundError("path: got an empty string, want that of a checkpoint")
    try:
        return _find(Directories(fs, opened), given)
    except CheckpointNotFoundError:
        raise
    except PathNotFoundError as error:
        # The file system knows why: the path is remote. The error is that of the path that was given.
        raise CheckpointNotFoundError(error.what, file=given) from error


def _find(look: Directories, given: str) -> CheckpointFiles:
    # Only separators, as in "/", are kept: the root must not become an empty path.
    stripped = given.rstrip(os.sep + (os.altsep or "")) or given
    if look.fs.path_type(given) != "directory":
        return _at_path(look, stripped)
    # A separator at the end asks for the directory, whatever prefix has the same name.
    # Like TensorFlow, prefer a directory with a state file to a prefix of the same name.
    if (
        stripped == given
        and look.fs.path_type(given + INDEX_SUFFIX) == "file"
        and not _has_state(look, given)
    ):
        return files_at_index(look, given, keep=True)
    prefix = prefix_within(given)
    return _in_directory(look, prefix or given, prefix)


def find_variables(directory: str, fs: Filesystem = LOCAL) -> CheckpointFiles:
    """Return the checkpoint of the SavedModel in a directory: ``variables/variables``, V2 or V1.

    Raises
    ------
    CheckpointNotFoundError
        It does not exist; the message says which file is missing, and where files of that name are instead.
    CorruptError, UnsupportedError, NotReadableError
        Its index cannot be read.
    """
    look = Directories(fs)
    found = _variables_in(look, directory)
    if found is None:
        raise _no_variables(look, directory)
    return found


# --- paths that are not directories -----------------------------------------------------------------------


def _at_path(look: Directories, path: str) -> CheckpointFiles:
    # Taken literally first: a prefix may itself end like a data shard or a graph.
    if look.fs.path_type(path + INDEX_SUFFIX) == "file":
        return files_at_index(look, path, keep=True)
    prefix = prefix_of_neighbour(path)
    if prefix is not None and look.fs.path_type(prefix + INDEX_SUFFIX) == "file":
        return files_at_index(look, prefix, keep=True)
    if look.fs.path_type(path) == "file":
        return _at_file(look, path, prefix)
    found = v1_files_named(look, path) or (v1_files_named(look, prefix) if prefix is not None else None)
    found = found or checkpoint.files_matching(look, path)
    if found is not None:
        return found
    raise checkpoint.not_found(look, path, prefix)


def _at_file(look: Directories, path: str, prefix: str | None) -> CheckpointFiles:
    """Return the checkpoint of a file; ``prefix`` is given if it is named like a data shard or a graph."""
    directory, name = os.path.split(path)
    if name in SAVED_MODEL_FILES:
        return _in_saved_model(look, directory)
    # Before any rule about names: a table that is named like a data shard or a graph is opened nevertheless.
    if is_table(look.fs, path):
        if path.endswith(INDEX_SUFFIX):
            return files_at_index(look, path.removesuffix(INDEX_SUFFIX), keep=True)
        if table_format(look.fs, path) == "v1":
            return files_at_v1(look, path)
        return CheckpointFiles(renamed_prefix(look, path), "v2", (path,))
    if prefix is not None:
        found = v1_files_named(look, prefix)
        if found is not None:
            return found
        kind = filetype.recognise_file(look.fs, path)
        # A data shard may hold any bytes, so only a pointer of Git LFS is reported as one. A graph can be
        # recognised.
        is_misnamed = path.endswith(META_SUFFIX) and kind not in (None, filetype.EMPTY)
        if kind is filetype.LFS_POINTER or (
            is_misnamed and kind is not None and kind.holds is not filetype.Holds.META_GRAPH
        ):
            raise not_a_table(look.fs, path)
        raise checkpoint.not_found(look, path, prefix)
    if _is_state(look.fs, path):
        state = checkpoint.read_state(look.fs, directory, name)
        if state is not None:
            return _latest_of(look, state)
    raise not_a_table(look.fs, path)


# --- directories ------------------------------------------------------------------------------------------


def _has_state(look: Directories, directory: str) -> bool:
    """Return whether a directory has a state file; a V1 checkpoint may be named ``checkpoint`` too."""
    path = os.path.join(directory, STATE_FILE)
    return look.fs.path_type(path) == "file" and not is_table(look.fs, path)


def _in_directory(look: Directories, directory: str, prefix: str | None) -> CheckpointFiles:
    """Return the checkpoint of a directory; ``prefix`` is given if its path may be meant as a prefix too."""
    state = _read_state(look, directory) if _has_state(look, directory) else None
    if prefix is not None and look.has_index(prefix) and (state is None or state.latest is None):
        return files_at_index(look, prefix, keep=True)
    # A state file copied from elsewhere does not hide the variables of a SavedModel.
    if state is not None and state.latest is not None:
        return _latest_of(look, state)
    variables = _variables_in(look, directory)
    if variables is not None:
        return variables
    if state is not None:
        return _latest_of(look, state)
    found = scan(look, directory)
    if len(found.checkpoints) == 1:
        return found.checkpoints[0]
    tried = [os.path.join(directory, name) for name in (STATE_FILE, SAVED_MODEL_PREFIX + INDEX_SUFFIX)]
    if found.checkpoints:
        raise CheckpointNotFoundError(
            f"{len(found.checkpoints)} checkpoints and no file {STATE_FILE!r} that says which is the latest; "
            f"name one: {listed_paths(found.prefixes)}",
            file=directory,
            tried=tried,
        )
    # No checkpoint can be opened: what may explain that is reported, the surest explanation first.
    if found.damaged:
        raise found.damaged[0]
    if any(name in SAVED_MODEL_FILES for name in found.listing.files):
        return _in_saved_model(look, directory)
    hints = checkpoint.describe_leftovers(look, directory, found.listing)
    below = (os.path.join(directory, name) for name in found.listing.directories[:MAX_SUBDIRECTORIES])
    # The temporary directories of saves are among the hints already.
    homes = [path for path in below if looks_like_home(look, path) and not checkpoint.is_temporary(path)]
    if homes:
        hints.append(f"look in {listed_paths(homes)}")
    if not hints:
        _refuse_foreign(look, directory)
        hints.append("none of its files belongs to one" if found.listing.files else "it contains no files")
        example = filetype.example_in(look.fs, directory)
        hints += [] if example is None else [example]
    what = "; ".join(["no checkpoint in this directory", *hints])
    raise CheckpointNotFoundError(what, file=directory, tried=tried)


def _read_state(look: Directories, directory: str) -> checkpoint.CheckpointState | None:
    """Return the state of a directory; if it is damaged, the error also says which checkpoints exist."""
    try:
        return checkpoint.read_state(look.fs, directory)
    except CorruptError as error:
        prefixes = scan(look, directory).prefixes
        if not prefixes:
            _refuse_foreign(look, directory)
            raise
        what = f"{error.what}; name a checkpoint instead: {listed_paths(prefixes)}"
        raise CorruptError(what, file=error.file, offset=error.offset) from error


def _refuse_foreign(look: Directories, directory: str) -> None:
    """Raise UnsupportedError if a directory is a checkpoint or model of another program."""
    kind = filetype.recognise_path(look.fs, directory)
    if kind is not None and kind.holds is None:
        raise filetype.misfit(directory, kind, filetype.Holds.CHECKPOINT)


def _in_saved_model(look: Directories, directory: str) -> CheckpointFiles:
    found = _variables_in(look, directory)
    if found is None:
        error = _no_variables(look, directory)
        error.what = f"{error.what}; {filetype.SAVED_MODEL_DIRECTORY.reader}"
        raise error
    return found


def _variables_in(look: Directories, directory: str) -> CheckpointFiles | None:
    """Return the checkpoint of a SavedModel, None if it does not exist."""
    prefix = os.path.join(directory, SAVED_MODEL_PREFIX)
    if look.fs.path_type(prefix + INDEX_SUFFIX) == "file":
        return files_at_index(look, prefix, keep=True)
    if look.fs.path_type(os.path.dirname(prefix)) != "directory":
        return None
    # TensorFlow 0.11 and 0.12 wrote V1.
    found = v1_files_named(look, prefix)
    if found is None and look.fs.path_type(prefix) == "file":
        raise not_a_table(look.fs, prefix)
    return found


def _no_variables(look: Directories, directory: str) -> CheckpointNotFoundError:
    """Return the error for a SavedModel without a checkpoint; it names the files of one that exist."""
    prefix = os.path.join(directory, SAVED_MODEL_PREFIX)
    folder, name = os.path.split(prefix)
    what = f"a SavedModel without variables: {prefix}{INDEX_SUFFIX} does not exist"
    hints = checkpoint.describe_leftovers(look, folder, look[folder][0])
    # Uploading the files one by one loses the folder.
    beside = [path for path in look[directory or os.curdir][0].files if path.startswith(f"{name}.")]
    if beside:
        beside.sort(key=lambda path: not path.endswith(INDEX_SUFFIX))  # what was asked for comes first
        verb, them = ("is", "it") if len(beside) == 1 else ("are", "them")
        hints.append(f"{listed_paths(beside)} {verb} in the directory itself: move {them} to {folder}")
    tried = [prefix + INDEX_SUFFIX]
    return CheckpointNotFoundError("; ".join([what, *hints]), file=directory or os.curdir, tried=tried)


def _latest_of(look: Directories, state: checkpoint.CheckpointState) -> CheckpointFiles:
    """Return the checkpoint that a state file names as the latest."""
    latest = state.latest
    if latest is not None:
        prefix = prefix_within(latest) or latest
        # A state file must not lead to another one, because two could lead to each other.
        if (
            not look.has_index(prefix)
            and prefix_of_neighbour(prefix) is None
            and look.fs.path_type(prefix) == "file"
            and not is_table(look.fs, prefix)
        ):
            raise not_a_table(look.fs, prefix)
        # Not find_checkpoint(): if the prefix is a directory, its own state file could lead back here.
        return _at_path(look, prefix)
    # The state file may have been copied without the checkpoint. Choosing another one is up to the caller.
    found = scan(look, state.directory)
    candidates = state.candidates(state.model_checkpoint_path)
    hints = checkpoint.describe_leftovers(look, state.directory, found.listing)
    others = f"available: {listed_paths(found.prefixes)}" if found.prefixes else ""
    hints.append(others or "the directory has no other checkpoint")
    what = (
        f"names {shortened(repr(state.model_checkpoint_path))} as the latest checkpoint, which is missing: "
        f"tried {', '.join(map(shortened, candidates))}"
    )
    tried = [path for candidate in candidates for path in (candidate + INDEX_SUFFIX, candidate)]
    raise CheckpointNotFoundError("; ".join([what, *hints]), file=state.path, tried=tried)


# --- contents ---------------------------------------------------------------------------------------------


def _is_state(fs: Filesystem, path: str) -> bool:
    """Return whether a file that is not a table is a state file; programs may give it another name."""
    kind = filetype.recognise_file(fs, path)
    return kind is filetype.STATE or (
        os.path.basename(path) == STATE_FILE and kind in (None, filetype.EMPTY, filetype.TEXT_FILE)
    )
