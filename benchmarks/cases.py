"""What is timed: for each case, the same job done by each library.

A function gets the folder of inputs and does the whole job, opening included. Every array is touched only as
far as the library itself touches it, except where the docstring says otherwise.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from ckptfmt import Checkpoint

Job: TypeAlias = Callable[[Path], object]


@dataclass(frozen=True)
class Prepared:
    """A job that begins with something made ready before every run, which is not timed."""

    ready: Callable[[Path], Any]
    job: Callable[[Any], object]


MIDDLE = "model/layer_{}/block_50/kernel/.ATTRIBUTES/VARIABLE_VALUE"


def _middle(inputs: Path) -> str:
    """A name in the middle of ``many``."""
    import json

    count = json.loads((inputs / "sizes.json").read_text())["many_tensors"]
    return MIDDLE.format(count // 200)


# --- ckptfmt ----------------------------------------------------------------------------------------------


def ckptfmt_large_views(inputs: Path) -> object:
    import ckptfmt

    return ckptfmt.open(inputs / "large").read()


def ckptfmt_large_views_one_thread(inputs: Path) -> object:
    import ckptfmt

    return ckptfmt.open(inputs / "large").read(threads=1)


def ckptfmt_large_copies(inputs: Path) -> object:
    import ckptfmt

    return ckptfmt.open(inputs / "large").read(copy=True)


def ckptfmt_large_verify(inputs: Path) -> object:
    import ckptfmt

    return ckptfmt.open(inputs / "large").verify()


def ckptfmt_many_list(inputs: Path) -> object:
    import ckptfmt

    return {name: entry.shape for name, entry in ckptfmt.open(inputs / "many").entries.items()}


def ckptfmt_many_lookup(inputs: Path) -> object:
    import ckptfmt

    return ckptfmt.open(inputs / "many")[_middle(inputs)]


def ckptfmt_many_read(inputs: Path) -> object:
    import ckptfmt

    return ckptfmt.open(inputs / "many").read()


def ckptfmt_objects_tree(inputs: Path) -> object:
    import ckptfmt

    graph = ckptfmt.open(inputs / "objects").object_graph
    assert graph is not None
    return [node.id for node in graph]


def _listed(path: Path) -> Checkpoint:
    """A checkpoint that is open and has been listed, with its object graph where it has one."""
    import ckptfmt

    checkpoint = ckptfmt.open(path)
    list(checkpoint)
    assert (checkpoint.object_graph is None) == (path.name == "many")
    return checkpoint


def _view(make: Callable[[Checkpoint], Iterable[str]], name: str = "many") -> Prepared:
    """The job of listing through a view what is open and listed already."""
    return Prepared(lambda inputs: _listed(inputs / name), lambda ckpt: list(make(ckpt)))


def _planned(ckpt: Checkpoint) -> Iterable[str]:
    from ckptfmt import parse_plan

    return ckpt.apply(parse_plan(PLAN))


# --- TensorFlow -------------------------------------------------------------------------------------------


def tensorflow_large_views(inputs: Path) -> object:
    import tensorflow as tf

    reader = tf.train.load_checkpoint(str(inputs / "large"))
    return [reader.get_tensor(name) for name in reader.get_variable_to_shape_map()]


def tensorflow_many_list(inputs: Path) -> object:
    import tensorflow as tf

    return tf.train.load_checkpoint(str(inputs / "many")).get_variable_to_shape_map()


def tensorflow_objects_tree(inputs: Path) -> object:
    import tensorflow as tf

    return tf.train.CheckpointView(str(inputs / "objects")).descendants()


def tensorflow_many_lookup(inputs: Path) -> object:
    import tensorflow as tf

    return tf.train.load_checkpoint(str(inputs / "many")).get_tensor(_middle(inputs))


def tensorflow_many_read(inputs: Path) -> object:
    import tensorflow as tf

    reader = tf.train.load_checkpoint(str(inputs / "many"))
    return [reader.get_tensor(name) for name in reader.get_variable_to_shape_map()]


# --- safetensors, which has no checksums ------------------------------------------------------------------


def safetensors_large_views(inputs: Path) -> object:
    from safetensors.numpy import load_file

    return load_file(inputs / "large.safetensors")


def safetensors_many_list(inputs: Path) -> object:
    from safetensors import safe_open

    with safe_open(inputs / "many.safetensors", "numpy") as file:
        return {name: file.get_slice(name).get_shape() for name in file.keys()}  # noqa: SIM118


def safetensors_many_lookup(inputs: Path) -> object:
    from safetensors import safe_open

    with safe_open(inputs / "many.safetensors", "numpy") as file:
        return file.get_tensor(_middle(inputs))


def safetensors_many_read(inputs: Path) -> object:
    from safetensors.numpy import load_file

    return load_file(inputs / "many.safetensors")


# --- the table --------------------------------------------------------------------------------------------

PLAN = r"""
version = 1
[[step]]
drop = '^model/layer_1/'
[[step]]
rename = '^model/layer_(\d+)/'
to = 'encoder/\1/'
"""

VIEWS: dict[str, Callable[[Checkpoint], Iterable[str]]] = {
    "renamed by rules": lambda ckpt: ckpt.renamed([(r"^model/layer_(\d+)/", r"encoder/\1/")]),
    "renamed by a mapping": lambda ckpt: ckpt.renamed({f"new/{name}": name for name in ckpt}),
    "select": lambda ckpt: ckpt.select("model/*", exclude="*/bias/*"),
    "ema": lambda ckpt: ckpt.ema(),
    "model_variables": lambda ckpt: ckpt.model_variables(),
    "a plan": _planned,
}
OBJECT_VIEWS: dict[str, Callable[[Checkpoint], Iterable[str]]] = {
    "by_object_path": lambda ckpt: ckpt.by_object_path(),
    "by_full_name": lambda ckpt: ckpt.by_full_name(),
    "model_variables": lambda ckpt: ckpt.model_variables(),
}

IN_PROCESS: dict[str, dict[str, Job | Prepared]] = {
    "large: read as verified views": {
        "ckptfmt": ckptfmt_large_views,
        "ckptfmt, one thread": ckptfmt_large_views_one_thread,
        "tensorflow": tensorflow_large_views,
        "safetensors": safetensors_large_views,
    },
    "large: read as verified copies": {
        "ckptfmt": ckptfmt_large_copies,
        "tensorflow": tensorflow_large_views,
        "safetensors": safetensors_large_views,
    },
    "large: verify": {"ckptfmt": ckptfmt_large_verify},
    "many: open and list with shapes": {
        "ckptfmt": ckptfmt_many_list,
        "tensorflow": tensorflow_many_list,
        "safetensors": safetensors_many_list,
    },
    "many: open and look one up": {
        "ckptfmt": ckptfmt_many_lookup,
        "tensorflow": tensorflow_many_lookup,
        "safetensors": safetensors_many_lookup,
    },
    "objects: open and build the tree": {
        "ckptfmt": ckptfmt_objects_tree,
        "tensorflow": tensorflow_objects_tree,
    },
    **{
        f"many: names through {view}, against opening and listing": {
            "ckptfmt": _view(make),
            "ckptfmt, opening": ckptfmt_many_list,
            "tensorflow": tensorflow_many_list,
        }
        for view, make in VIEWS.items()
    },
    **{
        f"objects: names through {view}, against opening and listing": {
            "ckptfmt": _view(make, "objects"),
            "ckptfmt, opening": ckptfmt_objects_tree,
            "tensorflow": tensorflow_objects_tree,
        }
        for view, make in OBJECT_VIEWS.items()
    },
    "many: read all": {
        "ckptfmt": ckptfmt_many_read,
        "tensorflow": tensorflow_many_read,
        "safetensors": safetensors_many_read,
    },
}
"""Case -> library -> job, timed in a process that has the library imported and the files in the cache."""

_NAME = "optimizer/_trainable_variables/2/.ATTRIBUTES/VARIABLE_VALUE"

PROCESSES: dict[str, dict[str, list[str]]] = {
    "process start to first tensor of a small checkpoint": {
        "ckptfmt": [
            sys.executable,
            "-c",
            f"import ckptfmt; ckptfmt.open('examples/digits')['{_NAME}']",
        ],
        "tensorflow": [
            sys.executable,
            "-c",
            f"import tensorflow as tf; tf.train.load_checkpoint('examples/digits').get_tensor('{_NAME}')",
        ],
    },
    "list a small checkpoint from the shell": {
        "ckptfmt": [sys.executable, "-m", "ckptfmt", "ls", "examples/digits"],
        "tensorflow": [
            sys.executable,
            "-c",
            "import tensorflow as tf\n"
            "for name, shape in tf.train.list_variables('examples/digits'): print(name, shape)",
        ],
    },
    "import": {
        "ckptfmt": [sys.executable, "-c", "import ckptfmt"],
        "its dependencies": [
            sys.executable,
            "-c",
            "import numpy, google.protobuf.message, crc32c, ml_dtypes",
        ],
        "tensorflow": [sys.executable, "-c", "import tensorflow"],
        "nothing": [sys.executable, "-c", ""],
    },
}
"""Case -> library -> command, timed as a whole process."""
