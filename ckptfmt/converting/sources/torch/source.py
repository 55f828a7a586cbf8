"""PyTorch's files: a zip archive of a pickle that describes tensors, and of their bytes.

::

    <root>/data.pkl     the pickle, which refers to storages by number
    <root>/byteorder    little or big; files from before 2.1 have none, and are little-endian
    <root>/data/0       the bytes of a storage, aligned to 64

The pickle is not run; see :mod:`ckptfmt.converting.sources.torch.pickled`. Tensors of nested dictionaries and
lists are named by the way to them, with slashes: ``state_dict/layer.weight``. Numbers, texts and objects
beside them are passed over. Tensors that are not read, such as sparse ones, NumPy's arrays and objects with
tensors in them are listed, and reading one is refused. Arrays are views of the mapped file.

Source: ``torch/serialization.py``, ``caffe2/serialize/inline_container.cc``.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from ckptfmt.arrays.array import Array
from ckptfmt.arrays.raw import decode_raw
from ckptfmt.arrays.shape import Shape, check_shape
from ckptfmt.checkpoint.slices import Region, whole, within
from ckptfmt.converting.sources.rows import rows_of
from ckptfmt.converting.sources.source import UNREADABLE, Source, Stored
from ckptfmt.converting.sources.torch.pickled import read_torch_pickle
from ckptfmt.converting.sources.torch.values import Opaque, Storage, TorchTensor
from ckptfmt.converting.sources.zip.archive import ZipArchive
from ckptfmt.converting.sources.zip.directory import Member
from ckptfmt.dtypes import DType
from ckptfmt.errors import CkptfmtError, CorruptError, UnsupportedError
from ckptfmt.limits import Limits
from ckptfmt.storage.filesystem import Filesystem

PICKLE = "data.pkl"

_NAME_BYTES = 200
"""Bytes of memory for a tensor and its name, beside the characters of the name."""


class Unreadable(NamedTuple):
    """Something that is listed and cannot be read."""

    why: str


class TorchSource:
    """The tensors of one file; a :class:`~ckptfmt.converting.sources.source.Source`."""

    format = "torch"

    def __init__(
        self,
        path: str,
        archive: ZipArchive,
        places: Mapping[str, tuple[TorchTensor, Member] | Unreadable],
        limits: Limits,
    ) -> None:
        self.path = path
        self.tensors = {
            name: Stored(UNREADABLE, (), 0)
            if isinstance(place, Unreadable)
            else Stored(place[0].dtype, place[0].shape, _nbytes(place[0]))
            for name, place in places.items()
        }
        self._archive = archive
        self._places = places
        self._limits = limits
        self._is_big_endian = False

    def read(self, name: str, region: Region | None) -> Array:
        """Return a tensor, or a region of it."""
        place = self._places[name]
        if isinstance(place, Unreadable):
            raise UnsupportedError(f"tensor {name!r}: {place.why}", file=self.path)
        tensor, member = place
        shape, dtype = tensor.shape, tensor.dtype
        size = _itemsize(tensor)
        # A few bytes stand for many elements if a stride is 0.
        self._limits.check_bytes(f"tensor {name!r}", _nbytes(tensor), member.size, file=self.path)
        wanted = whole(shape) if region is None else region
        try:
            if tensor.strides == _dense(shape) or not math.prod(shape):
                rows = rows_of(wanted, shape)
                start = (tensor.offset + rows.start) * size
                data = self._archive.read(member, start, start + math.prod(rows.shape) * size)
                return decode_raw(data, dtype, rows.shape, big_endian=self._is_big_endian, at=rows.at)
            count = _reach(tensor)
            start = tensor.offset * size
            data = self._archive.read(member, start, start + count * size)
            flat = decode_raw(data, dtype, (count,), big_endian=self._is_big_endian)
            strides = tuple(step * size for step in tensor.strides)
            array: Array = np.ndarray(shape, flat.dtype, flat, strides=strides)
            array = array[within(wanted, whole(shape))]
        except CkptfmtError as error:
            raise error.at(self.path, member.header, label=f"tensor {name!r}", relative=False) from None
        array.flags.writeable = False
        return array

    def release(self, name: str) -> None:
        """Let the system forget the bytes of a tensor."""
        place = self._places[name]
        if not isinstance(place, Unreadable):
            self._archive.release(place[1])

    def close(self) -> None:
        """Close the file."""
        self._archive.file.close()


def open_source(fs: Filesystem, path: str, limits: Limits) -> Source:
    """Open a file of tensors that ``torch.save`` wrote."""
    file = fs.open(path)
    try:
        # torch.save can leave out checksums, which are 0 then.
        archive = ZipArchive(file, limits, trusts_zero=True)
        members = {member.name: member for member in archive.members}
        root = next((name for name in members if name == PICKLE or name.endswith(f"/{PICKLE}")), None)
        if root is None:
            raise CorruptError(f"no member {PICKLE}", file=path)
        folder = root.removesuffix(PICKLE)
        pickle = members[root]
        limits.check_bytes("pickle", pickle.size, pickle.stored, file=path, offset=pickle.header)
        try:
            content = read_torch_pickle(bytes(archive.read(pickle, 0, pickle.size)))
            tensors = _by_name(content, limits, pickle.size, path)
            places = {
                name: each if isinstance(each, Unreadable) else (each, _member(name, each, members, folder))
                for name, each in tensors.items()
            }
        except CkptfmtError as error:
            raise error.at(path, pickle.header, label=PICKLE, relative=False) from None
        except RecursionError:  # without a limit of depth
            raise CorruptError(f"{PICKLE}: nested too deeply", file=path, offset=pickle.header) from None
        source = TorchSource(path, archive, places, limits)
        order = members.get(f"{folder}byteorder")
        if order is not None:
            source._is_big_endian = bytes(archive.read(order, 0, min(order.size, 8))) == b"big"
        return source
    except BaseException:
        file.close()
        raise


def _by_name(content: object, limits: Limits, stored: int, path: str) -> dict[str, TorchTensor | Unreadable]:
    """Return all tensors by the ways to them; UnsupportedError if there are none but other objects."""
    if isinstance(content, Opaque):
        raise UnsupportedError(content.why, file=path)
    named: dict[str, TorchTensor | Unreadable] = {}
    passed_over = None
    holding: dict[int, bool] = {}
    memory = 0
    for name, tensor in _walk(content, "", 0, limits, path):
        # A pickle may refer to one dictionary any number of times.
        memory += _NAME_BYTES + len(name)
        if memory > limits.free_bytes:
            limits.check_memory("names of tensors", memory, stored, file=path)
        if isinstance(tensor, Opaque):
            if not _holds_tensors(tensor, holding):
                passed_over = passed_over or tensor
                continue
            tensor = Unreadable(tensor.why)
        if isinstance(tensor, (TorchTensor, Unreadable)):
            if name in named:
                raise UnsupportedError(
                    f"several tensors are named {name!r}, from keys with slashes or of numbers", file=path
                )
            named[name] = tensor
    if passed_over and not named:
        raise UnsupportedError(passed_over.why, file=path)
    return named


def _holds_tensors(opaque: Opaque, known: dict[int, bool]) -> bool:
    """Return whether an object is an array or has tensors in it.

    Objects may share parts any number of times, and have themselves in them. So each part is visited once,
    and ``known`` has what came of the visit in which it was: True if there was a tensor anywhere. A part of
    such a visit counts as one with tensors although it may have none: then an object is listed in vain.
    """
    seen: list[int] = []
    waiting: list[object] = [opaque]
    result = False
    while waiting and not result:
        part = waiting.pop()
        if isinstance(part, (TorchTensor, Storage)) or (isinstance(part, Opaque) and part.is_array):
            result = True
        elif isinstance(part, (list, tuple, dict, Opaque)):
            if id(part) in known:
                result = known[id(part)]
                continue
            known[id(part)] = False
            seen.append(id(part))
            waiting += _parts(part)
    if result:
        known.update(dict.fromkeys(seen, True))
    return result


def _parts(part: Any) -> Iterable[object]:  # noqa: ANN401  (a list, a tuple, a dictionary or an Opaque)
    if isinstance(part, Opaque):
        return part.parts
    return part.values() if isinstance(part, dict) else part


def _walk(content: object, name: str, depth: int, limits: Limits, path: str) -> Iterator[tuple[str, Any]]:
    """Iterate over the leaves of nested dictionaries and lists."""
    limits.check_depth("dictionaries in dictionaries", depth, file=path)
    if isinstance(content, dict):
        children: Any = content.items()
    elif type(content) in (list, tuple):  # not those with names, such as tensors
        children = enumerate(content)  # type: ignore[arg-type]
    else:
        # A tensor by itself has the name of the file.
        yield name if depth else os.path.splitext(os.path.basename(path))[0], content
        return
    yield name, None
    for key, child in children:
        yield from _walk(child, f"{name}/{key}" if depth else str(key), depth + 1, limits, path)


def _member(name: str, tensor: TorchTensor, members: Mapping[str, Member], folder: str) -> Member:
    """Return the member with the bytes of a tensor; CorruptError unless it holds all that belong to it."""
    what = f"tensor {name!r}"
    member = members.get(f"{folder}data/{tensor.storage.key}")
    if member is None:
        raise CorruptError(f"{what}: no member data/{tensor.storage.key:.100}")
    size = _itemsize(tensor)
    _check_shape_once(tensor.shape, tensor.dtype)
    end = tensor.offset + _reach(tensor)
    if end * size > member.size:
        raise CorruptError(f"{what}: got {member.size} bytes in {member.name}, want {end * size}")
    return member


# A model repeats a few shapes in thousands of tensors.
@lru_cache(maxsize=1024)
def _check_shape_once(shape: Shape, dtype: DType) -> None:
    check_shape(shape, dtype)


def _itemsize(tensor: TorchTensor) -> int:
    return tensor.dtype.numpy.itemsize


def _nbytes(tensor: TorchTensor) -> int:
    return math.prod(tensor.shape) * _itemsize(tensor)


def _reach(tensor: TorchTensor) -> int:
    """Return how many elements of the storage there are from the first of a tensor to its last."""
    if not math.prod(tensor.shape):
        return 0
    return 1 + sum((size - 1) * step for size, step in zip(tensor.shape, tensor.strides, strict=True))


def _dense(shape: Shape) -> Shape:
    """Return the strides of a tensor in C order, as PyTorch counts them."""
    strides = []
    step = 1
    for size in reversed(shape):
        strides.append(step)
        step *= max(size, 1)
    return tuple(reversed(strides))
