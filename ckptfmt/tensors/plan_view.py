"""Views through a plan: the tensors that its steps make of the parent's, under the names they give."""

from __future__ import annotations

from ckptfmt import plans
from ckptfmt.errors import NameConflictError
from ckptfmt.tensors.computed import ComputedMapping
from ckptfmt.tensors.mapping import TensorMapping


class PlanMapping(ComputedMapping):
    """What a plan makes of a parent's tensors; what :class:`~ckptfmt.tensors.tensors.PlanView` does."""

    def __init__(self, parent: TensorMapping, plan: plans.Plan) -> None:
        self.plan = plan
        """The plan applied."""
        try:
            targets = plan.targets(parent.entries)
        except NameConflictError as error:
            raise error.at(parent.prefix) from error.__cause__  # for a plan that is in no file
        super().__init__(parent, targets)

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self._parent, self.plan)
