"""PyTorch's files both ways: without PyTorch, and compared with it where it is installed."""

from __future__ import annotations

import argparse
import io
import pickle
import pickletools
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import ckptfmt
from ckptfmt.converting.sinks.outgoing import outgoing
from ckptfmt.converting.sinks.torch import TorchSink
from ckptfmt.converting.sinks.writing import Writing
from ckptfmt.converting.sources.torch.pickled import read_torch_pickle
from ckptfmt.converting.sources.torch.values import LATER_DTYPES, STORAGES
from ckptfmt.errors import CkptfmtError, ConversionError, LimitError, UnsupportedError
from ckptfmt.storage.local import LOCAL
from tests.support.memory_filesystem import MemoryFilesystem

RANDOM = np.random.default_rng(3)


def values(name: str) -> np.ndarray:
    dtype = ckptfmt.as_dtype(name).numpy
    return np.frombuffer(RANDOM.integers(0, 2, 6 * dtype.itemsize, np.uint8).tobytes(), dtype).reshape(2, 3)


ARRAYS: dict[str, np.ndarray] = {
    **{f"dtype/{name}": values(name) for name in [*STORAGES.values(), *LATER_DTYPES]},
    "scalar": np.array(3, np.int64),
    "empty": np.zeros((0, 3), np.float32),
    "ünï.weight\0": np.arange(300, dtype=np.float32).reshape(3, 4, 25),
    "large": np.arange(200_000.0),
}


@pytest.fixture
def torch() -> Any:
    return pytest.importorskip("torch", reason="PyTorch is too large for the usual test environment")


@pytest.fixture
def written(tmp_path: Path) -> Path:
    ckptfmt.save(tmp_path / "model", ARRAYS)
    done = ckptfmt.convert(tmp_path / "model", tmp_path / "w.pt")
    assert done.format == "torch"
    return tmp_path / "w.pt"


def opened(data: bytes, **options: Any) -> ckptfmt.Tensors:
    return ckptfmt.open_tensors("/w.pt", fs=MemoryFilesystem({"/w.pt": data}, has_views=False), **options)


