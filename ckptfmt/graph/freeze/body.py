"""Bodies: the nodes of a graph or of a function, and what takes their outputs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import chain, count

from ckptfmt.graph.node import GraphNode, parse_function_output, parse_output
from ckptfmt.graph.ops import known_ops
from ckptfmt.graph.tensor import NodeOutputs
from ckptfmt.proto import messages


class Body:
    """The nodes of a graph or of a function, which are changed in place while their edges are followed.

    Edges are indexed once, by the name of the node or argument that they come from. Changing a node never
    changes which node an input of it comes from, so the index stays right. Control inputs are not in it: they
    carry no value.
    """

    def __init__(
        self,
        container: messages.GraphDef | messages.FunctionDef,
        functions: Mapping[str, messages.FunctionDef],
    ) -> None:
        """Take a graph or a function; ``functions`` are those of the library, which nodes may call as ops."""
        self.function = container if isinstance(container, messages.FunctionDef) else None
        """The function, None for the body of the graph."""
        self._stored = container.node if isinstance(container, messages.GraphDef) else container.node_def
        self._functions = functions
        self._parse = parse_output if self.function is None else parse_function_output
        self.nodes = {node.name: node for node in self._stored}
        self._consumers: dict[str, list[tuple[str, int]]] = {}
        self._results: dict[str, list[int]] = {}
        for node in self.nodes.values():
            for index, text in enumerate(node.input):
                if not text.startswith("^"):
                    self._consumers.setdefault(self._parse(text).node, []).append((node.name, index))
        self._returned = [] if self.function is None else _returned_tensors(self.function)
        for index, text in enumerate(self._returned):
            self._results.setdefault(self._parse(text).node, []).append(index)

    def consumers(self, name: str, output: int | None = None) -> Iterator[tuple[messages.NodeDef, int]]:
        """Iterate over nodes that take an output of a node or argument, each with the number of its input.

        Without ``output``, those that take any output.
        """
        for consumer, index in self._consumers.get(name, ()):
            node = self.nodes[consumer]
            if output is None or self._output_number(node.input[index]) == output:
                yield node, index

    def results(self, name: str, output: int | None = None) -> Iterator[int]:
        """Iterate over the numbers of what the function returns that are outputs of a node or argument."""
        for index in self._results.get(name, ()):
            if output is None or self._output_number(self._returned[index]) == output:
                yield index

    def _output_number(self, text: str) -> int:
        """Return which of all outputs of its node an input takes, -1 if the op has no such output.

        In a function an input names the output and counts within it: ``node:output:k``.
        """
        output = self._parse(text)
        node = self.nodes.get(output.node)
        if node is None or output.name is None:
            return output.number
        function = self._functions.get(node.op)
        op = function.signature if function is not None else known_ops().get(node.op)
        tensor = NodeOutputs(GraphNode(node, in_function=True), op).find(output.number, output.name)
        return -1 if tensor is None else tensor.number

    def rename_output(self, node: messages.NodeDef, old: str, new: str) -> None:
        """Let inputs in a function name an output of a node as its new op does; a graph has only numbers."""
        if self.function is None:
            return
        prefix = f"{node.name}:{old}:"
        for consumer, index in self._consumers.get(node.name, ()):
            text = self.nodes[consumer].input[index]
            if text.startswith(prefix):
                self.nodes[consumer].input[index] = f"{node.name}:{new}:{text.removeprefix(prefix)}"
        for key, text in self.function.ret.items():
            if text.startswith(prefix):
                self.function.ret[key] = f"{node.name}:{new}:{text.removeprefix(prefix)}"

    def add_constant(self, name: str, tensor: messages.TensorProto) -> str:
        """Add a constant named ``name``, or like it if that is taken, and return the input that takes it."""
        arguments = () if self.function is None else self.function.signature.input_arg
        taken = {*self.nodes, *(argument.name for argument in arguments)}
        candidates = (f"{name}{suffix}" for suffix in chain([""], (f"_{number}" for number in count(1))))
        name = next(candidate for candidate in candidates if candidate not in taken)
        node = self._stored.add(name=name, op="Const")
        node.attr["dtype"].type = tensor.dtype
        node.attr["value"].tensor.CopyFrom(tensor)
        self.nodes[name] = node
        return name if self.function is None else f"{name}:output:0"


def _returned_tensors(function: messages.FunctionDef) -> list[str]:
    """Return what a function returns, in order, as its body writes it; empty if it does not say."""
    names = [argument.name for argument in function.signature.output_arg]
    return [function.ret.get(name, "") for name in names]
