"""Lookup tables: the nodes that make them, and the nodes that fill them.

A table is a resource. One node makes it and hands it out, others look things up in it, and one fills it,
though no output needs that one: it runs once, before all others. In TensorFlow 1 it is a node of the graph.
In TensorFlow 2 it calls a function that takes the table, often through further functions::

    HashTableV2 ──┬─ StatefulPartitionedCall(initializer) ── InitializeTableV2(table, keys, values)
                  └─ LookupTableFindV2

So what a function does with its arguments is found once for each function, those that it calls first, and
carried over to every node that calls it. The time is linear in the edges of the graph, plus the fills: one
for each table that a function fills, for each way in which it is called.

Two nodes with the same shared name are one table. So a function can fill a table that it is not
given.

Source: TensorFlow ``core/ops/lookup_ops.cc``, ``core/kernels/lookup_table_op.h``,
``core/framework/resource_mgr.cc: ContainerInfo::Init``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple, TypeAlias

from ckptfmt.errors import LimitError
from ckptfmt.graph.calls import CALL_OPS, function_attributes
from ckptfmt.graph.node import OutputName, parse_function_output
from ckptfmt.graph.ops import RESTORE_OPS
from ckptfmt.graph.origins import Origins
from ckptfmt.proto import messages

STATIC_TABLES = frozenset({"HashTable", "HashTableV2", "AnonymousHashTable"})
"""Ops that make a table that is filled once, and cannot be used before that."""

NAMED_FORMS: Mapping[str, str] = {
    "AnonymousHashTable": "HashTableV2",
    "AnonymousMutableHashTable": "MutableHashTableV2",
    "AnonymousMutableHashTableOfTensors": "MutableHashTableOfTensorsV2",
    "AnonymousMutableDenseHashTable": "MutableDenseHashTableV2",
}
"""Op that makes a new table each time it runs -> the op that makes one for all runs, with the same inputs."""

DENSE_TABLES = frozenset(
    {"MutableDenseHashTable", "MutableDenseHashTableV2", "AnonymousMutableDenseHashTable"}
)
"""Ops that make a table of buckets; inputs are the keys that stand for an empty and for a deleted bucket."""

REFERENCE_TABLES = frozenset(
    {"HashTable", "MutableHashTable", "MutableHashTableOfTensors", "MutableDenseHashTable"}
)
"""Ops of the first TensorFlow, which return a reference to a table; ops without ``V2`` take it."""

TABLE_OPS = frozenset({*STATIC_TABLES, *REFERENCE_TABLES, *NAMED_FORMS, *NAMED_FORMS.values()})
"""All ops that make a table."""

_INITIALIZING = frozenset(
    (
        *("InitializeTable", "InitializeTableV2", "InitializeTableFromDataset"),
        *("InitializeTableFromTextFile", "InitializeTableFromTextFileV2"),
    )
)
"""Ops that fill a static table."""

_FILLING = _INITIALIZING | {
    *("LookupTableImport", "LookupTableImportV2", "LookupTableInsert", "LookupTableInsertV2")
}
"""All ops that fill a table; its handle is their first input."""

_MAX_FILLS = 20_000
"""The most fills of one function. Real models have one for each table; a hostile library of functions that
call each other with their arguments in other orders could have any number."""


class Made(NamedTuple):
    """An output of a node, which no other node has passed on."""

    function: str | None
    """The function in whose body the node is; None for the graph."""
    node: str
    """The node."""
    number: int
    """Number of the output."""


Origin: TypeAlias = "Made | int"
"""What a tensor comes from: a node, or the argument of a function with that number."""


class TableKey(NamedTuple):
    """The identity of a table: nodes with the same key hand out the same table."""

    container: str
    name: str
    function: str | None = None
    """For a table that is not shared, the function in whose body its node is."""
    is_shared: bool = True
    """Whether other nodes can hand it out too."""


class Fill(NamedTuple):
    """One way in which a node fills a table, itself or through functions that it calls."""

    op: str
    """The op that does it."""
    table: Origin
    """The table."""
    keys: Origin | None
    """The keys; None if a dataset or a file has them."""
    values: Origin | None
    """Their values."""

    @property
    def is_initializing(self) -> bool:
        """Whether the op is for static tables."""
        return self.op in _INITIALIZING


class _Body(Origins):
    """The nodes of the graph or of a function, with the numbers of its arguments."""

    def __init__(self, container: messages.GraphDef | messages.FunctionDef, file: str) -> None:
        self.name: str | None = None
        self.arguments: dict[str, int] = {}
        if isinstance(container, messages.GraphDef):
            super().__init__(container.node, file)
        else:
            super().__init__(container.node_def, file, in_function=True)
            self.name = container.signature.name
            self.arguments = {argument.name: i for i, argument in enumerate(container.signature.input_arg)}


class Tables:
    """The tables of a graph, and what fills them.

    Raises CorruptError from all methods if the graph refers to something that does not exist, LimitError if
    its functions fill tables in more than :data:`_MAX_FILLS` ways.
    """

    def __init__(self, graph: messages.GraphDef, file: str) -> None:
        self._file = file
        self._library = {function.signature.name: function for function in graph.library.function}
        self._graph = _Body(graph, file)
        self._bodies: dict[str, _Body] = {}
        self._fills: dict[str, list[Fill]] = {}
        self._returned: dict[str, list[Origin]] = {}
        self._resolved: dict[tuple[str | None, OutputName], Origin] = {}
        # Without a table anywhere, no function has to be looked at.
        self.is_empty = not has_tables(graph)
        if not self.is_empty:
            for name in self._callees_first():
                self._add_function(name)

    # --- functions, those that are called first ----------------------------------------------------------

    def _callees_first(self) -> Iterator[str]:
        """Iterate over the functions, each after those that it calls, except in cycles."""
        started: set[str] = set()
        for root in self._library:
            waiting = [(root, False)]
            while waiting:
                name, is_done = waiting.pop()
                if is_done:
                    yield name
                elif name not in started:
                    started.add(name)
                    waiting.append((name, True))
                    nodes = self._library[name].node_def
                    waiting += [(called, False) for node in nodes for called, _ in self._called(node)]

    def _called(self, node: messages.NodeDef) -> Iterator[tuple[str, int]]:
        """Iterate over the functions that a node calls, each with the input that is its first argument."""
        if node.op in self._library:
            yield node.op, 0
        elif (op := CALL_OPS.get(node.op)) is not None:
            for function in function_attributes(node, op.functions):
                if function.name in self._library:
                    yield function.name, op.first_argument

    def _add_function(self, name: str) -> None:
        """Find what a function fills and returns; what it calls has been looked at."""
        function = self._library[name]
        body = self._bodies[name] = _Body(function, self._file)
        fills: dict[Fill, None] = {}
        for node in function.node_def:
            fills.update(dict.fromkeys(self._filled_in(body, node)))
            if len(fills) > _MAX_FILLS:
                what = f"ways in which function {name!r} fills tables"
                raise LimitError(what, limit=_MAX_FILLS, asked=len(fills), file=self._file)
        self._fills[name] = list(fills)
        results = (function.ret.get(result.name, "") for result in function.signature.output_arg)
        outputs = (body.origin_of(*parse_function_output(text)[:2]) for text in results)
        self._returned[name] = [self._resolve(body, output) for output in outputs]

    def _filled_in(self, body: _Body, node: messages.NodeDef) -> Iterator[Fill]:
        """Iterate over what a node of a body fills."""
        if node.op in _FILLING:
            has_values = len(node.input) > 2 and not node.input[2].startswith("^")
            inputs = [self._input(body, node, index) for index in range(3 if has_values else 1)]
            yield Fill(node.op, inputs[0], *(inputs[1:] if has_values else (None, None)))
            return
        for called, first in self._called(node):
            # If the functions call each other in a cycle, the fills of some are not known yet.
            for fill in self._fills.get(called, ()):
                yield fill._replace(
                    table=self._passed(body, node, first, fill.table),
                    keys=None if fill.keys is None else self._passed(body, node, first, fill.keys),
                    values=None if fill.values is None else self._passed(body, node, first, fill.values),
                )

    def _passed(self, body: _Body, call: messages.NodeDef, first: int, origin: Origin) -> Origin:
        """Return what an origin within a called function is for the caller."""
        return self._input(body, call, first + origin) if isinstance(origin, int) else origin

    def _input(self, body: _Body, node: messages.NodeDef, index: int) -> Origin:
        return self._resolve(body, body.origin(node, index))

    def _resolve(self, body: _Body, output: OutputName) -> Origin:
        """Return what an output comes from, through the calls of functions that return their arguments."""
        passed = []
        while (origin := self._resolved.get((body.name, output))) is None:
            # As in Origins.origin(): kept for all on the way, so that a chain is walked once and ends.
            passed.append(output)
            origin = self._resolved[body.name, output] = Made(body.name, output.node, output.number)
            if output.node in body.arguments:
                origin = body.arguments[output.node]
                break
            call = body.nodes.get(output.node)
            called = [] if call is None else list(self._called(call))
            # The branches of a condition may return different things, and a loop what its rounds make of it.
            returned = self._returned.get(called[0][0], []) if len(called) == 1 else []
            if call is None or output.number >= len(returned):
                break
            origin = returned[output.number]
            if not isinstance(origin, int):
                break
            output = body.origin(call, called[0][1] + origin)
        for each in passed:
            self._resolved[body.name, each] = origin
        return origin

    # --- the graph ---------------------------------------------------------------------------------------

    def fills(self, node: messages.NodeDef) -> Iterator[Fill]:
        """Iterate over what a node of the graph fills, itself or through functions."""
        return iter(()) if self.is_empty else self._filled_in(self._graph, node)

    def handles(self, node: messages.NodeDef) -> Iterator[tuple[str, Origin]]:
        """Iterate over the inputs of a node of the graph that carry values, each with its origin."""
        for index, text in enumerate(node.input):
            if not text.startswith("^"):
                yield text, self.origin(node, index)

    def origin(self, node: messages.NodeDef, index: int, function: str | None = None) -> Origin:
        """Return what an input of a node comes from; the node is in the graph or in a function."""
        return self._input(self._graph if function is None else self._bodies[function], node, index)

    def key(self, origin: Origin | None) -> TableKey | None:
        """Return the key of the table that an output is the handle of; None if its node does not make one."""
        node = self.maker(origin)
        if node is None or node.op not in TABLE_OPS or not isinstance(origin, Made):
            return None
        return table_key(node, origin.function)

    def maker(self, origin: Origin | None) -> messages.NodeDef | None:
        """Return the node that an origin is an output of."""
        if not isinstance(origin, Made):
            return None
        body = self._graph if origin.function is None else self._bodies[origin.function]
        return body.node(origin.node)

    def is_restored(self, fill: Fill) -> bool:
        """Return whether a table is filled with what a checkpoint holds."""
        maker = self.maker(fill.keys)
        return maker is not None and maker.op in RESTORE_OPS

    def nodes_beside(self, origin: Made) -> Iterable[messages.NodeDef]:
        """Return all nodes of the body that the node of an origin is in."""
        body = self._graph if origin.function is None else self._bodies[origin.function]
        return body.nodes.values()


def table_key(node: messages.NodeDef, function: str | None) -> TableKey:
    """Return the key of the table that a node makes."""
    container = node.attr["container"].s if "container" in node.attr else b""
    name = node.attr["shared_name"].s if "shared_name" in node.attr else b""
    by_node_name = "use_node_name_sharing" in node.attr and node.attr["use_node_name_sharing"].b
    if node.op not in NAMED_FORMS and (name or by_node_name):
        shared = name.decode("utf-8", "surrogateescape") or node.name
        return TableKey(container.decode("utf-8", "surrogateescape"), shared)
    return TableKey("", node.name, function, is_shared=False)


def has_tables(graph: messages.GraphDef) -> bool:
    """Return whether a node of a graph, or of a function in its library, makes a table."""
    bodies = (graph.node, *(function.node_def for function in graph.library.function))
    return any(node.op in TABLE_OPS for body in bodies for node in body)
