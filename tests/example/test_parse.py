"""Examples: dicts of arrays, from bytes made by hand."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

import ckptfmt
from ckptfmt.errors import CorruptError
from tests.support.event_log import scalar
from tests.support.examples import delimited, entry, example, floats, integers, strings
from tests.support.records import frame


def test_each_kind_has_its_dtype() -> None:
    got = ckptfmt.parse_example(
        example(label=integers(-1, 5), box=floats(0.5, -2), words=strings(b"a\0", b""), one=integers(1 << 62))
    )
    assert list(got) == ["label", "box", "words", "one"]
    assert got["label"].dtype == np.int64
    assert got["label"].tolist() == [-1, 5]
    assert got["box"].dtype == np.float32
    assert got["box"].tolist() == [0.5, -2]
    assert got["words"].dtype == object
    assert got["words"].tolist() == [b"a\0", b""]
    assert got["one"].shape == (1,)
    assert not any(values.flags.writeable for values in got.values())


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_any_buffer_will_do(kind: type) -> None:
    data = kind(example(x=floats(*range(100)), n=integers(*range(200)), w=strings(*[b"w"] * 50)))
    got = ckptfmt.parse_example(data)
    assert got["x"].tolist() == list(range(100))
    assert got["n"].tolist() == list(range(200))
    assert got["w"].tolist() == [b"w"] * 50
    assert not any(values.flags.writeable for values in got.values())


def test_features_without_values() -> None:
    got = ckptfmt.parse_example(example(a=integers(), b=floats(), c=strings(), d=delimited(3, b""), e=b""))
    assert {name: (values.dtype, values.shape) for name, values in got.items()} == {
        "a": (np.dtype(np.int64), (0,)),
        "b": (np.dtype(np.float32), (0,)),
        "c": (np.dtype(object), (0,)),
        "d": (np.dtype(np.int64), (0,)),
        "e": (np.dtype(bool), (0,)),
    }
    assert ckptfmt.parse_example(b"") == {}


def test_floats_that_are_most_of_an_example_are_a_view() -> None:
    data = example(x=floats(*range(1000)))
    assert np.shares_memory(ckptfmt.parse_example(data)["x"], np.frombuffer(data, np.uint8))
    data = example(x=floats(*range(10)), image=strings(bytes(1000)))
    assert not np.shares_memory(ckptfmt.parse_example(data)["x"], np.frombuffer(data, np.uint8))


def test_a_sequence() -> None:
    steps = b"".join(delimited(1, integers(*range(n))) for n in range(3))
    lists = delimited(1, delimited(1, b"frames") + delimited(2, steps))
    data = delimited(1, entry("length", integers(3))) + delimited(2, lists)
    context, feature_lists = ckptfmt.parse_sequence_example(data)
    assert context["length"].tolist() == [3]
    assert [values.tolist() for values in feature_lists["frames"]] == [[], [0], [0, 1]]
    assert ckptfmt.parse_sequence_example(data).feature_lists.keys() == {"frames"}
    # An Example is a SequenceExample without lists, and the context of one is an Example.
    assert ckptfmt.parse_example(data).keys() == {"length"}


@pytest.mark.parametrize(
    ("data", "offset"),
    [
        (b"\x0a\x05\x0a", 2),  # a length beyond the end
        (delimited(1, delimited(1, delimited(1, b"\xff") + delimited(2, integers(1)))), 6),  # name
        (example(x=delimited(2, delimited(1, b"abc"))), 11),  # floats of three bytes
        (example(x=delimited(3, delimited(1, b"\x01\x80"))), 14),  # an integer that does not end
        (
            example(x=delimited(3, delimited(1, b"\x01\x80")), y=integers(1)),
            14,
        ),  # an integer that does not end
        (example(x=delimited(3, delimited(1, b"\xff" * 10 + b"\x01"))), 13),  # one of 11 bytes
        (example(x=delimited(3, delimited(1, b"\x80\x01" * 30 + b"\x80"))), 73),
        (scalar("loss", 1.0, 1).SerializeToString(), 0),  # an event
        (b"\x0b\x0c", 0),  # a group
    ],
)
def test_damage_is_an_error_with_an_offset(data: bytes, offset: int) -> None:
    with pytest.raises(CorruptError) as raised:
        ckptfmt.parse_example(data)
    assert raised.value.offset == offset


def test_an_error_names_file_and_offset_of_a_record(tmp_path: Path) -> None:
    bad = example(x=delimited(2, delimited(1, b"abc")))
    path = tmp_path / "x.tfrecord"
    path.write_bytes(frame(example(x=floats(1))) + frame(bad))
    good, damaged = ckptfmt.open_records(path)
    assert good.example()["x"].tolist() == [1]
    assert good.sequence_example().context["x"].tolist() == [1]
    with pytest.raises(CorruptError, match="packed floats: got 3 bytes, want a multiple of 4") as raised:
        damaged.example()
    assert raised.value.file == str(path)
    assert path.read_bytes()[raised.value.offset :].startswith(b"\x0a\x03abc")


@pytest.mark.parametrize(
    "data",
    [
        example(x=b"".join(integers(300) for _ in range(60_000))),
        example(x=delimited(3, b"\x08\x01" * 200_000)),
        delimited(1, b"\x0a\x00" * 200_000),
        example(x=strings(*[b""] * 200_000)),
        delimited(1, b"".join(entry("x", integers(300)) + b"\x28\x01" for _ in range(20_000))),
    ],
)
def test_odd_forms_take_time_in_proportion(data: bytes) -> None:
    started = time.process_time()
    ckptfmt.parse_example(data)
    assert time.process_time() - started < 5
