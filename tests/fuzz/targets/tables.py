"""Sorted tables."""

from __future__ import annotations

from ckptfmt.errors import CkptfmtError
from ckptfmt.storage.in_memory import MemoryFile
from ckptfmt.table.table import Table
from tests.fuzz.mutate import table
from tests.fuzz.mutate.plain import of_bytes
from tests.fuzz.target import Target, outcome
from tests.support.table_writer import encode_table

ITEMS = [(f"{group}/{i:03d}".encode(), bytes([i]) * (i % 7)) for group in "abc" for i in range(40)]


def seeds() -> list[bytes]:
    return [
        encode_table([]),
        encode_table([(b"", b"header"), (b"key", b"value")]),
        encode_table(ITEMS),
        encode_table(ITEMS, block_size=100, compression="snappy"),
        encode_table(ITEMS, restart_interval=1),
    ]


def judge_table(data: bytes) -> None:
    """Check that listing, decoding whole blocks and look-ups agree, and that keys are in order."""
    opened = outcome(lambda: Table(MemoryFile(data)))
    if isinstance(opened, CkptfmtError):
        return
    listed = outcome(lambda: [(key, bytes(value)) for key, value in opened.items()])
    by_rows = outcome(
        lambda: [
            (key, rows.data[begin:end])
            for rows in opened.rows()
            for key, begin, end in zip(rows.keys, rows.begins, rows.ends, strict=True)
        ]
    )
    if isinstance(listed, CkptfmtError) or isinstance(by_rows, CkptfmtError):
        both = isinstance(listed, CkptfmtError) and isinstance(by_rows, CkptfmtError)
        assert both, "only one way of listing reports an error"
        for key in (b"", b"a/001", b"key"):
            outcome(lambda key=key: opened.get(key))
        return
    assert listed == by_rows
    keys = [key for key, _ in listed]
    assert keys == sorted(set(keys))
    for key, value in listed[:300]:
        got = outcome(lambda key=key: opened.get(key))
        assert got is not None, "a key that is listed is not found"
        assert isinstance(got, CkptfmtError) or bytes(got) == value, "a look-up finds another value"
        low, high = opened.range_around(key, 100)
        assert low <= key or low == b""
        assert high is None or low <= high


TARGETS = {"table": Target(judge_table, seeds, table.mutator(of_bytes))}
