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
        key: value.SerializeToString() if key in ("graph_def", "meta_graph_def") else value
        for key, value in content.items()
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


def traced(
    tag: str, *graphs: messages.GraphDef, plugin: str = "graph_run_metadata_graph"
) -> messages.Summary:
    metadata = messages.RunMetadata()
    for graph in graphs:
        metadata.function_graphs.add(pre_optimization_graph=graph)
    return run_metadata_summary(tag, metadata, plugin)


def run_metadata_summary(tag: str, metadata: messages.RunMetadata, plugin: str) -> messages.Summary:
    summary = messages.Summary()
    value = summary.value.add(tag=tag)
    value.tensor.dtype = 7
    value.tensor.string_val.append(metadata.SerializeToString())
    value.metadata.plugin_data.plugin_name = plugin
    value.metadata.plugin_data.content = b"1"
    return summary


def test_a_traced_graph_counts_if_there_is_no_other(tmp_path: Path) -> None:
    first = event(3, summary=traced("first", graph_def("x", "y")))
    last = event(4, summary=traced("last", graph_def("z"), plugin="graph_run_metadata"))
    path = log(tmp_path / NAME, first, last)
    assert list(ckptfmt.read_graph(path)) == ["z"]
    assert list(ckptfmt.read_graph(tmp_path, tags="first")) == ["x", "y"]
    assert list(ckptfmt.read_graph(path, tags=["first"], step=3)) == ["x", "y"]
    assert list(ckptfmt.read_graph(path, step=3)) == ["x", "y"]
    fs = MemoryFilesystem({f"run/{NAME}": path.read_bytes()})
    assert list(ckptfmt.read_graph("run", fs=fs)) == ["z"]
    assert run_json("graph", path, "--tags", "first")["nodes"] == 2
    for arguments, message in (
        ({"tags": "other"}, "got the tag 'other', want that of a traced graph: 'first', 'last'"),
        ({"tags": []}, "got no tag, want that of a traced graph: 'first', 'last'"),
        ({"tags": "first", "step": 4}, "no graph was logged at step 4, only at 3"),
    ):
        with pytest.raises(errors.GraphError, match=message):
            ckptfmt.read_graph(path, **arguments)  # type: ignore[arg-type]
    with pytest.raises(errors.UnsupportedError, match="a TensorBoard event file without a MetaGraphDef"):
        ckptfmt.read_meta_graph(path)
    log(tmp_path / "x", first, event(0, meta_graph_def=meta_graph("meta")), last)
    assert list(ckptfmt.read_graph(tmp_path / "x")) == ["meta"]
    assert list(ckptfmt.read_graph(tmp_path / "x", tags="last")) == ["z"]
    log(tmp_path / "y", event(0, graph_def=graph_def("a")))
    with pytest.raises(errors.GraphError, match="got the tag 'a', but no graph was traced"):
        ckptfmt.read_graph(tmp_path / "y", tags="a")


def test_several_traced_graphs_are_one_as_in_tensorboard(tmp_path: Path) -> None:
    one, two = graph_def("a"), graph_def("a")
    one.node.add(name="b", op="PartitionedCall", input=["a:1", "^a"])
    for graph in (one, two):
        graph.library.function.add().signature.name = "f"
    path = log(tmp_path / NAME, event(0, summary=traced("t", one, two)))
    graph = ckptfmt.read_graph(path)
    assert list(graph) == ["graph_1/a", "graph_1/b", "graph_2/a"]
    assert list(graph["graph_1/b"].message.input) == ["graph_1/a:1", "^graph_1/a"]
    assert list(graph.functions) == ["f"]
    assert graph.versions.producer == 24
    two.library.function[0].node_def.add(name="another")
    log(tmp_path / "x", event(0, summary=traced("t", one, two)))
    with pytest.raises(errors.NameConflictError, match="'f' by 'another function'") as caught:
        ckptfmt.read_graph(tmp_path / "x")
    assert caught.value.file == str(tmp_path / "x")


def test_graphs_of_devices_count_if_no_function_was_traced(tmp_path: Path) -> None:
    metadata = messages.RunMetadata(partition_graphs=[graph_def("cpu")])
    tagged = messages.TaggedRunMetadata(tag="step1", run_metadata=metadata.SerializeToString())
    without = messages.TaggedRunMetadata(
        tag="step2", run_metadata=messages.RunMetadata(cost_graph={}).SerializeToString()
    )
    path = log(tmp_path / NAME, event(1, tagged_run_metadata=tagged), event(2, tagged_run_metadata=without))
    assert list(ckptfmt.read_graph(path)) == ["cpu"]
    log(tmp_path / "x", event(2, tagged_run_metadata=without))
    with pytest.raises(errors.UnsupportedError, match="a TensorBoard event file without a graph"):
        ckptfmt.read_graph(tmp_path / "x")


def test_a_damaged_trace_has_the_place_of_its_event(tmp_path: Path) -> None:
    summary = traced("t", graph_def("a"))
    summary.value[0].tensor.string_val[0] = b"\x22\x03\x12\x01\xff"
    path = log(tmp_path / NAME, event(0, summary=summary))
    with pytest.raises(errors.CorruptError, match=r"not a tensorflow\.RunMetadata message") as caught:
        ckptfmt.read_graph(path)
    assert (caught.value.file, caught.value.offset) == (str(path), 40)
    summary.value[0].tensor.string_val[0] = b"\x22\xff\xff"
    with pytest.raises(errors.UnsupportedError, match="a TensorBoard event file without a graph"):
        ckptfmt.read_graph(log(tmp_path / "x", event(0, summary=summary)))


@pytest.mark.tensorflow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # Keras's own
def test_tensorflow_2_traces_what_is_read(tmp_path: Path, tensorflow: Any) -> None:
    keras = pytest.importorskip("keras")
    graph_util = pytest.importorskip("tensorboard.plugins.graph.graph_util")
    graph_pb2 = pytest.importorskip("tensorboard.compat.proto.graph_pb2")

    @tensorflow.function
    def double(x: Any) -> Any:
        return x * 2.0

    with tensorflow.summary.create_file_writer(str(tmp_path / "trace")).as_default():
        tensorflow.summary.trace_on(graph=True)
        double(tensorflow.ones((3, 5)))
        tensorflow.summary.trace_export("the trace", step=7)
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)])
    model.compile("sgd", "mse")
    model.fit(
        tensorflow.ones((4, 2)),
        tensorflow.ones((4, 3)),
        verbose=0,
        callbacks=[keras.callbacks.TensorBoard(str(tmp_path / "keras"), profile_batch=(1, 1))],
    )
    for directory, op in (
        (tmp_path / "trace", "Mul"),
        (tmp_path / "keras" / "train", "StatefulPartitionedCall"),
    ):
        graph = ckptfmt.read_graph(directory)
        assert op in graph.ops
        (metadata,) = ckptfmt.open_events(directory).run_metadata
        wanted = graph_util.merge_graph_defs(
            [
                graph_pb2.GraphDef.FromString(each.pre_optimization_graph.SerializeToString())
                for each in metadata.message.function_graphs
            ]
        )
        assert [(node.name, node.op) for node in graph.message.node] == [
            (node.name, node.op) for node in wanted.node
        ]


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
