"""Messages: which message bytes hold, judging by the numbers and types of its first fields.

Graphs, meta graphs and SavedModels have no magic number. They differ in their fields:

=====  ==================  =======================  ==================
field  GraphDef            MetaGraphDef             SavedModel
=====  ==================  =======================  ==================
1      node, many          meta_info_def, one       schema, a number
2      library             graph_def                meta_graphs
3      version, a number   saver_def
4      versions            collection_def: a map
5-7                        signature_def …
=====  ==================  =======================  ==================

Only the first fields are looked at, and only the first fields of nested messages, so that the answer costs
the same for a graph of a gigabyte and survives damage further on. The last field may be cut short.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import islice
from typing import NamedTuple

from ckptfmt.errors import CorruptError
from ckptfmt.filetype.texts import HEAD_SIZE, is_text
from ckptfmt.wire.coding import Buffer
from ckptfmt.wire.fields import LENGTH_DELIMITED, VARINT, find_fields

MAX_FIELDS = 100
"""How many fields, from the first on, are looked at."""

OP = re.compile(rb"[A-Za-z_][A-Za-z0-9_.>\-/]*")
"""Name of an operation or a function."""


_DEVICE = re.compile(rb"/(?:job|device|replica|task|host|[cgt]pu):", re.IGNORECASE)
"""The beginning of the names of devices."""


class MessageField(NamedTuple):
    """A field of a message."""

    number: int
    wire_type: int
    content: Buffer
    """The bytes of a length-delimited field, perhaps cut short; empty for a number."""


def first_fields(data: Buffer, *, has_floats: bool = False) -> list[MessageField]:
    """Return the first fields of a message, the last perhaps cut short; none if it is not a message.

    Only messages that may have floats may have fields of fixed size; those recognised here have none.
    """
    data = memoryview(data)  # so that nested messages are views, not copies
    fields: list[MessageField] = []
    try:
        for field in islice(find_fields(data, may_be_cut=True), MAX_FIELDS):
            if field.wire_type not in (VARINT, LENGTH_DELIMITED) and not has_floats:
                return []
            content = data[field.content : field.stop] if field.wire_type == LENGTH_DELIMITED else b""
            fields.append(MessageField(field.number, field.wire_type, content))
    except CorruptError:
        return []
    return fields


def is_saved_model(fields: Sequence[MessageField]) -> bool:
    """SavedModel."""
    # The schema version comes first, once; only meta graphs follow. TF1 Hub modules have no version.
    has_version = fields[0][:2] == (1, VARINT)
    metas = fields[1:] if has_version else fields
    if any(field[:2] != (2, LENGTH_DELIMITED) for field in metas):
        return False
    return has_version or _is_in_saved_model(first_fields(fields[0].content))


def _is_in_saved_model(fields: Sequence[MessageField]) -> bool:
    """Whether these are the fields of a meta graph, and cannot be those of a graph or of its library."""
    by_number = {field.number: field for field in reversed(fields)}
    if len(by_number) > 1 and not is_meta_graph(fields):
        return False
    if 2 in by_number:
        graph = first_fields(by_number[2].content)
        return bool(graph) and is_graph(graph)
    # The operations of a Hub module come before its graph, and may be all that is left of a cut file.
    info = first_fields(by_number[1].content) if 1 in by_number else []
    return is_meta_graph(fields) and any(each.number == 2 and _is_op_list(each) for each in info)


def _is_op_list(field: MessageField) -> bool:
    """Whether a field holds an OpList: OpDefs in field 1, with a name in field 1."""
    ops = first_fields(field.content)
    names = first_fields(ops[0].content) if ops and ops[0].number == 1 else []
    return bool(names) and names[0].number == 1 and OP.fullmatch(bytes(names[0].content)) is not None


def is_fingerprint(fields: Sequence[MessageField]) -> bool:
    """FingerprintDef: hashes 1 to 5, which are numbers, a version 6, and later a UUID 7 in decimal digits."""
    numbers = [field.number for field in fields]
    return (
        numbers[0] <= 5 < numbers[-1] <= 7
        and all(field.wire_type == (VARINT if field.number <= 5 else LENGTH_DELIMITED) for field in fields)
        and all(bytes(field.content).isdigit() for field in fields if field.number == 7)
    )


def is_keras_metadata(fields: Sequence[MessageField]) -> bool:
    """SavedMetadata: objects that say in field 4 which kind of Keras object they are."""
    if fields[0][:2] != (1, LENGTH_DELIMITED):
        return False
    inner = first_fields(fields[0].content)
    return any(field.number == 4 and bytes(field.content[:9]) == b"_tf_keras" for field in inner)


def is_run_metadata(fields: Sequence[MessageField]) -> bool:
    """RunMetadata: statistics 1, which begin with a device, or graphs 3, or those of functions 4."""
    steps = first_fields(fields[0].content) if fields[0].number == 1 else []
    devices = first_fields(steps[0].content) if steps and steps[0].number == 1 else []
    if devices and devices[0].number == 1 and _DEVICE.match(bytes(devices[0].content)):
        return True
    graphs = [first_fields(field.content) for field in fields if field.number == 3]
    functions = [first_fields(field.content) for field in fields if field.number == 4]
    graphs += [first_fields(each.content) for parts in functions for each in parts if each.number == 2]
    return any(graph and graph[0].number == 1 and is_graph(graph) for graph in graphs)


def is_graph(fields: Sequence[MessageField]) -> bool:
    """GraphDef."""
    allowed = {1: LENGTH_DELIMITED, 2: LENGTH_DELIMITED, 3: VARINT, 4: LENGTH_DELIMITED, 5: LENGTH_DELIMITED}
    if any(allowed.get(field.number) != field.wire_type for field in fields):
        return False
    if any(field.number in (4, 5) and _is_map_entry(field) for field in fields):
        return False  # a collection or a signature of a meta graph
    # All nodes look alike, so the first one tells. Without nodes, a library (field 2) could as well be the
    # graph_def of a meta graph, unless there is a version too.
    nodes = [field for field in fields if field.number == 1]
    return _is_node(nodes[0]) if nodes else any(field.number in (3, 4) for field in fields)


def is_meta_graph(fields: Sequence[MessageField]) -> bool:
    """MetaGraphDef."""
    for field in fields:
        if field.number > 7 or field.wire_type != LENGTH_DELIMITED:
            return False
        if field.number == 4 and not _is_map_entry(field):
            return False  # the versions of a graph
    # Field 1 once is a MetaInfoDef, if it looks like one; several are the nodes of a graph.
    infos = [field for field in fields if field.number == 1]
    if infos:
        return len(infos) == 1 and _is_meta_info(infos[0])
    # A graph_def alone (field 2) may as well be the library of a GraphDef.
    return any(field.number != 2 for field in fields)


def _is_map_entry(field: MessageField) -> bool:
    """Whether a field holds a map entry, which begins with its key; a VersionDef begins with a number."""
    return bytes(field.content[:1]) == b"\n"


def _is_node(field: MessageField) -> bool:
    """Whether a field holds a NodeDef: its field 2 is an op, while a MetaInfoDef has an OpList there."""
    inner = {each.number: each for each in first_fields(field.content) if each.wire_type == LENGTH_DELIMITED}
    return 2 in inner and OP.fullmatch(bytes(inner[2].content)) is not None


def _is_meta_info(field: MessageField) -> bool:
    """Whether a field holds a MetaInfoDef: a bool 7, texts in fields 1, 4, 5 and 6, and most fields once."""
    inner = first_fields(field.content)
    if not inner:
        return not field.content
    numbers = [each.number for each in inner]
    return (
        all(each.wire_type == (VARINT if each.number == 7 else LENGTH_DELIMITED) for each in inner)
        and set(numbers) <= set(range(1, 9))
        and all(numbers.count(number) <= 1 for number in (1, 2, 3, 5, 6, 7))
        and all(is_text(bytes(each.content[:HEAD_SIZE])) for each in inner if each.number in (1, 4, 5, 6))
    )
