"""TensorBoard's embedding projector: a directory with a table for each embedding and a list of them.

::

    projector_config.pbtxt     embeddings { tensor_name: "emb" tensor_path: "emb.tsv" tensor_shape: … }
    emb.tsv                    a line for each row, with tabs between the numbers

``tensorboard --logdir projector/`` shows it. Tables may be float32 as they are in memory instead. TensorBoard
tries to read any table as text first, and as numbers only if the text is not UTF-8.

Source: ``tensorboard/plugins/projector``, its ``projector_config.proto`` and ``projector_plugin.py``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import numpy as np

from ckptfmt.arrays.array import Array
from ckptfmt.arrays.raw import encode_pieces
from ckptfmt.converting.sinks.outgoing import PIECE_BYTES, Outgoing
from ckptfmt.converting.sinks.writing import Writing
from ckptfmt.errors import ConversionError

CONFIG = "projector_config.pbtxt"
"""The name that TensorBoard looks for."""

_MAX_NAME = 100
"""Characters of the name of a file, before its number and its ending."""

_TEXT_BYTES = PIECE_BYTES >> 4
"""Bytes of numbers that are made text at a time: Python takes ten times as many for it."""


class ProjectorSink:
    """Writes tables as text; a :class:`~ckptfmt.converting.sinks.sink.Sink`."""

    format = "projector"
    suffix = ".tsv"
    resumes = True

    def problem(self, tensor: Outgoing) -> str | None:
        """Return why the projector cannot show a tensor."""
        if len(tensor.shape) != 2:
            return "no tensors other than matrices"
        if 0 in tensor.shape:
            return "no empty matrices"
        try:
            tensor.name.encode()
        except UnicodeEncodeError:
            return "no names that are not UTF-8"
        return self._dtype_problem(tensor)

    def _dtype_problem(self, tensor: Outgoing) -> str | None:
        dtype = tensor.dtype
        is_number = (dtype.is_floating or dtype.is_integer or dtype.is_bool) and not dtype.is_quantized
        return None if is_number else f"no dtype {dtype.name}"

    def name_problems(self, tensors: Sequence[Outgoing]) -> dict[str, str]:
        """Return nothing: any names may be together."""
        return {}

    def write(self, tensors: Sequence[Outgoing], writing: Writing) -> list[str]:
        """Write the directory; the list of tables is its last file."""
        names = _file_names([tensor.name for tensor in tensors], self.suffix)
        with writing.create_directory() as output:
            done = set(writing.noted(output))
            for tensor, name in zip(tensors, names, strict=True):
                if tensor.name in done:
                    continue
                with output.create(name) as file:
                    for data, nbytes in self._table(tensor, writing):
                        file.write(data)
                        writing.advance(nbytes)
                tensor.release()
                writing.note(output, tensor.name)
            with output.create(CONFIG) as file:
                file.write_all(map(_embedding, tensors, names))
        return [writing.path]

    def _table(self, tensor: Outgoing, writing: Writing) -> Iterator[tuple[bytes | memoryview, int]]:
        """Iterate over the bytes of a table, each piece with the bytes of numbers that it has."""
        columns = tensor.shape[1]
        filled = 0
        for piece in tensor.pieces(_TEXT_BYTES):
            # A piece has whole rows, or a part of one.
            filled = (filled + piece.shape[1]) % columns
            end = "\t" if filled else "\n"
            yield "".join(line + end for line in _as_lines(piece)).encode(), piece.nbytes


class ProjectorBytesSink(ProjectorSink):
    """Writes tables as float32; a :class:`~ckptfmt.converting.sinks.sink.Sink`."""

    format = "projector-bytes"
    suffix = ".bytes"

    def _dtype_problem(self, tensor: Outgoing) -> str | None:
        return None if tensor.dtype.name == "float32" else f"no dtype {tensor.dtype.name}"

    def _table(self, tensor: Outgoing, writing: Writing) -> Iterator[tuple[bytes | memoryview, int]]:
        is_first = True
        for piece in tensor.pieces():
            for data in encode_pieces(piece, tensor.dtype):
                if is_first and _looks_like_text(data):
                    what = "TensorBoard would take the values for text; --to projector writes text"
                    raise ConversionError(self.format, {tensor.name: what}, file=writing.path)
                is_first = False
                yield data, data.nbytes


def _looks_like_text(data: memoryview) -> bool:
    """Whether the first line of a table that is not empty is UTF-8, so that TensorBoard fails to read it."""
    first = bytes(data[: 1 << 20]).lstrip(b"\n").partition(b"\n")[0]
    try:
        first.decode()
    except UnicodeDecodeError:
        return False
    return True


def _as_lines(values: Array) -> list[str]:
    """Return each row as text that gives the same numbers again, read as float32 too."""
    if values.dtype.kind == "b" or "int" in values.dtype.name:
        cell, exact = "%d", values.astype(np.uint64 if values.dtype.kind == "u" else np.int64)
    elif values.dtype == np.float64:
        cell, exact = "%.17g", values
    else:
        cell, exact = "%.9g", values.astype(np.float32)
    # Several times as fast as NumPy's own conversion to text.
    line = "\t".join([cell] * values.shape[1])
    return [line % tuple(row) for row in exact.tolist()]


def _file_names(names: Sequence[str], suffix: str) -> list[str]:
    """Return a name for the file of each tensor, distinct even if the case of letters does not count."""
    taken: set[str] = set()
    numbers: dict[str, int] = {}
    files = []
    for name in names:
        plain = re.sub(r"[^\w.-]+", "_", name, flags=re.ASCII).strip("._")[:_MAX_NAME] or "tensor"
        file = plain
        while file.casefold() in taken:
            numbers[plain] = numbers.get(plain, 0) + 1
            file = f"{plain}_{numbers[plain]}"
        taken.add(file.casefold())
        files.append(file + suffix)
    return files


def _embedding(tensor: Outgoing, file: str) -> bytes:
    """Return a message EmbeddingInfo as text."""
    rows, columns = tensor.shape
    return (
        "embeddings {\n"
        f"  tensor_name: {_quoted(tensor.name)}\n"
        f"  tensor_path: {_quoted(file)}\n"
        f"  tensor_shape: {rows}\n"
        f"  tensor_shape: {columns}\n"
        "}\n"
    ).encode()


def _quoted(text: str) -> str:
    """Return a string as protobuf's text format has it, with everything unusual as octal escapes."""
    plain = (
        chr(byte) if 32 <= byte < 127 and byte not in b'"\\' else f"\\{byte:03o}" for byte in text.encode()
    )
    return f'"{"".join(plain)}"'
