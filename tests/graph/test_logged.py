"""Graphs in event files: the last one that was logged, as TensorBoard shows it."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import pytest

import ckptfmt
from ckptfmt import errors
from ckptfmt.proto import messages
from tests.support.command_line import run, run_json
from tests.support.memory_filesystem import MemoryFilesystem

NAME = "events.out.tfevents.1.host"


def graph_def(*names: str) -> messages.GraphDef:
    graph = messages.GraphDef()
    graph.versions.producer = 24
    for name in names:
        graph.node.add(name=name, op="NoOp")
    return graph


def meta_graph(*names: str) -> messages.MetaGraphDef:
    return messages.MetaGraphDef(graph_def=graph_def(*names))


def event(step: int = 0, **content: Any) -> bytes:
    fields = {
        key: value if isinstance(value, str) else value.SerializeToString() for key, value in content.items()
    }
    return messages.Event(wall_time=1.5, step=step, **fields).SerializeToString()


def log(path: Path, *events: bytes) -> Path:
    with ckptfmt.RecordWriter(path) as writer:
        for each in (event(file_version="brain.Event:2"), *events):
            writer.write(each)
    return path


def test_the_last_graph_counts_and_others_have_their_steps(tmp_path: Path) -> None:
    path = log(
        tmp_path / NAME,
        event(-1, graph_def=graph_def("first")),
        event(5, meta_graph_def=meta_graph("meta")),
        event(20, graph_def=graph_def("second")),
        event(30, meta_graph_def=meta_graph("last", "meta")),
        event(30, file_version="not a graph"),
    )
    assert list(ckptfmt.read_graph(path)) == ["second"]
    assert list(ckptfmt.read_graph(path, step=-1)) == ["first"]
    assert list(ckptfmt.read_graph(path, step=5)) == ["meta"]
    assert list(ckptfmt.read_meta_graph(path).graph) == ["last", "meta"]
    assert ckptfmt.read_graph(path).file == str(path)
    with pytest.raises(errors.GraphError, match="no graph was logged at step 7, only at -1, 20"):
        ckptfmt.read_graph(path, step=7)
    result = run("graph", path, "--nodes", "*", "--step", "-1")
    assert (result.exit_code, result.stdout) == (0, "first\tNoOp\t\n")
    assert result.stderr == "2 graphs were logged, at steps -1, 20: this is the one of -1\n"


def test_a_meta_graph_counts_if_there_is_no_graph(tmp_path: Path) -> None:
    path = log(tmp_path / NAME, event(0, meta_graph_def=meta_graph("a")))
    assert list(ckptfmt.read_graph(path)) == ["a"]
    assert run_json("graph", path)["nodes"] == 1


@pytest.mark.parametrize("target", ["file", "directory"])
def test_a_graph_is_written_as_it_was_logged(tmp_path: Path, target: str) -> None:
    graph = graph_def("a", "b")
    # Each restart of a program logs its graph again.
    path = log(tmp_path / NAME, event(0, graph_def=graph))
    log(tmp_path / "events.out.tfevents.2.host.v2", event(0, graph_def=graph))
    shown = path if target == "file" else tmp_path
    out = tmp_path / "out.pb"
    result = run("subgraph", shown, "-o", out, "--outputs", "a")
    assert (result.exit_code, len(ckptfmt.read_graph(out))) == (0, 1)
    result = run("graph", shown, "--to", "pbtxt")
    assert (result.exit_code, result.stderr) == (0, "")
    (tmp_path / "graph.pbtxt").write_text(result.stdout)
    assert ckptfmt.read_graph(tmp_path / "graph.pbtxt").message == graph


def test_the_file_that_was_begun_last_counts_in_a_directory(tmp_path: Path) -> None:
    log(tmp_path / "events.out.tfevents.10.host", event(0, graph_def=graph_def("new")))
    log(tmp_path / "events.out.tfevents.9.host", event(0, graph_def=graph_def("old")))
    assert list(ckptfmt.read_graph(tmp_path)) == ["new"]


def test_compressed_files_and_other_file_systems_are_read_too(tmp_path: Path) -> None:
    data = log(tmp_path / NAME, event(0, graph_def=graph_def("a"))).read_bytes()
    fs = MemoryFilesystem({f"run/{NAME}": gzip.compress(data)})
    assert list(ckptfmt.read_graph("run", fs=fs)) == ["a"]
    assert list(ckptfmt.read_graph(f"run/{NAME}", fs=fs)) == ["a"]
    # Recognised by its content if its name is another one.
    assert list(ckptfmt.read_graph("log", fs=MemoryFilesystem({"log": data}))) == ["a"]


def test_events_without_a_graph_say_so(tmp_path: Path) -> None:
    path = log(tmp_path / NAME)
    for read in (ckptfmt.read_graph, ckptfmt.read_meta_graph):
        with pytest.raises(errors.UnsupportedError, match="a TensorBoard event file without a "):
            read(path)
    result = run("graph", tmp_path)
    assert result.exit_code == 3
    assert result.stderr == (
        f"ckptfmt: {path}: a TensorBoard event file without a graph: "
        "ckptfmt.open_events reads it and 'ckptfmt events' shows it\n"
    )
    path.write_bytes(b"")
    with pytest.raises(errors.CorruptError, match="an empty file, not a graph"):
        ckptfmt.read_graph(path)
    log(tmp_path / "events.out.tfevents.3.host", event(0, graph_def=graph_def("a")))
    assert list(ckptfmt.read_graph(tmp_path)) == ["a"]


def test_a_directory_of_runs_names_them(tmp_path: Path) -> None:
    (tmp_path / "notes").mkdir()
    for name in ("run10", "run9"):
        (tmp_path / name).mkdir()
        log(tmp_path / name / NAME, event(0, graph_def=graph_def(name)))
    result = run("graph", tmp_path)
    assert result.exit_code == 4
    assert result.stderr.endswith(
        f"; event files, which may have a graph, are in {tmp_path / 'run9'}, {tmp_path / 'run10'}\n"
    )
    assert "event files" not in run("model", tmp_path).stderr


def test_a_step_is_only_for_events(tmp_path: Path) -> None:
    (tmp_path / "graph.pb").write_bytes(graph_def("a").SerializeToString())
    for source in (tmp_path / "graph.pb", graph_def("a").SerializeToString()):
        with pytest.raises(errors.GraphError, match="only the graphs in event files have steps"):
            ckptfmt.read_graph(source, step=1)


def test_damage_beside_a_graph_is_reported_and_damage_in_its_place_is_an_error(tmp_path: Path) -> None:
    path = log(tmp_path / NAME, event(0, graph_def=graph_def("a")), event(1, file_version="x" * 50), event(2))
    data = bytearray(path.read_bytes())
    data[-60] ^= 1
    path.write_bytes(data)
    with pytest.warns(errors.DamageWarning, match="checksum mismatch"):
        assert list(ckptfmt.read_graph(path)) == ["a"]
    result = run("graph", path)
    assert result.exit_code == 0
    assert "checksum mismatch" in result.stderr
    log(path.with_name("x"), event(0, graph_def=graph_def("abc")), event(1))
    data = bytearray(path.with_name("x").read_bytes())
    data[data.index(b"abc")] ^= 1
    path.write_bytes(data)
    with pytest.warns(errors.DamageWarning), pytest.raises(errors.ChecksumError) as caught:
        ckptfmt.read_graph(path)
    assert caught.value.file == str(path)
    damaged = log(path.with_name("y"), messages.Event(graph_def=b"\x0a\xff").SerializeToString())
    with pytest.raises(errors.CorruptError, match=r"not a tensorflow\.GraphDef message") as caught:
        ckptfmt.read_graph(damaged)
    assert (caught.value.file, caught.value.offset) == (str(damaged), 40)


@pytest.mark.tensorflow
def test_tensorflow_and_tensorboard_log_what_is_read(tmp_path: Path, tensorflow: Any) -> None:
    tf1 = tensorflow.compat.v1
    with tensorflow.Graph().as_default() as graph:
        tf1.add(1, 2, name="sum")
        saved = tf1.train.export_meta_graph()
        with tf1.summary.FileWriter(str(tmp_path / "one"), graph) as writer:
            writer.add_meta_graph(saved)
    assert (
        ckptfmt.read_graph(tmp_path / "one").to_bytes()
        == ckptfmt.read_graph(graph.as_graph_def(add_shapes=True).SerializeToString()).to_bytes()
    )
    assert list(ckptfmt.read_meta_graph(tmp_path / "one").graph) == list(ckptfmt.read_graph(tmp_path / "one"))
    writer = tensorflow.summary.create_file_writer(str(tmp_path / "two"))

    @tensorflow.function
    def double(x: Any) -> Any:
        return x * 2

    concrete = double.get_concrete_function(tensorflow.TensorSpec([2]))
    with writer.as_default():
        tensorflow.summary.graph(concrete.graph)
    writer.close()
    assert "mul" in ckptfmt.read_graph(tmp_path / "two")
