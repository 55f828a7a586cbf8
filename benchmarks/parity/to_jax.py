"""JAX: arrays received from ckptfmt through DLPack and copies to the device, and read back.

``python -m benchmarks.parity.to_jax FOLDER BYTES ROUNDS`` prints a report as JSON.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np

import ckptfmt
from benchmarks.parity.result import Report, Timing, alternate, reason_of
from benchmarks.parity.values import write_handover
from ckptfmt.dtypes import Storage

REFUSALS = (BufferError, TypeError, ValueError, RuntimeError, NotImplementedError)


def by_dlpack(array: np.ndarray[Any, Any], device: Any) -> tuple[Any, str]:  # noqa: ANN401
    """The array on the device, and how: through DLPack to JAX's CPU backend, and from there to the device.

    NumPy cannot export every dtype, but always its bytes.
    """
    try:
        return jax.device_put(jax.dlpack.from_dlpack(array), device), "DLPack"
    except BufferError:
        size = array.dtype.itemsize
        data = array.reshape(-1).view(np.uint8).reshape((*array.shape, size) if size > 1 else array.shape)
        bits = jax.device_put(jax.dlpack.from_dlpack(data), device)
        return jax.lax.bitcast_convert_type(bits, array.dtype), "DLPack, as bytes"


def check_kinds(report: Report, prefix: Path, device: Any) -> None:  # noqa: ANN401
    """Compare every dtype that JAX has: copied to the device from the mapped file, and through DLPack."""
    with ckptfmt.open(prefix) as checkpoint:
        for name, ours in checkpoint.items():
            try:
                array = jax.device_put(ours, device)
                report.placed = sorted({*report.placed, *map(str, array.devices())})
                report.compare(name, np.asarray(array), ours, "device_put")
            except REFUSALS as error:
                report.refused[name] = reason_of(error)
                continue
            if checkpoint.entries[name].dtype.storage is Storage.LOW_BITS:
                report.refused[f"{name}, through DLPack"] = "JAX packs several values into a byte"
                continue
            try:
                array, how = by_dlpack(checkpoint.read([name], copy=True)[name], device)
                report.compare(name, np.asarray(array), ours, how)
            except REFUSALS as error:
                report.refused[f"{name}, through DLPack"] = reason_of(error)


def time_handover(report: Report, prefix: Path, device: Any, rounds: int) -> None:  # noqa: ANN401
    """Time handing over, and copying data already in memory."""
    ready = ckptfmt.open(prefix).read(copy=True)
    nbytes = sum(array.nbytes for array in ready.values())

    def put(arrays: dict[str, np.ndarray[Any, Any]]) -> object:
        # On the CPU JAX would adopt the memory if it could; a copy compares like with like.
        made = {name: jax.device_put(array, device, may_alias=False) for name, array in arrays.items()}
        return jax.block_until_ready(made)

    def dlpack() -> object:
        arrays = ckptfmt.open(prefix).read(copy=True)
        return jax.block_until_ready([by_dlpack(array, device)[0] for array in arrays.values()])

    limit = "copy to the device, from plain memory"
    jobs: dict[str, Callable[[], object]] = {
        limit: lambda: put(ready),
        "ckptfmt: read, verified, as views, device_put": lambda: put(ckptfmt.open(prefix).read()),
        "ckptfmt: read, verified, as copies, DLPack, to the device": dlpack,
    }
    for what, seconds in alternate(jobs, rounds).items():
        report.timings.append(Timing(what, seconds, nbytes, is_limit=what == limit))


def main() -> None:
    folder, nbytes, rounds = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    jax.config.update("jax_enable_x64", True)
    (device, *_) = jax.devices()
    name = device.device_kind if device.platform != "cpu" else "JAX sees no GPU"
    report = Report("jax", jax.__version__, f"{device.platform} ({name})")
    kinds, bulk = write_handover(folder, nbytes)
    check_kinds(report, kinds, device)
    time_handover(report, bulk, device, rounds)
    print(report.to_json())


if __name__ == "__main__":
    main()
