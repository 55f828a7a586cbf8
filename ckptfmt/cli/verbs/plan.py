"""``ckptfmt plan``: what a plan would make of a checkpoint."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain

import click

import ckptfmt
from ckptfmt import Entry, Plan, Spec, Tensors, errors
from ckptfmt.cli.completion import complete_plans_and_files
from ckptfmt.cli.failures import ExitCode
from ckptfmt.cli.options import (
    given_limits,
    json_option,
    limits_option,
    overwrite_option,
    path_argument,
    wide_option,
)
from ckptfmt.cli.render.output import note, on_terminal, write, write_json, write_lines
from ckptfmt.cli.render.table import LEFT, draw_table
from ckptfmt.cli.render.text import count_text, escape
from ckptfmt.cli.verb import Verb
from ckptfmt.plans.lint import Finding
from ckptfmt.plans.plan import Fate
from ckptfmt.storage.target import check_target

_NOTHING = "-"
"""Shown for a tensor without targets."""

_UNKNOWN = "?"
"""Shown in place of the dtype and shape of a target that the plan cannot make."""


@click.command(
    "plan",
    cls=Verb,
    short_help="Show the effect of a plan on a checkpoint.",
    examples=[
        "ckptfmt plan training/ to_flax.toml",
        "ckptfmt plan training/ to_flax.toml --invert back.toml",
        "ckptfmt plan training/ to_flax.toml --json | jq .findings",
        "ckptfmt plan training/ to_flax.toml | awk -F '\\t' '$2 == \"dropped\" { print $1 }'",
    ],
    json_keys="""
    {"prefix", "format", "ok", "tensors": [{"name", "fate", "targets": [{"name", "dtype", "shape"}],
    "steps"}], "findings": [{"severity", "step", "message", "names"}]}.

    "ok" is true if no finding is an error; "steps" are numbers from 1; "step" is null if a finding is about
    the plan as a whole, "dtype" and "shape" if the plan does not fit.
    """,
)
@path_argument
@click.argument("plan_path", metavar="PLAN", shell_complete=complete_plans_and_files)
@click.option(
    "--invert",
    "inverse_path",
    metavar="OUT.toml",
    help="Write the plan that undoes PLAN for this checkpoint.",
)
@overwrite_option
@wide_option
@json_option
@limits_option
def command(path: str, plan_path: str, inverse_path: str | None, overwrite: bool, as_json: bool) -> int:
    """Show the effect of the plan PLAN on each tensor of the checkpoint at PATH.

    PLAN is a file, such as to_flax.toml, or the name of a plan that ckptfmt plans lists.

    Each line is one tensor: its name, its fate, and the tensors that it becomes. Only the index is read, and
    the checkpoint is never changed.

    The fate is kept, changed, dropped, partly dropped, or lost if the plan is wrong. Each of the tensors that
    it becomes, or becomes part of, is followed by its dtype and shape (float32[3,4], or ? if the plan does
    not fit); off a terminal these are separated by tabs.

    Findings follow on stderr, one per line: "error: ..." if tensors are used twice, names are made twice, or
    a step matches nothing or does not fit; "note: ..." if, for example, a cast may change values. The exit
    code is 1 if there are errors, and 2 if PLAN is not a plan.
    """
    if overwrite and inverse_path is None:
        raise click.UsageError("--overwrite requires --invert")
    plan = ckptfmt.Plan.read(plan_path, limits=given_limits())
    if inverse_path is not None:
        check_target(inverse_path, overwrite=overwrite)  # before anything is shown
    with ckptfmt.open_tensors(path, limits=given_limits()) as checkpoint:
        preview = _build(plan, checkpoint)
        if inverse_path is not None and preview.ok:
            plan.inverted(checkpoint).write(inverse_path, overwrite=overwrite)
    if as_json:
        write_json(preview.to_json())
    else:
        _write_text(preview)
        if inverse_path is not None:
            note(f"{inverse_path}: {'written' if preview.ok else 'not written: the plan has errors'}")
    return ExitCode.FINE if preview.ok else ExitCode.FINDING


@dataclass(frozen=True)
class PlanPreview:
    """What a plan would make of a checkpoint."""

    prefix: str
    format: str
    fates: Sequence[Fate]
    specs: Mapping[str, Spec]
    """Dtype and shape of each target; without the targets that the plan cannot make."""
    findings: Sequence[Finding]

    @property
    def ok(self) -> bool:
        """Whether no finding is an error."""
        return all(finding.severity != "error" for finding in self.findings)

    def to_json(self) -> dict[str, object]:
        """Return the document of ``--json``."""
        return {
            "prefix": self.prefix,
            "format": self.format,
            "ok": self.ok,
            "tensors": [
                {
                    "name": fate.source,
                    "fate": fate.fate,
                    "targets": [_describe(name, self.specs.get(name)) for name in fate.targets],
                    "steps": fate.steps,
                }
                for fate in self.fates
            ],
            "findings": [finding._asdict() for finding in self.findings],
        }

    def cells(self, fate: Fate) -> Iterator[tuple[str, str]]:
        """Iterate over the targets of a tensor: the name of each, and its dtype and shape."""
        return ((escape(name), str(self.specs.get(name, _UNKNOWN))) for name in fate.targets)

    def __str__(self) -> str:
        """How many tensors meet which fate."""
        counts = Counter(fate.fate for fate in self.fates)
        parts = [f"{count:,} {fate}" for fate, count in counts.items()]
        return ": ".join(filter(None, [count_text(len(self.fates), "tensor"), ", ".join(parts)]))


def _build(plan: Plan, checkpoint: Tensors) -> PlanPreview:
    findings = plan.lint(checkpoint)
    fates = plan.dry_run(checkpoint)
    specs = _specs(plan, dict(checkpoint.entries.items()))  # all entries at once: faster than one by one
    return PlanPreview(checkpoint.prefix, checkpoint.format, fates, specs, findings)


def _specs(plan: Plan, entries: Mapping[str, Entry]) -> dict[str, Spec]:
    """Return the dtypes and shapes of the plan's targets, as far as it fits."""
    # The first error: the plan does not fit as a whole. The second: it cannot make one of the targets.
    specs = {}
    with suppress(errors.PlanError, errors.NameConflictError):
        for name, target in plan.targets(entries).items():
            with suppress(errors.PlanError):
                specs[name] = Spec(*target.spec(entries))
    return specs


def _describe(name: str, spec: Spec | None) -> dict[str, object]:
    """Return a target for JSON."""
    dtype = None if spec is None or spec.dtype is None else spec.dtype.name
    return {"name": name, "dtype": dtype, "shape": None if spec is None else spec.shape}


def _write_text(preview: PlanPreview) -> None:
    """Write a table and the summary on a terminal, else lines, and the summary to stderr; then findings."""
    fates = preview.fates
    if on_terminal():
        rows = [
            (escape(fate.source), fate.fate, ", ".join(map(" ".join, preview.cells(fate))) or _NOTHING)
            for fate in fates
        ]
        draw_table(["tensor", "fate", "becomes"], [LEFT, LEFT, LEFT], rows)
        write(f"{preview}\n")
    else:
        lines = ((escape(fate.source), fate.fate, *chain(*preview.cells(fate))) for fate in fates)
        write_lines(map("\t".join, lines))
        note(str(preview))
    for finding in preview.findings:
        note(str(finding))
