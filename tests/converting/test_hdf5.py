"""HDF5 files of h5py, read as tensors."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import ckptfmt
from ckptfmt.converting.sources.hdf5.source import HDF5Source
from ckptfmt.limits import DEFAULT
from ckptfmt.wire.buffers import memory_size
from tests.support.memory_filesystem import MemoryFile, MemoryFilesystem

h5py = pytest.importorskip("h5py", reason="h5py is not installed")

TABLE = np.arange(1000.0).reshape(100, 10)
ARRAYS: dict[str, Any] = {
    "bool": np.array([True, False]),
    "f16": np.arange(3, dtype=np.float16),
    "big/f32": np.arange(3, dtype=">f4"),
    "big/c64": np.arange(3).astype(">c8"),
    "c128": np.arange(3) + 1j,
    "i8": np.array([[-1], [2]], np.int8),
    "u64": np.array(1 << 63, np.uint64),
    "none": np.zeros((0, 3), np.int16),
    "ünï/kernel:0": TABLE,
}
LAYOUTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "gzip": {"chunks": (30, 7), "compression": "gzip"},
    "shuffled": {"chunks": (30, 7), "compression": "gzip", "shuffle": True},
    "lzf": {"chunks": (30, 7), "compression": "lzf"},
    "checked": {"chunks": (30, 7), "fletcher32": True},
    "all": {"chunks": (30, 7), "fletcher32": True, "compression": "gzip", "shuffle": True},
    "plugin": {"chunks": (30, 7), "fletcher32": True, "compression": "lzf"},
    "chunks": {"chunks": (100, 1)},
}


@pytest.mark.parametrize("libver", ["earliest", "latest"])
@pytest.mark.parametrize("userblock", [0, 512])
def test_arrays_of_every_dtype(tmp_path: Path, libver: str, userblock: int) -> None:
    with h5py.File(tmp_path / "a.h5", "w", libver=libver, userblock_size=userblock) as file:
        for name, array in ARRAYS.items():
            file[name] = array
    with ckptfmt.open_tensors(tmp_path / "a.h5") as tensors:
        assert tensors.format == "hdf5"
        assert set(tensors) == set(ARRAYS)
        for name, array in ARRAYS.items():
            read = tensors[name]
            assert read.dtype == array.dtype.newbyteorder("=")
            assert read.shape == tensors.entries[name].shape == array.shape
            assert np.array_equal(read, array)
            assert not read.flags.writeable
        assert set(pickle.loads(pickle.dumps(tensors))) == set(ARRAYS)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("has_views", [True, False])
def test_parts_of_every_layout(tmp_path: Path, layout: str, has_views: bool) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("t", data=TABLE, **LAYOUTS[layout])
    fs = MemoryFilesystem({"a.h5": (tmp_path / "a.h5").read_bytes()}, has_views=has_views)
    tensors = ckptfmt.open_tensors("a.h5", fs=fs)
    assert np.array_equal(tensors["t"], TABLE)
    part = tensors.slice("t")
    assert np.array_equal(part[3:70, 2:9:2], TABLE[3:70, 2:9:2])
    assert np.array_equal(part[-1], TABLE[-1])
    assert part[50:50].shape == (0, 10)


def test_a_part_of_a_file_without_views_reads_only_its_rows(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["t"] = np.arange(1 << 20)
    file = MemoryFile("a.h5", (tmp_path / "a.h5").read_bytes(), has_views=False)
    source = HDF5Source(file, DEFAULT)
    file.reads.clear()
    assert source.read("t", ((5, 7),)).tolist() == [5, 6]
    assert [size for _, size in file.reads] == [16]


def test_an_uncompressed_dataset_is_a_view_of_the_file(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["t"] = TABLE
    with ckptfmt.open_tensors(tmp_path / "a.h5") as tensors:
        one, other = tensors["t"], tensors["t"]
    assert np.shares_memory(one, other)
    assert np.array_equal(one, TABLE)  # although the file is closed


def test_strings_are_bytes(tmp_path: Path) -> None:
    words = ["", "ü", "long " * 100]
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["fixed"] = np.array([b"a\0b", b"cd"])
        file.create_dataset("any", data=words, dtype=h5py.string_dtype())
        file["scalar"] = "text"
        file.create_dataset(
            "chunks", data=words * 9, dtype=h5py.string_dtype(), chunks=(4,), compression="gzip"
        )
        file.create_dataset("lzf", data=words * 9, dtype=h5py.string_dtype(), chunks=(4,), compression="lzf")
        file.create_dataset("unset", (2,), h5py.string_dtype())
        numbers = np.empty(2, object)
        numbers[:] = [np.array([0, 1, 0], np.uint8), np.array([], np.uint8)]
        file.create_dataset("bytes", data=numbers, dtype=h5py.vlen_dtype(np.uint8))
    tensors = ckptfmt.open_tensors(tmp_path / "a.h5")
    encoded = [word.encode() for word in words]
    assert tensors["fixed"].tolist() == [b"a\0b", b"cd"]
    assert tensors["any"].tolist() == encoded
    assert tensors["any"].dtype == object
    assert tensors["scalar"].item() == b"text"
    assert tensors["chunks"].tolist() == tensors["lzf"].tolist() == encoded * 9
    assert tensors.slice("chunks")[4:6].tolist() == (encoded * 9)[4:6]
    assert tensors["unset"].tolist() == [b"", b""]
    assert tensors["bytes"].tolist() == [b"\0\1\0", b""]
    assert tensors.entries["any"].dtype == "string"


def test_addresses_of_four_bytes(tmp_path: Path) -> None:
    properties = h5py.h5p.create(h5py.h5p.FILE_CREATE)
    properties.set_sizes(4, 4)
    with h5py.File(h5py.h5f.create(bytes(tmp_path / "a.h5"), fcpl=properties)) as file:
        file["t"] = TABLE
        file.create_dataset("s", data=["a", "bc"], dtype=h5py.string_dtype())
        file.create_dataset("c", data=["a", "bc"], dtype=h5py.string_dtype(), chunks=(1,))
    tensors = ckptfmt.open_tensors(tmp_path / "a.h5")
    assert np.array_equal(tensors["t"], TABLE)
    assert tensors["s"].tolist() == tensors["c"].tolist() == [b"a", b"bc"]
    assert tensors.slice("s")[1:].tolist() == [b"bc"]


def test_values_that_are_not_stored_are_the_fill_value(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("chunks", (100, 10), chunks=(30, 7), fillvalue=7, dtype="i2")[3, 3] = 1
        file.create_dataset("plain", (3,), fillvalue=-1, dtype=">i4")
        file.create_dataset("zeros", (3,), dtype="f4")
        file["null"] = h5py.Empty("f8")
    tensors = ckptfmt.open_tensors(tmp_path / "a.h5")
    expected = np.full((100, 10), 7, np.int16)
    expected[3, 3] = 1
    assert np.array_equal(tensors["chunks"], expected)
    assert tensors["plain"].tolist() == [-1, -1, -1]
    assert tensors["zeros"].tolist() == [0, 0, 0]
    assert tensors["null"].shape == (0,)
    assert tensors["null"].dtype == np.float64


def test_floats_that_numpy_lacks_are_not_widened(tmp_path: Path) -> None:
    values = np.array([1.5, -2, 3])
    with h5py.File(tmp_path / "a.h5", "w") as file:
        # As Keras 3 stores bfloat16, and as HDF5 2.0 does.
        file["keras"] = values.astype(ml_dtypes.bfloat16).view("V2")
        file["keras"].attrs["dtype"] = "bfloat16"
        kind = h5py.h5t.IEEE_F16BE.copy()
        kind.set_fields(15, 7, 8, 0, 7)
        kind.set_ebias(127)
        dataset = h5py.h5d.create(file.id, b"native", kind, h5py.h5s.create_simple((3,)))
        dataset.write(h5py.h5s.ALL, h5py.h5s.ALL, values)
    tensors = ckptfmt.open_tensors(tmp_path / "a.h5")
    for name in ("keras", "native"):
        assert tensors[name].dtype == ml_dtypes.bfloat16
        assert tensors[name].tolist() == values.tolist()


def test_types_that_tensorflow_lacks_are_listed_with_a_reason(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["good"] = TABLE
        file["compound"] = np.zeros(3, [("a", "i4"), ("b", "f4")])
        file["opaque"] = np.zeros(3, "V3")
        file["wide"] = np.zeros(3, np.longdouble)
        file.create_dataset("reference", data=file["good"].ref, dtype=h5py.ref_dtype)
        file.create_dataset("array", (2,), np.dtype(("f4", (3,))))
        layout = h5py.VirtualLayout((3,), "f4")
        layout[:] = h5py.VirtualSource("other.h5", "x", (3,))
        file.create_virtual_dataset("virtual", layout)
        file.create_dataset("outside", (3,), "f4", external=[(str(tmp_path / "raw"), 0, 12)])
        file["link"] = h5py.ExternalLink("other.h5", "/x")
        file["nowhere"] = h5py.SoftLink("/missing")
    (tmp_path / "raw").write_bytes(b"secret bytes")
    tensors = ckptfmt.open_tensors(tmp_path / "a.h5")
    reasons = {
        "compound": "compounds",
        "opaque": "opaque bytes",
        "wide": "128 bits",
        "reference": "references",
        "virtual": "other datasets",
        "outside": "other files, which are not opened",
        "link": "another file, which is not followed",
        "nowhere": "not in this file",
    }
    for name, reason in reasons.items():
        with pytest.raises(ckptfmt.errors.UnsupportedError, match=reason) as caught:
            tensors[name]
        assert caught.value.file == str(tmp_path / "a.h5")
        assert repr(name) in caught.value.what
    # Nothing is lost without a word: a target says which tensors it cannot hold.
    with pytest.raises(ckptfmt.errors.ConversionError) as refused:
        ckptfmt.convert(tensors, tmp_path / "b.safetensors")
    assert set(reasons) <= set(refused.value.problems)
    assert np.array_equal(tensors.select("good")["good"], TABLE)


def test_links_inside_the_file(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["a/b/t"] = TABLE
        file["a/relative"] = h5py.SoftLink("b/t")
        file["a/chain"] = h5py.SoftLink("/a/relative")
        file["a/group"] = h5py.SoftLink("/a/b")
        file["a/loop"] = h5py.SoftLink("/a/loop")
        file["hard"] = file["a/b/t"]
        file["a/b/cycle"] = file["/a"]
    tensors = ckptfmt.open_tensors(tmp_path / "a.h5")
    assert set(tensors) == {"a/b/t", "a/relative", "a/chain", "a/loop", "hard"}
    for name in ("a/b/t", "a/relative", "a/chain", "hard"):
        assert np.array_equal(tensors[name], TABLE)
    with pytest.raises(ckptfmt.errors.UnsupportedError, match="not in this file"):
        tensors["a/loop"]


def test_order_is_that_of_numbers_or_of_creation(tmp_path: Path) -> None:
    names = [f"vars/{number}" for number in range(12)]
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for name in reversed(names):
            file[name] = 0.0
    with h5py.File(tmp_path / "b.h5", "w", track_order=True) as file:
        for name in ("z", "a", "m"):
            file[name] = 0.0
    assert list(ckptfmt.open_tensors(tmp_path / "a.h5")) == names
    assert list(ckptfmt.open_tensors(tmp_path / "b.h5")) == ["z", "a", "m"]


def test_a_huge_shape_costs_nothing_until_it_is_read(tmp_path: Path) -> None:
    size = 2 * memory_size()
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("t", (size,), chunks=(1024,), dtype="i1")
    tensors = ckptfmt.open_tensors(tmp_path / "a.h5")
    assert tensors.entries["t"].shape == (size,)
    assert tensors.slice("t")[size // 2 : size // 2 + 3].tolist() == [0, 0, 0]
    with pytest.raises(ckptfmt.errors.LimitError, match="'t'") as caught:
        tensors["t"]
    assert caught.value.field == "max_bytes"


def test_a_filter_that_is_not_installed_is_named(tmp_path: Path) -> None:
    properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    properties.set_chunk((3,))
    properties.set_filter(h5py.h5z.FILTER_LZF, h5py.h5z.FLAG_OPTIONAL)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        h5py.h5d.create(file.id, b"t", h5py.h5t.IEEE_F32LE, h5py.h5s.create_simple((3,)), properties)
    content = (tmp_path / "a.h5").read_bytes()
    number = h5py.h5z.FILTER_LZF.to_bytes(2, "little")
    assert content.count(number) == 1
    (tmp_path / "b.h5").write_bytes(content.replace(number, (31000).to_bytes(2, "little")))
    with pytest.raises(ckptfmt.errors.UnsupportedError, match="filter 31000"):
        ckptfmt.open_tensors(tmp_path / "b.h5")["t"]
