"""Event files and TFRecords: scalars as columns, runs listed and exported, large records verified."""

from __future__ import annotations

import contextlib
import struct
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeAlias
from unittest import mock

from benchmarks.case import Case, Command, Job, Target
from benchmarks.cases.large import crc_of_mapped_file
from benchmarks.cases.models import scratch_folder
from benchmarks.layout import EVENTS, LOGS, RECORDS

Columns: TypeAlias = "dict[str, tuple[Any, Any, Any]]"
"""Tag -> steps, wall times and values."""

_EVERYTHING = {"scalars": 0, "tensors": 0}
"""Tells EventAccumulator to keep all of them."""

_FLOAT = struct.Struct("<f")


# --- ckptfmt ------------------------------------------------------------------------------------------------


def ckptfmt_columns(name: str) -> Callable[[Path], Columns]:
    def run(inputs: Path) -> Columns:
        import ckptfmt

        scalars = ckptfmt.open_events(inputs / name / EVENTS).scalars
        return {tag: (each.steps, each.wall_times, each.values) for tag, each in scalars.items()}

    return run


def ckptfmt_tags(inputs: Path) -> object:
    import ckptfmt

    runs = ckptfmt.find_runs(inputs / "runs" / LOGS)
    return {run: list(ckptfmt.open_events(path).tags) for run, path in runs.items()}


def ckptfmt_csv(given: tuple[Path, Path]) -> object:
    import ckptfmt

    source, target = given
    ckptfmt.open_events(source).write(target)
    return target


def ckptfmt_records(inputs: Path) -> object:
    import ckptfmt

    return sum(len(record.view) for record in ckptfmt.open_records(inputs / "records" / RECORDS))


def ckptfmt_record_bytes(inputs: Path) -> object:
    import ckptfmt

    return sum(len(record.data) for record in ckptfmt.open_records(inputs / "records" / RECORDS))


# --- TensorFlow ---------------------------------------------------------------------------------------------


def gathered(events: Iterable[Any]) -> Columns:
    """The scalars of events as lists; values are unpacked from the four bytes that TensorFlow 2 writes."""
    found: defaultdict[str, tuple[list[int], list[float], list[float]]] = defaultdict(lambda: ([], [], []))
    unpack = _FLOAT.unpack
    for event in events:
        for value in event.summary.value:
            steps, wall_times, values = found[value.tag]
            steps.append(event.step)
            wall_times.append(event.wall_time)
            values.append(unpack(value.tensor.tensor_content)[0])
    return dict(found)


def tensorflow_columns(name: str) -> Callable[[Path], Columns]:
    def run(inputs: Path) -> Columns:
        import tensorflow as tf

        return gathered(tf.compat.v1.train.summary_iterator(str(inputs / name / EVENTS)))

    return run


def tensorflow_make_ndarray(name: str) -> Callable[[Path], Columns]:
    """The scalars as lists; values are taken the way TensorFlow's guides show."""

    def run(inputs: Path) -> Columns:
        import tensorflow as tf

        found: Columns = {}
        for event in tf.compat.v1.train.summary_iterator(str(inputs / name / EVENTS)):
            for value in event.summary.value:
                steps, wall_times, values = found.setdefault(value.tag, ([], [], []))
                steps.append(event.step)
                wall_times.append(event.wall_time)
                values.append(tf.make_ndarray(value.tensor).item())
        return found

    return run


def tensorflow_events(name: str) -> Callable[[Path], object]:
    """Count the events, and take nothing from them."""

    def run(inputs: Path) -> object:
        import tensorflow as tf

        return sum(1 for _ in tf.compat.v1.train.summary_iterator(str(inputs / name / EVENTS)))

    return run


def tensorflow_tags(inputs: Path) -> object:
    import tensorflow as tf

    return {
        path.parent.name: list(
            dict.fromkeys(
                value.tag
                for event in tf.compat.v1.train.summary_iterator(str(path))
                for value in event.summary.value
            )
        )
        for path in (inputs / "runs" / LOGS).rglob(EVENTS)
    }


def tensorflow_record_iterator(inputs: Path) -> object:
    import tensorflow as tf

    return sum(map(len, tf.compat.v1.io.tf_record_iterator(str(inputs / "records" / RECORDS))))


