"""Stored bytes: whether they are intact, and the array they make, in either byte order."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest

import ckptfmt
from ckptfmt.checkpoint.entry import Entry, name_of
from ckptfmt.checkpoint.slices import FULL, TensorSlice, encode_slice_key
from ckptfmt.checkpoint.stored_bytes import ByteOrder, StoredBytes, label_of
from ckptfmt.dtypes import DTYPES, as_dtype
from ckptfmt.errors import ChecksumError
from ckptfmt.wire.crc32c import crc32c
from tests.support.golden import copied, flip
from tests.support.memory_filesystem import BEFORE, stored
from tests.support.table_writer import encode_bundle_index, encode_entry, encode_header


def test_a_flipped_bit_is_found_on_first_read_unless_asked_not_to(tmp_path: Path) -> None:
    path = copied("saver", tmp_path)
    entry = ckptfmt.open(path).entries["global_step"]
    data = next(path.parent.glob(f"{path.name}.data-*"))
    assert entry.offset is not None
    flip(data, entry.offset)
    with pytest.raises(
        ChecksumError, match=r"'global_step': checksum mismatch: stored 0x\w{8}, computed 0x"
    ) as caught:
        ckptfmt.open(path)["global_step"]
    assert caught.value.stored == entry.crc32c
    assert caught.value.computed != entry.crc32c
    assert (caught.value.file, caught.value.offset) == (str(data), entry.offset)
    assert ckptfmt.open(path, verify=False)["global_step"].shape == ()


def test_a_bool_that_is_neither_0_nor_1_is_true(tmp_path: Path) -> None:
    data = bytes([0, 1, 2, 255])
    entry = encode_entry(dtype=10, shape=(4,), size=4, crc=crc32c(data))
    (tmp_path / "c.index").write_bytes(encode_bundle_index({"b": entry}))
    (tmp_path / "c.data-00000-of-00001").write_bytes(data)
    ckpt = ckptfmt.open(tmp_path / "c")
    assert ckpt["b"].tobytes() == bytes([0, 1, 1, 1])
    assert ckpt.slice("b")[2:].tobytes() == bytes([1, 1])
    assert not ckpt["b"].flags.writeable
    assert ckpt.verify().ok


@pytest.mark.parametrize("big_endian", [False, True], ids=["little", "big"])
@pytest.mark.parametrize(
    "name", ["float32", "bool", "int4", "float4_e2m1fn", "bfloat16", "complex64", "int64"]
)
def test_a_part_is_read_without_the_rest(name: str, big_endian: bool, tmp_path: Path) -> None:
    dtype = next(dtype for dtype in DTYPES.values() if dtype.name == name)
    assert dtype.itemsize is not None
    rows = 1 << 16
    values = np.arange(rows * 256, dtype=np.uint32).astype(np.uint8) & (1 if name == "bool" else 7)
    array = values.view(np.int8).astype(dtype.numpy).reshape(rows, 256)
    word = dtype.itemsize // 2 if name == "complex64" else dtype.itemsize
    data = array.view(np.uint8).reshape(-1, word)[:, :: -1 if big_endian else 1].tobytes()
    entry = encode_entry(dtype=dtype.code, shape=array.shape, size=len(data), crc=crc32c(data))
    header = encode_header(big_endian=big_endian)
    (tmp_path / "c.index").write_bytes(encode_bundle_index({"w": entry}, header))
    (tmp_path / "c.data-00000-of-00001").write_bytes(data)
    ckpt = ckptfmt.open(tmp_path / "c")
    assert ckpt["w"].tobytes() == array.tobytes()
    tracemalloc.start()
    part = ckpt.slice("w")[3:5, ::2]
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert part.tobytes() == array[3:5, ::2].tobytes()
    assert peak < 100_000


def stored_bytes(
    array: np.ndarray, name: str, *, crc: int | None = None, big_endian: bool = False
) -> StoredBytes:
    """Return an array as it is stored in a file, with the entry of a name."""
    crc = crc32c(array.tobytes()) if crc is None else crc
    dtype = as_dtype(array.dtype.newbyteorder("=").name)
    entry = Entry(name, dtype, array.shape, array.nbytes, 0, len(BEFORE), crc, ())
    return StoredBytes(entry, stored(array), len(BEFORE), array.nbytes, ByteOrder(big_endian, "index"))


def test_bytes_of_either_order_become_native_numbers() -> None:
    for order in "<>":
        array = np.arange(6, dtype=f"{order}i4").reshape(2, 3)
        place = stored_bytes(array, "w", big_endian=order == ">")
        got = place.decode(place.read(), verify=True)
        assert got.dtype.isnative
        np.testing.assert_array_equal(got, array)
        place.check()


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("w", "'w'"),
        (name_of(encode_slice_key(b"w", TensorSlice(((0, 2), (0, FULL))))), "'w', slice 0,2:-"),
    ],
    ids=["whole", "slice"],
)
def test_a_wrong_checksum_is_named_with_its_tensor_and_offset(name: str, label: str) -> None:
    array = np.arange(4, dtype=np.int32)
    place = stored_bytes(array, name, crc=7)
    assert label_of(place.entry) == label
    for verify in (
        lambda: place.decode(place.read(), verify=True),
        lambda: place.compare(crc32c(array.tobytes())),
        place.check,
    ):
        with pytest.raises(ChecksumError, match=f"tensor {label}: checksum mismatch") as caught:
            verify()
        assert (caught.value.file, caught.value.offset) == ("data", len(BEFORE))
        assert (caught.value.stored, caught.value.computed) == (7, crc32c(array.tobytes()))
    assert place.decode(place.read()).tolist() == array.tolist()
