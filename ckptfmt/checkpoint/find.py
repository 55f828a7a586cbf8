"""Any path a person has in hand to the files of one checkpoint.

What a file is, is told by what is in it. A sorted table whose value for the empty key begins with a
length-delimited field 1 is a V1 checkpoint (SavedTensorSlices); with anything else, a V2 index
(BundleHeaderProto, whose field 1 is a number). Names only lead from one file to its neighbours.
"""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass

from ckptfmt.checkpoint.state import CheckpointState, read_checkpoint_state
from ckptfmt.errors import (
    CheckpointNotFoundError,
    CorruptError,
    NotReadableError,
    TruncatedError,
    UnsupportedError,
)
from ckptfmt.filenames import (
    DATA_SUFFIX,
    INDEX_SUFFIX,
    META_SUFFIX,
    SAVED_MODEL_FILES,
    STATE_FILE,
    TEMPSTATE_SUFFIX,
    V1_PATTERN_SUFFIX,
    V1_SHARD_SUFFIX,
    ListDirectory,
    Listing,
    data_files,
    existing_prefix,
    kind_of,
    list_directory,
    natural_order,
    shard_path,
    shortened,
    v1_shards,
)
from ckptfmt.filetype.kinds import (
    EMPTY,
    LFS_POINTER,
    META_GRAPH,
    SAVED_MODEL_DIRECTORY,
    STATE,
    TEXT_FILE,
    Format,
    Holds,
    Kind,
    checkpoint_format,
    example_in,
    has_table_magic,
    misfit,
    recognise,
)
from ckptfmt.storage.file import MappedFile
from ckptfmt.table import Table
from ckptfmt.table.format import FOOTER_SIZE

SAVED_MODEL_PREFIX = os.path.join("variables", "variables")
"""Prefix of the variables of a SavedModel, in its directory."""

MAX_LISTED = 10
"""Error messages name at most this many checkpoints."""

MAX_SUBDIRECTORIES = 100
"""Where a directory has no checkpoint, at most this many in it are looked at for a hint."""

MAX_GUESSED = 1000
"""For the hint at a path that is not there, at most this many files are opened whose neighbours do not tell
that they belong to a checkpoint."""


@dataclass(frozen=True, slots=True)
class CheckpointFiles:
    """The files of one checkpoint."""

    prefix: str
    """What TensorFlow calls it: ``dir/model.ckpt-1000``; of V1 in shards ``dir/name-?????-of-00002``."""
    format: Format
    """``"v2"`` (an index and data files) or ``"v1"`` (tables)."""
    tables: tuple[str, ...]
    """Of V2 the index, in general ``prefix + ".index"``; of V1 the table, or its shards that are there."""
    missing: tuple[str, ...] = ()
    """V1 shards that the names of the others announce and that are not there: what they hold is not known."""


def find_checkpoint(path: str | os.PathLike[str]) -> CheckpointFiles:
    """Return the files of the checkpoint that a path leads to.

    The path may be a prefix; an index, data shard or ``.meta`` file; a V1 file, one of its shards, or the
    literal ``name-?????-of-00002``; a ``checkpoint`` state file; a directory with one (its latest), or with
    one checkpoint; a SavedModel directory, its ``saved_model.pb`` or its ``variables`` folder. An index under
    another name opens too: its data shards are looked for under that name, less its suffixes one by one;
    where there are none, names and shapes can still be listed. A link to the index of another prefix leads to
    that prefix where the data shards lie beside it and not beside the link.

    What is there is taken literally first; a missing data shard does not matter here. Nothing is expanded
    (``~``, ``*``), and a relative path stays relative.

    Raises
    ------
    CheckpointNotFoundError
        Nothing there, or several checkpoints and no state file; ``.tried`` has the paths looked at, the
        message what is there instead.
    CorruptError
        A file that is no table, or a damaged one; a state file that does not parse.
    UnsupportedError
        A file of another known format; the message says which.
    NotReadableError
        The operating system refuses a file or directory.
    """
    given = os.fspath(path)
    if not isinstance(given, str):
        raise TypeError(f"path: got {type(given).__name__}, want str or os.PathLike[str]")
    if not given:
        raise CheckpointNotFoundError("the path of the checkpoint is empty")
    stripped = given.rstrip(os.sep + (os.altsep or "")) or given
    if kind_of(given) != "directory":
        return _at_path(stripped)
    # TensorFlow, too, prefers a directory with a state file to a prefix of the same name.
    if stripped == given and kind_of(given + INDEX_SUFFIX) == "file" and not _has_state(given):
        return _at_index(given)
    return _in_directory(given)


