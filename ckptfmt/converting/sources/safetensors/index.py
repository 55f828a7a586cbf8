"""The index of safetensors files that belong together: which tensor is in which file.

::

    {"metadata": {"total_size": 29}, "weight_map": {"dense.weight": "model-00002-of-00003.safetensors"}}

Hugging Face's libraries write it beside the files as ``model.safetensors.index.json``.
"""

from __future__ import annotations

from ckptfmt.converting.sources.weight_map import check_beside, read_weight_map
from ckptfmt.storage.filesystem import Filesystem

INDEX_SUFFIX = ".index.json"
"""End of the name of an index."""


def read_index(fs: Filesystem, path: str) -> dict[str, str]:
    """Return the file that holds each tensor, by the names in an index."""
    weights = read_weight_map(fs, path, "an index of safetensors files")
    return {tensor: check_beside(name, path) for tensor, name in weights.items()}
