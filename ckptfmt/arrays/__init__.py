"""Raw bytes and TensorProto messages to NumPy arrays, and back.

Few checkpoints hold variants, so what decodes these is loaded when it is used.
"""

from __future__ import annotations

from ckptfmt.lazy import lazy_names

__getattr__ = lazy_names(
    __name__,
    {
        "decode": "decode_variant",
        "values": "Variant",
    },
)
