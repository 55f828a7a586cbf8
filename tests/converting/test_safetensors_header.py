"""Headers of safetensors files: read as the package ``safetensors`` reads them, and no tensor with them."""

from __future__ import annotations

import json
import struct
from contextlib import closing
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import ckptfmt
from ckptfmt.converting.sources.safetensors.header import (
    Extent,
    Header,
    decode_safetensors_header,
    read_safetensors_header,
)
from ckptfmt.errors import ConversionError, CorruptError, PathNotFoundError, UnsupportedError
from ckptfmt.storage.filesystem import Filesystem
from ckptfmt.storage.local import LocalFilesystem
from tests.support.memory_filesystem import MemoryFilesystem

PREAD = LocalFilesystem("pread")


def header_of(fs: Filesystem, path: str) -> Header:
    with closing(fs.open(path)) as file:
        return read_safetensors_header(file)


def content(header: object, data: bytes = b"", *, size: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if size is None else size) + text + data


def tensor(dtype: str = "F32", shape: object = (2,), offsets: object = (0, 8)) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


def test_a_file_of_the_package_has_the_dtypes_and_shapes_that_were_saved(tmp_path: Path) -> None:
    save_file = pytest.importorskip("safetensors.numpy").save_file
    arrays: dict[str, np.ndarray] = {
        "scalar": np.array(3.0),
        "empty": np.zeros((0, 3), np.int8),
        "bool": np.ones((2, 1), bool),
        "bfloat16": np.ones(3, ml_dtypes.bfloat16),
        "ünï/kernel": np.zeros((4, 5), np.uint16),
        "complex": np.zeros(2, np.complex64),
    }
    path = tmp_path / "w.safetensors"
    save_file(arrays, path, metadata={"format": "np"})
    specs = header_of(PREAD, str(path)).tensors
    assert {name: (spec.dtype.numpy, spec.shape) for name, spec in specs.items()} == {
        name: (array.dtype, array.shape) for name, array in arrays.items()
    }


BAD = {
    "empty": b"",
    "short": b"\x08\0\0",
    "longer than the file": content({}, size=3),
    "longer than any": struct.pack("<Q", 1 << 63) + b"{}",
    "not JSON": content(b"{'a': 1}"),
    "not UTF-8": content(b'{"\xff": 1}'),
    "a list": content([]),
    "nested": content(b"[" * 200_000),
    "a byte order mark": content(b"\xef\xbb\xbf{}"),
    "UTF-16": content("{}".encode("utf-16")),
    "half a surrogate pair": content(b'{"__metadata__": {"k": "\\uD800"}}'),
    "NaN": content({"a": {**tensor(), "more": float("nan")}}, bytes(8)),
    "metadata that is a list": content({"__metadata__": ["k"]}),
    "metadata that is an empty list": content({"__metadata__": []}),
    "metadata that is a number": content({"__metadata__": {"k": 1}}),
    "many digits": content(b'{"a": ' + b"9" * 10_000 + b"}"),
    "not a tensor": content({"a": 3}),
    "no dtype": content({"a": {"shape": [2], "data_offsets": [0, 8]}}, bytes(8)),
    "no shape": content({"a": {"dtype": "F32", "data_offsets": [0, 8]}}, bytes(8)),
    "a negative size": content({"a": tensor(shape=[-2])}, bytes(8)),
    "a size that is true": content({"a": tensor(shape=[True, 2])}, bytes(8)),
    "a size that is a float": content({"a": tensor(shape=[2.0])}, bytes(8)),
    "one offset": content({"a": tensor(offsets=[8])}, bytes(8)),
    "offsets in reverse": content({"a": tensor(offsets=[8, 0])}, bytes(8)),
    "too few bytes for its shape": content({"a": tensor(offsets=[0, 4])}, bytes(4)),
    "beyond the file": content({"a": tensor()}, bytes(4)),
    "bytes after the last": content({"a": tensor()}, bytes(9)),
    "a gap": content({"a": tensor(), "b": tensor(offsets=[12, 20])}, bytes(20)),
    "shared bytes": content({"a": tensor(), "b": tensor(offsets=[4, 12])}, bytes(12)),
}


@pytest.mark.parametrize("data", BAD.values(), ids=list(BAD))
def test_a_bad_header_is_an_error_that_names_the_file(data: bytes) -> None:
    fs = MemoryFilesystem({"/w.safetensors": data}, has_views=False)
    with pytest.raises((CorruptError, UnsupportedError)) as caught:
        header_of(fs, "/w.safetensors")
    assert caught.value.file == "/w.safetensors"
    assert caught.value.what.startswith("not a safetensors file: ")


