"""Expressions: arrays computed from stored tensors when they are read.

::

    Expression
    ├── Stored       a tensor as it is stored
    └── Operation    the result of a step on other expressions: see :mod:`ckptfmt.plans.operations`

An expression knows its dtype and shape without reading anything. Reading a region of it reads only regions of
its operands, down to the stored tensors; a reshape reads whole rows of its operand.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from ckptfmt.arrays.array import Array
from ckptfmt.arrays.shape import Shape
from ckptfmt.checkpoint.entry import Entry
from ckptfmt.checkpoint.slices import Region
from ckptfmt.dtypes import DType

Fetch: TypeAlias = "Callable[[str, Region | None], Array]"
"""Reads a stored tensor by name, or only a region of it."""

Entries: TypeAlias = "Mapping[str, Entry]"
"""Dtype and shape of the stored tensors, by name."""


class Reading:
    """Reads stored tensors for expressions, and keeps the value that was asked for last."""

    def __init__(self, fetch: Fetch, entries: Entries) -> None:
        self.fetch = fetch
        self.entries = entries
        self._last: tuple[Expression, Region | None, Array] | None = None

    def kept(self, expression: Expression, region: Region | None) -> Array:
        """Return the value of an expression, or of a region of it; the last one asked for is kept.

        Regions of a reshape are often read in turn, and several may need the same rows of its operand.
        """
        if self._last is None or self._last[0] is not expression or self._last[1] != region:
            self._last = None  # free the old value before the new one is made
            self._last = expression, region, expression._evaluate(self, region)
        return self._last[2]


class Expression(ABC):
    """An array computed from stored tensors: immutable and lazy.

    It belongs to one checkpoint, whose dtypes and shapes it may remember.
    """

    __slots__ = ()

    @property
    @abstractmethod
    def sources(self) -> tuple[str, ...]:
        """The stored tensors that it is computed from, each once."""

    @property
    @abstractmethod
    def depth(self) -> int:
        """The most operations between it and a stored tensor."""

    @property
    @abstractmethod
    def weight(self) -> int:
        """How many stored tensors it reads, each counted as often as it is used."""

    @abstractmethod
    def spec(self, entries: Entries) -> tuple[DType, Shape]:
        """Return the dtype and shape; PlanError if an operation does not fit its operand."""

    def value(self, reading: Reading, region: Region | None = None) -> Array:
        """Return the array, or a region of it, read-only.

        Raises PlanError, before anything is read, if an operation does not fit its operand.
        """
        self.spec(reading.entries)
        return self._evaluate(reading, region)

    @abstractmethod
    def _evaluate(self, reading: Reading, region: Region | None) -> Array:
        """Return the value of an expression whose operations are known to fit."""


@dataclass(frozen=True, slots=True)
class Stored(Expression):
    """A tensor as it is stored."""

    name: str
    """Its name in the checkpoint."""

    @property
    def sources(self) -> tuple[str, ...]:
        """The tensor itself."""
        return (self.name,)

    @property
    def depth(self) -> int:
        """No operations."""
        return 0

    @property
    def weight(self) -> int:
        """One tensor."""
        return 1

    def spec(self, entries: Entries) -> tuple[DType, Shape]:
        """Return dtype and shape as the index has them."""
        entry = entries[self.name]
        return entry.dtype, entry.shape

    def _evaluate(self, reading: Reading, region: Region | None) -> Array:
        return reading.fetch(self.name, region)
