"""A sample file of every kind: what it is, what errors say about it, and which verbs read it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ckptfmt.filetype import kinds
from ckptfmt.filetype.kinds import KINDS, Kind
from ckptfmt.proto import keras_metadata, messages
from ckptfmt.proto.parse import format_text
from ckptfmt.wire.crc32c import crc32c, mask
from tests.support.memmapped_writer import to_memmapped
from tests.support.split_writer import Split
from tests.support.table_writer import encode_table, encode_v1, write_bundle

CHECKPOINT_VERBS = ("ls", "show", "tree", "verify", "plan", "match", "match with")
GRAPH_VERBS = ("graph", "subgraph")
ALL_VERBS = (*CHECKPOINT_VERBS, *GRAPH_VERBS, "model", "freeze")

OPEN = ("ckptfmt.open ", "'ckptfmt ls'")
READ_GRAPH = ("ckptfmt.read_graph ", "'ckptfmt graph'")
READ_META_GRAPH = ("ckptfmt.read_meta_graph ", "'ckptfmt graph'")
OPEN_SAVED_MODEL = ("ckptfmt.open_saved_model ", "'ckptfmt model'")


class Sample(NamedTuple):
    """A file of some kind."""

    make: Callable[[Path], Path | str]
    """Creates the file in an empty directory, and returns its path."""
    kind: Kind | None
    """Its kind, which is recognised by its path; None for no known kind."""
    says: tuple[str, ...]
    """Parts of the message of each verb that does not read it: what the file is, and what reads it."""
    verbs: tuple[str, ...] = ()
    """The verbs that read it."""
    freeze: tuple[str, ...] = ()
    """Parts of the message of ``freeze`` if it differs, because freezing needs more than other verbs do."""


def named(what: str) -> Kind:
    """The kind of that name."""
    return next(kind for kind in KINDS if kind.what == what)


def graph_def() -> messages.GraphDef:
    graph = messages.GraphDef()
    graph.versions.producer = 24
    graph.node.add(name="x", op="Placeholder").attr["dtype"].type = 1
    graph.node.add(name="out", op="Identity", input=["x"]).attr["T"].type = 1
    return graph


def meta_graph() -> messages.MetaGraphDef:
    meta = messages.MetaGraphDef(graph_def=graph_def())
    meta.meta_info_def.tags.append("serve")
    meta.meta_info_def.tensorflow_version = "1.15.0"
    meta.signature_def["serving_default"].outputs["y"].name = "out:0"
    return meta


def saved_model() -> messages.SavedModel:
    return messages.SavedModel(saved_model_schema_version=1, meta_graphs=[meta_graph()])


def file(name: str, data: bytes) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        (folder / name).write_bytes(data)
        return folder / name

    return make


def checkpoint(suffix: str, *, meta: bool = False) -> Callable[[Path], str]:
    def make(folder: Path) -> str:
        prefix = write_bundle(folder / "model", {"w": np.zeros(2, np.float32)})
        if meta:
            Path(f"{prefix}.meta").write_bytes(meta_graph().SerializeToString())
        return f"{prefix}{suffix}"

    return make


def state_file(folder: Path) -> Path:
    checkpoint("", meta=True)(folder)
    (folder / "checkpoint").write_text('model_checkpoint_path: "model"\n')
    return folder / "checkpoint"


def state_directory(folder: Path) -> Path:
    return state_file(folder).parent


def model_directory(folder: Path) -> Path:
    (folder / "variables").mkdir()
    (folder / "saved_model.pb").write_bytes(saved_model().SerializeToString())
    return folder


def model_variables(folder: Path) -> Path:
    model_directory(folder)
    write_bundle(folder / "variables" / "variables", {"w": np.zeros(2, np.float32)})
    return folder / "variables"


def directory_of(name: str, data: bytes) -> Callable[[Path], Path]:
    return lambda folder: file(name, data)(folder).parent


def record(data: bytes) -> bytes:
    length = len(data).to_bytes(8, "little")
    return b"".join(part + mask(crc32c(part)).to_bytes(4, "little") for part in (length, data))


EVENT = record(b"\x09" + bytes(8) + b"\x1a\x0dbrain.Event:2")
FINGERPRINT = messages.FingerprintDef(
    saved_model_checksum=1, graph_def_program_hash=1 << 63, checkpoint_hash=5, uuid="170"
)
FINGERPRINT.version.producer = 1
KERAS = keras_metadata.SavedMetadata()
KERAS.nodes.add(node_path="root", identifier="_tf_keras_model", metadata="{}")
KERAS.nodes.add(node_id=1, node_path="root.layer-0", identifier="_tf_keras_layer", metadata="{}")

SAMPLES = {
    "GraphDef": Sample(
        file("frozen.pb", graph_def().SerializeToString()),
        kinds.GRAPH,
        ("a GraphDef (a graph, perhaps frozen), not", *READ_GRAPH),
        GRAPH_VERBS,
    ),
    "GraphDef cut short": Sample(
        file("frozen.pb", graph_def().SerializeToString()[:-5]),
        kinds.GRAPH,
        ("frozen.pb", "GraphDef"),
    ),
    "GraphDef text": Sample(
        file("graph.pbtxt", format_text(graph_def()).encode()),
        kinds.GRAPH_TEXT,
        ("a GraphDef as text, not", *READ_GRAPH),
        GRAPH_VERBS,
    ),
    "memory-mapped graph": Sample(
        file("model.bin", to_memmapped(graph_def())),
        kinds.MEMMAPPED,
        ("a memory-mapped graph (.pbmm), not", *READ_GRAPH),
        GRAPH_VERBS,
    ),
    "MetaGraphDef": Sample(
        file("graph.pb", meta_graph().SerializeToString()),
        kinds.META_GRAPH,
        ("a MetaGraphDef (.meta), not", *READ_META_GRAPH),
        (*GRAPH_VERBS, "match with"),
    ),
    "MetaGraphDef text": Sample(
        file("graph.txt", format_text(meta_graph()).encode()),
        kinds.META_GRAPH_TEXT,
        ("a MetaGraphDef as text, not", *READ_META_GRAPH),
        (*GRAPH_VERBS, "match with"),
    ),
    ".meta alone": Sample(
        file("model.meta", meta_graph().SerializeToString()),
        kinds.META_GRAPH,
        ("MetaGraphDef", "model.index does not exist", *READ_META_GRAPH),
        (*GRAPH_VERBS, "match with"),
    ),
    "SavedModel directory": Sample(
        model_directory,
        kinds.SAVED_MODEL_DIRECTORY,
        ("a SavedModel without variables", "variables.index does not exist", *OPEN_SAVED_MODEL),
        (*GRAPH_VERBS, "model", "freeze"),
    ),
    "saved_model.pb": Sample(
        lambda folder: model_directory(folder) / "saved_model.pb",
        kinds.SAVED_MODEL,
        ("a SavedModel without variables", "variables.index does not exist", *OPEN_SAVED_MODEL),
        (*GRAPH_VERBS, "model", "freeze"),
    ),
    "SavedModel under another name": Sample(
        file("export.pb", saved_model().SerializeToString()),
        kinds.SAVED_MODEL,
        ("a SavedModel message, not a TensorFlow checkpoint", *OPEN_SAVED_MODEL),
        (*GRAPH_VERBS, "model", "freeze"),
    ),
    "SavedModel text": Sample(
        file("export.pbtxt", format_text(saved_model()).encode()),
        kinds.SAVED_MODEL_TEXT,
        ("a SavedModel as text, not a TensorFlow checkpoint", *OPEN_SAVED_MODEL),
        (*GRAPH_VERBS, "model", "freeze"),
    ),
    "split SavedModel": Sample(
        file("export.cpb", Split(saved_model()).content()),
        kinds.SPLIT,
        ("a split message (.cpb), as a large SavedModel is stored, not", *OPEN_SAVED_MODEL),
        (*GRAPH_VERBS, "model", "freeze"),
    ),
    "variables of a SavedModel": Sample(
        model_variables,
        kinds.DIRECTORY,
        ("variables: a", "checkpoint", "variables"),
        CHECKPOINT_VERBS,
    ),
    "prefix": Sample(
        checkpoint(""),
        kinds.PREFIX,
        ("the prefix of a checkpoint, not", *OPEN),
        CHECKPOINT_VERBS,
        freeze=("model: a checkpoint without its graph: ", "model.meta is missing; pass --graph"),
    ),
    "prefix with graph": Sample(
        checkpoint("", meta=True),
        kinds.PREFIX,
        ("the prefix of a checkpoint, not", *OPEN, "its graph is in", "model.meta"),
        (*CHECKPOINT_VERBS, "freeze"),
    ),
    "index": Sample(
        checkpoint(".index", meta=True),
        kinds.INDEX,
        ("the index of a checkpoint, not", *OPEN, "its graph is in", "model.meta"),
        (*CHECKPOINT_VERBS, "freeze"),
    ),
    "data shard": Sample(
        checkpoint(".data-00000-of-00001", meta=True),
        kinds.DATA,
        ("a data file of a checkpoint", *OPEN, "its graph is in", "model.meta"),
        (*CHECKPOINT_VERBS, "freeze"),
    ),
    "V1 checkpoint": Sample(
        file("model", encode_v1()),
        kinds.V1,
        ("a V1 checkpoint, not", *OPEN),
        CHECKPOINT_VERBS,
        freeze=("model: a checkpoint without its graph: ", "model.meta is missing; pass --graph"),
    ),
    "state file": Sample(
        state_file,
        kinds.STATE,
        ("a checkpoint state file, not", *OPEN, "a graph is in", "model.meta"),
        (*CHECKPOINT_VERBS, "freeze"),
    ),
    "training directory": Sample(
        state_directory,
        kinds.DIRECTORY,
        ("a directory of checkpoints, not", *OPEN, "a graph is in", "model.meta"),
        (*CHECKPOINT_VERBS, "freeze"),
    ),
    "fingerprint": Sample(
        file("fingerprint.pb", FINGERPRINT.SerializeToString()),
        kinds.FINGERPRINT,
        ("the fingerprint of a SavedModel, not", *OPEN_SAVED_MODEL),
    ),
    "Keras metadata": Sample(
        file("keras_metadata.pb", KERAS.SerializeToString()),
        kinds.KERAS_METADATA,
        ("the Keras 2 metadata of a SavedModel, not", *OPEN_SAVED_MODEL),
    ),
    "events": Sample(
        file("events.out", EVENT),
        kinds.EVENTS,
        ("a TensorBoard event file", "ckptfmt.open_events reads it"),
    ),
    "TFRecord": Sample(
        file("train.tfrecord", record(b"data")),
        kinds.RECORDS,
        ("a TFRecord file, not", "ckptfmt.open_records reads it"),
    ),
    "HDF5": Sample(
        file("model.h5", b"\x89HDF\r\n\x1a\n" + bytes(100)),
        named("an HDF5 file, as Keras writes"),
        ("an HDF5 file", "ckptfmt.open_tensors reads it"),
    ),
    "npz": Sample(
        file("a.npz", b"PK\x03\x04" + bytes(22) + b"\x09\0\0\0arr_0.npy" + bytes(50)),
        named("a NumPy .npz archive"),
        ("a NumPy .npz archive, not", "ckptfmt.open_tensors reads it, and numpy.load"),
    ),
    "zip": Sample(
        file("a.zip", b"PK\x03\x04" + bytes(22) + b"\x09\0\0\0model.pb/" + bytes(50)),
        named("a zip archive"),
        ("a zip archive, not", "unpack it first"),
    ),
    "pickle": Sample(
        file("a.pt", b"\x80\x04\x95" + bytes(50)),
        named("a Python pickle, perhaps of PyTorch"),
        ("a Python pickle", "runs code"),
    ),
    "ONNX": Sample(
        file("a.onnx", b"\x08\x08\x12\x07pytorch\x3a\x03\x0a\x01x\x42\x02\x10\x11"),
        named("an ONNX model"),
        ("an ONNX model, not", "onnx reads it"),
    ),
    "TFLite": Sample(
        file("a.tflite", b"\x1c\0\0\0TFL3" + bytes(99)),
        named("a TensorFlow Lite model"),
        ("a TensorFlow Lite model, not",),
    ),
    "HTML": Sample(
        file("model.pb", b"<!DOCTYPE html><html></html>"), kinds.HTML, ("an HTML page, not", "went wrong")
    ),
    "LFS pointer": Sample(
        file("model.pb", b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"),
        kinds.LFS_POINTER,
        ("a Git LFS pointer, not the file it stands for", "run 'git lfs pull'"),
    ),
    "LFS pointer for a .meta": Sample(
        file("model.meta", b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"),
        kinds.LFS_POINTER,
        ("a Git LFS pointer, not the file it stands for", "run 'git lfs pull'"),
    ),
    "LFS pointer for a data shard": Sample(
        file("model.data-00000-of-00001", b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\n"),
        kinds.DATA,
        ("model.data-00000-of-00001",),
    ),
    "JSON": Sample(file("model.json", b'{"weights": []}'), kinds.JSON, ("a JSON file, not",)),
    "text": Sample(
        file("labels.txt", b"cat\ndog\n"), kinds.TEXT_FILE, ("a text file, not", "it begins 'cat'")
    ),
    "LevelDB": Sample(
        file("000005.ldb", encode_table([(b"key", b"value")])),
        kinds.TABLE,
        ("000005.ldb", "a"),
    ),
    "damaged table": Sample(
        file("model", encode_v1()[:5] + b"\xff" + encode_v1()[6:]),
        kinds.BROKEN_TABLE,
        ("model",),
    ),
    "empty": Sample(file("model.pb", b""), kinds.EMPTY, ("model.pb", "an empty file, not")),
    "noise": Sample(
        file("noise.bin", bytes(range(1, 255))),
        None,
        ("noise.bin", "an unknown kind of file, not a", "254 bytes that begin 01 02 03 04"),
    ),
    "frozen graphs in a directory": Sample(
        directory_of("frozen.pb", graph_def().SerializeToString()),
        None,
        ("in this directory", "frozen.pb is a GraphDef", *READ_GRAPH),
    ),
    "events in a directory": Sample(
        directory_of("events.out", EVENT),
        None,
        ("in this directory", "events.out is a TensorBoard event file: ckptfmt.open_events reads it"),
    ),
    "empty directory": Sample(lambda folder: folder, None, ("in this directory",)),
    "nothing": Sample(lambda folder: folder / "model", None, ("model: no ",)),
}
"""The samples, by name."""
