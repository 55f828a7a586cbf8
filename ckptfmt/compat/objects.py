"""``Checkpoint`` and ``CheckpointManager`` of ``tf.train``, for arrays in place of variables."""

from __future__ import annotations

import operator
import os
from contextlib import closing
from typing import Any, SupportsIndex

from ckptfmt.compat.reader import PathLike
from ckptfmt.compat.state import update_with_relative_paths
from ckptfmt.object_graph.build import SAVE_COUNTER
from ckptfmt.saving import manager
from ckptfmt.saving.save import save
from ckptfmt.tensors.checkpoint import open_checkpoint


class Checkpoint:
    """Saves arrays as objects with names, which ``tf.train.Checkpoint`` and Keras restore, and restores them.

    Parameters
    ----------
    objects
        Arrays, and dictionaries and lists of them, by name. They are read at each save.
    """

    def __init__(self, **objects: Any) -> None:  # noqa: ANN401
        self._objects = objects
        self.save_counter = 0
        """How many checkpoints were saved, by this object or before :meth:`restore`."""

    def write(self, file_prefix: PathLike) -> str:
        """Write a checkpoint of that very prefix, without a counter and a state file; return the prefix.

        Raises
        ------
        GraphError
            TensorFlow has no object for a value.
        NotWritableError
            The system refuses.
        """
        return save(os.fsdecode(file_prefix), self._objects, objects=True, overwrite=True)

    def save(self, file_prefix: PathLike) -> str:
        """Write a checkpoint, ``PREFIX-1`` at first, and return its prefix.

        The state file then lists it alone: earlier ones stay. Raises what :meth:`write` does.
        """
        start = os.fsdecode(file_prefix)
        prefix = f"{start}-{self.save_counter + 1}"
        save(prefix, self._counted(), objects=True, overwrite=True)
        self.save_counter += 1
        update_with_relative_paths(os.path.dirname(start), prefix, [prefix])
        return prefix

    def restore(self, save_path: PathLike | None) -> dict[str, Any]:
        """Return the tensors of a checkpoint by the paths of their objects, such as ``layers/0/kernel``.

        The counter goes on from that of the checkpoint. Arrays are writable, and those that were given stay
        as they are. With None, for a run that begins, there are none.

        Raises CheckpointNotFoundError if the path leads to no checkpoint.
        """
        if save_path is None:
            return {}
        with closing(open_checkpoint(os.fsdecode(save_path))) as checkpoint:
            tensors = checkpoint if checkpoint.object_graph is None else checkpoint.by_object_path()
            arrays = tensors.read(list(tensors), copy=True)
        restored = {name: array if array.ndim else array[()] for name, array in arrays.items()}
        self.save_counter = int(restored.pop(SAVE_COUNTER, self.save_counter))
        return restored

    def _counted(self) -> dict[str, Any]:
        return {**self._objects, SAVE_COUNTER: self.save_counter + 1}


class CheckpointManager:
    """Saves a :class:`Checkpoint` again and again, and keeps the newest.

    :class:`ckptfmt.CheckpointManager` does the work, and describes the parameters.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        directory: PathLike,
        max_to_keep: int | None,
        keep_checkpoint_every_n_hours: float | None = None,
        checkpoint_name: str = "ckpt",
    ) -> None:
        self.checkpoint = checkpoint
        """What is saved."""
        self._manager = manager.CheckpointManager(
            os.fsdecode(directory), max_to_keep, keep_checkpoint_every_n_hours, checkpoint_name
        )

    @property
    def directory(self) -> str:
        """Where the checkpoints are."""
        return self._manager.directory

    @property
    def latest_checkpoint(self) -> str | None:
        """Prefix of the latest checkpoint; None if none was saved."""
        return self._manager.latest

    @property
    def checkpoints(self) -> list[str]:
        """Prefixes of the checkpoints that may be deleted one day, oldest first."""
        return self._manager.checkpoints

    def save(self, checkpoint_number: SupportsIndex | None = None) -> str:
        """Write a checkpoint, by default numbered by its counter, and delete those that are not to be kept.

        Returns its prefix. Raises what :meth:`ckptfmt.CheckpointManager.save` does.
        """
        counter = self.checkpoint.save_counter + 1
        number = counter if checkpoint_number is None else operator.index(checkpoint_number)
        prefix = self._manager.save(self.checkpoint._counted(), number, objects=True)
        self.checkpoint.save_counter = counter
        return prefix
