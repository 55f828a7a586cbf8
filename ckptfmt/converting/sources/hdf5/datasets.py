"""Datasets of an HDF5 file, found by following its links, each with what the file says about it.

Only hard links are followed, so nothing leads out of the file. A group is entered once, under the first path
that leads to it: hard links may form cycles. A symbolic link to a dataset is another name of it, looked up
among the paths that were found. Whatever cannot be read is listed with the reason, so that it is not lost
without a word.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

from ckptfmt.arrays.shape import MAX_RANK, Shape
from ckptfmt.converting.sources.hdf5.library import h5py
from ckptfmt.converting.sources.hdf5.types import StoredType, StoredTypes
from ckptfmt.converting.sources.source import UNREADABLE
from ckptfmt.errors import CorruptError
from ckptfmt.limits import Limits
from ckptfmt.storage.file import RandomAccessFile
from ckptfmt.storage.filesystem import natural_order

_LAYOUTS = (h5py.h5d.COMPACT, h5py.h5d.CONTIGUOUS, h5py.h5d.CHUNKED)
"""How values are stored in the file itself."""

_MOST_ELEMENTS = (1 << 63) - 1
_MOST_HOPS = 16
"""Symbolic links that lead to one another, at most, as HDF5 itself follows them."""


class Dataset(NamedTuple):
    """A dataset, and how it is stored."""

    path: bytes
    """A path of hard links that leads to it."""
    shape: Shape
    type: StoredType
    size: int
    """Bytes that it takes in the file, compressed."""
    offset: int | None = None
    """Where its bytes are in the file, if they are in one piece and not compressed."""
    problem: str | None = None
    """Why it cannot be read; None if it can."""


class Contents(NamedTuple):
    """What is in a file."""

    datasets: dict[bytes, Dataset]
    """All datasets by their paths, without a slash at the beginning."""
    groups: frozenset[bytes]
    """Paths of the groups; the root is empty."""


def find_datasets(root: Any, limits: Limits, file: RandomAccessFile) -> Contents:  # noqa: ANN401
    """Return all datasets below the root, a ``h5py.h5g.GroupID``: those of a group before those further down.

    Raises LimitError if there are too many; what h5py raises if the file is damaged.
    """
    datasets: dict[bytes, Dataset] = {}
    symbolic: dict[bytes, bytes] = {}
    groups: dict[bytes, None] = {}
    entered: set[int] = set()
    waiting: list[tuple[bytes, Any]] = [(b"", root)]
    types = StoredTypes()
    count, size = 0, 0
    while waiting:
        path, group = waiting.pop()
        address = h5py.h5o.get_info(group).addr
        if address in entered:
            continue
        entered.add(address)
        groups[path] = None
        limits.check_depth("groups in groups", path.count(b"/") + 1, file=file.name)
        below: list[tuple[bytes, Any]] = []
        for name, link in _links(group, limits, file.name, count):
            full = path + b"/" + name if path else name
            count, size = count + 1, size + len(full)
            # The path of a group counts as often as it has members.
            limits.check_memory("bytes of paths", size, file.size, file=file.name)
            if link.type == h5py.h5l.TYPE_HARD:
                item = h5py.h5o.open(group, name)
                if isinstance(item, h5py.h5g.GroupID):
                    below.append((full, item))
                elif isinstance(item, h5py.h5d.DatasetID):
                    datasets[full] = _describe(item, full, types)
            elif link.type == h5py.h5l.TYPE_SOFT:
                symbolic[full] = group.links.get_val(name)
            else:
                datasets[full] = _unreadable(full, "a link to another file, which is not followed")
        waiting += reversed(below)
    _resolve(symbolic, datasets, groups)
    return Contents(datasets, frozenset(groups))


def _links(group: Any, limits: Limits, file: str, count: int) -> Iterator[tuple[bytes, Any]]:  # noqa: ANN401
    """Iterate over the links of a group: in the order of creation if the file has it, else by name."""
    names: list[bytes] = []

    def note(name: bytes) -> None:
        if b"/" in name or name == b".":
            # HDF5 would take it for a path, which may lead through a link into another file.
            raise CorruptError(
                f"got a link named {name.decode('utf-8', 'replace')!r}, want one part of a path"
            )
        limits.check_names("datasets and groups", count + len(names) + 1, file=file)
        names.append(name)

    # In the order in which they are stored: for any other, HDF5 makes a table of the links first, and up to
    # version 2.0 it crashes if a link turns out to be damaged.
    group.links.iterate(note, order=h5py.h5.ITER_NATIVE)
    links = [(name, group.links.get_info(name)) for name in names]
    if all(link.corder_valid for _, link in links):
        links.sort(key=lambda each: each[1].corder)
    else:
        links.sort(key=lambda each: natural_order(each[0].decode("latin-1")))
    yield from links


def _describe(dataset: Any, path: bytes, types: StoredTypes) -> Dataset:  # noqa: ANN401  (h5py.h5d.DatasetID)
    """Return what the file says about an open dataset; nothing is read but headers."""
    offset = dataset.get_offset()
    plist = dataset.get_create_plist() if offset is None else None
    if plist is not None and plist.get_layout() not in _LAYOUTS:
        # Asked for the shape of a virtual dataset, HDF5 may open the files that it is made of.
        return _unreadable(path, "it is made of other datasets, maybe in other files")
    kind = types.of(dataset)
    space = dataset.get_space()
    # A dataset without a dataspace has no elements; TensorFlow calls that a vector of length 0.
    is_null = space.get_simple_extent_type() == h5py.h5s.NULL
    shape = (0,) if is_null else tuple(map(int, space.get_simple_extent_dims()))
    if kind.dtype is UNREADABLE:
        return _unreadable(path, f"{kind.what}, which TensorFlow has no dtype for", shape)
    if len(shape) > MAX_RANK or math.prod(shape) > _MOST_ELEMENTS:
        return _unreadable(path, f"its shape {list(shape)} is too large")
    problem = None if plist is None else _storage_problem(plist)
    if problem is not None:
        return _unreadable(path, problem, shape)
    size = int(dataset.get_storage_size())
    # Without bytes in the file, all values are the fill value, and the offset means nothing.
    is_whole = kind.element is not None and size == math.prod(shape) * kind.element.itemsize
    return Dataset(path, shape, kind, size, offset if size and is_whole else None)


def _storage_problem(plist: Any) -> str | None:  # noqa: ANN401  (h5py.h5p.PropDCID)
    """Return why the values of a dataset cannot be read, judging by where and how they are stored."""
    if plist.get_external_count():
        return "its values are in other files, which are not opened"
    for number in range(plist.get_nfilters()):
        code, _, _, name = plist.get_filter(number)
        if not h5py.h5z.filter_avail(code):
            what = name.decode("utf-8", "replace") or "one without a name"
            return f"it is compressed by filter {code} ({what}), which h5py lacks"
    return None


def _unreadable(path: bytes, problem: str, shape: Shape = ()) -> Dataset:
    return Dataset(path, shape, StoredType(UNREADABLE), 0, problem=problem)


def _resolve(symbolic: dict[bytes, bytes], datasets: dict[bytes, Dataset], groups: dict[bytes, None]) -> None:
    """Add the datasets that symbolic links lead to, under the names of the links."""
    for path in symbolic:
        target: bytes | None = path
        for _ in range(_MOST_HOPS):
            if target not in symbolic:
                break
            target = _join(target, symbolic[target])
        if target in datasets and target not in symbolic:
            datasets[path] = datasets[target]
        elif target not in groups:
            datasets[path] = _unreadable(path, "a link to what is not in this file")


def _join(link: bytes, target: bytes) -> bytes:
    """Return the path that a link leads to, from the root or from the group that it is in."""
    start = [] if target.startswith(b"/") else link.split(b"/")[:-1]
    return b"/".join([*start, *(part for part in target.split(b"/") if part not in (b"", b"."))])
