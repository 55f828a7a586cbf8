"""Variables of layers in the layout of Keras 3, as Keras 2 writes it since 2.12: ``.keras``, ``.weights.h5``.

It differs in few places: Keras 2.12 has ``_layer_checkpoint_dependencies`` for ``layers``, a
MultiHeadAttention has its layers under private names, and a Discretization stores what it has counted. The
variables of the optimizer and of metrics are stored beside those of the model.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from ckptfmt.keras.placed import Placed
from ckptfmt.keras.structure import Layer

_OLD_LAYERS = "_layer_checkpoint_dependencies"

_PRIVATE = re.compile(r"/_(query|key|value|output)_dense(?=/)")

IN_LAYOUT = re.compile(r"(?:[^/]+/)*vars/[^/]+")
"""A path that a variable may have."""

_NOT_THE_MODEL = re.compile(r"(optimizer|metrics|compile_metrics|_metrics|loss)(/|$)")


def translate_paths(names: Iterable[str]) -> dict[str, str]:
    """Return where the variables of an archive of Keras 2 go, and the names of their tensors."""
    return {
        _PRIVATE.sub(r"/\1_dense", name.replace(_OLD_LAYERS, "layers")): name
        for name in names
        if not _NOT_THE_MODEL.match(name)
    }


def place_archived(model: Layer, names: Iterable[str]) -> Placed:
    """Return where the variables of a model go that an archive of Keras 2 has."""
    archive = _Archive(translate_paths(names))
    archive.place(model, model.path)
    return archive.placed


class _Archive:
    """The variables of an archive being placed."""

    def __init__(self, tensors: dict[str, str]) -> None:
        self.tensors = tensors
        self.placed = Placed()
        self.above = {above for path in tensors for above in _above(path)}
        """The paths of all layers that have variables, themselves or in layers inside of them."""
        self.first: dict[tuple[str, str], str] = {}
        """Where the first layer of a name and class is stored."""

    def place(self, layer: Layer, stored: str) -> None:
        """Place the variables of a layer that is stored at a path."""
        if not layer.is_known:
            start = f"{stored}/"
            own = {
                layer.path + path[len(stored) :]: name
                for path, name in self.tensors.items()
                if path.startswith(start)
            }
            self.placed.tensors |= own
            self.placed.guessed += [layer.where] if own else []
            return
        for path, variable in layer.places():
            name = self.tensors.get(stored + path[len(layer.path) :] if layer.path else path)
            if name is None:
                self.placed.miss(layer, variable.names[0])
            else:
                self.placed.tensors[path] = name
        for inner in layer.layers:
            at = stored + inner.path[len(layer.path) :]
            if layer.is_model:
                # A layer that several models have is stored once.
                if at not in self.above:
                    at = self.first.get((inner.class_name, inner.name), at)
                self.first.setdefault((inner.class_name, inner.name), at)
            self.place(inner, at)


def _above(path: str) -> Iterator[str]:
    end = path.rfind("/vars/")
    while end > 0:
        yield path[:end]
        end = path.rfind("/", 0, end)
