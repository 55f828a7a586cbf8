"""Checksums of many small pieces of bytes at once."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ckptfmt.wire.crc32c import crc32c, mask
from ckptfmt.wire.crc_rows import added_by, crc_before, crc_of_words, mask_all


@given(st.lists(st.binary(min_size=8, max_size=8), min_size=1, max_size=20))
def test_checksums_of_many_are_those_of_each(words: list[bytes]) -> None:
    crcs = crc_of_words(np.frombuffer(b"".join(words), "<u8"))
    assert crcs.tolist() == [crc32c(word) for word in words]
    assert mask_all(crcs).tolist() == [mask(crc32c(word)) for word in words]


@given(
    st.lists(st.binary(min_size=5, max_size=5), min_size=1, max_size=20), st.binary(min_size=4, max_size=99)
)
def test_checksums_of_two_parts_are_combined(first: list[bytes], second: bytes) -> None:
    crcs = crc_before(np.array([crc32c(part) for part in first], np.uint32), len(second))
    assert (crcs ^ np.uint32(crc32c(second))).tolist() == [crc32c(part + second) for part in first]


def test_what_a_byte_adds_to_a_checksum() -> None:
    for following in (0, 1, 63, 64, 200, 1000):
        zeros = bytes(following)
        for byte in (0, 1, 200):
            assert added_by(following)[byte] == crc32c(bytes([byte]) + zeros) ^ crc32c(b"\0" + zeros)
