"""One measurement in its own process: ``python -m benchmarks.measure CASE LIBRARY INPUTS RUNS``.

Prints JSON: the seconds of each run, and what memory they took.
"""

from __future__ import annotations

import gc
import importlib
import json
import sys
import time
from pathlib import Path

from benchmarks.cases import IN_PROCESS, Prepared


def private_bytes() -> int | None:
    """Private memory of this process, without pages of mapped files; None where the system does not tell."""
    try:
        lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    except OSError:
        return None
    sizes = dict(line.split(":", 1) for line in lines if ":" in line)
    return 1024 * int(sizes["Private_Dirty"].split()[0])


def main() -> None:
    case, library, inputs, runs = sys.argv[1:]
    job = IN_PROCESS[case][library]
    if not isinstance(job, Prepared):
        job = Prepared(Path, job)
    importlib.import_module(library.split(",")[0])
    seconds = []
    # The first run warms the page cache and whatever the library imports late.
    job.job(job.ready(Path(inputs)))
    before = private_bytes()
    held = 0
    for _ in range(int(runs)):
        given = job.ready(Path(inputs))
        gc.collect()
        start = time.perf_counter()
        result = job.job(given)
        seconds.append(time.perf_counter() - start)
        after = private_bytes()
        if before is not None and after is not None:
            held = max(held, after - before)
        del result, given
    print(json.dumps({"seconds": seconds, "private_bytes": held if before is not None else None}))


if __name__ == "__main__":
    main()