def list_checkpoints(directory: str | os.PathLike[str]) -> list[CheckpointFiles]:
    """Return the checkpoints in a directory, whether or not a state file names them, in natural order.

    Unfinished files (``.tempstate…``) are left out; a damaged index that has data shards is listed.
    """
    return _scan(os.fspath(directory)).checkpoints


def stale_shards(prefix: str, num_shards: int) -> list[str]:
    """Return the data files of a prefix that are there but are none of its ``num_shards`` shards."""
    own = re.compile(rf"\.data-(\d+)-of-{num_shards:05d}")
    stale = []
    for path in data_files(prefix):
        match = own.fullmatch(path[len(prefix) :])
        if (
            match is None
            or path != shard_path(prefix, int(match[1]), num_shards)
            or int(match[1]) >= num_shards
        ):
            stale.append(path)
    return stale


# --- paths that are not directories -----------------------------------------------------------------------


def _at_path(path: str) -> CheckpointFiles:
    prefix = _prefix_of_neighbour(path)
    for candidate in (path, prefix):
        if candidate is not None and kind_of(candidate + INDEX_SUFFIX) == "file":
            return _at_index(candidate)
    if kind_of(path) == "file":
        return _at_file(path, prefix)
    found = _v1_named(path) or (_v1_named(prefix) if prefix is not None else None)
    if found is not None:
        return found
    raise _not_found(path, prefix)


def _prefix_of_neighbour(path: str) -> str | None:
    """The prefix of a path that is called like a data shard or a graph beside a checkpoint."""
    data = DATA_SUFFIX.search(path)
    if data is not None:
        return path[: data.start()]
    return path.removesuffix(META_SUFFIX) if path.endswith(META_SUFFIX) else None


def _at_index(prefix: str, look: ListDirectory = list_directory) -> CheckpointFiles:
    """The checkpoint of a file that is there and is called like the index of a prefix."""
    path = prefix + INDEX_SUFFIX
    if _table_format(path) == "v1":
        return CheckpointFiles(path, "v1", (path,))
    prefix = _linked_prefix(prefix, look) or prefix
    return CheckpointFiles(prefix, "v2", (prefix + INDEX_SUFFIX,))


def _linked_prefix(prefix: str, look: ListDirectory) -> str | None:
    """The prefix whose index that of ``prefix`` is a link to, where the data files are only there."""
    path = prefix + INDEX_SUFFIX
    if not os.path.islink(path):
        return None
    target = os.path.realpath(path)
    if not target.endswith(INDEX_SUFFIX):
        return None
    target = target.removesuffix(INDEX_SUFFIX)
    directory = os.path.dirname(prefix)
    if os.path.dirname(target) == os.path.realpath(directory or os.curdir):
        # A link within a directory: the prefix stays relative, and the same by either name.
        target = os.path.join(directory, os.path.basename(target))
    try:
        return None if data_files(prefix, look) else target if data_files(target, look) else None
    except NotReadableError:
        return None  # a directory that may not be listed: the names are taken as they are


