"""Saved tables: the contents of mutable lookup tables in a checkpoint, and nodes that import them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ckptfmt.arrays.array import Array
from ckptfmt.arrays.decode import decode_tensor_proto
from ckptfmt.dtypes import DType, Storage, find_dtype
from ckptfmt.errors import GraphError
from ckptfmt.graph.freeze.values import fill_constant
from ckptfmt.graph.meta.table_sources import TableSource
from ckptfmt.graph.node import free_name
from ckptfmt.graph.tables import DENSE_TABLES, REFERENCE_TABLES, Made, TableKey, Tables
from ckptfmt.proto import messages


class SavedTables:
    """The tables that a mapping has keys and values of."""

    def __init__(
        self,
        graph: messages.GraphDef,
        nodes: dict[str, messages.NodeDef],
        tables: Tables,
        sources: Mapping[TableKey, TableSource],
        variables: Mapping[str, Array],
        contents: dict[str, memoryview],
    ) -> None:
        """Take a graph and its nodes by name; what is added goes there, large constants into ``contents``."""
        self.sources = sources
        """The tensors of a checkpoint that each table is restored from."""
        self._graph = graph
        self._nodes = nodes
        self._tables = tables
        self._contents = contents
        # The variables of a SavedModel are named as in the graph, its tables as in the checkpoint.
        self._values: Mapping[str, Array] = getattr(variables, "table_contents", variables)

    def add_import(self, key: TableKey, made: Made, table: messages.NodeDef) -> str | None:
        """Add a node that imports the contents of a mutable table from a checkpoint, and return its name.

        None if the checkpoint has no contents of it.
        """
        source = self._source(key, made)
        if source is None:
            return None
        keys, values = (np.asarray(self._values[name]) for name in (source.keys, source.values))
        dtypes = [_dtype(table, name) for name in ("key_dtype", "value_dtype")]
        if keys.ndim == 0 or keys.shape[:1] != values.shape[:1]:
            what = f"{table.op}: got keys of shape {list(keys.shape)} and values of {list(values.shape)}"
            raise GraphError(f"{what}, want a value for each key", node=table.name)
        if table.op in DENSE_TABLES:
            keys, values = self._without_free_buckets(made, table, keys, values)
        inputs = [
            self._add_constant(f"{table.name}/{word}", array, dtype, table)
            for word, array, dtype in zip(("keys", "values"), (keys, values), dtypes, strict=True)
        ]
        op = "LookupTableInsert" if table.op in DENSE_TABLES else "LookupTableImport"
        op = op if table.op in REFERENCE_TABLES else f"{op}V2"
        node = self._add(f"{table.name}/import", op, table)
        node.input.extend([source.handle, *inputs])
        for attribute, dtype in zip(("Tin", "Tout"), dtypes, strict=True):
            node.attr[attribute].type = dtype.code
        return node.name

    def _without_free_buckets(
        self, made: Made, table: messages.NodeDef, keys: Array, values: Array
    ) -> tuple[Array, Array]:
        """Return the keys and values of a dense table without free buckets, which a checkpoint has too.

        Scalars are stored as vectors of one element (``lookup_table_op.cc: MutableHashTableOfDense``).
        """
        dims = table.attr["value_shape"].shape.dim if "value_shape" in table.attr else ()
        # One marker in the first TensorFlow, two later. Control inputs come after them.
        count = sum(not text.startswith("^") for text in table.input)
        markers = [self._constant(made, table, index) for index in range(count)]
        try:
            keys = keys.reshape(len(keys), *markers[0].shape)
            values = values.reshape(len(values), *(dim.size for dim in dims))
            axes = tuple(range(1, keys.ndim))
            used = np.all([np.any(keys != marker, axis=axes) for marker in markers], axis=0)
        except (ValueError, IndexError) as error:
            what = f"{table.op}: got keys of shape {list(keys.shape)} and values of {list(values.shape)}"
            raise GraphError(what, node=table.name) from error
        return keys[used], values[used]

    def _constant(self, made: Made, node: messages.NodeDef, index: int) -> Array:
        """Return the constant that an input of a node is; GraphError if it is computed."""
        source = self._tables.maker(self._tables.origin(node, index, made.function))
        if source is None or source.op != "Const" or "value" not in source.attr:
            raise GraphError(f"{node.op}: input {index} is not a constant", node=node.name)
        return decode_tensor_proto(source.attr["value"].tensor.SerializeToString())

    def _source(self, key: TableKey, made: Made) -> TableSource | None:
        """Return where the mapping has a table, by its names in the checkpoint or by that of its node."""
        source = self.sources.get(key)
        if source is not None and source.keys in self._values and source.values in self._values:
            return source
        # As for variables, the two kinds of names are not mixed.
        if any(other.keys in self._values for other in self.sources.values()) or made.function is not None:
            return None
        source = TableSource(made.node, f"{made.node}-keys", f"{made.node}-values")
        return source if source.keys in self._values and source.values in self._values else None

    def _add_constant(self, name: str, array: Array, dtype: DType, table: messages.NodeDef) -> str:
        if dtype.storage is Storage.NONE or array.dtype != dtype.numpy:
            what = f"{table.op}: {name.rpartition('/')[2]}: got {array.dtype}, want {dtype.name}"
            raise GraphError(what, node=table.name)
        node = self._add(name, "", table)
        fill_constant(node, array, dtype, self._contents)
        return node.name

    def _add(self, name: str, op: str, table: messages.NodeDef) -> messages.NodeDef:
        """Add a node beside a table; a number is appended to a name that is taken."""
        free = free_name(name, self._nodes)
        node = self._nodes[free] = self._graph.node.add(name=free, op=op, device=table.device)
        return node


def _dtype(table: messages.NodeDef, attribute: str) -> DType:
    return find_dtype(table.attr[attribute].type if attribute in table.attr else 0)
