"""``CheckpointManager``: saves the checkpoints of a training run, and keeps the newest."""

from __future__ import annotations

import ntpath
import operator
import os
import re
import time
from collections.abc import Mapping
from contextlib import closing
from typing import Any

from ckptfmt.checkpoint.directory import Directories
from ckptfmt.checkpoint.removal import remove_checkpoint
from ckptfmt.checkpoint.scan import scan
from ckptfmt.checkpoint.state_file import CheckpointState, read_state_or_warn
from ckptfmt.checkpoint.state_writer import check_state_path, write_state
from ckptfmt.errors import CkptfmtError, CorruptError, NotWritableError
from ckptfmt.filenames import INDEX_SUFFIX, STATE_FILE, claim_path
from ckptfmt.locks import new_reentrant_lock
from ckptfmt.object_graph.build import SAVE_COUNTER
from ckptfmt.saving.keeping import adopt, sweep, with_new
from ckptfmt.saving.objects import COUNTER_KEY
from ckptfmt.saving.save import save
from ckptfmt.saving.sources import Savable
from ckptfmt.storage.filesystem import Claim, Filesystem
from ckptfmt.storage.local import filesystem_of
from ckptfmt.tensors.checkpoint import Checkpoint, open_checkpoint
from ckptfmt.tensors.mapping import TensorMapping

PATIENCE = 30.0
"""Seconds to wait for another manager of the directory, which lists its checkpoint and deletes old ones."""

_NUMBER = re.compile(r"-(\d{1,18})\Z")


