"""Bodies: a graph and the functions that it calls, put in the place of their calls.

Each call has a body of its own, so that the bodies of a graph form a tree; its root is the graph itself. Data
flows from body to body: an argument is the input of the call, and an output of the call is what the function
returns. A conditional or a loop keeps its node, which takes what its functions return.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from ckptfmt.graph.calls import CALL_OPS, function_attributes
from ckptfmt.graph.function import Function
from ckptfmt.graph.graph import Graph
from ckptfmt.graph.node import GraphNode, OutputName
from ckptfmt.graph.tensor import GraphTensor, NodeOutputs

_CALLS = frozenset(("PartitionedCall", "StatefulPartitionedCall"))
"""Ops that do nothing but call a function, apart from those named like one."""

MAX_DEPTH = 100
"""Calls within calls that are inlined. Each node of a body is looked at with all calls above it."""


class Body:
    """The nodes of the graph, or of a function in the place of one of its calls."""

    def __init__(
        self,
        nodes: Mapping[str, GraphNode],
        function: Function | None = None,
        parent: Body | None = None,
        call: GraphNode | None = None,
        first_argument: int = 0,
    ) -> None:
        self.nodes = nodes
        self.function = function
        """The function whose body it is; None for the graph."""
        self.parent = parent
        """The body that has the call; None for the graph, and for functions that stand alone."""
        self.call = call
        """The node that calls it."""
        self.depth: int = 0 if parent is None else parent.depth + 1
        """How many calls lead to it."""
        self.inlined: dict[str, Body] = {}
        """The body in the place of each node that only calls a function."""
        self.branches: dict[str, list[Body]] = {}
        """The bodies of the functions of each conditional or loop."""
        self.arguments: Mapping[str, int] = {} if function is None else function._numbers
        """The number of each argument, by its name."""
        self._first_argument = first_argument

    def argument(self, name: str) -> OutputName | None:
        """Return the tensor that the caller passes as an argument; None if it passes none."""
        assert self.call is not None
        inputs, number = self.call.inputs, self._first_argument + self.arguments[name]
        return inputs[number] if number < len(inputs) else None

    def returned(self, output: OutputName) -> OutputName | None:
        """Return the tensor of the body that is an output of its call; None if there is no such output."""
        assert self.function is not None
        returns, outputs = self.function.returns, self.function.outputs
        if output.name in returns and not output.number:
            return returns[output.name]
        return returns.get(outputs[output.number].name) if output.number < len(outputs) else None

    def results(self) -> Iterator[OutputName]:
        """Iterate over the tensors that the function returns, in order."""
        assert self.function is not None
        returns = self.function.returns
        return (returns[argument.name] for argument in self.function.outputs if argument.name in returns)

    def functions_above(self) -> set[str]:
        """Return the names of the functions whose bodies this is in."""
        names: set[str] = set()
        body: Body | None = self
        while body is not None:
            if body.function is not None:
                names.add(body.function.name)
            body = body.parent
        return names


class Source(NamedTuple):
    """A tensor of a body: that of a node, or an argument of a function that stands alone."""

    body: Body
    output: OutputName


class Bodies:
    """The bodies of a graph, and where their tensors come from."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.root = Body(graph)
        self.all = [self.root]
        self._sources: dict[tuple[int, OutputName], Source | None] = {}
        self._outputs: dict[tuple[int, str], NodeOutputs] = {}

    def add_functions(self) -> None:
        """Add the body of every function of the library, on its own."""
        for function in self.graph.functions.values():
            self.all.append(Body(function.nodes, function))

    def inline(self, limit: int) -> bool:
        """Put functions in the place of their calls; return False if that takes more nodes than a limit.

        A function that calls itself is inlined once, and no call more than :data:`MAX_DEPTH` deep.
        """
        functions = dict(self.graph.functions)  # so that what is known of a function is known once
        room = limit - len(self.root.nodes)
        waiting = [self.root]
        while waiting:
            body = waiting.pop()
            if body.depth == MAX_DEPTH:
                continue
            above = body.functions_above()
            for node in body.nodes.values():
                for child in _called(node, body, functions, above):
                    room -= max(len(child.nodes), 1)
                    if room < 0:
                        return False
                    self.all.append(child)
                    waiting.append(child)
        return True

    def source(self, body: Body, output: OutputName) -> Source | None:
        """Return where an input of a node of a body comes from; None if it leads nowhere."""
        passed: list[tuple[int, OutputName]] = []
        place: Source | None = Source(body, output)
        while place is not None:
            key = (id(place.body), place.output)
            if key in self._sources:
                place = self._sources[key]
                break
            self._sources[key] = None  # a circle of calls leads nowhere
            passed.append(key)
            following = self._step(place)
            if following is place:
                break
            place = following
        for key in passed:
            self._sources[key] = place
        return place

    def _step(self, place: Source) -> Source | None:
        """Go through a call that has been inlined, into it or out of it; return the same place at a node."""
        body, output = place
        if output.name is None and output.node in body.arguments:
            if body.parent is None:
                return place
            passed = body.argument(output.node)
            return None if passed is None else Source(body.parent, passed)
        inlined = body.inlined.get(output.node)
        if inlined is not None:
            returned = inlined.returned(output)
            return None if returned is None else Source(inlined, returned)
        return place if output.node in body.nodes else None

    def tensor(self, place: Source) -> GraphTensor | None:
        """Return the tensor at a place; None if its node has no such output."""
        body, output = place
        node = body.nodes.get(output.node)
        if node is None:
            return body.function.tensor(output.node) if body.function is not None else None
        outputs = self._outputs.get((id(body), node.name))
        if outputs is None:
            outputs = NodeOutputs(node, self.graph.functions.op(node.op))
            self._outputs[id(body), node.name] = outputs
        return outputs.find(output.number, output.name)


def _called(
    node: GraphNode, body: Body, functions: Mapping[str, Function], above: set[str]
) -> Iterator[Body]:
    """Iterate over new bodies for the functions that a node calls."""
    call = CALL_OPS.get(node.op)
    if node.op in functions:
        names = [node.op]
    elif call is not None:
        names = [each.name for each in function_attributes(node._outlined, call.functions)]
    else:
        return
    if not set(names).isdisjoint(above):
        return
    for name in names:
        if name in functions:
            function = functions[name]
            child = Body(function.nodes, function, body, node, 0 if call is None else call.first_argument)
            if call is None or node.op in _CALLS:
                body.inlined[node.name] = child
            else:
                body.branches.setdefault(node.name, []).append(child)
            yield child
