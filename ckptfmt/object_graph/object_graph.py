"""Object graphs: what ``tf.train.Checkpoint`` says of the objects whose variables it saved.

A checkpoint has it under one key, a serialized TrackableObjectGraph: nodes that refer to each other by
number, the first the root. A node's attributes have the keys under which its values are stored::

    key       escaped(name)/…/escaped(name)/.ATTRIBUTES/escaped(attribute)    names of edges from the root
    slot key  VARIABLE/.OPTIMIZER_SLOT/OPTIMIZER/escaped(slot)/.ATTRIBUTES/VARIABLE_VALUE
    escaped   "." becomes "..", "/" becomes ".S"

A key takes the shortest path, the first found where several are as short; there may be more paths, shared
nodes and cycles. Source: TensorFlow ``checkpoint/graph_view.py``, ``trackable/trackable_utils.py``.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, chain
from typing import NamedTuple, overload

from ckptfmt.errors import CkptfmtError, CorruptError, LimitError, NameNotFoundError
from ckptfmt.object_graph.keys import VARIABLE_VALUE
from ckptfmt.proto import messages
from ckptfmt.proto.parse import parse_message
from ckptfmt.text.closest import closest_names

OBJECT_GRAPH_KEY = "_CHECKPOINTABLE_OBJECT_GRAPH"
"""The key of the object graph itself, a string scalar."""

ATTRIBUTES = "/.ATTRIBUTES/"
SLOT = ".OPTIMIZER_SLOT"

VIEWS = frozenset(
    (
        *("variables", "trainable_variables", "non_trainable_variables", "_variables", "_all_variables"),
        *("_trainable_variables", "_non_trainable_variables", "keras_api", "optimizer", "_optimizer"),
        *("layers", "losses", "metrics", "regularization_losses", "signatures"),
    )
)
"""Edges by which Keras lists what other objects own, and to the optimizer, which lists all it trains."""

KERAS_OPTIMIZER = frozenset(("_iterations", "_trainable_variables"))
"""Edges of an optimizer of Keras 3, by which it is known whatever it is called: it has no slots."""

MAX_NAMES = 1 << 28
"""Characters that the names which walks give to variables may have in all."""

MAX_DEPTH = 256
"""Objects within each other for which short names are made; the names of a deeper chain would fill memory."""

_ESCAPED = re.compile(r"\.([.S])")
_UNESCAPED = {".": ".", "S": "/"}


def escape(name: str) -> str:
    """Return the name of an edge, an attribute or a slot as it stands in a key."""
    return name.replace(".", "..").replace("/", ".S")


def unescape(text: str) -> str:
    """Return what a part of a key was before :func:`escape`; slashes between parts stay."""
    return _ESCAPED.sub(lambda match: _UNESCAPED[match[1]], text) if "." in text else text


class Attribute(NamedTuple):
    """Something of an object that is stored."""

    name: str
    """``VARIABLE_VALUE`` for a variable's value; others for tables, iterators, Python state."""
    full_name: str
    """What the variable was called in the program, without ``:0``; not unique, empty for other things."""
    checkpoint_key: str
    """The key as the graph has it; an object that stores several tensors has keys that begin so."""
    keys: tuple[str, ...]
    """The keys there are in the index, each of which belongs to one attribute only."""


class RegisteredSaver(NamedTuple):
    """The custom code that saved an object, in files of its own."""

    name: str
    """Name it is registered under."""
    object_name: str
    """What it calls the object."""


class SlotVariable(NamedTuple):
    """A variable that an optimizer keeps for another."""

    optimizer: ObjectNode
    variable: ObjectNode
    """The variable it belongs to."""
    name: str
    """What the optimizer calls the slot: ``m``, ``v``, ``momentum``."""
    node: ObjectNode
    """The slot variable itself."""


