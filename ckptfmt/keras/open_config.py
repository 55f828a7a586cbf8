"""Configurations of Keras models that users give beside weights."""

from __future__ import annotations

import importlib
import os
from collections.abc import Mapping

from ckptfmt import filetype
from ckptfmt.errors import UnsupportedError
from ckptfmt.keras.description import Config
from ckptfmt.keras.saved_models import saved_description
from ckptfmt.limits import Limits
from ckptfmt.saved_model.saved_model import open_saved_model
from ckptfmt.storage.filesystem import Filesystem, read_small_file

MAX_CONFIG_BYTES = 256 << 20
"""Bytes of the largest configuration that is read."""


def read_config(fs: Filesystem, config: Config | str | os.PathLike[str], limits: Limits) -> Config:
    """Return a configuration that a user gave: an object, JSON, or the path of a file that has one.

    The file may be JSON, an ``.h5`` or ``.keras`` file or a SavedModel.
    """
    if isinstance(config, str) and config.lstrip().startswith("{"):
        return config
    if isinstance(config, Mapping) and "layers" in config and "class_name" not in config:
        # The result of get_config.
        return {"class_name": "Functional" if "input_layers" in config else "Sequential", "config": config}
    if not isinstance(config, (str, os.PathLike)):
        return config
    path = os.fspath(config)
    kind = filetype.recognise_path(fs, path)
    if kind is not None and kind.holds is filetype.Holds.SAVED_MODEL:
        return saved_description(open_saved_model(path, fs=fs, limits=limits))
    if kind is not None and kind.tensors in ("hdf5", "keras"):
        module, name = {"hdf5": ("open_hdf5", "hdf5_config"), "keras": ("open_archive", "archive_config")}[
            kind.tensors
        ]
        read = getattr(importlib.import_module(f"ckptfmt.keras.{module}"), name)
        found: Config | None = read(fs, path, limits)
        if found is None:
            raise UnsupportedError("the file does not describe a model", file=path)
        return found
    return read_small_file(fs, path, limit=MAX_CONFIG_BYTES, what="the configuration of a model")
