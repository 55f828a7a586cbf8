"""Object graphs put together from several: what TensorFlow restores from parts of different checkpoints."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ckptfmt
from ckptfmt.errors import CorruptError, GraphError
from ckptfmt.object_graph.build import build_graph
from ckptfmt.object_graph.keys import OBJECT_GRAPH_KEY, VARIABLE_VALUE
from ckptfmt.object_graph.merge import merge_graphs
from tests.support.object_graph import check_laws, encode_graph, encode_node, encode_variable
from tests.support.restoring import (
    check_equal,
    graph_of,
    keras_model,
    key,
    legacy_adam,
    restore,
    slot_values,
    trained,
    write,
)


def merge(*graphs: bytes) -> ckptfmt.ObjectGraph:
    """Return the union of graphs, after checking what holds of any."""
    message = merge_graphs(graphs)
    keys = {
        attribute.checkpoint_key: None
        for graph in graphs
        for node in ckptfmt.ObjectGraph(graph, [], "part").nodes
        for attribute in node.attributes
    }
    merged = ckptfmt.ObjectGraph(message, keys, "union")
    check_laws(merged, list(keys))
    assert not merged.unreached
    return merged


def test_objects_at_one_path_are_one() -> None:
    one = build_graph({"model": {"a": 1, "empty": []}, "step": 2})
    other = build_graph({"model": {"b": {"c": 3}}, "optimizer": [4], "empty": {}})
    merged = merge(one.message, other.message)
    assert sorted(node.path or "" for node in merged) == sorted(
        [
            "",
            "model",
            "step",
            "model/a",
            "model/empty",
            "model/b",
            "model/b/c",
            "optimizer",
            "optimizer/0",
            "empty",
        ]
    )
    assert {node.path for node in merged if node.has_checkpoint_values is False} == {"model/empty", "empty"}
    # Merging with itself changes nothing.
    assert merge(merged.encode(), merged.encode()).encode() == merged.encode()
    assert merge(one.message).encode() == one.message


def test_objects_with_several_names() -> None:
    shared, a, b = np.zeros(1), np.zeros(1), np.zeros(1)
    tied = graph_of({"a": shared, "b": {"c": shared}})
    apart = graph_of({"a": a, "b": {"c": b}})
    # In either order, each path leads to the object whose key it is.
    merged = merge(tied.encode({key("a"): key("a")}), apart.encode({key("b/c"): key("b/c")}))
    assert (merged["a"].keys, merged["b/c"].keys) == ((key("a"),), (key("b/c"),))
    merged = merge(apart.encode({key("b/c"): key("b/c")}), tied.encode({key("a"): key("a")}))
    assert (merged["a"].keys, merged["b/c"].keys) == ((key("a"),), (key("b/c"),))


def test_objects_that_differ_are_refused() -> None:
    # As another program may have stored them, under keys that are not their paths.
    one, other = (
        encode_graph([encode_node([(1, "model")]), encode_node([(2, "a")]), encode_variable(path)])
        for path in ("first", "second")
    )
    with pytest.raises(GraphError, match=r"'model/a' is 'second/.*' in one, and another object in others"):
        merge_graphs([one, other])
    with pytest.raises(CorruptError):
        merge_graphs([one, b"\xff"])


@pytest.mark.tensorflow
@given(owners=st.lists(st.integers(0, 2), min_size=8, max_size=8))
@settings(max_examples=20)
def test_parts_of_checkpoints_are_restored(
    tensorflow: ModuleType, tmp_path_factory: pytest.TempPathFactory, owners: list[int]
) -> None:
    def nested(number: int) -> dict[str, Any]:
        values = iter([np.array([i + 10 * number], np.float32) for i in range(8)])
        model = {"layers": [{"w": next(values), "b": next(values)} for _ in range(2)], "scale": next(values)}
        return {"model": model, "rest": [next(values), {"x": next(values), "y": next(values)}]}

    built = [build_graph(nested(number), save_counter=1) for number in range(3)]
    parts: list[dict[str, Any]] = [{}, {}, {}]
    for name, owner in zip(built[0].values, [*owners, 0], strict=True):
        parts[owner][name] = built[owner].values[name]
    graphs = [
        ckptfmt.ObjectGraph(each.message, list(each.values), "").encode({name: name for name in part})
        for each, part in zip(built, parts, strict=True)
    ]
    values = {name: value for part in parts for name, value in part.items()}
    prefix = write(tmp_path_factory.mktemp("t") / "ckpt", merge(*graphs).encode(), values)
    del values[key("save_counter")]
    assert restore(tensorflow, prefix, nested(0)) == values


@pytest.mark.tensorflow
def test_the_model_of_one_checkpoint_and_the_slots_of_another(tensorflow: ModuleType, tmp_path: Path) -> None:
    ckpts = []
    for number in range(2):
        variables = {name: tensorflow.Variable([float(number), 1.0]) for name in "ab"}
        optimizer = legacy_adam(tensorflow, variables)
        if number:
            optimizer.apply_gradients([(tensorflow.ones_like(each), each) for each in variables.values()])
        program = tensorflow.train.Checkpoint(net=variables, optimizer=optimizer)
        ckpts.append(ckptfmt.open(program.save(str(tmp_path / str(number)))))
    parts = [parts_of(ckpts[0], "net/", slots=False), parts_of(ckpts[1], "", slots=True)]
    graphs = [graph.encode({name: name for name in values}) for graph, values in parts]
    values = {name: value for _, part in parts for name, value in part.items()}
    prefix = write(tmp_path / "merged", merge(*graphs).encode(), values)

    variables = {name: tensorflow.Variable([0.0, 0.0]) for name in "ab"}
    optimizer = legacy_adam(tensorflow, variables)
    tensorflow.train.Checkpoint(net=variables, optimizer=optimizer).restore(prefix).assert_consumed()
    for name, variable in variables.items():
        assert variable.numpy().tolist() == ckpts[0][key(f"net/{name}")].tolist()
        for slot, value in slot_values(optimizer, variable).items():
            assert value == ckpts[1][key(f"net/{name}/.OPTIMIZER_SLOT/optimizer/{slot}")].tolist()


def parts_of(
    ckpt: ckptfmt.Checkpoint, start: str, *, slots: bool
) -> tuple[ckptfmt.ObjectGraph, Mapping[str, Any]]:
    """Return the graph of a checkpoint; and its variables, or its slots and all that is not below ``net``."""
    assert ckpt.object_graph is not None
    is_model = {name: name.startswith("net/") and "SLOT" not in name for name in ckpt}
    names = [name for name in ckpt if name.startswith(start) and is_model[name] != slots]
    return ckpt.object_graph, {name: ckpt[name] for name in names if name != OBJECT_GRAPH_KEY}


@pytest.mark.tensorflow
def test_the_model_of_one_keras_checkpoint_and_the_optimizer_of_another(
    tensorflow: ModuleType, tmp_path: Path
) -> None:
    models, ckpts = [], []
    for seed in (1, 2):
        model = keras_model("dense", seed)
        optimizer = trained(model, seed)
        program = tensorflow.train.Checkpoint(model=model, optimizer=optimizer)
        models.append(model)
        ckpts.append(ckptfmt.open(program.save(str(tmp_path / str(seed)))))
    graphs = [ckpt.object_graph for ckpt in ckpts]
    assert graphs[0] is not None
    assert graphs[1] is not None
    optimizer_keys = {
        each
        for each in graphs[0].owners
        if each.startswith("optimizer/") and "_trainable_variables" not in each
    }
    parts = [set(graphs[0].owners) - optimizer_keys, optimizer_keys]
    messages = [
        graph.encode({each: each for each in part})
        for graph, part in zip(graphs, parts, strict=True)
        if graph
    ]
    values = {each: ckpt[each] for ckpt, part in zip(ckpts, parts, strict=True) for each in part}
    prefix = write(tmp_path / "merged", merge(*messages).encode(), values)
    model = keras_model("dense", 3)
    optimizer = trained(model, 3)
    status = tensorflow.train.Checkpoint(model=model, optimizer=optimizer).restore(prefix)
    status.assert_consumed()
    check_equal(model.weights, models[0].weights)
    check_equal(optimizer.variables, models[1].optimizer.variables)


def test_many_objects_are_merged_in_time() -> None:
    one = build_graph({"model": {f"{i}": [0.5, 0.5] for i in range(5_000)}})
    other = build_graph({"optimizer": {f"{i}": 0.5 for i in range(5_000)}})
    assert len(merge(one.message, other.message).owners) == 15_000
    assert VARIABLE_VALUE in next(iter(one.values))
