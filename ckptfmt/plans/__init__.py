"""Plans: renames and transforms as data, read from TOML or built in code."""

from __future__ import annotations

import importlib


def __getattr__(name: str) -> object:
    """Load :class:`~ckptfmt.plans.plan.Plan` when it is first used (PEP 562).

    Every checkpoint can apply a plan, but few do, and importing the modules of plans takes a tenth as long as
    importing all that a checkpoint needs.
    """
    if name != "Plan":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = importlib.import_module("ckptfmt.plans.plan").Plan
    return value
