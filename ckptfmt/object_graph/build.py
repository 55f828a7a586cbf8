"""Build: the object graph and the keys of a nested mapping, as ``tf.train.Checkpoint(**nested)`` writes them.

TensorFlow wraps every dict, list and tuple in an object of its own, gives the objects numbers breadth first
from the root, and names a variable by the shortest path to it. The rules, those of
``python/trackable/data_structures.py`` and ``python/checkpoint/trackable_view.py``:

- The children of the root are sorted by name, those of a dict keep their order, those of a list are
  "0", "1", ….
- A named tuple has each element twice, under its name and under its index.
- A tuple without variables, dicts and lists in it, such as ``()``, is not an object, and is left out.
- A variable met twice is one object. A dict or list met twice is two objects, with the same children: both
  wrappers share the container, whose elements have been wrapped once. The elements of a tuple are wrapped
  again for each occurrence, because a tuple cannot be changed.
- ``save_counter``, if there is one, is the last child of the root.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from ckptfmt.errors import GraphError
from ckptfmt.object_graph.keys import VARIABLE_NAME, VARIABLE_VALUE, escape
from ckptfmt.text.quoting import shortened
from ckptfmt.wire.coding import encode_varint

SAVE_COUNTER = "save_counter"
"""The child of the root in which ``tf.train.Checkpoint.save`` counts the checkpoints."""

UNNAMED = "Variable"
"""The full name of a variable that a program did not name."""

_RESERVED = frozenset(("root", "self", "__class__", "__dict__", "__weakref__"))
"""Names that ``tf.train.Checkpoint`` does not take as keyword arguments."""

_SCALARS = (bool, int, float, complex, str, bytes, np.generic)
"""Types of values that are a variable each time they occur: equal ones may be one Python object."""

_HAS_VALUES = b"\x2a\x02\x08\x01"
"""The field ``has_checkpoint_values``, a BoolValue: true."""

_HAS_NO_VALUES = b"\x2a\x00"


StandIn: TypeAlias = "Callable[[str, Mapping[str, Any]], Mapping[str, Any] | None]"
"""Returns what is taken in place of the mapping at a path; None leaves the path out."""


class BuiltGraph(NamedTuple):
    """The parts of an object-based checkpoint."""

    message: bytes
    """The serialized TrackableObjectGraph."""
    values: dict[str, Any]
    """The value under each key, in the order in which TensorFlow writes them."""


def build_graph(
    nested: Mapping[str, Any], *, save_counter: int | None = None, stand_in: StandIn | None = None
) -> BuiltGraph:
    """Return the object graph of a nested mapping, and its values by key.

    Parameters
    ----------
    nested
        Mappings, lists and tuples of arrays, numbers, strings, or whatever has ``__array__`` or
        ``__dlpack__``. An array that occurs several times is one variable with several names. An entry
        ``save_counter``, an integer, is the counter.
    save_counter
        The number of the checkpoint, which ``tf.train.Checkpoint.save`` stores and ``write`` does not.
    stand_in
        Is asked about each mapping that is not a dictionary, such as a checkpoint.

    Raises
    ------
    GraphError
        It has a value, a name or a loop that ``tf.train.Checkpoint`` cannot save; the message says where.
    """
    objects = _Objects(nested, save_counter, stand_in)
    return BuiltGraph(b"".join(_encode_nodes(objects)), objects.values)


class _Objects:
    """The objects of a nested mapping, numbered breadth first."""

    def __init__(self, nested: Mapping[str, Any], save_counter: int | None, stand_in: StandIn | None) -> None:
        self.children: list[Sequence[tuple[str, int]]] = []
        """Names and numbers of the children of each object; none for a variable."""
        self.keys: dict[int, str] = {}
        """The key of each variable, by number."""
        self.values: dict[str, Any] = {}
        self.counter: int | None = None
        """The number of the variable that counts checkpoints."""
        self._stand_in = stand_in
        entries, counter = _root_entries(nested, save_counter)
        # The container of each object, None for a variable; and the parent and the last name on the shortest
        # path. Only paths of variables are joined: those of a million nested containers would fill memory.
        self._containers: list[Any] = [entries]
        self._origins: list[tuple[int, str]] = [(0, "")]
        # By identity. All that has a number is kept here, so that nothing else gets its identity.
        self._variables: dict[int, int] = {}
        self._wrapped: dict[int, Sequence[tuple[str, int]]] = {}
        self._met: set[int] = set()
        self._hollow: dict[int, bool] = {}
        for number, container in enumerate(self._containers):
            self.children.append(self._wrap(number, container))
            if not number and counter is not None:
                self.counter = self._variable(0, SAVE_COUNTER, counter)
                self.children[0] = [*self.children[0], (SAVE_COUNTER, self.counter)]

    def _wrap(self, number: int, container: Any) -> Sequence[tuple[str, int]]:  # noqa: ANN401
        """Return the children of an object, after giving numbers to those that are met for the first time."""
        if container is None:
            return ()
        if isinstance(container, tuple):
            return self._wrap_tuple(number, container)
        children = self._wrapped.get(id(container))
        if children is None:
            if isinstance(container, Mapping):
                items = list(container.items())
            else:
                items = [(str(index), value) for index, value in enumerate(container)]
            numbers = [(name, self._child(number, name, value)) for name, value in items]
            children = [(name, child) for name, child in numbers if child is not None]
            self._wrapped[id(container)] = children
        return children

    def _wrap_tuple(self, number: int, container: tuple[Any, ...]) -> Sequence[tuple[str, int]]:
        indices = [str(index) for index in range(len(container))]
        fields = getattr(container, "_fields", None)
        named = zip(fields or indices, container, strict=True)
        numbers = [self._child(number, name, value) for name, value in named]
        return [
            (name, child)
            for names in (fields or (), indices)
            for name, child in zip(names, numbers, strict=False)
            if child is not None
        ]

    def _child(self, parent: int, name: str, value: Any) -> int | None:  # noqa: ANN401
        """Return the number of a child; None for a tuple that is not an object, and what is left out."""
        if not isinstance(name, str):
            raise _error(f"key {name!r} of the mapping at {self._place(parent)}: want a str")
        known = self._variables.get(id(value))
        if known is not None:
            return known
        if type(value) is not np.ndarray:
            if self._stand_in and isinstance(value, Mapping) and type(value) is not dict:
                value = self._stand_in(self._path(parent, name), value)
                if value is None:
                    return None
            if isinstance(value, (Mapping, list, tuple)):
                return self._container(parent, name, value)
            if isinstance(value, _SCALARS):
                return self._variable(parent, name, value)
            if not (hasattr(value, "__array__") or hasattr(value, "__dlpack__")):
                kind = type(value).__name__
                raise _error(
                    f"{self._place(parent, name)}: got {kind}, want an array, a dict, a list or a tuple"
                )
        number = self._variables[id(value)] = self._variable(parent, name, value)
        return number

    def _container(self, parent: int, name: str, container: Any) -> int | None:  # noqa: ANN401
        if isinstance(container, tuple) and self._is_hollow(container):
            if parent:
                return None
            raise _error(f"{self._place(parent, name)}: got a tuple that holds no variable")
        # Only a container that was met before can hold itself.
        if id(container) in self._met:
            ancestor = parent
            while ancestor:
                if self._containers[ancestor] is container:
                    raise _error(f"{self._place(parent, name)}: the container holds itself")
                ancestor, _ = self._origins[ancestor]
        self._met.add(id(container))
        return self._add(parent, name, container)

    def _is_hollow(self, container: tuple[Any, ...]) -> bool:
        """Return whether a tuple holds nothing but such tuples."""
        todo = [container]
        while todo:
            each = todo[-1]
            inner = [value for value in each if isinstance(value, tuple)]
            unknown = [value for value in inner if id(value) not in self._hollow]
            if len(inner) < len(each):
                self._hollow[id(each)] = False
            elif unknown:
                todo += unknown
                continue
            else:
                self._hollow[id(each)] = all(self._hollow[id(value)] for value in inner)
            todo.pop()
        return self._hollow[id(container)]

    def _variable(self, parent: int, name: str, value: Any) -> int:  # noqa: ANN401
        number = self._add(parent, name, None)
        key = self.keys[number] = self._path(parent, name) + VARIABLE_VALUE
        self.values[key] = value
        return number

    def _add(self, parent: int, name: str, container: Any) -> int:  # noqa: ANN401
        if not name.isascii():
            try:
                name.encode()
            except UnicodeEncodeError:
                raise _error(f"{self._place(parent, name)}: the name cannot be encoded as UTF-8") from None
        self._containers.append(container)
        self._origins.append((parent, name))
        return len(self._containers) - 1

    def _path(self, parent: int, name: str) -> str:
        """Return the path of a child, its names escaped."""
        parts = [escape(name)]
        while parent:
            parent, name = self._origins[parent]
            parts.append(escape(name))
        return "/".join(reversed(parts))

    def _place(self, parent: int, name: str | None = None) -> str:
        """Return how messages name an object."""
        if name is None:
            if not parent:
                return "the top"
            parent, name = self._origins[parent]
        return shortened(ascii(self._path(parent, name)))


def _error(what: str) -> GraphError:
    return GraphError(f"objects to save: {what}")


def _root_entries(nested: Mapping[str, Any], save_counter: int | None) -> tuple[dict[str, Any], Any]:
    """Return the children of the root, sorted by name, and the value of the counter, None without one."""
    if not isinstance(nested, Mapping):
        raise _error(f"got {type(nested).__name__}, want a mapping of names to values")
    for name in nested:
        if not isinstance(name, str):
            raise _error(f"key {name!r} of the mapping at the top: want a str")
        if name in _RESERVED:
            raise _error(f"{name!r}: tf.train.Checkpoint has a use of its own for this name")
    entries = dict(sorted(nested.items()))
    counter = entries.pop(SAVE_COUNTER, None)
    if save_counter is not None:
        counter = save_counter
    if counter is None:
        return entries, None
    number = np.asarray(counter)
    if number.shape or number.dtype.kind not in "iu":
        raise _error(f"{SAVE_COUNTER!r}: got {number.dtype} of shape {number.shape}, want an integer")
    return entries, number.astype(np.int64)


# --- the message -----------------------------------------------------------------------------------------
# Written field by field: protobuf takes three times as long to make a message of each node.


def _encode_nodes(objects: _Objects) -> Iterator[bytes]:
    """Yield each node as a field of the graph."""
    valued = _find_valued(objects)
    name_field = _field(0x0A, VARIABLE_NAME.encode())
    unnamed, counter = (name_field + _field(0x12, name.encode()) for name in (UNNAMED, SAVE_COUNTER))
    for number, children in enumerate(objects.children):
        key = objects.keys.get(number)
        if key is not None:
            names = counter if number == objects.counter else unnamed
            node = _field(0x12, names + _field(0x1A, key.encode())) + _HAS_VALUES
        else:
            edges = [_field(0x0A, _encode_edge(name, child)) for name, child in children]
            node = b"".join([*edges, _HAS_VALUES if number in valued else _HAS_NO_VALUES])
        yield _field(0x0A, node)


def _encode_edge(name: str, child: int) -> bytes:
    # No child is the root, so the number is never 0 and never left out.
    edge = b"\x08" + encode_varint(child)
    return edge + _field(0x12, name.encode()) if name else edge


def _field(tag: int, content: bytes) -> bytes:
    size = len(content)
    return bytes((tag, size)) + content if size < 0x80 else bytes((tag,)) + encode_varint(size) + content


def _find_valued(objects: _Objects) -> set[int]:
    """Return the numbers of the objects that are variables or lead to one."""
    parents: dict[int, list[int]] = {}
    for number, children in enumerate(objects.children):
        for _, child in children:
            parents.setdefault(child, []).append(number)
    valued = set(objects.keys)
    todo = list(valued)
    while todo:
        for parent in parents.get(todo.pop(), ()):
            if parent not in valued:
                valued.add(parent)
                todo.append(parent)
    return valued
