"""Keras objects in a SavedModel: where they are, what they are called, and the names of their weights.

Keras marks the objects that it made, and gives most of them a list of their weights, in the order of
``layer.weights``. The list has no names: a weight is named after the way to it from the layer, in which
each layer counts with its own name, not with that of the edge to it::

    lstm ──cell──> lstm_cell ──kernel──> variable        lstm_cell/kernel

Source: Keras 2 ``saving/legacy/saved_model/save.py`` and ``layer_serialization.py``.
"""

from __future__ import annotations

import re
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from ckptfmt.cached_property import cached_property
from ckptfmt.errors import CorruptError, LimitError
from ckptfmt.limits import Limits
from ckptfmt.proto import messages
from ckptfmt.saved_model.variables import ObjectVariable
from ckptfmt.text.quoting import shortened

ROOT = "root"
"""What Keras calls the model in the paths of its objects."""

_LISTS = frozenset(
    (
        *("variables", "trainable_variables", "non_trainable_variables", "regularization_losses"),
        *("keras_api", "optimizer", "_optimizer", "signatures"),
    )
)
"""Edges to what Keras lists a second time, and to what is not part of a layer."""

_FUNCTION = re.compile(r"__inference_(.+)_layer_call_(?:fn|and_return_conditional_losses)_\d+")
"""Names that Keras gives to the traced functions of a layer."""

_UNNAMED = re.compile(r"Variable(_\d+)?")
"""What TensorFlow calls a variable without a name."""

