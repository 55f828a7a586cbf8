"""``ckptfmt info``, or ``ckptfmt PATH``: what a path leads to, on one screen."""

from __future__ import annotations

from typing import Any

import click

from ckptfmt.cli.failures import ExitCode
from ckptfmt.cli.options import given_limits, json_option, limits_option, path_argument
from ckptfmt.cli.render.output import write, write_json
from ckptfmt.cli.render.text import aligned, count_text, escape, size_text
from ckptfmt.cli.verb import Verb
from ckptfmt.cli.verbs.info.document import describe_path

MAX_BESIDE = 5
"""Files beside the path that the text names."""

LABELS = {
    "all": "tensors",
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
    "integrity", "beside"}.

    "all" to "rest" are {"tensors", "parameters", "bytes"}; "all" also counts tensors of which no more is
    known, because the object graph cannot be read. "missing" are data files that do not exist, and "beside"
    other checkpoints and files of the directory. A SavedModel has no "beside", but {"signatures", "assets"};
    a graph {"nodes", "functions", "inputs", "outputs", "constants"}; events {"runs", "files", "tags",
    "last_step"}; records {"files", "bytes"}.
    """,
)
@path_argument
@json_option
@limits_option
def command(path: str, as_json: bool) -> int:
    """Show what PATH is: its kind, its size, whether it is complete, and the commands to try next.

    "model" are the model's own weights; "optimizer" its slots, counters and settings; "averages" moving
    averages. The checksums of the index are verified, and that data files exist and are long enough; ckptfmt
    verify checks the tensors.
    """
    document = describe_path(path, given_limits())
    if as_json:
        write_json(document)
    else:
        write(aligned(_lines(document)))
    return ExitCode.DAMAGED if document.get("missing") else ExitCode.FINE


def _lines(document: dict[str, Any]) -> list[tuple[str, str]]:
    lines = [("path", escape(document.get("prefix") or document["path"])), ("kind", document["kind"])]
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
        lines.append(("integrity", document["integrity"]))
    lines += [
        (label, _text(document[key]))
        for key, label in (
            *(("signatures", "signatures"), ("assets", "assets"), ("nodes", "nodes")),
            *(("functions", "functions"), ("inputs", "inputs"), ("outputs", "outputs")),
            *(("constants", "constants"), ("runs", "runs"), ("files", "files"), ("tags", "tags")),
            *(("last_step", "last step"), ("bytes", "bytes"), ("beside", "beside")),
        )
        if document.get(key) not in (None, [], {})
    ]
    labels = ["next", *[""] * (len(document["next"]) - 1)]
    return lines + list(zip(labels, map(escape, document["next"]), strict=True))


def _part_text(part: dict[str, int]) -> str:
    tensors, parameters = count_text(part["tensors"], "tensor"), count_text(part["parameters"], "parameter")
    return f"{parameters}, {size_text(part['bytes'])} in {tensors}"


def _shards_text(document: dict[str, Any]) -> str:
    missing = [escape(path) for path in document["missing"]]
    if not missing:
        return f"{document['shards']:,}"
    more = f" and {len(missing) - MAX_BESIDE} more" if len(missing) > MAX_BESIDE else ""
    return f"{document['shards']:,}, of which {', '.join(missing[:MAX_BESIDE])}{more} not there"


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
