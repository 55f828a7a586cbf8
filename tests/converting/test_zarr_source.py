"""zarr as a source: what the library writes is the mapping that a checkpoint is."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
import zipfile
import zlib
from contextlib import suppress
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import ckptfmt
from ckptfmt.errors import CkptfmtError, CorruptError, LimitError, UnsupportedError
from ckptfmt.limits import Limits
from tests.support.command_line import environment

zarr = pytest.importorskip("zarr", minversion="3", reason="zarr 3 is not installed")

RNG = np.random.default_rng(0)
ARRAYS: dict[str, np.ndarray] = {
    "a/kernel": RNG.normal(size=(10, 7)).astype(np.float32),
    "a/bias": np.arange(5),
    "scalar": np.array(3.0),
    "empty": np.zeros((0, 3), np.float32),
    "complex": (RNG.normal(size=4) + 1j).astype(np.complex64),
    "bool": np.array([True, False]),
    "half": np.arange(3, dtype=np.float16),
    "big": np.arange(6, dtype=">i4").reshape(2, 3),
}


def options_of(way: str, version: int, array: np.ndarray) -> dict[str, Any]:
    import numcodecs  # type: ignore[import-untyped]
    from zarr.codecs import BloscCodec, GzipCodec, TransposeCodec, ZstdCodec

    if way == "none":
        return {"compressors": None}
    if way == "shards":
        return {"shards": tuple(4 for _ in array.shape) if array.size and array.ndim else None}
    if way == "transposed" and version == 3:
        return {"filters": [TransposeCodec(order=tuple(reversed(range(array.ndim))))] if array.ndim else None}
    if way == "transposed":
        return {"order": "F"}
    codecs = {
        "gzip": (numcodecs.GZip(), GzipCodec()),
        "blosc": (numcodecs.Blosc(), BloscCodec()),
        "zstd": (numcodecs.Zstd(), ZstdCodec()),
    }
    return {"compressors": [codecs[way][version - 2]]}


def write(path: Path, version: int = 3, way: str = "zstd") -> Path:
    group = zarr.create_group(str(path), zarr_format=version)
    for name, array in ARRAYS.items():
        chunks = tuple(max(1, min(2, size)) for size in array.shape)
        options = options_of(way, version, array)
        group.create_array(name, shape=array.shape, dtype=array.dtype, chunks=chunks, **options)[...] = array
    return path


def assert_same(tensors: ckptfmt.Tensors) -> None:
    assert set(tensors) == set(ARRAYS)
    for name, array in ARRAYS.items():
        read = tensors[name]
        assert (read.dtype, read.shape) == (array.dtype.newbyteorder("="), array.shape), name
        assert np.array_equal(read, array), name
        assert not read.flags.writeable


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("way", ["none", "zstd", "gzip", "blosc", "transposed", "shards"])
def test_what_the_library_writes(tmp_path: Path, version: int, way: str) -> None:
    if (version, way) == (2, "shards"):
        pytest.skip("version 2 has no shards")
    path = write(tmp_path / "w.zarr", version, way)
    with ckptfmt.open_tensors(path) as tensors:
        assert_same(tensors)
        assert tensors.format == "zarr"
        kernel = tensors.slice("a/kernel")
        assert np.array_equal(kernel[3:5, ::2], ARRAYS["a/kernel"][3:5, ::2])
        assert np.array_equal(kernel[-1], ARRAYS["a/kernel"][-1])
        assert kernel[5:5].shape == (0, 7)
        assert_same(pickle.loads(pickle.dumps(tensors)))
        assert tensors.entries["half"].nbytes == 6


@pytest.mark.parametrize("version", [2, 3])
def test_an_archive_is_read_as_the_directory_is(tmp_path: Path, version: int) -> None:
    path = write(tmp_path / "w.zarr", version)
    for top in ("", "w.zarr/"):
        archive = tmp_path / f"{len(top)}.zip"
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED if top else zipfile.ZIP_STORED) as target:
            for file in sorted(path.rglob("*")):
                if file.is_file():
                    target.write(file, top + file.relative_to(path).as_posix())
        with ckptfmt.open_tensors(archive) as tensors:
            assert_same(tensors)
            assert_same(pickle.loads(pickle.dumps(tensors)))


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")
def test_strings_of_every_kind(tmp_path: Path, version: int) -> None:
    group = zarr.create_group(str(tmp_path / "s.zarr"), zarr_format=version)
    text = np.array([["ab", "ü"], ["", "xyz"]], object)
    group.create_array("text", shape=(2, 2), dtype=str, chunks=(1, 2))[...] = text
    group.create_array("fixed", shape=(2,), dtype="S3", chunks=(1,))[...] = np.array([b"ab", b"abc"])
    group.create_array("wide", shape=(2,), dtype="U3", chunks=(1,))[...] = np.array(["ab", "abü"])
    tensors = ckptfmt.open_tensors(tmp_path / "s.zarr")
    assert tensors["text"].tolist() == [[b"ab", "ü".encode()], [b"", b"xyz"]]
    assert tensors["fixed"].tolist() == [b"ab", b"abc"]
    assert tensors["wide"].tolist() == [b"ab", "abü".encode()]
    assert all(entry.dtype == "string" for entry in tensors.entries.values())
    assert tensors.slice("text")[1].tolist() == [b"", b"xyz"]


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_consolidated_metadata_and_one_array(tmp_path: Path) -> None:
    for version in (2, 3):
        path = write(tmp_path / f"{version}.zarr", version)
        zarr.consolidate_metadata(str(path))
        assert_same(ckptfmt.open_tensors(path))
    zarr.save_array(str(tmp_path / "solo.zarr"), np.arange(4))
    for given in ("solo.zarr", "solo.zarr/zarr.json"):
        assert ckptfmt.open_tensors(tmp_path / given)["solo"].tolist() == [0, 1, 2, 3]


def test_dtypes_that_zarr_does_not_have(tmp_path: Path) -> None:
    """As tensorstore names them, and as integers whose attribute says what they are."""
    values = {
        "bfloat16": np.arange(6).astype(ml_dtypes.bfloat16),
        "float8_e5m2": np.arange(6).astype(ml_dtypes.float8_e5m2),
        "int4": np.array([-8, -1, 0, 1, 7, 3]).astype(ml_dtypes.int4),
    }
    group = zarr.create_group(str(tmp_path / "w.zarr"))
    for name, array in values.items():
        bits: Any = array.view(np.uint16 if name == "bfloat16" else np.uint8)
        if name == "int4":
            bits = bits & 15
        stored = group.create_array(name, shape=(6,), dtype=bits.dtype, chunks=(4,))
        stored[...] = bits
        stored.attrs["ckptfmt_dtype"] = name
    # tensorstore: the same bytes under the dtype's own name, and its fill value as a number.
    named = group.create_array("named", shape=(6,), dtype=np.uint16, chunks=(4,))
    named[:4] = values["bfloat16"].view(np.uint16)[:4]
    file = tmp_path / "w.zarr/named/zarr.json"
    metadata = json.loads(file.read_text()) | {"data_type": "bfloat16", "fill_value": 2.5}
    file.write_text(json.dumps(metadata))
    tensors = ckptfmt.open_tensors(tmp_path / "w.zarr")
    for name, array in values.items():
        assert tensors.entries[name].dtype == name
        assert tensors[name].dtype == array.dtype
        assert tensors[name].tolist() == array.tolist()
        assert tensors.slice(name)[1:3].tolist() == array[1:3].tolist()
    assert tensors["named"].astype(float).tolist() == [0, 1, 2, 3, 2.5, 2.5]


def test_a_file_system_in_memory(tmp_path: Path) -> None:
    from tests.support.memory_filesystem import MemoryFilesystem

    path = write(tmp_path / "w.zarr")
    files = {
        f"/m/{file.relative_to(path).as_posix()}": file.read_bytes()
        for file in path.rglob("*")
        if file.is_file()
    }
    assert_same(ckptfmt.open_tensors("/m", fs=MemoryFilesystem(files)))


GZIP = {"name": "gzip", "configuration": {"level": 1}}

# --- hostile files ----------------------------------------------------------------------------------------


def edit(path: Path, **changes: Any) -> None:
    file = path / ("zarr.json" if (path / "zarr.json").exists() else ".zarray")
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def test_a_chunk_that_claims_gigabytes(tmp_path: Path) -> None:
    import numcodecs

    path = write(tmp_path / "w.zarr")
    chunk = path / "a/bias/c/0"
    bomb = bytes(numcodecs.Zstd().encode(np.zeros(1 << 28, np.uint8)))
    chunk.write_bytes(bomb)
    with pytest.raises(
        CorruptError, match="compressed chunk: got 268435456 bytes or more after zstd, want 16"
    ):
        ckptfmt.open_tensors(path)["a/bias"]
    path = write(tmp_path / "g.zarr", 2, "gzip")
    gzip = zlib.compressobj(wbits=31)
    (path / "a/bias/0").write_bytes(gzip.compress(bytes(1 << 28)) + gzip.flush())
    with pytest.raises(CorruptError, match="compressed chunk"):
        ckptfmt.open_tensors(path)["a/bias"]
    path = write(tmp_path / "b.zarr", 3, "blosc")
    head = bytearray((path / "a/bias/c/0").read_bytes())
    head[4:8] = b"\xff\xff\xff\x7f"
    (path / "a/bias/c/0").write_bytes(bytes(head))
    with pytest.raises(CorruptError, match="compressed chunk"):
        ckptfmt.open_tensors(path)["a/bias"]


def test_an_array_without_chunks_that_is_huge(tmp_path: Path) -> None:
    path = write(tmp_path / "w.zarr")
    grid = {"name": "regular", "configuration": {"chunk_shape": [1 << 40]}}
    edit(path / "a/bias", shape=[1 << 40], chunk_grid=grid)
    with pytest.raises(LimitError, match="max_bytes"):
        ckptfmt.open_tensors(path)["a/bias"]
    edit(
        path / "a/bias",
        shape=[1 << 27],
        chunk_grid={"name": "regular", "configuration": {"chunk_shape": [1]}},
    )
    with pytest.raises(LimitError, match="chunks, most of which do not exist"):
        ckptfmt.open_tensors(path, limits=Limits(max_bytes=None))["a/bias"]
    # The rest is as it was.
    assert ckptfmt.open_tensors(path)["scalar"] == 3


def test_code_is_not_run(tmp_path: Path) -> None:
    class Hostile:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.mkdir, (str(tmp_path / "ran"),)

    path = tmp_path / "w.zarr"
    path.mkdir()
    (path / ".zarray").write_text(
        json.dumps(
            {
                "zarr_format": 2, "shape": [1], "chunks": [1], "dtype": "|O", "compressor": None,
                "fill_value": None, "order": "C", "filters": [{"id": "pickle", "protocol": 5}],
            }
        )
    )  # fmt: skip
    (path / "0").write_bytes(pickle.dumps(Hostile()))
    with pytest.raises(CkptfmtError):
        ckptfmt.open_tensors(path)["w"]
    assert not (tmp_path / "ran").exists()


def test_consolidated_metadata_lead_nowhere_else(tmp_path: Path) -> None:
    write(tmp_path / "secret.zarr")
    path = write(tmp_path / "w.zarr")
    node = json.loads((tmp_path / "secret.zarr/a/bias/zarr.json").read_text())
    for key in ("../secret.zarr/a/bias", "/etc", "a//b", "", "a/./b", "..\\secret"):
        edit(path, consolidated_metadata={"kind": "inline", "metadata": {key: node}})
        with pytest.raises(CorruptError, match="is not the path of an array"):
            ckptfmt.open_tensors(path)


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"shape": [-1]}, CorruptError),
        ({"shape": [True]}, CorruptError),
        ({"shape": "5"}, CorruptError),
        ({"shape": [1] * 300}, UnsupportedError),
        ({"data_type": "numpy.datetime64"}, UnsupportedError),
        ({"data_type": {"name": "struct"}}, UnsupportedError),
        ({"data_type": 5}, CorruptError),
        ({"zarr_format": 4}, CorruptError),
        ({"node_type": "other"}, CorruptError),
        ({"attributes": []}, CorruptError),
        ({"attributes": {"ckptfmt_dtype": "bfloat16"}}, CorruptError),
        ({"attributes": {"ckptfmt_dtype": ["x"]}}, CorruptError),
        ({"codecs": []}, CorruptError),
        ({"codecs": [{"name": "bytes"}, {"name": "unknown"}]}, CkptfmtError),
        ({"codecs": [{"name": "bytes"}, *[GZIP] * 2]}, UnsupportedError),
        ({"chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [0]}}}, CkptfmtError),
        ({"chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [2, 2]}}}, CorruptError),
        ({"chunk_grid": None}, CorruptError),
        ({"fill_value": "x"}, CorruptError),
        ({"chunk_key_encoding": {"name": "x"}}, CorruptError),
    ],
)  # fmt: skip
def test_metadata_that_make_no_sense(
    tmp_path: Path, changes: dict[str, Any], error: type[CkptfmtError]
) -> None:
    path = write(tmp_path / "w.zarr")
    edit(path / "a/bias", **changes)
    with pytest.raises(error) as caught:
        ckptfmt.open_tensors(path)["a/bias"]
    assert "a/bias" in (caught.value.file or "")


@pytest.mark.parametrize(
    "text", ["", "[]", "{", "[" * 100_000, '{"zarr_format": ' + "1" * 5000 + "}", "\ud800"]
)
def test_metadata_that_are_not_json(tmp_path: Path, text: str) -> None:
    path = write(tmp_path / "w.zarr")
    (path / "a/bias/zarr.json").write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(CorruptError):
        ckptfmt.open_tensors(path)


@pytest.mark.parametrize("version", [2, 3])
def test_every_cut_and_flip_of_a_chunk(tmp_path: Path, version: int) -> None:
    path = write(tmp_path / "w.zarr", version, "zstd")
    chunk = path / ("a/bias/c/1" if version == 3 else "a/bias/1")
    whole = chunk.read_bytes()
    for size in range(len(whole)):
        chunk.write_bytes(whole[:size])
        with pytest.raises(CorruptError):
            ckptfmt.open_tensors(path)["a/bias"]
    for place in range(len(whole)):
        chunk.write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
        # Without a checksum, the bytes of a number may be another number.
        with suppress(CkptfmtError):
            assert ckptfmt.open_tensors(path)["a/bias"].shape == (5,)


def test_a_group_in_itself(tmp_path: Path) -> None:
    path = write(tmp_path / "w.zarr")
    (path / "loop").symlink_to(path, target_is_directory=True)
    assert_same(ckptfmt.open_tensors(path))


def test_a_machine_without_the_library(tmp_path: Path) -> None:
    path = write(tmp_path / "w.zarr")
    code = (
        "import sys; sys.modules['zarr'] = None; import ckptfmt\n"
        f"try: ckptfmt.open_tensors({str(path)!r})\n"
        "except ckptfmt.errors.MissingDependencyError as error: print(error, error.extra)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment(), check=True
    )
    assert "this needs zarr 3 (Python 3.11 or later): pip install 'ckptfmt[zarr]' zarr" in done.stdout


# --- archives and reference files -------------------------------------------------------------------------


def test_a_member_of_an_archive_that_is_huge(tmp_path: Path) -> None:
    path = tmp_path / "w.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zarr.json", bytes(1 << 26))
    with pytest.raises(LimitError, match="file in the archive"):
        ckptfmt.open_tensors(path, limits=Limits(max_bytes=1 << 20))
    with pytest.raises(CkptfmtError):
        ckptfmt.open_tensors(path)


@pytest.mark.parametrize("size", [30, 200, -1, -30])
def test_an_archive_that_is_cut_short(tmp_path: Path, size: int) -> None:
    path = write(tmp_path / "w.zarr")
    with zipfile.ZipFile(tmp_path / "w.zip", "w") as archive:
        for file in sorted(path.rglob("*")):
            if file.is_file():
                archive.write(file, file.relative_to(path).as_posix())
    (tmp_path / "w.zip").write_bytes((tmp_path / "w.zip").read_bytes()[:size])
    with pytest.raises(CkptfmtError):
        ckptfmt.open_tensors(tmp_path / "w.zip")["a/bias"]


ZARRAY = (
    '{"zarr_format": 2, "shape": [2], "chunks": [2], "dtype": "<i4", "compressor": null, "filters": null, '
    '"fill_value": null, "order": "C"}'
)


def write_references(path: Path, chunk: Any, **more: Any) -> Path:
    refs = {".zgroup": '{"zarr_format": 2}', "w/.zarray": ZARRAY, "w/0": chunk}
    path.write_text(json.dumps({"version": 1, "refs": refs, **more}))
    return path


def test_reference_files_of_other_writers(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.write_bytes(b"xxxx" + np.array([7, 8], "<i4").tobytes())
    whole = tmp_path / "whole"
    whole.write_bytes(data.read_bytes()[4:])
    target = tmp_path / "refs.json"
    for chunk in (
        [str(data), 4, 8],
        [f"file://{data}", 4, 8],
        ["{{u}}/data", 4, 8],
        [str(whole)],
        "base64:BwAAAAgAAAA=",
        "\x07\0\0\0\x08\0\0\0",
    ):
        write_references(target, chunk, templates={"u": str(tmp_path)})
        tensors = ckptfmt.open_tensors(target)
        assert tensors["w"].tolist() == [7, 8]
        assert pickle.loads(pickle.dumps(tensors))["w"].tolist() == [7, 8]
        assert tensors.slice("w")[1:].tolist() == [8]


@pytest.mark.parametrize(
    "chunk",
    [
        ["{data}", 4, 9],
        ["{data}", 1 << 62, 8],
        ["{data}", -4, 8],
        ["{data}", 4],
        ["{data}", "4", 8],
        ["{data}", 4.0, 8],
        [],
        [4],
        5,
        ["missing", 0, 8],
        ["s3://bucket/w", 0, 8],
        ["{{v}}/data", 4, 8],
        ["{data}", 4, 4],
        "base64:=",
        "base64:BwAA",
        "",
    ],
)
def test_references_that_lead_nowhere(tmp_path: Path, chunk: Any) -> None:
    (tmp_path / "data").write_bytes(bytes(12))
    if isinstance(chunk, list) and chunk[:1] == ["{data}"]:
        chunk = [str(tmp_path / "data"), *chunk[1:]]
    write_references(tmp_path / "refs.json", chunk)
    with pytest.raises(CkptfmtError):
        ckptfmt.open_tensors(tmp_path / "refs.json")["w"]


@pytest.mark.parametrize(
    "text",
    [
        '{"version": 1, "refs": []}',
        '{"version": 2, "refs": {}}',
        '{"version": 1, "refs": {}}',
        '{"version": 1, "refs": {".zgroup": "{"}}',
        '{"version": 1, "refs": {}, "templates": {"u": 5}}',
        '{"version": 1, "refs": {}, "gen": [{"key": "x"}]}',
        '{"version": 1, "refs": ' + "[" * 100_000,
    ],
)
def test_reference_files_that_make_no_sense(tmp_path: Path, text: str) -> None:
    (tmp_path / "refs.json").write_text(text)
    with pytest.raises(CkptfmtError):
        ckptfmt.open_tensors(tmp_path / "refs.json")
