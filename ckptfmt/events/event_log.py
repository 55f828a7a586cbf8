"""``open_events`` and ``EventLog``: the event files of one run, as data."""

from __future__ import annotations

import os
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from types import TracebackType
from typing import Any

import numpy as np

from ckptfmt.arrays.decode import to_array
from ckptfmt.errors import PathNotFoundError
from ckptfmt.events.classify import HPARAMS
from ckptfmt.events.find import find_runs
from ckptfmt.events.gather import GatheredRun
from ckptfmt.events.hparams import HParams, read_hparams
from ckptfmt.events.other_events import SessionLog, read_graphs, read_meta_graphs, read_session_logs
from ckptfmt.events.run_metadata import PLUGINS, RunMetadata, read_logged_events, read_logged_tensors
from ckptfmt.events.scalar_table import scalar_table, select
from ckptfmt.events.series import Scalars, Series, Tags
from ckptfmt.events.summaries import Audio, Histogram, Image, audio_of, histogram_of, images_of, texts_of
from ckptfmt.events.tag_index import TagIndex
from ckptfmt.filetype.content import recognise
from ckptfmt.filetype.kinds import RECORDS, Holds
from ckptfmt.filetype.refusal import instead_in, misfit, with_hints
from ckptfmt.graph.graph import Graph
from ckptfmt.graph.meta.meta_graph import MetaGraph
from ckptfmt.limits import DEFAULT, Limits, check_limits
from ckptfmt.proto import messages
from ckptfmt.record.batch import Record
from ckptfmt.record.damage import Damage, OnDamage
from ckptfmt.record.event_names import event_files, is_event_file
from ckptfmt.record.files.find import PathLike
from ckptfmt.record.input import compression_of
from ckptfmt.record.patience import POLL, Patience
from ckptfmt.storage.filesystem import Filesystem
from ckptfmt.storage.local import filesystem_of
from ckptfmt.tabular.arrow import to_arrow, to_pandas
from ckptfmt.tabular.column_table import ColumnTable
from ckptfmt.tabular.write import write_table
from ckptfmt.text.quoting import listed


def open_events(
    path: PathLike,
    *,
    verify: bool = True,
    strict: bool = False,
    limits: Limits = DEFAULT,
    backend: str = "mmap",
    fs: Filesystem | None = None,
    on_damage: OnDamage | None = None,
) -> EventLog:
    """Open an event file, or all the event files of a run.

    Parameters
    ----------
    path
        An event file, compressed or not, or the directory of a run, whose event files are read in the order
        in which they were begun. Directories in it are runs of their own: see :func:`ckptfmt.find_runs`. A
        file named like an event file that is not one is reported as damage covering the whole file.
    verify
        Whether the checksums of events are verified; those of their lengths always are.
    strict
        Whether damage, or an incomplete last event, is raised, again at each attempt. Otherwise damaged
        events are skipped: :attr:`EventLog.damage` lists them, and a :class:`ckptfmt.errors.DamageWarning`
        reports each stretch.
    limits
        How much memory and work the files may take, such as :attr:`ckptfmt.Limits.max_record`.
    backend
        ``"mmap"``, or ``"pread"`` for files that may be truncated while they are read.
    fs
        The file system that the path leads into, if it is not this machine's.
    on_damage
        Called with the :class:`~ckptfmt.types.Damage` of each stretch that is skipped, in place of the
        warning. Each reading of the files reports its own.

    Raises
    ------
    PathNotFoundError
        The path does not exist, or the directory has no event file in it.
    UnsupportedError
        The file is of another kind; the message says which, and what reads it.
    NotReadableError
        The file cannot be read.
    """
    check_limits(limits)
    path, fs = os.fspath(path), filesystem_of(backend, fs)
    if fs.path_type(path) != "directory":
        _check_kind(path, fs)
        files = [path]
    else:
        files = event_files(fs, path)
        if not files:
            raise _no_event_files(path, fs)
    return EventLog(path, files, fs, verify=verify, strict=strict, limits=limits, on_damage=on_damage)


