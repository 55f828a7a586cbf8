"""Functions: the bodies in a graph's library, and which calls which.

A node calls a function if its operation is the function's name, or if an attribute names the function, as in
``PartitionedCall``, ``If``, ``While`` and gradients. Functions may call each other in cycles, so walks are
iterative and visit each once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from ckptfmt.cached_property import cached_property
from ckptfmt.dtypes import DType, find_dtype
from ckptfmt.errors import CorruptError, NameNotFoundError, TensorNotFoundError
from ckptfmt.graph.attributes import Attributes, decode_shape
from ckptfmt.graph.cards import arguments_text, functions_table, nodes_table
from ckptfmt.graph.closure import closure
from ckptfmt.graph.node import GraphNode, OutputName, parse_function_output
from ckptfmt.graph.ops import known_ops
from ckptfmt.graph.tensor import GraphTensor, NodeOutputs
from ckptfmt.notebook.card import Card
from ckptfmt.notebook.completions import first_keys
from ckptfmt.notebook.page import to_html
from ckptfmt.proto import messages
from ckptfmt.text.closest import closest_names


class Argument(NamedTuple):
    """A tensor that a function takes or returns."""

    name: str
    """Its name within the function."""
    dtype: DType | None
    """Its dtype; None if an attribute of the function gives it."""


class Function:
    """One function of a library."""

    def __init__(self, message: messages.FunctionDef, library: Functions) -> None:
        self.message = message
        """The FunctionDef."""
        self._library = library

    @property
    def name(self) -> str:
        """Name of the function."""
        return self.message.signature.name

    @cached_property
    def inputs(self) -> tuple[Argument, ...]:
        """The tensors that it takes, in order."""
        return tuple(map(_argument, self.message.signature.input_arg))

    @cached_property
    def outputs(self) -> tuple[Argument, ...]:
        """The tensors that it returns, in order."""
        return tuple(map(_argument, self.message.signature.output_arg))

    @cached_property
    def nodes(self) -> Mapping[str, GraphNode]:
        """The nodes of its body by name, in order; CorruptError if several have one name."""
        file, stored = self._library.file, self.message.node_def
        nodes = {node.name: GraphNode(node, in_function=True, file=file) for node in stored}
        if len(nodes) < len(stored):
            ((name, count),) = Counter(node.name for node in stored).most_common(1)
            raise CorruptError(f"function {self.name!r}: {count} nodes are named {name!r}", file=file)
        return nodes

    def tensor(self, name: str) -> GraphTensor:
        """Return the tensor ``argument``, or ``node:out:k`` of the body.

        Raises TensorNotFoundError if the function has no such tensor.
        """
        output = parse_function_output(name)
        node = self.nodes.get(output.node)
        tensor = None
        if node is not None:
            tensor = NodeOutputs(node, self._library.op(node.op)).find(output.number, output.name)
        elif output.name is None and not output.number:
            tensor = self._arguments.get(output.node)
        if tensor is None:
            raise TensorNotFoundError(name, file=f"function {self.name}")
        return tensor

    @cached_property
    def _numbers(self) -> Mapping[str, int]:
        """The number of each argument, by its name."""
        return {argument.name: number for number, argument in enumerate(self.inputs)}

    @cached_property
    def _arguments(self) -> Mapping[str, GraphTensor]:
        """The tensors of the arguments, by name."""
        # Here and below: a key is looked for before it is read, because reading a missing key of a map adds
        # it to the message. The attribute of the function comes first, as in TensorFlow's
        # function_def_to_graph.py.
        shapes = self.message.attr["_input_shapes"].list.shape if "_input_shapes" in self.message.attr else ()
        tensors: dict[str, GraphTensor] = {}
        for number, argument in enumerate(self.inputs):
            shape = decode_shape(shapes[number]) if number < len(shapes) else None
            own = self.message.arg_attr[number].attr if number in self.message.arg_attr else {}
            if shape is None and "_output_shapes" in own:
                shape = next(map(decode_shape, own["_output_shapes"].list.shape), None)
            tensors.setdefault(argument.name, GraphTensor(argument.name, None, 0, argument.dtype, shape))
        return tensors

    @cached_property
    def returns(self) -> dict[str, OutputName]:
        """For each output, the argument or the tensor of the body that is returned."""
        returned = self.message.ret
        return {
            argument.name: parse_function_output(returned[argument.name])
            for argument in self.message.signature.output_arg
            if argument.name in returned
        }

    @property
    def control_outputs(self) -> dict[str, str]:
        """Nodes that run even if no output needs them, by the names that callers know them by."""
        # Sorted, since maps of protobuf have no order.
        return dict(sorted(self.message.control_ret.items()))

    @property
    def attributes(self) -> Attributes:
        """The attributes of the function by name, as Python values."""
        return Attributes(self.message.attr, owner=f"function {self.name!r}", file=self._library.file)

    def __repr__(self) -> str:
        inputs, outputs = (", ".join(a.name for a in side) for side in (self.inputs, self.outputs))
        return f"<Function {self.name!r} ({inputs}) -> ({outputs}), {len(self.message.node_def)} nodes>"

    def _card(self) -> Card:
        facts = (
            ("takes", lambda: arguments_text(self.inputs)),
            ("returns", lambda: arguments_text(self.outputs)),
            ("nodes", len(self.message.node_def)),
        )
        nodes = nodes_table("Nodes", lambda: self.nodes)
        return Card("Function", self.name, facts, [nodes, self.attributes._table()])

    def _repr_html_(self) -> str:
        return to_html(self._card)


def _argument(message: messages.OpDef.ArgDef) -> Argument:
    return Argument(message.name, find_dtype(message.type) if message.type else None)


class Functions(Mapping[str, Function]):
    """The functions of a library by name, in the order of the file."""

    def __init__(
        self,
        library: messages.FunctionDefLibrary,
        file: str | None,
        ops: Mapping[str, messages.OpDef] | None = None,
    ) -> None:
        """Take a library; ``ops`` are definitions of operations that are not TensorFlow's own.

        A function may occur twice, as in TensorFlow. Raises CorruptError if two of one name differ.
        """
        self.file = file
        """The file it was read from, or None."""
        self._functions = {function.signature.name: function for function in library.function}
        self._ops = ops or {}
        self._known_calls: dict[str, frozenset[str]] = {}
        if len(self._functions) < len(library.function):
            self._check_duplicates(library)
        self.gradients: Mapping[str, str] = {
            gradient.function_name: gradient.gradient_func for gradient in library.gradient
        }
        """Name of a function -> name of the function that is its gradient."""

    def _check_duplicates(self, library: messages.FunctionDefLibrary) -> None:
        """Raise CorruptError if a function differs from another one of its name."""
        for function in library.function:
            kept = self._functions[function.signature.name]
            if function is not kept and _serialized(function) != _serialized(kept):
                what = f"several functions have the same name: {kept.signature.name!r}"
                raise CorruptError(what, file=self.file)

    def __getitem__(self, name: str) -> Function:
        """Return a function; NameNotFoundError, a KeyError, if none has that name."""
        function = self._functions.get(name)
        if function is None:
            close = closest_names(str(name), self._functions)
            raise NameNotFoundError(name, file=self.file or "graph", noun="function", close_matches=close)
        return Function(function, self)

    def __iter__(self) -> Iterator[str]:
        return iter(self._functions)

    def __len__(self) -> int:
        return len(self._functions)

    def __contains__(self, name: object) -> bool:
        return name in self._functions

    def op(self, name: str) -> messages.OpDef | None:
        """Return the definition of an operation, which may be a function; None if it is not known."""
        function = self._functions.get(name)
        # As in TensorFlow's FunctionLibraryDefinition::LookUp, a function hides an op of the same name.
        if function is not None:
            return function.signature
        return self._ops.get(name) or known_ops().get(name)

    @cached_property
    def calls(self) -> Mapping[str, frozenset[str]]:
        """For each function, the names of those that its body calls, even if the library lacks them."""
        return {name: self._calls(name) for name in self._functions}

    def _calls(self, name: str) -> frozenset[str]:
        # Kept by function: a signature may reach a few of many bodies, and several signatures share them.
        called = self._known_calls.get(name)
        if called is None:
            called = self._known_calls[name] = self.called_by(self._functions[name].node_def)
        return called

    def called_by(self, nodes: Iterable[messages.NodeDef]) -> frozenset[str]:
        """Return the names of the functions that nodes call."""
        called: set[str] = set()
        for node in nodes:
            if node.op in self._functions:
                called.add(node.op)
            # Any attribute may name a function: ``f``, ``then_branch``, ``body``, ``branches`` and those of
            # custom ops.
            for value in node.attr.values():
                kind = value.WhichOneof("value")
                if kind == "func":
                    called.add(value.func.name)
                elif kind == "list":
                    called.update(call.name for call in value.list.func)
        return frozenset(called)

    def reached_from(self, names: Iterable[str]) -> frozenset[str]:
        """Return the functions with these names and all that they call, directly or not.

        Names that the library lacks are left out.
        """
        functions = self._functions
        return frozenset(
            closure(
                (name for name in names if name in functions),
                lambda name: (called for called in self._calls(name) if called in functions),
            )
        )

    def __repr__(self) -> str:
        return f"<Functions, {len(self)}>"

    def _repr_html_(self) -> str:
        table = functions_table(lambda: self)._replace(is_open=True)
        return to_html(lambda: Card("Functions", self.file or "", parts=[table]))

    def _ipython_key_completions_(self) -> list[str]:
        return first_keys(self)


def _serialized(function: messages.FunctionDef) -> bytes:
    # Compared as bytes: a message with a NaN is not equal to itself.
    return function.SerializeToString(deterministic=True)
