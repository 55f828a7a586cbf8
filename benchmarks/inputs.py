"""Seeded inputs of a fixed size, written by TensorFlow and safetensors with the same values."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Sizes:
    """How large the inputs are."""

    large_tensors: int
    large_elements: int
    """float32 elements of each large tensor."""
    many_tensors: int


FULL = Sizes(large_tensors=16, large_elements=1 << 24, many_tensors=100_000)
"""1 GiB in 16 tensors; an index of 100,000."""

SMALL = Sizes(large_tensors=16, large_elements=1 << 16, many_tensors=2_000)
"""Enough to see that everything runs."""


def many_names(count: int) -> list[str]:
    """Names such as a TF2 checkpoint of a deep model has."""
    return [f"model/layer_{i // 100}/block_{i % 100}/kernel/.ATTRIBUTES/VARIABLE_VALUE" for i in range(count)]


def object_graph(keys: list[str]) -> bytes:
    """The object graph of variables under these keys, breadth first, as ``tf.train.Checkpoint`` writes it."""
    from tensorflow.core.protobuf import trackable_object_graph_pb2

    tree: dict[str, Any] = {}
    for key in keys:
        path = key.partition("/.ATTRIBUTES/")[0].split("/")
        branch = tree
        for part in path[:-1]:
            branch = branch.setdefault(part, {})
        branch[path[-1]] = key
    graph = trackable_object_graph_pb2.TrackableObjectGraph()
    graph.nodes.add()
    queue: list[tuple[int, Any]] = [(0, tree)]
    for number, branch in queue:
        node = graph.nodes[number]
        if isinstance(branch, str):
            full_name = branch.partition("/.ATTRIBUTES/")[0]
            node.attributes.add(name="VARIABLE_VALUE", full_name=full_name, checkpoint_key=branch)
            continue
        for name, below in branch.items():
            node.children.add(node_id=len(queue), local_name=name)
            queue.append((len(queue), below))
            graph.nodes.add()
    serialized: bytes = graph.SerializeToString()
    return serialized


def build(directory: Path, sizes: Sizes) -> None:
    """Write ``large``, ``many`` and ``objects`` as V2 checkpoints, the first two also as safetensors.

    ``objects`` is a model of layers, blocks and kernels with its object graph, of about as many nodes as
    ``many`` has tensors, half of them variables.

    Does nothing where they are there already, of these sizes.
    """
    mark = directory / "sizes.json"
    if mark.exists() and json.loads(mark.read_text()) == asdict(sizes):
        return
    import tensorflow as tf
    from safetensors.numpy import save_file

    directory.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(2026)
    large = {
        f"tensor_{i}": rng.standard_normal(sizes.large_elements, dtype=np.float32)
        for i in range(sizes.large_tensors)
    }
    many = {name: rng.standard_normal((4, 4), dtype=np.float32) for name in many_names(sizes.many_tensors)}
    for name, arrays in (("large", large), ("many", many)):
        tf.raw_ops.SaveV2(
            prefix=str(directory / name),
            tensor_names=list(arrays),
            shape_and_slices=[""] * len(arrays),
            tensors=list(arrays.values()),
        )
        save_file(arrays, directory / f"{name}.safetensors")
    kernels = dict(list(many.items())[: sizes.many_tensors // 2])
    tf.raw_ops.SaveV2(
        prefix=str(directory / "objects"),
        tensor_names=[*kernels, "_CHECKPOINTABLE_OBJECT_GRAPH"],
        shape_and_slices=[""] * (len(kernels) + 1),
        tensors=[*kernels.values(), object_graph(list(kernels))],
    )
    mark.write_text(json.dumps(asdict(sizes)))
