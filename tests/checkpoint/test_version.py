"""Versions: which checkpoints exclude this reader."""

from __future__ import annotations

import pytest

from ckptfmt.checkpoint.version import CONSUMER_VERSION, check_version
from ckptfmt.errors import UnsupportedError
from tests.support.table_writer import encode_field


@pytest.mark.parametrize(
    "version",
    [
        b"",
        encode_field(1, 1),
        encode_field(1, 99) + encode_field(2, CONSUMER_VERSION),
        encode_field(3, CONSUMER_VERSION + 1),
    ],
    ids=["none", "as TensorFlow writes it", "of a later producer", "that excludes another"],
)
def test_a_version_admits_this_reader(version: bytes) -> None:
    check_version(version)


@pytest.mark.parametrize(
    ("version", "message"),
    [
        (encode_field(2, CONSUMER_VERSION + 1), "needs readers of version 2 or later, this is 1"),
        (encode_field(3, CONSUMER_VERSION), "excludes readers of version 1"),
        (encode_field(3, bytes([7, CONSUMER_VERSION])), "excludes readers of version 1"),
    ],
    ids=["too new", "excluded", "excluded in a packed list"],
)
def test_a_version_excludes_this_reader(version: bytes, message: str) -> None:
    with pytest.raises(UnsupportedError, match=message):
        check_version(version)
