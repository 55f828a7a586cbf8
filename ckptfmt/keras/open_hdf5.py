"""Keras models in HDF5 files: whole models and weights of Keras 2, and weights in the layout of Keras 3.

::

    Keras 2, save             attribute model_config; group model_weights
    Keras 2, save_weights     attribute layer_names; a group for each layer
      a group of weights      attribute layer_names, in parts if it is long: layer_names0, layer_names1
      a layer                 attribute weight_names: the paths of its datasets, from here
    Keras 3, and Keras 2.12 and later for names that end in .weights.h5
                              groups "vars", see ckptfmt.keras.structure

Source: Keras 2 ``saving/legacy/hdf5_format.py``.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from ckptfmt.converting.sources.hdf5.source import HDF5Source, open_hdf5
from ckptfmt.converting.sources.tensor_file import TensorFile
from ckptfmt.errors import CkptfmtError, CorruptError, UnsupportedError
from ckptfmt.keras.archive_variables import IN_LAYOUT
from ckptfmt.keras.description import Config
from ckptfmt.keras.keras_model import KerasModel, keras_model
from ckptfmt.keras.listed_variables import place_listed
from ckptfmt.keras.open_layout import layout_model, no_vocabulary
from ckptfmt.keras.structure import structure
from ckptfmt.keras.translate import translate
from ckptfmt.limits import Limits
from ckptfmt.storage.filesystem import Filesystem

_WEIGHTS = "model_weights"


def open_keras_hdf5(fs: Filesystem, path: str, config: Config | None, limits: Limits) -> KerasModel:
    """Open the Keras model in an HDF5 file; ``config`` describes it if the file does not."""
    source = open_hdf5(fs.open(path), limits)
    try:
        return _model(source, TensorFile(source, partial(_reopen, fs, path, limits)), config, limits)
    except BaseException:
        source.close()
        raise


def _model(source: HDF5Source, file: TensorFile, config: Config | None, limits: Limits) -> KerasModel:
    path = source.path
    attributes = source.attributes()
    own = attributes.get("model_config")
    if own and config is None:
        config = own[0]
    # A model without any weights has the group, too, and nothing in it.
    listing = _listing(source, _WEIGHTS if own or _WEIGHTS in _groups(source) else "")
    if listing is None:
        if not any(IN_LAYOUT.fullmatch(name) for name in file):
            raise UnsupportedError("the file has no weights of Keras", file=path)
        return layout_model(file, config, limits)
    if config is None:
        raise UnsupportedError(
            "the file has weights of Keras 2 and does not describe their layers: pass the configuration of "
            "the model as config=, such as the path of a file with the result of model.to_json()",
            file=path,
        )
    translation = translate(config, file=path, limits=limits)
    model = structure(translation.config)
    try:
        placed = place_listed(model, listing)
    except CkptfmtError as error:
        raise error.at(path) from None
    return keras_model(path, file, translation, model, placed, no_vocabulary)


def hdf5_config(fs: Filesystem, path: str, limits: Limits) -> Config | None:
    """Return the configuration of the model in an HDF5 file of Keras 2, None if it has none."""
    source = open_hdf5(fs.open(path), limits)
    try:
        found = source.attributes().get("model_config")
    finally:
        source.close()
    return found[0] if found else None


def _reopen(fs: Filesystem, path: str, limits: Limits) -> TensorFile:
    return TensorFile(open_hdf5(fs.open(path), limits), partial(_reopen, fs, path, limits))


def _groups(source: HDF5Source) -> set[str]:
    """Return the names of the groups in the root that hold tensors."""
    return {path.partition("/")[0] for path in source.by_path}


def _listing(source: HDF5Source, group: str) -> dict[str, list[str]] | None:
    """Return the names of the tensors of each layer, in the order of Keras 2; None without a list."""
    layers = _names(source.attributes(group or "/"), "layer_names")
    if layers is None:
        return None
    by_path = source.by_path
    inside = f"{group}/" if group else ""
    return {name: _weights(source, f"{inside}{name}", by_path) for name in layers}


def _weights(source: HDF5Source, group: str, by_path: Mapping[str, str]) -> list[str]:
    names = []
    for weight in _names(source.attributes(group), "weight_names") or []:
        name = by_path.get(f"{group}/{weight}")
        if name is None:
            raise CorruptError(
                f"layer {group!r}: it lists the weight {weight!r}, which is missing", file=source.path
            )
        names.append(name)
    return names


def _names(attributes: Mapping[str, list[bytes]], name: str) -> list[str] | None:
    """Return a list of names, which may be in parts; None if it does not exist."""
    found = attributes.get(name)
    if found is None:
        found, part = [], 0
        while (more := attributes.get(f"{name}{part}")) is not None:
            found += more
            part += 1
        if not part:
            return None
    return [each.decode("utf-8", "surrogateescape") for each in found]
