"""``python -m benchmarks.copy_checkpoint``: how fast checkpoints are copied, next to ``cp``.

Writes a checkpoint of 64 variables with an optimizer's slots into a folder, and copies it there: as it is;
renamed, without the slots, and in other data files. ``cp`` copies data files of as many bytes. Each is done
in turn for several rounds, and the medians are compared.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.environment import environment
from benchmarks.memory import Sampler
from benchmarks.report import environment_text, mib_text, ms_text, table

VARIABLES = 64
"""Variables, each with one slot of the same size."""


def write_source(prefix: Path, nbytes: int) -> None:
    """Write a checkpoint whose variables have so many bytes in all, and whose slots have as many."""
    import numpy as np

    import ckptfmt

    array = np.random.default_rng(1).standard_normal(nbytes // VARIABLES // 4).astype(np.float32)
    with ckptfmt.CheckpointWriter(prefix, num_shards=2, sync=False) as writer:
        for number in range(VARIABLES):
            array[:16] = number
            writer.add(f"layer_{number}/kernel", array)
            writer.add(f"layer_{number}/kernel/Adam", array)


def copy_jobs(folder: Path, *, sync: bool) -> dict[str, Callable[[], int]]:
    """Return what is timed; each function returns the bytes that it wrote into the folder ``new``."""
    import ckptfmt

    new = folder / "new"

    def save(tensors: ckptfmt.Tensors, num_shards: int | None) -> int:
        ckptfmt.save(new / "model", tensors, num_shards=num_shards, sync=sync)
        return sum(path.stat().st_size for path in new.iterdir())

    def as_it_is() -> int:
        with ckptfmt.open(folder / "old" / "model") as ckpt:
            return save(ckpt, None)

    def changed() -> int:
        with ckptfmt.open(folder / "old" / "model") as ckpt:
            return save(ckpt.select(exclude="*/Adam").renamed([("^layer_", "encoder/layer_")]), 4)

    def cp(*names: str) -> Callable[[], int]:
        def run() -> int:
            files = [folder / name for name in names]
            new.mkdir()
            subprocess.run(["cp", *files, new], check=True)
            if sync:
                subprocess.run(["sync", *new.iterdir()], check=True)
            return sum(path.stat().st_size for path in files)

        return run

    whole = [f"old/model.data-{number:05d}-of-00002" for number in range(2)]
    return {
        "copy": as_it_is,
        "cp of all": cp(*whole),
        "copy renamed, pruned, resharded": changed,
        "cp of half": cp(whole[0]),
    }


def measure(folder: Path, rounds: int, *, sync: bool) -> tuple[dict[str, float], dict[str, int], int]:
    """Return seconds and bytes of each job, and the largest growth of private memory."""
    jobs = copy_jobs(folder, sync=sync)
    seconds: dict[str, list[float]] = {name: [] for name in jobs}
    sizes = {}
    private = 0
    for _ in range(rounds + 1):
        for name, job in jobs.items():
            shutil.rmtree(folder / "new", ignore_errors=True)
            with Sampler() as sampler:
                start = time.perf_counter()
                sizes[name] = job()
                seconds[name].append(time.perf_counter() - start)
            private = max(private, sampler.private or 0)
    # The first round brings everything into memory.
    return {name: statistics.median(times[1:]) for name, times in seconds.items()}, sizes, private


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bytes", type=int, default=8 << 30, help="bytes of the variables (default: 8 GiB)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--folder", type=Path, help="where to copy, instead of a temporary folder")
    parser.add_argument("--sync", action="store_true", help="bring the copies to the disk, as save() does")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        write_source(folder / "old" / "model", options.bytes)
        seconds, sizes, private = measure(folder, options.rounds, sync=options.sync)
    head = ("case", "MiB", "ckptfmt ms", "cp ms", "speed of cp")
    rows = []
    for ours, theirs in (("copy", "cp of all"), ("copy renamed, pruned, resharded", "cp of half")):
        ratio = (sizes[ours] / seconds[ours]) / (sizes[theirs] / seconds[theirs])
        rows.append(
            (ours, mib_text(sizes[ours]), ms_text(seconds[ours]), ms_text(seconds[theirs]), f"{ratio:.2f}")
        )
    sys.stdout.write(environment_text(environment()) + "\n\n")
    sys.stdout.write(table(head, (":--", *["--:"] * 4), rows) + "\n")
    sys.stdout.write(f"\nPrivate memory grew by up to {mib_text(private)} MiB.\n")


if __name__ == "__main__":
    main()
