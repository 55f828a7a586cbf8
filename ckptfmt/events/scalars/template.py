"""Forms: where in an event of scalars its numbers lie.

A program logs the same few scalars again and again. What two of its events say differs only in these bytes::

    Event:        stamp, summary: value …
    Value:        tag, and one of
                    simple_value float                                (TensorFlow 1)
                    tensor: DT_FLOAT of rank 0, 4 bytes of it         (TensorFlow 2)

so that a form, found in one event field by field, tells all events with as many bytes behind their stamps
that are the same in all other bytes. An event of any other kind has no form, and is left to protobuf's
decoder.

What such events say is compared and decoded together, as rows of 8-byte words::

    row:          bytes that do not count, to fill the first word; what is behind the stamp; masked CRC-32C
                  of the event uint32
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import NamedTuple, TypeAlias

import numpy as np

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
"""Events with more behind their stamps have no form; they are few, or hold other things than scalars."""

MAX_VALUES = 256
"""Scalars that an event with a form may have."""

FLOAT = next(code for code, dtype in DTYPES.items() if dtype.name == "float32")


Span: TypeAlias = tuple[int, int]
"""Where something begins and ends in an event."""


class ValuePlace(NamedTuple):
    """A scalar in an event."""

    offset: int
    """Of the 4 bytes of its value."""
    is_tensor: bool
    tag: Span
    node_name: Span | None
    metadata: Span | None


@dataclass(frozen=True)
class Form:
    """Where the numbers of events lie, counted from behind their stamps."""

    size: int
    """Bytes behind the stamp of such an event."""
    values: tuple[ValuePlace, ...]

    @cached_property
    def _mask(self) -> bytearray:
        """The bits that are the same in all events of a layout."""
        mask = bytearray(b"\xff") * self.size
        for place in self.values:
            mask[place.offset : place.offset + 4] = bytes(4)
        return mask

    @cached_property
    def _texts(self) -> list[Span]:
        """Where the texts are."""
        spans = [span for place in self.values for span in (place.tag, place.node_name, place.metadata)]
        return [span for span in spans if span is not None]

    @cached_property
    def words(self) -> np.ndarray:
        """The bits of a row that are the same in all events of a layout (uint64)."""
        return as_row(self._mask)

    @cached_property
    def frame(self) -> np.ndarray:
        """Those that are the same for all layouts of this form: without texts (uint64)."""
        frame = self._mask.copy()
        for start, stop in self._texts:
            frame[start:stop] = bytes(stop - start)
        return as_row(frame)

    @cached_property
    def texts(self) -> slice:
        """The words of a row in which layouts of this form may differ."""
        padding = _padding(self.size)
        start, stop = min(start for start, _ in self._texts), max(stop for _, stop in self._texts)
        return slice((padding + start) // 8, -(-(padding + stop) // 8))

    def crcs(self, rows: np.ndarray) -> np.ndarray:
        """Return what the values of events, given as rows of words, add to their CRC-32C (uint32)."""
        crcs = np.zeros(len(rows), np.uint32)
        columns = rows.view(np.uint8).T
        for place in self.values:
            start = _padding(self.size) + place.offset
            add_bytes(crcs, columns[start : start + 4], self.size - place.offset - 4)
        return crcs

    def floats(self, rows: np.ndarray, place: ValuePlace) -> np.ndarray:
        """Return a value of all events given as rows of words (float32)."""
        return _column(rows, "<f4", _padding(self.size) + place.offset)

    def stored_crcs(self, rows: np.ndarray) -> np.ndarray:
        """Return the masked checksums of events given as rows of words (uint32)."""
        return _column(rows, "<u4", 8 * rows.shape[1] - FOOTER_SIZE)


def _column(rows: np.ndarray, dtype: str, at: int) -> np.ndarray:
    """A copy of the numbers that begin at a byte of each row."""
    column: np.ndarray = np.ndarray((len(rows),), dtype, rows, at, (8 * rows.shape[1],)).copy()
    return column


class Layout(NamedTuple):
    """A form, and all that is not a number in it."""

    form: Form
    key: bytes
    """What is behind the stamp as a row, all that varies in it zero."""
    crc: int
    """The CRC-32C of that, without what else is in the row."""
    tags: tuple[str, ...]
    """The tag of each value."""
    metadata: tuple[bytes, ...]
    """The serialized SummaryMetadata of each value, empty where it has none."""


def _padding(size: int) -> int:
    """Bytes in a row before what counts."""
    return -(size + FOOTER_SIZE) % 8


def as_row(content: bytes | bytearray) -> np.ndarray:
    """Return what is behind the stamp of an event as a row (uint64), with zeros for what else is in it."""
    row = b"".join((bytes(_padding(len(content))), content, bytes(FOOTER_SIZE)))
    return np.frombuffer(row, "<u8")


def layout_of(content: bytes) -> Layout | None:
    """Return the layout of what is behind the stamp of an event.

    None where that is not scalars in their usual form.
    """
    try:
        form = _form_of(content)
    except CorruptError:
        return None
    return None if form is None else layout_in(form, content)


def layout_in(form: Form, content: bytes) -> Layout | None:
    """Return the layout of what has a form, None where a text in it is not valid."""
    return layout_of_key(form, (as_row(content) & form.words).tobytes())


def layout_of_key(form: Form, key: bytes) -> Layout | None:
    """Return the layout that has a key; None as of :func:`layout_in`."""
    content = key[_padding(form.size) : -FOOTER_SIZE]
    tags, metadata = [], []
    try:
        for place in form.values:
            tags.append(content[slice(*place.tag)].decode())
            if place.node_name is not None:
                content[slice(*place.node_name)].decode()
            stored = b"" if place.metadata is None else content[slice(*place.metadata)]
            _check_metadata(stored)
            metadata.append(stored)
    except (CorruptError, UnicodeDecodeError):
        return None
    return Layout(form, key, crc32c(content), tuple(tags), tuple(metadata))


@lru_cache(maxsize=1024)
def _check_metadata(stored: bytes) -> None:
    """Raise CorruptError where bytes are no SummaryMetadata."""
    if stored:
        parse_message(messages.SummaryMetadata, stored, "")


def _form_of(content: bytes) -> Form | None:
    fields = list(find_fields(content, 0, len(content)))
    if [(field.number, field.wire_type) for field in fields] != [(5, LENGTH_DELIMITED)]:
        return None
    places: list[ValuePlace] = []
    for field in find_fields(content, fields[0].content, fields[0].stop):
        place = _place(content, field) if (field.number, field.wire_type) == (1, LENGTH_DELIMITED) else None
        if place is None or len(places) == MAX_VALUES:
            return None
        places.append(place)
    return Form(len(content), tuple(places)) if places else None


_VALUE_FIELDS = {
    (1, LENGTH_DELIMITED): "tag",
    (2, FIXED32): "simple_value",
    (7, LENGTH_DELIMITED): "node_name",
    (8, LENGTH_DELIMITED): "tensor",
    (9, LENGTH_DELIMITED): "metadata",
}


def _place(content: bytes, value: FieldPlace) -> ValuePlace | None:
    """Where the scalar of a Summary.Value is, None where it has none, or more than that."""
    found: dict[str, FieldPlace] = {}
    for field in find_fields(content, value.content, value.stop):
        name = _VALUE_FIELDS.get((field.number, field.wire_type))
        if name is None or name in found:
            return None
        found[name] = field
    if "tag" not in found or ("simple_value" in found) == ("tensor" in found):
        return None
    tensor = found.get("tensor")
    at = found["simple_value"].content if tensor is None else _scalar_in(content, tensor)
    if at is None:
        return None
    tag, node_name, metadata = (
        (found[name].content, found[name].stop) if name in found else None
        for name in ("tag", "node_name", "metadata")
    )
    return None if tag is None else ValuePlace(at, tensor is not None, tag, node_name, metadata)


def _scalar_in(content: bytes, tensor: FieldPlace) -> int | None:
    """Where in a TensorProto the 4 bytes of its only float lie."""
    found: dict[int, FieldPlace] = {}
    for field in find_fields(content, tensor.content, tensor.stop):
        if field.number in found:
            return None
        found[field.number] = field
    dtype, shape = found.pop(1, None), found.pop(2, None)
    if dtype is None or dtype.wire_type != VARINT or decode_varint(content, dtype.content)[0] != FLOAT:
        return None
    if shape is not None and (shape.wire_type != LENGTH_DELIMITED or shape.content != shape.stop):
        return None
    version = found.pop(3, None)
    if (version is not None and version.wire_type != VARINT) or len(found) != 1:
        return None
    ((number, field),) = found.items()
    # tensor_content, float_val packed, float_val
    is_float = field.wire_type == (LENGTH_DELIMITED if number == 4 else field.wire_type) and number in (4, 5)
    is_float = is_float and field.wire_type in (LENGTH_DELIMITED, FIXED32)
    return field.content if is_float and field.stop - field.content == 4 else None
