"""``open_events``: the event files of a run, as data."""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Any, TypeVar

import numpy as np

from ckptfmt.errors import CheckpointNotFoundError, CkptfmtError, CorruptError, LimitError
from ckptfmt.events import export
from ckptfmt.events.files import event_files, find_runs, is_event_file
from ckptfmt.events.hparams import PLUGIN as HPARAMS
from ckptfmt.events.hparams import HParams, decode_hparams
from ckptfmt.events.media import Audio, Histogram, Image, audio_of, histogram_of, images_of, texts_of
from ckptfmt.events.scalars import ScalarDecoder
from ckptfmt.events.series import Scalars, Series, Tags
from ckptfmt.events.summaries import FILE_SHIFT, Summaries, Values, What
from ckptfmt.filenames import kind_of
from ckptfmt.graph.graph import Graph
from ckptfmt.graph.meta_graph import MetaGraph
from ckptfmt.kinds import RECORDS, Holds, misfit, recognise, refusal
from ckptfmt.proto import messages
from ckptfmt.proto.parse import parse_message
from ckptfmt.record.frame import HEADER_SIZE
from ckptfmt.record.reader import LIMIT, Batch, Damage, Record, RecordReader
from ckptfmt.record.records import POLL, PathLike, Patience
from ckptfmt.record.source import compression_of, open_source
from ckptfmt.tensor.tensor_proto import to_array
from ckptfmt.wire.file import DescriptorFile, Opener, RandomAccessFile, opener_of

T = TypeVar("T")

TOTAL_LIMIT = 16 << 30
"""Bytes that compressed event files may decompress to; TensorFlow does not write such files."""

_RUN_METADATA = ("graph_run_metadata", "graph_run_metadata_graph")
"""Plugins whose tensors are RunMetadata messages."""

KINDS = ("scalars", "histograms", "images", "audio", "text", "hparams", "tensors")
"""What a tag may be of."""

_KIND_OF_PLUGIN = {name: name for name in ("scalars", "histograms", "images", "audio", "text", "hparams")}
_KIND_OF_WHAT = {
    What.SIMPLE: "scalars",
    What.HISTOGRAM: "histograms",
    What.IMAGE: "images",
    What.AUDIO: "audio",
}


@dataclass(frozen=True)
class SessionLog:
    """A program says that it begins or ends, or that it has written a checkpoint."""

    step: int
    wall_time: float
    status: str
    """``START``, ``STOP``, ``CHECKPOINT``, ``STATUS_UNSPECIFIED``, or a number."""
    checkpoint_path: str
    message: str


@dataclass(frozen=True)
class RunMetadata:
    """What was measured of one step."""

    tag: str
    step: int
    wall_time: float
    data: bytes
    """The serialized RunMetadata message."""


@dataclass(frozen=True)
class _Other:
    """An event that is not of summaries."""

    what: str
    step: int
    wall_time: float
    place: int
    size: int


