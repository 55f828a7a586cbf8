"""The reading functions of ``tf.train``, and ``summary_iterator``, without TensorFlow.

Code that only reads checkpoints works by changing its import::

    from ckptfmt import compat

    reader = compat.load_checkpoint("training/")          # tf.train.load_checkpoint
    reader.get_variable_to_shape_map()                    # {'dense/kernel': [784, 10], ...}
    reader.get_tensor("dense/kernel")                     # a writable NumPy array

Arguments, return types and results are those of TensorFlow 2.21, unless its result is wrong or missing:

- Every path that :func:`ckptfmt.open` opens works: an ``.index`` path (an empty map in TensorFlow), a prefix
  with ``[1]`` or ``*`` in it, a directory with one checkpoint and no state file, one moved from another
  machine, or what :func:`latest_checkpoint` returns for ``save_weights("weights/")`` of Keras.
- Partitioned tensors of every dtype are put together, those of V1 checkpoints too.
- :meth:`CheckpointReader.debug_string` lists a partitioned tensor once, not the encoded key of each slice.

Dtypes are :class:`ckptfmt.DType`, with the attributes of ``tf.DType`` that readers use (``name``, ``size``,
``as_numpy_dtype``, ``is_floating``, …). They compare equal to each other, to those of TensorFlow, to their
names and to their NumPy dtypes. ``as_numpy_dtype`` of a quantised type is an integer type (``np.int8`` for
``qint8``), the dtype of its arrays here; in TensorFlow it is a record of one integer.

Errors are those of :mod:`ckptfmt.errors`: a missing tensor is a KeyError, a missing checkpoint a
FileNotFoundError, and if the path is a directory also a ValueError, as in TensorFlow.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

from ckptfmt.checkpoint import state_file as checkpoint_state
from ckptfmt.checkpoint.directory import Directories
from ckptfmt.checkpoint.entry import Entry, name_of
from ckptfmt.dtypes import DType
from ckptfmt.errors import CheckpointNotFoundError, PathNotFoundError
from ckptfmt.events.event_log import open_events
from ckptfmt.filenames import INDEX_SUFFIX, prefix_within
from ckptfmt.proto import messages
from ckptfmt.storage.local import LOCAL
from ckptfmt.tensors.checkpoint import open_checkpoint

__all__ = [
    "CheckpointReader",
    "NewCheckpointReader",
    "checkpoint_exists",
    "checkpoints_iterator",
    "get_checkpoint_state",
    "latest_checkpoint",
    "list_variables",
    "load_checkpoint",
    "load_variable",
    "summary_iterator",
]

_Path: TypeAlias = "str | bytes | os.PathLike[str]"

POLL_SECONDS = 1.0
"""Seconds between two looks of :func:`checkpoints_iterator` for a new checkpoint."""


class NoCheckpointInDirectoryError(CheckpointNotFoundError, ValueError):
    """A directory has no checkpoint, or several of them; ``tf.train`` raises a ValueError."""


class CheckpointReader:
    """Reads the tensors of one checkpoint. Made by :func:`load_checkpoint` or :func:`NewCheckpointReader`."""

    def __init__(self, filepattern: _Path) -> None:
        self._checkpoint = open_checkpoint(os.fsdecode(filepattern))

    def get_tensor(self, tensor_str: str | bytes) -> Any:  # noqa: ANN401  (as in TensorFlow: it is what was stored)
        """Return a tensor as a writable array, a scalar as a NumPy scalar, and a scalar string as bytes.

        Raises
        ------
        TensorNotFoundError
            No tensor has that name.
        """
        name = _as_name(tensor_str)
        array = self._checkpoint.read([name], copy=True)[name]
        return array if array.ndim else array[()]

    def has_tensor(self, tensor_str: str | bytes) -> bool:
        """Return whether a tensor has that name."""
        return _as_name(tensor_str) in self._checkpoint

    def get_variable_to_shape_map(self) -> dict[str, list[int]]:
        """Return the shape of each tensor."""
        return {entry.name: list(entry.shape) for entry in self._entries()}

    def get_variable_to_dtype_map(self) -> dict[str, DType]:
        """Return the dtype of each tensor."""
        return {entry.name: entry.dtype for entry in self._entries()}

    def debug_string(self) -> bytes:
        """Return a line for each tensor, sorted by name: ``dense/kernel (DT_FLOAT) [784,10]``.

        The line of a partitioned tensor ends in the number of slices: ``wide (DT_FLOAT) [100,8], 2 slices``.
        """
        return "".join(map(_debug_line, self._entries())).encode("utf-8", "surrogateescape")

    def _entries(self) -> Iterator[Entry]:
        # As they are stored: TensorFlow does not join the parts of a slot.
        return self._checkpoint._index.stored_entries()


def load_checkpoint(ckpt_dir_or_file: _Path) -> CheckpointReader:
    """Return a reader of a checkpoint, or of the latest checkpoint of a directory.

    Raises
    ------
    CheckpointNotFoundError
        The path leads to no checkpoint. If it is a directory, the error is a ValueError too.
    CorruptError
        The file is not a checkpoint, or its index is damaged.
    """
    path = os.fsdecode(ckpt_dir_or_file)
    try:
        return CheckpointReader(path)
    except CheckpointNotFoundError as error:
        if LOCAL.status(path) is None or LOCAL.path_type(path) != "directory":
            raise
        raise NoCheckpointInDirectoryError(error.what, file=error.file, tried=error.tried) from error


def NewCheckpointReader(filepattern: _Path) -> CheckpointReader:  # noqa: N802  (TensorFlow's name)
    """Return a reader of a checkpoint."""
    path = os.fsdecode(filepattern)
    # A prefix that ends in a separator counts literally, even if the state file there names another one.
    prefix = prefix_within(path)
    if prefix is not None and Directories(LOCAL).has_index(prefix):
        return CheckpointReader(prefix + INDEX_SUFFIX)
    return CheckpointReader(path)


def list_variables(ckpt_dir_or_file: _Path) -> list[tuple[str, list[int]]]:
    """Return the name and shape of each tensor of a checkpoint, sorted by name."""
    return sorted(load_checkpoint(ckpt_dir_or_file).get_variable_to_shape_map().items())


def load_variable(ckpt_dir_or_file: _Path, name: str) -> Any:  # noqa: ANN401  (as in TensorFlow)
    """Return one tensor as :meth:`CheckpointReader.get_tensor` does; a final ``:0`` is ignored."""
    return load_checkpoint(ckpt_dir_or_file).get_tensor(name.removesuffix(":0"))


def checkpoint_exists(checkpoint_prefix: _Path) -> bool:
    """Return whether a prefix has a V2 index or V1 files; data files are not checked."""
    try:
        return Directories(LOCAL).existing_prefix(os.fsdecode(checkpoint_prefix)) is not None
    except PathNotFoundError:
        return False  # a remote path


def latest_checkpoint(
    checkpoint_dir: str | os.PathLike[str], latest_filename: str | None = None
) -> str | None:
    """Return the prefix of the latest checkpoint of a directory; see :func:`ckptfmt.latest_checkpoint`."""
    return checkpoint_state.latest_checkpoint(checkpoint_dir, latest_filename)


def get_checkpoint_state(
    checkpoint_dir: str | os.PathLike[str], latest_filename: str | None = None
) -> messages.CheckpointState | None:
    """Return the CheckpointState message of a directory; None if it has none, or one that cannot be parsed.

    As in TensorFlow, relative paths are joined to the directory. A path that does not exist is replaced by
    that of the checkpoint of the same name in the directory itself, if that exists.

    Raises
    ------
    CorruptError
        The file names no latest checkpoint. In TensorFlow this is a ValueError, which it is here too.
    """
    state = checkpoint_state.read_state_or_warn(
        LOCAL, os.fspath(checkpoint_dir), latest_filename, as_tensorflow=True
    )
    if state is None:
        return None

    def resolved(stored: str) -> str:
        return state.resolve(stored) or os.path.join(state.directory, stored)

    return messages.CheckpointState(
        model_checkpoint_path=resolved(state.model_checkpoint_path),
        all_model_checkpoint_paths=[resolved(path) for path in state.all_model_checkpoint_paths],
        all_model_checkpoint_timestamps=state.all_model_checkpoint_timestamps,
        last_preserved_timestamp=state.last_preserved_timestamp,
    )


def checkpoints_iterator(
    checkpoint_dir: str | os.PathLike[str],
    min_interval_secs: float = 0,
    timeout: float | None = None,
    timeout_fn: Callable[[], bool] | None = None,
) -> Iterator[str]:
    """Yield the latest checkpoint of a directory, and later ones as they appear.

    Each time, only the latest one is returned: checkpoints that others followed in the meantime are skipped.

    Parameters
    ----------
    checkpoint_dir
        Directory with a state file, or one that will get it.
    min_interval_secs
        Least number of seconds between two checkpoints.
    timeout
        Seconds to wait for a new checkpoint, also for the first; None waits forever.
    timeout_fn
        Called after each checkpoint and each timeout; a true result ends the iteration. Without it, the first
        timeout does.
    """
    last: str | None = None
    while True:
        new = _wait_for_other(checkpoint_dir, last, timeout)
        if new is not None:
            # From here on, so that the time that the caller spends on a checkpoint counts.
            due = time.monotonic() + min_interval_secs
            last = new
            yield new
            rest = due - time.monotonic()
            if rest > 0:
                time.sleep(rest)
        elif timeout_fn is None:
            return
        if timeout_fn is not None and timeout_fn():
            return


def summary_iterator(path: _Path) -> Iterator[messages.Event]:
    """Iterate over the events of an event file, as ``tf.compat.v1.train.summary_iterator`` does.

    A damaged event is skipped with a warning, while TensorFlow raises: see :func:`ckptfmt.open_events`.
    ``ckptfmt.to_array(value.tensor)`` returns what ``tf.make_ndarray`` does.
    """
    return iter(open_events(os.fsdecode(path)))


def _wait_for_other(directory: str | os.PathLike[str], last: str | None, timeout: float | None) -> str | None:
    """Return the latest checkpoint once it is not ``last``; None if the timeout comes first."""
    end = None if timeout is None else time.monotonic() + timeout
    while True:
        latest = latest_checkpoint(directory)
        if latest is not None and latest != last:
            return latest
        # As in TensorFlow, no wait goes past the timeout.
        if end is not None and time.monotonic() + POLL_SECONDS > end:
            return None
        time.sleep(POLL_SECONDS)


_ENUM_NAMES = {"float32": "FLOAT", "float64": "DOUBLE", "float16": "HALF"}
"""Names in ``enum DataType`` that differ from the name of the dtype in upper case."""


def _debug_line(entry: Entry) -> str:
    name = entry.dtype.name
    shape = ",".join(map(str, entry.shape))
    slices = f", {len(entry.slices)} slices" if len(entry.slices) > 1 else ""
    return f"{entry.name} (DT_{_ENUM_NAMES.get(name, name.upper())}) [{shape}]{slices}\n"


def _as_name(tensor_str: str | bytes) -> str:
    if isinstance(tensor_str, bytes):
        return name_of(tensor_str)
    if isinstance(tensor_str, str):
        return tensor_str
    raise TypeError(f"tensor name: got {tensor_str!r}, want str or bytes")


def __dir__() -> list[str]:
    """List what ``tf.train`` has too, and not what this module imports: completion shows it."""
    return __all__
