"""Object graphs: the objects whose variables ``tf.train.Checkpoint`` saved, as the checkpoint describes them.

A checkpoint has a graph under one key, a serialized TrackableObjectGraph: nodes that refer to each other by
number, the first of them the root. A node's attributes name the keys under which its values are stored. Each
kind of question about the graph has a module of its own, which knows nodes by number only, so that a graph of
a million objects is walked without making a million Python objects. Here numbers become nodes::

    edges     children and slots of each node      paths     the shortest path to each node
    claims    the keys of each node                walk      the order in which people read a model
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import NamedTuple, overload

from ckptfmt.cached_property import cached_property
from ckptfmt.errors import CkptfmtError, NameNotFoundError
from ckptfmt.limits import DEFAULT, Limits
from ckptfmt.notebook.card import Card, Table
from ckptfmt.notebook.completions import first_keys
from ckptfmt.notebook.page import to_html
from ckptfmt.object_graph.cards import objects_tree
from ckptfmt.object_graph.claims import Claims, find_claims
from ckptfmt.object_graph.edges import Edges, Slot
from ckptfmt.object_graph.keys import OBJECT_GRAPH_KEY, VARIABLE_VALUE, escape, short_name
from ckptfmt.object_graph.paths import Paths
from ckptfmt.object_graph.prune import prune_graph
from ckptfmt.object_graph.walk import walk
from ckptfmt.text.closest import closest_names
from ckptfmt.text.printing import count_text

MAX_COMPLETED = 2000
"""Paths that a notebook completes; each takes as many steps as it is long."""

_MAX_LISTED = 1000
"""Children of a node among which near names are looked for."""


class Attribute(NamedTuple):
    """A value of an object that is stored."""

    name: str
    """``VARIABLE_VALUE`` for a variable's value; others for tables, iterators, Python state."""
    full_name: str
    """Name of the variable in the program, without ``:0``; not unique, empty if it is not a variable."""
    checkpoint_key: str
    """The key that the graph names; if the object stores several tensors, their keys begin with it."""
    keys: tuple[str, ...]
    """Its keys in the index; each key belongs to one attribute only."""


class RegisteredSaver(NamedTuple):
    """The custom code that saved an object, in files of its own."""

    name: str
    """Name that it is registered under."""
    object_name: str
    """Its name for the object."""


class SlotVariable(NamedTuple):
    """A variable that an optimizer keeps for another."""

    optimizer: ObjectNode
    variable: ObjectNode
    """The variable that it belongs to."""
    name: str
    """The optimizer's name for the slot: ``m``, ``v``, ``momentum``."""
    node: ObjectNode
    """The slot variable itself."""


class Visit(NamedTuple):
    """A step of a walk."""

    depth: int
    """Edges from where the walk began."""
    name: str
    """Name of the last edge, not escaped; ``SLOT/VARIABLE`` for a slot variable."""
    node: ObjectNode
    first: bool
    """Whether the node is met for the first time; if not, the walk does not enter it again."""
    slot: SlotVariable | None = None
    """The slot, if the last edge leads from an optimizer to a slot variable."""

    @property
    def part(self) -> str:
        """The name as it is written in a path, escaped."""
        return escape(self.name)


