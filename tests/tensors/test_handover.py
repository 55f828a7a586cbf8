"""Tensors of PyTorch and JAX, handed over in memory: bit for bit the same, and without a copy if possible."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import ckptfmt
from ckptfmt.errors import ConversionError, MissingDependencyError, TensorNotFoundError
from tests.support.memory_filesystem import MemoryFilesystem

TORCH_DTYPES = [
    *("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
    *("float16", "bfloat16", "float32", "float64", "complex64", "complex128"),
    *("float8_e5m2", "float8_e4m3fn", "float8_e4m3fnuz", "float8_e5m2fnuz"),
]
JAX_DTYPES = [*TORCH_DTYPES, "float8_e4m3b11fnuz", "int4", "uint4"]
RANDOM = np.random.default_rng(1)


def random(name: str, *shape: int) -> np.ndarray:
    dtype = ckptfmt.as_dtype(name).numpy
    size = int(np.prod(shape)) * dtype.itemsize
    values = RANDOM.integers(0, 2 if name in ("bool", "int4", "uint4") else 256, size, np.uint8)
    return np.frombuffer(values.tobytes(), dtype).reshape(shape)


@pytest.fixture
def torch() -> Any:
    return pytest.importorskip("torch", reason="PyTorch is too large for the usual test environment")


@pytest.fixture
def jax() -> Any:
    return pytest.importorskip("jax", reason="JAX is too large for the usual test environment")


@pytest.fixture
def arrays() -> dict[str, np.ndarray]:
    return {
        "empty": np.zeros((0, 3), np.float32),
        **{name: random(name, 3, 1000) for name in JAX_DTYPES},
        "large": np.arange(100_000, dtype=np.float32),
        "scalar": np.array(2.5, np.float32),
    }


@pytest.fixture
def prefix(arrays: dict[str, np.ndarray], tmp_path: Path) -> Path:
    ckptfmt.save(tmp_path / "model", arrays)
    return tmp_path / "model"


def aligned(tmp_path: Path) -> ckptfmt.Tensors:
    """Return tensors of a file that aligns them."""
    ckptfmt.save(
        tmp_path / "w", {"w": np.arange(100_000, dtype=np.float32), "b": random("bfloat16", 64, 1024)}
    )
    ckptfmt.convert(tmp_path / "w", tmp_path / "w.pt")
    return ckptfmt.open_tensors(tmp_path / "w.pt")


def in_mapping(pointer: int, path: Path) -> bool:
    """Whether an address is in a mapping of a file."""
    for line in Path("/proc/self/maps").read_text().splitlines():
        start, stop = (int(each, 16) for each in line.split()[0].split("-"))
        if start <= pointer < stop:
            return line.endswith(str(path))
    return False


def torch_bytes(tensor: Any, torch: Any) -> bytes:
    flat = tensor.contiguous().reshape(-1)
    return bytes(flat.view(torch.uint8).numpy()) if flat.numel() else b""


ONLY_LINUX = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


# --- PyTorch


@pytest.mark.frameworks
@pytest.mark.parametrize("backend", ["mmap", "pread"])
@pytest.mark.parametrize("copy", [False, True])
def test_every_dtype_of_pytorch_is_bit_for_bit_the_same(
    backend: str, copy: bool, prefix: Path, arrays: dict[str, np.ndarray], torch: Any
) -> None:
    names = [*TORCH_DTYPES, "empty", "scalar", "large"]
    with ckptfmt.open(prefix, backend=backend) as ckpt:
        tensors = ckpt.to_torch(names=names, copy=copy)
    assert list(tensors) == names
    for name, tensor in tensors.items():
        assert str(tensor.dtype) == f"torch.{arrays[name].dtype.name}"
        assert tuple(tensor.shape) == arrays[name].shape
        assert torch_bytes(tensor, torch) == arrays[name].tobytes()


@pytest.mark.frameworks
@ONLY_LINUX
def test_a_tensor_of_pytorch_views_the_mapped_file(prefix: Path, torch: Any) -> None:
    data = prefix.with_name("model.data-00000-of-00001")
    ckpt = ckptfmt.open(prefix)
    assert in_mapping(ckpt.to_torch(names=["large"])["large"].data_ptr(), data)
    assert in_mapping(ckpt.select("lar*").renamed(str.upper).to_torch()["LARGE"].data_ptr(), data)
    assert not in_mapping(ckpt.to_torch(names=["large"], copy=True)["large"].data_ptr(), data)


@pytest.mark.frameworks
def test_writing_to_a_tensor_changes_nothing_else(prefix: Path, torch: Any) -> None:
    data = prefix.with_name("model.data-00000-of-00001")
    before = data.read_bytes()
    with ckptfmt.open(prefix) as ckpt:
        array = ckpt["large"]
        one, two = (ckpt.to_torch(names=["large", "bfloat16"]) for _ in range(2))
        one["large"].mul_(2)
        one["bfloat16"].zero_()
        assert one["large"][3] == 6
        assert two["large"][3] == array[3] == ckpt["large"][3] == 3
        assert torch_bytes(two["bfloat16"], torch) == ckpt["bfloat16"].tobytes()
        assert all(each.ok for each in [ckpt.verify()])
        ckpt._release("large")
        assert one["large"][3] == 6
    assert data.read_bytes() == before
    assert np.array_equal(one["large"].numpy(), array * 2)


@pytest.mark.frameworks
def test_the_arrays_of_the_caller_are_not_shared(prefix: Path, torch: Any) -> None:
    mine = np.ones(3, np.float32)
    with ckptfmt.open(prefix) as ckpt:
        tensor = ckpt.updated({"mine": mine[:]}, add=True).to_torch(names=["mine"])["mine"]
    tensor.zero_()
    assert mine.tolist() == [1, 1, 1]


@pytest.mark.frameworks
def test_what_a_view_computes_is_handed_over(prefix: Path, arrays: dict[str, np.ndarray], torch: Any) -> None:
    with ckptfmt.open(prefix) as ckpt:
        cast = ckpt.select("float32", "large").cast("bfloat16").to_torch()
    assert cast["large"].dtype == torch.bfloat16
    assert torch_bytes(cast["large"], torch) == arrays["large"].astype(ml_dtypes.bfloat16).tobytes()


@pytest.mark.frameworks
def test_a_transposed_tensor_of_a_file_is_handed_over(tmp_path: Path, torch: Any) -> None:
    base = torch.arange(40_000.0).reshape(200, 200)
    torch.save({"t": base.t(), "cut": base[1:, ::3]}, tmp_path / "w.pt")
    tensors = ckptfmt.open_tensors(tmp_path / "w.pt").to_torch()
    assert torch.equal(tensors["t"], base.t())
    assert torch.equal(tensors["cut"], base[1:, ::3])


@pytest.mark.frameworks
def test_a_file_that_was_replaced_is_copied(prefix: Path, arrays: dict[str, np.ndarray], torch: Any) -> None:
    with ckptfmt.open(prefix) as ckpt:
        array = ckpt["large"]
        prefix.with_name("model.data-00000-of-00001").unlink()
        tensor = ckpt.to_torch(names=["large"])["large"]
    assert tensor.data_ptr() != array.__array_interface__["data"][0]
    assert torch_bytes(tensor, torch) == arrays["large"].tobytes()


@pytest.mark.frameworks
def test_a_file_system_in_memory_is_handed_over(torch: Any) -> None:
    fs = MemoryFilesystem()
    ckptfmt.save("/m/model", {"w": np.arange(3)}, fs=fs)
    tensors = ckptfmt.open("/m/model", fs=fs).to_torch("cpu")
    tensors["w"] += 1
    assert ckptfmt.open("/m/model", fs=fs)["w"].tolist() == [0, 1, 2]


@pytest.mark.frameworks
def test_what_pytorch_has_not_is_listed_and_the_object_graph_is_left_out(tmp_path: Path, torch: Any) -> None:
    variables = {"_CHECKPOINTABLE_OBJECT_GRAPH": np.array(b"", object), "w": np.ones(2)}
    ckptfmt.save(
        tmp_path / "model",
        {**variables, "words": np.array([b"a"], object), "four": np.ones(2, ml_dtypes.int4)},
    )
    with ckptfmt.open(tmp_path / "model") as ckpt:
        with pytest.raises(ConversionError, match=r"PyTorch cannot hold all .*: pass names= ") as caught:
            ckpt.to_torch()
        assert caught.value.problems == {"words": "no dtype string", "four": "no dtype int4"}
        assert list(ckpt.select(exclude=["words", "four"]).to_torch()) == ["w"]
        with pytest.raises(TensorNotFoundError, match="wrong"):
            ckpt.to_torch(names=["w", "wrong"])
        with pytest.raises(TypeError, match="want several names"):
            ckpt.to_torch(names="w")


@pytest.mark.frameworks
@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_a_device_is_where_they_are_put(device: str, prefix: Path, torch: Any) -> None:
    with ckptfmt.open(prefix) as ckpt:
        tensors = ckpt.to_torch(device, names=["large"])
    assert tensors["large"].device.type == device


# --- JAX


@pytest.mark.frameworks
@pytest.mark.parametrize("backend", ["mmap", "pread"])
def test_every_dtype_of_jax_is_bit_for_bit_the_same(
    backend: str, prefix: Path, arrays: dict[str, np.ndarray], jax: Any
) -> None:
    with ckptfmt.open(prefix, backend=backend) as ckpt:
        handed = ckpt.to_jax()
    assert set(handed) == set(arrays)
    for name, array in arrays.items():
        assert isinstance(handed[name], jax.Array)
        assert (handed[name].dtype, handed[name].shape) == (array.dtype, array.shape)
        assert np.asarray(handed[name]).tobytes() == array.tobytes()


@pytest.mark.frameworks
def test_an_aligned_array_of_jax_views_the_mapped_file(tmp_path: Path, jax: Any) -> None:
    with aligned(tmp_path) as tensors:
        handed, copied = tensors.to_jax(), tensors.to_jax(copy=True)
        for name in tensors:
            assert handed[name].unsafe_buffer_pointer() == tensors[name].__array_interface__["data"][0]
            assert copied[name].unsafe_buffer_pointer() != handed[name].unsafe_buffer_pointer()
    doubled = jax.jit(lambda values: values * 2, donate_argnums=0)(handed["w"])
    assert doubled[3] == 6
    assert ckptfmt.open_tensors(tmp_path / "w.pt")["w"][3] == 3


@pytest.mark.frameworks
def test_the_arrays_of_the_caller_are_not_those_of_jax(tmp_path: Path, jax: Any) -> None:
    mine = np.ones(1000, np.float32)
    with aligned(tmp_path) as tensors:
        handed = tensors.updated({"mine": mine[:]}, add=True).to_jax(jax.devices("cpu")[0], names=["mine"])
    mine[:] = 0
    assert handed["mine"].sum() == 1000


@pytest.mark.frameworks
def test_a_device_of_jax_may_be_a_platform(prefix: Path, jax: Any) -> None:
    ckpt = ckptfmt.open(prefix)
    handed = ckpt.to_jax("cpu", names=["large"])
    assert handed["large"].devices() == {jax.devices("cpu")[0]}
    with pytest.raises(ValueError, match="device: got 'abacus', want a platform that JAX has here"):
        ckpt.to_jax("abacus", names=["large"])


@pytest.mark.frameworks
def test_a_file_that_the_caller_has_mapped_is_copied(tmp_path: Path, jax: Any) -> None:
    mine = np.memmap(tmp_path / "mine", np.float32, "w+", shape=(20_000,))
    mine[:] = 1
    with aligned(tmp_path) as tensors:
        handed = tensors.updated({"mine": mine[:]}, add=True).to_jax(names=["mine"])
    mine[:] = 0
    assert handed["mine"].sum() == 20_000


@pytest.mark.frameworks
def test_what_jax_has_not_is_listed(tmp_path: Path, jax: Any) -> None:
    ckptfmt.save(tmp_path / "model", {"words": np.array([b"a"], object), "w": np.ones(2)})
    with pytest.raises(ConversionError) as caught:
        ckptfmt.open(tmp_path / "model").to_jax()
    assert caught.value.problems == {"words": "no dtype string"}


# --- neither


@pytest.mark.parametrize("library", ["torch", "jax"])
def test_a_missing_library_is_an_error_that_says_what_to_install(
    library: str, prefix: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(MissingDependencyError, match=rf"pip install 'ckptfmt\[{library}\]'"):
        getattr(ckptfmt.open(prefix), f"to_{library}")()


def test_neither_library_is_imported_before_it_is_asked_for(prefix: Path) -> None:
    code = (
        f"import ckptfmt, sys; ckptfmt.open({str(prefix)!r})['large']; "
        "assert not {'torch', 'jax'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
