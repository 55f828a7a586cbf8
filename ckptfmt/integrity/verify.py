"""Verification: every checksum, size and place in the files of a checkpoint.

What is checked depends on the format, but the order is the same: first the tables, block by block, so that
damage costs only the entries of its block; then every tensor, streamed in the order of the files; then what
belongs to no tensor. Nothing stops at the first problem, and each tensor is counted as checked or as spoiled.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import chain, groupby
from typing import Any, Literal, TypeAlias

from ckptfmt.arrays.shape import check_shape
from ckptfmt.checkpoint.bundle import HEADER_KEY, Bundle
from ckptfmt.checkpoint.entry import Entry, key_of, name_of
from ckptfmt.checkpoint.files import stale_shards
from ckptfmt.checkpoint.slices import encode_slice_key, plan, whole
from ckptfmt.checkpoint.store import Store
from ckptfmt.checkpoint.v1 import META_KEY, V1Store
from ckptfmt.errors import (
    ChecksumError,
    CkptfmtError,
    CorruptError,
    LimitError,
    NotReadableError,
    PathNotFoundError,
    TruncatedError,
    UnsupportedError,
)
from ckptfmt.storage.file import RandomAccessFile
from ckptfmt.table import Table
from ckptfmt.wire.buffers import memory_size
from ckptfmt.wire.coding import Buffer

Progress: TypeAlias = Callable[[int, int], None]
"""Called with the number of bytes checked so far, and of those to check in all."""

PADDING = 4096
"""Up to this many zero bytes between tensors count as padding: a writer may align tensors to pages."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that is wrong, or worth knowing."""

    severity: Literal["error", "warning"]
    """``error``: something cannot be read correctly. ``warning``: everything can, but this is odd."""
    kind: str
    """Of errors ``block``, ``entry``, ``checksum``, ``truncated``, ``missing``, ``unreadable`` or
    ``unsupported``; of warnings ``overlap``, ``orphan`` or ``stale``."""
    message: str
    """What is wrong and where, on one line."""
    file: str | None = None
    """The file concerned."""
    offset: int | None = None
    """The byte in it; None if there is no single one."""
    name: str | None = None
    """The tensor concerned."""


@dataclass
class Report:
    """The result of :meth:`Checkpoint.verify`."""

    problems: list[Problem] = field(default_factory=list)
    """The problems, in the order in which they were found."""
    bytes_checked: int = 0
    """Bytes of table blocks and tensors whose checksum was computed."""
    tensors_checked: int = 0
    """Tensors of which every byte was checked and found intact."""
    tensors: int = 0
    """Tensors named by the index."""

    @property
    def ok(self) -> bool:
        """Whether every tensor can be read and every checksum matches; warnings do not count."""
        return not any(problem.severity == "error" for problem in self.problems)

    def __repr__(self) -> str:
        state = "ok" if self.ok else "not ok"
        return (
            f"<Report {state}: {self.tensors_checked} of {self.tensors} tensors, "
            f"{self.bytes_checked} bytes, {len(self.problems)} problems>"
        )

    def add(self, kind: str, error: CkptfmtError, name: str | None = None) -> None:
        """Note an error that prevents something from being read."""
        self.problems.append(Problem("error", kind, str(error), error.file, error.offset, name))

    def warn(
        self, kind: str, message: str, file: str, offset: int | None = None, name: str | None = None
    ) -> None:
        """Note something odd that prevents nothing."""
        place = file if offset is None else f"{file} @0x{offset:x}"
        self.problems.append(Problem("warning", kind, f"{place}: {message}", file, offset, name))


def verify_store(store: Store, progress: Progress | None = None) -> Report:
    """Check every checksum, size and place in the files of a checkpoint.

    ``progress`` is called with the number of bytes checked so far, and of those to check in all. Files are
    streamed, so memory stays bounded however large they are. Raises LimitError if the names do not fit in
    memory.
    """
    with suppress(MemoryError):
        return _VERIFIERS[store.files.format](store, progress)
    raise _too_large(store.tables)


