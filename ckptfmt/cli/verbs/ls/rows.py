"""The rows of ``ckptfmt ls``: which tensors are listed, in which order, and what they add up to."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from operator import attrgetter
from typing import Any, NamedTuple

from ckptfmt import Checkpoint, Entry, errors
from ckptfmt.cli.collapse import collapse
from ckptfmt.cli.failures import describe
from ckptfmt.cli.render.text import count_text, escape, size_text
from ckptfmt.object_graph.keys import VARIABLE_VALUE
from ckptfmt.text.closest import closest_names
from ckptfmt.text.patterns import is_glob, literal_prefixes, matcher


class TensorRow(NamedTuple):
    """One line of the listing: a tensor, or repeated tensors on one line."""

    name: str
    entry: Entry
    """The entry of the tensor, or of the first of several."""
    nbytes: int
    """Bytes of all its tensors together."""
    names: tuple[str, ...] = ()
    """The names of several tensors; empty for one."""

    def describe(self) -> dict[str, object]:
        """Return the row for JSON."""
        entry, several = self.entry, bool(self.names)
        return {
            "name": self.name,
            "dtype": entry.dtype.name,
            "shape": entry.shape,
            "bytes": self.nbytes,
            "shard": None if several else entry.shard,
            "offset": None if several else entry.offset,
            "crc32c": None if several else entry.crc32c,
            "slices": [] if several else [str(part) for part in entry.slices],
        }


class BadRow(NamedTuple):
    """A tensor whose entry cannot be read."""

    name: str
    error: errors.CkptfmtError

    def describe(self) -> dict[str, object]:
        """Return the row for JSON."""
        return {"name": self.name, "error": describe(self.error)}


@dataclass
class Totals:
    """What the listed tensors add up to, counted as they pass."""

    in_checkpoint: int
    """Tensors in the checkpoint, listed or not."""
    tensors: int = 0
    parameters: int = 0
    """Elements that are numbers."""
    nbytes: int = 0
    shards: set[int | None] = field(default_factory=set)
    """Numbers of the data files; None is among them if a tensor is stored in slices."""
    bad: list[BadRow] = field(default_factory=list)
    """The tensors whose entries cannot be read."""

    def count(self, rows: Iterable[TensorRow | BadRow]) -> Iterator[TensorRow | BadRow]:
        """Pass the rows on, and count them."""
        for row in rows:
            self.tensors += 1
            if isinstance(row, BadRow):
                self.bad.append(row)
            else:
                entry = row.entry
                self.nbytes += entry.nbytes
                self.shards.add(entry.shard)
                if entry.dtype.itemsize is not None:
                    self.parameters += math.prod(entry.shape)
            yield row

    @property
    def num_shards(self) -> int | None:
        """Number of data files; None if it is not known."""
        return None if None in self.shards else len(self.shards)

    def describe(self) -> dict[str, int | None]:
        """Return the totals for JSON."""
        return {
            "tensors": self.tensors,
            "in_checkpoint": self.in_checkpoint,
            "unreadable": len(self.bad),
            "parameters": self.parameters,
            "bytes": self.nbytes,
            "shards": self.num_shards,
        }

    def __str__(self) -> str:
        tensors = count_text(self.tensors, "tensor")
        if self.tensors != self.in_checkpoint:
            tensors += f" of {self.in_checkpoint:,}"
        parts = [tensors, count_text(self.parameters, "parameter"), size_text(self.nbytes)]
        if self.num_shards is not None:
            parts.append(count_text(self.num_shards, "shard"))
        if self.bad:
            parts.append(f"{len(self.bad):,} unreadable")
        return ", ".join(parts)


def find_rows(
    checkpoint: Checkpoint, patterns: Sequence[str], dtypes: Sequence[str], min_size: int
) -> Iterator[TensorRow | BadRow]:
    """Iterate over the tensors that pass all filters, in the checkpoint's order: that of their names' bytes.

    Raises TensorNotFoundError, at the end, if no name matches any of the patterns.
    """
    entries = checkpoint.entries
    has_dtype = matcher(dtypes) if dtypes else None
    any_match = not patterns
    for name in _matching(checkpoint, patterns) if patterns else entries:
        any_match = True
        try:
            entry = entries[name]
        except errors.CkptfmtError as error:
            yield BadRow(name, error)
            continue
        if entry.nbytes >= min_size and (has_dtype is None or has_dtype(entry.dtype.name)):
            yield TensorRow(name, entry, entry.nbytes)
    if not any_match:
        raise _no_match(checkpoint, patterns)


def _matching(checkpoint: Checkpoint, patterns: Sequence[str]) -> Iterator[str]:
    """Iterate over the names that match a pattern as they are stored, or as a listing shows them.

    A terminal shows them without the end of variables' keys, and every listing with escapes.
    """
    matches = matcher([*patterns, *(pattern + VARIABLE_VALUE for pattern in patterns)])
    # Only names that can match are listed: a large index is not decoded for a few of its tensors. A backslash
    # may begin an escape, and so stand for any character.
    prefixes = literal_prefixes(pattern.replace("\\", "*") for pattern in patterns)
    for name in chain.from_iterable(map(checkpoint._names_below, prefixes)):
        if matches(name) or (not name.isprintable() and matches(escape(name))):
            yield name


def _no_match(checkpoint: Checkpoint, patterns: Sequence[str]) -> errors.TensorNotFoundError:
    """Return the error for patterns that match no name, with what may have been meant instead."""
    first = patterns[0]
    try:
        names = list(checkpoint)
    except errors.CkptfmtError:
        names = []  # no suggestions then: this error would hide the one that the user needs
    close = closest_names(first, names, ending=VARIABLE_VALUE) if len(patterns) == 1 else []
    what = f"no tensor matches {' or '.join(map(repr, patterns))}"
    is_plain = not any(map(is_glob, patterns))
    # A part of a name was probably meant to find all names that contain it.
    if is_plain and (not close or any(first in name for name in names)):
        what += f"; patterns are globs: try {f'*{first}*'!r}"
    return errors.TensorNotFoundError(
        " ".join(patterns), file=checkpoint.prefix, close_matches=close, what=what
    )


# --- order -------------------------------------------------------------------------------------------------

_SORT_KEYS: dict[str, Callable[[TensorRow], Any]] = {
    "size": lambda row: -row.nbytes,
    "dtype": attrgetter("entry.dtype.name"),
    "shape": lambda row: (len(row.entry.shape), row.entry.shape),
}


def arranged(
    rows: Sequence[TensorRow | BadRow], *, collapsed: bool, sort: str, reverse: bool
) -> list[TensorRow | BadRow]:
    """Return rows, given in the order of their names, in the order asked for.

    Bad rows have only a name to be sorted by; in any other order they come last.
    """
    good = [row for row in rows if isinstance(row, TensorRow)]
    bad = [row for row in rows if isinstance(row, BadRow)]
    if collapsed:
        good = _collapsed(good)
    if sort != "name":
        return [*sorted(good, key=_SORT_KEYS[sort], reverse=reverse), *bad]
    by_name: list[TensorRow | BadRow] = [*good, *bad]
    if bad:  # without them all rows are in order already
        by_name.sort(key=_name_key)
    return by_name[::-1] if reverse else by_name


def _collapsed(rows: Sequence[TensorRow]) -> list[TensorRow]:
    """Return the rows, with one row for all that differ only by a number in the name."""
    collapsed = []
    for name, at in collapse([(row.name, (row.entry.dtype, row.entry.shape)) for row in rows]):
        members = [rows[i] for i in at]
        names = tuple(row.name for row in members) if len(members) > 1 else ()
        collapsed.append(TensorRow(name, members[0].entry, sum(row.nbytes for row in members), names))
    return collapsed


def _name_key(row: TensorRow | BadRow) -> bytes:
    """Return what the file sorts a name by: its bytes."""
    name = row.names[0] if isinstance(row, TensorRow) and row.names else row.name
    return name.encode("utf-8", "surrogateescape")