_BYTES_PER_NAME = 300
"""Memory for the name of a weight besides its characters: the string, its place in dictionaries, a source."""


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a search is: an object, and what the names of weights found from here are made of."""

    number: int
    layer: str
    """Name of the nearest layer."""
    prefix: str
    """The names of the layers below the one where the search began, each with a slash after it."""
    attribute: str
    """Edges from the nearest layer to the object, joined by slashes."""
    path: str
    """Edges from where the search began."""


class KerasObjects:
    """The Keras objects of a model, and their weights."""

    def __init__(
        self,
        graph: messages.SavedObjectGraph,
        variables: Callable[[], Sequence[ObjectVariable]],
        file: str,
        limits: Limits,
    ) -> None:
        self._nodes = graph.nodes
        self._read_variables = variables
        self._file = file
        self._limits = limits
        self._size = graph.ByteSize()
        self._asked = 0
        """Bytes of memory that names and paths have taken so far."""
        self._seconds = 0.0
        """How long finding weights has taken so far."""
        self._found: dict[int, dict[str, ObjectVariable]] = {}
        self.names: dict[int, str] = {}
        """Name of each layer, by the number of its object; filled by whoever reads the descriptions."""

    @cached_property
    def _variables(self) -> Mapping[int, ObjectVariable]:
        return {variable.node: variable for variable in self._read_variables()}

    # --- paths -------------------------------------------------------------------------------------------

    @cached_property
    def _parents(self) -> dict[int, tuple[int, str]]:
        """The parent of each object on the shortest path to it, and the name of the edge."""
        parents: dict[int, tuple[int, str]] = {0: (-1, ROOT)} if self._nodes else {}
        queue = deque(parents)
        while queue:
            number = queue.popleft()
            for child in self._nodes[number].children:
                if child.node_id not in parents and 0 <= child.node_id < len(self._nodes):
                    parents[child.node_id] = number, child.local_name
                    queue.append(child.node_id)
        return parents

    def path(self, number: int) -> str:
        """Return the path of an object, as Keras writes it: ``root.layer-0``; empty if none leads to it."""
        edges: list[str] = []
        while number in self._parents:
            number, name = self._parents[number]
            edges.append(name)
            self._limits.check_depth("objects in objects above a Keras layer", len(edges), file=self._file)
        self._take("paths of Keras layers", sum(map(len, edges)))
        return ".".join(reversed(edges))

    def found_name(self, number: int, path: str) -> str:
        """Return the name of a layer that has no description, from what else the model has of it.

        Its traced functions are named after it, and so is the scope of its variables. A layer with neither is
        known by the name that its parent has for it.
        """
        for child in self._children(number):
            for function in self._nodes[child.node_id].function.concrete_functions[:1]:
                if named := _FUNCTION.fullmatch(function):
                    return named[1]
        for child in self._children(number):
            node = self._nodes[child.node_id]
            scope, _, name = node.variable.name.rpartition("/")
            if scope and name == child.local_name:
                return scope.rpartition("/")[2]
        return path.rpartition(".")[2]

    def _children(
        self, number: int
    ) -> Iterator[messages.TrackableObjectGraph.TrackableObject.ObjectReference]:
        count = len(self._nodes)
        if 0 <= number < count:
            yield from (child for child in self._nodes[number].children if 0 <= child.node_id < count)

    # --- weights -----------------------------------------------------------------------------------------

    def weights(self, number: int) -> Mapping[str, ObjectVariable]:
        """Return the weights of a layer by name, in the order of Keras.

        Raises
        ------
        CorruptError
            The model has no such object.
        LimitError
            The names take too much memory, or finding them too long.
        """
        found = self._found.get(number)
        if found is None:
            if not 0 <= number < len(self._nodes):
                name = shortened(self.names.get(number, ""))
                what = f"layer {name!r}: got object {number}, want one of {len(self._nodes):,}"
                raise CorruptError(what, file=self._file)
            begun = time.monotonic()
            found = self._found[number] = self._name_weights(number)
            self._take_time(time.monotonic() - begun)
        return found

    def _name_weights(self, number: int) -> dict[str, ObjectVariable]:
        """Return the weights of an existing object, each under a name of its own, whatever the file says."""
        listed = self._listed(number)
        if listed is not None and not listed:
            return {}
        places = self._find(number, listed)
        order = places if listed is None else listed
        named = {variable: self._name(variable, places.get(variable)) for variable in order}
        # Layers of the same name, and variables of the same name in one layer: the edges tell them apart.
        counts = Counter(named.values())
        weights: dict[str, ObjectVariable] = {}
        for at, (variable, name) in enumerate(named.items()):
            place = places.get(variable)
            if counts[name] > 1 and place is not None:
                name = place.path
            if name in weights:
                name = f"variables/{at}"
            while name in weights:  # only if someone chose the names to that end
                name += "_"
            weights[name] = self._variables[variable]
        self._take("names of weights of Keras layers", sum(len(name) + _BYTES_PER_NAME for name in weights))
        return weights

    def _listed(self, number: int) -> list[int] | None:
        """Return the variables that Keras lists for a layer; None if it has no list."""
        for child in self._children(number):
            if child.local_name == "variables":
                members = (member.node_id for member in self._children(child.node_id))
                return list(dict.fromkeys(member for member in members if member in self._variables))
        return None

    def _find(self, start: int, wanted: Sequence[int] | None) -> dict[int, _Place]:
        """Return where variables are below a layer, by the shortest path; all of them if ``wanted`` is None.

        The search ends with the last of those that are wanted. Most layers hold their weights themselves, so
        it rarely goes further than the layer, although objects may lead back to the whole model.
        """
        missing = None if wanted is None else set(wanted)
        queue = deque([_Place(start, self.names.get(start, ""), "", "", "")])
        met = {start}
        places: dict[int, _Place] = {}
        while queue and (missing is None or missing):
            place = queue.popleft()
            for child in self._children(place.number):
                if child.node_id in met or child.local_name in _LISTS:
                    continue
                met.add(child.node_id)
                below = self._below(place, child.node_id, child.local_name)
                if child.node_id not in self._variables:
                    queue.append(below)
                elif missing is None or child.node_id in missing:
                    places[child.node_id] = below
                    if missing is not None:
                        missing.discard(child.node_id)
        return places

    def _below(self, place: _Place, number: int, edge: str) -> _Place:
        path = f"{place.path}/{edge}" if place.path else edge
        self._take("names of weights of Keras layers", len(path))
        name = self.names.get(number)
        if name is not None:
            return _Place(number, name, f"{place.prefix}{name}/", "", path)
        attribute = f"{place.attribute}/{edge}" if place.attribute else edge
        return _Place(number, place.layer, place.prefix, attribute, path)

    def _name(self, number: int, place: _Place | None) -> str:
        """Return the name of a variable below a layer.

        That is the name that its nearest layer gave to it, as in ``layer.weights``. If the variable has none,
        or is not in the scope of that layer, it is the attribute of the layer.
        """
        full_name = self._variables[number].name
        if place is None:
            return full_name
        _, scope, own = f"/{full_name}".rpartition(f"/{place.layer}/")
        if not scope and place.attribute.startswith("_") and "/" not in full_name:
            own = full_name  # in no scope at all, and the attribute is private
        elif not scope or re.fullmatch(r"_\d+", own.removeprefix(place.attribute)):
            # In a graph of TensorFlow 1, names are numbered until they are unique: kernel_1.
            own = place.attribute
        is_named = own and not _UNNAMED.fullmatch(own)
        return place.prefix + (own if is_named else place.attribute)

    # --- bounds ------------------------------------------------------------------------------------------

    def _take(self, what: str, nbytes: int) -> None:
        """Count memory. Layers share objects, so that a small file can have many names."""
        self._asked += nbytes
        self._limits.check_memory(what, self._asked, self._size, file=self._file)

    def _take_time(self, seconds: float) -> None:
        """Count time. Each layer takes linear time, but all may lead to the same objects."""
        self._seconds += seconds
        limit = self._limits.max_seconds
        if limit is not None and self._seconds > limit:
            asked = int(self._seconds) + 1
            what = "seconds to find the weights of Keras layers"
            raise LimitError(what, limit=int(limit), asked=asked, field="max_seconds", file=self._file)
