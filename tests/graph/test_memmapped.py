"""Memory-mapped graphs: constants in regions of the file are constants like any other."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ckptfmt
from ckptfmt import errors
from ckptfmt.proto import messages
from tests.support.command_line import run, run_json
from tests.support.memmapped_writer import PREFIX, encode_element, encode_package, to_memmapped
from tests.support.memory_filesystem import MemoryFilesystem

LARGE = np.arange(40_000, dtype=np.float32).reshape(200, 200)
SMALL = np.arange(6, dtype=np.int16).reshape(2, 3)


def constant(graph: messages.GraphDef, name: str, array: np.ndarray, code: int) -> None:
    node = graph.node.add(name=name, op="Const", device="/cpu:0")
    node.attr["dtype"].type = code
    tensor = node.attr["value"].tensor
    tensor.dtype, tensor.tensor_content = code, array.tobytes()
    for size in array.shape:
        tensor.tensor_shape.dim.add(size=size)


def plain_graph() -> messages.GraphDef:
    graph = messages.GraphDef()
    graph.versions.producer = 24
    graph.node.add(name="x", op="Placeholder").attr["dtype"].type = 1
    constant(graph, "net/large", LARGE, 1)
    constant(graph, "small", SMALL, 5)
    graph.node.add(name="y", op="MatMul", input=["x", "net/large"]).attr["T"].type = 1
    return graph


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "model.pbmm").write_bytes(to_memmapped(plain_graph()))
    return tmp_path / "model.pbmm"


@pytest.mark.parametrize("backend", ["mmap", "pread"])
@pytest.mark.parametrize("least", [0, 100, 1 << 30])
@pytest.mark.parametrize("has_lengths", [True, False])
def test_a_memory_mapped_graph_is_the_graph_that_it_was_made_from(
    tmp_path: Path, backend: str, least: int, has_lengths: bool
) -> None:
    want = plain_graph()
    path = tmp_path / "a graph"
    path.write_bytes(to_memmapped(want, least=least, has_lengths=has_lengths))
    graph = ckptfmt.read_graph(path, backend=backend)
    assert graph.constants.keys() == {"net/large", "small"}
    np.testing.assert_array_equal(graph.constants["net/large"], LARGE)
    np.testing.assert_array_equal(graph.constants["small"], SMALL)
    assert graph.constants.entry("net/large").shape == (200, 200)
    assert graph["small"].attributes["value"].tolist() == SMALL.tolist()
    assert graph.to_bytes() == ckptfmt.Graph(want).to_bytes()
    assert graph.message == want
    assert graph.to_bytes() == ckptfmt.Graph(want).to_bytes()


def test_bytes_and_other_file_systems_have_it_too(path: Path) -> None:
    data = path.read_bytes()
    for graph in (
        ckptfmt.read_graph(data),
        ckptfmt.read_graph("mem/model.pbmm", fs=MemoryFilesystem({"mem/model.pbmm": data})),
    ):
        np.testing.assert_array_equal(graph.constants["net/large"], LARGE)


def test_large_constants_are_views_of_the_file(path: Path) -> None:
    graph = ckptfmt.read_graph(path)
    first, second = graph.constants["net/large"], graph.constants["net/large"]
    assert np.shares_memory(first, second)
    assert not first.flags.writeable
    # Copied when they are written to the file that they are in, and kept while somebody has them.
    graph.write(path, overwrite=True)
    np.testing.assert_array_equal(first, LARGE)
    assert ckptfmt.read_graph(path) == ckptfmt.Graph(plain_graph())


def test_the_command_line_shows_it_and_writes_what_everybody_reads(path: Path, tmp_path: Path) -> None:
    shown = run_json("graph", path)
    assert shown["ops"] == {"Const": 2, "Placeholder": 1, "MatMul": 1}
    assert [each["name"] for each in shown["inputs"]] == ["x"]
    assert shown["outputs"] == ["small", "y"]
    assert shown["constants"]["count"] == 2
    out = tmp_path / "part.pb"
    assert run("subgraph", path, "-o", out, "--outputs", "y").exit_code == 0
    part = messages.GraphDef.FromString(out.read_bytes())
    assert [node.op for node in part.node] == ["Placeholder", "Const", "MatMul"]
    np.testing.assert_array_equal(ckptfmt.read_graph(out).constants["net/large"], LARGE)


def test_constants_in_functions_and_with_many_inputs_are_constants_too() -> None:
    source = plain_graph()
    function = source.library.function.add()
    function.signature.name = "f"
    constant(source, "with inputs", LARGE, 1)
    source.node[-1].input.extend(f"^n{number}" for number in range(200))
    package = to_memmapped(source)
    graph = ckptfmt.read_graph(package)
    np.testing.assert_array_equal(graph.constants["with inputs"], LARGE)
    assert graph.to_bytes() == ckptfmt.Graph(source).to_bytes()

    body = messages.GraphDef()
    immutable(body, "c", "c", (2,), 3)
    function.node_def.append(body.node[0])
    package = encode_package(
        [(f"{PREFIX}c", b"\1\0\0\0\2\0\0\0"), (f"{PREFIX}.", source.SerializeToString())]
    )
    node = ckptfmt.read_graph(package).functions["f"].nodes["c"]
    assert node.op == "Const"
    assert node.attributes["value"].tolist() == [1, 2]


def immutable(
    graph: messages.GraphDef, name: str, region: str, shape: tuple[int, ...], code: int = 1
) -> messages.NodeDef:
    node = graph.node.add(name=name, op="ImmutableConst")
    node.attr["dtype"].type = code
    node.attr["shape"].shape.SetInParent()
    for size in shape:
        node.attr["shape"].shape.dim.add(size=size)
    node.attr["memory_region_name"].s = f"{PREFIX}{region}".encode()
    return node


@pytest.mark.parametrize(
    ("region", "shape", "code", "what"),
    [
        ("other", (4,), 1, "constant 'c': no region is named 'memmapped_package://other'"),
        ("c", (5,), 1, "constant 'c': region 'memmapped_package://c' has 16 bytes, want 20"),
        ("c", (1 << 62, 1 << 62), 1, "constant 'c': region 'memmapped_package://c' has 16 bytes, want"),
        ("c", (-1,), 1, "constant 'c': no constant has dtype float32 and shape"),
        ("c", (4,), 7, "constant 'c': no constant has dtype string and shape"),
        ("c", (4,), 99, "constant 'c': no constant has dtype"),
    ],
)
def test_a_constant_that_its_region_does_not_fit_is_corrupt(
    region: str, shape: tuple[int, ...], code: int, what: str
) -> None:
    graph = messages.GraphDef()
    immutable(graph, "c", region, shape, code)
    package = encode_package([(f"{PREFIX}c", bytes(16)), (f"{PREFIX}.", graph.SerializeToString())])
    with pytest.raises(errors.CorruptError) as caught:
        ckptfmt.read_graph(package)
    assert what in str(caught.value)
    assert caught.value.file == "<bytes>"


def test_constants_in_other_files_stay_as_they_are() -> None:
    graph = messages.GraphDef()
    immutable(graph, "c", "c", (4,)).attr["memory_region_name"].s = b"/weights.bin"
    graph.node.add(name="n", op="ImmutableConst")
    package = encode_package([(f"{PREFIX}.", graph.SerializeToString())])
    assert ckptfmt.read_graph(package).message == graph


def test_regions_that_many_nodes_share_do_not_blow_up() -> None:
    graph = messages.GraphDef()
    for number in range(1000):
        immutable(graph, f"c{number}", "c", (100_000,))
    package = encode_package([(f"{PREFIX}c", bytes(400_000)), (f"{PREFIX}.", graph.SerializeToString())])
    with pytest.raises(errors.LimitError, match=r"bytes of constants: \d+ exceeds the limit"):
        ckptfmt.read_graph(package)


GRAPH = (f"{PREFIX}.", plain_graph().SerializeToString())


@pytest.mark.parametrize(
    ("package", "what"),
    [
        (
            encode_package([(f"{PREFIX}a", b"x" * 99)]),
            "no region is named memmapped_package://., as that of the",
        ),
        (encode_package([GRAPH, GRAPH]), "got a region named 'memmapped_package://.', want"),
        (encode_package([GRAPH, ("other", b"x")]), "got a region named 'other', want"),
        (
            encode_element(f"{PREFIX}.", 0, 9) + bytes(8),
            "region 'memmapped_package://.': got 9 bytes at 0, want them before 0",
        ),
        (
            bytes(9) + encode_element(f"{PREFIX}.", 1 << 63, 9) + (9).to_bytes(8, "little"),
            "got 9 bytes at 9223372036854775808, want them before 9",
        ),
    ],
)
def test_a_directory_that_cannot_be_is_corrupt(package: bytes, what: str) -> None:
    with pytest.raises(errors.CorruptError) as caught:
        ckptfmt.read_graph(package)
    assert what in str(caught.value)


def test_a_cut_file_says_so(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])
    for name in ("graph", "subgraph"):
        more = ("-o", path.parent / "o.pb", "--outputs", "y") if name == "subgraph" else ()
        result = run(name, path, *more)
        assert result.exit_code == 3
        assert (
            "a memory-mapped package without the directory at its end: the file may be cut" in result.stderr
        )


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_a_damaged_file_is_read_or_refused(data: st.DataObject) -> None:
    graph = messages.GraphDef()
    immutable(graph, "c", "c", (4,))
    package = bytearray(
        encode_package([(f"{PREFIX}c", bytes(16)), (f"{PREFIX}.", graph.SerializeToString())])
    )
    for _ in range(data.draw(st.integers(1, 3))):
        package[data.draw(st.integers(0, len(package) - 1))] = data.draw(st.integers(0, 255))
    stop = data.draw(st.one_of(st.just(len(package)), st.integers(0, len(package))))
    with suppress(errors.CkptfmtError):
        read = ckptfmt.read_graph(bytes(package[:stop]))
        for name in read.constants:
            read.constants[name]


@pytest.mark.tensorflow
def test_tensorflow_runs_what_is_written(path: Path, tmp_path: Path, tensorflow: Any) -> None:
    tf = tensorflow
    ckptfmt.read_graph(path).extract_subgraph("y").write(tmp_path / "model.pb")
    graph = tf.compat.v1.GraphDef.FromString((tmp_path / "model.pb").read_bytes())
    with tf.Graph().as_default():
        tf.import_graph_def(graph, name="")
        with tf.compat.v1.Session() as session:
            got = session.run("y:0", {"x:0": np.eye(200, dtype=np.float32)})
    np.testing.assert_array_equal(got, LARGE)
