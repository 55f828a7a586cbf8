"""What notebooks show of the objects that a cell ends with."""

from __future__ import annotations

import base64
import shutil
import subprocess
import sys
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ckptfmt
from ckptfmt.errors import DamageWarning
from ckptfmt.events import cards as event_cards
from ckptfmt.notebook.completions import MAX_KEYS
from ckptfmt.notebook.page import ROWS
from ckptfmt.object_graph.object_graph import ObjectGraph
from ckptfmt.proto import messages
from tests.support.bundles import GOOD, GOOD_DATA, open_entry, open_items
from tests.support.corpus import CORPUS
from tests.support.event_log import EVENTS, VERSION, scalar, tensor_event, write_events
from tests.support.html_pages import Page
from tests.support.memory_filesystem import open_bundle
from tests.support.object_graph import encode_graph, encode_node, encode_variable
from tests.support.records import frame
from tests.support.table_writer import HEADER, encode_table

ROOT = Path(__file__).parent.parent.parent
DIGITS = ROOT / "examples" / "digits"
KERAS = CORPUS / "spam_keras"
needs_corpus = pytest.mark.skipif(not KERAS.is_dir(), reason=f"the corpus is not at {CORPUS}")

SHOWN_AS_TEXT = {
    "CkptfmtError": "an exception, which notebooks show as a traceback",
    "DType": "a word",
    "Storage": "a word",
    "OutputName": "a word",
    "AttributeName": "a word",
    "TensorSlice": "a word",
    "Limits": "a handful of numbers",
    "Source": "a name, and the part of a tensor",
    "Argument": "a name and a dtype",
    "AnyMessage": "opaque bytes",
    "Attribute": "a line of an object, which has a card",
    "RegisteredSaver": "a line of an object, which has a card",
    "SlotVariable": "two objects, which have cards",
    "Visit": "a step of a walk",
    "Change": "a step within a plan",
    "Changes": "a step within a plan",
    "Fate": "a line of a dry run",
    "Expression": "a step within a plan",
    "Pattern": "a word",
    "CheckpointManager": "something to write to",
    "CheckpointWriter": "something to write to",
    "Claim": "part of a file system",
    "FileStatus": "part of a file system",
    "Filesystem": "part of a file system",
    "Listing": "part of a file system",
    "NewFile": "part of a file system",
    "Output": "part of a file system",
    "RandomAccessFile": "part of a file system",
    "RecordWriter": "something to write to",
    "SavedModelWriter": "something to write to",
    "SavedVariable": "a row of MetaGraph.saved_variables",
}
"""Public classes without a card, and why."""

COMPLETED_AS_DICT = {"AssetFiles", "Restored"}


def public_classes() -> set[type]:
    values = [*vars(ckptfmt.types).values(), *(getattr(ckptfmt, name) for name in ckptfmt._PUBLIC)]
    return {value for value in values if isinstance(value, type)}


def show(value: Any) -> Page:
    """What a notebook shows of a value; it must be the same the second time."""
    html = value._repr_html_()
    assert html == value._repr_html_()
    return Page(html.replace("\n", ""))


def keys(value: Any) -> list[str]:
    return value._ipython_key_completions_()


def test_public_classes_have_a_card_or_a_reason() -> None:
    without = {cls.__name__ for cls in public_classes() if not hasattr(cls, "_repr_html_")}
    assert without == set(SHOWN_AS_TEXT)


def test_public_mappings_complete_their_keys() -> None:
    without = {
        cls.__name__
        for cls in public_classes()
        if issubclass(cls, Mapping) and not hasattr(cls, "_ipython_key_completions_")
    }
    assert without == COMPLETED_AS_DICT
    assert all(issubclass(getattr(ckptfmt.types, name), dict) for name in COMPLETED_AS_DICT)


def test_plain_repr_is_of_one_line() -> None:
    with ckptfmt.open(DIGITS) as ckpt:
        assert repr(ckpt) == f"<Checkpoint {str(DIGITS / 'ckpt-10')!r} v2, 31 tensors>"


