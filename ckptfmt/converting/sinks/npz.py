"""``.npz``, written: a zip archive with an array of NumPy's for each tensor.

A tensor is the member of its name with ``.npy`` at its end, which ``numpy.load`` takes off again. Members
are stored, or deflated with ``compression="deflate"``. ``numpy.savez`` stores bfloat16 and float8 as bytes
without a dtype, and strings as a pickle or without the zeros at their ends: such tensors are refused.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence

import numpy as np

from ckptfmt.converting.sinks.outgoing import Outgoing
from ckptfmt.converting.sinks.writing import Writing
from ckptfmt.converting.sinks.zip_writer import MAX_NAME, ZipWriter
from ckptfmt.converting.sources.npz.npy_header import NPY_DTYPES
from ckptfmt.converting.sources.npz.source import SUFFIX
from ckptfmt.storage.output import Data


class NpzSink:
    """Writes archives of arrays; a :class:`~ckptfmt.converting.sinks.sink.Sink`."""

    format = "npz"
    resumes = True

    def problem(self, tensor: Outgoing) -> str | None:
        """Return why the format cannot hold a tensor."""
        # By name: a quantised integer is an integer to NumPy, and would not be quantised any more.
        if tensor.dtype.name not in NPY_DTYPES:
            return f"no dtype {tensor.dtype.name}"
        if len(tensor.shape) > _MAX_RANK:
            return f"no shape of more than {_MAX_RANK} dimensions"
        return _name_problem(tensor.name, SUFFIX)

    def name_problems(self, tensors: Sequence[Outgoing]) -> dict[str, str]:
        """Return the tensors that ``numpy.load`` takes for another: ``w.npy`` beside ``w``."""
        longer = {tensor.name + SUFFIX for tensor in tensors}
        taken = (tensor.name for tensor in tensors if tensor.name in longer)
        return dict.fromkeys(taken, f"no name with {SUFFIX} beside the same without it")

    def write(self, tensors: Sequence[Outgoing], writing: Writing) -> list[str]:
        """Write one archive."""
        with writing.create() as output:
            archive = ZipWriter(writing, output)
            for tensor in tensors:
                head = _head(tensor)
                size = len(head) + tensor.nbytes
                pieces = _content(head, tensor, writing)
                archive.add(tensor.name + SUFFIX, pieces, size, deflate=writing.compression == "deflate")
                tensor.release()
            archive.finish()
        return [writing.path]


_MAX_RANK = 32
"""Dimensions of arrays that every version of NumPy has."""


def _name_problem(name: str, suffix: str = "") -> str | None:
    """Return why a name cannot be that of a member of an archive."""
    if "\0" in name:
        return "no name with a NUL"
    try:
        size = len((name + suffix).encode())
    except UnicodeEncodeError:
        return "no name that is not Unicode"
    return f"no name of more than {MAX_NAME - len(suffix)} bytes" if size > MAX_NAME else None


def _head(tensor: Outgoing) -> bytes:
    """Return all that comes before the elements, as NumPy writes it; its size is a multiple of 64."""
    stream = io.BytesIO()
    dtype = tensor.dtype.numpy.newbyteorder("<")
    described = {
        "descr": np.lib.format.dtype_to_descr(dtype),
        "fortran_order": False,
        "shape": tuple(tensor.shape),
    }
    np.lib.format.write_array_header_1_0(stream, described)
    return stream.getvalue()


def _content(head: bytes, tensor: Outgoing, writing: Writing) -> Iterator[Data]:
    yield head
    yield from tensor.encoded(writing.advance)
