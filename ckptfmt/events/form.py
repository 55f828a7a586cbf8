"""Forms: where in an event of scalars its numbers lie.

A program logs the same few scalars again and again. Two of its events differ only in these bytes::

    Event:        wall_time double, step varint, summary: value …
    Value:        tag, and one of
                    simple_value float                                (TensorFlow 1)
                    tensor: DT_FLOAT of rank 0, 4 bytes of it         (TensorFlow 2)

so that a form, found in one event field by field, tells all events of its length that are the same in all
other bytes. An event of any other kind has no form, and is left to protobuf's decoder.

Events of one length are compared and decoded together, as rows of 8-byte words::

    row:          bytes that do not count, to fill the first word; event; masked CRC-32C of it uint32
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from ckptfmt.dtypes import DTYPES
from ckptfmt.errors import CorruptError
from ckptfmt.proto import messages
from ckptfmt.proto.parse import parse_message
from ckptfmt.record.frame import FOOTER_SIZE
from ckptfmt.wire.coding import (
    FIXED32,
    FIXED64,
    LENGTH_DELIMITED,
    VARINT,
    FieldPlace,
    decode_varint,
    find_fields,
)
from ckptfmt.wire.crc32c import crc32c
from ckptfmt.wire.crc_rows import added_by

MAX_SIZE = 4096
"""Longer events have no form; they are few, or hold other things than scalars."""

MAX_VALUES = 256
"""Scalars that an event with a form may have."""

MAX_STEP_BYTES = 9
"""Bytes of a step, 63 bits; a negative one takes 10."""

FLOAT = next(code for code, dtype in DTYPES.items() if dtype.name == "float32")


Span: TypeAlias = tuple[int, int]
"""Where something begins and ends in an event."""


class Place(NamedTuple):
    """A scalar in an event."""

    offset: int
    """Of the 4 bytes of its value."""
    is_tensor: bool
    tag: Span
    node_name: Span | None
    metadata: Span | None


@dataclass(frozen=True)
class Form:
    """Where the numbers of events of one length lie."""

    size: int
    """Bytes of such an event."""
    wall_time: int | None
    """Offset of the wall time; None where it is left out, and so 0."""
    step: tuple[int, int] | None
    """Offset and bytes of the step; None where it is left out, and so 0."""
    values: tuple[Place, ...]

    @cached_property
    def _numbers(self) -> list[Span]:
        """Where the bytes that vary are."""
        spans = [(place.offset, place.offset + 4) for place in self.values]
        if self.wall_time is not None:
            spans.append((self.wall_time, self.wall_time + 8))
        if self.step is not None:
            spans.append((self.step[0], sum(self.step)))
        return spans

    @cached_property
    def _mask(self) -> bytearray:
        """The bits that are the same in all events of a layout."""
        mask = bytearray(b"\xff") * self.size
        for start, stop in self._numbers:
            mask[start:stop] = bytes(stop - start)
        if self.step is not None:
            offset, size = self.step
            mask[offset : offset + size] = b"\x80" * size  # whether the number goes on
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

    @cached_property
    def _unchanged(self) -> int:
        """What bits that are the same in bytes that vary add to a CRC-32C: those by which a step goes on."""
        added = 0
        offset, size = self.step or (0, 1)
        for at in range(offset, offset + size - 1):
            added ^= int(added_by(self.size - 1 - at)[0x80])
        return added

    def crcs(self, rows: np.ndarray) -> np.ndarray:
        """Return what the varying bits of events, given as rows of words, add to their CRC-32C (uint32)."""
        crcs = np.full(len(rows), self._unchanged, np.uint32)
        added = np.empty_like(crcs)
        columns = rows.view(np.uint8).T[_padding(self.size) :]
        for start, stop in self._numbers:
            # Indexes as NumPy wants them, and an array to fill: a third of the time of table[column].
            places = columns[start:stop].astype(np.intp, order="C")
            for following, column in zip(range(self.size - 1 - start, -1, -1), places, strict=False):
                added_by(following).take(column, out=added, mode="wrap")
                crcs ^= added
        return crcs

    def steps(self, rows: np.ndarray) -> np.ndarray:
        """Return the steps of events given as rows of words (int64)."""
        if self.step is None:
            return np.zeros(len(rows), np.int64)
        offset, size = self.step
        columns = rows.view(np.uint8).T[_padding(self.size) + offset :]
        steps = columns[size - 1].astype(np.int64)
        for column in columns[size - 2 :: -1] if size > 1 else ():
            steps <<= 7
            steps |= column & 0x7F
        return steps

    def numbers(self, rows: np.ndarray, dtype: np.dtype[Any], offset: int) -> np.ndarray:
        """Return the numbers at an offset of events given as rows of words; the last is the checksum."""
        at = _padding(self.size) + offset
        numbers: np.ndarray = np.ndarray((len(rows),), dtype, rows, at, (8 * rows.shape[1],))
        return numbers.copy()


class Layout(NamedTuple):
    """A form, and all that is not a number in it."""

    form: Form
    key: bytes
    """The event as a row, all that varies in it zero."""
    crc: int
    """The CRC-32C of that."""
    tags: tuple[str, ...]
    """The tag of each value."""
    metadata: tuple[bytes, ...]
    """The serialized SummaryMetadata of each value, empty where it has none."""


def _padding(size: int) -> int:
    """Bytes before an event in its row."""
    return -(size + FOOTER_SIZE) % 8


def as_row(event: bytes | bytearray) -> np.ndarray:
    """Return the bytes of an event as a row (uint64), with zeros for what else is in it."""
    row: np.ndarray = np.frombuffer(b"".join((bytes(_padding(len(event))), event, bytes(FOOTER_SIZE))), "<u8")
    return row


def layout_of(event: bytes) -> Layout | None:
    """Return the layout of a serialized event, None where it is not one of scalars in their usual form."""
    try:
        form = _form_of(event)
    except CorruptError:
        return None
    return None if form is None else layout_in(form, event)


def layout_in(form: Form, event: bytes) -> Layout | None:
    """Return the layout of an event that has a form, None where a text in it is not valid."""
    return layout_of_key(form, (as_row(event) & form.words).tobytes())


def layout_of_key(form: Form, key: bytes) -> Layout | None:
    """Return the layout that has a key: an event with zeros for what varies; None as of :func:`layout_in`."""
    event = key[_padding(form.size) : -FOOTER_SIZE]
    tags, metadata = [], []
    try:
        for place in form.values:
            tags.append(event[slice(*place.tag)].decode())
            if place.node_name is not None:
                event[slice(*place.node_name)].decode()
            stored = b"" if place.metadata is None else event[slice(*place.metadata)]
            _check_metadata(stored)
            metadata.append(stored)
    except (CorruptError, UnicodeDecodeError):
        return None
    return Layout(form, key, crc32c(event), tuple(tags), tuple(metadata))


@lru_cache(maxsize=1024)
def _check_metadata(stored: bytes) -> None:
    """Raise CorruptError where bytes are no SummaryMetadata."""
    if stored:
        parse_message(messages.SummaryMetadata, stored, "")


def _form_of(event: bytes) -> Form | None:
    found: dict[int, FieldPlace] = {}
    for field in find_fields(event, 0, len(event)):
        if (field.number, field.wire_type) not in _EVENT_FIELDS or field.number in found:
            return None
        found[field.number] = field
    summary = found.get(5)
    if summary is None:
        return None
    places: list[Place] = []
    for field in find_fields(event, summary.content, summary.stop):
        place = _place(event, field) if (field.number, field.wire_type) == (1, LENGTH_DELIMITED) else None
        if place is None or len(places) == MAX_VALUES:
            return None
        places.append(place)
    step = found.get(2)
    if not places or (step is not None and step.stop - step.content > MAX_STEP_BYTES):
        return None
    return Form(
        len(event),
        found[1].content if 1 in found else None,
        None if step is None else (step.content, step.stop - step.content),
        tuple(places),
    )


_EVENT_FIELDS = {(1, FIXED64), (2, VARINT), (5, LENGTH_DELIMITED)}
_VALUE_FIELDS = {
    (1, LENGTH_DELIMITED): "tag",
    (2, FIXED32): "simple_value",
    (7, LENGTH_DELIMITED): "node_name",
    (8, LENGTH_DELIMITED): "tensor",
    (9, LENGTH_DELIMITED): "metadata",
}


def _place(event: bytes, value: FieldPlace) -> Place | None:
    """Where the scalar of a Summary.Value is, None where it has none, or more than that."""
    found: dict[str, FieldPlace] = {}
    for field in find_fields(event, value.content, value.stop):
        name = _VALUE_FIELDS.get((field.number, field.wire_type))
        if name is None or name in found:
            return None
        found[name] = field
    if "tag" not in found or ("simple_value" in found) == ("tensor" in found):
        return None
    tensor = found.get("tensor")
    at = found["simple_value"].content if tensor is None else _scalar_in(event, tensor)
    if at is None:
        return None
    tag, node_name, metadata = (
        (found[name].content, found[name].stop) if name in found else None
        for name in ("tag", "node_name", "metadata")
    )
    return None if tag is None else Place(at, tensor is not None, tag, node_name, metadata)


def _scalar_in(event: bytes, tensor: FieldPlace) -> int | None:
    """Where in a TensorProto the 4 bytes of its only float lie."""
    found: dict[int, FieldPlace] = {}
    for field in find_fields(event, tensor.content, tensor.stop):
        if field.number in found:
            return None
        found[field.number] = field
    dtype, shape = found.pop(1, None), found.pop(2, None)
    if dtype is None or dtype.wire_type != VARINT or decode_varint(event, dtype.content)[0] != FLOAT:
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
