"""Restores: how the tensors that somebody wants meet those that a checkpoint has.

What TensorFlow tells by ``status.assert_consumed()``, ``status.assert_existing_objects_matched()`` and
``status.expect_partial()`` after a restore, told as data.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ckptfmt.arrays.array import Array
from ckptfmt.dtypes import DType
from ckptfmt.errors import NotConsumedError

_SHOWN = 10
"""Names of each kind that an error lists."""


class Spec(NamedTuple):
    """What is known of a tensor before it has values."""

    dtype: DType | None
    """Its dtype; None where any will do."""
    shape: tuple[int | None, ...] | None
    """Its shape, None in it for a size of any kind; None where any shape will do."""

    def __str__(self) -> str:
        dtype = "any dtype" if self.dtype is None else self.dtype.name
        if self.shape is None:
            return f"{dtype} of any shape"
        return f"{dtype}[{','.join('?' if size is None else str(size) for size in self.shape)}]"


class Mismatch(NamedTuple):
    """A tensor that is there, but of another shape or dtype than wanted."""

    name: str
    """The name wanted."""
    stored: str
    """The name in the checkpoint."""
    got: Spec
    """What the checkpoint has."""
    want: Spec
    """What is wanted."""

    def __str__(self) -> str:
        return f"{self.name!r}: got {self.got}, want {self.want}"


@dataclass(frozen=True)
class RestoreReport:
    """How the tensors wanted meet those a checkpoint has."""

    matched: Mapping[str, str]
    """Name wanted → name in the checkpoint, of those that fit in shape and dtype, in the order wanted."""
    missing: Sequence[str] = ()
    """Names wanted that the checkpoint does not have."""
    unused: Sequence[str] = ()
    """Names in the checkpoint that nobody wants."""
    wrong_shape: Sequence[Mismatch] = ()
    """Tensors that are there in another shape."""
    wrong_dtype: Sequence[Mismatch] = ()
    """Tensors that are there in another dtype; one wrong in both stands in both."""

    @property
    def restorable(self) -> bool:
        """Whether all that is wanted is there and fits, used up or not."""
        return not (self.missing or self.wrong_shape or self.wrong_dtype)

    @property
    def ok(self) -> bool:
        """Whether all that is wanted is there and fits, and all that is there is wanted."""
        return self.restorable and not self.unused

    def assert_existing_objects_matched(self) -> None:
        """Raise NotConsumedError unless all that is wanted is there and fits."""
        if not self.restorable:
            raise NotConsumedError(_reason(self))

    def assert_consumed(self) -> None:
        """Raise NotConsumedError unless, besides, all that is there is wanted."""
        if not self.ok:
            raise NotConsumedError(_reason(self))

    def __str__(self) -> str:
        return f"{len(self.matched)} matched, {_counts(self) or 'nothing else'}"


def _counts(report: RestoreReport) -> str:
    counts = {
        "missing": report.missing,
        "of another shape": report.wrong_shape,
        "of another dtype": report.wrong_dtype,
        "unused": report.unused,
    }
    return ", ".join(f"{len(names)} {kind}" for kind, names in counts.items() if names)


def _reason(report: RestoreReport) -> str:
    """Why a report is not fine: counts, and the first names of each kind."""
    lists = {
        "missing": list(map(repr, report.missing[:_SHOWN])),
        "another shape": list(map(str, report.wrong_shape[:_SHOWN])),
        "another dtype": list(map(str, report.wrong_dtype[:_SHOWN])),
        "unused": list(map(repr, report.unused[:_SHOWN])),
    }
    details = "; ".join(f"{kind}: {', '.join(names)}" for kind, names in lists.items() if names)
    return f"{_counts(report)} ({details})"


class Restored(dict[str, Array]):
    """Arrays by name, as ``read(names, missing=…)`` returns them, with the report attached."""

    report: RestoreReport
    """What was found, missing and left unused."""
