"""Large tensors: 16 of them, 1 GiB and 8 GiB in all at full size."""

from __future__ import annotations

import mmap
import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from itertools import repeat
from pathlib import Path
from typing import Any, TypeAlias

from benchmarks.case import Case, Job, Target

Buffers: TypeAlias = "tuple[Path, dict[str, Any]]"

DATA = "model.data-00000-of-00001"
PIECE = 1 << 26
"""Bytes of the pieces that threads take in turn to checksum the mapped file, 64 MiB."""


# --- ckptfmt ------------------------------------------------------------------------------------------------


def ckptfmt_read(name: str = "large", **options: Any) -> Callable[[Path], object]:  # noqa: ANN401
    """Open an input and read all of it."""

    def run(inputs: Path) -> object:
        import ckptfmt

        return ckptfmt.open(inputs / name / "model").read(**options)

    return run


def ckptfmt_read_one(inputs: Path) -> object:
    import ckptfmt

    return ckptfmt.open(inputs / "large" / "model")[_one(inputs)]


def ckptfmt_verify(name: str) -> Callable[[Path], object]:
    def run(inputs: Path) -> object:
        import ckptfmt

        report = ckptfmt.open(inputs / name / "model").verify()
        assert report.ok
        return report

    return run


def ckptfmt_iterate(inputs: Path) -> object:
    """Read every tensor, and release it before the next."""
    import ckptfmt

    total = 0
    for array in ckptfmt.open(inputs / "huge" / "model").values():
        total += array.nbytes
    return total


def ckptfmt_into(buffers: Buffers) -> object:
    import ckptfmt

    inputs, out = buffers
    return ckptfmt.open(inputs / "large" / "model").read(out=out)


def warm_buffers(inputs: Path) -> Buffers:
    """Arrays of the tensors' shapes and dtypes, whose memory the system has already provided."""
    import numpy as np

    import ckptfmt

    entries = ckptfmt.open(inputs / "large" / "model").entries
    return inputs, {name: np.ones(entry.shape, entry.dtype.numpy) for name, entry in entries.items()}


# --- TensorFlow ---------------------------------------------------------------------------------------------


def tensorflow_read(name: str = "large") -> Callable[[Path], object]:
    def run(inputs: Path) -> object:
        import tensorflow as tf

        reader = tf.train.load_checkpoint(str(inputs / name / "model"))
        return [reader.get_tensor(key) for key in reader.get_variable_to_shape_map()]

    return run


def tensorflow_read_in_order(name: str = "large") -> Callable[[Path], object]:
    """Read all tensors in the order of their names, which is that of the file."""

    def run(inputs: Path) -> object:
        import tensorflow as tf

        reader = tf.train.load_checkpoint(str(inputs / name / "model"))
        return {key: reader.get_tensor(key) for key in sorted(reader.get_variable_to_shape_map())}

    return run


def tensorflow_iterate(inputs: Path) -> object:
    import tensorflow as tf

    reader = tf.train.load_checkpoint(str(inputs / "huge" / "model"))
    return sum(reader.get_tensor(name).nbytes for name in reader.get_variable_to_shape_map())


def tensorflow_read_one(inputs: Path) -> object:
    import tensorflow as tf

    return tf.train.load_checkpoint(str(inputs / "large" / "model")).get_tensor(_one(inputs))


def restoring_session(name: str = "large") -> Callable[[Path], Any]:
    """A session with a RestoreV2 op for all tensors, not yet run."""

    def ready(inputs: Path) -> object:
        import tensorflow as tf

        prefix = str(inputs / name / "model")
        dtypes = tf.train.load_checkpoint(prefix).get_variable_to_dtype_map()
        with tf.Graph().as_default() as graph:
            tensors = tf.raw_ops.RestoreV2(
                prefix=prefix,
                tensor_names=list(dtypes),
                shape_and_slices=[""] * len(dtypes),
                dtypes=list(dtypes.values()),
            )
            return tf.compat.v1.Session(graph=graph), list(tensors)

    return ready


def run_session(given: tuple[Any, list[Any]]) -> object:
    session, tensors = given
    return session.run(tensors)


