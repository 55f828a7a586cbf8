"""Checkpoints of Orbax, written: a directory with a nested tree of arrays, for JAX.

A name is split at its slashes, as in ``flax``. Orbax itself writes the tree, so it wants all arrays at once:
those of a checkpoint are views of the mapped files, but those that a plan or a cast makes are in memory.

Orbax names arrays by the way to them with dots, so two ways that differ only there would be one array.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Sequence

from ckptfmt.converting.sinks.outgoing import Outgoing
from ckptfmt.converting.sinks.writing import Writing
from ckptfmt.errors import (
    CkptfmtError,
    MissingDependencyError,
    NameConflictError,
    NotWritableError,
    UnsupportedError,
)
from ckptfmt.storage.local import LocalFilesystem
from ckptfmt.tensors.nesting import nest

_DTYPES = frozenset(
    (
        *("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "int4", "int2"),
        *("float16", "bfloat16", "float32", "float64", "complex64", "complex128"),
        *("float8_e5m2", "float8_e4m3fn", "float8_e4m3fnuz", "float8_e4m3b11fnuz", "float8_e5m2fnuz"),
    )
)
"""Names of the dtypes of TensorStore, which Orbax stores arrays with."""


class OrbaxSink:
    """Writes directories of Orbax; a :class:`~ckptfmt.converting.sinks.sink.Sink`."""

    format = "orbax"
    resumes = False

    def problem(self, tensor: Outgoing) -> str | None:
        """Return why the format cannot hold a tensor."""
        if tensor.dtype.name not in _DTYPES:
            return f"no dtype {tensor.dtype.name}"
        if 0 in tensor.shape:
            return "no array without elements"
        try:
            tensor.name.encode()
        except UnicodeEncodeError:
            return "no name that is not Unicode"
        return None

    def write(self, tensors: Sequence[Outgoing], writing: Writing) -> list[str]:
        """Write one directory."""
        if not isinstance(writing.fs, LocalFilesystem):
            raise UnsupportedError("Orbax writes to directories of this machine only", file=writing.path)
        _check_names([tensor.name for tensor in tensors], writing.path)
        tree = nest(((tensor.name, tensor.whole()) for tensor in tensors), file=writing.path)
        try:
            epath = importlib.import_module("etils.epath")
            checkpoint = importlib.import_module("orbax.checkpoint")
        except ImportError as error:
            raise MissingDependencyError("orbax-checkpoint", "orbax") from error
        with writing.create_directory() as output:
            # The handler fills a directory; the Checkpointer around it would make one, and rename it.
            directory = epath.Path(os.path.dirname(output.path("_METADATA")))
            handler = checkpoint.PyTreeCheckpointHandler()
            try:
                handler.save(directory, args=checkpoint.args.PyTreeSave(tree))
                handler.finalize(directory)
            except CkptfmtError:
                raise
            except Exception as error:  # TensorStore's errors have no class of their own
                raise NotWritableError(writing.path, f"Orbax: {error}") from error
            finally:
                handler.close()
        for tensor in tensors:
            writing.advance(tensor.nbytes)
            tensor.release()
        return [writing.path]


def _check_names(names: Sequence[str], path: str) -> None:
    """Raise NameConflictError for names that Orbax would give one name."""
    named: dict[str, list[str]] = {}
    for name in names:
        named.setdefault(name.replace("/", "."), []).append(name)
    clashes = {name: claims for name, claims in named.items() if len(claims) > 1}
    if clashes:
        raise NameConflictError("one name in Orbax for several tensors", names=clashes, file=path)
