"""Object graphs: the objects that TF2 checkpoints describe, their references to each other, their keys.

A checkpoint's graph is read when somebody asks for it, and its modules are loaded then.
"""

from __future__ import annotations

from ckptfmt.lazy import lazy_names

__getattr__ = lazy_names(
    __name__,
    {
        "object_graph": "ObjectGraph",
    },
)
