"""Limits: what a file may take, for every opener and every verb."""

from __future__ import annotations

import gzip
import pickle
import sys
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ckptfmt
from ckptfmt import Limits
from ckptfmt.cli.options import parse_limits
from ckptfmt.errors import CorruptError, LimitError
from ckptfmt.proto import messages
from tests.support.command_line import run
from tests.support.table_writer import (
    HEADER,
    RawBlock,
    compressed,
    encode_block,
    encode_blocks,
    encode_entry,
    write_bundle,
)

OPENERS = {
    "open": ckptfmt.open,
    "open_events": ckptfmt.open_events,
    "open_records": ckptfmt.open_records,
    "open_saved_model": ckptfmt.open_saved_model,
    "read_graph": ckptfmt.read_graph,
    "read_meta_graph": ckptfmt.read_meta_graph,
    "match": ckptfmt.match,
    "Plan.read": ckptfmt.Plan.read,
    "Plan.parse": ckptfmt.Plan.parse,
    "to_array": ckptfmt.to_array,
    "latest_checkpoint": ckptfmt.latest_checkpoint,
    "read_checkpoint_state": ckptfmt.read_checkpoint_state,
    "find_runs": ckptfmt.find_runs,
}


@pytest.mark.parametrize("name", OPENERS)
def test_every_opener_takes_limits(name: str) -> None:
    import inspect

    assert inspect.signature(OPENERS[name]).parameters["limits"].default == Limits()


@pytest.mark.parametrize("name", OPENERS)
@pytest.mark.parametrize("limits", [{"max_bytes": 1}, 5, None, "none"], ids=repr)
def test_other_things_than_limits_are_refused(name: str, limits: Any, tmp_path: Path) -> None:
    arguments = (tmp_path, tmp_path) if name == "match" else (tmp_path,)
    with pytest.raises(TypeError, match=r"^limits: got (a \w+|None), want a ckptfmt\.Limits, such as "):
        OPENERS[name](*arguments, limits=limits)  # type: ignore[operator]


def test_a_state_file_has_limits(tmp_path: Path) -> None:
    state = tmp_path / "checkpoint"
    state.write_text('model_checkpoint_path: "ckpt-1"\n' + "#" * (5 << 20))
    for limits in (Limits(), Limits(max_bytes=1 << 40)):
        with pytest.raises(CorruptError, match="too large for a state file"):
            ckptfmt.read_checkpoint_state(tmp_path, limits=limits)
    found = ckptfmt.read_checkpoint_state(tmp_path, limits=Limits.NONE)
    assert found is not None
    assert found.model_checkpoint_path == "ckpt-1"
    state.write_text('model_checkpoint_path: "ckpt-1"\n')
    (tmp_path / "ckpt-1.index").write_bytes(b"")
    assert ckptfmt.latest_checkpoint(tmp_path) == str(tmp_path / "ckpt-1")
    for read in (ckptfmt.read_checkpoint_state, ckptfmt.latest_checkpoint):
        with pytest.raises(LimitError, match="bytes of a state file: 32 exceeds the limit of 10"):
            read(tmp_path, limits=Limits(max_bytes=10))


def test_runs_have_a_limit(tmp_path: Path) -> None:
    for run_name in "abc":
        (tmp_path / run_name).mkdir()
        (tmp_path / run_name / "events.out.tfevents.1.host").write_bytes(b"")
    assert len(ckptfmt.find_runs(tmp_path, limits=Limits(max_names=3))) == 3
    with pytest.raises(LimitError, match="runs: 3 exceeds the limit of 2"):
        ckptfmt.find_runs(tmp_path, limits=Limits(max_names=2))
    assert run("events", tmp_path, "--limits", "max_names=2").exit_code == 3


def test_every_verb_takes_limits() -> None:
    from ckptfmt.cli.app import VERBS

    for verb in VERBS.keys() - {"help", "plans"}:  # these read no files of the user's
        assert "--limits" in run(verb, "--help").stdout, verb


def test_none_of_the_limits_remains_in_none() -> None:
    assert all(
        getattr(Limits.NONE, field.name) is None for field in fields(Limits) if field.name != "free_bytes"
    )
    assert Limits.NONE.memory(0) == Limits.NONE.value == Limits.NONE.record == sys.maxsize


@pytest.mark.parametrize("value", [-1, "1", True, float("nan")])
def test_a_limit_is_a_number(value: Any) -> None:
    with pytest.raises(ValueError, match=r"max_bytes: got .*, want a number that is not negative, or None"):
        Limits(max_bytes=value)


def test_a_listing_has_a_multiple_of_its_file() -> None:
    limits = Limits(max_ratio=10, free_bytes=100)
    assert [limits.memory(size) for size in (0, 10, 11)] == [100, 100, 110]


# --- what they bound -------------------------------------------------------------------------------------


def constant(elements: int) -> bytes:
    """A graph with a constant of two values, the last one repeated."""
    graph = messages.GraphDef()
    node = graph.node.add(name="c", op="Const")
    node.attr["dtype"].type = messages.DataType.DT_FLOAT
    tensor = node.attr["value"].tensor
    tensor.dtype = messages.DataType.DT_FLOAT
    tensor.tensor_shape.dim.add(size=elements)
    tensor.float_val.extend([1, 2])
    return graph.SerializeToString()


