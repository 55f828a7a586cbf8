"""Writes split messages as ``ComposableSplitter`` in TensorFlow's ``split.py`` does."""

from __future__ import annotations

import copy
from collections.abc import Sequence

from google.protobuf.message import Message

from ckptfmt.proto.messages import DataType, GraphDef, NodeDef, SavedModel
from ckptfmt.proto.proto_splitter import ChunkedField, ChunkedMessage, ChunkInfo, ChunkMetadata, FieldIndex
from tests.support.riegeli_writer import RiegeliWriter

Part = Message | bytes
Step = int | str | tuple[int]


class Split:
    """The chunks of a message, and where each goes."""

    def __init__(self, base: Message) -> None:
        self.parts: list[Part] = [base]
        self.message = ChunkedMessage(chunk_index=0)

    def add(self, part: Part, *path: Step, within: ChunkedMessage | None = None) -> ChunkedField:
        """Add a part at a path, whose steps are field numbers, indices in tuples, and map keys as text."""
        parent = self.message if within is None else within
        field = parent.chunked_fields.add(field_tag=[tag(step) for step in path])
        field.message.chunk_index = len(self.parts)
        self.parts.append(part)
        return field

    def metadata(self, offsets: Sequence[int]) -> ChunkMetadata:
        metadata = ChunkMetadata(message=self.message)
        metadata.version.splitter_version = 1
        for part, offset in zip(self.parts, offsets, strict=True):
            kind = ChunkInfo.BYTES if isinstance(part, bytes) else ChunkInfo.MESSAGE
            metadata.chunks.add(type=kind, size=len(encoded(part)), offset=offset)
        return metadata

    def content(self, compression: str = "none", in_chunk: int = 1) -> bytes:
        """Return the file, with ``in_chunk`` records in each Riegeli chunk."""
        writer = RiegeliWriter()
        records = [encoded(part) for part in self.parts]
        offsets: list[int] = []
        for start in range(0, len(records), in_chunk):
            offsets += writer.records(records[start : start + in_chunk], compression)
        writer.records([self.metadata(offsets).SerializeToString()], compression)
        return bytes(writer.out)


def tag(step: Step) -> FieldIndex:
    if isinstance(step, str):
        return FieldIndex(map_key=FieldIndex.MapKey(s=step))
    return FieldIndex(field=step) if isinstance(step, int) else FieldIndex(index=step[0])


def encoded(part: Part) -> bytes:
    return part if isinstance(part, bytes) else part.SerializeToString()


NODE, LIBRARY, VERSIONS = 1, 2, 4  # fields of GraphDef
FUNCTION, NODE_DEF = 1, 3  # of FunctionDefLibrary, of FunctionDef
NAME, OP, ATTR = 1, 2, 5  # of NodeDef
TENSOR, CONTENT = 8, 4  # of AttrValue, of TensorProto


def split_saved_model(model: SavedModel) -> Split:
    """Split a model as SavedModelSplitter does: into graph, library, functions, nodes and constants."""
    split = Split(model)
    at: tuple[Step, ...] = (2, (0,), 2)
    graph = model.meta_graphs[0].graph_def
    taken = copy.deepcopy(graph)
    graph.Clear()
    split.add(taken, *at)
    library = copy.deepcopy(taken.library)
    taken.ClearField("library")
    split.add(library, *at, LIBRARY)
    for number, function in enumerate(library.function):
        for k, node in enumerate(function.node_def):
            tensor = node.attr["value"].tensor if "value" in node.attr else None
            if tensor is not None and len(tensor.tensor_content) > 1000:
                value = tensor.tensor_content
                tensor.ClearField("tensor_content")
                path = (LIBRARY, FUNCTION, (number,), NODE_DEF, (k,), ATTR, "value", TENSOR, CONTENT)
                split.add(value, *at, *path)
        if number % 2:
            split.add(copy.deepcopy(function), *at, LIBRARY, FUNCTION, (number,))
            function.Clear()
    middle = len(taken.node) // 2
    split.add(GraphDef(node=taken.node[middle:]), *at)
    del taken.node[middle:]
    return split


def constant(name: str, content: bytes) -> NodeDef:
    node = NodeDef(name=name, op="Const")
    node.attr["dtype"].type = DataType.DT_UINT8
    node.attr["value"].tensor.dtype = DataType.DT_UINT8
    node.attr["value"].tensor.tensor_shape.dim.add(size=len(content))
    node.attr["value"].tensor.tensor_content = content
    return node
