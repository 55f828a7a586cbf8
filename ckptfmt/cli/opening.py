"""What verbs that list and show tensors open: checkpoints, and the files of other programs."""

from __future__ import annotations

from contextlib import suppress

import ckptfmt
from ckptfmt import Tensors, errors
from ckptfmt.cli.options import given_limits
from ckptfmt.converting.sources.safetensors.index import INDEX_SUFFIX
from ckptfmt.filetype.kind import Kind
from ckptfmt.filetype.paths import recognise_path
from ckptfmt.storage.local import LOCAL


def open_listed(path: str, *, verify: bool = True) -> Tensors:
    """Open a checkpoint, or a file of another program with tensors; ``verify`` as for ``ckptfmt.open``.

    Raises what ``ckptfmt.open`` raises for everything else.
    """
    if foreign_kind(path) is None and not path.endswith(INDEX_SUFFIX):
        return ckptfmt.open(path, verify=verify, limits=given_limits())
    return ckptfmt.open_tensors(path, limits=given_limits())


def foreign_kind(path: str) -> Kind | None:
    """Return what a path leads to, if that is a file of another program with tensors."""
    with suppress(errors.CkptfmtError):
        kind = recognise_path(LOCAL, path)
        return kind if kind is not None and kind.tensors is not None else None
    return None