def archive(content: bytes, **members: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as target:
        target.writestr("archive/data.pkl", content)
        for name, data in members.items():
            target.writestr(f"archive/{name.replace('_', '/')}", data)
    return stream.getvalue()


def bits(tensor: Any, torch: Any) -> bytes:
    flat = tensor.contiguous().reshape(-1)
    return bytes(flat.view(torch.uint8).numpy()) if flat.numel() else b""


# --- written


@pytest.mark.frameworks
@pytest.mark.parametrize("mmap", [True, False])
def test_pytorch_loads_what_is_written(mmap: bool, written: Path, torch: Any) -> None:
    loaded = torch.load(written, weights_only=True, mmap=mmap)
    assert set(loaded) == set(ARRAYS)
    for name, array in ARRAYS.items():
        tensor = loaded[name]
        assert str(tensor.dtype).removeprefix("torch.") == array.dtype.name, name
        assert tuple(tensor.shape) == array.shape
        assert tensor.is_contiguous()
        assert bits(tensor, torch) == array.tobytes()
        if mmap and array.nbytes:
            assert tensor.data_ptr() % 64 == 0


def test_what_is_written_is_read_again_as_views(written: Path) -> None:
    with ckptfmt.open_tensors(written) as tensors:
        assert tensors.format == "torch"
        for name, array in ARRAYS.items():
            assert (tensors[name].dtype, tensors[name].shape) == (array.dtype, array.shape)
            assert tensors[name].tobytes() == array.tobytes()
        assert np.shares_memory(tensors["large"], tensors["large"])
        assert tensors["large"].ctypes.data % 64 == 0
        assert tensors.slice("large")[7:9].tolist() == [7, 8]


@pytest.mark.frameworks
def test_a_model_of_pytorch_takes_it(tmp_path: Path, torch: Any) -> None:
    layer = torch.nn.Linear(3, 4)
    weights = {"weight": np.ones((4, 3), np.float32), "bias": np.arange(4, dtype=np.float32)}
    ckptfmt.save(tmp_path / "model", weights)
    ckptfmt.convert(tmp_path / "model", tmp_path / "w.pth")
    layer.load_state_dict(torch.load(tmp_path / "w.pth"))
    assert layer(torch.ones(1, 3)).tolist() == [[3, 4, 5, 6]]


def test_the_pickle_is_one_that_python_finds_no_fault_with(written: Path) -> None:
    with zipfile.ZipFile(written) as members:
        assert members.testzip() is None
        assert members.read("archive/byteorder") == b"little"
        pickletools.dis(members.read("archive/data.pkl"), io.StringIO())


def test_what_pytorch_cannot_hold_is_an_error_that_lists_it(tmp_path: Path) -> None:
    arrays = {"text": np.array([b"a"], object), "four": np.ones(2, ml_dtypes.int4), "good": np.ones(2)}
    ckptfmt.save(tmp_path / "model", arrays)
    with pytest.raises(ConversionError) as caught:
        ckptfmt.convert(tmp_path / "model", tmp_path / "w.pt")
    assert caught.value.problems == {"text": "no dtype string", "four": "no dtype int4"}
    assert not (tmp_path / "w.pt").exists()
    with pytest.raises(ValueError, match="compression: got 'deflate', but torch has none"):
        ckptfmt.convert(tmp_path / "model", tmp_path / "w.pt", select="good", compression="deflate")


@pytest.mark.parametrize("fail_at", [0, 1, 3])
def test_an_interrupted_archive_is_gone_on_with(fail_at: int, tmp_path: Path) -> None:
    arrays = {name: np.arange(10) + number for number, name in enumerate("abcd")}
    ckptfmt.save(tmp_path / "model", arrays)
    going = outgoing(ckptfmt.open(tmp_path / "model"))
    TorchSink().write(going, Writing(LOCAL, str(tmp_path / "whole.pt")))
    sizes: list[int] = []

    def stop(nbytes: int) -> None:
        sizes.append(nbytes)
        if len(sizes) == fail_at + 1:
            raise KeyboardInterrupt

    first = Writing(LOCAL, str(tmp_path / "w.pt"), key="k", advance=stop)
    with suppress(KeyboardInterrupt):
        TorchSink().write(going, first)
    first.abandon()
    assert not (tmp_path / "w.pt").exists()
    sizes.clear()
    again = Writing(LOCAL, str(tmp_path / "w.pt"), key="k", advance=sizes.append)
    TorchSink().write(going, again)
    again.settle()
    assert len(sizes) == len(arrays) - fail_at
    assert (tmp_path / "w.pt").read_bytes() == (tmp_path / "whole.pt").read_bytes()


# --- read


@pytest.mark.frameworks
@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_what_pytorch_saves_is_read(protocol: int, tmp_path: Path, torch: Any) -> None:
    base = torch.arange(24.0).reshape(4, 6)
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4))
    saved = {
        "state_dict": model.state_dict(),
        "epoch": 3,
        "rate": 0.1,
        "name": "réseau",
        "transposed": base.t(),
        "part": base[1:3, ::2],
        "expanded": torch.ones(1).expand(5),
        "parameter": torch.nn.Parameter(base),
        "list": [base, (base, None)],
        **{name: base.to(getattr(torch, name)) for name in [*STORAGES.values(), *LATER_DTYPES]},
    }
    torch.save(saved, tmp_path / "w.pt", pickle_protocol=protocol)
    with ckptfmt.open_tensors(tmp_path / "w.pt") as tensors:
        for name, tensor in model.state_dict().items():
            assert np.array_equal(tensors[f"state_dict/{name}"], tensor.numpy())
        for name in ("transposed", "part", "expanded"):
            assert np.array_equal(tensors[name], saved[name].numpy())
            assert np.array_equal(tensors.slice(name)[1:2], saved[name][1:2].numpy())
        assert np.array_equal(tensors["list/1/0"], base.numpy())
        for name in [*STORAGES.values(), *LATER_DTYPES]:
            assert tensors[name].tobytes() == bits(saved[name], torch)
            assert tensors.entries[name].dtype == name
        assert "epoch" not in tensors


