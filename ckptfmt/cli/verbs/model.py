"""``ckptfmt model``: what is in a SavedModel."""

from __future__ import annotations

import math
import textwrap
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import click

import ckptfmt
from ckptfmt import DType, MetaGraph, ObjectFunction, SavedModel, TensorInfo, errors
from ckptfmt.cli.failures import ExitCode, describe
from ckptfmt.cli.options import json_option, path_argument
from ckptfmt.cli.render.calls import call_text, describe_value
from ckptfmt.cli.render.output import note, write_json, write_lines
from ckptfmt.cli.render.text import aligned, count_text, escape, one_line, shape_text, size_text

WIDTH = 100
"""Columns of text that is a list of many words."""

ERROR = "error"
"""Key of what stands in the place of a part that cannot be read."""


@click.command(
    "model",
    short_help="Show what is in a SavedModel.",
    epilog="""\b
    Examples:
      ckptfmt model training/export/1700000000
      ckptfmt model saved_model/ --signature serving_default
      ckptfmt model saved_model/ --tags serve,gpu --json
      ckptfmt model saved_model/ --json | jq '.meta_graphs[].unreached.variables'

    JSON: {"directory", "meta_graphs": [...], "variables": [{"name", "key", "dtype", "shape", "nbytes",
    "stored", "used"}], "assets": [{"filename", "tensor", "exists", "used"}], "assets_extra", "fingerprint",
    "keras_layers": [{"path", "class_name"}]}, and for each meta graph {"tags", "tensorflow_version", "nodes",
    "functions", "ops": {OP: COUNT}, "signatures": {NAME: {"method", "inputs": {NAME: {"tensor", "dtype",
    "shape"}}, "outputs", "defaults", "reach"}}, "unreached", "object_functions": [{"path", "aliases", "node",
    "parameters", "traces"}], "concrete_functions": {TRACE: {"arguments": [{"name", "value"}],
    "keyword_arguments": {NAME: VALUE}, "outputs": VALUE, "captures"}}}.

    A "tensor" is "node:k", or a list where a sparse or composite one has several; "shape" has null for what
    is not known. "functions" is how many the library has, "ops" counts the nodes in their bodies too.
    "reach" and "unreached" are {"variables", "bytes", "assets", "functions"}: what the signature uses, and
    what none does; "bytes" is null where the checkpoint is not there. "used" says whether any signature
    does, null where that is not known or there is none; "stored" whether the checkpoint has it. "traces" are
    concrete functions, each for arguments of certain kinds. A VALUE is null, true, a number, a string or a
    list as it is, else an object with "kind": "tensor" with "name", "dtype" and "shape", "tuple", "dict" or
    "named_tuple" with "items", "type_spec" with "name" and "state", "dtype", or "array".

    A part that cannot be read is {"error": {"type", "message", "file", "offset", ...}}, of a list its one
    item; the exit code is then 3, or 4 where the system refuses a file.
    """,
)
@path_argument
@click.option("--tags", metavar="TAG,TAG", help="Only the meta graph that has exactly these tags.")
@click.option("--signature", metavar="NAME", help="Only this signature.")
@click.option("--functions", "every", is_flag=True, help="Show the functions of all objects.")
@json_option
def command(path: str, tags: str | None, signature: str | None, every: bool, as_json: bool) -> int:
    """Show what is in the SavedModel at PATH, a directory or the file in it, without running it.

    Meta graphs with their tags, operations and signatures, what of the model each signature uses, and what
    none does; the functions that the model can be called with, for each kind of arguments; variables with
    the keys of the checkpoint that they are restored from, assets, fingerprint and the layers of Keras 2.

    What cannot be read is said in its place.
    """
    with ckptfmt.open_saved_model(path, tags=None if tags is None else tags.split(",")) as model:
        metas = [model.meta_graph] if tags is not None else list(model.meta_graphs)
        there = sorted({name for meta in metas for name in meta.signatures})
        if signature is not None and signature not in there:
            raise errors.NameNotFoundError(signature, file=path, noun="signature", close_matches=there[:5])
        listing = Listing(model, signature, every=every or as_json)
        document = listing.describe(metas)
    if as_json:
        write_json(document)
    else:
        write_lines(_lines(document))
        if listing.hidden:
            note(f"{count_text(listing.hidden, 'function')} of other objects not shown; see --functions")
    if any(isinstance(error, errors.NotReadableError) for error in listing.failures):
        return ExitCode.NOT_FOUND
    return ExitCode.DAMAGED if listing.failures else ExitCode.FINE


