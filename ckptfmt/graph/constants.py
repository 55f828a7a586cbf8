"""Constants: a frozen graph as a store of tensors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from ckptfmt.arrays.array import Array
from ckptfmt.arrays.decode import decode_content, to_array
from ckptfmt.dtypes import DType, find_dtype
from ckptfmt.errors import CorruptError, NameNotFoundError
from ckptfmt.graph.outline import Outline
from ckptfmt.graph.tensor_content import content_size
from ckptfmt.proto import messages


class ConstantEntry(NamedTuple):
    """What is known of a constant without its value."""

    name: str
    """The name of its node."""
    dtype: DType
    """Its dtype."""
    shape: tuple[int, ...]
    """Its shape."""
    nbytes: int
    """Bytes that it takes in the file, as a serialized TensorProto."""


class Constants(Mapping[str, Array]):
    """The values of the constants among nodes, by the names of these, decoded when they are asked for.

    Of a large constant every time the same memory, not a copy, until the graph's message is asked for.
    """

    def __init__(self, nodes: Mapping[str, messages.NodeDef], outline: Outline, file: str | None) -> None:
        self._nodes = nodes
        self._outline = outline
        self._file = file

    def __getitem__(self, name: str) -> Array:
        """Return a value as a read-only array.

        Raises
        ------
        NameNotFoundError
            There is no constant of that name (a KeyError).
        CorruptError
            The constant has no value, or one that cannot be decoded.
        LimitError
            A few stored bytes ask for more than a gigabyte.
        """
        # First: what is no more beside the message is in it.
        content = self._outline.content(name)
        tensor = self._tensor(name)
        if tensor is None:
            raise CorruptError(f"constant {name!r} has no value", file=self._file)
        try:
            return to_array(tensor) if content is None else decode_content(tensor, content)
        except CorruptError as error:
            raise CorruptError(f"constant {name!r}: {error.what}", file=self._file) from error

    def entry(self, name: str) -> ConstantEntry:
        """Return what the file says of a constant, without decoding it; of one without a value nothing.

        Raises NameNotFoundError where there is no constant of that name.
        """
        tensor = self._tensor(name)
        if tensor is None:
            return ConstantEntry(name, find_dtype(0), (), 0)
        shape = tuple(dim.size for dim in tensor.tensor_shape.dim)
        # In this order: what is put into the message meanwhile is not counted twice.
        nbytes = tensor.ByteSize()
        content = self._outline.content(name)
        nbytes += 0 if content is None else content_size(len(content))
        return ConstantEntry(name, find_dtype(tensor.dtype), shape, nbytes)

    def _tensor(self, name: str) -> messages.TensorProto | None:
        """The tensor that is the value of a constant, perhaps without its content; None where it has none."""
        node = self._nodes.get(name)
        if node is None:
            raise NameNotFoundError(name, file=self._file or "graph", noun="constant")
        if "value" not in node.attr or node.attr["value"].WhichOneof("value") != "tensor":
            return None
        return node.attr["value"].tensor

    def __iter__(self) -> Iterator[str]:
        return iter(self._nodes)

    def __len__(self) -> int:
        return len(self._nodes)

    def __contains__(self, name: object) -> bool:
        return name in self._nodes

    # Comparing two of them as mappings would end in ambiguous arrays.
    __eq__ = object.__eq__
    __hash__ = object.__hash__

    def __repr__(self) -> str:
        return f"<Constants, {len(self)}>"
