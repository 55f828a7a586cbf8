"""What a conversion is made from, in a few characters: the digest of a source, and the key for resuming.

The index of a checkpoint has the checksum of every tensor, so its digest stands for all data without reading
it. Other files are recognised as the system does, by number, size and time of change.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Sequence
from contextlib import closing

from ckptfmt.checkpoint.bundle import Bundle
from ckptfmt.converting.sinks.outgoing import Outgoing
from ckptfmt.converting.sources.tensor_file import TensorFile
from ckptfmt.storage.file import STREAMED_AT_ONCE
from ckptfmt.storage.filesystem import Filesystem, walk
from ckptfmt.tensors.tensors import Tensors


def source_digest(tensors: Tensors) -> str | None:
    """Return ``sha256:HEX`` of the index of a checkpoint, None if the source has none."""
    store = tensors._origin()
    if not isinstance(store, Bundle):
        return None
    return "sha256:" + _digest_of(store.fs, store.files.tables[0])


def source_identity(tensors: Tensors, fs: Filesystem) -> object | None:
    """Return what changes with the content of a source, as JSON; None if nothing is known to.

    A view is identified if all of its tensors are stored ones, under whatever names.
    """
    store = tensors._origin()
    unchanged = tensors._unchanged()
    if None in unchanged.values():
        return None
    if store is not None:
        digest = source_digest(tensors)
        return [digest or _statuses(store.fs, store.files.tables), dict(unchanged)]
    if not isinstance(tensors, TensorFile) or fs.path_type(tensors.prefix) is None:
        return None
    return [_statuses(fs, _files_of(fs, tensors.prefix)), dict(unchanged)]


def conversion_key(sources: Sequence[object], recipe: object, going: Iterable[Outgoing]) -> str:
    """Return the key of a conversion: what it is made from, how, and which tensors that gives."""
    tensors = [(each.name, each.dtype.name, each.shape) for each in going]
    text = json.dumps([sources, recipe, tensors], sort_keys=True, default=str)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _files_of(fs: Filesystem, path: str) -> list[str]:
    if fs.path_type(path) != "directory":
        return [path]
    return [os.path.join(folder, name) for folder, each in walk(fs, path) for name in each.files]


def _statuses(fs: Filesystem, paths: Iterable[str]) -> list[object]:
    return [(path, fs.status(path)) for path in paths]


def _digest_of(fs: Filesystem, path: str) -> str:
    digest = hashlib.sha256()
    with closing(fs.open(path)) as file:
        for offset in range(0, file.size, STREAMED_AT_ONCE):
            digest.update(file.read(offset, min(STREAMED_AT_ONCE, file.size - offset)))
    return digest.hexdigest()
