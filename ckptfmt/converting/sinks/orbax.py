"""Checkpoints of Orbax, written: a directory with a nested tree of arrays, for JAX.

A name is split at its slashes, as in ``flax``. Orbax itself writes the tree, so it wants all arrays at once:
those of a checkpoint are views of the mapped files, but those that a plan or a cast makes are in memory.

Orbax names arrays by the way to them with dots, so two ways that differ only there would be one array.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Sequence

from ckptfmt.converting.sinks.jax_tree import DTYPES, leaf_problem
from ckptfmt.converting.sinks.outgoing import Outgoing
from ckptfmt.converting.sinks.writing import Writing
from ckptfmt.errors import (
    CkptfmtError,
    MissingDependencyError,
    NotWritableError,
    UnsupportedError,
)
from ckptfmt.storage.local import LocalFilesystem
from ckptfmt.tensors.nesting import SCOPE_PROBLEM, nest, scope_names

_DTYPES = DTYPES | {"int4", "int2"}
"""Names of the dtypes of TensorStore, which Orbax stores arrays with."""


class OrbaxSink:
    """Writes directories of Orbax; a :class:`~ckptfmt.converting.sinks.sink.Sink`."""

    format = "orbax"
    resumes = False

    def problem(self, tensor: Outgoing) -> str | None:
        """Return why the format cannot hold a tensor."""
        if 0 in tensor.shape:
            return "no array without elements"
        return leaf_problem(tensor, _DTYPES)

    def name_problems(self, tensors: Sequence[Outgoing]) -> dict[str, str]:
        """Return the tensors whose names are also scopes, or would be one name in Orbax."""
        claims: dict[str, list[str]] = {}
        for tensor in tensors:
            claims.setdefault(tensor.name.replace("/", "."), []).append(tensor.name)
        problems = {
            name: "no two names that differ only in / and ."
            for names in claims.values()
            if len(names) > 1
            for name in names
        }
        return problems | dict.fromkeys(scope_names(tensor.name for tensor in tensors), SCOPE_PROBLEM)

    def write(self, tensors: Sequence[Outgoing], writing: Writing) -> list[str]:
        """Write one directory."""
        if not isinstance(writing.fs, LocalFilesystem):
            raise UnsupportedError("Orbax writes to directories of this machine only", file=writing.path)
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
