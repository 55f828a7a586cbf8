"""Edits of signatures: in a SavedModel's meta graph, and among the objects of a TensorFlow 2 model.

A model of TensorFlow 2 has its signatures as tensors of the graph, for sessions and servers, and as functions
among its objects, for ``tf.saved_model.load``. An edit changes both::

    renamed    the key of the signature, and the name that the object ``signatures`` has for the function
    removed    both, with the nodes, the object and the function that nothing else uses
    changed    a new function, made of the nodes between the inputs and the outputs
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain
from typing import Any

from ckptfmt.cached_property import cached_property
from ckptfmt.errors import GraphError, NameConflictError, NameNotFoundError
from ckptfmt.graph.function import Functions
from ckptfmt.graph.meta.signature import tensor_names
from ckptfmt.graph.node import parse_output
from ckptfmt.graph.prune import needed_nodes
from ckptfmt.proto import messages
from ckptfmt.saved_model.signature_function import GraphFunctions
from ckptfmt.text.closest import closest_names

OWN_PREFIX = "__saved_model_"
"""Precedes the names of signatures that TensorFlow keeps for itself."""

_SIGNATURES = "signatures"
"""Name of the object that has the functions of the signatures."""


class SignatureEdits:
    """Changes the signatures of a meta graph in place."""

    def __init__(
        self, meta: messages.MetaGraphDef, objects: Callable[[], Mapping[str, int]], file: str
    ) -> None:
        """Take a meta graph.

        ``objects`` is called when the number of the object that each variable and table is must be known.
        """
        self._meta = meta
        self._find_objects = objects
        self._file = file
        self._has_objects = bool(meta.object_graph_def.nodes)

    @cached_property
    def objects(self) -> Mapping[str, int]:
        """The number of the object that each variable and table of the graph is."""
        return self._find_objects()

    def rename(self, names: Mapping[str, str]) -> None:
        """Rename signatures, old names to new ones; two may be exchanged.

        Raises NameNotFoundError if an old name does not exist, NameConflictError if a new one is taken.
        """
        stored = self._meta.signature_def
        for old, new in names.items():
            self._check_exists(old)
            check_signature_name(new)
        claims: dict[str, list[str]] = {}
        for name in stored:
            claims.setdefault(names.get(name, name), []).append(name)
        twice = {new: old for new, old in claims.items() if len(old) > 1}
        if twice:
            raise NameConflictError("several signatures of one name", names=twice, file=self._file)
        moved = {}
        for old, new in names.items():
            moved[new] = messages.SignatureDef()
            moved[new].CopyFrom(stored[old])
        for old in names:
            del stored[old]
        for new, signature in moved.items():
            stored[new].CopyFrom(signature)
        for edge in self._edges():
            edge.local_name = names.get(edge.local_name, edge.local_name)

    def remove(self, names: Iterable[str]) -> None:
        """Remove signatures; NameNotFoundError if one does not exist."""
        removed = set(names)
        for name in removed:
            self._check_exists(name)
        tensors = [name for each in removed for name in signature_tensors(self._meta.signature_def[each])]
        for name in removed:
            del self._meta.signature_def[name]
        if self._has_objects:
            self._drop_nodes(tensors)
            self._drop_functions(removed)

    def put(self, name: str, signature: messages.SignatureDef) -> None:
        """Add a signature, or replace the one of that name.

        Raises GraphError if a tensor is not in the graph, or if no function can be made for the signature.
        """
        check_signature_name(name)
        if not signature.outputs:
            raise GraphError(f"signature {name!r} has no outputs, want at least one", file=self._file)
        nodes = {node.name for node in self._meta.graph_def.node}
        for tensor in signature_tensors(signature):
            if (node := parse_output(tensor).node) not in nodes:
                what = f"signature {name!r}: not in the graph"
                if self._has_objects:
                    what += ", which has only what signatures take and return; the rest is in functions"
                close = closest_names(node, nodes)
                raise GraphError(what, node=node, file=self._file, close_matches=close)
        known = self._meta.signature_def.get(name)
        if self._has_objects and (known is None or not _computes_same(known, signature)):
            self._set_function(name, signature)
        self._meta.signature_def[name].CopyFrom(signature)

    def _check_exists(self, name: str) -> None:
        check_signature_name(name)
        names = [each for each in self._meta.signature_def if not each.startswith(OWN_PREFIX)]
        if name not in names:
            close = closest_names(name, names) or sorted(names)[:5]
            raise NameNotFoundError(name, file=self._file, noun="signature", close_matches=close)

    # --- objects -----------------------------------------------------------------------------------------

    def _map(self) -> messages.SavedObject | None:
        """Return the object that has the functions of the signatures."""
        objects = self._meta.object_graph_def.nodes
        edges = objects[0].children if objects else ()
        number = next((edge.node_id for edge in edges if edge.local_name == _SIGNATURES), None)
        return objects[number] if number is not None and 0 <= number < len(objects) else None

    def _edges(self) -> Iterable[messages.TrackableObjectGraph.TrackableObject.ObjectReference]:
        """Return what it says about the function of each signature."""
        found = self._map()
        return () if found is None else found.children

    def _set_function(self, name: str, signature: messages.SignatureDef) -> None:
        meta = self._meta
        objects = meta.object_graph_def.nodes
        ops = {op.name: op for op in meta.meta_info_def.stripped_op_list.op}
        functions = GraphFunctions(meta.graph_def, ops, self.objects, self._file)
        kinds = {number: each for number, each in enumerate(objects) if each.WhichOneof("kind") == "variable"}
        handles = {number: each.variable for number, each in kinds.items()}
        made = functions.make(name, signature, handles)
        holder = self._map()
        if holder is None:
            objects[0].children.add(node_id=len(objects), local_name=_SIGNATURES)
            holder = objects.add()
            holder.user_object.identifier = "signature_map"
            holder.user_object.version.producer = holder.user_object.version.min_consumer = 1
        self._drop_functions({name})
        holder.children.add(node_id=len(objects), local_name=name)
        objects.add().CopyFrom(made.object)
        meta.object_graph_def.concrete_functions[made.body.signature.name].CopyFrom(made.concrete)
        meta.graph_def.library.function.add().CopyFrom(made.body)

    def _drop_functions(self, names: Iterable[str]) -> None:
        """Have the objects forget the functions of signatures, and drop what nothing else uses."""
        holder, gone = self._map(), set(names)
        if holder is None:
            return
        dropped = [edge.node_id for edge in holder.children if edge.local_name in gone]
        _keep(holder.children, lambda edge: edge.local_name not in gone)
        objects = self._meta.object_graph_def.nodes
        used = set(_mentioned(self._meta.object_graph_def))
        functions = set()
        for number in dropped:
            if number in used or not 0 <= number < len(objects):
                continue
            functions.add(objects[number].bare_concrete_function.concrete_function_name)
            # The object keeps its place: others, and the checkpoint, know objects by their numbers.
            objects[number].Clear()
            objects[number].user_object.identifier = "_generic_user_object"
            objects[number].user_object.version.producer = 1
            objects[number].user_object.version.min_consumer = 1
        self._drop_unused(functions)

    def _drop_unused(self, names: set[str]) -> None:
        """Remove those functions from the library that no object is, and that nothing calls."""
        meta = self._meta
        for each in meta.object_graph_def.nodes:
            names.discard(each.bare_concrete_function.concrete_function_name)
            names.difference_update(each.function.concrete_functions)
        functions = Functions(meta.graph_def.library, self._file)
        bodies = (function.node_def for function in meta.graph_def.library.function)
        names -= functions.called_by(chain(meta.graph_def.node, *bodies))
        if not names:
            return
        _keep(meta.graph_def.library.function, lambda function: function.signature.name not in names)
        for name in names:
            meta.object_graph_def.concrete_functions.pop(name, None)
            meta.meta_info_def.function_aliases.pop(name, None)

    def _drop_nodes(self, tensors: Iterable[str]) -> None:
        """Remove the nodes that tensors need and nothing else does."""
        meta = self._meta
        nodes = {node.name: node for node in meta.graph_def.node}
        others = (name for name in kept_names(meta) if parse_output(name).node in nodes)
        needed = needed_nodes(nodes, others, self._file)
        unused = needed_nodes(nodes, tensors, self._file) - needed
        _keep(meta.graph_def.node, lambda node: node.name not in unused)


def _keep(items: Any, is_kept: Callable[[Any], bool]) -> None:  # noqa: ANN401  (any repeated field)
    """Remove items from a list of messages, in linear time."""
    kept = [item for item in items if is_kept(item)]
    if len(kept) < len(items):
        del items[:]
        items.extend(kept)


def check_signature_name(name: str) -> None:
    """Raise ValueError for a name that users cannot give a signature, TypeError for what is not a name."""
    if not isinstance(name, str):
        raise TypeError(f"name of a signature: got {name!r}, want a str")
    if not name:
        raise ValueError("name of a signature: got '', want one that is not empty")
    if name.startswith(OWN_PREFIX):
        raise ValueError(f"name of a signature: got {name!r}, which TensorFlow keeps for itself")


def kept_names(meta: messages.MetaGraphDef) -> Iterator[str]:
    """Iterate over the names of nodes and tensors that a meta graph mentions, whether or not they exist."""
    for signature in meta.signature_def.values():
        yield from signature_tensors(signature)
    saver = meta.saver_def
    yield from filter(None, (saver.filename_tensor_name, saver.save_tensor_name, saver.restore_op_name))
    yield from (asset.tensor_info.name for asset in meta.asset_file_def if asset.tensor_info.name)
    for collection in meta.collection_def.values():
        yield from collection.node_list.value
    yield from (each.constant.operation for each in meta.object_graph_def.nodes if each.constant.operation)


def signature_tensors(signature: messages.SignatureDef) -> Iterator[str]:
    """Iterate over the tensors of a signature."""
    for info in chain(signature.inputs.values(), signature.outputs.values()):
        yield from tensor_names(info)


def _computes_same(one: messages.SignatureDef, other: messages.SignatureDef) -> bool:
    """Whether two signatures have the same inputs and outputs; the method may differ."""
    return all(
        dict(mine) == dict(theirs)
        for mine, theirs in ((one.inputs, other.inputs), (one.outputs, other.outputs))
    )


def _mentioned(graph: messages.SavedObjectGraph) -> Iterator[int]:
    """Iterate over the numbers by which objects and functions know other objects."""
    for each in graph.nodes:
        yield from (edge.node_id for edge in chain(each.children, each.dependencies))
        for slot in each.slot_variables:
            yield from (slot.original_variable_node_id, slot.slot_variable_node_id)
        for saveable in each.saveable_objects.values():
            yield from (saveable.save_function, saveable.restore_function)
    for function in graph.concrete_functions.values():
        yield from function.bound_inputs
