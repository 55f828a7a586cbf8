"""A checkpoint as users see it: a mapping of names to arrays."""

from __future__ import annotations

import difflib
import operator
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from types import EllipsisType, TracebackType
from typing import TypeAlias

import numpy as np

from ckptfmt.checkpoint.bundle import Bundle
from ckptfmt.checkpoint.entry import Entry
from ckptfmt.checkpoint.prefix import find_checkpoint
from ckptfmt.checkpoint.slice_file import SliceFile
from ckptfmt.checkpoint.slices import Region, TensorSlice, assemble, intersect, whole, within
from ckptfmt.checkpoint.verify import Progress, Report, verify_bundle, verify_slice_file
from ckptfmt.dtypes import DType
from ckptfmt.errors import CkptfmtError, CorruptError, TensorNotFoundError
from ckptfmt.tensor import Array, Shape, new_array, read_only
from ckptfmt.wire.file import MappedFile, Opener

THREADED_FROM = 1 << 20
"""Tensors of this many bytes and more are read by several threads; for less, handing over costs more."""

MAX_THREADS = 8
"""Threads used when the caller gives no number; a checksum soon needs all the memory bandwidth there is."""

_COMPARED_NAMES = 20_000
"""A name not found is compared with at most this many, so that the error comes at once."""

_SUGGESTED = 3
"""Close matches that an error names."""

VARIABLE_VALUE = "/.ATTRIBUTES/VARIABLE_VALUE"
"""What ``tf.train.Checkpoint`` appends to the path of a variable."""

Index: TypeAlias = "int | slice | EllipsisType | tuple[int | slice | EllipsisType, ...]"


def open_checkpoint(
    path: str | os.PathLike[str], *, verify: bool = True, opener: Opener = MappedFile
) -> Checkpoint:
    """Open a TensorFlow checkpoint, V2 or V1, from any path that leads to it.

    Parameters
    ----------
    path
        A prefix (``model.ckpt-1000``), one of its files (``.index``, ``.data-00000-of-00002``, ``.meta``),
        a V1 file, a ``checkpoint`` state file, a directory of one checkpoint or with a state file (the latest
        is opened), a SavedModel directory or its ``variables`` folder.
    verify
        Whether the checksum of a tensor's bytes is verified when it is first read. Those of the index are
        always verified.
    opener
        Opens a path for reading at any offset; to be replaced for files that are not local.

    Raises
    ------
    CheckpointNotFoundError
        Nothing there, or several checkpoints and no state file; ``.tried`` has what was looked at.
    CorruptError
        The file is not a checkpoint, or its index is damaged.
    UnsupportedError
        The checkpoint excludes readers of this version.
    """
    files = find_checkpoint(path)
    store = Bundle(files, opener) if files.format == "v2" else SliceFile(files, opener)
    return Checkpoint(store, verify=verify)


class Entries(Mapping[str, Entry]):
    """The entries of a checkpoint by name: dtypes, shapes and places, without values."""

    def __init__(self, store: Bundle | SliceFile) -> None:
        self._store = store

    def __getitem__(self, name: str) -> Entry:
        entry = self._store.find(name)
        if entry is None:
            raise TensorNotFoundError(
                name, file=self._store.files.prefix, close_matches=_close_matches(name, self._store)
            )
        return entry

    def __contains__(self, name: object) -> bool:
        if not isinstance(name, str):
            return False
        try:
            return self._store.find(name) is not None
        except CorruptError:
            # A tensor whose entry is damaged is there, and reading it says what is wrong with it.
            return name in self._store.directory

    def __iter__(self) -> Iterator[str]:
        return self._store.names()

    def __len__(self) -> int:
        return len(self._store)

    def __repr__(self) -> str:
        return f"<Entries of {self._store.files.prefix!r}>"


