"""The state file of a directory, and its checkpoints: found, listed and removed as ``tf.train`` does."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence

from ckptfmt.checkpoint import state_file as checkpoint_state
from ckptfmt.checkpoint.directory import Directories
from ckptfmt.checkpoint.removal import remove_v1, remove_v2
from ckptfmt.checkpoint.state_writer import check_state_path, write_state
from ckptfmt.compat.reader import PathLike
from ckptfmt.errors import PathNotFoundError
from ckptfmt.filenames import INDEX_SUFFIX, STATE_FILE
from ckptfmt.proto import messages
from ckptfmt.storage.local import LOCAL


def checkpoint_exists(checkpoint_prefix: PathLike) -> bool:
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


def generate_checkpoint_state_proto(
    save_dir: PathLike,
    model_checkpoint_path: PathLike,
    all_model_checkpoint_paths: Iterable[PathLike] | None = None,
    all_model_checkpoint_timestamps: Sequence[float] | None = None,
    last_preserved_timestamp: float | None = None,
) -> messages.CheckpointState:
    """Return the CheckpointState message of a directory.

    As in TensorFlow, the latest checkpoint is added to the end of all if it is not there, and if the
    directory is a relative path, relative paths of checkpoints are made relative to it. The list that was
    given stays as it is.

    Raises
    ------
    ValueError
        There are timestamps, but not one for each path; or a path is not text that UTF-8 can encode.
    """
    directory = os.fsdecode(save_dir)
    latest = os.fsdecode(model_checkpoint_path)
    paths = [os.fsdecode(path) for path in all_model_checkpoint_paths or ()]
    if not paths or paths[-1] != latest:
        paths.append(latest)
    times = list(all_model_checkpoint_timestamps or ())
    if times and len(times) != len(paths):
        raise ValueError(f"timestamps: got {len(times)}, want one for each of {len(paths)} paths")
    for path in paths:
        check_state_path(path)

    def stored(path: str) -> str:
        return path if os.path.isabs(directory) or os.path.isabs(path) else _relative(path, directory)

    return messages.CheckpointState(
        model_checkpoint_path=stored(latest),
        all_model_checkpoint_paths=map(stored, paths),
        all_model_checkpoint_timestamps=times,
        last_preserved_timestamp=last_preserved_timestamp,
    )


def update_checkpoint_state(
    save_dir: PathLike,
    model_checkpoint_path: PathLike,
    all_model_checkpoint_paths: Iterable[PathLike] | None = None,
    latest_filename: str | None = None,
    all_model_checkpoint_timestamps: Sequence[float] | None = None,
    last_preserved_timestamp: float | None = None,
) -> None:
    """Write the state file of a directory, with the bytes that TensorFlow writes.

    Raises
    ------
    ValueError
        As for :func:`generate_checkpoint_state_proto`.
    RuntimeError
        The latest checkpoint has the path of the state file itself.
    NotWritableError
        The system refuses.
    """
    message = generate_checkpoint_state_proto(
        save_dir,
        model_checkpoint_path,
        all_model_checkpoint_paths,
        all_model_checkpoint_timestamps,
        last_preserved_timestamp,
    )
    state = checkpoint_state.CheckpointState(
        directory=os.fsdecode(save_dir),
        model_checkpoint_path=message.model_checkpoint_path,
        all_model_checkpoint_paths=tuple(message.all_model_checkpoint_paths),
        all_model_checkpoint_timestamps=tuple(message.all_model_checkpoint_timestamps),
        last_preserved_timestamp=message.last_preserved_timestamp,
        filename=latest_filename or STATE_FILE,
    )
    if state.path == state.model_checkpoint_path:
        raise RuntimeError(f"{state.path} is the state file: choose another path for the checkpoint")
    write_state(state)


def update_with_relative_paths(
    save_dir: str, latest: str, paths: Iterable[str], filename: str | None = None
) -> None:
    """Write the state file of a directory so that the directory may be moved."""

    def stored(path: str) -> str:
        return _relative(path, save_dir) if os.path.isabs(path) else path

    update_checkpoint_state(save_dir, stored(latest), map(stored, paths), filename)


def get_checkpoint_mtimes(checkpoint_prefixes: Iterable[PathLike]) -> list[float]:
    """Return when the checkpoints were last changed, in seconds since 1970; missing ones are left out.

    The time is that of the index, or of the file or the first shard of a V1 checkpoint.
    """
    files = (_first_file(os.fsdecode(prefix)) for prefix in checkpoint_prefixes)
    statuses = (None if path is None else LOCAL.status(path) for path in files)
    return [status.changed / 1e9 for status in statuses if status is not None]


def remove_checkpoint(
    checkpoint_prefix: PathLike, checkpoint_format_version: int = 2, meta_graph_suffix: str = "meta"
) -> None:
    """Remove a V2 checkpoint and its graph; with ``checkpoint_format_version=1``, a V1 checkpoint.

    Unlike TensorFlow's function, this one takes ``*`` and ``[1]`` in a prefix literally, and leaves a file of
    the name of a V1 checkpoint that is not one.

    Raises NotWritableError if the system refuses, or a writer is at work on the prefix.
    """
    prefix = os.fsdecode(checkpoint_prefix)
    remove = remove_v2 if checkpoint_format_version == 2 else remove_v1
    remove(LOCAL, prefix, meta_suffix=f".{meta_graph_suffix}")


def _first_file(prefix: str) -> str | None:
    """Return the file of a checkpoint whose age is that of the checkpoint, or None."""
    try:
        for path in (prefix + INDEX_SUFFIX, prefix):
            if LOCAL.path_type(path) == "file":
                return path
        shards = Directories(LOCAL).v1_shards(prefix)
    except PathNotFoundError:
        return None  # a remote path
    return next((min(files) for files in shards.values()), None)


def _relative(path: str, directory: str) -> str:
    return os.path.relpath(path, directory or os.curdir)
