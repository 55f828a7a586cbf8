"""Alignment: which names of two templates belong together, going by their numbers.

Two sides may count differently: layers from 0 or from 1, with one number or two, with a constant number such
as the 2 of ``conv2d`` among them. Four rules are tried, from the surest to the least sure. Apart from
sorting, each takes time linear in the names:

1.  the same numbers, if all names of the smaller side have a partner
2.  the same, without the numbers that do not vary
3.  the same position in order, if both sides have the same number of names
4.  the same ranks, the least number at a position being its first; a name without a partner is left out
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeAlias

Numbers: TypeAlias = Mapping[str, "tuple[int, ...]"]
"""Names and their numbers, as many for each."""


def aligned(wanted: Numbers, stored: Numbers) -> list[tuple[str, str]]:
    """Return the pairs of a wanted and a stored name whose numbers correspond, each name in one at most."""
    # Rule 1.
    pairs = _same_numbers(wanted, stored)
    if pairs is not None:
        return pairs
    # Rule 2: "conv2d_1" and "conv_1" have the same numbers without the 2, which all names of one side have.
    wanted_varying, stored_varying = _varying(wanted), _varying(stored)
    pairs = _same_numbers(wanted_varying, stored_varying)
    if pairs is not None:
        return pairs
    # Rule 3: layers 1 to 12 meet layers 0 to 11, and "0_0, 0_1, 1_0" meets "1, 2, 3".
    if len(wanted) == len(stored):
        in_order = (sorted(side, key=side.__getitem__) for side in (wanted_varying, stored_varying))
        return list(zip(*in_order, strict=True))
    # Rule 4: if one side has a layer too many, the first layers of both still belong together.
    if _width(wanted_varying) == _width(stored_varying) > 0:
        by_rank = {ranks: name for name, ranks in _ranks(stored_varying).items()}
        ranked = _ranks(wanted_varying).items()
        return [(name, by_rank[ranks]) for name, ranks in ranked if ranks in by_rank]
    return []


def _same_numbers(wanted: Numbers, stored: Numbers) -> list[tuple[str, str]] | None:
    """Pairs with the same numbers, or None if both sides have names without a partner."""
    if _width(wanted) != _width(stored):
        return None
    by_numbers = {numbers: name for name, numbers in stored.items()}
    pairs = [(name, by_numbers[numbers]) for name, numbers in wanted.items() if numbers in by_numbers]
    # If a name of the smaller side has no partner, the sides count differently, as from 0 and from 1, and
    # numbers that agree would pair each layer with the one after it.
    return pairs if len(pairs) == min(len(wanted), len(stored)) else None


def _width(members: Numbers) -> int:
    """How many numbers each name has."""
    return len(next(iter(members.values()), ()))


def _varying(members: Numbers) -> dict[str, tuple[int, ...]]:
    """The numbers without those that are the same in all names."""
    columns = [column for column in zip(*members.values(), strict=True) if len(set(column)) > 1]
    rows: Iterable[tuple[int, ...]] = zip(*columns, strict=True) if columns else [()] * len(members)
    return dict(zip(members, rows, strict=True))


def _ranks(members: Numbers) -> dict[str, tuple[int, ...]]:
    """The numbers as ranks among those at the same position."""
    columns: Sequence[Sequence[int]] = list(zip(*members.values(), strict=True))
    ranks = [{number: rank for rank, number in enumerate(sorted(set(column)))} for column in columns]
    return {
        name: tuple(ranks[position][number] for position, number in enumerate(numbers))
        for name, numbers in members.items()
    }
