"""Damaged graphs and SavedModels, every byte flipped, every length cut: an answer, or an error of ours."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

import ckptfmt
from ckptfmt.errors import CkptfmtError
from ckptfmt.proto import messages
from ckptfmt.proto.parse import format_text

V = {"v": np.array([1, 2], np.float32)}


def graph_def() -> messages.GraphDef:
    graph = messages.GraphDef()
    graph.versions.producer = 24
    v = graph.node.add(name="v", op="VarHandleOp")
    v.attr["dtype"].type = 1
    v.attr["shape"].shape.dim.add(size=2)
    c = graph.node.add(name="c", op="Const")
    c.attr["value"].tensor.CopyFrom(ckptfmt.to_proto(["a", "bc"]))
    c.attr["dtype"].type = 7
    call = graph.node.add(name="call", op="PartitionedCall", input=["v", "^c"])
    call.attr["f"].func.name = "f"
    call.attr["Tin"].list.type.append(20)
    function = graph.library.function.add()
    function.signature.name = "f"
    function.signature.input_arg.add(name="a", type=20)
    function.signature.output_arg.add(name="r", type=1)
    function.node_def.add(name="read", op="ReadVariableOp", input=["a"]).attr["dtype"].type = 1
    function.ret["r"] = "read:value:0"
    return graph


def saved_model() -> messages.SavedModel:
    model = messages.SavedModel(saved_model_schema_version=1)
    meta = model.meta_graphs.add(graph_def=graph_def())
    meta.meta_info_def.tags.append("serve")
    meta.signature_def["s"].outputs["y"].name = "call:0"
    meta.signature_def["s"].defaults["x"].CopyFrom(ckptfmt.to_proto(1.5))
    meta.collection_def["variables"].bytes_list.value.append(
        messages.VariableDef(variable_name="v:0").SerializeToString()
    )
    meta.asset_file_def.add(filename="words").tensor_info.name = "c:0"
    node = meta.object_graph_def.nodes.add()
    node.children.add(node_id=1, local_name="v")
    meta.object_graph_def.nodes.add().variable.name = "v"
    function = meta.object_graph_def.concrete_functions["f"]
    function.bound_inputs.append(1)
    function.canonicalized_input_signature.tuple_value.values.add().int64_value = -1
    return model


def damaged(data: bytes) -> Iterator[bytes]:
    for at in range(len(data)):
        for flip in (0xFF, 0x01, 0x10):
            yield data[:at] + bytes([data[at] ^ flip]) + data[at + 1 :]
        yield data[:at]


def use_graph(path: Path) -> None:
    graph = ckptfmt.read_graph(path)
    for node in graph.values():
        dict(node.attributes)
        repr((node.inputs, node.control_inputs))
    for name in graph.constants:
        try_(lambda name=name: graph.constants[name])
    for function in graph.functions.values():
        repr((function.inputs, function.outputs, function.returns, dict(function.attributes)))
        for node in function.nodes.values():
            repr((node.inputs, dict(node.attributes)))
    repr((graph.ops, graph.inputs, graph.outputs, graph.custom_ops, graph.versions, graph.functions.calls))
    for use in (
        lambda: graph.extract_subgraph("call"),
        lambda: graph.remove_training_nodes(),
        lambda: graph.prefixed("a"),
        lambda: graph.merge(graph.prefixed("a")),
        lambda: graph.strip_unused("v", "call"),
        lambda: ckptfmt.freeze(graph, V, "call"),
    ):
        try_(use)


def use_model(path: Path) -> None:
    with ckptfmt.open_saved_model(path) as model:
        for use in (
            lambda: dict(model.signatures),
            lambda: dict(model.variables),
            lambda: model.object_variables,
            lambda: dict(model.functions),
            lambda: [(each.path, each.traces, each.parameters) for each in model.object_functions],
            lambda: model.assets,
            lambda: dict(model.meta_graph.collections),
            lambda: model.meta_graph.variables,
            lambda: model.reach("s"),
            lambda: model.unreached(),
        ):
            try_(use)


def try_(use) -> None:  # type: ignore[no-untyped-def]
    with suppress(CkptfmtError):
        use()


@pytest.mark.parametrize("as_text", [False, True], ids=["binary", "text"])
def test_a_damaged_graph_is_read_or_refused(tmp_path: Path, as_text: bool) -> None:
    message = graph_def()
    data = format_text(message).encode() if as_text else message.SerializeToString(deterministic=True)
    path = tmp_path / "graph"
    path.write_bytes(data)
    use_graph(path)
    for broken in list(damaged(data))[:: 7 if as_text else 1]:
        path.write_bytes(broken)
        try_(lambda: use_graph(path))


def test_a_damaged_saved_model_is_read_or_refused(tmp_path: Path) -> None:
    path = tmp_path / "saved_model.pb"
    data = saved_model().SerializeToString(deterministic=True)
    for broken in (data, *damaged(data)):
        path.write_bytes(broken)
        try_(lambda: use_model(tmp_path))
        try_(lambda: use_graph(path))
