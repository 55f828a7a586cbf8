"""Variables of a SavedModel: those of its graph, and those among its objects.

A graph's variables are nodes, and the graph's Saver says which tensor each is restored from. In TensorFlow 2
the model also has objects, saved with their names for each other, and so has its checkpoint: a walk through
both together finds the key of each variable.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import copy as copy_of
from typing import NamedTuple

from ckptfmt.arrays.array import Array
from ckptfmt.cached_property import cached_property
from ckptfmt.dtypes import DType, find_dtype
from ckptfmt.errors import CheckpointNotFoundError, NameNotFoundError
from ckptfmt.graph.attributes import PartialShape, decode_shape
from ckptfmt.graph.calls import CALL_OPS
from ckptfmt.graph.meta.variables import Source, read_source
from ckptfmt.graph.ops import VARIABLE_OPS
from ckptfmt.graph.origins import Origins
from ckptfmt.object_graph.object_graph import ObjectGraph
from ckptfmt.proto import messages
from ckptfmt.tensors.checkpoint import Checkpoint
from ckptfmt.text.closest import closest_names
from ckptfmt.text.quoting import listed


class ModelVariables(Mapping[str, Array]):
    """The variables of a graph, by the names of their nodes, read on access.

    A variable that the checkpoint does not have is not among them, only among the :attr:`sources`. If the
    whole checkpoint does not exist, all are, but none can be read.
    """

    def __init__(
        self,
        sources: Mapping[str, Source],
        checkpoint: Checkpoint | CheckpointNotFoundError | None,
        file: str,
    ) -> None:
        """Take a checkpoint, or the error that says why it is missing; None only if there are no sources."""
        self.sources = sources
        """The tensor of the checkpoint, or the part of one, that each variable is restored from."""
        self._checkpoint = checkpoint
        self._file = file

    @cached_property
    def _names(self) -> Mapping[str, Source]:
        if not isinstance(self._checkpoint, Checkpoint):
            return self.sources
        stored = self._checkpoint.entries
        return {name: source for name, source in self.sources.items() if source.name in stored}

    def __getitem__(self, name: str) -> Array:
        """Return the value of a variable.

        Raises
        ------
        NameNotFoundError
            The graph saves no variable of that name, or the checkpoint does not have it.
        CheckpointNotFoundError
            The checkpoint does not exist, or not the data file that holds the variable.
        CorruptError, UnsupportedError
            The value cannot be read.
        """
        self._check([name])
        return read_source(self._names[name], self._existing())

    def read(
        self, names: Iterable[str] | None = None, *, threads: int | None = None, copy: bool = False
    ) -> dict[str, Array]:
        """Return several variables by name, all by default; see :meth:`Checkpoint.read`.

        Raises the errors of reading one; if some names do not exist, ``.names`` has them and nothing is read.
        """
        if isinstance(names, str):
            raise TypeError(f"names: got the string {names!r}, want a list of names")
        wanted = list(dict.fromkeys(self if names is None else names))
        self._check(wanted)
        if not wanted:
            return {}
        checkpoint = self._existing()
        whole = [self._names[name].name for name in wanted if self._names[name].region is None]
        arrays = checkpoint.read(dict.fromkeys(whole), threads=threads, copy=copy)
        values = {}
        for name in wanted:
            source = self._names[name]
            if source.region is None:
                values[name] = arrays[source.name]
            else:
                part = read_source(source, checkpoint)
                values[name] = part.copy() if copy else part
        return values

    def _check(self, names: Sequence[str]) -> None:
        """Raise NameNotFoundError unless all names exist."""
        absent = [name for name in names if name not in self._names]
        if not absent:
            return
        name = absent[0]
        source = self.sources.get(name)
        if source is None:
            close = closest_names(name, self._names) if len(absent) == 1 else ()
            raise NameNotFoundError(name, file=self._file, noun="variable", close_matches=close, names=absent)
        keys = listed([self.sources[each].name for each in absent if each in self.sources])
        who = f"variable {name!r} has" if len(absent) == 1 else f"{len(absent)} variables have"
        tensors = "tensor" if len(absent) == 1 else "tensors"
        what = f"{who} no value: {self._existing().prefix} has no {tensors} {keys}"
        raise NameNotFoundError(name, file=self._file, noun="variable", names=absent, what=what)

    def _existing(self) -> Checkpoint:
        """Return the checkpoint; CheckpointNotFoundError if it does not exist."""
        if not isinstance(self._checkpoint, Checkpoint):
            assert self._checkpoint is not None
            raise copy_of(self._checkpoint)
        return self._checkpoint

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    @property
    def table_contents(self) -> Mapping[str, Array]:
        """Keys and values of lookup tables, among all that the checkpoint has, by the names in it."""
        return self._checkpoint if isinstance(self._checkpoint, Checkpoint) else {}

    # Comparing would read them all.
    __eq__ = object.__eq__
    __hash__ = object.__hash__

    def __repr__(self) -> str:
        return f"<ModelVariables, {len(self)}>"


class ObjectVariable(NamedTuple):
    """A variable among the objects of a TensorFlow 2 model."""

    node: int
    """Number of the object in the model."""
    name: str
    """Its name, which need not be unique."""
    dtype: DType
    shape: PartialShape
    trainable: bool
    key: str | None
    """Its key in the checkpoint, None if the checkpoint does not have it."""


def object_variables(
    nodes: Sequence[messages.SavedObject], graph: ObjectGraph | None
) -> tuple[ObjectVariable, ...]:
    """Return the variables among the objects of a model, with their keys in the graph of its checkpoint."""
    stored = {} if graph is None else stored_objects(nodes, graph)
    variables = []
    for number, node in enumerate(nodes):
        if node.WhichOneof("kind") != "variable":
            continue
        known = node.variable
        keys = graph.nodes[stored[number]].keys if graph is not None and number in stored else ()
        dtype, shape = find_dtype(known.dtype), decode_shape(known.shape)
        key = keys[0] if keys else None
        variables.append(ObjectVariable(number, known.name, dtype, shape, known.trainable, key))
    return tuple(variables)


def bound_sources(
    graph: messages.GraphDef,
    functions: Mapping[str, messages.SavedConcreteFunction],
    keys: Mapping[int, str],
    file: str,
) -> dict[str, Source]:
    """Return the tensor of the checkpoint for each variable that a node passes to a concrete function.

    A function is bound to objects: they are its last arguments. So a variable of the graph is the object that
    the function is bound to in that place, even if no Saver restores the variable, as in models of Keras 3
    that ``tf.saved_model.save`` wrote. ``keys`` has the key of each variable by the number of its object.

    Raises CorruptError if the graph refers to a node that does not exist.
    """
    nodes = Origins(graph.node, file)
    sources: dict[str, Source] = {}
    for node in graph.node:
        name = node.attr["f"].func.name if node.op in CALL_OPS and "f" in node.attr else ""
        bound = functions[name].bound_inputs if name in functions else ()
        first = sum(not text.startswith("^") for text in node.input) - len(bound)
        for index, number in enumerate(bound if first >= 0 else (), first):
            variable = nodes.node(nodes.origin(node, index).node)
            if number in keys and variable.op in VARIABLE_OPS:
                sources.setdefault(variable.name, Source(keys[number], None))
    return sources


def stored_objects(nodes: Sequence[messages.SavedObject], graph: ObjectGraph) -> dict[int, int]:
    """Return, for each object of a model by its number, the number of the stored object restored to it.

    As in TensorFlow, each object keeps the first stored one that it meets.
    """
    # Both graphs are walked together from their roots, breadth first, along edges of the same names. No edge
    # leads to a slot variable: slots are looked up once a walk is done, when all optimizers and variables
    # that they may belong to have been met, and another walk begins from them. Nothing has checked the
    # message, so each number is compared with the count of objects before it is used.
    stored: dict[int, int] = {}
    # By stored object, since a stored one may be restored to many.
    children: dict[int, dict[str, int]] = {}
    fresh = [(0, 0)] if nodes else []
    while fresh:
        queue = []
        for number, other in fresh:
            if number not in stored and 0 <= number < len(nodes):
                stored[number] = other
                queue.append(number)
        for number in queue:
            other = stored[number]
            names = children.get(other)
            if names is None:
                names = children[other] = dict(graph.edges(other))
            for child in nodes[number].children:
                if (
                    child.local_name in names
                    and child.node_id not in stored
                    and 0 <= child.node_id < len(nodes)
                ):
                    stored[child.node_id] = names[child.local_name]
                    queue.append(child.node_id)
        fresh = [pair for number in queue for pair in _stored_slots(nodes[number], number, stored, graph)]
    return stored


def _stored_slots(
    node: messages.SavedObject, number: int, stored: Mapping[int, int], graph: ObjectGraph
) -> Iterator[tuple[int, int]]:
    """Numbers of the slot variables of an optimizer, and of the stored objects restored to them."""
    for slot in node.slot_variables:
        other = graph.slot_id(stored[number], stored.get(slot.original_variable_node_id, -1), slot.slot_name)
        if other is not None:
            yield slot.slot_variable_node_id, other