# --- checkpoints -------------------------------------------------------------------------------------------


def test_a_checkpoint_lists_its_tensors() -> None:
    with ckptfmt.open(DIGITS) as ckpt:
        page = show(ckpt)
        assert page.rows[0] == ["name", "dtype", "shape", "size"]
        assert [row[0] for row in page.rows[1:]] == list(ckpt)
        shown = {row[0]: row[1:] for row in page.rows[1:]}
        assert shown["optimizer/_trainable_variables/2/.ATTRIBUTES/VARIABLE_VALUE"] == [
            "float32",
            "[3,3,8,16]",
            "4.5 KiB",
        ]
        assert "format v2" in page.text.replace("  ", " ")
        assert keys(ckpt) == list(ckpt)
        assert keys(ckpt.entries) == list(ckpt)
        assert [row[0] for row in show(ckpt.entries).rows[1:]] == list(ckpt)


def test_a_view_shows_what_the_checkpoint_calls_its_tensors() -> None:
    with ckptfmt.open(DIGITS) as ckpt:
        view = ckpt.by_full_name()
        shown = {row[0]: row[-1] for row in show(view).rows[1:]}
        assert shown == {name: view.stored_name(name) for name in view}
        assert keys(view) == list(view)


def test_weights_show_what_is_left_out_and_why() -> None:
    with ckptfmt.open(DIGITS) as ckpt:
        page = show(ckpt.weights)
        assert "part of an optimizer (18)" in page.text
        assert ["save_counter/.ATTRIBUTES/VARIABLE_VALUE", "counter or setting of training"] in page.rows
        page = show(ckpt.weights.explain())
        row = next(row for row in ckpt.weights.explain() if row.name == "digits/conv1/bias")
        assert [row.stored, row.name, row.rule] in page.rows
        assert show(row).rows[1:] == [["stored", row.stored], ["name", row.name], ["rule", row.rule]]


def test_a_view_by_a_plan_shows_what_the_plan_makes() -> None:
    pattern = ckptfmt.types.Pattern("save_counter/(.*)")
    plan = ckptfmt.Plan((ckptfmt.types.Rename(pattern, r"counter/\1"),))
    show(plan.steps[0])
    assert [row[1] for row in show(plan).rows[1:]] == ["rename"]
    assert "counter" in show(plan).text
    with ckptfmt.open(DIGITS) as ckpt:
        page = show(ckpt.apply(plan))
        assert next(row[:4] for row in page.rows if row[0].startswith("counter")) == [
            "counter/.ATTRIBUTES/VARIABLE_VALUE",
            "int64",
            "[]",
            "8 B",
        ]


def test_no_tensor_is_read(tmp_path: Path) -> None:
    """The data file is gone, and nothing misses it."""
    shutil.copytree(DIGITS, tmp_path / "digits")
    with ckptfmt.open(tmp_path / "digits") as ckpt:
        for path in (tmp_path / "digits").glob("*.data-*"):
            path.write_bytes(b"")
            path.unlink()
        assert "ck-error" not in ckpt._repr_html_().partition("</style>")[2]
        assert len(show(ckpt).rows) == 32
        show(ckpt.entries)
        show(ckpt.select("optimizer/**"))
        show(ckpt.slice("save_counter/.ATTRIBUTES/VARIABLE_VALUE"))


def test_many_tensors_are_counted() -> None:
    names = [f"layer_{number:05d}/kernel" for number in range(20_000)]
    ckpt = open_items(*((name.encode(), GOOD) for name in names))
    page = show(ckpt)
    assert len(page.rows) == 1 + ROWS
    assert "20,000" in page.text
    assert f"and {20_000 - ROWS:,} more" in page.text
    assert keys(ckpt) == names[:MAX_KEYS]


