"""What a path leads to, as the JSON document of ``ckptfmt info``; its text is made from that."""

from __future__ import annotations

import itertools
import os
import re
import shlex
from collections import Counter
from contextlib import closing, suppress
from math import prod
from typing import Any

import ckptfmt
from ckptfmt import Checkpoint, SavedModel, errors
from ckptfmt.checkpoint.directory import Directories
from ckptfmt.checkpoint.scan import scan
from ckptfmt.cli.failures import message_of
from ckptfmt.filenames import META_SUFFIX, SAVED_MODEL_FILES
from ckptfmt.filetype.kind import Holds
from ckptfmt.filetype.paths import recognise_path
from ckptfmt.graph.read.logged import find_event_files
from ckptfmt.limits import Limits
from ckptfmt.object_graph.keys import OBJECT_GRAPH_KEY
from ckptfmt.storage.local import LOCAL
from ckptfmt.tensors.model_variables import OPTIMIZER
from ckptfmt.tensors.scope_variables import AVERAGED, SLOT
from ckptfmt.tensors.weights import WeightName
from ckptfmt.wire.fields import LENGTH_DELIMITED, decode_fields

MAX_LISTED = 20
"""Names that the document has of each kind."""

META_INFO, TENSORFLOW_VERSION = 1, 5
"""Fields of a MetaGraphDef, and of the MetaInfoDef in it."""


def describe_path(path: str, limits: Limits) -> dict[str, Any]:
    """Return the document. Raises the errors of :func:`ckptfmt.open` for what cannot be opened."""
    kind = recognise_path(LOCAL, path)
    holds = kind.holds if kind is not None else None
    if holds is Holds.SAVED_MODEL:
        return _describe_model(path, limits)
    if holds is Holds.EVENTS or (holds is not Holds.CHECKPOINT and _has_runs(path)):
        return _describe_events(path, limits)
    if holds is Holds.GRAPH:
        return _describe_graph(path, limits)
    if holds is Holds.RECORDS or (kind is None and _SHARDED.search(path)):
        return _describe_records(path, limits)
    # Everything else leads to a checkpoint, a .meta file too, or the error says what it is instead.
    try:
        checkpoint = ckptfmt.open(path, limits=limits)
    except errors.CkptfmtError:
        if holds is Holds.META_GRAPH:
            return _describe_graph(path, limits)
        if _has_records(path, limits):
            return _describe_records(path, limits)
        raise
    with checkpoint:
        document = {"path": path, "kind": _kind_of(checkpoint), **_describe_checkpoint(checkpoint)}
    return document | {"beside": _beside(document["prefix"]), "next": _next(path, "ls", "tree", "verify")}


_SHARDED = re.compile(r"@(?:[0-9]+|\*)$")
"""The end of a name that stands for the shards of a file of records."""


def _has_runs(path: str) -> bool:
    return LOCAL.path_type(path) == "directory" and bool(ckptfmt.find_runs(path))


def _has_records(path: str, limits: Limits) -> bool:
    """Whether a file begins with a record once it is decompressed, which its first bytes do not tell."""
    with suppress(errors.CkptfmtError):
        return any(True for _ in ckptfmt.open_records(path, limits=limits))
    return False


def _next(path: str, *verbs: str) -> list[str]:
    """Return commands to try."""
    first, *rest = verbs
    return [f"ckptfmt {verb} {shlex.quote(path)}" for verb in (first, *rest)]


# --- checkpoints -------------------------------------------------------------------------------------------


def _kind_of(checkpoint: Checkpoint) -> str:
    made_of = "objects" if OBJECT_GRAPH_KEY in checkpoint else "names"
    return f"TensorFlow checkpoint, {checkpoint.format.upper()}, of {made_of}"


def _describe_checkpoint(checkpoint: Checkpoint) -> dict[str, Any]:
    """Return the facts of a checkpoint; of its data files only sizes are looked at."""
    parts: dict[str, Counter[str]] = {
        key: Counter() for key in ("all", "model", "optimizer", "averages", "rest")
    }
    dtypes: Counter[str] = Counter()
    ends: dict[int, int] = {}
    rows, problem = _rules(checkpoint)
    for name, entry in checkpoint.entries.items():
        row = rows.get(name)
        key = "all" if row is None else "model" if row.name is not None else _PARTS.get(row.rule, "rest")
        numbers = prod(entry.shape) if entry.dtype.itemsize is not None else 0
        parts[key].update(tensors=1, parameters=numbers, bytes=entry.nbytes)
        dtypes[entry.dtype.name] += 1
        if entry.shard is not None and entry.offset is not None:
            ends[entry.shard] = max(ends.get(entry.shard, 0), entry.offset + entry.nbytes)
    missing, short = _data_files(checkpoint, ends)
    state = "data files are missing" if missing else "a data file is too short" if short else "sizes fit"
    if problem is not None and not missing:
        state = message_of(problem)
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
        "integrity": f"names, dtypes and shapes verified; {state}; tensors not checked",
    }


def _rules(checkpoint: Checkpoint) -> tuple[dict[str, WeightName], errors.CkptfmtError | None]:
    """Return the rule that each tensor falls under; if the object graph cannot be read, why."""
    try:
        return {row.stored: row for row in checkpoint.weights.explain()}, None
    except errors.CkptfmtError as error:
        return {}, error