def _at_file(path: str, prefix: str | None) -> CheckpointFiles:
    """The checkpoint of a file; ``prefix`` is that of a data shard or graph, if it is called like one."""
    directory, name = os.path.split(path)
    if name in SAVED_MODEL_FILES:
        return _in_saved_model(directory)
    if _has_table_magic(path):
        if path.endswith(INDEX_SUFFIX):
            return _at_index(path.removesuffix(INDEX_SUFFIX))
        if _table_format(path) == "v1":
            return _v1_at(path)
        return CheckpointFiles(_renamed_prefix(path), "v2", (path,))
    if prefix is not None:
        found = _v1_named(prefix)
        if found is not None:
            return found
        kind = _recognise(path)
        # Any bytes may be those of a data shard.
        is_misnamed = path.endswith(META_SUFFIX) and kind not in (None, EMPTY)
        if kind is LFS_POINTER or (is_misnamed and kind is not None and kind.holds is not Holds.META_GRAPH):
            raise _no_table(path)
        raise _not_found(path, prefix)
    if _is_state(path):
        state = read_checkpoint_state(directory, name)
        if state is not None:
            return _latest_of(state)
    raise _no_table(path)


def _renamed_prefix(path: str, look: ListDirectory = list_directory) -> str:
    """The prefix of an index that is not called like one: what its data shards are called, else its path."""
    candidate = path
    while not data_files(candidate, look):
        shorter = os.path.splitext(candidate)[0]
        if shorter == candidate:
            return path
        candidate = shorter
    return candidate


def _v1_at(path: str, look: ListDirectory = list_directory) -> CheckpointFiles:
    """The V1 checkpoint that a file which is one, or one shard of it, belongs to."""
    suffix = V1_SHARD_SUFFIX.search(path)
    if suffix is None:
        return CheckpointFiles(path, "v1", (path,))
    prefix = f"{path[: suffix.start()]}-?????-of-{suffix[2]}"
    return _v1_set(prefix, v1_shards(prefix, look).get(prefix, [path]))


def _v1_set(prefix: str, paths: Sequence[str]) -> CheckpointFiles:
    base, _, count = prefix.rpartition("-?????-of-")
    announced = (f"{base}-{shard:05d}-of-{count}" for shard in range(int(count)))
    there = set(paths)
    return CheckpointFiles(prefix, "v1", tuple(paths), tuple(path for path in announced if path not in there))


def _v1_named(prefix: str) -> CheckpointFiles | None:
    """The V1 checkpoint of a prefix: a file, the literal pattern of shards, or what stands before that."""
    if kind_of(prefix) == "file":
        return _v1_at(prefix) if _has_table_magic(prefix) and _table_format(prefix) == "v1" else None
    named = V1_PATTERN_SUFFIX.search(prefix) is not None
    sets = v1_shards(prefix if named else f"{prefix}-?????-of-?????")
    if not named:
        # Shards of something else (data sets are called like this too) matter only if they were meant.
        sets = {key: paths for key, paths in sets.items() if _has_table_magic(paths[0])}
    if len(sets) > 1:
        raise CheckpointNotFoundError(
            f"{prefix}: {len(sets)} checkpoints are called so; name one: {_some(list(sets))}",
            tried=list(sets),
        )
    for key, paths in sets.items():
        if _table_format(paths[0]) == "v1":
            return _v1_set(key, paths)
    return None


# --- directories ------------------------------------------------------------------------------------------


def _has_state(directory: str) -> bool:
    """Whether a directory has a state file; a V1 checkpoint may be called ``checkpoint`` too."""
    path = os.path.join(directory, STATE_FILE)
    return kind_of(path) == "file" and not _has_table_magic(path)


