"""HDF5 files with changed bytes, all of them read: a program of its own, since HDF5 may crash.

Usage: ``python -m tests.support.hdf5_mutations earliest 300``. The last line that it prints is how many files
could be opened, and how many tensors in them could be read.
"""

from __future__ import annotations

import io
import random
import sys

import numpy as np

import ckptfmt
from ckptfmt.converting.sources.hdf5.library import h5py
from ckptfmt.converting.sources.hdf5.source import HDF5Source
from ckptfmt.limits import DEFAULT
from ckptfmt.storage.in_memory import MemoryFile

SHORT = 0.1
"""The share of files that are cut off."""


def make_file(libver: str) -> bytes:
    """Return a file that has something of everything."""
    content = io.BytesIO()
    with h5py.File(content, "w", libver=libver) as file:
        file["a/b/kernel:0"] = np.arange(20.0).reshape(4, 5)
        file.create_dataset("chunks", data=np.arange(1000), compression="gzip", shuffle=True, chunks=(100,))
        file.create_dataset("any", data=[b"abc", b"de"], dtype=h5py.string_dtype())
        file.create_dataset("packed", data=[b"abc", b"de"] * 9, dtype=h5py.string_dtype(), chunks=(5,))
        file["fixed"] = np.array([b"abc", b"de"])
        file.attrs["layer_names"] = ["a", "c"]
        file["a"].attrs["weight_names"] = ["b/kernel:0"]
        file["hard"] = file["chunks"]
        file["soft"] = h5py.SoftLink("/a/b/kernel:0")
        file["flag"] = True
        file["complex"] = np.arange(3) + 1j
        for number in range(20):
            file[f"many/{number}"] = np.float32(number)
    return content.getvalue()


def mutate(content: bytes, seed: int) -> bytes:
    """Return the file with a few bytes changed, or cut off."""
    chance = random.Random(seed)
    changed = bytearray(content)
    for _ in range(chance.choice([1, 1, 2, 4])):
        at = chance.randrange(len(changed))
        changed[at] = chance.choice([0, 255, changed[at] ^ 1 << chance.randrange(8), chance.randrange(256)])
    return bytes(changed[: chance.randrange(len(changed))] if chance.random() < SHORT else changed)


def check_place(error: ckptfmt.errors.CkptfmtError) -> None:
    """Check that an error names the file."""
    assert error.file == "mutated.h5", repr(error)


def read_all(content: bytes) -> int:
    """Read all tensors, whole and in part, and return how many could be read; -1 if the file is refused."""
    try:
        source = HDF5Source(MemoryFile(content, "mutated.h5"), DEFAULT)
    except ckptfmt.errors.CkptfmtError as error:
        check_place(error)
        return -1
    readable = 0
    for name, stored in source.tensors.items():
        try:
            array = source.read(name, None)
            source.read(name, tuple((0, min(1, size)) for size in stored.shape))
        except ckptfmt.errors.CkptfmtError as error:
            check_place(error)
            continue
        assert array.shape == stored.shape
        assert array.dtype == stored.dtype.numpy
        readable += 1
    source.close()
    return readable


def main() -> None:
    """Read mutations of a file, and print a summary."""
    libver, count = sys.argv[1], int(sys.argv[2])
    content = make_file(libver)
    assert read_all(content) == 29
    results = []
    for seed in range(count):
        sys.stderr.write(f"seed {seed}\n")
        sys.stderr.flush()
        results.append(read_all(mutate(content, seed)))
    opened = [result for result in results if result >= 0]
    sys.stdout.write(f"{len(opened)} {sum(opened)}\n")


if __name__ == "__main__":
    main()