class Visit(NamedTuple):
    """A step of a walk."""

    depth: int
    """Edges from where the walk began."""
    name: str
    """Name of the last edge, not escaped; of a slot variable ``SLOT/VARIABLE``."""
    node: ObjectNode
    first: bool
    """Whether the node is met for the first time; else the walk does not go below it again."""
    slot: SlotVariable | None = None
    """Where the last edge is no child's: the slot of the optimizer before it."""

    @property
    def part(self) -> str:
        """The name as it stands in a path, escaped."""
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

        Of a slot variable ``VARIABLE/.OPTIMIZER_SLOT/OPTIMIZER/SLOT``; None where nothing leads to the node.
        """
        path = self.graph._path(self.id)
        if path is None and (slot := self.slot) is not None:
            variable, optimizer = (self.graph._path(node.id) for node in (slot.variable, slot.optimizer))
            if variable is not None and optimizer is not None:
                path = f"{variable}/{SLOT}/{optimizer}/{escape(slot.name)}"
        return path

    @property
    def children(self) -> Mapping[str, ObjectNode]:
        """The objects it refers to, by the names it has for them."""
        return {name: ObjectNode(self.graph, child) for name, child in self.graph.edges(self.id)}

    @property
    def attributes(self) -> tuple[Attribute, ...]:
        """What is stored of it."""
        graph = self.graph
        return tuple(
            Attribute(stored.name, stored.full_name, stored.checkpoint_key, graph._keys_of(self.id, at))
            for at, stored in enumerate(graph._message.nodes[self.id].attributes)
        )

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys in the index of all its attributes."""
        return tuple(key for attribute in self.attributes for key in attribute.keys)

    @property
    def full_name(self) -> str | None:
        """What the variable was called in the program, ``dense/kernel``; None where it is no variable."""
        return self.graph._full_name(self.id)

    @property
    def slot_variables(self) -> tuple[SlotVariable, ...]:
        """Of an optimizer: the variables it keeps for others."""
        return tuple(map(self.graph._slot, self.graph._slots_by_optimizer.get(self.id, ())))

    @property
    def slots(self) -> tuple[SlotVariable, ...]:
        """Of a variable: what optimizers keep for it."""
        return tuple(map(self.graph._slot, self.graph._slots_by_variable.get(self.id, ())))

    @property
    def slot(self) -> SlotVariable | None:
        """Of a slot variable: the optimizer and the variable it belongs to."""
        slot = self.graph._slots_by_node.get(self.id)
        return None if slot is None else self.graph._slot(slot)

    @property
    def registered_saver(self) -> RegisteredSaver | None:
        """The custom code that saved it, or None."""
        message = self.graph._message.nodes[self.id]
        if not message.HasField("registered_saver"):
            return None
        return RegisteredSaver(message.registered_saver.name, message.registered_saver.object_name)

    @property
    def has_checkpoint_values(self) -> bool | None:
        """Whether it or anything below it has values, as the writer says; older ones (None) do not."""
        message = self.graph._message.nodes[self.id]
        return message.has_checkpoint_values.value if message.HasField("has_checkpoint_values") else None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ObjectNode) and other.id == self.id and other.graph is self.graph

    def __hash__(self) -> int:
        return hash((id(self.graph), self.id))

    def __repr__(self) -> str:
        return f"<ObjectNode {self.id} {self.path!r}>"


class _SlotIds(NamedTuple):
    optimizer: int
    variable: int
    name: str
    node: int


class _Claims(NamedTuple):
    """Which key of an index belongs to which node of a graph."""

    owners: dict[str, int]
    """Key → number of its node."""
    full_names: dict[str, str]
    """Key → full name, where there is one."""
    special: dict[tuple[int, int], tuple[str, ...]]
    """ObjectNode and place of an attribute → its keys, where these are not just its own."""
    absent: list[str]
    """Checkpoint keys of nodes that are not there."""