# --- safetensors, which has no checksums, and NumPy ---------------------------------------------------------


def safetensors_safe_open(inputs: Path) -> object:
    from safetensors import safe_open

    with safe_open(inputs / "large" / "model.safetensors", "numpy") as file:
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118


def safetensors_load_file(inputs: Path) -> object:
    from safetensors.numpy import load_file

    return load_file(inputs / "large" / "model.safetensors")


def safetensors_read_one(inputs: Path) -> object:
    from safetensors import safe_open

    with safe_open(inputs / "large" / "model.safetensors", "numpy") as file:
        return file.get_tensor(_one(inputs))


def numpy_map(inputs: Path) -> object:
    import numpy as np

    return [np.load(path, mmap_mode="r") for path in _npy(inputs)]


def numpy_load(inputs: Path) -> object:
    import numpy as np

    return [np.load(path) for path in _npy(inputs)]


def numpy_load_one(inputs: Path) -> object:
    import numpy as np

    return np.load(inputs / "large" / "npy" / f"{_one(inputs)}.npy")


# --- the limits ---------------------------------------------------------------------------------------------


def crc_of_mapped_file(threads: int, name: str = "large", data: str = DATA) -> Callable[[Path], object]:
    """Map a data file and compute its CRC-32C, in pieces that threads take in turn."""

    def run(inputs: Path) -> object:
        from crc32c import crc32c

        with (inputs / name / data).open("rb") as file:
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        view = memoryview(mapped)
        pieces = [view[start : start + PIECE] for start in range(0, len(view), PIECE)]
        if threads == 1:
            return list(map(crc32c, pieces))
        with ThreadPoolExecutor(threads) as pool:
            return list(pool.map(crc32c, pieces))

    return run


def map_file(inputs: Path) -> Any:  # noqa: ANN401
    """The data file as a mapped array, with every page touched."""
    import numpy as np

    mapped = np.memmap(inputs / "large" / DATA, np.uint8, "r")
    mapped[:: mmap.PAGESIZE].max()
    return mapped


