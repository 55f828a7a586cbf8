"""TensorFlow: variables on a device, saved and restored by its Saver, compared with ckptfmt's arrays.

``python -m benchmarks.parity.session FOLDER BYTES ROUNDS`` prints a report as JSON.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import tensorflow as tf

import ckptfmt
from benchmarks.parity.result import Report, Timing, alternate, reason_of
from benchmarks.parity.values import BULK_TENSORS, SHAPE, STORABLE, random_array
from ckptfmt.dtypes import DType

v1 = tf.compat.v1
PARTS = 3
Arrays: TypeAlias = "dict[str, np.ndarray[Any, Any]]"
KINDS = ("reference", "resource", "partitioned reference", "partitioned resource")
"""The kinds of variables in TensorFlow 1."""


@contextmanager
def session_of(graph: Any, *, soft: bool = False) -> Iterator[Any]:  # noqa: ANN401
    """A session that runs every op on the device that the graph names; with ``soft``, where it can."""
    config = v1.ConfigProto(allow_soft_placement=soft)
    config.gpu_options.allow_growth = True
    with v1.Session(graph=graph, config=config) as session:
        yield session


class Variables:
    """Variables on a device in the default graph, each part with a placeholder for its value.

    Values are fed: as constants they would be stored in the graph, whose size is limited to 2 GB.
    """

    def __init__(self, device: str) -> None:
        self.device = device
        self.parts: dict[str, list[Any]] = {}
        """Name -> the parts of the variable in order; a single one if it is not partitioned."""
        self._feeds: dict[str, list[Any]] = {}

    def add(self, name: str, dtype: Any, shape: tuple[int, ...], kind: str) -> None:  # noqa: ANN401
        """Create a variable of one of the :data:`KINDS`."""
        feeds: list[Any] = []

        def initializer(shape: Any, dtype: Any = None, partition_info: Any = None) -> Any:  # noqa: ANN401
            with tf.device("/CPU:0"):
                feeds.append(v1.placeholder(dtype, shape))
            return feeds[-1]

        partitioner = v1.fixed_size_partitioner(PARTS) if "partitioned" in kind else None
        with tf.device(self.device):
            made = v1.get_variable(
                name,
                shape,
                dtype,
                initializer,
                partitioner=partitioner,
                use_resource="resource" in kind,
                trainable=False,
            )
        self.parts[name] = list(made) if partitioner else [made]
        self._feeds[name] = feeds

    def set(self, session: Any, values: Arrays) -> dict[Any, np.ndarray[Any, Any]]:  # noqa: ANN401
        """Give variables their values, in one run; return what was fed to their placeholders."""
        initializers, fed = [], {}
        for name, value in values.items():
            start = 0
            for part, feed in zip(self.parts[name], self._feeds[name], strict=True):
                stop = start + part.shape[0]
                fed[feed] = value[start:stop]
                initializers.append(part.initializer)
                start = stop
        session.run(initializers, fed)
        return fed

    def get(self, session: Any) -> Arrays:  # noqa: ANN401
        """Read all variables back from the device, in one run."""
        with session.graph.as_default(), tf.device(self.device):
            copies = {name: [v1.identity(part) for part in parts] for name, parts in self.parts.items()}
        return {
            name: np.concatenate(values) if len(values) > 1 else np.asarray(values[0])
            for name, values in session.run(copies).items()
        }


def fed(dtype: DType, array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The array as TensorFlow takes it: its quantised dtypes are structures."""
    theirs = np.dtype(tf.as_dtype(dtype.name).as_numpy_dtype)
    return array if theirs == array.dtype else array.view(theirs)


def problem(folder: Path, device: str, dtype: DType, *kinds: str) -> str | None:
    """Return why TensorFlow cannot save and restore such variables on a device, or None if it can."""
    array = random_array(dtype)
    variables = {kind.replace(" ", "_"): (dtype, kind) for kind in kinds}
    try:
        restore(save(folder, device, variables, dict.fromkeys(variables, array)), device, variables)
    except (tf.errors.OpError, TypeError, ValueError, KeyError, RuntimeError, NotImplementedError) as error:
        return reason_of(error)
    return None


