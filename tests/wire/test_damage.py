"""Where a serialized message is damaged: found for all that protobuf refuses, with the path of the field."""

from __future__ import annotations

import random
import time

import pytest

from ckptfmt.errors import CorruptError, TruncatedError
from ckptfmt.proto import messages
from ckptfmt.wire.damage import find_damage
from tests.support.graphs import varied_graph

GRAPH = varied_graph().SerializeToString(deterministic=True)


def is_refused(data: bytes) -> bool:
    """Whether protobuf itself refuses a graph."""
    try:
        messages.GraphDef.FromString(data)
    except Exception:
        return True
    return False


def damage_of(data: bytes) -> CorruptError | None:
    return find_damage(messages.GraphDef, memoryview(data))


def test_a_graph_cut_anywhere_says_how_many_bytes_its_last_field_wants() -> None:
    for size in range(len(GRAPH)):
        damage = damage_of(GRAPH[:size])
        if not is_refused(GRAPH[:size]):
            assert damage is None
            continue
        assert isinstance(damage, TruncatedError)
        assert damage.what.startswith("ends in ")
        assert damage.offset is not None
        # Everything from its offset to the end of the file counts.
        assert damage.available == size - damage.offset
        assert damage.available < damage.wanted


def test_a_wrong_byte_anywhere_is_found_if_protobuf_minds_it() -> None:
    chance = random.Random(0)
    refused = 0
    for position in range(len(GRAPH)):
        for value in (0, 0xFF, chance.randrange(256)):
            data = bytearray(GRAPH)
            data[position] = value
            damage = damage_of(bytes(data))
            if is_refused(bytes(data)):
                refused += 1
                assert damage is not None
                assert damage.offset is not None
                assert 0 <= damage.offset <= len(data)
    assert refused > len(GRAPH) // 2


def test_the_innermost_field_that_is_cut_is_named() -> None:
    start = GRAPH.rindex(b"x" * 200)
    damage = damage_of(GRAPH[: start + 50])
    assert str(damage) == (
        f'@0x{start:x}: ends in field node[2].attr["value"].tensor.tensor_content: got 50 bytes, want 200'
    )


def test_a_length_that_is_too_large_is_named_and_not_what_follows_it() -> None:
    data = bytearray(GRAPH)
    start = data.index(b"n1")
    data[start - 1] = 100
    damage = damage_of(bytes(data))
    assert damage is not None
    assert "node[1]" in damage.what
    assert damage.offset is not None
    assert start <= damage.offset < GRAPH.index(b"n2")


def test_a_length_that_exceeds_the_file_is_named_and_not_what_seems_to_lie_in_it() -> None:
    first = GRAPH.index(b"\n\x02n0")
    data = b"\n\xff\xff\x7f" + GRAPH[first:]
    assert str(damage_of(data)) == f"@0x4: ends in field node[0]: got {len(data) - 4} bytes, want 2097151"


@pytest.mark.parametrize(
    ("message", "find", "put", "what"),
    [
        (GRAPH, b"gr\xc3\xb6", b"gr\xff\xb6", "field node[0].input[1]: not UTF-8"),
        (GRAPH, b"numbers", b"number\xff", "field node[0].attr.key: not UTF-8"),
        (GRAPH, b"\x01\x02\xac\x02", b"\x01\x02\xac\x82", "packed numbers that do not fill the field"),
        (GRAPH, b"\n\x04deep", b"\n\x04dee\xff", 'library.function[0].attr["g"].func.attr.key: not UTF-8'),
    ],
)
def test_what_protobuf_minds_in_a_whole_field_is_said(
    message: bytes, find: bytes, put: bytes, what: str
) -> None:
    damage = damage_of(message.replace(find, put, 1))
    assert damage is not None
    assert what in str(damage)


def test_names_of_keys_are_quoted_and_shortened() -> None:
    graph = messages.GraphDef()
    graph.node.add().attr['a"\n' + "b" * 1000].s = b"12345"
    damage = damage_of(graph.SerializeToString()[:-1])
    assert damage is not None
    assert r'attr["a\"\nbbb' in damage.what
    assert len(damage.what) < 300


@pytest.mark.parametrize("key", [0, 300])
def test_keys_that_are_numbers_are_not_quoted(key: int) -> None:
    function = messages.FunctionDef()
    function.arg_attr[key].attr["a"].s = b"12345"
    damage = find_damage(messages.FunctionDef, memoryview(function.SerializeToString()[:-1]))
    assert damage is not None
    assert f'ends in field arg_attr[{key}].attr["a"].s: got 4 bytes, want 5' in str(damage)


def test_damage_in_many_nodes_is_found_in_seconds() -> None:
    graph = messages.GraphDef()
    for number in range(20_000):
        graph.node.add(name=f"n{number}", op="NoOp")
    data = graph.SerializeToString()[:-1]
    started = time.perf_counter()
    damage = damage_of(data)
    assert damage is not None
    assert "ends in field node[19999].op: got 3 bytes, want 4" in str(damage)
    assert time.perf_counter() - started < 3


def test_messages_in_a_thousand_messages_are_not_walked_one_by_one() -> None:
    data = b"\xff" * 100_000
    for _ in range(1_000):
        size, head = len(data), bytearray(b"\x12")
        while size > 0x7F:
            head.append(size & 0x7F | 0x80)
            size >>= 7
        data = bytes([*head, size]) + data
    started = time.perf_counter()
    damage = find_damage(messages.FullTypeDef, memoryview(data))
    assert "field args[0]: messages nested more than 100 deep" in str(damage)
    assert time.perf_counter() - started < 3
