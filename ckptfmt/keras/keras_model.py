"""A model as Keras 3 stores it: its configuration, its variables and its vocabularies."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from ckptfmt.arrays.array import Array
from ckptfmt.errors import CorruptError, UnsupportedError
from ckptfmt.keras.adapted import bin_boundaries
from ckptfmt.keras.model_variables import Change, model_variables
from ckptfmt.keras.placed import Placed
from ckptfmt.keras.structure import INNER_LOOKUP, Layer
from ckptfmt.keras.translation import Translation
from ckptfmt.keras.vocabularies import VOCABULARY, Word, needs_vocabulary, specials, vocabulary_file
from ckptfmt.keras.weight_changes import WeightChange
from ckptfmt.tensors.tensors import Tensors
from ckptfmt.text.quoting import listed, shortened

_LISTED = 20
"""Layers that a message lists."""

_MOST_BINS = 1 << 20
"""The most bins of a Discretization."""

_SHOWN = 80
"""Characters of a value that a note shows."""


UNCHANGED = (
    "the configuration is not known, so weights stay as they are: those of layers with hard_sigmoid, another "
    "function in Keras 3, would have to change"
)
"""What the user should know about weights without a configuration."""


@dataclass(frozen=True)
class KerasModel:
    """A model of Keras in the form of Keras 3, whatever it was stored in."""

    file: str
    """The path that it was opened by."""
    tensors: Tensors
    """Its variables, by where Keras 3 stores them: ``layers/dense/vars/0``."""
    translation: Translation | None = None
    """Its configuration for Keras 3, and what it lost; None if none is known."""
    names: Mapping[str, str] = field(default_factory=dict)
    """Name of each layer by its path: ``layers/dense`` is ``hidden``; empty for the model itself."""
    assets: Mapping[str, bytes] = field(default_factory=dict)
    """Files that a ``.keras`` file has besides, by path: ``layers/string_lookup/vocabulary.txt``."""
    notes: tuple[str, ...] = ()
    """What is not as it was, in sentences."""

    def config(self) -> dict[str, Any]:
        """Return its configuration for Keras 3.

        Raises UnsupportedError, which names the layers, if Keras 3 could not load it or it is not known.
        """
        if self.translation is None:
            raise UnsupportedError(
                "the configuration of the model is not stored: pass config=, or write a .weights.h5 file",
                file=self.file,
            )
        self.translation.raise_if_refused(self.file)
        return self.translation.config


def layer_names(model: Layer) -> dict[str, str]:
    """Return the name of each layer by its path, as Keras 3 notes it."""
    return {each.path: each.name for each in model.walk()}


def keras_model(
    file: str,
    tensors: Tensors,
    translation: Translation,
    model: Layer,
    placed: Placed,
    vocabulary: Callable[[Layer], Sequence[Word] | None],
) -> KerasModel:
    """Return a model whose variables have been placed; what belongs into the configuration is put there.

    ``vocabulary`` returns the words of a lookup layer, None if they are not stored.

    Raises UnsupportedError if variables or vocabularies are missing; the message names the layers.
    """
    _refuse_activations(model, file)
    assets: dict[str, bytes] = {}
    configs = {each.layer: each.config for each in translation.adapted}
    for layer in model.walk():
        if needs_vocabulary(layer):
            words = vocabulary(layer)
            if words is None:
                placed.miss(layer, "the vocabulary")
            else:
                assets |= _vocabulary_files(layer, words, configs[layer.where.removesuffix(INNER_LOOKUP)])
        for path, variable in layer.places():
            if not variable.is_kept and path in placed.tensors:
                layer.config["bin_boundaries"] = _boundaries(layer, tensors[placed.tensors.pop(path)], file)
    placed.raise_if_missing(file)
    changes = _changes(model, translation)
    return KerasModel(
        *(file, model_variables(tensors, placed.tensors, file, changes), translation),
        *(layer_names(model), assets, _notes(translation, placed)),
    )


def _boundaries(layer: Layer, summary: Array, file: str) -> list[float]:
    """Return the boundaries of the bins of a Discretization."""
    bins = layer.config.get("num_bins")
    who = f"layer {shortened(layer.where)!r}"
    if type(bins) is not int or not 0 < bins <= _MOST_BINS:
        raise CorruptError(f"{who}: num_bins: got {shortened(repr(bins), _SHOWN)}, want a number", file=file)
    if summary.ndim != 2 or len(summary) != 2 or not summary.size:
        shape = list(summary.shape)
        raise CorruptError(f"{who}: got a summary of shape {shape}, want two rows of values", file=file)
    return bin_boundaries(summary, bins)


def _refuse_activations(model: Layer, file: str) -> None:
    """Refuse activations that have variables: Keras 3 does not make these before the model is called."""
    refused = [each.where for each in model.walk() if each.edges == ("activation",) and each.variables]
    if refused:
        what = "Keras 3 does not load weights of activations; make them layers of the model"
        raise UnsupportedError(f"{what}: {listed(refused, _LISTED)}", file=file)


def _changes(model: Layer, translation: Translation) -> dict[str, list[Change]]:
    """Return how variables change on their way, by where they go."""
    by_layer: dict[str, list[WeightChange]] = {}
    for change in translation.changes:
        by_layer.setdefault(change.layer, []).append(change)
    changes: dict[str, list[Change]] = {}
    for layer in model.walk():
        # A change of a recurrent layer is about the weights of its cell.
        for where in {layer.where, layer.where.removesuffix("/cell")}:
            for change in by_layer.get(where, ()):
                for path, variable in layer.places():
                    changes.setdefault(path, []).append(partial(change.apply, variable.names[0]))
    return changes


def _vocabulary_files(layer: Layer, words: Sequence[Word], config: dict[str, Any]) -> dict[str, bytes]:
    """Return the files for a vocabulary, which goes into the configuration if it cannot be one."""
    vocabulary = [*specials(layer), *words]
    config["vocabulary_size"] = len(vocabulary)  # by which Keras 3 knows shapes before it has the words
    data = vocabulary_file(vocabulary)
    if data is None:
        config["vocabulary"] = list(words)
        return {}
    paths = [layer.path]
    if layer.path.endswith(INNER_LOOKUP):
        # Keras 3 reads the vocabulary of a TextVectorization for the layer itself, and for that in it.
        paths.append(layer.path.removesuffix(INNER_LOOKUP))
    return {f"{path}/{VOCABULARY}": data for path in paths}


def _notes(translation: Translation, placed: Placed) -> tuple[str, ...]:
    dropped = (
        f"layer {each.layer!r}: Keras 3 has no argument {each.argument}, which was "
        f"{shortened(repr(each.value), _SHOWN)}"
        for each in translation.dropped
    )
    guessed = (
        f"layer {each!r} is of a class that is not Keras's own: its variables are in the order of Keras 2"
        for each in placed.guessed
    )
    renamed = (
        f"layer {old!r} is {new!r}: Keras 3 has no slashes in names"
        for new, old in translation.renamed.items()
    )
    return *dropped, *renamed, *guessed
