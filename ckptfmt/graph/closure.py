"""Closures: everything that a relation leads to, such as all functions that some functions call."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from typing import TypeVar

_K = TypeVar("_K", bound=Hashable)


def closure(names: Iterable[_K], following: Callable[[_K], Iterable[_K]]) -> set[_K]:
    """Return names and all names that follow from them, directly or not, in time linear in the steps."""
    reached = set(names)
    waiting = list(reached)
    while waiting:
        for name in following(waiting.pop()):
            if name not in reached:
                reached.add(name)
                waiting.append(name)
    return reached
