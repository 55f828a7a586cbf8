"""Records read by their number."""

from __future__ import annotations

from pathlib import Path

import pytest

import ckptfmt
from ckptfmt.errors import ChecksumError, CorruptError
from ckptfmt.record import reader
from tests.support.records import HELLO, frame, read, write


def test_any_record_can_be_read_by_its_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "WINDOW", 256)
    data = [bytes([i]) * (i * 7 % 400) for i in range(200)]
    path = write(tmp_path / "r", b"".join(map(frame, data)))
    assert read(path)[0] == data
    index = ckptfmt.open_records(path).scan()
    assert len(index) == 200
    assert index.sizes.tolist() == list(map(len, data))
    assert [index[i].data for i in range(200)] == data
    assert index[-1].data == data[-1]
    assert [record.data for record in index[10:20:3]] == data[10:20:3]
    assert index[7].offset == index.offsets[7]
    with pytest.raises(IndexError):
        index[200]
    index.close()


def test_a_damaged_record_is_found_when_it_is_read(tmp_path: Path) -> None:
    content = bytearray(HELLO * 3)
    content[21 + 13] ^= 1
    index = ckptfmt.open_records(write(tmp_path / "r", bytes(content))).scan()
    assert index[2].data == b"hello"
    with pytest.raises(ChecksumError, match="r @0x15: record: checksum mismatch"):
        index[1]


@pytest.mark.parametrize("backend", ["mmap", "pread"])
def test_an_index_notices_that_the_file_was_replaced(tmp_path: Path, backend: str) -> None:
    path = write(tmp_path / "r", HELLO * 20)
    index = ckptfmt.open_records(path, verify=False, backend=backend).scan()
    write(tmp_path / "new", frame(b"something else" * 50)).replace(path)
    for number in (0, 3):
        with pytest.raises(
            CorruptError, match=f"r @0x{21 * number:x}: the record is no longer at this offset"
        ):
            index[number]
    index.close()