@dataclass(frozen=True, slots=True, eq=False)
class ObjectNode:
    """One object of an object graph."""

    graph: ObjectGraph
    id: int
    """Its number, 0 for the root."""

    @property
    def path(self) -> str | None:
        """The shortest path from the root, as in keys: ``model/layer-1/kernel``, ``""`` for the root.

        For a slot variable, ``VARIABLE/.OPTIMIZER_SLOT/OPTIMIZER/SLOT``. ``"."`` for a child of the root
        whose name is empty. None if no path leads to the node, or only names that a later child has too.
        """
        return self.graph._paths.path_or_slot(self.id)

    @property
    def children(self) -> Mapping[str, ObjectNode]:
        """The objects that it refers to, by its names for them; the last of those that have one name."""
        return {name: ObjectNode(self.graph, child) for name, child in self.graph._edges.of(self.id)}

    @property
    def attributes(self) -> tuple[Attribute, ...]:
        """The stored values of the object."""
        graph = self.graph
        return tuple(
            Attribute(stored.name, stored.full_name, stored.checkpoint_key, graph._keys_of(self.id, at))
            for at, stored in enumerate(graph._edges.message.nodes[self.id].attributes)
        )

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys of all its attributes in the index."""
        return tuple(key for attribute in self.attributes for key in attribute.keys)

    @property
    def full_name(self) -> str | None:
        """Name of the variable in the program, ``dense/kernel``; None if the object is not a variable."""
        return self.graph._edges.full_name(self.id)

    @property
    def slot_variables(self) -> tuple[SlotVariable, ...]:
        """The variables that it keeps for others, if it is an optimizer."""
        return tuple(map(self.graph._slot, self.graph._edges.slots_by_optimizer.get(self.id, ())))

    @property
    def slots(self) -> tuple[SlotVariable, ...]:
        """The variables that optimizers keep for it, if it is a variable."""
        return tuple(map(self.graph._slot, self.graph._edges.slots_by_variable.get(self.id, ())))

    @property
    def slot(self) -> SlotVariable | None:
        """The optimizer and the variable that it belongs to, if it is a slot variable, else None."""
        slot = self.graph._edges.slots_by_node.get(self.id)
        return None if slot is None else self.graph._slot(slot)

    @property
    def registered_saver(self) -> RegisteredSaver | None:
        """The custom code that saved it; None if no such code did."""
        message = self.graph._edges.message.nodes[self.id]
        if not message.HasField("registered_saver"):
            return None
        return RegisteredSaver(message.registered_saver.name, message.registered_saver.object_name)

    @property
    def has_checkpoint_values(self) -> bool | None:
        """Whether it or anything below it has values; None if the writer was too old to say."""
        # A BoolValue, which is a message of its own, so that false and missing differ.
        message = self.graph._edges.message.nodes[self.id]
        return message.has_checkpoint_values.value if message.HasField("has_checkpoint_values") else None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ObjectNode) and other.id == self.id and other.graph is self.graph

    def __hash__(self) -> int:
        return hash((id(self.graph), self.id))

    def __repr__(self) -> str:
        return f"<ObjectNode {self.id} {self.path!r}>"

    def _card(self) -> Card:
        graph = self.graph
        slots = Table(
            "Slot variables",
            ("slot", "variable"),
            lambda: graph._edges.slots_by_optimizer.get(self.id, ()),
            lambda slot: (slot.name, graph.nodes[slot.variable].path),
        )
        keys = Table("Keys", ("key",), lambda: self.keys, lambda key: (key,), is_open=True)
        facts = ("number", str(self.id)), ("full name", lambda: self.full_name)
        below = objects_tree(self.id, graph.edges, graph._note)
        return Card("ObjectNode", self.path or "", facts, [keys, below, slots])

    def _repr_html_(self) -> str:
        return to_html(self._card)


class ObjectGraph:
    """The objects whose variables a checkpoint holds, and their names for each other.

    ``graph["model/dense/kernel"]`` is the node at a path. Iterating gives every :class:`ObjectNode`: breadth
    first from the root, then those that only an optimizer's slots lead to, then the rest.
    """

    def __init__(self, data: bytes, keys: Iterable[str], file: str, *, limits: Limits = DEFAULT) -> None:
        """Decode a serialized TrackableObjectGraph; ``keys`` are those of its checkpoint's index.

        Raises
        ------
        CorruptError
            The bytes are not such a message, it has no node, or a node refers to one that does not exist.
        LimitError
            It has more objects than the limits allow.
        """
        self._file = file
        self._keys = keys
        self._limits = limits
        self._size = len(data)
        self._edges = Edges(data, file)
        limits.check_names("objects", len(self._edges), file=file)
        self._paths = Paths(self._edges)

    # --- nodes -------------------------------------------------------------------------------------------

    @property
    def root(self) -> ObjectNode:
        """The object that was saved; it refers to all others."""
        return ObjectNode(self, 0)

    @property
    def nodes(self) -> Sequence[ObjectNode]:
        """Every node by its number."""
        return _Nodes(self)

    def __len__(self) -> int:
        return len(self._edges)

    def __iter__(self) -> Iterator[ObjectNode]:
        # The parents are in the order in which the search found them: breadth first.
        reached = self._paths.parents
        slots = [node for node in self._edges.slots_by_node if node not in reached]
        rest = sorted(set(range(len(self))).difference(reached, slots))
        for numbers in (reached, slots, rest):
            for number in numbers:
                yield ObjectNode(self, number)

    def __getitem__(self, path: str) -> ObjectNode:
        """Return the node at a path of names from the root, joined by slashes; ``""`` is the root.

        Each name is escaped as in a key, or plain if it has no slash. Any path will do, even one through a
        cycle, and so will that of a slot variable.

        Raises
        ------
        NameNotFoundError
            No node is at that path; ``.close_matches`` has paths to children of the last object found on it.
        """
        if not isinstance(path, str):
            raise TypeError(f"path of an object: got {path!r}, want a str; nodes by number are in .nodes")
        number = self._paths.find(path)
        if number is None:
            raise self._no_node(path)
        return ObjectNode(self, number)

    def _no_node(self, path: str) -> NameNotFoundError:
        what = f"no object at {path!r}"
        close = self.closest_paths(path)
        return NameNotFoundError(path, file=self._file, noun="object", close_matches=close, what=what)

    def closest_paths(self, path: str) -> list[str]:
        """Return paths like one that leads to no object: to children of the last object found on it."""
        _, done = self._paths.follow(path)
        number, _ = self._paths.follow("/".join(done))
        wanted = path.split("/")[len(done) :]
        if not wanted or number is None:
            return []
        names = [escape(name) for name, _ in self._edges.of(number)[:_MAX_LISTED]]
        return ["/".join([*done, *name.split("/")]) for name in closest_names(wanted[0], names)]

    def __contains__(self, path: object) -> bool:
        """Whether a path leads to a node."""
        return isinstance(path, str) and self._paths.find(path) is not None

    def edges(self, number: int) -> list[tuple[str, int]]:
        """Return a node's names for its children, and their numbers, without making nodes of them."""
        return self._edges.of(number)

    def edge_names(self) -> tuple[list[str], list[int]]:
        """Return the names of all edges, node by node, and the index of the first name of each node."""
        return self._edges.names()

    def child_ids(self, number: int) -> Sequence[int]:
        """Return the numbers of the children of a node, in the order of their names."""
        return self._edges.children[number]

    def slot_id(self, optimizer: int, variable: int, name: str) -> int | None:
        """Return the number of the slot variable that an optimizer keeps for a variable under a name."""
        slot = self._edges.slots_by_name.get((variable, optimizer, name))
        return None if slot is None else slot.node

    @property
    def optimizers(self) -> Collection[int]:
        """Numbers of the nodes that keep slot variables for others."""
        return self._edges.slots_by_optimizer.keys()

    @property
    def slot_numbers(self) -> Collection[int]:
        """Numbers of the nodes that are slot variables."""
        return self._edges.slots_by_node.keys()

    def _slot(self, slot: Slot) -> SlotVariable:
        optimizer, variable, node = (
            ObjectNode(self, number) for number in (slot.optimizer, slot.variable, slot.node)
        )
        return SlotVariable(optimizer, variable, slot.name, node)

    def walk(self, start: ObjectNode | None = None) -> Iterator[Visit]:
        """Walk depth first from a node, by default the root, in the order in which people read a model.

        Edges that only list what other objects own (:data:`ckptfmt.object_graph.walk.VIEWS`, and an optimizer
        of Keras 3 under any name) come after the others, so that a variable is first met below the layer it
        belongs to. The slot variables of an optimizer come after its children. A node that is met again gives
        a visit with ``first`` false, and is not entered.
        """
        for depth, name, number, first, slot in walk(
            self._edges, self._paths, 0 if start is None else start.id
        ):
            yield Visit(
                depth, name, ObjectNode(self, number), first, None if slot is None else self._slot(slot)
            )

    # --- keys --------------------------------------------------------------------------------------------

    @cached_property
    def _index(self) -> Sequence[str]:
        """The keys of the index, listed when first needed: objects are found without them."""
        return list(self._keys)

    def list_keys(self) -> None:
        """List the keys of the index while it is open; an error of a damaged one comes when keys are used."""
        with suppress(CkptfmtError, ValueError):
            self._index  # noqa: B018  (a cached property)

    @cached_property
    def _claims(self) -> Claims:
        return find_claims(self._edges.message.nodes, (key for key in self._index if key != OBJECT_GRAPH_KEY))

    @property
    def owners(self) -> Mapping[str, int]:
        """The number of the node of each key; if several nodes claim a key, the first of them."""
        return self._claims.owners

    @property
    def full_names(self) -> Mapping[str, str]:
        """The full name of the variable under each key that has one."""
        return self._claims.full_names

    def _keys_of(self, number: int, attribute: int) -> tuple[str, ...]:
        special = self._claims.special.get((number, attribute))
        if special is not None:
            return special
        return (self._edges.message.nodes[number].attributes[attribute].checkpoint_key,)

    def node_of(self, key: str) -> ObjectNode:
        """Return the node stored under a key of the index; NameNotFoundError if no node is."""
        number = self.owners.get(key)
        if number is None:
            close = closest_names(key, self.owners, ending=VARIABLE_VALUE)
            raise NameNotFoundError(key, file=self._file, noun="key", close_matches=close)
        return ObjectNode(self, number)

    @cached_property
    def nodes_by_key(self) -> Mapping[str, ObjectNode]:
        """The node of each key; if several nodes claim a key, the first of them."""
        return {key: ObjectNode(self, number) for key, number in self.owners.items()}

    @cached_property
    def keys_by_node(self) -> Mapping[int, Sequence[str]]:
        """The keys of each node that has any, by its number."""
        keys: dict[int, list[str]] = {}
        for key, number in self.owners.items():
            keys.setdefault(number, []).append(key)
        return keys

    @cached_property
    def keys_by_full_name(self) -> Mapping[str, tuple[str, ...]]:
        """The keys of the variables of each full name; full names need not be unique."""
        return _keys_by_name(self.full_names)

    @cached_property
    def keys_by_short_name(self) -> Mapping[str, tuple[str, ...]]:
        """The keys of each short name; names that differ only in their escapes have one short name."""
        return _keys_by_name(self.short_names())

    @cached_property
    def unreached(self) -> tuple[str, ...]:
        """The keys of the index that belong to no node, except that of the graph itself."""
        owners = self.owners
        return tuple(key for key in self._index if key not in owners and key != OBJECT_GRAPH_KEY)

    @property
    def absent(self) -> tuple[str, ...]:
        """The checkpoint keys that nodes name and the index does not have."""
        return tuple(self._claims.absent)

    def short_names(self) -> dict[str, str]:
        """Return the short name of each key: see :func:`ckptfmt.object_graph.keys.short_name`."""
        return {key: name for key in self.owners if (name := short_name(key)) is not None}

    def short_names_below(self, start: ObjectNode) -> dict[str, str]:
        """Return, for each key found below a node, the names that lead to it on a :meth:`walk`.

        Raises LimitError if objects are nested deeper, or the names are longer in all, than the limits allow.
        """
        # A small file can hold a chain of objects whose paths would fill memory: depth and length are checked
        # before a name is kept.
        names = {}
        length = 0
        trail: list[str] = []
        for step in walk(self._edges, self._paths, start.id):
            self._limits.check_depth("nesting depth of objects", step.depth, file=self._file)
            # The trail holds the names from the start to this step; those of the branch left before go.
            del trail[max(step.depth - 1, 0) :]
            if step.depth:
                trail.append(step.name)
            # Without a trail, it is the start itself, to which no name leads.
            if step.first and trail:
                for key in self.keys_by_node.get(step.number, ()):
                    path = "/".join(trail)
                    length += len(path)
                    self._limits.check_memory("characters in names", length, self._size, file=self._file)
                    is_variable = key.endswith(VARIABLE_VALUE)
                    # Other values, such as the keys and values of a table, are told apart by the ends of
                    # their keys.
                    names[key] = path if is_variable else f"{path}/{key.rpartition('/')[2]}"
        return names

    # --- writing -----------------------------------------------------------------------------------------

    def encode(self, names: Mapping[str, str | None] | None = None) -> bytes:
        """Return the graph as a serialized TrackableObjectGraph, by default as it is.

        Parameters
        ----------
        names
            The key of each tensor that is selected, by its new name; None for a tensor that comes from
            elsewhere. The graph keeps the objects that have these tensors and the paths to them, slot
            variables included. An object whose new name is the key of another path moves to that path. A
            name that is not a key belongs to no object, because TensorFlow restores none under it.
        """
        if names is None:
            return self._edges.message.SerializeToString(deterministic=True)
        return prune_graph(self._edges, self._paths, self._claims, names)

    def __reduce__(self) -> tuple[object, ...]:
        # With the keys, not the checkpoint: a graph that has listed its keys needs no files.
        make = partial(type(self), limits=self._limits)
        return make, (self._edges.message.SerializeToString(), list(self._index), self._file)

    def __repr__(self) -> str:
        return f"<ObjectGraph of {self._file!r}, {len(self)} nodes>"

    def _note(self, number: int) -> str:
        """Return what a notebook says beside an object: its full name, or how many slots it keeps."""
        slots = self._edges.slots_by_optimizer.get(number)
        return self._edges.full_name(number) or (count_text(len(slots), "slot variable") if slots else "")

    def _card(self) -> Card:
        facts = ("objects", len(self)), ("optimizers", len(self.optimizers) or None)
        return Card("ObjectGraph", self._file, facts, [objects_tree(0, self.edges, self._note)])

    def _repr_html_(self) -> str:
        return to_html(self._card)

    def _ipython_key_completions_(self) -> list[str]:
        paths = (node.path for node in islice(self, MAX_COMPLETED))
        return first_keys(path for path in paths if path)


class _Nodes(Sequence[ObjectNode]):
    """The nodes of a graph by number, made when asked for."""

    def __init__(self, graph: ObjectGraph) -> None:
        self._graph = graph

    @overload
    def __getitem__(self, number: int) -> ObjectNode: ...

    @overload
    def __getitem__(self, number: slice) -> Sequence[ObjectNode]: ...

    def __getitem__(self, number: int | slice) -> ObjectNode | Sequence[ObjectNode]:
        # A range checks the number, and resolves negative ones and slices.
        numbers = range(len(self._graph))[number]
        return (
            ObjectNode(self._graph, numbers)
            if isinstance(numbers, int)
            else [ObjectNode(self._graph, n) for n in numbers]
        )

    def __len__(self) -> int:
        return len(self._graph)


def _keys_by_name(names: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    """Invert a mapping of keys to names."""
    keys: dict[str, tuple[str, ...]] = {}
    # Lists only for names that several keys share: nearly all names have one.
    several: dict[str, list[str]] = {}
    for key, name in names.items():
        if name in keys:
            several.setdefault(name, [*keys[name]]).append(key)
        else:
            keys[name] = (key,)
    return keys | {name: tuple(all_keys) for name, all_keys in several.items()}
