"""Where reading goes on after damage, decided on bytes in memory."""

from __future__ import annotations

import gzip
import math

import pytest

from ckptfmt.errors import ChecksumError, LimitError
from ckptfmt.record import recovery as recovery_module
from ckptfmt.record.input import Source
from ckptfmt.record.recovery import Gap, Recovery
from tests.support.memory_filesystem import MemoryFilesystem
from tests.support.records import claim, frame

DATA = [b"record %d" % number for number in range(5)]
FRAMES = [frame(data) for data in DATA]
CONTENT = b"".join(FRAMES)
BEFORE = frame(b"before")
START = len(BEFORE)
"""Where the record under test begins."""


class Growing:
    """A file in memory, and the recovery that decides about it."""

    def __init__(self, content: bytes, *, verify: bool = True, limit: int = 1 << 20) -> None:
        self.fs = MemoryFilesystem({"r": content})
        self.source = Source("r", self.fs)
        self.recovery = Recovery(self.source, verify=verify, limit=limit)

    def become(self, content: bytes) -> None:
        self.fs.write("r", content)
        self.source.refresh()


def recovery_of(content: bytes, *, verify: bool = True, limit: int = 1 << 20) -> Recovery:
    return Growing(content, verify=verify, limit=limit).recovery


def gap_at(start: int) -> Gap:
    return Gap(start, ChecksumError("length", stored=0, computed=1), start + 1)


# --- a header that does not match --------------------------------------------------------------------------


@pytest.mark.parametrize("size", [12, 13, 300, 5000])
@pytest.mark.parametrize("byte", [b"\0", b"\xee"])
def test_the_next_header_is_found(size: int, byte: bytes) -> None:
    gap = gap_at(START)
    assert recovery_of(BEFORE + byte * size + FRAMES[0]).find_header(gap) == START + size


def test_the_search_of_a_gap_goes_on_when_the_file_grows() -> None:
    file = Growing(BEFORE + b"\xee" * 1000 + FRAMES[0][:8])
    gap = gap_at(START)
    assert file.recovery.find_header(gap) is None
    assert gap.end == START + 1008
    file.become(BEFORE + b"\xee" * 1000 + FRAMES[0])
    searched = file.fs.files["r"].reads
    searched.clear()
    assert file.recovery.find_header(gap) == START + 1000
    assert min(offset for offset, _ in searched) >= START + 997


def test_a_compressed_file_is_not_searched_beyond_the_limit() -> None:
    content = gzip.compress(BEFORE + b"\xee" * 100_000)
    with pytest.raises(LimitError, match="bytes without a record") as caught:
        recovery_of(content, limit=1000).find_header(gap_at(START))
    assert (caught.value.file, caught.value.offset, caught.value.limit) == ("r", START, 1000)


# --- a record that reaches beyond the end ------------------------------------------------------------------


def test_frames_of_another_writer_lead_to_the_end() -> None:
    content = BEFORE + claim(5000) + b"begun" + CONTENT
    detour = recovery_of(content).after_cut(START, 5016)
    assert detour is not None
    assert (detour.resume_at, detour.due) == (START + 17, START + 5016)


def test_frames_in_a_record_that_is_being_written_do_not() -> None:
    content = BEFORE + claim(5000) + CONTENT + b"and other data"
    assert recovery_of(content).after_cut(START, 5016) is None


def test_frames_may_lead_to_one_that_is_being_written() -> None:
    content = BEFORE + claim(5000) + CONTENT + FRAMES[0][:-1]
    detour = recovery_of(content).after_cut(START, 5016)
    assert detour is not None
    assert detour.resume_at == START + 12


def test_frames_go_on_after_damage_between_them() -> None:
    content = BEFORE + claim(5000) + CONTENT + b"\xee" * 30 + CONTENT
    assert recovery_of(content).after_cut(START, 5016) is not None


def test_without_a_frame_the_record_is_being_written() -> None:
    assert recovery_of(BEFORE + claim(5000) + b"data" * 100).after_cut(START, 5016) is None


def test_a_frame_whose_data_do_not_match_does_not_count() -> None:
    spoiled = bytearray(FRAMES[0])
    spoiled[14] ^= 1
    content = BEFORE + claim(5000) + bytes(spoiled)
    assert recovery_of(content).after_cut(START, 5016) is None


def test_nobody_writes_a_record_of_2_to_the_62_bytes() -> None:
    content = BEFORE + claim(1 << 62) + CONTENT + b"and other data"
    detour = recovery_of(content).after_cut(START, (1 << 62) + 16)
    assert detour is not None
    assert detour.resume_at == START + 12
    assert detour.trail is None


def test_looking_again_searches_only_what_is_new() -> None:
    content = BEFORE + claim(1 << 20) + b"data" * 10_000
    file = Growing(content)
    assert file.recovery.after_cut(START, 1 << 20) is None
    file.become(content + b"more")
    reads = file.fs.files["r"].reads
    reads.clear()
    assert file.recovery.after_cut(START, 1 << 20) is None
    assert sum(size for _, size in reads) < 1000


# --- data that do not match --------------------------------------------------------------------------------