# --- what is in it ---------------------------------------------------------------------------------------


class Listing:
    """What is in a model, as JSON has it; a part that cannot be read does not hide the others."""

    def __init__(self, model: SavedModel, signature: str | None, *, every: bool) -> None:
        self.model = model
        self.signature = signature
        """The only signature to describe, None for all."""
        self.every = every
        """Whether to describe the functions of all objects, not only those of the model itself."""
        self.failures: list[errors.CkptfmtError] = []
        """Why parts could not be read."""
        self.hidden = 0
        """How many functions of objects are not described."""
        self._used: dict[tuple[str, str], bool] = {}
        """Whether any signature uses a variable or an asset, by field and name."""

    def _try(self, part: Callable[..., Any], *of: object) -> Any:  # noqa: ANN401  (any JSON)
        """A part, or in its place the error."""
        try:
            return part(*of)
        except errors.CkptfmtError as error:
            self.failures.append(error)
            return {ERROR: describe(error)}

    def _try_list(self, part: Callable[..., Iterable[Any]], *of: object) -> list[Any]:
        """A part that is a list, or in it the error."""
        found = self._try(lambda: list(part(*of)))
        return [found] if isinstance(found, dict) else found

    def describe(self, metas: list[MetaGraph]) -> dict[str, Any]:
        """Return all of it."""
        model = self.model
        models = [model.narrowed(meta) for meta in metas]
        return {
            "directory": model.directory,
            "meta_graphs": [self._describe_meta(each) for each in models],
            "variables": self._variables(models),
            "assets": self._assets(models),
            "assets_extra": self._try_list(lambda: model.assets_extra),
            "fingerprint": self._try(lambda: model.fingerprint and model.fingerprint._asdict()),
            "keras_layers": self._try_list(
                lambda: ({"path": layer.path, "class_name": layer.class_name} for layer in model.keras_layers)
            ),
        }

    def _describe_meta(self, model: SavedModel) -> dict[str, Any]:
        meta = model.meta_graph
        graph = meta.message.graph_def
        functions = self._try_list(self._shown, model)
        return {
            "tags": sorted(meta.tags),
            "tensorflow_version": meta.tensorflow_version,
            "nodes": len(graph.node),
            "functions": len(graph.library.function),
            "ops": _ops(meta),
            "signatures": {
                name: self._try(self._describe_signature, model, name)
                for name in meta.signatures
                if self.signature in (None, name)
            },
            "unreached": self._try(self._unreached, model),
            "object_functions": [
                each if isinstance(each, dict) else self._try(_describe_function, each) for each in functions
            ],
            "concrete_functions": self._concrete_functions(model, functions),
        }

    def _describe_signature(self, model: SavedModel, name: str) -> dict[str, Any]:
        signature = model.signatures[name]
        return {
            "method": signature.method,
            "inputs": {key: _describe_info(info) for key, info in signature.inputs.items()},
            "outputs": {key: _describe_info(info) for key, info in signature.outputs.items()},
            "defaults": list(signature.defaults),
            "reach": self._try(_reach, model, name),
        }

    def _unreached(self, model: SavedModel) -> dict[str, Any]:
        found = ckptfmt.unreached(model)
        if model.signatures:
            self._note_used("variables", model.variables, found.variables)
            # Operations of others may read files beside the one that they are given.
            is_known = not found.assets or not model.meta_graph.graph.custom_ops
            assets = model.assets if is_known else set(model.assets).difference(found.assets)
            self._note_used("assets", assets, found.assets)
        return _describe_reach(model, found)

    def _note_used(self, field: str, names: Iterable[str], idle: Iterable[str]) -> None:
        unused = set(idle)
        for name in names:
            self._used[field, name] = self._used.get((field, name), False) or name not in unused

    def _shown(self, model: SavedModel) -> list[ObjectFunction]:
        every = model.object_functions
        shown = [each for each in every if self.every or "/" not in (each.path or "/")]
        self.hidden += len(every) - len(shown)
        return shown

    def _concrete_functions(
        self, model: SavedModel, functions: list[ObjectFunction | dict[str, Any]]
    ) -> dict[str, Any]:
        """Each trace of the functions shown, and where all are, those of none."""
        found: dict[str, Any] = {}
        for function in functions:
            if isinstance(function, ObjectFunction):
                for name in function.traces:
                    if name not in found:
                        found[name] = self._try(_describe_trace, model, name, function)
        for name in model.functions if self.every else ():
            if name not in found:
                found[name] = self._try(_describe_trace, model, name, None)
        return found

    def _variables(self, models: list[SavedModel]) -> list[dict[str, Any]]:
        """The variables of all meta graphs by name; of several of one name the first."""
        found: dict[str, dict[str, Any]] = {}
        for model in models:
            for row in self._try_list(_variables, model):
                found.setdefault(row.get("name", ""), row)
        return [
            row if ERROR in row else {**row, "used": self._used.get(("variables", name))}
            for name, row in sorted(found.items())
        ]

    def _assets(self, models: list[SavedModel]) -> list[dict[str, Any]]:
        found: dict[str, dict[str, Any]] = {}
        for model in models:
            for row in self._try_list(_assets, model):
                found.setdefault(row.get("filename", ""), row)
        return [
            row if ERROR in row else {**row, "used": self._used.get(("assets", name))}
            for name, row in found.items()
        ]


