"""Layouts: which stretch goes where in the data files of a new checkpoint, known before the first byte.

The order is that of the source, so that a checkpoint that is only copied has the very bytes of its source,
and neighbours are copied together. Each stays in its data file unless the caller says how many there are;
the order is then cut into as many.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from heapq import heapify, heapreplace
from itertools import accumulate, chain, groupby

import numpy as np

from ckptfmt.checkpoint.bundle import Bundle
from ckptfmt.checkpoint.raw_copy import check_places
from ckptfmt.checkpoint.shards import MAX_SHARDS, check_shards
from ckptfmt.errors import NameConflictError
from ckptfmt.saving.sources import Group, Savable, groups_of
from ckptfmt.saving.stretches import Copied, Stretch, Tensor, tensors_of, tensors_of_values
from ckptfmt.tensors.mapping import TensorMapping


@dataclass(frozen=True)
class Layout:
    """What is written into which data file."""

    tensors: Sequence[Tensor]
    """The tensors."""
    stretches: Sequence[Stretch]
    """The stretches, in the order in which each data file has them."""
    shards: Sequence[int]
    """The number of the data file of each stretch."""
    num_shards: int
    """How many data files there are."""

    def by_shard(self) -> Iterator[tuple[int, Iterator[Stretch]]]:
        """Iterate over the data files that hold something: the number, and what is in it."""
        order = np.argsort(np.array(self.shards, np.int64), kind="stable").tolist()
        for shard, numbers in groupby(order, key=self.shards.__getitem__):
            yield shard, map(self.stretches.__getitem__, numbers)


def arrange(tensors: Savable, *, num_shards: int | None, max_shard_bytes: int | None) -> Layout:
    """Return where everything goes; what is wrong with names, dtypes and places of the source is said now.

    Raises
    ------
    NameConflictError
        Two tensors have one name.
    CorruptError, CheckpointNotFoundError
        The index of a source is damaged, or a data file that holds a tensor is missing or too short.
    """
    check_shards(num_shards, max_shard_bytes)
    groups = groups_of(tensors)
    taken = {name for group in groups for name in group}
    arranged: list[Tensor] = []
    ordered: list[list[Stretch]] = []
    for group in groups:
        some = list(
            tensors_of(group, taken) if isinstance(group, TensorMapping) else tensors_of_values(group)
        )
        arranged += some
        ordered.append(_in_order(list(chain.from_iterable(tensor.stretches for tensor in some))))
    _check_names(arranged)
    for group, stretches in zip(groups, ordered, strict=True):
        _check_sources(group, stretches)
    stretches = list(chain.from_iterable(ordered))
    sizes = [stretch.nbytes for stretch in stretches]
    if max_shard_bytes is not None:
        shards = _cut_by_size(sizes, max_shard_bytes)
        return Layout(arranged, stretches, shards, max(shards, default=0) + 1)
    kept, count = _as_in_sources(groups, ordered)
    if num_shards is None or num_shards == count:
        return Layout(arranged, stretches, _to_emptiest(kept, sizes, count), count)
    return Layout(arranged, stretches, _cut_evenly(sizes, num_shards), num_shards)


def _check_names(tensors: Sequence[Tensor]) -> None:
    """Raise NameConflictError if a stored part of a slot has the name of another tensor."""
    names = {tensor.name for tensor in tensors}
    if len(names) < len(tensors):
        counts = Counter(tensor.name for tensor in tensors)
        twice = {name: [name] * count for name, count in counts.items() if count > 1}
        raise NameConflictError("several tensors of one name", names=twice)


def _check_sources(group: Group, stretches: Sequence[Stretch]) -> None:
    """Raise unless the bytes to be copied exist, and are not far more than the files they are in."""
    if not isinstance(group, TensorMapping):
        return
    store = group._origin()
    entries = [stretch.content.entry for stretch in stretches if isinstance(stretch.content, Copied)]
    if not entries or not isinstance(store, Bundle):
        return
    check_places(store, entries)
    # Entries of a hostile index may all stand for the same bytes, each a tensor of its own.
    asked: dict[int, int] = {}
    for entry in entries:
        asked[entry.shard or 0] = asked.get(entry.shard or 0, 0) + entry.nbytes
    for shard, nbytes in asked.items():
        file = store.shard(shard, entries[0])
        if nbytes > file.size:
            what = "bytes of tensors that share those of a data file"
            store.limits.check_bytes(what, nbytes, file.size, file=file.name)


def _in_order(stretches: list[Stretch]) -> list[Stretch]:
    """Return stretches in the order of the source, those without a place last."""
    placed = [stretch for stretch in stretches if stretch.place is not None]
    if not placed:
        return stretches
    shards, offsets = np.array([stretch.place for stretch in placed], np.int64).T
    # A tensor without elements has the offset of the one after it.
    has_bytes = np.array([stretch.nbytes > 0 for stretch in placed])
    order = np.lexsort((has_bytes, offsets, shards)).tolist()
    return [placed[number] for number in order] + [each for each in stretches if each.place is None]


def _as_in_sources(
    groups: Sequence[Group], ordered: Sequence[Sequence[Stretch]]
) -> tuple[list[int | None], int]:
    """Return the data file of each stretch as in its source, None for any, and how many these are.

    A data file of which nothing is kept does not count.
    """
    shards: list[int | None] = []
    count = 1
    for group, stretches in zip(groups, ordered, strict=True):
        used = sorted({stretch.place[0] for stretch in stretches if stretch.place is not None})
        if isinstance(group, TensorMapping) and len(used) <= MAX_SHARDS:
            used = _with_empty(group, used)
        numbers = {shard: number for number, shard in enumerate(used)}
        shards += [None if stretch.place is None else numbers[stretch.place[0]] for stretch in stretches]
        count = max(count, len(numbers))
    return shards, count


def _with_empty(group: TensorMapping, used: list[int]) -> list[int]:
    """Return the used data files of a checkpoint, and those in which nobody wrote anything."""
    store = group._origin()
    if len(used) >= store.num_shards or not isinstance(store, Bundle):
        return used
    others = set(range(min(store.num_shards, MAX_SHARDS))).difference(used)
    statuses = {shard: store.fs.status(store.shard_path(shard)) for shard in others}
    return sorted([*used, *(shard for shard, status in statuses.items() if status and not status.size)])


def _to_emptiest(shards: list[int | None], sizes: Sequence[int], count: int) -> list[int]:
    """Return data files with one for each stretch that has none: the one with the fewest bytes so far."""
    if count == 1:
        return [0] * len(shards)
    filled = [0] * count
    for shard, size in zip(shards, sizes, strict=True):
        if shard is not None:
            filled[shard] += size
    heap = [(nbytes, number) for number, nbytes in enumerate(filled)]
    heapify(heap)
    chosen = []
    for shard, size in zip(shards, sizes, strict=True):
        if shard is None:
            nbytes, shard = heap[0]
            heapreplace(heap, (nbytes + size, shard))
        chosen.append(shard)
    return chosen


def _cut_evenly(sizes: Sequence[int], count: int) -> list[int]:
    """Return data files of about equal size, each with neighbours."""
    total = sum(sizes)
    starts = accumulate(sizes, initial=0)
    return [
        min(start * count // total, count - 1) if total else 0
        for start, _ in zip(starts, sizes, strict=False)
    ]


def _cut_by_size(sizes: Sequence[int], limit: int) -> list[int]:
    """Return data files of up to ``limit`` bytes, unless a single stretch takes more."""
    shards = []
    shard = filled = 0
    for size in sizes:
        if filled and filled + size > limit:
            shard, filled = shard + 1, 0
        filled += size
        shards.append(shard)
    return shards
