"""Checkpoints of a corpus, as TensorFlow reads them: ``python -m tests.fuzz.with_tensorflow CORPUS``.

TensorFlow may end the process on hostile bytes, so it reads each input in a process of its own, forked after
it has been imported. Names and values must agree if both read them. Who refuses what is only counted:
TensorFlow does not verify what it does not need.
"""

from __future__ import annotations

import os
import pickle
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

import ckptfmt
from ckptfmt.errors import CkptfmtError
from tests.fuzz.faults import Faults
from tests.fuzz.target import Target, outcome
from tests.fuzz.targets.checkpoints import FILES, Files
from tests.support.memory_filesystem import MemoryFilesystem

MOST = 150
"""Inputs of a corpus that are compared."""

MOST_ELEMENTS = 1 << 16
"""The largest tensor that TensorFlow is asked for: it believes what a shape claims."""

Answer = Mapping[str, Any] | None
"""Arrays by name, with None for what is refused; None if the whole checkpoint is."""


class WithTensorflow:
    """The judge: our answer beside TensorFlow's."""

    def __init__(self, tensorflow: Any, files_of: Callable[[bytes], Files]) -> None:
        self._tensorflow = tensorflow
        self._files_of = files_of
        self.seen: Counter[str] = Counter()
        """How often TensorFlow's answer was of each kind."""

    def judge(self, data: bytes) -> None:
        """Compare the values of all tensors of a checkpoint."""
        files = self._files_of(data)
        ours = read(files)
        theirs = in_child(lambda: self._read(files, ours))
        self.seen[theirs if isinstance(theirs, str) else "read"] += 1
        if ours is None or isinstance(theirs, str):
            return
        for name, value in theirs.items():
            other = ours[name]
            if value is None or other is None:
                self.seen["only TensorFlow reads a tensor"] += value is not None
                self.seen["only we read a tensor"] += other is not None
                continue
            assert value.shape == other.shape
            assert value.dtype == other.dtype
            assert comparable(value) == comparable(other), f"TensorFlow reads another value of {name!r}"

    def _read(self, files: Files, ours: Answer) -> Answer:
        with tempfile.TemporaryDirectory() as folder:
            for name, content in files.content.items():
                Path(folder, name).write_bytes(content)
            reader = self._tensorflow.train.load_checkpoint(f"{folder}/{files.prefix}")
            answer = {}
            for name, shape in reader.get_variable_to_shape_map().items():
                if ours is None or name not in ours or np.prod(shape, dtype=float) > MOST_ELEMENTS:
                    continue
                try:
                    value = reader.get_tensor(name)
                except Exception:
                    answer[name] = None
                else:
                    # NumPy's own strings drop zeros at their end.
                    answer[name] = np.asarray(value, object if isinstance(value, bytes) else None)
            return answer


def read(files: Files) -> Answer:
    """Return the tensors of a checkpoint as we read them."""
    ckpt = outcome(lambda: ckptfmt.open(files.prefix, fs=MemoryFilesystem(files.content)))
    names = None if isinstance(ckpt, CkptfmtError) else outcome(lambda: list(ckpt))
    if names is None or isinstance(names, CkptfmtError):
        return None
    arrays = {name: outcome(lambda name=name: ckpt[name]) for name in names}
    return {name: None if isinstance(array, CkptfmtError) else array for name, array in arrays.items()}


def comparable(array: np.ndarray) -> object:
    """Return what is equal for equal arrays, NaNs included."""
    # TensorFlow leaves bools, and numbers of less than 8 bits, as they are stored: as any byte.
    return repr(array.tolist()) if array.dtype.hasobject or array.itemsize == 1 else array.tobytes()


def in_child(compute: Callable[[], Answer]) -> Any:
    """Return what a function returns in a forked process, or how that ended: ``refused`` or ``aborted``."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        try:
            answer: Any = compute()
        except Exception:
            answer = "refused"
        with os.fdopen(writing, "wb") as pipe:
            pickle.dump(answer, pipe)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        packed = pipe.read()
    _, status = os.waitpid(child, 0)
    return pickle.loads(packed) if status == 0 else "aborted"


def inputs(folder: Path) -> Iterator[bytes]:
    """Iterate over some inputs of a corpus, the latest first."""
    found = sorted(folder.glob("*"), key=lambda path: path.stat().st_mtime_ns, reverse=True)
    yield from (path.read_bytes() for path in found[:MOST])


def main(corpus: Path) -> int:
    """Compare what TensorFlow reads of the checkpoints in a corpus; return 1 if values differ."""
    import tensorflow

    found = 0
    for name, files_of in FILES.items():
        comparison = WithTensorflow(tensorflow, files_of)
        faults = Faults(name, Target(comparison.judge, list, lambda data, _: data))
        for data in inputs(corpus / name):
            faults.judge(data)
        sys.stderr.write(f"{name} with TensorFlow: {dict(comparison.seen)}, {len(faults.found)} faults\n")
        found += len(faults.found)
    return bool(found)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
