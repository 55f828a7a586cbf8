"""Keras models whose tensors are named as Keras 3 stores them: ``layers/dense/vars/0``."""

from __future__ import annotations

from ckptfmt.keras.archive_variables import place_archived, translate_paths
from ckptfmt.keras.description import Config, is_written_by_keras_3, parse_description
from ckptfmt.keras.keras_model import KerasModel, keras_model
from ckptfmt.keras.model_variables import model_variables
from ckptfmt.keras.structure import Layer, structure
from ckptfmt.keras.translate import translate
from ckptfmt.keras.vocabularies import Word
from ckptfmt.limits import Limits
from ckptfmt.tensors.tensors import Tensors


def layout_model(tensors: Tensors, config: Config | None, limits: Limits) -> KerasModel:
    """Return the model that tensors in the layout of Keras 3, or Keras 2.12 and later, belong to."""
    path, names = tensors.prefix, list(tensors)
    if config is None:
        return KerasModel(path, model_variables(tensors, translate_paths(names), path))
    translation = translate(config, limits=limits)
    if is_written_by_keras_3(parse_description(config, limits)):
        return KerasModel(path, model_variables(tensors, {name: name for name in names}, path), translation)
    model = structure(translation.config)
    placed = place_archived(model, names, config, limits)
    return keras_model(path, tensors, translation, model, placed, no_vocabulary)


def no_vocabulary(layer: Layer) -> list[Word] | None:
    """Return None: the file has no vocabularies."""
    return None
