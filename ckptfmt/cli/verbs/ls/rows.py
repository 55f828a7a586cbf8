"""The rows of ``ckptfmt ls``: which tensors are listed, in which order, and what they add up to."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import chain
from operator import attrgetter
from typing import Any, NamedTuple

from ckptfmt import Entry, Tensors, errors
from ckptfmt.cli.collapse import collapse
from ckptfmt.cli.failures import describe
from ckptfmt.cli.render.text import count_text, escape, size_text
from ckptfmt.cli.typed_names import TypedNames
from ckptfmt.object_graph.keys import VARIABLE_VALUE
from ckptfmt.tensors.aliases import no_match
from ckptfmt.text.patterns import literal_prefixes, matcher


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
    checkpoint: Tensors, view: Tensors, patterns: Sequence[str], dtypes: Sequence[str], min_size: int
) -> Iterator[TensorRow | BadRow]:
    """Iterate over the tensors of a view that pass all filters, in the checkpoint's order.

    Raises TensorNotFoundError if a pattern matches no name.
    """
    entries = view.entries
    has_dtype = matcher(dtypes) if dtypes else None
    for name in _matching(checkpoint, view, patterns) if patterns else entries:
        try:
            entry = entries[name]
        except errors.CkptfmtError as error:
            yield BadRow(name, error)
            continue
        if entry.nbytes >= min_size and (has_dtype is None or has_dtype(entry.dtype.name)):
            yield TensorRow(name, entry, entry.nbytes)


def _matching(checkpoint: Tensors, view: Tensors, patterns: Sequence[str]) -> list[str]:
    """Return the names that match a pattern as they are, as a listing shows them, or as other verbs do.

    A terminal shows them without the end of variables' keys, and every listing with escapes. Full names and
    object paths are looked through for patterns that no name here matches.
    """
    # Only names that can match are listed: a large index is not decoded for a few of its tensors. A backslash
    # may begin an escape, and so stand for any character.
    prefixes = literal_prefixes(pattern.replace("\\", "*") for pattern in patterns)
    matches = _shown_matcher(patterns)
    found = list(filter(matches, chain.from_iterable(map(view._names_below, prefixes))))
    idle = [pattern for pattern in patterns if not any(map(_shown_matcher([pattern]), found))]
    if not idle:
        return found
    typed = TypedNames(checkpoint, checkpoint.prefix)
    stored: set[str] = set()
    for pattern in idle:
        with suppress(errors.TensorNotFoundError):
            stored.update(typed.matching(pattern))
            continue
        if not typed.is_pattern(pattern):
            with suppress(errors.TensorNotFoundError):
                stored.update(typed.find([pattern]))
                continue
        raise no_match(idle, lambda: view._names_near(idle[0]), checkpoint.prefix)
    others = {name for name, each in view._stored().items() if each in stored}
    if not others:
        raise no_match(idle, lambda: view._names_near(idle[0]), checkpoint.prefix)
    others.update(found)
    return [name for name in view if name in others]


def _shown_matcher(patterns: Sequence[str]) -> Callable[[str], object]:
    """Return a function that tells whether a name matches any pattern, also as a listing shows it."""
    matches = matcher([*patterns, *(pattern + VARIABLE_VALUE for pattern in patterns)])
    return lambda name: matches(name) or (not name.isprintable() and matches(escape(name)))


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
        by_name.sort(key=name_key)
    return by_name[::-1] if reverse else by_name


def _collapsed(rows: Sequence[TensorRow]) -> list[TensorRow]:
    """Return the rows, with one row for all that differ only by a number in the name."""
    collapsed = []
    for name, at in collapse([(row.name, (row.entry.dtype, row.entry.shape)) for row in rows]):
        members = [rows[i] for i in at]
        names = tuple(row.name for row in members) if len(members) > 1 else ()
        collapsed.append(TensorRow(name, members[0].entry, sum(row.nbytes for row in members), names))
    return collapsed


def name_key(row: TensorRow | BadRow) -> bytes:
    """Return what the file sorts a name by: its bytes."""
    name = row.names[0] if isinstance(row, TensorRow) and row.names else row.name
    return name.encode("utf-8", "surrogateescape")
