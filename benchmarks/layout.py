"""How inputs are named and laid out: what writing them and reading them both need to know."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

INPUT_FILE = "input.json"
"""What stands in the folder of each input: its sizes, and the bytes of its tensors."""

SHIPPED = "digits"
"""The input that ships with the project, in ``examples``."""

COLUMNS = 256
"""Of an embedding."""


EVENTS = "events.out.tfevents.1700000000.host.1.0.v2"
"""An event file, named as TensorFlow 2 does."""

LOGS = "logs"
"""The directory of runs."""

RECORDS = "data.tfrecord"
"""The file of records."""


def many_names(count: int) -> list[str]:
    """Return names such as a TF2 checkpoint of a deep model has, sorted."""
    return sorted(
        f"model/layer_{i // 100}/block_{i % 100}/kernel/.ATTRIBUTES/VARIABLE_VALUE" for i in range(count)
    )


def middle_name(inputs: Path, name: str) -> str:
    """Return a name from the middle of ``many``, ``million`` or ``tensors-NUMBER``."""
    number = name.partition("-")[2]
    count = int(number) if number else about(inputs, name)["sizes"][name]
    return f"model/layer_{count // 200}/block_50/kernel/.ATTRIBUTES/VARIABLE_VALUE"


def about(inputs: Path, name: str) -> dict[str, Any]:
    """Return what stands in an input's file."""
    read: dict[str, Any] = json.loads((inputs / name / INPUT_FILE).read_text(encoding="utf-8"))
    return read