def test_a_constant_that_repeats_its_value() -> None:
    data = constant(1000)
    want = np.array([1] + [2] * 999, np.float32)
    np.testing.assert_array_equal(ckptfmt.read_graph(data).constants["c"], want)
    small = Limits(max_bytes=3999)
    with pytest.raises(
        LimitError, match=r"constant 'c'.*: 4000 exceeds the limit of 3999 \(Limits.max_bytes\)"
    ):
        ckptfmt.read_graph(data, limits=small).constants["c"]
    with pytest.raises(LimitError):
        ckptfmt.to_array(messages.GraphDef.FromString(data).node[0].attr["value"].tensor, limits=small)
    np.testing.assert_array_equal(ckptfmt.read_graph(data, limits=Limits.NONE).constants["c"], want)


def test_names_that_take_more_memory_than_their_file(tmp_path: Path) -> None:
    write_bundle(tmp_path / "ckpt", {})
    header = encode_block([(b"", HEADER)])
    # Entries that are tensors: a scalar each, its four bytes at offset 0 of the data file.
    entry = encode_entry(shape=(), size=4, crc=0)
    keys = encode_block([(b"%03d" % i, entry) for i in range(899)])
    index = encode_blocks([RawBlock(b"", header), RawBlock(b"l", *compressed(keys, "snappy"))])
    (tmp_path / "ckpt.index").write_bytes(index)
    with pytest.raises(
        LimitError, match=r"memory for keys: [0-9]+ exceeds the limit of 100000 \(Limits.max_ratio\)"
    ) as caught:
        list(ckptfmt.open(tmp_path / "ckpt", limits=Limits(max_ratio=0, free_bytes=100_000)))
    assert caught.value.file == str(tmp_path / "ckpt.index")
    with pytest.raises(LimitError, match=r"keys: [0-9]+ exceeds the limit of 500 \(Limits.max_names\)"):
        list(ckptfmt.open(tmp_path / "ckpt", limits=Limits(max_names=500)))
    assert len(list(ckptfmt.open(tmp_path / "ckpt"))) == 899


def test_worker_processes_have_the_same_limits(tmp_path: Path) -> None:
    write_bundle(tmp_path / "ckpt", {f"v{i}": np.zeros(1, np.float32) for i in range(20)})
    ckpt = ckptfmt.open(tmp_path / "ckpt", limits=Limits(max_names=20))
    for sent in (ckpt, ckpt.entries):
        received = pickle.loads(pickle.dumps(sent))
        with pytest.raises(
            LimitError, match=r"keys: 21 exceeds the limit of 20 \(Limits.max_names\)"
        ) as caught:
            list(received)
        assert (caught.value.field, caught.value.limit, caught.value.asked) == ("max_names", 20, 21)


@pytest.mark.parametrize("verb", ["ls", "verify"])
def test_the_command_line_passes_limits_on(tmp_path: Path, verb: str) -> None:
    write_bundle(tmp_path / "ckpt", {f"v{i}": np.zeros(1, np.float32) for i in range(20)})
    assert run(verb, tmp_path / "ckpt").exit_code == 0
    result = run(verb, tmp_path / "ckpt", "--limits", "max_ratio=0,free_bytes=1K")
    assert result.exit_code == 3
    assert "exceeds the limit of 1024" in result.stdout + result.stderr
    assert run(verb, tmp_path / "ckpt", "--limits", "none").exit_code == 0


def test_a_record_of_a_compressed_file(tmp_path: Path) -> None:
    path = tmp_path / "r"
    with ckptfmt.RecordWriter(path, compression="GZIP") as writer:
        writer.write(bytes(30_000_000))
    with pytest.raises(LimitError, match=r"exceeds the limit of 1000000 \(Limits.max_record\)"):
        list(ckptfmt.open_records(path, limits=Limits(max_record=1_000_000)))
    assert len(list(ckptfmt.open_records(path))) == 1
    assert gzip.decompress(path.read_bytes())


# --- as text ---------------------------------------------------------------------------------------------

TEXTS: Mapping[str, Limits] = {
    "none": Limits.NONE,
    "max_bytes=4GiB": Limits(max_bytes=4 << 30),
    "max_bytes = 1K, max_ratio=2.5,max_depth=none": Limits(max_bytes=1024, max_ratio=2.5, max_depth=None),
    "max_seconds=0.5": Limits(max_seconds=0.5),
}


@pytest.mark.parametrize("text", TEXTS)
def test_limits_are_parsed(text: str) -> None:
    assert parse_limits(text) == TEXTS[text]


@pytest.mark.parametrize("text", ["", "max_bytes", "bytes=1", "max_bytes=x", "max_ratio=x", "max_ratio=-1"])
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  (each has a message of its own)
        parse_limits(text)
    result = run("ls", "examples/digits", "--limits", text)
    assert result.exit_code == 2
    assert "--limits" in result.stderr


def test_a_pickled_object_graph_keeps_its_limits() -> None:
    limits = Limits(max_depth=1)
    with ckptfmt.open("examples/digits", limits=limits) as checkpoint:
        graph = checkpoint.object_graph
        assert graph is not None
        pickled = pickle.loads(pickle.dumps(graph))
        with pytest.raises(LimitError, match="nesting depth of objects"):
            pickled.short_names_below(pickled.root)
