"""The variables that the Saver of a ``.meta`` file restores."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import ckptfmt
from ckptfmt.errors import CkptfmtError, CorruptError, GraphError, PathNotFoundError
from ckptfmt.graph.meta.saved_variables import SavedVariable
from ckptfmt.graph.read.read import read_saved_variables
from ckptfmt.proto import messages
from ckptfmt.proto.messages import MetaGraphDef
from tests.support import corpus

METAS = sorted(corpus.CORPUS.glob("**/*.meta"))


def metas_with_checkpoints() -> Iterator[Any]:
    for path in METAS:
        try:
            ckptfmt.open(path).close()
        except CkptfmtError:
            continue
        name = path.relative_to(corpus.CORPUS).as_posix()
        yield pytest.param(path, id=name, marks=pytest.mark.corpus)


@pytest.mark.parametrize("path", list(metas_with_checkpoints()))
def test_the_saved_variables_are_those_of_the_checkpoint_beside_the_graph(path: Path) -> None:
    variables = read_saved_variables(path)
    with ckptfmt.open(path) as checkpoint:
        assert set(variables) == set(checkpoint)
        for name, variable in variables.items():
            entry = checkpoint.entries[name]
            assert variable.dtype == entry.dtype
            if variable.shape is not None:
                assert len(variable.shape) == len(entry.shape)
                pairs = zip(variable.shape, entry.shape, strict=True)
                assert all(want in (None, got) for want, got in pairs)


@pytest.mark.parametrize(
    "path", [pytest.param(path, marks=pytest.mark.corpus, id=path.parent.name + path.name) for path in METAS]
)
def test_a_text_file_gives_the_same_variables_as_a_binary_one(path: Path, tmp_path: Path) -> None:
    from google.protobuf import text_format

    meta = MetaGraphDef.FromString(path.read_bytes())
    copy = tmp_path / "graph.pbtxt"
    copy.write_text(text_format.MessageToString(meta), encoding="utf-8")
    assert read_saved_variables(copy) == read_saved_variables(path)


def graph(nodes: str, end: str = "saver_def { restore_op_name: 'all' }") -> str:
    return f"graph_def {{ {nodes} }} {end}"


def const(name: str, *values: str) -> str:
    shown = " ".join(f"string_val: '{value}'" for value in values)
    return (
        f"node {{ name: '{name}' op: 'Const' attr {{ key: 'value' value {{ tensor {{ dtype: DT_STRING "
        f"tensor_shape {{ dim {{ size: {len(values)} }} }} {shown} }} }} }} }}"
    )


def variable(name: str, shape: str = "dim { size: 2 }", op: str = "VarHandleOp") -> str:
    return (
        f"node {{ name: '{name}' op: '{op}' attr {{ key: 'shape' value {{ shape {{ {shape} }} }} }} "
        f"attr {{ key: 'dtype' value {{ type: DT_FLOAT }} }} }}"
    )


RESTORE = (
    "node { name: 'r' op: 'RestoreV2' input: 'file' input: 'names' input: 'slices' "
    "attr { key: 'dtypes' value { list { type: DT_FLOAT } } } }"
)
ASSIGN = "node { name: 'a' op: 'AssignVariableOp' input: 'v' input: 'id' }"
REST = (
    "node { name: 'file' op: 'Placeholder' } node { name: 'id' op: 'Identity' input: 'r:0' } "
    "node { name: 'all' op: 'NoOp' input: '^a' }"
)


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_a_variable_has_the_name_that_it_is_restored_from(tmp_path: Path) -> None:
    nodes = [variable("v"), RESTORE, ASSIGN, REST, const("names", "renamed"), const("slices", "")]
    path = write(tmp_path / "m", graph(" ".join(nodes)))
    assert read_saved_variables(path) == {"renamed": SavedVariable(ckptfmt.DTYPES[1], (2,))}


def test_parts_are_one_variable_of_the_full_shape(tmp_path: Path) -> None:
    nodes = [variable("v"), RESTORE, ASSIGN, REST, const("names", "p"), const("slices", "4 1 0,2:0,1")]
    path = write(tmp_path / "m", graph(" ".join(nodes)))
    assert read_saved_variables(path)["p"].shape == (4, 1)


BAD = {
    "no such node": graph(" ".join([variable("v"), RESTORE, ASSIGN, REST])),
    "too few names": graph(
        " ".join([variable("v"), RESTORE, ASSIGN, REST, const("names"), const("slices", "")])
    ),
    "no slice": graph(
        " ".join([variable("v"), RESTORE, ASSIGN, REST, const("names", "n"), const("slices", "4 0,9")])
    ),
    "no restore op": graph(variable("v")),
    "no graph": "meta_info_def { }",
    "huge constant": graph(
        " ".join([variable("v"), RESTORE, ASSIGN, REST, const("slices", "")])
        + "node { name: 'names' op: 'Const' attr { key: 'value' value { tensor { dtype: DT_STRING "
        "tensor_shape { dim { size: 1000000000000 } } string_val: 'a' } } } }"
    ),
}


@pytest.mark.parametrize("text", BAD.values(), ids=BAD)
def test_contradictions_are_corrupt(text: str, tmp_path: Path) -> None:
    with pytest.raises(CorruptError):
        read_saved_variables(write(tmp_path / "m", text))


def test_variables_without_a_saver_or_collection_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(GraphError):
        read_saved_variables(write(tmp_path / "m", graph(variable("v"), "")))


def test_names_that_are_computed_are_an_error(tmp_path: Path) -> None:
    nodes = [variable("v"), RESTORE, ASSIGN, REST, const("slices", ""), "node { name: 'names' op: 'Pack' }"]
    with pytest.raises(GraphError, match="Pack"):
        read_saved_variables(write(tmp_path / "m", graph(" ".join(nodes))))


def test_a_circle_of_identities_is_followed_once(tmp_path: Path) -> None:
    nodes = [
        variable("v"),
        RESTORE,
        "node { name: 'a' op: 'AssignVariableOp' input: 'v' input: 'i' }",
        "node { name: 'i' op: 'Identity' input: 'j' } node { name: 'j' op: 'Identity' input: 'i' }",
        "node { name: 'file' op: 'Placeholder' } node { name: 'all' op: 'NoOp' input: '^a' input: '^r' }",
        const("names", "n"),
        const("slices", ""),
    ]
    assert read_saved_variables(write(tmp_path / "m", graph(" ".join(nodes)))) == {
        "n": SavedVariable(ckptfmt.DTYPES[1], None)
    }


def test_a_long_chain_is_followed_without_recursion(tmp_path: Path) -> None:
    count = 20_000
    chain = [f"node {{ name: 'i{i}' op: 'Identity' input: 'i{i - 1}' }}" for i in range(1, count)]
    nodes = [
        variable("v"),
        RESTORE,
        f"node {{ name: 'a' op: 'AssignVariableOp' input: 'v' input: 'i{count - 1}' }}",
        "node { name: 'i0' op: 'Identity' input: 'r' } node { name: 'file' op: 'Placeholder' }",
        "node { name: 'all' op: 'NoOp' input: '^a' }",
        *chain,
        const("names", "n"),
        const("slices", ""),
    ]
    assert read_saved_variables(write(tmp_path / "m", graph(" ".join(nodes))))["n"].shape == (2,)


def test_a_missing_file_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(PathNotFoundError):
        read_saved_variables(tmp_path / "none")


@given(st.data())
def test_damaged_files_raise_only_our_errors(tmp_path_factory: Any, data: st.DataObject) -> None:
    from google.protobuf import text_format

    nodes = [variable("v"), RESTORE, ASSIGN, REST, const("names", "n"), const("slices", "4 0,2")]
    meta = text_format.Parse(graph(" ".join(nodes)), MetaGraphDef())
    content = bytearray(meta.SerializeToString())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.mktemp("damage") / "m.meta"
    path.write_bytes(content)
    try:
        found = read_saved_variables(path)
    except CkptfmtError:
        return
    assert all(isinstance(variable, SavedVariable) for variable in found.values())


def test_a_long_name_repeated_many_times_is_in_memory_once(tmp_path: Path) -> None:
    count, size = 2000, 100_000
    meta = messages.MetaGraphDef()
    names = meta.graph_def.node.add(name="names", op="Const").attr["value"].tensor
    names.dtype = messages.DataType.DT_STRING
    names.tensor_shape.dim.add(size=count)
    names.string_val.append(b"n" * size)
    slices = meta.graph_def.node.add(name="slices", op="Const").attr["value"].tensor
    slices.CopyFrom(names)
    slices.string_val[0] = b""
    restore = meta.graph_def.node.add(name="restore", op="RestoreV2", input=["p", "names", "slices"])
    restore.attr["dtypes"].list.type.extend([1] * count)
    meta.graph_def.node.add(name="p", op="Placeholder")
    meta.saver_def.restore_op_name = "restore"
    (tmp_path / "m").write_bytes(meta.SerializeToString())
    tracemalloc.start()
    try:
        assert len(read_saved_variables(tmp_path / "m")) == 1
        assert tracemalloc.get_traced_memory()[1] < 20 * size  # not 2000 times
    finally:
        tracemalloc.stop()
