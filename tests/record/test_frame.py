"""Frames: their bytes, and finding them in a buffer."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ckptfmt.record import frame as frame_module
from ckptfmt.record.frame import decode_header, find_frames, find_header, find_headers
from tests.support.records import HELLO, claim, frame


def test_a_frame_is_that_of_tensorflow() -> None:
    assert frame(b"hello") == HELLO


@given(st.lists(st.integers(0, 300), max_size=60), st.integers(0, 3), st.integers(0, 40), st.booleans())
def test_frames_are_found_as_a_walk_finds_them(
    sizes: list[int], repeats: int, cut: int, damaged: bool
) -> None:
    content = b"".join(frame(bytes(size)) for size in sizes * (1 + 20 * repeats))
    borders = [0, *np.cumsum([size + 16 for size in sizes * (1 + 20 * repeats)]).tolist()]
    content = content[: max(0, len(content) - cut)]
    end = max((b for b in borders if b <= len(content)), default=0)
    if damaged and len(borders) > 4 and borders[-3] < len(content):
        at = borders[len(borders) // 2]
        content = content[:at] + bytes([content[at] ^ 0xFF]) + content[at + 1 :]
        end = min(end, at)
    found = find_frames(content, {})
    assert found.tolist() == [b for b in borders if b <= end]


def test_headers_that_stop_repeating_are_noticed() -> None:
    pieces = [frame(bytes(10)), frame(bytes(20))] * 500
    for number in (200, 600, 999):
        changed = list(pieces)
        changed[number] = frame(bytes(11))
        borders = np.cumsum([0, *map(len, changed)])
        assert find_frames(b"".join(changed), {}).tolist() == borders.tolist()
        spoiled = bytearray(b"".join(pieces))
        at = int(np.cumsum([0, *map(len, pieces)])[number])
        spoiled[at + 9] ^= 1
        assert find_frames(bytes(spoiled), {})[-1] == at


@given(st.binary(max_size=200), st.binary(max_size=40))
def test_the_next_header_is_found(junk: bytes, data: bytes) -> None:
    content = junk + frame(data)
    found = find_header(content, 0, len(content))
    expected = next(
        at
        for at in range(len(content))
        if (length := decode_header(content[at : at + 12])) is not None and length <= len(content)
    )
    assert found == expected


def test_headers_seen_before_are_kept_and_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frame_module, "MAX_KNOWN", 3)
    known: dict[bytes, int] = {}
    content = b"".join(frame(bytes(size)) for size in range(10))
    for _ in range(2):
        assert len(find_frames(content, known)) == 11
        assert len(known) <= 3


def test_every_header_is_found_but_those_of_longer_records() -> None:
    content = b"x" + claim(5) + b"yy" + claim(1 << 40) + claim(6)
    assert find_headers(content, 0, 1 << 41).tolist() == [1, 15, 27]
    assert find_headers(content, 2, 100).tolist() == [27]
    assert find_headers(content, 28, 100).tolist() == []
    assert find_header(content, 2, 5) is None