def tensorflow_record_dataset(inputs: Path) -> object:
    import tensorflow as tf

    dataset = tf.data.TFRecordDataset(str(inputs / "records" / RECORDS))
    return sum(map(len, dataset.as_numpy_iterator()))


# --- TensorBoard and tbparse --------------------------------------------------------------------------------


def tensorboard_ready(inputs: Path) -> Path:
    """Import what TensorBoard's readers import on first use."""
    from tensorboard.backend.event_processing import event_accumulator, plugin_event_multiplexer
    from tensorboard.compat import tf

    assert event_accumulator, plugin_event_multiplexer
    assert tf.__version__  # its first use imports TensorFlow, or the stub that replaces it
    return inputs


@contextlib.contextmanager
def without_tensorflow() -> Iterator[None]:
    """Make TensorBoard read as if TensorFlow were not installed: in pure Python."""
    from tensorboard.backend.event_processing import directory_watcher, event_file_loader, io_wrapper
    from tensorboard.compat import tensorflow_stub

    with contextlib.ExitStack() as stack:
        for module in (directory_watcher, event_file_loader, io_wrapper):
            stack.enter_context(mock.patch.object(module, "tf", tensorflow_stub))
        yield


def tensorboard_loader(name: str) -> Callable[[Path], Columns]:
    def run(inputs: Path) -> Columns:
        from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

        with without_tensorflow():
            return gathered(EventFileLoader(str(inputs / name / EVENTS)).Load())

    return run


def tensorboard_accumulator(name: str, *, pure: bool) -> Callable[[Path], Columns]:
    """Load everything in a file; ``pure`` as if TensorFlow were not installed."""

    def run(inputs: Path) -> Columns:
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

        with without_tensorflow() if pure else contextlib.nullcontext():
            accumulator = EventAccumulator(str(inputs / name / EVENTS), size_guidance=_EVERYTHING)
            accumulator.Reload()
        found: Columns = {}
        for tag in accumulator.Tags()["tensors"]:
            series = accumulator.Tensors(tag)
            found[tag] = (
                [each.step for each in series],
                [each.wall_time for each in series],
                [_FLOAT.unpack(each.tensor_proto.tensor_content)[0] for each in series],
            )
        return found

    return run


def tensorboard_tags(inputs: Path) -> object:
    """Load runs as the TensorBoard web server does without its data server."""
    from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer

    multiplexer = EventMultiplexer().AddRunsFromDirectory(str(inputs / "runs" / LOGS))
    multiplexer.Reload()
    return multiplexer.Runs()


def tbparse_frame(name: str) -> Callable[[Path], object]:
    def run(inputs: Path) -> object:
        from tbparse import SummaryReader

        path = inputs / name / EVENTS
        # It calls the scalars of TensorFlow 2 tensors.
        return SummaryReader(str(path), extra_columns={"wall_time"}, event_types={"tensors"}).tensors

    return run


def tbparse_tags(inputs: Path) -> object:
    from tbparse import SummaryReader

    reader = SummaryReader(str(inputs / "runs" / LOGS))
    return {name: child.tags for name, child in reader.children.items()}


def tbparse_csv(given: tuple[Path, Path]) -> object:
    from tbparse import SummaryReader

    source, target = given
    reader = SummaryReader(str(source), extra_columns={"wall_time"}, event_types={"tensors"})
    reader.tensors.to_csv(target, index=False)
    return target


# --- the table ----------------------------------------------------------------------------------------------


def file_and_target(inputs: Path) -> tuple[Path, Path]:
    """An event file, and the file to write its scalars to, which does not exist yet."""
    target = Path(scratch_folder().name) / "scalars.csv"
    target.unlink(missing_ok=True)
    return inputs / "scalars" / EVENTS, target


def logs(inputs: Path) -> str:
    return str(inputs / "runs" / LOGS)


LOADER = "tensorboard: EventFileLoader without TensorFlow"
ITERATOR = "tensorflow: summary_iterator"

