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
from ckptfmt.checkpoint.store import Store
from ckptfmt.saving.objects import Built, build_objects, counter_to_store, graph_to_store
from ckptfmt.saving.sources import Group, Savable, groups_of
from ckptfmt.saving.stretches import Stretch, graph_stretch, stretches_of, stretches_of_values
from ckptfmt.tensors.mapping import TensorMapping


@dataclass(frozen=True)
class Layout:
    """What is written into which data file."""

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


def arrange(
    tensors: Savable, *, num_shards: int | None, max_shard_bytes: int | None, objects: bool | None = None
) -> Layout:
    """Return where everything goes. Whatever is wrong with names, dtypes or the source's places is found now.

    ``objects`` says whether an object graph is stored: None for those of checkpoints, True for one of all.

    Raises
    ------
    NameConflictError
        Two tensors have one name.
    GraphError
        The object graph of what is saved cannot be made.
    CorruptError, CheckpointNotFoundError
        The index of a source is damaged, or a data file that holds a tensor is missing or too short.
    """
    check_shards(num_shards, max_shard_bytes)
    groups, built = build_objects(tensors) if objects else Built(groups_of(tensors), [])
    graph = None if objects is False else graph_to_store(groups, built)
    if graph and (counter := counter_to_store(groups)) is not None:
        groups.append(counter)
        graph = graph_to_store(groups, built)
    without_graph = graph is not None or objects is False
    taken = {name for group in groups for name in group}
    ordered = []
    for group in groups:
        if isinstance(group, TensorMapping):
            some = _in_order(list(stretches_of(group, taken, without_graph=without_graph)))
            _check_sources(group._origin(), some)
        else:
            some = list(stretches_of_values(group))
        ordered.append(some)
    if graph:
        # TensorFlow writes it last.
        groups.append({})
        ordered.append([graph_stretch(graph)])
    stretches = list(chain.from_iterable(ordered))
    sizes = [stretch.entry.nbytes for stretch in stretches]
    if max_shard_bytes is not None:
        shards = _cut_by_size(sizes, max_shard_bytes)
        count = max(shards, default=0) + 1
        if count > MAX_SHARDS:
            raise ValueError(
                f"max_shard_bytes: got {max_shard_bytes}, which needs more than {MAX_SHARDS} shards"
            )
        return Layout(stretches, shards, count)
    kept, count = _as_in_sources(groups, ordered)
    if num_shards is None or num_shards == count:
        return Layout(stretches, _to_emptiest(kept, sizes, count), count)
    return Layout(stretches, _cut_evenly(sizes, num_shards), num_shards)


def _check_sources(store: Store | None, stretches: Sequence[Stretch]) -> None:
    """Raise unless the bytes to be copied exist, and are not far more than the files they are in."""
    entries = [stretch.entry for stretch in stretches if stretch.is_copied]
    if not entries or not isinstance(store, Bundle):
        return
    check_places(store, entries)
    # Entries of a hostile index may all stand for the same bytes, each a tensor of its own.
    asked: Counter[int] = Counter()
    for entry in entries:
        asked[entry.shard or 0] += entry.nbytes
    for shard, nbytes in asked.items():
        file = store.shard(shard, entries[0])
        if nbytes > file.size:
            what = "bytes of tensors that share those of a data file"
            store.limits.check_bytes(what, nbytes, file.size, file=file.name)


def _in_order(stretches: list[Stretch]) -> list[Stretch]:
    """Return stretches in the order of the source, those without a place last."""
    entries = [stretch.entry for stretch in stretches]
    shards = np.array([-1 if entry.shard is None else entry.shard for entry in entries], np.int64)
    offsets = np.array([entry.offset or 0 for entry in entries], np.int64)
    # A tensor without elements has the offset of the one after it.
    has_bytes = np.array([entry.nbytes > 0 for entry in entries], bool)
    order = np.lexsort((has_bytes, np.where(shards < 0, 0, offsets), shards, shards < 0))
    return list(map(stretches.__getitem__, order.tolist()))


def _as_in_sources(
    groups: Sequence[Group], ordered: Sequence[Sequence[Stretch]]
) -> tuple[list[int | None], int]:
    """Return the data file of each stretch as in its source, None for any, and how many these are.

    A data file that loses all of its tensors does not count.
    """
    shards: list[int | None] = []
    count = 1
    for group, stretches in zip(groups, ordered, strict=True):
        old = [stretch.entry.shard for stretch in stretches]
        used = sorted({shard for shard in old if shard is not None})
        if isinstance(group, TensorMapping):
            used = _with_empty(group, used)
        numbers: dict[int | None, int | None] = {None: None}
        numbers.update((shard, number) for number, shard in enumerate(used))
        shards += map(numbers.__getitem__, old)
        count = max(count, len(used))
    return shards, count


def _with_empty(group: TensorMapping, used: list[int]) -> list[int]:
    """Return the used data files of a checkpoint, and those in which nobody wrote anything."""
    store = group._origin()
    if not isinstance(store, Bundle) or len(used) >= store.num_shards:
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
