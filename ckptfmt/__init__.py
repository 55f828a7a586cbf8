"""Open TensorFlow checkpoints without TensorFlow, as dicts and NumPy arrays.

::

    import ckptfmt

    with ckptfmt.open("training/") as ckpt:      # prefix, index, data file, V1 file, directory, SavedModel
        print(list(ckpt))                        # names
        kernel = ckpt["dense/kernel"]            # a NumPy array, checksum verified

Public names are here, and in :mod:`ckptfmt.types` the classes of what they return.
"""

import functools
import importlib
import warnings
from typing import Any

__version__ = "0.1.0"

_PUBLIC = {
    "Audio": "ckptfmt.events.summaries:Audio",
    "Checkpoint": "ckptfmt.tensors.checkpoint:Checkpoint",
    "CheckpointState": "ckptfmt.checkpoint.state_file:CheckpointState",
    "CheckpointManager": "ckptfmt.saving.manager:CheckpointManager",
    "CheckpointWriter": "ckptfmt.checkpoint.checkpoint_writer:CheckpointWriter",
    "ConcreteFunction": "ckptfmt.saved_model.functions:ConcreteFunction",
    "DTYPES": "ckptfmt.dtypes:DTYPES",
    "DType": "ckptfmt.dtypes:DType",
    "Damage": "ckptfmt.record.damage:Damage",
    "EditedModel": "ckptfmt.saved_model.edits:EditedModel",
    "Entry": "ckptfmt.checkpoint.entry:Entry",
    "EventLog": "ckptfmt.events.event_log:EventLog",
    "FunctionCall": "ckptfmt.graph.attributes:FunctionCall",
    "Graph": "ckptfmt.graph.graph:Graph",
    "GraphNode": "ckptfmt.graph.node:GraphNode",
    "GraphTensor": "ckptfmt.graph.tensor:GraphTensor",
    "HParams": "ckptfmt.events.hparams:HParams",
    "Histogram": "ckptfmt.events.summaries:Histogram",
    "Image": "ckptfmt.events.summaries:Image",
    "Limits": "ckptfmt.limits:Limits",
    "Match": "ckptfmt.compare.match:Match",
    "MetaGraph": "ckptfmt.graph.meta.meta_graph:MetaGraph",
    "Mismatch": "ckptfmt.tensors.restore:Mismatch",
    "NamedValues": "ckptfmt.saved_model.structured:NamedValues",
    "ObjectFunction": "ckptfmt.saved_model.functions:ObjectFunction",
    "ObjectGraph": "ckptfmt.object_graph.object_graph:ObjectGraph",
    "ObjectNode": "ckptfmt.object_graph.object_graph:ObjectNode",
    "Plan": "ckptfmt.plans.plan:Plan",
    "Problem": "ckptfmt.integrity.report:Problem",
    "Reach": "ckptfmt.saved_model.reach:Reach",
    "Record": "ckptfmt.record.batch:Record",
    "RecordIndex": "ckptfmt.record.index:RecordIndex",
    "RecordWriter": "ckptfmt.record.writer:RecordWriter",
    "Records": "ckptfmt.record.files.records:Records",
    "Report": "ckptfmt.integrity.report:Report",
    "ResourceHandle": "ckptfmt.arrays.values:ResourceHandle",
    "RestoreReport": "ckptfmt.tensors.restore:RestoreReport",
    "Restored": "ckptfmt.tensors.restore:Restored",
    "RunMetadata": "ckptfmt.events.run_metadata:RunMetadata",
    "SavedModel": "ckptfmt.saved_model.saved_model:SavedModel",
    "SavedModelWriter": "ckptfmt.saved_model.writer:SavedModelWriter",
    "Scalars": "ckptfmt.events.series:Scalars",
    "SequenceExample": "ckptfmt.example.parse:SequenceExample",
    "Series": "ckptfmt.events.series:Series",
    "SessionLog": "ckptfmt.events.other_events:SessionLog",
    "Signature": "ckptfmt.graph.meta.signature:Signature",
    "SliceReader": "ckptfmt.tensors.slice_reader:SliceReader",
    "Spec": "ckptfmt.tensors.restore:Spec",
    "SummaryMetadata": "ckptfmt.events.summary_metadata:SummaryMetadata",
    "Tags": "ckptfmt.events.series:Tags",
    "TensorInfo": "ckptfmt.graph.meta.signature:TensorInfo",
    "TensorSlice": "ckptfmt.checkpoint.slices:TensorSlice",
    "TensorSpec": "ckptfmt.saved_model.structured:TensorSpec",
    "Tensors": "ckptfmt.tensors.tensors:Tensors",
    "TypeSpec": "ckptfmt.saved_model.structured:TypeSpec",
    "Variant": "ckptfmt.arrays.values:Variant",
    "View": "ckptfmt.tensors.tensors:View",
    "Conversion": "ckptfmt.converting.conversion:Conversion",
    "TensorFile": "ckptfmt.converting.sources.tensor_file:TensorFile",
    "as_dtype": "ckptfmt.dtypes:as_dtype",
    "convert": "ckptfmt.converting.convert:convert",
    "open_tensors": "ckptfmt.converting.sources.open_tensors:open_tensors",
    "compat": "ckptfmt.compat",
    "errors": "ckptfmt.errors",
    "find_runs": "ckptfmt.events.find:find_runs",
    "flatten": "ckptfmt.tensors.nesting:flatten",
    "freeze": "ckptfmt.graph.freeze.freeze:freeze",
    "latest_checkpoint": "ckptfmt.checkpoint.state_file:latest_checkpoint",
    "make_meta_graph": "ckptfmt.graph.meta.make:make_meta_graph",
    "match": "ckptfmt.compare.match:match",
    "open": "ckptfmt.tensors.checkpoint:open_checkpoint",
    "open_events": "ckptfmt.events.event_log:open_events",
    "open_records": "ckptfmt.record.files.records:open_records",
    "open_saved_model": "ckptfmt.saved_model.saved_model:open_saved_model",
    "parse_example": "ckptfmt.example.parse:parse_example",
    "parse_sequence_example": "ckptfmt.example.parse:parse_sequence_example",
    "read_checkpoint_state": "ckptfmt.checkpoint.state_file:read_checkpoint_state",
    "read_graph": "ckptfmt.graph.read.read:read_graph",
    "read_meta_graph": "ckptfmt.graph.read.read:read_meta_graph",
    "save": "ckptfmt.saving.save:save",
    "shipped_plans": "ckptfmt.plans.shipped_plans:shipped_plans",
    "to_array": "ckptfmt.arrays.decode:to_array",
    "to_proto": "ckptfmt.arrays.encode:to_proto",
    "types": "ckptfmt.types",
    "write_runs": "ckptfmt.events.scalar_table:write_runs",
    "write_saved_model": "ckptfmt.saved_model.writer:write_saved_model",
}
"""Every public name and where it is defined, ``module:attribute``.

A module is imported when one of its names is first asked for, so that a program waits for nothing that it
does not use. Type checkers read ``__init__.pyi``: ``python -m tests.support.make_stub`` writes it from here.
"""

