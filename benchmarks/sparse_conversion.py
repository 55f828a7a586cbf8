"""``python -m benchmarks.sparse_conversion``: what memory conversions of a large checkpoint take.

The checkpoint has float32 matrices of zeros, of 64 MiB each. Its data file is sparse, so it takes no room on
the disk, but every byte of it is read and verified. It is converted as it is, cast, and transposed.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.environment import environment
from benchmarks.memory import Sampler
from benchmarks.report import environment_text, mib_text, table

SIDE = 4096
"""Rows and columns of a matrix."""

CONVERSIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "safetensors": ("model.safetensors", {}),
    "safetensors, cast to bfloat16": ("model.safetensors", {"cast": "bfloat16"}),
    "zarr, transposed, compressed": ("model.zarr", {"plan": "transposed.toml", "compression": "zstd"}),
}
"""The target, and the options."""


def write_source(prefix: Path, nbytes: int) -> None:
    """Write the checkpoint, and give back the blocks of its data file that are zeros."""
    import numpy as np

    import ckptfmt

    zeros = np.zeros((SIDE, SIDE), np.float32)
    with ckptfmt.CheckpointWriter(prefix, sync=False) as writer:
        for number in range(nbytes // zeros.nbytes):
            writer.add(f"layer_{number}/kernel", zeros)
    for path in prefix.parent.glob("*.data-*"):
        subprocess.run(["fallocate", "--dig-holes", path], check=True)


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bytes", type=int, default=20 << 30, help="bytes of the checkpoint (20 GiB)")
    parser.add_argument("--folder", type=Path, help="where to write, instead of a temporary folder")
    options = parser.parse_args()
    import ckptfmt

    rows = []
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        plan = folder / "transposed.toml"
        plan.write_text("version = 1\n\n[[step]]\ntranspose = 'kernel'\n")
        write_source(folder / "old" / "model", options.bytes)
        for what, (target, given) in CONVERSIONS.items():
            chosen = {key: str(plan) if key == "plan" else value for key, value in given.items()}
            with Sampler() as sampler:
                start = time.perf_counter()
                done = ckptfmt.convert(
                    folder / "old" / "model", folder / "new" / target, sync=False, **chosen
                )
                seconds = time.perf_counter() - start
            rows.append((what, mib_text(done.nbytes), f"{seconds:.1f}", mib_text(sampler.private or 0)))
            sys.stderr.write(f"{' '.join(rows[-1])}\n")
            shutil.rmtree(folder / "new")
    sys.stdout.write(environment_text(environment()) + "\n\n")
    head = ("target", "MiB of tensors", "seconds", "private MiB")
    sys.stdout.write(table(head, (":--", "--:", "--:", "--:"), rows) + "\n")


if __name__ == "__main__":
    main()
