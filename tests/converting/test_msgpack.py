"""Files of ``flax.serialization`` both ways: compared with msgpack, and with flax where it is installed."""

from __future__ import annotations

import struct
from contextlib import suppress
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import ckptfmt
from ckptfmt.converting.sinks import msgpack as msgpack_sink
from ckptfmt.converting.sinks.jax_tree import DTYPES as JAX_DTYPES
from ckptfmt.converting.sources.open_tensors import open_file
from ckptfmt.errors import (
    CkptfmtError,
    ConversionError,
    CorruptError,
    LimitError,
    TruncatedError,
    UnsupportedError,
)
from tests.support.memory_filesystem import MemoryFilesystem

RANDOM = np.random.default_rng(5)
DTYPES = sorted(JAX_DTYPES)


def values(name: str) -> np.ndarray:
    dtype = ckptfmt.as_dtype(name).numpy
    return np.frombuffer(RANDOM.integers(0, 2, 6 * dtype.itemsize, np.uint8).tobytes(), dtype).reshape(2, 3)


ARRAYS: dict[str, np.ndarray] = {
    **{f"params/dtypes/{name}": values(name) for name in DTYPES},
    "params/scalar": np.array(3, np.int64),
    "params/empty": np.zeros((0, 3), np.float32),
    "ünï/kernel": np.arange(300, dtype=np.float32).reshape(3, 4, 25),
    "wide/" + "n" * 300: np.zeros((1, 200, 1), np.uint8),
    "a//b": np.ones(2),
    **{f"many/{number}": np.array(number) for number in range(20)},
}


@pytest.fixture
def msgpack() -> Any:
    return pytest.importorskip("msgpack")


@pytest.fixture
def serialization() -> Any:
    return pytest.importorskip(
        "flax.serialization", reason="flax needs JAX, too large for the usual environment"
    )


def leaf(array: np.ndarray, msgpack: Any, code: int = 1) -> Any:
    content = msgpack.packb((array.shape, array.dtype.name, array.tobytes()), use_bin_type=True)
    return msgpack.ExtType(code, content)


def array_of(code: int, data: bytes, msgpack: Any) -> np.ndarray:
    assert code == 1
    shape, dtype, content = msgpack.unpackb(data, raw=True)
    return np.frombuffer(content, getattr(ml_dtypes, dtype.decode(), None) or dtype.decode()).reshape(shape)


def flattened(tree: dict[str, Any]) -> dict[str, Any]:
    return ckptfmt.flatten(tree)


def opened(data: bytes, **options: Any) -> ckptfmt.Tensors:
    fs = MemoryFilesystem({"/w.msgpack": data}, has_views=False)
    return open_file("msgpack", "/w.msgpack", fs, options.get("limits", ckptfmt.Limits()))


def assert_equal(found: Any, arrays: dict[str, np.ndarray]) -> None:
    assert set(found) == set(arrays)
    for name, array in arrays.items():
        read = np.asarray(found[name])
        assert (read.dtype, read.shape) == (array.dtype, array.shape), name
        assert read.tobytes() == array.tobytes()


def test_msgpack_reads_what_is_written(tmp_path: Path, msgpack: Any) -> None:
    ckptfmt.save(tmp_path / "model", ARRAYS)
    assert ckptfmt.convert(tmp_path / "model", tmp_path / "w.msgpack").format == "msgpack"
    data = (tmp_path / "w.msgpack").read_bytes()
    tree = msgpack.unpackb(data, ext_hook=lambda code, content: array_of(code, content, msgpack))
    assert_equal(flattened(tree), ARRAYS)
    with ckptfmt.open_tensors(tmp_path / "w.msgpack") as tensors:
        assert tensors.format == "msgpack"
        assert_equal(tensors, ARRAYS)
        assert tensors.slice("ünï/kernel")[1, 2:4].tolist() == ARRAYS["ünï/kernel"][1, 2:4].tolist()


