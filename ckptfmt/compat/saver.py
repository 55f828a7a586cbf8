"""``Saver``, for arrays in place of variables."""

from __future__ import annotations

import math
import operator
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, SupportsIndex

from ckptfmt.checkpoint.removal import remove_checkpoint
from ckptfmt.compat.reader import NoCheckpointError, PathLike, read_tensors
from ckptfmt.compat.state import get_checkpoint_mtimes, update_checkpoint_state, update_with_relative_paths
from ckptfmt.errors import CheckpointNotFoundError, CkptfmtError
from ckptfmt.filenames import STATE_FILE
from ckptfmt.saving.keeping import HOUR, sweep_as_saver, with_new
from ckptfmt.saving.save import save
from ckptfmt.storage.local import LOCAL
from ckptfmt.tensors.checkpoint import open_checkpoint
from ckptfmt.tensors.mapping import TensorMapping
from ckptfmt.tensors.nesting import flatten


class Saver:
    """Saves and restores arrays by name, with the files, names and rules of ``tf.compat.v1.train.Saver``.

    Parameters
    ----------
    var_list
        Arrays by name, which are read at each save; nested dictionaries get names with slashes. Without it,
        the saver only restores, whatever a checkpoint has.
    max_to_keep
        How many of the newest checkpoints to keep; None and 0 keep all, and list only the latest in the state
        file.
    keep_checkpoint_every_n_hours
        Among those that would be deleted, one every so many hours is kept for good.
    pad_step_number
        Whether steps have at least eight digits in names, so that these sort.
    save_relative_paths
        Whether the state file has no absolute paths, so that the directory may be moved.
    allow_empty
        Whether a saver without arrays may save a checkpoint of nothing.
    write_version
        The version of what is written: 2, the only one.
    name, sharded, reshape, restore_sequentially, saver_def, builder, defer_build
        Have no effect: there is no graph, and arrays are on one device.
    """

    def __init__(
        self,
        var_list: Mapping[str, Any] | None = None,
        reshape: bool = False,
        sharded: bool = False,
        max_to_keep: int | None = 5,
        keep_checkpoint_every_n_hours: float = 10000.0,
        name: str | None = None,
        restore_sequentially: bool = False,
        saver_def: object = None,
        builder: object = None,
        defer_build: bool = False,
        allow_empty: bool = False,
        write_version: int = 2,
        pad_step_number: bool = False,
        save_relative_paths: bool = False,
    ) -> None:
        if var_list is not None and not isinstance(var_list, Mapping):
            raise TypeError(f"var_list: got {type(var_list).__name__}, want arrays by name")
        if write_version != 2:
            raise ValueError(f"write_version: got {write_version}, want 2")
        self._allow_empty = allow_empty
        self._variables = var_list
        self._max_to_keep, self._every_n_hours = max_to_keep, keep_checkpoint_every_n_hours
        self._pads, self._is_relative = pad_step_number, save_relative_paths
        self._listed: dict[str, float] = {}
        self._next_due = time.time() + keep_checkpoint_every_n_hours * HOUR

    # --- checkpoints that are kept -----------------------------------------------------------------------

    @property
    def last_checkpoints(self) -> list[str]:
        """Prefixes of the checkpoints not yet deleted, oldest first."""
        return list(self._listed)

    def set_last_checkpoints(self, last_checkpoints: Iterable[str]) -> None:
        """Have some checkpoints listed, oldest first, that are never deleted."""
        self._listed = dict.fromkeys(last_checkpoints, math.inf)

    def set_last_checkpoints_with_time(self, last_checkpoints_with_time: Iterable[tuple[str, float]]) -> None:
        """Have some checkpoints listed, oldest first, each with the time when it was written."""
        self._listed = dict(last_checkpoints_with_time)

    def recover_last_checkpoints(self, checkpoint_paths: Sequence[str]) -> None:
        """Have those of some checkpoints listed that exist, with the times of their files.

        A run that goes on after a crash gives the paths in the state file; see
        :func:`get_checkpoint_state`.
        """
        times = {path: get_checkpoint_mtimes([path]) for path in checkpoint_paths}
        self._listed = {path: found[0] for path, found in times.items() if found}

    # --- saving and restoring ----------------------------------------------------------------------------

    def save(
        self,
        sess: object,
        save_path: PathLike,
        global_step: SupportsIndex | None = None,
        latest_filename: str | None = None,
        meta_graph_suffix: str = "meta",
        write_meta_graph: bool = True,
        write_state: bool = True,
        strip_default_attrs: bool = False,
        save_debug_info: bool = False,
    ) -> str:
        """Write a checkpoint, list it in the state file, and delete the oldest if there are too many.

        Parameters
        ----------
        sess, write_meta_graph, strip_default_attrs, save_debug_info
            Have no effect: there is no graph, and so none is written.
        save_path
            The prefix, without the step. Missing directories are made.
        global_step
            The step, added to the prefix after a hyphen: an integer, or an array of one.
        latest_filename
            Name of the state file, by default ``checkpoint``.
        meta_graph_suffix
            How the names of graphs end that are deleted together with a checkpoint.
        write_state
            Whether to list the checkpoint, and to delete another one.

        Returns the prefix with the step.

        Raises
        ------
        ValueError
            There are no variables, ``latest_filename`` is a path, or a checkpoint without a step would have
            the name of the state file.
        NotWritableError
            The system refuses, or another writer is at work on that prefix. An old checkpoint that cannot be
            deleted is only logged.
        """
        variables = {} if self._variables is None else self._variables
        if not variables and not self._allow_empty:
            raise ValueError("no variables to save: pass arrays by name")
        filename = STATE_FILE if latest_filename is None else latest_filename
        if os.path.dirname(filename):
            raise ValueError(f"latest_filename: got {filename!r}, want the name of a file in the directory")
        path = os.fsdecode(save_path)
        if global_step is not None:
            step = operator.index(global_step)
            prefix = f"{path}-{step:08d}" if self._pads else f"{path}-{step}"
        elif os.path.basename(path) == filename:
            raise ValueError(f"save_path: got {path!r}, the name of the state file")
        else:
            prefix = path
        save(prefix, _sorted(variables), overwrite=True)
        if write_state:
            self._record(os.path.dirname(path), prefix, filename, meta_graph_suffix)
        return prefix

    def restore(self, sess: object, save_path: PathLike | None) -> dict[str, Any]:
        """Return the tensors of a checkpoint by name, as writable arrays: all, or those of ``var_list``.

        Raises
        ------
        CheckpointNotFoundError
            The path leads to no checkpoint. The error is a ValueError too, as in TensorFlow.
        TensorNotFoundError
            The checkpoint lacks a tensor of ``var_list``.
        """
        if save_path is None:
            raise ValueError("save_path: got None, want the path of a checkpoint")
        try:
            checkpoint = open_checkpoint(os.fsdecode(save_path))
        except CheckpointNotFoundError as error:
            raise NoCheckpointError(error.what, file=error.file, tried=error.tried) from error
        with checkpoint:
            return read_tensors(
                checkpoint, None if self._variables is None else list(_sorted(self._variables))
            )

    def _record(self, directory: str, prefix: str, filename: str, meta_graph_suffix: str) -> None:
        listed = self._listed
        if self._max_to_keep:
            # Under another spelling, the checkpoint that was just saved could be deleted as an older one.
            new = os.path.abspath(prefix)
            others = {path: then for path, then in listed.items() if os.path.abspath(path) != new}
            listed = with_new(others, prefix, time.time())
        kept = sweep_as_saver(listed, self._max_to_keep, self._every_n_hours, self._next_due)
        update = update_with_relative_paths if self._is_relative else update_checkpoint_state
        update(directory, prefix, kept.listed, filename)
        self._listed, self._next_due = kept.listed, kept.time
        for old in kept.removed:
            try:
                remove_checkpoint(LOCAL, old, meta_suffix=f".{meta_graph_suffix}")
            except CkptfmtError as error:
                _warn("old checkpoint not deleted: %s", error)


def _sorted(variables: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return variables in the order in which TensorFlow's Saver writes them."""
    return variables if isinstance(variables, TensorMapping) else dict(sorted(flatten(variables).items()))


def _warn(message: str, *values: object) -> None:
    import logging  # rarely needed

    logging.getLogger(__name__).warning(message, *values)
