# Written by tests/support/make_stub.py from the table in __init__.py.

from ckptfmt import compat as compat
from ckptfmt import errors as errors
from ckptfmt import types as types
from ckptfmt.arrays.decode import to_array as to_array
from ckptfmt.arrays.encode import to_proto as to_proto
from ckptfmt.arrays.values import ResourceHandle as ResourceHandle
from ckptfmt.arrays.values import Variant as Variant
from ckptfmt.checkpoint.checkpoint_writer import CheckpointWriter as CheckpointWriter
from ckptfmt.checkpoint.entry import Entry as Entry
from ckptfmt.checkpoint.slices import TensorSlice as TensorSlice
from ckptfmt.checkpoint.state_file import CheckpointState as CheckpointState
from ckptfmt.checkpoint.state_file import latest_checkpoint as latest_checkpoint
from ckptfmt.checkpoint.state_file import read_checkpoint_state as read_checkpoint_state
from ckptfmt.compare.match import Match as Match
from ckptfmt.compare.match import match as match
from ckptfmt.converting.conversion import Conversion as Conversion
from ckptfmt.converting.convert import convert as convert
from ckptfmt.converting.sources.open_tensors import open_tensors as open_tensors
from ckptfmt.converting.sources.tensor_file import TensorFile as TensorFile
from ckptfmt.dtypes import DTYPES as DTYPES
from ckptfmt.dtypes import DType as DType
from ckptfmt.dtypes import as_dtype as as_dtype
from ckptfmt.events.event_log import EventLog as EventLog
from ckptfmt.events.event_log import open_events as open_events
from ckptfmt.events.find import find_runs as find_runs
from ckptfmt.events.hparams import HParams as HParams
from ckptfmt.events.other_events import SessionLog as SessionLog
from ckptfmt.events.run_metadata import RunMetadata as RunMetadata
from ckptfmt.events.scalar_table import write_runs as write_runs
from ckptfmt.events.series import Scalars as Scalars
from ckptfmt.events.series import Series as Series
from ckptfmt.events.series import Tags as Tags
from ckptfmt.events.summaries import Audio as Audio
from ckptfmt.events.summaries import Histogram as Histogram
from ckptfmt.events.summaries import Image as Image
from ckptfmt.events.summary_metadata import SummaryMetadata as SummaryMetadata
from ckptfmt.example.parse import SequenceExample as SequenceExample
from ckptfmt.example.parse import parse_example as parse_example
from ckptfmt.example.parse import parse_sequence_example as parse_sequence_example
from ckptfmt.graph.attributes import FunctionCall as FunctionCall
from ckptfmt.graph.freeze.freeze import freeze as freeze
from ckptfmt.graph.graph import Graph as Graph
from ckptfmt.graph.meta.make import make_meta_graph as make_meta_graph
from ckptfmt.graph.meta.meta_graph import MetaGraph as MetaGraph
from ckptfmt.graph.meta.signature import Signature as Signature
from ckptfmt.graph.meta.signature import TensorInfo as TensorInfo
from ckptfmt.graph.node import GraphNode as GraphNode
from ckptfmt.graph.read.read import read_graph as read_graph
from ckptfmt.graph.read.read import read_meta_graph as read_meta_graph
from ckptfmt.graph.tensor import GraphTensor as GraphTensor
from ckptfmt.integrity.report import Problem as Problem
from ckptfmt.integrity.report import Report as Report
from ckptfmt.limits import Limits as Limits
from ckptfmt.object_graph.object_graph import ObjectGraph as ObjectGraph
from ckptfmt.object_graph.object_graph import ObjectNode as ObjectNode
from ckptfmt.plans.plan import Plan as Plan
from ckptfmt.plans.shipped_plans import shipped_plans as shipped_plans
from ckptfmt.record.batch import Record as Record
from ckptfmt.record.damage import Damage as Damage
from ckptfmt.record.files.records import Records as Records
from ckptfmt.record.files.records import open_records as open_records
from ckptfmt.record.index import RecordIndex as RecordIndex
from ckptfmt.record.writer import RecordWriter as RecordWriter
from ckptfmt.saved_model.edits import EditedModel as EditedModel
from ckptfmt.saved_model.functions import ConcreteFunction as ConcreteFunction
from ckptfmt.saved_model.functions import ObjectFunction as ObjectFunction
from ckptfmt.saved_model.reach import Reach as Reach
from ckptfmt.saved_model.saved_model import SavedModel as SavedModel
from ckptfmt.saved_model.saved_model import open_saved_model as open_saved_model
from ckptfmt.saved_model.structured import NamedValues as NamedValues
from ckptfmt.saved_model.structured import TensorSpec as TensorSpec
from ckptfmt.saved_model.structured import TypeSpec as TypeSpec
from ckptfmt.saved_model.writer import SavedModelWriter as SavedModelWriter
from ckptfmt.saved_model.writer import write_saved_model as write_saved_model
from ckptfmt.saving.manager import CheckpointManager as CheckpointManager
from ckptfmt.saving.save import save as save
from ckptfmt.tensors.checkpoint import Checkpoint as Checkpoint
from ckptfmt.tensors.checkpoint import open_checkpoint as open
from ckptfmt.tensors.nesting import flatten as flatten
from ckptfmt.tensors.restore import Mismatch as Mismatch
from ckptfmt.tensors.restore import RestoreReport as RestoreReport
from ckptfmt.tensors.restore import Restored as Restored
from ckptfmt.tensors.restore import Spec as Spec
from ckptfmt.tensors.slice_reader import SliceReader as SliceReader
from ckptfmt.tensors.tensors import Tensors as Tensors
from ckptfmt.tensors.tensors import View as View

# Old names, which still work and warn: _RENAMED in __init__.py. They are not in __all__.
from ckptfmt.saved_model.saved_model import reach as _reach
from ckptfmt.saved_model.saved_model import unreached as _unreached
from ckptfmt.storage.output import write_file as _write_file
from ckptfmt.text.patterns import matcher as _name_matcher

EventFile = EventLog
Node = ObjectNode
name_matcher = _name_matcher
parse_plan = Plan.parse
reach = _reach
read_plan = Plan.read
unreached = _unreached
write_file = _write_file

__version__: str

__all__ = [
    "Audio",
    "Checkpoint",
    "CheckpointManager",
    "CheckpointState",
    "CheckpointWriter",
    "ConcreteFunction",
    "Conversion",
    "DTYPES",
    "DType",
    "Damage",
    "EditedModel",
    "Entry",
    "EventLog",
    "FunctionCall",
    "Graph",
    "GraphNode",
    "GraphTensor",
    "HParams",
    "Histogram",
    "Image",
    "Limits",
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
    "SavedModelWriter",
    "Scalars",
    "SequenceExample",
    "Series",
    "SessionLog",
    "Signature",
    "SliceReader",
    "Spec",
    "SummaryMetadata",
    "Tags",
    "TensorFile",
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
    "convert",
    "errors",
    "find_runs",
    "flatten",
    "freeze",
    "latest_checkpoint",
    "make_meta_graph",
    "match",
    "open",
    "open_events",
    "open_records",
    "open_saved_model",
    "open_tensors",
    "parse_example",
    "parse_sequence_example",
    "read_checkpoint_state",
    "read_graph",
    "read_meta_graph",
    "save",
    "shipped_plans",
    "to_array",
    "to_proto",
    "types",
    "write_runs",
    "write_saved_model",
]
