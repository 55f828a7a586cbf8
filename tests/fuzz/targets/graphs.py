"""Graphs, meta graphs and SavedModels: serialized, as text, and split."""

from __future__ import annotations

from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import numpy as np
from google.protobuf.message import DecodeError

import ckptfmt
from ckptfmt.errors import CkptfmtError
from ckptfmt.proto import keras_metadata, messages
from ckptfmt.proto.parse import format_text
from tests.fuzz import parts
from tests.fuzz.mutate import table
from tests.fuzz.mutate.message import of_message
from tests.fuzz.mutate.plain import of_bytes, of_parts, one_of, words
from tests.fuzz.target import Target, outcome
from tests.fuzz.visit import visit
from tests.support.file_kinds import graph_def, meta_graph, saved_model
from tests.support.golden import GOLDEN
from tests.support.keras_models import sequential
from tests.support.memmapped_writer import to_memmapped
from tests.support.memory_filesystem import MemoryFilesystem
from tests.support.split_writer import Split, split_saved_model

SMALL = 30_000


def judge_graph(data: bytes) -> None:
    """Look at all that a graph, a meta graph or a model shows, and change the graph."""
    graph = outcome(lambda: ckptfmt.read_graph(data))
    meta = outcome(lambda: ckptfmt.read_meta_graph(data))
    for name in ("saved_model.pb", "saved_model.pbtxt"):
        judge_model({f"d/{name}": data})
    if not isinstance(meta, CkptfmtError):
        visit(meta)
    if not isinstance(graph, CkptfmtError):
        judge_surgery(graph)


def judge_surgery(graph: ckptfmt.Graph) -> None:
    """Change a graph in all ways, and check that what is written reads back."""
    visit(graph)
    names = outcome(lambda: list(graph)[:20])
    if isinstance(names, CkptfmtError):
        return
    for name in names:
        outcome(lambda name=name: list(graph.tensors(name)))
        outcome(lambda name=name: graph.consumers(name))
        outcome(lambda name=name: list(graph.ancestors(name)))
        outcome(lambda name=name: list(graph.descendants(name)))
        outcome(lambda name=name: graph.extract_subgraph(name))
        outcome(lambda name=name: ckptfmt.freeze(graph, {}, name))
    for change in (
        graph.remove_training_nodes,
        graph.clear_devices,
        lambda: graph.prefixed("p"),
        lambda: graph.merge(graph.prefixed("p")),
        lambda: graph.strip_unused(names[:1], names[-1:]),
        lambda: ckptfmt.read_graph(graph.to_text().encode()),
    ):
        outcome(change)
    written = outcome(graph.to_bytes)
    if not isinstance(written, CkptfmtError):
        # Recognised by its content, it may look like something else: with a first node without an op, say.
        again = outcome(lambda: ckptfmt.read_graph(written))
        assert isinstance(again, CkptfmtError) or list(again) == list(graph)


def judge_model(files: dict[str, bytes]) -> None:
    """Look at all that a SavedModel shows."""
    fs = MemoryFilesystem(files)
    model = outcome(lambda: ckptfmt.open_saved_model("d", fs=fs))
    if isinstance(model, CkptfmtError):
        return
    visit(model)
    outcome(model.unreached)
    signatures = outcome(lambda: list(model.signatures)[:5])
    for name in signatures if isinstance(signatures, list) else []:
        outcome(lambda name=name: model.reach(name))


def judge_directory(data: bytes) -> None:
    """Look at a SavedModel with all the files that it may have."""
    judge_model({f"d/{name}": content for name, content in zip(FILES, parts.split(data), strict=False)})


def judge_split(data: bytes) -> None:
    """Read a model from a split file."""
    judge_model({"d/saved_model.cpb": data})
    outcome(lambda: ckptfmt.read_graph("g.cpb", fs=MemoryFilesystem({"g.cpb": data})))


def judge_memmapped(data: bytes) -> None:
    """Read a memory-mapped graph, from bytes and from a file."""
    graph = outcome(lambda: ckptfmt.read_graph(data))
    outcome(lambda: ckptfmt.read_graph("g.pbmm", fs=MemoryFilesystem({"g.pbmm": data})))
    if not isinstance(graph, CkptfmtError):
        judge_surgery(graph)


def constants() -> messages.GraphDef:
    """Return a graph with two constants of some bytes, as memory-mapped graphs have them."""
    graph = graph_def()
    for name, size in (("a", 3), ("b", 100)):
        graph.node.add(name=name, op="Const").attr["value"].tensor.CopyFrom(ckptfmt.to_proto(np.arange(size)))
    return graph


def memmapped() -> list[bytes]:
    return [to_memmapped(constants()), to_memmapped(constants(), has_lengths=False)]


def remapped(data: bytes, rng: Random) -> bytes:
    """Return a memory-mapped graph with a changed graph in it, or a changed directory."""
    at = int.from_bytes(data[-8:], "little")
    if rng.random() < 0.5 and at <= len(data):
        return data[:at] + of_message(data[at:-8], rng) + data[-8:]
    graph = messages.GraphDef()
    try:
        graph.ParseFromString(of_message(constants().SerializeToString(), rng))
    except DecodeError:
        return of_bytes(data, rng)
    return to_memmapped(graph, has_lengths=rng.random() < 0.9)