def memcpy(mapped: Any) -> object:  # noqa: ANN401
    """Copy mapped bytes into fresh memory, one tensor's size at a time, with one thread."""
    import numpy as np

    step = max(1, len(mapped) // 16)
    return [np.array(mapped[start : start + step]) for start in range(0, len(mapped), step)]


def memcpy_threads(mapped: Any) -> object:  # noqa: ANN401
    """The same with a thread for each processor."""
    import numpy as np

    step = max(1, len(mapped) // 16)
    parts = [mapped[start : start + step] for start in range(0, len(mapped), step)]
    with ThreadPoolExecutor(processors()) as pool:
        return list(pool.map(np.array, parts))


def readinto(buffers: Buffers) -> object:
    """Read the data file into the buffers in order, with one thread."""
    inputs, out = buffers
    with (inputs / "large" / DATA).open("rb", buffering=0) as file:
        _fill(file.readinto, out.values())
    return out


def readinto_threads(buffers: Buffers) -> object:
    """The same with a thread for each processor, each reading at its own offset."""
    inputs, out = buffers
    arrays = list(out.values())
    descriptor = os.open(inputs / "large" / DATA, os.O_RDONLY)
    try:
        with ThreadPoolExecutor(processors()) as pool:
            sizes = [array.nbytes for array in arrays]
            starts = [sum(sizes[:i]) for i in range(len(sizes))]
            list(pool.map(_fill_at, repeat(descriptor), arrays, starts))
    finally:
        os.close(descriptor)
    return out


def _fill(read: Callable[[memoryview], int], arrays: Iterable[Any]) -> None:
    for array in arrays:
        left = memoryview(array).cast("B")
        while left:
            left = left[read(left) :]


def _fill_at(descriptor: int, array: Any, start: int) -> None:  # noqa: ANN401
    left = memoryview(array).cast("B")
    while left:
        count = os.preadv(descriptor, [left], start)
        start += count
        left = left[count:]


def processors() -> int:
    """The number of processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _npy(inputs: Path) -> list[Path]:
    return sorted((inputs / "large" / "npy").iterdir())


def _one(inputs: Path) -> str:
    """The name of a tensor in the middle, for the jobs that read only one."""
    names = [path.stem for path in _npy(inputs)]
    return names[len(names) // 2]


# --- the table ----------------------------------------------------------------------------------------------

CASES: dict[str, Case] = {
    "large: read all, verified, as views": Case(
        ("large",),
        {
            "ckptfmt": Job(ckptfmt_read()),
            "ckptfmt: one thread": Job(ckptfmt_read(threads=1)),
            "tensorflow: get_tensor": Job(tensorflow_read()),
            "tensorflow: RestoreV2 in a session": Job(run_session, restoring_session()),
            "safetensors: safe_open": Job(safetensors_safe_open),
            "safetensors: load_file": Job(safetensors_load_file),
            "numpy: np.load(mmap_mode)": Job(numpy_map),
            "crc32c: mapped file, all threads": Job(crc_of_mapped_file(processors())),
            "crc32c: mapped file, one thread": Job(crc_of_mapped_file(1)),
        },
        (
            Target("times", 9, "tensorflow: get_tensor"),
            Target("times", 9, "safetensors: safe_open"),
            Target("times", 0.8, "crc32c: mapped file, all threads"),
        ),
        note="safetensors and np.load verify nothing; np.load(mmap_mode) touches no value.",
        rate=True,
    ),
    "large: read all, verified, as copies": Case(
        ("large",),
        {
            "ckptfmt": Job(ckptfmt_read(copy=True)),
            "tensorflow: get_tensor": Job(tensorflow_read()),
            "safetensors: load_file": Job(safetensors_load_file),
            "numpy: np.load": Job(numpy_load),
            "numpy: memcpy into fresh memory": Job(memcpy, map_file),
            "numpy: memcpy into fresh memory, all threads": Job(memcpy_threads, map_file),
        },
        (
            Target("times", 1.6, "tensorflow: get_tensor"),
            Target("times", 0.85, "numpy: memcpy into fresh memory"),
        ),
        note="Every copy owns memory that is fresh from the system.",
        rate=True,
    ),
    "large: read all, verified, into warm buffers": Case(
        ("large",),
        {
            "ckptfmt": Job(ckptfmt_into, warm_buffers),
            "python: readinto": Job(readinto, warm_buffers),
            **(
                {"python: preadv, all threads": Job(readinto_threads, warm_buffers)}
                if hasattr(os, "preadv")
                else {}
            ),
        },
        (Target("times", 0.8, "python: readinto"),),
        note="The buffers belong to the caller, and their memory has been provided already.",
        rate=True,
    ),
    "large: open and read one tensor": Case(
        ("large",),
        {
            "ckptfmt": Job(ckptfmt_read_one),
            "tensorflow: get_tensor": Job(tensorflow_read_one),
            "safetensors: safe_open": Job(safetensors_read_one),
            "numpy: np.load": Job(numpy_load_one),
        },
    ),
    "large: verify": Case(
        ("large",),
        {
            "ckptfmt": Job(ckptfmt_verify("large")),
            "crc32c: mapped file, all threads": Job(crc_of_mapped_file(processors())),
            "tensorflow: get_tensor": Job(tensorflow_read()),
        },
        (Target("private", 64 << 20),),
        note="TensorFlow can verify only by reading everything.",
        rate=True,
    ),
    "huge: verify": Case(
        ("huge", "large"),
        {
            "ckptfmt": Job(ckptfmt_verify("huge")),
            "ckptfmt: the large one": Job(ckptfmt_verify("large"), input="large"),
            "crc32c: mapped file, all threads": Job(crc_of_mapped_file(processors(), "huge")),
        },
        (
            Target("private", 64 << 20),
            Target("rate", 0.8, "ckptfmt: the large one", "rate within 20 %"),
        ),
        rate=True,
    ),
    "huge: read one tensor after the other, verified, and keep none": Case(
        ("huge",),
        {"ckptfmt": Job(ckptfmt_iterate), "tensorflow: get_tensor": Job(tensorflow_iterate)},
        rate=True,
    ),
}
