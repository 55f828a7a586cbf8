"""``EventLog``: the event files of a run, as data."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, TypeVar

import numpy as np

from ckptfmt.arrays.tensor_proto import to_array
from ckptfmt.errors import CkptfmtError, NameNotFoundError
from ckptfmt.events.classify import FLOAT, HPARAMS, KINDS, What, kind_of_value, what_of
from ckptfmt.events.event import Other, SessionLog
from ckptfmt.events.gather import GatheredRun
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
from ckptfmt.events.tag_table import Values
from ckptfmt.graph.graph import Graph
from ckptfmt.graph.meta.meta_graph import MetaGraph
from ckptfmt.proto import messages
from ckptfmt.proto.parse import parse_message
from ckptfmt.record.batch import Record
from ckptfmt.record.damage import Damage
from ckptfmt.record.follow import POLL, Patience
from ckptfmt.record.records import PathLike
from ckptfmt.storage.filesystem import Filesystem
from ckptfmt.tabular.arrow import to_arrow, to_pandas
from ckptfmt.tabular.table import Table
from ckptfmt.tabular.write import write_table

T = TypeVar("T")

_RUN_METADATA = ("graph_run_metadata", "graph_run_metadata_graph")
"""Plugins whose tensors are RunMetadata messages."""


class EventLog:
    """The event files of one run.

    All that is under tags is gathered when it is asked for the first time, scalars as columns and of all else
    only the place. Iterating gives the ``Event`` messages one after the other, and gathers nothing.

    An error while this gathers, Ctrl-C included, leaves nothing gathered: whatever is asked for next begins
    anew, and raises the same error again if it is still there. Values that are read when they are asked for
    are those that were gathered: CorruptError where the file has been replaced since.
    """

    def __init__(
        self, path: str, files: list[str], fs: Filesystem, *, verify: bool, strict: bool, limit: int
    ) -> None:
        self.path = path
        """The path that was opened."""
        self._run = GatheredRun(path, files, fs, verify=verify, strict=strict, limit=limit)
        self._views: dict[str, Any] = {}
        """What was made of all that is gathered, by its name."""
        self._generation = -1

    # --- events, one after the other -----------------------------------------------------------------------

    @property
    def files(self) -> tuple[str, ...]:
        """The event files, in the order in which they were begun."""
        return tuple(self._run.names)

    def records(self) -> Iterator[Record]:
        """Iterate over the records of all files, each an ``Event`` message, with their offsets.

        Damage is skipped and warned of, unless this is strict; errors as of :meth:`Records.__iter__`.
        """
        return self._run.records()

    def __iter__(self) -> Iterator[messages.Event]:
        """Iterate over the ``Event`` messages of all files, as TensorFlow's ``summary_iterator`` does."""
        return self._run.events()

    def follow(
        self, *, poll: float = POLL, timeout: float | None = None, stop: Callable[[], bool] | None = None
    ) -> Iterator[messages.Event]:
        """Iterate over the events, and over those that are written meanwhile, in new files too.

        A file that is removed has ended; one that is replaced is read from its beginning.

        Parameters
        ----------
        poll
            Seconds between two looks at the files.
        timeout
            Seconds without a new event after which this ends; None waits for ever.
        stop
            Asked before each wait whether to end.
        """
        return self._run.follow(Patience(poll, timeout, stop))

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
        self._run.gather(progress)

    def refresh(self) -> int:
        """Read what has been written since, in new files too; return how many events that are.

        Where a file has been replaced, or one is there by now that was begun before others, all is gathered
        anew; else what was read of a file that is gone stays. Mappings and series that were taken out before
        do not change, but for a mapping's values, which are those of now.
        """
        return self._run.refresh()

    @property
    def version(self) -> str:
        """What the first event says of the format: ``brain.Event:2``."""
        self.gather()
        return self._run.version

    @property
    def writer(self) -> str:
        """The program that wrote the files, where it says so."""
        self.gather()
        return self._run.writer

    @property
    def num_events(self) -> int:
        """How many events there are, damaged ones left out."""
        self.gather()
        return self._run.num_events

    @property
    def damage(self) -> list[Damage]:
        """What was skipped because it is damaged; in a directory also files that are no event files."""
        self.gather()
        return [damage for file in self._run.files for damage in file.damage]

    @property
    def tails(self) -> dict[str, int]:
        """The files whose last event is not all there, as while they are written; and how much of it is."""
        self.gather()
        return {file.name: file.tail for file in self._run.files if file.tail}

    @property
    def tags(self) -> dict[str, str]:
        """All tags, each with its kind: ``scalars``, ``histograms``, ``images``, …; of several the first.

        ``getattr(events, kind)[tag]`` has its values. Tags that only tell hyperparameters are not among them:
        see :attr:`hparams`. The same dict until there is more: not to be changed.
        """
        return self._view("tags", self._make_tags)

    def _make_tags(self) -> dict[str, str]:
        found = self._by_kind()
        kinds = {tag: kind for kind in reversed(KINDS) for tag in found[kind]}
        return {tag: kinds[tag] for tag, _ in self._codes() if tag in kinds}

    def _codes(self) -> list[tuple[str, list[int]]]:
        """All tags in the order of their first values, with the codes of these."""
        return self._view("codes", lambda: list(self._run.summaries.codes()))

    def _view(self, name: str, make: Callable[[], T]) -> T:
        """What is made of all that is gathered, made once until there is more."""
        with self._run.lock:
            self.gather()
            if self._generation != self._run.generation:
                self._views.clear()
                self._generation = self._run.generation
            if name not in self._views:
                self._views[name] = make()
            found: T = self._views[name]
            return found

    def _by_kind(self) -> dict[str, dict[str, list[int] | None]]:
        """The tags of each kind, with the codes of those of their values that are of it; None of all."""
        return self._view("by kind", self._make_by_kind)

    def _make_by_kind(self) -> dict[str, dict[str, list[int] | None]]:
        found: dict[str, dict[str, list[int] | None]] = {kind: {} for kind in (*KINDS, HPARAMS)}
        summaries = self._run.summaries
        for tag, codes in self._codes():
            plugin = summaries.metadata(tag).plugin
            kinds = [kind_of_value(code, plugin) for code in codes]
            for kind in kinds:
                if kind is not None and tag not in found[kind]:
                    of_kind = [code for code, other in zip(codes, kinds, strict=True) if other == kind]
                    found[kind][tag] = None if len(of_kind) == len(codes) else of_kind
        return found

    def _values(self, kind: str, tag: str) -> Values:
        with self._run.lock:
            tags = self._by_kind()[kind]
            if tag not in tags:
                # Of a mapping that was taken out before all was gathered anew.
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
            # Others are of another type, not these.
            column = column.astype(np.float32)
        return Scalars(tag, metadata, values, _number_of, column)

    @property
    def histograms(self) -> Tags[Series[Histogram]]:
        """Histograms by tag."""
        return self._tags("histograms", histogram_of)

    @property
    def images(self) -> Tags[Series[tuple[Image, ...]]]:
        """Images by tag: of each step one or several, encoded."""
        return self._tags("images", images_of)

    @property
    def audio(self) -> Tags[Series[tuple[Audio, ...]]]:
        """Audio by tag: of each step one or several clips, encoded."""
        return self._tags("audio", audio_of)

    @property
    def text(self) -> Tags[Series[np.ndarray]]:
        """Text by tag: of each step an array of ``str`` objects, of a single text of shape ``()``."""
        return self._tags("text", texts_of)

    @property
    def tensors(self) -> Tags[Series[np.ndarray]]:
        """Tensors by tag, those that are none of the other kinds; ``metadata.plugin`` says whose they are."""
        return self._tags("tensors", _tensor_of)

    @property
    def hparams(self) -> HParams | None:
        """The hyperparameters of the run, None where none were logged; CorruptError if damaged."""
        with self._run.lock:
            tags = self._by_kind()[HPARAMS]
            found = [(tag, *self._run.summaries.metadata_at(tag, HPARAMS)) for tag in tags]
            store = self._run.store
        if not found:
            return None
        hparams = HParams()
        for tag, place, metadata in found:
            try:
                decode_hparams(metadata.content, hparams)
            except CkptfmtError as error:
                raise store.at(error, place, f"hparams {tag!r}") from error.__cause__
        return hparams

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
        return self._table(patterns, wide=wide).to_columns()

    def to_arrow(self, *patterns: str, wide: bool = False) -> Any:  # noqa: ANN401  (pyarrow.Table)
        """Return the same as a ``pyarrow.Table`` (``ckptfmt[arrow]``); a value that is missing is null."""
        return to_arrow(self._table(patterns, wide=wide))

    def to_pandas(self, *patterns: str, wide: bool = False) -> Any:  # noqa: ANN401  (pandas.DataFrame)
        """Return the same as a ``pandas.DataFrame``, the wide one with the step as its index."""
        frame = to_pandas(self._table(patterns, wide=wide))
        return frame.set_index("step") if wide else frame.astype({"tag": "category"})

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
        write_table(self._table(patterns, wide=wide), os.fspath(path), overwrite=overwrite)

    def _table(self, patterns: tuple[str, ...], *, wide: bool) -> Table:
        return scalar_table({None: select(self.scalars, patterns)}, wide=wide)

    # --- what is not under tags ----------------------------------------------------------------------------

    def _of(self, what: str, read: Callable[[Other, messages.Event, str], T]) -> list[tuple[int, T]]:
        """What is read of the events that say one thing, with their places."""
        with self._run.lock:
            self.gather()
            found = [other for other in self._others() if other.what == what]
            store = self._run.store
        return [(other.place, _read_other(store, other, read)) for other in found]

    def _others(self) -> list[Other]:
        """In the order of the files, whenever they were read."""
        return sorted(self._run.others, key=lambda other: other.place)

    @property
    def others(self) -> dict[str, int]:
        """How many events there are that are not of summaries, by what they are: ``graph_def`` and so on."""
        self.gather()
        return dict(Counter(other.what for other in self._others()))

    @property
    def graphs(self) -> list[Graph]:
        """The graphs that were logged, as :func:`ckptfmt.read_graph` has them; CorruptError if damaged."""

        def read(_: Other, event: messages.Event, name: str) -> Graph:
            return Graph(parse_message(messages.GraphDef, event.graph_def, None), name)

        return [graph for _, graph in self._of("graph_def", read)]

    @property
    def meta_graphs(self) -> list[MetaGraph]:
        """The meta graphs that were logged, as :func:`ckptfmt.read_meta_graph` returns them."""

        def read(_: Other, event: messages.Event, name: str) -> MetaGraph:
            return MetaGraph(parse_message(messages.MetaGraphDef, event.meta_graph_def, None), name)

        return [graph for _, graph in self._of("meta_graph_def", read)]

    @property
    def run_metadata(self) -> list[RunMetadata]:
        """What was measured of steps, in the order in which it was written; CorruptError if damaged."""

        def read(other: Other, event: messages.Event, name: str) -> RunMetadata:
            logged = event.tagged_run_metadata
            data = logged.run_metadata
            message = parse_message(messages.RunMetadata, data, None)
            return RunMetadata(logged.tag, other.step, other.wall_time, data, message)

        found = self._of("tagged_run_metadata", read)
        series = self._tags("tensors", _tensor_of)
        for tag in series:
            with self._run.lock:
                values, store = self._values("tensors", tag), self._run.store
                plugin = self._run.summaries.metadata(tag, "tensors").plugin
            if plugin in _RUN_METADATA:
                for number, place in enumerate(values.places.tolist()):
                    what = f"run metadata {tag!r}"
                    data, message = _read_value(store, values, number, what, _run_metadata_of)
                    step, wall = int(values.steps[number]), float(values.wall_times[number])
                    found.append((place, RunMetadata(tag, step, wall, data, message)))
        return [metadata for _, metadata in sorted(found, key=lambda each: each[0])]

    @property
    def session_logs(self) -> list[SessionLog]:
        """When the program began and ended, and which checkpoints it wrote."""
        names = {number: name for name, number in messages.SessionLog.SessionStatus.items()}

        def read(other: Other, event: messages.Event, _: str) -> SessionLog:
            log = event.session_log
            status = names.get(log.status, str(log.status))
            return SessionLog(other.step, other.wall_time, status, log.checkpoint_path, log.msg)

        return [log for _, log in self._of("session_log", read)]

    def close(self) -> None:
        """Close the files; what has been gathered stays."""
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
    """Read a value again; an error says where it is."""
    place = int(values.places[number])
    try:
        if what_of(int(values.codes[number])) == What.FLOAT:
            # It is known, and of a compressed file nothing else is.
            value = messages.Summary.Value()
            value.tensor.dtype = FLOAT
            value.tensor.float_val.append(float(values.scalars[number]))
            return read(value)
        event = store.event(place, int(values.sizes[number]))
        return read(event.summary.value[int(values.numbers[number])])
    except CkptfmtError as error:
        raise store.at(error, place, what) from error.__cause__


def _read_other(store: EventStore, other: Other, read: Callable[[Other, messages.Event, str], T]) -> T:
    """Read an event again; an error says where it is."""
    try:
        return read(other, store.event(other.place, other.size), store.name(other.place))
    except CkptfmtError as error:
        raise store.at(error, other.place, other.what) from error.__cause__


def _is_number(code: int) -> bool:
    return what_of(code) == What.NUMBER


def _number_of(values: Values, number: int) -> float:
    return float(values.scalars[number])


def _tensor_of(value: messages.Summary.Value) -> np.ndarray:
    tensor: np.ndarray = to_array(value.tensor)
    return tensor


def _run_metadata_of(value: messages.Summary.Value) -> tuple[bytes, messages.RunMetadata]:
    """The message that a tensor of strings holds first, as bytes too."""
    data = b"".join(strings_of(value, "run metadata").reshape(-1)[:1].tolist())
    return data, parse_message(messages.RunMetadata, data, None)
