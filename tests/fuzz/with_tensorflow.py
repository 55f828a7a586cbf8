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
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

import ckptfmt
from ckptfmt.errors import CkptfmtError
from tests.fuzz import parts
from tests.fuzz.faults import Faults
from tests.fuzz.target import Target, outcome
from tests.support.memory_filesystem import MemoryFilesystem

MOST = 500
"""Inputs of a corpus that are compared."""

MOST_BYTES = 1 << 20
"""The largest tensor that TensorFlow is asked for: it believes what a shape claims."""

Answer = Mapping[str, Any] | None
"""Arrays by name, with None for what is refused; None if the whole checkpoint is."""


class WithTensorflow:
    """The judge: our answer beside TensorFlow's."""

    def __init__(self, tensorflow: Any) -> None:
        self._tensorflow = tensorflow
        self.seen: Counter[str] = Counter()
        """How often TensorFlow's answer was of each kind."""

    def judge(self, data: bytes) -> None:
        """Compare the values of all tensors of a V2 checkpoint."""
        index, *shards = parts.split(data) or [b""]
        count = max(len(shards), 1)
        files = {
            "c.index": index,
            **{f"c.data-{i:05d}-of-{count:05d}": each for i, each in enumerate(shards)},
        }
        ours = read(files)
        theirs = in_child(lambda: self._read(files, ours))
        self.seen[theirs if isinstance(theirs, str) else "read"] += 1
        if ours is None or isinstance(theirs, str):
            return
        assert set(theirs) <= set(ours), "TensorFlow lists other names"
        for name, value in theirs.items():
            other = ours[name]
            if value is None or other is None:
                self.seen["a tensor that only one reads"] += (value is None) != (other is None)
                continue
            assert value.shape == other.shape
            assert value.dtype == other.dtype
            # TensorFlow leaves bools, and numbers of less than 8 bits, as they are stored: as any byte.
            bits = [
                repr(each.tolist()) if each.itemsize == 1 or each.dtype.hasobject else each.tobytes()
                for each in (value, other)
            ]
            assert bits[0] == bits[1], f"TensorFlow reads another value of {name!r}"

    def _read(self, files: Mapping[str, bytes], ours: Answer) -> Answer:
        with tempfile.TemporaryDirectory() as folder:
            for name, content in files.items():
                Path(folder, name).write_bytes(content)
            reader = self._tensorflow.train.load_checkpoint(f"{folder}/c")
            answer = {}
            for name, shape in reader.get_variable_to_shape_map().items():
                if ours is None or name not in ours or np.prod(shape, dtype=float) > MOST_BYTES / 16:
                    continue
                try:
                    value = reader.get_tensor(name)
                    # NumPy's own strings drop zeros at their end.
                    answer[name] = np.asarray(value, object if isinstance(value, bytes) else None)
                except Exception:
                    answer[name] = None
            return answer


def read(files: Mapping[str, bytes]) -> Answer:
    """Return the small tensors of a checkpoint as we read them."""
    fs = MemoryFilesystem({f"d/{name}": content for name, content in files.items()})
    ckpt = outcome(lambda: ckptfmt.open("d/c", fs=fs))
    names = None if isinstance(ckpt, CkptfmtError) else outcome(lambda: list(ckpt))
    if names is None or isinstance(names, CkptfmtError):
        return None
    arrays = {name: outcome(lambda name=name: ckpt[name]) for name in names}
    return {name: None if isinstance(array, CkptfmtError) else array for name, array in arrays.items()}


def in_child(compute: Any) -> Any:
    """Return what a function returns in a forked process, or how that ended: ``refused`` or ``aborted``."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        try:
            answer = compute()
        except Exception:
            answer = "refused"
        with os.fdopen(writing, "wb") as pipe:
            pickle.dump(answer, pipe)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        packed = pipe.read()
    _, status = os.waitpid(child, 0)
    return pickle.loads(packed) if status == 0 and packed else "aborted"


def inputs(folder: Path) -> Iterator[bytes]:
    """Iterate over some inputs of a corpus, the latest first."""
    found = sorted(folder.iterdir(), key=lambda path: path.stat().st_mtime_ns, reverse=True)
    yield from (path.read_bytes() for path in found[:MOST])


def main(corpus: Path) -> int:
    """Compare what TensorFlow reads of the inputs of the target "v2"; return 1 if values differ."""
    import tensorflow

    comparison = WithTensorflow(tensorflow)
    faults = Faults("v2", Target(comparison.judge, list, lambda data, _: data))
    for data in inputs(corpus / "v2"):
        faults.judge(data)
    sys.stderr.write(f"with TensorFlow: {dict(comparison.seen)}, {len(faults.found)} faults\n")
    return bool(faults.found)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
