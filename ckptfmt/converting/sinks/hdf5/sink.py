"""HDF5, written: a dataset for each tensor, the parts of its name before the last slash being groups.

Uncompressed, a file is written from its beginning to its end: h5py makes everything but the values, and these
are streamed into their places. Compressed, h5py writes chunk by chunk into a scratch file, which is copied.

Strings are of any length, in UTF-8 as far as they are text. HDF5 ends such strings at the first NUL, so if a
tensor has a string with one, its strings are sequences of bytes instead. Names that HDF5 cannot have are
escaped (:mod:`ckptfmt.converting.sources.hdf5.escaping`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from ckptfmt.arrays.array import Array
from ckptfmt.checkpoint.slices import region_shape, whole
from ckptfmt.converting.sinks.hdf5.outline import ALIGNMENT, Outline, reserve
from ckptfmt.converting.sinks.outgoing import Outgoing, cut
from ckptfmt.converting.sinks.writing import Writing
from ckptfmt.converting.sources.hdf5.escaping import ESCAPED, path_names
from ckptfmt.converting.sources.hdf5.library import h5py
from ckptfmt.storage.output.scratch import open_scratch

CHUNK_BYTES = 1 << 20
"""Bytes of a chunk before it is compressed, at most: as many as HDF5 keeps of a dataset by default."""

MAX_RANK = 32
"""The most dimensions of a dataset."""

MAX_PART = 60_000
"""Bytes of the longest name of a group or a dataset; a header of HDF5 has at most 64 KiB."""

DTYPES = {
    "bool",
    *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)),
    *("float16", "float32", "float64", "complex64", "complex128", "string"),
}
"""Dtypes that h5py reads as what they were written as."""


class HDF5Sink:
    """Writes HDF5 files; a :class:`~ckptfmt.converting.sinks.sink.Sink`."""

    format = "hdf5"
    resumes = True

    def problem(self, tensor: Outgoing) -> str | None:
        """Return why the format cannot hold a tensor."""
        if tensor.dtype.name not in DTYPES:
            return f"no dtype {tensor.dtype.name}"
        if len(tensor.shape) > MAX_RANK:
            return f"no more than {MAX_RANK} dimensions"
        try:
            parts = tensor.name.encode("utf-8", "surrogateescape").split(b"/")
        except UnicodeEncodeError:
            return "no names with half a character"
        return f"no names of more than {MAX_PART} bytes" if max(map(len, parts)) > MAX_PART else None

    def name_problems(self, tensors: Sequence[Outgoing]) -> dict[str, str]:
        """Return nothing: any names may be together."""
        return {}

    def write(self, tensors: Sequence[Outgoing], writing: Writing) -> list[str]:
        """Write the file."""
        if writing.compression in (None, "none"):
            self._stream(tensors, writing)
        else:
            self._compress(tensors, writing)
        return [writing.path]

    def _stream(self, tensors: Sequence[Outgoing], writing: Writing) -> None:
        outline = Outline()
        places: list[tuple[int, Outgoing]] = []
        with h5py.File(outline, "w", alignment_threshold=ALIGNMENT, alignment_interval=ALIGNMENT) as file:
            for tensor, group, name in _placed(file, tensors, writing):
                if tensor.dtype.name == "string":
                    _add_strings(group, name, tensor)
                    writing.advance(tensor.nbytes)
                    continue
                offset = reserve(group, name, tensor)
                if offset is not None:
                    places.append((offset, tensor))
        places.sort(key=lambda each: each[0])
        with writing.create() as output:
            done = len(writing.noted(output))
            position = places[done - 1][0] + places[done - 1][1].nbytes if done else 0
            for offset, tensor in places[done:]:
                output.write_all(outline.between(position, offset))
                output.write_all(tensor.encoded(writing.advance))
                tensor.release()
                position = offset + tensor.nbytes
                writing.note(output, None)
            output.write_all(outline.between(position, outline.size))

    def _compress(self, tensors: Sequence[Outgoing], writing: Writing) -> None:
        with writing.create() as output, open_scratch(writing.fs, writing.path) as scratch:
            with h5py.File(scratch, "w") as file:
                for tensor, group, name in _placed(file, tensors, writing):
                    for nbytes in _add_compressed(group, name, tensor, writing.compression):
                        scratch.check()
                        writing.advance(nbytes)
                    tensor.release()
            output.write_all(scratch.pieces())


def _placed(
    file: Any,  # noqa: ANN401  (h5py.File)
    tensors: Sequence[Outgoing],
    writing: Writing,
) -> Iterator[tuple[Outgoing, Any, str]]:
    """Write the attributes of a file; iterate over the tensors, each with its group and its name in that."""
    for key, text in writing.metadata.items():
        file.attrs[key] = text.replace("\0", "\\0").encode("utf-8", "backslashreplace").decode()
    paths, is_escaped = path_names([tensor.name for tensor in tensors])
    if is_escaped:
        file.attrs[ESCAPED.decode()] = "escaped"
    groups: dict[str, Any] = {"": file}
    for tensor in tensors:
        folder, _, name = paths[tensor.name].rpartition("/")
        group = groups.get(folder)
        if group is None:
            group = groups[folder] = file.require_group(folder)
        yield tensor, group, name


def _add_strings(group: Any, name: str, tensor: Outgoing) -> None:  # noqa: ANN401  (h5py.Group)
    values = tensor.whole()
    flat = values.reshape(-1)
    if not any(b"\0" in value for value in flat):
        group.create_dataset(name, tensor.shape, h5py.string_dtype(), data=values)
        return
    sequences: Array = np.empty(flat.shape, object)
    for index, value in enumerate(flat):
        sequences[index] = np.frombuffer(value, np.uint8)
    dataset = group.create_dataset(name, tensor.shape, h5py.vlen_dtype(np.uint8))
    dataset[...] = sequences.reshape(tensor.shape) if tensor.shape else sequences[0]


def _add_compressed(
    group: Any,  # noqa: ANN401  (h5py.Group)
    name: str,
    tensor: Outgoing,
    compression: str | None,
) -> Iterator[int]:
    """Write a dataset chunk by chunk, and iterate over the bytes of tensors that each is made of."""
    if tensor.dtype.name == "string":
        _add_strings(group, name, tensor)
        yield tensor.nbytes
        return
    dtype = tensor.dtype.numpy.newbyteorder("<")
    if not tensor.shape or not tensor.nbytes:  # such datasets have no chunks
        group.create_dataset(name, tensor.shape, dtype, data=tensor.whole())
        yield tensor.nbytes
        return
    elements = CHUNK_BYTES // dtype.itemsize
    fits = math.prod(tensor.shape) <= elements
    regions = [whole(tensor.shape)] if fits else cut(tensor.shape, elements)
    dataset = None
    for region, piece in zip(regions, tensor.pieces(CHUNK_BYTES), strict=True):
        if dataset is None:
            chunks = region_shape(region)
            dataset = group.create_dataset(
                name, tensor.shape, dtype, chunks=chunks, compression=compression, shuffle=True
            )
        dataset[tuple(slice(start, stop) for start, stop in region)] = piece
        yield piece.nbytes