class Checkpoint(Mapping[str, Array]):
    """An open checkpoint: ``Mapping`` of tensor names, sorted by their bytes, to NumPy arrays.

    Nothing is read until it is asked for. Arrays are read-only; one stored whole is a view of the mapped
    file, which stays mapped while any array views it. May be used from many threads.
    """

    def __init__(self, store: Bundle | SliceFile, *, verify: bool = True) -> None:
        self._store = store
        self._verify = verify
        # Names and slices whose checksum has been found right: it is verified on first read only.
        self._verified: set[str | tuple[str, TensorSlice]] = set()
        self.entries = Entries(store)
        """What the index says of each tensor, by name."""

    @property
    def prefix(self) -> str:
        """What TensorFlow calls the checkpoint, e.g. ``dir/model.ckpt-1000``."""
        return self._store.files.prefix

    @property
    def format(self) -> str:
        """``"v2"`` (index and data files) or ``"v1"``."""
        return self._store.files.format

    @property
    def num_shards(self) -> int:
        """Number of data files, as the index says; of V1 the number of files there are."""
        return self._store.num_shards

    def shard_path(self, shard: int) -> str:
        """Return the path of a data file by its number, whether or not it is there."""
        return self._store.shard_path(shard)

    def __getitem__(self, name: str) -> Array:
        """Return a tensor as a read-only array.

        Numbers have the NumPy or ml_dtypes type of the dtype, quantised ones their integer type; strings are
        an object array of ``bytes``, variants one of :class:`~ckptfmt.tensor.Variant`. A scalar has shape ().

        Raises
        ------
        TensorNotFoundError
            No tensor of that name; ``.close_matches`` has likely ones.
        ChecksumError, CorruptError, TruncatedError
            The stored bytes are damaged.
        CheckpointNotFoundError
            The data file that holds it is missing.
        UnsupportedError
            The dtype has no stored values.
        """
        return self._read(self.entries[name])

    def __contains__(self, name: object) -> bool:
        return name in self.entries

    def __iter__(self) -> Iterator[str]:
        return self._store.names()

    def __len__(self) -> int:
        return len(self._store)

    def read(
        self,
        names: Iterable[str] | None = None,
        *,
        threads: int | None = None,
        copy: bool = False,
        out: Mapping[str, np.ndarray] | None = None,
    ) -> dict[str, Array]:
        """Return several tensors by name, in the order of ``names``.

        Parameters
        ----------
        names
            Which; all those in ``out`` or, without ``out``, all there are.
        threads
            How many threads read large tensors; the default is one for each processor, at most 8.
        copy
            Whether to return arrays that are writable and own their memory.
        out
            Arrays to fill, by name, of exactly the tensors' shapes and dtypes. They are what is returned for
            these names.

        Raises
        ------
        ValueError
            An array of ``out`` has another shape or dtype, is not writable, or was not asked for.
        TensorNotFoundError
            A name is not there; nothing has been read then.
        """
        if isinstance(names, str):
            raise TypeError(f"names: got the string {names!r}, want a list of names")
        targets = dict(out or {})
        entries: Iterable[Entry]
        if names is None and out is None:
            wanted = list(self)
            entries = map(self.entries.__getitem__, wanted)
        else:
            wanted = list(dict.fromkeys(targets if names is None else names))
            entries = [self.entries[name] for name in wanted]
            _check_targets(targets, entries)
        if threads is None:
            threads = min(MAX_THREADS, os.cpu_count() or 1)

        def load(entry: Entry) -> Array:
            return self._read(entry, copy=copy, out=targets.get(entry.name))

        arrays: dict[str, Array] = {}
        large = []
        for entry in entries:
            if threads > 1 and entry.nbytes >= THREADED_FROM:
                large.append(entry)
            else:
                arrays[entry.name] = load(entry)
        if not large:
            return arrays
        large.sort(key=lambda entry: (entry.shard or 0, entry.offset or 0))
        arrays.update(zip((entry.name for entry in large), _threaded(load, large, threads), strict=True))
        return {name: arrays[name] for name in wanted}

    def slice(self, name: str) -> SliceReader:
        """Return a reader of parts of one tensor: ``ckpt.slice("w")[10:20, :]`` reads only that."""
        return SliceReader(self, self.entries[name])

    def verify(self, *, progress: Progress | None = None) -> Report:
        """Check every checksum, size and place in all files of the checkpoint; see :class:`Report`.

        Files are streamed: memory stays bounded however large they are. ``progress`` is called with the
        bytes checked so far and those to check in all.
        """
        if isinstance(self._store, Bundle):
            return verify_bundle(self._store, progress)
        return verify_slice_file(self._store, progress)

    def close(self) -> None:
        """Let go of the files. Arrays already returned stay valid."""
        self._store.close()

    def __enter__(self) -> Checkpoint:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # Comparing two checkpoints as mappings would read both whole and end in ambiguous arrays.
    __eq__ = object.__eq__
    __hash__ = object.__hash__

    def __repr__(self) -> str:
        try:
            size = f"{len(self)} tensors"
        except (CkptfmtError, ValueError):
            size = "names not readable"
        return f"<Checkpoint {self.prefix!r} {self.format}, {size}>"

    def _read(self, entry: Entry, *, copy: bool = False, out: Array | None = None) -> Array:
        """Read a whole tensor; into ``out``, into memory of its own, or as a read-only array."""
        if not entry.slices:
            array = self._read_stored(entry, None)
            if out is not None:
                np.copyto(out, array)
                return out
            return array.copy() if copy else array
        new = (lambda _: out) if out is not None else (lambda shape: new_array(shape, entry.dtype))
        array = self._assemble(entry, whole(entry.shape), new)
        return array if copy or out is not None else read_only(array)

    def _read_region(self, entry: Entry, region: Region) -> Array:
        """Read the part of a tensor in ``region``, from as few of its slices as hold it."""
        if not entry.slices:
            full = whole(entry.shape)
            return self._read_stored(entry, None, partly=region != full)[within(region, full)]
        return self._assemble(entry, region, lambda shape: new_array(shape, entry.dtype))

    def _is_covered(self, entry: Entry, region: Region) -> bool:
        """Whether checksums are verified of all that reading ``region`` reads."""
        if isinstance(self._store, SliceFile):
            return True  # values lie in table blocks, whose checksums are always verified
        if not self._verify or entry.dtype.itemsize is None:
            return self._verify
        if region == whole(entry.shape):
            return True
        taken = [
            (piece, intersect(piece, region)) for piece in (part.region(entry.shape) for part in entry.slices)
        ]
        touched = [(piece, shared) for piece, shared in taken if shared is not None]
        return bool(touched) and all(piece == shared for piece, shared in touched)

    def _assemble(self, entry: Entry, region: Region, new: Callable[[Shape], Array]) -> Array:
        def read(part: TensorSlice, wanted: Region) -> Array:
            stored = part.region(entry.shape)
            return self._read_stored(entry, part, partly=wanted != stored)[within(wanted, stored)]

        try:
            return assemble(entry.shape, entry.slices, region, new, read)
        except CorruptError as error:
            if error.file is not None:
                raise
            files = self._store.files
            lost = f"; missing: {', '.join(files.missing)}" if files.missing else ""
            raise CorruptError(f"tensor {entry.name!r}: {error.what}{lost}", file=files.tables[0]) from error

    def _read_stored(self, entry: Entry, part: TensorSlice | None, *, partly: bool = False) -> Array:
        """Read what is stored as one piece; without its checksum where only part of it will be looked at."""
        mark = entry.name if part is None else (entry.name, part)
        # Of strings and variants all is read to find any, so all can be verified.
        checkable = not partly or entry.dtype.itemsize is None
        verify = self._verify and checkable and mark not in self._verified
        if part is None:
            array = self._store.read_whole(entry, verify=verify)
        else:
            array = self._store.read_slice(entry, part, verify=verify)
        if verify:
            self._verified.add(mark)
        return array


