"""Events: records as messages, and those of them that are not of summaries."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from ckptfmt.errors import CkptfmtError, CorruptError
from ckptfmt.proto import messages
from ckptfmt.proto.parse import parse_message
from ckptfmt.record.frame import FOOTER_SIZE, HEADER_SIZE
from ckptfmt.record.reader import Batch, RecordReader
from ckptfmt.wire.crc32c import crc32c, mask


@dataclass(frozen=True)
class SessionLog:
    """A program says that it begins or ends, or that it has written a checkpoint."""

    step: int
    wall_time: float
    status: str
    """``START``, ``STOP``, ``CHECKPOINT``, ``STATUS_UNSPECIFIED``, or a number."""
    checkpoint_path: str
    message: str


@dataclass(frozen=True)
class RunMetadata:
    """What was measured of one step."""

    tag: str
    step: int
    wall_time: float
    data: bytes
    """The serialized RunMetadata message."""


@dataclass(frozen=True)
class Other:
    """An event that is not of summaries."""

    what: str
    step: int
    wall_time: float
    place: int
    size: int


def decode_event(reader: RecordReader, batch: Batch, number: int) -> messages.Event | CkptfmtError:
    """Return a record as a message, or what is wrong with it."""
    error = batch.check(number, reader.name) if reader.verify else None
    if error is not None:
        return error
    begin, size = int(batch.begins[number]), int(batch.sizes[number])
    try:
        return parse_message(messages.Event, batch.data[begin : begin + size], reader.name)
    except CorruptError as damaged:
        damaged.offset = batch.base + begin - HEADER_SIZE
        return damaged


def decode_events(reader: RecordReader, batches: Iterable[Batch]) -> Iterator[messages.Event]:
    """Iterate over the messages of batches; what is damaged is reported to the reader."""
    from google.protobuf.message import DecodeError

    decode, verify = messages.Event.FromString, reader.verify
    for batch in batches:
        data = batch.data
        begin, *ends = batch.borders.tolist()
        for number, end in enumerate(ends):
            record, stop = bytes(data[begin + HEADER_SIZE : end - FOOTER_SIZE]), end - FOOTER_SIZE
            begin = end
            try:
                intact = not verify or mask(crc32c(record)).to_bytes(4, "little") == data[stop:end]
                event = decode(record) if intact else None
            except (DecodeError, RecursionError, ValueError):
                event = None
            if event is None:
                fault = decode_event(reader, batch, number)
                if isinstance(fault, CkptfmtError):
                    reader.report_record(batch, number, fault)
                continue
            yield event
