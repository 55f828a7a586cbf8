"""Closures: everything that a relation leads to, such as all functions that some functions call."""

from __future__ import annotations

from collections.abc import Callable, Iterable


def closure(names: Iterable[str], following: Callable[[str], Iterable[str]]) -> set[str]:
    """Return names and all names that follow from them, directly or not, in time linear in the steps."""
    reached = set(names)
    waiting = list(reached)
    while waiting:
        for name in following(waiting.pop()):
            if name not in reached:
                reached.add(name)
                waiting.append(name)
    return reached
