"""``python -m benchmarks``: every case, ckptfmt and its peers in turn, as medians and ratios."""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import ckptfmt
from benchmarks.cases import IN_PROCESS, PROCESSES
from benchmarks.inputs import FULL, SMALL, build

ROOT = Path(__file__).parent.parent
QUIET = {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}


def _environ() -> dict[str, str]:
    """TensorFlow on the CPU; modules compiled once, as those of an installed package are."""
    return {key: value for key, value in (os.environ | QUIET).items() if key != "PYTHONDONTWRITEBYTECODE"}


def run_in_process(case: str, library: str, inputs: Path, runs: int) -> dict[str, Any]:
    """Times of a job in a new process that has imported the library."""
    command = [sys.executable, "-m", "benchmarks.measure", case, library, str(inputs), str(runs)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT, env=_environ())
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def run_process(command: list[str]) -> dict[str, Any]:
    """Time of a whole process."""
    start = time.perf_counter()
    subprocess.run(command, capture_output=True, check=True, cwd=ROOT, env=_environ())
    return {"seconds": [time.perf_counter() - start], "private_bytes": None}


def measure(inputs: Path, rounds: int, runs: int, only: str) -> dict[str, dict[str, dict[str, Any]]]:
    """Case -> library -> its times; each round gives every library its turn, so that drift hits all."""
    results: dict[str, dict[str, dict[str, Any]]] = {}
    for case, libraries in [*IN_PROCESS.items(), *PROCESSES.items()]:
        if only not in case:
            continue
        seconds: dict[str, list[float]] = {library: [] for library in libraries}
        memory: dict[str, int | None] = dict.fromkeys(libraries)
        for _ in range(rounds):
            for library, job in libraries.items():
                result = (
                    run_process(job) if isinstance(job, list) else run_in_process(case, library, inputs, runs)
                )
                seconds[library] += result["seconds"]
                memory[library] = result["private_bytes"]
        results[case] = {
            library: {
                "median": statistics.median(times),
                "min": min(times),
                "max": max(times),
                "runs": len(times),
                "private_bytes": memory[library],
            }
            for library, times in seconds.items()
        }
        print(f"  {case}", file=sys.stderr, flush=True)
    return results


def environment() -> dict[str, Any]:
    """What the numbers depend on."""
    versions = {
        name: importlib.metadata.version(name)
        for name in ("tensorflow", "safetensors", "numpy", "protobuf", "crc32c", "ml_dtypes")
    }
    return {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "processors": os.cpu_count(),
        "system": platform.system(),
        "device": "CPU",
        "ckptfmt": ckptfmt.__version__,
        **versions,
    }


def table(results: dict[str, dict[str, dict[str, Any]]]) -> str:
    """The results as Markdown: medians in milliseconds, and how many times ckptfmt is faster."""
    lines = [
        "| case | library | median, ms | min to max, ms | ckptfmt is … times faster |",
        "|---|---|--:|--:|--:|",
    ]
    for case, libraries in results.items():
        ours = libraries["ckptfmt"]["median"]
        for library, times in libraries.items():
            ratio = "" if library == "ckptfmt" else f"{times['median'] / ours:.2f}"
            spread = f"{1e3 * times['min']:.1f} to {1e3 * times['max']:.1f}"
            lines.append(f"| {case} | {library} | {1e3 * times['median']:.1f} | {spread} | {ratio} |")
            case = ""
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--small", action="store_true", help="small inputs: seconds, to see that all runs")
    parser.add_argument("--rounds", type=int, default=3, help="how often each library has its turn (3)")
    parser.add_argument("--runs", type=int, default=3, help="timed runs in each turn (3)")
    parser.add_argument("--case", default="", metavar="TEXT", help="only cases with this in their name")
    parser.add_argument("--inputs", type=Path, help="folder to keep the inputs in, for the next time")
    parser.add_argument("--output", type=Path, help="write results as OUTPUT.json and OUTPUT.md too")
    options = parser.parse_args()
    os.environ.update(QUIET)
    with tempfile.TemporaryDirectory() as temporary:
        inputs = options.inputs or Path(temporary)
        build(inputs, SMALL if options.small else FULL)
        results = measure(inputs, options.rounds, options.runs, options.case)
    about = environment() | {"inputs": "small" if options.small else "full"}
    text = ", ".join(f"{key} {value}" for key, value in about.items()) + "\n\n" + table(results)
    print(text)
    if options.output is not None:
        options.output.parent.mkdir(parents=True, exist_ok=True)
        options.output.with_suffix(".json").write_text(
            json.dumps({"environment": about, "cases": results}, indent=1)
        )
        options.output.with_suffix(".md").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
