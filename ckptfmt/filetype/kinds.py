"""Kinds: what a file may turn out to be, in the words of error messages.

:mod:`ckptfmt.filetype.advice` says what to do with a file of each kind.
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple


class Holds(Enum):
    """What this package reads; the value completes an error message: "..., not a graph"."""

    CHECKPOINT = "a TensorFlow checkpoint"
    GRAPH = "a graph"
    META_GRAPH = "a MetaGraphDef"
    SAVED_MODEL = "a SavedModel"
    EVENTS = "a TensorBoard event file"


class Kind(NamedTuple):
    """A kind of file."""

    what: str
    """What the file is, with its article, to be put into a sentence. No two kinds share it."""
    holds: Holds | None = None
    """What this package reads from it; None if it reads nothing, or not from this file alone."""


# Graphs and SavedModels
GRAPH = Kind("a GraphDef (a graph, perhaps frozen)", Holds.GRAPH)
GRAPH_TEXT = Kind("a GraphDef as text", Holds.GRAPH)
META_GRAPH = Kind("a MetaGraphDef (.meta)", Holds.META_GRAPH)
META_GRAPH_TEXT = Kind("a MetaGraphDef as text", Holds.META_GRAPH)
SAVED_MODEL = Kind("a SavedModel message", Holds.SAVED_MODEL)
SAVED_MODEL_TEXT = Kind("a SavedModel as text", Holds.SAVED_MODEL)
SAVED_MODEL_DIRECTORY = Kind("a SavedModel", Holds.SAVED_MODEL)
SPLIT = Kind("a split message (.cpb), as a large SavedModel is stored")
FINGERPRINT = Kind("the fingerprint of a SavedModel")
KERAS_METADATA = Kind("the Keras 2 metadata of a SavedModel")

# Checkpoints
INDEX = Kind("the index of a checkpoint", Holds.CHECKPOINT)
V1 = Kind("a V1 checkpoint", Holds.CHECKPOINT)
BROKEN_TABLE = Kind("a damaged table, perhaps the index of a checkpoint", Holds.CHECKPOINT)
DATA = Kind("a data file of a checkpoint, judging by its name", Holds.CHECKPOINT)
PREFIX = Kind("the prefix of a checkpoint", Holds.CHECKPOINT)
STATE = Kind("a checkpoint state file", Holds.CHECKPOINT)
DIRECTORY = Kind("a directory of checkpoints", Holds.CHECKPOINT)
TABLE = Kind("a sorted table, as LevelDB writes them")

# Records
EVENTS = Kind("a TensorBoard event file", Holds.EVENTS)
RECORDS = Kind("a TFRecord file")

# Other programs' files
SAFETENSORS = Kind("a safetensors file")
HDF5 = Kind("an HDF5 file, as Keras writes")
KERAS_3 = Kind("a Keras 3 model (.keras)")
NPY = Kind("a NumPy array")
NPZ = Kind("a NumPy .npz archive")
TFLITE = Kind("a TensorFlow Lite model")
ONNX = Kind("an ONNX model")
PICKLE = Kind("a Python pickle, perhaps of PyTorch")
PYTORCH = Kind("a PyTorch file")

# Archives and compressed files
GZIP = Kind("a gzip-compressed file")
BZIP2 = Kind("a bzip2-compressed file")
XZ = Kind("an xz-compressed file")
ZSTANDARD = Kind("a Zstandard-compressed file")
TAR = Kind("a tar archive")
ZIP = Kind("a zip archive")

# Left by a failed download
LFS_POINTER = Kind("a Git LFS pointer, not the file it stands for")
HTML = Kind("an HTML page")
EMPTY = Kind("an empty file")

JSON = Kind("a JSON file")
TEXT_FILE = Kind("a text file")
"""Text of any other kind."""
