"""Logged graphs: those in event files, of one file or of all files of a run.

An event is a wall time, a step, and one field with its content, which may be a serialized graph or meta
graph. Programs log their graph when they begin, and again each time that they are started. As in
TensorBoard, the last one counts, and meta graphs only if no graph was logged. Programs of TensorFlow 2 log no
graph of their own, but may trace those of functions, which have tags: they count if there is nothing else.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from enum import Enum
from typing import TypeVar

from ckptfmt.errors import CkptfmtError, CorruptError, GraphError, UnsupportedError
from ckptfmt.filenames import SAVED_MODEL_FILES
from ckptfmt.filetype.kinds import EVENTS, Holds
from ckptfmt.filetype.look import Look
from ckptfmt.filetype.paths import recognise_directory
from ckptfmt.filetype.refusal import with_hints
from ckptfmt.filetype.signs import is_event_record, is_record
from ckptfmt.graph.graph import Graph
from ckptfmt.graph.meta.meta_graph import MetaGraph
from ckptfmt.graph.outline import Outline
from ckptfmt.graph.read.traced import may_have_trace, trace_in, traced_graph
from ckptfmt.limits import DEFAULT, Limits
from ckptfmt.proto import messages
from ckptfmt.proto.parse import parse_message
from ckptfmt.record.batch import Record
from ckptfmt.record.event_names import event_files, is_event_file
from ckptfmt.record.files.records import open_records
from ckptfmt.record.input import compression_of
from ckptfmt.storage.filesystem import Filesystem
from ckptfmt.text.quoting import listed
from ckptfmt.wire.coding import decode_varint, to_signed
from ckptfmt.wire.fields import LENGTH_DELIMITED, VARINT, find_fields

M = TypeVar("M", messages.GraphDef, messages.MetaGraphDef)

_STEP, _GRAPH, _META_GRAPH = 2, 4, 9
"""Fields of an Event."""

_HEAD_SIZE = 64
"""Bytes of an event in which its graph begins: before it are only the wall time and the step."""

_TAGS = {_GRAPH: b"\x22", _META_GRAPH: b"\x4a"}


class Form(Enum):
    """How a graph is logged, the form that counts first before the others."""

    GRAPH = "a graph"
    META_GRAPH = "a meta graph"
    TRACE = "a trace"


@dataclass
class Logged:
    """The graph, meta graph or trace that was logged last; and when others were."""

    form: Form
    file: str
    offset: int
    """Where the frame of its event begins in the file."""
    step: int
    """The step of its event."""
    data: bytes
    """The graph, meta graph or RunMetadata message, serialized."""
    tag: str = ""
    """That of a trace."""
    limits: Limits = DEFAULT
    """How much a constant may take."""
    steps: list[int] = field(default_factory=list)
    """The steps of all graphs that differ from the one before, in the order of the files."""

    def graph(self) -> Graph:
        """Return the graph; CorruptError if it is damaged."""
        if self.form is Form.META_GRAPH:
            return self.meta_graph().graph
        if self.form is Form.TRACE:
            with self._placed():
                graph = traced_graph(self.data, self.file)
        else:
            graph = self._parse(messages.GraphDef)
        return Graph(Outline(graph, limits=self.limits), self.file)

    def meta_graph(self) -> MetaGraph:
        """Return the meta graph; CorruptError if it is damaged."""
        return MetaGraph(self._parse(messages.MetaGraphDef), self.file)

    def _parse(self, cls: type[M]) -> M:
        with self._placed():
            return parse_message(cls, self.data, None)

    @contextmanager
    def _placed(self) -> Iterator[None]:
        """Give an error about the message the place of its event."""
        try:
            yield
        except CorruptError as error:
            # Offsets in the message mean nothing in the file, which may be compressed.
            raise error.at(self.file, self.offset, relative=False) from error.__cause__


def find_event_files(path: str | os.PathLike[str], fs: Filesystem) -> list[str]:
    """Return the event files that a path leads to: itself, those of a run, or none."""
    path = os.fspath(path)
    path_type = fs.path_type(path)
    if path_type == "directory":
        if any(fs.path_type(os.path.join(path, name)) for name in SAVED_MODEL_FILES):
            return []
        return event_files(fs, path) if recognise_directory(fs, path) is None else []
    if path_type != "file":
        return []
    with closing(fs.open(path)) as file:
        look = Look(file)
        # Records that do not begin with a version are events only by their name, as are compressed ones.
        is_named = is_event_file(os.path.basename(path))
        is_events = is_event_record(look) or (
            is_named and (is_record(look) or compression_of(file) is not None)
        )
    return [path] if is_events else []


def read_logged(
    files: Sequence[str],
    fs: Filesystem,
    *,
    wanted: Holds = Holds.GRAPH,
    tags: str | Iterable[str] | None = None,
    step: int | None = None,
    limits: Limits = DEFAULT,
) -> Logged:
    """Return the graph that was logged last, or last at a step; a meta graph if that is wanted, or no graph.

    With a tag, it is the one that was traced last under this tag.

    Damaged events are skipped with a :class:`ckptfmt.errors.DamageWarning`.

    Raises
    ------
    UnsupportedError
        The files have no graph.
    GraphError
        None was logged at this step.
    CorruptError
        The files have no graph, but damage.
    """
    records = open_records(files, fs=fs, limits=limits)
    wanted_tags = None if tags is None else {tags} if isinstance(tags, str) else set(tags)
    last: dict[Form, Logged] = {}
    at_step: dict[Form, Logged] = {}
    known_tags: dict[str, None] = {}
    for record in records:
        found = _graph_in(record)
        if found is None or (wanted is Holds.META_GRAPH and found.form is not Form.META_GRAPH):
            continue
        if found.form is Form.TRACE:
            known_tags[found.tag] = None
        if wanted_tags is not None and (found.form is not Form.TRACE or wanted_tags != {found.tag}):
            continue
        before = last.get(found.form)
        found.steps = [] if before is None else before.steps
        if before is None or before.data != found.data or before.step != found.step:
            found.steps.append(found.step)
        last[found.form] = found
        if found.step == step:
            at_step[found.form] = found
    chosen = last if step is None else at_step
    logged = next((chosen[form] for form in Form if form in chosen), None)
    if logged is not None:
        logged.limits = limits
        return logged
    if last:
        steps = next(last[form] for form in Form if form in last).steps
        known = listed(dict.fromkeys(steps), quote=str)
        raise GraphError(f"no graph was logged at step {step}, only at {known}", file=files[-1])
    if wanted_tags is not None:
        raise _not_traced(wanted_tags, known_tags, files[-1])
    if records.damage:
        raise records.damage[0].error
    what = with_hints(f"a TensorBoard event file without {wanted.value}", [EVENTS.reader])
    raise UnsupportedError(what, file=files[-1])


def _not_traced(wanted: set[str], known: Collection[str], file: str) -> GraphError:
    """Return the error for tags that are not the one tag of a trace."""
    got = f"the tag {listed(sorted(wanted))}" if wanted else "no tag"
    traces = listed(known)
    want = f"want that of a traced graph: {traces}" if traces else "but no graph was traced"
    return GraphError(f"got {got}, {want}", file=file)


def _graph_in(record: Record) -> Logged | None:
    """Return what an event holds of a graph; None if it holds something else or cannot be decoded."""
    event = bytes(record.view)
    has_graph = any(tag in event[:_HEAD_SIZE] for tag in _TAGS.values())
    has_trace = may_have_trace(event)
    if not has_graph and not has_trace:
        return None
    step = 0
    try:
        for place in find_fields(event):
            if place.number == _STEP and place.wire_type == VARINT:
                step = to_signed(decode_varint(event, place.content)[0])
            elif place.number in _TAGS and place.wire_type == LENGTH_DELIMITED:
                form = Form.GRAPH if place.number == _GRAPH else Form.META_GRAPH
                return Logged(form, record.file, record.offset, step, event[place.content : place.stop])
        trace = trace_in(event) if has_trace else None
        return trace and Logged(Form.TRACE, record.file, record.offset, step, trace.data, trace.tag)
    except CkptfmtError:
        return None
