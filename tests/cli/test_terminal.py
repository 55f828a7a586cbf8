"""What a terminal of any width shows: every value that ``--json`` has."""

from __future__ import annotations

import random
import re
import sys
import time
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ckptfmt
from ckptfmt.cli.render import text as texts
from ckptfmt.cli.render.fold import fold, num_columns
from ckptfmt.cli.render.table import LEFT, MIN_TEXT, RIGHT, draw_table
from ckptfmt.cli.render.text import escape, size_text
from ckptfmt.cli.render.times import number_text, time_text
from ckptfmt.cli.verbs.ls.command import TIMES
from ckptfmt.proto import messages
from tests.support import golden
from tests.support.command_line import on_terminal, run, run_json, shown_on_terminal
from tests.support.drawn_table import read_table
from tests.support.event_log import VERSION, scalar, tensor_scalar, write_events
from tests.support.examples import example, integers, strings
from tests.support.golden import GOLDEN
from tests.support.records import frame
from tests.support.table_writer import write_bundle

ENDING = "/.ATTRIBUTES/VARIABLE_VALUE"

EACH_WIDTH = pytest.mark.parametrize("width", [40, 80, 120, 200])

SCOPE = "InceptionResnetV2/Repeat_1/block17_{}/Branch_0/Conv2d_1x1/BatchNorm/moving_variance"


def draw(width: int, *args: object, code: int = 0) -> str:
    """Return what a terminal shows."""
    found, shown = shown_on_terminal(*args, columns=width)
    assert found == code, shown
    return shown


def shape_text(shape: list[int | None] | None) -> str:
    return texts.shape_text(None if shape is None else tuple(shape))


def squeezed(text: str) -> str:
    """Return a text without spaces, so that folding does not matter."""
    return "".join(text.split())


def table(shown: str, heads: Iterable[str], width: int, key: int = 1) -> list[tuple[str, ...]]:
    """Return the cells of a table on a terminal, without spaces; see :func:`read_table`."""
    return [tuple(map(squeezed, row)) for row in read_table(shown, list(heads), width, key)]


def without_summary(shown: str) -> str:
    """Return a text without its last line."""
    return shown.rstrip("\n").rpartition("\n")[0]


def cells(rows: Iterable[Iterable[object]]) -> list[tuple[str, ...]]:
    return [tuple(squeezed(str(cell)) for cell in row) for row in rows]


@pytest.fixture
def checkpoint(tmp_path: Path) -> str:
    names = [
        *(SCOPE.format(number) for number in range(3)),
        "model/层_дом/ядро" * 6,
        "a/" * 60 + "w",
        "short",
        f"model/dense/kernel{ENDING}",
        f"model/{'block/' * 12}bias{ENDING}",
        f"short{ENDING}",
        "e\x1b[2Jvil/\u202ename/" * 4,
    ]
    shapes = [(), (3,), (1, 2, 3, 4), (1, 1, 1, 1, 1, 1, 1, 1)]
    tensors = {name: np.zeros(shapes[n % 4], np.float64) for n, name in enumerate(names)}
    return write_bundle(tmp_path / "model.ckpt-1000", tensors, num_shards=2)


def expected_name(name: str, names: Iterable[str]) -> str:
    short = name.removesuffix(ENDING)
    return escape(name if short != name and short in names else short)


# --- every verb --------------------------------------------------------------------------------------------


@EACH_WIDTH
@pytest.mark.parametrize("options", [(), ("--sort", "size"), ("short*", "model/dense/kernel")])
def test_ls(checkpoint: str, width: int, options: tuple[str, ...]) -> None:
    document = run_json("ls", checkpoint, *options)
    names = {each["name"] for each in run_json("ls", checkpoint)["tensors"]}
    shown, totals = draw(width, "ls", checkpoint, *options).rstrip("\n").rsplit("\n", 1)
    assert totals.startswith(f"{len(document['tensors'])} tensors")
    assert table(shown, ("name", "dtype", "shape", "bytes"), width) == cells(
        (
            expected_name(each["name"], names),
            each["dtype"],
            shape_text(each["shape"]),
            size_text(each["bytes"]),
        )
        for each in document["tensors"]
    )