@pytest.mark.frameworks
def test_flax_restores_what_is_written(tmp_path: Path, serialization: Any) -> None:
    ckptfmt.save(tmp_path / "model", ARRAYS)
    ckptfmt.convert(tmp_path / "model", tmp_path / "w.msgpack")
    assert_equal(flattened(serialization.msgpack_restore((tmp_path / "w.msgpack").read_bytes())), ARRAYS)
    template = {"params": {"scalar": np.array(0, np.int64)}}
    ckptfmt.convert(tmp_path / "model", tmp_path / "one.msgpack", select="params/scalar")
    assert (
        serialization.from_bytes(template, (tmp_path / "one.msgpack").read_bytes())["params"]["scalar"] == 3
    )


@pytest.mark.frameworks
def test_a_large_array_is_cut_up_as_flax_does_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, serialization: Any
) -> None:
    monkeypatch.setattr(msgpack_sink, "MAX_CHUNK", 1001)
    monkeypatch.setattr(serialization, "MAX_CHUNK_SIZE", 1001)
    arrays = {
        "a/large": np.arange(3000, dtype=np.float32).reshape(30, 100),
        "a/small": np.arange(250.0)[:125],
    }
    ckptfmt.save(tmp_path / "model", arrays)
    ckptfmt.convert(tmp_path / "model", tmp_path / "w.msgpack")
    assert_equal(flattened(serialization.msgpack_restore((tmp_path / "w.msgpack").read_bytes())), arrays)
    theirs = serialization.msgpack_serialize({"a": {"large": arrays["a/large"], "small": arrays["a/small"]}})
    for data in ((tmp_path / "w.msgpack").read_bytes(), theirs):
        tensors = opened(data)
        assert_equal(tensors, arrays)
        assert np.array_equal(tensors.slice("a/large")[7:23, 3], arrays["a/large"][7:23, 3])


@pytest.mark.frameworks
def test_what_flax_serializes_is_read(tmp_path: Path, serialization: Any) -> None:
    tree = {
        "params": {"w": np.arange(6.0).reshape(2, 3), "b": np.ones(2, ml_dtypes.bfloat16)},
        "step": 7,
        "rate": 0.5,
        "flag": True,
        "name": "réseau",
        "z": 1 + 2j,
        "nothing": None,
        "number": np.float32(3),
        "list": {"0": np.zeros(1), "1": np.ones(1)},
    }
    (tmp_path / "w.msgpack").write_bytes(serialization.to_bytes(tree))
    with ckptfmt.open_tensors(tmp_path / "w.msgpack") as tensors:
        assert np.array_equal(tensors["params/w"], tree["params"]["w"])  # type: ignore[call-overload, index]
        assert tensors["params/b"].dtype == ml_dtypes.bfloat16
        assert [tensors[name].item() for name in ("step", "rate", "flag", "z", "number")] == [
            7,
            0.5,
            True,
            1 + 2j,
            3,
        ]
        assert tensors["name"].item() == "réseau".encode()
        assert tensors["list/1"].tolist() == [1]
        assert "nothing" not in tensors


def test_the_directory_of_hugging_face_is_opened(tmp_path: Path, msgpack: Any) -> None:
    (tmp_path / "config.txt").write_text("x")
    (tmp_path / "flax_model.msgpack").write_bytes(
        msgpack.packb({"params": {"w": leaf(np.arange(3), msgpack)}})
    )
    assert ckptfmt.open_tensors(tmp_path)["params/w"].tolist() == [0, 1, 2]


def test_a_leaf_that_is_also_a_scope_is_an_error(tmp_path: Path) -> None:
    ckptfmt.save(tmp_path / "model", {"a": np.ones(1), "a/b": np.ones(1)})
    with pytest.raises(
        ConversionError,
        match=r"no name that is also a scope of others: 'a'\): pass model_only=True, exclude=",
    ):
        ckptfmt.convert(tmp_path / "model", tmp_path / "w.msgpack")
    assert not (tmp_path / "w.msgpack").exists()


def test_what_flax_cannot_hold_is_an_error_that_lists_it(tmp_path: Path) -> None:
    arrays = {"text": np.array([b"a"], object), "four": np.ones(2, ml_dtypes.int4)}
    ckptfmt.save(tmp_path / "model", {**arrays, "__msgpack_chunked_array__/x": np.ones(2)})
    with pytest.raises(ConversionError) as caught:
        ckptfmt.convert(tmp_path / "model", tmp_path / "w.msgpack")
    assert caught.value.problems == {
        "text": "no dtype string",
        "four": "no dtype int4",
        "__msgpack_chunked_array__/x": "no name with __msgpack_chunked_array__",
    }
    with pytest.raises(ValueError, match="compression: got 'gzip'"):
        ckptfmt.convert(tmp_path / "model", tmp_path / "w.msgpack", exclude="*", compression="gzip")