class SliceReader:
    """Reads parts of one tensor, with NumPy's indices: integers, slices with steps, an ellipsis.

    Only the stored slices that meet the index are touched, and of a mapped tensor only the pages. A checksum
    covers a stored piece as a whole, so it is verified where the index takes all of a piece, and not where it
    takes part of one; read the whole tensor where that matters.
    """

    def __init__(self, checkpoint: Checkpoint, entry: Entry) -> None:
        self._checkpoint = checkpoint
        self.entry = entry
        """What the index says of the tensor."""

    @property
    def shape(self) -> Shape:
        """Shape of the whole tensor."""
        return self.entry.shape

    @property
    def dtype(self) -> DType:
        """Dtype of the tensor."""
        return self.entry.dtype

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("a scalar has no length")
        return self.shape[0]

    def __getitem__(self, index: Index) -> Array:
        """Return the part at ``index`` as a read-only array, as ``array[index]`` would be.

        Raises
        ------
        IndexError
            Too many indices, or an integer outside the tensor.
        TypeError
            An index that is neither integer, slice nor ellipsis.
        """
        ranges, region = self._locate(index)
        array = self._checkpoint._read_region(self.entry, region)
        local = [
            0 if isinstance(r, int) else _shifted(r, start)
            for r, (start, _) in zip(ranges, region, strict=True)
        ]
        # The ellipsis keeps a 0-d array from becoming a scalar.
        at = (*local, ...)
        return read_only(array[at])

    def is_verified(self, index: Index) -> bool:
        """Return whether the checksums of all that ``self[index]`` reads are verified.

        They are where the index takes all of each stored piece that it touches, and in V1 checkpoints; not
        where it takes part of a piece, nor in a checkpoint opened with ``verify=False``.
        """
        return self._checkpoint._is_covered(self.entry, self._locate(index)[1])

    def _locate(self, index: Index) -> tuple[list[int | range], Region]:
        """The positions that an index takes in each dimension, and the least region that holds them."""
        ranges = _ranges(index, self.shape, self.entry.name)
        return ranges, tuple(_bounds(r) if isinstance(r, range) else (r, r + 1) for r in ranges)

    def __repr__(self) -> str:
        return f"<SliceReader {self.entry.name!r} {self.dtype.name}{list(self.shape)}>"