@EACH_WIDTH
def test_ls_of_slices(width: int) -> None:
    path = golden.load("sliced_shapes").path
    shown = without_summary(draw(width, "ls", path, "--slices"))
    assert table(shown, ("name", "dtype", "shape", "bytes", "slices"), width) == cells(
        (
            escape(each["name"]),
            each["dtype"],
            shape_text(each["shape"]),
            size_text(each["bytes"]),
            " ".join(each["slices"]) or "-",
        )
        for each in run_json("ls", path)["tensors"]
    )


@EACH_WIDTH
@pytest.mark.parametrize(
    "options", [("--weights",), ("--names", "full"), ("--names", "path"), ("--weights", "--names", "stored")]
)
def test_ls_of_chosen_names(width: int, options: tuple[str, ...]) -> None:
    path = golden.load("keras3").path
    tensors = run_json("ls", path, *options)["tensors"]
    shown = without_summary(draw(width, "ls", path, *options))
    found = [row[0] for row in table(shown, ("name", "dtype", "shape", "bytes"), width)]
    names = {each["name"] for each in tensors}
    assert found == [squeezed(expected_name(each["name"], names)) for each in tensors]


@EACH_WIDTH
def test_ls_of_several_checkpoints(checkpoint: str, width: int) -> None:
    path = golden.load("keras3").path
    shown = draw(width, "ls", path, checkpoint)
    documents = run_json("ls", path, checkpoint)["checkpoints"]
    start, first, second = re.split("|".join(re.escape(f"{each['prefix']}\n") for each in documents), shown)
    assert start == ""
    for rest, document in zip((first, second), documents, strict=True):
        found = [row[0] for row in table(without_summary(rest), ("name", "dtype", "shape", "bytes"), width)]
        names = {each["name"] for each in document["tensors"]}
        assert found == [squeezed(expected_name(each["name"], names)) for each in document["tensors"]]


@EACH_WIDTH
@pytest.mark.parametrize("path", ["examples/digits", "examples", "tests/data/events"])
def test_info(width: int, path: str) -> None:
    document = run_json(path)
    text = squeezed(draw(width, path))
    assert squeezed(document["kind"]) in text
    for command in document["next"]:
        assert squeezed(command) in text
    for part in ("all", "model", "optimizer", "rest"):
        if part in document:
            assert f"{document[part]['parameters']:,}parameter" in text


@EACH_WIDTH
def test_ls_of_collapsed_layers(width: int) -> None:
    path = golden.load("keras3").path
    tensors = run_json("ls", path, "--collapse")["tensors"]
    shown = without_summary(draw(width, "ls", path, "--collapse"))
    found = [row[0] for row in table(shown, ("name", "dtype", "shape", "bytes"), width)]
    assert found == [
        squeezed(
            escape(each["name"].removesuffix(ENDING))
            + (f" {TIMES}{each['count']}" if each["count"] > 1 else "")
        )
        for each in tensors
    ]


@EACH_WIDTH
def test_match(checkpoint: str, tmp_path: Path, width: int) -> None:
    other = {SCOPE.format(0): (5, 5), SCOPE.format(9): (2,), f"model/dense/kernel{ENDING}": ()}
    expected = write_bundle(tmp_path / "other", {name: np.zeros(shape) for name, shape in other.items()})
    document = run_json("match", checkpoint, expected, code=1)
    names = {each["name"] for each in run_json("ls", checkpoint)["tensors"]}

    def spec(side: dict[str, Any] | None) -> str:
        return "-" if side is None else side["dtype"] + shape_text(side["shape"])

    shown = without_summary(draw(width, "match", checkpoint, expected, code=1))
    assert table(shown, ("kind", "name", "got", "want"), width, key=0) == cells(
        (each["kind"], expected_name(each["name"], names), spec(each["got"]), spec(each["want"]))
        for each in document["mismatches"]
    )


