"""Events: records as messages, and those of them that are not of summaries."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from ckptfmt.errors import CkptfmtError, CorruptError
from ckptfmt.proto import messages
from ckptfmt.proto.parse import parse_message
from ckptfmt.record.batch import Batch
from ckptfmt.record.frame import FOOTER_SIZE, HEADER_SIZE
from ckptfmt.record.reader import RecordReader
from ckptfmt.wire.crc32c import crc32c


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
class Other:
    """An event that is not of summaries."""

    what: str
    step: int
    wall_time: float
    place: int
    size: int


def decode_events(reader: RecordReader, batches: Iterable[Batch]) -> Iterator[messages.Event]:
    """Iterate over the messages of batches; what is damaged is reported to the reader."""
    for batch in batches:
        for number, event in decode_some(reader, batch, range(len(batch))):
            if isinstance(event, CkptfmtError):
                reader.report_record(batch, number, event)
            else:
                yield event


def decode_some(
    reader: RecordReader, batch: Batch, numbers: Iterable[int]
) -> Iterator[tuple[int, messages.Event | CkptfmtError]]:
    """Iterate over some records of a batch: the number of each, and its message or what is wrong with it."""
    # Imported where it is needed: it takes longer than to read a small file.
    from google.protobuf.message import DecodeError

    decode, verify, data = messages.Event.FromString, reader.verify, batch.data
    borders = batch.borders.tolist()
    for number in numbers:
        end = borders[number + 1]
        stop = end - FOOTER_SIZE
        record = bytes(data[borders[number] + HEADER_SIZE : stop])
        if verify:
            crc = crc32c(record)
            # The same as mask(), without a call.
            stored = ((crc >> 15 | crc << 17) + 0xA282EAD8 & 0xFFFFFFFF).to_bytes(4, "little")
            if stored != data[stop:end]:
                error = batch.check(number, reader.name)
                if error is not None:
                    yield number, error
                    continue
        try:
            event = decode(record)
        except (DecodeError, RecursionError, ValueError):
            yield number, _fault(record, reader.name, batch.base + borders[number])
            continue
        yield number, event


def _fault(record: bytes, file: str, offset: int) -> CorruptError:
    """What is wrong with a record that is no event."""
    try:
        parse_message(messages.Event, record, file, offset)
    except CorruptError as damaged:
        return damaged
    return CorruptError("not a tensorflow.Event message", file=file, offset=offset)
