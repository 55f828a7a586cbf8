"""How much memory a block of code takes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

from benchmarks.memory import forget_peak, peak_bytes


@dataclass
class Growth:
    """The growth of resident memory while a block ran."""

    peak: int = 0
    """Bytes at the highest point, above those at the beginning."""


@contextmanager
def memory_growth() -> Iterator[Growth]:
    """Measure the memory that a block takes; skips the test if the system does not report it.

    The peak is reset first, as far as the system can do that: else a test that took more memory before would
    hide what this one takes.
    """
    growth = Growth()
    forget_peak()
    before = peak_bytes()
    if before is None:
        pytest.skip("this system does not report how much memory was used")
    yield growth
    after = peak_bytes()
    assert after is not None
    growth.peak = after - before
