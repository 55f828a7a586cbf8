"""Pictures: boxes in clusters, and arrows between them, before any program draws them."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Literal, NamedTuple

from ckptfmt.graph.attributes import PartialShape
from ckptfmt.graph.tensor import GraphTensor

BoxKind = Literal["node", "scope", "argument", "layer"]
ArrowKind = Literal["data", "control", "call"]


class Box(NamedTuple):
    """A node, a scope of nodes, an argument or result of a function, or a layer."""

    lines: tuple[str, ...]
    """What is written in it: its name first."""
    kind: BoxKind
    cluster: int | None
    """Number of the cluster that it is in; None outside all clusters."""
    name: str | None = None
    """The name of the node of the graph, if it is one, else None."""


class Cluster(NamedTuple):
    """The body of a function."""

    title: str
    parent: int | None
    """Number of the cluster that it is in."""


class Arrow(NamedTuple):
    """What flows from one box to another, or the call of a function."""

    source: int
    target: int
    """Number of a box; that of a cluster if a node calls it."""
    kind: ArrowKind
    label: str
    times: int
    """How many inputs of nodes it stands for."""


class Picture(NamedTuple):
    """What a picture shows. Boxes and clusters are known by their numbers, clusters after their parents."""

    boxes: Sequence[Box]
    clusters: Sequence[Cluster]
    arrows: Sequence[Arrow]
    upward: bool = True
    """Whether data flows upward, as TensorBoard draws graphs."""


class Sketch:
    """A picture that grows. Boxes have keys, and several arrows between two boxes become one."""

    def __init__(self) -> None:
        self.boxes: dict[Hashable, Box] = {}
        self.clusters: list[Cluster] = []
        self._numbers: dict[Hashable, int] = {}
        self._arrows: dict[tuple[int, int, ArrowKind], tuple[str, int]] = {}

    def add_box(self, key: Hashable, box: Box) -> None:
        """Add a box, or replace what is known of it."""
        self._numbers.setdefault(key, len(self._numbers))
        self.boxes[key] = box

    def add_cluster(self, title: str, parent: int | None) -> int:
        """Add a cluster; return its number."""
        self.clusters.append(Cluster(title, parent))
        return len(self.clusters) - 1

    def add_arrow(self, source: Hashable, target: Hashable, kind: ArrowKind, label: str = "") -> None:
        """Add an arrow between boxes; the label is that of the first one between these two."""
        self._add(self._numbers[source], self._numbers[target], kind, label)

    def add_call(self, source: Hashable, cluster: int) -> None:
        """Add an arrow from a box to a cluster."""
        self._add(self._numbers[source], cluster, "call", "")

    def _add(self, source: int, target: int, kind: ArrowKind, label: str) -> None:
        known, count = self._arrows.get((source, target, kind), (label, 0))
        self._arrows[source, target, kind] = known if known == label else "", count + 1

    def picture(self, *, upward: bool = True) -> Picture:
        """Return the picture as it is now."""
        arrows = [Arrow(*ends, label, count) for ends, (label, count) in self._arrows.items()]
        return Picture(list(self.boxes.values()), self.clusters, arrows, upward)


def type_text(dtype: str, shape: PartialShape) -> str:
    """Return the type of a tensor as pictures show it, ``float32[?,2]``; empty if its shape is not known."""
    if shape is None:
        return ""
    return f"{dtype}[{','.join('?' if size is None else str(size) for size in shape)}]"


def tensor_text(tensor: GraphTensor | None) -> str:
    """Return the type of a tensor, or an empty string for a handle, whose shape says nothing."""
    if tensor is None or tensor.dtype is None:
        return "" if tensor is None else type_text("", tensor.shape)
    return "" if tensor.dtype.name in ("resource", "variant") else type_text(tensor.dtype.name, tensor.shape)
