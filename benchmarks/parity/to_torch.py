"""PyTorch: tensors received from ckptfmt through DLPack and pinned memory, and read back.

``python -m benchmarks.parity.to_torch FOLDER BYTES ROUNDS`` prints a report as JSON.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

import ckptfmt
from benchmarks.parity.result import Report, Timing, alternate, reason_of
from benchmarks.parity.values import write_handover


def by_dlpack(array: np.ndarray[Any, Any], dtype: Any, device: Any) -> tuple[Any, str]:  # noqa: ANN401
    """The array as a tensor on the device, and how: NumPy cannot export every dtype, but always its bytes."""
    try:
        return torch.from_dlpack(array).to(device), "DLPack"
    except (BufferError, TypeError, RuntimeError):
        tensor = torch.from_dlpack(array.reshape(-1).view(np.uint8))
        return tensor.view(dtype).reshape(array.shape).to(device), "DLPack, as bytes"


def buffer(nbytes: int, device: Any) -> Any:  # noqa: ANN401
    """Memory from which the device copies fastest: pinned, if there is a GPU."""
    return torch.ones(nbytes, dtype=torch.uint8, pin_memory=device.type == "cuda")


def viewed(tensor: Any, dtype: np.dtype[Any], shape: tuple[int, ...]) -> np.ndarray[Any, Any]:  # noqa: ANN401
    """A buffer as an array."""
    array: np.ndarray[Any, Any] = tensor.numpy().view(dtype).reshape(shape)
    return array


def read_back(tensor: Any, dtype: np.dtype[Any]) -> np.ndarray[Any, Any]:  # noqa: ANN401
    """A tensor as an array."""
    data = tensor.cpu().contiguous().reshape(-1).view(torch.uint8).numpy()
    array: np.ndarray[Any, Any] = data.view(dtype).reshape(tuple(tensor.shape))
    return array


def synchronize(device: Any) -> None:  # noqa: ANN401
    """Wait until all copies to the device are complete."""
    if device.type == "cuda":
        torch.cuda.synchronize()


def check_kinds(report: Report, prefix: Path, device: Any) -> None:  # noqa: ANN401
    """Compare every dtype that PyTorch has, through DLPack and through a buffer."""
    with ckptfmt.open(prefix) as checkpoint:
        for name, entry in checkpoint.entries.items():
            dtype = getattr(torch, name, None)
            if not isinstance(dtype, torch.dtype) or dtype.itemsize != entry.dtype.itemsize:
                report.refused[name] = "PyTorch has no such dtype"
                continue
            try:
                tensor, how = by_dlpack(checkpoint.read([name], copy=True)[name], dtype, device)
                report.compare(name, read_back(tensor, entry.dtype.numpy), checkpoint[name], how)
                pinned = buffer(entry.nbytes, device)
                checkpoint.read(out={name: viewed(pinned, entry.dtype.numpy, entry.shape)})
                tensor = pinned.view(dtype).reshape(entry.shape).to(device, non_blocking=True)
                synchronize(device)
                how = "pinned copy" if device.type == "cuda" else "buffer"
                report.compare(name, read_back(tensor, entry.dtype.numpy), checkpoint[name], how)
            except (BufferError, TypeError, RuntimeError, NotImplementedError) as error:
                report.refused[name] = reason_of(error)
            report.placed = sorted({*report.placed, str(tensor.device)})


def time_handover(report: Report, prefix: Path, device: Any, rounds: int) -> None:  # noqa: ANN401
    """Time handing over, and copying data already in memory."""
    entries = ckptfmt.open(prefix).entries
    buffers = {name: buffer(entry.nbytes, device) for name, entry in entries.items()}
    arrays = {
        name: viewed(each, entries[name].dtype.numpy, entries[name].shape) for name, each in buffers.items()
    }
    pageable = {name: torch.ones(entry.nbytes, dtype=torch.uint8) for name, entry in entries.items()}
    on_device = {
        name: torch.empty(entry.nbytes, dtype=torch.uint8, device=device) for name, entry in entries.items()
    }

    def copy(sources: dict[str, Any]) -> Callable[[], None]:
        def run() -> None:
            for name, source in sources.items():
                on_device[name].copy_(source, non_blocking=True)
            synchronize(device)

        return run

    def handed_by_dlpack() -> object:
        arrays = ckptfmt.open(prefix).read(copy=True)
        tensors = {name: torch.from_dlpack(array).to(device) for name, array in arrays.items()}
        synchronize(device)
        return tensors

    def read_then_copied() -> None:
        ckptfmt.open(prefix).read(out=arrays)
        copy(buffers)()

    def copied_as_read() -> None:
        with ckptfmt.open(prefix) as checkpoint:
            for name, array in arrays.items():
                checkpoint.read(out={name: array})
                on_device[name].copy_(buffers[name], non_blocking=True)
        synchronize(device)

    pinned = "pinned" if device.type == "cuda" else "plain"
    limits = {f"copy to the device, from {pinned} memory": copy(buffers)}
    if device.type == "cuda":
        limits["copy to the device, from pageable memory"] = copy(pageable)
    jobs: dict[str, Callable[[], object]] = {
        **limits,
        "ckptfmt: read, verified, as copies, DLPack, to the device": handed_by_dlpack,
        f"ckptfmt: read, verified, into {pinned} buffers, then copied": read_then_copied,
        f"ckptfmt: read, verified, into {pinned} buffers, copied as read": copied_as_read,
    }
    nbytes = sum(entry.nbytes for entry in entries.values())
    for what, seconds in alternate(jobs, rounds).items():
        report.timings.append(Timing(what, seconds, nbytes, is_limit=what in limits))


def main() -> None:
    folder, nbytes, rounds = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    name = torch.cuda.get_device_name() if device.type == "cuda" else "PyTorch sees no GPU"
    report = Report("torch", torch.__version__, f"{device.type} ({name})")
    kinds, bulk = write_handover(folder, nbytes)
    check_kinds(report, kinds, device)
    time_handover(report, bulk, device, rounds)
    print(report.to_json())


if __name__ == "__main__":
    main()