class EventFile:
    """The event files of one run.

    All that is under tags is gathered when it is asked for the first time, scalars as columns and of all else
    only the place. Iterating gives the ``Event`` messages one after the other, and gathers nothing.
    """

    def __init__(
        self, path: str, files: list[str], opener: Opener, *, verify: bool, strict: bool, limit: int
    ) -> None:
        self.path = path
        """The path that was opened."""
        self._files = files
        self._opener = opener
        self._verify = verify
        self._strict = strict
        self._limit = limit
        self._lock = threading.RLock()
        self._begin()

    def _begin(self) -> None:
        self._readers: list[RecordReader] = []
        self._opened: dict[int, RandomAccessFile] = {}
        self._kept: dict[int, bytes] = {}
        self._decoder = ScalarDecoder(verify=self._verify)
        self._summaries = Summaries()
        self._others: list[_Other] = []
        self._kinds: dict[str, dict[str, list[What]]] | None = None
        self._last: tuple[int, messages.Event] | None = None
        self._is_gathered = False
        self._version = self._writer = ""

    # --- events, one after the other -----------------------------------------------------------------------

    @property
    def files(self) -> tuple[str, ...]:
        """The event files, in the order in which they were begun."""
        return tuple(self._files)

    def records(self) -> Iterator[Record]:
        """Iterate over the records of all files, each an ``Event`` message, with their offsets.

        Damage is skipped and warned of, unless this is strict; errors as of :meth:`Records.__iter__`.
        """
        for file in self.files:
            reader = self._reader(file, self._opener)
            try:
                yield from _refusing(reader.records(), file)
            finally:
                reader.source.close()

    def __iter__(self) -> Iterator[messages.Event]:
        """Iterate over the ``Event`` messages of all files, as TensorFlow's ``summary_iterator`` does."""
        for file in self.files:
            reader = self._reader(file, self._opener)
            try:
                for batch in _refusing(reader.batches(), file):
                    yield from self._events(reader, batch)
            finally:
                reader.source.close()

    def _reader(self, file: str, opener: Opener) -> RecordReader:
        return RecordReader(
            open_source(file, opener), verify=self._verify, strict=self._strict, limit=self._limit
        )

    def _events(self, reader: RecordReader, batch: Batch) -> Iterator[messages.Event]:
        for number in range(len(batch)):
            event = self._event(reader, batch, number)
            if isinstance(event, CkptfmtError):
                reader.report_record(batch, number, event)
            else:
                yield event

    def _event(self, reader: RecordReader, batch: Batch, number: int) -> messages.Event | CkptfmtError:
        """A record as a message, or what is wrong with it."""
        error = batch.check(number, reader.name) if self._verify else None
        if error is not None:
            return error
        begin, size = int(batch.begins[number]), int(batch.sizes[number])
        try:
            return parse_message(messages.Event, batch.data[begin : begin + size], reader.name)
        except CorruptError as damaged:
            damaged.offset = batch.base + begin - HEADER_SIZE
            return damaged

    def follow(
        self, *, poll: float = POLL, timeout: float | None = None, stop: Callable[[], bool] | None = None
    ) -> Iterator[messages.Event]:
        """Iterate over the events, and over those that are written meanwhile, in new files too.

        Parameters
        ----------
        poll
            Seconds between two looks at the files.
        timeout
            Seconds without a new event after which this ends; None waits for ever.
        stop
            Asked before each wait whether to end.
        """
        patience = Patience(poll, timeout, stop)
        files = list(self._files)
        readers = [self._reader(file, DescriptorFile) for file in files]
        try:
            while True:
                for reader in readers:
                    for batch in reader.batches():
                        patience.renew()
                        yield from self._events(reader, batch)
                if not patience.wait():
                    return
                for reader in readers:
                    reader.source.refresh()
                for file in self._new_files(files):
                    files.append(file)
                    readers.append(self._reader(file, DescriptorFile))
        finally:
            for reader in readers:
                reader.source.close()

    def _new_files(self, known: list[str]) -> list[str]:
        if kind_of(self.path) != "directory":
            return []
        return [file for file in event_files(self.path) if file not in known]

    # --- what is under tags --------------------------------------------------------------------------------

    def gather(self, progress: Callable[[int, int], object] | None = None) -> None:
        """Read all files, unless that has been done.

        Parameters
        ----------
        progress
            Called with the bytes read so far and those of all files.

        Raises
        ------
        CorruptError
            A file is no event file, or reading is strict and something is damaged.
        LimitError
            A compressed file decompresses to too much.
        """
        with self._lock:
            if not self._is_gathered:
                self._gather(progress)
                self._is_gathered = True

    def refresh(self) -> int:
        """Read what has been written since, in new files too; return how many events that are."""
        with self._lock:
            before = self.num_events
            for reader in self._readers:
                reader.source.refresh()
            for file in self._opened.values():
                file.close()
            self._opened.clear()
            self._files += self._new_files(self._files)
            self._gather(None)
            return self.num_events - before

    def _gather(self, progress: Callable[[int, int], object] | None) -> None:
        self._kinds = None
        self._readers += [self._reader(file, self._opener) for file in self._files[len(self._readers) :]]
        totals = [reader.source.progress[1] for reader in self._readers]
        for number, reader in enumerate(self._readers):
            for batch in _refusing(reader.batches(), reader.name):
                self._take(number, reader, batch)
                if progress is not None:
                    progress(sum(totals[:number]) + reader.source.progress[0], sum(totals))

    def _take(self, file: int, reader: RecordReader, batch: Batch) -> None:
        columns, others, damaged = self._decoder.decode(batch)
        faults: dict[int, CkptfmtError | None] = dict.fromkeys(damaged)
        is_compressed = reader.compression is not None
        if is_compressed and batch.base + len(batch.data) > TOTAL_LIMIT:
            raise _too_much(reader.name, batch.base + len(batch.data))
        # In the order of the file, so that tags are, and what comes first of each.
        columns.sort(key=lambda each: int(each.offsets[0]), reverse=True)
        borders = batch.borders
        for number in others:
            offset = batch.base + int(borders[number])
            while columns and columns[-1].offsets[0] < offset:
                self._summaries.add_columns(columns.pop(), file)
            event = self._event(reader, batch, number)
            if isinstance(event, CkptfmtError):
                faults[number] = event
                continue
            size = int(batch.sizes[number])
            place = (file << FILE_SHIFT) + offset
            self._take_event(event, place, size)
            if is_compressed:
                begin = int(batch.begins[number])
                self._kept[place] = bytes(batch.data[begin : begin + size])
        while columns:
            self._summaries.add_columns(columns.pop(), file)
        for number in sorted(faults):
            reader.report_record(batch, number, faults[number])

    def _take_event(self, event: messages.Event, place: int, size: int) -> None:
        what = event.WhichOneof("what")
        if what == "summary":
            self._summaries.add_event(event, place, size)
        elif what == "file_version":
            self._version = self._version or event.file_version
            self._writer = self._writer or event.source_metadata.writer
        elif what is not None:
            self._others.append(_Other(what, event.step, event.wall_time, place, size))

    @property
    def version(self) -> str:
        """What the first event says of the format: ``brain.Event:2``."""
        self.gather()
        return self._version

    @property
    def writer(self) -> str:
        """The program that wrote the files, where it says so."""
        self.gather()
        return self._writer

    @property
    def num_events(self) -> int:
        """How many events there are, damaged ones left out."""
        self.gather()
        return sum(reader.count for reader in self._readers)

    @property
    def damage(self) -> list[Damage]:
        """What was skipped because it is damaged."""
        self.gather()
        return [damage for reader in self._readers for damage in reader.damage]

    @property
    def tails(self) -> dict[str, int]:
        """The files whose last event is not all there, as while they are written; and how much of it is."""
        self.gather()
        return {reader.name: reader.tail for reader in self._readers if reader.tail}

    @property
    def tags(self) -> dict[str, str]:
        """All tags, each with its kind: ``scalars``, ``histograms``, ``images``, …; of several the first."""
        found = self._by_kind()
        kinds = {tag: kind for kind in reversed(KINDS) for tag in found[kind]}
        return {tag: kinds[tag] for tag in self._summaries.tags if tag in kinds}

    def _by_kind(self) -> dict[str, dict[str, list[What]]]:
        """The tags of each kind, and what values they have that are of it."""
        self.gather()
        with self._lock:
            if self._kinds is None:
                found: dict[str, dict[str, list[What]]] = {kind: {} for kind in KINDS}
                for tag, number, _ in self._summaries.counts():
                    what = What(number)
                    kind = _KIND_OF_WHAT.get(what)
                    if kind is None:
                        plugin = self._summaries.metadata(tag).plugin
                        kind = _KIND_OF_PLUGIN.get(plugin, "tensors")
                        if what in (What.NOTHING, What.OLD_HISTOGRAM) and kind != HPARAMS:
                            continue
                    found[kind].setdefault(tag, []).append(what)
                self._kinds = found
            return self._kinds

    def _series(self, kind: str, tag: str) -> Values:
        values = self._summaries.values(tag)
        wanted = self._by_kind()[kind][tag]
        is_wanted = values.what == wanted[0]
        for what in wanted[1:]:
            is_wanted |= values.what == what
        return values if is_wanted.all() else values.select(is_wanted)

    def _tags(self, kind: str, noun: str, read: Callable[[messages.Summary.Value], T]) -> Tags[Series[T]]:
        def make(tag: str) -> Series[T]:
            return Series(
                tag,
                self._summaries.metadata(tag),
                self._series(kind, tag),
                lambda values, number: read(self._value(values, number)),
            )

        return Tags(list(self._by_kind()[kind]), make, noun, self.path)

    @property
    def scalars(self) -> Tags[Scalars]:
        """Scalars by tag: ``events.scalars["loss"].steps``, ``.wall_times`` and ``.values`` are columns."""
        return Tags(list(self._by_kind()["scalars"]), self._scalars, "scalars", self.path)

    def _scalars(self, tag: str) -> Scalars:
        values = self._series("scalars", tag)
        column = values.scalars
        rows = np.flatnonzero(values.what == What.TENSOR).tolist()
        if rows:
            # Of other dtypes than TensorFlow writes.
            column = column.astype(np.float64)
            for row in rows:
                column[row] = _number_of(self._value(values, row))
        metadata = self._summaries.metadata(tag)
        return Scalars(tag, metadata, values, lambda _, number: float(column[number]), column)

    @property
    def histograms(self) -> Tags[Series[Histogram]]:
        """Histograms by tag."""
        return self._tags("histograms", "histograms", histogram_of)

    @property
    def images(self) -> Tags[Series[tuple[Image, ...]]]:
        """Images by tag: of each step one or several, encoded."""
        return self._tags("images", "images", images_of)

    @property
    def audio(self) -> Tags[Series[tuple[Audio, ...]]]:
        """Audio by tag: of each step one or several clips, encoded."""
        return self._tags("audio", "audio", audio_of)

    @property
    def text(self) -> Tags[Series[np.ndarray]]:
        """Text by tag: of each step an array of ``str`` objects, of a single text of shape ``()``."""
        return self._tags("text", "text", texts_of)

    @property
    def tensors(self) -> Tags[Series[np.ndarray]]:
        """Tensors by tag, those that are none of the other kinds; ``metadata.plugin`` says whose they are."""

        def make(tag: str) -> Series[np.ndarray]:
            metadata = self._summaries.metadata(tag)
            return Series(tag, metadata, self._series("tensors", tag), self._tensor)

        return Tags(list(self._by_kind()["tensors"]), make, "tensors", self.path)

    def _tensor(self, values: Values, number: int) -> np.ndarray:
        if values.what[number] == What.FLOAT:
            return np.array(values.scalars[number])
        tensor: np.ndarray = to_array(self._value(values, number).tensor)
        return tensor

    @property
    def hparams(self) -> HParams | None:
        """The hyperparameters of the run, None where none were logged; CorruptError if damaged."""
        tags = self._by_kind()[HPARAMS]
        if not tags:
            return None
        return decode_hparams(self._summaries.metadata(tag).content for tag in tags)

    # --- tables ---------------------------------------------------------------------------------------------

    def to_columns(self, *patterns: str, wide: bool = False) -> dict[str, np.ndarray]:
        """Return scalars as columns: ``tag``, ``step``, ``wall_time``, ``value``, a row for each scalar.

        Parameters
        ----------
        patterns
            Globs over tags, where ``*`` also matches slashes; none stands for all.
        wide
            A row for each step and a column for each tag instead. Of several scalars of one tag at one step
            it has the last one; a value that is missing is NaN.
        """
        return export.to_columns(self._table(patterns), wide=wide)

    def to_arrow(self, *patterns: str, wide: bool = False) -> Any:  # noqa: ANN401  (pyarrow.Table)
        """Return the same as a ``pyarrow.Table`` (``ckptfmt[arrow]``); a value that is missing is null."""
        return export.to_arrow(self._table(patterns), wide=wide)

    def to_pandas(self, *patterns: str, wide: bool = False) -> Any:  # noqa: ANN401  (pandas.DataFrame)
        """Return the same as a ``pandas.DataFrame``, the wide one with the step as its index."""
        return export.to_pandas(self._table(patterns), wide=wide)

    def write(self, path: PathLike, *patterns: str, wide: bool = False, overwrite: bool = False) -> None:
        """Write scalars to a ``.csv``, ``.jsonl``, ``.parquet`` or ``.arrow`` file, whole or not at all.

        Parameters are those of :meth:`to_columns`. Rows are written as they are made, some thousand at once.

        Raises
        ------
        ValueError
            The name ends in none of these.
        FileExistsError
            There is such a file, and not ``overwrite``.
        MissingDependencyError
            Parquet and Arrow need pyarrow: ``ckptfmt[arrow]``.
        """
        export.write(self._table(patterns), path, wide=wide, overwrite=overwrite)

    def _table(self, patterns: tuple[str, ...]) -> export.Runs:
        return {None: export.select(self.scalars, patterns)}

    # --- what is not under tags ----------------------------------------------------------------------------

    def _of(self, what: str) -> list[_Other]:
        self.gather()
        return [other for other in self._others if other.what == what]

    @property
    def others(self) -> dict[str, int]:
        """How many events there are that are not of summaries, by what they are: ``graph_def`` and so on."""
        self.gather()
        return dict(Counter(other.what for other in self._others))

    @property
    def graphs(self) -> list[Graph]:
        """The graphs that were logged, as :func:`ckptfmt.read_graph` has them; CorruptError if damaged."""
        return [
            Graph(
                parse_message(messages.GraphDef, self._read(each).graph_def, self._name(each)),
                self._name(each),
            )
            for each in self._of("graph_def")
        ]

    @property
    def meta_graphs(self) -> list[MetaGraph]:
        """The meta graphs that were logged, as :func:`ckptfmt.read_meta_graph` returns them."""
        return [
            MetaGraph(
                parse_message(messages.MetaGraphDef, self._read(each).meta_graph_def, self._name(each)),
                self._name(each),
            )
            for each in self._of("meta_graph_def")
        ]

    @property
    def run_metadata(self) -> list[RunMetadata]:
        """What was measured of steps, in the order in which it was written."""
        found = [
            (each.place, RunMetadata(message.tag, each.step, each.wall_time, message.run_metadata))
            for each in self._of("tagged_run_metadata")
            for message in [self._read(each).tagged_run_metadata]
        ]
        for tag in self._by_kind()["tensors"]:
            if self._summaries.metadata(tag).plugin in _RUN_METADATA:
                series = self.tensors[tag]
                places = self._series("tensors", tag).places.tolist()
                found += [
                    (
                        place,
                        RunMetadata(tag, int(step), float(wall), b"".join(array.reshape(-1)[:1].tolist())),
                    )
                    for place, array, step, wall in zip(
                        places, series, series.steps, series.wall_times, strict=True
                    )
                ]
        return [metadata for _, metadata in sorted(found, key=lambda each: each[0])]

    @property
    def session_logs(self) -> list[SessionLog]:
        """When the program began and ended, and which checkpoints it wrote."""
        names = {number: name for name, number in messages.SessionLog.SessionStatus.items()}
        return [
            SessionLog(
                each.step,
                each.wall_time,
                names.get(log.status, str(log.status)),
                log.checkpoint_path,
                log.msg,
            )
            for each in self._of("session_log")
            for log in [self._read(each).session_log]
        ]

    # --- reading again -------------------------------------------------------------------------------------

    def _name(self, other: _Other) -> str:
        return self._files[other.place >> FILE_SHIFT]

    def _read(self, other: _Other) -> messages.Event:
        return self._event_at(other.place, other.size)

    def _value(self, values: Values, number: int) -> messages.Summary.Value:
        event = self._event_at(int(values.places[number]), int(values.sizes[number]))
        return event.summary.value[int(values.numbers[number])]

    def _event_at(self, place: int, size: int) -> messages.Event:
        """The event at a place; of those asked for in turn that are one and the same it is decoded once."""
        last = self._last
        if last is not None and last[0] == place:
            return last[1]
        file, offset = place >> FILE_SHIFT, place & ((1 << FILE_SHIFT) - 1)
        name = self._files[file]
        data = self._kept.get(place)
        if data is None:
            opened = self._opened.get(file)
            if opened is None:
                opened = self._opened[file] = self._opener(name)
            data = bytes(opened.read(offset + HEADER_SIZE, size))
        event = parse_message(messages.Event, data, name)
        self._last = place, event
        return event

    def close(self) -> None:
        """Close the files; what has been gathered stays."""
        with self._lock:
            for file in self._opened.values():
                file.close()
            self._opened.clear()
            for reader in self._readers:
                reader.source.close()

    def __enter__(self) -> EventFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<EventFile {self.path!r} of {len(self._files)} files>"