def messages_of_tests() -> list[messages.Message]:
    graph = graph_def()
    function = graph.library.function.add()
    function.signature.name = "f"
    function.signature.input_arg.add(name="a", type=20)
    function.signature.output_arg.add(name="r", type=1)
    function.node_def.add(name="read", op="ReadVariableOp", input=["a"]).attr["dtype"].type = 1
    function.ret["r"] = "read:value:0"
    graph.node.add(name="v", op="VarHandleOp").attr["dtype"].type = 1
    graph.node.add(name="c", op="Const").attr["value"].tensor.CopyFrom(ckptfmt.to_proto([1.5, 2]))
    call = graph.node.add(name="call", op="PartitionedCall", input=["v", "^c"])
    call.attr["f"].func.name = "f"
    model = saved_model()
    model.meta_graphs[0].graph_def.CopyFrom(graph)
    node = model.meta_graphs[0].object_graph_def.nodes.add()
    node.children.add(node_id=1, local_name="v")
    model.meta_graphs[0].object_graph_def.nodes.add().variable.name = "v"
    concrete = model.meta_graphs[0].object_graph_def.concrete_functions["f"]
    concrete.bound_inputs.append(1)
    concrete.canonicalized_input_signature.tuple_value.values.add().int64_value = -1
    return [graph, meta_graph(), model]


def serialized() -> list[bytes]:
    stored = [*sorted(GOLDEN.rglob("*.meta")), *sorted(GOLDEN.rglob("saved_model.pb"))]
    return [
        *(message.SerializeToString() for message in messages_of_tests()),
        *(path.read_bytes() for path in stored if path.stat().st_size <= SMALL),
    ]


FILES = (
    *("saved_model.pb", "variables/variables.index", "variables/variables.data-00000-of-00001"),
    *("fingerprint.pb", "keras_metadata.pb"),
)
"""The files of a model in an input."""


def directories() -> list[bytes]:
    """Return the model of tests/data with the layers of Keras 2, and one of Keras objects, old and new."""
    layers = keras_metadata.SavedMetadata()
    kind = "_tf_keras_layer"
    layers.nodes.add(node_id=1, node_path="root.v", identifier=kind, metadata='{"class_name": "Dense"}')
    folder = GOLDEN / "saved_model" / "model"
    models = [[*((folder / name).read_bytes() for name in FILES[:4]), layers.SerializeToString()]]
    model = sequential()
    with TemporaryDirectory() as written:
        models.append([(model.write(Path(written)) / name).read_bytes() for name in FILES[:3]])
        described = model.descriptions()
        files = [(model.write(Path(written)) / name).read_bytes() for name in FILES[:3]]
        models.append([*files, b"", described])
    return [parts.join(files) for files in models]


def as_text() -> list[bytes]:
    return [format_text(message).encode() for message in messages_of_tests()]


def split() -> list[bytes]:
    model = messages_of_tests()[-1]
    return [
        Split(model).content(),
        *(
            split_saved_model(messages_of_tests()[-1]).content(kind, 2)
            for kind in ("none", "brotli", "zstd", "snappy")
        ),
    ]


def remade(data: bytes, rng: Random) -> bytes:
    """Return a split model made of a changed model and a changed description of its chunks."""
    model = messages.SavedModel()
    model.MergeFromString(serialized()[2])
    parted = split_saved_model(model)
    path = parted.message.chunked_fields[rng.randrange(len(parted.message.chunked_fields))]
    changed = of_message(path.SerializeToString(), rng)
    try:
        path.ParseFromString(changed)
    except DecodeError:
        return of_bytes(data, rng)
    i = rng.randrange(len(parted.parts))
    part = parted.parts[i]
    parted.parts[i] = of_message(part if isinstance(part, bytes) else part.SerializeToString(), rng)
    return parted.content(rng.choice(("none", "zstd")), rng.choice((1, 3)))


GRAPH_WORDS = rb"""
    node attr key value tensor tensor_shape dim size list func library dtype type float_val string_val input
    name op { } [ ] < > , : ; # \ \377 \x \u00e9 " ' "x" DT_FLOAT DT_STRING
    99 -1 9223372036854775808 nan 1e99 -inf true
""".split()

TARGETS = {
    "graph": Target(judge_graph, serialized, of_message, count=20),
    "graph_text": Target(judge_graph, as_text, words(b"\n", *GRAPH_WORDS)),
    "saved_model": Target(
        judge_directory,
        directories,
        of_parts(of_message, table.mutator(of_message), of_bytes, of_message),
        count=20,
    ),
    "memmapped": Target(judge_memmapped, memmapped, one_of(remapped, of_bytes), count=40),
    "split": Target(judge_split, split, one_of(remade, of_bytes), count=40),
}
