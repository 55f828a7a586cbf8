"""safetensors, written: one file, or several with the index that Hugging Face reads.

::

    model.safetensors                       one file, unless it would have more than max_shard_bytes

    model-00001-of-00002.safetensors        several: tensors in the order of the source, each whole
    model-00002-of-00002.safetensors
    model.safetensors.index.json            {"metadata": {"total_size": …}, "weight_map": {name: file}}

A model is one or the other: with ``overwrite``, the files of the other form are removed at the end.

Several files cannot get their names in one step. All are whole and synced before the first is renamed, and
the index, without which they are not found, comes last. If it is replaced and its files have the same names
as the new ones, the old index goes first: a kill in that moment leaves files without an index, and all bytes.

Source: Hugging Face ``huggingface_hub/serialization/_base.py``, ``transformers/modeling_utils.py``.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from contextlib import ExitStack, closing
from typing import NamedTuple

from ckptfmt.converting.sinks.byte_stream import Stretch, stretches_of, write_stretches
from ckptfmt.converting.sinks.outgoing import Outgoing
from ckptfmt.converting.sinks.safetensors.header import MOST_IN_HUB, encode_header, in_order
from ckptfmt.converting.sinks.writing import Writing
from ckptfmt.converting.sources.safetensors.header import CODES, METADATA
from ckptfmt.converting.sources.safetensors.index import INDEX_SUFFIX, read_index
from ckptfmt.errors import AlreadyExistsError, CkptfmtError
from ckptfmt.storage.output import NewFile

SUFFIX = ".safetensors"

SHARD_BYTES = 5_000_000_000
"""Bytes of a file, at most, if the target is an index: as Hugging Face's libraries have it."""


class SafetensorsSink:
    """Writes safetensors files; a :class:`~ckptfmt.converting.sinks.sink.Sink`."""

    format = "safetensors"
    resumes = True

    def problem(self, tensor: Outgoing) -> str | None:
        """Return why the format cannot hold a tensor."""
        if tensor.dtype.name not in CODES:
            return f"no dtype {tensor.dtype.name}"
        if tensor.name == METADATA:
            return f"no tensor named {METADATA}"
        try:
            tensor.name.encode()
        except UnicodeEncodeError:
            return "no names that are not UTF-8"
        return None

    def name_problems(self, tensors: Sequence[Outgoing]) -> dict[str, str]:
        """Return nothing: any names may be together."""
        return {}

    def write(self, tensors: Sequence[Outgoing], writing: Writing) -> list[str]:
        """Write one file, or several with an index."""
        is_index = writing.path.endswith(SUFFIX + INDEX_SUFFIX)
        limit = writing.max_shard_bytes or (SHARD_BYTES if is_index else None)
        shards = [list(tensors)] if limit is None else in_shards(tensors, limit)
        if len(shards) > 1 or is_index:
            return _write_several(shards, writing)
        return _write_one(shards[0], writing)


def in_shards(tensors: Sequence[Outgoing], limit: int) -> list[list[Outgoing]]:
    """Share tensors among files of up to ``limit`` bytes, in their order; a larger one has its own."""
    shards: list[list[Outgoing]] = [[]]
    size = 0
    for tensor in tensors:
        if shards[-1] and size + tensor.nbytes > limit:
            shards.append([])
            size = 0
        shards[-1].append(tensor)
        size += tensor.nbytes
    return shards


class _Content(NamedTuple):
    header: bytes
    stretches: list[Stretch]


def _content(tensors: Sequence[Outgoing], path: str, writing: Writing) -> _Content:
    """Return what a file will consist of; LimitError if readers would refuse its header."""
    ordered = in_order(tensors)
    header = encode_header(ordered, {"format": "pt", **writing.metadata}, path)
    if len(header) > MOST_IN_HUB:
        writing.remarks.append(f"{path}: its header is too large for the Hugging Face Hub to show")
    return _Content(header, stretches_of(ordered))


def _write(content: _Content, output: NewFile, writing: Writing) -> None:
    if not writing.noted(output):
        output.write(content.header)
    write_stretches(content.stretches, output, writing)


def _write_one(tensors: Sequence[Outgoing], writing: Writing) -> list[str]:
    index = writing.path + INDEX_SUFFIX
    if not writing.overwrite and writing.fs.path_type(index) is not None:
        raise AlreadyExistsError(index)
    content = _content(tensors, writing.path, writing)
    with writing.create() as output:
        _write(content, output, writing)
    # Now the index leads nobody: readers prefer the single file.
    for path in (index, *_listed_files(writing, index)) if writing.overwrite else ():
        writing.fs.remove(path)
    return [writing.path]


def _write_several(shards: Sequence[Sequence[Outgoing]], writing: Writing) -> list[str]:
    base = writing.path.removesuffix(INDEX_SUFFIX)
    stem = base.removesuffix(SUFFIX)
    index = base + INDEX_SUFFIX
    paths = [f"{stem}-{number:05d}-of-{len(shards):05d}{SUFFIX}" for number in range(1, len(shards) + 1)]
    text = _encode_index(shards, paths)
    # A single file of that name would be taken for the model instead of the index.
    for path in (index, base):
        if not writing.overwrite and writing.fs.path_type(path) is not None:
            # The index came last, so that an earlier conversion did all but remove its notes.
            if path == index and any([*map(writing.was_committed, paths)]) and _has(writing, index, text):
                return [index, *paths]
            raise AlreadyExistsError(path)
    contents = [_content(tensors, path, writing) for path, tensors in zip(paths, shards, strict=True)]
    with ExitStack() as stack:
        outputs = []
        for path, content in zip(paths, contents, strict=True):
            output = writing.create(path)
            stack.callback(output.discard)
            _write(content, output, writing)
            output.finish()
            outputs.append(output)
        index_file = writing.fs.create(index, overwrite=writing.overwrite)
        stack.callback(index_file.discard)
        index_file.write(text)
        index_file.finish()
        old = _listed_files(writing, index)
        if old.intersection(paths):
            writing.fs.remove(index)
        for output in outputs:
            output.commit()
        index_file.commit()
        stack.pop_all()
    for path in old.difference(paths):
        writing.fs.remove(path)
    if writing.overwrite:
        writing.fs.remove(base)
    return [index, *paths]


def _has(writing: Writing, path: str, text: bytes) -> bool:
    with closing(writing.fs.open(path)) as file:
        return file.size == len(text) and bytes(file.read(0, file.size)) == text


def _listed_files(writing: Writing, index: str) -> set[str]:
    """Return the files of the index that is replaced, if there is one."""
    if not writing.overwrite or writing.fs.path_type(index) != "file":
        return set()
    try:
        names = read_index(writing.fs, index).values()
    except CkptfmtError:
        return set()
    return {os.path.join(os.path.dirname(index), name) for name in names}


def _encode_index(shards: Sequence[Sequence[Outgoing]], paths: Sequence[str]) -> bytes:
    files = {
        tensor.name: os.path.basename(path)
        for path, tensors in zip(paths, shards, strict=True)
        for tensor in tensors
    }
    total = sum(tensor.nbytes for tensors in shards for tensor in tensors)
    index = {"metadata": {"total_size": total}, "weight_map": files}
    return (json.dumps(index, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode()