def _number_of(value: messages.Summary.Value) -> float:
    """A scalar that is stored as a tensor."""
    array = to_array(value.tensor)
    if array.size != 1 or array.dtype.hasobject:
        raise CorruptError(f"scalar {value.tag!r}: got {array.dtype}{list(array.shape)}, want one number")
    return float(array.reshape(-1)[0])


def _too_much(file: str, asked: int) -> LimitError:
    return LimitError(f"{file}: bytes of a compressed file", limit=TOTAL_LIMIT, asked=asked)


def _refusing(items: Iterator[T], file: str) -> Iterator[T]:
    """Pass on what is read of a file; where nothing can be, say what the file is instead."""
    first = True
    try:
        for item in items:
            first = False
            yield item
    except CorruptError as error:
        if first and error.offset == 0 and type(error) is CorruptError:
            raise refusal(file, Holds.EVENTS) from error
        raise


def open_events(
    path: PathLike,
    *,
    verify: bool = True,
    strict: bool = False,
    limit: int = LIMIT,
    backend: str = "mmap",
) -> EventFile:
    """Open an event file, or all those of a run.

    Parameters
    ----------
    path
        An event file, compressed or not, or the directory of a run: its event files are read in the order in
        which they were begun. Directories in it are runs of their own, see :func:`ckptfmt.find_runs`.
    verify
        Whether the checksums of events are verified; those of their lengths always are.
    strict
        Whether damage, and a last event that is not all there, is raised. Else what is damaged is skipped,
        told by :attr:`EventFile.damage` and warned of (:class:`ckptfmt.errors.DamageWarning`).
    limit
        Bytes of a compressed file that are decompressed without coming to the end of an event.
    backend
        ``"mmap"``, or ``"pread"`` for files that may be cut short while they are read.

    Raises
    ------
    CheckpointNotFoundError
        There is no such file, or no event file in the directory.
    UnsupportedError
        The file is of another kind; the message says what it is, and what reads it.
    NotReadableError
        The system refuses.
    """
    path, opener = os.fspath(path), opener_of(backend)
    if kind_of(path) != "directory":
        _check_kind(path, opener)
        files = [path]
    else:
        files = event_files(path)
        if not files:
            raise _no_events(path)
    return EventFile(path, files, opener, verify=verify, strict=strict, limit=limit)


def _check_kind(path: str, opener: Opener) -> None:
    """Refuse a file of records that are no events."""
    file = opener(path)
    try:
        if compression_of(file) is None and not is_event_file(path) and recognise(file) is RECORDS:
            raise misfit(path, RECORDS, Holds.EVENTS)
    finally:
        file.close()


def _no_events(directory: str) -> CheckpointNotFoundError:
    runs = list(find_runs(directory))
    what = f"{directory}: no event file in this directory"
    if runs:
        shown = ", ".join(runs[:10]) + (", …" if len(runs) > 10 else "")
        what += f"; it has {len(runs)} runs in it (ckptfmt.find_runs): {shown}"
    return CheckpointNotFoundError(what, tried=[directory])
