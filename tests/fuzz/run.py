"""One target under atheris: ``python -m tests.fuzz.run TARGET SECONDS CORPUS``; see ``tests.fuzz.__main__``.

CORPUS is a directory of inputs that take branches of their own, one folder for each target. A longer run goes
on from it. The process ends with 1 if there is a fault.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import pkgutil
import resource
import sys
import time
from pathlib import Path
from random import Random

import atheris

# Modules are loaded when they are first needed, and only those that are imported here count their branches.
with atheris.instrument_imports(include=["ckptfmt"]):
    import ckptfmt

    for module in pkgutil.walk_packages(ckptfmt.__path__, "ckptfmt."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)

from tests.fuzz.faults import INPUTS, Faults
from tests.fuzz.mutate.plain import often
from tests.fuzz.targets import TARGETS

ADDRESS_SPACE = 8 << 30
"""An allocation beyond this is a MemoryError, and so a fault."""

HANG = 60
"""Seconds after which libFuzzer ends the process, and keeps the input under a name with "timeout"."""


def main(name: str, seconds: int, corpus: Path) -> None:
    """Run a target for some seconds; this ends the process."""
    target = TARGETS[name]
    for reference in target.references:
        if importlib.util.find_spec(reference) is not None:
            importlib.import_module(reference)
    if sys.platform == "linux":
        resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
    folder = corpus / name
    kept = INPUTS / name
    for directory in (folder, kept):
        directory.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(target.seeds()):
        (folder / f"seed-{number}").write_bytes(seed)
    faults = Faults(name, target)
    mutate = often(target.mutate)

    def mutated(data: bytes, max_size: int, seed: int) -> bytes:
        return mutate(bytes(data), Random(seed))[:max_size]

    end = time.monotonic() + seconds

    def judge(data: bytes) -> None:
        faults.judge(data)
        if time.monotonic() > end:
            sys.stderr.write(f"{name}: {faults.judged} inputs, {len(faults.found)} faults\n")
            # libFuzzer would end the process with 0, and run nothing of Python before.
            os._exit(bool(faults.found))

    limits = [f"-timeout={HANG}", "-rss_limit_mb=4096", "-max_len=65536"]
    arguments = [sys.argv[0], *limits, "-verbosity=0", f"-artifact_prefix={kept}/", str(folder), str(kept)]
    atheris.Setup(arguments, judge, custom_mutator=mutated)
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))
