"""Open TensorFlow checkpoints without TensorFlow, as dicts and NumPy arrays.

::

    import ckptfmt

    with ckptfmt.open("training/") as ckpt:      # prefix, index, data file, V1 file, directory, SavedModel
        print(list(ckpt))                        # names
        kernel = ckpt["dense/kernel"]            # a NumPy array, checksum verified
"""

import importlib
from typing import Any

from ckptfmt import errors
from ckptfmt.arrays.tensor_proto import ResourceHandle, Variant, to_array, to_proto
from ckptfmt.checkpoint.entry import Entry
from ckptfmt.checkpoint.slices import TensorSlice
from ckptfmt.checkpoint.state import CheckpointState, latest_checkpoint, read_checkpoint_state
from ckptfmt.dtypes import DTYPES, DType, as_dtype
from ckptfmt.integrity.verify import Problem, Report
from ckptfmt.object_graph.object_graph import ObjectGraph, ObjectNode
from ckptfmt.plans.plan import Plan, parse_plan, read_plan
from ckptfmt.storage.output import write_file
from ckptfmt.tensors.checkpoint import Checkpoint
from ckptfmt.tensors.checkpoint import open_checkpoint as open  # noqa: A004  (users write ckptfmt.open)
from ckptfmt.tensors.nesting import flatten
from ckptfmt.tensors.restore import Mismatch, Restored, RestoreReport, Spec
from ckptfmt.tensors.slice_reader import SliceReader
from ckptfmt.tensors.tensors import Tensors, View
from ckptfmt.text.patterns import matcher as name_matcher

__version__ = "0.1.0"

__all__ = [
    "DTYPES",
    "Audio",
    "Checkpoint",
    "CheckpointState",
    "ConcreteFunction",
    "DType",
    "Damage",
    "Entry",
    "EventLog",
    "FunctionCall",
    "Graph",
    "GraphNode",
    "GraphTensor",
    "HParams",
    "Histogram",
    "Image",
    "Match",
    "MetaGraph",
    "Mismatch",
    "NamedValues",
    "ObjectFunction",
    "ObjectGraph",
    "ObjectNode",
    "Plan",
    "Problem",
    "Reach",
    "Record",
    "RecordIndex",
    "RecordWriter",
    "Records",
    "Report",
    "ResourceHandle",
    "RestoreReport",
    "Restored",
    "RunMetadata",
    "SavedModel",
    "Scalars",
    "Series",
    "SessionLog",
    "Signature",
    "SliceReader",
    "Spec",
    "SummaryMetadata",
    "Tags",
    "TensorInfo",
    "TensorSlice",
    "TensorSpec",
    "Tensors",
    "TypeSpec",
    "Variant",
    "View",
    "__version__",
    "as_dtype",
    "compat",
    "errors",
    "find_runs",
    "flatten",
    "freeze",
    "latest_checkpoint",
    "match",
    "name_matcher",
    "open",
    "open_events",
    "open_records",
    "open_saved_model",
    "parse_plan",
    "reach",
    "read_checkpoint_state",
    "read_graph",
    "read_meta_graph",
    "read_plan",
    "to_array",
    "to_proto",
    "unreached",
    "write_file",
    "write_runs",
]

_LATER = {
    "compat": "ckptfmt.compat",
    "RunMetadata": "ckptfmt.events.run_metadata:RunMetadata",
    "SessionLog": "ckptfmt.events.event:SessionLog",
    "EventLog": "ckptfmt.events.event_log:EventLog",
    "write_runs": "ckptfmt.events.export:write_runs",
    "find_runs": "ckptfmt.events.find:find_runs",
    "HParams": "ckptfmt.events.hparams:HParams",
    "Audio": "ckptfmt.events.media:Audio",
    "Histogram": "ckptfmt.events.media:Histogram",
    "Image": "ckptfmt.events.media:Image",
    "open_events": "ckptfmt.events.open:open_events",
    "Scalars": "ckptfmt.events.series:Scalars",
    "Series": "ckptfmt.events.series:Series",
    "Tags": "ckptfmt.events.series:Tags",
    "SummaryMetadata": "ckptfmt.events.tag_table:SummaryMetadata",
    "FunctionCall": "ckptfmt.graph.attributes:FunctionCall",
    "freeze": "ckptfmt.graph.freeze.freeze:freeze",
    "Graph": "ckptfmt.graph.graph:Graph",
    "MetaGraph": "ckptfmt.graph.meta.meta_graph:MetaGraph",
    "GraphNode": "ckptfmt.graph.node:GraphNode",
    "read_graph": "ckptfmt.graph.read.read:read_graph",
    "read_meta_graph": "ckptfmt.graph.read.read:read_meta_graph",
    "Signature": "ckptfmt.graph.meta.signature:Signature",
    "TensorInfo": "ckptfmt.graph.meta.signature:TensorInfo",
    "GraphTensor": "ckptfmt.graph.tensor:GraphTensor",
    "Match": "ckptfmt.compare.match:Match",
    "match": "ckptfmt.compare.match:match",
    "Damage": "ckptfmt.record.reader:Damage",
    "Record": "ckptfmt.record.reader:Record",
    "RecordIndex": "ckptfmt.record.records:RecordIndex",
    "Records": "ckptfmt.record.records:Records",
    "open_records": "ckptfmt.record.records:open_records",
    "RecordWriter": "ckptfmt.record.writer:RecordWriter",
    "ConcreteFunction": "ckptfmt.saved_model.functions:ConcreteFunction",
    "ObjectFunction": "ckptfmt.saved_model.functions:ObjectFunction",
    "Reach": "ckptfmt.saved_model.reach:Reach",
    "reach": "ckptfmt.saved_model.reach:reach",
    "unreached": "ckptfmt.saved_model.reach:unreached",
    "SavedModel": "ckptfmt.saved_model.saved_model:SavedModel",
    "open_saved_model": "ckptfmt.saved_model.saved_model:open_saved_model",
    "NamedValues": "ckptfmt.saved_model.structured:NamedValues",
    "TensorSpec": "ckptfmt.saved_model.structured:TensorSpec",
    "TypeSpec": "ckptfmt.saved_model.structured:TypeSpec",
}
"""Names whose modules a program that only reads checkpoints need not wait for: ``module:attribute``."""


def __getattr__(name: str) -> Any:  # noqa: ANN401  (whatever the name stands for)
    """Load what is asked for the first time (PEP 562)."""
    module, _, attribute = _LATER.get(name, "").partition(":")
    if not module:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    loaded = importlib.import_module(module)
    value = globals()[name] = getattr(loaded, attribute) if attribute else loaded
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_LATER})
