"""What a path leads to, as the JSON document of ``ckptfmt info``; its text is made from that."""

from __future__ import annotations

import os
import re
import shlex
from contextlib import suppress
from typing import Any

import ckptfmt
from ckptfmt import Checkpoint, SavedModel, errors
from ckptfmt.cli.render.text import count_text, escape
from ckptfmt.cli.verbs.info.checkpoint_facts import describe_checkpoint, describe_tensors, kind_of
from ckptfmt.cli.verbs.info.folder import (
    CHECKPOINT,
    EVENTS,
    GRAPH,
    MODEL,
    RECORDS,
    beside,
    contents,
)
from ckptfmt.converting.sources.safetensors.index import INDEX_SUFFIX
from ckptfmt.filenames import STATE_FILE
from ckptfmt.filetype.kind import Holds
from ckptfmt.filetype.paths import recognise_path
from ckptfmt.limits import Limits
from ckptfmt.record.event_names import event_files, is_event_file
from ckptfmt.storage.local import LOCAL

MAX_LISTED = 20
"""Names that the document has of each kind."""

MAX_NODES = 100_000
"""Nodes of a graph up to which its outputs are looked for, which takes a second."""

MAX_RUNS = 100
"""Runs of events that are read."""

MAX_EVENT_BYTES = 256 << 20
"""Bytes of event files that are read, which takes about a second; there may be any number of runs."""

_SHARDED = re.compile(r"@(?:[0-9]+|\*)$")
"""The end of a name that stands for the shards of a file of records."""

_ORDER = (CHECKPOINT, MODEL, GRAPH, EVENTS, RECORDS)

_VERBS = {EVENTS: "events", GRAPH: "graph", RECORDS: "records", MODEL: "model"}
"""The verb that shows more of what is not a checkpoint."""


def describe_path(path: str, limits: Limits) -> dict[str, Any]:
    """Return the document. Raises the errors of :func:`ckptfmt.open` for what cannot be opened."""
    kind = recognise_path(LOCAL, path)
    holds = kind.holds if kind is not None else None
    if holds is Holds.SAVED_MODEL:
        return _describe_model(path, limits)
    if holds is Holds.EVENTS or (is_event_file(os.path.basename(path)) and LOCAL.path_type(path) == "file"):
        return _describe_events(path, limits)
    if holds is Holds.GRAPH:
        return _describe_graph(path, limits)
    if holds is Holds.RECORDS or (kind is None and _SHARDED.search(path)):
        return _describe_records(path, limits)
    if kind is not None and kind.tensors is not None:
        return _describe_tensors(path, kind.what, limits)
    if path.endswith(INDEX_SUFFIX):
        return _describe_tensors(path, "an index of safetensors files", limits)
    # Everything else leads to a checkpoint, a .meta file too, or the error says what it is instead.
    try:
        checkpoint = ckptfmt.open(path, limits=limits)
    except errors.CkptfmtError as error:
        if holds is Holds.META_GRAPH:
            return _describe_graph(path, limits)
        if LOCAL.path_type(path) == "directory" and not _is_broken(error, path):
            found = _describe_folder(path, limits)
            if found is not None:
                return found
        if _has_records(path, limits):
            return _describe_records(path, limits)
        raise
    with checkpoint:
        return _describe_checkpoint(path, checkpoint)


def _is_broken(error: errors.CkptfmtError, directory: str) -> bool:
    """Whether a directory should lead to a checkpoint, which is damaged or missing; the error tells."""
    if isinstance(error, errors.CheckpointNotFoundError):
        return os.path.basename(error.file or "") == STATE_FILE
    # What is not supported may be the directory itself, which is another program's.
    return not isinstance(error, errors.UnsupportedError) or error.file not in (None, directory)


def _has_records(path: str, limits: Limits) -> bool:
    """Whether a file begins with a record once it is decompressed, which its first bytes do not tell."""
    with suppress(errors.CkptfmtError):
        return any(True for _ in ckptfmt.open_records(path, on_damage=lambda _: None, limits=limits))
    return False


def _command(*words: str) -> str:
    """Return a command to try, as it is typed into a shell."""
    return " ".join(["ckptfmt", *map(_quoted, words)])


def _quoted(word: str) -> str:
    """Return a word for a shell, on one line; one with invisible characters as bash and zsh take it."""
    if word.isprintable():
        return shlex.quote(word)
    return "$'{}'".format(escape(word).replace("'", "\\'"))


# --- checkpoints and directories ---------------------------------------------------------------------------


def _describe_checkpoint(path: str, checkpoint: Checkpoint) -> dict[str, Any]:
    document = {"path": path, "kind": kind_of(checkpoint), **describe_checkpoint(checkpoint)}
    folder = os.path.dirname(checkpoint.prefix)
    others = beside(checkpoint.prefix)
    commands = [_command(verb, path) for verb in ("ls", "tree", "verify")]
    weight = next(iter(checkpoint.weights), None) if document["complete"] else None
    if weight is not None and weight.isprintable() and not weight.startswith("-"):
        commands.insert(1, _command("show", path, weight))
    if any(each.kind == CHECKPOINT for each in others):
        commands.append(_command("verify", "--all", folder or os.curdir))
    if any(each.kind == EVENTS for each in others):
        commands.append(_command("events", folder or os.curdir))
    listed = [os.path.relpath(each.path, folder or os.curdir) for each in others[:MAX_LISTED]]
    return document | {"beside": listed, "next": commands}


