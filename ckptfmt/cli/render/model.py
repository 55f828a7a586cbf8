"""The document of ``ckptfmt model`` as lines of text."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import Any

from ckptfmt.cli.render.calls import call_text
from ckptfmt.cli.render.text import aligned, count_text, escape, one_line, shape_text, size_text

ERROR = "error"
"""Key of the object that the document has in place of a part that cannot be read."""

WIDTH = 100
"""Columns of a list of many words."""


def model_lines(document: dict[str, Any]) -> Iterator[str]:
    """Return the lines of a document: meta graphs, variables, assets, layers, fingerprint."""
    unused = {asset["filename"] for asset in document["assets"] if asset.get("used") is False}
    for meta in document["meta_graphs"]:
        yield escape(", ".join(meta["tags"])) or "(no tags)"
        yield from _meta_lines(meta, unused)
    yield from _variable_lines(document["variables"])
    for asset in document["assets"]:
        yield f"asset: {_problem(asset) or _asset_text(asset)}"
    for name in document["assets_extra"]:
        yield f"extra asset: {escape(name) if isinstance(name, str) else _problem(name)}"
    for layer in document["keras_layers"]:
        yield f"layer: {_problem(layer) or _layer_text(layer)}"
    fingerprint = document["fingerprint"]
    if fingerprint is not None:
        yield f"fingerprint: {_problem(fingerprint) or _identity(fingerprint)}"


def _identity(fingerprint: dict[str, Any]) -> str:
    """Return what tells an export from others; early fingerprints have no UUID."""
    return escape(fingerprint["uuid"]) or f"checksum {fingerprint['saved_model_checksum']:016x}"


def _problem(part: dict[str, Any]) -> str:
    """Return what is shown in place of a part that cannot be read; an empty text for any other part."""
    return f"? ({one_line(part[ERROR]['message'])})" if ERROR in part else ""


def _meta_lines(meta: dict[str, Any], unused: set[str]) -> Iterator[str]:
    """Return the lines of a meta graph; ``unused`` are the assets that no meta graph uses."""
    rows = [
        ("  TensorFlow", escape(meta["tensorflow_version"]) or "?"),
        ("  graph", f"{count_text(meta['nodes'], 'node')}, {count_text(meta['functions'], 'function')}"),
    ]
    # A no-break space keeps an operation and its count on one line.
    ops = ", ".join(f"{escape(op)}\xa0{count:,}" for op, count in meta["ops"].items())
    wrapped = textwrap.wrap(ops, WIDTH, break_long_words=False, break_on_hyphens=False)
    rows += [("" if i else "  ops", line.replace("\xa0", " ")) for i, line in enumerate(wrapped)]
    if meta["init_op"] is not None:
        rows.append(("  init op", escape(meta["init_op"])))
    if meta["signatures"]:
        rows.append(("  unused", _reach_text(meta["unreached"], unused)))
    yield from aligned(rows).splitlines()
    for name, signature in meta["signatures"].items():
        if ERROR in signature:
            yield f"  {escape(name)}  {_problem(signature)}"
        else:
            yield from _signature_lines(name, signature)
    yield from _function_lines(meta)


def _signature_lines(name: str, signature: dict[str, Any]) -> Iterator[str]:
    yield f"  {escape(name)}  {escape(signature['method'])}"
    for side in ("inputs", "outputs"):
        for key, info in signature[side].items():
            default = "  has a default" if side == "inputs" and key in signature["defaults"] else ""
            yield f"    {side[:-1]:<6}  {escape(key)}  {_info_text(info)}{default}"
    yield f"    uses    {_reach_text(signature['reach'])}"


def _info_text(info: dict[str, Any]) -> str:
    tensor = info["tensor"]
    names = tensor if isinstance(tensor, str) else ", ".join(map(str, tensor or ["?"]))
    return f"{info['dtype']}{shape_text(info['shape'])}  {escape(names)}"


def _reach_text(reach: dict[str, Any], assets: set[str] | None = None) -> str:
    """Return what is used, or what is not; only the assets given are shown, all if None."""
    if ERROR in reach:
        return _problem(reach)
    shown = [name for name in reach["assets"] if assets is None or name in assets]
    parts = [
        count_text(len(names), noun) + (f" of {size_text(size)}" if size is not None else "")
        for noun, names, size in (
            ("variable", reach["variables"], reach["bytes"]),
            ("asset", shown, None),
            ("function", reach["functions"], None),
        )
        if names
    ]
    return ", ".join(parts) or "nothing"


def _function_lines(meta: dict[str, Any]) -> Iterator[str]:
    """Return the calls that objects take; a trace is shown with the first function that has it."""
    traces = meta["concrete_functions"]
    owners: dict[str, str] = {}  # path of the function that a trace is shown with
    for function in meta["object_functions"]:
        if ERROR in function:
            yield f"  function  {_problem(function)}"
            continue
        path = "?" if function["path"] is None else escape(function["path"])
        names = ", ".join([path, *map(escape, function["aliases"])])
        new = [name for name in function["traces"] if name not in owners]
        if not new:
            others = dict.fromkeys(owners[name] for name in function["traces"])
            yield f"  function  {names}  {'as ' if others else 'never traced'}{', '.join(others)}"
        for name in new:
            owners[name] = path
            trace = traces[name]
            if ERROR in trace:
                yield f"  function  {names}  {_problem(trace)}"
            else:
                call = call_text(trace["arguments"], trace["keyword_arguments"], trace["outputs"])
                yield f"  function  {names}{call}"


def _variable_lines(variables: list[dict[str, Any]]) -> Iterator[str]:
    rows = [row for row in variables if ERROR not in row]
    if rows:
        yield f"variables: {len(rows):,}, {size_text(sum(row['nbytes'] or 0 for row in rows))}"
    for row in variables:
        if ERROR in row:
            yield f"variables: {_problem(row)}"
            continue
        key = "" if row["key"] == row["name"] else f" <- {escape(row['key'])}"
        marks = ["MISSING"] * (not row["stored"]) + ["unused"] * (row["used"] is False)
        shown = f"{row['dtype'] or '?'}{shape_text(row['shape'])}{key}"
        yield "  ".join(["", escape(row["name"]), shown, *marks])


def _asset_text(asset: dict[str, Any]) -> str:
    marks = ["MISSING"] * (not asset["exists"]) + ["unused"] * (asset["used"] is False)
    return "  ".join([f"{escape(asset['filename'])} -> {escape(asset['tensor'])}", *marks])


def _layer_text(layer: dict[str, Any]) -> str:
    """Return a layer in one line, with the weights that are its own; sublayers have their own lines."""
    weights = layer["weights"]
    parts = [escape(layer["name"]), escape(layer["class_name"] or "?")]
    if any("/" in each["name"] for each in weights):
        parts.append(count_text(len(weights), "weight"))
    elif weights:
        own = (f"{escape(each['name'])} {each['dtype']}{shape_text(each['shape'])}" for each in weights)
        parts.append(", ".join(own))
    if weights and layer["parameters"] is not None:
        parts.append(count_text(layer["parameters"], "parameter"))
    return "  ".join([*parts, escape(layer["path"])])
