"""Changes: what one step of a plan does to the tensors that it takes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import NamedTuple

from ckptfmt.plans.expressions import Expression


class Change(NamedTuple):
    """The effect of a step on related tensors, by their names before and after it."""

    taken: tuple[tuple[str, Expression], ...]
    """The tensors that it takes."""
    made: tuple[tuple[str, Expression], ...]
    """The tensors that it makes of them."""


@dataclass(frozen=True)
class Changes:
    """The effect of a step on all tensors that it takes.

    They are kept in columns, because a checkpoint may have a million tensors and most steps take one and make
    one each time; :meth:`__iter__` gives them one by one.
    """

    taken: Mapping[str, Expression]
    """The tensors taken, by their names before the step, change after change."""
    names: Sequence[str]
    """The names of the tensors made."""
    made: Sequence[Expression]
    """The tensors made."""
    sizes: Sequence[tuple[int, int]] | None = None
    """How many tensors each change takes and makes; None if every change takes one and makes one."""

    def __iter__(self) -> Iterator[Change]:
        """Iterate over the changes in their order."""
        taken = iter(self.taken.items())
        made = zip(self.names, self.made, strict=True)
        for takes, makes in repeat((1, 1), len(self.taken)) if self.sizes is None else self.sizes:
            yield Change(tuple(next(taken) for _ in range(takes)), tuple(next(made) for _ in range(makes)))

    @classmethod
    def of(cls, changes: Iterable[Change]) -> Changes:
        """Return the columns of changes that are given one by one."""
        taken: dict[str, Expression] = {}
        names: list[str] = []
        made: list[Expression] = []
        sizes: list[tuple[int, int]] = []
        for change in changes:
            taken.update(change.taken)
            for name, expression in change.made:
                names.append(name)
                made.append(expression)
            sizes.append((len(change.taken), len(change.made)))
        return cls(taken, names, made, sizes)
