"""Freezing without TensorFlow: graphs that make no sense, and graphs made to take a long time."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

import ckptfmt
from ckptfmt.errors import ChecksumError, CorruptError, GraphError
from ckptfmt.proto import messages
from tests.support.table_writer import write_bundle

RESOURCE = messages.DataType.DT_RESOURCE
W = {"v": np.array([1, 2], np.float32)}


def graph_with(*nodes: tuple[str, str, list[str]], op: str = "VarHandleOp") -> messages.GraphDef:
    graph = messages.GraphDef()
    v = graph.node.add(name="v", op=op)
    v.attr["dtype"].type = 1
    v.attr["shape"].shape.dim.add(size=2)
    for name, kind, inputs in nodes:
        graph.node.add(name=name, op=kind, input=inputs)
    return graph


def call(graph: messages.GraphDef, name: str, function: str, inputs: list[str]) -> None:
    node = graph.node.add(name=name, op="PartitionedCall", input=inputs)
    node.attr["f"].func.name = function
    node.attr["Tin"].list.type.extend([messages.DataType.DT_RESOURCE] * len(inputs))


def function(graph: messages.GraphDef, name: str, calls: list[str]) -> messages.FunctionDef:
    made = graph.library.function.add()
    made.signature.name = name
    made.signature.input_arg.add(name="a", type=messages.DataType.DT_RESOURCE)
    for i, other in enumerate(calls):
        node = made.node_def.add(name=f"n{i}", op="PartitionedCall", input=["a"])
        node.attr["f"].func.name = other
        node.attr["Tin"].list.type.append(messages.DataType.DT_RESOURCE)
    read = made.node_def.add(name="read", op="ReadVariableOp", input=["a"])
    read.attr["dtype"].type = 1
    made.signature.output_arg.add(name="r", type=1)
    made.ret["r"] = "read:value:0"
    return made


def test_a_variable_is_followed_into_functions_that_call_each_other() -> None:
    graph = graph_with()
    call(graph, "out", "__inference_f_12", ["v"])
    function(graph, "__inference_f_12", ["g"])
    function(graph, "g", ["__inference_f_12", "g"])
    frozen = ckptfmt.freeze(ckptfmt.Graph(graph), W, "out")
    assert list(frozen.functions) == ["__inference_f_frozen_0", "g_frozen_1"]
    inner = frozen.functions["g_frozen_1"]
    assert inner.inputs[0].dtype == "float32"
    assert inner.nodes["read"].op == "Identity"
    assert str(inner.returns["r"]) == "read:output:0"
    assert frozen.functions.calls["g_frozen_1"] == {"__inference_f_frozen_0", "g_frozen_1"}
    assert frozen["out"].attributes["Tin"] == ["float32"]
    np.testing.assert_array_equal(frozen.constants["v"], W["v"])


def test_a_gather_in_a_function_is_frozen_too() -> None:
    graph = graph_with()
    call(graph, "out", "f", ["v"])
    made = function(graph, "f", [])
    gather = made.node_def.add(name="gather", op="ResourceGather", input=["a", "rows"])
    gather.attr["dtype"].type = 1
    gather.attr["Tindices"].type = messages.DataType.DT_INT64
    made.ret["r"] = "gather:output:0"
    frozen = ckptfmt.freeze(ckptfmt.Graph(graph), W, "out")
    nodes = frozen.functions["f_frozen_0"].nodes
    assert nodes["gather"].op == "GatherV2"
    assert list(nodes["gather"].message.input) == ["a", "rows", "gather/axis:output:0"]
    assert nodes["gather/axis"].attributes["dtype"] == "int64"


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        ([("out", "AssignVariableOp", ["v", "v"])], "AssignVariableOp writes variable 'v'"),
        ([("out", "ResourceApplyGradientDescent", ["v", "v", "v"])], "writes variable"),
        ([("out", "ResourceScatterNdUpdate", ["v", "v", "v"])], "writes variable"),
        ([("out", "ResourceStridedSliceAssign", ["v"])], "writes variable"),
        ([("out", "RngReadAndSkip", ["v"])], "writes variable"),
    ],
)
def test_ops_that_write_variables_are_refused_by_name(
    nodes: list[tuple[str, str, list[str]]], message: str
) -> None:
    with pytest.raises(GraphError, match=message) as caught:
        ckptfmt.freeze(ckptfmt.Graph(graph_with(*nodes)), W, "out")
    assert caught.value.node == "out"


def test_calls_that_do_not_fit_their_functions_are_errors() -> None:
    graph = graph_with()
    call(graph, "out", "gone", ["v"])
    with pytest.raises(GraphError, match="'gone'"):
        ckptfmt.freeze(ckptfmt.Graph(graph), W, "out")
    function(graph, "gone", [])
    graph.node[-1].input.append("v")
    with pytest.raises(GraphError, match="has 1 dtypes"):
        ckptfmt.freeze(ckptfmt.Graph(graph), W, "out")
    graph.node[-1].attr["Tin"].list.type.append(1)
    with pytest.raises(GraphError, match="has no argument 1"):
        ckptfmt.freeze(ckptfmt.Graph(graph), W, "out")
    with pytest.raises(CorruptError, match="'nowhere'"):
        ckptfmt.freeze(ckptfmt.Graph(graph_with(("out", "Neg", ["nowhere"]))), W, "out")
    with pytest.raises(GraphError, match="no outputs"):
        ckptfmt.freeze(ckptfmt.Graph(graph), W, [])


def test_long_chains_and_loops_are_frozen_in_linear_time() -> None:
    count = 50_000
    chain = [(f"n{i}", "Identity", [f"n{i - 1}" if i else "v"]) for i in range(count)]
    graph = graph_with(
        *chain, ("back", "NextIteration", ["merge"]), ("merge", "Merge", ["v", "back"]), op="VariableV2"
    )
    for node in graph.node[1:]:
        node.attr["T"].type = 1
    start = time.perf_counter()
    frozen = ckptfmt.freeze(ckptfmt.Graph(graph), W, [f"n{count - 1}", "merge"])
    assert time.perf_counter() - start < 60
    assert frozen.ops["Const"] == 1


def test_new_names_of_functions_that_are_taken_are_passed_in_linear_time() -> None:
    graph = graph_with()
    count = 10_000
    for i in range(count):
        call(graph, f"call{i}", f"f_{i}", ["v"])
        for name in (f"f_{i}", f"f_frozen_{i}", f"f_frozen_{i + count}"):
            graph.library.function.add().signature.name = name
            graph.library.function[-1].signature.input_arg.add(name="a", type=RESOURCE)
    graph.node.add(name="out", op="NoOp", input=[f"^call{i}" for i in range(count)])
    start = time.perf_counter()
    frozen = ckptfmt.freeze(ckptfmt.Graph(graph), W, "out")
    assert time.perf_counter() - start < 15
    assert len({frozen[f"call{i}"].attributes["f"].name for i in range(count)}) == count


def test_many_gathers_are_frozen_in_linear_time() -> None:
    count = 10_000
    graph = graph_with()
    graph.node.add(name="rows", op="Placeholder").attr["dtype"].type = messages.DataType.DT_INT64
    for i in range(count):
        gather = graph.node.add(name=f"g{i}", op="ResourceGather", input=["v", "rows"])
        gather.attr["dtype"].type = 1
        gather.attr["Tindices"].type = messages.DataType.DT_INT64
    graph.node.add(name="out", op="NoOp", input=[f"^g{i}" for i in range(count)])
    start = time.perf_counter()
    frozen = ckptfmt.freeze(ckptfmt.Graph(graph), W, "out")
    assert time.perf_counter() - start < 15
    assert frozen.ops["GatherV2"] == count


@pytest.mark.parametrize("is_inner", [False, True])
def test_loops_of_many_variables_are_frozen_in_linear_time(is_inner: bool) -> None:
    count = 4000
    graph = messages.GraphDef()
    for i in range(count):
        v = graph.node.add(name=f"v{i}", op="VarHandleOp")
        v.attr["dtype"].type = 1
    functions = [graph.library.function.add() for _ in range(3)]
    for made, name in zip(functions, ("body", "cond", "outer"), strict=True):
        made.signature.name = name
        for i in range(count):
            made.signature.input_arg.add(name=f"a{i}", type=RESOURCE)
    for i in range(count):
        functions[0].signature.output_arg.add(name=f"r{i}", type=RESOURCE)
        functions[0].ret[f"r{i}"] = f"a{i}"
    nodes = functions[2].node_def if is_inner else graph.node
    loop = nodes.add(name="loop", op="While", input=[f"{'a' if is_inner else 'v'}{i}" for i in range(count)])
    loop.attr["T"].list.type.extend([RESOURCE] * count)
    loop.attr["body"].func.name, loop.attr["cond"].func.name = "body", "cond"
    for i in range(count):
        read = nodes.add(name=f"r{i}", op="ReadVariableOp", input=[f"loop:{'output:' * is_inner}{i}"])
        read.attr["dtype"].type = 1
    if is_inner:
        call(graph, "out", "outer", [f"v{i}" for i in range(count)])
    else:
        graph.node.add(name="out", op="NoOp", input=[f"^r{i}" for i in range(count)])
    start = time.perf_counter()
    frozen = ckptfmt.freeze(ckptfmt.Graph(graph), {f"v{i}": W["v"] for i in range(count)}, "out")
    assert time.perf_counter() - start < 15
    inner = frozen.functions[frozen["out"].attributes["f"].name].nodes if is_inner else frozen
    assert {inner[f"r{i}"].op for i in range(count)} == {"Identity"}


def test_calls_and_results_of_a_function_do_not_multiply() -> None:
    graph = graph_with()
    count = 4000
    made = graph.library.function.add()
    made.signature.name = "f"
    made.signature.input_arg.add(name="a", type=RESOURCE)
    for i in range(count):
        made.signature.output_arg.add(name=f"r{i}", type=RESOURCE)
        made.ret[f"r{i}"] = "a"
    for i in range(count):
        graph.node.add(name=f"c{i}", op="f", input=["v"])
        graph.node.add(name=f"n{i}", op="ReadVariableOp", input=[f"c{i}:{i}"]).attr["dtype"].type = 1
    graph.node.add(name="out", op="NoOp", input=[f"^n{i}" for i in range(count)])
    start = time.perf_counter()
    frozen = ckptfmt.freeze(ckptfmt.Graph(graph), W, "out")
    assert time.perf_counter() - start < 10
    assert {frozen[f"n{i}"].op for i in range(count)} == {"Identity"}


def test_the_oldest_variables_are_frozen_too() -> None:
    graph = graph_with(("out", "Identity", ["v"]), op="Variable")
    frozen = ckptfmt.freeze(ckptfmt.Graph(graph), W, "out")
    assert frozen["v"].op == "Const"


def restored_as(names: dict[str, str], slices: str = "") -> messages.GraphDef:
    """A graph in which each variable is restored from a tensor, and summed."""
    graph = messages.GraphDef()
    for op, values in (("names", list(names.values())), ("slices", [slices] * len(names))):
        graph.node.add(name=op, op="Const").attr["value"].tensor.CopyFrom(ckptfmt.to_proto(values))
    restore = graph.node.add(name="restore", op="RestoreV2", input=["p", "names", "slices"])
    restore.attr["dtypes"].list.type.extend([1] * len(names))
    graph.node.add(name="p", op="Placeholder")
    for i, name in enumerate(names):
        variable = graph.node.add(name=name, op="VarHandleOp")
        variable.attr["dtype"].type = 1
        variable.attr["shape"].shape.dim.add(size=2)
        graph.node.add(name=f"assign{i}", op="AssignVariableOp", input=[name, f"restore:{i}"])
        graph.node.add(name=f"read{i}", op="ReadVariableOp", input=[name]).attr["dtype"].type = 1
    graph.node.add(name="out", op="AddN", input=[f"read{i}" for i in range(len(names))])
    return graph


def test_names_in_the_checkpoint_and_names_of_nodes_are_not_mixed() -> None:
    graph = ckptfmt.Graph(restored_as({"a": "b", "b": "c"}))
    one, two = np.ones(2, np.float32), np.full(2, 2, np.float32)
    frozen = ckptfmt.freeze(graph, {"b": one, "c": two}, "out")
    assert (frozen.constants["a"].tolist(), frozen.constants["b"].tolist()) == ([1, 1], [2, 2])
    frozen = ckptfmt.freeze(graph, {"a": one, "b": two}, "out")
    assert (frozen.constants["a"].tolist(), frozen.constants["b"].tolist()) == ([1, 1], [2, 2])
    with pytest.raises(GraphError, match="no 'c' or 'b'") as caught:
        ckptfmt.freeze(graph, {"b": one}, "out")
    assert caught.value.node == "b"


def test_a_part_of_a_damaged_tensor_is_not_frozen(tmp_path: Path) -> None:
    prefix = write_bundle(tmp_path / "c", {"w": np.arange(4, dtype=np.float32)})
    graph = ckptfmt.Graph(restored_as({"w/part_0": "w"}, "4 0,2"))
    with ckptfmt.open(prefix) as checkpoint:
        assert ckptfmt.freeze(graph, checkpoint, "out").constants["w/part_0"].tolist() == [0, 1]
    shard = Path(f"{prefix}.data-00000-of-00001")
    shard.write_bytes(b"\x01" + shard.read_bytes()[1:])
    with ckptfmt.open(prefix) as checkpoint, pytest.raises(ChecksumError):
        ckptfmt.freeze(graph, checkpoint, "out")


def test_functions_that_return_their_arguments_are_frozen_in_linear_time() -> None:
    count = 3_000
    graph = graph_with()
    for i in range(count):
        made = graph.library.function.add()
        made.signature.name = f"f{i}"
        made.signature.input_arg.add(name="a", type=messages.DataType.DT_RESOURCE)
        made.signature.output_arg.add(name="r", type=messages.DataType.DT_RESOURCE)
        # Each calls the next one twice, and the last one itself.
        for k, taken in enumerate(("a", "n0:r:0")):
            made.node_def.add(name=f"n{k}", op=f"f{min(i + 1, count - 1)}", input=[taken])
        made.ret["r"] = "a" if i == count - 1 else "n1:r:0"
    graph.node.add(name="n", op="f0", input=["v"])
    read = graph.node.add(name="out", op="ReadVariableOp", input=["n"])
    read.attr["dtype"].type = 1
    start = time.perf_counter()
    frozen = ckptfmt.freeze(ckptfmt.Graph(graph), W, "out")
    assert time.perf_counter() - start < 10
    assert frozen["out"].op == "Identity"
    assert {f.outputs[0].dtype for f in map(frozen.functions.__getitem__, frozen.functions)} == {"float32"}


def test_a_variable_made_within_a_function_is_refused_by_name() -> None:
    graph = graph_with()
    call(graph, "out", "f", ["v"])
    inner = function(graph, "f", ["g"])
    function(graph, "g", []).node_def.add(name="own", op="VarHandleOp")
    with pytest.raises(GraphError, match="VarHandleOp within function 'g'") as caught:
        ckptfmt.freeze(ckptfmt.Graph(graph), W, "out")
    assert caught.value.node == "own"
    del inner.node_def[0]  # a function that is no longer called does no harm
    assert "Const" in ckptfmt.freeze(ckptfmt.Graph(graph), W, "out").ops


def test_an_unknown_op_that_takes_a_handle_is_refused_by_name() -> None:
    graph = graph_with(("out", "MyOwnOp", ["v"]))
    with pytest.raises(GraphError, match="MyOwnOp of variable 'v' cannot be frozen"):
        ckptfmt.freeze(ckptfmt.Graph(graph), W, "out")
    # A reference is a value too.
    graph = graph_with(("out", "MyOwnOp", ["v"]), op="VariableV2")
    assert ckptfmt.freeze(ckptfmt.Graph(graph), W, "out").ops == {"Const": 1, "MyOwnOp": 1}


def loop_of_two_variables() -> tuple[messages.GraphDef, messages.FunctionDef]:
    """A loop over two variables, reading the second one after it, and its body, still without results."""
    graph = graph_with()
    second = graph.node.add(name="w", op="VarHandleOp")
    second.CopyFrom(graph.node[0])
    second.name = "w"
    for name in ("body", "cond"):
        made = graph.library.function.add()
        made.signature.name = name
        for argument in "ab":
            made.signature.input_arg.add(name=argument, type=messages.DataType.DT_RESOURCE)
    body = graph.library.function[0]
    for output in "xy":
        body.signature.output_arg.add(name=output, type=messages.DataType.DT_RESOURCE)
    loop = graph.node.add(name="loop", op="While", input=["v", "w"])
    loop.attr["body"].func.name, loop.attr["cond"].func.name = "body", "cond"
    loop.attr["T"].list.type.extend([messages.DataType.DT_RESOURCE] * 2)
    read = graph.node.add(name="out", op="ReadVariableOp", input=["loop:1"])
    read.attr["dtype"].type = 1
    return graph, body


def test_a_loop_that_exchanges_handles_is_refused_by_name() -> None:
    graph, body = loop_of_two_variables()
    body.ret["x"], body.ret["y"] = "b", "a"
    values = {"v": W["v"], "w": W["v"] + 1}
    with pytest.raises(GraphError, match=r"returns variable '[vw]' in place of another") as caught:
        ckptfmt.freeze(ckptfmt.Graph(graph), values, "out")
    assert caught.value.node == "loop"
    body.ret["x"], body.ret["y"] = "a", "b"
    assert ckptfmt.freeze(ckptfmt.Graph(graph), values, "out")["out"].op == "Identity"


def test_each_call_of_a_function_in_a_loop_returns_the_variable_that_it_takes() -> None:
    graph, body = loop_of_two_variables()
    same = graph.library.function.add()
    same.signature.name = "same"
    same.signature.input_arg.add(name="a", type=messages.DataType.DT_RESOURCE)
    same.signature.output_arg.add(name="r", type=messages.DataType.DT_RESOURCE)
    same.ret["r"] = "a"
    for name in "ab":
        body.node_def.add(name=f"call_{name}", op="same", input=[name])
    body.ret["x"], body.ret["y"] = "call_a:r:0", "call_b:r:0"
    values = {"v": W["v"], "w": W["v"] + 1}
    frozen = ckptfmt.freeze(ckptfmt.Graph(graph), values, "out")
    assert frozen["loop"].attributes["T"] == ["float32", "float32"]
    body.ret["x"], body.ret["y"] = "call_b:r:0", "call_b:r:0"
    with pytest.raises(GraphError, match="in place of another"):
        ckptfmt.freeze(ckptfmt.Graph(graph), values, "out")


@pytest.mark.parametrize(
    ("op", "merge", "question"),
    [
        ("VarHandleOp", "Merge", "VarIsInitializedOp"),
        ("VariableV2", "RefMerge", "IsVariableInitialized"),
    ],
)
def test_a_question_about_a_variable_that_arrives_twice_is_answered_once(
    op: str, merge: str, question: str
) -> None:
    graph = graph_with(("merge", merge, ["v", "v"]), ("out", question, ["merge"]), op=op)
    frozen = ckptfmt.freeze(ckptfmt.Graph(graph), W, "out")
    assert frozen.constants["out"].item() is True


def test_what_functions_captured_must_be_variables_in_all_calls() -> None:
    graph = graph_with(("x", "Placeholder", []), ("map", "MapDataset", ["x", "v"]))
    graph.node.add(name="out", op="FilterDataset", input=["map", "v"])
    for name, attribute in (("map", "f"), ("out", "predicate")):
        node = next(node for node in graph.node if node.name == name)
        node.attr[attribute].func.name = "f"
        node.attr["Targuments"].list.type.append(messages.DataType.DT_RESOURCE)
    made = function(graph, "f", [])
    made.signature.input_arg.insert(0, messages.OpDef.ArgDef(name="element", type=1))
    frozen = ckptfmt.freeze(ckptfmt.Graph(graph), W, "out")
    assert frozen.functions["f_frozen_0"].nodes["read"].op == "Identity"
    assert frozen["out"].attributes["Targuments"] == ["float32"]
    graph.node[-1].input[1] = "x"
    with pytest.raises(GraphError, match="argument 1 of 'f' is not a frozen variable") as caught:
        ckptfmt.freeze(ckptfmt.Graph(graph), W, "out")
    assert caught.value.node == "out"
    graph.node[-1].input[1] = "v"
    made.ret["r"] = "a"
    with pytest.raises(GraphError, match="function 'f' returns a variable"):
        ckptfmt.freeze(ckptfmt.Graph(graph), W, "out")
    del made.signature.input_arg[:]
    with pytest.raises(GraphError, match="fewer arguments than it captured"):
        ckptfmt.freeze(ckptfmt.Graph(graph), W, "out")


def test_a_call_that_passes_something_else_than_a_variable_is_refused_by_name() -> None:
    graph = graph_with()
    call(graph, "out", "f", ["v"])
    function(graph, "f", [])
    graph.node.add(name="table", op="MutexV2")
    call(graph, "other", "f", ["table"])
    graph.node.add(name="both", op="NoOp", input=["^out", "^other"])
    assert "Const" in ckptfmt.freeze(ckptfmt.Graph(graph), W, "out").ops
    with pytest.raises(GraphError, match="of 'f' is not a frozen variable in this call") as caught:
        ckptfmt.freeze(ckptfmt.Graph(graph), W, "both")
    assert caught.value.node == "other"


def test_the_index_that_a_merge_returns_stays_an_integer() -> None:
    graph = graph_with()
    made = graph.library.function.add()
    made.signature.name = "f"
    made.signature.input_arg.add(name="a", type=messages.DataType.DT_RESOURCE)
    made.node_def.add(name="m", op="Merge", input=["a", "a"]).attr["N"].i = 2
    made.node_def.add(name="i", op="Identity", input=["m:value_index:0"]).attr["T"].type = 3
    made.node_def.add(name="r", op="ReadVariableOp", input=["m:output:0"]).attr["dtype"].type = 1
    call(graph, "out", "f", ["v"])
    nodes = ckptfmt.freeze(ckptfmt.Graph(graph), W, "out").functions["f_frozen_0"].nodes
    assert nodes["i"].attributes["T"] == "int32"
    assert nodes["m"].attributes["T"] == nodes["r"].attributes["T"] == "float32"


@pytest.mark.parametrize("code", [0, 1, 7, 20, 999])
def test_a_gather_with_indices_that_are_not_integers_is_refused_by_name(code: int) -> None:
    graph = graph_with(("out", "ResourceGather", ["v", "v"]))
    graph.node[1].attr["dtype"].type = 1
    if code:
        graph.node[1].attr["Tindices"].type = code
    with pytest.raises(GraphError, match="want 2 and int32 or int64") as caught:
        ckptfmt.freeze(ckptfmt.Graph(graph), W, "out")
    assert caught.value.node == "out"


def test_an_array_that_another_view_can_change_is_copied() -> None:
    values = np.arange(100_000, dtype=np.float32)
    graph = graph_with(("out", "Identity", ["v"]))
    del graph.node[0].attr["shape"].shape.dim[0]
    graph.node[0].attr["shape"].shape.unknown_rank = True
    view = values[:]
    values.flags.writeable = False
    frozen = ckptfmt.freeze(ckptfmt.Graph(graph), {"v": values}, "v")
    view[:] = -1
    assert frozen.constants["v"][5] == 5


def test_debug_info_is_written() -> None:
    graph = graph_with()
    graph.debug_info.files.append("model.py")
    assert messages.GraphDef.FromString(ckptfmt.Graph(graph).to_bytes()) == graph


def test_only_gradients_of_changed_functions_are_removed() -> None:
    graph = graph_with()
    call(graph, "out", "f", ["v"])
    for name in ("f", "other", "slope"):
        function(graph, name, [])
    for name in ("f", "other"):
        graph.library.gradient.add(function_name=name, gradient_func="slope")
    frozen = ckptfmt.freeze(ckptfmt.Graph(graph), W, "out")
    assert frozen.functions.gradients == {"other": "slope"}