@EACH_WIDTH
def test_plan(checkpoint: str, tmp_path: Path, width: int) -> None:
    plan = tmp_path / "plan.toml"
    plan.write_text("version = 1\n[[step]]\nrename = '^InceptionResnetV2/'\nto = 'a/much/longer/scope/'\n")
    document = run_json("plan", checkpoint, plan)
    shown = without_summary(draw(width, "plan", checkpoint, plan))
    assert table(shown, ("tensor", "fate", "becomes"), width) == cells(
        (
            escape(each["name"]),
            each["fate"],
            ", ".join(
                f"{escape(target['name'])} {target['dtype']}{shape_text(target['shape'])}"
                for target in each["targets"]
            ),
        )
        for each in document["tensors"]
    )


@EACH_WIDTH
@pytest.mark.parametrize("case", ["objects", "names"])
def test_tree(checkpoint: str, width: int, case: str) -> None:
    path = checkpoint if case == "names" else golden.load("object_slots").path
    shown = draw(width, "tree", path)
    text = squeezed(re.sub("[├└│─]", "", shown))
    at = 0
    for node in run_json("tree", path)["nodes"]:
        line = squeezed(escape(node["name"]))
        if node["keys"]:
            line += f"{node['dtype']}{shape_text(node['shape'])}"
        # In the order of the document, so that no name is taken for one before it.
        assert line in text[at:]
        at = text.index(line, at) + len(line)
    for line in shown.splitlines():
        # There is no room to fold the lines that begin far to the right.
        guide = len(line) - len(line.lstrip("├└│─ "))
        assert num_columns(line) <= width or guide > width - MIN_TEXT


@EACH_WIDTH
def test_show(checkpoint: str, width: int) -> None:
    document = run_json("show", checkpoint, "model/dense/kernel")
    text = squeezed(draw(width, "show", checkpoint, "model/dense/kernel"))
    for key in ("name", "dtype", "bytes", "offset", "checksum"):
        assert squeezed(escape(str(document[key]))) in text
    assert shape_text(document["shape"]) in text
    assert f"0x{document['crc32c']:08x}" in text
    assert text.count("0.") >= len(np.ravel(document["values"]))


@EACH_WIDTH
def test_verify(checkpoint: str, width: int) -> None:
    Path(f"{checkpoint}.data-00001-of-00002").unlink()
    document = run_json("verify", checkpoint, code=3)
    assert document["problems"]
    text = squeezed(draw(width, "verify", checkpoint, code=3))
    for problem in document["problems"]:
        assert squeezed(f"{problem['severity']}: {problem['kind']}: ") in text
        assert squeezed(problem["message"]) in text


@pytest.fixture
def graph(tmp_path: Path) -> Path:
    message = messages.GraphDef()
    message.versions.producer = 24
    message.node.add(name="x", op="Placeholder").attr["dtype"].type = messages.DataType.DT_FLOAT
    for number in range(3):
        constant = message.node.add(name=f"{SCOPE.format(number)}/constant", op="Const")
        constant.attr["value"].tensor.CopyFrom(ckptfmt.to_proto(np.zeros(1000 * number, np.float32)))
        constant.attr["dtype"].type = messages.DataType.DT_FLOAT
    names = [node.name for node in message.node]
    message.node.add(name=f"{'scope/' * 20}sum", op="AddN", input=[*names[1:], "^x"])
    for name in ("__inference_a_function_with_a_long_name_1234", "g"):
        function = message.library.function.add()
        function.signature.name = name
        function.signature.input_arg.add(name="a", type=1)
        for called in ("__inference_called_1", "__inference_called_2", "g"):
            node = function.node_def.add(name=called, op="PartitionedCall", input=["a"])
            node.attr["f"].func.name = called
    path = tmp_path / "graph.pb"
    path.write_bytes(message.SerializeToString(deterministic=True))
    return path


@EACH_WIDTH
def test_graph(graph: Path, width: int) -> None:
    summary = run_json("graph", graph)
    shown = draw(width, "graph", graph)
    assert table(shown, ("count", "op"), width) == cells((n, op) for op, n in summary["ops"].items())
    for each in summary["inputs"]:
        assert squeezed(f"input {each['name']} {each['dtype']}{shape_text(each['shape'])}") in squeezed(shown)
    for name in summary["outputs"]:
        assert squeezed(f"output {name}") in squeezed(shown)


