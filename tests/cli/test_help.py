"""``--help``, ``--help-json`` and ``ckptfmt help``: what they explain, and that it is so."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ckptfmt
from ckptfmt.cli.app import VERBS
from ckptfmt.cli.failures import ExitCode
from ckptfmt.proto import messages
from tests.support import golden, make_command_line_page
from tests.support.command_line import run, run_json
from tests.support.json_keys import described_objects, differences
from tests.support.table_writer import write_bundle

DIGITS = "examples/digits"
SAVED_MODEL = golden.GOLDEN / "saved_model" / "model"
DATA = Path(__file__).parent.parent / "data"
WITH_JSON = sorted(VERBS.keys() - {"help"})
SCREEN = 40


def text_of(*args: object) -> str:
    result = run(*args)
    assert (result.exit_code, result.stderr) == (0, "")
    return result.stdout


def words(text: str) -> str:
    return " ".join(text.split())


@pytest.mark.parametrize("verb", ["", *VERBS])
def test_help_fits_a_screen(verb: str) -> None:
    shown = text_of(*verb.split(), "--help")
    assert len(shown.splitlines()) <= SCREEN
    assert max(map(len, shown.splitlines())) <= 80
    assert not re.search("-$", shown, re.MULTILINE)
    assert text_of(*verb.split(), "-h") == shown


@pytest.mark.parametrize("verb", WITH_JSON)
def test_every_verb_explains_itself(verb: str) -> None:
    shown = text_of(verb, "--help")
    assert f"ckptfmt {verb} {'keras-torch' if verb == 'plans' else 'training/'}" in shown
    assert 2 <= shown[shown.index("Examples:") :].count("\n  ckptfmt ") <= 3
    assert shown.endswith(f"\nMore: ckptfmt help {verb}\n")
    assert f"  {verb} " in text_of("--help")


@pytest.mark.parametrize("verb", VERBS)
def test_help_of_a_verb_holds_all_that_its_options_show(verb: str) -> None:
    full = words(text_of("help", verb))
    short = words(text_of(verb, "--help")).split(" More: ")[0]
    before, examples = short.split(" Examples: ")
    for part in (before.partition(" Options: ")[0], before.partition(" Options: ")[2], examples):
        assert part in full
    if verb != "help":
        assert full.endswith(f"JSON: {words(text_of(verb, '--help-json'))}")


def test_help_alone_explains_the_whole_command() -> None:
    full = text_of("help")
    for line in text_of("--help").splitlines()[:-1]:
        assert line in full
    for code in ExitCode:
        assert re.search(rf"^ +{code.value} ", full, re.MULTILINE) or code is ExitCode.INTERNAL


@pytest.mark.parametrize("verb", WITH_JSON)
def test_help_json_needs_no_path(verb: str) -> None:
    shown = text_of(verb, "--help-json")
    assert shown.startswith("{")
    assert text_of(verb, "nowhere", "--json", "--help-json") == shown


def test_the_page_shows_the_help_as_it_is() -> None:
    assert make_command_line_page.PAGE.read_text(encoding="utf-8") == make_command_line_page.page(), (
        "run python -m tests.support.make_command_line_page"
    )


# --- the keys of JSON documents ----------------------------------------------------------------------------


def described(verb: str) -> list[Any]:
    """Return the objects that the help of a verb describes."""
    return described_objects(text_of(verb, "--help-json"))


def check(document: object, *shapes: Any) -> None:
    """Assert that a document has the keys of one of the shapes, and no others."""
    different = [differences(document, shape) for shape in shapes]
    assert [] in different, different[0]


@pytest.fixture
def graph(tmp_path: Path) -> Path:
    graph = messages.GraphDef()
    graph.node.add(name="x", op="Placeholder").attr["dtype"].type = 1
    constant = graph.node.add(name="c", op="Const")
    constant.attr["value"].tensor.CopyFrom(ckptfmt.to_proto([1.0, 2.0]))
    constant.attr["dtype"].type = 1
    graph.node.add(name="out", op="Mul", input=["x", "c"]).attr["T"].type = 1
    function = graph.library.function.add()
    function.signature.name = "f"
    path = tmp_path / "graph.pb"
    path.write_bytes(graph.SerializeToString())
    return path


def test_keys_of_info(graph: Path) -> None:
    common, checkpoint, part, saved_model, a_graph, events, records, other, several = described("info")
    document = run_json("info", DIGITS)
    check(document, common | checkpoint)
    for name in ("all", "model", "optimizer", "averages", "rest"):
        check(document[name], part)
    # A SavedModel has what its checkpoint has, too.
    model = common | checkpoint | saved_model
    del model["beside"]
    check(run_json("info", SAVED_MODEL), model)
    check(run_json("info", graph), common | a_graph)
    check(run_json("info", DATA / "events" / "tf1"), common | events)
    check(run_json("info", DATA / "records" / "train-00000-of-00002"), common | records)
    check(run_json("info", DATA), common | other)
    check(run_json("info", DIGITS, SAVED_MODEL), several)


def test_keys_of_ls() -> None:
    one, tensor, unreadable, several = described("ls")
    document = run_json("ls", DIGITS)
    check(document, one)
    for item in document["tensors"]:
        check(item, tensor)
    collapsed = run_json("ls", DIGITS, "--collapse")["tensors"]
    check(collapsed[0], tensor | dict.fromkeys(["count", "names"]))
    check(run_json("ls", DIGITS, "--all"), several)
    assert set(unreadable) == {"name", "error"}


def test_keys_of_tree(tmp_path: Path) -> None:
    whole, line = described("tree")
    for path in (DIGITS, write_bundle(tmp_path / "scopes", {"a/b": np.zeros(2, np.float32)})):
        document = run_json("tree", path)
        check(document, whole)
        for node in document["nodes"]:
            check(node, line)


def test_keys_of_show(tmp_path: Path) -> None:
    document, part, statistics, *_, several = described("show")
    path = write_bundle(tmp_path / "model", {"w": np.zeros((3, 4), np.float32)})
    shown = run_json("show", path, "w", "--slice", "0")
    check(shown, document)
    check(shown["slice"], part)
    check(shown["statistics"], statistics)
    all_tensors = run_json("show", path, "*", "w")
    check(all_tensors, several)
    check(all_tensors["tensors"][0], document)


def test_keys_of_verify(tmp_path: Path) -> None:
    one, several = described("verify")
    path = write_bundle(tmp_path / "model", {"w": np.zeros(3, np.float32)})
    check(run_json("verify", path), one)
    Path(f"{path}.data-00000-of-00001").write_bytes(bytes(12) + b"more")
    damaged = run_json("verify", path, code=1)
    assert damaged["problems"]
    check(damaged, one)
    check(run_json("verify", DIGITS, "--all"), several)


def test_keys_of_match(tmp_path: Path) -> None:
    (whole,) = described("match")
    got = write_bundle(tmp_path / "a", {"w": np.zeros(3, np.float32), "v": np.zeros(3, np.float32)})
    want = write_bundle(tmp_path / "b", {"w": np.zeros(4, np.float32), "u": np.zeros(3, np.float32)})
    document = run_json("match", got, want, code=1)
    assert {each["kind"] for each in document["mismatches"]} == {"missing", "unused", "shape"}
    check(document, whole)


def test_keys_of_plan(tmp_path: Path) -> None:
    (whole,) = described("plan")
    path = write_bundle(tmp_path / "model", {"w": np.zeros(3, np.float32)})
    plan = tmp_path / "plan.toml"
    plan.write_text("version = 1\n[[step]]\nrename = 'w'\nto = 'v'\n[[step]]\nrename = 'nothing'\nto = ''\n")
    document = run_json("plan", path, plan, code=1)
    assert document["findings"]
    check(document, whole)


def test_keys_of_model() -> None:
    whole, meta_graph, reach, *_ = described("model")
    document = run_json("model", SAVED_MODEL)
    check(document, whole)
    for meta in document["meta_graphs"]:
        check(meta, meta_graph)
        check(meta["unreached"], reach)
        for signature in meta["signatures"].values():
            check(signature["reach"], reach)


def test_keys_of_graph(graph: Path) -> None:
    summary, nodes, output, constants, functions = described("graph")
    check(run_json("graph", graph), summary)
    check(run_json("graph", graph, "--nodes", "*"), nodes)
    check(run_json("graph", graph, "--consts"), constants)
    check(run_json("graph", graph, "--functions"), functions)
    node = nodes["nodes"][0] | dict.fromkeys(["attributes", "consumers"]) | {"outputs": [output]}
    check(run_json("graph", graph, "--node", "c"), node)


def test_keys_of_freeze(tmp_path: Path) -> None:
    (whole,) = described("freeze")
    check(run_json("freeze", SAVED_MODEL, "-o", tmp_path / "frozen.pb"), whole)


def test_keys_of_subgraph(graph: Path, tmp_path: Path) -> None:
    (whole,) = described("subgraph")
    check(run_json("subgraph", graph, "-o", tmp_path / "part.pb", "--outputs", "out"), whole)


@pytest.mark.parametrize("folder", ["tf1", "tf2"])
def test_keys_of_events(folder: str) -> None:
    listing, value = described("events")
    document = run_json("events", DATA / "events" / folder)
    check(document | {"tags": []}, listing)
    (plain,) = listing["tags"]
    assert {tag["kind"] for tag in document["tags"]} > {"scalars", "text", "images"}
    for tag in document["tags"]:
        scalars, text = tag["kind"] == "scalars", tag["kind"] == "text"
        expected = plain | ({"last": None} if scalars else {})
        check(tag, expected)
        (shown,) = run_json("events", DATA / "events" / folder, tag["tag"])["tags"]
        more = ["steps", "wall_times", *(["values"] if scalars or text else [])]
        check(shown, expected | dict.fromkeys(more))
    assert set(value) == {"tag", "step", "wall_time", "value"}


def test_keys_of_records() -> None:
    summary, record, _ = described("records")
    check(run_json("records", DATA / "records" / "train@2"), summary)
    check(run_json("records", DATA / "records" / "train@2", "--record", "0"), record)
    check(run_json("records", DATA / "records" / "sequences.tfrecord.gz", "--record", "0"), record)
