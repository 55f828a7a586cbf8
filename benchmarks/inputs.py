"""Seeded inputs: ``python -m benchmarks.inputs FOLDER SIZE NAME ...`` writes those that do not exist yet.

Every input is a folder with the same bytes every time. Most are written without TensorFlow, so that the
benchmarks run where it is not installed; the others name it in ``Input.needs``.
"""

from __future__ import annotations

import json
import sys
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from benchmarks.bundle import BundleWriter, shard_paths, sync, write_npy, write_safetensors
from benchmarks.case import missing_module
from benchmarks.layout import COLUMNS, EVENTS, INPUT_FILE, LOGS, RECORDS, many_names

SEED = 2026
PIECE = 1 << 22
"""Values in each piece of a large tensor, 16 MiB: large tensors are never in memory as a whole."""
EQUAL_TENSORS = 16
"""Tensors of inputs that are given by their bytes."""
PARTS = 8
"""Parts of the partitioned variable."""


@dataclass(frozen=True)
class Sizes:
    """How large the inputs are."""

    large_tensors: int
    large_values: int
    """float32 values of each tensor of ``large``."""
    huge_bytes: int
    embedding_bytes: int
    many: int
    """Tensors of ``many``, of 16 float32 values each."""
    million: int
    """Tensors of ``million``, of the same size."""
    strings: int
    """Elements of the string tensor."""
    sliced_bytes: int
    v1_tensors: int
    checkpoints: int
    """Checkpoints of ``training``."""
    model_layers: int
    """Layers of the models that are frozen and shown."""
    model_width: int
    scalars: int
    """Scalars of ``scalars``, of 10 tags."""
    million_scalars: int
    """Scalars of ``million_scalars``, of the same tags."""
    tags: int
    """Tags of ``tags``, of 20 scalars each."""
    runs: int
    """Runs of ``runs``, of 500 scalars each."""
    records: int
    """Records of ``records``, of 1 MiB each."""
    partitions: int
    """Partitions of the variable of ``partitions``, of 16 rows each."""


SIZES = {
    "tiny": Sizes(
        *(4, 1 << 12, 1 << 18, 1 << 18, 300, 1_000, 200, 1 << 16, 20, 4, 3, 16),
        *(200, 1_000, 5, 2, 1, 40),
    ),
    "small": Sizes(
        *(16, 1 << 20, 1 << 28, 1 << 28, 10_000, 100_000, 20_000, 1 << 25, 1_000, 100, 10, 500),
        *(20_000, 100_000, 1_000, 20, 128, 200),
    ),
    "full": Sizes(
        *(16, 1 << 24, 1 << 33, 1 << 32, 100_000, 1_000_000, 200_000, 1 << 28, 10_000, 1_000, 25, 1000),
        *(20_000, 1_000_000, 10_000, 200, 1_024, 2_000),
    ),
}
"""tiny: seconds, to see that everything runs; small: a minute or two; full: the size that targets are for."""

Writer: TypeAlias = Callable[[Path, Sizes, np.random.Generator], int]
"""Writes an input to a folder; returns the bytes of its tensors, records, or columns of scalars."""


@dataclass(frozen=True)
class Input:
    """How to write an input."""

    write: Writer
    needs: tuple[str, ...] = ()
    """Modules without which it cannot be written."""


def values(rng: np.random.Generator, count: int) -> Iterator[np.ndarray[Any, Any]]:
    """Yield ``count`` float32 values in pieces that differ from each other; only the first is drawn."""
    first = rng.standard_normal(min(count, PIECE), dtype=np.float32)
    for number, start in enumerate(range(0, count, PIECE)):
        yield first[: count - start] + np.float32(number)


def write_equal_tensors(
    prefix: Path, number: int, count: int, rng: np.random.Generator, num_shards: int = 1
) -> BundleWriter:
    """Write a checkpoint of ``number`` tensors of ``count`` float32 values each."""
    with BundleWriter(prefix, num_shards) as writer:
        for i in range(number):
            writer.add_pieces(f"tensor_{i:02d}", np.dtype("float32"), (count,), values(rng, count))
    return writer


