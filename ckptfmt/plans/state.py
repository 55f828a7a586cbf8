"""The state of a plan while it is applied: the tensors after some of its steps, by their current names."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Literal, TypeAlias

from ckptfmt.checkpoint.entry import Entry
from ckptfmt.plans.changes import Changes
from ckptfmt.plans.current import Current
from ckptfmt.plans.expressions import Expression
from ckptfmt.plans.place import StepPlace
from ckptfmt.plans.step import OnError, Step

Rest: TypeAlias = Literal["keep", "drop", "error"]
"""What becomes of tensors that no step has touched."""

Order: TypeAlias = tuple[int, ...]
"""Sorts tensors in the order of their sources: ``(i,)`` for stored tensor number ``i``. A split appends the
number of the part, so that the parts take the place of the whole."""


class PlanState:
    """The tensors of a checkpoint after some steps of a plan.

    Parameters
    ----------
    entries
        Dtype and shape of the tensors of the checkpoint, by name, in order.
    rest
        What becomes of tensors that no step has touched.
    on_error
        Takes errors of steps. If it does not raise them, the step goes on as far as it makes sense.
    """

    def __init__(self, entries: Mapping[str, Entry], rest: Rest, on_error: OnError) -> None:
        self.current = Current(entries)
        """The tensors by their current names."""
        self.dropped: list[Expression] = []
        """Tensors that steps have taken without making anything of them."""
        self.clashing: list[tuple[str, Expression]] = []
        """Tensors that did not get their new name because another one has it, or because it is empty."""
        self._rest = rest
        self._on_error = on_error
        self._order: dict[str, Order] = {name: (i,) for i, name in enumerate(self.current)}
        self._untouched = set(self.current)
        """Those of the current names that no step has taken or made."""
        self._displaced: list[str] = []
        """Untouched tensors, to be dropped in the end, whose name a step has given to another tensor."""

    def apply(self, step: Step, place: StepPlace) -> Changes:
        """Apply a step, and return what it did."""
        # All tensors are taken before any name is given, so that a step can swap names. The cost is a few
        # dictionary operations for each tensor that the step takes, and nothing for the others: a plan may
        # have a hundred thousand steps for one tensor each, or one that takes a million.
        current, order = self.current, self._order
        changes = step.changes(current, place, self._on_error)
        orders = list(map(order.pop, changes.taken))
        for name in changes.taken:
            del current[name]
        self._untouched.difference_update(changes.taken)
        refused: list[int] = []
        for number, (name, made, at) in enumerate(
            zip(changes.names, changes.made, _orders_made(changes, orders), strict=True)
        ):
            if name and (name not in current or self._gives_way(name)):
                current[name] = made
                order[name] = at
            else:
                refused.append(number)
        if changes.sizes is not None:
            self.dropped += (
                expression for change in changes if not change.made for _, expression in change.taken
            )
        if refused:
            self._refuse(changes, refused, place)
        return changes

    def _gives_way(self, name: str) -> bool:
        """Return whether the tensor with a name will be dropped anyway, which frees the name."""
        if self._rest != "drop" or name not in self._untouched:
            return False
        self._untouched.remove(name)
        self._displaced.append(name)
        return True

    def _refuse(self, changes: Changes, refused: Sequence[int], place: StepPlace) -> None:
        """Report the tensors made by a step, given by number, whose new name is empty or taken."""
        names = changes.names
        sources = [change.taken[0][0] for change in changes for _ in change.made]
        self.clashing += ((names[number], changes.made[number]) for number in refused)
        for number in refused:
            if not names[number]:
                what = f"new name of {sources[number]!r}: got an empty one"
                self._on_error(place.error(what), [sources[number]])
        # All tensors that the step would give a name to claim it, under their old names; and if none of them
        # got it, so does the tensor that has it already.
        makers: dict[str, list[str]] = {}
        for name, source in zip(names, sources, strict=True):
            makers.setdefault(name, []).append(source)
        numbers = set(refused)
        given = {name for number, name in enumerate(names) if number not in numbers}
        clashes = {
            name: [*([] if name in given else [name]), *makers[name]]
            for name in (names[number] for number in refused)
            if name
        }
        if clashes:
            self._on_error(place.conflict("several tensors would get one name", clashes), list(clashes))

    def kept(self) -> dict[str, Expression]:
        """Return the tensors that exist at the end, in the order of their sources."""
        names = self.current.keys() - self._untouched if self._rest == "drop" else self.current
        return {name: self.current[name] for name in sorted(names, key=self._order.__getitem__)}

    def leftovers(self) -> list[str]:
        """Return the tensors that no step has touched, under the names they have always had."""
        return [*self._displaced, *(name for name in self.current if name in self._untouched)]


def _orders_made(changes: Changes, orders: Sequence[Order]) -> Iterable[Order]:
    """Return the order of the tensors made, given that of the tensors taken."""
    # Renames and transformations, which take almost all tensors, pass their orders on as they are.
    return orders if changes.sizes is None else _orders_of_groups(changes.sizes, orders)


def _orders_of_groups(sizes: Iterable[tuple[int, int]], orders: Sequence[Order]) -> Iterator[Order]:
    """Yield the order of the tensors that each change makes.

    A tensor made of several takes the place of the first of them; several made of one share its place.
    """
    at = 0
    for takes, makes in sizes:
        first = min(orders[at : at + takes])
        at += takes
        if makes == 1:
            yield first
        else:
            yield from ((*first, part) for part in range(makes))
