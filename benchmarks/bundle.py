"""Writes V2 checkpoints of any size, and the same values for other libraries, without TensorFlow.

Tensors go to disk as they arrive, so writing a checkpoint of many gigabytes takes little memory.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from ckptfmt.dtypes import Storage, as_dtype
from ckptfmt.wire.crc32c import crc32c
from tests.support.table_writer import encode_bundle_index, encode_entry, encode_header

_SAFETENSORS = {"float32": "F32", "float64": "F64", "int32": "I32", "int64": "I64"}


class _Place(NamedTuple):
    """The location of a tensor in its shard."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    shard: int
    offset: int
    nbytes: int


class BundleWriter:
    """A V2 checkpoint being written: ``with BundleWriter(prefix) as writer: writer.add("w", array)``.

    TensorFlow sorts tensors by name before it writes them; add them in that order to get its layout.
    """

    def __init__(self, prefix: Path, num_shards: int = 1) -> None:
        self._prefix = prefix
        self._shards: list[BinaryIO] = [path.open("wb") for path in shard_paths(prefix, num_shards)]
        self._ends = [0] * num_shards
        self._entries: dict[str, bytes] = {}
        self.places: dict[str, _Place] = {}
        """The location of each tensor, by name."""

    def add(self, name: str, array: np.ndarray[Any, Any]) -> None:
        """Write a tensor of any numeric dtype to the shard with the fewest bytes."""
        stored = array
        if as_dtype(array.dtype).storage is Storage.LOW_BITS:
            stored = array.view(np.uint8) & ((1 << as_dtype(array.dtype).bits) - 1)
        self.add_pieces(name, array.dtype, array.shape, [stored])

    def add_pieces(
        self, name: str, dtype: np.dtype[Any], shape: tuple[int, ...], pieces: Iterable[np.ndarray[Any, Any]]
    ) -> None:
        """Write a tensor given as consecutive pieces."""
        shard = self._ends.index(min(self._ends))
        offset = self._ends[shard]
        crc = 0
        for piece in pieces:
            data = np.ascontiguousarray(piece).reshape(-1).view(np.uint8).data
            crc = crc32c(data, crc)
            self._shards[shard].write(data)
            self._ends[shard] += len(data)
        nbytes = self._ends[shard] - offset
        self.places[name] = _Place(dtype, shape, shard, offset, nbytes)
        self._entries[name] = encode_entry(
            dtype=as_dtype(dtype).code, shape=shape, shard=shard, offset=offset, size=nbytes, crc=crc
        )

    @property
    def nbytes(self) -> int:
        """Bytes of all tensors written so far."""
        return sum(self._ends)

    def __enter__(self) -> BundleWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for file in self._shards:
            file.close()
        if kind is None:
            header = encode_header(num_shards=len(self._shards))
            index = encode_bundle_index(self._entries, header)
            Path(f"{self._prefix}.index").write_bytes(index)


def shard_paths(prefix: Path, num_shards: int = 1) -> list[Path]:
    """Return the paths of the data files of a checkpoint."""
    return [Path(f"{prefix}.data-{i:05d}-of-{num_shards:05d}") for i in range(num_shards)]


def write_safetensors(path: Path, writer: BundleWriter, data: Path) -> None:
    """Write the tensors of a checkpoint of one shard, the file ``data``, as a safetensors file."""
    header = {
        name: {
            "dtype": _SAFETENSORS[place.dtype.name],
            "shape": list(place.shape),
            "data_offsets": [place.offset, place.offset + place.nbytes],
        }
        for name, place in writer.places.items()
    }
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file, data.open("rb") as source:
        file.write(len(text).to_bytes(8, "little") + text)
        shutil.copyfileobj(source, file, 1 << 24)


def write_npy(folder: Path, writer: BundleWriter, data: Path) -> None:
    """Write each tensor of a checkpoint of one shard, the file ``data``, as ``folder/NAME.npy``."""
    folder.mkdir(exist_ok=True)
    with data.open("rb") as source:
        for name, place in writer.places.items():
            source.seek(place.offset)
            with (folder / f"{name}.npy").open("wb") as file:
                about = {"descr": place.dtype.str, "fortran_order": False, "shape": place.shape}
                np.lib.format.write_array_header_1_0(file, about)
                left = place.nbytes
                while left:
                    left -= file.write(source.read(min(left, 1 << 24)))


def sync(folder: Path) -> None:
    """Write all files of a folder through to storage, so that their pages can be dropped for cold runs."""
    if not hasattr(os, "posix_fadvise"):
        return
    for path in folder.rglob("*"):
        if path.is_file():
            descriptor = os.open(path, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
