"""Any kind of file given to any verb: it does its work, or says what the file is and what reads it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

import ckptfmt
from ckptfmt.errors import CkptfmtError, UnsupportedError
from ckptfmt.proto import keras_metadata, messages
from ckptfmt.proto.parse import format_text
from ckptfmt.wire.crc32c import crc32c, mask
from tests.support.command_line import run, run_json
from tests.support.corpus import CORPUS
from tests.support.golden import GOLDEN
from tests.support.split_writer import Split
from tests.support.table_writer import encode_table, encode_v1, write_bundle

CHECKPOINT_VERBS = ("ls", "show", "tree", "verify", "plan", "match", "match with")
GRAPH_VERBS = ("graph", "subgraph")
ALL_VERBS = (*CHECKPOINT_VERBS, *GRAPH_VERBS, "model", "freeze")

OPEN = ("ckptfmt.open ", "'ckptfmt ls'")
READ_GRAPH = ("ckptfmt.read_graph ", "'ckptfmt graph'")
READ_META_GRAPH = ("ckptfmt.read_meta_graph ", "'ckptfmt graph'")
OPEN_SAVED_MODEL = ("ckptfmt.open_saved_model ", "'ckptfmt model'")


class Case(NamedTuple):
    """A kind of file."""

    make: Callable[[Path], Path | str]
    """Makes one in an empty directory, and returns its path."""
    says: tuple[str, ...]
    """What each verb that does not read it says: what it is, and what reads it."""
    verbs: tuple[str, ...] = ()
    """The verbs that do."""
    freeze: tuple[str, ...] = ()
    """What ``freeze`` says, where it wants more than others."""


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

CASES = {
    "GraphDef": Case(
        file("frozen.pb", graph_def().SerializeToString()),
        ("a GraphDef (a graph, perhaps frozen), not", *READ_GRAPH),
        GRAPH_VERBS,
    ),
    "GraphDef cut short": Case(
        file("frozen.pb", graph_def().SerializeToString()[:-5]),
        ("frozen.pb", "GraphDef"),
    ),
    "GraphDef text": Case(
        file("graph.pbtxt", format_text(graph_def()).encode()),
        ("a GraphDef as text, not", *READ_GRAPH),
        GRAPH_VERBS,
    ),
    "MetaGraphDef": Case(
        file("graph.pb", meta_graph().SerializeToString()),
        ("a MetaGraphDef (.meta), not", *READ_META_GRAPH),
        (*GRAPH_VERBS, "match with"),
    ),
    "MetaGraphDef text": Case(
        file("graph.txt", format_text(meta_graph()).encode()),
        ("a MetaGraphDef as text, not", *READ_META_GRAPH),
        (*GRAPH_VERBS, "match with"),
    ),
    ".meta alone": Case(
        file("model.meta", meta_graph().SerializeToString()),
        ("MetaGraphDef", "model.index is not there", *READ_META_GRAPH),
        (*GRAPH_VERBS, "match with"),
    ),
    "SavedModel directory": Case(
        model_directory,
        ("a SavedModel without variables", "variables.index is not there", *OPEN_SAVED_MODEL),
        (*GRAPH_VERBS, "model", "freeze"),
    ),
    "saved_model.pb": Case(
        lambda folder: model_directory(folder) / "saved_model.pb",
        ("a SavedModel without variables", "variables.index is not there", *OPEN_SAVED_MODEL),
        (*GRAPH_VERBS, "model", "freeze"),
    ),
    "SavedModel called otherwise": Case(
        file("export.pb", saved_model().SerializeToString()),
        ("a SavedModel message, not a TensorFlow checkpoint", *OPEN_SAVED_MODEL),
        (*GRAPH_VERBS, "model", "freeze"),
    ),
    "SavedModel text": Case(
        file("export.pbtxt", format_text(saved_model()).encode()),
        ("a SavedModel as text, not a TensorFlow checkpoint", *OPEN_SAVED_MODEL),
        (*GRAPH_VERBS, "model", "freeze"),
    ),
    "split SavedModel": Case(
        file("export.cpb", Split(saved_model()).content()),
        ("a split message (.cpb), as a large SavedModel is stored, not", *OPEN_SAVED_MODEL),
        (*GRAPH_VERBS, "model", "freeze"),
    ),
    "variables of a SavedModel": Case(
        model_variables,
        ("variables: a", "checkpoint", "variables"),
        CHECKPOINT_VERBS,
    ),
    "prefix": Case(
        checkpoint(""),
        ("the prefix of a checkpoint, not", *OPEN),
        CHECKPOINT_VERBS,
        freeze=("model: a checkpoint without its graph: ", "model.meta is not there; see --graph"),
    ),
    "prefix with graph": Case(
        checkpoint("", meta=True),
        ("the prefix of a checkpoint, not", *OPEN, "its graph is in", "model.meta"),
        (*CHECKPOINT_VERBS, "freeze"),
    ),
    "index": Case(
        checkpoint(".index", meta=True),
        ("the index of a checkpoint, not", *OPEN, "its graph is in", "model.meta"),
        (*CHECKPOINT_VERBS, "freeze"),
    ),
    "data shard": Case(
        checkpoint(".data-00000-of-00001", meta=True),
        ("a data shard of a checkpoint", *OPEN, "its graph is in", "model.meta"),
        (*CHECKPOINT_VERBS, "freeze"),
    ),
    "V1 checkpoint": Case(
        file("model", encode_v1()),
        ("a V1 checkpoint, not", *OPEN),
        CHECKPOINT_VERBS,
        freeze=("model: a checkpoint without its graph: ", "model.meta is not there; see --graph"),
    ),
    "state file": Case(
        state_file,
        ("a checkpoint state file, not", *OPEN, "a graph is in", "model.meta"),
        (*CHECKPOINT_VERBS, "freeze"),
    ),
    "training directory": Case(
        state_directory,
        ("a directory of checkpoints, not", *OPEN, "a graph is in", "model.meta"),
        (*CHECKPOINT_VERBS, "freeze"),
    ),
    "fingerprint": Case(
        file("fingerprint.pb", FINGERPRINT.SerializeToString()),
        ("the fingerprint of a SavedModel, not", *OPEN_SAVED_MODEL),
    ),
    "Keras metadata": Case(
        file("keras_metadata.pb", KERAS.SerializeToString()),
        ("what Keras 2 stores of layers in a SavedModel, not", *OPEN_SAVED_MODEL),
    ),
    "events": Case(
        file("events.out", EVENT), ("a TensorBoard event file, not", "ckptfmt.open_events reads it")
    ),
    "TFRecord": Case(
        file("train.tfrecord", record(b"data")), ("a TFRecord file, not", "ckptfmt.open_records reads it")
    ),
    "HDF5": Case(file("model.h5", b"\x89HDF\r\n\x1a\n" + bytes(100)), ("an HDF5 file", "h5py reads it")),
    "npz": Case(
        file("a.npz", b"PK\x03\x04" + bytes(22) + b"\x09\0\0\0arr_0.npy" + bytes(50)),
        ("a NumPy .npz archive, not", "numpy.load reads it"),
    ),
    "zip": Case(
        file("a.zip", b"PK\x03\x04" + bytes(22) + b"\x09\0\0\0model.pb/" + bytes(50)),
        ("a zip archive, not", "unpack it first"),
    ),
    "pickle": Case(file("a.pt", b"\x80\x04\x95" + bytes(50)), ("a Python pickle", "runs code")),
    "ONNX": Case(
        file("a.onnx", b"\x08\x08\x12\x07pytorch\x3a\x03\x0a\x01x\x42\x02\x10\x11"),
        ("an ONNX model, not", "onnx reads it"),
    ),
    "TFLite": Case(file("a.tflite", b"\x1c\0\0\0TFL3" + bytes(99)), ("a TensorFlow Lite model, not",)),
    "HTML": Case(file("model.pb", b"<!DOCTYPE html><html></html>"), ("an HTML page, not", "went wrong")),
    "LFS pointer": Case(
        file("model.pb", b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"),
        ("a Git LFS pointer, not the file it stands for", "run 'git lfs pull'"),
    ),
    "LFS pointer for a .meta": Case(
        file("model.meta", b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"),
        ("a Git LFS pointer, not the file it stands for", "run 'git lfs pull'"),
    ),
    "LFS pointer for a data shard": Case(
        file("model.data-00000-of-00001", b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\n"),
        ("model.data-00000-of-00001",),
    ),
    "JSON": Case(file("model.json", b'{"weightsManifest": []}'), ("a JSON file, not",)),
    "text": Case(file("labels.txt", b"cat\ndog\n"), ("a text file, not",)),
    "LevelDB": Case(
        file("000005.ldb", encode_table([(b"key", b"value")])),
        ("000005.ldb", "a"),
    ),
    "empty": Case(file("model.pb", b""), ("model.pb", "an empty file, not")),
    "noise": Case(file("noise.bin", bytes(range(1, 255))), ("noise.bin", "not a")),
    "frozen graphs in a directory": Case(
        directory_of("frozen.pb", graph_def().SerializeToString()),
        ("in this directory", "frozen.pb is a GraphDef", *READ_GRAPH),
    ),
    "events in a directory": Case(
        directory_of("events.out", EVENT),
        ("in this directory", "events.out is a TensorBoard event file: ckptfmt.open_events reads it"),
    ),
    "empty directory": Case(lambda folder: folder, ("in this directory",)),
    "nothing": Case(lambda folder: folder / "model", ("model: no ",)),
}
"""By name; a message names the file besides what is said here."""

SAFETENSORS = (20).to_bytes(8, "little") + b'{"__metadata__":{}}  '


def arguments(verb: str, path: Path | str, elsewhere: Path) -> list[object]:
    """A command line that gives a path to a verb."""
    if verb == "show":
        return [verb, path, "w"]
    if verb == "plan":
        plan = elsewhere / "plan.toml"
        plan.write_text("version = 1\n")
        return [verb, path, plan]
    if verb == "match":
        return [verb, path, write_bundle(elsewhere / "other")]
    if verb == "match with":
        return ["match", write_bundle(elsewhere / "other"), path]
    if verb in ("freeze", "subgraph"):
        return [verb, path, "-o", elsewhere / "out.pb", "--outputs", "out"]
    return [verb, path]


def check_said(args: list[object], path: Path | str, says: tuple[str, ...]) -> None:
    """Check that a verb refuses a path, says why on one line, and has written nothing."""
    result = run(*args)
    assert result.exit_code in (3, 4), result.output
    assert result.stdout == "" or args[0] == "verify"
    said = result.stdout + result.stderr
    assert len(result.stderr.splitlines()) <= 1
    if os.path.basename(path) != "saved_model.pb":
        assert os.path.basename(path) in said
    for words in says:
        assert words in said
    assert run_json(*args, code=result.exit_code)["error"]["message"] in said


@pytest.mark.parametrize("verb", ALL_VERBS)
@pytest.mark.parametrize("case", CASES.values(), ids=list(CASES))
def test_a_verb_does_its_work_or_says_which_does(case: Case, verb: str, tmp_path: Path) -> None:
    folder, elsewhere = tmp_path / "given", tmp_path / "elsewhere"
    folder.mkdir()
    elsewhere.mkdir()
    path = case.make(folder)
    args = arguments(verb, path, elsewhere)
    if verb in case.verbs:
        assert run(*args).exit_code in ((0, 1, 4) if verb == "show" or "match" in verb else (0,))
        return
    says = case.freeze if verb == "freeze" and case.freeze else case.says
    if case is CASES[".meta alone"]:  # the way to a checkpoint leads over its name
        says = tuple(words for words in says if (words == "MetaGraphDef") is (verb == "model"))[:1]
    check_said(args, path, says)


READERS = {
    "open": ckptfmt.open,
    "read_graph": ckptfmt.read_graph,
    "read_meta_graph": ckptfmt.read_meta_graph,
    "open_saved_model": ckptfmt.open_saved_model,
}
"""By name."""


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("case", CASES.values(), ids=list(CASES))
def test_a_function_reads_a_file_or_says_which_does(case: Case, reader: str, tmp_path: Path) -> None:
    path = case.make(tmp_path)
    error: CkptfmtError | None = None
    try:
        READERS[reader](path)
    except CkptfmtError as caught:
        error = caught
    if error is not None:
        assert str(tmp_path) in str(error)
    if isinstance(error, UnsupportedError):
        assert error.file == str(path)
        # Nobody is sent back to what has just refused the file.
        assert f": ckptfmt.{reader} reads it," not in str(error)


@pytest.mark.parametrize("verb", [verb for verb in ALL_VERBS if verb != "match with"])
def test_safetensors_are_read_by_their_own_package(verb: str, tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(SAFETENSORS)
    path = tmp_path / "model.safetensors"
    check_said(arguments(verb, path, tmp_path), path, ("a safetensors file, not", "safetensors reads it"))


# --- files that other programs wrote ---------------------------------------------------------------------

WRITTEN = {
    GOLDEN / "saved_model" / "model" / "fingerprint.pb": ("the fingerprint of a", *OPEN_SAVED_MODEL),
    GOLDEN / "saved_model" / "model" / "assets" / "vocabulary.txt": ("a text file, not",),
    CORPUS / "cartpole_policy" / "fingerprint.pb": ("the fingerprint of a SavedModel", *OPEN_SAVED_MODEL),
    CORPUS / "tfdf_adult_rf" / "keras_metadata.pb": ("what Keras 2 stores", *OPEN_SAVED_MODEL),
    CORPUS / "lingvo" / "events.out.tfevents.test": (
        "a TensorBoard event file",
        "ckptfmt.open_events reads it",
    ),
}


@pytest.mark.parametrize("verb", [verb for verb in ALL_VERBS if verb != "match with"])
@pytest.mark.parametrize("path", WRITTEN, ids=lambda path: path.name)
def test_real_files_are_told(path: Path, verb: str, tmp_path: Path) -> None:
    if not path.exists():
        pytest.skip(f"no corpus at {CORPUS}; set CKPTFMT_CORPUS")
    check_said(arguments(verb, path, tmp_path), path, WRITTEN[path])


@pytest.mark.parametrize("verb", [*GRAPH_VERBS, "model"])
@pytest.mark.parametrize("name", ["v1_saver", "saver", "v1_sharded", "keras3", "partitioned_variable"])
def test_real_checkpoints_are_told_from_graphs(name: str, verb: str, tmp_path: Path) -> None:
    for path in sorted((GOLDEN / name).iterdir()):
        if path.suffix == ".meta":
            assert verb == "model" or run(*arguments("graph", path, tmp_path)).exit_code == 0
        else:
            check_said(arguments(verb, path, tmp_path), path, ("checkpoint", *OPEN))


def test_the_variables_of_a_saved_model_lead_to_it(tmp_path: Path) -> None:
    folder = model_variables(tmp_path)
    for path in (folder, folder / "variables", folder / "variables.index"):
        for verb in ("graph", "model"):
            assert run(verb, path).stderr.endswith(f"; its graph is in the SavedModel {tmp_path}\n")
