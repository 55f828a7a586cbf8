"""The library zarr, given the files of a hierarchy, and kept from what a hostile chunk asks of it.

Our own code has read the metadata, so that a million arrays are listed quickly; the library decodes chunks.
What it would believe is checked: the sizes that compressed chunks claim, and the codecs that may be named.
"""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Container, Iterable
from dataclasses import replace
from typing import Any

import numpy as np

from ckptfmt.arrays.array import Array
from ckptfmt.checkpoint.slices import Region
from ckptfmt.converting.sources.zarr_arrays import ArrayHead
from ckptfmt.converting.sources.zarr_sizes import COMPRESSORS, decompressed_size
from ckptfmt.converting.sources.zarr_tree import Tree
from ckptfmt.errors import CkptfmtError, CorruptError, MissingDependencyError, UnsupportedError
from ckptfmt.limits import Limits

try:
    import zarr
    from numcodecs.abc import Codec  # type: ignore[import-untyped]
    from zarr.abc.codec import BytesBytesCodec
    from zarr.abc.store import OffsetByteRequest, RangeByteRequest, Store, SuffixByteRequest
    from zarr.codecs import ShardingCodec, VLenBytesCodec, VLenUTF8Codec
    from zarr.codecs._v2 import V2Codec
    from zarr.storage import StorePath
except ImportError:
    raise MissingDependencyError("zarr 3 (Python 3.11 or later)", "zarr") from None

_CHECKSUMS_V3 = {"crc32c", "numcodecs.crc32c", "numcodecs.crc32", "numcodecs.adler32", "numcodecs.fletcher32"}
_PLAIN_V3 = {"numcodecs.shuffle", "numcodecs.delta", "numcodecs.fixedscaleoffset", "numcodecs.bitround"}
_FILTERS_V2 = {
    *("delta", "fixedscaleoffset", "shuffle", "astype", "quantize", "bitround", "packbits"),
    *("crc32", "crc32c", "adler32", "fletcher32", "vlen-utf8", "vlen-bytes"),
}
"""Codecs that do not compress. ``pickle``, which runs code, is not among them."""

_STRINGS_V2 = ("vlen-utf8", "vlen-bytes")
"""Those of strings."""


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
        _guard(array._async_array, limits)
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
        limits.check_memory("chunks, of which most do not exist", count, len(stored) * _FREE_CHUNKS)


_FREE_CHUNKS = 1 << 16
"""Chunks that a region may have whether or not they exist: a second or two of the library's time."""


def _guard(array: Any, limits: Limits) -> None:  # noqa: ANN401
    """Give an array codecs that check what chunks claim before they decompress them."""
    metadata = array.metadata
    if metadata.zarr_format == 2:
        dtype = metadata.dtype.to_native_dtype()
        expected = None if _varies(dtype) else math.prod(metadata.chunks) * dtype.itemsize

        def guard(codec: Any, known: Container[str]) -> Any:  # noqa: ANN401
            if codec.codec_id not in known:
                raise UnsupportedError(f"codec {codec.codec_id}")
            return _CheckedV2(codec, expected, limits)

        filters = tuple(guard(codec, _FILTERS_V2) for codec in metadata.filters or ())
        compressor = metadata.compressor
        if compressor is not None:
            compressor = guard(compressor, COMPRESSORS | _FILTERS_V2)
        codecs: tuple[Any, ...] = (V2Codec(filters=filters or None, compressor=compressor),)
    else:
        codecs = _guard_all(metadata.codecs, limits)
    # Not in the metadata, which accept only codecs that the library knows by name.
    object.__setattr__(array, "codec_pipeline", type(array.codec_pipeline).from_codecs(codecs))


def _guard_all(codecs: Iterable[Any], limits: Limits) -> tuple[Any, ...]:
    """Return codecs of version 3, those that decompress with a check before them."""
    guarded: list[Any] = []
    compressors = 0
    for codec in codecs:
        if isinstance(codec, ShardingCodec):
            codec = replace(codec, codecs=_guard_all(codec.codecs, limits))
        elif isinstance(codec, VLenUTF8Codec):
            codec = _CheckedUtf8()
        elif isinstance(codec, VLenBytesCodec):
            codec = _CheckedBytes()
        elif isinstance(codec, BytesBytesCodec):
            name = codec.to_dict().get("name")
            compressor = str(name).removeprefix("numcodecs.")
            if compressor in COMPRESSORS:
                compressors += 1
                codec = _Checked(codec, compressor, limits)
            elif name not in _CHECKSUMS_V3 | _PLAIN_V3:
                raise UnsupportedError(f"codec {name}")
        guarded.append(codec)
    if compressors > 1:
        # The first would be measured, and the second could make anything of its result.
        raise UnsupportedError("chunks that are compressed twice")
    return tuple(guarded)


