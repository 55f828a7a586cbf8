"""Signatures: what a model takes and what it returns, by names that its users know."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import NamedTuple, TypeAlias

from ckptfmt.arrays.array import Array
from ckptfmt.arrays.decode import to_array
from ckptfmt.dtypes import DType, find_dtype
from ckptfmt.errors import CkptfmtError, NameNotFoundError
from ckptfmt.graph.attributes import PartialShape, decode_shape
from ckptfmt.graph.node import parse_output
from ckptfmt.notebook.card import Card, Sentence, Table
from ckptfmt.notebook.completions import first_keys
from ckptfmt.notebook.page import to_html
from ckptfmt.proto import messages
from ckptfmt.text.printing import shape_text

DEFAULT_SIGNATURE = "serving_default"
"""The signature that TensorFlow's programs use unless they are told which."""

INIT_SIGNATURE = "__saved_model_init_op"
"""The signature in which TensorFlow 2 keeps the op that initialises a model; it is not one to call."""

_OWN_PREFIX = "__saved_model_"
"""Precedes the names of signatures that TensorFlow keeps for itself, for an init op and a train op."""


_MAX_SHOWN = 12
"""Signatures that a notebook shows."""


class SparseTensor(NamedTuple):
    """The three tensors that make up a sparse one, each as ``node:k``."""

    values: str
    indices: str
    dense_shape: str


class CompositeTensor(NamedTuple):
    """The tensors that make up a ragged or other composite one."""

    type_spec: messages.TypeSpecProto
    """Its kind."""
    components: tuple[TensorInfo, ...]
    """Its parts."""


class TensorInfo(NamedTuple):
    """Name, dtype and shape of a tensor of a signature."""

    tensor: str | SparseTensor | CompositeTensor | None
    """The tensor in the graph, ``node:k``, or the tensors that make it up; None if the file does not say."""
    dtype: DType
    """Its dtype."""
    shape: PartialShape
    """Its shape, with None for an open size; None if the number of dimensions is open."""

    def _tensor_text(self) -> str:
        """Return the tensor, or the tensors that make it up, in a line."""
        tensor = self.tensor
        if tensor is None or isinstance(tensor, str):
            return tensor or ""
        if isinstance(tensor, SparseTensor):
            return f"sparse: {', '.join(tensor)}"
        return f"composite: {', '.join(each._tensor_text() for each in tensor.components[:8])}"

    def _card(self) -> Card:
        facts = ("dtype", self.dtype.name), ("shape", shape_text(self.shape)), ("tensor", self._tensor_text())
        return Card("TensorInfo", facts=facts)

    def _repr_html_(self) -> str:
        return to_html(self._card)


Infos: TypeAlias = "dict[str, TensorInfo]"


class Signature(NamedTuple):
    """A signature: one way to call a model, with named inputs and outputs."""

    method: str
    """Its kind, such as ``tensorflow/serving/predict``."""
    inputs: Infos
    """The tensors that it takes, by name, sorted: the file has no order."""
    outputs: Infos
    """The tensors that it returns, by name, sorted."""
    defaults: dict[str, Array]
    """Values of inputs that may be left out."""

    def _card(self, name: str = "") -> Card:
        def table(title: str, infos: Infos) -> Table:
            return Table(
                title,
                ("name", "dtype", "shape", "tensor"),
                lambda: infos,
                lambda key: (
                    key,
                    infos[key].dtype.name,
                    shape_text(infos[key].shape),
                    infos[key]._tensor_text(),
                ),
                is_open=True,
            )

        facts = ("method", self.method or None), ("defaults", ", ".join(self.defaults) or None)
        parts = [table("Inputs", self.inputs), table("Outputs", self.outputs)]
        return Card("Signature", name, facts, parts)

    def _repr_html_(self) -> str:
        return to_html(self._card)


