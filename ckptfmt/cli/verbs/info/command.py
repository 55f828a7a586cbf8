"""``ckptfmt info``, or ``ckptfmt PATH``: what a path leads to, on one screen."""

from __future__ import annotations

from itertools import chain
from typing import Any

import click

from ckptfmt.cli.completion import complete_files
from ckptfmt.cli.failures import FAILURES, ExitCode, Problems, describe
from ckptfmt.cli.options import given_limits, json_option, limits_option
from ckptfmt.cli.render.output import write, write_json
from ckptfmt.cli.render.text import aligned, count_text, escape, size_text
from ckptfmt.cli.several import distinct, matching_paths
from ckptfmt.cli.verb import Verb
from ckptfmt.cli.verbs.info.document import describe_path

MAX_BESIDE = 5
"""Files beside the path that the text names."""

MAX_CONTENTS = 12
"""Contents of a directory that the text names."""

LABELS = {
    "all": "in all",
    "model": "model",
    "optimizer": "optimizer",
    "averages": "averages",
    "rest": "rest",
}
"""The keys of what a checkpoint is made of, in the order in which they are shown."""


@click.command(
    "info",
    cls=Verb,
    short_help="Show what a path leads to, on one screen.",
    examples=[
        "ckptfmt training/",
        "ckptfmt info training/ --json | jq .model.parameters",
    ],
    json_keys="""
    {"path", "kind", "next": [COMMAND]}, and for a checkpoint also {"prefix", "format", "written_by", "step",
    "all", "model", "optimizer", "averages", "rest", "dtypes": {DTYPE: COUNT}, "shards", "missing",
    "complete", "integrity", "beside"}.

    "all" to "rest" are {"tensors", "parameters", "bytes"}; if the object graph cannot be read, only "all" has
    any. "missing" are data files that do not exist; "complete" is false if any is missing or too short, or
    the object graph cannot be read; "beside" are other checkpoints and files of the directory. A SavedModel
    has no "beside", but {"signatures", "assets"}; a graph {"nodes", "functions", "inputs", "outputs",
    "constants"}; events {"runs", "files", "bytes", "runs_read", "tags", "last_step"}; records {"files",
    "bytes"}; any other directory {"contents": [{"path", "kind"}]}. Several paths are {"paths": [...]}, and
    one that does not open has an "error".
    """,
)
@click.argument("paths", nargs=-1, required=True, metavar="PATH...", shell_complete=complete_files)
@json_option
@limits_option
def command(paths: tuple[str, ...], as_json: bool) -> int:
    """Show what PATH is: its kind, its size, whether it is complete, and the commands to try next.

    "model" are the model's own weights; "optimizer" its slots, counters and settings; "averages" moving
    averages. The checksums of the index are verified, and that data files exist and are long enough; ckptfmt
    verify checks the tensors.
    """
    paths = tuple(chain.from_iterable(map(matching_paths, paths)))
    is_single = len(paths) == 1
    problems = Problems(strict=is_single)
    documents: list[dict[str, Any]] = []
    for path in distinct(paths):
        try:
            document = describe_path(path, given_limits())
        except FAILURES as error:
            problems.report(error, path)
            documents.append({"path": path, "error": describe(error)})
            continue
        if not as_json:
            write(("\n" if documents else "") + aligned(_lines(document)))
        documents.append(document)
        if not document.get("complete", True):
            problems.code = max(problems.code, ExitCode.DAMAGED)
    if as_json:
        write_json(documents[0] if is_single else {"paths": documents})
    return problems.code


def _lines(document: dict[str, Any]) -> list[tuple[str, str]]:
    # The directory of a model; of a checkpoint, the prefix that the path leads to.
    path = document["path"] if "signatures" in document else document.get("prefix", document["path"])
    lines = [("path", escape(path)), ("kind", document["kind"])]
    for key, label in (("written_by", "written by"), ("step", "step")):
        if document.get(key) is not None:
            lines.append((label, escape(str(document[key]))))
    for key, label in LABELS.items():
        part = document.get(key)
        if part and part["tensors"]:
            lines.append((label, _part_text(part)))
    if document.get("dtypes"):
        dtypes = (f"{name} {count:,}" for name, count in document["dtypes"].items())
        lines.append(("dtypes", ", ".join(dtypes)))
    if "shards" in document:
        lines.append(("data files", _shards_text(document)))
    if "integrity" in document:
        lines.append(("integrity", document["integrity"]))
    lines += [
        (label, _text(document[key]))
        for key, label in (
            *(("signatures", "signatures"), ("assets", "assets"), ("nodes", "nodes")),
            *(("functions", "functions"), ("inputs", "inputs"), ("outputs", "outputs")),
            *(("constants", "constants"), ("runs", "runs"), ("files", "files"), ("tags", "tags")),
            *(("last_step", "last step"), ("beside", "beside")),
        )
        if document.get(key) not in (None, [], {}) and (key, document[key]) != ("assets", 0)
    ]
    if document["kind"] == "graph" and document["outputs"] is None:
        lines.append(("outputs", "not looked for in a graph of this size; ckptfmt graph lists them"))
    if "bytes" in document:
        lines.append(("size", size_text(document["bytes"])))
    read = document.get("runs_read")
    if read is not None and read != document["runs"]:
        lines.append(("", f"tags and steps are those of {count_text(read, 'run')}; ckptfmt events reads all"))
    listed = document.get("contents", [])
    shown = [f"{escape(each['path'])}  ({each['kind']})" for each in listed[:MAX_CONTENTS]]
    if len(listed) > len(shown):
        shown.append(f"and {len(listed) - len(shown):,} more")
    lines += zip(["contents", *[""] * (len(shown) - 1)] if shown else [], shown, strict=True)
    labels = ["next", *[""] * (len(document["next"]) - 1)]
    return lines + list(zip(labels, document["next"], strict=True))


def _part_text(part: dict[str, int]) -> str:
    tensors, parameters = count_text(part["tensors"], "tensor"), count_text(part["parameters"], "parameter")
    return f"{parameters}, {size_text(part['bytes'])} in {tensors}"


def _shards_text(document: dict[str, Any]) -> str:
    missing = [escape(path) for path in document["missing"]]
    if not missing:
        return f"{document['shards']:,}"
    more = f" and {len(missing) - MAX_BESIDE:,} more" if len(missing) > MAX_BESIDE else ""
    return f"{document['shards']:,}; missing: {', '.join(missing[:MAX_BESIDE])}{more}"


def _text(value: object) -> str:
    """Return a number, a name, the first names of a list, or a count and its bytes."""
    if isinstance(value, dict):
        return f"{value['count']:,}, {size_text(value['bytes'])}"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, list):
        more = f" and {len(value) - MAX_BESIDE:,} more" if len(value) > MAX_BESIDE else ""
        return ", ".join(escape(str(each)) for each in value[:MAX_BESIDE]) + more
    return escape(str(value))