def _verify_bundle(bundle: Bundle, progress: Progress | None) -> Report:
    """Check every block of the index, and the place, size, slices and checksum of every tensor.

    An index has two kinds of entries: those with bytes in a data file, of whole tensors and of slices, and
    those that only list the slices of a tensor. The first are checked byte by byte, the second against the
    first. The damage of a slice counts for its tensor.
    """
    report = Report()
    entries: list[Entry] = []  # with bytes in a data file
    descriptors: list[Entry] = []  # that list slices
    for key, value in _scan(bundle.table, report):
        if key == HEADER_KEY:
            continue
        try:
            entry = bundle.decode_entry(name_of(key), value)
        except CkptfmtError as error:
            report.add("entry", error, name_of(key))
            continue
        (descriptors if entry.slices else entries).append(entry)
    owners = _owners(descriptors)
    spoiled = {problem.name for problem in report.problems if problem.name is not None}
    for entry in descriptors:
        try:
            plan(entry.shape, entry.slices, whole(entry.shape))
            for part in entry.slices:
                bundle.find_slice(entry, part)
            check_shape(entry.shape, entry.dtype)
        except CkptfmtError as error:
            _note(report, error.at(bundle.files.tables[0], label=_label(error, entry.name)), entry.name)
            spoiled.add(entry.name)
    entries.sort(key=lambda entry: (entry.shard or 0, entry.offset or 0))
    total = report.bytes_checked + sum(entry.nbytes for entry in entries)
    spoiled |= _check_tensors(bundle, entries, owners, total, report, progress)
    _check_places(bundle, entries, report)
    for path in stale_shards(bundle.fs, bundle.files.prefix, bundle.header.num_shards):
        report.warn("stale", f"not one of the {bundle.header.num_shards} data files of this checkpoint", path)
    names = (
        {owners.get(entry.name, entry.name) for entry in entries}
        | {entry.name for entry in descriptors}
        | spoiled
    )
    report.tensors = len(names)
    report.tensors_checked = len(names - spoiled)
    return report


def _owners(descriptors: list[Entry]) -> dict[str, str]:
    """Return the tensor that each slice is part of, by the name that the key of the slice decodes to."""
    return {
        name_of(encode_slice_key(key_of(entry.name), part)): entry.name
        for entry in descriptors
        for part in entry.slices
    }


def _check_tensors(
    bundle: Bundle,
    entries: list[Entry],
    owners: dict[str, str],
    total: int,
    report: Report,
    progress: Progress | None,
) -> set[str]:
    """Check the stored bytes of all entries; return the names of the tensors found damaged."""
    spoiled = set()
    missing: dict[int, list[str]] = {}
    for entry in entries:
        name = owners.get(entry.name, entry.name)
        try:
            bundle.locate(entry).check()
            report.bytes_checked += entry.nbytes
        except PathNotFoundError:
            assert entry.shard is not None
            missing.setdefault(entry.shard, []).append(name)
            spoiled.add(name)
        except CkptfmtError as error:
            _note(report, error, name)
            spoiled.add(name)
        if progress is not None:
            progress(report.bytes_checked, total)
    # One problem for each missing data file, not one for each tensor in it.
    for shard, names in missing.items():
        path = bundle.shard_path(shard)
        tensors = (
            f"tensor {names[0]!r}" if len(names) == 1 else f"{len(names)} tensors, the first {names[0]!r}"
        )
        message = f"{path}: shard {shard} of {bundle.header.num_shards} is missing, with {tensors}"
        report.problems.append(Problem("error", "missing", message, path, None, names[0]))
    return spoiled


def _check_places(bundle: Bundle, entries: list[Entry], report: Report) -> None:
    """Note bytes that two tensors share, and bytes that belong to none.

    ``entries`` are in the order of the files, so one pass that remembers the furthest end so far finds both.
    """
    for shard, group in groupby(entries, key=lambda entry: entry.shard or 0):
        first = next(group)
        try:
            file = bundle.shard(shard, first)
        except CkptfmtError:
            continue
        end = 0
        for entry in chain([first], group):
            offset = entry.offset or 0
            if offset + entry.nbytes > file.size or not entry.nbytes:
                continue
            if offset < end:
                report.warn(
                    "overlap",
                    f"tensor {entry.name!r} shares bytes with the one before it",
                    file.name,
                    offset,
                    entry.name,
                )
            elif offset > end:
                _check_gap(file, end, offset, report)
            end = max(end, offset + entry.nbytes)
        if end < file.size:
            _check_gap(file, end, file.size, report)