def _ops(meta: MetaGraph) -> dict[str, int]:
    """How many nodes there are of each operation, in the graph and in functions; calls are none."""
    graph = meta.message.graph_def
    bodies = (function.node_def for function in graph.library.function)
    counts = Counter(node.op for nodes in (graph.node, *bodies) for node in nodes)
    names = {function.signature.name for function in graph.library.function}
    return {op: count for op, count in counts.most_common() if op not in names}


def _describe_info(info: TensorInfo) -> dict[str, Any]:
    return {"tensor": _tensors(info), "dtype": info.dtype.name, "shape": info.shape}


def _tensors(info: TensorInfo) -> Any:  # noqa: ANN401  (a name, or names)
    """The tensors of an input or output as names."""
    tensor = info.tensor
    if tensor is None or isinstance(tensor, str):
        return tensor
    components = getattr(tensor, "components", None)
    return list(tensor) if components is None else [_tensors(component) for component in components]


def _reach(model: SavedModel, signature: str) -> dict[str, Any]:
    return _describe_reach(model, ckptfmt.reach(model, signature))


def _describe_reach(model: SavedModel, found: ckptfmt.Reach) -> dict[str, Any]:
    return {
        "variables": found.variables,
        "bytes": None if model.checkpoint is None and found.variables else found.nbytes,
        "assets": found.assets,
        "functions": found.functions,
    }


def _describe_function(function: ObjectFunction) -> dict[str, Any]:
    return {
        "path": function.path,
        "aliases": function.aliases,
        "node": function.node,
        "parameters": function.parameters,
        "traces": function.traces,
    }


def _describe_trace(model: SavedModel, name: str, function: ObjectFunction | None) -> dict[str, Any]:
    trace = model.functions[name]
    named = [(None, value) for value in trace.positional] if function is None else function.named(trace)
    return {
        "arguments": [{"name": parameter, "value": describe_value(value)} for parameter, value in named],
        "keyword_arguments": {key: describe_value(value) for key, value in trace.keywords.items()},
        "outputs": describe_value(trace.returns),
        "captures": trace.captures,
    }


def _variables(model: SavedModel) -> Iterator[dict[str, Any]]:
    checkpoint = model.checkpoint
    for name, source in model.variables.sources.items():
        entry = None if checkpoint is None else checkpoint.entries.get(source.name)
        dtype, shape = (entry.dtype, entry.shape) if entry is not None else _declared(model, name)
        if source.region is not None:
            shape = tuple(stop - start for start, stop in source.region)
        size = None if dtype is None else dtype.itemsize
        sizes = [each for each in shape or () if each is not None]
        is_known = shape is not None and len(sizes) == len(shape)
        yield {
            "name": name,
            "key": source.name,
            "dtype": None if dtype is None else dtype.name,
            "shape": shape,
            "nbytes": math.prod(sizes) * size if is_known and size is not None else None,
            "stored": entry is not None,
        }


