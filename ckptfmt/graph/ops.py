"""Ops: the signatures of TensorFlow's operations, written down once, so that none need be registered.

``ops.binpb`` is the OpList of TensorFlow 2.21 without descriptions; ``protos/ops.py`` writes it.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

from ckptfmt.proto import messages


@lru_cache(maxsize=1)
def known_ops() -> Mapping[str, messages.OpDef]:
    """Return the definition of every op of TensorFlow 2.21 by its name."""
    data = Path(__file__).with_name("ops.binpb").read_bytes()
    return {op.name: op for op in messages.OpList.FromString(data).op}
