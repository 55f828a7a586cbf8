"""Records and files of them, made byte by byte."""

from __future__ import annotations

import struct
import warnings
from pathlib import Path

import ckptfmt
from ckptfmt.errors import DamageWarning
from ckptfmt.record.frame import encode_frame
from ckptfmt.wire.crc32c import crc32c, mask

HELLO = bytes.fromhex("0500000000000000 eab2043e 68656c6c6f bb1f1c19")
"""The frame of ``hello`` as TensorFlow writes it."""


def frame(data: bytes) -> bytes:
    """Return the frame of a record."""
    head, foot = encode_frame(data)
    return head + data + foot


def claim(length: int) -> bytes:
    """Return a header whose checksum matches, for a record that need not follow."""
    head = struct.pack("<Q", length)
    return head + struct.pack("<I", mask(crc32c(head)))


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def read(path: Path, **options: object) -> tuple[list[bytes], ckptfmt.Records]:
    """Return the data of all records, read without warnings of damage, and the open ``Records``."""
    records = ckptfmt.open_records(path, **options)  # type: ignore[arg-type]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DamageWarning)
        return [record.data for record in records], records
