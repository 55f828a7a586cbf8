"""Expressions: arrays made out of stored tensors, evaluated when they are read.

::

    Expression
    ├── Stored           a tensor as it is stored
    ├── Transposed       its axes in another order          a view
    ├── Reshaped         its elements in another shape      a view where NumPy can
    ├── Cast             its elements in another dtype      a copy
    ├── Part             what a split makes of it           a view
    └── Concatenated     several of them, one after the other along an axis

The region asked of an expression is translated to regions of what it is made of, so that reading a part
reads a part; only a reshape needs all of its operand.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple, TypeAlias

import numpy as np

from ckptfmt.arrays.array import Array, new_array, read_only
from ckptfmt.arrays.shape import Shape
from ckptfmt.checkpoint.entry import Entry
from ckptfmt.checkpoint.slices import Region, region_shape, whole, within
from ckptfmt.dtypes import DType, Storage
from ckptfmt.errors import PlanError

Fetch: TypeAlias = "Callable[[str, Region | None], Array]"
"""Reads a stored tensor by name, or only a region of it."""

Entries: TypeAlias = "Mapping[str, Entry]"

MAX_DEPTH = 128
"""Operations that may be piled up on one tensor; evaluation recurses over them."""

MAX_WEIGHT = 1 << 20
"""Stored tensors, each as often as it is used, that one expression may be made of."""

MAX_RANK = 32
"""Dimensions that NumPy 1 gives an array."""

_MAX_ELEMENTS = 1 << 59
"""Of 16 bytes each, what a 64-bit address can reach."""


class Place(NamedTuple):
    """Where in a plan an operation stands, for errors."""

    file: str | None = None
    step: int | None = None

    def error(self, what: str) -> PlanError:
        """Return the error of something wrong here."""
        return PlanError(what, file=self.file, step=self.step)

    def __str__(self) -> str:
        return ": ".join(
            [*([self.file] if self.file else []), *([f"step {self.step}"] if self.step is not None else [])]
        )


class Reading:
    """Where expressions find stored tensors, and what has been read of them."""

    def __init__(self, fetch: Fetch, entries: Entries) -> None:
        self.fetch = fetch
        self.entries = entries
        self._last: tuple[Expression, Array] | None = None

    def whole(self, expression: Expression) -> Array:
        """Return all of an expression; of the one asked for last, whose parts may be asked for, at once."""
        if self._last is None or self._last[0] is not expression:
            self._last = None  # not two at a time
            self._last = expression, expression._evaluate(self, None)
        return self._last[1]


class Expression(ABC):
    """An array made out of stored tensors; immutable, and lazy.

    It belongs to one checkpoint: the dtype and shape it finds there it remembers.
    """

    __slots__ = ()

    @property
    @abstractmethod
    def sources(self) -> tuple[str, ...]:
        """The stored tensors it is made of, each once."""

    @abstractmethod
    def spec(self, entries: Entries) -> tuple[DType, Shape]:
        """Return its dtype and shape; PlanError where an operation does not fit its operand."""

    def value(self, reading: Reading, region: Region | None = None) -> Array:
        """Return it as a read-only array, or the part of it that a region takes.

        Raises PlanError, before anything is read, where an operation does not fit its operand.
        """
        self.spec(reading.entries)
        return self._evaluate(reading, region)

    @abstractmethod
    def _evaluate(self, reading: Reading, region: Region | None) -> Array:
        """The value, of what is known to fit."""


@dataclass(frozen=True, slots=True)
class Stored(Expression):
    """A tensor as it is stored."""

    name: str
    """Its name in the checkpoint."""

    @property
    def sources(self) -> tuple[str, ...]:
        """The tensor itself."""
        return (self.name,)

    def spec(self, entries: Entries) -> tuple[DType, Shape]:
        """Return dtype and shape as the index has them."""
        entry = entries[self.name]
        return entry.dtype, entry.shape

    def _evaluate(self, reading: Reading, region: Region | None) -> Array:
        return reading.fetch(self.name, region)


class _Made(Expression):
    """What operations make. A tensor may have many parts, so what all of them ask is found once."""

    def spec(self, entries: Entries) -> tuple[DType, Shape]:
        """Return dtype and shape, found once; PlanError where the operation does not fit."""
        known: tuple[DType, Shape] | None = self.__dict__.get("_spec")
        if known is None:
            known = self.__dict__["_spec"] = self._find_spec(entries)
        return known

    @abstractmethod
    def _find_spec(self, entries: Entries) -> tuple[DType, Shape]:
        """Dtype and shape; PlanError where the operation does not fit its operand."""


@dataclass(frozen=True)
class _Unary(_Made):
    """What is made of one other expression."""

    operand: Expression
    depth: int = field(init=False, repr=False, compare=False)
    """Operations between it and what is stored."""
    weight: int = field(init=False, repr=False, compare=False)
    """How many stored tensors it reads, each counted as often as it is used."""

    def __post_init__(self) -> None:
        _measure(self, (self.operand,), self._place())

    def _place(self) -> Place:
        return Place()

    @property
    def sources(self) -> tuple[str, ...]:
        """The stored tensors of the operand."""
        return self.operand.sources


@dataclass(frozen=True)
class Transposed(_Unary):
    """An expression with its axes in another order, as ``np.transpose`` orders them."""

    axes: tuple[int, ...] | None = None
    """For each axis which one of the operand it is; None reverses them."""
    place: Place = field(default=Place(), repr=False, compare=False)

    def _place(self) -> Place:
        return self.place

    def _find_spec(self, entries: Entries) -> tuple[DType, Shape]:
        """Return dtype and shape; PlanError where the axes are not those of the operand."""
        dtype, shape = self.operand.spec(entries)
        if self.axes is None:
            return dtype, shape[::-1]
        if sorted(self.axes) != list(range(len(shape))):
            raise self.place.error(
                f"transpose of {_label(self)}: got axes {list(self.axes)}, "
                f"want a permutation of the {len(shape)} axes of shape {list(shape)}"
            )
        return dtype, tuple(shape[axis] for axis in self.axes)

    def _evaluate(self, reading: Reading, region: Region | None) -> Array:
        inner = region
        if region is not None:
            axes = range(len(region))[::-1] if self.axes is None else self.axes
            inner = tuple(region[i] for i in np.argsort(axes).tolist())
        return read_only(self.operand._evaluate(reading, inner).transpose(self.axes))


@dataclass(frozen=True)
class Reshaped(_Unary):
    """The elements of an expression, in C order, in another shape."""

    shape: tuple[int, ...] = ()
    """The shape; one dimension may be -1, what the number of elements leaves for it."""
    place: Place = field(default=Place(), repr=False, compare=False)

    def _place(self) -> Place:
        return self.place

    def _find_spec(self, entries: Entries) -> tuple[DType, Shape]:
        """Return dtype and shape; PlanError where the numbers of elements differ."""
        dtype, old = self.operand.spec(entries)
        count, known = math.prod(old), math.prod(size for size in self.shape if size != -1)
        shape = self.shape
        if -1 in shape and known and count % known == 0:
            shape = tuple(count // known if size == -1 else size for size in shape)
        if (
            min(shape, default=0) < 0
            or len(shape) > MAX_RANK
            or math.prod(shape) != count
            or math.prod(size or 1 for size in shape) > _MAX_ELEMENTS
        ):
            raise self.place.error(
                f"reshape of {_label(self)}: got shape {list(self.shape)}, "
                f"want one of the {count} elements of shape {list(old)}"
            )
        return dtype, shape

    def _evaluate(self, reading: Reading, region: Region | None) -> Array:
        shape = self.spec(reading.entries)[1]
        array = reading.whole(self.operand).reshape(shape)
        return read_only(array if region is None else array[within(region, whole(shape))])


@dataclass(frozen=True)
class Cast(_Unary):
    """The elements of an expression in another dtype, converted as NumPy does.

    Of complex numbers cast to real ones the real part is kept. Quantised numbers are not cast: what they mean
    is not in the checkpoint.
    """

    dtype: DType
    """The dtype to cast to."""
    place: Place = field(default=Place(), repr=False, compare=False)

    def _place(self) -> Place:
        return self.place

    def _find_spec(self, entries: Entries) -> tuple[DType, Shape]:
        """Return dtype and shape; PlanError where either dtype is not of numbers or truth values."""
        old, shape = self.operand.spec(entries)
        if old != self.dtype and not (is_castable(old) and is_castable(self.dtype)):
            odd = self.dtype if is_castable(old) else old
            raise self.place.error(
                f"cast of {_label(self)} from {old.name} to {self.dtype.name}: "
                f"got {odd.name}, want a dtype of numbers or bool"
            )
        return self.dtype, shape

    def _evaluate(self, reading: Reading, region: Region | None) -> Array:
        array = self.operand._evaluate(reading, region)
        return array if array.dtype == self.dtype.numpy else read_only(converted(array, self.dtype.numpy))


@dataclass(frozen=True)
class Part(_Unary):
    """One part of an expression that is split along an axis."""

    axis: int
    index: int
    """Which part, from 0."""
    count: int
    """Of how many."""
    bounds: tuple[int, int, int] | None = None
    """Where it starts and stops, and the size the axis must have; None where all parts are alike."""
    place: Place = field(default=Place(), repr=False, compare=False)

    def _place(self) -> Place:
        return self.place

    def _locate(self, entries: Entries) -> tuple[DType, Shape, int, int, int]:
        """Of the operand dtype and shape; the axis, and where on it the part starts and stops."""
        dtype, shape = self.operand.spec(entries)
        axis = _axis(self.axis, shape, f"split of {_label(self)}", self.place)
        size = shape[axis]
        if self.bounds is None:
            if size % self.count:
                raise self.place.error(
                    f"split of {_label(self)}: got {self.count} equal parts, "
                    f"want a divisor of {size}, axis {self.axis} of shape {list(shape)}"
                )
            each = size // self.count
            return dtype, shape, axis, self.index * each, (self.index + 1) * each
        start, stop, total = self.bounds
        if total != size:
            raise self.place.error(
                f"split of {_label(self)}: got sizes that add up to {total}, "
                f"want {size}, axis {self.axis} of shape {list(shape)}"
            )
        return dtype, shape, axis, start, stop

    def _find_spec(self, entries: Entries) -> tuple[DType, Shape]:
        """Return dtype and shape; PlanError where there is no such axis, or the sizes do not fit it."""
        dtype, shape, axis, start, stop = self._locate(entries)
        return dtype, (*shape[:axis], stop - start, *shape[axis + 1 :])

    def _evaluate(self, reading: Reading, region: Region | None) -> Array:
        _, shape, axis, start, stop = self._locate(reading.entries)
        if region is None:
            inner = list(whole(shape))
            inner[axis] = start, stop
        else:
            inner = list(region)
            inner[axis] = region[axis][0] + start, region[axis][1] + start
        return self.operand._evaluate(reading, tuple(inner))


@dataclass(frozen=True)
class Concatenated(_Made):
    """Several expressions, one after the other along an axis."""

    operands: tuple[Expression, ...]
    axis: int
    place: Place = field(default=Place(), repr=False, compare=False)
    depth: int = field(init=False, repr=False, compare=False)
    weight: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        _measure(self, self.operands, self.place)

    @property
    def sources(self) -> tuple[str, ...]:
        """The stored tensors of all operands."""
        return tuple(dict.fromkeys(name for operand in self.operands for name in operand.sources))

    def _find_spec(self, entries: Entries) -> tuple[DType, Shape]:
        """Dtype and shape; PlanError where dtypes or the other dimensions differ."""
        specs = [operand.spec(entries) for operand in self.operands]
        dtype, first = specs[0]
        what = f"concat of {_label(self.operands[0])}"
        axis = _axis(self.axis, first, what, self.place)
        ends = []
        total = 0
        for operand, (other, shape) in zip(self.operands, specs, strict=True):
            if other != dtype or (*shape[:axis], -1, *shape[axis + 1 :]) != (
                *first[:axis],
                -1,
                *first[axis + 1 :],
            ):
                raise self.place.error(
                    f"{what} and {_label(operand)} along axis {self.axis}: got {other.name}{list(shape)}, "
                    f"want {dtype.name} and a shape like {list(first)}"
                )
            total += shape[axis]
            ends.append(total)
        self.__dict__["_ends"] = ends  # where each operand ends along the axis
        return dtype, (*first[:axis], total, *first[axis + 1 :])

    def _evaluate(self, reading: Reading, region: Region | None) -> Array:
        dtype, shape = self.spec(reading.entries)
        ends: list[int] = self.__dict__["_ends"]
        axis = self.axis % len(shape)
        wanted = whole(shape) if region is None else region
        low, high = wanted[axis]
        pieces: list[tuple[Expression, Region, Region]] = []
        for number in range(bisect_right(ends, low), len(ends)):
            start, stop = ends[number - 1] if number else 0, ends[number]
            if start >= high:
                break
            shared, inner = list(wanted), list(wanted)
            shared[axis] = max(start, low), min(stop, high)
            inner[axis] = shared[axis][0] - start, shared[axis][1] - start
            if all(first < last for first, last in shared):
                pieces.append((self.operands[number], tuple(shared), tuple(inner)))
        if len(pieces) == 1:
            ((operand, _, inner_region),) = pieces
            return operand._evaluate(reading, inner_region)
        out = None
        for operand, shared_region, inner_region in pieces:
            piece = operand._evaluate(reading, inner_region)
            # Not before something has been read, so that a claimed shape costs nothing.
            out = new_array(region_shape(wanted), dtype) if out is None else out
            out[within(shared_region, wanted)] = piece
        return read_only(new_array(region_shape(wanted), dtype) if out is None else out)


def _measure(expression: Expression, operands: tuple[Expression, ...], place: Place) -> None:
    """Set depth and weight; PlanError where evaluating it would take too much."""
    # What is stored, of which there are many, has neither.
    depth = 1 + max(getattr(operand, "depth", 0) for operand in operands)
    weight = sum(getattr(operand, "weight", 1) for operand in operands)
    if depth > MAX_DEPTH:
        raise place.error(f"{_label(operands[0])}: got {depth} operations, want at most {MAX_DEPTH}")
    if weight > MAX_WEIGHT:
        raise place.error(f"{_label(operands[0])}: made of {weight} tensors, want at most {MAX_WEIGHT}")
    # A frozen dataclass sets what it computes this way.
    object.__setattr__(expression, "depth", depth)
    object.__setattr__(expression, "weight", weight)


def _label(expression: Expression) -> str:
    """What messages call an expression: the first tensor it is made of."""
    while not isinstance(expression, Stored):
        expression = expression.operands[0] if isinstance(expression, Concatenated) else _operand(expression)
    return repr(expression.name)


def _operand(expression: Expression) -> Expression:
    assert isinstance(expression, _Unary)
    return expression.operand


def _axis(axis: int, shape: Shape, what: str, place: Place) -> int:
    """The axis counted from the front; PlanError where there is none such."""
    if not -len(shape) <= axis < len(shape):
        raise place.error(f"{what}: got axis {axis}, want one of the {len(shape)} of shape {list(shape)}")
    return axis % len(shape)


# --- casts ---------------------------------------------------------------------------------------------


def is_castable(dtype: DType) -> bool:
    """Return whether elements are numbers or truth values that NumPy converts."""
    return dtype.storage in (Storage.FIXED, Storage.LOW_BITS) and not dtype.is_quantized


def converted(array: Array, dtype: np.dtype[np.generic]) -> Array:
    """Return a copy of an array in another dtype; what does not fit becomes what NumPy makes of it."""
    if array.dtype.kind == "c" and dtype.kind != "c":
        array = array.real
    with np.errstate(all="ignore"):
        if _is_extension(array.dtype) and array.dtype != dtype:
            # Not every pair of ml_dtypes' types has a conversion; all of them fit into float32 exactly.
            array = array.astype(np.float32)
        if _is_extension(dtype) and array.dtype.kind == "c":
            array = array.real
        return array.astype(dtype)


def _is_extension(dtype: np.dtype[np.generic]) -> bool:
    """Whether a dtype is one of ml_dtypes'."""
    return dtype.type.__module__.startswith("ml_dtypes")


