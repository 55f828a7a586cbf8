"""Writing tables to files, in the format that the ending of the name selects."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping

from ckptfmt.storage.filesystem import Filesystem
from ckptfmt.storage.local import filesystem_of
from ckptfmt.storage.output import Output
from ckptfmt.tabular.arrow import write_arrow, write_parquet
from ckptfmt.tabular.column_table import ColumnTable
from ckptfmt.tabular.text import encode_csv, encode_json_lines

_WRITERS: Mapping[str, Callable[[Output, ColumnTable], None]] = {
    ".csv": lambda file, table: file.write_all(encode_csv(table)),
    ".jsonl": lambda file, table: file.write_all(encode_json_lines(table)),
    ".parquet": write_parquet,
    ".arrow": write_arrow,
}

FORMATS = tuple(_WRITERS)
"""Endings of the names of files that tables can be written to."""


def write_table(table: ColumnTable, path: str, *, overwrite: bool, fs: Filesystem | None = None) -> None:
    """Write a table to a file, whole or not at all; rows are written as they are made.

    ``fs`` is the file system that the path is in; by default that of this machine.

    Raises
    ------
    ValueError
        The name does not end in one of :data:`FORMATS`.
    AlreadyExistsError
        The file exists, and ``overwrite`` is false.
    MissingDependencyError
        The format needs pyarrow.
    NotWritableError
        The operating system refuses to write the file.
    """
    suffix = os.path.splitext(path)[1].lower()
    if suffix not in _WRITERS:
        raise ValueError(f"{path}: got a name ending in {suffix!r}, want one of {', '.join(FORMATS)}")
    with filesystem_of(fs=fs).create(path, overwrite=overwrite) as file:
        _WRITERS[suffix](file, table)
