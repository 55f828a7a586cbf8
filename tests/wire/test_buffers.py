"""Too little memory is an error of this package."""

from __future__ import annotations

import os

import pytest

from ckptfmt.errors import LimitError
from ckptfmt.wire.buffers import memory_size, new_buffer


@pytest.mark.parametrize("size", [0, 1, 5 << 20])
def test_a_buffer_can_be_written(size: int) -> None:
    buffer = new_buffer(size, "for a test")
    assert (buffer.nbytes, buffer.readonly, buffer.format) == (size, False, "B")
    buffer[:] = bytes(size)
    assert bytes(buffer) == bytes(size)


@pytest.mark.parametrize("size", [2**60, 2**63, 2**70], ids=["memory", "signed", "address"])
def test_more_memory_than_exists_is_refused(size: int) -> None:
    with pytest.raises(LimitError, match=r"^f: memory: \d+ exceeds") as caught:
        new_buffer(size, "f: memory")
    assert caught.value.asked == size
    assert caught.value.limit == memory_size()


def test_the_size_of_memory_is_0_if_the_system_does_not_say(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert memory_size() == 0 or memory_size() > 1 << 24
    monkeypatch.delattr(os, "sysconf", raising=False)
    assert memory_size() == 0
