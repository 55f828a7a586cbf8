"""Models that only serve: with variables as constants, or without what only training needs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Set
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError

from ckptfmt.arrays.array import Array
from ckptfmt.arrays.encode import to_proto
from ckptfmt.dtypes import find_dtype
from ckptfmt.errors import GraphError, UnsupportedError
from ckptfmt.graph.freeze.freeze import freeze
from ckptfmt.graph.function import Functions
from ckptfmt.graph.meta.asset_path import asset_path
from ckptfmt.graph.meta.collection import VARIABLES, Collections, Variable
from ckptfmt.graph.meta.meta_graph import MetaGraph
from ckptfmt.graph.meta.saver import add_saver
from ckptfmt.graph.meta.table_sources import table_sources
from ckptfmt.graph.meta.variables import Source, saved_sources
from ckptfmt.graph.node import parse_output
from ckptfmt.graph.ops import VARIABLE_OPS
from ckptfmt.graph.prune import needed_nodes
from ckptfmt.graph.tables import Tables
from ckptfmt.proto import messages
from ckptfmt.saved_model.asset_edits import add_asset, clear_assets
from ckptfmt.saved_model.draft import Draft
from ckptfmt.saved_model.init_op import set_init_op
from ckptfmt.saved_model.keras_layers import KERAS_METADATA_FILE
from ckptfmt.saved_model.layout import CHECKPOINT_DIRECTORY, DEBUG
from ckptfmt.saved_model.new_values import stored_tensors
from ckptfmt.saved_model.signature_edits import OWN_PREFIX, signature_tensors

_STRING = find_dtype(messages.DataType.DT_STRING)

_TRAIN_OP = "saved_model_train_op"
"""The collection that names the op which trains."""

_PLANS = frozenset({"cond_context", "while_context", "queue_runners", "savers"})
"""Collections of messages that name nodes, for programs that go on building or training the graph."""


# --- constants ----------------------------------------------------------------------------------------------


def freeze_model(draft: Draft, constants: Mapping[str, Any]) -> None:
    """Make the variables of the selected meta graph constants, and leave the other meta graphs out.

    So become the placeholders that ``constants`` has values for.

    Raises GraphError if it has no signature or one that reads the path of an asset, and the errors of
    :func:`~ckptfmt.graph.freeze.freeze.freeze`.
    """
    meta = draft.meta_graph()
    tensors = list(_fetched(meta.message))
    if not tensors:
        what = "no signature says what the model computes; add one before the variables become constants"
        raise GraphError(what, file=meta.file)
    # Inputs too: an output need not use all of them.
    settled = {parse_output(name).node for name in constants}
    outputs = dict.fromkeys(parse_output(name).node for name in tensors).keys() - settled
    graph = freeze(meta, _Values(draft), sorted(outputs), constants=constants)
    copy = messages.SavedModel(saved_model_schema_version=draft.message.saved_model_schema_version)
    frozen = copy.meta_graphs.add()  # append() serializes what it is given, which fails above 2 GiB
    frozen.meta_info_def.CopyFrom(meta.message.meta_info_def)
    frozen.meta_info_def.ClearField("function_aliases")
    frozen.graph_def.CopyFrom(graph.message)
    for name, signature in meta.message.signature_def.items():
        if not name.startswith(OWN_PREFIX):
            frozen.signature_def[name].CopyFrom(signature)
            for key, info in signature.inputs.items():
                if parse_output(info.name).node in settled:
                    del frozen.signature_def[name].inputs[key]
                    frozen.signature_def[name].defaults.pop(key, None)
    _list_assets(frozen, meta)
    set_init_op(frozen, graph.initializers)
    draft.replace(copy)
    draft.tensors = {}
    draft.left_out |= {CHECKPOINT_DIRECTORY, KERAS_METADATA_FILE, DEBUG}


class _Values(Mapping[str, Array]):
    """The values of a model's variables as its edits have left them.

    Tensors have their names in the checkpoint. A variable that no Saver restores, but functions are bound to,
    has the name of its node, by which it is looked up.
    """

    def __init__(self, draft: Draft) -> None:
        # A variable may hold the path of an asset, which no checkpoint has, so there may be none.
        is_stored = draft.tensors is not None or draft.model.checkpoint is not None
        self._tensors = dict(stored_tensors(draft)) if is_stored else {}
        meta, file = draft.meta, draft.model.file
        restored = saved_sources(meta.graph_def, meta.saver_def.restore_op_name, meta.collection_def, file)
        sources = draft.model.narrowed(draft.model.meta_graph).variables.sources
        for node in sources.keys() - restored.keys() - self._tensors.keys():
            if sources[node].name in self._tensors:
                self._tensors[node] = self._tensors[sources[node].name]

    def __getitem__(self, name: str) -> Array:
        tensor = self._tensors[name]
        return np.asarray(tensor.values[tensor.name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._tensors)

    def __len__(self) -> int:
        return len(self._tensors)


def _list_assets(frozen: messages.MetaGraphDef, meta: MetaGraph) -> None:
    """List the files that a frozen graph reads, so that TensorFlow feeds their paths.

    Freezing makes each path a constant, with the path that the file has in the model that was read.
    """
    clear_assets(frozen)
    known = {}
    for asset in meta.assets:
        path = asset_path(meta.directory or "", asset.filename, meta.file)
        known[path.encode("utf-8", "surrogateescape")] = asset.filename
    # Not those that fill tables, which run while the model is loaded.
    nodes = {node.name: node for node in frozen.graph_def.node}
    running = needed_nodes(nodes, _fetched(frozen), meta.file) if known else ()
    for node in frozen.graph_def.node:
        if node.op != "Const" or node.attr["dtype"].type != _STRING.code or not known:
            continue
        strings = node.attr["value"].tensor.string_val
        if len(strings) == 1 and strings[0] in known:
            filename = known[strings[0]]
            if node.name in running:
                what = (
                    f"a signature reads the path of asset {filename!r}, which TensorFlow tells a model only "
                    "while it loads it, so the path cannot be a constant; remove that signature"
                )
                raise GraphError(what, node=node.name, file=meta.file)
            node.attr["value"].tensor.CopyFrom(to_proto(filename.encode("utf-8", "surrogateescape"), _STRING))
            add_asset(frozen, f"{node.name}:0", filename)


def _fetched(meta: messages.MetaGraphDef) -> Iterator[str]:
    """Iterate over the tensors of the signatures that users call."""
    for name, signature in meta.signature_def.items():
        if not name.startswith(OWN_PREFIX):
            yield from signature_tensors(signature)


# --- without training ---------------------------------------------------------------------------------------


def remove_training(draft: Draft) -> None:
    """Keep only what the signatures of the selected meta graph need, and leave the other meta graphs out.

    Raises
    ------
    UnsupportedError
        It is a model of TensorFlow 2.
    GraphError
        It has no signature.
    CorruptError
        The graph refers to a node that does not exist.
    """
    meta = draft.edit()
    file = draft.model.file
    if meta.object_graph_def.nodes:
        what = (
            "objects of a TensorFlow 2 model hold what trains it, and its functions are bound to them; "
            "to_frozen() leaves only what its signatures need"
        )
        raise UnsupportedError(what, file=file)
    fetched = list(_fetched(meta))
    if not fetched:
        raise GraphError("no signature says what is needed", file=file)
    restore = meta.saver_def.restore_op_name
    sources = saved_sources(meta.graph_def, restore, meta.collection_def, file)
    # The Saver of a table that changes cannot be made anew: it stays, with all that it saves.
    keeps_saver = bool(restore and table_sources(meta.graph_def, Tables(meta.graph_def, file), restore, file))
    roots = [*fetched, *_init_nodes(draft), *(_saver_names(meta) if keeps_saver else ())]
    # Older exports list their files in a collection only.
    paths = {parse_output(asset.tensor).node for asset in draft.meta_graph().assets}
    paths.intersection_update(node.name for node in meta.graph_def.node)
    kept = _needed(meta, [*roots, *paths], file)
    saved = {name: source for name, source in sources.items() if name in kept}
    initial = _init_nodes(draft)
    _prune(meta, kept, file)
    set_init_op(meta, initial)
    if not keeps_saver:
        _renew_saver(meta, saved, file)
    copy = messages.SavedModel(saved_model_schema_version=draft.message.saved_model_schema_version)
    copy.meta_graphs.add().CopyFrom(meta)
    draft.replace(copy)
    if not keeps_saver and (draft.tensors is not None or draft.model.checkpoint is not None):
        names = {source.name for source in saved.values()}
        draft.tensors = {name: new for name, new in stored_tensors(draft).items() if name in names}


def _init_nodes(draft: Draft) -> list[str]:
    """Return the node that TensorFlow runs after loading, if any."""
    init_op = draft.meta_graph().init_op
    return [] if init_op is None else [init_op]


def _saver_names(meta: messages.MetaGraphDef) -> list[str]:
    saver = meta.saver_def
    return [saver.filename_tensor_name, saver.save_tensor_name, saver.restore_op_name]


def _needed(meta: messages.MetaGraphDef, roots: Iterable[str], file: str) -> set[str]:
    """Return the nodes that roots need, and those that collections name for the variables among them."""
    nodes = {node.name: node for node in meta.graph_def.node}
    kept = needed_nodes(nodes, roots, file)
    described: dict[str, list[Variable]] = {}
    for name in VARIABLES & set(meta.collection_def):
        for variable in Collections(meta.collection_def, file).variables(name):
            described.setdefault(parse_output(variable.name).node, []).append(variable)
    waiting = [name for name in kept if name in described]
    while waiting:
        more = {
            parse_output(name).node
            for variable in described.pop(waiting.pop(), ())
            for name in (variable.initializer, variable.snapshot, variable.initial_value)
            if name
        }
        # What a variable is initialised from may be another variable, as for averages.
        fresh = needed_nodes(nodes, (name for name in more if name in nodes), file, kept) - kept
        kept |= fresh
        waiting += [name for name in fresh if name in described]
    return kept


def _prune(meta: messages.MetaGraphDef, kept: Set[str], file: str) -> None:
    """Drop all other nodes, the functions that nothing calls then, and what names any of these."""
    nodes = [node for node in meta.graph_def.node if node.name in kept]
    functions = Functions(meta.graph_def.library, file)
    reached = functions.reached_from(functions.called_by(nodes))
    reached |= functions.reached_from(
        functions.gradients[name] for name in reached & set(functions.gradients)
    )
    graph = messages.GraphDef(node=nodes)
    graph.versions.CopyFrom(meta.graph_def.versions)
    graph.version = meta.graph_def.version
    library = meta.graph_def.library
    graph.library.CopyFrom(library)
    del graph.library.function[:]
    graph.library.function.extend(each for each in library.function if each.signature.name in reached)
    del graph.library.gradient[:]
    graph.library.gradient.extend(each for each in library.gradient if each.function_name in reached)
    gone = {node.name for node in meta.graph_def.node if node.op in VARIABLE_OPS} - kept
    meta.graph_def.CopyFrom(graph)
    for name in [name for name in meta.signature_def if name.startswith(OWN_PREFIX)]:
        del meta.signature_def[name]
    for name in list(meta.collection_def):
        if name in _PLANS or name == _TRAIN_OP:
            del meta.collection_def[name]
        elif meta.collection_def[name].WhichOneof("kind") == "bytes_list":
            values = meta.collection_def[name].bytes_list.value
            values[:] = [each for each in values if _variable_of(each) not in gone]
        elif meta.collection_def[name].WhichOneof("kind") == "node_list":
            names = meta.collection_def[name].node_list.value
            names[:] = [each for each in names if parse_output(each).node in kept]
            if not names:
                del meta.collection_def[name]


def _variable_of(data: bytes) -> str | None:
    """Return the variable that an item of a collection describes, None if it is something else.

    Not only the collections of variables have such items: ``global_step`` does.
    """
    try:
        name = messages.VariableDef.FromString(data).variable_name
    except DecodeError:
        return None
    return parse_output(name).node or None


def _renew_saver(meta: messages.MetaGraphDef, saved: Mapping[str, Source], file: str) -> None:
    """Give a meta graph a Saver for these variables, each with the name that it had in the checkpoint."""
    meta.ClearField("saver_def")
    chosen: dict[str, list[str]] = {}
    for name, source in sorted(saved.items(), key=lambda item: (item[1].name, item[1].region or ())):
        chosen.setdefault(source.name, []).append(name)
    if chosen:
        is_part = {source.name for source in saved.values() if source.region is not None}
        add_saver(
            meta, file, {name: parts if name in is_part else parts[0] for name, parts in chosen.items()}
        )
