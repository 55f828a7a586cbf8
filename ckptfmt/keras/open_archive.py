"""Keras models in ``.keras`` archives: those of Keras 3 as they are, those of Keras 2 translated."""

from __future__ import annotations

import json
from contextlib import closing
from functools import partial
from typing import Any

from ckptfmt.converting.sources.keras.archive import open_source
from ckptfmt.converting.sources.tensor_file import TensorFile
from ckptfmt.converting.sources.zip.archive import ZipArchive
from ckptfmt.errors import CkptfmtError, CorruptError
from ckptfmt.keras.archive_variables import place_archived
from ckptfmt.keras.description import Config
from ckptfmt.keras.keras_model import KerasModel, keras_model
from ckptfmt.keras.model_variables import model_variables
from ckptfmt.keras.structure import Layer, structure
from ckptfmt.keras.translate import translate
from ckptfmt.keras.translation import Translation
from ckptfmt.keras.vocabularies import VOCABULARY, Word, specials
from ckptfmt.limits import Limits
from ckptfmt.storage.filesystem import Filesystem

_ASSETS = "assets/"


def open_keras_archive(fs: Filesystem, path: str, limits: Limits) -> KerasModel:
    """Open the Keras model in an archive."""
    metadata, config, assets = _members(fs, path, limits)
    file = _open(fs, path, limits)
    if _is_keras_3(metadata):
        names = {name: name for name in file}
        return KerasModel(path, model_variables(file, names, path), Translation(config), {}, assets)
    translation = translate(config, file=path, limits=limits)
    model = structure(translation.config)

    def vocabulary(layer: Layer) -> list[Word] | None:
        data = assets.get(f"{layer.path}/{VOCABULARY}")
        if data is None:
            return None
        try:
            words = data.decode().splitlines()[len(specials(layer)) :]
            return [int(word) for word in words] if layer.class_name == "IntegerLookup" else list(words)
        except ValueError as error:
            if isinstance(error, CkptfmtError):
                raise error.at(path) from None
            raise CorruptError(f"layer {layer.where!r}: vocabulary: {error}", file=path) from None

    placed = place_archived(model, list(file), config, limits)
    return keras_model(path, file, translation, model, placed, vocabulary)


def archive_config(fs: Filesystem, path: str, limits: Limits) -> Config | None:
    """Return the configuration of the model in an archive."""
    config: Config = _members(fs, path, limits)[1]
    return config


def _open(fs: Filesystem, path: str, limits: Limits) -> TensorFile:
    return TensorFile(open_source(fs, path, limits), partial(_open, fs, path, limits))


def _is_keras_3(metadata: Any) -> bool:  # noqa: ANN401  (whatever JSON holds)
    version = metadata.get("keras_version") if isinstance(metadata, dict) else None
    return isinstance(version, str) and not version.startswith("2.")


def _members(fs: Filesystem, path: str, limits: Limits) -> tuple[Any, Any, dict[str, bytes]]:
    """Return metadata and configuration of an archive, and its files of assets."""
    with closing(fs.open(path)) as file:
        archive = ZipArchive(file, limits)
        members = [each for each in archive.members if not each.name.endswith((".h5", "/"))]
        limits.check_bytes("members", sum(each.size for each in members), file.size, file=path)
        read = {each.name: bytes(archive.read(each, 0, each.size)) for each in members}
    try:
        config = json.loads(read["config.json"])
        metadata = json.loads(read.get("metadata.json", b"{}"))
    except KeyError:
        raise CorruptError("not a model of Keras: the archive has no config.json", file=path) from None
    except (ValueError, RecursionError) as error:
        raise CorruptError(f"not a model of Keras: {error}", file=path) from None
    assets = {name.removeprefix(_ASSETS): data for name, data in read.items() if name.startswith(_ASSETS)}
    return metadata, config, assets