@EACH_WIDTH
def test_nodes_constants_and_functions_of_a_graph(graph: Path, width: int) -> None:
    nodes = run_json("graph", graph, "--nodes", "*")["nodes"]
    shown = without_summary(draw(width, "graph", graph, "--nodes", "*"))
    assert table(shown, ("node", "op", "inputs"), width) == cells(
        (
            each["name"],
            each["op"],
            ", ".join([*each["inputs"], *(f"^{name}" for name in each["control_inputs"])]),
        )
        for each in nodes
    )
    constants = run_json("graph", graph, "--consts")["constants"]
    shown = draw(width, "graph", graph, "--consts")
    assert table(shown, ("constant", "dtype", "shape", "size"), width) == cells(
        (each["name"], each["dtype"], shape_text(each["shape"]), size_text(each["nbytes"]))
        for each in constants
    )
    functions = run_json("graph", graph, "--functions")["functions"]
    shown = draw(width, "graph", graph, "--functions")
    assert table(shown, ("function", "inputs", "outputs", "nodes", "calls"), width) == cells(
        (
            each["name"],
            len(each["inputs"]),
            len(each["outputs"]),
            each["nodes"],
            ", ".join(each["calls"]),
        )
        for each in functions
    )


@EACH_WIDTH
def test_model(width: int) -> None:
    path = GOLDEN / "saved_model" / "model"
    document = run_json("model", path)
    text = squeezed(draw(width, "model", path))
    for meta in document["meta_graphs"]:
        for op, count in meta["ops"].items():
            assert f"{op}{count:,}" in text
        for name, signature in meta["signatures"].items():
            assert squeezed(f"{name} {signature['method']}") in text
            for key, info in {**signature["inputs"], **signature["outputs"]}.items():
                assert squeezed(f"{key} {info['dtype']}{shape_text(info['shape'])} {info['tensor']}") in text
    for variable in document["variables"]:
        assert squeezed(f"{variable['name']} {variable['dtype']}{shape_text(variable['shape'])}") in text


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    runs = {"train/2026-01-31-run-with-a-long-name": scalar, "eval": tensor_scalar}
    for name, make in runs.items():
        events = [VERSION]
        events += (
            make("loss/total_loss_of_everything_1", 1 / (step + 3), step, 1.7e9 + step + 0.125)
            for step in (*range(0, 1001, 100), *range(500, 3001, 500))
        )
        events.append(make("epoch_accuracy", 0.1, 123456789, 1.7e9))
        write_events(tmp_path / "logs" / name / "events.out.tfevents.1.h", events)
    return tmp_path / "logs"


@EACH_WIDTH
def test_events(logs: Path, width: int) -> None:
    tags = run_json("events", logs)["tags"]
    assert any(each["restarts"] for each in tags)
    rows = table(
        draw(width, "events", logs),
        ("run", "tag", "kind", "values", "steps", "last", "remarks"),
        width,
        key=3,
    )
    assert [row[:5] for row in rows] == cells(
        (each["run"], each["tag"], each["kind"], each["count"], f"{each['first_step']}…{each['last_step']}")
        for each in tags
    )
    assert [float(np.float32(row[5])) for row in rows] == [each["last"] for each in tags]
    for row, each in zip(rows, tags, strict=True):
        assert (f"{each['restarts']}restart" in row[6]) == bool(each["restarts"])
        assert (f"{len(each['gaps'])}gap" in row[6]) == bool(each["gaps"])


@EACH_WIDTH
def test_values_of_events_have_dates(logs: Path, width: int) -> None:
    for tag in run_json("events", logs, "*")["tags"]:
        path = logs / tag["run"]
        rows = read_table(draw(width, "events", path, tag["tag"]), ("step", "time", "value"), width, 0)
        assert [int(row[0]) for row in rows] == tag.get(
            "steps", run_json("events", path, tag["tag"])["tags"][0]["steps"]
        )
        assert [datetime.fromisoformat(row[1].replace("Z", "+00:00")).timestamp() for row in rows] == tag[
            "wall_times"
        ]
        assert [float(np.float32(row[2])) for row in rows] == tag["values"]


