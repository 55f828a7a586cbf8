"""``load_checkpoint`` and the reader that it returns."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias

from ckptfmt.checkpoint.directory import Directories
from ckptfmt.checkpoint.entry import Entry, name_of
from ckptfmt.dtypes import DType
from ckptfmt.errors import CheckpointNotFoundError
from ckptfmt.filenames import INDEX_SUFFIX, prefix_within
from ckptfmt.storage.local import LOCAL
from ckptfmt.tensors.checkpoint import Checkpoint, open_checkpoint

PathLike: TypeAlias = "str | bytes | os.PathLike[str]"
"""A path as ``tf.train`` takes it."""


class NoCheckpointError(CheckpointNotFoundError, ValueError):
    """A path leads to no checkpoint, or a directory to several; ``tf.train`` raises a ValueError."""


def read_tensors(checkpoint: Checkpoint, names: Sequence[str] | None = None) -> dict[str, Any]:
    """Return several tensors by name, all by default, each as :meth:`CheckpointReader.get_tensor` does.

    Raises TensorNotFoundError if one is missing.
    """
    arrays = checkpoint.read(list(checkpoint) if names is None else names, copy=True)
    return {name: array if array.ndim else array[()] for name, array in arrays.items()}


class CheckpointReader:
    """Reads the tensors of one checkpoint. Made by :func:`load_checkpoint` or :func:`NewCheckpointReader`."""

    def __init__(self, filepattern: PathLike) -> None:
        self._checkpoint = open_checkpoint(os.fsdecode(filepattern))

    def get_tensor(self, tensor_str: str | bytes) -> Any:  # noqa: ANN401  (as in TensorFlow: it is what was stored)
        """Return a tensor as a writable array, a scalar as a NumPy scalar, and a scalar string as bytes.

        Raises
        ------
        TensorNotFoundError
            No tensor has that name.
        """
        name = _as_name(tensor_str)
        return read_tensors(self._checkpoint, [name])[name]

    def has_tensor(self, tensor_str: str | bytes) -> bool:
        """Return whether a tensor has that name."""
        return _as_name(tensor_str) in self._checkpoint

    def get_variable_to_shape_map(self) -> dict[str, list[int]]:
        """Return the shape of each tensor."""
        return {entry.name: list(entry.shape) for entry in self._entries()}

    def get_variable_to_dtype_map(self) -> dict[str, DType]:
        """Return the dtype of each tensor."""
        return {entry.name: entry.dtype for entry in self._entries()}

    def debug_string(self) -> bytes:
        """Return a line for each tensor, sorted by name: ``dense/kernel (DT_FLOAT) [784,10]``.

        The line of a partitioned tensor ends in the number of slices: ``wide (DT_FLOAT) [100,8], 2 slices``.
        """
        return "".join(map(_debug_line, self._entries())).encode("utf-8", "surrogateescape")

    def _entries(self) -> Iterator[Entry]:
        # As they are stored: TensorFlow does not join the parts of a slot.
        return self._checkpoint._index.stored_entries()


def load_checkpoint(ckpt_dir_or_file: PathLike) -> CheckpointReader:
    """Return a reader of a checkpoint, or of the latest checkpoint of a directory.

    Raises
    ------
    CheckpointNotFoundError
        The path leads to no checkpoint. If it is a directory, the error is a ValueError too.
    CorruptError
        The file is not a checkpoint, or its index is damaged.
    """
    path = os.fsdecode(ckpt_dir_or_file)
    try:
        return CheckpointReader(path)
    except CheckpointNotFoundError as error:
        if LOCAL.status(path) is None or LOCAL.path_type(path) != "directory":
            raise
        raise NoCheckpointError(error.what, file=error.file, tried=error.tried) from error


def NewCheckpointReader(filepattern: PathLike) -> CheckpointReader:  # noqa: N802  (TensorFlow's name)
    """Return a reader of a checkpoint."""
    path = os.fsdecode(filepattern)
    # A prefix that ends in a separator counts literally, even if the state file there names another one.
    prefix = prefix_within(path)
    if prefix is not None and Directories(LOCAL).has_index(prefix):
        return CheckpointReader(prefix + INDEX_SUFFIX)
    return CheckpointReader(path)


def list_variables(ckpt_dir_or_file: PathLike) -> list[tuple[str, list[int]]]:
    """Return the name and shape of each tensor of a checkpoint, sorted by name."""
    return sorted(load_checkpoint(ckpt_dir_or_file).get_variable_to_shape_map().items())


def load_variable(ckpt_dir_or_file: PathLike, name: str) -> Any:  # noqa: ANN401  (as in TensorFlow)
    """Return one tensor as :meth:`CheckpointReader.get_tensor` does; a final ``:0`` is ignored."""
    return load_checkpoint(ckpt_dir_or_file).get_tensor(name.removesuffix(":0"))


_ENUM_NAMES = {"float32": "FLOAT", "float64": "DOUBLE", "float16": "HALF"}
"""Names in ``enum DataType`` that differ from the name of the dtype in upper case."""


def _debug_line(entry: Entry) -> str:
    name = entry.dtype.name
    shape = ",".join(map(str, entry.shape))
    slices = f", {len(entry.slices)} slices" if len(entry.slices) > 1 else ""
    return f"{entry.name} (DT_{_ENUM_NAMES.get(name, name.upper())}) [{shape}]{slices}\n"


def _as_name(tensor_str: str | bytes) -> str:
    if isinstance(tensor_str, bytes):
        return name_of(tensor_str)
    if isinstance(tensor_str, str):
        return tensor_str
    raise TypeError(f"tensor name: got {tensor_str!r}, want str or bytes")
