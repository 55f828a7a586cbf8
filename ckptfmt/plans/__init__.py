"""Plans: renames and transforms as data, read from TOML or built in code.

Every checkpoint can apply a plan, but few do, so :class:`~ckptfmt.plans.plan.Plan` is loaded when it is used.
"""

from __future__ import annotations

from ckptfmt.lazy import lazy_names

__getattr__ = lazy_names(__name__, {"plan": "Plan"})
