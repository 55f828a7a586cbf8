"""Traces: the tensors between the layers of a model, as the functions that compute its outputs show them.

A layer is a scope in the names of nodes: ``model/dense/MatMul``, or ``MatMul`` in a function that the node
``dense/StatefulPartitionedCall`` calls. Only what depends on what is fed is followed, so that the variables
are left out, and nodes that pass on a tensor are passed.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Set
from typing import NamedTuple

from ckptfmt.errors import CkptfmtError
from ckptfmt.graph.closure import closure
from ckptfmt.graph.graph import Graph
from ckptfmt.graph.node import GraphNode, OutputName
from ckptfmt.graph.outputs import PASSING, PLACEHOLDERS
from ckptfmt.pictures.bodies import Bodies, Body, Source
from ckptfmt.pictures.picture import tensor_text

MAX_NODES = 200_000
"""The most nodes, with functions inlined, that are followed."""

_MAX_LONG_NAMES = 1_000
"""Names of layers with slashes that are looked for; each is compared with each node."""

_Key = tuple[int, str]


class Traced(NamedTuple):
    """The tensors between layers, as the nodes that compute the outputs of a graph say."""

    between: Mapping[tuple[Hashable, Hashable], str]
    """Type of the tensor from one layer to another; either may be a node that belongs to no layer."""
    leaving: Mapping[Hashable, str]
    """Type of a tensor that a layer returns."""
    nodes: Mapping[Hashable, GraphNode]
    """The nodes that belong to no layer, by the keys of their boxes."""


def trace(graph: Graph, outputs: Iterable[str], names: Set[str] | None) -> Traced:
    """Follow what is fed to a graph to some outputs; return nothing if that takes too many nodes.

    Without names of layers, the two outermost scopes of a node are the name of its layer, since a model calls
    its layers within a scope of its own.
    """
    bodies = Bodies(graph)
    try:
        wanted = {node.name for node in graph.ancestors(outputs)}
        is_small = bodies.inline(MAX_NODES)
    except CkptfmtError:
        is_small = False  # the graph is damaged, or has several nodes of one name
    return _Tracer(bodies, wanted, names).trace() if is_small else Traced({}, {}, {})


class _Tracer:
    def __init__(self, bodies: Bodies, wanted: Set[str], names: Set[str] | None) -> None:
        self._bodies = bodies
        self._names = names
        # A name with slashes is not one scope, but several.
        long_names = [name for name in names or () if "/" in name][:_MAX_LONG_NAMES]
        self._long_names = {f"/{name}/": name for name in long_names}
        self._scopes: dict[int, str | None] = {id(bodies.root): None}
        self._inputs: dict[_Key, list[Source]] = {}
        self._nodes: dict[_Key, tuple[Body, GraphNode]] = {}
        self._passed: dict[_Key, Source | None] = {}
        for body in bodies.all:
            self._add(body, wanted)

    def _add(self, body: Body, wanted: Set[str]) -> None:
        """Add the nodes of a body, if outputs need it."""
        if body.parent is not None:
            assert body.call is not None
            is_needed = id(body.parent) in self._scopes and (
                body.parent is not self._bodies.root or body.call.name in wanted
            )
            if not is_needed or body.call.name not in body.parent.inlined:
                return  # what happens in a conditional or a loop stays within its node
            self._scopes[id(body)] = self._scopes[id(body.parent)] or self._layer_in(body.call.name)
        for node in body.nodes.values():
            if node.name in body.inlined or (body is self._bodies.root and node.name not in wanted):
                continue
            sources = (self._bodies.source(body, output) for output in node.inputs)
            key = id(body), node.name
            self._nodes[key] = body, node
            self._inputs[key] = [source for source in sources if source is not None]

    def _layer_in(self, name: str) -> str | None:
        """Return the layer whose scope a name is in; the outermost if there are several."""
        if self._names is None:
            scopes = name.split("/")[:-1]
            return "/".join(scopes[:2]) if len(scopes) > 1 else None
        if self._long_names:
            within = f"/{name}/"
            found = next((each for each in self._long_names if each in within), None)
            if found is not None:
                return self._long_names[found]
        return next((part for part in name.split("/") if part in self._names), None)

    def trace(self) -> Traced:
        takers: dict[_Key, list[_Key]] = {}
        for key, sources in self._inputs.items():
            for source in sources:
                takers.setdefault(_key(source), []).append(key)
        placeholders = [key for key, (_, node) in self._nodes.items() if node.op in PLACEHOLDERS]
        fed = closure(placeholders, lambda key: takers.get(key, ()))
        boxes = {key: self._box(key) for key in self._nodes if key in fed}
        between: dict[tuple[Hashable, Hashable], str] = {}
        leaving: dict[Hashable, str] = {
            key: self._type(key, 0, None) for key in placeholders if boxes[key] == key
        }
        for key, target in boxes.items():
            for source in self._inputs[key]:
                passed = self._before(source, boxes)
                origin = None if passed is None else boxes[_key(passed)]
                if passed is None or origin is None or origin == target:
                    continue
                kind = self._type(_key(passed), passed.output.number, passed.output.name)
                if not leaving.get(origin):
                    leaving[origin] = kind
                if target is not None:
                    between.setdefault((origin, target), kind)
        # A node that nothing takes is an output.
        for key, box in boxes.items():
            if box is not None and key not in takers and not leaving.get(box):
                leaving[box] = self._type(key, 0, None)
        own: dict[Hashable, GraphNode] = {
            key: self._nodes[key][1] for key, box in boxes.items() if box == key
        }
        return Traced(between, leaving, own)

    def _box(self, key: _Key) -> Hashable | None:
        """Return the layer that a node belongs to, or its own key; None if it only passes on a tensor."""
        body, node = self._nodes[key]
        layer = self._scopes[id(body)] or self._layer_in(node.name)
        if layer is not None:
            return layer
        return None if node.op in PASSING else key

    def _before(self, source: Source, boxes: Mapping[_Key, Hashable | None]) -> Source | None:
        """Return where a tensor comes from, before the nodes that pass it on; None if it is not fed."""
        passed: list[_Key] = []
        place: Source | None = source
        while place is not None:
            key = _key(place)
            if key in self._passed:
                place = self._passed[key]
                break
            if key not in boxes:
                place = None
            elif boxes[key] is not None:
                break
            else:
                self._passed[key] = None  # a circle of nodes is not fed
                passed.append(key)
                place = next(iter(self._inputs[key]), None)
        for key in passed:
            self._passed[key] = place
        return place

    def _type(self, key: _Key, number: int, name: str | None) -> str:
        body, node = self._nodes[key]
        try:
            tensor = self._bodies.tensor(Source(body, OutputName(node.name, number, name)))
        except CkptfmtError:
            return ""
        return tensor_text(tensor)


def _key(source: Source) -> _Key:
    return id(source.body), source.output.node
