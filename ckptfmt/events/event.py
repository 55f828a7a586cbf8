"""Events: records decoded as messages, one by one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ckptfmt.errors import CkptfmtError, CorruptError
from ckptfmt.proto import messages
from ckptfmt.proto.parse import parse_message
from ckptfmt.record.batch import Batch
from ckptfmt.record.frame import FOOTER_SIZE, HEADER_SIZE
from ckptfmt.record.reader import RecordReader
from ckptfmt.wire.crc32c import crc32c


def decode_events(reader: RecordReader, batches: Iterable[Batch]) -> Iterator[messages.Event]:
    """Iterate over the messages of batches; damaged records are reported to the reader."""
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
    # Imported here because the import takes longer than reading a small file.
    from google.protobuf.message import DecodeError

    decode, verify, data = messages.Event.FromString, reader.verify, batch.data
    borders = batch.borders.tolist()
    for number in numbers:
        end = borders[number + 1]
        stop = end - FOOTER_SIZE
        record = bytes(data[borders[number] + HEADER_SIZE : stop])
        if verify:
            crc = crc32c(record)
            # mask() inlined: the call would cost as much as the checksum of a small record.
            stored = ((crc >> 15 | crc << 17) + 0xA282EAD8 & 0xFFFFFFFF).to_bytes(4, "little")
            if stored != data[stop:end]:
                error = batch.check(number, reader.name)
                if error is not None:
                    yield number, error
                    continue
        try:
            event = decode(record)
        except (DecodeError, RecursionError, ValueError):
            yield number, _decode_error(record, reader.name, batch.base + borders[number])
            continue
        yield number, event


def _decode_error(record: bytes, file: str, offset: int) -> CorruptError:
    """Return the error for a record that protobuf refused: the walker over fields says what and where."""
    try:
        parse_message(messages.Event, record, None)
    except CorruptError as error:
        # The place of damage is that of the record, from which reading resumes.
        return error.at(file, offset, relative=False)
    return CorruptError("not a tensorflow.Event message", file=file, offset=offset)
