"""Verification of bundles: every block of the index; place, size, slices and checksum of every tensor."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from itertools import chain, groupby

from ckptfmt import filetype
from ckptfmt.arrays.shape import check_shape
from ckptfmt.checkpoint.bundle import Bundle
from ckptfmt.checkpoint.bundle_index import HEADER_KEY
from ckptfmt.checkpoint.entry import Entry, key_of, name_of
from ckptfmt.checkpoint.files import stale_shards
from ckptfmt.checkpoint.partition import plan
from ckptfmt.checkpoint.slices import encode_slice_key, whole
from ckptfmt.checkpoint.slot_parts import Slots, find_slots, is_partial
from ckptfmt.errors import CkptfmtError, CorruptError, PathNotFoundError, UnsupportedError
from ckptfmt.integrity.blocks import read_intact_blocks
from ckptfmt.integrity.report import Progress, Report
from ckptfmt.integrity.shared_bytes import SharedBytes, clusters
from ckptfmt.storage.file import RandomAccessFile

PADDING = 4096
"""Up to this many zero bytes between tensors count as padding: a writer may align tensors to pages."""


def verify_bundle(bundle: Bundle, progress: Progress | None) -> Report:
    """Check every block of the index, and the place, size, slices and checksum of every tensor."""
    report = Report()
    pieces, sliced = _read_entries(bundle, report)
    names = {entry.name for entry in chain(pieces, sliced)}
    slots = find_slots(filter(is_partial, sliced), names.__contains__)
    sliced = slots.replace(sliced)
    owners = _owners(sliced, slots)
    # A tensor counts as checked if nothing about it is wrong: its entry, its slices, its bytes.
    spoiled = set(report.damaged)
    for entry in sliced:
        try:
            _check_slices(bundle, entry, slots)
        except CkptfmtError as error:
            report.add_tensor(error, entry.name)
            spoiled.add(entry.name)
    # In the order of the files: they are streamed, and neighbours can be compared.
    pieces.sort(key=lambda entry: (entry.shard or 0, entry.offset or 0))
    spoiled |= _check_bytes(bundle, pieces, owners, report, progress)
    _check_places(bundle, pieces, report)
    for path in stale_shards(bundle.fs, bundle.files.prefix, bundle.num_shards):
        report.warn("stale", f"not one of the {bundle.num_shards} data files of this checkpoint", path)
    # Slices count for their tensor, not by their own keys.
    names = (
        {owners.get(entry.name, entry.name) for entry in pieces} | {entry.name for entry in sliced} | spoiled
    )
    report.tensors = len(names)
    report.tensors_checked = len(names - spoiled)
    return report


def _read_entries(bundle: Bundle, report: Report) -> tuple[list[Entry], list[Entry]]:
    """Return the entries in intact blocks: those of stored bytes, and those of tensors in slices."""
    pieces: list[Entry] = []
    sliced: list[Entry] = []
    for key, value in read_intact_blocks(bundle.index.table, report):
        if key == HEADER_KEY:
            continue
        try:
            entry = bundle.index.decode_entry(name_of(key), value)
        except CkptfmtError as error:
            report.add("entry", error, name_of(key))
            continue
        (sliced if entry.slices else pieces).append(entry)
    return pieces, sliced


def _owners(sliced: list[Entry], slots: Slots) -> dict[str, str]:
    """Return, for the key of each slice as a name, the tensor that it is part of."""
    return {
        name_of(encode_slice_key(key_of(slots.stored(entry, part).name), part)): entry.name
        for entry in sliced
        for part in entry.slices
    }


def _check_slices(bundle: Bundle, entry: Entry, slots: Slots) -> None:
    """Raise unless the index has all slices of a tensor, and together they make all of it."""
    try:
        plan(entry.shape, entry.slices, whole(entry.shape))
        check_shape(entry.shape, entry.dtype)
    except CkptfmtError as error:
        raise error.at(bundle.files.tables[0], label=f"tensor {entry.name!r}") from None
    for part in entry.slices:
        bundle.index.find_slice(slots.stored(entry, part), part)


def _check_bytes(
    bundle: Bundle, pieces: list[Entry], owners: dict[str, str], report: Report, progress: Progress | None
) -> set[str]:
    """Check the stored bytes of all entries; return the names of the tensors found damaged."""
    # The blocks of the index have been counted by now.
    total = report.bytes_checked + sum(entry.nbytes for entry in pieces)
    spoiled = set()
    missing: dict[int, list[str]] = {}
    refused: dict[int, tuple[CkptfmtError, list[str]]] = {}
    explained: set[int | None] = set()
    for entry, check in _checks(bundle, pieces):
        name = owners.get(entry.name, entry.name)
        try:
            check()
            report.bytes_checked += entry.nbytes
        except PathNotFoundError:
            assert entry.shard is not None
            missing.setdefault(entry.shard, []).append(name)
            spoiled.add(name)
        except CkptfmtError as error:
            if isinstance(error, UnsupportedError) and bundle.is_suspect(entry.shard):
                refused.setdefault(entry.shard or 0, (error, []))[1].append(name)
            else:
                # The first error of a data file also says if all of the file was changed as text.
                if isinstance(error, CorruptError) and entry.shard not in explained:
                    explained.add(entry.shard)
                    error.what += _conversion(bundle, entry)
                report.add_tensor(error, name)
            spoiled.add(name)
        if progress is not None:
            progress(report.bytes_checked, total)
    # One problem for each missing data file, or something in its place, not one for each tensor in it.
    for shard, names in missing.items():
        what = f"shard {shard} of {bundle.num_shards} is missing; it holds {_tensors(names)}"
        report.add_missing(bundle.shard_path(shard), what + bundle.strays.hint(shard), names[0])
    for refusal, names in refused.values():
        what = f"{refusal.what}; it should hold {_tensors(names)}"
        report.add_tensor(UnsupportedError(what, file=refusal.file), names[0])
    return spoiled


def _conversion(bundle: Bundle, entry: Entry) -> str:
    """Return how the data file of a damaged entry was changed as text, as the end of an error; "" if not."""
    with suppress(CkptfmtError):
        converted = filetype.conversion_of(bundle.shard(entry.shard or 0, entry))
        if converted is not None:
            return f"; the file was {converted}"
    return ""


def _checks(bundle: Bundle, pieces: list[Entry]) -> Iterator[tuple[Entry, Callable[[], None]]]:
    """Iterate over entries, each with a function that verifies its bytes: it raises what is wrong."""
    for cluster in clusters(pieces):
        if len(cluster) == 1:
            yield cluster[0], partial(_check_shared, bundle, None, cluster[0])
            continue
        located = []
        for entry in cluster:
            with suppress(CkptfmtError):  # raised again below
                located.append(bundle.locate(entry))
        try:
            shared = SharedBytes(located) if located else None
        except CkptfmtError:  # the system cannot read them
            shared = None
        for entry in cluster:
            yield entry, partial(_check_shared, bundle, shared, entry)


def _check_shared(bundle: Bundle, shared: SharedBytes | None, entry: Entry) -> None:
    stored = bundle.locate(entry)
    if shared is None:
        stored.check()
    else:
        shared.check(stored)


def _tensors(names: list[str]) -> str:
    return f"tensor {names[0]!r}" if len(names) == 1 else f"{len(names)} tensors, the first {names[0]!r}"


def _check_places(bundle: Bundle, pieces: list[Entry], report: Report) -> None:
    """Note bytes that two tensors share and bytes that belong to none; ``pieces`` are in file order."""
    for shard, group in groupby(pieces, key=lambda entry: entry.shard or 0):
        first = next(group)
        try:
            file = bundle.shard(shard, first)
        except CkptfmtError:
            continue  # reported already, by its tensors
        if bundle.is_suspect(shard):
            continue  # reported already, unless it is intact
        # ``end`` is where the tensors so far end. Those outside the file have been reported.
        end = 0
        for entry in chain([first], group):
            offset = entry.offset or 0
            if offset + entry.nbytes > file.size or not entry.nbytes:
                continue
            if offset < end:
                message = f"tensor {entry.name!r} shares bytes with the one before"
                report.warn("overlap", message, file.name, offset, entry.name)
            elif offset > end:
                _check_gap(file, end, offset, report)
            end = max(end, offset + entry.nbytes)
        if end < file.size:
            _check_gap(file, end, file.size, report)


def _check_gap(file: RandomAccessFile, start: int, stop: int, report: Report) -> None:
    """Note bytes of no tensor, unless they look like padding."""
    if stop - start > PADDING or any(file.read(start, stop - start)):
        report.warn("orphan", f"{stop - start} bytes belong to no tensor", file.name, start)
