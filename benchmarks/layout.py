"""Names and layout of the inputs, for the code that writes them and the code that reads them.

It imports nothing heavy, because measured processes import it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

INPUT_FILE = "input.json"
"""The file in the folder of each input that records its sizes and the bytes of its tensors."""

SHIPPED = "digits"
"""The input that ships with the project, under ``examples``."""

COLUMNS = 256
"""Columns of an embedding."""

EVENTS = "events.out.tfevents.1700000000.host.1.0.v2"
"""Name of an event file, as TensorFlow 2 names them."""

LOGS = "logs"
"""Name of the directory of runs."""

RECORDS = "data.tfrecord"
"""Name of the file of records."""


SIZES = ("tiny", "small", "full")
"""Sizes of the inputs; ``inputs.py`` says what each means."""


def many_names(count: int) -> list[str]:
    """Return names like those in a TF2 checkpoint of a deep model, sorted."""
    return sorted(
        f"model/layer_{i // 100}/block_{i % 100}/kernel/.ATTRIBUTES/VARIABLE_VALUE" for i in range(count)
    )


def middle_name(inputs: Path, name: str) -> str:
    """Return a name from the middle of ``many``, ``million`` or ``tensors-NUMBER``."""
    number = name.partition("-")[2]
    count = int(number) if number else about(inputs, name)["sizes"][name]
    return f"model/layer_{count // 200}/block_50/kernel/.ATTRIBUTES/VARIABLE_VALUE"


def about(inputs: Path, name: str) -> dict[str, Any]:
    """Return the contents of an input's :data:`INPUT_FILE`."""
    read: dict[str, Any] = json.loads((inputs / name / INPUT_FILE).read_text(encoding="utf-8"))
    return read
