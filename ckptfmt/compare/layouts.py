"""Layouts: the shipped plan that makes most of what is wanted of the tensors of a checkpoint.

Frameworks differ in more than names. A kernel of a convolution has its axes in another order, gates of a GRU
are in another order too, and one bias becomes two: no pairing of names and shapes finds that, but the plans
that ship know it. Each is applied to the shapes of the checkpoint, and what it makes is compared.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import NamedTuple

from ckptfmt.checkpoint.entry import Entry
from ckptfmt.compare.fit import exact_shape
from ckptfmt.errors import NameConflictError, PlanError
from ckptfmt.plans.plan import Plan
from ckptfmt.plans.shipped_files import shipped_names
from ckptfmt.plans.steps import RenameTable
from ckptfmt.plans.writing import is_writable
from ckptfmt.tensors.restore import Spec

MAX_LAID_OUT = 5_000
"""Tensors of a checkpoint to which all plans are applied, in a second or two; most models have fewer."""


class Layout(NamedTuple):
    """What a shipped plan makes of a checkpoint."""

    name: str
    """The name of the plan."""
    plan: Plan
    """The plan, after renames if the tensors were compared by other names than their own."""
    made: Mapping[str, Spec]
    """Dtype and shape of what it makes, by name."""


def best_layout(
    stored: Mapping[str, Spec], wanted: Mapping[str, Spec], stored_as: Mapping[str, str]
) -> Layout | None:
    """Return the layout that makes most of the shapes wanted, or None if the stored tensors have as many.

    ``stored_as`` has the names by which plans are to know tensors instead of their own.
    """
    if len(stored) > MAX_LAID_OUT:
        return None
    most, best = _likeness(stored, wanted), None
    for name in shipped_names():
        with suppress(PlanError, NameConflictError):  # a plan for other models
            layout = _lay_out(name, stored, stored_as)
            likeness = _likeness(layout.made, wanted)
            if likeness > most:
                most, best = likeness, layout
    return best


def _lay_out(name: str, stored: Mapping[str, Spec], stored_as: Mapping[str, str]) -> Layout:
    plan = Plan.read_shipped(name)
    renames = {own: other for own, other in stored_as.items() if own in stored and is_writable(own)}
    if renames:
        plan = Plan((RenameTable(renames), *plan.steps), plan.rest, is_general=True)
    entries = {
        own: Entry(own, spec.dtype, shape, 0, None, None, None, ())
        for own, spec in stored.items()
        if spec.dtype is not None and (shape := exact_shape(spec)) is not None
    }
    targets = plan.targets(entries)
    return Layout(name, plan, {new: Spec(*target.spec(entries)) for new, target in targets.items()})


def _likeness(made: Mapping[str, Spec], wanted: Mapping[str, Spec]) -> int:
    """Return how many tensors have the shape of one that is wanted, those of the same name counted twice."""
    # Names count too: transposing square kernels changes no shape, and with the slots of an optimizer a
    # checkpoint has enough tensors of every shape.
    same = sum(name in made and made[name].shape == spec.shape for name, spec in wanted.items())
    return same + _common_shapes(made.values(), wanted.values())


def _common_shapes(some: Iterable[Spec], others: Iterable[Spec]) -> int:
    """Return how many tensors on both sides can be paired so that each pair has one shape."""
    left, right = (Counter(spec.shape for spec in specs) for specs in (some, others))
    return sum((left & right).values())
