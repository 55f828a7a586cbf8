"""Files of one message: a GraphDef, MetaGraphDef or SavedModel, serialized, as text or split."""

from __future__ import annotations

import os
from codecs import BOM_UTF8
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import TypeVar

from ckptfmt.cached_property import cached_property
from ckptfmt.errors import CkptfmtError, CorruptError, PathNotFoundError
from ckptfmt.filenames import SAVED_MODEL_FILES
from ckptfmt.filetype.content import recognise, recognise_message
from ckptfmt.filetype.kinds import MEMMAPPED, SPLIT, Holds, Kind
from ckptfmt.filetype.look import Look
from ckptfmt.filetype.paths import recognise_path
from ckptfmt.filetype.refusal import conversion_of, example_in, misfit, refusal, refusal_of
from ckptfmt.filetype.texts import HEAD_SIZE, is_text
from ckptfmt.graph.outline import Outline
from ckptfmt.graph.read.memmapped import restore_constants
from ckptfmt.graph.tensor_content import Span, take_out
from ckptfmt.limits import DEFAULT, Limits
from ckptfmt.memmapped import GRAPH_REGION, read_regions
from ckptfmt.proto import messages
from ckptfmt.proto.parse import damage_in, parse_message, parse_text
from ckptfmt.record.event_names import runs_directly_below
from ckptfmt.riegeli.split_message import SplitProto
from ckptfmt.storage.file import RandomAccessFile
from ckptfmt.storage.filesystem import Filesystem
from ckptfmt.storage.in_memory import MemoryFile
from ckptfmt.storage.local import LOCAL, absolute_path
from ckptfmt.text.quoting import listed
from ckptfmt.wire.buffers import new_buffer

M = TypeVar("M", bound="messages.GraphDef | messages.MetaGraphDef | messages.SavedModel")


