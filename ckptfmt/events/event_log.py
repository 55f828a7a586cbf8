"""``open_events`` and ``EventLog``: the event files of one run, as data."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from types import TracebackType
from typing import Any, TypeVar

import numpy as np

from ckptfmt.arrays.decode import to_array
from ckptfmt.errors import CkptfmtError, NameNotFoundError, PathNotFoundError
from ckptfmt.events.classify import FLOAT, HPARAMS, KINDS, Content, content_of, kind_of_value
from ckptfmt.events.event import OtherEvent, SessionLog
from ckptfmt.events.find import event_files, find_runs, is_event_file
from ckptfmt.events.gather import LIMIT, GatheredRun
from ckptfmt.events.hparams import HParams, decode_hparams
from ckptfmt.events.media import (
    Audio,
    Histogram,
    Image,
    audio_of,
    histogram_of,
    images_of,
    strings_of,
    texts_of,
)
from ckptfmt.events.run_metadata import RunMetadata
from ckptfmt.events.scalar_table import scalar_table, select
from ckptfmt.events.series import Scalars, Series, Tags
from ckptfmt.events.store import EventStore
from ckptfmt.events.values import Values
from ckptfmt.filetype.content import recognise
from ckptfmt.filetype.kinds import RECORDS, Holds
from ckptfmt.filetype.refusal import misfit
from ckptfmt.graph.graph import Graph
from ckptfmt.graph.meta.meta_graph import MetaGraph
from ckptfmt.proto import messages
from ckptfmt.proto.parse import parse_message
from ckptfmt.record.batch import Record
from ckptfmt.record.damage import Damage, OnDamage
from ckptfmt.record.follow import POLL, Patience
from ckptfmt.record.input import compression_of
from ckptfmt.record.records import PathLike
from ckptfmt.storage.filesystem import Filesystem
from ckptfmt.storage.local import filesystem_of
from ckptfmt.tabular.arrow import to_arrow, to_pandas
from ckptfmt.tabular.column_table import ColumnTable
from ckptfmt.tabular.write import write_table
from ckptfmt.text.quoting import listed

T = TypeVar("T")

_RUN_METADATA_PLUGINS = ("graph_run_metadata", "graph_run_metadata_graph")
"""Plugins whose tensors are RunMetadata messages."""


def open_events(
    path: PathLike,
    *,
    verify: bool = True,
    strict: bool = False,
    limit: int = LIMIT,
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
    limit
        Bytes of memory allowed for compressed files: for one event, and for all that is gathered.
    backend
        ``"mmap"``, or ``"pread"`` for files that may be cut short while they are read.
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
        The operating system refuses to read the file.
    """
    path, fs = os.fspath(path), filesystem_of(backend, fs)
    if fs.path_type(path) != "directory":
        _check_kind(path, fs)
        files = [path]
    else:
        files = event_files(fs, path)
        if not files:
            raise _no_event_files(path, fs)
    return EventLog(path, files, fs, verify=verify, strict=strict, limit=limit, on_damage=on_damage)


def _check_kind(path: str, fs: Filesystem) -> None:
    """Refuse a file of records that do not hold events."""
    with closing(fs.open(path)) as file:
        if compression_of(file) is None and not is_event_file(path) and recognise(file) is RECORDS:
            raise misfit(path, RECORDS, Holds.EVENTS)


def _no_event_files(directory: str, fs: Filesystem) -> PathNotFoundError:
    what = "no event file in this directory"
    if runs := find_runs(directory, fs=fs):
        what += f", but in {len(runs)} below it (see ckptfmt.find_runs): {listed(runs, 10, quote=str)}"
    return PathNotFoundError(what, file=directory)