@pytest.mark.frameworks
def test_an_optimizer_a_single_tensor_and_a_file_without_checksums_are_read(
    tmp_path: Path, torch: Any
) -> None:
    layer = torch.nn.Linear(3, 4)
    optimizer = torch.optim.Adam(layer.parameters())
    layer(torch.ones(5, 3)).sum().backward()
    optimizer.step()
    torch.save(optimizer.state_dict(), tmp_path / "o.pt")
    assert "state/0/exp_avg" in ckptfmt.open_tensors(tmp_path / "o.pt")
    before = torch.serialization.get_crc32_options()
    torch.serialization.set_crc32_options(False)
    try:
        torch.save(torch.arange(3), tmp_path / "single.pt")
    finally:
        torch.serialization.set_crc32_options(before)
    assert ckptfmt.open_tensors(tmp_path / "single.pt")["single"].tolist() == [0, 1, 2]


@pytest.mark.frameworks
def test_a_whole_model_and_an_old_file_are_refused_by_name(tmp_path: Path, torch: Any) -> None:
    torch.save(torch.nn.Linear(3, 4), tmp_path / "w.pt")
    with pytest.raises(
        UnsupportedError, match=r"it needs torch\.nn\.modules\.linear\.Linear, .*state_dict\(\)"
    ):
        ckptfmt.open_tensors(tmp_path / "w.pt")
    torch.save({"w": torch.ones(2)}, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    with pytest.raises(UnsupportedError, match=r"a PyTorch file from before 1\.6"):
        ckptfmt.open_tensors(tmp_path / "old.pt")


class _Evil:
    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.made_by = function, arguments

    def __reduce__(self) -> Any:
        return self.made_by


def test_nothing_is_imported_or_called(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    for evil in (
        _Evil(Path.touch, mark),
        _Evil(exec, f"open({str(mark)!r}, 'w')"),
        _Evil(OrderedDict.fromkeys, "a"),
    ):
        for protocol in (2, 4):
            data = archive(pickle.dumps({"w": evil}, protocol))
            with pytest.raises(UnsupportedError, match="it needs "):
                opened(data)
    assert not mark.exists()


@pytest.mark.frameworks
@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.filterwarnings("ignore")
def test_what_is_not_read_beside_tensors_is_listed_or_passed_over(
    protocol: int, tmp_path: Path, torch: Any
) -> None:
    good = torch.arange(3.0)
    unreadable = {
        "sparse": torch.eye(3).to_sparse(),
        "quantized": torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8),
        "meta": torch.ones(2, device="meta"),
        "conj": torch.ones(2, dtype=torch.complex64).conj(),
        "array": np.ones(2),
        "model": torch.nn.Linear(2, 2),
        "f8": torch.ones(2).to(torch.float8_e8m0fnu),
    }
    passed_over = {
        "scalar": np.float64(3),
        "args": argparse.Namespace(rate=0.1, sizes=[1, 2], path=Path("a")),
        "set": {1, 2},
        "frozen": frozenset("a"),
        "bytes": b"a" * 300,
        "long": 1 << 3000,
        "dtype": torch.float32,
        "device": torch.device("cpu"),
        "class": argparse.Namespace,
        "keys": {None: 1, (1, "a"): 2, 0.5: 3, torch.float32: 4},
    }
    saved = {"good": good, **unreadable, **passed_over, "at": {0.5: good}}
    torch.save(saved, tmp_path / "w.pt", pickle_protocol=protocol)
    with ckptfmt.open_tensors(tmp_path / "w.pt") as tensors:
        assert list(tensors) == ["good", *unreadable, "at/0.5"]
        assert tensors["good"].tolist() == tensors["at/0.5"].tolist() == [0, 1, 2]
        for name in unreadable:
            assert tensors.entries[name].dtype == "variant"
            with pytest.raises(UnsupportedError, match=f"tensor '{name}': ") as caught:
                tensors[name]
            assert caught.value.file == str(tmp_path / "w.pt")
    with pytest.raises(ConversionError) as refused:
        ckptfmt.convert(tmp_path / "w.pt", tmp_path / "w.safetensors")
    assert set(refused.value.problems) == set(unreadable)


TENSOR = (
    b"\x80\x02}X\x01\0\0\0wctorch._utils\n_rebuild_tensor_v2\n((X\x07\0\0\0storagectorch\nFloatStorage\n"
    b"X\x01\0\0\x000X\x03\0\0\0cpuK\x06tQK\x00K\x02K\x03\x86K\x03K\x01\x86\x89}tRs."
)
SIX = np.arange(6, dtype=np.float32)


def test_the_tensor_of_these_tests_is_read() -> None:
    assert opened(archive(TENSOR, data_0=SIX.tobytes()))["w"].tolist() == [[0, 1, 2], [3, 4, 5]]
    swapped = archive(TENSOR, data_0=SIX.astype(">f4").tobytes(), byteorder=b"big")
    assert opened(swapped)["w"].tolist() == [[0, 1, 2], [3, 4, 5]]


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        (b"K\x02K\x03\x86K\x03", b"K\x03K\x03\x86K\x03", "got 24 bytes in archive/data/0, want 36"),
        (b"K\x03K\x01\x86\x89", b"K\xffK\x01\x86\x89", "want 1032"),
        (b"tQK\x00", b"tQK\x01", "want 28"),
        (b"tQK\x00", b"tQJ\xff\xff\xff\xff", "want a number from 0"),
        (b"tQK\x00", b"tQ\x8a\xff" + b"\x7f" * 255, "want a number from 0"),
        (b"X\x01\0\0\x000X", b"X\x01\0\0\x001X", "no member data/1"),
        (b"FloatStorage", b"QInt8Storage", "tensor 'w': a storage of torch.QInt8Storage"),
        (b"X\x07\0\0\0storage", b"X\x06\0\0\0module", "a reference to 'module'"),
        (b"\x89}tR", b"\x89}}X\x01\0\0\0aK\x01stR", "tensor 'w': a tensor with metadata"),
        (b"K\x03K\x01\x86", b"K\x01\x85", "got 1 strides for 2 dimensions"),
        (b"_rebuild_tensor_v2", b"_rebuild_qtensor", "tensor 'w': it needs torch._utils._rebuild_qtensor"),
        (b"\x80\x02}", b"\x80\x02", "does not fit"),
        (b"}X\x01\0\0\0w", b"}}", "does not fit"),
        (b"tR", b"t2R", "instruction b'2'"),
        (b"s.", b"s", "pickle: got"),
        (b"X\x01\0\0\0w", b"X\xff\xff\xff\xffw", "operand"),
    ],
)
def test_a_hostile_pickle_is_an_error_with_its_file(old: bytes, new: bytes, why: str) -> None:
    assert old in TENSOR
    with pytest.raises(CkptfmtError, match=why.replace("(", r"\(")) as caught:
        opened(archive(TENSOR.replace(old, new, 1), data_0=SIX.tobytes()))["w"]
    assert caught.value.file == "/w.pt"