def _ranges(index: Index, shape: Shape, name: str) -> list[int | range]:
    """For each dimension the positions taken: one, which drops the dimension, or a range of them."""
    items = list(index) if isinstance(index, tuple) else [index]
    given = sum(item is not Ellipsis for item in items)
    if given > len(shape) or len(items) - given > 1:
        raise IndexError(f"{name}: got {given} indices for a tensor of {len(shape)} dimensions")
    if given == len(items):
        items.append(Ellipsis)
    at = next(i for i, item in enumerate(items) if item is Ellipsis)
    items[at : at + 1] = [slice(None)] * (len(shape) - given)
    ranges: list[int | range] = []
    for axis, (item, size) in enumerate(zip(items, shape, strict=True)):
        if isinstance(item, slice):
            ranges.append(range(*item.indices(size)))
            continue
        try:
            position = operator.index(item)  # type: ignore[arg-type]
        except TypeError:
            raise TypeError(
                f"{name}: index {item!r} is neither an integer, a slice nor an ellipsis"
            ) from None
        if not -size <= position < size:
            raise IndexError(f"{name}: index {position} is out of bounds for axis {axis} of size {size}")
        ranges.append(position % size)
    return ranges


def _bounds(positions: range) -> tuple[int, int]:
    """Start and stop of the least interval that holds the positions."""
    if not positions:
        return 0, 0
    return min(positions[0], positions[-1]), max(positions[0], positions[-1]) + 1


def _shifted(positions: range, start: int) -> slice:
    """The slice that takes the positions out of an array that begins at ``start``."""
    if not positions:
        return slice(0, 0)
    stop = positions[-1] - start + (1 if positions.step > 0 else -1)
    return slice(positions[0] - start, stop if stop >= 0 else None, positions.step)


def _check_targets(targets: Mapping[str, np.ndarray], entries: Iterable[Entry]) -> None:
    """Raise where an array to fill cannot take the values of its tensor, or has none."""
    by_name = {entry.name: entry for entry in entries}
    for name, target in targets.items():
        entry = by_name.get(name)
        if entry is None:
            raise ValueError(f"out[{name!r}] is not among the names to read")
        if target.shape != entry.shape or target.dtype != entry.dtype.numpy:
            raise ValueError(
                f"out[{name!r}]: got {target.dtype}{list(target.shape)}, "
                f"want {entry.dtype.numpy}{list(entry.shape)}"
            )
        if not target.flags.writeable:
            raise ValueError(f"out[{name!r}] is not writable")


def _threaded(load: Callable[[Entry], Array], entries: Sequence[Entry], threads: int) -> list[Array]:
    """The arrays of several entries, loaded by as many threads; the first error ends it."""
    # Imported here: it takes longer than reading a small checkpoint, which has no use for it.
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(min(threads, len(entries))) as pool:
        futures = [pool.submit(load, entry) for entry in entries]
        try:
            return [future.result() for future in futures]
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _close_matches(name: str, store: Bundle | SliceFile) -> list[str]:
    """Names that end in ``name`` or look like it, best first; what TF2 appends to all names left aside."""
    try:
        names = {
            known.removesuffix(VARIABLE_VALUE): known for known in islice(store.names(), _COMPARED_NAMES)
        }
    except CorruptError:
        return []
    ends = [short for short in names if short.endswith(f"/{name}")]
    alike = ends or difflib.get_close_matches(name.removesuffix(VARIABLE_VALUE), names, n=_SUGGESTED)
    return [names[short] for short in alike[:_SUGGESTED]]