_RENAMED = {
    "EventFile": "EventLog",
    "Node": "ObjectNode",
    "parse_plan": "Plan.parse",
    "read_plan": "Plan.read",
    "reach": "SavedModel.reach",
    "unreached": "SavedModel.unreached",
    "name_matcher": "ckptfmt.text.patterns:matcher",
    "write_file": "ckptfmt.storage.output:write_file",
}
"""Old names, which warn, and what they are now: a public name or a method of one, or ``module:attribute``."""

_OLD_FUNCTIONS = {
    "reach": "ckptfmt.saved_model.saved_model:reach",
    "unreached": "ckptfmt.saved_model.saved_model:unreached",
}
"""Old names of methods, and functions in their place: called by keyword, an old name takes ``model``."""

__all__ = sorted([*_PUBLIC, "__version__"])


def __getattr__(name: str) -> Any:  # noqa: ANN401  (whatever has that name)
    """Load a name when it is first used (PEP 562)."""
    if name in _RENAMED:
        new = _RENAMED[name]
        shown = new.replace(":", ".") if ":" in new else f"ckptfmt.{new}"
        warnings.warn(f"ckptfmt.{name} is now {shown}", DeprecationWarning, stacklevel=2)
        if name in _OLD_FUNCTIONS or ":" in new:
            return _load(_OLD_FUNCTIONS.get(name, new))
        first, *rest = new.split(".")
        return functools.reduce(getattr, rest, __getattr__(first))
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = _load(_PUBLIC[name])
    return value


def _load(place: str) -> Any:  # noqa: ANN401  (whatever has that name)
    """Import a ``module``, or the attribute in ``module:attribute``."""
    module, _, attribute = place.partition(":")
    loaded = importlib.import_module(module)
    return getattr(loaded, attribute) if attribute else loaded


def __dir__() -> list[str]:
    """List the public names only, and not what this module imports: completion shows them."""
    return __all__
