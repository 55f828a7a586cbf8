"""Object graphs made to abuse a reader: an error of this package or an answer, in a time that is bounded."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import ckptfmt
from ckptfmt import ObjectGraph
from ckptfmt.errors import CkptfmtError, CorruptError, LimitError
from ckptfmt.limits import Limits
from ckptfmt.object_graph.keys import OBJECT_GRAPH_KEY
from ckptfmt.proto import messages
from ckptfmt.wire.crc32c import crc32c
from tests.support import golden
from tests.support.memory_filesystem import open_bundle
from tests.support.object_graph import check_laws, encode_graph, encode_node, encode_variable
from tests.support.table_writer import encode_bundle_index, encode_entry, encode_field, write_bundle

MILLION = 1_000_000

SLOW = 60.0
"""Seconds; work that is quadratic in a million takes days."""


@contextmanager
def in_bounded_time() -> Iterator[None]:
    start = time.perf_counter()
    yield
    assert time.perf_counter() - start < SLOW


def graph_of(*nodes: bytes, keys: tuple[str, ...] = ()) -> ObjectGraph:
    return ObjectGraph(encode_graph(nodes), keys, "model")


# --- graphs that are damage --------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [2, -1, 2**31 - 1, -(2**31)])
@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda number: encode_node([(number, "far")]), id="child"),
        pytest.param(lambda number: encode_node(slots=[(number, "far", 0)]), id="variable of a slot"),
        pytest.param(lambda number: encode_node(slots=[(0, "far", number)]), id="slot variable"),
    ],
)
def test_numbers_without_a_node_are_damage(make, number: int) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(CorruptError, match=rf"node 1: .*'far'.* node {number}, want 0 to 1") as caught:
        graph_of(encode_node(), make(number))
    assert caught.value.file == "model"


@pytest.mark.parametrize("data", [b"", encode_field(2, b"unknown field")], ids=["no bytes", "other fields"])
def test_a_graph_without_nodes_is_damage(data: bytes) -> None:
    with pytest.raises(CorruptError, match="no nodes"):
        ObjectGraph(data, [], "model")


@pytest.mark.parametrize(
    "data",
    [
        b"\xff",
        b"\x0a\x7f",
        encode_field(1, b"\x0a\xff\xff\xff\xff\x0f"),
        encode_graph([encode_node([(0, b"\xff\xfe")])]),
        encode_graph([encode_node([(0, b"\xed\xa0\x80")])]),
        b"\x0b" * 100_000,
    ],
    ids=["no message", "cut", "length beyond the end", "name not UTF-8", "name a surrogate", "open groups"],
)
def test_bytes_that_are_not_a_graph_are_damage(data: bytes) -> None:
    with in_bounded_time(), pytest.raises(CorruptError):
        ObjectGraph(data, [], "model")


def test_a_damaged_graph_leaves_the_tensors_readable() -> None:
    data = b"\x01\x02" + b"\xff\xff"  # two strings? one of length 1 would need a checksum: damage in any case
    entries = {
        "_CHECKPOINTABLE_OBJECT_GRAPH": encode_entry(dtype=7, shape=(), size=4, crc=crc32c(data)),
        "w": encode_entry(dtype=3, shape=(), offset=4, size=4, crc=crc32c(b"\x05\0\0\0")),
    }
    checkpoint = open_bundle(encode_bundle_index(entries), data + b"\x05\0\0\0")
    with pytest.raises(CorruptError):
        checkpoint.object_graph  # noqa: B018
    assert checkpoint["w"] == 5


@given(st.data())
def test_damaged_bytes_give_a_lawful_graph_or_our_error(data: st.DataObject) -> None:
    expected = golden.load("object_slots")
    (graph,) = (tensor for tensor in expected.tensors.values() if tensor.dtype == "string")
    content = bytearray(graph.expected().item())
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    del content[data.draw(st.integers(0, len(content)) | st.just(len(content))) :]
    keys = [tensor.name for tensor in expected.tensors.values()]
    try:
        damaged = ObjectGraph(bytes(content), keys, "model")
    except CkptfmtError:
        return
    check_laws(damaged, keys)
    for node in damaged:
        _ = node.path, node.full_name, node.slot, node.slots, node.registered_saver, repr(node)


# --- what is odd, and allowed ------------------------------------------------------------------------------


def test_cycles_are_walked_once() -> None:
    graph = graph_of(
        encode_node([(0, "self"), (1, "child")]), encode_node([(0, "parent"), (1, "self"), (2, "next")]), b""
    )
    check_laws(graph, [])
    assert [(visit.name, visit.first) for visit in graph.walk()] == [
        ("", True),
        ("self", False),
        ("child", True),
        ("parent", False),
        ("self", False),
        ("next", True),
    ]
    assert graph["child/parent/self/child/next"] == graph.nodes[2]


def test_the_last_child_of_a_name_is_found_and_all_are_walked() -> None:
    graph = graph_of(encode_node([(1, "twin"), (2, "twin")]), b"", b"")
    assert [visit.node.id for visit in graph.walk()] == [0, 1, 2]
    assert graph["twin"].id == 2


def test_names_may_be_anything() -> None:
    names = ["", "/", "\0", "\x1b[2J", "\u202e", "a\nb", "..", ".S", ".ATTRIBUTES", ".OPTIMIZER_SLOT"]
    graph = graph_of(encode_node([(i, name) for i, name in enumerate(names, 1)]), *[b""] * len(names))
    check_laws(graph, [])
    assert list(graph.root.children) == names
    for i, name in enumerate(names, 1):
        node = graph.nodes[i]
        assert node.path is not None
        if name:  # "" is the root
            assert graph[node.path] == node


def test_a_key_that_two_nodes_claim_belongs_to_the_first() -> None:
    key = "a/.ATTRIBUTES/VARIABLE_VALUE"
    table = [("table", "", "t/.ATTRIBUTES/table")]
    keys = (key, "t/.ATTRIBUTES/table-keys")
    graph = graph_of(
        encode_node([(i, str(i)) for i in range(1, 5)]),
        encode_variable("a"),
        encode_variable("a"),
        encode_node(attributes=table),
        encode_node(attributes=table),
        keys=keys,
    )
    check_laws(graph, keys)
    assert graph.node_of(key).id == 1
    assert graph.node_of(keys[1]).id == 3
    assert graph.absent == ()


def test_an_attribute_cannot_claim_the_graph_itself() -> None:
    keys = ("_CHECKPOINTABLE_OBJECT_GRAPH", "w/.ATTRIBUTES/VARIABLE_VALUE")
    claims = [("VARIABLE_VALUE", "", key) for key in ("", "_CHECKPOINTABLE_OBJECT_GRAPH", "w", "w/.ATTR")]
    graph = graph_of(encode_node(attributes=claims), keys=keys)
    check_laws(graph, keys)
    assert graph.unreached == keys[1:]


def test_slot_variables_may_belong_to_each_other() -> None:
    # 1 is the optimizer, 2 and 3 are slot variables of each other and of themselves.
    graph = graph_of(
        encode_node([(1, "opt")]),
        encode_node(slots=[(2, "m", 3), (3, "m", 2), (2, "v", 2), (1, "o", 1)]),
        b"",
        b"",
    )
    check_laws(graph, [])
    for node in graph:
        _ = node.path, node.slot, node.slots, repr(node)


# --- what is large -----------------------------------------------------------------------------------------


@pytest.mark.scale
def test_a_chain_of_a_million_objects() -> None:
    with in_bounded_time():
        nodes = [encode_node([(i + 1, "n")]) for i in range(MILLION - 1)]
        graph = graph_of(*nodes, encode_variable("end"), keys=("end/.ATTRIBUTES/VARIABLE_VALUE",))
        assert sum(1 for _ in graph) == MILLION
        depth = max(visit.depth for visit in graph.walk())
        assert depth == MILLION - 1
        last = graph.nodes[-1]
        assert last.path == "/".join(["n"] * (MILLION - 1))
        assert graph[last.path] == last
        assert graph.unreached == ()


@pytest.mark.scale
def test_a_million_children() -> None:
    with in_bounded_time():
        root = encode_node([(i, f"c{i}") for i in range(1, MILLION)])
        graph = graph_of(root, *[b""] * (MILLION - 1))
        assert sum(visit.first for visit in graph.walk()) == MILLION
        assert len(graph.root.children) == MILLION - 1
        # One after the other, as somebody would look for those in a list.
        assert all(graph[f"c{i}"].id == i for i in range(1, MILLION, 97))


def test_a_hundred_thousand_slots_of_a_variable_at_the_end_of_a_long_chain() -> None:
    count = 100_000
    with in_bounded_time():
        chain = [encode_node([(i + 1, "n")]) for i in range(1, count)]
        optimizer = encode_node([(1, "n")], slots=[(count, f"s{i}", count) for i in range(count)])
        graph = graph_of(optimizer, *chain, b"")
        assert sum(1 for _ in graph.walk()) == 2 * count + 1


def test_a_hundred_thousand_attributes_of_a_variable_with_as_many_slots() -> None:
    count = 100_000
    with in_bounded_time():
        variable = encode_node(attributes=[("a", "", f"{i}") for i in range(count)])
        optimizer = encode_node([(1, "v")], slots=[(1, f"s{i}", 1) for i in range(count)])
        graph = graph_of(optimizer, variable)
        assert sum(1 for _ in graph.walk()) == count + 2
        assert len(graph.absent) == count


def test_a_hundred_thousand_tables_and_as_many_that_claim_the_same_keys() -> None:
    count = 100_000
    with in_bounded_time():
        own = [encode_node(attributes=[("t", "", f"{i}/.ATTRIBUTES/t")]) for i in range(count)]
        shared = [encode_node(attributes=[("t", "", "all/.ATTRIBUTES/")]) for _ in range(count)]
        keys = [f"{i}/.ATTRIBUTES/t-{end}" for i in range(count) for end in ("keys", "values")]
        keys += [f"all/.ATTRIBUTES/{i}" for i in range(count)]
        graph = ObjectGraph(encode_graph([*own, *shared]), keys, "model")
        assert graph.unreached == ()
        assert graph.nodes[7].keys == ("7/.ATTRIBUTES/t-keys", "7/.ATTRIBUTES/t-values")
        assert len(graph.nodes[count].keys) == count
        assert graph.nodes[count + 1].keys == ()


def test_a_hundred_thousand_variables_of_one_full_name() -> None:
    count = 100_000
    with in_bounded_time():
        nodes = [encode_variable(f"v{i}") for i in range(count)]
        keys = [f"v{i}/.ATTRIBUTES/VARIABLE_VALUE" for i in range(count)]
        graph = ObjectGraph(encode_graph(nodes), keys, "model")
        assert graph.keys_by_full_name == {"Variable": tuple(keys)}


def test_long_names_on_the_way_to_many_variables_are_refused_before_they_fill_memory() -> None:
    keys = tuple(f"k{i}/.ATTRIBUTES/VARIABLE_VALUE" for i in range(20))
    nodes = [
        encode_node([(1, "x" * 80)]),
        encode_node([(2 + i, f"v{i}") for i in range(20)]),
        *(encode_variable(f"k{i}") for i in range(20)),
    ]
    data = encode_graph(nodes)
    graph = ObjectGraph(data, keys, "model", limits=Limits(max_ratio=0, free_bytes=1000))
    with pytest.raises(LimitError, match="characters in names"):
        graph.short_names_below(graph.root)
    graph = ObjectGraph(data, keys, "model")
    assert len(graph.short_names_below(graph.root)) == 20


def test_many_objects_restored_from_one_stored_object_take_linear_time(tmp_path: Path) -> None:
    # A ring of objects; every second one is an optimizer with a slot. All are restored from the stored
    # root, which has as many children and slots. A dictionary of these for each object takes many minutes.
    count = 50_000
    message = messages.SavedModel(saved_model_schema_version=1)
    meta_graph = message.meta_graphs.add()
    meta_graph.meta_info_def.tags.append("serve")
    for i in range(count):
        node = meta_graph.object_graph_def.nodes.add()
        node.children.add(node_id=(i + 1) % count, local_name="c0")
        node.slot_variables.add(original_variable_node_id=i, slot_name="m", slot_variable_node_id=i)
    slots = [(0, f"m{k}", 0) for k in range(count)]
    graph = encode_graph([encode_node([(0, f"c{k}") for k in range(count)], slots=slots)])
    (tmp_path / "variables").mkdir()
    (tmp_path / "saved_model.pb").write_bytes(message.SerializeToString())
    write_bundle(tmp_path / "variables" / "variables", strings={OBJECT_GRAPH_KEY: graph})
    with in_bounded_time():
        assert ckptfmt.open_saved_model(tmp_path).object_variables == ()
