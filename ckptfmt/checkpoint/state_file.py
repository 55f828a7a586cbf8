r"""The ``checkpoint`` state file: the checkpoints of a directory, and which is the latest.

It is a CheckpointState message in protobuf's text format::

    model_checkpoint_path: "ckpt-3"                        the latest
    all_model_checkpoint_paths: "ckpt-2"                   oldest to newest
    all_model_checkpoint_paths: "ckpt-3"
    all_model_checkpoint_timestamps: 1795247177.7651331    seconds since the epoch, one for each path
    last_preserved_timestamp: 1795247176.7255173

Paths are relative to the directory, or absolute as they were on the machine that wrote them. ``"."`` is the
prefix that is the directory itself, with files named ``.index`` and ``.data-00000-of-00001``: Keras makes it
for ``save_weights("weights/")``.

TensorFlow parses the file with protobuf's parser in Python, which keeps escapes that it does not know:
``"D:\work\ckpt-3"`` stays as it is. It ignores a file with ``"C:\Users"``, which begins another escape, or
with a byte order mark. Here these are read too, except by ``compat.get_checkpoint_state``.
"""

from __future__ import annotations

import codecs
import ntpath
import os
import re
from contextlib import suppress
from dataclasses import dataclass, field
from typing import NamedTuple

from ckptfmt.checkpoint.directory import Directories
from ckptfmt.checkpoint.pattern import files_matching
from ckptfmt.errors import CheckpointNotFoundError, CorruptError, PathNotFoundError
from ckptfmt.filenames import INDEX_SUFFIX, STATE_FILE
from ckptfmt.limits import DEFAULT, Limits, check_limits
from ckptfmt.proto import messages
from ckptfmt.proto.parse import parse_text
from ckptfmt.storage.filesystem import Filesystem, read_small_file
from ckptfmt.storage.foreign_paths import is_remote
from ckptfmt.storage.local import LOCAL, filesystem_of
from ckptfmt.text.quoting import shortened

MAX_STATE_BYTES = 1 << 22
"""A larger file is not a state file, even if it has the name of one, unless there are no limits: this is room
for 10,000 long paths."""

_ENCODINGS = {codecs.BOM_UTF8: "utf-8", codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}
"""Byte order mark -> encoding of the text after it."""

_ESCAPES = {7: r"\a", 8: r"\b", 9: r"\t", 10: r"\n", 11: r"\v", 12: r"\f", 13: r"\r"}
"""Control characters -> the escapes that they came from, which may have been separators and letters."""


_USUAL_LINE = re.compile(
    rb"(model_checkpoint_path|all_model_checkpoint_paths): \"([ !#-\[\]-~]+)\"\n"
    rb"|(all_model_checkpoint_timestamps|last_preserved_timestamp): ([1-9][0-9]*(?:\.[0-9]+)?)\n"
)
"""A line as TensorFlow writes it, with a path of ASCII without escapes, or a time."""


class _UsualState(NamedTuple):
    """A message of lines as TensorFlow writes them; the fields are those of CheckpointState."""

    model_checkpoint_path: str
    all_model_checkpoint_paths: list[str]
    all_model_checkpoint_timestamps: list[float]
    last_preserved_timestamp: float


