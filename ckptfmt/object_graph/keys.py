"""The grammar of keys: under which names a TF2 checkpoint stores what objects hold.

::

    key       escaped(name)/…/escaped(name)/.ATTRIBUTES/escaped(attribute)    names of edges from the root
    slot key  VARIABLE/.OPTIMIZER_SLOT/OPTIMIZER/escaped(slot)/.ATTRIBUTES/VARIABLE_VALUE
    escaped   "." becomes "..", "/" becomes ".S"

Source: TensorFlow ``checkpoint/graph_view.py``, ``trackable/trackable_utils.py``.
"""

from __future__ import annotations

import re

OBJECT_GRAPH_KEY = "_CHECKPOINTABLE_OBJECT_GRAPH"
"""The key of the object graph itself, a string scalar."""

ATTRIBUTES = "/.ATTRIBUTES/"
"""What separates the path of an object from the attribute that is stored."""

VARIABLE_VALUE = "/.ATTRIBUTES/VARIABLE_VALUE"
"""What ``tf.train.Checkpoint`` appends to the path of a variable."""

SLOT = ".OPTIMIZER_SLOT"
"""What separates the path of a variable from the optimizer that keeps a slot for it."""

_ESCAPED = re.compile(r"\.([.S])")
_UNESCAPED = {".": ".", "S": "/"}


def escape(name: str) -> str:
    """Return the name of an edge, an attribute or a slot as it stands in a key."""
    return name.replace(".", "..").replace("/", ".S")


def unescape(text: str) -> str:
    """Return what a part of a key was before :func:`escape`; slashes between parts stay."""
    return _ESCAPED.sub(lambda match: _UNESCAPED[match[1]], text) if "." in text else text


def short_name(key: str) -> str | None:
    """Return the path in a key, unescaped, with the attribute after it unless that is a variable's value.

    None if the key is not one of an object's.
    """
    path, separator, attribute = key.rpartition(ATTRIBUTES)
    if not separator or not path:
        return None
    return unescape(path) if key.endswith(VARIABLE_VALUE) else f"{unescape(path)}/{attribute}"