_PARTS = {SLOT: "optimizer", OPTIMIZER: "optimizer", AVERAGED: "averages"}
"""What a tensor is part of that is not a weight, by the rule that decided this."""


def _data_files(checkpoint: Checkpoint, ends: dict[int, int]) -> tuple[list[str], bool]:
    """Return the data files that do not exist, and whether any is shorter than its tensors."""
    if checkpoint.format == "v1":
        return [], False  # the tables are the files
    missing, short = [], False
    for shard, end in sorted(ends.items()):
        path = checkpoint.shard_path(shard)
        status = LOCAL.status(path)
        if status is None:
            missing.append(path)
        else:
            short |= status.size < end
    return missing, short


def _step(checkpoint: Checkpoint) -> int | None:
    """Return the step of training that a checkpoint is of, as far as it says."""
    for name in checkpoint:
        last = name.partition("/.ATTRIBUTES/")[0].rpartition("/")[2].removesuffix(":0")
        if last in ("global_step", "iter", "_iterations"):
            with suppress(errors.CkptfmtError):
                entry = checkpoint.entries[name]
                if not entry.shape and entry.dtype.is_integer:
                    return int(checkpoint[name])
    number = checkpoint.prefix.rpartition("-")[2]
    return int(number) if number.isascii() and number.isdigit() and len(number) < 19 else None


def _writer(prefix: str) -> str | None:
    """Return the version of TensorFlow that wrote the graph beside a checkpoint."""
    with suppress(errors.CkptfmtError), closing(LOCAL.open(prefix + META_SUFFIX)) as file:
        for info in decode_fields(file.read(0, file.size)):
            if (info.number, info.wire_type) == (META_INFO, LENGTH_DELIMITED):
                for field in decode_fields(info.content):
                    if field.number == TENSORFLOW_VERSION:
                        return f"TensorFlow {bytes(field.content).decode(errors='replace')}"
    return None


def _beside(prefix: str) -> list[str]:
    """Return the other checkpoints of a directory, and what else it has that this package reads."""
    folder = os.path.dirname(prefix)
    found = [each for each in scan(Directories(LOCAL), folder).prefixes if each != prefix]
    for name in LOCAL.list_directory(folder or os.curdir).files:
        path = os.path.join(folder, name)
        if path == prefix + META_SUFFIX or name in ("graph.pbtxt", "checkpoint", *SAVED_MODEL_FILES):
            found.append(path)
    found += find_event_files(folder or os.curdir, LOCAL)
    return [os.path.relpath(path, folder or os.curdir) for path in itertools.islice(found, MAX_LISTED)]


# --- everything else ---------------------------------------------------------------------------------------


def _describe_model(path: str, limits: Limits) -> dict[str, Any]:
    with ckptfmt.open_saved_model(path, limits=limits) as model:
        return {
            "path": path,
            "kind": "SavedModel",
            **_variables_of(model),
            "written_by": f"TensorFlow {model.meta_graphs[0].tensorflow_version}"
            if model.meta_graphs
            else None,
            "signatures": sorted({name for meta in model.meta_graphs for name in meta.signatures}),
            "assets": len(model.assets) if len(model.meta_graphs) == 1 else None,
            "next": _next(path, "model", "ls", "verify", "graph"),
        }


def _variables_of(model: SavedModel) -> dict[str, Any]:
    return {} if model.checkpoint is None else _describe_checkpoint(model.checkpoint)


def _describe_graph(path: str, limits: Limits) -> dict[str, Any]:
    graph = ckptfmt.read_graph(path, limits=limits)
    sizes = [graph.constants.entry(name).nbytes for name in graph.constants]
    return {
        "path": path,
        "kind": "graph",
        "nodes": sum(graph.ops.values()),
        "functions": len(graph.functions),
        "inputs": [node.name for node in graph.inputs],
        "outputs": [node.name for node in graph.outputs],
        "constants": {"count": len(sizes), "bytes": sum(sizes)},
        "next": [f"ckptfmt graph {shlex.quote(path)}", f"ckptfmt graph {shlex.quote(path)} --nodes '*'"],
    }


def _describe_events(path: str, limits: Limits) -> dict[str, Any]:
    runs = list(ckptfmt.find_runs(path).values())
    tags: set[str] = set()
    last = -1
    files = 0
    for run in runs[:MAX_LISTED]:
        with ckptfmt.open_events(run, limits=limits) as events:
            tags.update(events.tags)
            files += len(events.files)
            last = max(
                [last, *(int(scalars.steps[-1]) for scalars in events.scalars.values() if len(scalars))]
            )
    return {
        "path": path,
        "kind": "TensorBoard events",
        "runs": len(runs),
        "files": files,
        "tags": sorted(tags),
        "last_step": last if last >= 0 else None,
        "next": [*_next(path, "events"), f"ckptfmt events {shlex.quote(path)} --plot"],
    }


def _describe_records(path: str, limits: Limits) -> dict[str, Any]:
    # Records are not counted: that would read the files whole.
    files = ckptfmt.open_records(path, limits=limits).files
    sizes = [status.size for file in files if (status := LOCAL.status(file)) is not None]
    return {
        "path": path,
        "kind": "TFRecord file" if len(files) == 1 else "TFRecord files",
        "files": len(files),
        "bytes": sum(sizes),
        "next": _next(path, "records"),
    }
