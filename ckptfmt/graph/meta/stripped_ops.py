"""Stripped ops: the definitions of the ops that a graph uses, without descriptions.

With them, another version of TensorFlow knows which attributes it may ignore. Source: TensorFlow
``core/framework/op_def.proto``, ``python/framework/meta_graph.py: stripped_op_list_for_graph``.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain

from ckptfmt.proto import messages


def add_stripped_ops(
    message: messages.MetaGraphDef, definition: Callable[[str], messages.OpDef | None]
) -> None:
    """Add to a meta graph the definitions of those ops, sorted by name, that it uses but does not define."""
    graph = message.graph_def
    functions = {function.signature.name for function in graph.library.function}
    nodes = chain(graph.node, *(function.node_def for function in graph.library.function))
    defined = {op.name: op for op in message.meta_info_def.stripped_op_list.op}
    for name in {node.op for node in nodes} - functions - defined.keys():
        op = definition(name)
        if op is not None:
            defined[name] = op
    del message.meta_info_def.stripped_op_list.op[:]
    message.meta_info_def.stripped_op_list.op.extend(defined[name] for name in sorted(defined))
