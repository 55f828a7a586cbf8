"""Ops: the signatures of TensorFlow's operations, written down once, so that none need be registered.

``ops.binpb`` is the OpList of TensorFlow 2.21 without descriptions; ``protos/ops.py`` writes it.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Mapping
from functools import lru_cache

from ckptfmt.proto import messages


@lru_cache(maxsize=1)
def known_ops() -> Mapping[str, messages.OpDef]:
    """Return the definition of every op of TensorFlow 2.21 by its name."""
    data = pkgutil.get_data("ckptfmt.graph", "ops.binpb")
    assert data is not None
    return {op.name: op for op in messages.OpList.FromString(data).op}
