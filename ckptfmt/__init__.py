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
from ckptfmt.checkpoint.slice_reader import SliceReader
from ckptfmt.checkpoint.slices import TensorSlice
from ckptfmt.checkpoint.state import CheckpointState, latest_checkpoint, read_checkpoint_state
from ckptfmt.checkpoint.verify import Problem, Report
from ckptfmt.dtypes import DTYPES, DType
from ckptfmt.tensor import ResourceHandle, Variant

__version__ = "0.1.0"

__all__ = [
    "DTYPES",
    "Checkpoint",
    "CheckpointState",
    "DType",
    "Entry",
    "Problem",
    "Report",
    "ResourceHandle",
    "SliceReader",
    "TensorSlice",
    "Variant",
    "__version__",
    "compat",
    "errors",
    "latest_checkpoint",
    "open",
    "read_checkpoint_state",
]
