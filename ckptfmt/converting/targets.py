"""Targets: which format a conversion writes, going by the name of the target, and the sink of each."""

from __future__ import annotations

import importlib
import os
from typing import NamedTuple

from ckptfmt.converting.sinks.sink import Sink
from ckptfmt.storage.filesystem import Filesystem
from ckptfmt.text.closest import closest_names, did_you_mean


class Target(NamedTuple):
    """A format that is written."""

    what: str
    """What it is, in a few words, for help texts."""
    suffixes: tuple[str, ...]
    """The ends of names by which it is chosen."""
    sink: str
    """The class that writes it, ``module:class``, loaded when it is used."""
    name: str = ""
    """The name that its file gets in a directory; empty if it is a directory itself."""
    keeps_objects: bool = False
    """Whether it keeps the objects of TensorFlow, which are found by the names that are stored."""


TARGETS = {
    "hdf5": Target(
        "HDF5, a dataset for each tensor",
        (".h5", ".hdf5"),
        "ckptfmt.converting.sinks.hdf5:HDF5Sink",
        "model.h5",
    ),
    "npz": Target(
        "NumPy's archive of arrays (.npz)",
        (".npz",),
        "ckptfmt.converting.sinks.npz:NpzSink",
    ),
    "projector": Target(
        "TensorBoard's embedding projector, with tables as text",
        ("projector",),
        "ckptfmt.converting.sinks.projector:ProjectorSink",
    ),
    "projector-bytes": Target(
        "TensorBoard's embedding projector, with tables as float32",
        (),
        "ckptfmt.converting.sinks.projector:ProjectorBytesSink",
    ),
    "safetensors": Target(
        "safetensors, one file or shards",
        (".safetensors", ".safetensors.index.json"),
        "ckptfmt.converting.sinks.safetensors:SafetensorsSink",
        "model.safetensors",
    ),
    "checkpoint": Target(
        "a checkpoint of TensorFlow",
        (".ckpt", ".index"),
        "ckptfmt.converting.sinks.checkpoint:CheckpointSink",
        "model.ckpt",
        keeps_objects=True,
    ),
    "torch": Target(
        "PyTorch's file of a state_dict (.pt)",
        (".pt", ".pth", ".bin"),
        "ckptfmt.converting.sinks.torch:TorchSink",
    ),
    "zarr": Target(
        "zarr version 3, a directory of compressed chunks",
        (".zarr",),
        "ckptfmt.converting.sinks.zarr:ZarrSink",
    ),
}
"""All formats by the names that ``--to`` takes."""


def target_format(path: str, to: str | None) -> str:
    """Return the format of a target: ``to``, or what the name of the target says.

    Raises ValueError if neither says it.
    """
    if to is not None:
        if to not in TARGETS:
            raise ValueError(
                f"to: got {to!r}, want one of {', '.join(TARGETS)}{did_you_mean(closest_names(to, TARGETS))}"
            )
        return to
    name = os.path.basename(path.rstrip("/" + os.sep)).lower()
    # The longest first: ".weights.h5" before ".h5".
    endings = sorted(
        ((suffix, key) for key, target in TARGETS.items() for suffix in target.suffixes),
        key=lambda each: -len(each[0]),
    )
    for suffix, key in endings:
        if name.endswith(suffix):
            return key
    raise ValueError(
        f"target {path!r}: its name does not say which format to write; pass to= one of {', '.join(TARGETS)}"
    )


def target_path(fs: Filesystem, path: str, format: str) -> str:  # noqa: A002
    """Return the path of a target: in a directory, the file has its usual name."""
    name = TARGETS[format].name
    if name and (path.endswith(("/", os.sep)) or fs.path_type(path) == "directory"):
        return os.path.join(path, name)
    return path


def load_sink(format: str) -> Sink:  # noqa: A002
    """Return the sink of a format."""
    module, _, name = TARGETS[format].sink.partition(":")
    sink: Sink = getattr(importlib.import_module(module), name)()
    return sink
