"""Values of tensors that are neither numbers nor strings."""

from __future__ import annotations

from dataclasses import dataclass

from ckptfmt.arrays.array import Array
from ckptfmt.notebook.card import Card, Table
from ckptfmt.notebook.fields import fields_card
from ckptfmt.notebook.page import to_html
from ckptfmt.text.printing import shape_text


@dataclass(frozen=True, eq=False)
class Variant:
    """An element of a variant tensor: the saved state of a C++ object."""

    type_name: str
    """Its C++ type, e.g. ``tensorflow::TensorList``."""
    metadata: bytes
    """What the type itself wrote, opaque here."""
    tensors: tuple[Array, ...]
    """The tensors it holds."""

    def __repr__(self) -> str:
        shown = ", ".join(f"{t.dtype}{list(t.shape)}" for t in self.tensors[:4])
        more = f", … {len(self.tensors)} in all" if len(self.tensors) > 4 else ""
        return f"<Variant {self.type_name!r} metadata={len(self.metadata)} bytes tensors=({shown}{more})>"

    def _card(self) -> Card:
        tensors = Table(
            "Tensors",
            ("dtype", "shape"),
            lambda: self.tensors,
            lambda tensor: (str(tensor.dtype), shape_text(tensor.shape)),
            is_open=True,
        )
        return Card("Variant", self.type_name, [("metadata", f"{len(self.metadata):,} bytes")], [tensors])

    def _repr_html_(self) -> str:
        return to_html(self._card)


@dataclass(frozen=True)
class ResourceHandle:
    """An element of a resource tensor: a reference to something that lived in a process."""

    device: str
    """Device that held it, e.g. ``/job:localhost/replica:0/task:0/device:CPU:0``."""
    container: str
    """Container in the resource manager of that device."""
    name: str
    """Its name there."""
    hash_code: int
    """Hash of its C++ type, valid on that device in that process."""
    type_name: str
    """Its C++ type, for people to read."""

    def _repr_html_(self) -> str:
        return to_html(lambda: fields_card(self, "ResourceHandle", self.name))
