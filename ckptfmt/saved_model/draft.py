"""Drafts: SavedModels as edits have changed them so far, in memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

from ckptfmt.cached_property import cached_property
from ckptfmt.checkpoint.slices import TensorSlice
from ckptfmt.dtypes import DType
from ckptfmt.graph.attributes import PartialShape
from ckptfmt.graph.calls import CALL_OPS
from ckptfmt.graph.meta.meta_graph import MetaGraph
from ckptfmt.graph.origins import Origins
from ckptfmt.proto import messages
from ckptfmt.saved_model.variables import ModelVariables, ObjectVariable
from ckptfmt.storage.filesystem import Filesystem
from ckptfmt.tensors.checkpoint import Checkpoint


class Model(Protocol):
    """A model that edits begin from."""

    directory: str
    file: str
    message: messages.SavedModel
    _fs: Filesystem

    meta_graphs: tuple[MetaGraph, ...]

    @property
    def meta_graph(self) -> MetaGraph:
        """The selected meta graph."""

    @property
    def variables(self) -> ModelVariables:
        """The variables of its graph."""

    @property
    def object_variables(self) -> tuple[ObjectVariable, ...]:
        """The variables among its objects."""

    @property
    def checkpoint(self) -> Checkpoint | None:
        """The checkpoint of all meta graphs."""

    def narrowed(self, meta_graph: MetaGraph) -> Model:
        """Return the model with only one of its meta graphs."""


class NewTensor(NamedTuple):
    """A tensor to write."""

    values: Mapping[str, Any]
    """What has its value."""
    name: str
    """Its name there."""
    dtype: DType
    shape: PartialShape
    slices: tuple[TensorSlice, ...] = ()
    """The slices to store it in; empty if it is stored whole."""


class NewFile(NamedTuple):
    """The new content of a file: another file, or bytes."""

    fs: Filesystem | None
    path: str
    data: bytes = b""


class Draft:
    """A model as edits have changed it; what none of them touches stays in its files."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.message = model.message
        """The SavedModel message. Edits change it only after :meth:`edit`."""
        self.tensors: dict[str, NewTensor] | None = None
        """The tensors of the checkpoint to write, by name; None to take its files over."""
        self.assets: dict[str, NewFile] = {}
        """Files of the directory ``assets`` with new contents, by name."""
        self.left_out: set[str] = set()
        """Files and directories that the edits have made stale."""
        self._number: int | None = None

    @property
    def is_edited(self) -> bool:
        """Whether the message has been changed."""
        return self.message is not self.model.message

    @cached_property
    def number(self) -> int:
        """The number of the selected meta graph; GraphError if there are several and no tags were given."""
        selected = self.model.meta_graph
        return next(
            number
            for number, message in enumerate(self.model.message.meta_graphs)
            if message is selected.message
        )

    def replace(self, message: messages.SavedModel) -> None:
        """Let this be the message: a model of the selected meta graph alone."""
        self.message = message

    @property
    def meta(self) -> messages.MetaGraphDef:
        """The selected meta graph, to read."""
        number = self.number  # which also checks that one is selected
        return self.message.meta_graphs[number if len(self.message.meta_graphs) > 1 else 0]

    def edit(self) -> messages.MetaGraphDef:
        """Return the selected meta graph, to change: that of a copy, so that the model stays as it is."""
        if not self.is_edited:
            copy = messages.SavedModel()
            copy.CopyFrom(self.message)
            self.message = copy
        return self.meta

    def meta_graph(self) -> MetaGraph:
        """Return the selected meta graph as the edits have changed it."""
        return MetaGraph(self.meta, self.model.file, self.model.meta_graph.directory)

    def objects(self) -> dict[str, int]:
        """Return the number of the object that each variable and table of the graph is."""
        objects = bound_objects(self.meta, self.model.file)
        # Other variables are known by the tensor that both are restored from.
        keys = {each.key: each.node for each in self.model.object_variables if each.key is not None}
        for name, source in self.model.variables.sources.items():
            if source.region is None and source.name in keys:
                objects.setdefault(name, keys[source.name])
        return objects


def bound_objects(meta: messages.MetaGraphDef, file: str) -> dict[str, int]:
    """Return the number of the object that each variable and table is which the graph passes to a function.

    A function is bound to objects, its last arguments: so a node that a call passes there is that object.
    """
    kinds = [each.WhichOneof("kind") for each in meta.object_graph_def.nodes]
    functions = meta.object_graph_def.concrete_functions
    nodes = Origins(meta.graph_def.node, file)
    objects: dict[str, int] = {}
    for node in meta.graph_def.node:
        name = node.attr["f"].func.name if node.op in CALL_OPS and "f" in node.attr else ""
        bound = functions[name].bound_inputs if name in functions else ()
        first = sum(not text.startswith("^") for text in node.input) - len(bound)
        for index, number in enumerate(bound if first >= 0 else (), first):
            if 0 <= number < len(kinds) and kinds[number] in ("variable", "resource"):
                objects.setdefault(nodes.origin(node, index).node, number)
    return objects


Edit = Callable[[Draft], None]
"""One change of a draft."""
