"""Verification: every checksum, size and place in the files of a checkpoint."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from ckptfmt.checkpoint.bundle import Bundle
from ckptfmt.checkpoint.store import Store
from ckptfmt.checkpoint.v1 import V1Store
from ckptfmt.errors import LimitError
from ckptfmt.integrity.bundle import verify_bundle
from ckptfmt.integrity.report import Progress, Report
from ckptfmt.integrity.v1 import verify_v1
from ckptfmt.table import Table
from ckptfmt.wire.buffers import memory_size


def verify_store(store: Store, progress: Progress | None = None) -> Report:
    """Check every checksum, size and place in the files of a checkpoint.

    ``progress`` is called with the bytes checked so far and the bytes to check in all. Files are streamed, so
    memory stays bounded however large they are. Raises LimitError if there is not enough for the names.
    """
    with suppress(MemoryError):
        # By class, not through the protocol, which is about reading. What can be wrong differs: bytes of data
        # files that belong to no tensor or to two, or keys of tables that belong to none.
        match store:
            case Bundle():
                return verify_bundle(store, progress)
            case V1Store():
                return verify_v1(store, progress)
            case _:
                raise TypeError(f"store: got {type(store).__name__}, want a Bundle or V1Store")
    raise _too_large(store.tables)


def _too_large(tables: Sequence[Table]) -> LimitError:
    """Return the error of tables too large for memory; what was read of them has been freed by then."""
    size = sum(table.file.size for table in tables)
    what = f"bytes of memory to verify tables of {size} bytes"
    return LimitError(what, limit=memory_size(), asked=size, file=tables[0].file.name)
