"""Placeholders that become constants, and what is left of a graph then."""

from __future__ import annotations

import re
import time
from typing import Any

import numpy as np
import pytest

import ckptfmt
from ckptfmt.errors import CorruptError, GraphError
from ckptfmt.proto import messages

BOOL, FLOAT, INT32, STRING = 10, 1, 3, 7
W = {"w": np.array([1, 2], np.float32), "u": np.array([3, 4], np.float32)}


def new_graph(dtype: int = BOOL, op: str = "Placeholder") -> messages.GraphDef:
    graph = messages.GraphDef()
    graph.versions.producer = 1000
    graph.node.add(name="train", op=op).attr["dtype"].type = dtype
    graph.node.add(name="x", op="Placeholder").attr["dtype"].type = FLOAT
    for name in W:
        v = graph.node.add(name=name, op="VariableV2")
        v.attr["dtype"].type = FLOAT
        v.attr["shape"].shape.dim.add(size=2)
    return graph


def add(nodes: Any, name: str, op: str, *inputs: str, **types: int) -> messages.NodeDef:
    node: messages.NodeDef = nodes.add(name=name, op=op, input=inputs)
    for attribute, code in types.items():
        node.attr[attribute].type = code
    return node


def with_condition(graph: messages.GraphDef, predicate: str = "train", scope: str = "cond") -> None:
    """Add what tf.cond makes: ``x + w`` if the predicate is true, else ``x * u``."""
    n = graph.node
    add(n, f"{scope}/pred_id", "Identity", predicate, T=BOOL)
    add(n, f"{scope}/Switch", "Switch", predicate, predicate, T=BOOL)
    add(n, f"{scope}/switch_t", "Identity", f"{scope}/Switch:1", T=BOOL)
    add(n, f"{scope}/switch_f", "Identity", f"{scope}/Switch", T=BOOL)
    for branch, v, op, output in (("t", "w", "Add", ":1"), ("f", "u", "Mul", "")):
        for name in ("x", v):
            switch = add(n, f"{scope}/{branch}/{name}", "Switch", name, f"{scope}/pred_id", T=FLOAT)
            switch.attr["_class"].list.s.append(f"loc:@{name}".encode())
        inputs = [f"{scope}/{branch}/{name}{output}" for name in ("x", v)]
        add(n, f"{scope}/{branch}/{op}", op, *inputs, T=FLOAT)
        one = add(n, f"{scope}/{branch}/one", "Const", f"^{scope}/switch_{branch}", dtype=FLOAT)
        one.attr["value"].tensor.CopyFrom(ckptfmt.to_proto(1.0))
        add(n, f"{scope}/{branch}/end", "Add", f"{scope}/{branch}/{op}", f"{scope}/{branch}/one", T=FLOAT)
    merge = add(n, f"{scope}/Merge", "Merge", f"{scope}/f/end", f"{scope}/t/end", T=FLOAT)
    merge.attr["N"].i = 2


def test_one_branch_of_a_condition_stays() -> None:
    graph = new_graph()
    with_condition(graph)
    add(graph.node, "index", "Identity", "cond/Merge:1", T=INT32)
    before = graph.SerializeToString(deterministic=True)
    whole = ckptfmt.Graph(graph)
    frozen = ckptfmt.freeze(whole, W, ["cond/Merge:0", "index"], constants={"train": False})
    assert {name: (node.op, list(node.message.input)) for name, node in frozen.items()} == {
        "x": ("Placeholder", []),
        "u": ("Const", []),
        "cond/f/x": ("Identity", ["x"]),
        "cond/f/u": ("Identity", ["u"]),
        "cond/f/Mul": ("Mul", ["cond/f/x", "cond/f/u"]),
        "cond/f/one": ("Const", []),
        "cond/f/end": ("Add", ["cond/f/Mul", "cond/f/one"]),
        "cond/Merge": ("Identity", ["cond/f/end"]),
        "index": ("Identity", ["cond/Merge/value_index"]),
        "cond/Merge/value_index": ("Const", ["^cond/Merge"]),
    }
    assert frozen.constants["cond/Merge/value_index"] == 0
    assert list(frozen["cond/Merge"].attributes) == ["T"]
    # Only what the value decides is needed, so only that is read.
    trained = ckptfmt.freeze(whole, {"w": W["w"]}, "cond/Merge", constants={"train:0": np.bool_(True)})
    assert "u" not in trained
    assert list(trained["cond/Merge"].message.input) == ["cond/t/end"]
    assert graph.SerializeToString(deterministic=True) == before