def _check_gap(file: RandomAccessFile, start: int, stop: int, report: Report) -> None:
    """Note bytes that belong to no tensor, unless they look like padding."""
    if stop - start > PADDING or any(file.read(start, stop - start)):
        report.warn("orphan", f"{stop - start} bytes belong to no tensor", file.name, start)


def _too_large(tables: Sequence[Table]) -> LimitError:
    """Return the error for tables that do not fit in memory; by now, what they took of it is free again."""
    size = sum(table.file.size for table in tables)
    what = f"memory to verify {size} bytes of tables"
    return LimitError(what, limit=memory_size(), asked=size, file=tables[0].file.name)


def _verify_v1(store: V1Store, progress: Progress | None) -> Report:
    """Check every block of every file, and the slices and values of every tensor.

    Values are in table blocks here, so scanning the blocks verifies the checksums, and reading a tensor
    checks that its slices exist and fit. Keys that no tensor claims are left over.
    """
    report = Report()
    total = sum(table.file.size for table in store.tables)
    unclaimed: dict[tuple[int, bytes], None] = {}
    for number, table in enumerate(store.tables):
        for key, _ in _scan(table, report):
            if key != META_KEY:
                unclaimed[number, key] = None
            if progress is not None:
                progress(report.bytes_checked, total)
    try:
        names = list(store.names())
    except CkptfmtError as error:
        if str(error) not in {problem.message for problem in report.problems}:
            report.add("entry", error)
        return report
    report.tensors = len(names)
    for path in store.files.missing:
        message = f"{path}: a file of this checkpoint is missing, with the tensors in it"
        report.problems.append(Problem("error", "missing", message, path))
    for name in names:
        try:
            for claimed in store.keys(name):
                unclaimed.pop(claimed, None)
            entry = store.find(name)
            assert entry is not None
            for part in entry.slices:
                store.read_piece(entry, part)
            if entry.slices:
                plan(entry.shape, entry.slices, whole(entry.shape))
            else:
                store.read_piece(entry, None)
            report.tensors_checked += 1
        except CkptfmtError as error:
            _note(report, error.at(store.files.tables[0], label=_label(error, name)), name)
    for number, orphan in unclaimed:
        report.warn(
            "orphan", f"an entry belongs to no tensor: key {orphan!r}", store.tables[number].file.name
        )
    return report


def _scan(table: Table, report: Report) -> Iterator[tuple[bytes, Buffer]]:
    """Iterate over the entries of all intact blocks, and note the damaged ones."""
    try:
        table.block(table.footer.metaindex)
    except CorruptError as error:
        report.add("block", error)
    try:
        handles = table.handles
    except CorruptError as error:
        report.add("block", error)
        return
    last: bytes | None = None
    for handle in handles:
        try:
            for key, value in table.block(handle).items(after=last):
                yield key, value
                last = key
            report.bytes_checked += handle.size
        except CorruptError as error:
            report.add("block", error.at(table.file.name, handle.offset))
        except LimitError as error:
            report.problems.append(Problem("error", "block", str(error), table.file.name, handle.offset))
        table.file.release(handle.offset, handle.size)


def _label(error: CkptfmtError, name: str) -> str:
    """Return the label of an error about a tensor; an error that knows its file names the tensor already."""
    return "" if error.file is not None else f"tensor {name!r}"


def _note(report: Report, error: CkptfmtError, name: str) -> None:
    """Note an error of reading a tensor, under the kind that belongs to its class."""
    kinds: tuple[tuple[type[CkptfmtError], str], ...] = (
        (ChecksumError, "checksum"),
        (TruncatedError, "truncated"),
        (UnsupportedError, "unsupported"),
        (PathNotFoundError, "missing"),
        (NotReadableError, "unreadable"),
    )
    kind = next((kind for cls, kind in kinds if isinstance(error, cls)), "entry")
    report.add(kind, error, name)


_VERIFIERS: Mapping[str, Callable[[Any, Progress | None], Report]] = {"v2": _verify_bundle, "v1": _verify_v1}
"""The verifier of each format."""
