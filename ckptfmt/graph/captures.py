"""Captures: the tensors that a function takes besides those that it is called with.

The functions of a dataset are called for each of its elements, those of a batching node for each batch. What
they captured where they were made is a list of inputs of the node, and their last arguments::

    MapDataset(input_dataset, *other_arguments, f)        f(*element, *other_arguments)

Source: TensorFlow ``core/ops/dataset_ops.cc``, ``core/ops/batch_ops.cc``,
``core/kernels/data/captured_function.cc``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import NamedTuple

from ckptfmt.graph.ops import known_ops
from ckptfmt.proto import messages

_LISTS = ("other_arguments", "other_args", "captured_tensors", "captured_inputs")
"""Names of such lists; the name of the attribute with their function comes first if a node has several."""


class Captures(NamedTuple):
    """What one function of a node captured."""

    function: messages.NameAttrList
    """The function."""
    dtypes: str
    """The attribute with the dtypes of the captured tensors."""
    inputs: range
    """The numbers of the inputs."""


def captures_of(node: messages.NodeDef) -> Iterator[Captures]:
    """Iterate over what the functions of a node captured, one after the other."""
    start = 0
    for types, function in _capturing_ops().get(node.op, ()):
        count = 1 if not types else len(node.attr[types].list.type) if types in node.attr else 0
        if function in node.attr:
            yield Captures(node.attr[function].func, types, range(start, start + count))
        start += count


@lru_cache(maxsize=1)
def _capturing_ops() -> Mapping[str, tuple[tuple[str, str], ...]]:
    """Return the ops whose functions capture tensors.

    For each of their inputs: the attribute with its dtypes, empty if it is a single tensor, and the one with
    the function that captured it, empty if none did.
    """
    ops = {}
    for op in known_ops().values():
        functions = [attribute.name for attribute in op.attr if attribute.type == "func"]
        inputs = []
        for argument in op.input_arg if functions else ():
            suffix = next((each for each in _LISTS if argument.name.endswith(each)), None)
            prefix = "" if suffix is None else argument.name.removesuffix(suffix).rstrip("_")
            inputs.append((argument.type_list_attr, "" if suffix is None else prefix or functions[0]))
        if any(function for _, function in inputs):
            ops[op.name] = tuple(inputs)
    return ops
