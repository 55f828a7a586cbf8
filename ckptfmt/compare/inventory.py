"""What is there and what is expected: names and specs, from whatever says them.

::

    Tensors, path of a checkpoint    names, specs, and how its objects hang together
    path of a .meta file             what its Saver restores
    path of a safetensors file       what its header lists
    mapping                          name → array, shape or Spec; nested as pytrees are
"""

from __future__ import annotations

import operator
import os
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

from ckptfmt.dtypes import DType, Storage, as_dtype
from ckptfmt.errors import CorruptError, MissingDependencyError, UnsupportedError
from ckptfmt.filetype.content import recognise_file
from ckptfmt.filetype.kinds import SAFETENSORS, Holds
from ckptfmt.graph.read.saved_variables import read_saved_variables
from ckptfmt.object_graph.keys import OBJECT_GRAPH_KEY
from ckptfmt.object_graph.object_graph import ObjectGraph
from ckptfmt.storage.filesystem import Filesystem
from ckptfmt.storage.local import LocalFilesystem
from ckptfmt.tensors.checkpoint import Checkpoint, open_checkpoint
from ckptfmt.tensors.nesting import flatten
from ckptfmt.tensors.restore import Spec
from ckptfmt.tensors.tensors import Tensors

Expected: TypeAlias = "Tensors | str | os.PathLike[str] | Mapping[str, Any]"
"""Whatever says which tensors are expected; see :func:`read_expected`."""


@dataclass(frozen=True)
class Tally:
    """Tensors by name, with what is known of them before they are read."""

    specs: Mapping[str, Spec]
    """Dtype and shape of each, in order."""
    graph: ObjectGraph | None = None
    """The objects that hold them, where the names are the keys of ``tf.train.Checkpoint``; of a view none."""

    @property
    def called(self) -> dict[str, str]:
        """What people call the tensors of objects, by key: full name, or path where others have it."""
        if self.graph is None:
            return {}
        full_names = self.graph.keys_by_full_name.items()
        return self.graph.short_names() | {keys[0]: name for name, keys in full_names if len(keys) == 1}


_SAFETENSORS = {
    "BOOL": "bool",
    "U8": "uint8",
    "I8": "int8",
    "U16": "uint16",
    "I16": "int16",
    "U32": "uint32",
    "I32": "int32",
    "U64": "uint64",
    "I64": "int64",
    "F16": "float16",
    "BF16": "bfloat16",
    "F32": "float32",
    "F64": "float64",
    "C64": "complex64",
    "F8_E4M3": "float8_e4m3fn",
    "F8_E5M2": "float8_e5m2",
}
"""What safetensors calls a dtype, and what TensorFlow does."""


@contextmanager
def opened(checkpoint: Tensors | str | os.PathLike[str], fs: Filesystem) -> Iterator[Tensors]:
    """A checkpoint as it is given, or open for as long as it is needed."""
    if isinstance(checkpoint, Tensors):
        yield checkpoint
    else:
        with open_checkpoint(checkpoint, fs=fs) as tensors:
            yield tensors


def read_stored(checkpoint: Tensors | str | os.PathLike[str], fs: Filesystem) -> Tally:
    """Return what a checkpoint or a view has."""
    with opened(checkpoint, fs) as tensors:
        return _tally(tensors)


def read_expected(expected: Expected, fs: Filesystem) -> Tally:
    """Return what is expected.

    Raises
    ------
    TypeError
        It is nothing of what :data:`Expected` says, or a value of a mapping is neither array, shape nor Spec.
    NameConflictError
        Two values of a nested mapping get the same name.
    MissingDependencyError
        It is a safetensors file, and ``safetensors`` is not installed.
    CorruptError, UnsupportedError, PathNotFoundError, NotReadableError
        What a path leads to cannot be read.
    GraphError
        A graph does not say which variables are saved.
    """
    if isinstance(expected, Tensors):
        return _tally(expected)
    if isinstance(expected, Mapping):
        return Tally({name: _spec(name, value) for name, value in flatten(expected).items()})
    if not isinstance(expected, (str, os.PathLike)):
        raise TypeError(f"expected: got {type(expected).__name__}, want a path, a checkpoint or a mapping")
    path = os.fspath(expected)
    if fs.path_type(path) == "file":
        kind = recognise_file(fs, path)
        if kind is SAFETENSORS:
            return Tally(_read_safetensors(fs, path))
        if kind is not None and kind.holds is Holds.META_GRAPH:
            variables = read_saved_variables(path, fs=fs).items()
            return Tally({name: Spec(known.dtype, known.shape) for name, known in variables})
    return read_stored(path, fs)


