"""What docs/guarantees.md says of threads and of pickling."""

from __future__ import annotations

import pickle
import sys
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ckptfmt
from tests.support.checkpoints import new_checkpoint

THREADS = 8
DIGITS = "examples/digits"
EVENTS = "tests/data/events/tf2"
MODEL = "tests/data/golden/saved_model/model"


@pytest.fixture
def eager_switches() -> Iterator[None]:
    """Have threads take turns a thousand times as often as usual."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(5e-6)
    yield
    sys.setswitchinterval(usual)


def content(arrays: Mapping[str, np.ndarray[Any, Any]]) -> dict[str, object]:
    return {name: (array.dtype.str, array.tolist()) for name, array in arrays.items()}


def read_checkpoint(checkpoint: ckptfmt.Checkpoint) -> object:
    return content(checkpoint), [entry.name for entry in checkpoint.entries.values()]


def read_views(checkpoint: ckptfmt.Checkpoint) -> object:
    return content(checkpoint.by_full_name().model_variables()), [
        node.keys for node in checkpoint.object_graph
    ]


def read_model(model: ckptfmt.SavedModel) -> object:
    return sorted(model.signatures), content(model.variables)


def read_graph(graph: ckptfmt.Graph) -> object:
    return list(graph), content(graph.constants)


def read_events(events: ckptfmt.EventLog) -> object:
    return (
        dict(events.tags),
        events.scalars["loss"].values.tolist(),
        events.histograms["weights"][-1].counts.tolist(),
    )


@pytest.mark.parametrize(
    ("opened", "read"),
    [
        (lambda: ckptfmt.open(DIGITS), read_checkpoint),
        (lambda: ckptfmt.open(DIGITS, backend="pread"), read_checkpoint),
        (lambda: ckptfmt.open(DIGITS), read_views),
        (lambda: ckptfmt.open_saved_model(MODEL), read_model),
        (lambda: ckptfmt.read_graph(MODEL), read_graph),
        (lambda: ckptfmt.open_events(EVENTS), read_events),
    ],
    ids=["checkpoint", "pread", "views", "SavedModel", "graph", "events"],
)
def test_threads_share_what_is_opened(
    opened: Callable[[], Any], read: Callable[[Any], object], eager_switches: None
) -> None:
    alone = read(opened())
    for _ in range(5):
        shared = opened()
        with ThreadPoolExecutor(THREADS) as pool:
            # Everything that is computed once and kept is computed while the others ask for it too.
            assert all(result == alone for result in pool.map(read, [shared] * THREADS))


@pytest.mark.parametrize("backend", ["mmap", "pread"])
def test_a_checkpoint_may_be_closed_while_threads_read(
    backend: str, tmp_path: Path, eager_switches: None
) -> None:
    expected = {
        "a": np.arange(50_000, dtype=np.float32),
        "b": np.ones(50_000, np.int64),
    }  # large enough to be mapped
    prefix = new_checkpoint(tmp_path, expected).prefix

    def read_until_closed(checkpoint: ckptfmt.Checkpoint) -> str:
        try:
            for name in [*expected] * 50:
                assert np.array_equal(checkpoint[name], expected[name])
        except ValueError as error:
            return str(error)
        return "not closed"

    messages: set[str] = set()
    for _ in range(5):
        checkpoint = ckptfmt.open(prefix, backend=backend)
        with ThreadPoolExecutor(THREADS) as pool:
            reads = [pool.submit(read_until_closed, checkpoint) for _ in range(THREADS)]
            checkpoint.close()
        messages |= {read.result() for read in reads}
    closed = {f"{prefix}.data-00000-of-00001: the file is closed", f"{prefix}: the checkpoint is closed"}
    assert messages <= closed | {"not closed"}


def test_entries_slices_and_reports_are_pickled() -> None:
    with ckptfmt.open(DIGITS) as checkpoint:
        name = next(iter(checkpoint))
        entries = pickle.loads(pickle.dumps(checkpoint.entries))
        assert {name: entry.shape for name, entry in entries.items()} == {
            name: entry.shape for name, entry in checkpoint.entries.items()
        }
        assert pickle.loads(pickle.dumps(checkpoint.slice(name)))[...] == checkpoint[name]
        for report in (
            checkpoint.verify(),
            checkpoint.restore([name]).report,
            ckptfmt.match(checkpoint, checkpoint),
        ):
            assert type(pickle.loads(pickle.dumps(report))) is type(report)
