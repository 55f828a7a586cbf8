"""Decoding the scalars of batches: events that fit one template together, an array for each number."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import numpy as np

from ckptfmt.events.scalars.cache import Group, KnownTemplate, TemplateCache
from ckptfmt.events.scalars.header import EventHeaders, decode_headers
from ckptfmt.events.scalars.template import MAX_SIZE
from ckptfmt.record.batch import Batch
from ckptfmt.record.frame import FOOTER_SIZE, HEADER_SIZE
from ckptfmt.wire.coding import Buffer
from ckptfmt.wire.crc32c import crc32c
from ckptfmt.wire.crc_rows import crc_before, mask_all

MIN_BATCH = 8
"""Records of the smallest batch decoded as arrays. For fewer, NumPy's calls cost more than protobuf's."""

MIN_ROWS = 3
"""Events of one size in a batch that make it worth looking for a template."""


FEW_ROWS = 200
"""Events of a group up to which a checksum of each takes less time than NumPy's calls for all together."""

COPIED = 1 << 10
"""Bytes for each record of a group, those of other records among them, that are copied to be cut."""


class ScalarColumns(NamedTuple):
    """The scalars of events that fit one template, in the order of the file."""

    known: KnownTemplate
    """The template, and its layouts, which have the tags."""
    layouts: np.ndarray
    """The number of the layout of each event (int64)."""
    offsets: np.ndarray
    """Where the frame of each begins in the file (int64)."""
    sizes: np.ndarray
    """Bytes of each record (uint32)."""
    steps: np.ndarray
    """Step of each (int64)."""
    wall_times: np.ndarray
    """When each was written, in seconds since 1970 (float64)."""
    values: list[np.ndarray]
    """For each scalar of the template, its value in each event (float32)."""


class ScalarDecoder:
    """Decodes the scalars of batches of events; remembers the templates that it meets."""

    def __init__(self, *, verify: bool) -> None:
        self._verify = verify
        self._templates = TemplateCache()

    def decode(self, batch: Batch) -> tuple[list[ScalarColumns], list[int], list[int]]:
        """Return the scalars of a batch, the numbers of its other records, and those of damaged ones.

        The other records have not been verified.
        """
        if len(batch) < MIN_BATCH:
            return [], list(range(len(batch))), []
        columns: list[ScalarColumns] = []
        others: list[np.ndarray] = []
        damaged: list[np.ndarray] = []
        headers = decode_headers(batch)
        # The size of each body, 0 for records without a usual header. It is negative if a step does not end
        # within its record: the rows of headers go on into the bytes that follow.
        bodies = np.where(headers.sizes >= 0, batch.sizes - headers.sizes, 0)
        # Group by size. NumPy sorts 16-bit numbers by radix, in two passes; all larger sizes count as one.
        sizes = bodies.clip(0, MAX_SIZE + 1).astype(np.uint16)
        crcs = cache(headers.crcs) if self._verify else None
        order = np.argsort(sizes, kind="stable")
        borders = np.flatnonzero(np.diff(sizes[order])) + 1
        for records in np.split(order, borders):
            size = int(sizes[records[0]]) if records.size else 0
            if 0 < size <= MAX_SIZE and (records.size >= MIN_ROWS or size in self._templates):
                groups, records = self._templates.match(batch, records, size)
                damaged += [_decode(group, batch, headers, crcs, columns) for group in groups]
            others.append(records)
        return columns, _sorted(others), _sorted(damaged)


def _decode(
    group: Group,
    batch: Batch,
    headers: EventHeaders,
    crcs: Callable[[], np.ndarray] | None,
    columns: list[ScalarColumns],
) -> np.ndarray:
    """Append the columns of a group; return the numbers of its damaged records.

    ``crcs`` returns those of all headers; None to verify nothing.
    """
    known, records, rows, layouts = group
    template = known.template
    damaged = records[:0]
    if crcs is not None:
        if len(records) <= FEW_ROWS:
            computed = _crcs_of_few(batch, records)
        else:
            # CRCs are linear: that of an event is the exclusive or of what its header, its layout with zeros
            # for scalars, and its scalars add. The layout's part is computed once, so the constant bytes,
            # which are most of them, are compared but not checksummed.
            computed = crc_before(crcs()[records], template.size)
            computed ^= template.scalar_crcs(rows)
            if len(known.layouts) == 1:
                computed ^= np.uint32(known.crcs[0])
            else:
                computed ^= np.array(known.crcs, np.uint32)[layouts]
        intact = mask_all(computed) == template.stored_crcs(rows)
        if not intact.all():
            damaged = records[~intact]
            records, layouts, rows = records[intact], layouts[intact], rows[intact]
    if records.size:
        columns.append(
            ScalarColumns(
                known,
                layouts,
                batch.base + batch.borders[records],
                batch.sizes[records].astype(np.uint32),
                headers.steps[records],
                headers.wall_times[records],
                [template.values(rows, scalar) for scalar in template.scalars],
            )
        )
    return damaged


def _crcs_of_few(batch: Batch, records: np.ndarray) -> np.ndarray:
    """Return the CRC-32C of each of a few records, computed from its bytes."""
    first, stop = int(batch.borders[records[0]]), int(batch.borders[records[-1] + 1])
    data: Buffer = memoryview(batch.data)[first:stop]
    if len(data) <= COPIED * len(records):
        data = bytes(data)  # cutting it takes half as long as cutting a view
    begins = (batch.borders[records] + (HEADER_SIZE - first)).tolist()
    ends = (batch.borders[records + 1] - (FOOTER_SIZE + first)).tolist()
    crcs = [crc32c(data[begin:end]) for begin, end in zip(begins, ends, strict=True)]
    return np.array(crcs, np.uint32)


def _sorted(parts: list[np.ndarray]) -> list[int]:
    return sorted(np.concatenate(parts).tolist()) if parts else []
