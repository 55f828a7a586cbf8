"""Which key of an index belongs to which object, in graphs that programs write and in others."""

from __future__ import annotations

from ckptfmt import ObjectGraph
from ckptfmt.object_graph.claims import Claims, exact_claims, prefix_claims, shared_claims
from ckptfmt.proto import messages
from tests.support.object_graph import check_laws, encode_graph, encode_node, encode_variable

VALUE = "/.ATTRIBUTES/VARIABLE_VALUE"


def nodes_of(*named: list[str]) -> messages.TrackableObjectGraph:
    """A graph of nodes whose attributes name the given keys; each has its key as full name too."""
    return messages.TrackableObjectGraph(
        nodes=[{"attributes": [{"checkpoint_key": key, "full_name": key} for key in keys]} for keys in named]
    )


def test_keys_that_attributes_name_once_belong_to_them() -> None:
    graph = nodes_of([], ["a", "b"], ["c"])
    claims = exact_claims(graph.nodes, dict.fromkeys("dcba"))
    assert claims == Claims({"a": 1, "b": 1, "c": 2}, {"a": "a", "b": "b", "c": "c"})
    assert shared_claims(graph.nodes, dict.fromkeys("dcba")) == claims


def test_a_key_named_twice_or_missing_is_not_claimed_exactly() -> None:
    assert exact_claims(nodes_of(["a"], ["a"]).nodes, {"a": None}) is None
    assert exact_claims(nodes_of(["a"], ["b"]).nodes, {"a": None}) is None


def test_the_first_of_two_that_name_a_key_gets_it() -> None:
    unowned = dict.fromkeys("ab")
    claims = shared_claims(nodes_of(["a"], ["a"], ["a", "a"]).nodes, unowned)
    assert claims.owners == {"a": 0}
    assert claims.special == {(1, 0): (), (2, 0): (), (2, 1): ()}
    assert claims.absent == []
    assert list(unowned) == ["b"]


def test_keys_go_to_the_longest_named_key_that_they_begin_with() -> None:
    named = ["t/.ATTRIBUTES/t", "t/.ATTRIBUTES/t_2", "t/.ATTRIBUTES/t_2/x", "u/.ATTRIBUTES/"]
    stored = ["t/.ATTRIBUTES/t-k", "t/.ATTRIBUTES/t_2-k", "t/.ATTRIBUTES/t_1", "u/.ATTRIBUTES/any", "t/other"]
    assert prefix_claims(named, stored) == {
        "t/.ATTRIBUTES/t": ["t/.ATTRIBUTES/t-k", "t/.ATTRIBUTES/t_1"],
        "t/.ATTRIBUTES/t_2": ["t/.ATTRIBUTES/t_2-k"],
        "t/.ATTRIBUTES/t_2/x": [],
        "u/.ATTRIBUTES/": ["u/.ATTRIBUTES/any"],
    }


def test_keys_of_no_object_are_listed() -> None:
    keys = ["_CHECKPOINTABLE_OBJECT_GRAPH", f"a{VALUE}", f"b{VALUE}", "stray"]
    graph = ObjectGraph(encode_graph([encode_node([(1, "a")]), encode_variable("a")]), keys, "file")
    check_laws(graph, keys)
    assert graph.unreached == (f"b{VALUE}", "stray")


def test_checkpoint_keys_that_the_index_lacks_are_listed() -> None:
    graph = ObjectGraph(encode_graph([encode_node([(1, "a")]), encode_variable("a")]), [], "file")
    assert graph.absent == (f"a{VALUE}",)
    assert graph["a"].keys == ()


def test_a_key_goes_to_the_longest_checkpoint_key_it_begins_with() -> None:
    tables = [
        encode_node(attributes=[(name, "", f"t/.ATTRIBUTES/{name}")]) for name in ("table", "table_2", "ta")
    ]
    keys = [f"t/.ATTRIBUTES/{name}" for name in ("table-keys", "table_2-keys", "table_2-values")]
    graph = ObjectGraph(encode_graph([encode_node(), *tables]), keys, "file")
    check_laws(graph, keys)
    assert graph.nodes[1].keys == ("t/.ATTRIBUTES/table-keys",)
    assert graph.nodes[2].keys == ("t/.ATTRIBUTES/table_2-keys", "t/.ATTRIBUTES/table_2-values")
    assert graph.absent == ("t/.ATTRIBUTES/ta",)