@lru_cache(maxsize=1024)
def is_exact(old: DType, new: DType) -> bool:
    """Return whether every value of a dtype is a value of another, so that a cast can be undone."""
    if old == new:
        return True
    if not (is_castable(old) and is_castable(new)):
        return False
    a, b = old.numpy, new.numpy
    if a.itemsize > 2:
        # Their values are too many to try. NumPy takes 64-bit integers to fit into float64.
        return (
            not _is_extension(b)
            and bool(np.can_cast(a, b, "safe"))
            and not (a.kind in "iu" and a.itemsize == 8 and b.kind in "fc")
        )
    values = _all_values(old)
    result = converted(values, b)
    if b.kind == "c":
        result = result.real
    # All values of small dtypes fit into float64; the other ones' are compared where they came from these.
    wanted, got = (converted(x, np.dtype(np.float64)) for x in (values, result))
    same = (wanted == got) & (np.signbit(wanted) == np.signbit(got))
    return bool((same | (np.isnan(wanted) & np.isnan(got))).all())


def _all_values(dtype: DType) -> Array:
    """Every value of a dtype of at most two bytes."""
    if dtype.is_bool:
        return np.array([False, True])
    bits = dtype.bits or 8 * dtype.numpy.itemsize
    codes = np.arange(1 << bits).astype(np.uint8 if bits <= 8 else np.uint16)
    if dtype.signed:
        # Two's complement: the sign fills the byte.
        codes[1 << (bits - 1) :] |= np.uint8(256 - (1 << bits))
    return codes.view(dtype.numpy)
