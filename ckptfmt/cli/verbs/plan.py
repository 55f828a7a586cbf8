"""``ckptfmt plan``: what a plan would make of a checkpoint."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import chain

import click

import ckptfmt
from ckptfmt import Entry, Plan, Spec, errors
from ckptfmt.cli.failures import ExitCode
from ckptfmt.cli.options import json_option, path_argument
from ckptfmt.cli.render.output import note, on_terminal, write, write_json
from ckptfmt.cli.render.table import LEFT, write_table
from ckptfmt.cli.render.text import count_text, escape
from ckptfmt.storage.local import LOCAL

_NOTHING = "-"
"""What stands for no target."""

_UNKNOWN = "?"
"""What stands for the dtype and shape of what cannot be made."""


@click.command(
    "plan",
    short_help="Show what a plan would make of a checkpoint.",
    epilog="""\b
    Examples:
      ckptfmt plan training/ to_flax.toml
      ckptfmt plan training/ to_flax.toml | awk -F '\\t' '$2 == "dropped" { print $1 }'
      ckptfmt plan training/ to_flax.toml --invert back.toml

    JSON: {"prefix", "format", "ok", "tensors": [{"name", "fate", "targets": [{"name", "dtype", "shape"}],
    "steps"}], "findings": [{"severity", "step", "message", "names"}]}. "ok" is true where no finding is an
    error; "steps" are numbers from 1; "step" is null where a finding is about the plan as a whole, "dtype"
    and "shape" where the plan does not fit.
    """,
)
@path_argument
@click.argument("plan_path", metavar="PLAN.toml")
@click.option(
    "--invert",
    "inverse_path",
    metavar="OUT.toml",
    help="Write the plan that undoes PLAN.toml for this checkpoint. A file is never overwritten.",
)
@json_option
def command(path: str, plan_path: str, inverse_path: str | None, as_json: bool) -> int:
    """Show what the plan in the file PLAN.toml would make of each tensor of the checkpoint at PATH.

    One line for each tensor: its name, its fate (kept, changed, dropped, partly dropped, or lost where the
    plan is wrong), and of what it becomes or becomes part of the names, each followed by dtype and shape
    (float32[3,4], or ? where the plan does not fit); all separated by tabs off a terminal. Nothing is read
    but the index, and nothing of the checkpoint is changed.

    What is wrong follows on stderr, one finding a line: "error: ..." where tensors are used twice, names are
    made twice, a step matches nothing or does not fit; "note: ..." where casts may change values and the
    like. The exit code is 1 where there are errors, and 2 where PLAN.toml is no plan.
    """
    plan = ckptfmt.read_plan(plan_path)
    if inverse_path is not None and LOCAL.path_type(inverse_path) is not None:
        # Before anything is shown; the writer looks again.
        raise errors.AlreadyExistsError(inverse_path)
    with ckptfmt.open(path) as checkpoint:
        findings = plan.lint(checkpoint)
        fates = plan.dry_run(checkpoint)
        specs = _specs(plan, dict(checkpoint.entries.items()))  # all at once is faster than one by one
        failed = sum(finding.severity == "error" for finding in findings)
        if inverse_path is not None and not failed:
            plan.inverted(checkpoint).write(inverse_path)
        if as_json:
            write_json(
                {
                    "prefix": checkpoint.prefix,
                    "format": checkpoint.format,
                    "ok": not failed,
                    "tensors": [
                        {
                            "name": fate.source,
                            "fate": fate.fate,
                            "targets": [_describe(name, specs.get(name)) for name in fate.targets],
                            "steps": fate.steps,
                        }
                        for fate in fates
                    ],
                    "findings": [finding._asdict() for finding in findings],
                }
            )
            return ExitCode.FINDING if failed else ExitCode.FINE
    if on_terminal():
        drawn = [
            (
                escape(fate.source),
                fate.fate,
                ", ".join(map(" ".join, _cells(fate.targets, specs))) or _NOTHING,
            )
            for fate in fates
        ]
        write_table(["tensor", "fate", "becomes"], [LEFT, LEFT, LEFT], drawn, ())
        write(f"{_summary([fate.fate for fate in fates])}\n")
    else:
        rows = ((escape(fate.source), fate.fate, *chain(*_cells(fate.targets, specs))) for fate in fates)
        write_table((), (), (), map("\t".join, rows))
        note(_summary([fate.fate for fate in fates]))
    for finding in findings:
        note(str(finding))
    if inverse_path is not None:
        note(f"{inverse_path}: {'not written: the plan has errors' if failed else 'written'}")
    return ExitCode.FINDING if failed else ExitCode.FINE


def _specs(plan: Plan, entries: Mapping[str, Entry]) -> dict[str, Spec]:
    """The dtypes and shapes of what the plan makes, as far as it fits."""
    specs = {}
    with suppress(errors.PlanError, errors.NameConflictError):
        for name, target in plan.targets(entries).items():
            with suppress(errors.PlanError):
                specs[name] = Spec(*target.spec(entries))
    return specs


def _cells(targets: Sequence[str], specs: Mapping[str, Spec]) -> Iterator[tuple[str, str]]:
    """For each target its name, and its dtype and shape."""
    return ((escape(name), str(specs.get(name, _UNKNOWN))) for name in targets)


def _describe(name: str, spec: Spec | None) -> dict[str, object]:
    """A target for JSON."""
    dtype = None if spec is None or spec.dtype is None else spec.dtype.name
    return {"name": name, "dtype": dtype, "shape": None if spec is None else spec.shape}


def _summary(fates: Sequence[str]) -> str:
    """How many tensors have which fate."""
    counts = {fate: fates.count(fate) for fate in dict.fromkeys(fates)}
    parts = [f"{count:,} {fate}" for fate, count in counts.items()]
    return ": ".join(filter(None, [count_text(len(fates), "tensor"), ", ".join(parts)]))
