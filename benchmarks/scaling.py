"""``python -m benchmarks.scaling``: how times grow with shards, tensors, bytes and threads.

Prints a table for each axis, and plots all curves if matplotlib is installed.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from benchmarks.case import Case, Job, missing_module
from benchmarks.cases.index import (
    ckptfmt_list,
    ckptfmt_look_up,
    ckptfmt_open,
    tensorflow_list,
    tensorflow_look_up,
    tensorflow_open,
)
from benchmarks.cases.large import (
    ckptfmt_read,
    ckptfmt_verify,
    crc_of_mapped_file,
    processors,
    tensorflow_read,
)
from benchmarks.environment import environment
from benchmarks.layout import SIZES
from benchmarks.plot import plot
from benchmarks.report import environment_text, mib_text, ms_text, save, table
from benchmarks.runner import CaseResult, Plan, prepare, remove_inputs, run_case

SHARDS = (1, 2, 4, 8, 16)
TENSORS = (1_000, 10_000, 100_000, 1_000_000)
BYTES = tuple(1 << power for power in (20, 23, 26, 29, 30, 31, 32, 33))
THREADS = tuple(sorted({*(n for n in (1, 2, 4, 8, 16, 32, 64) if n < processors()), processors()}))

LIMITS = {"tiny": (1_000, 1 << 20), "small": (100_000, 1 << 28), "full": (1_000_000, 1 << 33)}
"""Size -> the largest number of tensors and of bytes."""


@dataclass(frozen=True)
class Point:
    """One point of a curve; what is timed there is a case."""

    axis: str
    """The quantity that grows: "shards", "tensors", "bytes" or "threads"."""
    x: int
    operation: str
    case: Case


def _points() -> list[Point]:
    points = []
    for n in SHARDS:
        name = f"shards-{n}"
        points += [
            Point(
                "shards", n, "read all, as views", _peered(name, ckptfmt_read(name), tensorflow_read(name))
            ),
            Point("shards", n, "read all, as copies", _peered(name, ckptfmt_read(name, copy=True))),
        ]
    for n in TENSORS:
        name = f"tensors-{n}"
        points += [
            Point("tensors", n, "open", _peered(name, ckptfmt_open(name), tensorflow_open(name))),
            Point(
                "tensors", n, "look one up", _peered(name, ckptfmt_look_up(name), tensorflow_look_up(name))
            ),
            Point("tensors", n, "list", _peered(name, ckptfmt_list(name), tensorflow_list(name))),
            Point(
                "tensors",
                n,
                "read all",
                # With more tensors TensorFlow takes minutes.
                _peered(name, ckptfmt_read(name), tensorflow_read(name) if n <= 100_000 else None),
            ),
        ]
    for n in BYTES:
        name = f"bytes-{n}"
        points += [
            Point("bytes", n, "read all, as views", _peered(name, ckptfmt_read(name), tensorflow_read(name))),
            Point("bytes", n, "verify", _limited(name, ckptfmt_verify(name), processors())),
        ]
    for n in THREADS:
        points += [
            Point("threads", n, "read all, as views", _limited("large", ckptfmt_read(threads=n), n)),
            Point("threads", n, "read all, as copies", _peered("large", ckptfmt_read(copy=True, threads=n))),
        ]
    return points


def _peered(name: str, ours: Any, tensorflow: Any = None) -> Case:  # noqa: ANN401
    peers = {} if tensorflow is None else {"tensorflow": Job(tensorflow)}
    return Case((name,), {"ckptfmt": Job(ours), **peers})


def _limited(name: str, ours: Any, threads: int) -> Case:  # noqa: ANN401
    """A case whose peer is its limit: the plain checksum of the mapped file."""
    return Case(
        (name,), {"ckptfmt": Job(ours), "crc32c: mapped file": Job(crc_of_mapped_file(threads, name))}
    )


POINTS = _points()
CASES = {f"{point.axis} {point.x}: {point.operation}": point.case for point in POINTS}
"""The table in which the measuring processes look up their case."""

Curves: TypeAlias = "dict[str, dict[tuple[str, str], dict[int, dict[str, Any]]]]"
"""Axis -> operation and library -> x -> the measurements there."""


def chosen(axes: Iterable[str], most: Mapping[str, int]) -> list[Point]:
    """Return the points on some axes, each axis up to its maximum."""
    return [point for point in POINTS if point.axis in axes and point.x <= most[point.axis]]


def measure(plan: Plan, points: list[Point], size: str, *, keep: bool) -> tuple[Curves, dict[str, str]]:
    """Measure points; return the curves, and why the rest was not run."""
    curves: Curves = {}
    gaps: dict[str, str] = {}
    for number, point in enumerate(points, 1):
        name = f"{point.axis} {point.x}: {point.operation}"
        print(f"  {name}", file=sys.stderr, flush=True)
        nbytes = prepare(plan.inputs, point.case.inputs, size)
        result = run_case(plan, name, point.case)
        for library, outcome in result.libraries.items():
            seconds = outcome.seconds("warm")
            curves.setdefault(point.axis, {}).setdefault((point.operation, library), {})[point.x] = {
                "median": statistics.median(seconds),
                "min": min(seconds),
                "max": max(seconds),
                "input_bytes": nbytes[point.case.inputs[0]],
                "private_dirty": outcome.figure("memory", "private_dirty"),
                "peak_rss": outcome.figure("memory", "peak_rss"),
            }
        gaps |= _gaps(name, result)
        if not keep:
            remove_inputs(plan.inputs, point.case, [later.case for later in points[number:]])
    return curves, gaps


def _gaps(name: str, result: CaseResult) -> dict[str, str]:
    return {f"{name}, {library}": why for library, why in (result.not_run | result.failed).items()}


# --- the report -------------------------------------------------------------------------------------------


def markdown(facts: Mapping[str, Any], curves: Curves, gaps: Mapping[str, str], picture: str) -> str:
    """Return the curves as a page of Markdown; ``picture`` is the name of the plot, or why it is missing."""
    sections = ["# Scaling", environment_text(facts)]
    sections.append(f"![The curves]({picture})" if picture.endswith(".svg") else f"No plot: {picture}.")
    sections.append(
        "Medians in milliseconds, warm. *growth* is how much memory that no file backs grows in a process "
        "that does the job once."
    )
    for axis, lines in curves.items():
        xs = sorted({x for line in lines.values() for x in line})
        rows = []
        for (operation, library), line in lines.items():
            times = [ms_text(line[x]["median"]) if x in line else "" for x in xs]
            rows.append([operation, library, *times, _growth(line)])
        head = ["operation", "library", *(x_text(axis, x) for x in xs), "growth at the end"]
        sections += [f"## By {axis}", table(head, ["---", "---", *["--:"] * (len(xs) + 1)], rows)]
    if gaps:
        sections += ["## Not run", "\n".join(f"- *{name}*: {why}" for name, why in gaps.items())]
    return "\n\n".join(sections) + "\n"


def _growth(line: Mapping[int, Mapping[str, Any]]) -> str:
    x = max(line)
    growth = line[x]["private_dirty"]
    return "not measured" if growth is None else f"{mib_text(growth)} MiB"


def x_text(axis: str, x: int) -> str:
    """Return a value on an axis as the tables and the plot show it."""
    if axis != "bytes":
        return f"{x:,}"
    return f"{x >> 30} GiB" if x >= 1 << 30 else f"{x >> 20} MiB"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scaling", description=__doc__)
    parser.add_argument("--size", choices=SIZES, default="full", help="how far the curves go (full)")
    parser.add_argument("--axes", default="shards,tensors,bytes,threads", help="the axes to measure (all)")
    parser.add_argument("--max-tensors", type=int, help="most tensors (1,000,000 at full size)")
    parser.add_argument("--max-mebibytes", type=int, help="most MiB (8192 at full size)")
    parser.add_argument("--max-shards", type=int, default=SHARDS[-1], help="most shards (16)")
    parser.add_argument("--max-threads", type=int, default=THREADS[-1], help="most threads (all)")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each library (3)")
    parser.add_argument("--runs", type=int, default=3, help="timed runs in each turn (3)")
    parser.add_argument("--inputs", type=Path, help="folder in which to keep the inputs for the next time")
    parser.add_argument("--output", type=Path, help="write OUTPUT.json, OUTPUT.md and OUTPUT.svg as well")
    options = parser.parse_args()
    tensors, nbytes = LIMITS[options.size]
    most = {
        "shards": options.max_shards,
        "tensors": options.max_tensors or tensors,
        "bytes": (options.max_mebibytes or 0) << 20 or nbytes,
        "threads": options.max_threads,
    }
    points = chosen(options.axes.split(","), most)
    if not points:
        parser.error("no point is within these limits")
    with tempfile.TemporaryDirectory() as temporary:
        inputs = (options.inputs or Path(temporary)).resolve()
        plan = Plan("benchmarks.scaling", inputs, options.rounds, options.runs, ("warm", "memory"))
        curves, gaps = measure(plan, points, options.size, keep=options.inputs is not None)
    facts = environment() | {"inputs": options.size}
    picture = missing_module("matplotlib")
    if options.output is None:
        picture = picture or "no --output was given"
    else:
        options.output.parent.mkdir(parents=True, exist_ok=True)
        if picture is None:
            target = options.output.with_suffix(".svg")
            plot(curves, target, {axis: [x_text(axis, x) for x in _xs(curves, axis)] for axis in curves})
            picture = target.name
    text = markdown(facts, curves, gaps, picture or "")
    print(text)
    if options.output is not None:
        listed = {
            axis: [
                {"operation": operation, "library": library, "points": line}
                for (operation, library), line in lines.items()
            ]
            for axis, lines in curves.items()
        }
        save(options.output, {"environment": facts, "curves": listed, "not_run": gaps}, text)
    return 0


def _xs(curves: Curves, axis: str) -> list[int]:
    return sorted({x for line in curves[axis].values() for x in line})


if __name__ == "__main__":
    sys.exit(main())