def _in_directory(directory: str) -> CheckpointFiles:
    state = _read_state(directory) if _has_state(directory) else None
    variables = os.path.join(directory, SAVED_MODEL_PREFIX)
    has_variables = kind_of(variables + INDEX_SUFFIX) == "file"
    if state is not None and (state.latest is not None or not has_variables):
        return _latest_of(state)
    if has_variables:
        return _at_index(variables)
    scan = _scan(directory)
    if len(scan.checkpoints) == 1:
        return scan.checkpoints[0]
    tried = [os.path.join(directory, STATE_FILE), variables + INDEX_SUFFIX]
    if scan.checkpoints:
        raise CheckpointNotFoundError(
            f"{directory}: {len(scan.checkpoints)} checkpoints and no file {STATE_FILE!r} that says which is "
            f"the latest; name one: {_some(scan.prefixes)}",
            tried=tried,
        )
    if scan.damaged:
        raise scan.damaged[0]
    if any(name in SAVED_MODEL_FILES for name in scan.listing.files):
        return _in_saved_model(directory)
    hints = _orphans(directory, scan.listing)
    below = (os.path.join(directory, name) for name in scan.listing.directories[:MAX_SUBDIRECTORIES])
    homes = [path for path in below if _looks_like_home(path)]
    if homes:
        hints.append(f"look in {_some(homes)}")
    if not hints:
        hints.append("none of its files is one" if scan.listing.files else "it has no files")
        example = example_in(directory)
        hints += [] if example is None else [example]
    raise CheckpointNotFoundError(
        "; ".join([f"{directory}: no checkpoint in this directory", *hints]), tried=tried
    )


def _read_state(directory: str) -> CheckpointState | None:
    """The state of a directory; where it is damaged the error also says which checkpoints are there."""
    try:
        return read_checkpoint_state(directory)
    except CorruptError as error:
        there = _scan(directory).prefixes
        if not there:
            raise
        raise CorruptError(
            f"{error.what}; name a checkpoint instead: {_some(there)}", file=error.file, offset=error.offset
        ) from error


def _in_saved_model(directory: str) -> CheckpointFiles:
    prefix = os.path.join(directory, SAVED_MODEL_PREFIX)
    index = prefix + INDEX_SUFFIX
    if kind_of(index) == "file":
        return _at_index(prefix)
    folder = os.path.dirname(prefix)
    what = f"{directory or os.curdir}: a SavedModel without variables: {index} is not there"
    hints = [*_orphans(folder, list_directory(folder)), SAVED_MODEL_DIRECTORY.remedy]
    raise CheckpointNotFoundError("; ".join([what, *hints]), tried=[index])


def _latest_of(state: CheckpointState) -> CheckpointFiles:
    """The checkpoint that a state file names as the latest."""
    prefix = state.latest
    if prefix is not None:
        # A state file must not lead to another: two could lead to each other.
        if (
            kind_of(prefix + INDEX_SUFFIX) != "file"
            and kind_of(prefix) == "file"
            and not _has_table_magic(prefix)
        ):
            raise _no_table(prefix)
        return _at_path(prefix)
    # The file may have been copied without the checkpoint. Which of the others to take is for the caller.
    scan = _scan(state.directory)
    candidates = state.candidates(state.model_checkpoint_path)
    hints = _orphans(state.directory, scan.listing)
    hints.append(
        f"what is there: {_some(scan.prefixes)}" if scan.prefixes else "no checkpoint lies beside it"
    )
    what = (
        f"{state.path}: names {shortened(repr(state.model_checkpoint_path))} as the latest checkpoint, which "
        f"is not there: tried {', '.join(map(shortened, candidates))}"
    )
    tried = [path for candidate in candidates for path in (candidate + INDEX_SUFFIX, candidate)]
    raise CheckpointNotFoundError("; ".join([what, *hints]), tried=tried)


@dataclass(frozen=True, slots=True)
class _Scan:
    """What is in a directory."""

    listing: Listing
    """Names of all files, and which belong together."""
    checkpoints: list[CheckpointFiles]
    """The checkpoints, in natural order of their prefixes."""
    damaged: list[CorruptError]
    """What is wrong with tables that may have been checkpoints."""

    @property
    def prefixes(self) -> list[str]:
        return [files.prefix for files in self.checkpoints]


