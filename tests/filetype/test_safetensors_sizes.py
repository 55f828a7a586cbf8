"""Safetensors files begin with a size, whose bytes may be the first bytes of other formats."""

from __future__ import annotations

import json

import pytest

from ckptfmt.filetype.content import recognise
from ckptfmt.filetype.kinds import SAFETENSORS
from ckptfmt.storage.in_memory import MemoryFile


@pytest.mark.parametrize("size", [0x0280, 0x0480, 0x8B1F, 0x4B50, 0x5A42, 0x9D78, 0x100, 0x2020])
def test_a_header_of_any_size_is_recognised(size: int) -> None:
    header = json.dumps({"__metadata__": {"note": "n" * (size - 32)}}, separators=(",", ":")).encode()
    data = size.to_bytes(8, "little") + header.ljust(size)
    assert recognise(MemoryFile(memoryview(data))) is SAFETENSORS


def test_a_file_that_is_cut_within_its_header_is_recognised() -> None:
    header = json.dumps({"w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}).encode()
    data = len(header).to_bytes(8, "little") + header[:-20]
    assert recognise(MemoryFile(memoryview(data))) is SAFETENSORS
