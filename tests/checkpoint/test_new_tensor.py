"""What can be written: arrays of all libraries, numbers, text; all else is refused, by name."""

from __future__ import annotations

import array
import subprocess
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import ckptfmt
from ckptfmt.errors import CkptfmtError, UnsupportedError
from ckptfmt.types import ResourceHandle, Variant
from tests.support.memory_filesystem import MemoryFilesystem


def stored(values: Any, **options: Any) -> tuple[str, np.ndarray]:
    """What is read of a tensor that was written: the name of its dtype, and its values."""
    fs = MemoryFilesystem()
    with ckptfmt.CheckpointWriter("ckpt", fs=fs) as writer:
        writer.add("w", values, **options)
    with ckptfmt.open("ckpt", fs=fs) as ckpt:
        assert ckpt.verify().ok
        return ckpt.entries["w"].dtype.name, ckpt["w"]


class Foreign:
    """An array of another library, which NumPy reaches by one of its protocols."""

    def __init__(self, values: Any, protocol: str) -> None:
        self._values = np.asarray(values)
        self._protocol = protocol

    def __getattr__(self, name: str) -> Any:
        if name == self._protocol or (self._protocol == "__dlpack__" and name == "__dlpack_device__"):
            return getattr(self._values, name)
        raise AttributeError(name)


# --- Python's values -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        (1.5, "float32"),
        (1e300, "float32"),
        ([1, 2], "int32"),
        ([[1], [2**31]], "int64"),
        (2**63, "uint64"),
        (True, "bool"),
        (1j, "complex128"),
        ([], "float32"),
        ((1, 2.5), "float32"),
        ([np.float64(0.1)], "float64"),
        ([np.zeros(2, np.int16)], "int16"),
        (np.float16(2), "float16"),
        (np.float64(0.1), "float64"),
        (array.array("d", [0.1]), "float64"),
        (bytearray(b"ab"), "uint8"),
        (memoryview(b"ab"), "uint8"),
        (memoryview(array.array("h", [-1, 2])), "int16"),
    ],
    ids=lambda value: "memory" if isinstance(value, memoryview) else repr(value),
)
def test_python_numbers_have_the_dtypes_that_tensorflow_gives_them(values: Any, dtype: str) -> None:
    name, read = stored(values)
    assert name == dtype
    with np.errstate(over="ignore"):
        assert read.tolist() == np.array(values).astype(dtype).tolist()


@pytest.mark.parametrize(
    "values",
    [
        b"a\0",
        "é",
        [b"a", "b", ""],
        [["a\0", "b"], ["c", "d"]],
        np.array(["a", "bé"]),
        np.array([b"a", b"b"]),
        np.array(["a", b"b"], object),
        np.array("a"),
        np.str_("a"),
        np.bytes_(b"a\0"),
        np.array(["a", "longer than sixteen bytes"], np.dtypes.StringDType())
        if hasattr(np.dtypes, "StringDType")
        else "a",
        [],
    ],
    ids=repr,
)
def test_text_and_bytes_are_strings(values: Any) -> None:
    name, read = stored(values, dtype="string")
    want = np.array(values, object) if isinstance(values, (str, bytes, list)) else values.astype(object)
    assert name == "string"
    assert read.shape == want.shape
    assert [*read.flat] == [v.encode() if isinstance(v, str) else v for v in want.flat]
    if read.size:
        assert stored(values)[0] == "string"


def test_variants_are_variants() -> None:
    variant = Variant("T", b"meta", (np.arange(3),))
    for values in (variant, [variant, variant], np.array([[variant]], object)):
        name, read = stored(values)
        assert name == "variant"
        assert [(v.type_name, v.metadata, v.tensors[0].tolist()) for v in read.flat] == [
            ("T", b"meta", [0, 1, 2])
        ] * read.size


# --- other libraries -----------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", ["__array__", "__array_interface__", "__dlpack__"])
def test_numpys_protocols_are_followed(protocol: str) -> None:
    name, read = stored(Foreign(np.arange(6, dtype=np.int16).reshape(2, 3), protocol))
    assert (name, read.tolist()) == ("int16", [[0, 1, 2], [3, 4, 5]])