@dataclass(frozen=True, slots=True)
class CheckpointState:
    """The content of a ``checkpoint`` state file, with paths as they are stored."""

    directory: str
    """The directory of the state file, as it was given."""
    model_checkpoint_path: str
    """The latest checkpoint."""
    all_model_checkpoint_paths: tuple[str, ...] = ()
    """Checkpoints not yet deleted when the file was written, oldest first."""
    all_model_checkpoint_timestamps: tuple[float, ...] = ()
    """When each of them was written, in seconds since 1970; empty if the file does not say."""
    last_preserved_timestamp: float = 0.0
    """When the last checkpoint to be kept for good was written; 0.0 if the file does not say."""
    filename: str = STATE_FILE
    """Name of the state file."""
    fs: Filesystem = field(default=LOCAL, repr=False, compare=False)
    """The file system that the directory is in."""

    @property
    def path(self) -> str:
        """Path of the state file."""
        return os.path.join(self.directory, self.filename)

    @property
    def latest(self) -> str | None:
        """Prefix of the latest checkpoint, ready to be opened; None if its files do not exist."""
        return self.resolve(self.model_checkpoint_path)

    @property
    def existing(self) -> tuple[str, ...]:
        """Prefixes of the ``all_model_checkpoint_paths`` whose files exist, oldest first."""
        look = Directories(self.fs)
        prefixes = (self._resolve(path, look) for path in self.all_model_checkpoint_paths)
        return tuple(prefix for prefix in prefixes if prefix is not None)

    def resolve(self, stored: str) -> str | None:
        """Return the prefix, ready to be opened, of a path stored in this file; None if no files exist.

        As in TensorFlow, an absolute path is used as it is, and a relative one joined to the directory. If
        that leads nowhere, the last part of the path is tried in the directory itself, so that a directory
        that was moved, or copied from another machine, still opens. The path may be a pattern for files of a
        V1 checkpoint.
        """
        look = Directories(self.fs)
        return self._resolve(stored, look) or self._resolve_pattern(stored, look)

    def _resolve_pattern(self, stored: str, look: Directories) -> str | None:
        for candidate in self.candidates(stored):
            with suppress(CheckpointNotFoundError):  # it matches other files too
                if files_matching(look, candidate) is not None:
                    return candidate
        return None

    def _resolve(self, stored: str, look: Directories) -> str | None:
        for candidate in self.candidates(stored):
            # If the state file names a checkpoint with its own name, the state file is not that checkpoint.
            if candidate == self.path and self.fs.path_type(candidate + INDEX_SUFFIX) != "file":
                continue
            prefix = look.existing_prefix(candidate)
            if prefix is not None:
                return prefix
        return None

    def candidates(self, stored: str) -> tuple[str, ...]:
        """Return the prefixes that :meth:`resolve` tries, in that order."""
        names: list[str] = []
        # People who write the file themselves leave spaces at the end, and backslashes unescaped.
        for spelling in dict.fromkeys((stored, stored.strip(), stored.translate(_ESCAPES))):
            # A path that ends in a separator is a prefix without a name of its own, which is "." here.
            # ntpath splits at both separators, because the file may come from Windows.
            bases = os.path.basename(spelling) or os.curdir, ntpath.basename(spelling) or os.curdir
            # A bucket cannot be reached. Whoever copied the state file from it put the checkpoint beside it.
            names += bases if is_remote(spelling) else (spelling, *bases)
        return tuple(dict.fromkeys(os.path.join(self.directory, name) for name in names)) if stored else ()


def read_checkpoint_state(
    directory: str | os.PathLike[str],
    latest_filename: str = STATE_FILE,
    *,
    backend: str = "mmap",
    fs: Filesystem | None = None,
    limits: Limits = DEFAULT,
) -> CheckpointState | None:
    """Return the state file of a directory; None if it has none.

    Raises
    ------
    LimitError
        The file has more bytes than ``limits.max_bytes``.
    CorruptError
        The file is not a CheckpointState in text format, has an unknown field, or does not name a latest
        checkpoint; the message has the line. Or it has more than 4 MiB, except with ``Limits.NONE``.
    NotReadableError
        The file cannot be read.
    """
    check_limits(limits)
    return read_state(filesystem_of(backend, fs), os.fspath(directory), latest_filename, limits)


def read_state(
    fs: Filesystem, directory: str, filename: str = STATE_FILE, limits: Limits = DEFAULT
) -> CheckpointState | None:
    """Return the state file of a directory; see :func:`read_checkpoint_state`."""
    message = _parse(fs, directory, filename, limits, as_tensorflow=False)
    return None if message is None else _checked(fs, directory, filename, message)


def latest_checkpoint(
    directory: str | os.PathLike[str],
    latest_filename: str | None = None,
    *,
    backend: str = "mmap",
    fs: Filesystem | None = None,
    limits: Limits = DEFAULT,
) -> str | None:
    """Return the prefix of the latest checkpoint that the state file of a directory names, or None.

    As in TensorFlow, the result is None if there is no state file, if it cannot be parsed, or if the
    checkpoint that it names does not exist; the last two are logged as warnings, as is a remote path.
    :func:`read_checkpoint_state` raises instead. Unlike TensorFlow's function, this one takes ``*`` and
    ``[1]`` in a path literally, and finds the checkpoint beside the state file if the stored path is that of
    another machine. ``limits`` are those of :func:`read_checkpoint_state`.

    Raises
    ------
    CorruptError
        The file names no latest checkpoint at all. In TensorFlow this is a ValueError, which it is here too.
    NotReadableError
        The file cannot be read.
    """
    check_limits(limits)
    fs = filesystem_of(backend, fs)
    state = read_state_or_warn(fs, os.fspath(directory), latest_filename, limits, as_tensorflow=False)
    if state is None:
        return None
    latest = state.latest
    if latest is None:
        stored = state.model_checkpoint_path
        tried = ", ".join(map(shortened, state.candidates(stored)))
        _warn("%s: %s does not exist: tried %s", state.path, shortened(repr(stored)), tried)
    return latest


