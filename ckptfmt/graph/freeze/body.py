"""Bodies: the nodes of a graph or of a function, and which nodes take their outputs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import chain, count

from ckptfmt.graph.node import GraphNode, parse_function_output, parse_output
from ckptfmt.graph.ops import known_ops
from ckptfmt.graph.tensor import NodeOutputs
from ckptfmt.proto import messages


class Body:
    """The nodes of a graph or of a function, which are changed in place while their edges are followed.

    Edges are indexed once, by the name of the node or argument that they come from. The index stays right
    because a change may rename an input (``n:value:0`` to ``n:output:0``) or remove it, but never takes it
    from another node or to another position. Control inputs are not indexed: they carry no value.
    """

    def __init__(
        self,
        container: messages.GraphDef | messages.FunctionDef,
        functions: Mapping[str, messages.FunctionDef],
    ) -> None:
        """Take a graph or a function; ``functions`` are those of the library, which nodes may have as ops."""
        self.function = container if isinstance(container, messages.FunctionDef) else None
        """The function, None for the body of the graph."""
        self._stored = container.node if isinstance(container, messages.GraphDef) else container.node_def
        self._functions = functions
        self._parse = parse_output if self.function is None else parse_function_output
        self.nodes = {node.name: node for node in self._stored}
        arguments = () if self.function is None else self.function.signature.input_arg
        self._taken = {*self.nodes, *(argument.name for argument in arguments)}
        self._consumers: dict[str, list[tuple[str, int]]] = {}
        self._results: dict[str, list[int]] = {}
        self._by_output: dict[str, dict[int, tuple[list[tuple[str, int]], list[int]]]] = {}
        for node in self.nodes.values():
            for index, text in enumerate(node.input):
                if not text.startswith("^"):
                    self._consumers.setdefault(self._parse(text).node, []).append((node.name, index))
        self._returned = [] if self.function is None else _returned_tensors(self.function)
        for index, text in enumerate(self._returned):
            self._results.setdefault(self._parse(text).node, []).append(index)

    def consumers(self, name: str, output: int | None = None) -> Iterator[tuple[messages.NodeDef, int]]:
        """Iterate over the nodes that take an output of a node or argument, each with the input's number.

        Without ``output``, the nodes that take any output of it.
        """
        consumers = self._consumers.get(name, ()) if output is None else self._takers(name, output)[0]
        for consumer, index in consumers:
            node = self.nodes[consumer]
            if index < len(node.input):  # or else it has been replaced and takes this input no more
                yield node, index

    def results(self, name: str, output: int | None = None) -> Iterator[int]:
        """Iterate over the numbers of the function's results that are outputs of a node or argument."""
        yield from self._results.get(name, ()) if output is None else self._takers(name, output)[1]

    def taken_outputs(self, name: str) -> Iterable[int]:
        """Return the numbers of the outputs of a node that a node or a result takes."""
        return self._groups(name).keys()

    def _takers(self, name: str, output: int) -> tuple[list[tuple[str, int]], list[int]]:
        """Return the consumers and the results that take one output of a node."""
        return self._groups(name).get(output, ([], []))

    def _groups(self, name: str) -> dict[int, tuple[list[tuple[str, int]], list[int]]]:
        """Return the consumers and the results that take an output of a node, by the output's number."""
        # Grouped once for all outputs of the node: each variable of a loop asks for its own.
        groups = self._by_output.get(name)
        if groups is None:
            groups = self._by_output[name] = {}
            starts = self._output_starts(name)
            for consumer, index in self._consumers.get(name, ()):
                inputs = self.nodes[consumer].input
                if index < len(inputs):
                    number = self._output_number(inputs[index], starts)
                    groups.setdefault(number, ([], []))[0].append((consumer, index))
            for index in self._results.get(name, ()):
                number = self._output_number(self._returned[index], starts)
                groups.setdefault(number, ([], []))[1].append(index)
        return groups

    def _output_starts(self, name: str) -> dict[str, range]:
        """Return the numbers of the tensors of each output of a node, by the output's name."""
        node = self.nodes.get(name)
        if node is None or self.function is None:
            return {}  # a graph numbers outputs and does not name them
        function = self._functions.get(node.op)
        op = function.signature if function is not None else known_ops().get(node.op)
        return NodeOutputs(GraphNode(node, in_function=True), op).numbers()

    def _output_number(self, text: str, starts: Mapping[str, range]) -> int:
        """Return the number, among all outputs of its node, of the one that an input takes.

        In a function an input names an output of the op and counts within it: ``node:output:k``. -1 if the op
        has no such output.
        """
        output = self._parse(text)
        if output.name is None:
            return output.number
        numbers = starts.get(output.name, range(0))
        return numbers[output.number] if output.number < len(numbers) else -1

    def rename_output(self, node: messages.NodeDef, old: str, new: str) -> None:
        """Rename an output of a node in all inputs and results that take it, after its op has changed."""
        if self.function is None:
            return  # a graph numbers outputs and does not name them
        prefix = f"{node.name}:{old}:"
        for consumer, index in self._consumers.get(node.name, ()):
            text = self.nodes[consumer].input[index]
            if text.startswith(prefix):
                self.nodes[consumer].input[index] = f"{node.name}:{new}:{text.removeprefix(prefix)}"
        for key, text in self.function.ret.items():
            if text.startswith(prefix):
                self.function.ret[key] = f"{node.name}:{new}:{text.removeprefix(prefix)}"

    def add_constant(self, name: str, tensor: messages.TensorProto) -> str:
        """Add a constant and return the input that takes it; a number is appended to a name that is taken."""
        candidates = (f"{name}{suffix}" for suffix in chain([""], (f"_{number}" for number in count(1))))
        name = next(candidate for candidate in candidates if candidate not in self._taken)
        self._taken.add(name)
        node = self._stored.add(name=name, op="Const")
        node.attr["dtype"].type = tensor.dtype
        node.attr["value"].tensor.CopyFrom(tensor)
        self.nodes[name] = node
        return name if self.function is None else f"{name}:output:0"


def _returned_tensors(function: messages.FunctionDef) -> list[str]:
    """Return the results of a function, in order, as its body writes them; empty texts for missing ones."""
    names = [argument.name for argument in function.signature.output_arg]
    return [function.ret.get(name, "") for name in names]
