"""Outlines: graphs whose large constants are kept beside the message.

protobuf copies the bytes of a constant when it parses them, when they are set, each time they are read, and
when it serializes them. So the GraphDef that this package works with lacks them, and they are put into it
only when somebody asks for the message itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ckptfmt.graph.tensor_content import NODE_TAG, split_node
from ckptfmt.limits import DEFAULT, Limits
from ckptfmt.locks import new_lock
from ckptfmt.proto import messages
from ckptfmt.riegeli.divide import FieldPath, FieldStep
from ckptfmt.wire.coding import Buffer, encode_varint

_CONTENT_PATH = (FieldStep(5, "value"), FieldStep(8), FieldStep(4))
"""The way from a constant to its content."""


class Outline:
    """A GraphDef, and the bytes of the large constants that it lacks.

    Contents belong to nodes by number. The numbers stay right because callers, who could move nodes, do not
    get the GraphDef before all contents are in it; until then they have at most single nodes that are
    complete.

    Any number of threads may use it. Content is removed here only after it is in the message, so a reader
    that does not find it here finds it there.
    """

    def __init__(
        self,
        message: messages.GraphDef,
        contents: Mapping[int, memoryview] | None = None,
        *,
        limits: Limits = DEFAULT,
    ) -> None:
        """Take a message, and contents by the numbers of the nodes that they belong to."""
        self.message = message
        """The GraphDef, without some contents."""
        self.limits = limits
        """How many bytes a constant may take that is stored in fewer."""
        self._contents = dict(contents or {})
        self._numbers = {message.node[number].name: number for number in self._contents}
        self._lock = new_lock()

    @classmethod
    def of(cls, message: messages.GraphDef, contents: Mapping[str, memoryview]) -> Outline:
        """Take a message, and contents by constant name; names that the message lacks are ignored."""
        nodes = enumerate(message.node) if contents else ()
        constants = {number: node.name for number, node in nodes if node.op == "Const"}
        return cls(message, {n: contents[name] for n, name in constants.items() if name in contents})

    def content(self, name: str) -> memoryview | None:
        """Return the content of a node if the message lacks it, else None."""
        number = self._numbers.get(name)
        return None if number is None else self._contents.get(number)

    def complete(self, name: str | None = None) -> None:
        """Put the content of a node into the message, or that of every node."""
        with self._lock:
            for number in list(self._contents) if name is None else [self._numbers.get(name, -1)]:
                if number in self._contents:
                    tensor = self.message.node[number].attr["value"].tensor
                    tensor.tensor_content = bytes(self._contents[number])
                    del self._contents[number]

    def snapshot(self) -> Outline:
        """Return the outline as it is now, unaffected by later completion; itself if it is complete."""
        with self._lock:
            if not self._contents:
                return self
            message = messages.GraphDef()
            message.CopyFrom(self.message)
            return Outline(message, self._contents, limits=self.limits)

    def by_name(self, prefix: str = "") -> dict[str, memoryview]:
        """Return the contents by the names of their nodes, with a prefix before them."""
        nodes = self.message.node
        return {prefix + nodes[number].name: content for number, content in self._contents.items()}

    def content_paths(self, graph: FieldPath = ()) -> list[tuple[FieldPath, memoryview]]:
        """Return the contents with their paths in a message that has the GraphDef at ``graph``."""
        return [
            ((*graph, FieldStep(1, number), *_CONTENT_PATH), content)
            for number, content in self._contents.items()
        ]

    def serialize_nodes(self) -> Iterator[Buffer]:
        """Iterate over parts of the nodes, serialized as fields of a GraphDef.

        Nodes are serialized one by one, since protobuf takes several times as long for all of them at once.
        """
        for number, node in enumerate(self.message.node):
            if self._contents:
                yield from self._serialize_node(number, node)
            else:
                data = node.SerializeToString(deterministic=True)
                yield NODE_TAG + encode_varint(len(data))
                yield data

    def _serialize_node(self, number: int, node: messages.NodeDef) -> tuple[Buffer, ...]:
        # Under the lock, so that the content is either in the node or here, never both or neither.
        with self._lock:
            data = node.SerializeToString(deterministic=True)
            content = self._contents.get(number)
        if content is None:
            return NODE_TAG + encode_varint(len(data)), data
        before, after = split_node(data, len(content))
        size = len(before) + len(content) + len(after)
        return NODE_TAG + encode_varint(size), before, content, after