def _scan(directory: str, near: str | None = None) -> _Scan:
    """Look for the checkpoints in a directory; given a name, for those that it may have been meant for.

    For a name, not more than MAX_GUESSED files are opened whose neighbours do not tell what they are.
    """
    look = functools.cache(list_directory)
    listing = look(directory)
    found: dict[str, CheckpointFiles] = {}
    renamed: list[CheckpointFiles] = []
    damaged: list[CorruptError] = []
    seen: set[str] = set()
    names = [
        name
        for name in listing.files
        if not TEMPSTATE_SUFFIX.search(name) and _prefix_of_neighbour(name) is None
    ]
    for name in names if near is None else _guesses(names, listing, near):
        path = os.path.join(directory, name)
        if path in seen:
            continue
        prefix = path.removesuffix(INDEX_SUFFIX)
        try:
            if prefix != path:
                files = _at_index(prefix, look)
            elif not _has_table_magic(path):
                continue
            elif _table_format(path) == "v1":
                files = _v1_at(path, look)
            else:
                renamed.append(CheckpointFiles(_renamed_prefix(path, look), "v2", (path,)))
                continue
        except (CheckpointNotFoundError, NotReadableError):
            continue  # gone since, or not ours
        except (CorruptError, UnsupportedError) as error:
            # Other programs have files called .index too; data shards tell that this is meant.
            if prefix == path or not data_files(prefix, look):
                if isinstance(error, CorruptError):
                    damaged.append(error)
                continue
            files = CheckpointFiles(prefix, "v2", (path,))
        found[files.tables[0]] = files
        seen.update(files.tables)  # the other shards of a V1 checkpoint tell nothing new
    # A copy of an index under another name (.bak) must not make a directory of one checkpoint ambiguous.
    checkpoints = sorted(found.values() or renamed, key=lambda files: natural_order(files.prefix))
    return _Scan(listing, checkpoints, damaged)


def _guesses(names: Sequence[str], listing: Listing, near: str) -> list[str]:
    """The names that may be meant: those with neighbours that tell, then those that begin like ``near``."""
    files = set(listing.files)
    likely: list[str] = []
    others: list[str] = []
    later: list[str] = []
    for name in names:
        shard = V1_SHARD_SUFFIX.search(name)
        if shard is not None:
            # The first of a set tells for all of them, unless it is damaged.
            first = listing.shards[name[: shard.start()]][shard[2]][0]
            (likely if shard[0] == first else later).append(name)
        elif name + META_SUFFIX in files or name.removesuffix(INDEX_SUFFIX) in listing.data:
            likely.append(name)
        else:
            others.append(name)
    if len(others) > MAX_GUESSED:
        others.sort(key=lambda name: -_common_length(name, near))
    return likely + (others + later)[:MAX_GUESSED]


def _common_length(one: str, other: str) -> int:
    """How many characters two names begin with alike."""
    pairs = zip(one, other, strict=False)
    return next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))


def _looks_like_home(directory: str) -> bool:
    """Whether a directory seems to hold checkpoints; its files are not opened."""
    try:
        names = list_directory(directory).files
    except NotReadableError:
        return False
    return any(name.endswith(INDEX_SUFFIX) or name in (STATE_FILE, *SAVED_MODEL_FILES) for name in names)


# --- contents ---------------------------------------------------------------------------------------------


def _has_table_magic(path: str) -> bool:
    file = MappedFile(path)
    try:
        return has_table_magic(file)
    finally:
        file.close()


def _table_format(path: str) -> Format:
    """Whether a table is a V2 index or a V1 checkpoint."""
    file = MappedFile(path)
    try:
        if not has_table_magic(file):
            raise _no_table(path)
        found = checkpoint_format(Table(file))
    except CorruptError as error:
        raise error.within(path) from error.__cause__
    finally:
        file.close()
    if found is None:
        raise CorruptError("a table without the empty key: not a checkpoint", file=path)
    return found


def _no_table(path: str) -> CorruptError | UnsupportedError:
    """The error for a file that is no table: what it seems to be instead."""
    file = MappedFile(path)
    try:
        kind = recognise(file)
        if kind is EMPTY:
            return TruncatedError(
                f"an empty file, not {Holds.CHECKPOINT.value}", wanted=FOOTER_SIZE, available=0, file=path
            )
        if kind is not None:
            return misfit(path, kind, Holds.CHECKPOINT)
        Table(file)
    except CorruptError as error:
        return error
    finally:
        file.close()
    return CorruptError("not a table when it was first looked at", file=path)