class MessageFile:
    """An open file of one message."""

    def __init__(self, file: RandomAccessFile, fs: Filesystem | None, limits: Limits = DEFAULT) -> None:
        """Take over a file of a file system, or of bytes in memory if ``fs`` is None."""
        self.name = file.name
        """The path; for bytes, what errors call them."""
        self._file = file
        self._fs = fs
        self._limits = limits

    @property
    def directory(self) -> str | None:
        """The directory that it is in, absolute if it is on this machine; None for bytes."""
        if self._fs is None:
            return None
        return absolute_path(os.path.dirname(self.name) or os.curdir, self._fs)

    @cached_property
    def _stored(self) -> Kind | None:
        kind = recognise(self._file)
        # The sign of a package is at its end, so a cut one has only its name.
        return MEMMAPPED if kind is None and self.name.endswith(".pbmm") else kind

    @cached_property
    def _split(self) -> SplitProto | None:
        return SplitProto(self._file, limits=self._limits) if self._stored is SPLIT else None

    @property
    def kind(self) -> Kind | None:
        """The kind of file that it seems to be, None if unknown; that of a split message is its root's.

        Raises CorruptError or UnsupportedError if it is a split message that cannot be read.
        """
        return self._stored if self._split is None else recognise_message(self._split.root)

    @property
    def holds(self) -> Holds | None:
        """What it seems to hold of the things that this package reads; raises the errors of :attr:`kind`."""
        kind = self.kind
        return None if kind is None else kind.holds

    def parse(self, cls: type[M]) -> M:
        """Return the message; CorruptError if the file is damaged, or holds another one."""
        if self._split is not None:
            return self._split.merge(cls)
        data = self._file.read(0, self._file.size)
        if is_text(bytes(data[:HEAD_SIZE])):
            # TensorFlow refuses the mark that editors of Windows put before a text; its graph is whole.
            return parse_text(cls, bytes(data).removeprefix(BOM_UTF8), self.name)
        with self._explained():
            return parse_message(cls, data, self.name)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Let the error of a damaged file say that it was changed as text, if it was."""
        try:
            yield
        except CorruptError as error:
            converted = conversion_of(self._file)
            if converted is not None:
                raise CorruptError(converted, file=self.name) from error
            raise

    def parse_outline(self) -> Outline:
        """Return a GraphDef, with large constants beside it in memory of their own.

        Raises the errors of :meth:`parse`, and LimitError if the memory for a constant cannot be had.
        """
        if self._stored is MEMMAPPED:
            return self._parse_memmapped()
        data = self._file.read(0, self._file.size)
        if self._split is not None or is_text(bytes(data[:HEAD_SIZE])):
            return Outline(self.parse(messages.GraphDef), limits=self._limits)
        return Outline(*self._take_apart(data), limits=self._limits)

    def _parse_memmapped(self) -> Outline:
        regions = read_regions(self._file)
        place = regions.get(GRAPH_REGION)
        if place is None:
            what = f"no region is named {GRAPH_REGION}, as that of the graph: got {listed(list(regions))}"
            raise CorruptError(what, file=self.name)
        data = self._file.read(place.offset, place.size)
        message, contents = self._take_apart(data, place.offset)
        contents |= restore_constants(message, self._file, regions, self._limits)
        return Outline(message, contents, limits=self._limits)

    def _take_apart(
        self, data: memoryview, offset: int = 0
    ) -> tuple[messages.GraphDef, dict[int, memoryview]]:
        """Return a GraphDef that begins at an offset of the file, and its large constants by node number."""
        rest, spans = take_out(data)
        with self._explained():
            try:
                message = parse_message(messages.GraphDef, rest, self.name, offset)
            except CorruptError:
                if not spans:
                    raise
                # Taking bytes out has moved the damage; in the whole file it has its true place.
                return parse_message(messages.GraphDef, data, self.name, offset), {}
        return message, {number: self._copy(span, offset) for number, span in spans.items()}

    def _copy(self, span: Span, offset: int) -> memoryview:
        # Not a view of the file: a changed graph is often written to the file that it was read from.
        out = new_buffer(span.size, "bytes of memory for a constant", self.name)
        self._file.read_into(offset + span.offset, out)
        # The pages of the file are not needed again: memory has the constant once.
        self._file.release(offset + span.offset, span.size)
        return out.toreadonly()

    def refusal(self, wanted: Holds) -> CkptfmtError:
        """Return the error for a file that does not hold what was wanted."""
        if self._split is None and self._fs is not None:
            # The path tells more than the content: the file may be part of a checkpoint.
            error = refusal(self._fs, self.name, wanted)
        else:
            content = self._file if self._split is None else MemoryFile(self._split.root)
            error = refusal_of(self.kind, self.name, wanted, look=Look(content))
        if self.kind is not None or self._split is not None or not isinstance(error, CorruptError):
            return error
        if conversion_of(self._file) is not None:
            return error  # a file that was changed as text is damaged everywhere
        return self._damage(wanted, error) or error

    def _damage(self, wanted: Holds, error: CorruptError) -> CorruptError | None:
        """Return where a file of an unknown kind stops being a message; None if it is a message of some kind.

        A message is recognised by its first fields, and these may be damaged. If what comes before the damage
        is recognised, nothing else is wrong; if not, ``error`` comes first.
        """
        data = self._file.read(0, self._file.size)
        classes = {
            Holds.GRAPH: messages.GraphDef,
            Holds.META_GRAPH: messages.MetaGraphDef,
            Holds.SAVED_MODEL: messages.SavedModel,
        }
        damages = {holds: damage_in(cls, data, self.name) for holds, cls in classes.items()}
        if os.path.basename(self.name) in SAVED_MODEL_FILES:
            return damages[Holds.SAVED_MODEL]
        for holds, damage in damages.items():
            kind = None if damage is None else recognise_message(data[: damage.offset])
            if kind is not None and kind.holds is holds:
                return damage
        damage = damages.get(wanted)
        if damage is not None:
            damage.what = f"{error.what}; {damage.what}"
        return damage

    def __enter__(self) -> MessageFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()


def open_message(
    source: str | os.PathLike[str] | bytes | bytearray | memoryview,
    wanted: Holds,
    fs: Filesystem = LOCAL,
    limits: Limits = DEFAULT,
) -> MessageFile:
    """Open the message in a file, in the directory of a SavedModel, or in bytes.

    Raises
    ------
    PathNotFoundError
        There is no such file; ``.tried`` has the paths looked at.
    UnsupportedError
        The path leads to a directory of checkpoints, or is the prefix of one.
    NotReadableError
        The system refuses to read it.
    """
    if isinstance(source, bytes | bytearray | memoryview):
        return MessageFile(MemoryFile(source), None, limits)
    path = os.fspath(source)
    path_type = fs.path_type(path)
    if path_type == "file":
        return MessageFile(fs.open(path), fs, limits)
    tried = [os.path.join(path, name) for name in SAVED_MODEL_FILES]
    saved_model = next((file for file in tried if fs.path_type(file) == "file"), None)
    if saved_model is not None:
        return MessageFile(fs.open(saved_model), fs, limits)
    kind = recognise_path(fs, path)
    if kind is not None:
        raise misfit(path, kind, wanted, fs)
    if path_type != "directory":
        return MessageFile(fs.open(path), fs, limits)  # its error says why not
    runs = runs_directly_below(fs, path)
    logged = f"event files, which may have a graph, are in {listed(runs, quote=str)}" if runs else None
    what = f"no SavedModel in this directory: tried {', '.join(tried)}"
    hints = [example_in(fs, path), logged if wanted is not Holds.SAVED_MODEL else None]
    raise PathNotFoundError("; ".join(filter(None, [what, *hints])), file=path, tried=tried)
