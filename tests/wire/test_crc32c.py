"""CRC-32C against published values, and of pieces against the whole."""

from __future__ import annotations

import os
from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ckptfmt.wire.crc32c import combine, combine_all, crc32c, crc32c_in_threads, mask, unmask
from ckptfmt.wire.threads import PIECE

# RFC 3720, appendix B.4, "CRC Examples"; there in the order in which the bytes are sent.
RFC_3720 = {
    "32 zeros": (bytes(32), "aa36918a"),
    "32 ones": (b"\xff" * 32, "43aba862"),
    "32 incrementing": (bytes(range(32)), "4e79dd46"),
    "32 decrementing": (bytes(reversed(range(32))), "5cdb3f11"),
    "SCSI read command": (
        bytes.fromhex(
            "01c00000 00000000 00000000 00000000 14000000 00000400"
            "00000014 00000018 28000000 00000000 02000000 00000000"
        ),
        "563a96d9",
    ),
}


@pytest.mark.parametrize(("data", "sent"), RFC_3720.values(), ids=RFC_3720)
def test_crcs_of_rfc_3720(data: bytes, sent: str) -> None:
    assert crc32c(data) == int.from_bytes(bytes.fromhex(sent), "little")


def test_the_check_value_of_the_catalogue() -> None:
    assert crc32c(b"123456789") == 0xE3069283


def test_a_crc_continues_over_what_follows() -> None:
    assert crc32c(b"6789", crc32c(b"12345")) == 0xE3069283


def test_a_crc_takes_any_buffer() -> None:
    data = memoryview(b"x123456789x")[1:-1]
    assert crc32c(data) == 0xE3069283


# LevelDB, doc/log_format.md and util/crc32c.h: rotated right by 15 bits, then the constant added.
@pytest.mark.parametrize(
    ("crc", "masked"),
    [
        pytest.param(0, 0xA282EAD8, id="of no bytes"),
        pytest.param(1 << 15, 0xA282EAD9, id="lowest bit after rotation"),
        pytest.param(1, 0xA284EAD8, id="lowest bit before rotation"),
        pytest.param(0xFFFFFFFF, 0xA282EAD7, id="sum wraps around"),
    ],
)
def test_masking_rotates_and_adds(crc: int, masked: int) -> None:
    assert mask(crc) == masked
    assert unmask(masked) == crc


def test_the_masked_crc_of_a_tensor_that_tensorflow_wrote() -> None:
    # The scalar string "hello": the CRC of its length as TensorFlow 2.21 stored it.
    assert mask(crc32c((5).to_bytes(4, "little"))).to_bytes(4, "little") == bytes.fromhex("d9c69c43")


@given(st.integers(0, 2**32 - 1))
def test_unmask_is_the_inverse_of_mask(crc: int) -> None:
    assert unmask(mask(crc)) == crc
    assert mask(unmask(crc)) == crc
    assert mask(crc) != crc


@pytest.mark.parametrize(("data", "sent"), RFC_3720.values(), ids=RFC_3720)
def test_crcs_of_rfc_3720_come_out_of_any_two_pieces(data: bytes, sent: str) -> None:
    for cut in range(len(data) + 1):
        crc = combine(crc32c(data[:cut]), crc32c(data[cut:]), len(data) - cut)
        assert crc == int.from_bytes(bytes.fromhex(sent), "little")


@given(st.binary(max_size=5000), st.binary(max_size=5000))
def test_the_crc_of_two_pieces_is_that_of_the_whole(first: bytes, second: bytes) -> None:
    assert combine(crc32c(first), crc32c(second), len(second)) == crc32c(first + second)


@given(st.lists(st.binary(max_size=300)))
def test_the_crc_of_many_pieces_is_that_of_the_whole(pieces: list[bytes]) -> None:
    assert combine_all((crc32c(piece), len(piece)) for piece in pieces) == crc32c(b"".join(pieces))


@given(st.integers(0, 2**32 - 1))
def test_pieces_without_bytes_change_nothing(crc: int) -> None:
    assert combine(crc, 0, 0) == crc
    assert combine(0, crc, 0) == crc
    assert combine_all([]) == 0


crcs = st.integers(0, 2**32 - 1)
sizes = st.integers(0, 2**70)


@given(crcs, crcs, crcs, sizes, sizes)
def test_pieces_of_any_size_may_be_put_together_in_any_order(a: int, b: int, c: int, m: int, n: int) -> None:
    assert combine(combine(a, b, m), c, n) == combine(a, combine(b, c, n), m + n)


def test_more_than_four_gibibytes() -> None:
    zeros = bytes(1 << 24)
    crc = crc32c(b"start")
    for _ in range(256):
        crc = crc32c(zeros, crc)
    # 2^24 zeros twice, eight times over, are 2^32.
    *_, doubled = accumulate(range(24, 32), lambda crc, k: combine(crc, crc, 1 << k), initial=crc32c(zeros))
    assert combine(crc32c(b"start"), doubled, 1 << 32) == crc
    assert combine(crc, crc32c(b"end"), 3) == crc32c(b"end", crc)
    assert combine(crc32c(b"start"), combine(doubled, crc32c(b"end"), 3), (1 << 32) + 3) == crc32c(
        b"end", crc
    )


@pytest.fixture(scope="module")
def large() -> memoryview:
    return memoryview(os.urandom(3 * PIECE + 1))


@pytest.mark.parametrize("threads", [-1, 0, 1, 2, 5])
@pytest.mark.parametrize("size", [0, 1, PIECE - 1, PIECE, PIECE + 1, 2 * PIECE, 3 * PIECE, 3 * PIECE + 1])
def test_threads_compute_the_same(large: memoryview, size: int, threads: int) -> None:
    assert crc32c_in_threads(large[:size], threads) == crc32c(large[:size])
    assert crc32c_in_threads(large[len(large) - size :], threads) == crc32c(large[len(large) - size :])
