"""Choice: which variables of a graph become constants."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from typing import TypeAlias

from ckptfmt.errors import GraphError
from ckptfmt.graph.graph import Graph
from ckptfmt.graph.ops import VARIABLE_OPS
from ckptfmt.text.closest import closest_names, did_you_mean
from ckptfmt.text.patterns import Pattern, matcher
from ckptfmt.text.quoting import listed

Patterns: TypeAlias = "Pattern | Iterable[Pattern]"
"""One pattern or several."""


def variables_to_keep(graph: Graph, keep: Patterns, only: Patterns | None) -> set[str]:
    """Return the names of the variables that stay variables, in the graph and in its functions.

    Raises GraphError if a pattern matches no variable, TypeError if it is not a pattern.
    """
    unwanted, wanted = _listed(keep), None if only is None else _listed(only)
    if not unwanted and wanted is None:
        return set()
    message = graph._outline.message
    bodies = (message.node, *(function.node_def for function in message.library.function))
    names = dict.fromkeys(node.name for body in bodies for node in body if node.op in VARIABLE_OPS)
    kept = _matching(unwanted, names)
    return kept if wanted is None else kept | (set(names) - _matching(wanted, names))


def _listed(patterns: Patterns) -> Sequence[Pattern]:
    several = [patterns] if isinstance(patterns, (str, re.Pattern)) else list(patterns)
    # A variable is often written as its tensor.
    return [each.removesuffix(":0") if isinstance(each, str) else each for each in several]


def _matching(patterns: Sequence[Pattern], names: Collection[str]) -> set[str]:
    matching: set[str] = set()
    for pattern in patterns:
        if isinstance(pattern, str) and pattern in names:
            matching.add(pattern)  # also if it is a glob that matches others
        matches = set(filter(matcher([pattern]), names))
        if not matches:
            if isinstance(pattern, str):
                close = did_you_mean(closest_names(pattern, names))
                hint = close or f", which has {listed(names, 5) or 'none'}"
                raise GraphError(f"not a variable of the graph{hint}", node=pattern)
            raise GraphError(f"no variable matches {pattern.pattern!r}")
        matching |= matches
    return matching
