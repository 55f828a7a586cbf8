"""Open TensorFlow checkpoints without TensorFlow, as dicts and NumPy arrays.

::

    import ckptfmt

    with ckptfmt.open("training/") as ckpt:      # prefix, index, data file, V1 file, directory, SavedModel
        print(list(ckpt))                        # names
        kernel = ckpt["dense/kernel"]            # a NumPy array, checksum verified
"""

from ckptfmt import compat, errors
from ckptfmt.checkpoint.checkpoint import Checkpoint
from ckptfmt.checkpoint.checkpoint import open_checkpoint as open  # noqa: A004  (users write ckptfmt.open)
from ckptfmt.checkpoint.entry import Entry
from ckptfmt.checkpoint.names import flatten
from ckptfmt.checkpoint.object_graph import Node, ObjectGraph
from ckptfmt.checkpoint.plan import Plan, parse_plan, read_plan
from ckptfmt.checkpoint.restore import Mismatch, Restored, RestoreReport, Spec
from ckptfmt.checkpoint.slice_reader import SliceReader
from ckptfmt.checkpoint.slices import TensorSlice
from ckptfmt.checkpoint.state import CheckpointState, latest_checkpoint, read_checkpoint_state
from ckptfmt.checkpoint.tensors import Tensors, View
from ckptfmt.checkpoint.verify import Problem, Report
from ckptfmt.dtypes import DTYPES, DType, as_dtype
from ckptfmt.graph.attributes import FunctionCall
from ckptfmt.graph.freeze import freeze
from ckptfmt.graph.graph import Graph
from ckptfmt.graph.meta_graph import MetaGraph
from ckptfmt.graph.node import Node as GraphNode
from ckptfmt.graph.reading import read_graph, read_meta_graph
from ckptfmt.graph.signature import Signature, TensorInfo
from ckptfmt.graph.tensor import Tensor as GraphTensor
from ckptfmt.match import Match, match
from ckptfmt.saved_model.reach import Reach, reach, unreached
from ckptfmt.saved_model.saved_model import SavedModel, open_saved_model
from ckptfmt.tensor.tensor_proto import ResourceHandle, Variant, to_array, to_proto

__version__ = "0.1.0"

__all__ = [
    "DTYPES",
    "Checkpoint",
    "CheckpointState",
    "DType",
    "Entry",
    "FunctionCall",
    "Graph",
    "GraphNode",
    "GraphTensor",
    "Match",
    "MetaGraph",
    "Mismatch",
    "Node",
    "ObjectGraph",
    "Plan",
    "Problem",
    "Reach",
    "Report",
    "ResourceHandle",
    "RestoreReport",
    "Restored",
    "SavedModel",
    "Signature",
    "SliceReader",
    "Spec",
    "TensorInfo",
    "TensorSlice",
    "Tensors",
    "Variant",
    "View",
    "__version__",
    "as_dtype",
    "compat",
    "errors",
    "flatten",
    "freeze",
    "latest_checkpoint",
    "match",
    "open",
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
]
