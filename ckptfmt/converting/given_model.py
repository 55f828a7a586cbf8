"""Sources opened for a target: as tensors, and for Keras as a model, with layers and a configuration."""

from __future__ import annotations

import os

from ckptfmt import keras
from ckptfmt.converting.given import Convertible, Given, given_tensors
from ckptfmt.converting.sinks.sink import Sink
from ckptfmt.converting.targets import load_sink
from ckptfmt.keras.description import Config
from ckptfmt.limits import Limits
from ckptfmt.storage.filesystem import Filesystem
from ckptfmt.storage.local import filesystem_of

ARCHIVE, WEIGHTS = "keras", "keras-weights"
"""The formats of Keras 3."""


def open_given(
    source: Convertible,
    format: str,  # noqa: A002
    config: Config | str | os.PathLike[str] | None,
    fs: Filesystem | None,
    limits: Limits,
) -> Given:
    """Return what is to be converted to a format; ``config`` is that of a Keras model.

    Raises what opening it raises; UnsupportedError if the target is of Keras and the source is not a model of
    Keras, or has layers that Keras 3 does not have.
    """
    if format not in (ARCHIVE, WEIGHTS):
        if config is not None:
            raise ValueError(f"config: {format} files have no configuration of a model")
        return Given(given_tensors(source, fs, limits))
    files = filesystem_of(fs=fs)
    if isinstance(source, (str, os.PathLike)):
        model = keras.open_keras_model(files, os.fspath(source), config, limits)
    else:
        tensors = given_tensors(source, fs, limits)
        if len(tensors) != 1:
            raise ValueError(f"source: got {len(tensors)} of them, want one model for {format}")
        model = keras.opened_keras_model(tensors[0], config, files, limits)
    return Given([model.tensors], _sink(model, format), model.notes, model.names)


def _sink(model: keras.KerasModel, format: str) -> Sink:  # noqa: A002
    """Return the sink of a format, which needs the names of layers."""
    if format == WEIGHTS:
        return load_sink(format, model.names)
    return load_sink(format, model.config(), model.names, model.assets, keras.keras_version())
