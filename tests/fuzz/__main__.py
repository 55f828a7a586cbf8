"""Run targets one after another under atheris: ``python -m tests.fuzz [SECONDS] [TARGET …]``.

The targets share the time, 600 seconds by default. Inputs that fail are written to ``tests/fuzz/inputs``,
where ``test_kept_inputs`` finds them from then on. The corpus is kept in ``.fuzz``, which may be deleted.
"""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

from tests.fuzz.targets import TARGETS

CORPUS = Path(".fuzz")


def main(seconds: int, names: list[str]) -> int:
    """Run some targets, or all; return 1 if one has a fault."""
    names = names or list(TARGETS)
    share = str(max(1, seconds // len(names)))
    commands = {name: ["tests.fuzz.run", name, share, str(CORPUS)] for name in names}
    if {"v1", "v2"} & set(names) and find_spec("tensorflow") is not None:
        commands["checkpoints with TensorFlow"] = ["tests.fuzz.with_tensorflow", str(CORPUS)]
    failed = [
        name
        for name, command in commands.items()
        if subprocess.run([sys.executable, "-m", *command], check=False).returncode
    ]
    sys.stderr.write(f"{len(names)} targets; with faults: {', '.join(failed) or 'none'}\n")
    return bool(failed)


if __name__ == "__main__":
    numbers = [int(argument) for argument in sys.argv[1:] if argument.isdigit()]
    sys.exit(main(numbers[0] if numbers else 600, [each for each in sys.argv[1:] if not each.isdigit()]))
