"""The proposed plan: proposals as steps, for a person to review, with the reason beside each name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from ckptfmt.compare.proposals import Proposal
from ckptfmt.plans.pattern import Pattern, exact_pattern
from ckptfmt.plans.plan import Plan
from ckptfmt.plans.removals import Drop
from ckptfmt.plans.step import Step
from ckptfmt.plans.steps import CastTo, RenameTable, Transpose
from ckptfmt.plans.writing import is_writable
from ckptfmt.tensors.restore import RestoreReport


def proposed_plan(report: RestoreReport, stored: Iterable[str], proposals: Sequence[Proposal]) -> Plan:
    """Return the plan that does what is proposed, and renames what matched under another name.

    ``stored`` are all names in the checkpoint.
    """
    # In the order in which a plan needs its steps: tensors whose name another one gets are dropped; then come
    # all renames in one step, so that tensors can swap names; then casts and transpositions, which match the
    # new names.
    renames: dict[str, str] = {}
    for name, source in report.matched.items():
        # A tensor gets only one name: the first that wants it.
        if source != name and is_writable(source) and is_writable(name):
            renames.setdefault(source, name)
    comments = dict.fromkeys(renames, "matched")
    for proposal in proposals:
        if proposal.stored != proposal.wanted:
            renames[proposal.stored] = proposal.wanted
            comments[proposal.stored] = proposal.reason
    steps: list[Step] = []
    in_the_way = set(renames.values()).intersection(stored).difference(renames)
    steps += (Drop(_exactly(name), comment="another tensor gets its name") for name in sorted(in_the_way))
    if renames:
        steps.append(RenameTable(renames, comments, comment="name in the checkpoint = name wanted"))
    for proposal in proposals:
        if proposal.transpose:
            steps.append(Transpose(_exactly(proposal.wanted), comment=proposal.reason))
        if proposal.cast is not None:
            steps.append(CastTo(_exactly(proposal.wanted), proposal.cast, comment=proposal.reason))
    return Plan(tuple(steps), comment=_left_over(report, proposals, renames))


def _exactly(name: str) -> Pattern:
    return Pattern(exact_pattern(name))


def _left_over(report: RestoreReport, proposals: Sequence[Proposal], renames: Mapping[str, str]) -> str:
    """The names that the plan does nothing about, as lines of a comment."""
    made = {proposal.wanted for proposal in proposals}
    used = {proposal.stored for proposal in proposals}
    misfits = {misfit.name: misfit for misfit in (*report.wrong_shape, *report.wrong_dtype)}
    matched = ((name, source) for name, source in report.matched.items() if source != name)
    parts = {
        "matched, but not renamed here": [
            f"{source!r} as {name!r}" for name, source in matched if renames.get(source) != name
        ],
        "still missing": [repr(name) for name in report.missing if name not in made],
        "still of another shape or dtype": [str(each) for name, each in misfits.items() if name not in made],
        "still unused": [repr(name) for name in report.unused if name not in used],
    }
    return "\n".join(
        line for what, names in parts.items() if names for line in (f"{what}:", *(f"  {n}" for n in names))
    )