def _declared(model: SavedModel, name: str) -> tuple[DType | None, tuple[int | None, ...] | None]:
    """What the graph says of a variable that the checkpoint does not have."""
    node = model.meta_graph.graph.get(name)
    attributes = {} if node is None else node.attributes
    dtype, shape = attributes.get("dtype"), attributes.get("shape")
    return dtype if isinstance(dtype, DType) else None, shape if isinstance(shape, tuple) else None


def _assets(model: SavedModel) -> Iterator[dict[str, Any]]:
    for asset in model.assets.values():
        yield {"filename": asset.filename, "tensor": asset.tensor, "exists": asset.exists}


# --- as text ---------------------------------------------------------------------------------------------


def _lines(document: dict[str, Any]) -> Iterator[str]:
    unused = {asset["filename"] for asset in document["assets"] if asset.get("used") is False}
    for meta in document["meta_graphs"]:
        yield escape(", ".join(meta["tags"])) or "(no tags)"
        yield from _meta_lines(meta, unused)
    yield from _variable_lines(document["variables"])
    for asset in document["assets"]:
        yield f"asset: {_problem(asset) or _asset_text(asset)}"
    for name in document["assets_extra"]:
        yield f"asset of the user's: {escape(name) if isinstance(name, str) else _problem(name)}"
    for layer in document["keras_layers"]:
        shown = _problem(layer) or f"{escape(layer['path'])}  {escape(layer['class_name'] or '?')}"
        yield f"layer: {shown}"
    fingerprint = document["fingerprint"]
    if fingerprint is not None:
        yield f"fingerprint: {_problem(fingerprint) or _identity(fingerprint)}"


def _identity(fingerprint: dict[str, Any]) -> str:
    """What tells an export from others; early fingerprints have no UUID."""
    return escape(fingerprint["uuid"]) or f"checksum {fingerprint['saved_model_checksum']:016x}"


def _problem(part: dict[str, Any]) -> str:
    """What is said in the place of a part that cannot be read; nothing where it can."""
    return f"? ({one_line(part[ERROR]['message'])})" if ERROR in part else ""


def _meta_lines(meta: dict[str, Any], unused: set[str]) -> Iterator[str]:
    """The lines of a meta graph; ``unused`` are the assets of the model that are known to be so."""
    rows = [
        ("  TensorFlow", escape(meta["tensorflow_version"]) or "?"),
        ("  graph", f"{count_text(meta['nodes'], 'node')}, {count_text(meta['functions'], 'function')}"),
    ]
    # A space that does not break keeps an operation and its count on one line.
    ops = ", ".join(f"{escape(op)}\xa0{count:,}" for op, count in meta["ops"].items())
    wrapped = textwrap.wrap(ops, WIDTH, break_long_words=False, break_on_hyphens=False)
    rows += [("" if i else "  ops", line.replace("\xa0", " ")) for i, line in enumerate(wrapped)]
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
    where = tensor if isinstance(tensor, str) else ", ".join(map(str, tensor or ["?"]))
    return f"{info['dtype']}{shape_text(info['shape'])}  {escape(where)}"


def _reach_text(reach: dict[str, Any], assets: set[str] | None = None) -> str:
    """What is used, or not; of the assets only these."""
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
    """What the objects can be called with; a trace is shown with the function that has it first."""
    traces = meta["concrete_functions"]
    shown: dict[str, str] = {}
    for function in meta["object_functions"]:
        if ERROR in function:
            yield f"  function  {_problem(function)}"
            continue
        path = "?" if function["path"] is None else escape(function["path"])
        names = ", ".join([path, *map(escape, function["aliases"])])
        fresh = [name for name in function["traces"] if name not in shown]
        if not fresh:
            known = dict.fromkeys(shown[name] for name in function["traces"])
            yield f"  function  {names}  {'as ' if known else 'never traced'}{', '.join(known)}"
        for name in fresh:
            shown[name] = path
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
