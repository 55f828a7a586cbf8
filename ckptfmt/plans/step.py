"""The step: what all verbs of a plan have.

A step takes tensors by their current names, those that earlier steps gave them, and makes others of them. It
says what it did as :class:`Changes`, and everything else follows from that: which names clash, what became of
a tensor, how to undo the step.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar, TypeAlias

from ckptfmt.arrays.shape import Shape
from ckptfmt.dtypes import DType
from ckptfmt.errors import CkptfmtError
from ckptfmt.notebook.fields import fields_card
from ckptfmt.notebook.page import to_html
from ckptfmt.plans.changes import Changes
from ckptfmt.plans.current import Current
from ckptfmt.plans.expressions import Expression
from ckptfmt.plans.pattern import Pattern
from ckptfmt.plans.place import StepPlace
from ckptfmt.plans.sizes import ShapePattern

OnError: TypeAlias = "Callable[[CkptfmtError, Sequence[str]], None]"
"""Takes an error and the names it is about; raises it, or keeps it in a list."""

SpecOf: TypeAlias = "Callable[[Expression], tuple[DType, Shape]]"
"""Returns dtype and shape of an expression."""


class Step(ABC):
    """One step of a plan: a frozen dataclass for each verb; its fields are the keys of the step in a file."""

    verb: ClassVar[str]
    """Its name in a plan."""
    subject: ClassVar[str] = "pattern"
    """The field that is the value of the verb: which tensors the step takes."""
    keys: ClassVar[tuple[str, ...]] = ()
    """The keys beside the verb, which are fields of the same name."""
    conditions: ClassVar[tuple[str, ...]] = ()
    """The keys of its conditions, which any step with a pattern may have."""
    comment: str
    """Lines written above the step in a file; not read back."""

    def fields(self) -> dict[str, object]:
        """Return its keys and values in a plan, the verb first."""
        values = {key: getattr(self, key) for key in (*self.keys, *self.conditions)}
        given = {key: _plain(value) for key, value in values.items() if value is not None}
        return {self.verb: _plain(getattr(self, self.subject)), **given}

    def _repr_html_(self) -> str:
        return to_html(lambda: fields_card(self, type(self).__name__))

    @abstractmethod
    def check(self) -> str | None:
        """Return what is wrong with the step for any tensors, or None."""

    @abstractmethod
    def changes(self, current: Current, place: StepPlace, on_error: OnError) -> Changes:
        """Return what the step does to the current tensors."""

    @abstractmethod
    def inverse(self, changes: Changes, spec: SpecOf) -> list[Step]:
        """Return the steps that undo changes made by this one; PlanError if that is not possible."""

    def __str__(self) -> str:
        first, *rest = self.fields().items()
        return " ".join(f"{key} {value!r}" for key, value in (first, *rest))


def _plain(value: object) -> object:
    """Return the value of a field as a plan file has it: text, numbers, lists and tables."""
    if isinstance(value, Pattern):
        return value.text
    if isinstance(value, DType):
        return value.name
    if isinstance(value, ShapePattern):
        return list(value.sizes)
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return dict(value) if isinstance(value, Mapping) else value