def test_every_cut_and_every_damaged_byte_of_a_pickle_is_an_error_or_something() -> None:
    for size in range(len(TENSOR)):
        with pytest.raises(CkptfmtError):
            read_torch_pickle(TENSOR[:size])
    for position in range(len(TENSOR)):
        for flip in (1, 0x80, 0xFF):
            damaged = bytearray(TENSOR)
            damaged[position] ^= flip
            with suppress(CkptfmtError):
                tensors = opened(archive(bytes(damaged), data_0=SIX.tobytes()))
                _ = [tensors[name] for name in tensors]


def test_dictionaries_that_stand_for_millions_of_names_are_refused() -> None:
    # Each dictionary has the one before twice.
    content = b"\x80\x02}q\x00"
    for number in range(200):
        content += (
            b"}q" + bytes([number + 1]) + b"(K\x01h" + bytes([number]) + b"K\x02h" + bytes([number]) + b"u"
        )
    with pytest.raises(LimitError):
        opened(archive(content + b"."))


class _Holder:
    def __init__(self, content: object) -> None:
        self.content = content


def test_objects_beside_tensors_are_listed_if_they_have_tensors_in_them() -> None:
    inner = TENSOR[2:-1]
    holder = pickle.dumps(_Holder(None), 2)
    assert holder.count(b"N") == 1  # the content
    objects = {b"none": holder[2:-1], b"some": holder[2:-1].replace(b"N", inner[:-1] + b"s", 1)}
    content = b"\x80\x02" + inner[:-1] + b"s"
    for name, each in objects.items():
        # Without what puts into the memo, which all share.
        content += b"X\x04\0\0\0" + name + each + b"s"
    tensors = opened(archive(content + b".", data_0=SIX.tobytes()))
    assert list(tensors) == ["w", "some"]
    with pytest.raises(UnsupportedError, match=r"tensor 'some': it needs .*_Holder"):
        tensors["some"]


