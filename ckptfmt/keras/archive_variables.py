"""Variables of layers in the layout of Keras 3, as Keras 2 writes it since 2.12: ``.keras``, ``.weights.h5``.

It differs in few places: Keras 2.12 has ``_layer_checkpoint_dependencies`` for ``layers``, a
MultiHeadAttention has its layers under private names, and a Discretization stores what it has counted. The
variables of the optimizer and of metrics are stored beside those of the model.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from itertools import takewhile

from ckptfmt.keras.description import Config, parse_description
from ckptfmt.keras.layer_variables import INNER_CELLS
from ckptfmt.keras.placed import Placed
from ckptfmt.keras.structure import Layer, structure
from ckptfmt.keras.translation import below
from ckptfmt.limits import Limits

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


def place_archived(model: Layer, names: Iterable[str], config: Config, limits: Limits) -> Placed:
    """Return where the variables of a model go that an archive of Keras 2 has, given its configuration."""
    old = structure(parse_description(config, limits))
    archive = _Archive(translate_paths(names), {layer.where: layer.path for layer in old.walk()})
    archive.place(model, model.path)
    return archive.placed


class _Archive:
    """The variables of an archive being placed."""

    def __init__(self, tensors: dict[str, str], old: dict[str, str]) -> None:
        self.tensors = tensors
        self.paths = sorted(tensors)
        self.placed = Placed()
        self.above = {above for path in tensors for above in _above(path)}
        """The paths of all layers that have variables, themselves or in layers inside of them."""
        self.old = old
        """Where layers are by the names that Keras 2 has for their classes."""
        self.first: dict[tuple[str, str], str] = {}
        """Where the first layer of a name and class is stored."""

    def place(self, layer: Layer, stored: str) -> None:
        """Place the variables of a layer that is stored at a path."""
        if not layer.is_known:
            self._place_unknown(layer, stored)
            return
        for path, variable in layer.places():
            name = self.tensors.get(_moved(path, layer.path, stored))
            if name is None:
                self.placed.miss(layer, variable.names[0])
            else:
                self.placed.tensors[path] = name
        for inner in layer.layers:
            self.place(inner, self._stored(inner, layer, stored))

    def _stored(self, inner: Layer, layer: Layer, stored: str) -> str:
        """Return where a layer in a layer is stored."""
        at = _moved(inner.path, layer.path, stored)
        if at not in self.above and layer.class_name in INNER_CELLS:
            return stored  # the layers of CuDNN have no cell
        if layer.is_model:
            old = self.old.get(inner.where)
            if old is not None:
                at = _moved(old, self.old.get(layer.where, ""), stored)
            # A layer that several models have is stored once.
            if at not in self.above:
                at = self.first.get((inner.class_name, inner.name), at)
            self.first.setdefault((inner.class_name, inner.name), at)
        return at

    def _place_unknown(self, layer: Layer, stored: str) -> None:
        """Take over all that is stored below a path."""
        start = f"{stored}/" if stored else ""
        own = takewhile(lambda path: path.startswith(start), self.paths[bisect_left(self.paths, start) :])
        found = {_moved(path, stored, layer.path): self.tensors[path] for path in own}
        self.placed.tensors |= found
        self.placed.guessed += [layer.where or layer.name] if found else []


def _moved(path: str, above: str, to: str) -> str:
    """Return a path below another as one below a third."""
    return below(to, path[len(above) + 1 :] if above else path)


def _above(path: str) -> Iterator[str]:
    end = path.rfind("/vars/")
    while end > 0:
        yield path[:end]
        end = path.rfind("/", 0, end)
