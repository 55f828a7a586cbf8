"""Objects of TF2 in what is saved: the graph by which ``tf.train.Checkpoint`` finds the tensors."""

from __future__ import annotations

from ckptfmt.tensors.mapping import TensorMapping


def graph_to_store(tensors: TensorMapping) -> bytes | None:
    """Return the object graph to store with the tensors of a checkpoint or a view, serialized.

    None leaves things as they are: the graph is copied if its tensor is among those that are saved.
    """
    return None
