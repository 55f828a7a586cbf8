"""Templates: where the scalars are in events of one kind.

A program logs the same few scalars again and again, and two of its events differ only in these bytes::

    Event:        header, summary: value …
    Value:        tag, and one of
                    simple_value float                                (TensorFlow 1)
                    tensor: DT_FLOAT of rank 0, 4 bytes               (TensorFlow 2)

A template is found once, field by field, in the *body* of an event, which is all that follows its header. It
decodes every event whose body has the same size, and the same bytes everywhere but in the scalars and the
texts. A *layout* is a template together with the tags and all other texts of its events. Events of any other
kind are left to protobuf's decoder.

Bodies of one size are compared and decoded together, as rows of 8-byte words::

    row:          padding to a multiple of 8 bytes | body | masked CRC-32C of the event uint32

All rows of a batch are compared at once, eight bytes at a time, which makes this fast: a mask selects the
bits that must be the same, and a pattern holds their values.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple, TypeAlias

import numpy as np

from ckptfmt.cached_property import cached_property
from ckptfmt.dtypes import DTYPES
from ckptfmt.errors import CorruptError
from ckptfmt.proto import messages
from ckptfmt.proto.parse import parse_message
from ckptfmt.record.frame import FOOTER_SIZE
from ckptfmt.wire.coding import decode_varint
from ckptfmt.wire.crc32c import crc32c
from ckptfmt.wire.crc_rows import add_bytes
from ckptfmt.wire.fields import FIXED32, LENGTH_DELIMITED, VARINT, FieldPlace, find_fields

MAX_SIZE = 4096
"""Bytes of the largest body with a template. Larger ones are few, or hold something other than scalars. The
decoder sorts sizes as 16-bit numbers, so this must stay below 2**16."""

MAX_VALUES = 256
"""Scalars of an event with a template. Each costs a few operations for each batch, however few events fit."""

FLOAT = next(code for code, dtype in DTYPES.items() if dtype.name == "float32")

MAX_RECENT = 64
"""Sizes of bodies whose template is remembered for the next files: those of many runs are alike."""

Span: TypeAlias = tuple[int, int]
"""Where a text begins and ends in a body."""


class ScalarField(NamedTuple):
    """Where one scalar and its texts are in a body."""

    offset: int
    """First of the 4 bytes of its value."""
    is_tensor: bool
    tag: Span
    node_name: Span | None
    metadata: Span | None


@dataclass(frozen=True)
class EventTemplate:
    """Where the scalars of events are, as offsets in their bodies."""

    size: int
    """Bytes of the body."""
    scalars: tuple[ScalarField, ...]

    @cached_property
    def _mask(self) -> bytearray:
        """A mask over the bits of a body: zeros for the scalars, ones for everything else."""
        mask = bytearray(b"\xff") * self.size
        for scalar in self.scalars:
            mask[scalar.offset : scalar.offset + 4] = bytes(4)
        return mask

    @cached_property
    def _texts(self) -> list[Span]:
        spans = [span for each in self.scalars for span in (each.tag, each.node_name, each.metadata)]
        return [span for span in spans if span is not None]

    @cached_property
    def constant_bits(self) -> np.ndarray:
        """The bits of a row that are the same in all events of a layout: all but the scalars (uint64)."""
        return as_row(self._mask)

    @cached_property
    def structure_bits(self) -> np.ndarray:
        """The bits that are the same in all layouts of this template: the texts left out too (uint64)."""
        mask = self._mask.copy()
        for start, stop in self._texts:
            mask[start:stop] = bytes(stop - start)
        return as_row(mask)

    @cached_property
    def text_words(self) -> slice:
        """The words of a row in which layouts of this template may differ: first to last text."""
        # One slice for all texts, and the words between them, which do no harm if they are compared again.
        padding = _padding(self.size)
        start, stop = min(start for start, _ in self._texts), max(stop for _, stop in self._texts)
        return slice((padding + start) // 8, -(-(padding + stop) // 8))

    def scalar_crcs(self, rows: np.ndarray) -> np.ndarray:
        """Return what the scalars of events, given as rows of words, add to their CRC-32C (uint32)."""
        crcs = np.zeros(len(rows), np.uint32)
        # See ckptfmt.wire.crc_rows: what bytes add depends on how many follow them, not on the other bytes.
        columns = rows.view(np.uint8).T
        for scalar in self.scalars:
            start = _padding(self.size) + scalar.offset
            add_bytes(crcs, columns[start : start + 4], self.size - scalar.offset - 4)
        return crcs

    def values(self, rows: np.ndarray, scalar: ScalarField) -> np.ndarray:
        """Return one scalar of all events given as rows of words (float32)."""
        return _column(rows, "<f4", _padding(self.size) + scalar.offset)

    def stored_crcs(self, rows: np.ndarray) -> np.ndarray:
        """Return the masked checksums of events given as rows of words (uint32)."""
        return _column(rows, "<u4", 8 * rows.shape[1] - FOOTER_SIZE)


def _column(rows: np.ndarray, dtype: str, offset: int) -> np.ndarray:
    """Return a copy of the numbers at a byte offset of each row."""
    # The offset may be any, so the numbers are not aligned, and their stride is the size of a row.
    column: np.ndarray = np.ndarray((len(rows),), dtype, rows, offset, (8 * rows.shape[1],)).copy()
    return column


class Layout(NamedTuple):
    """A template, and everything in its events that is not a scalar."""

    template: EventTemplate
    key: bytes
    """The row of an event, with zeros for its scalars, its checksum and the padding."""
    crc: int
    """The CRC-32C of the body in that row."""
    tags: tuple[str, ...]
    """The tag of each scalar."""
    metadata: tuple[bytes, ...]
    """The serialized SummaryMetadata of each scalar, empty if it has none."""


_recent: dict[int, tuple[EventTemplate, bytes]] = {}
"""By the size of a body: the template found last, and the bits that all of its rows have."""


def _padding(size: int) -> int:
    """Return the number of bytes before a body in its row, which so ends where the frame does."""
    return -(size + FOOTER_SIZE) % 8


def as_row(body: bytes | bytearray) -> np.ndarray:
    """Return a body as a row (uint64), with zeros for the padding and the checksum."""
    row = b"".join((bytes(_padding(len(body))), body, bytes(FOOTER_SIZE)))
    return np.frombuffer(row, "<u8")


def find_layout(body: bytes) -> Layout | None:
    """Return the layout of a body, None if it does not hold scalars in their usual form.

    Wire types, lengths and dtypes are checked here once. They are constant bytes of the template, so every
    event that fits it has passed the same checks.
    """
    row = as_row(body)
    recent = _recent.get(len(body))
    if recent is not None:
        template, pattern = recent
        if (row & template.structure_bits).tobytes() == pattern:
            return layout_of(template, body)
    try:
        found = _find_template(body)
    except CorruptError:
        return None
    if found is None:
        return None
    if len(_recent) >= MAX_RECENT:
        _recent.clear()
    _recent[len(body)] = found, (row & found.structure_bits).tobytes()
    return layout_of(found, body)


def layout_of(template: EventTemplate, body: bytes) -> Layout | None:
    """Return the layout of a body that fits a template, None if a text in it is not valid."""
    return layout_of_key(template, (as_row(body) & template.constant_bits).tobytes())


# The runs of a program have the same tags.
@lru_cache(maxsize=256)
def layout_of_key(template: EventTemplate, key: bytes) -> Layout | None:
    """Return the layout with a key, None if a text in it is not valid."""
    body = key[_padding(template.size) : -FOOTER_SIZE]
    tags, metadata = [], []
    try:
        for scalar in template.scalars:
            tags.append(body[slice(*scalar.tag)].decode())
            if scalar.node_name is not None:
                body[slice(*scalar.node_name)].decode()
            stored = b"" if scalar.metadata is None else body[slice(*scalar.metadata)]
            _check_metadata(stored)
            metadata.append(stored)
    except (CorruptError, UnicodeDecodeError):
        # Protobuf's decoder, which gets the event instead, refuses it too and says what is wrong.
        return None
    return Layout(template, key, crc32c(body), tuple(tags), tuple(metadata))


@lru_cache(maxsize=1024)
def _check_metadata(stored: bytes) -> None:
    """Raise CorruptError if bytes are not a SummaryMetadata."""
    if stored:
        parse_message(messages.SummaryMetadata, stored, None)


def _find_template(body: bytes) -> EventTemplate | None:
    # The summary must be the only field. A second one would be merged with it, and a step after it would
    # replace the one in the header.
    fields = list(find_fields(body))
    if [(field.number, field.wire_type) for field in fields] != [(5, LENGTH_DELIMITED)]:
        return None
    scalars: list[ScalarField] = []
    for field in find_fields(body, fields[0].content, fields[0].stop):
        is_value = (field.number, field.wire_type) == (1, LENGTH_DELIMITED)
        scalar = _find_scalar(body, field) if is_value else None
        if scalar is None or len(scalars) == MAX_VALUES:
            return None
        scalars.append(scalar)
    return EventTemplate(len(body), tuple(scalars)) if scalars else None


# Field numbers of Summary.Value in summary.proto.
_VALUE_FIELDS = {
    (1, LENGTH_DELIMITED): "tag",
    (2, FIXED32): "simple_value",
    (7, LENGTH_DELIMITED): "node_name",
    (8, LENGTH_DELIMITED): "tensor",
    (9, LENGTH_DELIMITED): "metadata",
}


def _find_scalar(body: bytes, value: FieldPlace) -> ScalarField | None:
    """Find the scalar in a Summary.Value; None if it has none, or anything else besides."""
    found: dict[str, FieldPlace] = {}
    for field in find_fields(body, value.content, value.stop):
        name = _VALUE_FIELDS.get((field.number, field.wire_type))
        # Protobuf keeps the last of repeated fields, or merges them; neither is worth handling here.
        if name is None or name in found:
            return None
        found[name] = field
    if "tag" not in found or ("simple_value" in found) == ("tensor" in found):
        return None
    tensor = found.get("tensor")
    offset = found["simple_value"].content if tensor is None else _find_float(body, tensor)
    if offset is None:
        return None
    tag, node_name, metadata = (
        (found[name].content, found[name].stop) if name in found else None
        for name in ("tag", "node_name", "metadata")
    )
    # A tensor with an empty tag is named by its node, which is left to the slow way.
    if tag is None or (tensor is not None and tag[0] == tag[1]):
        return None
    return ScalarField(offset, tensor is not None, tag, node_name, metadata)


def _find_float(body: bytes, tensor: FieldPlace) -> int | None:
    """Find the 4 bytes of the only float in a TensorProto of rank 0; None if it is anything else."""
    # Field numbers of tensor.proto: 1 dtype, 2 tensor_shape, 3 version_number, 4 tensor_content, 5 float_val.
    found: dict[int, FieldPlace] = {}
    for field in find_fields(body, tensor.content, tensor.stop):
        if field.number in found:
            return None
        found[field.number] = field
    dtype, shape = found.pop(1, None), found.pop(2, None)
    if dtype is None or dtype.wire_type != VARINT or decode_varint(body, dtype.content)[0] != FLOAT:
        return None
    # Rank 0 is a missing shape or an empty one. The bits of an unknown rank would be content.
    if shape is not None and (shape.wire_type != LENGTH_DELIMITED or shape.content != shape.stop):
        return None
    # The version number may be any, because decoding does not depend on it.
    version = found.pop(3, None)
    if (version is not None and version.wire_type != VARINT) or len(found) != 1:
        return None
    ((number, field),) = found.items()
    # The float is in tensor_content (4), or in float_val (5), packed or not. There is one if it has 4 bytes.
    wire_types = {4: (LENGTH_DELIMITED,), 5: (LENGTH_DELIMITED, FIXED32)}.get(number, ())
    return field.content if field.wire_type in wire_types and field.stop - field.content == 4 else None
