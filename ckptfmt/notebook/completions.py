"""Completions: the keys that a notebook offers after ``mapping["``."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

MAX_KEYS = 10_000
"""Keys offered. A notebook asks for all of them at every press of Tab, and looks for those that fit."""


def first_keys(keys: Iterable[str]) -> list[str]:
    """Return the first keys of a mapping; none if they cannot be read: completion cannot say why."""
    try:
        return list(islice(keys, MAX_KEYS))
    except Exception:
        return []
