"""Keras models in TensorFlow's own formats: SavedModels, and checkpoints of ``save_weights``."""

from __future__ import annotations

from ckptfmt.errors import CkptfmtError, UnsupportedError
from ckptfmt.keras.description import Config
from ckptfmt.keras.inferred import NOTE, place_inferred
from ckptfmt.keras.keras_model import UNCHANGED, KerasModel, keras_model
from ckptfmt.keras.model_variables import model_variables
from ckptfmt.keras.object_variables import find_model, place_objects
from ckptfmt.keras.placed import Placed
from ckptfmt.keras.saved_models import describes_itself, saved_description
from ckptfmt.keras.structure import Layer, structure
from ckptfmt.keras.translate import translate
from ckptfmt.keras.vocabularies import Word, checkpoint_vocabulary, saved_vocabulary
from ckptfmt.limits import Limits
from ckptfmt.object_graph.object_graph import ObjectNode
from ckptfmt.saved_model.saved_model import open_saved_model
from ckptfmt.storage.filesystem import Filesystem
from ckptfmt.tensors.tensors import Tensors


def open_keras_saved_model(fs: Filesystem, path: str, config: Config | None, limits: Limits) -> KerasModel:
    """Open the Keras 2 model in a SavedModel, with its own variables.

    ``config`` describes it if the SavedModel does not. Without either, it is the checkpoint that is opened.
    """
    model = open_saved_model(path, fs=fs, limits=limits)
    checkpoint = model.checkpoint
    if checkpoint is None or checkpoint.object_graph is None:
        raise UnsupportedError("this SavedModel has no variables that belong to objects", file=model.file)
    described = describes_itself(model)
    # A subclassed model has no numbered layers.
    node = checkpoint.object_graph.root if described else find_model(checkpoint.object_graph)
    if config is None and (described or node is None):
        config = saved_description(model)
    if node is None or config is None:
        return open_keras_checkpoint(checkpoint, config, limits)
    translation = translate(config, file=model.file, limits=limits)
    layers = structure(translation.config)
    placed = _place(layers, node, path)

    def vocabulary(layer: Layer) -> list[Word] | None:
        node = placed.objects.get(layer.path)
        return None if node is None else saved_vocabulary(model, fs, checkpoint, layer, node)

    return keras_model(path, checkpoint, translation, layers, placed, vocabulary)


def open_keras_checkpoint(tensors: Tensors, config: Config | None, limits: Limits) -> KerasModel:
    """Return the Keras 2 model in a checkpoint, which ``config`` describes.

    Without it, classes are inferred from the names that Keras gives to layers, and there are only weights.
    """
    graph = tensors.object_graph
    node = None if graph is None else find_model(graph)
    if node is None:
        raise UnsupportedError("the checkpoint has no Keras model among its objects", file=tensors.prefix)
    if config is None:
        placed = place_inferred(node, tensors.prefix, limits)
        variables = model_variables(tensors, placed.tensors, tensors.prefix)
        return KerasModel(tensors.prefix, variables, notes=(NOTE, UNCHANGED))
    translation = translate(config, limits=limits)
    layers = structure(translation.config)
    placed = _place(layers, node, tensors.prefix)

    def vocabulary(layer: Layer) -> list[Word] | None:
        found = placed.objects.get(layer.path)
        return None if found is None else checkpoint_vocabulary(tensors, layer, found)

    return keras_model(tensors.prefix, tensors, translation, layers, placed, vocabulary)


def _place(layers: Layer, node: ObjectNode, file: str) -> Placed:
    try:
        return place_objects(layers, node)
    except CkptfmtError as error:
        raise error.at(file) from None
