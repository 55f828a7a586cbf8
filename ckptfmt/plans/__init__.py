"""Plans: renames and transforms as data, read from TOML or built in code.

Every checkpoint can apply a plan or be cast, but few are, so what does it is loaded when it is used.
"""

from __future__ import annotations

from ckptfmt.lazy import lazy_names

__getattr__ = lazy_names(__name__, {"casts": "converted", "operations": "Cast", "plan": "Plan"})
