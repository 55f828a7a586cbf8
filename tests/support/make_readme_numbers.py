"""The numbers of README, from the recorded results: ``python -m tests.support.make_readme_numbers``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent.parent
README = ROOT / "README.md"
RESULTS = ROOT / "benchmarks" / "results"


class Source(NamedTuple):
    """Where a row of the numbers is measured: a file of results, a case, and each peer's best way."""

    file: str
    case: str
    tensorflow: str
    safetensors: str | None = None


GET, LOAD = "tensorflow: get_tensor", "safetensors: load_file"
SAFE_OPEN = "safetensors: safe_open"
ALL, SMALL, EVENTS = "cpu-2-processors", "small-cpu-2-processors", "events-cpu-2-processors"

MILLION_SCALARS = Source(EVENTS, "events: 1,000,000 scalars into columns", "tensorflow: summary_iterator")

EVENT_READERS = ("tensorboard: EventFileLoader without TensorFlow", "tbparse: SummaryReader")
"""Peers of the million scalars that the text mentions."""

SOURCES = [
    Source(ALL, "large: read all, verified, as views", GET, SAFE_OPEN),
    Source(ALL, "large: read all, verified, as copies", GET, LOAD),
    Source(ALL, "many: open and look one up", GET, SAFE_OPEN),
    Source(
        SMALL,
        "many: open and list names, dtypes, shapes",
        "tensorflow: load_checkpoint, both maps",
        SAFE_OPEN,
    ),
    Source(SMALL, "many: read all small tensors, verified", f"{GET}, in order", LOAD),
    Source(SMALL, "many: read all small tensors, verified", GET, LOAD),
    Source(ALL, "million: open", "tensorflow: load_checkpoint"),
    Source(SMALL, "million: open and list names, dtypes, shapes", "tensorflow: load_checkpoint, both maps"),
    Source(SMALL, "training: open and read every small checkpoint", GET),
    Source(ALL, "embedding: open and read 10 rows", f"{GET}, whole", "safetensors: get_slice"),
    Source(SMALL, "partitions: open and read the whole variable", GET),
    Source(ALL, "v1: open and read all", GET),
    Source(ALL, "model: freeze and write", "tensorflow: session"),
    MILLION_SCALARS,
    Source(SMALL, "events: open a directory of runs and list tags", "tensorflow: summary_iterator"),
    Source(ALL, "model: show a SavedModel", "saved_model_cli: show --all"),
    Source(SMALL, "process: start to first tensor of a small checkpoint", "tensorflow: load_checkpoint"),
    Source(ALL, "process: list a small checkpoint", "tensorflow: list_variables"),
]
"""The rows of the numbers in their order."""


def ratio(source: Source, peer: str) -> float:
    """Return how many times as long as ckptfmt a peer takes."""
    return _median(source, peer) / _median(source, "ckptfmt")


def with_numbers(text: str) -> str:
    """Return README with its table of numbers as the results have them."""
    before, heading, rest = text.partition("\n## How fast\n")
    section, *more = rest.partition("\n## ")
    lines = section.split("\n")
    rows = [number for number, line in enumerate(lines) if line.startswith("|")][2:]
    for number, source in zip(rows, SOURCES, strict=True):
        job = lines[number].split("|")[1]
        lines[number] = f"|{job}|{''.join(f' {cell} |' if cell else ' |' for cell in _cells(source))}"
    return "".join([before, heading, "\n".join(lines), *more])


def _cells(source: Source) -> list[str]:
    """Return a time, and the times of the peers with their ratios to it."""
    cells = [_time_text(_median(source, "ckptfmt"))]
    for peer in (source.tensorflow, source.safetensors):
        if peer is None:
            cells.append("")
        else:
            cells.append(f"{_time_text(_median(source, peer))} ({_ratio_text(ratio(source, peer))})")
    return cells


def _median(source: Source, library: str) -> float:
    results = json.loads((RESULTS / f"{source.file}.json").read_text(encoding="utf-8"))
    seconds: float = results["cases"][source.case]["libraries"][library]["warm"]["median"]
    return seconds


def _time_text(seconds: float) -> str:
    milliseconds = seconds * 1000
    if milliseconds >= 1000:
        return f"{seconds:.1f} s"
    return f"{milliseconds:.1f} ms" if milliseconds < 10 else f"{milliseconds:.0f} ms"


def _ratio_text(value: float) -> str:
    return f"{value:.1f} \N{MULTIPLICATION SIGN}" if value < 10 else f"{value:,.0f} \N{MULTIPLICATION SIGN}"


if __name__ == "__main__":
    README.write_text(with_numbers(README.read_text(encoding="utf-8")), encoding="utf-8")
