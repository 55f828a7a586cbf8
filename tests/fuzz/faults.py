"""The faults that a run finds, each kept in the smallest input that shows it."""

from __future__ import annotations

import hashlib
import sys
import traceback
from pathlib import Path

from tests.fuzz.target import Target, check

INPUTS = Path(__file__).parent / "inputs"
"""Every input that ever failed, in the folder of its target."""


class Faults:
    """The faults of one target, told apart by the lines that raise them."""

    def __init__(self, name: str, target: Target) -> None:
        self._target = target
        self._folder = INPUTS / name
        self._written: set[Path] = set()
        self.judged = 0
        """Inputs so far."""
        self.found: dict[str, bytes] = {}
        """For each fault, the smallest input so far."""

    def judge(self, data: bytes) -> None:
        """Judge an input; if it shows a new fault, or a known one in fewer bytes, write it to INPUTS."""
        self.judged += 1
        try:
            check(self._target, data)
        except Exception as error:
            self._keep(data, error)

    def _keep(self, data: bytes, error: Exception) -> None:
        place = _place(error)
        before = self.found.get(place)
        if before is not None and len(before) <= len(data):
            return
        if before is None:
            sys.stderr.write(f"--- {place}\n{''.join(traceback.format_exception(error)[-8:])}\n")
        self.found[place] = data
        self._folder.mkdir(parents=True, exist_ok=True)
        self._replace(before, self._path(data), data)

    def _replace(self, before: bytes | None, path: Path, data: bytes) -> None:
        """Write an input in place of a larger one, unless an earlier run has kept that one."""
        if before is not None and self._path(before) in self._written:
            self._path(before).unlink()
        if not path.exists():
            self._written.add(path)
            path.write_bytes(data)

    def _path(self, data: bytes) -> Path:
        return self._folder / hashlib.sha256(data).hexdigest()[:12]


def _place(error: Exception) -> str:
    """Return the class of an error, and the last lines of the judge and of the package that it passed."""
    frames = traceback.extract_tb(error.__traceback__)
    lines = {
        part: f"{Path(frame.filename).name}:{frame.lineno}"
        for frame in frames
        for part in ("/tests/", "/ckptfmt/")
        if part in frame.filename
    }
    return " ".join([type(error).__name__, *lines.values()])
