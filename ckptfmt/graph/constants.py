"""Constants: a frozen graph as a store of tensors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from ckptfmt.arrays.array import Array
from ckptfmt.arrays.decode import decode_content, to_array
from ckptfmt.dtypes import DType, find_dtype
from ckptfmt.errors import CkptfmtError, CorruptError, NameNotFoundError
from ckptfmt.graph.outline import Outline
from ckptfmt.graph.tensor_content import content_size
from ckptfmt.notebook.card import Card, Table
from ckptfmt.notebook.completions import first_keys
from ckptfmt.notebook.page import to_html
from ckptfmt.proto import messages
from ckptfmt.text.closest import closest_names
from ckptfmt.text.printing import shape_text, size_text


class ConstantEntry(NamedTuple):
    """Name, dtype, shape and size of a constant, without its value."""

    name: str
    """The name of its node."""
    dtype: DType
    """Its dtype."""
    shape: tuple[int, ...]
    """Its shape."""
    nbytes: int
    """Bytes that it takes in the file, as a serialized TensorProto."""

    def _card(self) -> Card:
        facts = (
            ("dtype", self.dtype.name),
            ("shape", shape_text(self.shape)),
            ("size", size_text(self.nbytes)),
        )
        return Card("ConstantEntry", self.name, facts)

    def _repr_html_(self) -> str:
        return to_html(self._card)


class Constants(Mapping[str, Array]):
    """The values of constants by the names of their nodes, decoded on access.

    A large constant is the same memory every time, not a copy, until the graph's message is accessed.
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
            No constant has that name (a KeyError).
        CorruptError
            The constant has no value, or one that cannot be decoded.
        UnsupportedError
            Its dtype has no values.
        LimitError
            A few stored bytes ask for more bytes than the limits allow.
        """
        # Content first, then the message: content that the outline no longer has is already in the message.
        content = self._outline.content(name)
        tensor = self._tensor(name)
        if tensor is None:
            raise CorruptError(f"constant {name!r} has no value", file=self._file)
        try:
            return (
                to_array(tensor, limits=self._outline.limits)
                if content is None
                else decode_content(tensor, content)
            )
        except CkptfmtError as error:
            raise error.at(self._file or "graph", label=f"constant {name!r}") from error.__cause__

    def entry(self, name: str) -> ConstantEntry:
        """Return dtype, shape and size of a constant without decoding it; if it has no value, its size is 0.

        Raises NameNotFoundError if no constant has that name.
        """
        tensor = self._tensor(name)
        if tensor is None:
            return ConstantEntry(name, find_dtype(0), (), 0)
        shape = tuple(dim.size for dim in tensor.tensor_shape.dim)
        # The other way round here: content that another thread moves into the message in between is not
        # counted twice.
        nbytes = tensor.ByteSize()
        content = self._outline.content(name)
        nbytes += 0 if content is None else content_size(len(content))
        return ConstantEntry(name, find_dtype(tensor.dtype), shape, nbytes)

    def _tensor(self, name: str) -> messages.TensorProto | None:
        """Return the value of a constant, perhaps without its content; None if it has none."""
        node = self._nodes.get(name)
        if node is None:
            close = closest_names(str(name), self._nodes)
            raise NameNotFoundError(name, file=self._file or "graph", noun="constant", close_matches=close)
        if "value" not in node.attr or node.attr["value"].WhichOneof("value") != "tensor":
            return None
        return node.attr["value"].tensor

    def __iter__(self) -> Iterator[str]:
        return iter(self._nodes)

    def __len__(self) -> int:
        return len(self._nodes)

    def __contains__(self, name: object) -> bool:
        return name in self._nodes

    # Mappings compare their values, and arrays have no single truth value.
    __eq__ = object.__eq__
    __hash__ = object.__hash__

    def __repr__(self) -> str:
        return f"<Constants, {len(self)}>"

    def _cells(self, name: str) -> tuple[str, str, str, str]:
        entry = self.entry(name)
        return name, entry.dtype.name, shape_text(entry.shape), size_text(entry.nbytes)

    def _repr_html_(self) -> str:
        columns = ("name", "dtype", "shape", "size")
        table = Table("Constants", columns, lambda: self, self._cells, is_open=True)
        return to_html(lambda: Card("Constants", self._file or "", parts=[table]))

    def _ipython_key_completions_(self) -> list[str]:
        return first_keys(self)
