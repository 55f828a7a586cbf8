"""``ckptfmt tree`` as its users see it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ckptfmt
from tests.support import golden
from tests.support.command_line import drawn_by_rich, on_terminal, run, run_json
from tests.support.corpus import CHECKPOINT_KINDS, CORPUS, entries, has_variables
from tests.support.object_graph import encode_graph, encode_node, encode_variable
from tests.support.table_writer import encode_bundle_index, encode_entry, write_bundle

needs_terminal = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pseudo-terminals")

DIGITS = Path(__file__).parents[2] / "examples" / "digits"
GRAPH = "_CHECKPOINTABLE_OBJECT_GRAPH"
VALUE = "/.ATTRIBUTES/VARIABLE_VALUE"


def write_objects(folder: Path, nodes: list[bytes], **others: bytes) -> str:
    """Write a checkpoint of an object graph, a good float32[2] for each variable, and other entries."""
    from ckptfmt.wire.coding import encode_varint
    from ckptfmt.wire.crc32c import crc32c, mask

    data = encode_graph(nodes)
    # A string scalar: its length, the checksum of that, its bytes.
    length = encode_varint(len(data))
    word = len(data).to_bytes(4, "little")
    stored = length + mask(crc32c(word)).to_bytes(4, "little")
    # The checksum of the entry covers the length as a word, not as a varint.
    crc = crc32c(data, crc32c(stored[len(length) :], crc32c(word)))
    content = stored + data
    items = {GRAPH: encode_entry(dtype=7, shape=(), size=len(content), crc=crc)}
    numbers = np.arange(2, dtype="<f4").tobytes()
    for name, entry in others.items():
        good = encode_entry(shape=(2,), offset=len(content), size=8, crc=crc32c(numbers))
        items[name] = entry or good
    (folder / "model.index").write_bytes(encode_bundle_index(items))
    (folder / "model.data-00000-of-00001").write_bytes(content + numbers)
    return str(folder / "model")


def lines(*args: object) -> list[str]:
    result = run("tree", *args)
    assert result.exit_code == 0, result.stderr
    return result.stdout.splitlines()


def check_totals(path: object) -> dict[str, Any]:
    """The root has the totals of ``ls``, and each line those of its own tensors and the lines below it."""
    tree = run_json("tree", path, "--all", "--depth", 1000)
    listed = run_json("ls", path)
    root = tree["nodes"][0]
    for field in ("tensors", "parameters", "bytes"):
        assert root[field] == tree["totals"][field] == listed["totals"][field]
    assert tree["totals"]["hidden"] == tree["totals"]["deeper"] == 0
    sizes = {tensor["name"]: tensor.get("bytes", 0) for tensor in listed["tensors"]}
    shown = [key for row in tree["nodes"] for key in row["keys"]]
    assert sorted(shown) == sorted(sizes)
    below = {row["id"]: 0 for row in tree["nodes"]}
    for row in reversed(tree["nodes"]):
        below[row["id"]] += sum(sizes[key] for key in row["keys"])
        assert row["bytes"] == below[row["id"]]
        if row["parent"] is not None:
            assert row["parent"] < row["id"]
            below[row["parent"]] += row["bytes"]
    result: dict[str, Any] = tree
    return result


# --- every checkpoint --------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", [case.case for case in golden.cases() if case.case != "many"])
def test_totals_of_golden_checkpoints_are_those_of_ls(case: str) -> None:
    check_totals(golden.load(case).path)


def test_totals_of_the_example_are_those_of_ls() -> None:
    tree = check_totals(DIGITS)
    assert tree["kind"] == "objects"
    assert tree["unreached"] == tree["absent"] == []


@pytest.mark.parametrize(
    "item",
    [item for item in entries(*CHECKPOINT_KINDS) if item.values[0] is None or has_variables(item.values[0])],
)
def test_totals_of_the_corpus_are_those_of_ls(item: dict[str, Any]) -> None:
    path = CORPUS / item["path"]
    try:
        ckptfmt.open(path).object_graph  # noqa: B018
    except ckptfmt.errors.CheckpointNotFoundError:
        pytest.skip("its data file is not in the corpus")
    check_totals(path)


# --- objects -----------------------------------------------------------------------------------------------


def test_slot_variables_are_below_their_optimizer() -> None:
    path = golden.load("object_slots").path
    assert lines(path) == [
        f"{path}  (7 tensors, 12 parameters, 627 B)",
        "|-- opt  (4 tensors, 8 parameters, 32 B)",
        "|   |-- beta1_power  float32 []  4 B",
        "|   |-- beta2_power  float32 []  4 B",
        "|   |-- m/vv  float32 [3]  12 B",
        "|   `-- v/vv  float32 [3]  12 B",
        "|-- v  float32 [3]  12 B",
        "|-- save_counter  int64 []  8 B",
        "`-- _CHECKPOINTABLE_OBJECT_GRAPH  string []  575 B",
    ]


def test_a_variable_is_shown_in_full_below_its_layer() -> None:
    shown = [line.lstrip("|` -") for line in lines(golden.load("keras3").path)]
    assert shown.count("_kernel  float32 [4,5]  80 B") == 1
    assert "0  -> model/_functional/_operations/1/_kernel" in shown
    assert "optimizer  -> model/optimizer" in shown


def test_attributes_other_than_variables_are_named() -> None:
    shown = [line.lstrip("|` -") for line in lines(golden.load("object").path)]
    assert "python  py_state  string []  17 B" in shown
    at = shown.index("table  (2 tensors, 1 parameter, 16 B)")
    assert shown[at + 1 : at + 3] == ["table-keys  string [1]  8 B", "table-values  int64 [1]  8 B"]
    assert "iterator  ITERATOR_STATE  variant [7]  1.5 KiB" in [
        line.lstrip("|` -") for line in lines(golden.load("iterator").path)
    ]


def test_paths_in_json_lead_to_the_nodes() -> None:
    path = golden.load("object").path
    graph = ckptfmt.open(path).object_graph
    assert graph is not None
    rows = [row for row in run_json("tree", path, "--all")["nodes"] if row["node"] is not None]
    assert len({row["node"] for row in rows}) == len(graph)
    for row in rows:
        assert graph[row["path"]].id == row["node"]
        if row["reference"]:
            assert graph[row["reference"]["path"]].id == row["node"]


def test_json_says_what_a_variable_is() -> None:
    rows = {row["path"]: row for row in run_json("tree", golden.load("object_slots").path)["nodes"]}
    slot = rows["v/.OPTIMIZER_SLOT/opt/m"]
    variable, optimizer = rows["v"]["node"], rows["opt"]["node"]
    assert slot["slot"] == {"name": "m", "variable": variable, "optimizer": optimizer}
    assert (slot["full_name"], slot["keys"]) == ("vv/Adam", [f"v/.OPTIMIZER_SLOT/opt/m{VALUE}"])
    assert (slot["dtype"], slot["shape"], slot["bytes"], slot["parameters"]) == ("float32", [3], 12, 3)
    assert rows["v"]["slot"] is rows["v"]["reference"] is rows["opt"]["dtype"] is None


def test_objects_without_tensors_are_hidden_unless_asked_for() -> None:
    path = golden.load("saved_model").path
    short, whole = run("tree", path), run("tree", path, "--all")
    hidden = len(whole.stdout.splitlines()) - len(short.stdout.splitlines())
    assert hidden > 0
    assert short.stderr == f"{hidden} lines without tensors hidden; pass --all to show them\n"
    assert whole.stderr == ""
    assert run_json("tree", path)["totals"]["hidden"] == hidden


def test_levels_can_be_cut() -> None:
    result = run("tree", DIGITS, "--depth", 1)
    assert [line.split("  ")[0] for line in result.stdout.splitlines()[1:]] == [
        "|-- epoch",
        "|-- model",
        "|-- save_counter",
        "|-- optimizer",
        "`-- _CHECKPOINTABLE_OBJECT_GRAPH",
    ]
    assert "below depth 1 hidden; pass a larger --depth to show them" in result.stderr
    assert len(lines(DIGITS, "--depth", 0)) == 1


def test_tensors_outside_all_objects_come_at_the_end(tmp_path: Path) -> None:
    nodes = [encode_node([(1, "a")]), encode_variable("a"), encode_variable("lonely")]
    names = (f"a{VALUE}", f"lonely{VALUE}", "stray")
    path = write_objects(tmp_path, nodes, **dict.fromkeys(names, b""))
    shown = lines(path)
    assert shown[1] == "|-- a  float32 [2]  8 B"
    assert shown[2:5] == [
        "|-- (in no object)  (2 tensors, 4 parameters, 16 B)",
        f"|   |-- lonely{VALUE}  float32 [2]  8 B",
        "|   `-- stray  float32 [2]  8 B",
    ]
    assert check_totals(path)["unreached"] == ["stray"]


def test_registered_savers_and_absent_tensors_are_shown(tmp_path: Path) -> None:
    nodes = [
        encode_node([(1, "a"), (2, "b")]),
        encode_node(saver=("Custom>S", "a\x1b")),
        encode_variable("b"),
    ]
    path = write_objects(tmp_path, nodes)
    result = run("tree", path)
    assert result.exit_code == 0
    assert "|-- a  saved by Custom>S as a\\x1b" in result.stdout
    assert "|-- b  1 tensor not in the checkpoint" in result.stdout
    assert f"'b{VALUE}'" in result.stderr
    tree = run_json("tree", path)
    assert tree["absent"] == [f"b{VALUE}"]
    assert tree["nodes"][1]["registered_saver"] == {"name": "Custom>S", "object_name": "a\x1b"}


def test_a_damaged_entry_is_a_question_mark(tmp_path: Path) -> None:
    nodes = [encode_node([(1, "a"), (2, "b")]), encode_variable("a"), encode_variable("b")]
    path = write_objects(tmp_path, nodes, **{f"a{VALUE}": b"\xff\xff", f"b{VALUE}": b""})
    result = run("tree", path)
    assert result.exit_code == 3
    assert result.stdout.splitlines()[1:3] == ["|-- a  ?", "|-- b  float32 [2]  8 B"]
    assert result.stderr.startswith("ckptfmt: ")
    tree = run_json("tree", path, code=3)
    assert tree["nodes"][1]["error"]["type"] == "TruncatedError"
    assert tree["totals"]["unreadable"] == 1


def test_a_damaged_graph_is_an_error(tmp_path: Path) -> None:
    path = write_objects(tmp_path, [encode_node([(7, "far")])])
    result = run("tree", path)
    assert (result.exit_code, result.stdout) == (3, "")
    assert "child 'far': got node 7, want 0 to 0" in result.stderr


def test_a_missing_path_is_not_found(tmp_path: Path) -> None:
    assert run("tree", tmp_path / "none").exit_code == 4


# --- scopes ------------------------------------------------------------------------------------------------


def test_a_checkpoint_without_objects_has_scopes() -> None:
    path = golden.load("saver").path
    shown = lines(path)
    assert shown[0] == f"{path}  (9 tensors, 27 parameters, 112 B)"
    assert shown[4:8] == [
        "`-- layer  (6 tensors, 24 parameters, 96 B)",
        "    |-- b  float32 [2]  8 B  (3 tensors, 6 parameters, 24 B)",
        "    |   |-- Adam  float32 [2]  8 B",
        "    |   `-- Adam_1  float32 [2]  8 B",
    ]
    tree = run_json("tree", path)
    assert tree["kind"] == "scopes"
    rows = {row["path"]: row for row in tree["nodes"]}
    assert rows["layer/b"]["keys"] == ["layer/b"]
    assert (rows["layer"]["keys"], rows["layer"]["tensors"]) == ([], 6)


def test_scopes_are_whole_even_if_names_sort_between(tmp_path: Path) -> None:
    # "a-b" comes after "a" and before "a/c".
    path = write_bundle(tmp_path / "model", {name: np.zeros(1, np.float32) for name in ("a", "a-b", "a/c")})
    assert [line.partition("  float32")[0] for line in lines(path)[1:]] == ["|-- a", "|   `-- c", "`-- a-b"]


def test_names_are_escaped() -> None:
    result = run("tree", golden.load("names").path)
    assert result.exit_code == 0
    assert result.stdout.replace("\n", "").isprintable()


def test_scopes_of_many_levels_are_cut(tmp_path: Path) -> None:
    names = ["/" * 100_000, "a/" * 500, "b"]
    path = write_bundle(tmp_path / "model", {name: np.zeros(1, np.float32) for name in names})
    result = run("tree", path)
    assert result.exit_code == 0
    assert "below depth 64 hidden; pass a larger --depth to show them" in result.stderr
    assert len(result.stdout.splitlines()) == 2 * 64 + 2
    assert run_json("tree", path)["nodes"][0]["tensors"] == 3


# --- hostile graphs ----------------------------------------------------------------------------------------


def test_a_chain_of_objects_is_cut(tmp_path: Path) -> None:
    count = 100_000
    chain = [encode_node([(i + 1, "n")]) for i in range(count)]
    path = write_objects(tmp_path, [*chain, encode_variable("end")], **{f"end{VALUE}": b""})
    result = run("tree", path)
    assert result.exit_code == 0
    assert len(result.stdout.splitlines()) == 66
    deeper = f"{count - 64:,}"
    assert result.stderr == f"{deeper} lines below depth 64 hidden; pass a larger --depth to show them\n"
    rows = run_json("tree", path, "--depth", 1000)["nodes"]
    assert max(row["depth"] for row in rows) == 1000
    assert rows[0]["parameters"] == 2
    assert run("tree", path, "--depth", 1001).exit_code == 2


def test_a_reference_to_an_object_too_deep_has_no_path(tmp_path: Path) -> None:
    count = 2000
    chain = [encode_node([(i + 1, "n"), (count, "variables")]) for i in range(count)]
    path = write_objects(tmp_path, [*chain, encode_variable("end")], **{f"end{VALUE}": b""})
    rows = run_json("tree", path)["nodes"]
    assert {row["reference"]["path"] for row in rows if row["name"] == "variables"} == {None}
    assert "|-- variables  -> ?" in run("tree", path).stdout


def test_cycles_and_odd_names(tmp_path: Path) -> None:
    nodes = [encode_node([(1, "a\n\x1b"), (0, "self")]), encode_node([(0, "root"), (1, ""), (2, "v")])]
    path = write_objects(tmp_path, [*nodes, encode_variable("v")], **{f"v{VALUE}": b""})
    assert [line.split("  (")[0] for line in lines(path)[1:]] == [
        "|-- a\\n\\x1b",
        "|   |-- root  -> (root)",
        '|   |-- ""  -> a\\n\\x1b',
        "|   `-- v  float32 [2]  8 B",
        "|-- self  -> (root)",
        "`-- _CHECKPOINTABLE_OBJECT_GRAPH  string []  " + lines(path)[-1].split("  ")[-1],
    ]


# --- a terminal --------------------------------------------------------------------------------------------


@needs_terminal
@drawn_by_rich
def test_on_a_terminal_it_is_drawn() -> None:
    code, shown = on_terminal("tree", golden.load("object_slots").path, NO_COLOR="1")
    assert code == 0
    assert "├── opt  (4 tensors, 8 parameters, 32 B)" in shown
    assert "│   └── v/vv  float32 [3]  12 B" in shown
    assert "\x1b[" not in shown


@needs_terminal
def test_lines_that_begin_far_to_the_right_are_not_folded(tmp_path: Path) -> None:
    path = write_bundle(tmp_path / "model", {"s/" * 40 + "w": np.zeros(1, np.float32)})
    code, shown = on_terminal("tree", path, COLUMNS="60", NO_COLOR="1")
    assert code == 0
    assert "└── w  float32 [1]  4 B" in shown
