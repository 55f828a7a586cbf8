"""The index of safetensors files that belong together: which tensor is in which file.

::

    {"metadata": {"total_size": 29}, "weight_map": {"dense.weight": "model-00002-of-00003.safetensors"}}

Hugging Face's libraries write it beside the files as ``model.safetensors.index.json``.
"""

from __future__ import annotations

import json
import os

from ckptfmt.errors import CorruptError
from ckptfmt.storage.filesystem import Filesystem, read_small_file

INDEX_SUFFIX = ".index.json"
"""End of the name of an index."""

MAX_INDEX_BYTES = 256 << 20
"""Bytes of the largest index that is read: that of a million tensors with names of 200 characters."""


def read_weight_map(fs: Filesystem, path: str) -> dict[str, str]:
    """Return the file that holds each tensor, by the names in an index."""
    data = read_small_file(fs, path, limit=MAX_INDEX_BYTES, what="an index of safetensors files")
    try:
        index = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise CorruptError(f"not an index of safetensors files: {error}", file=path) from None
    weights = index.get("weight_map") if isinstance(index, dict) else None
    if not isinstance(weights, dict) or not all(isinstance(name, str) for name in weights.values()):
        raise CorruptError(
            "not an index of safetensors files: weight_map: want an object of strings", file=path
        )
    for name in set(weights.values()):
        # A name leads to a file beside the index and nowhere else.
        if os.path.basename(name) != name or name in ("", os.curdir, os.pardir) or "\0" in name:
            raise CorruptError(f"weight_map: got the file {name!r}, want one beside the index", file=path)
    return weights
