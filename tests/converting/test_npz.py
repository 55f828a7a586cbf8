"""NumPy's files both ways: what NumPy writes is read, and what is written ``numpy.load`` reads."""

from __future__ import annotations

import io
import struct
import zipfile
from contextlib import suppress
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

import ckptfmt
from ckptfmt.converting.sources.npz.npy_header import read_npy_header
from ckptfmt.converting.sources.open_tensors import open_file
from ckptfmt.errors import (
    ChecksumError,
    CkptfmtError,
    ConversionError,
    CorruptError,
    LimitError,
    TruncatedError,
    UnsupportedError,
)
from tests.support.memory_filesystem import MemoryFilesystem

NATIVE = [
    *("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
    *("float16", "float32", "float64", "complex64", "complex128"),
]
RANDOM = np.random.default_rng(7)
ARRAYS: dict[str, np.ndarray] = {
    **{f"dtype/{name}": RANDOM.integers(0, 2, (2, 3)).astype(name) for name in NATIVE},
    "scalar": np.array(3.5),
    "empty": np.zeros((0, 3), np.int8),
    "ünï/kernel": np.arange(60, dtype=np.uint16).reshape(3, 4, 5),
    "../up": np.arange(3),
    "twice.npy": np.arange(4),
    "/": np.ones(2),
}
FORTRAN = np.asfortranarray(np.arange(24.0).reshape(2, 3, 4))
SAVERS = pytest.mark.parametrize("save", [np.savez, np.savez_compressed], ids=["stored", "deflated"])


def archive(**arrays: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.savez(stream, **arrays)  # type: ignore[arg-type]
    return stream.getvalue()


def opened(data: bytes, name: str = "/w.npz", **options: object) -> ckptfmt.Tensors:
    return ckptfmt.open_tensors(name, fs=MemoryFilesystem({name: data}, has_views=False), **options)  # type: ignore[arg-type]


def assert_equal(tensors: ckptfmt.Tensors, arrays: dict[str, np.ndarray]) -> None:
    assert list(tensors) == list(arrays)
    for name, array in arrays.items():
        read = tensors[name]
        assert (read.dtype, read.shape) == (array.dtype.newbyteorder("="), array.shape), name
        assert np.array_equal(read, array)
        assert not read.flags.writeable


@SAVERS
@pytest.mark.parametrize("backend", ["mmap", "pread"])
def test_what_numpy_saves_is_read(save: object, backend: str, tmp_path: Path) -> None:
    arrays = {
        **ARRAYS,
        "fortran": FORTRAN,
        "big": np.arange(5, dtype=">i4"),
        "bigc": np.arange(3, dtype=">c8"),
    }
    save(tmp_path / "w.npz", **arrays)  # type: ignore[operator]
    with ckptfmt.open_tensors(tmp_path / "w.npz", backend=backend) as tensors:
        assert tensors.format == "npz"
        assert_equal(tensors, arrays)


@SAVERS
def test_parts_are_those_of_the_array(save: object, tmp_path: Path) -> None:
    arrays = {"c": np.arange(120).reshape(4, 5, 6), "f": np.asfortranarray(np.arange(120).reshape(4, 5, 6))}
    save(tmp_path / "w.npz", **arrays)  # type: ignore[operator]
    with ckptfmt.open_tensors(tmp_path / "w.npz") as tensors:
        for name, array in arrays.items():
            for index in (
                np.s_[1:3, :, 2],
                np.s_[2],
                np.s_[3, 1:4:2, ::-1],
                np.s_[0:0],
                np.s_[1, 2, 3],
                np.s_[::2],
            ):
                assert np.array_equal(tensors.slice(name)[index], array[index])


def test_a_stored_array_is_a_view_of_the_mapped_file(tmp_path: Path) -> None:
    np.savez(tmp_path / "w.npz", w=np.arange(100_000))
    with ckptfmt.open_tensors(tmp_path / "w.npz") as tensors:
        assert np.shares_memory(tensors["w"], tensors["w"])


def test_strings_are_bytes_and_text_is_utf8() -> None:
    arrays = {
        "text": np.array([["hé", ""], ["x", "yz"]]),
        "bytes": np.array([b"a\0b", b""]),
        "none": np.array([], "U3"),
    }
    tensors = opened(archive(**arrays))
    assert tensors["text"].tolist() == [["hé".encode(), b""], [b"x", b"yz"]]
    assert tensors["bytes"].tolist() == [b"a\0b", b""]
    assert tensors["none"].shape == (0,)
    assert tensors.entries["text"].dtype == "string"
    assert tensors.slice("text")[1].tolist() == [b"x", b"yz"]


@pytest.mark.parametrize(
    ("array", "why"),
    [
        (np.array([{}, None]), "it is a pickle, and loading one runs code"),
        (np.zeros(2, [("a", "f4"), ("b", "i8")]), "a structure of fields"),
        (np.zeros(2, ml_dtypes.bfloat16).view("V2"), r"\|V2: NumPy stores bfloat16"),
        (np.zeros(2, "M8[s]"), "no dtype of times"),
        (np.zeros(2, np.longdouble), "TensorFlow has no such dtype"),
    ],
    ids=["objects", "records", "void", "times", "long double"],
)
def test_an_array_that_tensorflow_has_no_dtype_for_is_listed_and_refused_by_name(
    array: np.ndarray, why: str
) -> None:
    tensors = opened(archive(good=np.arange(3), bad=array))
    assert list(tensors) == ["good", "bad"]
    assert tensors["good"].tolist() == [0, 1, 2]
    with pytest.raises(UnsupportedError, match=why) as caught:
        tensors["bad"]
    assert caught.value.file == "/w.npz"
    assert "'bad'" in caught.value.what


@pytest.mark.parametrize("character", [0x110000, 0xFFFFFFFF, 0xD800])
def test_text_that_is_not_unicode_is_an_error(character: int) -> None:
    stream = io.BytesIO()
    np.save(stream, np.array(["ab"]))
    data = bytearray(stream.getvalue())
    data[-4:] = struct.pack("<I", character)
    with pytest.raises(CorruptError, match=r"'w': text") as caught:
        opened(bytes(data), "/w.npy")["w"]
    assert caught.value.offset is not None


def test_a_single_array_has_the_name_of_its_file(tmp_path: Path) -> None:
    np.save(tmp_path / "kernel.npy", FORTRAN)
    with ckptfmt.open_tensors(tmp_path / "kernel.npy") as tensors:
        assert_equal(tensors, {"kernel": FORTRAN})


@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
def test_every_version_of_the_header_is_read(version: tuple[int, int]) -> None:
    stream = io.BytesIO()
    np.lib.format.write_array(stream, np.arange(3), version)
    assert opened(stream.getvalue(), "/w.npy")["w"].tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    "text",
    [
        "{'shape': (2L, 3L), 'fortran_order': False, 'descr': '<i4'}",
        '{"descr":"<i4","fortran_order":False,"shape":(2,3)}\n',
        "{'descr': '<i4', 'fortran_order': False, 'shape': ( 2 , 3 , ), }   \n",
    ],
)
def test_headers_of_other_writers_are_read(text: str) -> None:
    data = (
        b"\x93NUMPY\x01\0"
        + struct.pack("<H", len(text))
        + text.encode()
        + np.arange(6, dtype="<i4").tobytes()
    )
    assert opened(data, "/w.npy")["w"].tolist() == [[0, 1, 2], [3, 4, 5]]


HEADERS = {
    "code": "__import__('os').system('true')",
    "code in a value": "{'descr': __import__('os'), 'fortran_order': False, 'shape': (1,)}",
    "a negative size": "{'descr': '<i4', 'fortran_order': False, 'shape': (-1,)}",
    "a huge size": "{'descr': '<i4', 'fortran_order': False, 'shape': (99999999999999999999,)}",
    "a size without end": "{'descr': '<i4', 'fortran_order': False, 'shape': (" + "1" * 60_000 + "x",
    "nested": "{'descr': " + "[" * 30_000,
    "many brackets": "(" * 60_000,
    "no shape": "{'descr': '<i4', 'fortran_order': False}",
    "more than the keys": "{'descr': '<i4', 'fortran_order': False, 'shape': (1,), 'x': 'y'}",
    "a shape that is text": "{'descr': '<i4', 'fortran_order': False, 'shape': '1'}",
    "an order that is text": "{'descr': '<i4', 'fortran_order': 'F', 'shape': (1,)}",
    "an unknown dtype": "{'descr': '<i3', 'fortran_order': False, 'shape': (1,)}",
    "a dtype that is none": "{'descr': '%%', 'fortran_order': False, 'shape': (1,)}",
    "wrong size": "{'descr': '<i4', 'fortran_order': False, 'shape': (2,)}",
    "many dimensions": "{'descr': '<i4', 'fortran_order': False, 'shape': (" + "1, " * 20_000 + ")}",
    "numbers without commas": "{'descr': '<i4', 'fortran_order': False, 'shape': (1 1)}",
    "empty": "",
}


@pytest.mark.parametrize("text", HEADERS.values(), ids=list(HEADERS))
def test_a_hostile_header_is_an_error_with_its_place(text: str) -> None:
    data = b"\x93NUMPY\x01\0" + struct.pack("<H", len(text)) + text.encode() + bytes(4)
    with pytest.raises(CkptfmtError) as caught:
        opened(data, "/w.npy")["w"]
    assert caught.value.file == "/w.npy"
    assert caught.value.offset is not None


def test_a_header_cut_anywhere_is_an_error() -> None:
    stream = io.BytesIO()
    np.save(stream, np.arange(3))
    data = stream.getvalue()
    for size in range(6, len(data)):
        with pytest.raises(CorruptError):
            read_npy_header(lambda start, stop: data[start:stop], size)


@SAVERS
def test_a_damaged_byte_is_an_error_or_changes_nothing(save: object, tmp_path: Path) -> None:
    save(tmp_path / "w.npz", a=np.arange(20.0), b=np.arange(3))  # type: ignore[operator]
    data = (tmp_path / "w.npz").read_bytes()
    for position in range(len(data)):
        damaged = bytearray(data)
        damaged[position] ^= 0xFF
        with suppress(CkptfmtError):
            tensors = opened(bytes(damaged))
            # Names, times and versions are not covered by a checksum.
            assert [each.tobytes() for each in tensors.values()] == [
                np.arange(20.0).tobytes(),
                np.arange(3).tobytes(),
            ]


def test_pieces_read_in_order_are_verified_at_their_end(tmp_path: Path) -> None:
    data = bytearray(archive(w=np.arange(3_000_000)))
    data[len(data) // 2] ^= 1
    tensors = opened(bytes(data))
    assert tensors.slice("w")[:10].tolist() == list(range(10))
    with pytest.raises(ChecksumError, match=r"member 'w.npy': CRC-32"):
        tensors["w"]
    (tmp_path / "w.npz").write_bytes(data)
    with pytest.raises(ChecksumError):
        ckptfmt.convert(tmp_path / "w.npz", tmp_path / "w.safetensors")
    assert not (tmp_path / "w.safetensors").exists()


def test_pieces_of_a_deflated_array_are_decompressed_once(tmp_path: Path) -> None:
    array = np.arange(5_000_000)  # three pieces
    np.savez_compressed(tmp_path / "w.npz", w=array)
    ckptfmt.convert(tmp_path / "w.npz", tmp_path / "w.safetensors")
    assert np.array_equal(ckptfmt.open_tensors(tmp_path / "w.safetensors")["w"], array)


def with_size(member: bytes, size: int, method: int = 8) -> bytes:
    """Return an archive whose only member has these stored bytes, and states another size."""
    name = b"w.npy"
    local = struct.pack("<4s5HIIIHH", b"PK\x03\x04", 20, 0, method, 0, 33, 0, len(member), size, len(name), 0)
    central = struct.pack(
        "<4s6HIIIHHHHHII", b"PK\x01\x02", 20, 20, 0, method, 0, 33, 0, len(member), size, len(name), *[0] * 6
    )
    start = len(local + name + member)
    end = struct.pack("<4sHHHHIIH", b"PK\x05\x06", 0, 0, 1, 1, len(central + name), start, 0)
    return local + name + member + central + name + end


def test_a_bomb_is_refused_before_it_is_unpacked() -> None:
    with pytest.raises(CorruptError, match="30 bytes cannot hold 4000000000"):
        opened(with_size(bytes(30), 4_000_000_000))
    stream = io.BytesIO()
    np.savez_compressed(stream, w=np.zeros(1_000_000))
    with pytest.raises(LimitError, match="max_bytes"):
        opened(stream.getvalue(), limits=ckptfmt.Limits(max_bytes=1000, max_ratio=10))["w"]


def test_members_that_share_bytes_are_an_error() -> None:
    data = bytearray(archive(a=np.arange(3), b=np.arange(3)))
    second = data.index(b"PK\x01\x02", data.index(b"PK\x01\x02") + 4)
    data[second + 42 : second + 46] = bytes(4)  # begins where the first one does
    with pytest.raises(CorruptError, match="do not fit before the next"):
        opened(bytes(data))


def test_methods_and_flags_that_are_not_read_are_named(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "w.npz", "w", zipfile.ZIP_LZMA) as target:
        target.writestr("w.npy", bytes(100))
    with pytest.raises(UnsupportedError, match="compressed by LZMA"):
        ckptfmt.open_tensors(tmp_path / "w.npz")
    data = bytearray(archive(w=np.arange(3)))
    data[data.index(b"PK\x01\x02") + 8] |= 1
    with pytest.raises(UnsupportedError, match=r"'w.npy' is encrypted"):
        opened(bytes(data))


def test_two_members_of_one_name_are_an_error(tmp_path: Path) -> None:
    array = io.BytesIO()
    np.save(array, np.arange(3))
    with zipfile.ZipFile(tmp_path / "w.npz", "w") as target:
        target.writestr("w.npy", array.getvalue())
        target.writestr("w", array.getvalue())
    with pytest.raises(CorruptError, match="several members are named 'w'"):
        ckptfmt.open_tensors(tmp_path / "w.npz")


def test_members_without_the_suffix_directories_comments_and_bytes_before_it_are_read(tmp_path: Path) -> None:
    array = io.BytesIO()
    np.save(array, np.arange(3))
    with zipfile.ZipFile(tmp_path / "w.npz", "w") as target:
        target.writestr("plain", array.getvalue())
        target.mkdir("folder") if hasattr(target, "mkdir") else None
        target.writestr("folder/w.npy", array.getvalue())
        target.writestr("notes.json", "{}")
        target.comment = b"PK\x05\x06" * 20
    data = (tmp_path / "w.npz").read_bytes()
    # zipfile, and so NumPy, reads an archive after a program that unpacks it.
    for before in (b"", b"#!/bin/sh\n"):
        fs = MemoryFilesystem({"/w": before + data})
        assert_equal(
            open_file("npz", "/w", fs, ckptfmt.Limits()), {"plain": np.arange(3), "folder/w": np.arange(3)}
        )


def test_an_archive_of_zip64_is_read(tmp_path: Path) -> None:
    array = io.BytesIO()
    np.save(array, np.arange(3))
    with (
        zipfile.ZipFile(tmp_path / "w.npz", "w") as target,
        target.open("w.npy", "w", force_zip64=True) as member,
    ):
        member.write(array.getvalue())
    assert ckptfmt.open_tensors(tmp_path / "w.npz")["w"].tolist() == [0, 1, 2]


def test_a_file_cut_anywhere_is_an_error() -> None:
    data = archive(w=np.arange(3))
    for size in range(30, len(data), 7):
        with pytest.raises(CkptfmtError):
            opened(data[:size])["w"]


# --- written


@pytest.mark.parametrize("compression", [None, "none", "deflate"])
def test_numpy_reads_what_is_written(compression: str | None, tmp_path: Path) -> None:
    ckptfmt.save(tmp_path / "model", ARRAYS)
    done = ckptfmt.convert(tmp_path / "model", tmp_path / "w.npz", compression=compression)
    assert done.format == "npz"
    with zipfile.ZipFile(tmp_path / "w.npz") as members:
        assert members.testzip() is None
    with np.load(tmp_path / "w.npz", allow_pickle=False) as loaded:
        assert set(loaded.files) == set(ARRAYS)
        for name, array in ARRAYS.items():
            assert (loaded[name].dtype, loaded[name].shape) == (array.dtype, array.shape)
            assert loaded[name].tobytes() == array.tobytes()
    with ckptfmt.open_tensors(tmp_path / "w.npz") as tensors:
        assert_equal(tensors, {name: ARRAYS[name] for name in tensors})
        if compression != "deflate":
            assert all(array.ctypes.data % 64 == 0 for array in tensors.values() if array.nbytes >= 1 << 16)


def test_the_same_tensors_give_the_same_file(tmp_path: Path) -> None:
    ckptfmt.save(tmp_path / "model", ARRAYS)
    for name in ("a.npz", "b.npz"):
        ckptfmt.convert(tmp_path / "model", tmp_path / name)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_stored_bytes_are_aligned(tmp_path: Path) -> None:
    ckptfmt.save(tmp_path / "model", {"a": np.arange(3), "b": np.ones(200_000), "c/d": np.ones(5)})
    ckptfmt.convert(tmp_path / "model", tmp_path / "w.npz")
    with ckptfmt.open_tensors(tmp_path / "w.npz") as tensors:
        assert [array.ctypes.data % 64 for array in tensors.values()] == [0, 0, 0]


def test_what_the_format_cannot_hold_is_an_error_that_lists_it_and_nothing_is_written(tmp_path: Path) -> None:
    values = {
        "good": np.ones(2),
        "text": np.array([b"a"], object),
        "brain": np.ones(2, ml_dtypes.bfloat16),
        "eight": np.ones(2, ml_dtypes.float8_e5m2),
        "four": np.ones(2, ml_dtypes.int4),
    }
    ckptfmt.save(tmp_path / "model", values)
    with pytest.raises(ConversionError) as caught:
        ckptfmt.convert(tmp_path / "model", tmp_path / "w.npz")
    assert caught.value.problems == {
        "text": "no dtype string",
        "brain": "no dtype bfloat16",
        "eight": "no dtype float8_e5m2",
        "four": "no dtype int4",
    }
    assert not (tmp_path / "w.npz").exists()
    ckptfmt.convert(tmp_path / "model", tmp_path / "w.npz", select="brain", cast="float32")
    with np.load(tmp_path / "w.npz") as loaded:
        assert loaded["brain"].dtype == np.float32


def test_names_that_numpy_takes_for_one_are_an_error(tmp_path: Path) -> None:
    ckptfmt.save(tmp_path / "model", {"w": np.ones(2), "w.npy": np.ones(2)})
    with pytest.raises(ConversionError, match=r"no name with \.npy beside the same without it: 'w\.npy'"):
        ckptfmt.convert(tmp_path / "model", tmp_path / "w.npz")
    assert not (tmp_path / "w.npz").exists()


@pytest.mark.parametrize("name", ["a\0b", "n" * 70_000])
def test_names_that_no_archive_has_are_an_error(name: str, tmp_path: Path) -> None:
    ckptfmt.save(tmp_path / "model", {name: np.ones(2)})
    with pytest.raises(ConversionError, match="no name"):
        ckptfmt.convert(tmp_path / "model", tmp_path / "w.npz")


def test_an_unknown_compression_is_an_error(tmp_path: Path) -> None:
    ckptfmt.save(tmp_path / "model", {"w": np.ones(2)})
    with pytest.raises(ValueError, match="want one of none, deflate"):
        ckptfmt.convert(tmp_path / "model", tmp_path / "w.npz", compression="zstd")


def test_a_truncated_member_is_truncated() -> None:
    with pytest.raises(TruncatedError):
        read_npy_header(lambda start, stop: b"\x93NUMPY\x01"[start:stop], 7)


@pytest.mark.scale
@pytest.mark.parametrize("suffix", [".npz", ".pt"])
def test_archives_of_more_than_4_gib(suffix: str, tmp_path: Path) -> None:
    ckptfmt.save(tmp_path / "model", {"a": np.ones(3)})
    row = np.arange(1 << 18, dtype=np.float32)
    values = {"m": np.broadcast_to(row, (4200, 1 << 18)), "z": np.arange(3)}
    target = tmp_path / f"w{suffix}"
    ckptfmt.convert(ckptfmt.open(tmp_path / "model").updated(values, add=True), target)
    assert target.stat().st_size > 4200 << 20
    with zipfile.ZipFile(target) as members:
        assert max(member.file_size for member in members.infolist()) > 1 << 32
        assert max(member.header_offset for member in members.infolist()) > 1 << 32
    with ckptfmt.open_tensors(target) as tensors:
        assert tensors["z"].tolist() == [0, 1, 2]
        assert np.array_equal(tensors.slice("m")[4199], row)