@pytest.mark.frameworks
def test_tensors_of_pytorch() -> None:
    torch = pytest.importorskip("torch")
    values = [[1.5, -2], [0, 4]]
    for tensor in (
        torch.tensor(values),
        torch.tensor(values, requires_grad=True),
        torch.nn.Parameter(torch.tensor(values)),
        torch.tensor(values, dtype=torch.bfloat16, requires_grad=True),
        torch.tensor(values, dtype=torch.float8_e4m3fn),
        torch.tensor(values).T.contiguous().T,
        torch.tensor(values, dtype=torch.float64)[:, :],
    ):
        name, read = stored(tensor)
        assert name == str(tensor.dtype).removeprefix("torch.")
        assert read.tolist() == values
    assert stored(torch.tensor(2, dtype=torch.bfloat16))[1].tolist() == 2
    assert stored(torch.tensor([1 + 2j]).conj())[1].tolist() == [1 - 2j]
    with pytest.raises(TypeError, match=r"tensor 'w': got a tensor on meta, .*pass tensor.cpu\(\)"):
        stored(torch.empty(2, device="meta"))
    with pytest.raises(TypeError, match=r"tensor 'w': got a torch.sparse_coo tensor, .*to_dense\(\)"):
        stored(torch.eye(2).to_sparse())


@pytest.mark.frameworks
def test_arrays_of_jax() -> None:
    jax = pytest.importorskip("jax")
    for dtype in ("float32", "bfloat16", "int4", "bool", "uint8"):
        name, read = stored(jax.numpy.array([[1, 0]], dtype))
        assert (name, read.tolist()) == (dtype, [[1, 0]])
    with pytest.raises(TypeError, match=r"tensor 'w': got a jax"):
        stored(jax.random.key(0))


def test_pytorch_is_not_imported(tmp_path: Path) -> None:
    code = """if True:
        import sys, numpy, ckptfmt
        ckptfmt.save(sys.argv[1], {"w": numpy.ones(3), "scalar": 1})
        sys.exit("torch" in sys.modules or "jax" in sys.modules)
    """
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "ckpt")], check=True)


# --- dtypes that are asked for -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        (np.array([-128, 127], np.int8), "qint8"),
        (np.array([1, 255], np.int64), "quint8"),
        ([1, 2], "qint32"),
        ([1.5, 2], "bfloat16"),
        ([1, 2], "complex64"),
        ([-8, 7], "int4"),
        ([0, 3], "uint2"),
        (np.array([0, 1], ml_dtypes.int4), "int8"),
        (np.array([1.5], np.float64), "float8_e5m2"),
        (np.array([True]), "int64"),
        ([], "int32"),
    ],
    ids=repr,
)
def test_values_are_stored_under_the_dtype_that_was_asked_for(values: Any, dtype: str) -> None:
    name, read = stored(values, dtype=dtype)
    assert name == dtype
    assert read.astype(complex).tolist() == np.array(values).astype(complex).tolist()


@pytest.mark.parametrize(
    ("values", "dtype", "error"),
    [
        ([1.5], "int32", TypeError),
        (np.array([1.5]), "int64", TypeError),
        (np.array([1j]), "float32", TypeError),
        ([300], "int8", ValueError),
        (np.array([-1]), "uint8", ValueError),
        ([8], "int4", ValueError),
        (np.array([-1], ml_dtypes.int4), "uint4", ValueError),
        (np.array([2**63], np.uint64), "int64", ValueError),
        ([1], "string", TypeError),
        (["a"], "int32", TypeError),
        ([1], "resource", UnsupportedError),
        ([1], "variant", TypeError),
        ([1], "no such dtype", TypeError),
    ],
    ids=repr,
)
def test_values_that_a_dtype_does_not_have_are_refused(values: Any, dtype: str, error: type) -> None:
    with pytest.raises(error, match="tensor 'w': "):
        stored(values, dtype=dtype)


# --- what is refused -----------------------------------------------------------------------------------


class OnDevice:
    """An array of a library that cannot copy it from a GPU."""

    def __dlpack__(self) -> object:
        raise AssertionError("it is on a device")

    def __dlpack_device__(self) -> tuple[int, int]:
        return 2, 0


class Refusing:
    """An array of a library that refuses to copy it from a GPU by itself, as CuPy does."""

    __cuda_array_interface__ = None

    def __array__(self, *_: object, **__: object) -> np.ndarray:
        raise TypeError("Implicit conversion to a NumPy array is not allowed.")


