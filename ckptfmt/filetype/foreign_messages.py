"""Messages of other programs, recognised by their first fields, as in :mod:`ckptfmt.filetype.messages`.

Each test wants something that no message of TensorFlow has in that place, so that none is taken for one of
another program. The numbers of fields are those of the programs' own ``.proto`` files.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from ckptfmt.filetype.messages import OP, MessageField, first_fields
from ckptfmt.wire.fields import FIXED32, LENGTH_DELIMITED, VARINT

_NAME = re.compile(rb"[A-Za-z0-9_][\w.\-/ :]*")
"""A name that cannot be taken for a message: that would begin with a tag below 0x30."""

_PLANE = re.compile(rb"/host:.*|/device:.*|Task Environment|#.*", re.DOTALL)
"""Names of planes in profiles: xplane_schema.cc of XLA."""

_MINDSPORE_TYPE = re.compile(
    rb"B?[Ff]loat\d*|U?[Ii]nt\d*|[Bb]ool|[Ss]tr(ing)?|[Cc]omplex\d*|BFloat16|q?int\d+"
)

_ONNX_GRAPH = {1, 2, 5, *range(10, 17)}
"""Fields of ``GraphProto``: onnx.proto."""

MIN_CORE_ML_TYPE = 200
"""Least number of the fields of ``Model.Type``: Model.proto of coremltools."""


def is_onnx(fields: Sequence[MessageField]) -> bool:
    """ModelProto of ONNX: its version is a number, its graph is field 7."""
    if fields[0][:2] != (1, VARINT):
        return False
    graphs = [first_fields(field.content) for field in fields if field[:2] == (7, LENGTH_DELIMITED)]
    return bool(graphs and graphs[0]) and {field.number for field in graphs[0]} <= _ONNX_GRAPH


def is_core_ml(fields: Sequence[MessageField]) -> bool:
    """Model of Core ML: a version 1, a description 2, and what the model is in a field of a large number."""
    tags = [(field.number, field.wire_type) for field in fields]
    return tags[:2] == [(1, VARINT), (2, LENGTH_DELIMITED)] and any(
        number >= MIN_CORE_ML_TYPE for number, _ in tags
    )


def is_profile(fields: Sequence[MessageField]) -> bool:
    """XSpace: planes 1, which have a name 2."""
    planes = (first_fields(field.content) for field in fields[:1] if field.number == 1)
    return any(
        field.number == 2 and _PLANE.fullmatch(bytes(field.content)) for plane in planes for field in plane
    )


def is_mindspore(fields: Sequence[MessageField]) -> bool:
    """Checkpoint of MindSpore: values 1 with a tag 1, and a tensor 2 that names its type in field 2."""
    if fields[0][:2] != (1, LENGTH_DELIMITED):
        return False
    value = first_fields(fields[0].content)
    if [field[:2] for field in value[:2]] != [(1, LENGTH_DELIMITED), (2, LENGTH_DELIMITED)]:
        return False
    return any(
        field[:2] == (2, LENGTH_DELIMITED) and _MINDSPORE_TYPE.fullmatch(bytes(field.content)) is not None
        for field in first_fields(value[1].content)
    )


def is_paddle_program(fields: Sequence[MessageField]) -> bool:
    """ProgramDesc of PaddlePaddle: blocks 1 that begin with their own number and that of their parent."""
    if fields[0][:2] != (1, LENGTH_DELIMITED):
        return False
    block = [field[:2] for field in first_fields(fields[0].content)[:3]]
    return block == [(1, VARINT), (2, VARINT), (3, LENGTH_DELIMITED)]


def is_caffe(fields: Sequence[MessageField]) -> bool:
    """NetParameter of Caffe: layers 100 with name 1 and type 2, or layers 2 with name 4 and an enum 5."""
    named = fields[0][:2] == (1, LENGTH_DELIMITED) and _is_name(fields[0])
    for field in fields if named else ():
        if field.wire_type != LENGTH_DELIMITED or field.number not in (2, 100):
            continue
        layer = {each[:2] for each in first_fields(field.content, has_floats=True)}
        wanted = (
            {(1, LENGTH_DELIMITED), (2, LENGTH_DELIMITED)}
            if field.number == 100
            else {(4, LENGTH_DELIMITED), (5, VARINT)}
        )
        return wanted <= layer
    return False


def is_caffe2(fields: Sequence[MessageField]) -> bool:
    """NetDef of Caffe2: operators 2 with inputs 1, outputs 2 and a type 4, all of them texts."""
    operator = next((field for field in fields if field[:2] == (2, LENGTH_DELIMITED)), None)
    if operator is None or (fields[0].number == 1 and not _is_name(fields[0])):
        return False
    inner = [each for each in first_fields(operator.content) if each.number in (1, 2, 4)]
    return any(each.number == 4 and OP.fullmatch(bytes(each.content)) for each in inner) and all(
        each.wire_type == LENGTH_DELIMITED and _is_name(each) for each in inner
    )


def is_hlo(fields: Sequence[MessageField]) -> bool:
    """HloModuleProto of XLA: two names, then computations 3 of instructions 2; or HloProto, with one in 1."""
    for module in (fields, first_fields(fields[0].content)):
        if [field[:2] for field in module[:3]] != [(number, LENGTH_DELIMITED) for number in (1, 2, 3)]:
            continue
        computation = first_fields(module[2].content)[:2]
        if _is_name(module[0]) and _is_name(module[1]) and len(computation) == 2 and _is_name(computation[0]):
            return computation[1].number == 2 and _has_name(computation[1])
    return False


def is_sentence_piece(fields: Sequence[MessageField]) -> bool:
    """ModelProto of SentencePiece: pieces 1 with a text 1, a score 2 of 4 bytes, and perhaps a type 3."""
    pieces = [first_fields(field.content, has_floats=True) for field in fields[:3] if field.number == 1]
    wanted = [(1, LENGTH_DELIMITED), (2, FIXED32), (3, VARINT)]
    return len(pieces) > 1 and all(
        [field[:2] for field in piece] in (wanted, wanted[:2]) and piece for piece in pieces
    )


def is_op_list(fields: Sequence[MessageField]) -> bool:
    """OpList of TensorFlow: ops 1 with a name 1, and arguments 2 and 3 or attributes 4 that have names 1."""
    if any(field[:2] != (1, LENGTH_DELIMITED) for field in fields):
        return False
    op = first_fields(fields[0].content)
    return (
        len(op) > 1
        and op[0].number == 1
        and OP.fullmatch(bytes(op[0].content)) is not None
        and all(_has_name(each) for each in op[1:] if each.number in (2, 3, 4))
        and any(each.number in (2, 3, 4) for each in op[1:])
    )


def _is_name(field: MessageField) -> bool:
    return field.wire_type == LENGTH_DELIMITED and _NAME.fullmatch(bytes(field.content[:1000])) is not None


def _has_name(field: MessageField) -> bool:
    """Whether a field holds a message that begins with a name."""
    inner = first_fields(field.content)
    return bool(inner) and inner[0].number == 1 and _is_name(inner[0])
