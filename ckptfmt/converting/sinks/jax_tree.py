"""Trees of arrays for JAX: which tensors flax and Orbax can have in them.

A name is split at its slashes: ``params/Dense_0/kernel`` is in ``Dense_0`` of ``params``.
"""

from __future__ import annotations

from collections.abc import Collection

from ckptfmt.converting.sinks.outgoing import Outgoing

DTYPES = frozenset(
    (
        *("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
        *("float16", "bfloat16", "float32", "float64", "complex64", "complex128"),
        *("float8_e5m2", "float8_e4m3fn", "float8_e4m3fnuz", "float8_e4m3b11fnuz", "float8_e5m2fnuz"),
    )
)
"""Names of the dtypes that both keep as what they are."""


def leaf_problem(tensor: Outgoing, dtypes: Collection[str] = DTYPES) -> str | None:
    """Return why a tensor cannot be a leaf of a tree; None if it can."""
    if tensor.dtype.name not in dtypes:
        return f"no dtype {tensor.dtype.name}"
    try:
        tensor.name.encode()
    except UnicodeEncodeError:
        return "no name that is not Unicode"
    return None
