"""Layouts: the names and shapes of models on both sides of the plans that ship, without any framework."""

from __future__ import annotations

import json
from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import NamedTuple

from ckptfmt import Plan
from ckptfmt.checkpoint.entry import Entry
from ckptfmt.dtypes import BY_NAME

LAYOUTS = Path(__file__).parent.parent / "data" / "layouts"
"""Written by :mod:`tests.support.make_layouts`."""

Shapes = dict[str, tuple[int, ...]]


class Layout(NamedTuple):
    """A model before and after its plan."""

    source: Shapes
    target: Shapes
    tied: frozenset[str]
    """Names of the target that may be missing in a file, because others share their values."""


class Outline:
    """Tensors without values, of which a plan needs no more as long as nothing is read."""

    def __init__(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        self.entries = {
            name: Entry(name, BY_NAME["float32"], shape, 4 * prod(shape), 0, 0, None, ())
            for name, shape in shapes.items()
        }

    def shapes_made(self, plan: Plan) -> Shapes:
        """Return the shapes of what a plan makes of these tensors."""
        made = plan.targets(self.entries)
        return {name: expression.spec(self.entries)[1] for name, expression in made.items()}


def read_layout(name: str) -> Layout:
    content = json.loads((LAYOUTS / f"{name}.json").read_text(encoding="utf-8"))
    source, target = (
        {tensor: tuple(shape) for tensor, shape in content[side].items()} for side in ("source", "target")
    )
    return Layout(source, target, frozenset(content["tied"]))