@pytest.mark.parametrize("data", BAD.values(), ids=list(BAD))
def test_the_package_refuses_the_same_headers(data: bytes) -> None:
    safetensors = pytest.importorskip("safetensors")
    with pytest.raises(safetensors.SafetensorError):
        safetensors.deserialize(data)


def test_two_tensors_of_one_name_are_an_error_since_readers_would_differ() -> None:
    member = json.dumps(tensor()).encode()
    with pytest.raises(CorruptError, match="the same name"):
        decode_safetensors_header(b'{"a": ' + member + b', "a": ' + member + b"}", 8)


@pytest.mark.parametrize(
    ("code", "shape", "size"), [("F8_E8M0", [8], 8), ("F4", [2, 4], 4), ("F6_E2M3", [4], 3), ("X9", [3], 7)]
)
def test_a_dtype_that_tensorflow_lacks_is_listed_and_only_that_tensor_refused(
    code: str, shape: list[int], size: int, tmp_path: Path
) -> None:
    members = {"a": tensor(), "b": tensor(code, shape, [8, 8 + size])}
    fs = MemoryFilesystem({"/w.safetensors": content(members, bytes(8 + size))})
    tensors = ckptfmt.open_tensors("/w.safetensors", fs=fs)
    assert tensors["a"].tolist() == [0, 0]
    assert (tensors.entries["b"].dtype, tensors.entries["b"].shape) == ("variant", tuple(shape))
    for read in (lambda: tensors["b"], lambda: tensors.slice("b")[:1]):
        with pytest.raises(UnsupportedError, match=f"tensor 'b': dtype {code} is not read") as caught:
            read()
        assert caught.value.file == "/w.safetensors"
    path = tmp_path / "w.safetensors"
    path.write_bytes(content(members, bytes(8 + size)))
    with pytest.raises(ConversionError) as refused:
        ckptfmt.convert(path, tmp_path / "w.npz")
    assert set(refused.value.problems) == {"b"}
    ckptfmt.convert(path, tmp_path / "w.npz", exclude="b")
    assert list(ckptfmt.open_tensors(tmp_path / "w.npz")) == ["a"]


@pytest.mark.parametrize(("code", "shape", "size"), [("F8_E8M0", [8], 7), ("F4", [3], 2), ("F4", [4], 4)])
def test_a_dtype_that_is_not_read_has_the_bytes_of_its_shape(code: str, shape: list[int], size: int) -> None:
    header = json.dumps({"a": tensor(code, shape, [0, size])}).encode()
    with pytest.raises(CorruptError, match=f"tensor 'a': got {size} bytes for {code}"):
        decode_safetensors_header(header, size)


def test_so_many_dimensions_that_their_product_would_take_long_are_unsupported() -> None:
    header = json.dumps({"a": tensor("U8", [1 << 62] * 100_000, [0, 8])}).encode()
    with pytest.raises(UnsupportedError, match="100000 dimensions"):
        decode_safetensors_header(header, 8)


def test_spaces_and_metadata_are_passed_over() -> None:
    header = json.dumps({"__metadata__": {"a": "b"}, "w": tensor()}).encode() + b"    "
    extent = Extent(ckptfmt.as_dtype("float32"), (2,), 0, 8)
    assert decode_safetensors_header(header, 8) == ({"w": extent}, {"a": "b"})


def test_a_missing_file_is_not_found() -> None:
    with pytest.raises(PathNotFoundError):
        header_of(PREAD, "/nowhere/w.safetensors")


@pytest.mark.parametrize("has_views", [True, False])
def test_only_the_header_is_read(has_views: bool) -> None:
    values = 1 << 20
    data = content({"a": tensor(shape=[values], offsets=[0, 4 * values])}, bytes(4 * values))
    fs = MemoryFilesystem({"/w": data}, has_views=has_views)
    largest = []

    class Watched(MemoryFilesystem):
        def open(self, path: str, *, changing: bool = False) -> Any:
            file = fs.open(path, changing=changing)
            read = file.read

            def watched(offset: int, size: int) -> memoryview:
                largest.append(size)
                return read(offset, size)

            file.read = watched  # type: ignore[method-assign]
            return file

    assert list(header_of(Watched({}), "/w").tensors) == ["a"]
    assert max(largest) < 200
