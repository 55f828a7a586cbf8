"""Layouts: the names and shapes of models on both sides of the plans that ship, without any framework."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

LAYOUTS = Path(__file__).parent.parent / "data" / "layouts"
"""Written by :mod:`tests.support.make_layouts`."""

Shapes = dict[str, tuple[int, ...]]


class Layout(NamedTuple):
    """A model before and after its plan."""

    source: Shapes
    target: Shapes
    tied: frozenset[str]
    """Names of the target that may be missing in a file, because others share their values."""


def read_layout(name: str) -> Layout:
    content = json.loads((LAYOUTS / f"{name}.json").read_text(encoding="utf-8"))
    source, target = (
        {tensor: tuple(shape) for tensor, shape in content[side].items()} for side in ("source", "target")
    )
    return Layout(source, target, frozenset(content["tied"]))