def test_hostile_names_are_inert() -> None:
    names = ["<script>alert(1)</script>", "a\x1b[31m", "b\u202egpj", "</td></table>"]
    stored = sorted([*(name.encode() for name in names), b"\xff\xfe"])
    ckpt = open_items(*((name, GOOD) for name in stored))
    shown = [row[0] for row in show(ckpt).rows[1:]]
    assert shown == ["</td></table>", "<script>alert(1)</script>", r"a\x1b[31m", r"b\u202egpj", r"\xff\xfe"]
    assert keys(ckpt) == list(ckpt)
    assert all(repr(key).isascii() or repr(key).isprintable() for key in keys(ckpt))


def test_a_damaged_entry_shows_its_error_and_the_others_their_values() -> None:
    ckpt = open_entry(b"\xff\xff\xff")
    rows = show(ckpt).rows
    assert show(ckpt).text.count("entry of tensor 'bad'") == 2
    assert rows[1][0] == "bad"
    assert len(rows[1]) == 2
    assert rows[2][:3] == ["good", "float32", "[2,2]"]


def test_a_damaged_index_shows_its_error() -> None:
    items = [(f"layer_{number:05d}/kernel".encode(), GOOD) for number in range(2000)]
    index = bytearray(encode_table([(b"", HEADER), *items], block_size=1000))
    index[len(index) // 2] ^= 0xFF
    ckpt = open_bundle(bytes(index), GOOD_DATA)
    for value in (ckpt, ckpt.entries):
        page = show(value)
        assert "checksum" in page.text
        assert ".index @0x" in page.text
        assert keys(value) == []


def test_an_entry() -> None:
    with ckptfmt.open(DIGITS) as ckpt:
        entry = ckpt.entries["save_counter/.ATTRIBUTES/VARIABLE_VALUE"]
        text = show(entry).text
        assert "int64" in text
        assert f"{entry.crc32c:08x}" in text


# --- objects -----------------------------------------------------------------------------------------------


def test_an_object_graph_is_a_tree() -> None:
    with ckptfmt.open(DIGITS) as ckpt:
        graph = ckpt.object_graph
        assert graph is not None
        page = show(graph)
        assert {"model", "optimizer", "save_counter", "digits/norm/moving_mean"} <= set(page.text.split())
        assert "objects 54" in " ".join(page.text.split())
        assert {"model", "optimizer", "model/_functional"} <= set(keys(graph))
        assert all(path in graph for path in keys(graph))
        node = graph["save_counter"]
        assert ["save_counter/.ATTRIBUTES/VARIABLE_VALUE"] in show(node).rows


def test_slot_variables_are_counted_and_listed() -> None:
    nodes = [
        encode_node(children=[(1, "w"), (2, "opt")]),
        encode_node(attributes=[encode_variable("w/.ATTRIBUTES/VARIABLE_VALUE", "w")]),
        encode_node(slots=[(1, "m", 3)]),
        encode_node(
            attributes=[encode_variable("w/.OPTIMIZER_SLOT/opt/m/.ATTRIBUTES/VARIABLE_VALUE", "w/m")]
        ),
    ]
    graph = ObjectGraph(encode_graph(nodes), [], "t.index")
    assert "1 slot variable" in show(graph).text
    assert ["m", "w"] in show(graph["opt"]).rows


def test_a_tree_of_many_objects_is_bounded() -> None:
    count = 30_000
    wide = [encode_node(children=[(n, f"<{n}>") for n in range(1, count)]), *[encode_node()] * (count - 1)]
    page = show(ObjectGraph(encode_graph(wide), [], "t.index"))
    assert "more" in page.text
    assert len(page.tags) < 5000
    deep = [*(encode_node(children=[(n + 1, "next")]) for n in range(count - 1)), encode_node()]
    graph = ObjectGraph(encode_graph(deep), [], "t.index")
    assert len(show(graph).tags) < 5000
    assert len(keys(graph)) <= MAX_KEYS


# --- reports -----------------------------------------------------------------------------------------------


def test_a_report_says_whether_all_is_well() -> None:
    with ckptfmt.open(DIGITS) as ckpt:
        assert "OK" in show(ckpt.verify()).text
    report = open_items((b"bad\x1b", b"\xff"), (b"good", GOOD)).verify()
    page = show(report)
    assert r"'bad\x1b'" in page.text
    assert "FAILED" in page.text
    assert [row[0] for row in page.rows] == ["severity", *(each.severity for each in report.problems)]
    assert report.problems[0].kind in show(report.problems[0]).text


def test_restores_and_matches() -> None:
    with ckptfmt.open(DIGITS) as ckpt:
        name = "save_counter/.ATTRIBUTES/VARIABLE_VALUE"
        restored = ckpt.restore([name, "nope"])
        assert [name, "int64", "[]", "8 B"] in show(restored).rows
        assert ["nope"] in show(restored).rows
        assert ["nope"] in show(restored.report).rows
        match = ckptfmt.match(ckpt, {name: (3,)})
        page = show(match)
        assert [name, name, "int64[]", "any dtype[3]"] in page.rows
        show(match.wrong_shape[0])
        show(match.wrong_shape[0].got)
    match = ckptfmt.match(open_items((b"dense/kernel", GOOD)), {"model/dense/kernel": (2, 2)})
    assert ["model/dense/kernel", "dense/kernel"] in [row[:2] for row in show(match).rows]
    assert "dense/kernel" in show(match.proposals[0]).text


def test_a_match_of_many_names_does_not_look_for_proposals() -> None:
    many = {f"other_{number}/w": (number + 1,) for number in range(500)}
    with ckptfmt.open(DIGITS) as ckpt:
        match = ckptfmt.match(ckpt, many)
        assert "Proposals" not in show(match).text
        assert "proposals" not in vars(match)


# --- graphs and SavedModels --------------------------------------------------------------------------------


@needs_corpus
def test_a_saved_model() -> None:
    with ckptfmt.open_saved_model(KERAS) as model:
        page = show(model)
        assert "serving_default" in page.text
        assert ["input_1", "int32", "[?,20]", "serving_default_input_1:0"] in page.rows
        variables = show(model.variables)
        assert ["dense/kernel", "float32", "[7,7]", "196 B"] in [row[:4] for row in variables.rows]
        assert keys(model.variables) == list(model.variables)
        assert keys(model.signatures) == list(model.signatures) == ["serving_default"]
        for value in (
            model.signatures,
            model.signatures["serving_default"],
            model.signatures["serving_default"].inputs["input_1"],
            model.meta_graph,
            model.meta_graph.saver,
            model.meta_graph.collections,
            model.functions,
            model.functions[keys(model.functions)[0]],
            model.object_functions[0],
            model.object_variables[0],
            model.reach("serving_default"),
            model.assets,
        ):
            show(value)
        for layer in model.keras_layers[:2]:
            assert str(layer.class_name) in show(layer).text
        [embedding] = [layer for layer in model.keras_layers if layer.path == "root.layer_with_weights-0"]
        page = show(embedding)
        assert ["embeddings", "float32", "[2003,7]", "yes"] in page.rows
        assert "14,021" in page.text


@needs_corpus
def test_a_saved_model_without_its_checkpoint(tmp_path: Path) -> None:
    shutil.copy(KERAS / "saved_model.pb", tmp_path)
    model = ckptfmt.open_saved_model(tmp_path)
    assert "dense/kernel" in show(model).text
    assert "dense/kernel" in show(model.variables).text


def corpus_folders() -> list[Path]:
    return sorted(path for path in CORPUS.iterdir() if path.is_dir()) if CORPUS.is_dir() else []


@pytest.mark.parametrize("folder", corpus_folders(), ids=lambda path: path.name)
def test_whatever_opens_is_shown(folder: Path) -> None:
    for opener in (ckptfmt.open, ckptfmt.open_saved_model, ckptfmt.read_meta_graph):
        try:
            value = opener(folder)
        except ckptfmt.errors.CkptfmtError:
            continue
        page = show(value)
        assert page.text
        if isinstance(value, ckptfmt.Checkpoint) and value.object_graph is not None:
            show(value.object_graph)


def graph_of(*nodes: messages.NodeDef) -> ckptfmt.Graph:
    return ckptfmt.Graph(messages.GraphDef(node=nodes))


def test_a_graph_and_its_nodes() -> None:
    placeholder = messages.NodeDef(name="x", op="Placeholder")
    placeholder.attr["dtype"].type = 1
    placeholder.attr["shape"].shape.dim.add(size=-1)
    constant = messages.NodeDef(name="c", op="Const")
    constant.attr["dtype"].type = 1
    constant.attr["value"].tensor.CopyFrom(ckptfmt.to_proto(np.zeros(100_000, "f4")))
    graph = graph_of(placeholder, constant, messages.NodeDef(name="y", op="AddV2", input=["x", "c"]))
    page = show(graph)
    assert ["x", "Placeholder", "float32", "[?]"] in page.rows
    assert ["y", "AddV2", "x, c"] in page.rows
    assert keys(graph) == ["x", "c", "y"]
    assert ["c", "float32", "[100000]"] in [row[:3] for row in show(graph.constants).rows]
    assert keys(graph.constants) == ["c"]
    show(graph.constants.entry("c"))
    assert "float32" in show(graph.tensor("x")).text
    # A value of many bytes is not decoded.
    rows = dict(row for row in show(graph["c"]).rows if len(row) == 2)
    assert rows["value"].endswith(" bytes")
    assert keys(graph["c"].attributes) == ["dtype", "value"]
    show(graph["c"].attributes)
    show(graph.versions)
    show(graph.functions)


def test_a_graph_of_many_nodes_is_not_searched() -> None:
    graph = graph_of(*(messages.NodeDef(name=f"n{number}", op="NoOp") for number in range(60_000)))
    page = show(graph)
    assert "60,000" in page.text
    assert "Outputs" not in page.text
    assert len(page.rows) == 1 + ROWS


def test_a_graph_with_broken_inputs_is_shown() -> None:
    broken = messages.NodeDef(
        name="<b>", op="NoSuchOp", input=["nowhere", "^", ":", "a:99999999999999999999"]
    )
    page = show(graph_of(broken))
    assert "<b>" in page.text
    show(graph_of(broken)["<b>"])


# --- events ------------------------------------------------------------------------------------------------


def test_an_event_log_shows_tags_and_curves() -> None:
    with ckptfmt.open_events(EVENTS / "tf2") as events:
        page = show(events)
        assert ["loss", "5", "0 to 4", "1", ""] in page.rows
        assert "svg" in page.tags
        assert keys(events.scalars) == list(events.scalars)
        for kind in event_cards.KINDS:
            tags = getattr(events, kind)
            assert all(tag in show(tags).text for tag in tags)
            for tag in tags:
                show(tags[tag])
                show(tags[tag].metadata)
        scalars = show(events.scalars["loss"])
        assert "path" in scalars.tags
        assert [row[1] for row in scalars.rows[1:]] == ["0", "1", "2", "3", "4"]


def test_pictures_and_clips_show_themselves() -> None:
    with ckptfmt.open_events(EVENTS / "tf2") as events:
        images = next(iter(events.images.values()))[0]
        assert len(show(images).sources) == len(images) == 2
        assert repr(images).startswith("(<Image png")
        clips = next(iter(events.audio.values()))[0]
        assert show(clips).tags.count("audio") == len(clips)
        header, _, data = show(clips[0]).sources[0].partition(",")
        assert header == "data:audio/wav;base64"
        assert base64.b64decode(data) == clips[0].data
        histogram = next(iter(events.histograms.values()))[0]
        assert "rect" in show(histogram).tags


def image(data: bytes, form: str) -> ckptfmt.Image:
    return ckptfmt.Image(data, form, 1, 1, 3)


def test_an_image_is_passed_on_as_it_is_encoded() -> None:
    png, jpeg = image(b"\x89PNG...", "png"), image(b"\xff\xd8\xff", "jpeg")
    assert (png._repr_png_(), png._repr_jpeg_(), png._repr_html_()) == (png.data, None, None)
    assert (jpeg._repr_png_(), jpeg._repr_jpeg_(), jpeg._repr_html_()) == (None, jpeg.data, None)
    for form in ("gif", "bmp", "webp"):
        (source,) = show(image(b"data", form)).sources
        assert source == f"data:image/{form};base64,{base64.b64encode(b'data').decode()}"
    assert show(image(b"data", "")).sources == []


def test_a_large_image_or_clip_is_not_put_into_the_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ckptfmt.events.summaries.MAX_MEDIA", 10)
    assert image(b"x" * 11, "png")._repr_png_() is None
    for value in (image(b"x" * 11, "png"), image(b"x" * 11, "gif"), clip("audio/wav", b"x" * 11)):
        assert show(value).sources == []
        assert "not shown" in show(value).text


def clip(content_type: str, data: bytes = b"RIFF") -> ckptfmt.Audio:
    return ckptfmt.Audio(data, content_type, 8000.0, 1, 10, "<i>label</i>")


@pytest.mark.parametrize(
    "content_type", ["audio/wav", "", "text/html", 'audio/wav" onerror="x', "audio/wav,<b>", "AUDIO/x y"]
)
def test_the_type_of_a_clip_is_inert(content_type: str) -> None:
    page = show(clip(content_type))
    assert page.sources[0].startswith("data:audio/wav;base64,")
    assert "<i>label</i>" in page.text


def test_a_long_series_and_a_wide_histogram_are_bounded(tmp_path: Path) -> None:
    count = 50_000
    path = write_events(
        tmp_path / "events.out.tfevents.1.h", [VERSION, *(scalar("a", n % 9, n) for n in range(count))]
    )
    with ckptfmt.open_events(path) as events:
        assert len(events.scalars["a"]._repr_html_()) < 30_000
        assert f"and {count - ROWS:,} more" in show(events.scalars["a"]).text
    edges = np.arange(count + 1, dtype=np.float64)
    wide = ckptfmt.Histogram(
        edges[:-1], edges[1:], np.ones(count), 0.0, float(count), float(count), None, None
    )
    assert show(wide).tags.count("rect") == 200


def test_odd_values_and_times_are_shown(tmp_path: Path) -> None:
    odd = [float("nan"), float("inf"), -1e300, 0.0]
    events = [
        scalar("<a>", value, -(2**63), wall_time=time)
        for value, time in zip(odd, [1e300, float("nan"), -1e18, 0], strict=True)
    ]
    path = write_events(tmp_path / "events.out.tfevents.1.h", [VERSION, *events])
    with ckptfmt.open_events(path) as log:
        assert "<a>" in show(log).text
        assert len(show(log.scalars["<a>"]).rows) == 5


def test_large_event_files_are_not_read_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_events(tmp_path / "events.out.tfevents.1.h", [VERSION, scalar("loss", 1.0, 1)])
    monkeypatch.setattr(event_cards, "MAX_GATHERED", 10)
    with ckptfmt.open_events(path) as events:
        assert "not read yet" in show(events).text
        events.gather()
        assert "loss" in show(events).text


def test_damaged_event_files_show_their_damage(tmp_path: Path) -> None:
    path = write_events(
        tmp_path / "events.out.tfevents.1.h", [VERSION, scalar("loss", 1.0, 1), scalar("loss", 2.0, 2)]
    )
    data = bytearray(path.read_bytes())
    data[60] ^= 0xFF
    path.write_bytes(data)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DamageWarning)
        assert "Damage" in show(ckptfmt.open_events(path)).text
    strict = ckptfmt.open_events(path, strict=True)
    assert "@0x" in show(strict).text


