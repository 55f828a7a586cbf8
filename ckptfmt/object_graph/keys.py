"""The grammar of keys: the names under which a TF2 checkpoint stores the values of objects.

::

    key       escaped(name)/…/escaped(name)/.ATTRIBUTES/escaped(attribute)    names of edges from the root
    slot key  VARIABLE/.OPTIMIZER_SLOT/OPTIMIZER/escaped(slot)/.ATTRIBUTES/VARIABLE_VALUE
    escaped   "." becomes "..", "/" becomes ".S"

Source: TensorFlow ``python/checkpoint/graph_view.py``, ``python/trackable/trackable_utils.py``.
"""

from __future__ import annotations

import re
from typing import NamedTuple

OBJECT_GRAPH_KEY = "_CHECKPOINTABLE_OBJECT_GRAPH"
"""The key of the object graph itself, a string scalar."""

ATTRIBUTES = "/.ATTRIBUTES/"
"""Separates the path of an object from the attribute that is stored."""

VARIABLE_NAME = "VARIABLE_VALUE"
"""The attribute that is a variable's value."""

VARIABLE_VALUE = "/.ATTRIBUTES/VARIABLE_VALUE"
"""The end of a variable's key, which ``tf.train.Checkpoint`` appends to its path."""

SLOT = ".OPTIMIZER_SLOT"
"""Separates the path of a variable from that of the optimizer that keeps a slot for it."""

_ESCAPED = re.compile(r"\.([.S])")
_UNESCAPED = {".": ".", "S": "/"}


def escape(name: str) -> str:
    """Return the name of an edge, an attribute or a slot as it is written in a key."""
    return name.replace(".", "..").replace("/", ".S")


def unescape(text: str) -> str:
    """Undo :func:`escape` in a part of a key, or in all of it; slashes between parts stay."""
    return _ESCAPED.sub(lambda match: _UNESCAPED[match[1]], text) if "." in text else text


def short_name(key: str) -> str | None:
    """Return the unescaped path in a key, and the attribute after it unless that is a variable's value.

    None if the key does not belong to an object.
    """
    path, separator, attribute = key.rpartition(ATTRIBUTES)
    if not separator or not path:
        return None
    return unescape(path) if key.endswith(VARIABLE_VALUE) else f"{unescape(path)}/{attribute}"


class KeyPath(NamedTuple):
    """The parts of a key, their escapes undone."""

    names: tuple[str, ...]
    """Names of the edges from the root to the object, or to the variable that a slot is for."""
    attribute: str
    optimizer: tuple[str, ...] | None = None
    """Names of the edges to the optimizer, if it is the key of a slot variable."""
    slot: str = ""


def split_key(key: str) -> KeyPath | None:
    """Return the parts of a key; None if it is not one under which TensorFlow restores a value of an object.

    The key of the root itself and that of its child with an empty name are equal; it is taken for the root's.
    """
    # TensorFlow looks for the first separator in a key, and raises ValueError if there is none.
    path, separator, attribute = key.partition(ATTRIBUTES)
    if not separator or not attribute or "/" in attribute:
        return None
    variable, separator, slot = path.partition(f"/{SLOT}/")
    if not separator:
        return KeyPath(_split(path), unescape(attribute))
    optimizer, slash, name = slot.rpartition("/")
    return (
        KeyPath(_split(variable), unescape(attribute), _split(optimizer), unescape(name)) if slash else None
    )


def _split(path: str) -> tuple[str, ...]:
    return tuple(map(unescape, path.split("/"))) if path else ()