def _describe_folder(path: str, limits: Limits) -> dict[str, Any] | None:
    """Return the document of a directory that holds several things; None if there is nothing to read."""
    found = contents(path)
    if not found:
        return None
    if all(each.kind == EVENTS for each in found):
        return _describe_events(path, limits)
    places = [each.path for each in found if each.kind == CHECKPOINT]
    here = [place for place in places if _is_directly_in(place, path)]
    # One of each kind: the nearest, and of checkpoints the last.
    first = {each.kind: each.path for each in reversed(found)}
    if here:
        first[CHECKPOINT] = here[-1]
    commands = [
        _command(*([] if kind == CHECKPOINT else [_VERBS[kind]]), place)
        for kind, place in sorted(first.items(), key=lambda item: _ORDER.index(item[0]))
    ]
    if len(here) > 1:
        commands += [_command(verb, "--all", path) for verb in ("ls", "verify")]
    listed = [{"path": os.path.relpath(each.path, path), "kind": each.kind} for each in found]
    return {"path": path, "kind": "directory", "contents": listed, "next": commands}


def _is_directly_in(place: str, directory: str) -> bool:
    """Whether a place is a checkpoint in a directory, and not a directory below it that has some."""
    return os.path.dirname(place) == directory.rstrip(os.sep) and LOCAL.path_type(place) != "directory"


def _describe_tensors(path: str, kind: str, limits: Limits) -> dict[str, Any]:
    """Return the document of a file of another program."""
    with ckptfmt.open_tensors(path, limits=limits) as tensors:
        first = next((name for name in tensors if name.isprintable() and not name.startswith("-")), None)
        commands = [_command("ls", path), *([] if first is None else [_command("show", path, first)])]
        return {
            "path": path,
            "kind": kind.removeprefix("an ").removeprefix("a "),
            **describe_tensors(tensors),
            "next": [*commands, _command("convert", path, "model.ckpt")],
        }


# --- everything else ---------------------------------------------------------------------------------------


def _describe_model(path: str, limits: Limits) -> dict[str, Any]:
    with ckptfmt.open_saved_model(path, limits=limits) as model:
        verbs = ["model", *(["ls", "verify"] if model.checkpoint is not None else [])]
        tags = ",".join(sorted(model.meta_graphs[0].tags)) if len(model.meta_graphs) > 1 else None
        options = [] if tags is None else ["--tags", tags]
        version = next((meta.tensorflow_version for meta in model.meta_graphs), "")
        return {
            "path": path,
            "kind": "SavedModel",
            **_variables_of(model),
            "written_by": f"TensorFlow {version}" if version else None,
            "signatures": sorted({name for meta in model.meta_graphs for name in meta.signatures}),
            "assets": len(model.assets) if len(model.meta_graphs) == 1 else None,
            "next": [*(_command(verb, path) for verb in verbs), _command("graph", path, *options)],
        }


def _variables_of(model: SavedModel) -> dict[str, Any]:
    if model.checkpoint is not None:
        return describe_checkpoint(model.checkpoint)
    for meta in model.meta_graphs:
        with suppress(errors.CkptfmtError):
            if len(model.narrowed(meta).variables):
                return {
                    "complete": False,
                    "integrity": "the model has variables, but their checkpoint is missing",
                }
    return {}


def _describe_graph(path: str, limits: Limits) -> dict[str, Any]:
    graph = ckptfmt.read_graph(path, limits=limits)
    nodes = sum(graph.ops.values())
    sizes = [graph.constants.entry(name).nbytes for name in graph.constants]
    return {
        "path": path,
        "kind": "graph",
        "nodes": nodes,
        "functions": len(graph.functions),
        "inputs": [node.name for node in graph.inputs],
        "outputs": [node.name for node in graph.outputs] if nodes <= MAX_NODES else None,
        "constants": {"count": len(sizes), "bytes": sum(sizes)},
        "next": [_command("graph", path), _command("graph", path, "--nodes", "*")],
    }


def _describe_events(path: str, limits: Limits) -> dict[str, Any]:
    """Return the document of runs; what is in the files only of as many as can be read in a second."""
    runs = {run: LOCAL.path_type(run) == "file" for run in ckptfmt.find_runs(path, limits=limits).values()}
    files = {run: [run] if is_file else event_files(LOCAL, run) for run, is_file in runs.items()}
    size = tried_size = num_tried = num_read = num_damaged = 0
    tags: set[str] = set()
    steps: dict[str, int] = {}
    for run, names in files.items():
        own = sum(status.size for name in names if (status := LOCAL.status(name)) is not None)
        size += own
        if num_tried < MAX_RUNS and tried_size + own <= MAX_EVENT_BYTES:
            num_tried += 1
            tried_size += own
            try:
                # The damage is counted; ckptfmt events reports it.
                with ckptfmt.open_events(run, on_damage=lambda _: None, limits=limits) as events:
                    num_damaged += len(events.damage)
                    tags.update(events.tags)
                    for tag, scalars in events.scalars.items():
                        for last in scalars.steps[-1:].tolist():
                            steps[tag] = max(steps.get(tag, last), last)
            except errors.CkptfmtError:
                if len(files) == 1:
                    raise
                num_damaged += 1
            else:
                num_read += 1
    damage = f"{count_text(num_damaged, 'damaged part')}; ckptfmt events says where"
    return {
        "path": path,
        "kind": "TensorBoard events",
        **({"complete": False, "integrity": damage} if num_damaged else {}),
        "runs": len(files),
        "files": sum(map(len, files.values())),
        "bytes": size,
        "runs_read": num_read,
        "tags": sorted(tags),
        "last_step": max(steps.values(), default=None),
        "next": [_command("events", path), *(_command("events", path, tag) for tag in list(steps)[:1])],
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
        "next": [_command("records", path)],
    }
