"""Slots in parts: slots of partitioned variables that TensorFlow 1 stores under a name for each part.

A slot of a partitioned variable is itself partitioned, and should be stored as one tensor in slices. If the
optimizer works in a variable scope, TensorFlow cuts the names of the parts in the wrong place, and each part
becomes a tensor of its own, with the shape of the whole slot and a single slice::

    net/w                 float32[10, 4]     slices 0,5:0,4 and 5,5:0,4
    net/w/art_0/Adam      float32[10, 4]     slice 0,5:0,4          the slot net/w/Adam,
    net/w/art_1/Adam      float32[10, 4]     slice 5,5:0,4          made in the scope "train"

The slot of ``net/w/part_0`` is named ``train/net/w/part_0/Adam``. TensorFlow drops as many letters as
``net/w/part_0/`` has, and puts what is left after ``net/w/``. So as many letters of ``net/w/part_0/`` stay as
the scope has, slash included: this tail is of equal length in all parts. With a scope of two letters, parts 0
and 10 share the name ``net/w/0/Adam``, which then has two slices. With a long scope the tail is longer than
``net/w/part_0/`` and begins with the end of the scope.

Here the parts are one tensor again if they make all of it. The same holds for moving averages. Source:
TensorFlow ``python/training/slot_creator.py: _create_slot_var``.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from ckptfmt.checkpoint.entry import Entry
from ckptfmt.checkpoint.partition import Slices, count_elements, plan
from ckptfmt.checkpoint.slices import TensorSlice, whole
from ckptfmt.errors import CkptfmtError, CorruptError

MAX_NAME = 1024
"""Characters of the longest name that is looked at."""

MAX_SLASHES, MAX_NUMBERS = 32, 4
"""The most places in a name that are tried for the end of the variable's name, and for that of the tail.

So a name costs some 50 µs at most.
"""

_NUMBER = re.compile(r"[0-9]+/")
"""What every tail ends in: the number of a part, or the last digits of it."""


class _Group(NamedTuple):
    """What the parts of one slot have in common."""

    variable: str
    slot: str
    tail: int
    """Letters between the names of the variable and the slot: as many as the name of the scope has."""
    entry: Entry
    """Dtype and shape, without a name and slices."""


class Slots:
    """The slots of a checkpoint that are stored in parts."""

    def __init__(self) -> None:
        self.joined: dict[str, Entry] = {}
        """The entry of each slot, as a tensor in slices, by its name."""
        self.parts: dict[str, Entry] = {}
        """The stored entries that it replaces, by their stored names."""
        self.owners: dict[str, dict[TensorSlice, str]] = {}
        """For each slot, the stored name that each of its slices belongs to."""

    def stored(self, entry: Entry, part: TensorSlice) -> Entry:
        """Return the entry that a slice of a tensor is stored under: its own, unless it is a slot here."""
        owner = self.owners.get(entry.name, {}).get(part)
        return entry if owner is None else entry._replace(name=owner)

    def slot_of(self, part: str) -> str | None:
        """Return the name of the slot that a stored part belongs to, or None."""
        return next((name for name, owners in self.owners.items() if part in owners.values()), None)

    def replace(self, entries: Iterable[Entry]) -> list[Entry]:
        """Return entries with each slot instead of its parts, slots last."""
        return [entry for entry in entries if entry.name not in self.parts] + list(self.joined.values())


def may_be_part(name: str) -> bool:
    """Return whether a name is like those of parts: it has a number before a slash."""
    return _NUMBER.search(name) is not None


def is_partial(entry: Entry) -> bool:
    """Return whether the slices of a tensor all fit its shape but do not cover it."""
    try:
        return bool(entry.slices) and count_elements(entry.shape, entry.slices) < math.prod(entry.shape)
    except CorruptError:
        return False


def find_slots(partial: Iterable[Entry], exists: Callable[[str], bool]) -> Slots:
    """Return the slots that partial tensors are the parts of; ``exists`` tells whether a name has a tensor.

    A slot is named ``VARIABLE/SLOT``. If a tensor of that name exists or two slots claim it, because
    optimizers in different scopes train one variable, a slot keeps the stored name of its first part.
    """
    groups: dict[_Group, list[tuple[Entry, str, bool]]] = {}
    for entry in partial:
        for group, digits, is_whole in _groups_of(entry):
            groups.setdefault(group, []).append((entry, digits, is_whole))
    fitting = {group: parts for group, found in groups.items() if (parts := _fit(group, found)) is not None}
    # A tail may be read in several ways: of "w/w/part_0/Adam" the variable is "w/w", or "w" and its name is
    # repeated. A variable that exists decides, then the longer name.
    order = sorted(fitting, key=lambda group: (not exists(group.variable), -len(group.variable)))
    taken: set[str] = set()
    chosen = []
    for group in order:
        owners = set(fitting[group].values())
        if taken.isdisjoint(owners):
            taken |= owners
            chosen.append(group)
    claims = Counter(f"{group.variable}/{group.slot}" for group in chosen)
    slots = Slots()
    stored = {entry.name: entry for group in chosen for entry, _, _ in groups[group]}
    for group in chosen:
        parts = fitting[group]
        name = f"{group.variable}/{group.slot}"
        if claims[name] > 1 or (exists(name) and name not in taken):
            name = next(iter(parts.values()))
        nbytes = max(stored[owner].nbytes for owner in parts.values())
        if group.entry.dtype.itemsize is None:
            nbytes = sum(stored[owner].nbytes for owner in set(parts.values()))
        slots.joined[name] = group.entry._replace(name=name, nbytes=nbytes, slices=Slices(parts))
        slots.owners[name] = parts
        slots.parts.update((owner, stored[owner]) for owner in parts.values())
    return slots


def _groups_of(entry: Entry) -> Iterator[tuple[_Group, str, bool]]:
    """Iterate over the slots that a tensor may be a part of, by its name.

    With each comes the number of the part as the name has it, and whether it has all digits.
    """
    name = entry.name
    if len(name) > MAX_NAME:
        return
    alike = Entry("", entry.dtype, entry.shape, 0, None, None, None, ())
    slashes = [at for at, letter in enumerate(name) if letter == "/"][-MAX_SLASHES:]
    for match in list(_NUMBER.finditer(name))[-MAX_NUMBERS:]:
        digits = match[0][:-1]
        for at in slashes:
            if at >= match.start():
                break
            variable, tail, slot = name[:at], name[at + 1 : match.start()], name[match.end() :]
            part = f"{variable}/part_"
            if slot and variable and (part.endswith(tail) or tail.endswith(part)):
                yield _Group(variable, slot, match.end() - at, alike), digits, bool(tail)


def _fit(group: _Group, found: list[tuple[Entry, str, bool]]) -> dict[TensorSlice, str] | None:
    """Return the slices of a slot in order, each with its stored name; None unless they make all of it."""
    shape = group.entry.shape
    slices = [
        (part, entry.name, digits, is_whole) for entry, digits, is_whole in found for part in entry.slices
    ]
    slices.sort(key=lambda item: item[0].region(shape))  # the slices of partial tensors fit the shape
    # The parts of a variable are numbered in the order of their elements. This is checked first, as it costs
    # least.
    for number, (_, _, digits, is_whole) in enumerate(slices):
        if str(number) != digits and (is_whole or not str(number).endswith(digits)):
            return None
    try:
        plan(shape, [part for part, *_ in slices], whole(shape))
    except CkptfmtError:
        return None
    return {part: name for part, name, *_ in slices}