def _is_state(path: str) -> bool:
    """Whether a file that is no table is a state file, though programs may call it otherwise."""
    kind = _recognise(path)
    return kind is STATE or (os.path.basename(path) == STATE_FILE and kind in (None, EMPTY, TEXT_FILE))


def _recognise(path: str) -> Kind | None:
    file = MappedFile(path)
    try:
        return recognise(file)
    finally:
        file.close()


# --- near misses ------------------------------------------------------------------------------------------


def _not_found(path: str, prefix: str | None) -> CheckpointNotFoundError:
    """The error for a path that leads nowhere: what was tried, and what is there instead."""
    wanted = path.removesuffix(INDEX_SUFFIX) if prefix is None else prefix
    tried = [path + INDEX_SUFFIX, path] if wanted == path else [path, wanted + INDEX_SUFFIX, wanted]
    tried = list(dict.fromkeys(tried))
    hints = _near_misses(path, wanted)
    return CheckpointNotFoundError(
        "; ".join([f"{path}: no checkpoint: tried {', '.join(tried)}", *hints]), tried=tried
    )


def _near_misses(path: str, wanted: str) -> list[str]:
    directory, name = os.path.split(wanted)
    if kind_of(directory or os.curdir) != "directory":
        return [f"there is no directory {directory}"]
    if kind_of(path) == "other":
        return ["it is neither a file nor a directory"]
    scan = _scan(directory, near=name)
    hints = _orphans(directory, scan.listing, only=name)
    if wanted in scan.prefixes:
        return [*hints, f"{wanted} is there"]
    by_name = {os.path.basename(prefix): prefix for prefix in scan.prefixes}
    import difflib  # only errors need it

    alike = [by_name[close] for close in difflib.get_close_matches(name, by_name)]
    if alike:
        hints.append(f"did you mean {' or '.join(map(repr, alike))}?")
    elif by_name:
        hints.append(f"what is there: {_some(scan.prefixes)}")
    return hints


def _orphans(directory: str, listing: Listing, only: str | None = None) -> list[str]:
    """What is there of checkpoints whose index is not, said for an error message."""
    parts: dict[str, list[str]] = {}
    for name in listing.files:
        whole = TEMPSTATE_SUFFIX.sub("", name)
        prefix = _prefix_of_neighbour(whole) or whole.removesuffix(INDEX_SUFFIX)
        if prefix != whole and only in (None, prefix):
            parts.setdefault(prefix, []).append(name)
    hints: list[str] = []
    has_graph = False
    for prefix, files in parts.items():
        if len(hints) >= MAX_LISTED:
            break
        if existing_prefix(os.path.join(directory, prefix), lambda _: listing) is not None:
            continue
        index = prefix + INDEX_SUFFIX
        data = [name for name in files if DATA_SUFFIX.search(name)]
        unfinished = [name for name in files if TEMPSTATE_SUFFIX.search(name)]
        if data:
            hints.append(f"{_some(data)} {_be(data)} there, {index} is not")
        elif prefix + META_SUFFIX in files:
            hints.append(f"{prefix}{META_SUFFIX} is there, but holds only the graph: {index} is not there")
            has_graph = True
        if unfinished:
            hints.append(f"{_some(unfinished)} {_be(unfinished)} there: a save that did not finish")
    return [*hints[:MAX_LISTED], *([META_GRAPH.remedy] if has_graph else [])]


def _some(names: Sequence[str]) -> str:
    """The names for an error message, not too many."""
    more = len(names) - MAX_LISTED
    listed = ", ".join(names[:MAX_LISTED])
    return f"{listed} and {more} more" if more > 0 else listed


def _be(names: Sequence[str]) -> str:
    return "is" if len(names) == 1 else "are"
