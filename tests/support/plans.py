"""Plans written as text, step by step, and an array to apply them to."""

from __future__ import annotations

import numpy as np

from ckptfmt import Plan

W = np.arange(12, dtype=np.float32).reshape(2, 6)


def step(*lines: str) -> str:
    return "\n".join(["[[step]]", *lines])


def plan(*steps: str, rest: str = "keep", file: str | None = None) -> Plan:
    return Plan.parse("\n".join(["version = 1", f'rest = "{rest}"', *steps]), file)
