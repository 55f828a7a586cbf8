"""Constants: a frozen graph as a store of tensors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ckptfmt.errors import CorruptError, TensorNotFoundError
from ckptfmt.proto import messages
from ckptfmt.tensor.array import Array
from ckptfmt.tensor.tensor_proto import to_array


class Constants(Mapping[str, Array]):
    """The values of the constants among nodes, by the names of these, decoded when they are asked for."""

    def __init__(self, nodes: Mapping[str, messages.NodeDef], file: str | None) -> None:
        self._nodes = nodes
        self._file = file

    def __getitem__(self, name: str) -> Array:
        """Return a value as a read-only array.

        Raises
        ------
        TensorNotFoundError
            There is no constant of that name (a KeyError).
        CorruptError
            The constant has no value, or one that cannot be decoded.
        LimitError
            A few stored bytes ask for more than a gigabyte.
        """
        node = self._nodes.get(name)
        if node is None:
            raise TensorNotFoundError(name, file=self._file or "graph", noun="constant")
        if "value" not in node.attr or node.attr["value"].WhichOneof("value") != "tensor":
            raise CorruptError(f"constant {name!r} has no value", file=self._file)
        try:
            return to_array(node.attr["value"].tensor)
        except CorruptError as error:
            raise CorruptError(f"constant {name!r}: {error.what}", file=self._file) from error

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
