"""The data files of a bundle, written; ``bundle`` reads them.

Tensors go into a shard in the order in which they come, each after the one before it. A thread first gets a
shard for its tensor, which promises the shard so many bytes, and then writes when no other thread does. So
tensors of different shards are written at the same time, and one thread always gets the same files.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from functools import partial
from heapq import heapify, heapreplace

import numpy as np

from ckptfmt.checkpoint.stored_form import StoredForm
from ckptfmt.errors import NotWritableError
from ckptfmt.storage.output import Data, NewFile
from ckptfmt.wire.crc32c import crc32c
from ckptfmt.wire.threads import PIECE, default_threads, in_threads

MAX_SHARDS = 99_999
"""The most data files; their numbers have five digits."""


class Shard:
    """A data file being written, by one thread at a time."""

    def __init__(
        self, number: int, create: Callable[[int], NewFile], alignment: int, failed: list[Shard]
    ) -> None:
        """Have a function begin the file of the number when there is something to write.

        The shard adds itself to ``failed`` when something is not written whole.
        """
        self.number = number
        self._create = create
        self._begun: NewFile | None = None
        self.size = 0
        """Bytes written."""
        self.promised = 0
        """Bytes of the tensors that are in it or will be."""
        self.lock = threading.Lock()
        self._written = 0
        """Bytes written of tensors, without what is between them."""
        self._is_closed = False
        self._alignment = alignment
        self._failed = failed
        self._failure: BaseException | None = None

    @property
    def file(self) -> NewFile:
        """The file."""
        if self._begun is None:
            self._begun = self._create(self.number)
        return self._begun

    def append(self, form: StoredForm) -> tuple[int, int]:
        """Write a tensor; return the offset of its bytes and their CRC."""
        crc = form.crc

        def write() -> None:
            nonlocal crc
            for data in form.head:
                self.file.write(data)
            for data in form.content:
                crc = self._write_piece(data, crc)

        return self._place(form.size, write), crc

    def append_joined(self, contents: Sequence[bytes]) -> int:
        """Write small tensors that need no padding; return the offset of the first."""
        data = b"".join(contents)
        return self._place(len(data), lambda: self.file.write(data))

    def append_by(self, size: int, write: Callable[[NewFile], None]) -> int:
        """Let a function write so many bytes to the file; return the offset of the first."""
        return self._place(size, lambda: write(self.file))

    def close(self) -> None:
        """Finish the file as soon as everything is written that was promised: nothing more will be.

        A checkpoint may have more files than a process may have open.
        """
        with self.lock:
            self._is_closed = True
            if self._written == self.promised and self._failure is None and self._begun is not None:
                self._begun.finish()

    def finish(self) -> None:
        """Sync the file; NotWritableError if something was not written whole."""
        self.check()
        self.file.finish()

    def check(self) -> None:
        """Raise NotWritableError if something was not written whole."""
        if isinstance(self._failure, NotWritableError):
            raise self._failure
        if self._failure is not None:
            what = f"an earlier tensor was not written whole: {type(self._failure).__name__}"
            raise NotWritableError(self.file.name, what) from self._failure

    def discard(self) -> None:
        """Discard the file unless it has been committed."""
        if self._begun is not None:
            self._begun.discard()

    def _place(self, size: int, write: Callable[[], object]) -> int:
        """Call a function that writes ``size`` bytes at a multiple of the alignment; return their offset."""
        with self.lock:
            self.check()
            if not size and self._is_closed:
                return self.size  # the file may be finished
            try:
                padding = -self.size % self._alignment
                if padding:
                    self.file.write(bytes(padding))
                offset = self.size + padding
                write()
                self.size = offset + size
                self._written += size
                if self._is_closed and self._written == self.promised:
                    self.file.finish()
            except BaseException as error:
                # Nobody knows which of the bytes are in the file, and so where the next ones would be.
                self._failure = error
                self._failed.append(self)
                raise
        return offset

    def _write_piece(self, data: Data, crc: int) -> int:
        """Write bytes, and return the CRC that goes on over them; a large piece takes a second thread."""
        if len(data) < PIECE or default_threads() == 1:
            self.file.write(data)
            return crc32c(data, crc)
        jobs: list[Callable[[], int | None]] = [partial(crc32c, data, crc), partial(self.file.write, data)]
        result, _ = in_threads(lambda job: job(), jobs, len(jobs))
        return int(result or 0)


class Shards:
    """The data files of a bundle.

    Parameters
    ----------
    create
        Begins the file of a number.
    num_shards
        How many there will be, by default one.
    max_shard_bytes
        The bytes that a data file may have if it holds more than one tensor, instead of ``num_shards``.
    alignment
        Each tensor begins at a multiple of this.

    Raises ValueError if an option is out of range.
    """

    def __init__(
        self,
        create: Callable[[int], NewFile],
        num_shards: int | None,
        max_shard_bytes: int | None,
        alignment: int,
    ) -> None:
        check_shards(num_shards, max_shard_bytes)
        if alignment < 1:
            raise ValueError(f"alignment: got {alignment}, want at least 1")
        self._create = create
        self.wanted = num_shards if num_shards or max_shard_bytes else 1
        """How many there will be; None if that depends on their bytes."""
        self.is_aligned = alignment > 1
        """Whether there may be padding between tensors."""
        self._max_bytes = max_shard_bytes
        self._alignment = alignment
        self._shards: list[Shard] = []
        self._failed: list[Shard] = []
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._shards)

    def check(self, number: int | None = None) -> None:
        """Raise ValueError unless there is a shard of that number, NotWritableError after a failure."""
        if self._failed:
            self._failed[0].check()
        if number is None:
            return
        if self.wanted is None:
            raise ValueError("shard: got a number, want None with max_shard_bytes")
        if not 0 <= number < self.wanted:
            raise ValueError(f"shard: got {number}, want 0 to {self.wanted - 1}")

    def choose(self, size: int, number: int | None = None) -> Shard:
        """Return the shard of that number, or the one where a tensor of ``size`` bytes goes."""
        with self._lock:
            if number is not None:
                shard = self._shard(number)
            elif self.wanted is None:
                shard = self._last_with_room(size)
            else:
                self._begin(self.wanted)
                shard = min(self._shards, key=lambda each: each.promised)
            shard.promised += size
            return shard

    def close(self, number: int) -> None:
        """Finish a shard, to which nothing is added any more; see :meth:`Shard.close`."""
        with self._lock:
            if number < len(self._shards):
                self._shards[number].close()

    def choose_for_all(self, sizes: Sequence[int], number: int | None = None) -> list[Shard]:
        """Return the shard of each of many tensors, as :meth:`choose` does."""
        if number is not None:
            return [self.choose(sum(sizes), number)] * len(sizes)
        if self.wanted is None:
            return [self.choose(size) for size in sizes]
        with self._lock:
            self._begin(self.wanted)
            if self.wanted == 1:
                self._shards[0].promised += sum(sizes)
                return self._shards * len(sizes)
            # The one with the fewest bytes, and among equals the first, is always on top.
            heap = [(shard.promised, shard.number) for shard in self._shards]
            heapify(heap)
            chosen = []
            for size in sizes:
                promised, number = heap[0]
                heapreplace(heap, (promised + size, number))
                chosen.append(self._shards[number])
            for promised, number in heap:
                self._shards[number].promised = promised
            return chosen

    def finish(self) -> list[NewFile]:
        """Sync all files and return them, in order: as many as were wanted, and one at least."""
        with self._lock:
            self._begin(self.wanted or 1)
        for shard in self._shards:
            shard.finish()
        return [shard.file for shard in self._shards]

    def discard(self) -> None:
        """Discard all files that have not been committed."""
        for shard in self._shards:
            shard.discard()

    def _last_with_room(self, size: int) -> Shard:
        last = self._shards[-1] if self._shards else None
        if last is not None and (not last.promised or last.promised + size <= (self._max_bytes or 0)):
            return last
        if len(self._shards) == MAX_SHARDS:
            raise ValueError(
                f"max_shard_bytes: got {self._max_bytes}, which needs more than {MAX_SHARDS} shards"
            )
        if last is not None:
            last.close()
        return self._shard(len(self._shards))

    def _shard(self, number: int) -> Shard:
        self._begin(number + 1)
        return self._shards[number]

    def _begin(self, count: int) -> None:
        """Begin shards until there are so many."""
        while len(self._shards) < count:
            number = len(self._shards)
            self._shards.append(Shard(number, self._create, self._alignment, self._failed))


def check_shards(num_shards: int | None, max_shard_bytes: int | None) -> None:
    """Raise ValueError if both say how many data files to write, or one says so wrongly."""
    if num_shards is not None and max_shard_bytes is not None:
        raise ValueError("num_shards and max_shard_bytes: got both, want one of them")
    for name, number in (("num_shards", num_shards), ("max_shard_bytes", max_shard_bytes)):
        if number is not None and not isinstance(number, (int, np.integer)):
            raise TypeError(f"{name}: got {number!r}, want an int")
    if num_shards is not None and not 1 <= num_shards <= MAX_SHARDS:
        raise ValueError(f"num_shards: got {num_shards}, want 1 to {MAX_SHARDS}")
    if max_shard_bytes is not None and max_shard_bytes < 1:
        raise ValueError(f"max_shard_bytes: got {max_shard_bytes}, want at least 1")
