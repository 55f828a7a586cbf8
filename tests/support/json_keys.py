"""The descriptions of JSON documents in the help, read so that documents can be compared with them.

They look like ``{"name", "sizes": [MIN, MAX], "tags": {TAG: COUNT}, "parts": [...]}``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

_TOKEN = re.compile(r'"([^"]*)"|([A-Z]+)|([{}\[\],:])|(\.\.\.)|(or)')

ANYTHING = None
"""The shape of a value of which the help says no more."""


class Mapping(NamedTuple):
    """The shape of an object whose keys are data; any other object is a dict of the shapes of its values."""

    values: Any


def described_objects(text: str) -> list[Any]:
    """Return the shapes of the objects in a text, in order; each as it is nested."""
    tokens = _tokens(text)
    shapes = []
    for kind, _ in tokens:
        if kind == "{":
            shapes.append(_object(tokens))
    return shapes


def _tokens(text: str) -> Iterator[tuple[str, str]]:
    for match in _TOKEN.finditer(text):
        key, name, sign, dots, _ = match.groups()
        if key is not None:
            yield "key", key
        elif name is not None or dots is not None:
            yield "data", name or dots
        elif sign is not None:
            yield sign, sign


def _object(tokens: Iterator[tuple[str, str]]) -> Any:
    """Return the shape of the object whose brace has been read."""
    keys: dict[str, Any] = {}
    values: Any = ANYTHING
    is_mapping = False
    last: tuple[str, str] | None = None
    for kind, text in tokens:
        if kind == "}":
            break
        if kind == ":":
            assert last is not None
            shape, ended = _value(tokens)
            if last[0] == "key":
                keys[last[1]] = shape
            else:
                is_mapping, values = True, shape
            if ended:
                break
        elif kind in ("key", "data"):
            last = kind, text
            if kind == "key":
                keys.setdefault(text, ANYTHING)
    return Mapping(values) if is_mapping else keys


def _value(tokens: Iterator[tuple[str, str]]) -> tuple[Any, bool]:
    """Return the shape of the value that follows, and whether the brace after it has been read."""
    shape: Any = ANYTHING
    for kind, _ in tokens:
        if kind == "{":
            shape = _object(tokens)
        elif kind == "[":
            shape = _list(tokens)
        elif kind in ("}", ","):
            return shape, kind == "}"
    return shape, True


def _list(tokens: Iterator[tuple[str, str]]) -> Any:
    shape: Any = ANYTHING
    for kind, _ in tokens:
        if kind == "{":
            shape = _object(tokens)
        elif kind == "[":
            shape = _list(tokens)
        elif kind == "]":
            break
    return [shape]


def differences(value: Any, shape: Any, path: str = "") -> list[str]:
    """Return where a value of a document is not as the help says; null may be anywhere."""
    if value is None or shape is ANYTHING:
        return []
    if isinstance(shape, list):
        if not isinstance(value, list):
            return [f"{path}: not a list"]
        return [each for item in value for each in differences(item, shape[0], f"{path}[]")]
    if not isinstance(value, dict):
        return [f"{path}: not an object"]
    if isinstance(shape, Mapping):
        return [
            each for key, item in value.items() for each in differences(item, shape.values, f"{path}.{key}")
        ]
    different = [f"{path}.{key}: not in the document" for key in shape.keys() - value.keys()]
    different += [f"{path}.{key}: not in the help" for key in value.keys() - shape.keys()]
    for key in shape.keys() & value.keys():
        different += differences(value[key], shape[key], f"{path}.{key}")
    return different
