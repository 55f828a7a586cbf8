"""What Keras 3 can be given: its classes and their arguments, from ``classes.json``.

The table is made from the signatures of Keras 3, and of Keras 2 for the arguments that only that has, by
``tests/support/make_keras_classes.py``.
"""

from __future__ import annotations

import json
import pkgutil
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NamedTuple


class KerasClass(NamedTuple):
    """A class of Keras 3."""

    name: str
    """Its own name, if it is known under several."""
    arguments: frozenset[str]
    keras_2: Mapping[str, Any]
    """Arguments that only Keras 2 has, and their defaults there."""


@lru_cache(maxsize=1)
def _table() -> dict[str, Any]:
    data = pkgutil.get_data("ckptfmt.keras", "classes.json")
    assert data is not None
    table: dict[str, Any] = json.loads(data)
    return table


def keras_version() -> str:
    """Return the version of Keras 3 that the table is of."""
    version: str = _table()["keras"]
    return version


@lru_cache(maxsize=8)
def classes(kind: str) -> Mapping[str, KerasClass]:
    """Return the classes of a kind, such as ``layers`` or ``initializers``, by name."""
    return {
        name: KerasClass(
            entry.get("class_name", name), frozenset(entry["arguments"]), entry.get("keras_2", {})
        )
        for name, entry in _table()[kind].items()
    }


@lru_cache(maxsize=1)
def activations() -> frozenset[str]:
    """Return the names of the activation functions of Keras 3."""
    return frozenset(_table()["activations"])
