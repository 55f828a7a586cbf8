"""Raw bytes and TensorProto messages to NumPy arrays, and back.

Few checkpoints hold variants or get new values, so what these need is loaded when it is used.
"""

from __future__ import annotations

from ckptfmt.lazy import lazy_names

__getattr__ = lazy_names(
    __name__,
    {
        "convert": "as_bytes as_tensor",
        "decode": "decode_variant",
        "values": "Variant",
    },
)
