"""The header of a safetensors file: names, dtypes and shapes, without the tensors."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing

from ckptfmt.dtypes import as_dtype
from ckptfmt.errors import CorruptError, MissingDependencyError, UnsupportedError
from ckptfmt.storage.filesystem import Filesystem
from ckptfmt.storage.local import LocalFilesystem
from ckptfmt.tensors.restore import Spec

_DTYPES = {
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
"""TensorFlow's name for each dtype of safetensors."""


def read_safetensors_header(fs: Filesystem, path: str) -> dict[str, Spec]:
    """Return the dtype and shape of each tensor in a safetensors file.

    Raises
    ------
    MissingDependencyError
        The package ``safetensors`` is not installed.
    CorruptError
        The file is not a safetensors file.
    UnsupportedError
        A tensor has a dtype that TensorFlow does not have.
    """
    try:
        from safetensors import SafetensorError
    except ImportError:
        raise MissingDependencyError("safetensors", "safetensors") from None
    specs = {}
    try:
        for name, code, shape in _header(fs, path):
            if code not in _DTYPES:
                raise UnsupportedError(f"tensor {name!r}: TensorFlow has no dtype {code}", file=path)
            specs[name] = Spec(as_dtype(_DTYPES[code]), shape)
    except SafetensorError as error:
        raise CorruptError(f"not a safetensors file: {error}", file=path) from error
    return specs


def _header(fs: Filesystem, path: str) -> Iterator[tuple[str, str, tuple[int, ...]]]:
    """Name, dtype and shape of each tensor."""
    import safetensors

    # The library maps a local file itself and reads only its header. A file in another file system, or one
    # that is not to be mapped, has to be read whole: the library wants all bytes.
    if fs == LocalFilesystem(directory=getattr(fs, "directory", "")):
        with safetensors.safe_open(os.path.join(fs.directory, path), framework="np") as file:
            for name in file.keys():  # noqa: SIM118 - it is not a mapping
                part = file.get_slice(name)
                yield name, part.get_dtype(), tuple(part.get_shape())
        return
    with closing(fs.open(path)) as source:
        data = bytes(source.read(0, source.size))
        for name, tensor in safetensors.deserialize(data):  # type: ignore[no-untyped-call]
            yield name, tensor["dtype"], tuple(tensor["shape"])
