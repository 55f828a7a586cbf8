"""Programs that read hostile files with little memory; tests run them as processes of their own.

``python -m tests.support.limited_memory claims`` reads tensors that claim gigabytes, in files of some bytes.
``python -m tests.support.limited_memory bombs FOLDER`` reads files that need more memory than it has.
"""

from __future__ import annotations

import resource
import sys
from collections.abc import Callable
from typing import Any

import ckptfmt
from ckptfmt.checkpoint.slices import FULL, TensorSlice, encode_slice_key
from ckptfmt.errors import CkptfmtError, LimitError
from ckptfmt.wire.coding import encode_varint
from tests.support.bundles import (
    GOOD,
    encode_extents,
    encode_strings,
    encode_variants,
    open_entry,
    open_items,
    open_objects,
)
from tests.support.memory_filesystem import open_bundle, open_tables
from tests.support.table_writer import RawBlock, encode_blocks, encode_entry
from tests.support.v1_files import v1_meta, v1_table

CLAIMS_LIMIT = 1536 << 20
BOMBS_LIMIT = 64 << 20
"""Memory beyond that of the process when its files are open."""

BIG = 2**33
"""Elements of four bytes that are far more than :data:`CLAIMS_LIMIT`."""


def one_slice() -> ckptfmt.Checkpoint:
    key = encode_slice_key(b"bad", TensorSlice(((0, FULL),)))
    return open_items(
        (key, encode_entry(shape=(BIG,), size=4 * BIG)),
        (b"bad", encode_entry(shape=(BIG,), slices=[encode_extents((0, FULL))])),
    )


def two_slices() -> ckptfmt.Checkpoint:
    small, large = ((0, 2), (0, 2)), ((2, BIG), (0, 2))
    parts = {
        encode_slice_key(b"bad", TensorSlice(small)): GOOD,
        encode_slice_key(b"bad", TensorSlice(large)): encode_entry(shape=(BIG, 2), size=8 * BIG),
    }
    slices = [encode_extents(*small), encode_extents(*large)]
    whole = (b"bad", encode_entry(shape=(BIG + 2, 2), slices=slices))
    return open_items(*sorted(parts.items()), whole)


CLAIMS: dict[str, Callable[[], ckptfmt.Checkpoint]] = {
    "shape": lambda: open_entry(encode_entry(shape=(BIG,), size=4 * BIG)),
    "shape of a slice": one_slice,
    "shape of two slices": two_slices,
    "strings": lambda: open_objects(7, encode_strings([2**62], b"")),
    "number of strings": lambda: open_objects(7, encode_strings([1], b"a"), shape=(BIG,)),
    "number of variants": lambda: open_objects(21, encode_variants(b"")[0], shape=(BIG,)),
    "snappy": lambda: open_bundle(encode_blocks([RawBlock(b"z", encode_varint(2**32 - 1) + bytes(100), 1)])),
    "V1 shape": lambda: open_tables(v1_table(v1_meta(shape=(BIG,)))),
    "V1 slices": lambda: open_tables(
        v1_table(v1_meta(shape=(BIG,), slices=(encode_extents((0, 2)), encode_extents((2, BIG - 2)))))
    ),
}
"""Checkpoints whose tensor "bad", or "t" in V1, claims far more than the limit."""


def read_whole(ckpt: ckptfmt.Checkpoint) -> object:
    return ckpt["bad" if ckpt.format == "v2" else "t"]


def read_every_other(ckpt: ckptfmt.Checkpoint) -> object:
    reader = ckpt.slice("bad" if ckpt.format == "v2" else "t")
    return reader[::2] if reader.shape else reader[...]


def refuse_claims() -> None:
    """Show that no claim is believed by any way of reading, and that each is an error."""
    resource.setrlimit(resource.RLIMIT_AS, (CLAIMS_LIMIT, CLAIMS_LIMIT))
    for name, make in CLAIMS.items():
        for read in (read_whole, read_every_other, lambda ckpt: ckpt.read()):
            try:
                read(make())
            except CkptfmtError:
                pass
            else:
                sys.exit(f"{name}: read")
        try:
            report = make().verify()
        except CkptfmtError:
            continue
        assert not report.ok, name
    sys.stdout.write(f"refused {len(CLAIMS)}\n")


def outcome(read: Callable[[], Any]) -> Any:
    """Return what a function returns, or the error of this package that it raises."""
    try:
        return read()
    except CkptfmtError as error:
        return error


def open_bombs(folder: str) -> None:
    """Show that the files in a folder are reported as too large or as damaged, by name."""
    paths = {kind: f"{folder}/{kind}" for kind in ("block", "names", "entries", "v1")}
    checkpoints = {kind: ckptfmt.open(path) for kind, path in paths.items()}
    with open("/proc/self/statm") as file:
        limit = int(file.read().split()[0]) * resource.getpagesize() + BOMBS_LIMIT
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    for kind, ckpt in checkpoints.items():
        for _ in range(2):
            found = outcome(ckpt.verify)
            if isinstance(found, LimitError):
                message = str(found)
            else:
                assert not found.ok, (kind, found)
                message = found.problems[0].message
            assert paths[kind] in message, (kind, message)
        sys.stdout.write(f"{kind} {type(found).__name__} {message}\n")
    for read in (lambda: list(checkpoints["block"]), lambda: checkpoints["block"]["y"]):
        error = outcome(read)
        assert isinstance(error, LimitError), error
        assert paths["block"] in str(error), error


if __name__ == "__main__":
    refuse_claims() if sys.argv[1] == "claims" else open_bombs(sys.argv[2])
