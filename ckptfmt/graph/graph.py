"""Graphs: the nodes of a GraphDef by name, and how they are connected.

Walks are iterative and visit each node once, since graphs may have loops and be as deep as they are long.

A graph keeps its message as an :class:`~ckptfmt.graph.outline.Outline`, without the bytes of large constants.
Methods that make another graph work on a snapshot of it, and pass the bytes on by the names of the nodes.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any, NamedTuple

from ckptfmt.cached_property import cached_property
from ckptfmt.dtypes import DType, as_dtype
from ckptfmt.errors import CorruptError, GraphError, NameNotFoundError, TensorNotFoundError
from ckptfmt.graph import merge, prune, setting
from ckptfmt.graph.cards import graph_card
from ckptfmt.graph.constants import Constants
from ckptfmt.graph.duplicates import Keep, drop_duplicates, find_duplicates
from ckptfmt.graph.function import Functions
from ckptfmt.graph.initializers import find_initializers
from ckptfmt.graph.node import GraphNode, parse_output
from ckptfmt.graph.ops import VARIABLE_OPS, known_ops
from ckptfmt.graph.outline import Outline
from ckptfmt.graph.outputs import PLACEHOLDERS, find_outputs
from ckptfmt.graph.tensor import GraphTensor, NodeOutputs
from ckptfmt.graph.tensor_content import MAX_BYTES
from ckptfmt.notebook.completions import first_keys
from ckptfmt.notebook.fields import fields_card
from ckptfmt.notebook.page import to_html
from ckptfmt.proto import messages
from ckptfmt.proto.parse import format_text
from ckptfmt.riegeli.split_writer import SPLIT_SUFFIX, write_split_message
from ckptfmt.storage.filesystem import Filesystem
from ckptfmt.storage.local import filesystem_of
from ckptfmt.text.closest import closest_names
from ckptfmt.wire.coding import Buffer


class Versions(NamedTuple):
    """The GraphDef versions that wrote a graph and that can read it."""

    producer: int
    """Version that wrote it; 0 from before there were versions."""
    min_consumer: int
    """The oldest version that can read it."""
    bad_consumers: tuple[int, ...]
    """Versions that must not read it."""

    def _repr_html_(self) -> str:
        return to_html(lambda: fields_card(self, "Versions"))


class Graph(Mapping[str, GraphNode]):
    """The nodes of a graph by name, in the order of the file."""

    def __init__(
        self,
        message: messages.GraphDef | Outline,
        file: str | None = None,
        ops: Mapping[str, messages.OpDef] | None = None,
        fetched: Iterable[str] = (),
    ) -> None:
        """Take a GraphDef; ``ops`` are definitions of operations that are not TensorFlow's own.

        ``fetched`` are the nodes that its outputs are, if the file says so.
        If several nodes have one name, the graph has the first of them: see :attr:`duplicates`.
        """
        self._outline = message if isinstance(message, Outline) else Outline(message)
        message = self._outline.message
        self.file = file
        """The file it was read from, or None."""
        self._ops = ops or {}
        self._fetched = frozenset(fetched)
        self._nodes = {node.name: node for node in message.node}
        if len(self._nodes) < len(message.node):
            # An outline knows nodes by their names.
            self._outline.complete()
            self._nodes = {}
            for node in message.node:
                self._nodes.setdefault(node.name, node)

    @property
    def message(self) -> messages.GraphDef:
        """The GraphDef.

        Large constants are copied into it when it, or the message of their node, is first accessed. Changes
        made to it are written, but the graph itself keeps showing the nodes that it had at first, and arrays
        that :attr:`constants` returned before stay as they are.
        """
        self._outline.complete()
        return self._outline.message

    def __getitem__(self, name: str) -> GraphNode:
        """Return a node; NameNotFoundError, a KeyError, if none has that name."""
        node = self._nodes.get(name)
        if node is None:
            raise self._not_found(name)
        return self._node(name, node)

    def _node(self, name: str, node: messages.NodeDef) -> GraphNode:
        # Only a node that lacks bytes has to ask for them when its message is read.
        outline = None if self._outline.content(name) is None else self._outline
        return GraphNode(node, outline=outline, file=self.file)

    def __iter__(self) -> Iterator[str]:
        return iter(self._nodes)

    def __len__(self) -> int:
        return len(self._nodes)

    def __contains__(self, name: object) -> bool:
        return name in self._nodes

    def _not_found(self, name: str) -> NameNotFoundError:
        if not isinstance(name, str):
            raise TypeError(f"name of a node: got {name!r}, want a str")
        close = closest_names(name, self._nodes)
        return NameNotFoundError(name, file=self.file or "graph", noun="node", close_matches=close)

    def tensor(self, name: str) -> GraphTensor:
        """Return the tensor ``node:k``; ``node`` alone is its output 0.

        Raises TensorNotFoundError if it does not exist, CorruptError if the node claims too many outputs.
        """
        node, number, _ = parse_output(name)
        tensor = None if name.startswith("^") else self._outputs(node).find(number)
        if tensor is None:
            raise TensorNotFoundError(name, file=self.file or "graph")
        return tensor

    def tensors(self, name: str) -> Iterator[GraphTensor]:
        """Iterate over the output tensors of a node; over none if its op is not known."""
        return iter(self._outputs(name))

    def _outputs(self, name: str) -> NodeOutputs:
        node = self[name]
        return NodeOutputs(node, self.functions.op(node.op))

    # --- contents ----------------------------------------------------------------------------------------

    @property
    def ops(self) -> Counter[str]:
        """The number of nodes of each operation."""
        return Counter(node.op for node in self._outline.message.node)

    @property
    def versions(self) -> Versions:
        """The GraphDef versions that wrote it and that can read it."""
        message = self._outline.message
        # Graphs from before there were several versions have one, in a field of its own.
        versions = message.versions
        return Versions(
            versions.producer or message.version, versions.min_consumer, tuple(versions.bad_consumers)
        )

    @cached_property
    def functions(self) -> Functions:
        """The functions of the library, by name."""
        return Functions(self._outline.message.library, self.file, self._ops)

    @property
    def custom_ops(self) -> Counter[str]:
        """The number of nodes of each operation that neither TensorFlow 2.21 nor the library defines.

        Nodes in the bodies of functions are counted too.
        """
        message = self._outline.message
        bodies = (node for function in message.library.function for node in function.node_def)
        every = (node.op for node in chain(message.node, bodies))
        return Counter(op for op in every if op not in known_ops() and op not in self.functions)

    @cached_property
    def constants(self) -> Constants:
        """The values of all constants, by the names of their nodes: a frozen graph as a store of tensors."""
        constants = {name: node for name, node in self._nodes.items() if node.op == "Const"}
        return Constants(constants, self._outline, self.file)

    @cached_property
    def initializers(self) -> tuple[str, ...]:
        """The nodes to run once before others, by name: those that fill lookup tables.

        They are found by what they do, since a GraphDef has no place to name them: nodes that fill a table
        and can run without being fed, or a NoOp that runs nothing but these.
        """
        return find_initializers(self._outline.message, self.file or "graph")

    @property
    def inputs(self) -> tuple[GraphNode, ...]:
        """The nodes that values are fed to: placeholders."""
        nodes = self._outline.message.node
        # Without the outline, which has bytes of constants only.
        return tuple(GraphNode(node, file=self.file) for node in nodes if node.op in PLACEHOLDERS)

    @property
    def variables(self) -> tuple[GraphNode, ...]:
        """The variables: nodes whose values are not in the graph. A frozen graph has those that were kept."""
        nodes = self._outline.message.node
        return tuple(GraphNode(node, file=self.file) for node in nodes if node.op in VARIABLE_OPS)

    @cached_property
    def outputs(self) -> tuple[GraphNode, ...]:
        """The nodes that people fetch: those of the signatures in the file, or those the graph ends in.

        Without signatures, they are found by what they compute. Gradients, updates, summaries, initial values
        and what saves and restores variables are not outputs.
        """
        names = [name for name in self._nodes if name in self._fetched]
        return tuple(
            self[name] for name in names or find_outputs(self._outline.message.node, self.functions.op)
        )

    @cached_property
    def duplicates(self) -> Mapping[str, tuple[GraphNode, ...]]:
        """All nodes of each name that several nodes have, in the order of the file; TensorFlow refuses them.

        Names lead to the first of them. Such a graph can be inspected and written as it is, but only
        :meth:`without_duplicates` makes another graph from it.
        """
        nodes = self._outline.message.node
        if len(self._nodes) == len(nodes):
            return {}
        found = find_duplicates(nodes, lambda node: node.name)
        return {
            name: tuple(GraphNode(nodes[position], file=self.file) for position in positions)
            for name, positions in found.items()
        }

    # --- walks -------------------------------------------------------------------------------------------

    @cached_property
    def _consumers(self) -> dict[str, list[str]]:
        """Name of a node -> names of the nodes that take an output of it or run after it, once each."""
        consumers: dict[str, list[str]] = {}
        for node in self._outline.message.node:
            for name in dict.fromkeys(parse_output(text).node for text in node.input):
                consumers.setdefault(name, []).append(node.name)
        return consumers

    def consumers(self, name: str) -> tuple[GraphNode, ...]:
        """Return the nodes that take an output of a node, or run after it.

        Raises NameNotFoundError if no node has that name.
        """
        self[name]
        return tuple(self[consumer] for consumer in self._consumers.get(name, ()))

    def ancestors(self, names: str | Iterable[str], *, control: bool = True) -> Iterator[GraphNode]:
        """Iterate over nodes and all nodes that are needed to run them, each once.

        Parameters
        ----------
        names
            Nodes or their outputs, from which to start.
        control
            Whether to follow control inputs too.

        Raises
        ------
        NameNotFoundError
            A name is not that of a node.
        CorruptError
            A node takes its input from one that does not exist.
        """

        def needed(node: messages.NodeDef) -> Iterator[str]:
            for text in node.input:
                if control or not text.startswith("^"):
                    yield parse_output(text).node

        return self._walk(names, needed)

    def descendants(self, names: str | Iterable[str]) -> Iterator[GraphNode]:
        """Iterate over nodes and all nodes that need them, each once; raises as :meth:`ancestors` does."""
        return self._walk(names, lambda node: self._consumers.get(node.name, ()))

    def _walk(
        self, names: str | Iterable[str], following: Callable[[messages.NodeDef], Iterable[str]]
    ) -> Iterator[GraphNode]:
        starts = [names] if isinstance(names, str) else names
        waiting = [self._start(name) for name in starts][::-1]
        seen = set(waiting)
        while waiting:
            name = waiting.pop()
            node = self._nodes[name]
            yield self._node(name, node)
            # Names are marked as seen when they are queued, so each is queued once: linear in the edges.
            fresh = [name for name in dict.fromkeys(following(node)) if name not in seen]
            absent = next((name for name in fresh if name not in self._nodes), None)
            if absent is not None:
                raise CorruptError(
                    f"node {node.name!r} ({node.op}) takes its input from {absent!r}, which does not exist",
                    file=self.file,
                )
            seen.update(fresh)
            waiting += reversed(fresh)  # the last is taken first, and the first input should come first

    def _start(self, name: str) -> str:
        """Return the name of the node that a name of it, or of one of its outputs, names."""
        node = parse_output(name).node
        if node not in self._nodes:
            raise self._not_found(node)
        return node

    # --- surgery -----------------------------------------------------------------------------------------

    def without_duplicates(self, keep: Keep | None = None) -> Graph:
        """Return the graph with one node of each name, also in functions, and one function of each name.

        The first of identical ones stays. If some differ, ``keep`` must be ``"first"`` or ``"last"``: nodes
        that took their inputs from the others take them from the one that stays.

        Raises GraphError if some differ and ``keep`` is not given.
        """
        if keep not in (None, "first", "last"):
            raise ValueError(f"keep: got {keep!r}, want 'first' or 'last'")
        now = self._outline.snapshot()
        return self._new(drop_duplicates(now.message, keep, self.file), now.by_name())

    def _unique(self) -> Outline:
        """Return a snapshot to make another graph from; GraphError if several nodes have one name."""
        # A snapshot, because the caller may ask for the message at any time, which moves bytes from the
        # outline into it. Message and contents have to be of one moment.
        if self.duplicates:
            name, nodes = next(iter(self.duplicates.items()))
            what = f"{len(nodes)} nodes have this name; without_duplicates() keeps one"
            raise GraphError(what, node=name, file=self.file)
        return self._outline.snapshot()

    def extract_subgraph(self, outputs: str | Iterable[str]) -> Graph:
        """Return the nodes that outputs need, as ``tf.compat.v1.graph_util.extract_sub_graph`` does.

        Raises GraphError if an output does not exist, CorruptError if a node that it needs does not.
        """
        now = self._unique()
        return self._new(prune.extract_subgraph(now.message, _nodes_of(outputs), self.file), now.by_name())

    def strip_unused(
        self,
        inputs: str | Sequence[str],
        outputs: str | Iterable[str],
        dtypes: Any = None,  # noqa: ANN401  (a dtype of any library, or a mapping of such)
    ) -> Graph:
        """Return the nodes between inputs, which become placeholders, and outputs.

        Parameters
        ----------
        inputs, outputs
            Names of nodes.
        dtypes
            The dtype of the placeholders: one for all, or a mapping by name. By default it is the attribute
            ``dtype``, or else ``T``, of the node that is replaced.

        Raises
        ------
        GraphError
            A node is not in the graph, or its dtype is not known.
        """
        # Names that are not in the graph have no dtype here; prune.strip_unused() refuses them.
        names = [inputs] if isinstance(inputs, str) else list(inputs)
        known = {
            name: as_dtype(dtypes[name] if isinstance(dtypes, Mapping) else dtypes)
            if dtypes is not None
            else self._dtype(name)
            for name in names
            if name in self
        }
        now = self._unique()
        stripped = prune.strip_unused(now.message, names, _nodes_of(outputs), known, self.file)
        return self._new(stripped, now.by_name())

    def _dtype(self, name: str) -> DType:
        """Return the dtype of a node's first output, as its attributes give it."""
        attributes = self[name].attributes
        dtype = attributes.get("dtype", attributes.get("T"))
        if not isinstance(dtype, DType):
            raise GraphError("cannot infer the placeholder's dtype: pass dtypes=", node=name, file=self.file)
        return dtype

    def remove_training_nodes(self, protected: str | Iterable[str] = ()) -> Graph:
        """Return the graph without nodes that only pass on their input, except the ``protected`` ones.

        It is what ``tf.compat.v1.graph_util.remove_training_nodes`` returns, but keeps the library, the
        versions, and inputs that come through ``CheckNumerics``, which TensorFlow loses.
        """
        now = self._unique()
        return self._new(prune.remove_training_nodes(now.message, _nodes_of(protected)), now.by_name())

    def clear_devices(self) -> Graph:
        """Return the graph with no node placed on a device."""
        now = self._outline.snapshot()
        return self._new(prune.clear_devices(now.message), now.by_name())

    def prefixed(self, prefix: str) -> Graph:
        """Return the graph with its nodes in a scope: ``prefixed("scope/")``, or without the slash."""
        return self.imported(prefix)

    def with_inputs(self, inputs: Mapping[str, str]) -> Graph:
        """Return the graph with inputs taken from other tensors: ``{"input:0": "new:0"}``."""
        return self.imported("", inputs)

    def with_constants(self, values: Mapping[str, Any]) -> Graph:
        """Return the graph with placeholders as constants, without what then never runs.

        ``{"is_training": False}`` makes batch norm and dropout those of inference. A condition that the
        constants decide leaves only one branch, in the graph, in functions and within loops; loops
        themselves stay. Besides placeholders, any other node of one output can be set.

        Raises
        ------
        GraphError
            A node is not in the graph, or its value has another dtype or shape.
        """
        now = self._unique()
        message, contents = messages.GraphDef(), now.by_name()
        message.CopyFrom(now.message)
        for name in setting.set_constants(message, values, self.functions, self.file):
            contents.pop(name, None)
        return self._new(message, contents)

    def imported(self, prefix: str, inputs: Mapping[str, str] | None = None) -> Graph:
        """Return the graph as ``tf.import_graph_def(name=prefix, input_map=inputs)`` adds it to another one.

        ``inputs`` maps outputs of this graph, without the prefix, to the tensors of the other graph that take
        their place. :meth:`merge` puts the two together.

        Raises GraphError if an output to replace is not in the graph.
        """
        scope = prefix if not prefix or prefix.endswith("/") else f"{prefix}/"
        now = self._unique()
        imported = merge.import_graph(now.message, scope, inputs or {}, self.file)
        return self._new(imported, now.by_name(scope))

    def merge(self, *others: Graph) -> Graph:
        """Return one graph with the nodes and functions of this and other ones.

        Raises NameConflictError if two have a node of the same name, or different functions of the same name.
        """
        ops = {name: op for graph in (self, *others) for name, op in graph._ops.items()}
        now = [graph._unique() for graph in (self, *others)]
        message = merge.merge_graphs([outline.message for outline in now])
        contents = {name: content for outline in now for name, content in outline.by_name().items()}
        return Graph(Outline.of(message, contents), None, ops)

    def _new(self, message: messages.GraphDef, contents: Mapping[str, memoryview]) -> Graph:
        return Graph(Outline.of(message, contents), None, self._ops)

    # --- as a file ---------------------------------------------------------------------------------------

    def to_bytes(self) -> bytes:
        """Return the graph serialized, the same bytes every time.

        Raises GraphError if it takes 2 GiB or more, which protobuf does not write.
        """
        return b"".join(self._serialize())

    def _serialize(self) -> Iterator[Buffer]:
        """Iterate over its serialized bytes in parts; large constants are not copied.

        Nodes come first and the other fields after them, in the order in which protobuf writes them.
        """
        message = self._outline.message
        rest = messages.GraphDef(version=message.version)
        for name in ("library", "versions", "debug_info"):
            if message.HasField(name):
                getattr(rest, name).CopyFrom(getattr(message, name))
        # Counted as parts are made, since write() never has all of them in memory. What it wrote before an
        # error is discarded.
        size = 0
        end = rest.SerializeToString(deterministic=True)
        for part in chain(self._outline.serialize_nodes(), [end]):
            size += len(part)
            if size >= MAX_BYTES:
                what = f"got {size} bytes or more, want less than {MAX_BYTES}, as protobuf has; "
                what += f"write() splits it if the name of the file ends in {SPLIT_SUFFIX}"
                raise GraphError(what, file=self.file)
            yield part

    def to_text(self) -> str:
        """Return the graph in protobuf's text format."""
        return format_text(self.message)

    def write(
        self,
        path: str | os.PathLike[str],
        *,
        as_text: bool | None = None,
        overwrite: bool = False,
        fs: Filesystem | None = None,
    ) -> None:
        """Write a file, whole or not at all: as text if its name ends in ``.pbtxt``, else serialized.

        A name that ends in ``.cpb`` makes a split message, in the format of TensorFlow's ``proto_splitter``,
        which takes 2 GiB and more. :func:`ckptfmt.read_graph` reads it; TensorFlow's own programs read graphs
        in one piece only. Writing it takes about 80 ms for each megabyte.

        ``as_text`` says whether it is text whatever its name, and ``fs`` is the file system that the path is
        in, by default that of this machine.

        Raises
        ------
        AlreadyExistsError
            The file exists, and ``overwrite`` is not given.
        GraphError
            It takes 2 GiB or more, and is not split.
        NotWritableError
            The file cannot be written.
        """
        target = os.fspath(path)
        with filesystem_of(fs=fs).create(target, overwrite=overwrite) as file:
            if as_text is None and target.endswith(SPLIT_SUFFIX):
                outline = self._outline.snapshot()
                write_split_message(file, outline.message, outline.content_paths())
            elif target.endswith(".pbtxt") if as_text is None else as_text:
                file.write(self.to_text().encode())
            else:
                file.write_all(self._serialize())

    def __reduce__(self) -> tuple[object, ...]:
        # As bytes: pickle may not find the classes of messages.
        ops = {name: op.SerializeToString() for name, op in self._ops.items()}
        return _from_bytes, (self.message.SerializeToString(), self.file, ops, self._fetched)

    def __repr__(self) -> str:
        where = f" {self.file!r}" if self.file else ""
        return f"<Graph{where}, {len(self)} nodes, {len(self.functions)} functions>"

    def _repr_html_(self) -> str:
        return to_html(lambda: graph_card(self))

    def _ipython_key_completions_(self) -> list[str]:
        return first_keys(self)

    # Mappings would compare nodes one by one, and not the functions.
    def __eq__(self, other: object) -> bool:
        return isinstance(other, Graph) and self.message == other.message

    __hash__ = None  # type: ignore[assignment]


def _nodes_of(names: str | Iterable[str]) -> list[str]:
    """Return the names of nodes for names of nodes or of their outputs."""
    return [parse_output(name).node for name in ([names] if isinstance(names, str) else names)]


def _from_bytes(data: bytes, file: str | None, ops: Mapping[str, bytes], fetched: Iterable[str]) -> Graph:
    known = {name: messages.OpDef.FromString(op) for name, op in ops.items()}
    return Graph(messages.GraphDef.FromString(data), file, known, fetched)