def test_an_output_that_never_runs_is_refused_by_name() -> None:
    graph = new_graph()
    with_condition(graph)
    with pytest.raises(GraphError, match="never runs with these constants") as caught:
        ckptfmt.freeze(ckptfmt.Graph(graph), W, "cond/t/Add", constants={"train": False})
    assert caught.value.node == "cond/t/Add"


def test_a_graph_alone_can_have_constants_too() -> None:
    graph = new_graph(op="PlaceholderWithDefault")
    graph.node[0].input.append("default")
    add(graph.node, "default", "Const", dtype=BOOL)
    with_condition(graph)
    decided = ckptfmt.Graph(graph).with_constants({"train": True})
    assert decided.constants["train"]
    assert not decided["train"].inputs
    assert "cond/f/Mul" not in decided
    assert "cond/t/Add" in decided
    assert [node.name for node in decided.variables] == ["w", "u"]
    assert ckptfmt.Graph(graph).with_constants({}) == ckptfmt.Graph(graph)


@pytest.mark.parametrize(
    ("op", "value", "other", "is_true"),
    [
        ("LogicalNot", True, None, False),
        ("LogicalAnd", True, True, True),
        ("LogicalAnd", False, "unknown", False),
        ("LogicalOr", True, "unknown", True),
        ("LogicalOr", False, False, False),
        ("Equal", b"train", b"train", True),
        ("NotEqual", b"train", b"eval", True),
        ("Greater", 1, 0, True),
        ("LessEqual", 1, 0, False),
        ("Cast", 3, None, True),
        ("Cast", 0, None, False),
        ("Identity", True, None, True),
    ],
)
def test_predicates_are_computed(op: str, value: Any, other: Any, is_true: bool) -> None:
    dtype = BOOL if isinstance(value, bool) else STRING if isinstance(value, bytes) else INT32
    graph = new_graph(dtype)
    inputs = ["train"]
    if other is not None:
        inputs.append("other")
        node = add(graph.node, "other", "Const", dtype=dtype)
        if other == "unknown":
            node.op = "Placeholder"
        else:
            kind = {BOOL: "bool", STRING: "string", INT32: "int32"}[dtype]
            node.attr["value"].tensor.CopyFrom(ckptfmt.to_proto(other, kind))
    add(graph.node, "predicate", op, *inputs, T=dtype, DstT=BOOL)
    with_condition(graph, "predicate")
    decided = ckptfmt.Graph(graph).with_constants({"train": value})
    assert str(decided["cond/Merge"].inputs[0]) == ("cond/t/end:0" if is_true else "cond/f/end:0")
    # A predicate with an input that may never arrive still decides when the branch runs.
    waits = "^cond/pred_id" in decided[f"cond/{'t' if is_true else 'f'}/x"].message.input
    assert waits == (other == "unknown")


def test_what_is_not_decided_stays() -> None:
    graph = new_graph()
    add(graph.node, "flag", "Placeholder", dtype=BOOL)
    add(graph.node, "both", "LogicalAnd", "train", "flag")
    with_condition(graph, "both")
    with_condition(graph, "flag", "other")
    decided = ckptfmt.Graph(graph).with_constants({"train": True})
    assert [node.op for node in decided.values()][1:] == [node.op for node in graph.node][1:]
    assert [list(node.message.input) for node in decided.values()] == [list(n.input) for n in graph.node]