@pytest.mark.parametrize(
    ("values", "error"),
    [
        (None, TypeError),
        (object(), TypeError),
        ([1, None], TypeError),
        ([None, 1], TypeError),
        (["a", 1], TypeError),
        ({"a": 1}, TypeError),
        ([[1, 2], [3]], ValueError),
        (2**64, TypeError),
        (np.array([1, 2], object), TypeError),
        (np.zeros(2, [("a", np.int32), ("b", np.int8)]), TypeError),
        (np.zeros(2, "M8[ns]"), TypeError),
        (np.zeros(2, "m8[s]"), TypeError),
        (np.zeros(2, "V3"), TypeError),
        (np.zeros(2, ml_dtypes.float8_e3m4), TypeError),
        (np.ma.masked_array([1, 2], [True, False]), TypeError),
        (ResourceHandle("", "", "", 0, ""), UnsupportedError),
        (OnDevice(), TypeError),
        (Refusing(), TypeError),
        *([(np.zeros(2, np.longdouble), TypeError)] if np.dtype(np.longdouble).itemsize > 8 else []),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else type(value).__name__,
)
def test_what_no_tensor_can_hold_is_refused_and_the_rest_is_written(values: Any, error: type) -> None:
    fs = MemoryFilesystem()
    with ckptfmt.CheckpointWriter("ckpt", fs=fs) as writer:
        writer.add("before", 1)
        with pytest.raises(error, match="tensor 'w': "):
            writer.add("w", values)
        with pytest.raises(error, match="tensor 'w': "):
            writer.add_all({"w": values})
        writer.add("w", 2)
    with ckptfmt.open("ckpt", fs=fs) as ckpt:
        assert {name: int(ckpt[name]) for name in ckpt} == {"before": 1, "w": 2}


def test_a_masked_array_without_masked_values_is_an_array() -> None:
    assert stored(np.ma.masked_array([1, 2]))[1].tolist() == [1, 2]


def test_what_a_gpu_holds_is_to_be_copied_first() -> None:
    for values in (OnDevice(), Refusing()):
        with pytest.raises(TypeError, match="copy it from the GPU first"):
            stored(values)


@pytest.mark.parametrize("name", ["", "\0a", "\ud800", 7, None, b"w"])
def test_a_name_that_no_tensor_can_have_is_refused(name: Any) -> None:
    fs = MemoryFilesystem()
    with ckptfmt.CheckpointWriter("ckpt", fs=fs) as writer:
        with pytest.raises((ValueError, TypeError), match="tensor name: got"):
            writer.add(name, 1)
        with pytest.raises((ValueError, TypeError), match="tensor name: got"):
            writer.add_all([("w", np.ones(1)), (name, np.ones(1))])


# --- any layout ----------------------------------------------------------------------------------------

SHAPES = [(3, 5), (0, 4), (3000, 1700), (2, 3_000_000), (3_000_000, 2), (1, 5_000_000)]
LAYOUTS = {
    "Fortran": lambda a: np.asfortranarray(a),
    "reversed": lambda a: np.ascontiguousarray(a[::-1, ::-1])[::-1, ::-1],
    "strided": lambda a: np.repeat(np.repeat(a, 2, 0), 3, 1)[::2, ::3],
    "big-endian": lambda a: a.astype(a.dtype.newbyteorder(">")),
    "read-only": lambda a: np.frombuffer(a.tobytes(), a.dtype).reshape(a.shape),
    "float64": lambda a: a.astype(np.float64),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_an_array_of_any_layout_is_stored_in_c_order(layout: str, shape: tuple[int, ...]) -> None:
    want = np.arange(shape[0] * shape[1], dtype=np.float32).reshape(shape)
    name, read = stored(LAYOUTS[layout](want), dtype="float32")
    assert name == "float32"
    assert np.array_equal(read, want)
    assert stored(LAYOUTS[layout](want)[..., 0])[1].tolist() == want[..., 0].tolist()


def test_a_large_array_is_converted_in_the_memory_of_a_piece(tmp_path: Path) -> None:
    large = np.zeros((4000, 4000), np.float32).T
    with ckptfmt.CheckpointWriter(tmp_path / "ckpt", sync=False) as writer:
        for number, (values, dtype) in enumerate(
            [(large, None), (large.view(">f4"), None), (large, "float64"), (large.view(np.uint32), "uint64")]
        ):
            tracemalloc.start()
            writer.add(str(number), values, dtype=dtype)
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            assert peak < 16 << 20


def test_strings_take_the_memory_of_their_lengths(tmp_path: Path) -> None:
    texts = np.array(["x" * 1000] * 100_000, object)  # one object, many times
    with ckptfmt.CheckpointWriter(tmp_path / "ckpt", sync=False) as writer:
        tracemalloc.start()
        writer.add("texts", texts)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 40 << 20
    with ckptfmt.open(tmp_path / "ckpt") as ckpt:
        assert ckpt.entries["texts"].nbytes == 100_000 * 1002 + 4
        assert ckpt["texts"][-1] == b"x" * 1000


def test_a_dtype_that_cannot_be_stored_is_one_of_our_errors() -> None:
    with pytest.raises(CkptfmtError, match=r"tensor 'w': tensors of dtype resource cannot be stored"):
        stored([ResourceHandle("", "", "", 0, "")])
