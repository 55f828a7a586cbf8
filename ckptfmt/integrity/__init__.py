"""Judging files: which bytes of a checkpoint are intact."""

from __future__ import annotations

from ckptfmt.lazy import lazy_names

__getattr__ = lazy_names(__name__, {"report": "Progress Report", "verify": "verify_store"})
