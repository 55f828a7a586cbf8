"""Meta graphs made of graphs, with the collections, the Saver and the signatures that graphs do not have."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ckptfmt.errors import GraphError, NameNotFoundError
from ckptfmt.graph.graph import Graph
from ckptfmt.graph.meta.collection import Collections, Item, Variable, encode_collection
from ckptfmt.graph.meta.graph_variables import GraphVariables
from ckptfmt.graph.meta.meta_graph import MetaGraph
from ckptfmt.graph.meta.savables import Choice
from ckptfmt.graph.meta.saver import add_saver
from ckptfmt.graph.meta.signature_def import SignatureLike, encode_signature
from ckptfmt.graph.meta.stripped_ops import add_stripped_ops
from ckptfmt.graph.node import parse_output
from ckptfmt.proto import messages
from ckptfmt.text.closest import closest_names


def make_meta_graph(
    graph: Graph | MetaGraph,
    *,
    saver: bool | Choice = True,
    signatures: Mapping[str, SignatureLike] | None = None,
    collections: Mapping[str, Iterable[Item]] | None = None,
    trainable: Iterable[str] | None = None,
    tags: Iterable[str] = (),
) -> MetaGraph:
    """Return a meta graph that TensorFlow imports, trains on, saves and restores.

    ``make_meta_graph(graph).write("model.ckpt-0.meta")`` is what a program needs beside a checkpoint to go on
    without the code that built the graph. The graph that is given stays as it is.

    Parameters
    ----------
    graph
        What :func:`read_graph` or :func:`read_meta_graph` returned. A meta graph keeps what it has.
    saver
        Whether to add the nodes of a Saver if there are variables and no Saver: its ``save`` and ``restore``
        then work. A list of variables or, as in ``Saver({"v1": v})``, a mapping of names in the checkpoint to
        variables adds a Saver for these. A partitioned variable is named as a whole, ``{"w2": "w"}``, or by
        its parts, ``{"w2": ["w/part_0", "w/part_1"]}``. :meth:`MetaGraph.with_saver` has more options.
    signatures
        Signatures by name: ``{"serving_default": {"inputs": {"x": "x:0"}, "outputs": {"y": "y:0"}}}``.
        Dtypes and shapes come from the graph. ``method`` is ``tensorflow/serving/predict`` unless given.
    collections
        Collections by name. Text names nodes and tensors, bytes are messages of any kind. A graph alone gets
        the collections ``variables`` and ``trainable_variables``, with all variables that it initialises.
    trainable
        The variables that training changes; by default, those that an optimizer of the graph changes or, if
        it has none, those numbers that nothing changes.
    tags
        The tags that a SavedModel lists, such as ``serve``.

    Raises
    ------
    NameNotFoundError
        A variable, node or tensor does not exist.
    NameConflictError
        A variable would be saved under two names, or two variables under one.
    GraphError
        The graph does not say the dtype of a tensor, or several nodes have one name.
    """
    if not isinstance(graph, Graph | MetaGraph):
        raise TypeError(f"graph: got {graph!r:.200}, want what read_graph() or read_meta_graph() returned")
    source = graph if isinstance(graph, MetaGraph) else MetaGraph(_message(graph), graph.file or "graph")
    if source.graph.duplicates:
        name, nodes = next(iter(source.graph.duplicates.items()))
        what = f"{len(nodes)} nodes have this name; Graph.without_duplicates() keeps one"
        raise GraphError(what, node=name, file=source.file)
    message = messages.MetaGraphDef()
    message.CopyFrom(source.message)
    wanted = dict.fromkeys([tags] if isinstance(tags, str) else tags)
    message.meta_info_def.tags.extend(tag for tag in wanted if tag not in source.tags)
    if isinstance(graph, Graph) or trainable is not None:
        _add_variables(message, trainable, source.file)
    for name, items in (collections or {}).items():
        message.collection_def[name].CopyFrom(_collection(name, items, source))
    for name, signature in (signatures or {}).items():
        message.signature_def[name].CopyFrom(encode_signature(signature, source.graph, name))
    if saver is True and not message.HasField("saver_def"):
        add_saver(message, source.file)
    elif not isinstance(saver, bool) and not add_saver(message, source.file, saver):
        raise GraphError("no variables to save", file=source.file)
    add_stripped_ops(message, source.graph.functions.op)
    return MetaGraph(message, source.file, source.directory)


def _message(graph: Graph) -> messages.MetaGraphDef:
    message = messages.MetaGraphDef()
    message.graph_def.CopyFrom(graph.message)
    return message


def _add_variables(message: messages.MetaGraphDef, trainable: Iterable[str] | None, file: str) -> None:
    """Add the collections of variables, with those that a program can look up: initialised, and read."""
    known = GraphVariables(message.graph_def, file)
    chosen = None
    if trainable is not None:
        names = [trainable] if isinstance(trainable, str) else trainable
        chosen = {node for name in names for node in known.find(name)}
    described = list(Collections(message.collection_def, file).variables("variables"))
    if "variables" not in message.collection_def:
        described = [known.describe(name) for name in known.nodes]
    complete: list[Variable] = []
    for variable in described:
        is_trained = variable.trainable if chosen is None else parse_output(variable.name).node in chosen
        if variable.initializer and variable.snapshot:
            complete.append(variable._replace(trainable=is_trained))
    trained = [variable for variable in complete if variable.trainable]
    for name, variables in (("variables", complete), ("trainable_variables", trained)):
        if known.nodes:
            message.collection_def[name].CopyFrom(encode_collection(name, variables, file))


def _collection(name: str, items: Iterable[Item], source: MetaGraph) -> messages.CollectionDef:
    items = [items] if isinstance(items, str | bytes) else list(items)
    for item in items:
        # TensorFlow looks all of them up when it imports the graph.
        if isinstance(item, str) and parse_output(item).node not in source.graph:
            close = closest_names(item, source.graph)
            noun = f"node for collection {name!r}"
            raise NameNotFoundError(item, file=source.file, noun=noun, close_matches=close)
    return encode_collection(name, items, source.file)
