"""The library zarr, given the files of a hierarchy.

Our own code has read the metadata, so that a million arrays are listed quickly; the library decodes chunks.
"""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Iterable
from typing import Any

import numpy as np

from ckptfmt.arrays.array import Array
from ckptfmt.checkpoint.slices import Region
from ckptfmt.converting.sources.zarr.arrays import ArrayHead
from ckptfmt.converting.sources.zarr.codecs import guard
from ckptfmt.converting.sources.zarr.tree import Tree
from ckptfmt.errors import CkptfmtError, CorruptError, MissingDependencyError
from ckptfmt.limits import Limits

try:
    import zarr
    from zarr.abc.store import OffsetByteRequest, RangeByteRequest, Store, SuffixByteRequest
    from zarr.storage import StorePath
except ImportError:
    raise MissingDependencyError("zarr 3 (Python 3.11 or later)", "zarr") from None


def read_region(tree: Tree, head: ArrayHead, region: Region, limits: Limits) -> Array:
    """Return a region of an array, as the library makes it.

    Raises
    ------
    CorruptError, UnsupportedError, LimitError
        The metadata or the chunks are not what the library reads, or take more than the limits allow.
    """
    is_scalar = not head.shape and head.dtype == "string"
    if is_scalar:
        head, region = _as_row(head), ((0, 1),)
    try:
        array = zarr.Array.from_dict(StorePath(_Files(tree, is_scalar=is_scalar), head.key), _metadata(head))
        if array.shape != head.shape:
            raise CorruptError(f"shape: got {array.shape}")
        _check_chunks(tree, head, array, region, limits)
        guard(array._async_array, limits)
        return np.asarray(array[tuple(slice(*each) for each in region)])
    except CkptfmtError as error:
        raise error.at(tree.locate(head.key)) from None
    except MemoryError:
        raise CorruptError("a chunk asks for more memory than there is", file=tree.locate(head.key)) from None
    except Exception as error:
        # Whatever the codecs raise: they belong to several libraries.
        raise CorruptError(
            f"zarr cannot read it: {str(error) or type(error).__name__}", file=tree.locate(head.key)
        ) from error


def _as_row(head: ArrayHead) -> ArrayHead:
    """Return the metadata of one string as those of a row of one.

    Of a string that is all of an array, the library cuts the zero bytes at the end.
    """
    metadata = dict(head.metadata, shape=[1])
    if head.version == 2:
        metadata["chunks"] = [1]
    else:
        metadata["chunk_grid"] = {"name": "regular", "configuration": {"chunk_shape": [1]}}
        # The key of a scalar's only chunk is "c"; that of a row is "c/0" in one encoding, "0" in the other.
        metadata["chunk_key_encoding"] = {"name": "v2"}
        metadata.pop("dimension_names", None)
    return head._replace(metadata=metadata, shape=(1,))


def _metadata(head: ArrayHead) -> dict[str, Any]:
    """Return the metadata of an array whose dtype the library has: the bits of others as integers."""
    metadata = dict(head.metadata)
    if head.version == 2:
        if isinstance(metadata.get("dtype"), str) and metadata["dtype"] == head.stored.name:
            metadata |= {"dtype": f"<u{head.stored.itemsize}", "fill_value": _bits(head)}
        metadata.pop("node_type", None)
    elif not hasattr(np, head.stored.name) and head.stored.name != "string":
        metadata |= {"data_type": f"uint{8 * (head.stored.itemsize or 1)}", "fill_value": _bits(head)}
    return metadata


def _bits(head: ArrayHead) -> int:
    """Return the bits of the fill value of a dtype that only TensorFlow and tensorstore have."""
    value, itemsize = head.metadata.get("fill_value"), head.stored.itemsize or 1
    if isinstance(value, str) and value.startswith("0x"):
        return int(value, 16)
    number = np.array([float(value or 0)]).astype(head.stored.numpy)
    return int(number.view(f"u{itemsize}")[0])


def _check_chunks(tree: Tree, head: ArrayHead, array: Any, region: Region, limits: Limits) -> None:  # noqa: ANN401
    """Raise LimitError if a region takes much more memory, or more steps, than its chunks have bytes.

    Chunks that do not exist have the fill value: a few bytes of metadata can ask for anything.
    """
    chunks = array.shards or array.chunks
    count = math.prod(
        -(-stop // size) - start // size
        for (start, stop), size in zip(region, chunks, strict=True)
        if stop > start
    )
    nbytes = math.prod(stop - start for start, stop in region) * (head.stored.itemsize or 8)
    if nbytes > limits.value or count > _FREE_CHUNKS:
        stored = list(tree.sizes(head.key))
        limits.check_bytes("array", nbytes, sum(stored))
        limits.check_memory("chunks, most of which do not exist", count, len(stored) * _FREE_CHUNKS)


_FREE_CHUNKS = 1 << 16
"""Chunks that a region may have whether or not they exist: a second or two of the library's time."""


class _Files(Store):
    """Our files as the library's store, to be read only."""

    supports_writes = False
    supports_deletes = False
    supports_listing = False

    def __init__(self, tree: Tree, *, is_scalar: bool) -> None:
        """Take the files; ``is_scalar`` says that the only array to be read is one of :func:`_as_row`."""
        super().__init__(read_only=True)
        self._tree = tree
        self._is_scalar = is_scalar
        self._is_open = True

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Files) and other._tree is self._tree

    async def get(self, key: str, prototype: Any, byte_range: Any = None) -> Any:  # noqa: ANN401
        start, stop = _bounds(byte_range)
        data = self._tree.read(key, start, stop)
        if data is None and self._is_scalar:
            data = self._tree.read(f"{key.removesuffix('0')}c", start, stop)
        return None if data is None else prototype.buffer.from_bytes(data)

    async def get_partial_values(self, prototype: Any, key_ranges: Iterable[tuple[str, Any]]) -> list[Any]:  # noqa: ANN401
        return [await self.get(key, prototype, byte_range) for key, byte_range in key_ranges]

    async def exists(self, key: str) -> bool:
        return self._tree.read(key, 0, 0) is not None

    async def set(self, key: str, value: Any) -> None:  # noqa: ANN401
        raise NotImplementedError

    async def delete(self, key: str) -> None:
        raise NotImplementedError

    async def list(self) -> AsyncIterator[str]:
        raise NotImplementedError
        yield ""

    async def list_prefix(self, prefix: str) -> AsyncIterator[str]:
        raise NotImplementedError
        yield ""

    async def list_dir(self, prefix: str) -> AsyncIterator[str]:
        raise NotImplementedError
        yield ""


def _bounds(byte_range: Any) -> tuple[int, int | None]:  # noqa: ANN401
    """Return a range of bytes as the bounds of a slice."""
    if isinstance(byte_range, RangeByteRequest):
        return byte_range.start, byte_range.end
    if isinstance(byte_range, OffsetByteRequest):
        return byte_range.offset, None
    if isinstance(byte_range, SuffixByteRequest):
        return -byte_range.suffix, None
    return 0, None