class Signatures(Mapping[str, Signature]):
    """The signatures of a meta graph that can be called, sorted by name, decoded on access."""

    def __init__(self, stored: Mapping[str, messages.SignatureDef], file: str) -> None:
        self._stored = stored
        self._file = file

    def __getitem__(self, name: str) -> Signature:
        """Return a signature.

        Raises NameNotFoundError if no signature has that name, CorruptError if a default is not a tensor.
        """
        if name not in self:
            close = list(self)[:5]
            raise NameNotFoundError(name, file=self._file, noun="signature", close_matches=close)
        return decode_signature(self._stored[name])

    @property
    def init_op(self) -> str | None:
        """The node that TensorFlow 2 runs after loading; None if no signature names one."""
        stored = self._stored.get(INIT_SIGNATURE)
        if stored is None or INIT_SIGNATURE not in stored.outputs:
            return None
        return parse_output(stored.outputs[INIT_SIGNATURE].name).node or None

    def nodes(self, *names: str) -> set[str]:
        """Return the names of the nodes that compute the outputs of signatures; of all if none is named."""
        known = [name for name in names or self._stored if name in self._stored]
        return {
            parse_output(name).node
            for signature in known
            if not signature.startswith(_OWN_PREFIX)
            for info in self._stored[signature].outputs.values()
            for name in tensor_names(info)
        }

    def __iter__(self) -> Iterator[str]:
        return (name for name in sorted(self._stored) if name != INIT_SIGNATURE)

    def __len__(self) -> int:
        return len(self._stored) - (INIT_SIGNATURE in self._stored)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name != INIT_SIGNATURE and name in self._stored

    def __repr__(self) -> str:
        return f"<Signatures {list(self)}>"

    def _cards(self) -> list[Card]:
        """Return the cards of the first signatures; an error of one stands in its place."""
        cards = []
        for name in islice(self, _MAX_SHOWN):
            try:
                cards.append(self[name]._card(name))
            except CkptfmtError as error:
                cards.append(Card("Signature", name, [("", Sentence(error))], state="bad"))
        # A single one is what most people look for.
        return [cards[0]._replace(is_open=True)] if len(cards) == 1 else cards

    def _repr_html_(self) -> str:
        return to_html(lambda: Card("Signatures", facts=[("", len(self))], parts=self._cards()))

    def _ipython_key_completions_(self) -> list[str]:
        return first_keys(self)


def decode_signature(signature: messages.SignatureDef) -> Signature:
    """Return the signature in a SignatureDef; CorruptError if a default is not a tensor."""
    defaults = signature.defaults
    return Signature(
        signature.method_name,
        {name: decode_tensor_info(signature.inputs[name]) for name in sorted(signature.inputs)},
        {name: decode_tensor_info(signature.outputs[name]) for name in sorted(signature.outputs)},
        {name: to_array(defaults[name]) for name in sorted(defaults)},
    )


def tensor_names(info: messages.TensorInfo) -> Iterator[str]:
    """Iterate over the names of the tensors that an input or output of a signature consists of."""
    waiting = [info]
    while waiting:
        info = waiting.pop()
        sparse = info.coo_sparse
        parts = (sparse.values_tensor_name, sparse.indices_tensor_name, sparse.dense_shape_tensor_name)
        yield from filter(None, (info.name, *parts))
        waiting += info.composite_tensor.components


def decode_tensor_info(info: messages.TensorInfo) -> TensorInfo:
    """Return the tensor, dtype and shape in a TensorInfo."""
    kind = info.WhichOneof("encoding")
    tensor: str | SparseTensor | CompositeTensor | None = None
    if kind == "name":
        tensor = info.name
    elif kind == "coo_sparse":
        parts = info.coo_sparse
        tensor = SparseTensor(
            parts.values_tensor_name, parts.indices_tensor_name, parts.dense_shape_tensor_name
        )
    elif kind == "composite_tensor":
        composite = info.composite_tensor
        components = tuple(map(decode_tensor_info, composite.components))
        tensor = CompositeTensor(composite.type_spec, components)
    # A missing shape is that of a scalar, as ``saved_model_cli`` shows it.
    return TensorInfo(tensor, find_dtype(info.dtype), decode_shape(info.tensor_shape))
