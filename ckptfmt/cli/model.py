"""``ckptfmt model``: what is in a SavedModel."""

from __future__ import annotations

import math
from typing import Any

import click

import ckptfmt
from ckptfmt import MetaGraph, SavedModel, errors
from ckptfmt.cli.failures import ExitCode
from ckptfmt.cli.options import json_option, path_argument
from ckptfmt.cli.output import write, write_json
from ckptfmt.cli.text import aligned, count_text, escape, size_text


@click.command(
    "model",
    short_help="Show what is in a SavedModel.",
    epilog="""\b
    Examples:
      ckptfmt model training/export/1700000000
      ckptfmt model saved_model/ --signature serving_default
      ckptfmt model saved_model/ --tags serve,gpu --json

    JSON: {"directory", "meta_graphs": [{"tags", "tensorflow_version", "nodes", "functions", "signatures":
    {NAME: {"method", "inputs": {NAME: {"tensor", "dtype", "shape"}}, "outputs", "defaults"}}}], "variables":
    [{"name", "key", "dtype", "shape", "nbytes"}], "assets": [{"filename", "tensor", "exists"}],
    "assets_extra", "fingerprint", "keras_layers": [{"path", "class_name"}]}. A "tensor" is "node:k", or a
    list where a sparse or composite one has several; "shape" has null for what is not known.
    """,
)
@path_argument
@click.option("--tags", metavar="TAG,TAG", help="Only the meta graph that has exactly these tags.")
@click.option("--signature", metavar="NAME", help="Only this signature.")
@json_option
def command(path: str, tags: str | None, signature: str | None, as_json: bool) -> int:
    """Show what is in the SavedModel directory at PATH, without TensorFlow and without running it.

    Meta graphs with their tags and signatures, variables with the keys of the checkpoint that they are
    restored from, functions, assets, fingerprint and the layers of Keras 2.
    """
    with ckptfmt.open_saved_model(path, tags=None if tags is None else tags.split(",")) as model:
        metas = [model.meta_graph] if tags is not None else list(model.meta_graphs)
        document = _describe(model, metas, signature)
    if signature is not None and not any(meta["signatures"] for meta in document["meta_graphs"]):
        there = sorted({name for meta in metas for name in meta.signatures})
        raise errors.TensorNotFoundError(signature, file=path, noun="signature", close_matches=there[:5])
    if as_json:
        write_json(document)
    else:
        _write(document)
    return ExitCode.FINE


def _describe(model: SavedModel, metas: list[MetaGraph], signature: str | None) -> dict[str, Any]:
    # Variables and assets are those of one meta graph; of several the first has them.
    with SavedModel(model.directory, model.message, model.file, metas[0].tags if metas else ()) as first:
        fingerprint = first.fingerprint
        return {
            "directory": model.directory,
            "meta_graphs": [_describe_meta(meta, signature) for meta in metas],
            "variables": _variables(first),
            "assets": [
                {"filename": asset.filename, "tensor": asset.tensor, "exists": asset.exists}
                for asset in first.assets.values()
            ],
            "assets_extra": list(first.assets_extra),
            "fingerprint": None if fingerprint is None else fingerprint._asdict(),
            "keras_layers": [
                {"path": layer.path, "class_name": layer.class_name} for layer in first.keras_layers
            ],
        }


def _describe_meta(meta: MetaGraph, signature: str | None) -> dict[str, Any]:
    return {
        "tags": sorted(meta.tags),
        "tensorflow_version": meta.tensorflow_version,
        "nodes": len(meta.message.graph_def.node),
        "functions": len(meta.message.graph_def.library.function),
        "signatures": {
            name: {
                "method": known.method,
                "inputs": {key: _describe_info(info) for key, info in known.inputs.items()},
                "outputs": {key: _describe_info(info) for key, info in known.outputs.items()},
                "defaults": list(known.defaults),
            }
            for name, known in meta.signatures.items()
            if signature in (None, name)
        },
    }


def _describe_info(info: ckptfmt.TensorInfo) -> dict[str, Any]:
    return {"tensor": _tensors(info), "dtype": info.dtype.name, "shape": info.shape}


def _tensors(info: ckptfmt.TensorInfo) -> Any:  # noqa: ANN401  (a name, or names)
    """The tensors of an input or output as names."""
    tensor = info.tensor
    if tensor is None or isinstance(tensor, str):
        return tensor
    components = getattr(tensor, "components", None)
    return list(tensor) if components is None else [_tensors(component) for component in components]


def _variables(model: SavedModel) -> list[dict[str, Any]]:
    checkpoint = model.checkpoint
    if checkpoint is None:
        return []
    rows = []
    for name, source in sorted(model.variables.sources.items()):
        entry = checkpoint.entries.get(source.name)
        shape = None if entry is None else list(entry.shape)
        if source.region is not None:
            shape = [stop - start for start, stop in source.region]
        dtype = None if entry is None else entry.dtype
        size = dtype.itemsize if dtype is not None else None
        nbytes = math.prod(shape) * size if shape is not None and size is not None else None
        rows.append(
            {
                "name": name,
                "key": source.name,
                "dtype": None if dtype is None else dtype.name,
                "shape": shape,
                "nbytes": nbytes,
            }
        )
    return rows


def _write(document: dict[str, Any]) -> None:
    for meta in document["meta_graphs"]:
        write(f"{escape(', '.join(meta['tags'])) or '(no tags)'}\n")
        rows = [
            ("  TensorFlow", escape(meta["tensorflow_version"]) or "?"),
            ("  graph", f"{count_text(meta['nodes'], 'node')}, {count_text(meta['functions'], 'function')}"),
        ]
        write(aligned(rows))
        for name, signature in meta["signatures"].items():
            write(f"  {escape(name)}  {escape(signature['method'])}\n")
            for side in ("inputs", "outputs"):
                for key, info in signature[side].items():
                    default = "  has a default" if side == "inputs" and key in signature["defaults"] else ""
                    write(f"    {side[:-1]:<6}  {escape(key)}  {_info_text(info)}{default}\n")
    variables = document["variables"]
    if variables:
        total = sum(row["nbytes"] or 0 for row in variables)
        write(f"variables: {len(variables):,}, {size_text(total)}\n")
        for row in variables:
            key = "" if row["key"] == row["name"] else f" <- {escape(row['key'])}"
            write(f"  {escape(row['name'])}  {row['dtype'] or '?'}{_shape_text(row['shape'])}{key}\n")
    for asset in document["assets"]:
        missing = "" if asset["exists"] else "  MISSING"
        write(f"asset: {escape(asset['filename'])} -> {escape(asset['tensor'])}{missing}\n")
    for name in document["assets_extra"]:
        write(f"asset of the user's: {escape(name)}\n")
    for layer in document["keras_layers"]:
        write(f"layer: {escape(layer['path'])}  {escape(layer['class_name'] or '?')}\n")
    if document["fingerprint"]:
        write(f"fingerprint: {escape(document['fingerprint']['uuid'])}\n")


def _info_text(info: dict[str, Any]) -> str:
    tensor = info["tensor"]
    where = tensor if isinstance(tensor, str) else ", ".join(map(str, tensor or ["?"]))
    return f"{info['dtype']}{_shape_text(info['shape'])}  {escape(where)}"


def _shape_text(shape: list[int | None] | None) -> str:
    if shape is None:
        return "[…]"
    return f"[{','.join('?' if size is None else str(size) for size in shape)}]"