def test_hostile_files_are_errors_with_their_place(msgpack: Any) -> None:
    good = leaf(np.arange(3), msgpack)

    def ext(shape: Any, dtype: Any, content: Any) -> bytes:
        return msgpack.packb({"w": msgpack.ExtType(1, msgpack.packb((shape, dtype, content)))})  # type: ignore[no-any-return]

    bad = {
        "too few bytes": (ext([3], "int64", bytes(8)), CorruptError, "got 8 bytes, want 24"),
        "negative": (ext([-3], "int64", b""), CorruptError, "not negative"),
        "huge": (ext([1 << 62, 1 << 62], "int64", b""), CkptfmtError, "."),
        "unknown dtype": (ext([0], "object", b""), UnsupportedError, "no dtype object"),
        "dtype that is a number": (ext([0], 3, b""), CorruptError, "want text"),
        "no bytes": (ext([0], "int64", 3), CorruptError, "want bytes"),
        "another extension": (msgpack.packb({"w": msgpack.ExtType(9, b"")}), UnsupportedError, "extension 9"),
        "a key that is a float": (msgpack.packb({"a": {1.5: 2}}), UnsupportedError, "key: got float"),
        "bytes after it": (msgpack.packb({"w": good}) + b"\0", CorruptError, "1 bytes after the object"),
        "two of a key": (b"\x82\xa1a\x01\xa1a\x02", CorruptError, "several values have the key 'a'"),
        "two of a name": (msgpack.packb({"a": {"b/c": 1, "b": {"c": 1}}}), CorruptError, "several leaves"),
        "chunks without an end": (
            msgpack.packb(
                {"a": {"__msgpack_chunked_array__": True, "shape": {"0": 3}, "chunks": {"1": good}}}
            ),
            CorruptError,
            "numbers from 0 on",
        ),
        "chunks that are numbers": (
            msgpack.packb({"a": {"__msgpack_chunked_array__": True, "shape": {"0": 3}, "chunks": {"0": 1}}}),
            CorruptError,
            "arrays of one dtype",
        ),
        "a long map": (b"\x81\xa1a\xdf\xff\xff\xff\xff", TruncatedError, "want 8589934590"),
        "a long text": (b"\x81\xa1a\xdb\xff\xff\xff\xff", TruncatedError, "want 4294967295"),
        "text that is not UTF-8": (b"\x81\xa1a\xa1\xff", CorruptError, "not UTF-8"),
        "an unused byte": (b"\x81\xa1a\xc1", CkptfmtError, "."),
        "deep": (b"\x81\xa1a" * 10_000 + b"\x01", LimitError, "max_depth"),
    }
    for what, (data, error, message) in bad.items():
        with pytest.raises(error, match=message) as caught:
            opened(data)
        assert caught.value.file == "/w.msgpack", what
    with pytest.raises(CorruptError, match="nested too deeply"):
        opened(b"\x81\xa1a" * 10_000 + b"\x01", limits=ckptfmt.Limits.NONE)


def test_every_cut_and_every_damaged_byte_is_an_error_or_something(msgpack: Any) -> None:
    data = msgpack.packb({"params": {"w": leaf(np.arange(3), msgpack), "step": 3}})
    for size in range(len(data)):
        with pytest.raises(CkptfmtError):
            opened(data[:size])
    for position in range(len(data)):
        for flip in (1, 0x80, 0xFF):
            damaged = bytearray(data)
            damaged[position] ^= flip
            with suppress(CkptfmtError):
                tensors = opened(bytes(damaged))
                _ = [tensors[name] for name in tensors]


def test_many_objects_of_one_byte_are_refused() -> None:
    data = b"\x81\xa1a\xdd" + struct.pack(">I", 2_000_000) + b"\xc0" * 2_000_000
    with pytest.raises(LimitError):
        opened(data, limits=ckptfmt.Limits(max_ratio=10))
