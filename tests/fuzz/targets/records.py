"""Files of records and of events."""

from __future__ import annotations

import gzip
from typing import Any

from google.protobuf.message import DecodeError

import ckptfmt
from ckptfmt.errors import CkptfmtError
from ckptfmt.proto import messages
from tests.fuzz.mutate import records
from tests.fuzz.mutate.message import of_message
from tests.fuzz.mutate.plain import of_bytes
from tests.fuzz.target import Target, outcome
from tests.fuzz.visit import visit
from tests.support.event_log import EVENTS, VERSION, assert_same_scalars, scalar, tensor_event, tensor_scalar
from tests.support.memory_filesystem import MemoryFilesystem
from tests.support.records import frame

SMALL = 30_000

PATH = "d/events.out.tfevents.1.host"


# --- records


def judge_records(data: bytes) -> None:
    """Check each record against the bytes around it, and that all ways of reading find the same ones."""
    fs = MemoryFilesystem({"d/r": data})
    opened = ckptfmt.open_records("d/r", fs=fs)
    found = outcome(lambda: list(opened))
    strict = outcome(lambda: list(ckptfmt.open_records("d/r", strict=True, fs=fs)))
    scanned = outcome(lambda: ckptfmt.open_records("d/r", fs=fs).scan())
    unverified = outcome(lambda: list(ckptfmt.open_records("d/r", verify=False, fs=fs)))
    if isinstance(found, CkptfmtError):
        assert isinstance(strict, CkptfmtError)
        return
    if not isinstance(strict, CkptfmtError):
        assert contents(strict) == contents(found)
        assert not opened.damage
    assert not isinstance(unverified, CkptfmtError)
    if data[:2] != b"\x1f\x8b" and data[:1] != b"\x78":
        for record in found:
            whole = frame(record.data)
            assert data[record.offset : record.offset + len(whole)] == whole, (
                "a record that is not in the file"
            )
        ends = [(record.offset, record.offset + records.OVERHEAD + len(record.data)) for record in found]
        ends += [(damage.offset, damage.offset + damage.skipped) for damage in opened.damage]
        ends.sort()
        for (_, end), (start, _) in zip([(0, 0), *ends], ends, strict=False):
            assert start == end, f"bytes {end} to {start} are neither records nor damage"
        if not isinstance(scanned, CkptfmtError):
            indexed = [outcome(lambda i=i: scanned[i]) for i in range(len(scanned))]
            whole = contents(each for each in indexed if not isinstance(each, CkptfmtError))
            # A scan reads only lengths, so it passes over records inside a record whose data are damaged.
            assert set(whole) <= set(contents(found))


def contents(found: Any) -> list[tuple[int, bytes]]:
    return [(record.offset, bytes(record.data)) for record in found]


def record_seeds() -> list[bytes]:
    some = [b"", b"hello", b"x" * 300, *(bytes([i]) * 40 for i in range(20))]
    plain = b"".join(map(frame, some))
    return [plain, frame(b"one"), gzip.compress(plain, mtime=0), b"".join([frame(b"12345678")] * 80)]


# --- events


def judge_events(data: bytes) -> None:
    """Look at all that a log shows, and compare its scalars with those that protobuf decodes."""
    fs = MemoryFilesystem({PATH: data})
    log = outcome(lambda: ckptfmt.open_events(PATH, fs=fs))
    if isinstance(log, CkptfmtError) or isinstance(outcome(log.gather), CkptfmtError):
        return
    events = [outcome(lambda record=record: parsed(record.data)) for record in log.records()]
    if None not in events:
        assert_same_scalars(log, events)
    visit(log)
    outcome(log.to_columns)
    outcome(lambda: log.to_columns(wide=True))
    outcome(log.refresh)


def parsed(data: bytes) -> messages.Event | None:
    try:
        return messages.Event.FromString(data)
    except DecodeError:
        return None


def event_seeds() -> list[bytes]:
    made = [
        VERSION,
        *(scalar("loss", i / 7, i) for i in range(70)),
        *(tensor_scalar("acc", i / 3, i) for i in range(5)),
        tensor_event("text", ["a", "b"], "text"),
        tensor_event("hist", [[0.0, 1.0, 2.0], [1.0, 2.0, 3.0]], "histograms"),
        tensor_event("images", [b"4", b"4", b"\x89PNG\r\n"], "images"),
    ]
    old = messages.Event(step=3, wall_time=1.0)
    old.summary.value.add(tag="h").histo.bucket.extend([1.0, 2.0])
    old.summary.value[0].histo.bucket_limit.extend([0.5, 1.5])
    old.summary.value.add(tag="i").image.encoded_image_string = b"\x89PNG"
    old.summary.value.add(tag="a").audio.sample_rate = 8000
    session = messages.Event(step=0)
    hparams = session.summary.value.add(tag="_hparams_/session_start_info").metadata.plugin_data
    hparams.plugin_name = "hparams"
    hparams.content = b"\x1a\x0e\x0a\x0c\x0a\x01r\x12\x07\x11\0\0\0\0\0\0"
    other = messages.Event(step=4, graph_def=b"\x0a\x06\x0a\x01x\x12\x01y")
    return [
        b"".join(frame(event.SerializeToString()) for event in events)
        for events in (made, made[:3], [VERSION, old, session, other], made[71:])
    ] + [path.read_bytes() for path in sorted(EVENTS.rglob("*tfevents*")) if path.stat().st_size <= SMALL]


TARGETS = {
    "records": Target(judge_records, record_seeds, records.mutator(of_bytes)),
    "events": Target(judge_events, event_seeds, records.mutator(of_message), count=50),
}
