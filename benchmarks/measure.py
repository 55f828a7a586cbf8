"""One measurement in its own process: ``python -m benchmarks.measure REQUEST``.

The request is JSON with ``registry`` (a module with ``CASES``), ``case``, ``library``, ``inputs`` (a folder),
``mode`` and ``runs``; the answer is one line of JSON. The modes:

warm    several runs after one that is not timed, which warms the page cache and triggers late imports; a slow
        job has a single run, which is timed
cold    one run, the first in the process, after the input files were dropped from the page cache
memory  one run, the first in the process, with its memory sampled
"""

from __future__ import annotations

import gc
import importlib
import json
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.case import Case, Job, module_of
from benchmarks.layout import SHIPPED
from benchmarks.memory import (
    Sampler,
    cached_share,
    drop_pages,
    forget_peak,
    peak_bytes,
    resident_bytes,
    storage_bytes,
)

ROOT = Path(__file__).parent.parent


def files_of(case: Case, inputs: Path) -> list[Path]:
    """Return all files of the inputs of a case."""
    folders = [ROOT / "examples" / name if name == SHIPPED else inputs / name for name in case.inputs]
    return sorted(path for folder in folders for path in folder.rglob("*") if path.is_file())


def warm(job: Job, inputs: Path, runs: int) -> dict[str, Any]:
    """Time the runs after the first; of a slow job, the first."""
    seconds = []
    for _ in range(1 if job.is_slow else runs + 1):
        given = job.ready(inputs)
        gc.collect()  # so that no run pays for the garbage of the one before
        start = time.perf_counter()
        result = job.run(given)
        seconds.append(time.perf_counter() - start)
        del result, given
    return {"seconds": seconds if job.is_slow else seconds[1:]}


def cold(job: Job, inputs: Path, files: list[Path]) -> dict[str, Any]:
    """Time the first run, and count the bytes that it reads from storage."""
    given = job.ready(inputs)
    dropped = drop_pages(files)  # after ``ready``, which may read them
    cached = cached_share(files)
    before = storage_bytes()
    start = time.perf_counter()
    job.run(given)
    seconds = time.perf_counter() - start
    after = storage_bytes()
    read = None if before is None or after is None else after - before
    return {"seconds": [seconds], "dropped": dropped, "cached": cached, "read_bytes": read}


def memory(job: Job, inputs: Path) -> dict[str, Any]:
    """Measure the memory that the first run takes, its result included."""
    given = job.ready(inputs)
    gc.collect()
    forget_peak()
    before = resident_bytes()
    with Sampler() as sampler:
        result = job.run(given)
    peak = peak_bytes()
    del result
    return {
        "peak_rss": peak,
        "rss_before": before,
        "private": sampler.private,
        "private_dirty": sampler.dirty,
    }


def main() -> None:
    request = json.loads(sys.argv[1])
    case: Case = importlib.import_module(request["registry"]).CASES[request["case"]]
    job = case.jobs[request["library"]]
    assert isinstance(job, Job)
    importlib.import_module(module_of(request["library"]))
    inputs = Path(request["inputs"])
    if request["mode"] == "warm":
        result = warm(job, inputs, request["runs"])
    elif request["mode"] == "cold":
        result = cold(job, inputs, files_of(case, inputs))
    else:
        result = memory(job, inputs)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
