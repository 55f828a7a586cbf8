"""The examples of the help run, in a folder with the files that they name."""

from __future__ import annotations

import importlib
import re
import shlex
import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ckptfmt
from ckptfmt.cli.app import EXAMPLES, VERBS
from ckptfmt.proto import messages
from tests.support import examples, golden
from tests.support.command_line import run
from tests.support.event_log import EVENTS, VERSION, scalar, write_events
from tests.support.records import frame
from tests.support.table_writer import write_bundle

TENSORS: dict[str, np.ndarray[Any, Any]] = {
    "dense/kernel": np.ones((3, 4), np.float32),
    "dense/kernel/ExponentialMovingAverage": np.zeros((3, 4), np.float32),
    "dense/bias": np.zeros(1 << 18, np.float32),
    "model/dense/kernel": np.ones((3, 4), np.float32),
    "embedding": np.arange(40, dtype=np.float32).reshape(8, 5),
    "global_step": np.array(1000, np.int64),
    "counters/seen": np.array(7, np.int64),
}
PLAN = "version = 1\n[[step]]\nrename = 'dense/*'\nto = 'Dense_0/*'\n"


def commands() -> list[str]:
    """Return the examples of all verbs, without comments, pipes and redirections."""
    listed = [re.split(r"  +", line)[0] for line in EXAMPLES.splitlines()]
    for module in VERBS.values():
        listed += importlib.import_module(module).command.examples
    return list(dict.fromkeys(re.split(r" [|>] ", line)[0] for line in listed))


def graph_def() -> messages.GraphDef:
    """Return a graph that computes softmax from variables of the checkpoint."""
    graph = messages.GraphDef()
    graph.versions.producer = 24
    graph.node.add(name="images", op="Placeholder").attr["dtype"].type = messages.DataType.DT_FLOAT
    graph.node.add(name="is_training", op="Placeholder").attr["dtype"].type = messages.DataType.DT_BOOL
    for name in ("dense/kernel", "global_step", "counters/seen"):
        variable = graph.node.add(name=name, op="VariableV2")
        dtype = messages.DataType.DT_FLOAT if name == "dense/kernel" else messages.DataType.DT_INT64
        variable.attr["dtype"].type = dtype
        variable.attr["shape"].shape.SetInParent()
        for size in TENSORS[name].shape:
            variable.attr["shape"].shape.dim.add(size=size)
        graph.node.add(name=f"{name}/read", op="Identity", input=[name]).attr["T"].type = dtype
    control = ["^is_training", "^global_step/read", "^counters/seen/read"]
    for name, op, inputs in (
        ("conv1/product", "MatMul", ["images", "dense/kernel/read"]),
        ("conv5", "Relu", ["conv1/product", *control]),
        ("logits", "Neg", ["conv5"]),
        ("softmax", "Softmax", ["logits"]),
    ):
        graph.node.add(name=name, op=op, input=inputs).attr["T"].type = messages.DataType.DT_FLOAT
    return graph


def write_checkpoint(prefix: str) -> None:
    """Write a checkpoint of TensorFlow 1 with its graph beside it."""
    Path(prefix).parent.mkdir(exist_ok=True)
    write_bundle(prefix, TENSORS)
    meta = messages.MetaGraphDef(graph_def=graph_def())
    meta.meta_info_def.tensorflow_version = "1.15.0"
    Path(f"{prefix}.meta").write_bytes(meta.SerializeToString())


def write_records() -> None:
    """Write records of images, in one file and in 16."""
    record = frame(examples.example(**{"image/label": examples.integers(3), "id": examples.integers(7)}))
    Path("train.tfrecord").write_bytes(record * 10)
    for shard in range(16):
        Path(f"train-{shard:05d}-of-00016").write_bytes(record)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a training run, SavedModels, graphs, plans and records."""
    monkeypatch.chdir(tmp_path)
    for prefix in ("training/model.ckpt-1000", "other-run/model.ckpt-1000", "other/ckpt-7"):
        write_checkpoint(prefix)
    for file in (golden.GOLDEN / "saver").glob("model.ckpt-20.*"):
        shutil.copy(file, file.name.replace("-20.", "-1000."))
    write_checkpoint("bert_model.ckpt")
    for name in ("encoder", "head"):
        write_bundle(f"{name}.ckpt", {f"{name}/kernel": TENSORS["dense/kernel"]})
    for target in ("saved_model", "export", "training/export/1700000000"):
        shutil.copytree(golden.GOLDEN / "saved_model" / "model", target)
    for graph in ("graph.pbtxt", "training/graph.pbtxt", "frozen.pb"):
        ckptfmt.Graph(graph_def()).write(graph)
    events = [VERSION, *(scalar(tag, 1 / step, step) for tag in ("loss", "train/loss") for step in (1, 2, 3))]
    write_events(Path("training/events.out.tfevents.1700000000.host"), events)
    Path("logs").mkdir()
    shutil.copy(next((EVENTS / "tf1").iterdir()), "logs/events.out.tfevents.1700000000.host")
    Path("to_flax.toml").write_text(PLAN, encoding="utf-8")
    write_records()
    return tmp_path


@pytest.mark.parametrize("line", commands())
def test_examples_run(line: str, folder: Path) -> None:
    name, *args = shlex.split(line)
    assert name == "ckptfmt"
    if args[0] == "records" and args[1] == "training/":
        shutil.rmtree("training")
        Path("training").mkdir()
        shutil.move("train.tfrecord", "training")
    if "--plot" in args and find_spec("matplotlib") is None:
        pytest.skip("matplotlib is not installed")
    if args[-1].endswith(".parquet") and find_spec("pyarrow") is None:
        pytest.skip("pyarrow is not installed")
    if "svg" in args and shutil.which("dot") is None:
        pytest.skip("Graphviz is not installed")
    if "--follow" in args:
        args += ["--timeout", "0.1"]
    if "model.safetensors" in args:
        safetensors = pytest.importorskip("safetensors.numpy")
        safetensors.save_file(TENSORS, "model.safetensors")
    if "-o" in args and args[args.index("-o") + 1] == "frozen.pb":
        Path("frozen.pb").unlink()
    result = run(*args)
    assert result.exit_code == 0, result.stderr
    made = [each for each in args if each.startswith(("frozen.", "averaged.", "part.", "run.", "curves."))]
    assert all(Path(each).is_file() for each in made)
    # A comparison that finds no difference, and what writes a file, only say so on stderr.
    assert result.stdout or result.stderr
