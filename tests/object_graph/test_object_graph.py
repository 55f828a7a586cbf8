"""Object graphs that TensorFlow wrote: every key belongs to an object, every object is found by its names."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest

import ckptfmt
from ckptfmt import ObjectGraph, ObjectNode
from ckptfmt.errors import CorruptError, NameNotFoundError
from ckptfmt.object_graph.keys import escape
from tests.support import golden
from tests.support.corpus import CHECKPOINT_KINDS, CORPUS, entries, has_variables
from tests.support.object_graph import check_laws, encode_graph, encode_node
from tests.support.table_writer import write_bundle

ROOT = Path(__file__).parents[2]

CASES = (
    *("object", "object_slots", "object_empty", "object_root_variable"),
    *("keras3", "iterator", "saved_model"),
)
VALUE = "/.ATTRIBUTES/VARIABLE_VALUE"


def graph_of(path: Path | str) -> ObjectGraph:
    graph = ckptfmt.open(path).object_graph
    assert graph is not None
    return graph


def of_case(case: str) -> ObjectGraph:
    return graph_of(golden.load(case).path)


# --- all checkpoints ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", CASES)
def test_in_golden_checkpoints_every_key_belongs_to_an_object(case: str) -> None:
    expected = golden.load(case)
    graph = of_case(case)
    check_laws(graph, [tensor.name for tensor in expected.tensors.values()])
    assert graph.unreached == ()
    assert graph.absent == ()


def test_every_key_of_the_example_is_reached() -> None:
    checkpoint = ckptfmt.open(ROOT / "examples" / "digits")
    graph = checkpoint.object_graph
    assert graph is not None
    check_laws(graph, list(checkpoint))
    assert len(graph.nodes_by_key) == len(checkpoint) - 1


@pytest.mark.parametrize(
    "item",
    [item for item in entries(*CHECKPOINT_KINDS) if item.values[0] is None or has_variables(item.values[0])],
)
def test_in_the_corpus_every_key_is_reached_once_or_listed(item: dict[str, Any]) -> None:
    try:
        checkpoint = ckptfmt.open(CORPUS / item["path"])
        graph = checkpoint.object_graph
    except ckptfmt.errors.CheckpointNotFoundError:
        pytest.skip("its data file is not in the corpus")
    if graph is None:
        assert "_CHECKPOINTABLE_OBJECT_GRAPH" not in checkpoint
        return
    check_laws(graph, list(checkpoint))
    assert graph.unreached == ()
    assert [graph[node.path] for node in graph if node.path is not None and node.slot is None] == [
        node for node in graph if node.path is not None and node.slot is None
    ]


@pytest.mark.parametrize("case", CASES)
def test_a_node_is_found_at_its_path(case: str) -> None:
    graph = of_case(case)
    for node in graph:
        assert node.path is not None
        assert graph[node.path] == node
        assert node.path in graph


@pytest.mark.parametrize("case", CASES)
def test_keys_are_paths(case: str) -> None:
    # The escaped shortest path is what TensorFlow made the key from.
    graph = of_case(case)
    assert graph.nodes_by_key or case == "object_empty"
    for key, node in graph.nodes_by_key.items():
        assert key.startswith(f"{node.path}/.ATTRIBUTES/")


@pytest.mark.parametrize("case", ["saver", "v1_saver", "names"])
def test_checkpoints_of_other_kinds_have_no_graph(case: str) -> None:
    assert ckptfmt.open(golden.load(case).path).object_graph is None


# --- what the golden checkpoints are known to hold ---------------------------------------------------------


def test_names_with_slashes_and_dots_are_found_escaped() -> None:
    graph = of_case("object")
    by_name = graph["tower/by_name"]
    assert set(by_name.children) == {"a/b", ".x", "c.d", "a.S/q", "café"}
    for name, child in by_name.children.items():
        assert graph[f"tower/by_name/{escape(name)}"] == child
        assert child.keys == (f"tower/by_name/{escape(name)}{VALUE}",)


def test_a_name_without_a_slash_is_also_found_as_it_is() -> None:
    graph = of_case("object")
    assert graph["tower/by_name/c.d"] == graph["tower/by_name/c..d"]


def test_shared_objects_are_one_node() -> None:
    graph = of_case("object")
    assert graph["tower/shared"] == graph["tower/kernel"]
    assert graph["tower/shared"].path == "tower/kernel"


def test_a_table_has_one_attribute_and_two_keys() -> None:
    (attribute,) = of_case("object")["table"].attributes
    assert attribute.checkpoint_key == "table/.ATTRIBUTES/table"
    assert attribute.keys == ("table/.ATTRIBUTES/table-keys", "table/.ATTRIBUTES/table-values")


def test_an_iterator_has_a_key_that_begins_with_its_checkpoint_key() -> None:
    graph = of_case("iterator")
    assert graph["iterator"].keys == ("iterator/.ATTRIBUTES/ITERATOR_STATE",)
    assert graph.node_of("iterator/.ATTRIBUTES/ITERATOR_STATE") == graph["iterator"]


def test_python_state_is_an_attribute() -> None:
    node = of_case("object")["python"]
    assert [attribute.name for attribute in node.attributes] == ["py_state"]
    assert node.full_name is None


def test_slot_variables_know_their_variable_and_optimizer() -> None:
    graph = of_case("object_slots")
    opt, variable = graph["opt"], graph["v"]
    assert [(slot.name, slot.optimizer, slot.variable) for slot in opt.slot_variables] == [
        ("m", opt, variable),
        ("v", opt, variable),
    ]
    assert variable.slots == opt.slot_variables
    for slot in opt.slot_variables:
        assert slot.node.slot == slot
        assert slot.node.path == f"v/.OPTIMIZER_SLOT/opt/{slot.name}"
        assert slot.node.keys == (f"v/.OPTIMIZER_SLOT/opt/{slot.name}{VALUE}",)
        assert graph[slot.node.path] == slot.node
    assert (opt.slot, variable.slot) == (None, None)


def test_full_names_lead_to_keys() -> None:
    graph = of_case("object_slots")
    assert graph.keys_by_full_name["vv"] == (f"v{VALUE}",)
    assert graph.keys_by_full_name["vv/Adam"] == (f"v/.OPTIMIZER_SLOT/opt/m{VALUE}",)
    assert graph.keys_by_full_name["vv/Adam_1"] == (f"v/.OPTIMIZER_SLOT/opt/v{VALUE}",)


def test_a_root_that_is_a_variable_has_a_key_without_a_path() -> None:
    graph = of_case("object_root_variable")
    assert graph[""] == graph.root == graph.nodes[0] == graph.node_of(VALUE)
    assert graph.root.keys == (VALUE,)


def test_layers_come_before_the_lists_of_their_variables() -> None:
    # In Keras 3 the keys lead through the optimizer; people look for a kernel below its layer.
    graph = of_case("keras3")
    trail: list[str] = []
    places: dict[ObjectNode, str] = {}
    for visit in graph.walk():
        del trail[max(visit.depth - 1, 0) :]
        if visit.depth:
            trail.append(visit.name)
        if visit.first:
            places[visit.node] = "/".join(trail)
    kernel = graph.node_of(f"optimizer/_trainable_variables/0{VALUE}")
    assert places[kernel] == "model/_functional/_operations/1/_kernel"
    assert graph[places[kernel]] == kernel


# --- look-ups ----------------------------------------------------------------------------------------------


def test_the_error_for_a_path_that_leads_nowhere_suggests_paths() -> None:
    graph = of_case("object")
    with pytest.raises(NameNotFoundError, match=r"no object at 'tower/kernal'.*'tower/kernel'") as caught:
        graph["tower/kernal"]
    assert caught.value.close_matches == ("tower/kernel",)
    assert "tower/kernal" not in graph
    assert 3 not in graph  # type: ignore[operator]


def test_a_key_of_no_node_is_not_found() -> None:
    with pytest.raises(NameNotFoundError, match="nothing"):
        of_case("object").node_of("nothing")


def test_nodes_are_numbered_and_equal_in_one_graph_only() -> None:
    graph, other = of_case("object"), of_case("object")
    assert len(graph.nodes) == len(graph)
    assert graph.nodes[-1].id == len(graph) - 1
    assert [node.id for node in graph.nodes[1:3]] == [1, 2]
    assert graph.nodes[1] == graph.nodes[1]
    assert graph.nodes[1] != other.nodes[1]
    assert len({graph.nodes[1], graph.nodes[1], other.nodes[1]}) == 2
    with pytest.raises(IndexError):
        graph.nodes[len(graph)]


def test_iteration_goes_breadth_first_then_slots_then_the_rest() -> None:
    nodes = [
        encode_node([(5, "b"), (2, "a")]),
        encode_node(),  # nothing leads here
        encode_node([(3, "deep")], slots=[(5, "m", 4)]),
        encode_node(),
        encode_node(),
        encode_node(),
    ]
    graph = ObjectGraph(encode_graph(nodes), [], "file")
    assert [node.id for node in graph] == [0, 5, 2, 3, 4, 1]
    assert graph.nodes[1].path is None


def test_registered_savers_are_named() -> None:
    graph = ObjectGraph(encode_graph([encode_node(saver=("Custom>Saver", "root"))]), [], "file")
    assert graph.root.registered_saver == ("Custom>Saver", "root")
    assert of_case("object").root.registered_saver is None


def test_a_graph_that_is_not_a_string_is_corrupt(tmp_path: Path) -> None:
    path = write_bundle(tmp_path / "model", {"_CHECKPOINTABLE_OBJECT_GRAPH": golden.np.zeros(3, "f4")})
    with pytest.raises(CorruptError, match=r"got float32\[3\], want string"):
        ckptfmt.open(path).object_graph  # noqa: B018


def names_of(*nodes: bytes) -> list[str | None]:
    """The paths of the nodes of a graph, each of which leads back to its node."""
    graph = ObjectGraph(encode_graph(nodes), [], "m")
    for node in graph:
        assert node.path is None or graph[node.path] == node
    return [node.path for node in graph.nodes]


def test_a_path_leads_back_over_empty_names() -> None:
    assert names_of(
        encode_node([(1, "")]), encode_node([(2, "b"), (3, "")]), encode_node(), encode_node()
    ) == [
        "",
        ".",
        "/b",
        "/",
    ]
    # A name that is a single point is escaped, and so is not taken for the empty one.
    assert names_of(encode_node([(1, "."), (2, "")]), encode_node(), encode_node()) == ["", "..", "."]
    assert ObjectGraph(encode_graph([encode_node([(1, ".")]), encode_node()]), [], "m")["."].id == 1


def test_no_path_leads_over_a_name_that_a_later_child_has() -> None:
    assert names_of(encode_node([(1, "a"), (2, "a")]), encode_node(), encode_node()) == ["", None, "a"]
    # Another name for the same child, or a longer path to it, is found.
    root = encode_node([(1, "a"), (2, "a"), (1, "b"), (3, "c")])
    nodes = names_of(
        root, encode_node(), encode_node([(4, "d"), (5, "d")]), encode_node([(4, "e")]), *[encode_node()] * 2
    )
    assert nodes == ["", "b", "a", "c", "c/e", "a/d"]


def test_of_slots_with_one_name_only_the_first_has_a_path() -> None:
    optimizer = encode_node([(1, "v")], slots=[(1, "m", 2), (1, "m", 3), (1, "", 4)])
    graph = names_of(optimizer, *[encode_node()] * 4)
    assert graph == ["", "v", "v/.OPTIMIZER_SLOT//m", None, "v/.OPTIMIZER_SLOT//"]


def test_a_graph_and_its_nodes_can_be_pickled() -> None:
    with ckptfmt.open("examples/digits") as ckpt:
        pickled = pickle.dumps([ckpt.object_graph, ckpt.object_graph["epoch"]])
    graph, node = pickle.loads(pickled)
    assert node == graph["epoch"]
    assert node.keys == ("epoch/.ATTRIBUTES/VARIABLE_VALUE",)
    assert len(graph.owners) == 30
