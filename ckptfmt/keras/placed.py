"""Which tensor of a file goes where in a file of Keras 3, and which variables were not found."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from ckptfmt.errors import UnsupportedError
from ckptfmt.keras.structure import Layer
from ckptfmt.object_graph.object_graph import ObjectNode
from ckptfmt.text.quoting import listed, shortened

_LISTED = 20
"""Layers that a message lists."""


@dataclass
class Placed:
    """Tensors by where Keras 3 stores them."""

    tensors: dict[str, str] = field(default_factory=dict)
    """Name of each tensor in its file, by where it goes: ``layers/dense/vars/0``."""
    objects: dict[str, ObjectNode] = field(default_factory=dict)
    """The object of each layer, by where Keras 3 stores that, if the file has objects."""
    missing: dict[str, str] = field(default_factory=dict)
    """What is missing, by the names of the layer."""
    guessed: list[str] = field(default_factory=list)
    """Names of layers of other classes than Keras's own, whose variables are in the order of Keras 2."""

    def miss(self, layer: Layer, what: str) -> None:
        """Note that a variable of a layer was not found."""
        self.missing.setdefault(layer.where or layer.name, what)

    def raise_if_missing(self, file: str) -> None:
        """Raise UnsupportedError if variables were not found, which names the layers."""
        if self.missing:
            raise UnsupportedError(
                f"variables were not found: {listed(self.missing.items(), _LISTED, quote=_text)}", file=file
            )


def _text(missing: tuple[str, str]) -> str:
    return f"{missing[1]} of layer {shortened(missing[0])!r}"


def names_text(names: Iterable[str]) -> str:
    """Return the names of variables for a message."""
    return "/".join(names)
