"""Parts of tensors: 10 rows of an embedding, of 4 GiB at full size, and of a partitioned variable."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from benchmarks.case import Case, Job, Target
from benchmarks.layout import COLUMNS

ROWS = 10


def ckptfmt_rows(name: str) -> Callable[[Path], object]:
    """Read ten adjacent rows from the middle."""

    def run(inputs: Path) -> object:
        import ckptfmt

        reader = ckptfmt.open(inputs / name / "model").slice("embedding")
        start = len(reader) // 2
        return reader[start : start + ROWS] + 0  # read the rows, not only map them

    return run


def ckptfmt_scattered(inputs: Path) -> object:
    """Read ten rows that are far apart."""
    import ckptfmt

    reader = ckptfmt.open(inputs / "embedding" / "model").slice("embedding")
    return reader[_scattered(len(reader))]


def ckptfmt_whole(name: str) -> Callable[[Path], object]:
    """Read and verify the whole tensor, then take the ten rows."""

    def run(inputs: Path) -> object:
        import ckptfmt

        array = ckptfmt.open(inputs / name / "model")["embedding"]
        start = len(array) // 2
        return array[start : start + ROWS] + 0

    return run


def tensorflow_whole(name: str) -> Callable[[Path], object]:
    def run(inputs: Path) -> object:
        import tensorflow as tf

        array = tf.train.load_checkpoint(str(inputs / name / "model")).get_tensor("embedding")
        start = len(array) // 2
        return array[start : start + ROWS].copy()

    return run


def tensorflow_restore_rows(inputs: Path) -> object:
    """Restore ten rows with RestoreV2, which takes a slice specification."""
    import tensorflow as tf

    rows = _rows(inputs)
    (tensor,) = tf.raw_ops.RestoreV2(
        prefix=str(inputs / "embedding" / "model"),
        tensor_names=["embedding"],
        shape_and_slices=[f"{rows} {COLUMNS} {rows // 2},{ROWS}:-"],
        dtypes=[tf.float32],
    )
    return tensor.numpy()


def safetensors_rows(inputs: Path) -> object:
    from safetensors import safe_open

    with safe_open(inputs / "embedding" / "model.safetensors", "numpy") as file:
        part = file.get_slice("embedding")
        start = part.get_shape()[0] // 2
        return part[start : start + ROWS]


def numpy_rows(inputs: Path) -> object:
    import numpy as np

    array = np.load(inputs / "embedding" / "npy" / "embedding.npy", mmap_mode="r")
    start = len(array) // 2
    return np.array(array[start : start + ROWS])


def numpy_scattered(inputs: Path) -> object:
    import numpy as np

    array = np.load(inputs / "embedding" / "npy" / "embedding.npy", mmap_mode="r")
    return array[_scattered(len(array))]


def _rows(inputs: Path) -> int:
    return (inputs / "embedding" / "model.data-00000-of-00001").stat().st_size // (4 * COLUMNS)


def _scattered(count: int) -> list[int]:
    return [i * count // ROWS + 7 for i in range(ROWS)]


CASES: dict[str, Case] = {
    "embedding: open and read 10 rows": Case(
        ("embedding",),
        {
            "ckptfmt": Job(ckptfmt_rows("embedding")),
            "ckptfmt: whole, verified": Job(ckptfmt_whole("embedding")),
            "tensorflow: get_tensor, whole": Job(tensorflow_whole("embedding")),
            "tensorflow: RestoreV2 of the rows": Job(tensorflow_restore_rows),
            "safetensors: get_slice": Job(safetensors_rows),
            "numpy: np.load(mmap_mode)": Job(numpy_rows),
        },
        (Target("times", 1000, "ckptfmt: whole, verified"), Target("read", 1 << 20)),
        note="The checksum covers the whole tensor, so no library verifies the rows alone.",
    ),
    "embedding: open and read 10 rows that lie apart": Case(
        ("embedding",),
        {"ckptfmt": Job(ckptfmt_scattered), "numpy: np.load(mmap_mode)": Job(numpy_scattered)},
        (Target("read", 1 << 20),),
    ),
    "sliced: open and read 10 rows": Case(
        ("sliced",),
        {
            "ckptfmt": Job(ckptfmt_rows("sliced")),
            "ckptfmt: whole, verified": Job(ckptfmt_whole("sliced")),
            "tensorflow: get_tensor, whole": Job(tensorflow_whole("sliced")),
        },
    ),
}
