"""``save``: a checkpoint of tensors that a program has, or that another checkpoint or a view of it holds."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from ckptfmt.checkpoint.checkpoint_writer import CheckpointWriter, check_new_name
from ckptfmt.errors import NameConflictError
from ckptfmt.storage.filesystem import Filesystem
from ckptfmt.tensors.mapping import TensorMapping
from ckptfmt.tensors.nesting import flatten

Savable: TypeAlias = "Mapping[str, Any] | Sequence[Mapping[str, Any]]"
"""Arrays by name, nested dictionaries of them, a checkpoint or a view; or several of these."""


def save(
    prefix: str | os.PathLike[str],
    tensors: Savable,
    *,
    overwrite: bool = False,
    num_shards: int | None = None,
    max_shard_bytes: int | None = None,
    fs: Filesystem | None = None,
) -> str:
    """Write a V2 checkpoint, and return its prefix.

    Parameters
    ----------
    prefix
        TensorFlow's name for the checkpoint: ``ckpt/model.ckpt-7``. Missing directories are made.
    tensors
        Arrays by name: of NumPy, or of any library whose arrays NumPy can view, such as JAX and PyTorch.
        Nested dictionaries get names with slashes. A checkpoint or a view of one: bytes that do not change
        are copied. A list of these is merged.
    overwrite
        Whether a checkpoint of that prefix may be replaced.
    num_shards, max_shard_bytes
        How many data files to write, or the bytes after which another one is begun.
    fs
        The file system to write to, by default this machine's.

    Raises
    ------
    NameConflictError
        Two of several mappings have tensors of one name.
    AlreadyExistsError
        The checkpoint exists, and ``overwrite`` is not given.
    NotWritableError
        The system refuses.
    """
    sources = merged(tensors)
    for name in sources:
        check_new_name(name)
    with CheckpointWriter(
        prefix, num_shards=num_shards, max_shard_bytes=max_shard_bytes, overwrite=overwrite, fs=fs
    ) as writer:
        for name, source in sources.items():
            dtype = source.entries[name].dtype if isinstance(source, TensorMapping) else None
            writer.add(name, source[name], dtype=dtype)
    return writer.prefix


def merged(tensors: Savable) -> dict[str, Mapping[str, Any]]:
    """Return each name, and the mapping that has its tensor; NameConflictError if several have."""
    several = [tensors] if isinstance(tensors, Mapping) else list(tensors)
    owners: dict[str, Mapping[str, Any]] = {}
    twice = {}
    for each in several:
        flat = each if isinstance(each, TensorMapping) else flatten(each)
        for name in flat:
            if owners.setdefault(name, flat) is not flat:
                twice[name] = [name, name]
    if twice:
        raise NameConflictError("tensors of one name in several mappings", names=twice)
    return owners
