"""Event files that are damaged, cut, or made to abuse a reader."""

from __future__ import annotations

import gzip
import time
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

import ckptfmt
from ckptfmt.errors import (
    ChecksumError,
    CkptfmtError,
    CorruptError,
    DamageWarning,
    LimitError,
    TruncatedError,
)
from ckptfmt.limits import Limits
from ckptfmt.proto import messages
from ckptfmt.wire.coding import encode_varint
from tests.support.event_log import (
    EVENTS,
    VERSION,
    assert_same_scalars,
    open_quietly,
    scalar,
    scalars_by_columns,
    scalars_by_protobuf,
    tensor_scalar,
    write_events,
)
from tests.support.memory import memory_growth
from tests.support.records import claim, frame

EVENTS_OF_A_RUN = [
    VERSION,
    *(
        make(tag, i + 0.5, 10 * i, 100.0 + i)
        for i in range(4)
        for tag, make in (("a", scalar), ("b", tensor_scalar))
    ),
]
RECORDS = [frame(event.SerializeToString()) for event in EVENTS_OF_A_RUN]
BORDERS = np.cumsum([0, *map(len, RECORDS)]).tolist()
CONTENT = b"".join(RECORDS)


def without(lost: int) -> list[messages.Event]:
    return [event for i, event in enumerate(EVENTS_OF_A_RUN) if i != lost]


@pytest.mark.parametrize("bits", [0xFF, 0x10, 0x01])
def test_a_flipped_byte_loses_one_event_and_says_which(tmp_path: Path, bits: int) -> None:
    path = tmp_path / "e.tfevents"
    for at in range(len(CONTENT)):
        damaged = bytearray(CONTENT)
        damaged[at] ^= bits
        path.write_bytes(damaged)
        lost = next(i for i in range(len(RECORDS)) if at < BORDERS[i + 1])
        events = open_quietly(path)
        assert scalars_by_columns(events) == scalars_by_protobuf(without(lost)), at
        (damage,) = events.damage
        assert (damage.offset, damage.skipped) == (BORDERS[lost], len(RECORDS[lost]))
        assert isinstance(damage.error, ChecksumError)
        assert events.num_events == len(RECORDS) - 1
        with pytest.raises(ChecksumError) as caught:
            ckptfmt.open_events(path, strict=True).gather()
        assert caught.value.offset == BORDERS[lost]


def test_every_truncation_keeps_the_whole_events(tmp_path: Path) -> None:
    path = tmp_path / "e.tfevents"
    for size in range(len(CONTENT)):
        path.write_bytes(CONTENT[:size])
        whole = sum(border <= size for border in BORDERS[1:])
        events = ckptfmt.open_events(path)
        assert scalars_by_columns(events) == scalars_by_protobuf(EVENTS_OF_A_RUN[:whole])
        assert events.damage == []
        left = size - BORDERS[whole]
        assert events.tails == ({str(path): left} if left else {})
        if left:
            with pytest.raises(TruncatedError):
                ckptfmt.open_events(path, strict=True).gather()


@pytest.mark.parametrize("case", ["tf2", "restarted"])
def test_a_flipped_byte_of_any_kind_of_event_is_right_or_an_error(tmp_path: Path, case: str) -> None:
    source = min((EVENTS / case).iterdir())
    content = source.read_bytes()
    whole = ckptfmt.open_events(source)
    path = tmp_path / "e.tfevents"
    step = 1 if len(content) < 1000 else 13
    for at in range(0, len(content), step):
        damaged = bytearray(content)
        damaged[at] ^= 0x5A
        path.write_bytes(damaged)
        events = open_quietly(path)
        assert len(events.damage) == 1
        assert events.num_events == whole.num_events - 1


def test_damage_among_many_similar_events_is_found(tmp_path: Path) -> None:
    events = [VERSION, *(scalar("loss", i, i) for i in range(20_000))]
    records = [frame(event.SerializeToString()) for event in events]
    content = bytearray(b"".join(records))
    borders = np.cumsum([0, *map(len, records)])
    hit = [5, 77, 1000, 15_000, 19_999]
    for number in hit:
        content[borders[number + 1] - 5] ^= 1  # in the number
    path = tmp_path / "e.tfevents"
    path.write_bytes(content)
    found = open_quietly(path)
    assert [damage.offset for damage in found.damage] == [borders[number] for number in hit]
    kept = [i for i in range(20_000) if i + 1 not in hit]
    assert found.scalars["loss"].steps.tolist() == kept
    assert open_quietly(path, verify=False).num_events > found.num_events


