"""Ops: the definitions of TensorFlow's operations, which state what a node takes and returns.

A graph does not contain them: TensorFlow registers them as it is imported. Here they come from ``ops.binpb``,
the OpList of TensorFlow 2.21 without descriptions, which ``protos/ops.py`` writes.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Mapping
from functools import lru_cache

from ckptfmt.proto import messages

REFERENCE_OPS = frozenset({"Variable", "VariableV2"})
"""Ops that are variables as references."""

VARIABLE_OPS = REFERENCE_OPS | {"VarHandleOp"}
"""Ops that are variables: two kinds of references, and resources."""

RESTORE_OPS = frozenset({"RestoreV2", "Restore", "RestoreSlice"})
"""Ops that read tensors from a checkpoint."""


@lru_cache(maxsize=1)
def known_ops() -> Mapping[str, messages.OpDef]:
    """Return the definition of every op of TensorFlow 2.21 by name."""
    data = pkgutil.get_data("ckptfmt.graph", "ops.binpb")
    assert data is not None
    return {op.name: op for op in messages.OpList.FromString(data).op}