def read_state_or_warn(
    fs: Filesystem,
    directory: str,
    filename: str | None = None,
    limits: Limits = DEFAULT,
    *,
    as_tensorflow: bool,
) -> CheckpointState | None:
    """Return the state file of a directory; None, with a warning logged, if it cannot be parsed.

    With ``as_tensorflow``, that is so whenever TensorFlow cannot parse it.
    """
    filename = filename or STATE_FILE
    try:
        message = _parse(fs, directory, filename, limits, as_tensorflow=as_tensorflow)
    except CorruptError as error:
        _warn("checkpoint state ignored: %s", error)
        return None
    except PathNotFoundError as error:
        _warn("no checkpoint state: %s", error)  # the path is not one of this machine
        return None
    return None if message is None else _checked(fs, directory, filename, message)


def _parse(
    fs: Filesystem, directory: str, filename: str, limits: Limits, *, as_tensorflow: bool
) -> messages.CheckpointState | _UsualState | None:
    path = os.path.join(directory, filename)
    # People also call a directory of checkpoints "checkpoint".
    if fs.path_type(path) != "file":
        return None
    limit = limits.value if limits.max_bytes is None else MAX_STATE_BYTES
    try:
        data = read_small_file(fs, path, limit=limit, what="a state file")
    except PathNotFoundError:
        return None  # deleted since
    limits.check_bytes("bytes of a state file", len(data), file=path)
    usual = _parse_usual(data)
    if usual is not None:
        return usual
    try:
        return _parse_text(data, path)
    except CorruptError as error:
        message = None if as_tensorflow else _parse_handwritten(data, path)
        if message is None:
            raise error from error.__cause__
        return message


def _parse_usual(data: bytes) -> _UsualState | None:
    """Parse a state file of usual lines without protobuf, whose import takes longer than all of opening."""
    paths: dict[bytes, list[str]] = {}
    times: dict[bytes, list[float]] = {}
    end = 0
    while match := _USUAL_LINE.match(data, end):
        path_field, path, time_field, time = match.groups()
        if path_field:
            paths.setdefault(path_field, []).append(path.decode("ascii"))
        else:
            times.setdefault(time_field, []).append(float(time))
        end = match.end()
    if end < len(data):
        return None
    return _UsualState(
        paths.get(b"model_checkpoint_path", [""])[-1],
        paths.get(b"all_model_checkpoint_paths", []),
        times.get(b"all_model_checkpoint_timestamps", []),
        times.get(b"last_preserved_timestamp", [0.0])[-1],
    )


def _parse_text(text: bytes | str, path: str) -> messages.CheckpointState:
    # As in TensorFlow, a field that occurs again replaces the earlier one.
    return parse_text(messages.CheckpointState, text, path, last_wins=True, unknown_escapes=True)


def _parse_handwritten(data: bytes, path: str) -> messages.CheckpointState | None:
    """Parse a state file as editors and shells of Windows write it; None if that does not help.

    They begin it with a byte order mark, write UTF-16, or leave every backslash of a path unescaped.
    """
    mark = next((mark for mark in _ENCODINGS if data.startswith(mark)), b"")
    try:
        text = data[len(mark) :].decode(_ENCODINGS.get(mark, "utf-8"), "surrogateescape")
    except UnicodeDecodeError:
        return None  # UTF-16 that ends within a character, or has half a pair
    for spelling in (text, text.replace("\\", r"\\")):
        try:
            return _parse_text(spelling, path)
        except CorruptError:
            continue
    return None


def _checked(
    fs: Filesystem, directory: str, filename: str, message: messages.CheckpointState | _UsualState
) -> CheckpointState:
    state = CheckpointState(
        directory=directory,
        model_checkpoint_path=message.model_checkpoint_path,
        all_model_checkpoint_paths=tuple(message.all_model_checkpoint_paths),
        all_model_checkpoint_timestamps=tuple(message.all_model_checkpoint_timestamps),
        last_preserved_timestamp=message.last_preserved_timestamp,
        filename=filename,
        fs=fs,
    )
    if not state.model_checkpoint_path:
        raise CorruptError("model_checkpoint_path: got none, want the path of a checkpoint", file=state.path)
    return state


def _warn(message: str, *values: object) -> None:
    import logging  # rarely needed

    logging.getLogger(__name__).warning(message, *values)
