"""Savers added to graphs: the nodes of TensorFlow's own, which save and restore."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import ckptfmt
from ckptfmt.errors import GraphError, NameConflictError, NameNotFoundError
from ckptfmt.graph.meta.collection import Variable
from ckptfmt.proto import messages
from tests.support.variable_graphs import (
    GRAPHS,
    build,
    layered,
    mixed,
    on_devices,
    partitioned,
    plain,
    tables,
    trained,
)

pytestmark = pytest.mark.tensorflow

KINDS = [
    pytest.param(kind, use_resource, id=f"{kind.__name__}-{'resources' if use_resource else 'references'}")
    for kind in GRAPHS
    for use_resource in (False, True)
]


def graph_of(graph: Any, *, shapes: bool = False) -> ckptfmt.Graph:
    data = graph.as_graph_def(add_shapes=shapes).SerializeToString()
    return ckptfmt.read_graph(data)


def add_tensorflow_saver(tf: Any, graph: Any, *args: Any, **options: Any) -> Any:
    with graph.as_default():
        return tf.compat.v1.train.Saver(*args, **options)


def assert_same_saver(meta: ckptfmt.MetaGraph, saver: Any, graph: Any, *, shapes: bool = False) -> None:
    assert meta.message.saver_def == messages.SaverDef.FromString(saver.saver_def.SerializeToString())
    wanted = graph_of(graph, shapes=shapes).message
    assert [node.name for node in meta.message.graph_def.node] == [node.name for node in wanted.node]
    for got, want in zip(meta.message.graph_def.node, wanted.node, strict=True):
        assert got.SerializeToString(deterministic=True) == want.SerializeToString(deterministic=True)


@pytest.mark.parametrize("shapes", [False, True], ids=["without-shapes", "with-shapes"])
@pytest.mark.parametrize("sharded", [False, True], ids=["whole", "sharded"])
@pytest.mark.parametrize(("kind", "use_resource"), KINDS)
def test_the_nodes_are_those_of_tensorflow(
    tensorflow: Any, kind: Callable[..., None], use_resource: bool, sharded: bool, shapes: bool
) -> None:
    graph = build(tensorflow, kind, use_resource)
    meta = ckptfmt.make_meta_graph(graph_of(graph, shapes=shapes), saver=False)
    saver = add_tensorflow_saver(tensorflow, graph, sharded=sharded)
    assert_same_saver(meta.with_saver(sharded=sharded), saver, graph, shapes=shapes)


@pytest.mark.parametrize("use_resource", [False, True])
def test_the_nodes_for_a_mapping_of_names_are_those_of_tensorflow(
    tensorflow: Any, use_resource: bool
) -> None:
    graph = build(tensorflow, mixed, use_resource)
    ours = ckptfmt.make_meta_graph(graph_of(graph), saver=False)
    variables = {v.op.name: v for v in graph.get_collection("variables")}
    parts = [variables[f"other/parts/p/part_{number}"] for number in range(3)]
    saver = add_tensorflow_saver(
        tensorflow,
        graph,
        {"z": variables["plain/b"], "v1": variables["plain/a"], "p": parts},
        max_to_keep=None,
        keep_checkpoint_every_n_hours=2,
        name="mine",
    )
    chosen = {"z": "plain/b", "v1": "plain/a:0", "p": [part.op.name for part in parts]}
    meta = ours.with_saver(chosen, max_to_keep=None, keep_checkpoint_every_n_hours=2, name="mine")
    assert_same_saver(meta, saver, graph)


@pytest.mark.parametrize("use_resource", [False, True])
def test_a_partitioned_variable_is_named_as_a_whole(tensorflow: Any, use_resource: bool) -> None:
    graph = build(tensorflow, partitioned, use_resource)
    meta = ckptfmt.make_meta_graph(graph_of(graph), saver=False, trainable=["parts/many"])
    assert len(meta.trainable_variables) == 12
    assert (
        meta.with_saver({"new": "parts/p"}).graph
        == meta.with_saver({"new": [f"parts/p/part_{number}" for number in range(3)]}).graph
    )
    assert list(meta.with_saver(["parts/many"]).saved_variables) == ["parts/many"]
    # One part alone is a tensor of its own.
    variable = meta.with_saver({"first": "parts/p/part_0"}).saved_variables["first"]
    assert variable.shape == (4, 2)
    with pytest.raises(NameNotFoundError, match="no variable named 'parts/q'"):
        meta.with_saver(["parts/q"])


def test_what_collections_say_of_parts_counts(tensorflow: Any) -> None:
    """Nothing in a graph says along which axis parts of equal shape follow one another."""
    v1 = tensorflow.compat.v1
    graph = tensorflow.Graph()
    with graph.as_default():
        v1.get_variable("w", [2, 4], partitioner=v1.fixed_size_partitioner(2, axis=1))
        exported = ckptfmt.read_meta_graph(v1.train.export_meta_graph().SerializeToString())
        made = ckptfmt.make_meta_graph(graph_of(graph))
        saver = v1.train.Saver()
    assert made.saved_variables["w"].shape == (4, 2)
    given = ckptfmt.make_meta_graph(made, collections={"variables": exported.variables}, saver=["w"])
    assert given.saved_variables["w"].shape == (2, 4)
    assert_same_saver(exported.with_saver(), saver, graph, shapes=True)


def test_a_replaced_saver_leaves_the_collection_of_savers(tensorflow: Any) -> None:
    graph = build(tensorflow, plain, False)
    saver = add_tensorflow_saver(tensorflow, graph)
    with graph.as_default():
        graph.add_to_collection("savers", saver)
        data = saver.export_meta_graph().SerializeToString()
    renewed = ckptfmt.read_meta_graph(data).with_saver(["plain/b"], sharded=True, replace=True)
    (collected,) = renewed.collections["savers"]
    assert isinstance(collected, bytes)
    assert messages.SaverDef.FromString(collected) == renewed.message.saver_def
    assert renewed.saver is not None
    assert renewed.saver.sharded


def test_a_second_saver_is_beside_the_first(tensorflow: Any) -> None:
    graph = build(tensorflow, plain, False)
    add_tensorflow_saver(tensorflow, graph, [graph.get_collection("variables")[0]])
    first = graph_of(graph)
    saver = add_tensorflow_saver(tensorflow, graph)
    meta = ckptfmt.make_meta_graph(first)
    assert meta.message.saver_def.filename_tensor_name == "save_1/Const:0"
    assert_same_saver(meta, saver, graph)
    # A mapping adds a third.
    third = meta.with_saver({"x": "plain/b"})
    assert third.message.saver_def.restore_op_name == "save_2/restore_all"
    assert set(third.saved_variables) == {"x"}


@pytest.mark.parametrize("sharded", [False, True])
def test_a_stale_saver_is_replaced_with_its_nodes(tensorflow: Any, sharded: bool) -> None:
    graph = build(tensorflow, mixed, True)
    bare = ckptfmt.make_meta_graph(graph_of(graph), saver=False)
    stale = bare.with_saver({"old": "plain/b"}, sharded=sharded)
    renewed = stale.with_saver(replace=True)
    assert renewed.graph == bare.with_saver().graph
    assert renewed.saver == bare.with_saver().saver
    # Nodes that something else needs stay.
    stale.message.graph_def.node.add(name="mine", op="Identity", input=["save/Const"])
    kept = stale.with_saver(replace=True)
    assert kept.message.saver_def.filename_tensor_name == "save_1/Const:0"
    assert {name for name in kept.graph if name.startswith("save/")} == {
        "save/filename/input",
        "save/filename",
        "save/Const",
    }


def hashes(prefix: Path) -> dict[str, str]:
    files = sorted(prefix.parent.glob(f"{prefix.name}.[di]*"))
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def save_values(tf: Any, graph: Any, directory: Path, **options: Any) -> dict[str, Any]:
    """Save a graph's variables with TensorFlow's Saver, and return their values by name."""
    v1 = tf.compat.v1
    with graph.as_default(), v1.Session(graph=graph) as session:
        saver = v1.train.Saver(**options)
        # Averages begin with the values of other variables.
        for is_average in (False, True):
            names = ((v, "ExponentialMovingAverage" in v.name) for v in v1.global_variables())
            session.run([v.initializer for v, matches in names if matches is is_average])
        saver.save(session, str(directory / "ckpt"), write_meta_graph=False, write_state=False)
        return dict(session.run({v.op.name: v for v in v1.global_variables()}))


def import_and_restore(tf: Any, meta: Path, prefix: Path, again: Path | None = None) -> dict[str, Any]:
    """Return the values that TensorFlow restores, by variable; save them ``again`` if that is given."""
    v1 = tf.compat.v1
    with tf.Graph().as_default() as graph, v1.Session(graph=graph) as session:
        saver = v1.train.import_meta_graph(str(meta))
        saver.restore(session, str(prefix))
        if again is not None:
            saver.save(session, str(again), write_meta_graph=False, write_state=False)
        return dict(session.run({v.op.name: v for v in v1.global_variables()}))


def assert_equal_values(got: dict[str, Any], want: dict[str, Any]) -> None:
    assert set(got) == set(want)
    for name, value in want.items():
        assert got[name].dtype == value.dtype
        np.testing.assert_array_equal(got[name], value)


@pytest.mark.parametrize("sharded", [False, True], ids=["whole", "sharded"])
@pytest.mark.parametrize("use_resource", [False, True], ids=["references", "resources"])
@pytest.mark.parametrize("kind", [plain, partitioned, trained, mixed])
def test_tensorflow_restores_and_saves_with_them(
    tensorflow: Any, tmp_path: Path, kind: Callable[..., None], use_resource: bool, sharded: bool
) -> None:
    graph = build(tensorflow, kind, use_resource)
    tensorflow.io.write_graph(graph.as_graph_def(), str(tmp_path), "graph.pbtxt")
    values = save_values(tensorflow, graph, tmp_path, sharded=sharded)
    meta = ckptfmt.make_meta_graph(ckptfmt.read_graph(tmp_path / "graph.pbtxt"), saver=False)
    meta.with_saver(sharded=sharded).write(tmp_path / "ckpt.meta")
    (tmp_path / "again").mkdir()
    again = tmp_path / "again" / "ckpt"
    got = import_and_restore(tensorflow, tmp_path / "ckpt.meta", tmp_path / "ckpt", again)
    assert_equal_values(got, values)
    assert hashes(again) == hashes(tmp_path / "ckpt") != {}
    # The file leads this package to the checkpoint, too.
    meta.with_saver().check_tensors(ckptfmt.open(again))


@pytest.mark.parametrize("sharded", [False, True], ids=["whole", "sharded"])
def test_tables_are_saved_and_restored(tensorflow: Any, tmp_path: Path, sharded: bool) -> None:
    v1 = tensorflow.compat.v1
    graph = build(tensorflow, tables, True)
    meta = ckptfmt.make_meta_graph(graph_of(graph), saver=False).with_saver(sharded=sharded)
    meta.write(tmp_path / "ckpt.meta")
    with graph.as_default(), v1.Session(graph=graph) as session:
        session.run(["fill", v1.global_variables_initializer()])
        v1.train.Saver(sharded=sharded).save(session, str(tmp_path / "ckpt"), write_meta_graph=False)
        wanted = session.run(["word:0", "number:0"])
    with tensorflow.Graph().as_default() as again, v1.Session(graph=again) as session:
        saver = v1.train.import_meta_graph(str(tmp_path / "ckpt.meta"))
        saver.restore(session, str(tmp_path / "ckpt"))
        for got, want in zip(session.run(["word:0", "number:0"]), wanted, strict=True):
            np.testing.assert_array_equal(got, want)
    assert set(meta.saved_variables) == set(ckptfmt.open(tmp_path / "ckpt"))
    renamed = meta.with_saver({"t": "words:0"})
    assert list(renamed.saved_variables) == ["t-keys", "t-values"]


@pytest.mark.parametrize("use_resource", [False, True], ids=["references", "resources"])
def test_tensorflow_restores_a_checkpoint_that_was_written_for_the_meta_graph(
    tensorflow: Any, tmp_path: Path, use_resource: bool
) -> None:
    meta = ckptfmt.make_meta_graph(graph_of(build(tensorflow, mixed, use_resource)))
    rng = np.random.default_rng(0)
    values: dict[str, Any] = {}
    for name, variable in meta.saved_variables.items():
        assert variable.shape is not None
        shape = [size or 0 for size in variable.shape]
        if variable.dtype == "string":
            values[name] = np.full(shape, b"text", object)
        else:
            values[name] = rng.integers(0, 100, shape).astype(variable.dtype.numpy)
    meta.check_tensors(values)
    ckptfmt.save(tmp_path / "ckpt", values)
    meta.check_tensors(ckptfmt.open(tmp_path / "ckpt"))
    meta.write(tmp_path / "ckpt.meta")
    restored = import_and_restore(tensorflow, tmp_path / "ckpt.meta", tmp_path / "ckpt", tmp_path / "again")
    with ckptfmt.open(tmp_path / "again") as again:
        # TensorFlow gives each part of a slot a name of its own, and only its slice of the whole.
        whole = {name: value for name, value in values.items() if "/part_" not in name}
        assert_equal_values({name: again[name] for name in whole}, whole)
    for name in ("plain/b", "plain/a", "plain/half", "plain/flag", "plain/text"):
        np.testing.assert_array_equal(restored[name], values[name])
    joined = np.concatenate([restored[f"other/parts/columns/part_{number}"] for number in range(2)], axis=1)
    np.testing.assert_array_equal(joined, values["other/parts/columns"])


def test_a_made_meta_graph_is_frozen_with_the_values_of_parts(tensorflow: Any, tmp_path: Path) -> None:
    v1 = tensorflow.compat.v1
    graph = build(tensorflow, trained, True)
    values = save_values(tensorflow, graph, tmp_path)
    frozen = ckptfmt.freeze(
        ckptfmt.make_meta_graph(graph_of(graph)), ckptfmt.open(tmp_path / "ckpt"), ["net/y"]
    )
    with tensorflow.Graph().as_default() as again, v1.Session(graph=again) as session:
        graph_def = v1.GraphDef.FromString(frozen.to_bytes())
        tensorflow.import_graph_def(graph_def, name="")
        got = session.run("net/y:0", {"net/x:0": np.eye(4)})
    kernel = np.concatenate([values["net/w/part_0"], values["net/w/part_1"]])
    np.testing.assert_allclose(got, kernel + values["net/b"], rtol=1e-6)


def test_an_older_tensorflow_gets_only_ops_that_it_knows(tensorflow: Any) -> None:
    message = graph_of(build(tensorflow, partitioned, True)).message
    assert ckptfmt.make_meta_graph(ckptfmt.Graph(message)).graph.ops["DisableCopyOnRead"] > 0
    message.versions.producer = 134  # TensorFlow 1.15
    old = ckptfmt.make_meta_graph(ckptfmt.Graph(message))
    assert "DisableCopyOnRead" not in old.graph.ops
    with tensorflow.Graph().as_default():
        graph_def = tensorflow.compat.v1.GraphDef.FromString(old.graph.to_bytes())
        tensorflow.import_graph_def(graph_def)


def test_names_in_the_checkpoint_may_differ(tensorflow: Any, tmp_path: Path) -> None:
    graph = build(tensorflow, plain, True)
    v1 = tensorflow.compat.v1
    with graph.as_default(), v1.Session(graph=graph) as session:
        bare = graph_of(graph)
        variables = {v.op.name: v for v in v1.global_variables()}
        session.run(v1.global_variables_initializer())
        wanted = session.run(variables["plain/b"])
        saver = v1.train.Saver({"v1": variables["plain/b"]})
        saver.save(session, str(tmp_path / "ckpt"), write_meta_graph=False)
    ckptfmt.make_meta_graph(bare, saver={"v1": "plain/b"}).write(tmp_path / "ckpt.meta")
    with tensorflow.Graph().as_default() as again, v1.Session(graph=again) as session:
        v1.train.import_meta_graph(str(tmp_path / "ckpt.meta")).restore(session, str(tmp_path / "ckpt"))
        np.testing.assert_array_equal(session.run("plain/b/Read/ReadVariableOp:0"), wanted)


@pytest.mark.parametrize("use_resource", [False, True])
@pytest.mark.parametrize("kind", GRAPHS)
def test_collections_describe_variables_as_tensorflow_does(
    tensorflow: Any, kind: Callable[..., None], use_resource: bool
) -> None:
    graph = build(tensorflow, kind, use_resource)
    meta = ckptfmt.make_meta_graph(graph_of(graph))
    with graph.as_default():
        saver = tensorflow.compat.v1.train.Saver()
        exported = saver.export_meta_graph()
    wanted = ckptfmt.read_meta_graph(exported.SerializeToString())

    def described(variables: Sequence[Variable]) -> list[Variable]:
        # A graph does not say how copies of a variable, such as the step, are combined. An average is
        # initialised from a copy of what the program named, which waits for other variables.
        return sorted(
            v._replace(
                trainable=True,
                aggregation="none",
                initial_value="" if v.name.endswith("ExponentialMovingAverage:0") else v.initial_value,
            )
            for v in variables
        )

    assert described(meta.variables) == described(wanted.variables)
    if kind in (trained, layered):
        # A graph shows what is trained only by training it, or by what changes outside of training.
        assert sorted(v.name for v in meta.trainable_variables) == sorted(
            v.name for v in wanted.trainable_variables
        )
        assert {v.name: v.trainable for v in meta.variables} == {
            v.name: v.trainable for v in wanted.variables
        }
    got, want = (each.message.meta_info_def.stripped_op_list for each in (meta, wanted))
    for argument in (argument for op in want.op for argument in op.output_arg):
        argument.ClearField("experimental_full_type")
    assert [op.name for op in got.op] == [op.name for op in want.op]
    assert got.SerializeToString(deterministic=True) == want.SerializeToString(deterministic=True)


def test_variables_are_trained_as_the_caller_says(tensorflow: Any) -> None:
    graph = graph_of(build(tensorflow, plain, True))
    meta = ckptfmt.make_meta_graph(graph, trainable=["plain/half", "plain/b:0"])
    assert [v.name for v in meta.trainable_variables] == ["plain/b:0", "plain/half:0"]
    assert {v.name: v.trainable for v in meta.variables}["plain/a:0"] is False
    with pytest.raises(NameNotFoundError, match="no variable named 'plain/bb'; did you mean 'plain/b'"):
        ckptfmt.make_meta_graph(graph, trainable=["plain/bb"])


def test_wrong_variables_are_refused(tensorflow: Any) -> None:
    graph = graph_of(build(tensorflow, mixed, False))
    meta = ckptfmt.make_meta_graph(graph, saver=False)
    with pytest.raises(NameNotFoundError, match="no variable named 'plain/c'"):
        meta.with_saver(["plain/c"])
    with pytest.raises(NameNotFoundError, match="no variable named 'plain/b/read'"):
        meta.with_saver({"b": "plain/b/read"})
    with pytest.raises(NameConflictError, match="saved twice: 'plain/b' by 'x', 'y'"):
        meta.with_saver({"x": "plain/b", "y": "plain/b:0"})
    with pytest.raises(GraphError, match="tensor 'w': not the parts of one variable"):
        meta.with_saver({"w": ["plain/b", "plain/a"]})
    with pytest.raises(GraphError, match="not the parts of one variable"):
        meta.with_saver({"w": []})
    with pytest.raises(NameConflictError, match="saved twice: 'plain/a' by 'plain/a', 'plain/a'"):
        meta.with_saver(["plain/a", "plain/a:0"])
    with pytest.raises(GraphError, match="node 'plain/b': tensor name: got '', which the index keeps"):
        meta.with_saver({"": "plain/b"})
    with pytest.raises(GraphError, match="no variables to save"):
        meta.with_saver([])


def test_devices_of_any_spelling_are_grouped(tensorflow: Any) -> None:
    graph = build(tensorflow, on_devices, True)
    message = graph_of(graph).message
    for node in message.node:
        node.device = node.device.replace("/device:CPU:0", "/cpu:0")
    meta = ckptfmt.make_meta_graph(ckptfmt.Graph(message), saver=False).with_saver(sharded=True)
    assert {node.device for node in meta.graph.values() if node.op == "ShardedFilename"} == {
        "/device:CPU:0",
        "/job:ps/task:1/device:CPU:0",
    }
    for node in message.node:
        node.device = "nonsense"
    with pytest.raises(GraphError, match="not a device name: 'nonsense'"):
        ckptfmt.make_meta_graph(ckptfmt.Graph(message))


DEVICES = [None, "/cpu:0", "/gpu:1", "/job:ps", "/job:ps/task:1/gpu:0", "/job:worker/replica:1", "/cpu:*"]
VARIABLE = st.fixed_dictionaries(
    {
        "name": st.sampled_from(["v", "w", "Const", "Identity", "RestoreV2", "a-b", "x.y"]),
        "scope": st.sampled_from(["", "a", "A", "r/s"]),
        "device": st.sampled_from(DEVICES),
        "caching_device": st.sampled_from([None, "/cpu:0"]),
        "use_resource": st.booleans(),
        "shape": st.lists(st.integers(1, 5), max_size=3),
        "parts": st.integers(0, 5),
        "is_colocated": st.booleans(),
    }
)


def add_variable(tf: Any, number: int, options: dict[str, Any], made: list[Any]) -> None:
    v1 = tf.compat.v1
    shape, parts = options["shape"], options["parts"]
    partitioner = v1.fixed_size_partitioner(min(parts, shape[0])) if shape and parts else None
    scope = v1.variable_scope(
        options["scope"] or v1.get_variable_scope(), use_resource=options["use_resource"]
    )
    beside = v1.colocate_with(made[0]) if options["is_colocated"] and made else nullcontext()
    with tf.device(options["device"]), scope, beside:
        variable = v1.get_variable(
            f"{options['name']}{number}",
            shape,
            partitioner=partitioner,
            caching_device=options["caching_device"],
            initializer=v1.zeros_initializer(),
        )
    if partitioner is None:
        made.append(variable.op)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(VARIABLE, min_size=1, max_size=8), st.booleans(), st.booleans())
def test_the_nodes_are_those_of_tensorflow_for_any_variables(
    tensorflow: Any, variables: list[dict[str, Any]], sharded: bool, shapes: bool
) -> None:
    graph = tensorflow.Graph()
    with graph.as_default():
        made: list[Any] = []
        for number, options in enumerate(variables):
            add_variable(tensorflow, number, options, made)
    meta = ckptfmt.make_meta_graph(graph_of(graph, shapes=shapes), saver=False)
    saver = add_tensorflow_saver(tensorflow, graph, sharded=sharded)
    assert_same_saver(meta.with_saver(sharded=sharded), saver, graph, shapes=shapes)
