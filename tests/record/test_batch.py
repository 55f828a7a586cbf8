"""Batches of frames, and the records in them."""

from __future__ import annotations

import numpy as np
import pytest

from ckptfmt.errors import LimitError
from ckptfmt.record.batch import Batch, Record
from ckptfmt.record.frame import find_frames
from tests.support.records import frame

DATA = [b"first", b"", b"the third"]
CONTENT = b"".join(map(frame, DATA))


def batch_of(content: bytes, base: int = 0) -> Batch:
    return Batch(content, base, find_frames(content, {}))


def test_a_batch_says_where_the_data_of_its_records_are() -> None:
    batch = batch_of(CONTENT + b"begun")
    assert len(batch) == 3
    assert batch.sizes.tolist() == list(map(len, DATA))
    places = zip(batch.begins.tolist(), batch.sizes.tolist(), strict=True)
    assert [batch.data[begin : begin + size] for begin, size in places] == DATA


@pytest.mark.parametrize("as_buffer", [bytes, memoryview])
def test_one_record_of_a_batch_is_checked(as_buffer: type) -> None:
    spoiled = bytearray(CONTENT)
    spoiled[-5] ^= 1
    batch = batch_of(as_buffer(bytes(spoiled)), base=1000)
    assert batch.check(0, "r") is None
    error = batch.check(2, "r")
    assert error is not None
    assert (error.file, error.offset) == ("r", 1000 + len(frame(DATA[0])) + len(frame(DATA[1])))
    assert error.stored != error.computed


def test_the_data_of_a_record_are_bytes() -> None:
    array = np.arange(3, dtype=np.uint8)
    assert Record(memoryview(array), 0, "r").data == b"\0\1\2"


def test_data_that_exceed_memory_are_a_limit_error() -> None:
    class Endless:
        def __len__(self) -> int:
            return 1 << 60

        def __bytes__(self) -> bytes:
            raise MemoryError

    with pytest.raises(LimitError, match=f"r: bytes of memory: {1 << 60} exceeds") as caught:
        Record(Endless(), 0, "r").data  # type: ignore[arg-type]  # noqa: B018
    assert caught.value.asked == 1 << 60
