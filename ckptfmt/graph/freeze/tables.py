"""Tables: what a frozen graph needs besides its outputs, so that its lookup tables can be filled.

No output needs the nodes that fill tables, so they are added to the outputs:

- a node of the graph that fills a table when the model's init op, or ``tf.tables_initializer()``, runs it;
- for a mutable table that a Saver restores, a new node that imports keys and values from constants. It runs
  before nodes that fill the table too, as a program restores a model before it runs the init op.

The nodes that fill a table may need further tables, so this is repeated until nothing is new. The init op
stays under its name, but runs only these nodes: variables have their values already.

Nothing is silently lost. A static table that nothing fills is an error, and so is one whose contents are not
among the values; a mutable table that was never saved starts empty, in the model too, with a warning.

Source: TensorFlow ``python/saved_model/loader_impl.py``, ``python/saved_model/load.py``,
``python/ops/lookup_ops.py``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Set

from ckptfmt.arrays.array import Array
from ckptfmt.cached_property import cached_property
from ckptfmt.errors import GraphError
from ckptfmt.graph.freeze.saved_tables import SavedTables
from ckptfmt.graph.function import Functions
from ckptfmt.graph.initializers import fed_nodes, initializes
from ckptfmt.graph.meta.meta_graph import MetaGraph
from ckptfmt.graph.meta.table_sources import table_sources
from ckptfmt.graph.node import parse_output
from ckptfmt.graph.prune import needed_nodes
from ckptfmt.graph.tables import (
    NAMED_FORMS,
    STATIC_TABLES,
    TABLE_OPS,
    Made,
    TableKey,
    Tables,
    table_key,
)
from ckptfmt.proto import messages
from ckptfmt.text.quoting import listed

_INSERTING = frozenset({"LookupTableInsert", "LookupTableInsertV2"})
"""Ops that add to what a table holds; the other ops that fill a table replace it."""


class TableFreezer:
    """Adds to a graph, which is changed in place, what fills the tables that its outputs need."""

    def __init__(
        self,
        graph: messages.GraphDef,
        file: str,
        meta: MetaGraph | None,
        variables: Mapping[str, Array],
        contents: dict[str, memoryview],
    ) -> None:
        """Take a graph; large constants that are added go into ``contents``."""
        self.warnings: list[str] = []
        """Warnings for the user."""
        self._graph = graph
        self._file = file
        self._nodes = {node.name: node for node in graph.node}
        self._order = {name: number for number, name in enumerate(self._nodes)}
        self._functions = Functions(graph.library, file)
        self._tables = Tables(graph, file)
        init_op = None if meta is None else meta.init_op
        self._init_op = init_op if init_op in self._nodes else None
        roots = (init_op, *(() if meta is None else meta.table_initializers))
        self._roots = {name for name in roots if name in self._nodes}
        restore_op = "" if meta is None else meta.message.saver_def.restore_op_name
        # Found before any node is added.
        sources = {} if self._tables.is_empty else table_sources(graph, self._tables, restore_op, file)
        self._saved = SavedTables(graph, self._nodes, self._tables, sources, variables, contents)
        self._seen_functions: set[str] = set()

    def add_initializers(self, outputs: list[str]) -> list[str]:
        """Return the outputs, and after them what must run first; the init op, if it is one, changes.

        Raises GraphError, with the node of the table, if a table cannot be filled.
        """
        nodes = [parse_output(name).node for name in outputs]
        # The model's init op initialises variables too. Asking for it is asking for the tables.
        is_asked_for = self._init_op in nodes and self._nodes[self._init_op or ""].op == "NoOp"
        wanted = [name for name in nodes if not (is_asked_for and name == self._init_op)]
        if self._tables.is_empty and not is_asked_for:
            return outputs
        initializers = self._fill(wanted) if not self._tables.is_empty else []
        if self._init_op and (initializers or is_asked_for) and self._nodes[self._init_op].op == "NoOp":
            init = self._nodes[self._init_op]
            del init.input[:]
            init.input.extend(f"^{name}" for name in initializers)
            initializers = [self._init_op]
        return [*outputs, *(name for name in initializers if name not in outputs)]

    @cached_property
    def _init_nodes(self) -> set[str]:
        """The nodes that run for the init op or for ``tf.tables_initializer()``."""
        return needed_nodes(self._nodes, self._roots, self._file)

    @cached_property
    def _fills(self) -> dict[TableKey, dict[str, set[str]]]:
        """For each table, the nodes of the graph that fill it, each with the ops that do it."""
        nodes: dict[TableKey, dict[str, set[str]]] = {}
        for node in self._graph.node:
            for fill in self._tables.fills(node):
                key = self._tables.key(fill.table)
                if key is not None and not self._tables.is_restored(fill):
                    nodes.setdefault(key, {}).setdefault(node.name, set()).add(fill.op)
        return nodes

    @cached_property
    def _fed(self) -> set[str]:
        """The nodes that need a placeholder."""
        return fed_nodes(self._graph.node)

    def _fill(self, wanted: list[str]) -> list[str]:
        """Return the nodes that must run before some others, in the order in which they are found."""
        needed = needed_nodes(self._nodes, wanted or self._roots, self._file)
        # Asking for nothing but the init op is asking for all tables that it fills.
        running = set(needed) if wanted else set()
        initializers: dict[str, None] = {}
        seen: set[TableKey] = set()
        fresh = needed
        while fresh:
            added: dict[str, None] = {}
            for key, made in self._made_by(fresh):
                if key not in seen:
                    seen.add(key)
                    added.update(dict.fromkeys(self._initializers_of(key, made, running)))
            initializers.update(added)
            fresh = needed_nodes(self._nodes, added, self._file, needed)
            needed |= fresh
        return list(initializers)

    def _made_by(self, names: Iterable[str]) -> Iterator[tuple[TableKey, Made]]:
        """Iterate over the tables that nodes make, or functions that they are the first to call."""
        # In the order of the graph, so that the result is the same each time.
        nodes = [self._nodes[name] for name in sorted(names, key=lambda name: self._order.get(name, 0))]
        functions = set(self._functions.reached_from(self._functions.called_by(nodes)))
        bodies: list[tuple[str | None, Iterable[messages.NodeDef]]] = [(None, nodes)]
        fresh = sorted(functions - self._seen_functions)
        bodies += [(name, self._functions[name].message.node_def) for name in fresh]
        self._seen_functions |= functions
        for function, body in bodies:
            for node in body:
                if node.op in TABLE_OPS:
                    yield table_key(node, function), Made(function, node.name, 0)

    def _initializers_of(self, key: TableKey, made: Made, running: Set[str]) -> Iterator[str]:
        """Iterate over the nodes that fill a table before nodes that are ``running`` look things up in it.

        Raises GraphError if there are none, and without them the table cannot be used or is not as saved.
        """
        node = self._tables.maker(made)
        assert node is not None
        fills = self._fills.get(key, {})
        if node.op in STATIC_TABLES and any(name in running for name in fills):
            return  # filled on the way to the outputs
        chosen = [name for name in fills if name in self._init_nodes and name not in running]
        imported = None if node.op in STATIC_TABLES else self._saved.add_import(key, made, node)
        if not chosen and (node.op in STATIC_TABLES or not (imported or self._roots)):
            chosen = self._unnamed_initializers(node, fills, running)
        if imported is not None:
            for name in chosen:
                self._nodes[name].input.append(f"^{imported}")
            yield imported
        yield from chosen
        if chosen or imported is not None:
            self._name(made, node)
        if imported is None:
            self._check_contents(key, node, running, chosen)

    def _unnamed_initializers(
        self, table: messages.NodeDef, fills: Mapping[str, Set[str]], running: Set[str]
    ) -> list[str]:
        """Return the nodes that fill a table of a graph that does not name its initialisers."""
        nodes = [name for name in fills if name not in running]
        chosen = [
            name
            for name in nodes
            if initializes(self._tables, self._nodes[name], needs_feeding=name in self._fed)
        ]
        # Only one can import what a mutable table holds. Any number can add to it, if they wait for that one,
        # as in a frozen graph.
        importing = [name for name in chosen if not fills[name] <= _INSERTING]
        waiting = [name for name in chosen if importing and f"^{importing[0]}" in self._nodes[name].input]
        is_clear = not importing or len(importing) == 1 == len(chosen) - len(waiting)
        if not is_clear and table.op not in STATIC_TABLES:
            raise GraphError(f"{table.op}: several nodes fill it: {listed(chosen)}", node=table.name)
        return chosen

    def _check_contents(
        self, key: TableKey, table: messages.NodeDef, running: Set[str], chosen: Iterable[str]
    ) -> None:
        """Raise GraphError, or warn, if a table that nothing is imported into is not as the model has it."""
        fills = self._fills.get(key, {})
        source = self._saved.sources.get(key)
        if table.op in STATIC_TABLES:
            if not chosen:
                raise GraphError(f"nothing in the graph fills this {table.op}", node=table.name)
        elif source is not None and all(fills[name] <= _INSERTING for name in chosen):
            what = f"{table.op} has no contents: the mapping has no {source.keys!r} and {source.values!r}"
            raise GraphError(what, node=table.name)
        elif not chosen and not any(name in running for name in fills):
            what = f"node {table.name!r}: {table.op} starts empty: it was not saved, and nothing fills it"
            self.warnings.append(what)

    def _name(self, made: Made, table: messages.NodeDef) -> None:
        """Give an anonymous table a name: without one, each run of its node makes a new, empty table."""
        if table.op not in NAMED_FORMS:
            return
        if made.function is not None:
            what = f"{table.op} within function {made.function!r} cannot be filled before the function runs"
            raise GraphError(what, node=table.name)
        table.op = NAMED_FORMS[table.op]
        table.attr["shared_name"].s = f"{table.name}/frozen".encode("utf-8", "surrogateescape")
