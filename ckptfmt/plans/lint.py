"""Linting: everything that a plan gets wrong with some tensors, found without reading any of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Literal, NamedTuple

from ckptfmt.checkpoint.entry import Entry
from ckptfmt.errors import CkptfmtError, PlanError
from ckptfmt.notebook.fields import fields_card
from ckptfmt.notebook.page import to_html
from ckptfmt.plans.changes import Changes
from ckptfmt.plans.expressions import Expression
from ckptfmt.plans.place import StepPlace
from ckptfmt.plans.removals import Drop, Refuse
from ckptfmt.plans.state import PlanState, Rest
from ckptfmt.plans.step import Step
from ckptfmt.plans.steps import CastTo, RenameTable
from ckptfmt.text.quoting import listed


class Finding(NamedTuple):
    """An error of a plan for some tensors, or a note about it."""

    severity: Literal["error", "note"]
    step: int | None
    """Number of the step, from 1; None if it is about the plan as a whole."""
    message: str
    names: tuple[str, ...]
    """The tensors concerned."""

    def _repr_html_(self) -> str:
        return to_html(lambda: fields_card(self, "Finding", self.severity))

    def __str__(self) -> str:
        step = "" if self.step is None else f"step {self.step}: "
        return f"{self.severity}: {step}{self.message}"


def lint_steps(
    steps: Iterable[Step], rest: Rest, entries: Mapping[str, Entry], *, is_general: bool = False
) -> list[Finding]:
    """Return all findings about steps that are applied to the tensors of some entries."""
    # The steps are applied as in earnest, but errors become findings and the plan goes on, so that one run
    # finds all of them. Expressions know their dtypes and shapes, so nothing is read.
    findings: list[Finding] = []
    number = 0
    matching = 0

    def keep(error: CkptfmtError, names: Sequence[str]) -> None:
        # A finding has the number of the step; a conflict also has it in its text.
        what = error.what.removeprefix(f"step {number}: ")
        findings.append(Finding("error", number, what, tuple(names)))

    state = PlanState(entries, rest, keep)
    for number, step in enumerate(steps, 1):
        absent = _absent_names(step, state.current)
        changes = state.apply(step, StepPlace(None, number))
        matching += bool(changes.taken)
        if is_general:
            pass  # a step for a layer that this model does not have
        elif absent:
            assert isinstance(step, RenameTable)
            message = f"no tensor for {len(absent)} of {len(step.names)} names: {listed(absent)}"
            findings.append(Finding("error", number, message, tuple(absent)))
        elif not changes.taken and not isinstance(step, Refuse):
            severity: Literal["error", "note"] = "note" if isinstance(step, Drop) else "error"
            findings.append(Finding(severity, number, f"{step} matches nothing", ()))
        if isinstance(step, CastTo):
            findings += _lossy_casts(step, changes, entries, number)
    if is_general and not matching:
        findings.append(Finding("error", None, "no step matches any tensor", ()))
    findings += _misfits(state.kept(), entries)
    leftovers = state.leftovers()
    if leftovers and rest != "keep":
        message = f"rest = {rest!r}: no step takes {listed(leftovers)}"
        findings.append(Finding("note" if rest == "drop" else "error", None, message, tuple(leftovers)))
    return findings


def _absent_names(step: Step, current: Mapping[str, Expression]) -> list[str]:
    """Return the names in a table that no tensor has; other kinds of steps are judged by what they did."""
    return [name for name in step.names if name not in current] if isinstance(step, RenameTable) else []


def _lossy_casts(
    step: CastTo, changes: Changes, entries: Mapping[str, Entry], number: int
) -> Iterator[Finding]:
    """Yield notes about values that a cast may change."""
    fitting = {}
    for (name, operand), made in zip(changes.taken.items(), changes.made, strict=True):
        with suppress(PlanError):
            made.spec(entries)  # one that does not fit is reported as an error of its own
            fitting[name] = operand
    for dtype, names in step.lossy(fitting, lambda expression: expression.spec(entries)).items():
        message = f"cast of {listed(names)} from {dtype.name} to {step.dtype.name} may change values"
        yield Finding("note", number, message, tuple(names))


def _misfits(kept: Mapping[str, Expression], entries: Mapping[str, Entry]) -> list[Finding]:
    """Return what cannot be read because an operation does not fit, each error once for all its tensors."""
    misfits: dict[tuple[int | None, str], list[str]] = {}
    for name, made in kept.items():
        try:
            made.spec(entries)
        except PlanError as error:
            misfits.setdefault((error.step, error.what), []).append(name)
    return [Finding("error", step, what, tuple(names)) for (step, what), names in misfits.items()]