class _Checked(BytesBytesCodec):
    """A compressor of version 3 that checks what a chunk claims before it believes it."""

    is_fixed_size = False

    def __init__(self, codec: Any, name: str, limits: Limits) -> None:  # noqa: ANN401
        self._codec = codec
        self._name = name
        self._limits = limits

    def to_dict(self) -> Any:  # noqa: ANN401
        return self._codec.to_dict()

    def evolve_from_array_spec(self, array_spec: Any) -> Any:  # noqa: ANN401
        return _Checked(self._codec.evolve_from_array_spec(array_spec), self._name, self._limits)

    def compute_encoded_size(self, input_byte_length: int, chunk_spec: Any) -> int:  # noqa: ANN401
        return int(self._codec.compute_encoded_size(input_byte_length, chunk_spec))

    async def decode(self, chunks_and_specs: Iterable[tuple[Any, Any]]) -> Any:  # noqa: ANN401
        chunks = list(chunks_and_specs)
        for chunk, spec in chunks:
            if chunk is not None:
                dtype = spec.dtype.to_native_dtype()
                expected = None if _varies(dtype) else math.prod(spec.shape) * dtype.itemsize
                _check_chunk(self._name, chunk.to_bytes(), expected, self._limits)
        return await self._codec.decode(chunks)


class _CheckedUtf8(VLenUTF8Codec):
    """Text, whose number is checked."""

    async def decode(self, chunks_and_specs: Iterable[tuple[Any, Any]]) -> Any:  # noqa: ANN401
        return await super().decode(_with_checked_counts(chunks_and_specs))


class _CheckedBytes(VLenBytesCodec):
    """Strings of bytes, whose number is checked."""

    async def decode(self, chunks_and_specs: Iterable[tuple[Any, Any]]) -> Any:  # noqa: ANN401
        return await super().decode(_with_checked_counts(chunks_and_specs))


def _with_checked_counts(chunks_and_specs: Iterable[tuple[Any, Any]]) -> list[tuple[Any, Any]]:
    chunks = list(chunks_and_specs)
    for chunk, _ in chunks:
        if chunk is not None:
            _check_count(chunk.to_bytes())
    return chunks


def _check_count(data: bytes) -> None:
    """Raise CorruptError if a chunk has fewer bytes than the lengths of its strings take."""
    # A count, then the length and the bytes of each string: the count is believed first.
    count = int.from_bytes(data[:4], "little")
    if count > len(data) // 4:
        raise CorruptError(f"chunk of strings: got a count of {count} in {len(data)} bytes")


class _CheckedV2(Codec):  # type: ignore[misc]
    """A codec of version 2 that does the same."""

    codec_id = "checked"

    def __init__(self, codec: Any, expected: int | None, limits: Limits) -> None:  # noqa: ANN401
        self._codec = codec
        self._expected = expected
        self._limits = limits
        self.codec_id = codec.codec_id

    def decode(self, buf: Any, out: Any = None) -> Any:  # noqa: ANN401
        if self.codec_id in _STRINGS_V2:
            _check_count(bytes(buf))
        elif self.codec_id in COMPRESSORS:
            _check_chunk(self.codec_id, bytes(buf), self._expected, self._limits)
        return self._codec.decode(buf, out)

    def encode(self, buf: Any) -> Any:  # noqa: ANN401
        return self._codec.encode(buf)

    def get_config(self) -> Any:  # noqa: ANN401
        return self._codec.get_config()


def _varies(dtype: np.dtype[Any]) -> bool:
    """Return whether elements of a dtype have no size in chunks: strings as objects, or NumPy's new ones."""
    return dtype.hasobject or dtype.kind == "T"


def _check_chunk(codec: str, data: bytes, expected: int | None, limits: Limits) -> None:
    if expected is None:
        size = decompressed_size(codec, data, limits.value)
        limits.check_bytes("a compressed chunk", size, len(data))
        return
    limits.check_bytes("a chunk", expected, len(data))
    limit = expected + limits.free_bytes
    size = decompressed_size(codec, data, limit)
    if size > limit:
        raise CorruptError(f"compressed chunk: got {size} bytes or more after {codec}, want {expected}")


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