class CheckpointManager:
    """Writes the checkpoints of a training run into a directory, keeps the newest, and deletes older ones.

    The files are those of ``tf.train.CheckpointManager``, and so are the rules: it continues a directory of
    this manager, and this one continues one of its. The directory may have another manager, in this program
    or in another one; before each save, what the state file lists now is taken over.

    The order is that of safety: the checkpoint, then the state file, then deletions, then the state file
    without what was deleted. Whenever the program is killed, the state file names a whole checkpoint.

    Parameters
    ----------
    directory
        Where the checkpoints are, or will be.
    max_to_keep
        How many of the newest checkpoints to keep; None keeps all.
    keep_checkpoint_every_n_hours
        Among those that would be deleted, one every so many hours is kept for good, and is no longer listed.
    checkpoint_name
        The first part of the names: ``ckpt`` for ``ckpt-7``.
    fs
        The file system of the directory, by default this machine's.

    Raises
    ------
    ValueError
        ``max_to_keep`` is less than 1, or no state file can hold ``checkpoint_name``.
    NotReadableError
        The state file of the directory cannot be read. One that cannot be parsed is logged, and replaced by
        the next save; what it listed is then never deleted.
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        max_to_keep: int | None = 5,
        keep_checkpoint_every_n_hours: float | None = None,
        checkpoint_name: str = "ckpt",
        *,
        fs: Filesystem | None = None,
    ) -> None:
        if max_to_keep is not None and max_to_keep < 1:
            raise ValueError(f"max_to_keep: got {max_to_keep}, want at least 1, or None to keep all")
        check_state_path(checkpoint_name)
        self.directory = os.fspath(directory)
        """Where the checkpoints are."""
        self._fs = filesystem_of(fs=fs)
        self._max_to_keep, self._every_n_hours = max_to_keep, keep_checkpoint_every_n_hours
        self._start = os.path.join(self.directory, checkpoint_name)
        self._lock = new_reentrant_lock()
        self._listed: dict[str, float] = {}
        # As in TensorFlow: a second earlier, in case a manager is made again and again.
        self._last_preserved = time.time() - 1.0
        self._latest: str | None = None
        self._state: CheckpointState | None = None
        self._saves: int | None = None
        self._refresh()

    # --- what there is -----------------------------------------------------------------------------------

    @property
    def latest(self) -> str | None:
        """Prefix of the latest checkpoint; None if none was saved."""
        with self._lock:
            self._refresh()
            return self._latest

    @property
    def latest_checkpoint(self) -> str | None:
        """Prefix of the latest checkpoint, as TensorFlow's manager names it."""
        return self.latest

    @property
    def checkpoints(self) -> list[str]:
        """Prefixes of the checkpoints that may be deleted one day, oldest first.

        Those that are kept for good are not among them.
        """
        with self._lock:
            self._refresh()
            return list(self._listed)

    def restore_or_none(self, **options: Any) -> Checkpoint | None:  # noqa: ANN401  (those of open)
        """Open the latest checkpoint; None if the directory has none, so that the run is a new one.

        Parameters
        ----------
        options
            Those of :func:`ckptfmt.open`.

        Raises
        ------
        CheckpointNotFoundError
            The state file names a checkpoint that does not exist, or it is missing and there are several
            checkpoints. A run that began anew would replace them.
        CorruptError
            The state file cannot be parsed, or the checkpoint is damaged.
        """
        if self._fs.path_type(self._state_path) != "file":
            found = scan(Directories(self._fs), self.directory or os.curdir)
            if not found.checkpoints and not found.damaged:
                return None
        # With a separator at the end, a prefix of the name of the directory does not count.
        return open_checkpoint(os.path.join(self.directory or os.curdir, ""), fs=self._fs, **options)

    # --- saving ------------------------------------------------------------------------------------------

    def save(self, tensors: Savable, step: int | None = None, **options: Any) -> str:  # noqa: ANN401  (of save)
        """Write a checkpoint, list it as the latest, and delete those that are not to be kept.

        Parameters
        ----------
        tensors
            What :func:`ckptfmt.save` takes.
        step
            Its number, ``ckpt-STEP``; by default how many were saved, counted on from those in the directory.
            A checkpoint of that number is replaced.
        options
            Those of :func:`ckptfmt.save`. With ``objects=True``, ``save_counter`` of the objects is how many
            were saved, as in TensorFlow.

        Returns the prefix.

        Raises
        ------
        NotWritableError
            The system refuses, or another writer is at work on that number. What was there before stays, and
            the state file names it. An old checkpoint that cannot be deleted is only logged.
        """
        given = None if step is None else operator.index(step)
        if self._fs.path_type(self._state_path) == "directory":
            raise NotWritableError(self._state_path, "Is a directory")
        with self._lock:
            self._refresh()
            saves = self._count_saves() + 1
            # Where numbers that were given and numbers that were counted meet, nothing is replaced.
            while given is None and self._prefix(saves) in self._listed:
                saves += 1
        prefix = self._prefix(saves if given is None else given)
        if options.get("objects") and isinstance(tensors, Mapping) and not isinstance(tensors, TensorMapping):
            # As in TensorFlow, whose manager looks for it.
            tensors = {SAVE_COUNTER: saves, **tensors}
        save(prefix, tensors, **{"overwrite": True, "fs": self._fs, **options})
        now = time.time()
        with self._lock:
            claim = self._claim()
            try:
                # Another manager may have deleted an older checkpoint of that number at this moment.
                if self._fs.path_type(prefix + INDEX_SUFFIX) is None:
                    raise NotWritableError(prefix, "another program has removed it")
                self._refresh()
                self._record(with_new(self._listed, prefix, now), prefix, self._last_preserved)
                self._saves = saves
                self._sweep()
            finally:
                claim.release()
        return prefix

    def _sweep(self) -> None:
        """Delete the checkpoints that are not to be kept, then list those that are."""
        kept = sweep(self._listed, self._max_to_keep, self._every_n_hours, self._last_preserved)
        if len(kept.listed) == len(self._listed):
            return
        for old in kept.removed:
            try:
                remove_checkpoint(self._fs, old)
            except CkptfmtError as error:
                # The run goes on: its checkpoint is saved and listed.
                _warn("old checkpoint not deleted: %s", error)
        self._record(kept.listed, self._latest, kept.time)

    # --- the state file ----------------------------------------------------------------------------------

    def _record(self, listed: dict[str, float], latest: str | None, last_preserved: float) -> None:
        """Write the state file; only then is anything of this manager different."""
        state = CheckpointState(
            directory=self.directory,
            model_checkpoint_path=self._relative(latest or ""),
            all_model_checkpoint_paths=tuple(map(self._relative, listed)),
            all_model_checkpoint_timestamps=tuple(listed.values()),
            last_preserved_timestamp=last_preserved,
            fs=self._fs,
        )
        write_state(state)
        self._state, self._listed = state, listed
        self._latest, self._last_preserved = latest, last_preserved

    def _refresh(self) -> None:
        """Take over what the state file lists, if anybody but this manager wrote it."""
        try:
            state = read_state_or_warn(self._fs, self.directory, as_tensorflow=False)
        except CorruptError as error:
            _warn("checkpoint state ignored: %s", error)
            return
        if state is None or state == self._state:
            return
        look = Directories(self._fs)
        times = state.all_model_checkpoint_timestamps
        paths = [self._own(state, stored, look) for stored in state.all_model_checkpoint_paths]
        listed, self._last_preserved = adopt(paths, times, state.last_preserved_timestamp, time.time())
        listed.pop("", None)
        stored = state.model_checkpoint_path
        self._latest = state.latest or os.path.join(self.directory, stored)
        self._state, self._listed, self._saves = state, listed, None

    def _own(self, state: CheckpointState, stored: str, look: Directories) -> str:
        """Return the prefix, in the directory, of a path in the state file; empty if it leads elsewhere.

        The file may come with the directory from another machine, or from another directory of this one,
        whose checkpoints are not deleted from here.
        """
        joined = os.path.join(self.directory, stored)
        if not self._is_inside(joined) or ntpath.isabs(stored):
            inside = filter(self._is_inside, state.candidates(stored))
            joined = next((path for path in inside if look.existing_prefix(path) is not None), "")
        # In one spelling: under two, a checkpoint that was saved again could be deleted as the older one.
        return os.path.join(self.directory, self._relative(joined)) if joined else ""

    def _is_inside(self, path: str) -> bool:
        try:
            return self._relative(path).split(os.sep, 1)[0] != os.pardir
        except ValueError:
            return False  # on another drive of Windows

    def _relative(self, path: str) -> str:
        return os.path.relpath(path, self.directory or os.curdir)

    @property
    def _state_path(self) -> str:
        return os.path.join(self.directory, STATE_FILE)

    def _claim(self) -> Claim:
        """Take the state file; wait for another manager that has it."""
        end = time.monotonic() + PATIENCE
        while True:
            try:
                return self._fs.claim(claim_path(self._state_path), wait=False)
            except NotWritableError:
                if time.monotonic() > end:
                    raise
            time.sleep(0.02)

    # --- numbers -----------------------------------------------------------------------------------------

    def _prefix(self, number: int) -> str:
        return f"{self._start}-{number}"

    def _count_saves(self) -> int:
        """Return how often the run has saved: as the latest checkpoint says, or else its number."""
        if self._saves is None:
            self._saves = 0
            if self._latest is not None:
                match = _NUMBER.search(self._latest)
                self._saves = _stored_count(self._latest, self._fs) or (int(match[1]) if match else 0)
        return self._saves


def _stored_count(prefix: str, fs: Filesystem) -> int | None:
    """Return the save counter of a checkpoint; None if it has none, or cannot be read."""
    try:
        with closing(open_checkpoint(prefix, fs=fs)) as checkpoint:
            if COUNTER_KEY not in checkpoint or checkpoint.entries[COUNTER_KEY].shape:
                return None
            return int(checkpoint[COUNTER_KEY])
    except (CkptfmtError, TypeError, ValueError):
        return None  # missing, damaged, or not a number


def _warn(message: str, *values: object) -> None:
    import logging  # rarely needed

    logging.getLogger(__name__).warning(message, *values)
