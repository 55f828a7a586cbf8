"""Checkpoints converted to safetensors: a gigabyte, eight gigabytes in one file, and 100,000 small tensors.

They go to a temporary folder, so that ``TMPDIR`` says where, as for :mod:`benchmarks.cases.writing`. The
package safetensors leaves it to the system when its files reach the disk. ckptfmt does the same with
``sync=False``, and otherwise waits for the disk.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks.case import Case, Job, Target
from benchmarks.cases.large import DATA
from benchmarks.cases.models import scratch_folder

MIB = 1 << 20


class Given(NamedTuple):
    """What a job converts, and to where: nothing is there."""

    source: Path
    target: Path


def ready(name: str) -> Callable[[Path], Given]:
    """Return what removes the target of the run before."""

    def run(inputs: Path) -> Given:
        folder = Path(scratch_folder().name) / "converted"
        folder.mkdir(exist_ok=True)
        for path in folder.iterdir():
            path.unlink()
        return Given(inputs / name / "model", folder / "model.safetensors")

    return run


def ckptfmt_convert(given: Given, *, sync: bool = False, verify: bool = False) -> object:
    import ckptfmt

    return ckptfmt.convert(given.source, given.target, sync=sync, verify=verify)


def ckptfmt_convert_synced(given: Given) -> object:
    return ckptfmt_convert(given, sync=True)


def ckptfmt_convert_verified(given: Given) -> object:
    return ckptfmt_convert(given, verify=True)


def tensorflow_save_file(given: Given) -> object:
    """Read all tensors with TensorFlow, and write them with the package safetensors."""
    import tensorflow as tf
    from safetensors.numpy import save_file

    reader = tf.train.load_checkpoint(str(given.source))
    names = reader.get_variable_to_shape_map()
    save_file({name: np.ascontiguousarray(reader.get_tensor(name)) for name in names}, given.target)
    return given.target


def copy(given: Given) -> object:
    """Copy the data file by itself, which no conversion can be quicker than."""
    subprocess.run(["cp", given.source.with_name(Path(DATA).name), given.target], check=True)
    return given.target


def ckptfmt_reference(given: Given) -> object:
    """Write a reference file, by which zarr reads the data file in place."""
    import ckptfmt

    return ckptfmt.convert(given.source, given.target.with_name("model.kerchunk.json"), sync=False)


def jobs(name: str) -> dict[str, Job]:
    """Return the jobs on an input."""
    return {
        "ckptfmt": Job(ckptfmt_convert, ready(name)),
        "ckptfmt: synced": Job(ckptfmt_convert_synced, ready(name)),
        "ckptfmt: read back and compared": Job(ckptfmt_convert_verified, ready(name)),
        "tensorflow: and safetensors": Job(tensorflow_save_file, ready(name), is_slow=True),
        "python: cp of the data file": Job(copy, ready(name)),
    }


CASES: dict[str, Case] = {
    "convert: large tensors to safetensors": Case(
        ("large",),
        jobs("large"),
        (Target("times", 2, "tensorflow: and safetensors"), Target("private", 128 * MIB)),
        cold=False,
        rate=True,
        note="TensorFlow and safetensors hold all tensors in memory, once or twice.",
    ),
    "convert: huge tensors to one safetensors file": Case(
        ("huge",),
        {name: job for name, job in jobs("huge").items() if not name.startswith("tensorflow")},
        (Target("rate", 0.7, "python: cp of the data file"), Target("private", 128 * MIB)),
        cold=False,
        rate=True,
    ),
    "convert: many small tensors to safetensors": Case(
        ("many",),
        jobs("many"),
        (Target("times", 5, "tensorflow: and safetensors"),),
        cold=False,
    ),
    "convert: a million tensors to a reference file": Case(
        ("million",),
        {"ckptfmt": Job(ckptfmt_reference, ready("million"))},
        cold=False,
        note="No byte of a tensor is read.",
    ),
}
