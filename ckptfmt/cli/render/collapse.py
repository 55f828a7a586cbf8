"""Repeated layers: names alike but for a number in one place."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Hashable, Iterator, Sequence
from typing import TypeVar

_NUMBER = re.compile(r"[0-9]+")

MAX_PLACES = 32
"""Numbers of a name that are looked at, so that a name of a million numbers takes no million squared."""

_K = TypeVar("_K", bound=Hashable)


def collapse(items: Sequence[tuple[str, _K]]) -> list[tuple[str, list[int]]]:
    """Return the groups that names fall into, each as its name and the positions of its members.

    Two items are alike where their second parts are equal and their names differ in one number; the group is
    called by the name with ``#`` for it. With several numbers in a name, the one that makes the largest group
    is taken, of equals the leftmost. Groups stand where their first members stood.
    """
    sizes = Counter(key for item in items for key in _keys(*item))
    groups: dict[Hashable, list[int]] = {}
    for position, item in enumerate(items):
        best: Hashable = max(_keys(*item), key=sizes.__getitem__, default=position)
        groups.setdefault(best, []).append(position)
    return [
        (f"{key[0]}#{key[1]}" if isinstance(key, tuple) and len(at) > 1 else items[at[0]][0], at)
        for key, at in groups.items()
    ]


def _keys(name: str, kind: _K) -> Iterator[tuple[str, str, _K]]:
    """For each number in a name: what is before, what is behind, and the kind."""
    for count, match in enumerate(_NUMBER.finditer(name)):
        if count == MAX_PLACES:
            return
        yield name[: match.start()], name[match.end() :], kind