def test_each_stretch_of_damage_is_one_warning(tmp_path: Path) -> None:
    content = bytearray(CONTENT)
    content[BORDERS[3] + 13] ^= 1
    (tmp_path / "e.tfevents").write_bytes(content)
    events = ckptfmt.open_events(tmp_path / "e.tfevents")
    with pytest.warns(DamageWarning, match="record: checksum mismatch"):
        events.gather()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(events.damage) == 1


def test_a_record_that_is_not_an_event_is_damage(tmp_path: Path) -> None:
    bad = b"\x0a\xff\xff\xff\xff\x0f"
    path = write_events(tmp_path / "e.tfevents", [VERSION, bad, *EVENTS_OF_A_RUN[1:]])
    events = open_quietly(path)
    assert scalars_by_columns(events) == scalars_by_protobuf(EVENTS_OF_A_RUN)
    (damage,) = events.damage
    assert "not a tensorflow.Event message" in str(damage)
    assert (damage.offset, damage.skipped) == (BORDERS[1], len(bad) + 16)
    with pytest.raises(CorruptError, match=r"not a tensorflow\.Event message"):
        ckptfmt.open_events(path, strict=True).gather()


def test_an_event_with_a_tag_that_is_not_utf_8_is_damage(tmp_path: Path) -> None:
    events = [scalar("loss", i, i).SerializeToString().replace(b"loss", b"lo\xffs") for i in range(20)]
    found = open_quietly(write_events(tmp_path / "e.tfevents", [VERSION, *events, scalar("x", 1, 1)]))
    assert (list(found.tags), len(found.damage)) == (["x"], 20)


def test_reading_ends_at_a_length_of_2_to_the_62(tmp_path: Path) -> None:
    path = tmp_path / "e.tfevents"
    for length in (1 << 62, (1 << 64) - 1, 1 << 40):
        path.write_bytes(CONTENT + claim(length) + CONTENT[: BORDERS[1] - 1])
        events = ckptfmt.open_events(path)
        assert scalars_by_columns(events) == scalars_by_protobuf(EVENTS_OF_A_RUN)
        assert events.damage == []
        assert events.tails == {str(path): 12 + BORDERS[1] - 1}