def test_objects_that_share_parts_are_read_in_time() -> None:
    # Each of 20,000 objects has the same list of 20,000 numbers and lists.
    content = b"\x80\x02" + TENSOR[2:-1] + b"X\x01\0\0\0l](" + b"]" * 20_000 + b"eq\x00s"
    for number in range(20_000):
        key = str(number).encode()
        content += b"X" + len(key).to_bytes(4, "little") + key + b"ca\nb\nh\x00\x85Rs"
    assert list(opened(archive(content + b".", data_0=SIX.tobytes()))) == ["w"]


def test_a_dictionary_in_itself_is_refused() -> None:
    with pytest.raises(LimitError, match="max_depth"):
        opened(archive(b"\x80\x02}q\x00K\x01h\x00s."))


def test_a_byte_that_stands_for_gigabytes_is_refused_when_it_is_read() -> None:
    content = TENSOR.replace(b"K\x02K\x03\x86K\x03K\x01\x86", b"J\0\0\0\x7fK\x01\x86K\0K\x01\x86")
    tensors = opened(archive(content, data_0=SIX.tobytes()))
    assert tensors.entries["w"].shape == (0x7F000000, 1)
    with pytest.raises(LimitError, match="max_bytes"):
        tensors["w"]


@pytest.mark.parametrize("keys", [(b"X\x01\0\0\0a", b"X\x03\0\0\0a/w"), (b"K\x01", b"X\x03\0\0\x001/w")])
def test_names_that_two_tensors_have_are_unsupported(keys: tuple[bytes, bytes]) -> None:
    inner = TENSOR[2:-1]
    content = b"\x80\x02}(" + keys[0] + inner + keys[1] + inner[7:-1] + b"u."
    with pytest.raises(UnsupportedError, match=r"several tensors are named '[a1]/w'") as caught:
        opened(archive(content, data_0=SIX.tobytes()))
    assert caught.value.file == "/w.pt"


def test_names_may_be_empty(tmp_path: Path) -> None:
    ckptfmt.convert({"": np.ones(2), "a": np.zeros(1)}, tmp_path / "w.pt", verify=True)
    assert list(ckptfmt.open_tensors(tmp_path / "w.pt")) == ["", "a"]


def test_a_file_becomes_a_checkpoint(written: Path, tmp_path: Path) -> None:
    with ckptfmt.open_tensors(written) as tensors:
        ckptfmt.save(tmp_path / "again", tensors)
    again = ckptfmt.open(tmp_path / "again")
    assert {name: array.tobytes() for name, array in again.items()} == {
        name: array.tobytes() for name, array in ARRAYS.items()
    }
