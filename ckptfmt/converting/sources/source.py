"""What a file of another program can be asked: which tensors are in it, and the values of each.

A module of this room serves one format: it has a function ``open_source(fs, path, limits)`` that returns one
of these. :class:`~ckptfmt.converting.sources.tensor_file.TensorFile` makes it the mapping that users hold.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, Protocol

from ckptfmt.arrays.array import Array
from ckptfmt.arrays.shape import Shape
from ckptfmt.checkpoint.slices import Region
from ckptfmt.dtypes import DType, as_dtype

UNREADABLE = as_dtype("variant")
"""The dtype of what is listed and cannot be read, since an entry has to have one; reading it says why."""


class Stored(NamedTuple):
    """What a file says about one tensor."""

    dtype: DType
    shape: Shape
    nbytes: int
    """Bytes of its values; of strings, those that they take in memory together."""


class Source(Protocol):
    """The tensors in one file, or in several that belong together."""

    @property
    def path(self) -> str:
        """The path that it was opened by, as errors name it."""

    @property
    def format(self) -> str:
        """The format, as ``ckptfmt convert --to`` names it: ``"safetensors"``."""

    @property
    def tensors(self) -> Mapping[str, Stored]:
        """What is known about each tensor, in the order of the file. Nothing has been read but headers."""

    def read(self, name: str, region: Region | None) -> Array:
        """Return a tensor, or a region of it: read-only, a view of the mapped file if possible.

        Strings are an object array of ``bytes``. Raises CorruptError, TruncatedError or NotReadableError with
        the file and, where it is known, the offset.
        """

    def release(self, name: str) -> None:
        """Let the system forget the bytes of a tensor; touched again, they are read again."""

    def close(self) -> None:
        """Close the file; arrays already returned stay valid."""