def test_a_predicate_that_waits_keeps_what_it_waits_for() -> None:
    graph = new_graph()
    add(graph.node, "check", "NoOp")
    add(graph.node, "predicate", "Identity", "train", "^check", T=BOOL)
    with_condition(graph, "predicate")
    frozen = ckptfmt.freeze(ckptfmt.Graph(graph), W, "cond/Merge", constants={"train": True})
    assert "check" in frozen


def test_a_loop_in_a_branch_that_never_runs_is_removed() -> None:
    graph = new_graph()
    n = graph.node
    add(n, "Switch", "Switch", "x", "train", T=FLOAT)
    add(n, "enter", "Enter", "Switch:1", T=FLOAT)
    add(n, "merge", "Merge", "enter", "next", T=FLOAT)
    add(n, "cond", "LoopCond", "less")
    add(n, "less", "Less", "merge", "merge", T=FLOAT)
    add(n, "turn", "Switch", "merge", "cond", T=FLOAT)
    add(n, "next", "NextIteration", "turn:1", T=FLOAT)
    add(n, "exit", "Exit", "turn", T=FLOAT)
    add(n, "out", "Merge", "Switch", "exit", T=FLOAT)
    dead = ckptfmt.Graph(graph).with_constants({"train": False})
    assert list(dead) == ["train", "x", "w", "u", "Switch", "out"]
    live = ckptfmt.Graph(graph).with_constants({"train": True})
    assert [live[name].op for name in ("merge", "turn", "out")] == ["Merge", "Switch", "Identity"]
    assert str(live["out"].inputs[0]) == "exit:0"


def test_references_stay_references_and_placements_lead_somewhere() -> None:
    graph = new_graph()
    n = graph.node
    add(n, "Switch", "RefSwitch", "w", "train", T=FLOAT)
    add(n, "a", "RefIdentity", "Switch", T=FLOAT)
    add(n, "b", "RefIdentity", "Switch:1", T=FLOAT)
    add(n, "out", "RefMerge", "a", "b", T=FLOAT)
    for name in ("x", "u"):
        next(node for node in n if node.name == name).attr["_class"].list.s.append(b"loc:@b")
    graph.node[-1].attr["_class"].list.s.extend([b"loc:@a", b"loc:@b"])
    decided = ckptfmt.Graph(graph).with_constants({"train": False})
    assert [decided[name].op for name in ("Switch", "out")] == ["RefIdentity", "RefIdentity"]
    assert "_class" not in decided["x"].attributes
    assert decided["out"].attributes["_class"] == [b"loc:@a"]


# --- functions -------------------------------------------------------------------------------------------


def with_functions(graph: messages.GraphDef) -> None:
    """Add a condition in a function, which another one and the graph call."""
    for name in ("yes", "no", "choose", "outer"):
        function = graph.library.function.add()
        function.signature.name = name
        function.signature.input_arg.add(name="p", type=BOOL)
        function.signature.input_arg.add(name="y", type=FLOAT)
        function.signature.output_arg.add(name="r", type=FLOAT)
        if name == "choose":
            node = add(function.node_def, "if", "If", "p", "p", "y")
            node.attr["then_branch"].func.name, node.attr["else_branch"].func.name = "yes", "no"
        elif name == "outer":
            node = add(function.node_def, "call", "PartitionedCall", "p", "y")
            node.attr["f"].func.name = "choose"
        else:
            add(function.node_def, "neg", "Neg", "y", T=FLOAT)
            function.ret["r"] = "neg:y:0"
            continue
        node.attr["Tin"].list.type.extend([BOOL, FLOAT])
        node.attr["Tout"].list.type.append(FLOAT)
        function.ret["r"] = f"{node.name}:output:0"


