"""Object graphs of selections: what TensorFlow restores after tensors were renamed or dropped."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ckptfmt
from ckptfmt.errors import GraphError
from ckptfmt.object_graph.build import build_graph
from ckptfmt.object_graph.keys import OBJECT_GRAPH_KEY, VARIABLE_VALUE
from ckptfmt.object_graph.merge import merge_graphs
from tests.support.corpus import CHECKPOINT_KINDS, CORPUS, entries, has_variables
from tests.support.nested_values import NAMES, RESERVED
from tests.support.object_graph import check_laws, encode_graph, encode_node
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


def select(graph: ckptfmt.ObjectGraph, names: Mapping[str, str | None]) -> ckptfmt.ObjectGraph:
    """Return the graph of a selection, after checking what holds of any: it is one, and has no other keys."""
    pruned = ckptfmt.ObjectGraph(graph.encode(names), list(names), "selection")
    check_laws(pruned, list(names))
    assert not set(pruned.absent) - set(graph.absent)
    return pruned


# --- selections ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("entry", entries(*CHECKPOINT_KINDS))
def test_a_selection_of_everything_changes_nothing(entry: dict[str, Any]) -> None:
    if not has_variables(entry):
        pytest.skip("no checkpoint")
    with ckptfmt.open(CORPUS / entry["path"]) as ckpt:
        graph = ckpt.object_graph
        if graph is None:
            pytest.skip("no object graph")
        everything = {name: name for name in ckpt}
        assert graph.encode(everything) == graph.encode()
        # Nor does the dropping of what no object has: the way that other selections take gives the same.
        assert graph.encode(everything | {"beside the graph": None}) == graph.encode()
        for name in list(graph.owners)[:20]:
            rest = select(graph, {k: v for k, v in everything.items() if k != name})
            # A table without its keys or its values is not restored at all.
            assert set(rest.owners) == set(graph.owners).difference(graph.node_of(name).keys)


def test_objects_without_values_go_and_those_that_never_had_any_stay() -> None:
    graph = graph_of({"model": {"a": 1, "b": [2, 3], "empty": {}}, "other": {"c": 4, "empty": [[]]}})
    pruned = select(graph, {key("model/b/1"): key("model/b/1")})
    assert [node.path for node in pruned] == ["", "model", "model/b", "model/empty", "model/b/1"]
    assert [node.has_checkpoint_values for node in pruned] == [True, True, True, False, True]
    assert len(select(graph, {})) == 1


def test_a_name_that_is_not_a_key_belongs_to_no_object() -> None:
    graph = graph_of({"a": 1, "b": {"c": 2, "d": 3}})
    names = {
        "alpha": key("a"),
        "b/c/.ATTRIBUTES/OTHER": key("b/c"),
        "x/.ATTRIBUTES/y" + VARIABLE_VALUE: key("a"),
    }
    pruned = select(graph, names | {key("b/d"): key("b/d"), OBJECT_GRAPH_KEY: OBJECT_GRAPH_KEY})
    assert {node.path: node.keys for node in pruned if node.keys} == {"b/d": (key("b/d"),)}
    assert set(pruned.unreached) == set(names)


def test_objects_move_as_a_whole_or_alone() -> None:
    graph = graph_of({"dense": {"kernel": 1, "bias": 2, "empty": []}, "rest": 3})
    whole = {key(f"encoder/{name}"): key(f"dense/{name}") for name in ("kernel", "bias")}
    pruned = select(graph, whole)
    assert {node.path for node in pruned} == {
        "",
        "encoder",
        "encoder/kernel",
        "encoder/bias",
        "encoder/empty",
    }
    alone = {key("encoder/kernel"): key("dense/kernel"), key("dense/bias"): key("dense/bias")}
    assert {*select(graph, alone).short_names().values()} == {"encoder/kernel", "dense/bias"}
    assert "dense/kernel" not in select(graph, alone)


def test_objects_change_places() -> None:
    graph = graph_of({"a": {"x": 1}, "b": {"x": 2}, "layers": [{"w": i} for i in range(3)]})
    swapped = {key("a/x"): key("b/x"), key("b/x"): key("a/x")}
    turned = {key(f"layers/{(i + 1) % 3}/w"): key(f"layers/{i}/w") for i in range(3)}
    pruned = select(graph, swapped | turned)
    for name in swapped | turned:
        assert pruned[name.removesuffix(VARIABLE_VALUE)].keys == (name,)
    assert len(pruned) == len(graph)


def test_other_positions_of_an_object_are_forgotten_when_its_position_changes() -> None:
    first, second = ({"w": np.zeros(1)} for _ in range(2))
    lists = {"weights": [first["w"], second["w"]], "named": {"second": second["w"]}}
    graph = graph_of({"x": {"layers": [first, second]}, "y": {"z": lists}})
    pruned = select(graph, {key("x/layers/0/w"): key("x/layers/1/w")})
    assert pruned["x/layers/0/w"].keys == (key("x/layers/0/w"),)
    assert "y/z/weights" not in pruned
    assert pruned["y/z/named/second"] == pruned["x/layers/0/w"]


def test_one_tensor_under_several_names() -> None:
    graph = graph_of({"a": {"x": 1}, "b": {"x": 2}})
    names = {key("a/x"): key("a/x"), key("c/d/x"): key("a/x"), key("b/x"): key("a/x"), "plain": key("a/x")}
    pruned = select(graph, names)
    assert {node.path: node.keys for node in pruned if node.keys} == {
        name.removesuffix(VARIABLE_VALUE): (name,) for name in names if name != "plain"
    }
    assert pruned.unreached == ("plain",)


def test_tensors_from_elsewhere() -> None:
    graph = graph_of({"a": {"x": 1}, "b": 2})
    names = {key("a/x"): None, key("a/new/y"): None, "plain": None, key("b"): key("b")}
    pruned = select(graph, names)
    assert {node.path for node in pruned if node.keys} == {"a/x", "a/new/y", "b"}
    assert pruned.unreached == ("plain",)
    assert pruned["a/new/y"].attributes[0].full_name == "Variable"
    assert all(node.has_checkpoint_values for node in pruned)


PATHS = st.sampled_from(["", "a", "b", "a/a", "a/b", "b/a", "a/b/a", "0", "1", "a/0", "a/1"])
KEYS = st.one_of(
    PATHS.map(key),
    PATHS.map(lambda path: f"{path}/.ATTRIBUTES/table"),
    st.tuples(PATHS, PATHS, st.sampled_from("mv")).map(
        lambda parts: key("{}/.OPTIMIZER_SLOT/{}/{}".format(*parts))
    ),
    st.sampled_from(["plain", "a/.ATTRIBUTES/", "/.ATTRIBUTES/table-keys", ""]),
)


@st.composite
def graphs(draw: st.DrawFn) -> tuple[bytes, list[str]]:
    """Draw any graph, of the kinds that no program writes too, and the keys of an index."""
    count = draw(st.integers(1, 6))
    numbers = st.integers(0, count - 1)
    attributes = st.tuples(st.sampled_from(["VARIABLE_VALUE", "table"]), st.just(""), KEYS)
    nodes = [
        encode_node(
            draw(st.lists(st.tuples(numbers, st.sampled_from(["", "a", "b", "0", "1"])), max_size=4)),
            draw(st.lists(attributes, max_size=2)),
            draw(st.lists(st.tuples(numbers, st.sampled_from("mv"), numbers), max_size=2)),
            draw(st.sampled_from([None, ("saver", "object")])),
        )
        for _ in range(count)
    ]
    keys = draw(st.lists(st.one_of(KEYS, KEYS.map(lambda name: f"{name}-keys")), unique=True))
    return encode_graph(nodes), [name for name in keys if name]


@given(graph=graphs(), data=st.data())
@settings(max_examples=200)
def test_any_graph_can_be_pruned(graph: tuple[bytes, list[str]], data: st.DataObject) -> None:
    message, keys = graph
    whole = ckptfmt.ObjectGraph(message, keys, "graph")
    names = data.draw(st.dictionaries(KEYS, st.sampled_from([*keys, None]) if keys else st.none()))
    pruned = ckptfmt.ObjectGraph(whole.encode(names), list(names), "selection")
    check_laws(pruned, list(names))
    # Without renaming: what is selected stays, if all of its attribute is selected.
    some = {name: name for name in keys if data.draw(st.booleans())}
    kept = ckptfmt.ObjectGraph(whole.encode(some), list(some), "selection")
    check_laws(kept, list(some))
    complete = [
        name
        for node in whole.nodes
        for attribute in node.attributes
        for name in attribute.keys
        if some.keys() >= set(attribute.keys)
    ]
    assert set(kept.owners) == set(complete)
    with suppress(GraphError):  # a node may have one name for several others
        merged = ckptfmt.ObjectGraph(merge_graphs([kept.encode(), kept.encode()]), list(some), "union")
        assert merged.owners.keys() == kept.owners.keys()


# --- TensorFlow ------------------------------------------------------------------------------------------


TREES = st.recursive(
    st.just(None),
    lambda inner: st.one_of(st.dictionaries(NAMES, inner, max_size=4), st.lists(inner, max_size=4)),
    max_leaves=12,
)


@st.composite
def renamed(draw: st.DrawFn) -> tuple[dict[str, Any], dict[str, Any]]:
    """Draw a nested mapping, and a second one with some of its arrays in other places."""
    counter = iter(range(1, 1000))

    def with_arrays(tree: Any) -> Any:
        if isinstance(tree, dict):
            return {name: with_arrays(each) for name, each in tree.items()}
        return (
            [with_arrays(each) for each in tree]
            if isinstance(tree, list)
            else np.float32(next(counter)) * np.ones(1, np.float32)
        )

    def moved(tree: Any) -> Any:
        if isinstance(tree, dict):
            names = draw(st.permutations(list(tree))) if draw(st.booleans()) else list(tree)
            new = [draw(NAMES) if draw(st.integers(0, 3)) == 0 else name for name in names]
            return {
                name: moved(each)
                for name, each in zip(new, tree.values(), strict=True)
                if draw(st.integers(0, 4))
            }
        if isinstance(tree, list):
            return [moved(each) for each in draw(st.permutations(tree)) if draw(st.integers(0, 4))]
        return tree

    top = st.dictionaries(
        NAMES.filter(lambda name: name and name not in RESERVED), TREES, min_size=1, max_size=4
    )
    old = with_arrays(draw(top))
    new = {name: each for name, each in moved(old).items() if name and name not in RESERVED}
    return old, new


@pytest.mark.tensorflow
@given(trees=renamed())
@settings(max_examples=200)
def test_renamed_objects_are_restored(
    tensorflow: ModuleType,
    tmp_path_factory: pytest.TempPathFactory,
    trees: tuple[dict[str, Any], dict[str, Any]],
) -> None:
    old, new = trees
    before, after = build_graph(old, save_counter=1), build_graph(new, save_counter=1)
    keys = {id(value): name for name, value in before.values.items()}
    names = {name: keys.get(id(value)) for name, value in after.values.items()}
    graph = ckptfmt.ObjectGraph(before.message, list(before.values), "nested")
    pruned = select(graph, names)
    prefix = write(tmp_path_factory.mktemp("t") / "ckpt", pruned.encode(), after.values)
    for name, value in restore(tensorflow, prefix, new).items():
        assert np.array_equal(value, after.values[name])


@pytest.fixture
def with_slots(tensorflow: ModuleType, tmp_path: Path) -> ckptfmt.Checkpoint:
    """A checkpoint of two variables and an optimizer with slots for them."""
    variables = {name: tensorflow.Variable([float(i), 1.0]) for i, name in enumerate("ab")}
    optimizer = legacy_adam(tensorflow, variables)
    program = tensorflow.train.Checkpoint(net=variables, optimizer=optimizer)
    return ckptfmt.open(program.save(str(tmp_path / "before")))


@pytest.mark.tensorflow
@pytest.mark.parametrize("rename_slots", [False, True])
def test_slots_follow_their_variables(
    tensorflow: ModuleType, with_slots: ckptfmt.Checkpoint, tmp_path: Path, rename_slots: bool
) -> None:
    ckpt = with_slots
    assert ckpt.object_graph is not None
    names = {}
    for name in ckpt:
        if name != OBJECT_GRAPH_KEY and not name.startswith("net/b"):
            is_moved = name.startswith("net/a") and (rename_slots or "SLOT" not in name)
            names[name.replace("net/a", "model/first") if is_moved else name] = name
    graph = select(ckpt.object_graph, names)
    prefix = write(tmp_path / "after", graph.encode(), {new: ckpt[old] for new, old in names.items()})
    assert {slot.name for slot in graph["model/first"].slots} == {"m", "v"}
    assert len(graph["optimizer"].slot_variables) == 2

    variables = {"first": tensorflow.Variable([0.0, 0.0])}
    optimizer = legacy_adam(tensorflow, variables)
    program = tensorflow.train.Checkpoint(model=variables, optimizer=optimizer)
    program.restore(prefix).assert_consumed()
    stored = {name: ckpt[key(f"net/a/.OPTIMIZER_SLOT/optimizer/{name}")].tolist() for name in ("m", "v")}
    assert slot_values(optimizer, variables["first"]) == stored
    assert variables["first"].numpy().tolist() == ckpt[key("net/a")].tolist()


@pytest.mark.tensorflow
def test_slots_are_renamed_moved_and_dropped(
    tensorflow: ModuleType, with_slots: ckptfmt.Checkpoint, tmp_path: Path
) -> None:
    graph = with_slots.object_graph
    assert graph is not None
    m, v = (key(f"net/a/.OPTIMIZER_SLOT/optimizer/{name}") for name in ("m", "v"))
    # A slot of another name, of another optimizer and of another variable; and one without its variable.
    names = {
        key("net/a"): key("net/a"),
        key("net/b"): key("net/b"),
        key("net/a/.OPTIMIZER_SLOT/optimizer/momentum"): m,
        key("net/b/.OPTIMIZER_SLOT/other/v"): v,
    }
    pruned = select(graph, names)
    assert [(slot.name, slot.variable.path) for slot in pruned["optimizer"].slot_variables] == [
        ("momentum", "net/a")
    ]
    assert [(slot.name, slot.variable.path) for slot in pruned["other"].slot_variables] == [("v", "net/b")]
    alone = select(graph, {m: m})
    assert [node.path for node in alone] == [
        "",
        "net",
        "optimizer",
        "net/a",
        "net/a/.OPTIMIZER_SLOT/optimizer/m",
    ]
    assert alone["net/a"].keys == ()
    # A slot that becomes a variable, and a variable that becomes a slot.
    turned = select(graph, {key("kept/m"): m, m: key("net/b"), key("net/a"): key("net/a")})
    assert turned["kept/m"].keys == (key("kept/m"),)
    assert turned["net/a/.OPTIMIZER_SLOT/optimizer/m"].keys == (m,)
    assert "net/b" not in turned
    # A slot that comes from elsewhere.
    added = select(graph, {key("net/a"): key("net/a"), v: None})
    assert [slot.name for slot in added["optimizer"].slot_variables] == ["v"]


@pytest.mark.tensorflow
@pytest.mark.parametrize("apart", [False, True], ids=["below the model", "beside the model"])
def test_keras_models_and_their_optimizers(tensorflow: ModuleType, tmp_path: Path, apart: bool) -> None:
    def program(model: Any) -> Any:
        beside = {"optimizer": model.optimizer} if apart and getattr(model, "optimizer", None) else {}
        return tensorflow.train.Checkpoint(model=model, **beside)

    old = keras_model("dense", 1)
    trained(old, 1)
    ckpt = ckptfmt.open(program(old).save(str(tmp_path / "old")))
    graph = ckpt.object_graph
    assert graph is not None
    # The weights have their keys below the optimizer if that is the shorter path.
    weights = [*graph["model/dense"].children.values(), *graph["model/norm"].children.values()]
    weights += [*graph["model/head"].children.values(), graph["save_counter"]]
    kept = {key for node in weights for key in node.keys}
    assert len(kept) == 9

    # Without the optimizer.
    prefix = write(
        tmp_path / "kept", select(graph, {each: each for each in kept}).encode(), {k: ckpt[k] for k in kept}
    )
    model = keras_model("dense", 2)
    program(model).restore(prefix).assert_existing_objects_matched()
    check_equal(model.weights, old.weights)
    model = keras_model("dense", 2)
    trained(model, 2)
    program(model).restore(prefix).expect_partial()
    check_equal(model.weights, old.weights)

    # With it, the layer under another name.
    first = {
        key(f"model/encoder/{name}"): node.keys[0] for name, node in graph["model/dense"].children.items()
    }
    names = {each: each for each in graph.owners if each not in first.values()} | first
    prefix = write(
        tmp_path / "moved", select(graph, names).encode(), {new: ckpt[k] for new, k in names.items()}
    )
    model = keras_model("encoder", 2)
    trained(model, 2)
    program(model).restore(prefix).assert_existing_objects_matched()
    check_equal(model.weights, old.weights)
    check_equal(model.optimizer.variables, old.optimizer.variables)


@pytest.mark.tensorflow
def test_layers_of_keras_2_get_other_positions(tmp_path: Path) -> None:
    keras = pytest.importorskip("tf_keras", reason="restores with Keras 2 (tf_keras), which is not installed")

    def make(*units: int, inputs: int = 5) -> Any:
        model = keras.Sequential([keras.Input((inputs,)), *(keras.layers.Dense(each) for each in units)])
        model.compile(keras.optimizers.legacy.Adam(), "mse")
        model.fit(np.ones((4, inputs), np.float32), np.ones((4, units[-1]), np.float32), verbose=0)
        return model

    old = make(4, 3, 2)
    old.save_weights(str(tmp_path / "old"), save_format="tf")
    ckpt = ckptfmt.open(tmp_path / "old")
    graph = ckpt.object_graph
    assert graph is not None
    # All but the first layer, with their slots.
    names = {}
    for name in graph.owners:
        if not name.startswith("layer_with_weights-0"):
            for position in (1, 2):
                new = name.replace(f"layer_with_weights-{position}", f"layer_with_weights-{position - 1}")
                if new != name:
                    break
            names[new] = name
    pruned = select(graph, names)
    assert pruned["layer_with_weights-0/kernel"].keys == (key("layer_with_weights-0/kernel"),)
    assert {slot.variable.path for slot in pruned["optimizer"].slot_variables} == {
        f"layer_with_weights-{position}/{name}" for position in (0, 1) for name in ("kernel", "bias")
    }
    prefix = write(tmp_path / "new", pruned.encode(), {new: ckpt[name] for new, name in names.items()})
    model = make(3, 2, inputs=4)
    model.load_weights(prefix).assert_existing_objects_matched()
    check_equal(model.weights, old.weights[2:])
    slots = [each for each in old.optimizer.variables() if each.shape[:1] != (5,) and each.shape != (4,)]
    check_equal(model.optimizer.variables(), slots)
    untouched = make(3, 2, inputs=4)
    untouched.load_weights(write(tmp_path / "weights", *weights_only(ckpt, names))).expect_partial()
    check_equal(untouched.weights, old.weights[2:])


def weights_only(ckpt: ckptfmt.Checkpoint, names: Mapping[str, str]) -> tuple[bytes, dict[str, Any]]:
    """Return the graph and the values of the layers among renamed tensors."""
    kept = {new: name for new, name in names.items() if new.startswith("layer") and "SLOT" not in new}
    assert ckpt.object_graph is not None
    return ckpt.object_graph.encode(kept), {new: ckpt[name] for new, name in kept.items()}
