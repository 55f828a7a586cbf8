"""Codecs of zarr, kept from what a hostile chunk asks of them.

The library believes what metadata and chunks say. What it would believe is checked first: the sizes that
compressed chunks claim, and which codecs may be named.
"""

from __future__ import annotations

import math
from collections.abc import Container, Iterable
from dataclasses import replace
from typing import Any

import numpy as np

from ckptfmt.converting.sources.zarr.sizes import COMPRESSORS, decompressed_size
from ckptfmt.errors import CorruptError, MissingDependencyError, UnsupportedError
from ckptfmt.limits import Limits

try:
    from numcodecs.abc import Codec  # type: ignore[import-untyped]
    from zarr.abc.codec import BytesBytesCodec
    from zarr.codecs import ShardingCodec, VLenBytesCodec, VLenUTF8Codec
    from zarr.codecs._v2 import V2Codec
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


def guard(array: Any, limits: Limits) -> None:  # noqa: ANN401
    """Give an array codecs that check what chunks claim before they decompress them."""
    metadata = array.metadata
    if metadata.zarr_format == 2:
        dtype = metadata.dtype.to_native_dtype()
        expected = None if _varies(dtype) else math.prod(metadata.chunks) * dtype.itemsize

        def checked(codec: Any, known: Container[str]) -> Any:  # noqa: ANN401
            if codec.codec_id not in known:
                raise UnsupportedError(f"codec {codec.codec_id}")
            return _CheckedV2(codec, expected, limits)

        filters = tuple(checked(codec, _FILTERS_V2) for codec in metadata.filters or ())
        compressor = metadata.compressor
        if compressor is not None:
            compressor = checked(compressor, COMPRESSORS | _FILTERS_V2)
        codecs: tuple[Any, ...] = (V2Codec(filters=filters or None, compressor=compressor),)
    else:
        codecs = _checked_all(metadata.codecs, limits)
    # Not in the metadata, which accept only codecs that the library knows by name.
    object.__setattr__(array, "codec_pipeline", type(array.codec_pipeline).from_codecs(codecs))


def _checked_all(codecs: Iterable[Any], limits: Limits) -> tuple[Any, ...]:
    """Return codecs of version 3, those that decompress with a check before them."""
    guarded: list[Any] = []
    compressors = 0
    for codec in codecs:
        if isinstance(codec, ShardingCodec):
            codec = replace(codec, codecs=_checked_all(codec.codecs, limits))
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