def problems(folder: Path, device: str, dtype: DType) -> dict[str, str | None]:
    """Return the :func:`problem` of each kind of variable."""
    if dtype.name == "variant":
        return dict.fromkeys(KINDS, "variants have no values to compare")
    # Most devices take most dtypes in every kind, which one session tells; else each kind has its own reason.
    if problem(folder, device, dtype, *KINDS) is None:
        return dict.fromkeys(KINDS)
    return {kind: problem(folder, device, dtype, kind) for kind in KINDS}


def save(folder: Path, device: str, kinds: dict[str, tuple[DType, str]], arrays: Arrays) -> str:
    """Save variables with these values from a session; return the prefix."""
    with tf.Graph().as_default() as graph, session_of(graph) as session:
        variables = Variables(device)
        for name, (dtype, kind) in kinds.items():
            variables.add(name, tf.as_dtype(dtype.name), arrays[name].shape, kind)
        variables.set(session, {name: fed(dtype, arrays[name]) for name, (dtype, _) in kinds.items()})
        return str(v1.train.Saver().save(session, str(folder / "model"), write_meta_graph=False))


def restore(
    prefix: str, device: str, kinds: dict[str, tuple[DType, str]], report: Report | None = None
) -> Arrays:
    """Restore variables in a session of a new graph; return the values read back from the device."""
    with tf.Graph().as_default() as graph, session_of(graph) as session:
        variables = Variables(device)
        for name, (dtype, kind) in kinds.items():
            variables.add(name, tf.as_dtype(dtype.name), SHAPE, kind)
        v1.train.Saver().restore(session, prefix)
        if report is not None:
            report.placed = placed(session, variables)
        return variables.get(session)


def placed(session: Any, variables: Variables) -> list[str]:  # noqa: ANN401
    """Return the devices on which TensorFlow really placed the variables."""
    parts = [part for parts in variables.parts.values() for part in parts]
    options, metadata = v1.RunOptions(output_partition_graphs=True), v1.RunMetadata()
    session.run([part.op for part in parts], options=options, run_metadata=metadata)
    names = {part.op.name for part in parts}
    nodes = (node for graph in metadata.partition_graphs for node in graph.node)
    return sorted({node.device for node in nodes if node.name in names})


def check_kinds(report: Report, folder: Path, device: str) -> None:
    """Compare every dtype and kind of variable that the device takes, in one checkpoint."""
    kinds = {}
    for dtype in STORABLE:
        for kind, reason in problems(folder, device, dtype).items():
            if reason is None:
                kinds[f"{kind.replace(' ', '_')}/{dtype.name}"] = dtype, kind
            else:
                report.refused[f"{dtype.name}, {kind}"] = reason
    arrays = {name: random_array(dtype) for name, (dtype, _) in kinds.items()}
    prefix = save(folder, device, kinds, arrays)
    theirs = restore(prefix, device, kinds, report)
    with ckptfmt.open(prefix) as checkpoint:
        ours = checkpoint.read()
    assert set(ours) == set(kinds)
    for name, (dtype, kind) in kinds.items():
        what = f"{dtype.name}, {kind}"
        report.compare(what, theirs[name], ours[name], "Saver.restore")
        report.compare(what, arrays[name], ours[name], "the values saved")