def _check_kind(path: str, fs: Filesystem) -> None:
    """Refuse a file of records that do not hold events."""
    # Other kinds of files are refused when they are read. Reading would accept these: the frames are the
    # same, and a tf.train.Example parses as an Event without any known field.
    with closing(fs.open(path)) as file:
        if (
            compression_of(file) is None
            and not is_event_file(os.path.basename(path))
            and recognise(file) is RECORDS
        ):
            raise misfit(path, RECORDS, Holds.EVENTS)


def _no_event_files(directory: str, fs: Filesystem) -> PathNotFoundError:
    what = "no event file in this directory"
    if runs := find_runs(directory, fs=fs):
        what += f", but in {len(runs)} below it (see ckptfmt.find_runs): {listed(runs, 10, quote=str)}"
    elif fs.path_type(directory) == "directory":
        what = with_hints(what, [instead_in(fs, directory) or ""])
    return PathNotFoundError(what, file=directory)


class EventLog:
    """The event files of one run.

    The first access to tags reads all files: scalars are gathered as columns, everything else as
    locations. Iterating returns ``Event`` messages one after the other, and gathers nothing.

    An error during gathering, Ctrl-C included, leaves nothing gathered: the next access starts over, and
    raises the same error again if its cause persists. A value that is read later is the one that was
    gathered: reading it raises CorruptError if the file was replaced meanwhile.
    """

    def __init__(
        self,
        path: str,
        files: list[str],
        fs: Filesystem,
        *,
        verify: bool,
        strict: bool,
        limits: Limits,
        on_damage: OnDamage | None = None,
    ) -> None:
        self.path = path
        """The path that was opened."""
        self._run = GatheredRun(
            path, files, fs, verify=verify, strict=strict, limits=limits, on_damage=on_damage
        )
        self._tags = TagIndex(self._run)

    # --- event by event ------------------------------------------------------------------------------------

    @property
    def files(self) -> tuple[str, ...]:
        """The event files, in the order in which they were begun."""
        return tuple(self._run.names)

    def records(self) -> Iterator[Record]:
        """Iterate over the records of all files, each an ``Event`` message, with their offsets.

        Damage is skipped and reported, or raised if reading is strict. Raises the same errors as
        :meth:`Records.__iter__`.
        """
        return self._run.records()

    def __iter__(self) -> Iterator[messages.Event]:
        """Iterate over the ``Event`` messages of all files, as TensorFlow's ``summary_iterator`` does."""
        return self._run.events()

    def follow(
        self,
        *,
        poll: float = POLL,
        timeout: float | None = None,
        stop: Callable[[], bool] | None = None,
        on_damage: OnDamage | None = None,
    ) -> Iterator[messages.Event]:
        """Iterate over the events, and then over those that are being written, also to new files.

        A file that is deleted has ended; one that is replaced is read from its beginning.

        Parameters
        ----------
        poll
            Seconds between checks of the files.
        timeout
            Seconds without a new event after which the iteration ends; None waits forever.
        stop
            Called several times a second while waiting; a true result ends the iteration.
        on_damage
            Called with each stretch of damage, instead of the function passed to :func:`open_events`.
        """
        return self._run.follow(Patience(poll, timeout, stop), on_damage)

    # --- tags ----------------------------------------------------------------------------------------------

    def gather(self, progress: Callable[[int, int], object] | None = None) -> None:
        """Read all files, unless they have been read before.

        Parameters
        ----------
        progress
            Called with the number of bytes read so far, and the total of all files.

        Raises
        ------
        CorruptError
            A file is not an event file, or reading is strict and something is damaged.
        LimitError
            A compressed file decompresses to more than the limit.
        """
        self._run.gather(progress)

    def refresh(self) -> int:
        """Read what was written since the last read, also to new files; return the number of new events.

        If a file was replaced, or a new one was begun before others, everything is gathered again; otherwise
        the events of a file that no longer exists are kept. A series keeps the values, and a mapping the
        tags, that it had when it was returned; but a series taken from a mapping has the current values.
        """
        return self._run.refresh()

    @property
    def version(self) -> str:
        """The version of the format, from the first event: ``brain.Event:2``."""
        self.gather()
        return self._run.version

    @property
    def writer(self) -> str:
        """The program that wrote the files; empty if they do not say."""
        self.gather()
        return self._run.writer

    @property
    def num_events(self) -> int:
        """Number of events, excluding damaged ones."""
        self.gather()
        return self._run.num_events

    @property
    def damage(self) -> list[Damage]:
        """The damage that was skipped; in a directory, that includes files that are not event files."""
        self.gather()
        return [damage for file in self._run.files for damage in file.damage]

    @property
    def tails(self) -> dict[str, int]:
        """Files that end within an event, as they do while being written, and the bytes of it present."""
        self.gather()
        return {file.name: file.tail for file in self._run.files if file.tail}

    @property
    def tags(self) -> dict[str, str]:
        """All tags, each with its kind or the first of several: ``scalars``, ``histograms``, ``images``, ….

        ``getattr(events, kind)[tag]`` has the values. Tags that only describe hyperparameters are not listed:
        see :attr:`hparams`. The dict is shared until more is gathered, so do not change it.
        """
        return self._tags.tags

    @property
    def scalars(self) -> Tags[Scalars]:
        """Scalars by tag: ``events.scalars["loss"].steps``, ``.wall_times`` and ``.values`` are columns."""
        return self._tags.scalars()

    @property
    def histograms(self) -> Tags[Series[Histogram]]:
        """Histograms by tag."""
        return self._tags.series("histograms", lambda value, _: histogram_of(value))

    @property
    def images(self) -> Tags[Series[tuple[Image, ...]]]:
        """Images by tag: a tuple of encoded images for each step."""
        return self._tags.series("images", images_of)

    @property
    def audio(self) -> Tags[Series[tuple[Audio, ...]]]:
        """Audio by tag: a tuple of encoded clips for each step."""
        return self._tags.series("audio", lambda value, _: audio_of(value))

    @property
    def text(self) -> Tags[Series[np.ndarray]]:
        """Text by tag: an array of ``str`` objects for each step, of shape ``()`` for a single text."""
        return self._tags.series("text", lambda value, _: texts_of(value))

    @property
    def tensors(self) -> Tags[Series[np.ndarray]]:
        """Tensors of no other kind by tag; ``metadata.plugin`` names the plugin that logged them."""
        return self._tags.series("tensors", lambda value, _: _tensor_of(value))

    @property
    def hparams(self) -> HParams | None:
        """The hyperparameters of the run; None if none were logged, CorruptError if they are damaged."""
        # Under the lock, so that tags, metadata and store belong to one gathering.
        with self._run.lock:
            tags = self._tags.of_kind(HPARAMS)
            stored = [(tag, *self._run.tag_table.metadata_at(tag, HPARAMS)) for tag in tags]
            store = self._run.store
        return read_hparams(stored, store) if stored else None

    # --- tables ---------------------------------------------------------------------------------------------

    def to_columns(self, *patterns: str, wide: bool = False) -> dict[str, np.ndarray]:
        """Return scalars as columns ``tag``, ``step``, ``wall_time`` and ``value``, a row for each scalar.

        Parameters
        ----------
        patterns
            Tags, or globs in which ``*`` also matches slashes; no pattern means all scalars.
        wide
            Return a row for each step and a column for each tag instead. If a tag has several scalars at one
            step, the one written last is used; a missing value is NaN.
        """
        return self._table(patterns, wide=wide).to_columns()

    def to_arrow(self, *patterns: str, wide: bool = False) -> Any:  # noqa: ANN401  (pyarrow.Table)
        """Return the same as a ``pyarrow.Table`` (``ckptfmt[arrow]``), in which missing values are null."""
        return to_arrow(self._table(patterns, wide=wide))

    def to_pandas(self, *patterns: str, wide: bool = False) -> Any:  # noqa: ANN401  (pandas.DataFrame)
        """Return the same as a ``pandas.DataFrame`` (``ckptfmt[pandas]``); a wide one is indexed by step."""
        frame = to_pandas(self._table(patterns, wide=wide))
        # Tags repeat from row to row: a category takes a byte or two for each, an object eight.
        return frame.set_index("step") if wide else frame.astype({"tag": "category"})

    def write_scalars(
        self,
        path: PathLike,
        *patterns: str,
        wide: bool = False,
        overwrite: bool = False,
        fs: Filesystem | None = None,
    ) -> None:
        """Write scalars to a ``.csv``, ``.jsonl``, ``.parquet`` or ``.arrow`` file, whole or not at all.

        ``patterns`` and ``wide`` are those of :meth:`to_columns`; ``fs`` is the file system that the path is
        in, by default that of this machine. Rows are written as they are made, thousands at a time.

        Raises
        ------
        ValueError
            The name has another ending.
        AlreadyExistsError
            The file exists, and ``overwrite`` is false.
        MissingDependencyError
            Parquet and Arrow need pyarrow: ``ckptfmt[arrow]``.
        """
        write_table(self._table(patterns, wide=wide), os.fspath(path), overwrite=overwrite, fs=fs)

    def write(self, path: PathLike, *patterns: str, wide: bool = False, overwrite: bool = False) -> None:
        """Write scalars. This is the old name of :meth:`write_scalars`, and warns."""
        warnings.warn("EventLog.write is now EventLog.write_scalars", DeprecationWarning, stacklevel=2)
        self.write_scalars(path, *patterns, wide=wide, overwrite=overwrite)

    def _table(self, patterns: tuple[str, ...], *, wide: bool) -> ColumnTable:
        return scalar_table({None: select(self.scalars, patterns)}, wide=wide)

    # --- events other than summaries -----------------------------------------------------------------------

    @property
    def others(self) -> dict[str, int]:
        """Number of events other than summaries, by what they hold: ``graph_def``, ``session_log``, …."""
        self.gather()
        return dict(Counter(other.what for other in self._run.ordered_others()))

    @property
    def graphs(self) -> list[Graph]:
        """The logged graphs, as :func:`ckptfmt.read_graph` returns them; CorruptError if one is damaged."""
        return read_graphs(*self._run.others_of("graph_def"))

    @property
    def meta_graphs(self) -> list[MetaGraph]:
        """The logged meta graphs, as :func:`ckptfmt.read_meta_graph` returns them."""
        return read_meta_graphs(*self._run.others_of("meta_graph_def"))

    @property
    def run_metadata(self) -> list[RunMetadata]:
        """The measurements of traced steps, in the order in which they were written; CorruptError if damaged.

        TensorFlow 1 writes them as events of their own, TensorFlow 2 as tensors of two plugins.
        """
        located = read_logged_events(*self._run.others_of("tagged_run_metadata"))
        for tag in self._tags.of_kind("tensors"):
            values, metadata, store = self._tags.values("tensors", tag)
            if metadata.plugin in PLUGINS:
                located += read_logged_tensors(tag, values, store)
        # By location alone: measurements themselves have no order.
        return [metadata for _, metadata in sorted(located, key=lambda each: each[0])]

    @property
    def session_logs(self) -> list[SessionLog]:
        """When the program began and ended, and which checkpoints it wrote."""
        return read_session_logs(*self._run.others_of("session_log"))

    def close(self) -> None:
        """Close the files; what was gathered stays."""
        self._run.close()

    def __enter__(self) -> EventLog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<EventLog {self.path!r} of {len(self.files)} files>"


def _tensor_of(value: messages.Summary.Value) -> np.ndarray:
    tensor: np.ndarray = to_array(value.tensor)
    return tensor
