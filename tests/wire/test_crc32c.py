"""CRC-32C against published values."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ckptfmt.wire.crc32c import crc32c, mask, unmask

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
