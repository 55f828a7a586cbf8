"""Keras models in any of the formats that they are saved in."""

from __future__ import annotations

import importlib
import os

from ckptfmt import filetype
from ckptfmt.filetype import Holds
from ckptfmt.keras.archive_variables import IN_LAYOUT
from ckptfmt.keras.description import Config
from ckptfmt.keras.keras_model import KerasModel
from ckptfmt.keras.open_config import read_config
from ckptfmt.keras.open_layout import layout_model
from ckptfmt.keras.open_saved import open_keras_checkpoint, open_keras_saved_model
from ckptfmt.limits import Limits
from ckptfmt.storage.filesystem import Filesystem
from ckptfmt.tensors.checkpoint import open_checkpoint
from ckptfmt.tensors.tensors import Tensors


def opened_keras_model(
    tensors: Tensors, config: Config | str | os.PathLike[str] | None, fs: Filesystem, limits: Limits
) -> KerasModel:
    """Return the Keras model in an open checkpoint, or in tensors that have the names of Keras 3."""
    described = None if config is None else read_config(fs, config, limits)
    if all(IN_LAYOUT.fullmatch(name) for name in tensors):
        return layout_model(tensors, described, limits)
    return open_keras_checkpoint(tensors, described, limits)


def open_keras_model(
    fs: Filesystem, path: str, config: Config | str | os.PathLike[str] | None, limits: Limits
) -> KerasModel:
    """Open the Keras model in a SavedModel, an ``.h5`` or ``.keras`` file, or a checkpoint.

    ``config`` describes the model if the file does not: an object, JSON, or the path of a file with one.

    Raises UnsupportedError if the path does not lead to a Keras model, or variables are missing.
    """
    described = None if config is None else read_config(fs, config, limits)
    kind = filetype.recognise_path(fs, path)
    if kind is not None and kind.holds is Holds.SAVED_MODEL:
        return open_keras_saved_model(fs, path, described, limits)
    # These modules need h5py, which SavedModels do not.
    if kind is not None and kind.tensors == "hdf5":
        open_hdf5 = importlib.import_module("ckptfmt.keras.open_hdf5")
        model: KerasModel = open_hdf5.open_keras_hdf5(fs, path, described, limits)
    elif kind is not None and kind.tensors == "keras":
        open_archive = importlib.import_module("ckptfmt.keras.open_archive")
        model = open_archive.open_keras_archive(fs, path, limits)
    else:
        model = open_keras_checkpoint(open_checkpoint(path, fs=fs, limits=limits), described, limits)
    return model