def check_averages(report: Report, folder: Path, device: str) -> None:
    """Compare moving averages that are restored under the names of their variables, as for evaluation."""
    kinds = {"one/v": "reference", "two/v": "resource", "three/v": "partitioned reference"}
    dtype = ckptfmt.as_dtype("float32")
    # Soft placement will do for training: only the device they are restored to matters.
    with tf.Graph().as_default() as graph, session_of(graph, soft=True) as session:
        variables = Variables(device)
        first: dict[Any, np.ndarray[Any, Any]] = {}
        for name, kind in kinds.items():
            variables.add(name, tf.float32, SHAPE, kind)
            value = np.random.default_rng(1).normal(size=SHAPE).astype(np.float32)
            first |= variables.set(session, {name: value})
        parts = [part for name in kinds for part in variables.parts[name]]
        average = tf.train.ExponentialMovingAverage(0.9)
        with tf.device(device):
            update = average.apply(parts)
            step = [v1.assign_add(part, tf.fill(part.shape, 0.3)) for part in parts]
        shadows = [average.average(part) for part in parts]
        session.run([shadow.initializer for shadow in shadows], first)
        for _ in range(3):
            session.run(step)
            session.run(update)
        prefix = v1.train.Saver().save(session, str(folder / "model"), write_meta_graph=False)
    with tf.Graph().as_default() as graph, session_of(graph) as session:
        variables = Variables(device)
        for name, kind in kinds.items():
            variables.add(name, tf.float32, SHAPE, kind)
        whole = {name: parts[0] if len(parts) == 1 else parts for name, parts in variables.parts.items()}
        renames = {f"{name}/ExponentialMovingAverage": made for name, made in whole.items()}
        v1.train.Saver(renames).restore(session, prefix)
        theirs = variables.get(session)
    with ckptfmt.open(prefix) as checkpoint:
        view = checkpoint.ema()
        assert set(view) == set(kinds)
        for name, kind in kinds.items():
            what = f"{dtype.name}, {kind}, its moving average"
            report.compare(what, theirs[name], view[name], 'Saver({"v/ExponentialMovingAverage": v})')
            # The comparison means something only if the average differs from its variable.
            assert checkpoint[name].tobytes() != view[name].tobytes()


def time_restore(report: Report, folder: Path, device: str, nbytes: int, rounds: int) -> None:
    """Time a restored session, and reading and handing over by ckptfmt."""
    shape = (max(1, nbytes // (4 * BULK_TENSORS)),)
    dtype = ckptfmt.as_dtype("float32")
    kinds = {f"layer_{i:02d}": (dtype, KINDS[i % 2]) for i in range(BULK_TENSORS)}
    arrays = {
        name: np.random.default_rng(i).standard_normal(shape, dtype=np.float32)
        for i, name in enumerate(kinds)
    }
    prefix = save(folder, device, kinds, arrays)
    nbytes = sum(array.nbytes for array in arrays.values())
    del arrays

    def in_session(fill: Callable[[Variables, Any], None]) -> None:
        with tf.Graph().as_default() as graph, session_of(graph) as session:
            variables = Variables(device)
            for name, (_, kind) in kinds.items():
                variables.add(name, tf.float32, shape, kind)
            with tf.device(device):
                seen = [tf.reshape(part, [-1])[:1] for (part,) in variables.parts.values()]
            fill(variables, session)
            session.run(seen)  # waits until the values are on the device

    def restored() -> None:
        in_session(lambda _, session: v1.train.Saver().restore(session, prefix))

    def set_from_ckptfmt() -> None:
        def fill(variables: Variables, session: Any) -> None:  # noqa: ANN401
            with ckptfmt.open(prefix) as checkpoint:
                for name, array in checkpoint.read().items():
                    variables.set(session, {name: array})

        in_session(fill)

    start = time.perf_counter()
    restored()
    first = time.perf_counter() - start
    seconds = alternate(
        {
            "TensorFlow: graph, session, Saver.restore": restored,
            "ckptfmt: open, read as verified views": lambda: ckptfmt.open(prefix).read(),
            "ckptfmt: open, read as verified copies": lambda: ckptfmt.open(prefix).read(copy=True),
            "ckptfmt: open, read, set the variables of a session": set_from_ckptfmt,
        },
        rounds,
    )
    report.timings += [Timing(what, times, nbytes) for what, times in seconds.items()]
    report.timings.append(Timing("TensorFlow: the first time in the process", [first], nbytes))


def main() -> None:
    folder, nbytes, rounds = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    folder.mkdir(parents=True, exist_ok=True)
    v1.disable_eager_execution()
    gpus = tf.config.list_physical_devices("GPU")
    device = "/GPU:0" if gpus else "/CPU:0"
    name = tf.config.experimental.get_device_details(gpus[0]).get("device_name", "") if gpus else ""
    shown = f"{device} ({name})" if name else f"{device}, for TensorFlow sees no GPU" if not gpus else device
    report = Report("tensorflow", tf.__version__, shown)
    check_kinds(report, folder, device)
    check_averages(report, folder, device)
    time_restore(report, folder, device, nbytes, rounds)
    print(report.to_json())


if __name__ == "__main__":
    main()
