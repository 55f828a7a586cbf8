"""Refusals: errors for a file of the wrong kind, which say what it is and what reads it.

A reader raises :func:`refusal` for such a file, so that a user who tries to open an HDF5 file as a checkpoint
learns that h5py reads it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from contextlib import closing, suppress

from ckptfmt.errors import CkptfmtError, CorruptError, UnsupportedError
from ckptfmt.filenames import (
    DATA_SUFFIX,
    INDEX_SUFFIX,
    META_SUFFIX,
    SAVED_MODEL_FILES,
    STATE_FILE,
    V1_PATTERN_SUFFIX,
    V1_SHARD_SUFFIX,
)
from ckptfmt.filetype.archives import decompressed
from ckptfmt.filetype.content import recognise_look
from ckptfmt.filetype.kinds import EMPTY, GRAPH, Holds, Kind
from ckptfmt.filetype.look import Look
from ckptfmt.filetype.paths import recognise_path
from ckptfmt.record.event_names import is_event_file, time_order
from ckptfmt.storage.file import RandomAccessFile
from ckptfmt.storage.filesystem import Filesystem
from ckptfmt.storage.in_memory import MemoryFile
from ckptfmt.text.quoting import beginning
from ckptfmt.wire.text_conversion import SAMPLE_SIZE, text_conversion

MAX_EXAMPLES = 20
"""How many files of a directory are looked at to find an example."""

_GRAPH_SUFFIXES = (".pb", ".pbtxt", ".pbmm")


def refusal(fs: Filesystem, path: str, wanted: Holds) -> CkptfmtError:
    """Return the error for a path that does not lead to what was wanted.

    UnsupportedError if it leads to something of a known kind, else CorruptError.
    """
    kind = recognise_path(fs, path)
    if fs.path_type(path) != "file":
        return refusal_of(kind, path, wanted, fs)
    with closing(fs.open(path)) as file:
        return refusal_of(kind, path, wanted, fs, Look(file))


def refusal_of(
    kind: Kind | None, name: str, wanted: Holds, fs: Filesystem | None = None, look: Look | None = None
) -> CkptfmtError:
    """Return the error for content of a kind (None if unknown); ``name`` is what it calls the content.

    With a look at the content, it says what went wrong with it, or how it begins.
    """
    if kind is EMPTY:
        return CorruptError(f"an empty file, not {wanted.value}", file=name)
    if look is not None and (kind is None or kind.holds is not None):
        # The content may have been what was wanted before it was converted.
        converted = conversion_of(look.file)
        if converted is not None:
            return CorruptError(converted, file=name)
    if kind is not None:
        return misfit(name, kind, wanted, fs, look)
    begins = "" if look is None else f": {beginning(look.head, look.size)}"
    return CorruptError(f"an unknown kind of file, not {wanted.value}{begins}", file=name)


def conversion_of(file: RandomAccessFile) -> str | None:
    """Return how a damaged binary file was changed as text, as a clause; None if it does not look like it."""
    return text_conversion(file.read(0, min(file.size, SAMPLE_SIZE)))


def misfit(
    path: str, kind: Kind, wanted: Holds, fs: Filesystem | None = None, look: Look | None = None
) -> UnsupportedError:
    """Return the error for a path that leads to something of one kind when another was wanted.

    With ``fs`` it also says where the graph of a checkpoint is, and with a look what the file has in it.
    """
    hints = []
    if look is not None and kind.detail is not None:
        hints.append(kind.detail(look) or _compressed(look))
    if kind.holds is None or kind.holds is not wanted:
        # Not for a file that holds what was wanted but was refused because it is damaged: the advice would
        # send the caller back to the function that has just refused it.
        hints.append(kind.reader)
    if fs is not None and wanted is not Holds.CHECKPOINT and kind.holds is Holds.CHECKPOINT:
        hints += _graph_of(fs, path)
    return UnsupportedError(with_hints(f"{kind.what}, not {wanted.value}", hints), file=path)


def with_hints(what: str, hints: Iterable[str]) -> str:
    """Return a message with hints after a colon; empty ones are left out."""
    clauses = "; ".join(filter(None, hints))
    return f"{what}: {clauses}" if clauses else what


def _compressed(look: Look) -> str:
    """Return a clause about what a compressed file holds that is not an archive."""
    content = decompressed(look.near)
    kind = recognise_look(Look(MemoryFile(content))) if content else None
    return f"it contains {kind.what}" if kind is not None else ""


def _graph_of(fs: Filesystem, path: str) -> list[str]:
    """Return where the graph of a checkpoint is, as a clause; nothing if it has none."""
    base = path.removesuffix(INDEX_SUFFIX)
    for suffix in (DATA_SUFFIX, V1_SHARD_SUFFIX, V1_PATTERN_SUFFIX):
        match = suffix.search(base)
        base = base if match is None else base[: match.start()]
    if fs.path_type(base + META_SUFFIX) == "file":
        return [f"its graph is in {base}{META_SUFFIX}"]
    # There is no .meta file beside it: it may be that of a SavedModel, or the path a training directory.
    directory = path if fs.path_type(path) == "directory" else os.path.dirname(path)
    parent, name = os.path.split(directory.rstrip(os.sep))
    if name == "variables" and any(fs.path_type(os.path.join(parent, file)) for file in SAVED_MODEL_FILES):
        return [f"its graph is in the SavedModel {parent or os.curdir}"]
    files = fs.list_directory(directory or os.curdir).files
    if directory == path or os.path.basename(path) == STATE_FILE:
        graphs = [file for file in files if file.endswith(META_SUFFIX)]
        # The last in natural order is, as a rule, the latest.
        if graphs:
            return [f"a graph is in {os.path.join(directory, graphs[-1])}"]
    return [_other_graph(fs, directory, files)]


def _other_graph(fs: Filesystem, directory: str, files: Sequence[str]) -> str:
    """Return where a program may have written the graph besides its checkpoints; empty if nowhere."""
    named = sorted((file for file in files if file.endswith(_GRAPH_SUFFIXES)), key=_graph_order)
    for file in named[:MAX_EXAMPLES]:
        path = os.path.join(directory, file)
        with suppress(CkptfmtError):
            kind = recognise_path(fs, path)
            if kind is not None and kind.holds in (Holds.GRAPH, Holds.META_GRAPH):
                return f"a graph is in {path}: {kind.reader}"
    # Not opened: it may have gigabytes of events. A run writes its graph when it begins.
    events = sorted(filter(is_event_file, files), key=time_order)
    if not events:
        return ""
    return f"a graph may be in the event file {os.path.join(directory, events[0])}: {GRAPH.reader}"


def _graph_order(name: str) -> tuple[bool, str]:
    """Return a sort key: the name that TensorFlow gives to the graph of a training run comes first."""
    return not name.startswith("graph."), name


def example_in(fs: Filesystem, directory: str) -> str | None:
    """Return a clause about one file in a directory, what it is and what reads it, or None.

    A file that this package reads is preferred.
    """
    examples: list[tuple[bool, str]] = []
    for name in fs.list_directory(directory).files[:MAX_EXAMPLES]:
        path = os.path.join(directory, name)
        with suppress(CkptfmtError):
            kind = recognise_path(fs, path)
            if kind is not None and kind.reader:
                examples.append((kind.holds is None, f"{path} is {kind.what}: {kind.reader}"))
    return min(examples, key=lambda example: example[0])[1] if examples else None


def instead_in(fs: Filesystem, directory: str) -> str | None:
    """Return a clause about a directory, or else about a file in it: what it is and what reads it."""
    kind = recognise_path(fs, directory)
    if kind is None:
        return example_in(fs, directory)
    return with_hints(f"it is {kind.what}", [kind.reader])
