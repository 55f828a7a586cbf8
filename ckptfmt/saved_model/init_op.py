"""The init op of a meta graph: the node that TensorFlow runs after loading a SavedModel, to fill tables."""

from __future__ import annotations

from collections.abc import Iterable

from ckptfmt.graph.meta.signature import INIT_SIGNATURE
from ckptfmt.graph.node import free_name
from ckptfmt.proto import messages

MAIN_OP = "saved_model_main_op"
"""The collection that names it."""

_LEGACY = "legacy_init_op"
"""The collection of TensorFlow before 1.2."""


def set_init_op(meta: messages.MetaGraphDef, nodes: Iterable[str]) -> None:
    """Have TensorFlow run these nodes after loading; none is fine. Several are run by a new NoOp."""
    names = list(dict.fromkeys(nodes))
    for collection in (MAIN_OP, _LEGACY):
        meta.collection_def.pop(collection, None)
    meta.signature_def.pop(INIT_SIGNATURE, None)
    if not names:
        return
    by_name = {node.name: node for node in meta.graph_def.node}
    name = names[0]
    if len(names) > 1:
        name = free_name("init_all_tables", by_name)
        meta.graph_def.node.add(name=name, op="NoOp", input=[f"^{each}" for each in names])
    # TensorFlow 2 also names it in a signature, which ``tf.saved_model.load`` would list beside the others.
    meta.collection_def[MAIN_OP].node_list.value.append(name)
