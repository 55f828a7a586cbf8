"""Memory while large tensors are converted: a few pieces, whatever the size and the source."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import ckptfmt

SIZE = 256 << 20
"""Bytes of the tensor."""

BOUND = 100 << 20
"""Memory of its own that a conversion may take, once everything is imported."""

PROGRAM = """
import json, sys, numpy as np
import ckptfmt
from benchmarks.memory import Sampler
ckptfmt.convert({"w": np.ones(3, np.float32)}, sys.argv[2] + ".warm.safetensors", cast="float16")
options = json.loads(sys.argv[3])
backend = options.pop("backend", "mmap")
plan = options.pop("plan", None)
if plan is not None:
    options["plan"] = ckptfmt.Plan.parse(plan)
with ckptfmt.open(sys.argv[1], backend=backend) as ckpt, Sampler() as sampler:
    ckptfmt.convert(ckpt, sys.argv[2], sync=False, **options)
print(sampler.dirty)
"""

PLAN = "version = 1\n[[step]]\n"

CASES: dict[str, dict[str, object]] = {
    "copied": {},
    "copied without a map": {"backend": "pread"},
    "in slices": {"source": "axis 0"},
    "in slices of columns": {"source": "axis 1"},
    "in slices of columns, without a map": {"source": "axis 1", "backend": "pread"},
    "read without a map": {"backend": "pread", "cast": "float16"},
    "cast": {"cast": "bfloat16"},
    "transposed": {"plan": PLAN + "transpose = 'w'\n"},
    "reshaped": {"plan": PLAN + "reshape = 'w'\nshape = [-1]\n"},
    "verified": {"verify": True},
    "in shards": {"max_shard_bytes": 1 << 20},
    "resumed": {"resume": True, "cast": "float16"},
}


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Checkpoints of one tensor: whole, and in slices of each axis."""
    folder = tmp_path_factory.mktemp("large")
    zeros = np.zeros((1 << 13, SIZE >> 15), np.float32)  # whose pages the system makes when they are read
    # Synced: pages of a mapped file that are not on the disk yet count as memory of the process.
    ckptfmt.save(folder / "whole", {"w": zeros})
    for axis in (0, 1):
        with ckptfmt.CheckpointWriter(folder / f"axis {axis}") as writer:
            half = zeros.shape[axis] // 2
            for start in (0, half):
                extents = [(0, -1), (0, -1)]
                extents[axis] = (start, half)
                part = zeros[:half] if axis == 0 else zeros[:, :half]
                writer.add_slice("w", zeros.shape, ckptfmt.types.TensorSlice(tuple(extents)), part)
    return folder


@pytest.mark.skipif(sys.platform != "linux", reason="private memory is measured as Linux reports it")
@pytest.mark.parametrize("name", CASES)
def test_memory_stays_within_a_few_pieces(sources: Path, tmp_path: Path, name: str) -> None:
    options = dict(CASES[name])
    source = sources / str(options.pop("source", "whole"))
    arguments = [str(source), str(tmp_path / "new.safetensors"), json.dumps(options)]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < BOUND
    shutil.rmtree(tmp_path)
