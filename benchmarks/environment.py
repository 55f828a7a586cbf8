"""What the numbers depend on: machine, system and versions."""

from __future__ import annotations

import datetime
import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

PACKAGES = (
    *("ckptfmt", "tensorflow", "safetensors", "numpy", "protobuf", "crc32c", "ml_dtypes"),
    *("h5py", "tensorboard", "tbparse", "torch", "jax"),
)
QUIET = {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}
"""Makes TensorFlow say less and use the CPU."""


def quiet_environ(*, gpu: bool = False) -> dict[str, str]:
    """Return the environment of measured processes.

    Bytecode is cached even if this process runs without: an installed package has its modules compiled.
    """
    quiet = {key: value for key, value in QUIET.items() if not (gpu and key == "CUDA_VISIBLE_DEVICES")}
    return {key: value for key, value in (os.environ | quiet).items() if key != "PYTHONDONTWRITEBYTECODE"}


def versions() -> dict[str, str]:
    """Return the versions of those of :data:`PACKAGES` that are installed."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def environment(device: str = "CPU") -> dict[str, Any]:
    """Return what the numbers depend on, in the order in which it is shown."""
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
        "commit": _commit(),
        "processor": _processor(),
        "processors": os.cpu_count(),
        "memory_gib": _memory(),
        "device": device,
        "system": f"{platform.system()} {platform.release()}",
        "machine": platform.machine(),
        "python": platform.python_version(),
        "protobuf_backend": _protobuf_backend(),
        **versions(),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or "unknown"
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or "unknown")


def _memory() -> float | None:
    try:
        return round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / (1 << 30), 1)
    except (AttributeError, ValueError, OSError):
        return None


def _commit() -> str:
    command = ["git", "describe", "--always", "--dirty", "--exclude=*"]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=True, cwd=Path(__file__).parent, timeout=10
        )
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return done.stdout.strip()


def _protobuf_backend() -> str:
    from google.protobuf.internal import api_implementation

    return str(api_implementation.Type())
