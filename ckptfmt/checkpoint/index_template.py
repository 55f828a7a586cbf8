"""Templates: small indexes that are known except for their checksums.

The checkpoints of a training run hold the same tensors, and usually in the same places. Their indexes then
differ in nothing but the checksums of the tensors. So the structure of an index, once it has been decoded and
checked, stands for all whose other bytes are the same. Comparing these takes a fifth of the time of decoding
them again::

    data block     fixed bytes | checksum | fixed bytes | checksum | … | fixed bytes
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from itertools import repeat

from ckptfmt.checkpoint.entry import Entry, new_entry
from ckptfmt.wire.crc32c import unmask

MAX_TEMPLATES = 64
"""Templates that are kept, of different sizes; each takes some 10 KB."""

_CHECKSUM_SIZE = 4


class IndexTemplate:
    """The structure of a data block whose entries are all of tensors stored whole, in the usual form."""

    def __init__(self, data: bytes, entries: Sequence[Entry], ends: Sequence[int], last_key: bytes) -> None:
        """Take a block and its entries in their order; their values end at ``ends``, each with a checksum."""
        self.last_key = last_key
        starts = [0, *ends]
        sizes = [end - start for start, end in zip(starts, [*ends, len(data)], strict=True)]
        form = "".join(f"{size - _CHECKSUM_SIZE}sI" for size in sizes[:-1])
        self._struct = struct.Struct(f"<{form}{sizes[-1]}s")
        self._fixed = self._struct.unpack(data)[::2]
        self._names = [entry.name for entry in entries]
        # Columns, which zip() joins again without a line of Python for each entry.
        columns = list(zip(*entries, strict=True))
        self._before, self._after = columns[: Entry._fields.index("crc32c")], repeat(())

    def entries(self, data: bytes) -> dict[str, Entry] | None:
        """Return the entries of another block of that size by name; None if more than checksums differ."""
        fields = self._struct.unpack(data)
        if fields[::2] != self._fixed:
            return None
        entries = map(new_entry, zip(*self._before, map(unmask, fields[1::2]), self._after, strict=False))
        return dict(zip(self._names, entries, strict=True))
