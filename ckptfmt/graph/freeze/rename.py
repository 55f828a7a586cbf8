"""New names for the functions that freezing changed.

TensorFlow keeps the functions of all graphs of a program in one registry, in which a name stands for one
body: a program that imports both the graph and the frozen one needs two names.
"""

from __future__ import annotations

from collections.abc import Iterable

from ckptfmt.graph.calls import functions_in
from ckptfmt.proto import messages


def rename_functions(graph: messages.GraphDef, changed: Iterable[str]) -> None:
    """Give the functions that were changed new names, in the library and in the nodes that call them."""
    functions = {function.signature.name: function for function in graph.library.function}
    new_names = _new_names(changed, set(functions))
    if not new_names:
        return
    for name, new in new_names.items():
        functions[name].signature.name = new
    # A gradient takes the same arguments as its function did before the change, so it no longer fits.
    kept = [
        gradient
        for gradient in graph.library.gradient
        if gradient.function_name not in new_names and gradient.gradient_func not in new_names
    ]
    del graph.library.gradient[:]
    graph.library.gradient.extend(kept)
    for nodes in (graph.node, *(function.node_def for function in functions.values())):
        for node in nodes:
            node.op = new_names.get(node.op, node.op)
            # All attributes, not only those of known calls: any op may name a function.
            for value in node.attr.values():
                for called in functions_in(value):
                    called.name = new_names.get(called.name, called.name)


def _new_names(changed: Iterable[str], taken: set[str]) -> dict[str, str]:
    """Return a free name for each function: ``_frozen_`` and a number replace the number at its end."""
    taken = set(taken)
    new_names: dict[str, str] = {}
    next_numbers: dict[str, int] = {}
    for name in changed:
        base = name.rstrip("0123456789").rstrip("_") or name
        # The numbers before the next one are taken, so no name is tried twice.
        number = max(len(new_names), next_numbers.get(base, 0))
        while (new := f"{base}_frozen_{number}") in taken:
            number += 1
        next_numbers[base] = number + 1
        new_names[name] = new
        taken.add(new)
    return new_names
