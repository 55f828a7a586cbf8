"""Conditions: which of the tensors that its pattern matches a step takes.

Names alone do not always say what a tensor is. ``shaped`` asks for a shape: that of a convolution in two
dimensions, say. ``beside`` asks for another tensor: a bias is that of an LSTM if a recurrent kernel is
beside it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from ckptfmt.plans.current import Current
from ckptfmt.plans.pattern import Pattern
from ckptfmt.plans.sizes import ShapePattern, Size, check_size, size_value
from ckptfmt.plans.step import Step


@dataclass(frozen=True)
class ConditionalStep(Step):
    """A step with patterns, and with conditions for the tensors that these match."""

    conditions = ("shaped", "beside")
    shaped: ShapePattern | None = field(default=None, kw_only=True)
    """The shape that a tensor must have."""
    beside: str | None = field(default=None, kw_only=True)
    """The name, as a template for the match of the pattern, of a tensor that must exist."""

    @property
    def is_conditional(self) -> bool:
        """Whether it has any condition."""
        return self.shaped is not None or self.beside is not None

    def check_patterns(self, patterns: Sequence[Pattern], templates: Sequence[str] = ()) -> str | None:
        """Return what is wrong with patterns, with templates for their matches, or with the conditions."""
        given = [*templates, *([] if self.beside is None else [self.beside])]
        for pattern in patterns:
            wrong = pattern.check() or next(filter(None, map(pattern.check_template, given)), None)
            if wrong:
                return wrong
        return None if self.shaped is None else self.shaped.check()

    def check_sizes(self, key: str, sizes: Sequence[Size]) -> str | None:
        """Return what is wrong with sizes that may be named in ``shaped``."""
        names = () if self.shaped is None else self.shaped.names
        wrong = next(filter(None, (check_size(size, names) for size in sizes)), None)
        return wrong and f"{key}: {wrong}"

    def chosen(self, current: Current, pattern: Pattern, *, whole: bool = False) -> Collection[str]:
        """Return the names among which a pattern finds those that the step takes.

        Without conditions that is all of them; otherwise, only names for which the conditions hold.
        """
        if not self.is_conditional:
            return current
        templates = [] if self.beside is None else [self.beside]
        return [
            name
            for name, others in pattern.expansions(current, templates, whole=whole)
            if all(other in current for other in others) and self._sizes(current, name) is not None
        ]

    def sizes_named(self, current: Current, name: str) -> Mapping[str, int]:
        """Return what the names in ``shaped`` stand for, in the shape of a tensor that was chosen."""
        return self._sizes(current, name) or {}

    def _sizes(self, current: Current, name: str) -> Mapping[str, int] | None:
        if self.shaped is None:
            return {}
        shape = current.shape(name)
        return None if shape is None else self.shaped.sizes_of(shape)


def numbers(sizes: Sequence[Size], named: Mapping[str, int]) -> tuple[int, ...]:
    """Return sizes as numbers."""
    return tuple(size_value(size, named) for size in sizes)
