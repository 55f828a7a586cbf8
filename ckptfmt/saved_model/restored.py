"""What the graph of a SavedModel restores from its checkpoint, with dtypes and shapes."""

from __future__ import annotations

from collections.abc import Mapping

from ckptfmt.dtypes import find_dtype
from ckptfmt.graph.attributes import decode_shape
from ckptfmt.graph.function import Functions
from ckptfmt.graph.meta.meta_graph import MetaGraph
from ckptfmt.graph.meta.restore import RestoreGraph
from ckptfmt.graph.meta.saved_variables import SavedVariable
from ckptfmt.graph.meta.variables import saved_sources
from ckptfmt.graph.node import parse_output
from ckptfmt.graph.ops import RESTORE_OPS


def restored_tensors(meta: MetaGraph) -> Mapping[str, SavedVariable]:
    """Return what a meta graph restores, by name in the checkpoint.

    Shapes are those of the variables, so they may be unknown in part; those of other tensors, such as the
    keys of a table, are unknown. Raises CorruptError if the graph contradicts itself, GraphError if nothing
    says which variables are saved, or if names are computed.
    """
    message = meta.message
    if not message.object_graph_def.nodes:
        return meta.saved_variables
    # In TensorFlow 2, the restore op calls functions, which restore tables and the object graph too.
    library, restore = message.graph_def.library, message.saver_def.restore_op_name
    nodes = {node.name: node for node in message.graph_def.node}
    functions = Functions(library, meta.file)
    calls = [nodes[name] for name in (parse_output(restore).node,) if name in nodes]
    reached = functions.reached_from(functions.called_by(calls))
    saved: dict[str, SavedVariable] = {}
    for function in (each for each in library.function if each.signature.name in reached):
        body = RestoreGraph(function.node_def, meta.file, in_function=True)
        for node in (each for each in function.node_def if each.op in RESTORE_OPS):
            saved |= {each.name: SavedVariable(each.dtype, None) for each in body.restored_tensors(node)}
    # The variables are all resources, saved whole.
    sources = saved_sources(message.graph_def, restore, message.collection_def, meta.file)
    for name, source in sources.items():
        attributes = nodes[name].attr
        dtype, shape = find_dtype(attributes["dtype"].type), decode_shape(attributes["shape"].shape)
        saved[source.name] = SavedVariable(dtype, shape)
    return saved