def test_hparams_and_other_events(tmp_path: Path) -> None:
    hparams = ckptfmt.HParams(values={"<lr>": 0.1, "layers": [1, 2]}, experiment="<e>")
    assert ["<lr>", "0.1"] in show(hparams).rows
    metadata = messages.RunMetadata()
    metadata.step_stats.dev_stats.add(device="/gpu:0").node_stats.add(node_name="n")
    value = ckptfmt.RunMetadata("step", 1, 1.5, metadata.SerializeToString(), metadata)
    assert ["/gpu:0", "1"] in show(value).rows
    assert "START" in show(ckptfmt.SessionLog(0, 1.5, "START", "", "")).text
    path = write_events(
        tmp_path / "events.out.tfevents.1.h", [VERSION, tensor_event("t", np.zeros(2, "f4"), "mine")]
    )
    with ckptfmt.open_events(path) as events:
        assert "mine" in show(events.tensors["t"]).text


# --- records and plain values ------------------------------------------------------------------------------


def test_records(tmp_path: Path) -> None:
    path = tmp_path / "a.tfrecord"
    path.write_bytes(frame(b"<script>") + frame(b"two"))
    records = ckptfmt.open_records(path)
    assert str(path) in show(records).text
    index = records.scan()
    assert ["0", "0", "8", str(path)] in show(index).rows
    first = next(iter(records))
    assert "8 bytes that begin" in show(first).text
    path.write_bytes(frame(b"one") + b"\0" * 40 + frame(b"two"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DamageWarning)
        list(records)
    show(records.damage[0])
    assert "Damage" in show(records).text


def test_plain_values() -> None:
    for value in (
        ckptfmt.CheckpointState("logs", "ckpt-1", ("ckpt-1",)),
        ckptfmt.ResourceHandle("/cpu:0", "", "<name>", 1, "T"),
        ckptfmt.Variant("tensorflow::TensorList", b"\0", (np.zeros(3),)),
        ckptfmt.TensorSpec("x", ckptfmt.as_dtype("float32"), (None, 3)),
        ckptfmt.TypeSpec("RaggedTensorSpec", [1, 2]),
        ckptfmt.NamedValues("Point", {"x": 1}),
        ckptfmt.FunctionCall("f", {"T": 1}),
        ckptfmt.SequenceExample({"a": np.zeros(3)}, {"b": [np.zeros(1)] * 4}),
    ):
        assert show(value).text


def test_dtypes_and_arrays_in_fields_are_words() -> None:
    spec = ckptfmt.TensorSpec("x", ckptfmt.as_dtype("float32"), (2,), minimum=np.zeros(2, np.float32))
    rows = show(spec).rows
    assert ["dtype", "float32"] in rows
    assert ["minimum", "float32[2]"] in rows


def test_a_value_of_many_items_is_bounded() -> None:
    reach = ckptfmt.Reach(tuple(f"w{number}" for number in range(1_000_000)), 1, (), ())
    assert len(reach._repr_html_()) < 10_000


# --- cost --------------------------------------------------------------------------------------------------


def test_the_names_of_a_large_checkpoint_are_not_put_into_a_dict() -> None:
    ckpt = open_items(*((f"w{number:05d}".encode(), GOOD) for number in range(20_000)))
    show(ckpt)
    assert "_rows" not in vars(ckpt._index)


def test_opening_needs_no_module_for_html() -> None:
    code = "import sys, ckptfmt; ckptfmt.open('examples/digits'); print('html' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "False"


def test_a_closed_checkpoint_is_shown() -> None:
    ckpt = ckptfmt.open(DIGITS)
    ckpt.close()
    assert "Checkpoint" in show(ckpt).text
