"""Shipped plans: ready plans between frameworks, which come with the package."""

from __future__ import annotations

from collections.abc import Mapping

from ckptfmt.plans.plan import Plan
from ckptfmt.plans.shipped_files import shipped_names


def shipped_plans() -> Mapping[str, Plan]:
    """Return the plans that ship with the package, by name.

    ``plan.about`` says what each is for. :meth:`Plan.read` and :meth:`Tensors.apply` take such a name in the
    place of a path, if no file has it.
    """
    return {name: Plan.read_shipped(name) for name in shipped_names()}
