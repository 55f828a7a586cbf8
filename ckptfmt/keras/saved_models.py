"""Which model a SavedModel of Keras 2 is: the description of its root."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ckptfmt.errors import UnsupportedError
from ckptfmt.saved_model.saved_model import SavedModel


def saved_description(model: SavedModel) -> Mapping[str, Any]:
    """Return the description of the model in a SavedModel, as ``translate`` takes it.

    Raises UnsupportedError if it says nothing: it was not written by ``model.save`` of Keras 2.
    """
    found = _of_root(model)
    if found is not None:
        return found
    what = "this SavedModel does not describe its layers; model.save of Keras 2 writes models that do"
    raise UnsupportedError(what, file=model.file)


def describes_itself(model: SavedModel) -> bool:
    """Return whether a SavedModel says which model it is."""
    return _of_root(model) is not None


def _of_root(model: SavedModel) -> Mapping[str, Any] | None:
    for layer in model.keras_layers:
        if layer.node == 0 and layer.metadata:
            return layer.metadata
    return None