@EACH_WIDTH
def test_records(tmp_path: Path, width: int) -> None:
    words = [f"word number {number} of many" for number in range(3)]
    features = {"a/long/name/" * 9 + "label": integers(1234567), "text": strings(*map(str.encode, words))}
    path = tmp_path / f"{'long_' * 12}.tfrecord"
    path.write_bytes(frame(example(**features)) * 2)
    document = run_json("records", path)
    shown = draw(width, "records", path)
    heads = ("file", "records", "bytes", "compression", "content", "damage")
    assert table(shown, heads, width) == cells(
        (each["file"], each["records"], each["bytes"], each["compression"] or "-", *each["content"], "-")
        for each in document["files"]
    )
    assert table(shown, ("feature", "dtype", "values", "records", "first"), width) == cells(
        (each["feature"], each["dtype"], each["length"][0], each["records"], each["value"])
        for each in document["features"]
    )
    (found,) = table(
        draw(width, "records", path, "--record", "1", "--features", "text", "--values"),
        ("feature", "dtype", "count", "values"),
        width,
    )
    for word in run_json("records", path, "--record", "1")["features"]["text"]["values"]:
        assert squeezed(word) in found[3]


# --- names -------------------------------------------------------------------------------------------------


def test_names_that_ls_shows_are_taken_by_ls_and_show(checkpoint: str) -> None:
    names = [
        row[0]
        for row in table(
            without_summary(draw(200, "ls", checkpoint)), ("name", "dtype", "shape", "bytes"), 200
        )
    ]
    assert "model/dense/kernel" in names
    # Both are stored, and each is found by the name that is shown.
    assert {"short", f"short{ENDING}"} <= set(names)
    stored = {each["name"] for each in run_json("ls", checkpoint)["tensors"]}
    for name in names:
        shown = run_json("show", checkpoint, name)["name"]
        assert shown in stored
        assert expected_name(shown, stored) == name
        assert shown in [each["name"] for each in run_json("ls", checkpoint, name)["tensors"]]


def test_off_a_terminal_names_are_whole(checkpoint: str) -> None:
    lines = run("ls", checkpoint).stdout.splitlines()
    assert sum(f"{ENDING}\t" in line for line in lines) == 3


def test_the_ending_is_dim_where_names_stay_whole(checkpoint: str, tmp_path: Path) -> None:
    _, shown = shown_on_terminal("show", checkpoint, "model/dense/kernel", styles=True)
    assert f"name      model/dense/kernel\x1b[2m{ENDING}\x1b[0m\n" in shown
    _, shown = shown_on_terminal("model", GOLDEN / "saved_model" / "model", styles=True)
    assert f"\x1b[2m{ENDING}\x1b[0m" in shown
    assert "\x1b" not in run("show", checkpoint, "model/dense/kernel").stdout
    plan = tmp_path / "plan.toml"
    plan.write_text("version = 1\n")
    for width in (40, 80, 200):
        _, shown = shown_on_terminal("plan", checkpoint, plan, columns=width, styles=True)
        assert f"\x1b[2m{ENDING}\x1b[0m" in shown


# --- lines of any length -----------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", ["ls", "tree"])
def test_wide_folds_nothing(checkpoint: str, verb: str) -> None:
    shown = draw(40, verb, checkpoint, "--wide")
    assert any(
        SCOPE.format(1).rpartition("/")[2] in line and "float64" in line for line in shown.splitlines()
    )
    if verb == "ls":
        assert len(shown.splitlines()) == run_json("ls", checkpoint)["totals"]["tensors"] + 2
        assert sum(SCOPE.format(1) in line for line in shown.splitlines()) == 1


