"""Calls: what functions of a SavedModel take and return, as JSON, and as text made from that."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ckptfmt import DType, NamedValues, TensorSpec, TypeSpec
from ckptfmt.cli.render.text import escape, shape_text
from ckptfmt.cli.render.values import number_json, values_json

KIND = "kind"
"""Key that says what an object in JSON represents."""

MAX_VALUES = 1000
"""Elements; the values of larger arrays are left out."""


def describe_value(value: object) -> object:
    """Return a nested value for JSON; see ``ckptfmt model --help``."""
    if isinstance(value, TensorSpec):
        bounds = {"minimum": value.minimum, "maximum": value.maximum}
        return {
            KIND: "tensor",
            "name": value.name,
            "dtype": value.dtype.name,
            "shape": value.shape,
            **{name: describe_value(bound) for name, bound in bounds.items() if bound is not None},
        }
    if isinstance(value, TypeSpec):
        return {KIND: "type_spec", "name": value.class_name, "state": describe_value(value.state)}
    if isinstance(value, NamedValues):
        return {KIND: "named_tuple", "name": value.name, "items": _describe_items(value.fields)}
    if isinstance(value, DType):
        return {KIND: "dtype", "dtype": value.name}
    if isinstance(value, dict):
        return {KIND: "dict", "items": _describe_items(value)}
    if isinstance(value, tuple):
        return {KIND: "tuple", "items": [describe_value(each) for each in value]}
    if isinstance(value, list):
        return [describe_value(each) for each in value]
    if isinstance(value, np.ndarray):
        values = values_json(value) if value.size <= MAX_VALUES else None
        return {KIND: "array", "dtype": str(value.dtype), "shape": value.shape, "values": values}
    return number_json(value)


def _describe_items(items: dict[str, Any]) -> dict[str, object]:
    return {name: describe_value(value) for name, value in items.items()}


def call_text(arguments: list[dict[str, Any]], keywords: dict[str, Any], outputs: object) -> str:
    """Return a call as Python would write it: ``(x: float32[?,2], training=False) -> float32[?]``."""
    labelled = [(each["name"], each["value"]) for each in arguments]
    texts = [_labelled_text(name, value) for name, value in (*labelled, *keywords.items())]
    return f"({', '.join(texts)}) -> {_text(outputs, None)}"


def _labelled_text(name: str | None, value: object) -> str:
    if name is None:
        return _text(value, "")
    is_given = value is None or isinstance(value, (bool, int, float, str))
    return f"{escape(name)}{'=' if is_given else ': '}{_text(value, name)}"


def _text(value: Any, path: str | None) -> str:  # noqa: ANN401  (any JSON)
    """Return a described value as text.

    ``path`` is the name already written before it: a tensor's own name is shown only if it differs from that.
    None means that names do not matter.
    """
    if isinstance(value, list):
        return f"[{_items_text(enumerate(value), path)}]"
    if not isinstance(value, dict):
        return f"'{escape(value)}'" if isinstance(value, str) else repr(value)
    kind = value[KIND]
    if kind == "tensor":
        # Exporters name a tensor after its parameter, or after the last part of its path.
        is_known = path is None or value["name"] in ("", path, path.rpartition("/")[2])
        own = "" if is_known else f" as {escape(value['name'])}"
        bounds = " within bounds" if "minimum" in value else ""
        return f"{value['dtype']}{shape_text(value['shape'])}{bounds}{own}"
    if kind == "dtype":
        return str(value["dtype"])
    if kind == "array":
        return f"an array of {value['dtype']}{shape_text(value['shape'])}"
    if kind == "type_spec":
        return f"{escape(value['name'])}({_text(value['state'], path)})"
    items = value["items"]
    if kind == "tuple":
        return f"({_items_text(enumerate(items), path)}{',' if len(items) == 1 else ''})"
    inner = _items_text(items.items(), path)
    return f"{{{inner}}}" if kind == "dict" else f"{escape(value['name'])}({inner})"


def _items_text(items: Iterable[tuple[int | str, Any]], path: str | None) -> str:
    texts = ((key, _text(item, None if path is None else f"{path}/{key}")) for key, item in items)
    return ", ".join(text if isinstance(key, int) else f"{escape(key)}: {text}" for key, text in texts)