CASES: dict[str, Case] = {
    "events: 20,000 scalars into columns": Case(
        ("scalars",),
        {
            "ckptfmt": Job(ckptfmt_columns("scalars")),
            ITERATOR: Job(tensorflow_columns("scalars")),
            f"{ITERATOR}, make_ndarray": Job(tensorflow_make_ndarray("scalars")),
            f"{ITERATOR}, events only": Job(tensorflow_events("scalars")),
            LOADER: Job(tensorboard_loader("scalars"), tensorboard_ready),
            "tensorboard: EventAccumulator without TensorFlow": Job(
                tensorboard_accumulator("scalars", pure=True), tensorboard_ready
            ),
            "tensorboard: EventAccumulator": Job(
                tensorboard_accumulator("scalars", pure=False), tensorboard_ready
            ),
            "tbparse: SummaryReader": Job(tbparse_frame("scalars"), tensorboard_ready),
        },
        (Target("times", 50, LOADER), Target("times", 2, ITERATOR)),
        note="10 tags. EventFileLoader without TensorFlow is TensorBoard's reader in pure Python. ckptfmt "
        "returns steps, wall times and values as arrays, tbparse as a data frame, the others as lists.",
    ),
    "events: 1,000,000 scalars into columns": Case(
        ("million_scalars",),
        {
            "ckptfmt": Job(ckptfmt_columns("million_scalars")),
            ITERATOR: Job(tensorflow_columns("million_scalars")),
            f"{ITERATOR}, events only": Job(tensorflow_events("million_scalars")),
            LOADER: Job(tensorboard_loader("million_scalars"), tensorboard_ready, is_slow=True),
            "tensorboard: EventAccumulator without TensorFlow": Job(
                tensorboard_accumulator("million_scalars", pure=True), tensorboard_ready, is_slow=True
            ),
            "tbparse: SummaryReader": Job(tbparse_frame("million_scalars"), tensorboard_ready, is_slow=True),
        },
        (
            Target("times", 50, LOADER),
            Target("times", 2, ITERATOR),
            Target("growth", 4, says="of the columns, 20 bytes a scalar"),
        ),
        cold=False,
        note="10 tags. TensorBoard's readers and tbparse run once each, and their first run counts.",
    ),
    "events: many tags": Case(
        ("tags",),
        {
            "ckptfmt": Job(ckptfmt_columns("tags")),
            ITERATOR: Job(tensorflow_columns("tags")),
            LOADER: Job(tensorboard_loader("tags"), tensorboard_ready, is_slow=True),
        },
        cold=False,
        note="20 scalars for each of 10,000 tags, as columns. EventFileLoader runs once.",
    ),
    "events: open a directory of runs and list tags": Case(
        ("runs",),
        {
            "ckptfmt": Job(ckptfmt_tags),
            "tensorflow: summary_iterator": Job(tensorflow_tags),
            "tensorboard: EventMultiplexer": Job(tensorboard_tags, tensorboard_ready),
            "tbparse: SummaryReader": Job(tbparse_tags, tensorboard_ready),
        },
        (Target("times", 1, ITERATOR),),
        note="200 runs of 500 scalars. Every library reads and verifies everything.",
    ),
    "events: command line summary": Case(
        ("runs",),
        {
            "ckptfmt": Command(lambda inputs: ["-m", "ckptfmt", "events", logs(inputs)], needs="click"),
            "tensorboard: --inspect": Command(
                lambda inputs: ["-m", "tensorboard.main", "--inspect", "--logdir", logs(inputs)]
            ),
        },
        note="Whole processes, on the same runs.",
    ),
    "events: export to CSV": Case(
        ("scalars",),
        {
            "ckptfmt": Job(ckptfmt_csv, file_and_target),
            "tbparse: to_csv": Job(tbparse_csv, lambda inputs: file_and_target(tensorboard_ready(inputs))),
        },
        note="ckptfmt syncs the file to storage; pandas does not.",
    ),
    "records: iterate over large records, verified": Case(
        ("records",),
        {
            "ckptfmt": Job(ckptfmt_records),
            "ckptfmt: as bytes": Job(ckptfmt_record_bytes),
            "tensorflow: tf_record_iterator": Job(tensorflow_record_iterator),
            "tensorflow: TFRecordDataset": Job(tensorflow_record_dataset),
            "crc32c: mapped file, one thread": Job(crc_of_mapped_file(1, "records", RECORDS)),
        },
        (Target("speed", 1e9),),
        rate=True,
        note="Records of 1 MiB. ckptfmt returns views of the mapped file; TensorFlow and *as bytes* copy.",
    ),
}
