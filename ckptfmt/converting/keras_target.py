"""Conversions to Keras: a source is a model, with layers and a configuration, not only tensors."""

from __future__ import annotations

import importlib
import os
from typing import NamedTuple

from ckptfmt.converting.sinks.sink import Sink
from ckptfmt.converting.targets import TARGETS
from ckptfmt.keras.classes import keras_version
from ckptfmt.keras.description import Config
from ckptfmt.keras.keras_model import KerasModel
from ckptfmt.keras.open_model import open_keras_model, opened_keras_model
from ckptfmt.limits import Limits
from ckptfmt.storage.filesystem import Filesystem
from ckptfmt.tensors.tensors import Tensors

ARCHIVE, WEIGHTS = "keras", "keras-weights"

FORMATS = (ARCHIVE, WEIGHTS)
"""The formats of Keras 3."""


class KerasTarget(NamedTuple):
    """A model to be written for Keras 3."""

    tensors: Tensors
    """Its variables, under the names that Keras 3 has for them."""
    sink: Sink
    notes: tuple[str, ...]
    """What the user should know, in sentences."""


def keras_target(
    source: str | os.PathLike[str] | Tensors,
    format: str,  # noqa: A002
    config: Config | str | os.PathLike[str] | None,
    fs: Filesystem,
    limits: Limits,
) -> KerasTarget:
    """Return a model as it is written in a format of Keras.

    Raises UnsupportedError if the source is no model of Keras, or has layers that Keras 3 cannot have.
    """
    if isinstance(source, Tensors):
        model = opened_keras_model(source, config, fs, limits)
    else:
        model = open_keras_model(fs, os.fspath(source), config, limits)
    return KerasTarget(model.tensors, _sink(model, format), model.notes)


def _sink(model: KerasModel, format: str) -> Sink:  # noqa: A002
    module, _, name = TARGETS[format].sink.partition(":")
    made = getattr(importlib.import_module(module), name)
    if format == WEIGHTS:
        weights: Sink = made(model.names)
        return weights
    archive: Sink = made(model.config(), model.names, model.assets, keras_version())
    return archive
