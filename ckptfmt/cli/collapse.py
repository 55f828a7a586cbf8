"""Repeated layers: names that differ only by a number in one place."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Hashable, Iterator, Sequence
from typing import TypeVar

_NUMBER = re.compile(r"[0-9]+")

MAX_PLACES = 32
"""Numbers of a name that are considered. A name of a million numbers would have a million keys as long."""

_K = TypeVar("_K", bound=Hashable)


def collapse(items: Sequence[tuple[str, _K]]) -> list[tuple[str, list[int]]]:
    """Return the groups that names fall into, each as its name and the positions of its members.

    Two items are alike if their second parts are equal and their names differ in one number. The name of a
    group has ``#`` for that number. A name with several numbers joins the largest group that any of them
    makes, the leftmost if several are as large. Groups are in the order of their first members.
    """
    # Each number of a name is a place at which it could be collapsed: the name around it is a key, and the
    # names that share a key would be one group. First count the keys, then let each name choose its largest.
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
    """Iterate over the numbers of a name: the text before each, the text after it, and the kind."""
    for place, match in enumerate(_NUMBER.finditer(name)):
        if place == MAX_PLACES:
            return
        yield name[: match.start()], name[match.end() :], kind