def test_wide_of_events_is_for_the_terminal_and_for_the_export(logs: Path, tmp_path: Path) -> None:
    assert len(draw(40, "events", logs, "--wide").splitlines()) == 5
    assert run("events", logs, "--export", tmp_path / "table.csv", "--wide").exit_code == 0
    refused = run("events", logs, "--plot", tmp_path / "curves.png", "--wide")
    assert refused.exit_code == 2
    assert "--wide requires --export" in refused.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pseudo-terminals")
def test_without_columns_the_terminal_says_how_wide_it_is(checkpoint: str) -> None:
    for columns in (60, 90):
        _, shown = on_terminal("ls", checkpoint, columns=columns, COLUMNS="", NO_COLOR="1")
        assert columns - 10 < max(map(num_columns, shown.splitlines())) <= columns
    # A new pseudo-terminal has no size.
    _, shown = on_terminal("ls", checkpoint, COLUMNS="9" * 5000, NO_COLOR="1")
    assert 70 < max(map(num_columns, shown.splitlines())) <= 80


# --- the parts ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    ["a/b" * 50, "x" * 99, "层" * 40, "e\u0301" * 60, f"a/{'b' * 30}{ENDING}", "two words " * 9 + "end"],
)
def test_folded_lines_are_the_text(text: str) -> None:
    for width in (2, 3, 20, 21, 29, 60):
        lines = fold(text, width)
        assert "".join(lines) == text
        assert max(map(num_columns, lines)) <= width


def test_lines_end_after_slashes_and_before_the_ending() -> None:
    assert fold("abc/def/ghi", 9) == ["abc/def/", "ghi"]
    assert fold("one two a/b/c", 10) == ["one two ", "a/b/c"]
    assert fold("abcdefghij/k", 9) == ["abcdefghi", "j/k"]
    assert fold(f"abc{ENDING}", 29) == ["abc", ENDING]


def test_a_long_text_is_folded_in_linear_time() -> None:
    start = time.perf_counter()
    assert len(fold("a/" * 1_000_000, 40)) == 50_000
    assert time.perf_counter() - start < 5


def test_times_are_dates() -> None:
    assert time_text(0.0) == "1970-01-01 00:00:00Z"
    assert time_text(1700000000.25) == "2023-11-14 22:13:20.250000Z"
    assert time_text(-1.0) == "1969-12-31 23:59:59Z"
    assert [time_text(each) for each in (float("nan"), float("inf"), 1e300)] == ["nan", "inf", "1e+300"]


def test_numbers_are_as_short_as_they_can_be() -> None:
    assert number_text(0.10000000149011612) == "0.1"
    assert number_text(0.1) == "0.1"
    assert number_text(1 / 3) == "0.3333333333333333"
    assert number_text(1e300) == "1e+300"
    assert [number_text(each) for each in (float("nan"), float("-inf"))] == ["nan", "-inf"]


@pytest.mark.parametrize("seed", range(40))
def test_cells_of_any_length_can_be_read_back(
    seed: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    chooser = random.Random(seed)

    def text(longest: int) -> str:
        letters = ["abc/_.,-", "abc/層é"][seed % 2]
        return "".join(chooser.choices(letters, k=chooser.randrange(longest))) + "x"

    longest = chooser.choice([5, 30, 200])
    rows = [
        (text(longest), str(chooser.randrange(10**9)), text(longest), chooser.choice(["", text(3)]))
        for _ in range(20)
    ]
    width = chooser.choice([1, 10, 30, 40, 50, 60, 80, 120, 700])
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("NO_COLOR", "1")
    heads = ("name", "number", "other", "remarks")
    draw_table(heads, (LEFT, RIGHT, LEFT, LEFT), rows)
    # The narrowest blocks are wider than such terminals, which show the rest of a line on the next.
    assert read_table(capsys.readouterr().out, heads, max(width, 60), key=1) == rows


def test_a_table_of_many_rows_is_quick() -> None:
    rows = [
        (f"layer_{number}/{'kernel' * (number % 9)}", "float32", str(number)) for number in range(100_000)
    ]
    start = time.perf_counter()
    draw_table(("name", "dtype", "bytes"), (LEFT, LEFT, RIGHT), rows)
    assert time.perf_counter() - start < 10
