"""Checkpoints: what ``tf.train.Saver`` and ``tf.train.Checkpoint`` write.

Most paths lead to an intact V2 checkpoint at once. What others need is loaded when it is used.
"""

from __future__ import annotations

from ckptfmt.lazy import lazy_names

__getattr__ = lazy_names(
    __name__,
    {
        "near_misses": "describe_leftovers is_temporary not_found",
        "pattern": "files_matching",
        "siblings": "siblings_holding",
        "state_file": "CheckpointState read_state",
        "strays": "Strays",
        "v1": "V1Store",
    },
)
