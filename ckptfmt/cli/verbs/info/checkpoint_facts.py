"""What the index of a checkpoint tells about it: its parts, its data files, its step, who wrote it."""

from __future__ import annotations

import os
from collections import Counter
from contextlib import closing, suppress
from math import prod
from typing import Any

from ckptfmt import Checkpoint, Tensors, errors
from ckptfmt.cli.failures import message_of
from ckptfmt.filenames import V1_PATTERN_SUFFIX, meta_path
from ckptfmt.object_graph.keys import OBJECT_GRAPH_KEY
from ckptfmt.storage.local import LOCAL
from ckptfmt.tensors.model_variables import OPTIMIZER
from ckptfmt.tensors.scope_variables import AVERAGED, SLOT
from ckptfmt.tensors.weights import WeightName
from ckptfmt.wire.fields import LENGTH_DELIMITED, decode_fields

META_INFO, TENSORFLOW_VERSION = 1, 5
"""Fields of a MetaGraphDef, and of the MetaInfoDef in it."""

MAX_SHARDS = 10_000
"""Data files whose existence is checked if tensors are stored in slices."""

SIZES_FIT = "sizes fit"


def kind_of(checkpoint: Checkpoint) -> str:
    """Return what a checkpoint is, in words."""
    made_of = "objects" if OBJECT_GRAPH_KEY in checkpoint else "names"
    return f"TensorFlow checkpoint, {checkpoint.format.upper()}, of {made_of}"


def describe_checkpoint(checkpoint: Checkpoint) -> dict[str, Any]:
    """Return the facts of a checkpoint; of its data files only sizes are looked at."""
    parts: dict[str, Counter[str]] = {
        key: Counter() for key in ("all", "model", "optimizer", "averages", "rest")
    }
    dtypes: Counter[str] = Counter()
    ends: dict[int, int] = {}
    has_slices = False
    rows, problem = _rules(checkpoint)
    for name, entry in checkpoint.entries.items():
        row = rows.get(name)
        numbers = prod(entry.shape) if entry.dtype.itemsize is not None else 0
        counted = {"tensors": 1, "parameters": numbers, "bytes": entry.nbytes}
        parts["all"].update(counted)
        if row is not None:
            parts["model" if row.name is not None else _PARTS.get(row.rule, "rest")].update(counted)
        dtypes[entry.dtype.name] += 1
        if entry.slices:
            has_slices = True
        elif entry.shard is not None and entry.offset is not None:
            ends[entry.shard] = max(ends.get(entry.shard, 0), entry.offset + entry.nbytes)
    if has_slices:
        # Any data file may have slices; to look each of them up in the index would take long.
        ends = dict.fromkeys(range(min(checkpoint.num_shards, MAX_SHARDS)), 0) | ends
    missing, state = _data_files(checkpoint, ends)
    if problem is not None and not missing:
        state = message_of(problem)
    verified = "names, dtypes and shapes verified"
    return {
        "prefix": checkpoint.prefix,
        "format": checkpoint.format,
        "written_by": _writer(checkpoint.prefix),
        "step": _step(checkpoint),
        **{
            key: {what: part[what] for what in ("tensors", "parameters", "bytes")}
            for key, part in parts.items()
        },
        "dtypes": dict(dtypes.most_common()),
        "shards": checkpoint.num_shards,
        "missing": missing,
        "complete": problem is None and state in (SIZES_FIT, ""),
        "integrity": "; ".join(filter(None, (verified, state, "tensors not checked"))),
    }


def describe_tensors(tensors: Tensors) -> dict[str, Any]:
    """Return the facts of a file of another program, which says nothing of optimizers and data files."""
    counted: Counter[str] = Counter()
    dtypes: Counter[str] = Counter()
    for entry in tensors.entries.values():
        numbers = prod(entry.shape) if entry.dtype.itemsize is not None else 0
        counted.update({"tensors": 1, "parameters": numbers, "bytes": entry.nbytes})
        dtypes[entry.dtype.name] += 1
    return {
        "prefix": tensors.prefix,
        "format": tensors.format,
        "all": {what: counted[what] for what in ("tensors", "parameters", "bytes")},
        "dtypes": dict(dtypes.most_common()),
    }


def _rules(checkpoint: Checkpoint) -> tuple[dict[str, WeightName], errors.CkptfmtError | None]:
    """Return the rule that each tensor falls under; if the object graph cannot be read, why."""
    try:
        return {row.stored: row for row in checkpoint.weights.explain()}, None
    except errors.CkptfmtError as error:
        return {}, error


_PARTS = {SLOT: "optimizer", OPTIMIZER: "optimizer", AVERAGED: "averages"}
"""What a tensor is part of that is not a weight, by the rule that decided this."""


def _data_files(checkpoint: Checkpoint, ends: dict[int, int]) -> tuple[list[str], str]:
    """Return the data files that do not exist, and what their sizes tell."""
    if checkpoint.format == "v1":
        return [], ""  # the tables are the files
    missing, short = [], []
    for shard, end in sorted(ends.items()):
        path = checkpoint.shard_path(shard)
        status = LOCAL.status(path)
        if status is None:
            missing.append(path)
        elif status.size < end:
            short.append(f"{os.path.basename(path)} is too short: got {status.size:,} bytes, want {end:,}")
    return missing, "data files are missing" if missing else short[0] if short else SIZES_FIT


def _step(checkpoint: Checkpoint) -> int | None:
    """Return the step of training that a checkpoint is of, as far as it says."""
    for name in checkpoint:
        last = name.partition("/.ATTRIBUTES/")[0].rpartition("/")[2].removesuffix(":0")
        if last in ("global_step", "iter", "_iterations"):
            with suppress(errors.CkptfmtError):
                entry = checkpoint.entries[name]
                if not entry.shape and entry.dtype.is_integer:
                    return int(checkpoint[name])
    if OBJECT_GRAPH_KEY in checkpoint:
        return None  # tf.train.Checkpoint and its manager number saves, not steps
    number = V1_PATTERN_SUFFIX.sub("", checkpoint.prefix).rpartition("-")[2]
    return int(number) if number.isascii() and number.isdigit() and len(number) < 19 else None


def _writer(prefix: str) -> str | None:
    """Return the version of TensorFlow that wrote the graph beside a checkpoint."""
    with suppress(errors.CkptfmtError), closing(LOCAL.open(meta_path(prefix))) as file:
        for info in decode_fields(file.read(0, file.size)):
            if (info.number, info.wire_type) == (META_INFO, LENGTH_DELIMITED):
                for field in decode_fields(info.content):
                    if field.number == TENSORFLOW_VERSION and field.content:
                        return f"TensorFlow {bytes(field.content).decode(errors='replace')}"
    return None
