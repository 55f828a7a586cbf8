"""Vocabularies of lookup layers: where Keras 2 keeps them, and the file in which Keras 3 does.

Keras 2 leaves an adapted vocabulary out of the configuration. In a SavedModel it is what fills the layer's
table when the model is loaded: two constants, or a file of assets; until TensorFlow 2.7, the table is in the
checkpoint. A ``.keras`` file has a text file for each layer, in Keras 2 as in Keras 3: the tokens for masks
and unknown words, then one word a line.

Source: ``layers/preprocessing/index_lookup.py`` of Keras 2 and 3.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TypeAlias

import numpy as np

from ckptfmt.arrays.array import Array
from ckptfmt.errors import CorruptError, UnsupportedError
from ckptfmt.keras.adapted import vocabulary
from ckptfmt.keras.structure import Layer
from ckptfmt.object_graph.object_graph import ObjectNode
from ckptfmt.proto import messages
from ckptfmt.saved_model.saved_model import SavedModel
from ckptfmt.storage.filesystem import Filesystem, read_small_file
from ckptfmt.tensors.tensors import Tensors
from ckptfmt.text.quoting import shortened

Word: TypeAlias = "str | int"

LOOKUPS = ("StringLookup", "IntegerLookup")
"""Layers with a vocabulary; a TextVectorization has one of the first kind in it."""

VOCABULARY = "vocabulary.txt"
"""The file with the vocabulary of a layer."""

_TABLES = ("lookup_table", "_table")
"""What layers call their tables, the newest first."""

MOST_UNKNOWN = 1 << 24
"""The most places for unknown words that a vocabulary begins with."""

MAX_VOCABULARY_BYTES = 1 << 30
"""Bytes of the largest file with a vocabulary that is read."""


def needs_vocabulary(layer: Layer) -> bool:
    """Return whether a layer's vocabulary is not in its configuration."""
    return layer.class_name in LOOKUPS and not layer.config.get("vocabulary")


def saved_vocabulary(
    model: SavedModel, fs: Filesystem, tensors: Tensors, layer: Layer, node: ObjectNode
) -> list[Word] | None:
    """Return the words of a lookup layer in a SavedModel, in their order; None if it has none."""
    table = _table(node)
    stored = (
        None
        if table is None
        else (_stored_table(tensors, table) or _filled_table(model, fs, table.id, len(specials(layer))))
    )
    return None if stored is None else _words(layer, *stored, model.file)


def checkpoint_vocabulary(tensors: Tensors, layer: Layer, node: ObjectNode) -> list[Word] | None:
    """Return the words of a lookup layer in a checkpoint, in their order; None if it has none."""
    table = _table(node)
    stored = None if table is None else _stored_table(tensors, table)
    return None if stored is None else _words(layer, *stored, tensors.prefix)


def _table(node: ObjectNode) -> ObjectNode | None:
    children = node.children
    return next((children[name] for name in _TABLES if name in children), None)


def _stored_table(tensors: Tensors, table: ObjectNode) -> tuple[Array, Array] | None:
    """Return the keys and values of a table that a checkpoint has; None if it does not have it."""
    ends = ("-keys", "-values")
    found = [key for end in ends for key in table.keys if key.endswith(end) and key in tensors]
    return (tensors[found[0]], tensors[found[1]]) if len(found) == len(ends) else None


def _words(layer: Layer, keys: Array, values: Array, file: str) -> list[Word]:
    """Return the words in a table of words and their places, or of places and words."""
    words, places = (values, keys) if layer.config.get("invert") else (keys, values)
    if words.shape != places.shape or words.ndim != 1 or places.dtype.kind != "i":
        what = f"layer {shortened(layer.where)!r}: got a table that is not a vocabulary"
        raise CorruptError(what, file=file)
    # Some versions have the tokens for masks and unknown words in the table too, before all others.
    is_word = places >= len(specials(layer))
    try:
        return vocabulary(words[is_word], places[is_word])
    except UnsupportedError as error:
        raise error.at(file, label=f"layer {shortened(layer.where)!r}") from None


def _filled_table(model: SavedModel, fs: Filesystem, number: int, start: int) -> tuple[Array, Array] | None:
    """Return the keys and values that the function of a table fills it with."""
    graph = model.meta_graph.message.object_graph_def
    nodes = graph.nodes
    for function in _children(nodes, number, "_initialize"):
        for name in nodes[function].function.concrete_functions[:1]:
            bound = graph.concrete_functions[name].bound_inputs if name in graph.concrete_functions else ()
            filling = [nodes[each] for each in bound if 0 <= each < len(nodes)]
            constants = [each.constant.operation for each in filling if each.WhichOneof("kind") == "constant"]
            if len(constants) == 2:
                values = model.meta_graph.graph.constants
                return values[constants[0]], values[constants[1]]
            for each in filling:
                if each.WhichOneof("kind") == "asset":
                    return _lines(model, fs, each.asset.asset_file_def_index, start)
    return None


def _children(nodes: Sequence[messages.SavedObject], number: int, name: str) -> Iterator[int]:
    if 0 <= number < len(nodes):
        for child in nodes[number].children:
            if child.local_name == name and 0 <= child.node_id < len(nodes):
                yield child.node_id


def _lines(model: SavedModel, fs: Filesystem, index: int, start: int) -> tuple[Array, Array] | None:
    assets = model.meta_graph.assets
    if not 0 <= index < len(assets):
        return None
    path = model.assets[assets[index].filename].path
    lines = read_small_file(fs, path, limit=MAX_VOCABULARY_BYTES, what="a vocabulary").split(b"\n")
    if lines and not lines[-1]:
        lines.pop()
    words = np.array([line.removesuffix(b"\r") for line in lines], dtype=object)
    return words, np.arange(start, start + len(words))


# --- as Keras 3 stores it -----------------------------------------------------------------------------------


def specials(layer: Layer) -> list[Word]:
    """Return the tokens for masks and unknown words, which come first in the vocabulary of a layer."""
    config = layer.config
    mask: Word | None = config.get("mask_token")
    unknown: Word | None = config.get("oov_token")
    if "standardize" in config:
        mask, unknown = "", "[UNK]"  # of a TextVectorization, which does not let one choose
    elif unknown is None:
        unknown = -1 if layer.class_name == "IntegerLookup" else "[UNK]"
    first = [mask] if mask is not None and config.get("output_mode", "int") == "int" else []
    count = config.get("num_oov_indices", 1)
    if type(count) is not int or not 0 <= count <= MOST_UNKNOWN:
        got = shortened(repr(count), 80)
        raise CorruptError(
            f"layer {shortened(layer.where)!r}: num_oov_indices: got {got}, want up to {MOST_UNKNOWN}"
        )
    return [*first, *[unknown] * count]


def vocabulary_file(vocabulary: Iterable[Word]) -> bytes | None:
    """Return a vocabulary as a file of lines; None if words have line breaks, so that lines would not do."""
    lines = [str(word) for word in vocabulary]
    text = "\n".join(lines)
    # Keras 3 splits by whatever Python takes for the end of a line, and drops empty lines at the end.
    return text.encode() if text.splitlines() == lines else None
