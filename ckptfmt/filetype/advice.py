"""Advice: the function and the verb of the command line that read each kind of file.

Errors end with it. No other module below the command line names functions and verbs of higher levels, so a
test can check all these names in one table.
"""

from __future__ import annotations

from ckptfmt.filetype.kinds import (
    BROKEN_TABLE,
    BZIP2,
    DATA,
    DIRECTORY,
    EVENTS,
    FINGERPRINT,
    GRAPH,
    GRAPH_TEXT,
    GZIP,
    HDF5,
    HTML,
    INDEX,
    KERAS_3,
    KERAS_METADATA,
    LFS_POINTER,
    META_GRAPH,
    META_GRAPH_TEXT,
    NPY,
    NPZ,
    ONNX,
    PICKLE,
    PREFIX,
    PYTORCH,
    RECORDS,
    SAFETENSORS,
    SAVED_MODEL,
    SAVED_MODEL_DIRECTORY,
    SAVED_MODEL_TEXT,
    SPLIT,
    STATE,
    TAR,
    TFLITE,
    V1,
    XZ,
    ZIP,
    ZSTANDARD,
    Kind,
)

_CHECKPOINT = "ckptfmt.open reads it and 'ckptfmt ls' lists it"
_LATEST = "ckptfmt.open reads the latest and 'ckptfmt ls' lists it"
_GRAPH = "ckptfmt.read_graph reads it and 'ckptfmt graph' shows it"
_META_GRAPH = "ckptfmt.read_meta_graph reads it and 'ckptfmt graph' shows it"
_SAVED_MODEL = "ckptfmt.open_saved_model reads it and 'ckptfmt model' shows it"
_PART_OF_SAVED_MODEL = "ckptfmt.open_saved_model reads it with its directory and 'ckptfmt model' shows it"
_UNPACK = "unpack it first"
_TORCH = "torch.load reads it, if you trust it: loading a pickle runs code"

ADVICE: dict[Kind, str] = {
    GRAPH: _GRAPH,
    GRAPH_TEXT: _GRAPH,
    META_GRAPH: _META_GRAPH,
    META_GRAPH_TEXT: _META_GRAPH,
    SAVED_MODEL: _SAVED_MODEL,
    SAVED_MODEL_TEXT: _SAVED_MODEL,
    SAVED_MODEL_DIRECTORY: _SAVED_MODEL,
    SPLIT: _SAVED_MODEL,
    FINGERPRINT: _PART_OF_SAVED_MODEL,
    KERAS_METADATA: _PART_OF_SAVED_MODEL,
    INDEX: _CHECKPOINT,
    V1: _CHECKPOINT,
    BROKEN_TABLE: _CHECKPOINT,
    DATA: _CHECKPOINT,
    PREFIX: _CHECKPOINT,
    STATE: _LATEST,
    DIRECTORY: _LATEST,
    EVENTS: "ckptfmt.open_events reads it and 'ckptfmt events' shows it",
    RECORDS: "ckptfmt.open_records reads it and 'ckptfmt records' shows it",
    SAFETENSORS: "safetensors reads it",
    HDF5: "h5py reads it",
    KERAS_3: "it is a zip archive; h5py reads the model.weights.h5 in it",
    NPY: "numpy.load reads it",
    NPZ: "numpy.load reads it",
    TFLITE: "the package ai-edge-litert reads it",
    ONNX: "onnx reads it",
    PICKLE: _TORCH,
    PYTORCH: _TORCH,
    GZIP: _UNPACK,
    BZIP2: _UNPACK,
    XZ: _UNPACK,
    ZSTANDARD: _UNPACK,
    TAR: _UNPACK,
    ZIP: _UNPACK,
    LFS_POINTER: "run 'git lfs pull'",
    HTML: "the download went wrong",
}
"""What to do with a file of each kind, as a clause. There is no advice for the other kinds."""
