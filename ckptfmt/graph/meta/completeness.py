"""Completeness: whether tensors are all that a Saver restores, checked before they are written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ckptfmt.dtypes import as_dtype
from ckptfmt.errors import GraphError, TensorNotFoundError
from ckptfmt.graph.meta.saved_variables import SavedVariable
from ckptfmt.text.closest import closest_names
from ckptfmt.text.printing import shape_text
from ckptfmt.text.quoting import listed


def check_tensors(saved: Mapping[str, SavedVariable], tensors: Mapping[str, Any], file: str) -> None:
    """Check that every tensor that a Saver restores is in a mapping, with its dtype and shape.

    Dtypes and shapes of a checkpoint come from its entries, without reading anything. Raises
    TensorNotFoundError, with the names of all that are missing, or GraphError if some do not fit.
    """
    missing = [name for name in saved if name not in tensors]
    if missing:
        close = closest_names(missing[0], tensors)
        what = f"the Saver restores {len(missing)} tensors that are missing: {listed(missing)}"
        if len(missing) == 1:
            what = f"the Saver restores tensor {missing[0]!r}, which is missing"
        raise TensorNotFoundError(missing[0], names=missing, file=file, close_matches=close, what=what)
    entries: Mapping[str, Any] = getattr(tensors, "entries", tensors)
    misfits = []
    for name, wanted in saved.items():
        tensor = entries[name]
        if not (hasattr(tensor, "dtype") and hasattr(tensor, "shape")):
            tensor = np.asarray(tensor)
        dtype, shape = as_dtype(tensor.dtype), tuple(tensor.shape)
        fits = wanted.shape is None or (
            len(shape) == len(wanted.shape)
            and all(want in (None, got) for want, got in zip(wanted.shape, shape, strict=True))
        )
        # NumPy has no quantised dtypes: their arrays are integers.
        if not fits or (dtype != wanted.dtype and tensor.dtype != wanted.dtype.numpy):
            want = f"{wanted.dtype.name}{shape_text(wanted.shape)}"
            misfits.append(f"{name!r}: got {dtype.name}{shape_text(shape)}, want {want}")
    if misfits:
        raise GraphError(f"tensors do not fit the Saver: {listed(misfits, quote=str)}", file=file)