@pytest.mark.parametrize("length", [1 << 62, (1 << 64) - 1, 1 << 40, 1000, 200])
@pytest.mark.parametrize("compress", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_events_after_a_wrong_length_are_read(tmp_path: Path, length: int, compress: object) -> None:
    """A program that is killed while it writes leaves half an event; the next program appends to the file."""
    path = tmp_path / "e.tfevents"
    path.write_bytes(compress(CONTENT + claim(length) + b"begun" + CONTENT))  # type: ignore[operator]
    events = open_quietly(path)
    assert scalars_by_columns(events) == scalars_by_protobuf(EVENTS_OF_A_RUN * 2)
    assert [(damage.offset, damage.skipped) for damage in events.damage] == [(len(CONTENT), 17)]
    assert (events.tails, events.num_events) == ({}, 2 * len(EVENTS_OF_A_RUN))
    for _ in range(2):
        with pytest.raises(CorruptError) as caught:
            ckptfmt.open_events(path, strict=True).gather()
        assert caught.value.offset == len(CONTENT)


def test_a_message_that_claims_more_bytes_than_it_has_is_damage(tmp_path: Path) -> None:
    for length in (1 << 62, 1 << 31, 100):
        event = b"\x2a" + encode_varint(length) + b"\x0a\x02\x0a\x00"
        found = open_quietly(write_events(tmp_path / "e.tfevents", [VERSION, *[event] * 5]))
        assert len(found.damage) == 5


def test_a_tensor_is_not_allocated_by_the_size_it_claims(tmp_path: Path) -> None:
    event = messages.Event(step=1)
    value = event.summary.value.add(tag="x")
    value.tensor.dtype = 1
    value.tensor.tensor_shape.dim.add(size=1 << 40)
    value.tensor.float_val.extend([1.0, 2.0])
    events = ckptfmt.open_events(write_events(tmp_path / "e.tfevents", [VERSION, event]))
    with pytest.raises(CkptfmtError):
        events.tensors["x"][0]


KINDS = ("scalars", "histograms", "images", "audio", "text", "tensors")


def read_all(events: ckptfmt.EventLog) -> None:
    """Ask for everything: each answer is right or an error of this package."""
    for kind in KINDS:
        tags = getattr(events, kind)
        for tag in tags:
            with suppress(CkptfmtError):
                list(tags[tag])
    for name in ("hparams", "graphs", "meta_graphs", "run_metadata", "session_logs"):
        with suppress(CkptfmtError):
            getattr(events, name)


@pytest.mark.parametrize("case", ["tf1", "tf2"])
def test_events_whose_checksums_hold_may_say_anything(tmp_path: Path, case: str) -> None:
    records = [record.data for record in ckptfmt.open_events(EVENTS / case).records()]
    records = [record for record in records if len(record) < 2000]
    random = np.random.default_rng(7)
    for _ in range(150):
        changed = []
        for record in records:
            data = bytearray(record)
            for at in random.integers(0, len(data), int(random.integers(0, 3))):
                data[at] = random.choice([0, 1, 0x7F, 0x80, 0xFF, data[at] ^ 1])
            changed.append(
                bytes(data[: int(random.integers(1, len(data) + 1))]) if random.random() < 0.05 else data
            )
        events = open_quietly(write_events(tmp_path / "e.tfevents", map(bytes, changed)))
        read_all(events)
        decoded = [event for event in map(decode, changed) if event is not None]
        assert events.num_events == len(decoded)
        assert_same_scalars(events, decoded)


def decode(data: bytes) -> messages.Event | None:
    try:
        return messages.Event.FromString(bytes(data))
    except Exception:
        return None


def test_bombs_are_bounded(tmp_path: Path) -> None:
    path = tmp_path / "e.tfevents"
    path.write_bytes(gzip.compress(CONTENT + bytes(20 << 20)))
    with pytest.raises(LimitError, match="bytes without a record"):
        ckptfmt.open_events(path, limits=Limits(max_record=1 << 20)).gather()


def pictures(count: int) -> bytes:
    """Events that must all be kept, because images are read when they are used."""
    event = messages.Event(step=1)
    event.summary.value.add(tag="x").image.encoded_image_string = b"\0" * 100
    return frame(event.SerializeToString()) * count


def losses(count: int) -> bytes:
    return frame(scalar("loss", 1, 1).SerializeToString()) * count


@pytest.mark.parametrize(
    ("make", "count", "options"),
    [
        pytest.param(losses, 6_000_000, {}, id="scalars"),
        # A quarter of the limit, and of the time: other values than scalars are gathered event by event.
        pytest.param(pictures, 300_000, {"max_record": 64 << 20}, id="images"),
        pytest.param(
            lambda count: frame(b"") * count, 1_125_000, {"max_record": 64 << 20}, id="empty events"
        ),
    ],
)
def test_a_few_compressed_bytes_do_not_become_any_number_of_events(
    tmp_path: Path, make: Callable[[int], bytes], count: int, options: dict[str, int]
) -> None:
    path = tmp_path / "e.tfevents"
    path.write_bytes(gzip.compress(make(count), 1))
    limits = Limits(**options)
    message = "bytes of memory for compressed files"
    with memory_growth() as growth, pytest.raises(LimitError, match=message) as caught:
        ckptfmt.open_events(path, limits=limits).gather()
    assert caught.value.limit == limits.record
    assert growth.peak < 2.3 * limits.record


def test_a_limit_that_is_raised_reads_more(tmp_path: Path) -> None:
    path = tmp_path / "e.tfevents"
    path.write_bytes(gzip.compress(pictures(1000)))
    with pytest.raises(LimitError):
        ckptfmt.open_events(path, limits=Limits(max_record=100_000)).gather()
    assert len(ckptfmt.open_events(path, limits=Limits(max_record=1_000_000)).images["x"]) == 1000


def test_thousands_of_templates_of_one_size_are_read_in_time(tmp_path: Path) -> None:
    """Four tags of 60 letters together, split in many ways: one size, a template for each."""
    cuts = [(a, b, c) for a in range(1, 57) for b in range(1, 58 - a) for c in range(1, 59 - a - b)]
    np.random.default_rng(1).shuffle(cuts)
    events = []
    for a, b, c in cuts[:15_000]:
        event = messages.Event(step=1, wall_time=1.0)
        for size in (a, b, c, 60 - a - b - c):
            event.summary.value.add(tag="x" * size, simple_value=size)
        events.append(event)
    path = write_events(tmp_path / "e.tfevents", [VERSION, *events])
    started = time.perf_counter()
    found = ckptfmt.open_events(path)
    assert scalars_by_columns(found) == scalars_by_protobuf(events)
    assert time.perf_counter() - started < 10


def test_each_of_many_tags_is_found_quickly(tmp_path: Path) -> None:
    count = 20_000
    path = write_events(tmp_path / "e.tfevents", [VERSION, *(scalar(f"tag{i}", i, i) for i in range(count))])
    events = ckptfmt.open_events(path)
    started = time.perf_counter()
    for tag in events.tags:
        assert len(getattr(events, events.tags[tag])[tag]) == 1
    assert time.perf_counter() - started < 10


@pytest.mark.scale
def test_a_million_tags_take_bounded_time_and_memory(tmp_path: Path) -> None:
    count = 1_000_000
    path = tmp_path / "e.tfevents"
    with path.open("wb") as file:
        file.write(RECORDS[0])
        for begin in range(0, count, 100_000):
            file.write(
                b"".join(
                    frame(
                        b"\x09" + bytes(8) + b"\x10\x01\x2a\x14\x0a\x12\x0a\x0b%011d\x15\x00\x00\x80\x3f" % i
                    )
                    for i in range(begin, begin + 100_000)
                )
            )
    started = time.perf_counter()
    with memory_growth() as growth:
        events = ckptfmt.open_events(path)
        assert len(events.scalars) == count
        assert events.scalars["00000999999"].values.tolist() == [1.0]
    assert time.perf_counter() - started < 60
    assert growth.peak < 1 << 30


# --- tensors that repeat one value -------------------------------------------------------------------------


def repeating(plugin: str, dtype: int, *shape: int) -> bytes:
    """Return an event with a tensor that has one value for all of its elements."""
    event = messages.Event(step=1)
    value = event.summary.value.add(tag=plugin)
    value.metadata.plugin_data.plugin_name = plugin
    value.tensor.dtype = dtype
    for size in shape:
        value.tensor.tensor_shape.dim.add(size=size)
    if dtype == messages.DataType.DT_STRING:
        value.tensor.string_val.append(b"8")
    else:
        value.tensor.float_val.append(1.0)
    return event.SerializeToString()


MANY = 1 << 33
STRING, FLOAT = messages.DataType.DT_STRING, messages.DataType.DT_FLOAT


@pytest.mark.parametrize(
    ("kind", "dtype", "shape"),
    [
        ("text", STRING, (MANY,)),
        ("text", STRING, (1 << 13, 1 << 20)),
        ("text", STRING, (1 << 20,)),
        ("images", STRING, (MANY,)),
        ("audio", STRING, (MANY,)),
        ("audio", STRING, (MANY, 2)),
        ("histograms", FLOAT, (MANY, 3)),
        ("graph_run_metadata", STRING, (MANY,)),
    ],
)
def test_one_value_does_not_become_billions(
    tmp_path: Path, kind: str, dtype: int, shape: tuple[int, ...]
) -> None:
    path = write_events(tmp_path / "events.out.tfevents.1.h", [VERSION, repeating(kind, dtype, *shape)])
    events = ckptfmt.open_events(path)
    read = {"graph_run_metadata": lambda: events.run_metadata}.get(
        kind, lambda: getattr(events, kind)[kind][0]
    )
    with pytest.raises(LimitError) as raised:
        read()
    assert raised.value.file == str(path)
    assert raised.value.asked == np.prod(shape)
    assert raised.value.limit < 1 << 14


def test_a_tensor_of_one_value_takes_no_memory(tmp_path: Path) -> None:
    for dtype in (STRING, FLOAT):
        path = write_events(tmp_path / "events.out.tfevents.1.h", [VERSION, repeating("x", dtype, MANY)])
        tensor = ckptfmt.open_events(path).tensors["x"][0]
        assert tensor.shape == (MANY,)
        assert tensor.strides == (0,)


def test_a_few_repeated_values_are_no_trouble(tmp_path: Path) -> None:
    # As TensorFlow's C++ code shortens a constant.
    path = write_events(
        tmp_path / "events.out.tfevents.1.h",
        [VERSION, repeating("text", STRING, 10, 20), repeating("histograms", FLOAT, 30, 3)],
    )
    events = ckptfmt.open_events(path)
    assert (events.text["text"][0] == "8").all()
    assert events.text["text"][0].shape == (10, 20)
    assert events.histograms["histograms"][0].counts.tolist() == [1.0] * 30
