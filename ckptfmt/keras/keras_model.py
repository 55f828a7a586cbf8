"""A model as Keras 3 stores it: its configuration, its variables and its vocabularies."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ckptfmt.errors import UnsupportedError
from ckptfmt.keras.bins import bin_boundaries
from ckptfmt.keras.model_variables import model_variables
from ckptfmt.keras.placed import Placed
from ckptfmt.keras.structure import INNER_LOOKUP, Layer
from ckptfmt.keras.translation import Translation
from ckptfmt.keras.vocabularies import VOCABULARY, Word, needs_vocabulary, specials, vocabulary_file
from ckptfmt.tensors.tensors import Tensors
from ckptfmt.text.quoting import shortened

_SHOWN = 80
"""Characters of a value that a note shows."""


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
    assets: dict[str, bytes] = {}
    for layer in model.walk():
        if needs_vocabulary(layer):
            words = vocabulary(layer)
            if words is None:
                placed.miss(layer, "the vocabulary")
            else:
                assets |= _vocabulary_files(layer, words)
        for path, variable in layer.places():
            if not variable.is_kept and path in placed.tensors:
                summary = tensors[placed.tensors.pop(path)]
                layer.config["bin_boundaries"] = bin_boundaries(summary, int(layer.config["num_bins"]))
    placed.raise_if_missing(file)
    return KerasModel(
        *(file, model_variables(tensors, placed.tensors, file), translation),
        *(layer_names(model), assets, _notes(translation, placed)),
    )


def _vocabulary_files(layer: Layer, words: Sequence[Word]) -> dict[str, bytes]:
    """Return the files for a vocabulary, which goes into the configuration if it cannot be one."""
    data = vocabulary_file([*specials(layer), *words])
    if data is None:
        layer.config["vocabulary"] = list(words)
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
    return *dropped, *guessed
