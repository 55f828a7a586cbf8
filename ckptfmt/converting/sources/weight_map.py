"""Maps of weights to the files that hold them: of safetensors by Hugging Face, and of HDF5 files by Keras.

::

    {"metadata": {"total_size": 29}, "weight_map": {"dense.weight": "model-00002-of-00003.safetensors"}}
"""

from __future__ import annotations

import json
import os
from typing import Any

from ckptfmt.errors import CorruptError
from ckptfmt.storage.filesystem import Filesystem, read_small_file

SHARDS_SUFFIX = ".weights.json"
"""End of the name of the map of Keras 3, for the weights of a large model."""

MAX_BYTES = 256 << 20
"""Bytes of the largest map that is read: that of a million tensors with names of 200 characters."""


def read_weight_map(fs: Filesystem, path: str, what: str) -> dict[str, Any]:
    """Return the ``weight_map`` of a file; CorruptError if it is not ``what`` it should be."""
    data = read_small_file(fs, path, limit=MAX_BYTES, what=what)
    try:
        content = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise CorruptError(f"not {what}: {error}", file=path) from None
    weights = content.get("weight_map") if isinstance(content, dict) else None
    if not isinstance(weights, dict):
        raise CorruptError(f"not {what}: weight_map: want an object", file=path)
    return weights


def check_beside(name: object, path: str) -> str:
    """Return the name of a file; CorruptError unless it leads to a file beside the map, and nowhere else."""
    if (
        not isinstance(name, str)
        or os.path.basename(name) != name
        or name in ("", os.curdir, os.pardir)
        or "\0" in name
    ):
        raise CorruptError(f"weight_map: got the file {name!r}, want one beside this file", file=path)
    return name
