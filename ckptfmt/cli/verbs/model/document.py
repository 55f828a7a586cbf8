"""What is in a SavedModel, as the JSON document of ``ckptfmt model``; its text is made from that."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import Any

import ckptfmt
from ckptfmt import DType, MetaGraph, ObjectFunction, SavedModel, TensorInfo, errors
from ckptfmt.cli.failures import describe
from ckptfmt.cli.render.calls import describe_value
from ckptfmt.cli.render.model import ERROR
from ckptfmt.storage.local import LOCAL
from ckptfmt.text.quoting import listed
from ckptfmt.types import KerasLayer


class ModelDocument:
    """Describes a model part by part, so that a part that cannot be read does not hide the others."""

    def __init__(self, model: SavedModel, signature: str | None, *, every: bool) -> None:
        self.model = model
        self.signature = signature
        """The only signature to describe; None for all."""
        self.every = every
        """Whether to describe the functions of all objects, not only those of the model itself."""
        self.failures: list[errors.CkptfmtError] = []
        """Why parts could not be read."""
        self.missing: list[errors.CkptfmtError] = []
        """Missing files and values that the model names."""
        self.hidden = 0
        """How many functions of objects are not described."""
        self._used: dict[tuple[str, str], bool] = {}
        """Whether any signature uses a variable or an asset, by the document's key and the name."""

    def _try(self, part: Callable[..., Any], *args: object) -> Any:  # noqa: ANN401  (any JSON)
        """Return a part of the document, or in its place the error."""
        try:
            return part(*args)
        except errors.CkptfmtError as error:
            self.failures.append(error)
            return {ERROR: describe(error)}

    def _try_list(self, part: Callable[..., Iterable[Any]], *args: object) -> list[Any]:
        """Return a part that is a list, or a list of nothing but the error."""
        items = self._try(lambda: list(part(*args)))
        return [items] if isinstance(items, dict) else items

    def describe(self, metas: list[MetaGraph]) -> dict[str, Any]:
        """Return the document, with these meta graphs of the model."""
        model = self.model
        models = [model.narrowed(meta) for meta in metas]
        return {
            "directory": model.directory,
            # First: describing signatures finds out which variables and assets are used.
            "meta_graphs": [self._describe_meta(each) for each in models],
            "variables": self._variables(models),
            "assets": self._assets(models),
            "assets_extra": self._try_list(lambda: model.assets_extra),
            "fingerprint": self._try(lambda: model.fingerprint and model.fingerprint._asdict()),
            "keras_layers": self._layers(models),
        }

    def _describe_meta(self, model: SavedModel) -> dict[str, Any]:
        meta = model.meta_graph
        graph = meta.message.graph_def
        functions = self._try_list(self._shown_functions, model)
        return {
            "tags": sorted(meta.tags),
            "tensorflow_version": meta.tensorflow_version,
            "nodes": len(graph.node),
            "functions": len(graph.library.function),
            "ops": _count_ops(meta),
            "signatures": {
                name: self._try(self._describe_signature, model, name)
                for name in meta.signatures
                if self.signature in (None, name)
            },
            "init_op": meta.init_op,
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
        unreached = model.unreached()
        if model.signatures:
            self._note_used("variables", model.variables, unreached.variables)
            # Custom operations may read files beside the one that they are given: with any in the graph, an
            # asset that no signature reaches is not known to be unused.
            is_known = not unreached.assets or not model.meta_graph.graph.custom_ops
            assets = model.assets if is_known else set(model.assets).difference(unreached.assets)
            self._note_used("assets", assets, unreached.assets)
        return _describe_reach(model, unreached)

    def _note_used(self, key: str, names: Iterable[str], unused: Iterable[str]) -> None:
        """Note which of some names a meta graph uses; one that any meta graph uses is used."""
        unused = set(unused)
        for name in names:
            self._used[key, name] = self._used.get((key, name), False) or name not in unused

    def _shown_functions(self, model: SavedModel) -> list[ObjectFunction]:
        every = model.object_functions
        shown = [each for each in every if self.every or "/" not in (each.path or "/")]
        self.hidden += len(every) - len(shown)
        return shown

    def _concrete_functions(
        self, model: SavedModel, functions: list[ObjectFunction | dict[str, Any]]
    ) -> dict[str, Any]:
        """Return the traces of the functions shown; with all functions shown, traces of no function too."""
        traces: dict[str, Any] = {}
        for function in functions:
            if isinstance(function, ObjectFunction):
                for name in function.traces:
                    if name not in traces:
                        traces[name] = self._try(_describe_trace, model, name, function)
        for name in model.functions if self.every else ():
            if name not in traces:
                traces[name] = self._try(_describe_trace, model, name, None)
        return traces

    def _variables(self, models: list[SavedModel]) -> list[dict[str, Any]]:
        """Return the variables of all meta graphs, sorted by name; of several with one name the first."""
        by_name: dict[str, dict[str, Any]] = {}
        for model in models:
            for row in self._try_list(_variables, model):
                by_name.setdefault(row.get("name", ""), row)
            with suppress(errors.CkptfmtError):  # its row says so
                self.missing += _missing_values(model)
        return [
            row if ERROR in row else {**row, "used": self._used.get(("variables", name))}
            for name, row in sorted(by_name.items())
        ]

    def _assets(self, models: list[SavedModel]) -> list[dict[str, Any]]:
        by_name: dict[str, dict[str, Any]] = {}
        for model in models:
            for row in self._try_list(_assets, model):
                by_name.setdefault(row.get("filename", ""), row)
        gone = [name for name, row in by_name.items() if ERROR not in row and not row["exists"]]
        if gone:
            what = f"{'an asset is' if len(gone) == 1 else 'assets are'} missing: {listed(gone)}"
            self.missing.append(errors.PathNotFoundError(what, file=self.model.directory))
        return [
            row if ERROR in row else {**row, "used": self._used.get(("assets", name))}
            for name, row in by_name.items()
        ]

    def _layers(self, models: list[SavedModel]) -> list[dict[str, Any]]:
        """Return the Keras layers of all meta graphs; of several with one path the first."""
        with_objects = [each for each in models if each.meta_graph.message.object_graph_def.nodes]
        rows: list[dict[str, Any]] = []
        paths: set[str] = set()
        for model in with_objects or [self.model]:
            try:
                layers = model.keras_layers
            except errors.CkptfmtError as error:
                self.failures.append(error)
                rows.append({ERROR: describe(error)})
                continue
            new = [layer for layer in layers if layer.path not in paths]
            rows += [self._try(_describe_layer, layer) for layer in new]
            paths.update(layer.path for layer in new)
        return rows


def _count_ops(meta: MetaGraph) -> dict[str, int]:
    """Return the number of nodes of each operation, in the graph and in functions; calls do not count."""
    graph = meta.message.graph_def
    bodies = (function.node_def for function in graph.library.function)
    counts = Counter(node.op for nodes in (graph.node, *bodies) for node in nodes)
    names = {function.signature.name for function in graph.library.function}
    return {op: count for op, count in counts.most_common() if op not in names}


def _describe_info(info: TensorInfo) -> dict[str, Any]:
    return {"tensor": _tensor_names(info), "dtype": info.dtype.name, "shape": info.shape}


def _tensor_names(info: TensorInfo) -> Any:  # noqa: ANN401  (a name, or names)
    """Return the tensors of an input or output: a name, or names if it is sparse or composite."""
    tensor = info.tensor
    if tensor is None or isinstance(tensor, str):
        return tensor
    components = getattr(tensor, "components", None)
    return list(tensor) if components is None else [_tensor_names(component) for component in components]


def _reach(model: SavedModel, signature: str) -> dict[str, Any]:
    return _describe_reach(model, model.reach(signature))


def _describe_reach(model: SavedModel, reach: ckptfmt.Reach) -> dict[str, Any]:
    return {
        "variables": reach.variables,
        "bytes": reach.nbytes,
        "assets": reach.assets,
        "functions": reach.functions,
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
        yield {
            "name": name,
            "key": source.name,
            "dtype": None if dtype is None else dtype.name,
            "shape": shape,
            "nbytes": _nbytes(dtype, shape),
            "stored": entry is not None,
        }


def _missing_values(model: SavedModel) -> Iterator[errors.CkptfmtError]:
    """Iterate over errors for what variables lack: the checkpoint, tensors in it, or its data files."""
    checkpoint, variables = model.checkpoint, model.variables
    absent = [name for name in variables.sources if checkpoint is None or name not in variables]
    if absent:
        try:
            variables.read(absent)
        except errors.CkptfmtError as error:
            yield error
    if checkpoint is None:
        return
    shards = {checkpoint.entries[variables.sources[name].name].shard for name in variables}
    for shard in sorted(shard for shard in shards if shard is not None):
        path = checkpoint.shard_path(shard)
        if LOCAL.path_type(path) != "file":
            yield errors.CheckpointNotFoundError("a data file of the checkpoint is missing", file=path)


def _declared(model: SavedModel, name: str) -> tuple[DType | None, tuple[int | None, ...] | None]:
    """Return the dtype and shape that the graph gives to a variable that the checkpoint does not have."""
    node = model.meta_graph.graph.get(name)
    attributes = {} if node is None else node.attributes
    dtype, shape = attributes.get("dtype"), attributes.get("shape")
    return dtype if isinstance(dtype, DType) else None, shape if isinstance(shape, tuple) else None


def _nbytes(dtype: DType | None, shape: tuple[int | None, ...] | None) -> int | None:
    """Return the bytes of a tensor; None if its dtype or shape does not tell."""
    if dtype is None or dtype.itemsize is None or shape is None or None in shape:
        return None
    return math.prod(size for size in shape if size is not None) * dtype.itemsize


def _describe_layer(layer: KerasLayer) -> dict[str, Any]:
    return {
        "path": layer.path,
        "name": layer.name,
        "class_name": layer.class_name,
        "weights": [
            {"name": name, "dtype": variable.dtype.name, "shape": variable.shape, "key": variable.key}
            for name, variable in layer.object_variables.items()
        ],
        "parameters": layer.parameters,
    }


def _assets(model: SavedModel) -> Iterator[dict[str, Any]]:
    for asset in model.assets.values():
        yield {"filename": asset.filename, "tensor": asset.tensor, "exists": asset.exists}
