"""What ``ckptfmt show`` shows of a tensor, as JSON and as text."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import click
import numpy as np

from ckptfmt import Checkpoint, Entry, Tensors, errors
from ckptfmt.cli.failures import FAILURES, describe
from ckptfmt.cli.render.text import aligned, escape, shape_text, size_text
from ckptfmt.cli.render.values import PrintOptions, number_json, values_json, values_text
from ckptfmt.cli.slice_option import Index, index_text
from ckptfmt.cli.statistics import Statistics, statistics

VERIFIED = "verified"
WRONG = "wrong"
NOT_CHECKED = "not checked"


@dataclass(frozen=True)
class ShownTensor:
    """What is known of a tensor, and as much of its values as could be read."""

    prefix: str
    format: str
    num_shards: int
    entry: Entry
    file: str | None
    """The data file; None if the tensor is stored in slices."""
    index: Index | None
    """The part that was asked for; None for all of it."""
    array: np.ndarray[Any, Any] | None = None
    """The values; None if they were not asked for or could not be read."""
    statistics: Statistics | None = None
    checksum: str = NOT_CHECKED
    problem: BaseException | None = None
    """Why the values could not be read."""

    def to_json(self, threshold: int | None) -> dict[str, object]:
        """Return the document of ``--json``, with no more values than ``threshold``."""
        entry, array = self.entry, self.array
        is_full = array is not None and (threshold is None or array.size <= threshold)
        document: dict[str, object] = {
            "prefix": self.prefix,
            "format": self.format,
            "name": entry.name,
            "dtype": entry.dtype.name,
            "shape": entry.shape,
            "bytes": entry.nbytes,
            "shard": entry.shard,
            "file": self.file,
            "offset": entry.offset,
            "crc32c": entry.crc32c,
            "slices": [str(part) for part in entry.slices],
            "slice": None if self.index is None else _slice_json(self.index, array),
            "checksum": self.checksum,
            "statistics": None if self.statistics is None else _statistics_json(self.statistics),
            "values": values_json(array) if array is not None and is_full else None,
        }
        if self.problem is not None:
            document["error"] = describe(self.problem)
        return document

    def to_text(self, options: PrintOptions) -> str:
        """Return labelled lines, and after an empty one the values."""
        lines = [*self._entry_lines(), *self._part_lines(), ("checksum", self._checksum_text())]
        if self.statistics is not None:
            lines += _statistics_lines(self.statistics, options.precision)
        values = "" if self.array is None else f"\n{values_text(self.array, options)}\n"
        return aligned(lines) + values

    def _entry_lines(self) -> list[tuple[str, str]]:
        entry = self.entry
        lines = [
            ("name", escape(entry.name)),
            ("dtype", entry.dtype.name),
            ("shape", shape_text(entry.shape)),
            ("bytes", f"{entry.nbytes}" + (f" ({size_text(entry.nbytes)})" if entry.nbytes >= 1024 else "")),
        ]
        if entry.shard is not None and self.file is not None:
            lines += [("shard", f"{entry.shard} of {self.num_shards}"), ("file", escape(self.file))]
        if entry.offset is not None:
            lines.append(("offset", f"{entry.offset} (0x{entry.offset:x})"))
        if entry.crc32c is not None:
            lines.append(("crc32c", f"0x{entry.crc32c:08x}"))
        if entry.slices:
            lines.append(("slices", f"{len(entry.slices)}: {' '.join(map(str, entry.slices))}"))
        return lines

    def _part_lines(self) -> list[tuple[str, str]]:
        if self.index is None:
            return []
        part = [] if self.array is None else [("part", shape_text(self.array.shape))]
        return [("slice", index_text(self.index)), *part]

    def _checksum_text(self) -> str:
        if self.checksum == NOT_CHECKED and self.index is not None and self.array is not None:
            return f"{NOT_CHECKED}: it covers more than this slice"
        return self.checksum


def read_tensor(
    tensors: Tensors, entry: Entry, index: Index | None, *, with_values: bool, with_statistics: bool
) -> ShownTensor:
    """Read a tensor, or part of it; if that fails, ``problem`` says why."""
    shards, file = 1, None
    if isinstance(tensors, Checkpoint):
        shards = tensors.num_shards
        file = None if entry.shard is None else tensors.shard_path(entry.shard)
    shown = ShownTensor(tensors.prefix, tensors.format, shards, entry, file, index)
    if not with_values:
        return shown
    try:
        # Both may fail and leave the rest to be shown: statistics of a large tensor may run out of memory.
        array = _read(tensors, entry, index)
        numbers = statistics(array) if with_statistics else None
    except FAILURES as error:
        is_wrong = isinstance(error, errors.ChecksumError)
        return replace(shown, problem=error, checksum=WRONG if is_wrong else NOT_CHECKED)
    is_verified = tensors.slice(entry.name).is_verified(... if index is None else index)
    return replace(shown, array=array, statistics=numbers, checksum=VERIFIED if is_verified else NOT_CHECKED)


def _read(tensors: Tensors, entry: Entry, index: Index | None) -> np.ndarray[Any, Any]:
    if index is None:
        return tensors[entry.name]
    try:
        return tensors.slice(entry.name)[index]
    except IndexError as error:
        raise click.BadParameter(escape(str(error)), param_hint="'--slice'") from None


def _slice_json(index: Index, array: np.ndarray[Any, Any] | None) -> dict[str, object]:
    return {"index": index_text(index), "shape": None if array is None else array.shape}


def _statistics_json(numbers: Statistics) -> dict[str, object]:
    return {
        "min": number_json(numbers.minimum),
        "max": number_json(numbers.maximum),
        "mean": number_json(numbers.mean),
        "std": number_json(numbers.std),
        "zeros": numbers.zeros,
        "nan": numbers.nan,
        "inf": numbers.inf,
    }


def _statistics_lines(numbers: Statistics, precision: int) -> list[tuple[str, str]]:
    values = [
        ("min", numbers.minimum),
        ("max", numbers.maximum),
        ("mean", numbers.mean),
        ("std", numbers.std),
    ]
    lines = [(label, _number_text(value, precision)) for label, value in values if value is not None]
    return [*lines, ("zeros", f"{numbers.zeros}"), ("nan", f"{numbers.nan}"), ("inf", f"{numbers.inf}")]


def _number_text(value: complex, precision: int) -> str:
    return f"{value}" if isinstance(value, int) else f"{value:.{max(precision, 1)}g}"