class EventLog:
    """The event files of one run.

    The first question about tags reads all files: scalars are gathered as columns, and of everything else
    only the location. Iterating returns ``Event`` messages one after the other, and gathers nothing.

    An error during gathering, Ctrl-C included, leaves nothing gathered: the next question starts anew, and
    raises the same error again if its cause persists. Values that are read later are those that were
    gathered: CorruptError if the file has been replaced since.
    """

    def __init__(
        self,
        path: str,
        files: list[str],
        fs: Filesystem,
        *,
        verify: bool,
        strict: bool,
        limit: int,
        on_damage: OnDamage | None = None,
    ) -> None:
        self.path = path
        """The path that was opened."""
        self._run = GatheredRun(
            path, files, fs, verify=verify, strict=strict, limit=limit, on_damage=on_damage
        )
        self._views: dict[str, Any] = {}
        """What was derived from all that is gathered, by name."""
        self._generation = -1

    # --- event by event ------------------------------------------------------------------------------------

    @property
    def files(self) -> tuple[str, ...]:
        """The event files, in the order in which they were begun."""
        return tuple(self._run.names)

    def records(self) -> Iterator[Record]:
        """Iterate over the records of all files, each an ``Event`` message, with their offsets.

        Damage is skipped and reported, or raised if reading is strict; errors as of :meth:`Records.__iter__`.
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
            Seconds between two looks at the files.
        timeout
            Seconds without a new event after which the iteration ends; None waits forever.
        stop
            Called several times a second while waiting; a true result ends the iteration.
        on_damage
            Called with each stretch of damage, in place of what was passed to :func:`open_events`.
        """
        return self._run.follow(Patience(poll, timeout, stop), on_damage)

    # --- tags ----------------------------------------------------------------------------------------------

    def gather(self, progress: Callable[[int, int], object] | None = None) -> None:
        """Read all files, unless that was done before.

        Parameters
        ----------
        progress
            Called with the number of bytes read so far, and that of all files.

        Raises
        ------
        CorruptError
            A file is not an event file, or reading is strict and something is damaged.
        LimitError
            A compressed file decompresses to more than the limit.
        """
        self._run.gather(progress)

    def refresh(self) -> int:
        """Read what was written since, also to new files; return the number of new events.

        If a file was replaced, or a new one was begun before others, everything is gathered anew; otherwise
        what was read from a file that no longer exists stays. Mappings and series keep what they had when
        they were taken, except that a mapping returns the values of now.
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
        """Number of events, without damaged ones."""
        self.gather()
        return self._run.num_events

    @property
    def damage(self) -> list[Damage]:
        """What was skipped as damaged; in a directory, that includes files that are not event files."""
        self.gather()
        return [damage for file in self._run.files for damage in file.damage]

    @property
    def tails(self) -> dict[str, int]:
        """Files that end within an event, as they do while being written, and the bytes of it that exist."""
        self.gather()
        return {file.name: file.tail for file in self._run.files if file.tail}

    @property
    def tags(self) -> dict[str, str]:
        """All tags, each with its kind or the first of several: ``scalars``, ``histograms``, ``images``, ….

        ``getattr(events, kind)[tag]`` has the values. Tags that only describe hyperparameters are not listed:
        see :attr:`hparams`. The dict is shared until more is gathered, so do not change it.
        """
        return self._view("tags", self._make_tags)

    def _make_tags(self) -> dict[str, str]:
        by_kind = self._by_kind()
        kinds = {tag: kind for kind in reversed(KINDS) for tag in by_kind[kind]}
        return {tag: kinds[tag] for tag, _ in self._codes() if tag in kinds}

    def _codes(self) -> list[tuple[str, list[int]]]:
        """Return all tags in the order of their first values, with the codes of their values."""
        return self._view("codes", lambda: list(self._run.summaries.codes()))

    def _view(self, name: str, make: Callable[[], T]) -> T:
        """Return something derived from all that is gathered; it is made once until more is gathered."""
        with self._run.lock:
            self.gather()
            if self._generation != self._run.generation:
                self._views.clear()
                self._generation = self._run.generation
            if name not in self._views:
                self._views[name] = make()
            view: T = self._views[name]
            return view

    def _by_kind(self) -> dict[str, dict[str, list[int] | None]]:
        """Return the tags of each kind, each with the codes of its values of that kind; None if all are."""
        return self._view("by kind", self._make_by_kind)

    def _make_by_kind(self) -> dict[str, dict[str, list[int] | None]]:
        by_kind: dict[str, dict[str, list[int] | None]] = {kind: {} for kind in (*KINDS, HPARAMS)}
        summaries = self._run.summaries
        for tag, codes in self._codes():
            plugin = summaries.metadata(tag).plugin
            kinds = [kind_of_value(code, plugin) for code in codes]
            for kind in kinds:
                if kind is not None and tag not in by_kind[kind]:
                    of_kind = [code for code, other in zip(codes, kinds, strict=True) if other == kind]
                    by_kind[kind][tag] = None if len(of_kind) == len(codes) else of_kind
        return by_kind

    def _values(self, kind: str, tag: str) -> Values:
        with self._run.lock:
            tags = self._by_kind()[kind]
            if tag not in tags:
                # The mapping was taken before everything was gathered anew, and the tag is gone.
                raise NameNotFoundError(tag, file=self.path, noun=kind)
            values = self._run.summaries.values(tag)
            codes = tags[tag]
        return values if codes is None else values.select(np.isin(values.codes, codes))

    def _tags(self, kind: str, read: Callable[[messages.Summary.Value], T]) -> Tags[Series[T]]:
        def make(tag: str) -> Series[T]:
            with self._run.lock:
                values, store = self._values(kind, tag), self._run.store
                metadata = self._run.summaries.metadata(tag, kind)
            what = f"{kind} {tag!r}"
            return Series(
                tag,
                metadata,
                values,
                lambda values, number: _read_value(store, values, number, what, read),
            )

        return self._view(kind, lambda: Tags(self._by_kind()[kind], make, kind, self.path))

    @property
    def scalars(self) -> Tags[Scalars]:
        """Scalars by tag: ``events.scalars["loss"].steps``, ``.wall_times`` and ``.values`` are columns."""
        return self._view(
            "scalars", lambda: Tags(self._by_kind()["scalars"], self._scalars, "scalars", self.path)
        )

    def _scalars(self, tag: str) -> Scalars:
        with self._run.lock:
            values = self._values("scalars", tag)
            metadata = self._run.summaries.metadata(tag, "scalars")
        column = values.scalars
        if column.dtype != np.float32 and not any(map(_is_number, np.unique(values.codes).tolist())):
            # The table is float64 because of other tags; this one has only float32 values.
            column = column.astype(np.float32)
        return Scalars(tag, metadata, values, _number_of, column)

    @property
    def histograms(self) -> Tags[Series[Histogram]]:
        """Histograms by tag."""
        return self._tags("histograms", histogram_of)

    @property
    def images(self) -> Tags[Series[tuple[Image, ...]]]:
        """Images by tag: a tuple of encoded images for each step."""
        return self._tags("images", images_of)

    @property
    def audio(self) -> Tags[Series[tuple[Audio, ...]]]:
        """Audio by tag: a tuple of encoded clips for each step."""
        return self._tags("audio", audio_of)

    @property
    def text(self) -> Tags[Series[np.ndarray]]:
        """Text by tag: an array of ``str`` objects for each step, of shape ``()`` for a single text."""
        return self._tags("text", texts_of)

    @property
    def tensors(self) -> Tags[Series[np.ndarray]]:
        """Tensors of no other kind by tag; ``metadata.plugin`` names the plugin that logged them."""
        return self._tags("tensors", _tensor_of)

    @property
    def hparams(self) -> HParams | None:
        """The hyperparameters of the run; None if none were logged, CorruptError if they are damaged."""
        with self._run.lock:
            tags = self._by_kind()[HPARAMS]
            stored = [(tag, *self._run.summaries.metadata_at(tag, HPARAMS)) for tag in tags]
            store = self._run.store
        if not stored:
            return None
        hparams = HParams()
        for tag, location, metadata in stored:
            try:
                decode_hparams(metadata.content, hparams)
            except CkptfmtError as error:
                raise store.at(error, location, f"hparams {tag!r}") from error.__cause__
        return hparams

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
        return frame.set_index("step") if wide else frame.astype({"tag": "category"})

    def write(self, path: PathLike, *patterns: str, wide: bool = False, overwrite: bool = False) -> None:
        """Write scalars to a ``.csv``, ``.jsonl``, ``.parquet`` or ``.arrow`` file, whole or not at all.

        Parameters are those of :meth:`to_columns`. Rows are written as they are made, some thousand at once.

        Raises
        ------
        ValueError
            The name has another ending.
        AlreadyExistsError
            The file exists, and ``overwrite`` is false.
        MissingDependencyError
            Parquet and Arrow need pyarrow: ``ckptfmt[arrow]``.
        """
        write_table(self._table(patterns, wide=wide), os.fspath(path), overwrite=overwrite)

    def _table(self, patterns: tuple[str, ...], *, wide: bool) -> ColumnTable:
        return scalar_table({None: select(self.scalars, patterns)}, wide=wide)

    # --- events other than summaries -----------------------------------------------------------------------

    def _read_others(
        self, what: str, read: Callable[[OtherEvent, messages.Event, str], T]
    ) -> list[tuple[int, T]]:
        """Return what is read from the events of one kind, with their locations."""
        with self._run.lock:
            self.gather()
            others = [other for other in self._others() if other.what == what]
            store = self._run.store
        return [(other.location, _read_other(store, other, read)) for other in others]

    def _others(self) -> list[OtherEvent]:
        """Return events other than summaries in the order of the files, in whatever order they were read."""
        return sorted(self._run.others, key=lambda other: other.location)

    @property
    def others(self) -> dict[str, int]:
        """Number of events other than summaries, by what they hold: ``graph_def``, ``session_log``, …."""
        self.gather()
        return dict(Counter(other.what for other in self._others()))

    @property
    def graphs(self) -> list[Graph]:
        """The logged graphs, as :func:`ckptfmt.read_graph` returns them; CorruptError if one is damaged."""

        def read(_: OtherEvent, event: messages.Event, name: str) -> Graph:
            return Graph(parse_message(messages.GraphDef, event.graph_def, None), name)

        return [graph for _, graph in self._read_others("graph_def", read)]

    @property
    def meta_graphs(self) -> list[MetaGraph]:
        """The logged meta graphs, as :func:`ckptfmt.read_meta_graph` returns them."""

        def read(_: OtherEvent, event: messages.Event, name: str) -> MetaGraph:
            return MetaGraph(parse_message(messages.MetaGraphDef, event.meta_graph_def, None), name)

        return [graph for _, graph in self._read_others("meta_graph_def", read)]

    @property
    def run_metadata(self) -> list[RunMetadata]:
        """The measurements of traced steps, in the order in which they were written; CorruptError if damaged.

        TensorFlow 1 writes them as events of their own, TensorFlow 2 as tensors of two plugins.
        """

        def read(other: OtherEvent, event: messages.Event, name: str) -> RunMetadata:
            logged = event.tagged_run_metadata
            data = logged.run_metadata
            message = parse_message(messages.RunMetadata, data, None)
            return RunMetadata(logged.tag, other.step, other.wall_time, data, message)

        located = self._read_others("tagged_run_metadata", read)
        for tag in self.tensors:
            with self._run.lock:
                values, store = self._values("tensors", tag), self._run.store
                plugin = self._run.summaries.metadata(tag, "tensors").plugin
            if plugin in _RUN_METADATA_PLUGINS:
                for number, location in enumerate(values.locations.tolist()):
                    what = f"run metadata {tag!r}"
                    data, message = _read_value(store, values, number, what, _run_metadata_of)
                    step, wall_time = int(values.steps[number]), float(values.wall_times[number])
                    located.append((location, RunMetadata(tag, step, wall_time, data, message)))
        return [metadata for _, metadata in sorted(located, key=lambda each: each[0])]

    @property
    def session_logs(self) -> list[SessionLog]:
        """When the program began and ended, and which checkpoints it wrote."""
        names = {number: name for name, number in messages.SessionLog.SessionStatus.items()}

        def read(other: OtherEvent, event: messages.Event, _: str) -> SessionLog:
            log = event.session_log
            status = names.get(log.status, str(log.status))
            return SessionLog(other.step, other.wall_time, status, log.checkpoint_path, log.msg)

        return [log for _, log in self._read_others("session_log", read)]

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


def _read_value(
    store: EventStore, values: Values, number: int, what: str, read: Callable[[messages.Summary.Value], T]
) -> T:
    """Read a value from its file again; an error says where it is."""
    location = int(values.locations[number])
    try:
        if content_of(int(values.codes[number])) is Content.FLOAT:
            # The number itself is known, and events of compressed files that hold only numbers are not kept.
            value = messages.Summary.Value()
            value.tensor.dtype = FLOAT
            value.tensor.float_val.append(float(values.scalars[number]))
            return read(value)
        event = store.event(location, int(values.sizes[number]))
        return read(event.summary.value[int(values.numbers[number])])
    except CkptfmtError as error:
        raise store.at(error, location, what) from error.__cause__


def _read_other(
    store: EventStore, other: OtherEvent, read: Callable[[OtherEvent, messages.Event, str], T]
) -> T:
    """Read an event from its file again; an error says where it is."""
    try:
        return read(other, store.event(other.location, other.size), store.name(other.location))
    except CkptfmtError as error:
        raise store.at(error, other.location, other.what) from error.__cause__


def _is_number(code: int) -> bool:
    return content_of(code) is Content.NUMBER


def _number_of(values: Values, number: int) -> float:
    return float(values.scalars[number])


def _tensor_of(value: messages.Summary.Value) -> np.ndarray:
    tensor: np.ndarray = to_array(value.tensor)
    return tensor


def _run_metadata_of(value: messages.Summary.Value) -> tuple[bytes, messages.RunMetadata]:
    """Return the message in the first element of a string tensor, as bytes and decoded."""
    data = b"".join(strings_of(value, "run metadata").reshape(-1)[:1].tolist())
    return data, parse_message(messages.RunMetadata, data, None)
