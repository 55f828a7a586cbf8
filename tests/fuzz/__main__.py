"""Run targets one after another under atheris: ``python -m tests.fuzz [SECONDS] [TARGET …]``.

The targets share the time, 600 seconds by default. Inputs that fail are written to ``tests/fuzz/inputs``,
where ``test_kept_inputs`` finds them from then on. The corpus is kept in ``.fuzz``, which may be deleted.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.fuzz.targets import TARGETS

CORPUS = Path(".fuzz")


def main(seconds: int, names: list[str]) -> int:
    """Run some targets, or all; return 1 if one has a fault, or ends otherwise."""
    names = names or list(TARGETS)
    failed = []
    for name in names:
        command = [
            sys.executable,
            "-m",
            "tests.fuzz.run",
            name,
            str(max(1, seconds // len(names))),
            str(CORPUS),
        ]
        if subprocess.run(command, check=False).returncode:
            failed.append(name)
    sys.stderr.write(f"{len(names)} targets, {len(failed)} with faults: {', '.join(failed) or 'none'}\n")
    return bool(failed)


if __name__ == "__main__":
    numbers = [int(argument) for argument in sys.argv[1:] if argument.isdigit()]
    sys.exit(main(numbers[0] if numbers else 600, [each for each in sys.argv[1:] if not each.isdigit()]))
