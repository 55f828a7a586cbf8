"""What ``tf.train`` says of the checkpoints in a directory."""

from __future__ import annotations

import os

from ckptfmt.checkpoint import state_file as checkpoint_state
from ckptfmt.checkpoint.directory import Directories
from ckptfmt.compat.reader import PathLike
from ckptfmt.errors import PathNotFoundError
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