def spoiled(data: bytes) -> bytes:
    content = bytearray(frame(data))
    content[12] ^= 1
    return bytes(content)


def test_after_a_damaged_record_comes_the_next() -> None:
    record = spoiled(b"x" + CONTENT)
    detour = recovery_of(BEFORE + record + FRAMES[0]).after_spoiled(START, len(record))
    assert (detour.resume_at, detour.due) == (START + len(record), math.inf)


def test_a_damaged_record_at_the_end_keeps_its_frames() -> None:
    record = spoiled(b"x" + CONTENT + b"and other data")
    detour = recovery_of(BEFORE + record).after_spoiled(START, len(record))
    assert detour.resume_at == START + len(record)
    assert detour.due == START + len(record) + 1  # another byte may show that the length is wrong


def test_a_length_that_leads_into_a_frame_is_wrong() -> None:
    content = BEFORE + claim(50) + b"begun" + CONTENT
    detour = recovery_of(content).after_spoiled(START, 66)
    assert detour.resume_at == START + 17


def test_a_length_that_leads_to_the_end_by_accident_is_wrong() -> None:
    content = BEFORE + claim(len(CONTENT) + 1) + b"begun" + CONTENT
    detour = recovery_of(content).after_spoiled(START, len(content) - START)
    assert detour.resume_at == START + 17


def test_reading_resumes_at_a_frame_that_is_being_written() -> None:
    content = BEFORE + claim(50) + b"begun" + frame(b"x" * 1000)[:100]
    detour = recovery_of(content).after_spoiled(START, 66)
    assert (detour.resume_at, detour.due) == (START + 17, START + 17 + 1016)


# --- when the file grows -----------------------------------------------------------------------------------

OUTER = frame(CONTENT)
"""A record that holds records."""


def test_a_record_that_turns_out_to_be_whole_disproves_a_detour() -> None:
    file = Growing(BEFORE + OUTER[: 12 + len(CONTENT)])
    detour = file.recovery.after_cut(START, len(OUTER))
    assert detour is not None
    file.recovery.remember(detour)
    assert not file.recovery.is_disproved()
    file.become(BEFORE + OUTER)
    assert file.recovery.is_disproved()
    file.recovery.begin()
    assert not file.recovery.is_disproved()


def test_frames_that_stop_disprove_a_detour() -> None:
    begun = BEFORE + claim(5000) + CONTENT
    file = Growing(begun)
    detour = file.recovery.after_cut(START, 5016)
    assert detour is not None
    file.recovery.remember(detour)
    file.become(begun + CONTENT)
    assert not file.recovery.is_disproved()
    file.become(begun + CONTENT + b"and other data")
    assert file.recovery.is_disproved()


def test_a_confirmed_detour_is_not_decided_again() -> None:
    begun = BEFORE + claim(100) + b"begun" + CONTENT[:40]
    file = Growing(begun)
    detour = file.recovery.after_cut(START, 116)
    assert detour is not None
    file.recovery.remember(detour)
    file.become(BEFORE + claim(100) + b"begun" + CONTENT * 3)
    assert not file.recovery.is_disproved()
    reads = file.fs.files["r"].reads
    reads.clear()
    assert not file.recovery.is_disproved()
    assert reads == []


def test_unverified_data_are_believed_when_the_record_is_whole() -> None:
    record = spoiled(CONTENT)
    file = Growing(BEFORE + record[: 12 + len(FRAMES[0])] + FRAMES[1], verify=False)
    detour = file.recovery.after_cut(START, len(record))
    assert detour is not None
    file.recovery.remember(detour)
    file.become(BEFORE + record[: 12 + len(FRAMES[0])] + FRAMES[1] + bytes(len(record)))
    assert file.recovery.is_disproved()


def test_remembered_detours_have_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recovery_module, "MAX_DETOURS", 1)
    file = Growing(BEFORE + OUTER[: 12 + len(CONTENT)])
    detour = file.recovery.after_cut(START, len(OUTER))
    assert detour is not None
    file.recovery.remember(recovery_module.Detour(0, 100, 50, due=1e9))
    file.recovery.remember(detour)  # one too many
    file.become(BEFORE + OUTER)
    assert not file.recovery.is_disproved()


# --- cost --------------------------------------------------------------------------------------------------


def test_bytes_searched_in_vain_have_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """Headers that each claim the rest of the file would each have all of it checksummed."""
    monkeypatch.setattr(recovery_module, "CHECKED", 0)
    count = 2000
    claims = b"".join(claim(12 * (count - number) - 12) for number in range(count)) + bytes(100)
    file = Growing(BEFORE + claims)
    assert file.recovery.find_frame(START, file.source.end).place is None
    read = sum(size for _, size in file.fs.files["r"].reads)
    assert read < 2 * recovery_module.CHECKED_SHARE * len(claims)


def test_a_near_header_is_found_with_little_reading() -> None:
    file = Growing(BEFORE + b"\xee" * 20 + CONTENT + bytes(1 << 20))
    file.fs.files["r"].reads.clear()
    assert file.recovery.find_header(gap_at(START)) == START + 20
    assert sum(size for _, size in file.fs.files["r"].reads) == recovery_module.FIRST_SEARCHED
