"""Targets: which format a conversion writes, judging by the name of the target, and the sink of each."""

from __future__ import annotations

import importlib
import os
import re
from typing import NamedTuple

from ckptfmt.converting.sinks.sink import Sink
from ckptfmt.storage.filesystem import Filesystem
from ckptfmt.text.closest import closest_names, did_you_mean


class Target(NamedTuple):
    """A format that is written."""

    what: str
    """What it is, in a few words, for help texts."""
    suffixes: tuple[str, ...]
    """The ends of target names that choose it."""
    sink: str
    """The class that writes it, ``module:class``, loaded when it is used."""
    name: str = ""
    """The name that its file gets in a directory; empty if it is a directory itself."""
    reads_back: bool = True
    """Whether it keeps dtypes and values, so that it can be compared with its source."""
    has_shards: bool = False
    """Whether it may be shared among several files, of up to ``max_shard_bytes`` each."""
    compressions: tuple[str, ...] = ("none",)
    """The compressions that it may have, the default first."""
    keeps_objects: bool = False
    """Whether it keeps the objects of TensorFlow, which are found by the names that are stored."""
    advice: str = "pass cast= or exclude="
    """What to do about tensors that it cannot hold, in the words of :class:`ConversionError`."""


TARGETS = {
    "safetensors": Target(
        "safetensors, one file or shards",
        (".safetensors", ".safetensors.index.json"),
        "ckptfmt.converting.sinks.safetensors.sink:SafetensorsSink",
        "model.safetensors",
        has_shards=True,
    ),
    "torch": Target(
        "PyTorch's file of a state_dict (.pt)",
        (".pt", ".pth", ".bin"),
        "ckptfmt.converting.sinks.torch:TorchSink",
        "model.pt",
    ),
    "npz": Target(
        "NumPy's archive of arrays (.npz)",
        (".npz",),
        "ckptfmt.converting.sinks.npz:NpzSink",
        "model.npz",
        compressions=("none", "deflate"),
    ),
    "hdf5": Target(
        "HDF5, a dataset for each tensor",
        (".h5", ".hdf5"),
        "ckptfmt.converting.sinks.hdf5.sink:HDF5Sink",
        "model.h5",
        compressions=("none", "gzip", "lzf"),
    ),
    "keras": Target(
        "a model of Keras 3 (.keras), from one of Keras",
        (".keras",),
        "ckptfmt.converting.sinks.keras.archive:KerasArchiveSink",
        "model.keras",
    ),
    "keras-weights": Target(
        "weights of a model of Keras 3 (.weights.h5)",
        (".weights.h5",),
        "ckptfmt.converting.sinks.keras.weights:KerasWeightsSink",
        "model.weights.h5",
    ),
    "zarr": Target(
        "zarr version 3, a directory of compressed chunks",
        (".zarr",),
        "ckptfmt.converting.sinks.zarr.sink:ZarrSink",
        compressions=("zstd", "gzip", "blosc", "none"),
    ),
    "reference": Target(
        "a Kerchunk reference file, by which zarr, xarray and Dask read the data files in place",
        (".kerchunk.json", ".json"),
        "ckptfmt.converting.sinks.reference.sink:ReferenceSink",
        "model.kerchunk.json",
    ),
    "msgpack": Target(
        "a nested tree of arrays, as flax.serialization reads it (.msgpack)",
        (".msgpack",),
        "ckptfmt.converting.sinks.msgpack:MsgpackSink",
        "model.msgpack",
    ),
    "orbax": Target(
        "a directory of Orbax, a nested tree of arrays for JAX",
        (".orbax",),
        "ckptfmt.converting.sinks.orbax:OrbaxSink",
        compressions=("zstd",),
    ),
    "checkpoint": Target(
        "a checkpoint of TensorFlow",
        (".ckpt", ".index"),
        "ckptfmt.converting.sinks.checkpoint:CheckpointSink",
        "model.ckpt",
        has_shards=True,
        keeps_objects=True,
    ),
    "projector": Target(
        "TensorBoard's embedding projector, with tables as text",
        ("projector",),
        "ckptfmt.converting.sinks.projector:ProjectorSink",
        reads_back=False,
        advice="pass select= with the matrices to show",
    ),
    "projector-bytes": Target(
        "TensorBoard's embedding projector, with tables as float32",
        (),
        "ckptfmt.converting.sinks.projector:ProjectorBytesSink",
        reads_back=False,
        advice="pass select= with the matrices to show, and cast= if they are not float32",
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
    # TensorFlow's names of checkpoints may end in the step: model.ckpt-1000.
    name = re.sub(r"\.ckpt-[0-9]+$", ".ckpt", os.path.basename(path.rstrip("/" + os.sep)).lower())
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


def load_sink(format: str, *arguments: object) -> Sink:  # noqa: A002
    """Return the sink of a format; those of Keras take what is known of the model."""
    module, _, name = TARGETS[format].sink.partition(":")
    sink: Sink = getattr(importlib.import_module(module), name)(*arguments)
    return sink
