"""Savers of meta graphs: added for chosen variables, or removed with the nodes that only they need."""

from __future__ import annotations

from ckptfmt.graph.meta.collection import VARIABLES, Collections, Variable
from ckptfmt.graph.meta.graph_variables import GraphVariables
from ckptfmt.graph.meta.savables import Choice, find_savables
from ckptfmt.graph.meta.saver_nodes import DEFAULT, SaverOptions, add_saver_nodes
from ckptfmt.graph.node import parse_output
from ckptfmt.proto import messages
from ckptfmt.proto.parse import parse_message


def add_saver(
    message: messages.MetaGraphDef,
    file: str,
    variables: Choice | None = None,
    options: SaverOptions = DEFAULT,
) -> bool:
    """Add a Saver to a meta graph, and let it name this one; return False if there is nothing to save.

    ``variables`` are those to save, by default those of the collection ``variables``, or all if it does not
    exist or is empty, and the tables that TensorFlow would save. Raises the errors of
    :func:`~ckptfmt.graph.meta.savables.find_savables`.
    """
    collections = Collections(message.collection_def, file)
    # Collections may have anything in them, and names of variables alone, as those of the oldest files have.
    described = {
        parse_output(item.name).node: item
        for name in sorted(VARIABLES & set(collections))
        for item in collections[name]
        if isinstance(item, Variable)
    }
    known = GraphVariables(message.graph_def, file, described)
    if variables is None:
        items = collections.get("variables", ())
        names = [each.name if isinstance(each, Variable) else each for each in items]
        nodes = [parse_output(name).node for name in names if isinstance(name, str)]
        saved = [node for node in dict.fromkeys(nodes) if node in known.nodes] or list(known.nodes)
        variables = [*saved, *known.exports]
    savables = find_savables(known, variables, file)
    if not savables:
        return False
    message.saver_def.CopyFrom(add_saver_nodes(message.graph_def, savables, options))
    return True


def replace_saver(
    message: messages.MetaGraphDef, file: str, variables: Choice | None, options: SaverOptions
) -> bool:
    """Add a Saver as :func:`add_saver` does, after the one that the meta graph names has been removed.

    It takes its place in the collection ``savers`` too, from which ``tf.estimator`` takes a Saver.
    """
    old = message.saver_def.restore_op_name
    remove_saver(message)
    if not add_saver(message, file, variables, options):
        return False
    savers = message.collection_def["savers"].bytes_list.value if "savers" in message.collection_def else []
    for number, data in enumerate(savers):
        if parse_message(messages.SaverDef, data, file, None).restore_op_name == old:
            savers[number] = message.saver_def.SerializeToString(deterministic=True)
    return True


def remove_saver(message: messages.MetaGraphDef) -> None:
    """Remove the Saver of a meta graph, and those nodes of its scope that nothing else needs."""
    saver = message.saver_def
    ends = {
        parse_output(name).node
        for name in (saver.filename_tensor_name, saver.save_tensor_name, saver.restore_op_name)
    }
    scope = parse_output(saver.filename_tensor_name).node.rpartition("/")[0]
    nodes = message.graph_def.node
    candidates = {
        node.name for node in nodes if node.name in ends or (scope and node.name.startswith(f"{scope}/"))
    }
    inputs = {node.name: [parse_output(text).node for text in node.input] for node in nodes}
    # What others take from the scope stays, with all that it needs in turn.
    waiting = [name for node, names in inputs.items() if node not in candidates for name in names]
    while waiting:
        name = waiting.pop()
        if name in candidates:
            candidates.discard(name)
            waiting += inputs[name]
    kept = [node for node in nodes if node.name not in candidates]
    graph = messages.GraphDef()
    graph.CopyFrom(message.graph_def)
    del graph.node[:]
    graph.node.extend(kept)
    message.graph_def.CopyFrom(graph)
    message.ClearField("saver_def")