def _for_other_libraries(folder: Path, writer: BundleWriter) -> None:
    """Write the checkpoint ``folder/model`` as a safetensors file and as ``.npy`` files too."""
    (data,) = shard_paths(folder / "model")
    write_safetensors(folder / "model.safetensors", writer, data)
    write_npy(folder / "npy", writer, data)


def _large(folder: Path, sizes: Sizes, rng: np.random.Generator) -> int:
    writer = write_equal_tensors(folder / "model", sizes.large_tensors, sizes.large_values, rng)
    _for_other_libraries(folder, writer)
    return writer.nbytes


def _huge(folder: Path, sizes: Sizes, rng: np.random.Generator) -> int:
    count = sizes.huge_bytes // (4 * EQUAL_TENSORS)
    return write_equal_tensors(folder / "model", EQUAL_TENSORS, count, rng).nbytes


def _embedding(folder: Path, sizes: Sizes, rng: np.random.Generator) -> int:
    count = sizes.embedding_bytes // 4
    with BundleWriter(folder / "model") as writer:
        shape = (count // COLUMNS, COLUMNS)
        writer.add_pieces("embedding", np.dtype("float32"), shape, values(rng, count))
    _for_other_libraries(folder, writer)
    return writer.nbytes


def _small_tensors(prefix: Path, names: list[str], rng: np.random.Generator) -> BundleWriter:
    arrays = rng.standard_normal((len(names), 4, 4), dtype=np.float32)
    with BundleWriter(prefix) as writer:
        for name, array in zip(names, arrays, strict=True):
            writer.add(name, array)
    return writer


def _many(folder: Path, sizes: Sizes, rng: np.random.Generator) -> int:
    writer = _small_tensors(folder / "model", many_names(sizes.many), rng)
    write_safetensors(folder / "model.safetensors", writer, *shard_paths(folder / "model"))
    return writer.nbytes


def _million(folder: Path, sizes: Sizes, rng: np.random.Generator) -> int:
    return _small_tensors(folder / "model", many_names(sizes.million), rng).nbytes


def _training(folder: Path, sizes: Sizes, rng: np.random.Generator) -> int:
    """Many small checkpoints, as a long training leaves them."""
    return sum(
        _small_tensors(folder / f"model.ckpt-{step}", many_names(16), rng).nbytes
        for step in range(sizes.checkpoints)
    )


def _object_graph(keys: list[str]) -> bytes:
    """The object graph of variables with these keys, breadth first, as ``tf.train.Checkpoint`` writes it."""
    from ckptfmt.proto.messages import TrackableObjectGraph

    tree: dict[str, Any] = {}
    for key in keys:
        path = key.partition("/.ATTRIBUTES/")[0].split("/")
        branch = tree
        for part in path[:-1]:
            branch = branch.setdefault(part, {})
        branch[path[-1]] = key
    graph = TrackableObjectGraph()
    graph.nodes.add()
    queue: list[tuple[int, Any]] = [(0, tree)]
    for number, branch in queue:
        node = graph.nodes[number]
        if isinstance(branch, str):
            full_name = branch.partition("/.ATTRIBUTES/")[0]
            node.attributes.add(name="VARIABLE_VALUE", full_name=full_name, checkpoint_key=branch)
            continue
        for name, below in branch.items():
            node.children.add(node_id=len(queue), local_name=name)
            queue.append((len(queue), below))
            graph.nodes.add()
    return graph.SerializeToString()


def _objects(folder: Path, sizes: Sizes, rng: np.random.Generator) -> int:
    """A model with its object graph, of as many nodes as ``many`` has tensors; half of them are variables."""
    import tensorflow as tf

    names = many_names(sizes.many)[: sizes.many // 2]
    arrays = rng.standard_normal((len(names), 4, 4), dtype=np.float32)
    tf.raw_ops.SaveV2(
        prefix=str(folder / "model"),
        tensor_names=[*names, "_CHECKPOINTABLE_OBJECT_GRAPH"],
        shape_and_slices=[""] * (len(names) + 1),
        tensors=[*arrays, _object_graph(names)],
    )
    return int(arrays.nbytes)


def _strings(folder: Path, sizes: Sizes, rng: np.random.Generator) -> int:
    import tensorflow as tf

    words = [rng.bytes(size).hex().encode() for size in rng.integers(4, 20, sizes.strings)]
    tf.raw_ops.SaveV2(
        prefix=str(folder / "model"), tensor_names=["words"], shape_and_slices=[""], tensors=[words]
    )
    return sum(map(len, words))


def _sliced(folder: Path, sizes: Sizes, rng: np.random.Generator) -> int:
    """One variable in a few large parts."""
    return _write_parts(folder, sizes.sliced_bytes // (4 * COLUMNS), PARTS, rng)


def _partitions(folder: Path, sizes: Sizes, rng: np.random.Generator) -> int:
    """One variable in many small parts."""
    return _write_parts(folder, 16 * sizes.partitions, sizes.partitions, rng)


def _few_partitions(folder: Path, sizes: Sizes, rng: np.random.Generator) -> int:
    """The same variable in a hundredth of the parts."""
    return _write_parts(folder, 16 * sizes.partitions, max(2, sizes.partitions // 100), rng)


def _write_parts(folder: Path, rows: int, number: int, rng: np.random.Generator) -> int:
    """Write one variable in parts, as TensorFlow saves a partitioned one."""
    import tensorflow as tf

    array = rng.standard_normal((rows, COLUMNS), dtype=np.float32)
    parts = np.array_split(array, number)
    starts = np.cumsum([0, *map(len, parts)])
    tf.raw_ops.SaveV2(
        prefix=str(folder / "model"),
        tensor_names=["embedding"] * number,
        shape_and_slices=[
            f"{rows} {COLUMNS} {start},{len(part)}:0,{COLUMNS}"
            for start, part in zip(starts, parts, strict=False)
        ],
        tensors=parts,
    )
    return int(array.nbytes)


def _v1(folder: Path, sizes: Sizes, rng: np.random.Generator) -> int:
    import tensorflow as tf

    arrays = rng.standard_normal((sizes.v1_tensors, 32, 32), dtype=np.float32)
    names = [f"layer_{i}/weights" for i in range(sizes.v1_tensors)]
    tf.raw_ops.Save(filename=str(folder / "model.ckpt"), tensor_names=names, data=list(arrays))
    return int(arrays.nbytes)


def _model(folder: Path, sizes: Sizes, rng: np.random.Generator) -> int:
    """A TensorFlow 1 model with both kinds of variables, its checkpoint, and the model frozen."""
    import tensorflow as tf

    import ckptfmt

    v1 = tf.compat.v1
    width = sizes.model_width
    prefix = str(folder / "model")
    with tf.Graph().as_default(), v1.Session() as session:
        x = v1.placeholder(tf.float32, [None, width], name="x")
        for i in range(sizes.model_layers):
            w = v1.get_variable(f"layer_{i}/w", [width, width], use_resource=bool(i % 2))
            x = tf.nn.relu(x @ w)
            value = rng.standard_normal((width, width), dtype=np.float32)
            # Fed, because a constant would be stored in the graph.
            session.run(w.initializer, {w.initial_value: value})
        tf.identity(x, name="out")
        v1.train.Saver().save(session, prefix)
    with ckptfmt.open(prefix) as checkpoint:
        meta_graph = ckptfmt.read_meta_graph(f"{prefix}.meta")
        ckptfmt.freeze(meta_graph, checkpoint, ["out"]).write(folder / "frozen.pb", overwrite=True)
    return 4 * width * width * sizes.model_layers


def _large_model(folder: Path, sizes: Sizes, rng: np.random.Generator) -> int:
    """A TensorFlow 1 SavedModel with the tensors of ``large``; its signature uses one of them."""
    import ckptfmt
    from ckptfmt.proto import messages

    graph = messages.GraphDef()
    graph.versions.producer = 1882
    shape = [sizes.large_values]
    names = [f"part_{i}/w" for i in range(sizes.large_tensors)]
    for name in names:
        node = graph.node.add(name=name, op="VarHandleOp")
        node.attr["dtype"].type = messages.DataType.DT_FLOAT
        node.attr["shape"].shape.dim.add(size=sizes.large_values)
        node.attr["shared_name"].s = name.encode()
        read = graph.node.add(name=f"{name}/Read/ReadVariableOp", op="ReadVariableOp", input=[name])
        read.attr["dtype"].type = messages.DataType.DT_FLOAT
    values = {name: rng.standard_normal(shape, dtype=np.float32) for name in names}
    outputs = {"w": f"{names[0]}/Read/ReadVariableOp"}
    target = folder / "model"
    ckptfmt.write_saved_model(target, ckptfmt.Graph(graph), values, outputs=outputs, overwrite=True)
    return 4 * sizes.large_values * sizes.large_tensors


def edited_signature() -> dict[str, dict[str, dict[str, str]]]:
    """The signature that the case of edits adds to the model."""
    return {"last": {"outputs": {"w": "part_1/w/Read/ReadVariableOp"}}}


def _saved_model(folder: Path, sizes: Sizes, rng: np.random.Generator) -> int:
    """A TensorFlow 2 SavedModel with two signatures."""
    import tensorflow as tf

    width = 16

    class Model(tf.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.layers = [
                tf.Variable(rng.standard_normal((width, width), dtype=np.float32), name=f"layer_{i}")
                for i in range(sizes.model_layers)
            ]

        @tf.function(input_signature=[tf.TensorSpec([None, width], tf.float32, "features")])  # type: ignore[untyped-decorator]
        def predict(self, features: Any) -> Any:  # noqa: ANN401
            for layer in self.layers:
                features = tf.nn.relu(features @ layer)
            return {"scores": tf.nn.softmax(features)}

        @tf.function(input_signature=[tf.TensorSpec([None, width], tf.float32, "features")])  # type: ignore[untyped-decorator]
        def embed(self, features: Any) -> Any:  # noqa: ANN401
            return {"embedding": features @ self.layers[0]}

    model = Model()
    signatures = {"serving_default": model.predict, "embed": model.embed}
    tf.saved_model.save(model, str(folder / "model"), signatures)
    return 4 * width * width * sizes.model_layers


# --- event files and records --------------------------------------------------------------------------------

METRICS = (
    *("epoch_loss", "epoch_accuracy", "epoch_learning_rate", "evaluation_loss_vs_iterations"),
    *("train/loss", "train/gradient_norm", "train/tokens_per_second"),
    *("eval/loss", "eval/perplexity", "eval/bleu"),
)
"""Tags like those of a real training."""
START = 1.7e9
"""The start of a run, in seconds since 1970."""
RUN_STEPS = 50
"""Steps in each run of ``runs``."""
TAG_STEPS = 20
"""Steps in ``tags``."""
RECORD = 1 << 20
"""Bytes of a record."""


def _event_file(path: Path, tags: Sequence[str], steps: int, rng: np.random.Generator) -> int:
    """Write scalars as ``tf.summary.scalar`` does: in each step one event for each tag.

    Returns the bytes of their columns: steps (int64), wall times (float64) and values (float32).
    """
    from ckptfmt import RecordWriter
    from ckptfmt.proto.messages import Event

    event = Event()
    value = event.summary.value.add()
    value.metadata.plugin_data.plugin_name = "scalars"
    value.tensor.dtype = 1
    value.tensor.tensor_shape.SetInParent()
    wall_time = START
    path.parent.mkdir(parents=True, exist_ok=True)
    with RecordWriter(path, overwrite=True) as writer:
        writer.write(Event(wall_time=wall_time, file_version="brain.Event:2").SerializeToString())
        for step in range(steps):
            gaps = rng.exponential(0.01, len(tags)).tolist()
            numbers = rng.standard_normal(len(tags), np.float32).astype("<f4").tobytes()
            for number, tag in enumerate(tags):
                wall_time += gaps[number]
                event.wall_time = wall_time
                event.step = step
                value.tag = tag
                value.tensor.tensor_content = numbers[4 * number : 4 * number + 4]
                writer.write(event.SerializeToString())
    return 20 * steps * len(tags)


def _scalars(folder: Path, sizes: Sizes, rng: np.random.Generator) -> int:
    return _event_file(folder / EVENTS, METRICS, sizes.scalars // len(METRICS), rng)


def _million_scalars(folder: Path, sizes: Sizes, rng: np.random.Generator) -> int:
    return _event_file(folder / EVENTS, METRICS, sizes.million_scalars // len(METRICS), rng)


def _tags(folder: Path, sizes: Sizes, rng: np.random.Generator) -> int:
    tags = [f"layer_{number // 10}/metric_{number % 10}" for number in range(sizes.tags)]
    return _event_file(folder / EVENTS, tags, TAG_STEPS, rng)


def _runs(folder: Path, sizes: Sizes, rng: np.random.Generator) -> int:
    return sum(
        _event_file(folder / LOGS / f"run_{number}" / EVENTS, METRICS, RUN_STEPS, rng)
        for number in range(sizes.runs)
    )


def _records(folder: Path, sizes: Sizes, rng: np.random.Generator) -> int:
    from ckptfmt import RecordWriter

    with RecordWriter(folder / RECORDS, overwrite=True) as writer:
        for piece in values(rng, sizes.records * RECORD // 4):
            data = piece.view(np.uint8).data
            for start in range(0, len(data), RECORD):
                writer.write(data[start : start + RECORD])
    return sizes.records * RECORD


INPUTS = {
    "large": Input(_large),
    "huge": Input(_huge),
    "embedding": Input(_embedding),
    "many": Input(_many),
    "million": Input(_million),
    "training": Input(_training),
    "objects": Input(_objects, ("tensorflow",)),
    "strings": Input(_strings, ("tensorflow",)),
    "sliced": Input(_sliced, ("tensorflow",)),
    "partitions": Input(_partitions, ("tensorflow",)),
    "few_partitions": Input(_few_partitions, ("tensorflow",)),
    "v1": Input(_v1, ("tensorflow",)),
    "model": Input(_model, ("tensorflow",)),
    "saved_model": Input(_saved_model, ("tensorflow",)),
    "large_model": Input(_large_model),
    "scalars": Input(_scalars),
    "million_scalars": Input(_million_scalars),
    "tags": Input(_tags),
    "runs": Input(_runs),
    "records": Input(_records),
}
"""Name -> how to write the input."""


# --- inputs for the scaling curves, one for each point -----------------------------------------------------


def _shards(number: int) -> Writer:
    """As many bytes as ``large``, in a number of shards."""

    def write(folder: Path, sizes: Sizes, rng: np.random.Generator) -> int:
        count = sizes.large_tensors * sizes.large_values // EQUAL_TENSORS
        return write_equal_tensors(folder / "model", EQUAL_TENSORS, count, rng, num_shards=number).nbytes

    return write


def _tensors(number: int) -> Writer:
    """A number of small tensors."""
    return lambda folder, _, rng: _small_tensors(folder / "model", many_names(number), rng).nbytes


def _bytes(number: int) -> Writer:
    """A number of bytes in 16 tensors."""
    count = number // (4 * EQUAL_TENSORS)
    return lambda folder, _, rng: write_equal_tensors(folder / "model", EQUAL_TENSORS, count, rng).nbytes


SCALED = {"shards": _shards, "tensors": _tensors, "bytes": _bytes}
"""Kind -> how to write an input named ``KIND-NUMBER``."""


def find_input(name: str) -> Input:
    """Return how to write an input."""
    kind, dash, number = name.partition("-")
    return Input(SCALED[kind](int(number))) if dash else INPUTS[name]


def input_problem(name: str) -> str | None:
    """Return why an input cannot be written here, or None if it can."""
    reasons = filter(None, map(missing_module, find_input(name).needs))
    return next((f"the input {name!r} cannot be written: {reason}" for reason in reasons), None)


def build(folder: Path, name: str, size: str) -> None:
    """Write an input to ``folder/name``, unless it already exists with this size."""
    sizes = SIZES[size]
    target = folder / name
    mark = target / INPUT_FILE
    if mark.exists() and json.loads(mark.read_text())["sizes"] == asdict(sizes):
        return
    target.mkdir(parents=True, exist_ok=True)
    nbytes = find_input(name).write(target, sizes, np.random.default_rng([SEED, zlib.crc32(name.encode())]))
    sync(target)
    # Last, so that an input that was interrupted is written again.
    mark.write_text(json.dumps({"nbytes": nbytes, "sizes": asdict(sizes)}))


def main() -> None:
    folder, size, *names = sys.argv[1:]
    for name in names:
        problem = input_problem(name)
        if problem is not None:
            sys.exit(problem)
        build(Path(folder), name, size)


if __name__ == "__main__":
    main()
