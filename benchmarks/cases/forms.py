"""Other forms of checkpoints: strings, partitioned variables, V1, object graphs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from benchmarks.case import Case, Job, Target
from benchmarks.cases.large import ckptfmt_read, tensorflow_read


def ckptfmt_row(name: str) -> Callable[[Path], object]:
    def run(inputs: Path) -> object:
        import ckptfmt

        reader = ckptfmt.open(inputs / name / "model").slice("embedding")
        return reader[reader.shape[0] // 2]

    return run


def ckptfmt_v1(inputs: Path) -> object:
    import ckptfmt

    return ckptfmt.open(inputs / "v1" / "model.ckpt").read()


def tensorflow_v1(inputs: Path) -> object:
    import tensorflow as tf

    reader = tf.train.load_checkpoint(str(inputs / "v1" / "model.ckpt"))
    return [reader.get_tensor(name) for name in reader.get_variable_to_shape_map()]


def ckptfmt_tree(inputs: Path) -> object:
    import ckptfmt

    graph = ckptfmt.open(inputs / "objects" / "model").object_graph
    assert graph is not None
    return [node.id for node in graph]


def tensorflow_tree(inputs: Path) -> object:
    import tensorflow as tf

    return tf.train.CheckpointView(str(inputs / "objects" / "model")).descendants()


CASES: dict[str, Case] = {
    "strings: open and read a string tensor": Case(
        ("strings",),
        {"ckptfmt": Job(ckptfmt_read("strings")), "tensorflow: get_tensor": Job(tensorflow_read("strings"))},
    ),
    "sliced: open and read a partitioned variable": Case(
        ("sliced",),
        {"ckptfmt": Job(ckptfmt_read("sliced")), "tensorflow: get_tensor": Job(tensorflow_read("sliced"))},
        rate=True,
    ),
    "partitions: open and read one row": Case(
        ("partitions", "few_partitions"),
        {
            "ckptfmt": Job(ckptfmt_row("partitions")),
            "ckptfmt: of a hundredth of the parts": Job(
                ckptfmt_row("few_partitions"), input="few_partitions"
            ),
            "tensorflow: get_tensor, whole": Job(tensorflow_read("partitions")),
        },
        note="A variable in 2,000 partitions of 16 rows, and the same variable in 20.",
    ),
    "partitions: open and read the whole variable": Case(
        ("partitions",),
        {
            "ckptfmt": Job(ckptfmt_read("partitions")),
            "tensorflow: get_tensor": Job(tensorflow_read("partitions")),
        },
        (Target("times", 1, "tensorflow: get_tensor"),),
        rate=True,
    ),
    "v1: open and read all": Case(
        ("v1",), {"ckptfmt": Job(ckptfmt_v1), "tensorflow: get_tensor": Job(tensorflow_v1)}
    ),
    "objects: open and build the tree": Case(
        ("objects",), {"ckptfmt": Job(ckptfmt_tree), "tensorflow: CheckpointView": Job(tensorflow_tree)}
    ),
}
