"""Large constants beside the message: the same graph that protobuf decodes, complete at all times."""

from __future__ import annotations

import copy
import pickle
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import ckptfmt
from ckptfmt.dtypes import DTYPES
from ckptfmt.errors import CkptfmtError
from ckptfmt.filetype.kinds import Holds
from ckptfmt.graph.read.message_file import open_message
from ckptfmt.graph.tensor_content import take_out
from ckptfmt.proto import messages

MANY = 1 << 40


@contextmanager
def taken_from(size: int) -> Iterator[None]:
    """Keep constants of at least so many bytes beside messages for a while."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ckptfmt.graph.tensor_content.TAKEN_FROM", size)
        yield


def parse(path: Path) -> ckptfmt.Graph:
    """The graph in a file, whatever it looks like."""
    with open_message(path, Holds.GRAPH) as file:
        return ckptfmt.Graph(file.parse_outline(), file.name)


def beside(graph: ckptfmt.Graph) -> set[str]:
    """The constants that the message lacks."""
    return {name for name in graph if graph._outline.content(name) is not None}


def attempt(use: Callable[[], object]) -> object:
    try:
        return use()
    except CkptfmtError as error:
        return type(error), str(error)


def described(array: ckptfmt.Graph) -> object:
    return array.dtype, array.shape, array.tolist() if array.dtype.hasobject else array.tobytes()


def all_of(graph: ckptfmt.Graph) -> list[object]:
    """Everything that a graph says, constants and bytes first."""
    constants = graph.constants
    return [
        {name: attempt(lambda name=name: described(constants[name])) for name in constants},
        {name: constants.entry(name) for name in constants},
        graph.to_bytes(),
        {name: attempt(lambda name=name: repr(dict(graph[name].attributes))) for name in graph},
        graph.to_bytes(),
        graph.message.SerializeToString(deterministic=True),
        {name: attempt(lambda name=name: described(constants[name])) for name in constants},
        {name: constants.entry(name) for name in constants},
        graph.to_bytes(),
    ]


# --- whatever a file looks like ----------------------------------------------------------------------------


def varint(value: int, more: int = 0) -> bytes:
    """A varint, in more bytes than it needs if asked for."""
    value &= (1 << 64) - 1
    out = []
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    for _ in range(more):
        out[-1] |= 0x80
        out.append(0)
    return bytes(out)


RAW = 0
"""Instead of a field number: bytes that are fields as they are."""

OTHER = (
    b"\xa3\x06\xa4\x06",
    b"\xa5\x06abcd",
    b"\x25abcd",
    b"\x11abcdefgh",
    b"\x23\x24",
    b"\x00\x01",
    b"\x0c",
)
"""Groups and numbers of fixed sizes, known and unknown; and bytes that are not a field."""


def field(number: int, value: int | bytes, more: tuple[int, int] = (0, 0)) -> bytes:
    if number == RAW:
        assert isinstance(value, bytes)
        return value
    if isinstance(value, int):
        return varint(number << 3, more[0]) + varint(value)
    return varint(number << 3 | 2, more[0]) + varint(len(value), more[1]) + value


Usual: TypeAlias = "tuple[int, st.SearchStrategy[int | bytes]]"


def chunks(draw: st.DrawFn, odd: bool, *usual: Usual) -> bytes:
    """The usual fields of a message; if odd, repeated, missing, in another order, of another kind or new."""
    fields = [(number, draw(value)) for number, value in usual]
    for change in (
        draw(st.lists(st.sampled_from([0, 1, 2, 2, 2, 3, 4, 5]), min_size=1, max_size=2)) if odd else []
    ):
        at = draw(st.integers(0, max(0, len(fields) - 1)))
        if change == 0:
            fields.insert(
                at, (draw(st.sampled_from([1, 2, 3, 4, 5, 8, 13, 100])), draw(st.binary(max_size=9)))
            )
        elif change == 1:
            fields.insert(at, (draw(st.sampled_from([1, 2, 3, 4, 5, 7, 8, 100])), draw(st.integers(0, 300))))
        elif change == 2 and fields:
            number, value = usual[draw(st.integers(0, len(usual) - 1))]
            fields.insert(at, (number, draw(value)))
        elif change == 3 and fields:
            del fields[at]
        elif change == 4:
            fields = draw(st.permutations(fields))
        elif change == 5:
            fields.insert(at, (RAW, draw(st.sampled_from(OTHER))))
    longer = draw(st.sampled_from([(0, 0)] * 9 + [(0, 1), (1, 0), (0, 4), (3, 0), (9, 9)])) if odd else (0, 0)
    last = len(fields) - 1
    return b"".join(field(*one, longer if number == last else (0, 0)) for number, one in enumerate(fields))


@st.composite
def tensors(draw: st.DrawFn, odd: bool) -> bytes:
    size = draw(st.sampled_from([1, 2, 3, 4, 0]))
    code = (
        draw(st.sampled_from([1] * 15 + [3, 4, 7, 10, 20, 29, 101, 777, 0, -1, 1 + (1 << 32)])) if odd else 1
    )
    dtype = DTYPES.get(code)
    shape = field(2, b"" if odd and draw(st.booleans()) else field(2, field(1, size)))
    count = size if len(shape) > 2 else 1
    content = st.binary(min_size=(n := count * ((dtype and dtype.itemsize) or 1)), max_size=n)
    usual: list[Usual] = [(1, st.just(code)), (2, st.just(shape)), (4, content)]
    if draw(st.integers(0, 4)) == 0:
        usual.append((3, st.integers(-1, 300)))  # version_number
    if odd and not draw(st.integers(0, 5)):
        usual.append((5, st.binary(min_size=4, max_size=4)))  # float_val
    return chunks(draw, odd, *usual)


@st.composite
def entries(draw: st.DrawFn, odd: set[str]) -> bytes:
    key = draw(st.sampled_from([b"value", b"dtype", b"zzz", b"\xff"])) if "entry" in odd else b"value"
    kind = 8 if key == b"value" else draw(st.sampled_from([6, 3, 8]))
    inner = tensors("tensor" in odd) if kind == 8 else st.integers(0, 300)
    value = chunks(draw, "value" in odd, (kind, inner))
    return chunks(draw, "entry" in odd, (1, st.just(key)), (2, st.just(value)))


@st.composite
def nodes(draw: st.DrawFn, odd: set[str]) -> bytes:
    name = b"n%d" % draw(st.integers(0, 50))
    op = draw(st.sampled_from([b"Const", b"Placeholder"])) if "node" in odd else b"Const"
    inner: list[Usual] = [(1, st.just(name)), (2, st.just(op))]
    inner += [(5, entries(odd))] * draw(st.sampled_from([1, 0, 2] if "node" in odd else [1]))
    inner += [(4, st.just(b"/GPU:0"))] * draw(st.integers(0, 1))
    return chunks(draw, "node" in odd, *inner)


@st.composite
def graphs(draw: st.DrawFn) -> bytes:
    """A graph in which at most two kinds of messages are odd, so that the others look usual."""
    levels = st.sampled_from(["tensor", "value", "entry", "node", "graph"])
    odd = draw(st.sampled_from([{"tensor"}, {"value"}, {"entry"}, {"node"}, {"graph"}, set()])) | draw(
        st.sets(levels, max_size=1)
    )
    many = [(1, nodes(odd if draw(st.integers(0, 3)) else set())) for _ in range(draw(st.integers(1, 3)))]
    return chunks(draw, "graph" in odd, *many, (4, st.just(field(1, 24))))


@given(data=graphs(), size=st.sampled_from([1, 4]))
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_graph_is_decoded_as_protobuf_decodes_it(tmp_path: Path, data: bytes, size: int) -> None:
    path = tmp_path / "graph.pb"
    path.write_bytes(data)
    with taken_from(MANY):
        want = attempt(lambda: all_of(parse(path)))
    with taken_from(size):
        assert attempt(lambda: all_of(parse(path))) == want


def constant(
    *,
    tensor: bytes = b"",
    kind: bytes = b"",
    entry: bytes = b"",
    node: bytes = b"",
    longer: str = "",
) -> bytes:
    """A graph of one constant, with further fields in its messages, or with a length in too many bytes."""

    def inner(name: str, number: int, value: bytes) -> bytes:
        return field(number, value, (0, 2 if name == longer else 0))

    content = field(1, 1) + field(2, field(2, field(1, 1))) + inner("content", 4, b"abcd") + tensor
    value = inner("value", 2, inner("tensor", 8, content) + kind)
    attributes = inner("entry", 5, field(1, b"value") + value + entry)
    return inner("node", 1, field(1, b"n") + field(2, b"Const") + attributes + node)


DTYPE = field(5, field(1, b"dtype") + field(2, field(6, 1)))
VALUE = field(5, field(1, b"value") + field(2, field(8, field(4, b"efgh"))))


@pytest.mark.parametrize(
    "data",
    [
        constant(),
        constant(node=DTYPE + field(4, b"/GPU:0") + field(100, b"unknown")),
        constant() + field(4, field(1, 24)),
        constant(tensor=field(3, 1)),
    ],
    ids=["plain", "of a node with more", "of a graph with more", "with a version"],
)
def test_a_usual_constant_is_taken_out(tmp_path: Path, data: bytes) -> None:
    with taken_from(4):
        rest, spans = take_out(memoryview(data))
        assert [data[span.offset : span.offset + span.size] for span in spans.values()] == [b"abcd"]
        message = messages.GraphDef.FromString(bytes(rest))
        message.node[0].attr["value"].tensor.tensor_content = b"abcd"
        assert message == messages.GraphDef.FromString(data)


OTHERWISE = {
    **{
        f"a long length of the {n}": constant(longer=n)
        for n in ("node", "entry", "value", "tensor", "content")
    },
    "content twice": constant(tensor=field(4, b"efgh")),
    "a long tag": constant(tensor=field(3, 1, (1, 0))),
    "values listed too": constant(tensor=field(5, b"efgh")),
    "a field not known": constant(tensor=field(100, b"unknown")),
    "a dtype of another kind": constant(tensor=field(1, b"\x01")),
    "two tensors": constant(kind=field(8, field(4, b"efgh"))),
    "a number too": constant(kind=field(3, 1)),
    "two values of an entry": constant(entry=field(2, field(8, field(4, b"efgh")))),
    "two keys alike": constant(entry=field(1, b"value")),
    "two keys": constant(entry=field(1, b"other")),
    "two entries": constant(node=VALUE),
    "two ops alike": constant(node=field(2, b"Const")),
    "two ops": constant(node=field(2, b"Placeholder")),
    "a node with a long tag": constant() + field(1, b"", (1, 0)),
    "a group": constant() + b"\x0b\x0c",
    "content cut": constant()[:-1],
    "a node cut": constant(node=field(4, b"/GPU:0"))[:-1],
    "a tag cut": constant() + b"\x0a",
}


@pytest.mark.parametrize("what", OTHERWISE)
def test_constants_written_in_another_way_are_left_to_protobuf(what: str) -> None:
    with taken_from(4):
        assert take_out(memoryview(OTHERWISE[what])) == (OTHERWISE[what], {})


@pytest.mark.parametrize(
    "data",
    [
        field(1, field(2, b"Const") + bytes.fromhex("5000") * (8 << 20)),
        field(1, field(2, b"Const") + field(5, field(1, b"value") + bytes.fromhex("5000") * (8 << 20))),
        constant(kind=bytes.fromhex("5000") * (8 << 20)),
        constant(tensor=bytes.fromhex("2d0000803f") * (4 << 20)),
    ],
    ids=["node", "entry", "value", "tensor"],
)
def test_messages_of_very_many_fields_are_left_to_protobuf(data: bytes) -> None:
    start = time.perf_counter()
    assert take_out(memoryview(data))[1] == {}
    assert time.perf_counter() - start < 1


def test_constants_with_very_many_control_inputs_are_left_to_protobuf(tmp_path: Path) -> None:
    message = graph_of((20_000,))
    message.node[0].input.extend(["^n0"] * 1000)
    graph = read(tmp_path / "g.pb", message)
    assert not beside(graph)
    assert all_of(graph) == all_of(ckptfmt.Graph(message))


def graph_of(*shapes: tuple[int, ...]) -> messages.GraphDef:
    """Constants of float32 in these shapes, each with a node that takes it."""
    graph = messages.GraphDef()
    graph.versions.producer = 24
    values = np.random.default_rng(0)
    for number, shape in enumerate(shapes):
        node = graph.node.add(name=f"scope/c{number}", op="Const", device="/GPU:0")
        node.attr["dtype"].type = messages.DataType.DT_FLOAT
        node.attr["value"].tensor.CopyFrom(ckptfmt.to_proto(values.standard_normal(shape, np.float32)))
        node.attr["zzz"].i = number
        graph.node.add(name=f"n{number}", op="Identity", input=[f"scope/c{number}"])
        graph.node[-1].attr["T"].type = messages.DataType.DT_FLOAT
    graph.library.function.add().signature.name = "f"
    return graph


def read(path: Path, message: messages.GraphDef) -> ckptfmt.Graph:
    path.write_bytes(message.SerializeToString(deterministic=True))
    return ckptfmt.read_graph(path)


def test_damaged_graphs_are_decoded_or_refused_as_protobuf_does(tmp_path: Path) -> None:
    data = graph_of((3,), (2, 2)).SerializeToString(deterministic=True)
    path = tmp_path / "graph.pb"
    for at in range(len(data)):
        for flip in (0xFF, 0x01, 0x10):
            path.write_bytes(data[:at] + bytes([data[at] ^ flip]) + data[at + 1 :])
            with taken_from(MANY):
                want = attempt(lambda: all_of(parse(path)))
            with taken_from(4):
                assert attempt(lambda: all_of(parse(path))) == want, (at, flip)
        path.write_bytes(data[:at])
        with taken_from(MANY):
            want = attempt(lambda: all_of(parse(path)))
        with taken_from(4):
            assert attempt(lambda: all_of(parse(path))) == want, at


@pytest.mark.parametrize("size", [64 << 10, (1 << 21) - 8, 1 << 21])
def test_large_constants_are_taken_out_and_put_back(tmp_path: Path, size: int) -> None:
    """Lengths of three and of four bytes."""
    message = graph_of((size // 4,), (5,))
    graph = read(tmp_path / "g.pb", message)
    assert "scope/c0" in beside(graph)
    assert "scope/c1" not in beside(graph)
    assert graph._outline.message.ByteSize() < 1000
    assert all_of(graph) == all_of(ckptfmt.Graph(message))
    assert not beside(graph)


def test_only_numbers_are_taken_out() -> None:
    for code, dtype in DTYPES.items():
        message = messages.GraphDef(node=[messages.NodeDef(name="c", op="Const")])
        message.node[0].attr["value"].tensor.CopyFrom(
            messages.TensorProto(dtype=code, tensor_content=bytes(1 << 17))
        )
        _, spans = take_out(memoryview(message.SerializeToString()))
        assert bool(spans) == (dtype.itemsize is not None), dtype


# --- the message is complete when it is asked for ----------------------------------------------------------

LARGE = ((100, 200), (150, 150), (3,))


@pytest.fixture
def graph(tmp_path: Path) -> ckptfmt.Graph:
    found = read(tmp_path / "g.pb", graph_of(*LARGE))
    assert beside(found) == {"scope/c0", "scope/c1"}
    return found


def test_looking_at_a_graph_moves_no_constant(graph: ckptfmt.Graph) -> None:
    repr((graph.ops, graph.versions, graph.inputs, graph.outputs, graph.custom_ops, graph.functions.calls))
    for name, node in graph.items():
        repr((node, node.name, node.op, node.device, node.inputs, list(graph.tensors(name))))
        repr((list(graph.ancestors(name)), list(graph.descendants(name)), graph.consumers(name)))
    assert graph.tensor("scope/c0:0").shape == (100, 200)
    assert [graph.constants.entry(name).shape for name in graph.constants] == list(LARGE)
    assert len(beside(graph)) == 2
    constant = graph.constants["scope/c0"]
    assert not constant.flags.writeable
    assert constant.flags.aligned
    assert np.shares_memory(constant, graph.constants["scope/c0"])


def test_the_message_of_a_node_is_complete(graph: ckptfmt.Graph) -> None:
    node = graph["scope/c0"]
    before = graph.constants["scope/c0"]
    assert len(node.message.attr["value"].tensor.tensor_content) == 80_000
    assert beside(graph) == {"scope/c1"}
    np.testing.assert_array_equal(graph.constants["scope/c0"], before)
    np.testing.assert_array_equal(graph["scope/c1"].attributes["value"], graph.constants["scope/c1"])
    assert graph["scope/c1"] == ckptfmt.Graph(graph_of(*LARGE))["scope/c1"]
    assert graph == ckptfmt.Graph(graph_of(*LARGE))


def test_changes_to_the_message_count(graph: ckptfmt.Graph, tmp_path: Path) -> None:
    before = graph.constants["scope/c0"]
    values = before.copy()
    graph.message.node[0].attr["value"].tensor.CopyFrom(ckptfmt.to_proto([1.0, 2.0]))
    assert graph.constants["scope/c0"].tolist() == [1, 2]
    assert graph.constants.entry("scope/c0").shape == (2,)
    np.testing.assert_array_equal(before, values)
    graph.write(tmp_path / "changed.pb")
    assert (tmp_path / "changed.pb").read_bytes() == graph.message.SerializeToString(deterministic=True)
    assert ckptfmt.read_graph(tmp_path / "changed.pb").constants["scope/c0"].tolist() == [1, 2]


def test_renamed_nodes_keep_their_own_constants(graph: ckptfmt.Graph) -> None:
    want = graph_of(*LARGE)
    other, first = graph["scope/c0"], graph["scope/c0"]
    first.message.name = "scope/c1"
    graph["n0"].message.name = "scope/c0"
    want.node[0].name, want.node[1].name = "scope/c1", "scope/c0"
    assert beside(graph) == {"scope/c1"}
    assert graph.to_bytes() == want.SerializeToString(deterministic=True)
    np.testing.assert_array_equal(
        graph.constants["scope/c1"], ckptfmt.Graph(graph_of(*LARGE)).constants["scope/c1"]
    )
    assert len(other.message.attr["value"].tensor.tensor_content) == 80_000
    assert graph.message == want


def test_a_graph_can_be_written_to_the_file_it_was_read_from(graph: ckptfmt.Graph, tmp_path: Path) -> None:
    want = graph.to_bytes()
    assert graph.file is not None
    Path(graph.file).write_bytes(b"")
    assert graph.to_bytes() == want
    graph.clear_devices().write(graph.file, overwrite=True)
    assert ckptfmt.read_graph(graph.file) == ckptfmt.Graph(graph_of(*LARGE)).clear_devices()


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda each: pickle.loads(pickle.dumps(each))])
def test_copies_of_graphs_and_nodes_are_complete(
    graph: ckptfmt.Graph, copied: Callable[[object], object]
) -> None:
    assert copied(graph["scope/c0"]) == ckptfmt.Graph(graph_of(*LARGE))["scope/c0"]
    assert copied(graph) == ckptfmt.Graph(graph_of(*LARGE))
    function_node = ckptfmt.GraphNode(messages.NodeDef(name="f", input=["a:out:1"]), in_function=True)
    assert copied(function_node).inputs == function_node.inputs


SURGERY: dict[str, Callable[[ckptfmt.Graph], ckptfmt.Graph]] = {
    "extract_subgraph": lambda graph: graph.extract_subgraph(["n1", "n2"]),
    "strip_unused": lambda graph: graph.strip_unused("scope/c0", ["n0", "n1"]),
    "remove_training_nodes": lambda graph: graph.remove_training_nodes("n1"),
    "clear_devices": lambda graph: graph.clear_devices(),
    "prefixed": lambda graph: graph.prefixed("net"),
    "with_inputs": lambda graph: graph.with_inputs({"scope/c0:0": "new:0"}),
    "merge": lambda graph: graph.prefixed("a").merge(graph, graph.prefixed("b").extract_subgraph("b/n1")),
    "freeze": lambda graph: ckptfmt.freeze(graph, {}, ["n0", "n1"]),
}


@pytest.mark.parametrize("name", SURGERY)
def test_surgery_keeps_constants_beside_the_message(graph: ckptfmt.Graph, name: str) -> None:
    made, want = SURGERY[name](graph), SURGERY[name](ckptfmt.Graph(graph_of(*LARGE)))
    assert beside(made) == {n for n in want if want[n].op == "Const" and not n.endswith("c2")}
    assert not beside(want)
    for constant in beside(made):
        original = graph.constants[constant[constant.index("scope") :]]
        assert np.shares_memory(made.constants[constant], original)
    assert all_of(made) == all_of(want)
    assert "scope/c1" in beside(graph)
    assert all_of(graph) == all_of(ckptfmt.Graph(graph_of(*LARGE)))


def test_threads_always_see_complete_constants(tmp_path: Path) -> None:
    message = graph_of(*[(20_000,)] * 8)
    data = message.SerializeToString(deterministic=True)
    want = ckptfmt.Graph(message).constants
    wrong: list[str] = []

    def look(graph: ckptfmt.Graph, start: threading.Barrier, number: int) -> None:
        start.wait()
        wrong.extend(name for name in want if not np.array_equal(graph.constants[name], want[name]))
        if number % 4 == 0:
            wrong.extend([] if graph["scope/c3"].message == message.node[6] else ["node"])
        elif number % 4 == 1 and graph.to_bytes() != data:
            wrong.append("bytes")
        elif number % 4 == 2 and graph.extract_subgraph(list(graph)).to_bytes() != data:
            wrong.append("subgraph")
        elif number % 4 == 3 and graph.message != message:
            wrong.append("message")

    for _ in range(20):
        graph = read(tmp_path / "g.pb", message)
        start = threading.Barrier(8)
        threads = [threading.Thread(target=look, args=(graph, start, number)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not wrong


def test_constants_are_in_memory_once(tmp_path: Path) -> None:
    path = tmp_path / "g.pb"
    path.write_bytes(graph_of(*[(1 << 20,)] * 4).SerializeToString())
    target = tmp_path / "out.pb"
    tracemalloc.start()
    try:
        graph = ckptfmt.read_graph(path)
        arrays = dict(graph.constants)
        graph.prefixed("a").write(target)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(arrays) == 4
    # One more, of the buffer in which a file is written.
    assert peak < (16 << 20) + (3 << 20)


# --- freezing ----------------------------------------------------------------------------------------------


def variable_graph() -> messages.GraphDef:
    graph = messages.GraphDef()
    v = graph.node.add(name="v", op="VarHandleOp")
    v.attr["dtype"].type = 1
    v.attr["shape"].shape.dim.add(size=100)
    v.attr["shape"].shape.dim.add(size=200)
    read = graph.node.add(name="out", op="ReadVariableOp", input=["v"])
    read.attr["dtype"].type = 1
    return graph


VALUES = np.arange(20_000, dtype=np.float32).reshape(100, 200)


def frozen_of(array: np.ndarray) -> ckptfmt.Graph:
    return ckptfmt.freeze(ckptfmt.Graph(variable_graph()), {"v": array}, "out")


def read_only(array: np.ndarray) -> np.ndarray:
    array.flags.writeable = False
    return array


class View:
    """An object with a buffer; NumPy cannot tell who else writes to it."""

    def __init__(self, array: np.ndarray) -> None:
        self.array = array
        self.__array_interface__ = {**array.__array_interface__, "data": (array.ctypes.data, True)}


def test_arrays_that_can_change_are_copied_when_they_are_frozen() -> None:
    mine = VALUES.copy()
    shown = mine.view()
    given = {
        "writable": mine,
        "view": read_only(shown),
        "of an object": np.asarray(View(mine)),
        "of a bytearray": read_only(np.ndarray((100, 200), np.float32, bytearray(VALUES.tobytes()))),
    }
    for what, array in given.items():
        frozen = frozen_of(array)
        assert beside(frozen) == {"v"}
        assert not np.shares_memory(frozen.constants["v"], array), what
        data = frozen.to_bytes()
        mine[0, 0] = -1
        assert frozen.to_bytes() == data
        mine[0, 0] = VALUES[0, 0]


@pytest.mark.parametrize(
    ("array", "shares"),
    [
        (read_only(VALUES.copy()), False),  # its maker may have another view of it
        (np.frombuffer(VALUES.tobytes(), np.float32).reshape(100, 200), True),
        (read_only(np.asfortranarray(VALUES)), False),
        (read_only(np.repeat(VALUES, 2, axis=1))[:, ::2], False),
        (VALUES[::-1][::-1], False),
    ],
    ids=["read-only", "bytes", "Fortran order", "strided", "writable view"],
)
def test_arrays_that_cannot_change_are_not_copied(array: np.ndarray, shares: bool) -> None:
    frozen = frozen_of(array)
    assert np.shares_memory(frozen.constants["v"], array) is shares
    np.testing.assert_array_equal(frozen.constants["v"], VALUES)
    with taken_from(MANY):
        want = frozen_of(array)
    assert not beside(want)
    assert frozen.to_bytes() == want.message.SerializeToString(deterministic=True)
    assert all_of(frozen) == all_of(want)


@pytest.mark.parametrize(
    "code", [code for code, dtype in DTYPES.items() if dtype.itemsize is not None and code < 100]
)
def test_every_dtype_is_frozen_alike(code: int) -> None:
    dtype = DTYPES[code]
    graph = variable_graph()
    graph.node[0].attr["dtype"].type = graph.node[1].attr["dtype"].type = code
    values = np.random.default_rng(0).integers(0, 2, (100, 200)).astype(dtype.numpy)
    made = []
    for size in (1, MANY):
        with taken_from(size):
            made.append(all_of(ckptfmt.freeze(ckptfmt.Graph(graph), {"v": values}, "out")))
    assert made[0] == made[1]
