"""Models: showing a SavedModel, freezing a model of TensorFlow 1, reading the constants of a frozen graph."""

from __future__ import annotations

import functools
import os
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.case import Case, Command, Job, Target


@functools.cache
def scratch_folder() -> tempfile.TemporaryDirectory[str]:
    """A folder that is removed when the process exits."""
    return tempfile.TemporaryDirectory()


def model_and_target(inputs: Path) -> tuple[Path, Path]:
    """The model, and the file to freeze it to, which does not exist yet."""
    target = Path(scratch_folder().name) / "frozen.pb"
    target.unlink(missing_ok=True)
    return inputs / "model" / "model", target


def ckptfmt_freeze(given: tuple[Path, Path]) -> object:
    import ckptfmt

    model, target = given
    with ckptfmt.open(model) as checkpoint:
        meta_graph = ckptfmt.read_meta_graph(f"{model}.meta")
        ckptfmt.freeze(meta_graph, checkpoint, ["out"]).write(target)
    return target


def tensorflow_freeze(given: tuple[Path, Path]) -> object:
    """Freeze in a session: import the meta graph, restore, convert variables to constants, write."""
    import tensorflow as tf

    v1 = tf.compat.v1
    model, target = given
    with tf.Graph().as_default(), v1.Session() as session:
        saver = v1.train.import_meta_graph(f"{model}.meta")
        saver.restore(session, str(model))
        definition = session.graph.as_graph_def()
        frozen = v1.graph_util.convert_variables_to_constants(session, definition, ["out"])
    target.write_bytes(frozen.SerializeToString())
    return target


def tensorflow_freeze_synced(given: tuple[Path, Path]) -> object:
    """Freeze in a session and sync the file to storage, as ckptfmt does."""
    tensorflow_freeze(given)
    descriptor = os.open(given[1], os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    return given[1]


def ckptfmt_freeze_only(given: tuple[Path, Path]) -> object:
    """Freeze without writing."""
    import ckptfmt

    model, _ = given
    with ckptfmt.open(model) as checkpoint:
        return ckptfmt.freeze(ckptfmt.read_meta_graph(f"{model}.meta"), checkpoint, ["out"])


def ckptfmt_constants(inputs: Path) -> object:
    import ckptfmt

    constants = ckptfmt.read_graph(inputs / "model" / "frozen.pb").constants
    return {name: constants[name] for name in constants}


def protobuf_parse(inputs: Path) -> object:
    """Only read and parse the file, with ckptfmt's compiled message class; make no arrays."""
    from ckptfmt.proto.messages import GraphDef

    return GraphDef.FromString((inputs / "model" / "frozen.pb").read_bytes())


def tensorflow_parse(inputs: Path) -> object:
    """The same with TensorFlow's message class; the protobuf library is the same."""
    from tensorflow.core.framework.graph_pb2 import GraphDef

    return GraphDef.FromString((inputs / "model" / "frozen.pb").read_bytes())


def tensorflow_constants(inputs: Path) -> object:
    import tensorflow as tf

    graph: Any = tensorflow_parse(inputs)
    return {
        node.name: tf.make_ndarray(node.attr["value"].tensor) for node in graph.node if node.op == "Const"
    }


CASES: dict[str, Case] = {
    "model: show a SavedModel": Case(
        ("saved_model",),
        {
            "ckptfmt": Command(
                lambda inputs: ["-m", "ckptfmt", "model", str(inputs / "saved_model" / "model")],
                needs="click",
            ),
            "saved_model_cli: show --all": Command(
                lambda inputs: [
                    *("-m", "tensorflow.python.tools.saved_model_cli", "show", "--all"),
                    *("--dir", str(inputs / "saved_model" / "model")),
                ]
            ),
        },
        (Target("times", 10, "saved_model_cli: show --all"),),
        note="Whole processes.",
    ),
    "model: freeze and write": Case(
        ("model",),
        {
            "ckptfmt": Job(ckptfmt_freeze, model_and_target),
            "ckptfmt: nothing written": Job(ckptfmt_freeze_only, model_and_target),
            "tensorflow: session": Job(tensorflow_freeze, model_and_target),
            "tensorflow: session, synced": Job(tensorflow_freeze_synced, model_and_target),
        },
        (
            Target("times", 3, "tensorflow: session"),
            Target("peak", 2.2, says="of the weights"),
            Target("growth", 2.2, says="of the weights"),
        ),
        note="Imports count for the peak, not for the time. ckptfmt syncs the file to storage.",
        rate=True,
    ),
    "model: read all constants of a frozen graph": Case(
        ("model",),
        {
            "ckptfmt": Job(ckptfmt_constants),
            "protobuf: parse only, ckptfmt's message class": Job(protobuf_parse),
            "tensorflow: parse only, its message class": Job(tensorflow_parse),
            "tensorflow: make_ndarray": Job(tensorflow_constants),
        },
        (
            Target(
                "times",
                1 / 1.2,
                "protobuf: parse only, ckptfmt's message class",
                "≤ 1.2 of the time",
            ),
        ),
        note="The target compares with a parse that makes no arrays. All use one protobuf library.",
        rate=True,
    ),
}
