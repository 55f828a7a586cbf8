"""Functions and classes of ``tf.train``, and ``summary_iterator``, without TensorFlow.

Code that reads checkpoints works by changing its import::

    from ckptfmt import compat

    reader = compat.load_checkpoint("training/")          # tf.train.load_checkpoint
    reader.get_variable_to_shape_map()                    # {'dense/kernel': [784, 10], ...}
    reader.get_tensor("dense/kernel")                     # a writable NumPy array

Code that saves does too, with arrays in place of variables::

    saver = compat.Saver({"v1": array}, max_to_keep=3)    # tf.compat.v1.train.Saver
    saver.save(None, "training/model.ckpt", global_step=7)
    saver.restore(None, compat.latest_checkpoint("training/"))    # {"v1": array(...)}

    checkpoint = compat.Checkpoint(v1=array)              # tf.train.Checkpoint, with objects
    checkpoint.save("training/ckpt")
    checkpoint.restore(compat.latest_checkpoint("training/"))     # {"v1": array(...)}

Restored arrays are returned. Those that were given stay as they are.

Arguments, return types and results are those of TensorFlow 2.21, unless its result is wrong or missing:

- Every path that :func:`ckptfmt.open` opens works: an ``.index`` path (an empty map in TensorFlow), a prefix
  with ``[1]`` or ``*`` in it, a directory with one checkpoint and no state file, one moved from another
  machine, or what :func:`latest_checkpoint` returns for ``save_weights("weights/")`` of Keras.
- Partitioned tensors of every dtype are put together, those of V1 checkpoints too.
- Prefixes are literal: :func:`remove_checkpoint` and :class:`Saver` delete no files of others if a prefix has
  ``[1]`` or ``*`` in it.
- :meth:`CheckpointReader.debug_string` lists a partitioned tensor once, not the encoded key of each slice.

Dtypes are :class:`ckptfmt.DType`, with the attributes of ``tf.DType`` that readers use (``name``, ``size``,
``as_numpy_dtype``, ``is_floating``, …). They compare equal to each other, to those of TensorFlow, to their
names and to their NumPy dtypes. ``as_numpy_dtype`` of a quantised type is an integer type (``np.int8`` for
``qint8``), the dtype of its arrays here; in TensorFlow it is a record of one integer.

Errors are those of :mod:`ckptfmt.errors`: a missing tensor is a KeyError, a missing checkpoint a
FileNotFoundError, and if the path is a directory also a ValueError, as in TensorFlow.
"""

from __future__ import annotations

from ckptfmt.compat.graphs import write_graph
from ckptfmt.compat.iterators import checkpoints_iterator, summary_iterator
from ckptfmt.compat.objects import Checkpoint, CheckpointManager
from ckptfmt.compat.reader import (
    CheckpointReader,
    NewCheckpointReader,
    list_variables,
    load_checkpoint,
    load_variable,
)
from ckptfmt.compat.saver import Saver
from ckptfmt.compat.state import (
    checkpoint_exists,
    generate_checkpoint_state_proto,
    get_checkpoint_mtimes,
    get_checkpoint_state,
    latest_checkpoint,
    remove_checkpoint,
    update_checkpoint_state,
)

__all__ = [
    "Checkpoint",
    "CheckpointManager",
    "CheckpointReader",
    "NewCheckpointReader",
    "Saver",
    "checkpoint_exists",
    "checkpoints_iterator",
    "generate_checkpoint_state_proto",
    "get_checkpoint_mtimes",
    "get_checkpoint_state",
    "latest_checkpoint",
    "list_variables",
    "load_checkpoint",
    "load_variable",
    "remove_checkpoint",
    "summary_iterator",
    "update_checkpoint_state",
    "write_graph",
]


def __dir__() -> list[str]:
    """List what ``tf.train`` has too, and not the modules of this package: completion shows it."""
    return __all__
