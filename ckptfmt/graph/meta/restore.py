"""Restoring: the part of a graph through which a Saver reads variables, followed without running it.

The names in a checkpoint are not those of the variables but constants that a Saver gives to its restore ops::

    restore_op_name → NoOp … → Assign(variable, value)
                                      value ← Identity … ← RestoreV2:k    tensor_names[k], shape_and_slices[k]

So a variable that ``Saver({"renamed": v})`` saves has the name in the checkpoint, and the parts of a
partitioned variable all have the name of the whole, each with its slice.

Source: TensorFlow ``python/training/saver.py``, ``core/ops/io_ops.cc``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from ckptfmt.arrays.decode import decode_tensor_proto
from ckptfmt.arrays.shape import Shape
from ckptfmt.checkpoint.slice_specs import parse_spec
from ckptfmt.checkpoint.slices import Region
from ckptfmt.dtypes import DTYPES, REF_OFFSET, DType, find_dtype
from ckptfmt.errors import CkptfmtError, CorruptError, GraphError
from ckptfmt.graph.node import parse_output
from ckptfmt.graph.ops import RESTORE_OPS
from ckptfmt.graph.origins import Origins
from ckptfmt.proto import messages

ASSIGN_OPS = frozenset({"Assign", "AssignVariableOp"})


class RestoredTensor(NamedTuple):
    """One tensor that a restore op reads."""

    name: str
    """Its name in the checkpoint."""
    dtype: DType
    """Its dtype."""
    full_shape: Sequence[int] | None
    """Its full shape as its slice says it; None if it is read whole."""
    region: Region | None
    """The part that is read; None if it is read whole."""


class RestoreGraph(Origins):
    """The nodes of a graph, or of a function that restores.

    Raises CorruptError from all methods if an input does not exist.
    """

    def __init__(self, nodes: Iterable[messages.NodeDef], file: str, *, in_function: bool = False) -> None:
        super().__init__(nodes, file, in_function=in_function)
        self._restored: dict[str, list[RestoredTensor]] = {}

    def leading_to(self, name: str) -> Iterator[messages.NodeDef]:
        """Iterate over every node that must run for a node, each once, in the order of inputs."""
        seen = {name}
        waiting = [name]
        while waiting:
            node = self.node(waiting.pop())
            yield node
            # Reversed, because the last is taken first.
            names = [parse_output(text).node for text in reversed(node.input)]
            fresh = [name for name in dict.fromkeys(names) if name not in seen]
            seen.update(fresh)
            waiting += fresh

    def assignments(self, nodes: Iterable[messages.NodeDef]) -> Iterator[tuple[str, RestoredTensor]]:
        """Iterate over the restored tensors that nodes assign, each after what it is assigned to.

        The target is the name of a node or, in a function, of an argument. Raises the errors of
        :meth:`restored_tensors` too.
        """
        for node in nodes:
            if node.op not in ASSIGN_OPS:
                continue
            value = self.origin(node, 1)
            restore = self.nodes.get(value.node)
            if restore is None or restore.op not in RESTORE_OPS:
                continue
            tensors = self.restored_tensors(restore)
            if value.number < len(tensors):
                yield self.origin(node, 0).node, tensors[value.number]

    def restored_tensors(self, node: messages.NodeDef) -> list[RestoredTensor]:
        """Return the tensors that a restore op reads, by the number of its output.

        Raises CorruptError if a constant or a slice is damaged, GraphError if names are computed.
        """
        if node.name not in self._restored:
            self._restored[node.name] = list(self._decode_restore(node))
        return self._restored[node.name]

    def _decode_restore(self, node: messages.NodeDef) -> Iterator[RestoredTensor]:
        # The older ops read one tensor each, whose dtype is ``dt``.
        if node.op == "RestoreV2":
            types = list(node.attr["dtypes"].list.type) if "dtypes" in node.attr else []
        else:
            types = [node.attr["dt"].type if "dt" in node.attr else 0]
        names = self._strings(node, 1, len(types))
        slices = self._strings(node, 2, len(types)) if node.op != "Restore" else [""] * len(types)
        for name, code, part in zip(names, types, slices, strict=True):
            shape, region = self._spec(part) if part else (None, None)
            yield RestoredTensor(name, base_dtype(code), shape, region)

    def _spec(self, text: str) -> tuple[Shape, Region]:
        try:
            return parse_spec(text)
        except CorruptError as error:
            raise error.at(self.file) from None

    def _strings(self, node: messages.NodeDef, index: int, count: int) -> list[str]:
        """Return the ``count`` constant strings that an input of a node must be."""
        source = self.input(node, index).node
        if source.op != "Const":
            what = f"input {index} is not a constant but a {source.op}"
            raise GraphError(what, node=node.name, file=self.file)
        tensor = source.attr["value"].tensor if "value" in source.attr else messages.TensorProto()
        shape = [dim.size for dim in tensor.tensor_shape.dim]
        # Compared before decoding: a shape of a few bytes can claim any number of strings.
        fits = shape == [count] or (not shape and count == 1)
        if tensor.dtype != messages.DataType.DT_STRING or not fits:
            dtype = find_dtype(tensor.dtype).name
            what = f"constant {source.name!r}: got {dtype}{shape}, want {count} strings"
            raise CorruptError(what, file=self.file)
        try:
            values = decode_tensor_proto(tensor.SerializeToString()).ravel().tolist()
        except CkptfmtError as error:
            raise error.at(self.file, label=f"constant {source.name!r}") from error.__cause__
        # Each is decoded once: one stored value may stand for any number of elements.
        texts = {value: value.decode("utf-8", "surrogateescape") for value in values}
        return [texts[value] for value in values]


def base_dtype(code: int) -> DType:
    """Return the dtype with a code; for a reference, such as an output of ``Variable``, what it refers to."""
    return DTYPES.get(code - REF_OFFSET) or find_dtype(code)