def _tally(tensors: Tensors) -> Tally:
    """What a checkpoint or a view has; the object graph itself is no tensor that anybody restores."""
    graph = tensors.object_graph
    specs = {
        name: Spec(entry.dtype, entry.shape)
        for name, entry in tensors.entries.items()
        if graph is None or tensors.stored_name(name) != OBJECT_GRAPH_KEY
    }
    return Tally(specs, graph if isinstance(tensors, Checkpoint) else None)


# --- safetensors -----------------------------------------------------------------------------------------


def _read_safetensors(fs: Filesystem, path: str) -> dict[str, Spec]:
    try:
        from safetensors import SafetensorError
    except ImportError:
        raise MissingDependencyError("safetensors", "safetensors") from None
    specs = {}
    try:
        for name, code, shape in _safetensors_header(fs, path):
            if code not in _SAFETENSORS:
                raise UnsupportedError(f"tensor {name!r} has dtype {code}, TensorFlow has not", file=path)
            specs[name] = Spec(as_dtype(_SAFETENSORS[code]), shape)
    except SafetensorError as error:
        raise CorruptError(f"not a safetensors file: {error}", file=path) from error
    return specs


def _safetensors_header(fs: Filesystem, path: str) -> Iterator[tuple[str, str, tuple[int, ...]]]:
    """Name, dtype and shape of each tensor.

    The library maps local files itself. Of other files, and of those not to be mapped, it wants all bytes.
    """
    import safetensors

    if fs == LocalFilesystem(directory=getattr(fs, "directory", "")):
        with safetensors.safe_open(os.path.join(fs.directory, path), framework="np") as file:
            for name in file.keys():  # noqa: SIM118 - it is not a mapping
                part = file.get_slice(name)
                yield name, part.get_dtype(), tuple(part.get_shape())
        return
    with closing(fs.open(path)) as source:
        for name, found in safetensors.deserialize(bytes(source.read(0, source.size))):  # type: ignore[no-untyped-call]
            yield name, found["dtype"], tuple(found["shape"])


# --- values of mappings ----------------------------------------------------------------------------------


def _spec(name: str, value: Any) -> Spec:  # noqa: ANN401 - arrays of any library
    """What a value says of the tensor it stands for."""
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        dtype = None if value.dtype is None else _dtype(name, value.dtype)
        return Spec(dtype, None if value.shape is None else _shape(name, value.shape))
    if isinstance(value, (tuple, list)) or hasattr(value, "as_list"):
        return Spec(None, _shape(name, value))
    raise TypeError(f"{name!r}: got {type(value).__name__}, want an array, a shape or a Spec")


def _shape(name: str, sizes: Any) -> tuple[int | None, ...] | None:  # noqa: ANN401
    """A shape of any library: integers, None where a size is of any kind."""
    if getattr(sizes, "rank", 0) is None:  # a tf.TensorShape of unknown rank
        return None
    try:
        shape = tuple(None if size is None else operator.index(size) for size in sizes)
    except TypeError:
        raise TypeError(f"{name!r}: got {sizes!r:.200}, want a shape of integers") from None
    if any(size is not None and size < 0 for size in shape):
        raise ValueError(f"{name!r}: got shape {list(shape)}, want no negative sizes")
    return shape


def _dtype(name: str, dtype: Any) -> DType:  # noqa: ANN401
    try:
        found = as_dtype(dtype).base_dtype
    except TypeError as error:
        raise TypeError(f"{name!r}: {error}") from None
    if found.storage is Storage.NONE:
        raise TypeError(f"{name!r}: dtype {found.name} is none of values")
    return found
