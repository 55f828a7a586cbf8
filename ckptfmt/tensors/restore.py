"""Restores: how the tensors that a caller wants compare with those in a checkpoint.

A report holds as data what TensorFlow asserts after a restore, with ``status.assert_consumed()``,
``status.assert_existing_objects_matched()`` and ``status.expect_partial()``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from ckptfmt.arrays.array import Array
from ckptfmt.dtypes import DType
from ckptfmt.errors import NotConsumedError
from ckptfmt.notebook.card import Card, State, Table
from ckptfmt.notebook.page import to_html
from ckptfmt.tensors.cards import arrays_table, names_table

_SHOWN = 10
"""Names of each kind listed in an error."""


class Spec(NamedTuple):
    """Dtype and shape of a tensor, as far as they are known."""

    dtype: DType | None
    """Its dtype; None if any will do."""
    shape: tuple[int | None, ...] | None
    """Its shape, in which None stands for any size; None if any shape will do."""

    def __str__(self) -> str:
        dtype = "any dtype" if self.dtype is None else self.dtype.name
        if self.shape is None:
            return f"{dtype} of any shape"
        return f"{dtype}[{','.join('?' if size is None else str(size) for size in self.shape)}]"

    def _repr_html_(self) -> str:
        return to_html(lambda: Card("Spec", str(self)))


class Mismatch(NamedTuple):
    """A tensor that exists, but not with the wanted shape and dtype."""

    name: str
    """The wanted name."""
    stored: str
    """The name in the checkpoint."""
    got: Spec
    """What the checkpoint has."""
    want: Spec
    """What is wanted."""

    def __str__(self) -> str:
        return f"{self.name!r}: got {self.got}, want {self.want}"

    def _card(self) -> Card:
        stored = None if self.stored == self.name else self.stored
        return Card(
            "Mismatch", self.name, [("stored", stored), ("got", str(self.got)), ("want", str(self.want))]
        )

    def _repr_html_(self) -> str:
        return to_html(self._card)


@dataclass(frozen=True)
class RestoreReport:
    """How the wanted tensors compare with those in a checkpoint."""

    matched: Mapping[str, str]
    """Wanted name → name in the checkpoint, for tensors that fit in shape and dtype, in the order wanted."""
    missing: Sequence[str] = ()
    """Wanted names that the checkpoint does not have."""
    unused: Sequence[str] = ()
    """Names in the checkpoint that are not wanted."""
    wrong_shape: Sequence[Mismatch] = ()
    """Tensors with another shape."""
    wrong_dtype: Sequence[Mismatch] = ()
    """Tensors with another dtype; one that differs in both is listed in both."""
    # By keyword only, so that the fields of subclasses keep their places. It is not compared: a report is
    # about tensors.
    file: str | None = field(default=None, kw_only=True, repr=False, compare=False)
    """Prefix of the checkpoint, which errors name; None if it is not known."""

    @property
    def restorable(self) -> bool:
        """Whether every wanted tensor exists and fits."""
        return not (self.missing or self.wrong_shape or self.wrong_dtype)

    @property
    def ok(self) -> bool:
        """Whether every wanted tensor exists and fits, and every existing one is wanted."""
        return self.restorable and not self.unused

    def assert_existing_objects_matched(self) -> None:
        """Raise NotConsumedError unless every wanted tensor exists and fits."""
        if not self.restorable:
            raise NotConsumedError(_reason(self), file=self.file)

    def assert_consumed(self) -> None:
        """Raise NotConsumedError unless, in addition, every existing tensor is wanted."""
        if not self.ok:
            raise NotConsumedError(_reason(self), file=self.file)

    def __str__(self) -> str:
        return f"{len(self.matched)} matched, {_counts(self) or 'nothing else'}"

    def _card(self) -> Card:
        matched = Table(
            "Matched",
            ("wanted", "stored"),
            lambda: self.matched,
            lambda name: (name, None if self.matched[name] == name else self.matched[name]),
        )
        misfits = [
            _misfits_table("Of another shape", self.wrong_shape),
            _misfits_table("Of another dtype", self.wrong_dtype),
        ]
        lists = [
            names_table("Missing", self.missing)._replace(is_open=True),
            names_table("Unused", self.unused),
        ]
        facts = [("checkpoint", self.file), ("", str(self))]
        state: State = "good" if self.ok else "" if self.restorable else "bad"
        return Card(type(self).__name__, facts=facts, parts=[*misfits, *lists, matched], state=state)

    def _repr_html_(self) -> str:
        return to_html(self._card)


def _misfits_table(title: str, misfits: Sequence[Mismatch]) -> Table:
    columns = ("wanted", "stored", "got", "want")
    return Table(
        title,
        columns,
        lambda: misfits,
        lambda each: (each.name, each.stored, str(each.got), str(each.want)),
        is_open=True,
    )


def _counts(report: RestoreReport) -> str:
    counts = {
        "missing": report.missing,
        "of another shape": report.wrong_shape,
        "of another dtype": report.wrong_dtype,
        "unused": report.unused,
    }
    return ", ".join(f"{len(names)} {kind}" for kind, names in counts.items() if names)


def _reason(report: RestoreReport) -> str:
    """Return why a report is not ok: counts, and the first names of each kind."""
    lists = {
        "missing": list(map(repr, report.missing[:_SHOWN])),
        "another shape": list(map(str, report.wrong_shape[:_SHOWN])),
        "another dtype": list(map(str, report.wrong_dtype[:_SHOWN])),
        "unused": list(map(repr, report.unused[:_SHOWN])),
    }
    details = "; ".join(f"{kind}: {', '.join(names)}" for kind, names in lists.items() if names)
    return f"{_counts(report)} ({details})"


class Restored(dict[str, Array]):
    """Arrays by name, as ``restore(names)`` returns them, with the report attached."""

    report: RestoreReport
    """What matched, what is missing, and what is unused."""

    def _card(self) -> Card:
        report = getattr(self, "report", None)
        reports = [] if report is None else [report._card()]
        return Card("Restored", facts=[("arrays", len(self))], parts=[arrays_table(self), *reports])

    def _repr_html_(self) -> str:
        return to_html(self._card)
