"""The form in which a bundle stores a tensor: bytes, and the CRC that its entry has."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from ckptfmt.storage.output import Data


class StoredForm(NamedTuple):
    """What is written of one tensor, or of one slice of it."""

    head: Sequence[Data]
    """The bytes that come first, which strings and variants have besides their own."""
    crc: int
    """The CRC-32C so far, after the head: it does not cover that byte for byte."""
    content: Iterable[Data]
    """The bytes that follow, on which the CRC goes on; made while they are written, and only once."""
    size: int
    """How many bytes these are together."""