def test_conditions_in_functions_are_decided_for_the_calls_that_pass_the_value() -> None:
    graph = new_graph()
    with_functions(graph)
    add(graph.node, "flag", "Placeholder", dtype=BOOL)
    for name, predicate in (("known", "train"), ("again", "train"), ("unknown", "flag")):
        call = add(graph.node, name, "PartitionedCall", predicate, "x")
        call.attr["f"].func.name = "outer"
        call.attr["Tin"].list.type.extend([BOOL, FLOAT])
        call.attr["Tout"].list.type.append(FLOAT)
    decided = ckptfmt.Graph(graph).with_constants({"train": False})
    assert decided["known"].attributes["f"].name == "outer_decided_0"
    assert decided["again"].attributes["f"].name == "outer_decided_0"
    assert decided["unknown"].attributes["f"].name == "outer"
    assert set(decided.functions) == {"yes", "no", "choose", "outer", "choose_decided_0", "outer_decided_0"}
    body = decided.functions["choose_decided_0"]
    assert body.nodes["if"].op == "IdentityN"
    assert str(body.nodes["if"].inputs[0]) == "if/branch:output:0"
    assert body.nodes["if/branch"].op == "StatefulPartitionedCall"
    assert body.nodes["if/branch"].attributes["f"].name == "no"
    assert [str(each) for each in body.nodes["if/branch"].inputs] == ["p:0", "y:0"]


def test_a_loop_knows_what_its_body_returns_as_it_is() -> None:
    graph = new_graph()
    with_functions(graph)
    for name, results in (("body", ["same:output:0", "call:output:0", "p"]), ("turn", ["p"])):
        function = graph.library.function.add()
        function.signature.name = name
        for argument, dtype in (("p", BOOL), ("y", FLOAT), ("q", BOOL)):
            function.signature.input_arg.add(name=argument, type=dtype)
        for i, result in enumerate(results):
            function.signature.output_arg.add(name=f"r{i}", type=BOOL)
            function.ret[f"r{i}"] = result
        add(function.node_def, "same", "Identity", "p", T=BOOL)
        for call, predicate in (("call", "p"), ("other", "q")):
            node = add(function.node_def, call, "PartitionedCall", predicate, "y")
            node.attr["f"].func.name = "choose"
            node.attr["Tin"].list.type.extend([BOOL, FLOAT])
            node.attr["Tout"].list.type.append(FLOAT)
    loop = add(graph.node, "loop", "While", "train", "x", "train")
    loop.attr["T"].list.type.extend([BOOL, FLOAT, BOOL])
    loop.attr["body"].func.name, loop.attr["cond"].func.name = "body", "turn"
    decided = ckptfmt.Graph(graph).with_constants({"train": True})
    assert decided["loop"].op == "While"
    for attribute, name in (("body", "body_decided_0"), ("cond", "turn_decided_0")):
        assert decided["loop"].attributes[attribute].name == name
        nodes = decided.functions[name].nodes
        assert nodes["call"].attributes["f"].name == "choose_decided_0"
        assert nodes["other"].attributes["f"].name == "choose"  # the first round alone has the value


def test_functions_that_are_no_longer_called_are_removed() -> None:
    graph = new_graph()
    with_functions(graph)
    node = add(graph.node, "out", "StatelessIf", "train", "train", "x")
    node.attr["then_branch"].func.name, node.attr["else_branch"].func.name = "yes", "no"
    node.attr["Tin"].list.type.extend([BOOL, FLOAT])
    node.attr["Tout"].list.type.append(FLOAT)
    decided = ckptfmt.Graph(graph).with_constants({"train": True})
    assert set(decided.functions) == {"yes", "no", "choose", "outer"}  # one that nothing calls needs it
    del graph.library.function[2:]
    decided = ckptfmt.Graph(graph).with_constants({"train": True})
    assert set(decided.functions) == {"yes"}
    assert decided["out/branch"].op == "PartitionedCall"
    assert decided["out/branch"].attributes["f"].name == "yes"


