"""Verification of V1 checkpoints: every block of every table, and the values of every slice."""

from __future__ import annotations

from ckptfmt.checkpoint.partition import plan
from ckptfmt.checkpoint.slices import whole
from ckptfmt.checkpoint.v1 import META_KEY, V1Store
from ckptfmt.errors import CkptfmtError
from ckptfmt.integrity.blocks import read_intact_blocks
from ckptfmt.integrity.report import Progress, Report


def verify_v1(store: V1Store, progress: Progress | None) -> Report:
    """Check every block of every file, and the slices and values of every tensor."""
    report = Report()
    # The keys of all values; those of each tensor are taken out, and the rest belong to none.
    unclaimed = _read_keys(store, report, progress)
    try:
        names = list(store.names())
    except CkptfmtError as error:
        # Reading the blocks may have found the same damage.
        if str(error) not in {problem.message for problem in report.problems}:
            report.add("entry", error)
        return report
    report.tensors = len(names)
    for path in store.files.missing:
        report.add_missing(path, "a file of this checkpoint is missing, with the tensors in it")
    for name in names:
        try:
            for place in store.keys(name):
                unclaimed.pop(place, None)
            _check_tensor(store, name)
            report.tensors_checked += 1
        except CkptfmtError as error:
            report.add_tensor(error, name)
    for number, key in unclaimed:
        report.warn("orphan", f"an entry belongs to no tensor: key {key!r}", store.tables[number].file.name)
    return report


def _read_keys(store: V1Store, report: Report, progress: Progress | None) -> dict[tuple[int, bytes], None]:
    """Check all blocks; return the number of the file and the key of everything that should be a slice."""
    # The progress is that of the blocks, which hold all values.
    total = sum(table.file.size for table in store.tables)
    keys: dict[tuple[int, bytes], None] = {}
    for number, table in enumerate(store.tables):
        for key, _ in read_intact_blocks(table, report):
            if key != META_KEY:
                keys[number, key] = None
            if progress is not None:
                progress(report.bytes_checked, total)
    return keys


def _check_tensor(store: V1Store, name: str) -> None:
    """Raise unless all slices of a tensor can be read and together make all of it."""
    entry = store.find(name)
    assert entry is not None
    if not entry.slices:
        store.read_piece(entry, None)
        return
    for part in entry.slices:
        store.read_piece(entry, part)
    try:
        plan(entry.shape, entry.slices, whole(entry.shape))
    except CkptfmtError as error:
        raise error.at(store.files.tables[0], label=f"tensor {name!r}") from None
