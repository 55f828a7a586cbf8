"""HDF5 files that are damaged, or made to do harm."""

from __future__ import annotations

import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest

import ckptfmt

h5py = pytest.importorskip("h5py", reason="h5py is not installed")

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("libver", ["earliest", "latest"])
def test_mutated_files_raise_errors_of_ours(libver: str) -> None:
    arguments = [sys.executable, "-m", "tests.support.hdf5_mutations", libver, "300"]
    done = subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr[-2000:]
    opened, tensors = map(int, done.stdout.split())
    assert 0 < opened < 300
    assert tensors > opened


def test_a_file_cut_off_anywhere(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["t"] = np.arange(1000.0)
    content = (tmp_path / "a.h5").read_bytes()
    for size in range(8, len(content), 97):
        (tmp_path / "b.h5").write_bytes(content[:size])
        with pytest.raises(ckptfmt.errors.CkptfmtError) as caught:
            ckptfmt.open_tensors(tmp_path / "b.h5")["t"]
        assert caught.value.file == str(tmp_path / "b.h5")


def test_a_chunk_that_inflates_to_more_than_its_size(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        dataset = file.create_dataset("t", (100,), "u1", chunks=(100,), compression="gzip")
        dataset.id.write_direct_chunk((0,), zlib.compress(bytes(1 << 14)))
        short = file.create_dataset("s", (100,), "u1", chunks=(100,), compression="gzip")
        short.id.write_direct_chunk((0,), zlib.compress(bytes(9)))
        short = file.create_dataset("no", (100,), "u1", chunks=(100,), compression="gzip")
        short.id.write_direct_chunk((0,), b"not compressed")
    tensors = ckptfmt.open_tensors(tmp_path / "a.h5")
    for name, what in (("t", "got 101 bytes, want 100"), ("s", "got 9 bytes"), ("no", "incorrect header")):
        with pytest.raises(ckptfmt.errors.CorruptError, match=what):
            tensors[name]


@pytest.mark.parametrize("size", [0, 1, 7, 1000, 1 << 19, (1 << 19) + 3])
def test_checksums_of_chunks(tmp_path: Path, size: int) -> None:
    values = np.random.default_rng(0).integers(0, 256, max(1, size), np.uint8)
    if not size:
        values[:] = 0
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("t", data=values, chunks=values.shape, fletcher32=True)
        offset = file["t"].id.get_chunk_info(0).byte_offset
    assert np.array_equal(ckptfmt.open_tensors(tmp_path / "a.h5")["t"], values)
    content = bytearray((tmp_path / "a.h5").read_bytes())
    for at in (0, len(values) // 2, len(values) - 1, len(values) + 3):
        changed = bytearray(content)
        changed[offset + at] ^= 1
        (tmp_path / "b.h5").write_bytes(changed)
        with pytest.raises(ckptfmt.errors.ChecksumError, match="chunk at"):
            ckptfmt.open_tensors(tmp_path / "b.h5")["t"]


def test_a_chunk_that_is_too_large(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("t", (1 << 31,), "u1", chunks=(1 << 31,), compression="gzip")
    tensors = ckptfmt.open_tensors(tmp_path / "a.h5", limits=ckptfmt.Limits(max_bytes=1 << 20))
    with pytest.raises(ckptfmt.errors.LimitError, match="bytes of a chunk"):
        tensors.slice("t")[5:6]


def test_names_and_depth_are_limited(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w", libver="latest") as file:
        file["/".join("a" * 300)] = 1.0
    with pytest.raises(ckptfmt.errors.LimitError, match="groups in groups"):
        ckptfmt.open_tensors(tmp_path / "a.h5")
    tensors = ckptfmt.open_tensors(tmp_path / "a.h5", limits=ckptfmt.Limits(max_depth=1000))
    assert list(tensors) == ["/".join("a" * 300)]
    with pytest.raises(ckptfmt.errors.LimitError, match="datasets and groups"):
        ckptfmt.open_tensors(tmp_path / "a.h5", limits=ckptfmt.Limits(max_names=10, max_depth=1000))


@pytest.mark.parametrize("libver", ["earliest", "latest"])
def test_a_name_that_is_a_path_through_a_link(tmp_path: Path, libver: str) -> None:
    """HDF5 would open the other file."""
    with h5py.File(tmp_path / "secret.h5", "w") as file:
        file["x"] = 42
    with h5py.File(tmp_path / "a.h5", "w", libver=libver) as file:
        file["ext"] = h5py.ExternalLink("secret.h5", "/")
        file["ext_x"] = 1
        file["ext_y"] = h5py.SoftLink("/ext/x")
    content = (tmp_path / "a.h5").read_bytes()
    tensors = ckptfmt.open_tensors(tmp_path / "a.h5")
    with pytest.raises(ckptfmt.errors.UnsupportedError, match="what is not in this file"):
        tensors["ext_y"]
    assert content.count(b"ext_x") == 1
    (tmp_path / "a.h5").write_bytes(content.replace(b"ext_x", b"ext/x"))
    with pytest.raises(ckptfmt.errors.CorruptError):
        ckptfmt.open_tensors(tmp_path / "a.h5")["ext/x"]


def test_escapes_that_no_writer_makes(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.attrs["ckptfmt_names"] = "escaped"
        file["w"] = 1
        file["w%_"] = 2
    with pytest.raises(ckptfmt.errors.CorruptError, match="two datasets have the same name") as caught:
        ckptfmt.open_tensors(tmp_path / "a.h5")
    assert caught.value.file == str(tmp_path / "a.h5")


def test_a_string_in_no_heap(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("t", data=["some text"], dtype=h5py.string_dtype())
        offset = file["t"].id.get_offset()
    content = bytearray((tmp_path / "a.h5").read_bytes())
    heap = content.index(b"GCOL")
    for at, value in ((offset, 0xFF), (offset + 4, 1), (offset + 12, 9), (heap, 0), (heap + 15, 0x7F)):
        changed = bytearray(content)
        changed[at] = value
        (tmp_path / "b.h5").write_bytes(changed)
        with pytest.raises(ckptfmt.errors.CorruptError, match="heap") as caught:
            ckptfmt.open_tensors(tmp_path / "b.h5")["t"]
        assert caught.value.offset is not None
