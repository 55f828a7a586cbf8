"""The reading functions of ``tf.train``, and ``summary_iterator``, without TensorFlow.

Code that only reads checkpoints works by changing its import::

    from ckptfmt import compat

    reader = compat.load_checkpoint("training/")          # tf.train.load_checkpoint
    reader.get_variable_to_shape_map()                    # {'dense/kernel': [784, 10], ...}
    reader.get_tensor("dense/kernel")                     # a writable NumPy array

Arguments, return types and results are those of TensorFlow 2.21, unless its result is wrong or missing:

- Every path that :func:`ckptfmt.open` opens works: an ``.index`` path (an empty map in TensorFlow), a prefix
  with ``[1]`` or ``*`` in it, a directory with one checkpoint and no state file, one moved from another
  machine, or what :func:`latest_checkpoint` returns for ``save_weights("weights/")`` of Keras.
- Partitioned tensors of every dtype are put together, those of V1 checkpoints too.
- :meth:`CheckpointReader.debug_string` lists a partitioned tensor once, not the encoded key of each slice.

Dtypes are :class:`ckptfmt.DType`, with the attributes of ``tf.DType`` that readers use (``name``, ``size``,
``as_numpy_dtype``, ``is_floating``, …). They compare equal to each other, to those of TensorFlow, to their
names and to their NumPy dtypes. ``as_numpy_dtype`` of a quantised type is an integer type (``np.int8`` for
``qint8``), the dtype of its arrays here; in TensorFlow it is a record of one integer.

Errors are those of :mod:`ckptfmt.errors`: a missing tensor is a KeyError, a missing checkpoint a
FileNotFoundError, and if the path is a directory also a ValueError, as in TensorFlow.
"""

from __future__ import annotations

from ckptfmt.compat.iterators import checkpoints_iterator, summary_iterator
from ckptfmt.compat.reader import (
    CheckpointReader,
    NewCheckpointReader,
    list_variables,
    load_checkpoint,
    load_variable,
)
from ckptfmt.compat.state import checkpoint_exists, get_checkpoint_state, latest_checkpoint

__all__ = [
    "CheckpointReader",
    "NewCheckpointReader",
    "checkpoint_exists",
    "checkpoints_iterator",
    "get_checkpoint_state",
    "latest_checkpoint",
    "list_variables",
    "load_checkpoint",
    "load_variable",
    "summary_iterator",
]


def __dir__() -> list[str]:
    """List what ``tf.train`` has too, and not the modules of this package: completion shows it."""
    return __all__
