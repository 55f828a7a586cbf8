"""Writing checkpoints: a gigabyte in 16 tensors, and 100,000 small tensors.

They go to a temporary folder, so that ``TMPDIR`` says where: on a disk, or in memory, as ``/dev/shm`` is.
TensorFlow leaves it to the system when its files reach the disk. ckptfmt does the same with ``sync=False``,
and otherwise waits for the disk.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.case import Case, Job, Target
from benchmarks.cases.large import DATA
from benchmarks.cases.models import scratch_folder
from benchmarks.layout import many_names

EQUAL_TENSORS = 16
"""Tensors of the input ``large``."""

SMALL_SHAPE = (4, 4)
"""Shape of the tensors of the input ``many``."""


class Given(NamedTuple):
    """What a job writes, and where: nothing is there."""

    prefix: Path
    values: Any
    """Arrays by name, or what holds them in TensorFlow."""


@functools.cache
def arrays(inputs: Path, name: str) -> dict[str, np.ndarray[Any, Any]]:
    """Return the tensors of an input, each with memory of its own, without any library that is measured."""
    stored = np.fromfile(inputs / name / DATA, np.float32)
    if name == "large":
        return {f"w{i:02d}": row.copy() for i, row in enumerate(stored.reshape(EQUAL_TENSORS, -1))}
    rows = stored.reshape(-1, *SMALL_SHAPE)
    return {name: row.copy() for name, row in zip(many_names(len(rows)), rows, strict=True)}


def ready(name: str, make: Callable[[dict[str, Any]], object] = dict) -> Callable[[Path], Given]:
    """Return what removes the files of the run before, and makes the values once."""
    made = functools.cache(lambda inputs: make(arrays(inputs, name)))

    def run(inputs: Path) -> Given:
        folder = Path(scratch_folder().name) / "written"
        folder.mkdir(exist_ok=True)
        for path in folder.iterdir():
            path.unlink()
        return Given(folder / "model", made(inputs))

    return run


# --- ckptfmt ------------------------------------------------------------------------------------------------


def ckptfmt_write(given: Given, *, sync: bool = False) -> object:
    """Write a dictionary of arrays."""
    import ckptfmt

    with ckptfmt.CheckpointWriter(given.prefix, sync=sync) as writer:
        writer.add_all(given.values)
    return given.prefix


def ckptfmt_write_synced(given: Given) -> object:
    return ckptfmt_write(given, sync=True)


def ckptfmt_add(given: Given) -> object:
    """Write tensor by tensor."""
    import ckptfmt

    with ckptfmt.CheckpointWriter(given.prefix, sync=False) as writer:
        for name, array in given.values.items():
            writer.add(name, array)
    return given.prefix


# --- peers --------------------------------------------------------------------------------------------------


def as_tensors(values: dict[str, Any]) -> object:
    import tensorflow as tf

    return {name: tf.constant(array) for name, array in values.items()}


def as_checkpoint(values: dict[str, Any]) -> object:
    import tensorflow as tf

    return tf.train.Checkpoint(**{name: tf.Variable(array) for name, array in values.items()})


def as_session(values: dict[str, Any]) -> object:
    """Return a session with variables, and a saver that has saved them once, which builds what it needs."""
    import tensorflow as tf

    v1 = tf.compat.v1
    with tf.Graph().as_default():
        variables = [
            v1.get_variable(name, array.shape, initializer=v1.zeros_initializer())
            for name, array in values.items()
        ]
        session = v1.Session()
        for variable, array in zip(variables, values.values(), strict=True):
            variable.load(array, session)
        return session, v1.train.Saver(variables)


def tensorflow_save_v2(given: Given) -> object:
    """Write tensors that exist already by the op itself."""
    import tensorflow as tf

    names = list(given.values)
    tf.raw_ops.SaveV2(
        prefix=str(given.prefix),
        tensor_names=names,
        shape_and_slices=[""] * len(names),
        tensors=list(given.values.values()),
    )
    return given.prefix


def tensorflow_checkpoint(given: Given) -> object:
    return given.values.write(str(given.prefix))


def tensorflow_saver(given: Given) -> object:
    session, saver = given.values
    with session.graph.as_default():
        return saver.save(session, str(given.prefix), write_meta_graph=False, write_state=False)


def plain_write(given: Given) -> object:
    """Write the bytes of all arrays to one file, and compute their checksums: what cannot be saved."""
    from crc32c import crc32c

    crcs = []
    with Path(f"{given.prefix}.bytes").open("wb") as file:
        for array in given.values.values():
            data = array.reshape(-1).view(np.uint8).data
            crcs.append(crc32c(data))
            file.write(data)
    return crcs


CASES: dict[str, Case] = {
    "write: large tensors": Case(
        ("large",),
        {
            "ckptfmt": Job(ckptfmt_write, ready("large")),
            "ckptfmt: synced": Job(ckptfmt_write_synced, ready("large")),
            "tensorflow: SaveV2, eager": Job(tensorflow_save_v2, ready("large", as_tensors)),
            "tensorflow: Saver in a session": Job(tensorflow_saver, ready("large", as_session)),
            "tensorflow: Checkpoint.write": Job(tensorflow_checkpoint, ready("large", as_checkpoint)),
            "crc32c: and a plain write": Job(plain_write, ready("large")),
        },
        (
            Target("times", 1.5, "tensorflow: Saver in a session"),
            Target("times", 0.8, "crc32c: and a plain write"),
        ),
        cold=False,
        rate=True,
    ),
    "write: many small tensors": Case(
        ("many",),
        {
            "ckptfmt": Job(ckptfmt_write, ready("many")),
            "ckptfmt: synced": Job(ckptfmt_write_synced, ready("many")),
            "ckptfmt: one by one": Job(ckptfmt_add, ready("many")),
            "tensorflow: SaveV2, eager": Job(tensorflow_save_v2, ready("many", as_tensors)),
            "crc32c: and a plain write": Job(plain_write, ready("many")),
        },
        (Target("times", 3, "tensorflow: SaveV2, eager"),),
        cold=False,
        note="`tf.train.Checkpoint.write`, which people use, takes 40 times as long as SaveV2 alone.",
    ),
}
