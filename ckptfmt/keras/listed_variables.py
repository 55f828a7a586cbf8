"""Variables of layers that a file has in the order of Keras 2: HDF5 files of ``save`` and ``save_weights``.

::

    layer_names                        the layers of the model, in the order of model.layers
    dense/weight_names                 dense/kernel:0, dense/bias:0
    bidirectional/weight_names         those of all layers in it, in one list

A layer lists what training changes, then the rest, each time its own before those of the layers in it. For a
frozen layer, everything is the rest. The names are those of scopes, which need not be layers.

Source: Keras 2 ``saving/legacy/hdf5_format.py``, ``engine/base_layer.py``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TypeAlias

from ckptfmt.errors import UnsupportedError
from ckptfmt.keras.layer_variables import RANKS, LayerVariable
from ckptfmt.keras.placed import Placed
from ckptfmt.keras.structure import Layer, variable_path
from ckptfmt.text.quoting import listed, shortened

Slot: TypeAlias = "tuple[str, LayerVariable]"
"""Where a variable goes, and which it is."""


def place_listed(model: Layer, weights: Mapping[str, Sequence[str]]) -> Placed:
    """Return where the variables of a model go; ``weights`` are the names of tensors of each top layer."""
    placed = Placed()
    layers = [layer for layer in model.layers if not layer.is_input]
    by_name = {layer.name: layer for layer in layers}
    listing = {name: names for name, names in weights.items() if names}
    if listing.keys() <= by_name.keys():
        pairs = [(by_name[name], names) for name, names in listing.items()]
    else:
        # Another model of the same architecture, whose layers have other names: Keras 2 goes by their order.
        having = [
            layer for layer in layers if any(each.variables or not each.is_known for each in layer.walk())
        ]
        if len(having) != len(listing):
            raise UnsupportedError(
                f"the file has weights of {len(listing)} layers ({listed(listing)}), the configuration "
                f"{len(having)} layers with weights ({listed([each.name for each in having])})"
            )
        pairs = list(zip(having, listing.values(), strict=True))
    for layer, names in pairs:
        _place(layer, names, placed)
    found = {layer.name for layer, _ in pairs}
    for layer in layers:
        if layer.name not in found:
            for each in layer.walk():
                for variable in each.variables:
                    placed.miss(each, variable.names[0])
    return placed


def _place(layer: Layer, names: Sequence[str], placed: Placed) -> None:
    if not layer.is_known and not layer.layers:
        placed.tensors |= {variable_path(layer.path, at): name for at, name in enumerate(names)}
        placed.guessed.append(layer.where)
        return
    shared = dict(_shared_kernels(layer))
    trained, rest = _split(layer, shared)
    slots = trained + rest
    if len(slots) != len(names):
        want = listed([variable.names[0] for _, variable in slots], 20)
        raise UnsupportedError(
            f"layer {shortened(layer.name)!r} of class {shortened(layer.class_name)!r}: "
            f"got {len(names)} weights ({listed(names, 20)}), want {len(slots)} ({want})"
        )
    for (path, variable), name in zip(_sorted_by_name(slots, names), names, strict=True):
        own = own_name(name)
        if own in RANKS and own not in variable.names:
            raise UnsupportedError(
                f"layer {shortened(layer.name)!r}: got weight {shortened(name)!r}, want {variable.names[0]!r}"
            )
        placed.tensors[path] = name
    for path, (slot, _) in shared.items():
        placed.tensors[path] = placed.tensors[slot]


def _shared_kernels(layer: Layer) -> Iterator[tuple[str, Slot]]:
    """Iterate over the kernels that two layers have, by their paths in the wrapped layers.

    A SpectralNormalization also calls the kernel of its layer its own, so Keras 2 lists it once, as the
    wrapper's, by the name that the wrapped layer gave it; Keras 3 stores it for each of the two.
    """
    for each in layer.walk():
        if each.class_name == "SpectralNormalization":
            for inner in each.layers[:1]:
                for path, variable in inner.places():
                    if variable.names[0] in ("kernel", "embeddings"):
                        yield path, (each.places()[0][0], variable)


def _sorted_by_name(slots: list[Slot], names: Sequence[str]) -> list[Slot]:
    """Return the slots in the order of names that tell them apart; as they are if the names do not."""
    by_name = {own: slot for slot in slots for own in slot[1].names}
    if len({slot[0] for slot in by_name.values()}) != len(slots):
        return slots
    chosen = [by_name.get(own_name(name)) for name in names]
    paths = {slot[0] for slot in chosen if slot is not None}
    return [slot for slot in chosen if slot is not None] if len(paths) == len(slots) else slots


def own_name(name: str) -> str:
    """Return what a layer calls a weight, without its scopes and numbers: ``kernel`` of ``a/kernel_1:0``."""
    return re.sub(r"(_\d+)?(:\d+)?$", "", name.rpartition("/")[2])


def _split(layer: Layer, shared: Mapping[str, Slot]) -> tuple[list[Slot], list[Slot]]:
    """Return the variables of a layer and those in it that training changes, and the rest.

    A shared kernel counts as the outer layer's; see :func:`_shared_kernels`.
    """
    names = dict(shared.values())
    places = [
        (path, names.get(path, variable))
        for path, variable in layer.places()
        if variable.key is None and path not in shared
    ]
    trained = [slot for slot in places if slot[1].is_trained]
    rest = [slot for slot in places if not slot[1].is_trained]
    inner = [_split(each, shared) for each in layer.layers]
    trained_inside = [slot for each, _ in inner for slot in each]
    rest_inside = [slot for _, each in inner for slot in each]
    if layer.is_trained:
        return trained + trained_inside, rest + rest_inside
    if layer.is_model:
        return [], trained_inside + rest_inside
    return [], trained + rest + [slot for each in inner for slot in each[0] + each[1]]