class ObjectGraph:
    """The objects whose variables a checkpoint has, and the names they have for each other.

    Iterating gives every :class:`ObjectNode`: breadth first from the root, then those that only an
    optimizer's slots lead to, then the rest. ``graph["model/dense/kernel"]`` is the node at a path.
    """

    def __init__(self, data: bytes, keys: Iterable[str], file: str) -> None:
        """Decode a serialized TrackableObjectGraph beside the ``keys`` of its index.

        Raises
        ------
        CorruptError
            The bytes are no such message, it has no node, or a node refers to one that is not there.
        """
        self._file = file
        self._message = parse_message(messages.TrackableObjectGraph, data, file)
        self._names = keys
        self._slots_by_optimizer: dict[int, list[_SlotIds]] = {}
        self._slots_by_variable: dict[int, list[_SlotIds]] = {}
        self._slots_by_node: dict[int, _SlotIds] = {}
        self._slots_by_name: dict[tuple[int, int, str], _SlotIds] = {}
        self._children_by_name: dict[int, dict[str, int]] = {}  # of the nodes that paths were looked up in
        self._full_names: dict[int, str | None] = {}
        self._child_ids: list[Sequence[int]] = []
        """Numbers of each node's children; names are looked up in the message when they are wanted."""
        nodes = self._message.nodes
        count = len(nodes)
        # Reading all names to find optimizers takes long; few graphs need it.
        self._has_keras_optimizers = all(name.encode() in data for name in KERAS_OPTIMIZER)
        if not count:
            raise self._corrupt("no nodes, want at least the root")
        for number, node in enumerate(nodes):
            # One empty tuple for all leaves: lists of 100,000 would keep the garbage collector busy.
            children = [child.node_id for child in node.children] or ()
            if children and not (min(children) >= 0 and max(children) < count):
                child = next(each for each in node.children if not 0 <= each.node_id < count)
                raise self._corrupt(
                    f"node {number}: child {child.local_name!r} is node {child.node_id} of {count}"
                )
            self._child_ids.append(children)
            for slot in node.slot_variables:
                ids = slot.original_variable_node_id, slot.slot_name, slot.slot_variable_node_id
                self._add_slot(_SlotIds(number, *ids), count)

    def _add_slot(self, slot: _SlotIds, count: int) -> None:
        for node in (slot.variable, slot.node):
            if not 0 <= node < count:
                raise self._corrupt(
                    f"node {slot.optimizer}: slot {slot.name!r} refers to node {node} of {count}"
                )
        self._slots_by_optimizer.setdefault(slot.optimizer, []).append(slot)
        self._slots_by_variable.setdefault(slot.variable, []).append(slot)
        self._slots_by_node.setdefault(slot.node, slot)
        self._slots_by_name.setdefault((slot.variable, slot.optimizer, slot.name), slot)

    def _corrupt(self, what: str) -> CorruptError:
        return CorruptError(f"object graph: {what}", file=self._file)

    # --- nodes -------------------------------------------------------------------------------------------

    @property
    def root(self) -> ObjectNode:
        """The object that was saved; all others hang on it."""
        return ObjectNode(self, 0)

    @property
    def nodes(self) -> Sequence[ObjectNode]:
        """Every node by its number."""
        return _Nodes(self)

    def __len__(self) -> int:
        return len(self._child_ids)

    def __iter__(self) -> Iterator[ObjectNode]:
        reached = self._parents
        slots = [node for node in self._slots_by_node if node not in reached]
        rest = sorted(set(range(len(self))).difference(reached, slots))
        for numbers in (reached, slots, rest):
            for number in numbers:
                yield ObjectNode(self, number)

    def __getitem__(self, path: str) -> ObjectNode:
        """Return the node at a path of names from the root, joined by slashes; ``""`` is the root.

        Each name is escaped as in a key; one that is not is found too where it has no slash. Any path will
        do, also one through a cycle, and the path of a slot variable.

        Raises
        ------
        NameNotFoundError
            No node there; ``.close_matches`` has what the last object found has for names.
        """
        if not isinstance(path, str):
            raise TypeError(f"path of an object: got {path!r}, want a str; nodes by number are in .nodes")
        variable, cut, slot = path.partition(f"/{SLOT}/")
        number, done = self._follow(variable)
        if cut and number is not None:
            owner, slash, name = slot.rpartition("/")
            optimizer, _ = self._follow(owner)
            if slash and optimizer is not None:
                for each in (unescape(name), name):
                    found = self._slots_by_name.get((number, optimizer, each))
                    if found is not None:
                        return ObjectNode(self, found.node)
        elif number is not None:
            return ObjectNode(self, number)
        raise self._no_node(path, done)

    def _follow(self, path: str) -> tuple[int | None, list[str]]:
        """The node at a path, or None; and the names that were found."""
        number = 0
        done: list[str] = []
        for part in path.split("/") if path else ():
            children = self._children_by_name.get(number)
            if children is None:
                children = self._children_by_name[number] = dict(self.edges(number))
            found = children.get(unescape(part), children.get(part))
            if found is None:
                return None, done
            number = found
            done.append(part)
        return number, done

    def _no_node(self, path: str, done: Sequence[str]) -> NameNotFoundError:
        number, _ = self._follow("/".join(done))
        wanted = path.split("/")[len(done) :]
        close = []
        if wanted and number is not None:
            names = [escape(name) for name, _ in self.edges(number)[:1000]]
            close = [
                "/".join([*done, *each.split("/")])
                for each in closest_names(wanted[0], names, ending=VARIABLE_VALUE)
            ]
        what = f"no object at {path!r}"
        return NameNotFoundError(path, file=self._file, noun="object", close_matches=close, what=what)

    def __contains__(self, path: object) -> bool:
        """Whether a path leads to a node."""
        if not isinstance(path, str):
            return False
        try:
            self[path]
        except NameNotFoundError:
            return False
        return True

    def edges(self, number: int) -> list[tuple[str, int]]:
        """Return the names a node has for its children, and their numbers, without making nodes of them."""
        if not self._child_ids[number]:
            return []
        return [(child.local_name, child.node_id) for child in self._message.nodes[number].children]

    def edge_names(self) -> tuple[list[str], list[int]]:
        """Return the names of all edges, node by node, and where among them those of each node begin."""
        nodes = self._message.nodes
        parents = (number for number, children in enumerate(self._child_ids) if children)
        names = [child.local_name for number in parents for child in nodes[number].children]
        return names, [0, *accumulate(map(len, self._child_ids))]

    def child_ids(self, number: int) -> Sequence[int]:
        """Return the numbers of the children of a node, in the order of their names."""
        return self._child_ids[number]

    @cached_property
    def _parents(self) -> dict[int, int]:
        """For each node that a path leads to, breadth first: the node before it on the shortest path."""
        parents = {0: 0}
        queue = [0]
        for number in queue:
            for child in self._child_ids[number]:
                if child not in parents:
                    parents[child] = number
                    queue.append(child)
        return parents

    @cached_property
    def _positions(self) -> dict[int, int]:
        """For each node that a path leads to: its place among the children of the node before it."""
        positions: dict[int, int] = {}
        for number in self._parents:
            for at, child in enumerate(self._child_ids[number]):
                if self._parents[child] == number:
                    positions.setdefault(child, at)
        return positions

    def _last_name(self, number: int) -> str:
        """The name of the last edge of the shortest path; empty for the root, and where no path leads."""
        if not number or number not in self._parents:
            return ""
        above = self._message.nodes[self._parents[number]]
        return str(above.children[self._positions[number]].local_name)

    def _path(self, number: int) -> str | None:
        """The shortest path to a node, escaped; of edges between the same nodes the first."""
        if number not in self._parents:
            return None
        names = []
        while number:
            names.append(escape(self._last_name(number)))
            number = self._parents[number]
        return "/".join(reversed(names))

    def _slot(self, slot: _SlotIds) -> SlotVariable:
        return SlotVariable(
            ObjectNode(self, slot.optimizer),
            ObjectNode(self, slot.variable),
            slot.name,
            ObjectNode(self, slot.node),
        )

    @property
    def optimizers(self) -> Collection[int]:
        """Numbers of the nodes that keep slot variables for others."""
        return self._slots_by_optimizer.keys()

    def walk(self, start: ObjectNode | None = None) -> Iterator[Visit]:
        """Walk depth first from a node, by default the root, for people to read.

        Edges that list what other objects own (:data:`VIEWS`, and an optimizer of Keras 3 by any name) come
        after the others, so that a variable is first met below the layer it belongs to; then, below an
        optimizer, its slot variables. What is met again is told, with ``first`` false, and not entered.
        """
        number = 0 if start is None else start.id
        seen = bytearray(len(self))
        trail: list[Iterator[tuple[str, int, _SlotIds | None]]] = [iter([("", number, None)])]
        while trail:
            for name, number, slot in trail[-1]:
                first = not seen[number]
                yield Visit(len(trail) - 1, name, ObjectNode(self, number), first, slot and self._slot(slot))
                if first:
                    seen[number] = True
                    if self._child_ids[number] or number in self._slots_by_optimizer:
                        trail.append(self._ordered_edges(number))
                        break
            else:
                trail.pop()

    def _ordered_edges(self, number: int) -> Iterator[tuple[str, int, _SlotIds | None]]:
        """Children in the order of a walk, then slot variables."""
        edges = self.edges(number)
        if len(edges) > 1:
            late = self._keras_optimizers
            edges.sort(key=lambda edge: edge[0] in VIEWS or edge[1] in late)
        slots = map(self._slot_edge, self._slots_by_optimizer.get(number, ()))
        return chain(((name, child, None) for name, child in edges), slots)

    @cached_property
    def _keras_optimizers(self) -> Collection[int]:
        if not self._has_keras_optimizers:
            return ()
        nodes = self._message.nodes
        parents = (number for number, children in enumerate(self._child_ids) if children)
        return {
            n for n in parents if KERAS_OPTIMIZER.issubset(child.local_name for child in nodes[n].children)
        }

    def _slot_edge(self, slot: _SlotIds) -> tuple[str, int, _SlotIds]:
        variable = self._full_name(slot.variable) or self._last_name(slot.variable)
        return f"{slot.name}/{variable}", slot.node, slot

    def _full_name(self, number: int) -> str | None:
        """What a node was called as a variable; asked for once for each of its slots."""
        if number not in self._full_names:
            named = [each for each in self._message.nodes[number].attributes if each.full_name]
            values = [each.full_name for each in named if each.name == "VARIABLE_VALUE"]
            first = named[0].full_name if named else None
            self._full_names[number] = values[0] if values else first
        return self._full_names[number]

    # --- keys --------------------------------------------------------------------------------------------

    @cached_property
    def _index(self) -> Sequence[str]:
        """The keys of the index, listed when first needed: objects are found without them."""
        return list(self._names)

    def list_keys(self) -> None:
        """List the keys of the index now, while it is open; where it is damaged, asking for keys says so."""
        with suppress(CkptfmtError, ValueError):
            self._index  # noqa: B018  (a cached property)

    @cached_property
    def _claims(self) -> _Claims:
        """Which key belongs to which node."""
        unowned = dict.fromkeys(self._index)
        unowned.pop(OBJECT_GRAPH_KEY, None)
        claims = [
            (attribute.checkpoint_key, number, attribute.full_name)
            for number, node in enumerate(self._message.nodes)
            for attribute in node.attributes
        ]
        by_key = {key: number for key, number, _ in claims}
        if len(by_key) == len(claims) and by_key.keys() <= unowned.keys():
            # As nearly always: each attribute has one key, and no other has the same.
            return _Claims(by_key, {key: name for key, _, name in claims if name}, {}, [])
        owners: dict[str, int] = {}
        full_names: dict[str, str] = {}
        special: dict[tuple[int, int], tuple[str, ...]] = {}
        inexact: list[tuple[str, int, int]] = []
        for number, node in enumerate(self._message.nodes):
            for at, attribute in enumerate(node.attributes):
                key = attribute.checkpoint_key
                if key in unowned:
                    del unowned[key]
                    owners[key] = number
                    full_name = attribute.full_name
                    if full_name:
                        full_names[key] = full_name
                elif key in owners:
                    special[number, at] = ()
                else:
                    inexact.append((key, number, at))
        if not inexact:
            return _Claims(owners, full_names, special, [])
        # A table or an iterator has one attribute, and keys that begin with its checkpoint key. Each key goes
        # to the longest: what begins with "table_2" does not belong to "table". Sorted, a key comes after all
        # that it begins with, and these are on the stack.
        free = [key for key in unowned if f"{key.rpartition('/')[0]}/".endswith(ATTRIBUTES)]
        taken: dict[str, list[str]] = {key: [] for key, _, _ in inexact}
        stack: list[str] = []
        for key in sorted([*free, *(key for key in taken if ATTRIBUTES in key)]):
            while stack and not key.startswith(stack[-1]):
                stack.pop()
            if key in taken:
                stack.append(key)
            elif stack:
                taken[stack[-1]].append(key)
        absent = [key for key, keys in taken.items() if not keys]
        for key, number, at in inexact:
            special[number, at] = tuple(taken[key])
            owners.update(dict.fromkeys(taken[key], number))
            taken[key] = []  # of several nodes that claim a key the first has it
        return _Claims(owners, full_names, special, absent)

    @property
    def owners(self) -> Mapping[str, int]:
        """The number of the node of each key; where several nodes claim one, the first of them."""
        return self._claims.owners

    @property
    def full_names(self) -> Mapping[str, str]:
        """The full name of the variable under each key that has one."""
        return self._claims.full_names

    def _keys_of(self, number: int, at: int) -> tuple[str, ...]:
        special = self._claims.special.get((number, at))
        if special is not None:
            return special
        return (self._message.nodes[number].attributes[at].checkpoint_key,)

    def node_of(self, key: str) -> ObjectNode:
        """Return the node stored under a key of the index; NameNotFoundError where none is."""
        number = self.owners.get(key)
        if number is None:
            close = closest_names(key, self.owners, ending=VARIABLE_VALUE)
            raise NameNotFoundError(key, file=self._file, noun="key", close_matches=close)
        return ObjectNode(self, number)

    @cached_property
    def nodes_by_key(self) -> Mapping[str, ObjectNode]:
        """The node of each key; where several nodes claim one, the first of them."""
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
        """The keys of the variables of each full name; they need not be unique."""
        names: dict[str, tuple[str, ...]] = {}
        several: dict[str, list[str]] = {}
        for key, name in self.full_names.items():
            if name in names:
                several.setdefault(name, [*names[name]]).append(key)
            else:
                names[name] = (key,)
        return names | {name: tuple(keys) for name, keys in several.items()}

    @cached_property
    def unreached(self) -> tuple[str, ...]:
        """The keys of the index that belong to no node, but for that of the graph itself."""
        owners = self.owners
        return tuple(key for key in self._index if key not in owners and key != OBJECT_GRAPH_KEY)

    @property
    def absent(self) -> tuple[str, ...]:
        """The checkpoint keys that nodes name and the index does not have."""
        return tuple(self._claims.absent)

    def short_names(self) -> dict[str, str]:
        """Return for each key the path in it, unescaped; the attribute behind it if that is no variable's."""
        names = {}
        for key in self.owners:
            path, cut, attribute = key.rpartition(ATTRIBUTES)
            if cut and path:
                tail = "" if key.endswith(VARIABLE_VALUE) else f"/{attribute}"
                names[key] = unescape(path) + tail
        return names

    def short_names_below(self, start: ObjectNode) -> dict[str, str]:
        """Return for each key found below a node the names that lead there on a :meth:`walk`.

        Raises LimitError where objects lie deeper than :data:`MAX_DEPTH`, or names are longer than
        :data:`MAX_NAMES` in all.
        """
        names = {}
        length = 0
        trail: list[str] = []
        for visit in self.walk(start):
            if visit.depth > MAX_DEPTH:
                what = "objects within each other"
                raise LimitError(what, limit=MAX_DEPTH, asked=visit.depth, file=self._file)
            del trail[max(visit.depth - 1, 0) :]
            if visit.depth:
                trail.append(visit.name)
            if visit.first and trail:
                for key in self.keys_by_node.get(visit.node.id, ()):
                    path = "/".join(trail)
                    length += len(path)
                    if length > MAX_NAMES:
                        what = "characters of names"
                        raise LimitError(what, limit=MAX_NAMES, asked=length, file=self._file)
                    is_variable = key.endswith(VARIABLE_VALUE)
                    names[key] = path if is_variable else f"{path}/{key.rpartition('/')[2]}"
        return names

    def __repr__(self) -> str:
        return f"<ObjectGraph of {self._file!r}, {len(self)} nodes>"


class _Nodes(Sequence[ObjectNode]):
    """The nodes of a graph by number, made when asked for."""

    def __init__(self, graph: ObjectGraph) -> None:
        self._graph = graph

    @overload
    def __getitem__(self, number: int) -> ObjectNode: ...

    @overload
    def __getitem__(self, number: slice) -> Sequence[ObjectNode]: ...

    def __getitem__(self, number: int | slice) -> ObjectNode | Sequence[ObjectNode]:
        numbers = range(len(self._graph))[number]
        return (
            ObjectNode(self._graph, numbers)
            if isinstance(numbers, int)
            else [ObjectNode(self._graph, n) for n in numbers]
        )

    def __len__(self) -> int:
        return len(self._graph)
