"""Outlines: graphs whose large constants lie beside the message.

protobuf copies the bytes of a constant when it parses them, when they are set, each time that they are read,
and when it serializes them. So they are kept out of the GraphDef that this package works with, and are put
into it when somebody asks for the message itself.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping

from ckptfmt.graph.tensor_content import NODE_TAG, split_node
from ckptfmt.proto import messages
from ckptfmt.wire.coding import Buffer, encode_varint


class Outline:
    """A GraphDef and the bytes of large constants that it is without.

    As long as it is without any, nobody outside has it, but at most some nodes, which are whole: so all nodes
    stand where they stood. May be used from many threads.
    """

    def __init__(self, message: messages.GraphDef, contents: Mapping[int, memoryview] | None = None) -> None:
        """Take a message, and contents by the numbers of the nodes that they belong to."""
        self.message = message
        """The GraphDef, without some of its contents."""
        self._contents = dict(contents or {})
        self._numbers = {message.node[number].name: number for number in self._contents}
        self._lock = threading.Lock()

    @classmethod
    def of(cls, message: messages.GraphDef, contents: Mapping[str, memoryview]) -> Outline:
        """Take a message and contents by the names of constants, not all of which need to be in it."""
        nodes = enumerate(message.node) if contents else ()
        numbers = {number: node.name for number, node in nodes if node.op == "Const"}
        return cls(message, {n: contents[name] for n, name in numbers.items() if name in contents})

    def content(self, name: str) -> memoryview | None:
        """Return the content of a node that the message is without, None where there is no such."""
        number = self._numbers.get(name)
        return None if number is None else self._contents.get(number)

    def complete(self, name: str | None = None) -> None:
        """Put the content of a node where it belongs; without a name that of every node."""
        with self._lock:
            for number in list(self._contents) if name is None else [self._numbers.get(name, -1)]:
                if number in self._contents:
                    tensor = self.message.node[number].attr["value"].tensor
                    tensor.tensor_content = bytes(self._contents[number])
                    # Not earlier: who finds none here looks into the message.
                    del self._contents[number]

    def snapshot(self) -> Outline:
        """Return it as it is now, whatever is asked for meanwhile; itself where nothing is missing."""
        with self._lock:
            if not self._contents:
                return self
            message = messages.GraphDef()
            message.CopyFrom(self.message)
            return Outline(message, self._contents)

    def by_name(self, prefix: str = "") -> dict[str, memoryview]:
        """Return the contents by the names of their nodes, with a prefix before them."""
        nodes = self.message.node
        return {prefix + nodes[number].name: content for number, content in self._contents.items()}

    def pieces(self) -> Iterator[Buffer]:
        """Iterate over pieces of the nodes, serialized as fields of a GraphDef.

        GraphNode by node: all at once takes protobuf several times as long.
        """
        for number, node in enumerate(self.message.node):
            if self._contents:
                yield from self._pieces_of(number, node)
            else:
                data = node.SerializeToString(deterministic=True)
                yield NODE_TAG + encode_varint(len(data))
                yield data

    def _pieces_of(self, number: int, node: messages.NodeDef) -> tuple[Buffer, ...]:
        with self._lock:
            data = node.SerializeToString(deterministic=True)
            content = self._contents.get(number)
        if content is None:
            return NODE_TAG + encode_varint(len(data)), data
        before, behind = split_node(data, len(content))
        size = len(before) + len(content) + len(behind)
        return NODE_TAG + encode_varint(size), before, content, behind
