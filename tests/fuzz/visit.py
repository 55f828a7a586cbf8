"""Looks at everything that an object shows: its properties, its items, and what these show in turn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from itertools import islice
from typing import Any

import ckptfmt
from tests.fuzz.target import outcome

MOST = 3000
"""Objects that are looked at."""

ITEMS = 60
"""Items of one collection that are looked at."""


def visit(thing: object) -> None:
    """Read every public property and every item of an object of this package, and of what it returns.

    Errors of this package are answers; any other is raised.
    """
    met: dict[int, object] = {}
    todo: list[object] = [thing]
    while todo and len(met) < MOST:
        one = todo.pop()
        if id(one) in met:
            continue
        met[id(one)] = one  # kept, so that no other object gets its number
        todo += _shown(one)


def _shown(thing: object) -> list[object]:
    """Return what an object shows directly."""
    shown: list[object] = []
    if isinstance(thing, Mapping):
        names = outcome(lambda: list(islice(thing, ITEMS)))
        if isinstance(names, list):
            shown += names
            shown += [outcome(lambda name=name: thing[name]) for name in names]
            assert outcome(lambda: len(thing)) is not None
    elif isinstance(thing, Sequence) and not isinstance(thing, (str, bytes)):
        items = outcome(lambda: list(islice(thing, ITEMS)))
        shown += items if isinstance(items, list) else []
    # A DType without a NumPy dtype has no attribute of that name, and says so.
    ours = str(type(thing).__module__).startswith("ckptfmt.")
    if ours and not isinstance(thing, (BaseException, ckptfmt.DType)):
        outcome(lambda: repr(thing))
        shown += [outcome(lambda name=name: getattr(thing, name)) for name in _properties(type(thing))]
    return shown


def _properties(cls: type[Any]) -> list[str]:
    return [
        name
        for name in dir(cls)
        if not name.startswith("_") and isinstance(getattr(cls, name, None), (property, cached_property))
    ]