def test_copies_of_functions_have_a_bound() -> None:
    """Each call passes another combination of known values."""
    graph = new_graph()
    count = 16
    function = graph.library.function.add()
    function.signature.name = "f"
    for i in range(count):
        function.signature.input_arg.add(name=f"a{i}", type=BOOL)
    function.signature.output_arg.add(name="r", type=BOOL)
    node = add(function.node_def, "if", "If", "a0")
    node.attr["then_branch"].func.name = node.attr["else_branch"].func.name = "none"
    for i in range(count):
        add(function.node_def, f"not{i}", "LogicalNot", f"a{i}")
        inputs = [f"not{i}:y:0" if i == j else f"a{j}" for j in range(count)]
        call = add(function.node_def, f"call{i}", "PartitionedCall", *inputs)
        call.attr["f"].func.name = "f"
    function.ret["r"] = "a0"
    call = add(graph.node, "out", "PartitionedCall", *(["train"] * count))
    call.attr["f"].func.name = "f"
    decided = ckptfmt.Graph(graph).with_constants({"train": True})
    assert 1 < len(decided.functions) <= 6


# --- errors ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"trian": True}, "node 'trian': not in the graph; did you mean 'train'?"),
        ({"train": 1.5}, "node 'train': value to set: got values of float64, want bool"),
        ({"train": np.float32(0)}, "node 'train': value to set: got values of float32, want bool"),
        ({"train": [True]}, r"node 'train': value to set: got shape \[1\], want \[\]"),
        ({"train:1": True}, "node 'train': only the first output of a node can be set"),
        ({"w": [1.0, 2.0]}, "node 'w': VariableV2 cannot be set"),
        ({"split": 1.0}, "node 'split': Switch cannot be set"),
        ({"strange": 1.0}, "node 'strange': MyOp cannot be set"),
    ],
)
def test_values_that_do_not_fit_are_refused(values: dict[str, Any], message: str) -> None:
    graph = new_graph()
    graph.node[0].attr["shape"].shape.SetInParent()
    add(graph.node, "split", "Switch", "x", "train", T=FLOAT)
    add(graph.node, "strange", "MyOp")
    with pytest.raises(GraphError, match=message):
        ckptfmt.Graph(graph).with_constants(values)


def test_the_shape_of_an_old_placeholder_may_be_unknown() -> None:
    graph = new_graph(FLOAT)
    graph.node[0].attr["shape"].shape.SetInParent()
    graph.versions.producer = 21
    assert ckptfmt.Graph(graph).with_constants({"train": [1.0, 2.0]}).constants["train"].tolist() == [1, 2]
    graph.versions.producer = 22
    with pytest.raises(GraphError, match="want"):
        ckptfmt.Graph(graph).with_constants({"train": [1.0, 2.0]})


def test_conditions_that_make_no_sense_are_refused() -> None:
    graph = new_graph(INT32)
    add(graph.node, "s", "Switch", "x", "train", T=FLOAT)
    with pytest.raises(GraphError, match="Switch: got 1 as the predicate, want a bool") as caught:
        ckptfmt.Graph(graph).with_constants({"train": 1})
    assert caught.value.node == "s"
    graph = new_graph()
    add(graph.node, "s", "Switch", "train", T=FLOAT)
    with pytest.raises(CorruptError, match=re.escape("node 's' (Switch) has no input 1")):
        ckptfmt.Graph(graph).with_constants({"train": True})
    graph = new_graph()
    add(graph.node, "m", "Merge", "^train")
    add(graph.node, "gone", "LogicalAnd", "train", "nowhere")
    decided = ckptfmt.Graph(graph).with_constants({"train": True})
    assert decided["m"].op == "Merge"


def test_circles_and_wide_nodes_take_linear_time() -> None:
    count = 20_000
    graph = new_graph()
    n = graph.node
    for i in range(count):
        add(n, f"s{i}", "Switch", "x" if not i else f"s{i - 1}", "train", T=FLOAT)
        add(n, f"d{i}", "Neg", f"s{i}:1", f"^d{(i + 1) % count}", T=FLOAT)
    add(n, "all", "Merge", *(f"d{i}" for i in range(count)), "x", T=FLOAT)
    add(n, "none", "Merge", *(f"d{i}" for i in range(count)), T=FLOAT)
    start = time.perf_counter()
    decided = ckptfmt.Graph(graph).with_constants({"train": False})
    assert time.perf_counter() - start < 15
    assert len(decided) == 4 + count + 1
    assert list(decided["all"].message.input) == ["x"]
    assert "none" not in decided
