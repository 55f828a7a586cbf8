"""``ckptfmt match``: whether a checkpoint has what somebody wants from it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import click

import ckptfmt
from ckptfmt import Match, Mismatch, Spec
from ckptfmt.cli.failures import ExitCode
from ckptfmt.cli.options import json_option
from ckptfmt.cli.render.output import note, on_terminal, write, write_json
from ckptfmt.cli.render.table import LEFT, write_table
from ckptfmt.cli.render.text import escape
from ckptfmt.storage.local import LOCAL

NOTHING = "-"
"""What is shown for a tensor that only one side has."""


class FindingRow(NamedTuple):
    """A tensor that does not match."""

    kind: str
    """``missing``, ``unused``, ``shape`` or ``dtype``."""
    name: str
    got: Spec | None
    """What the checkpoint has."""
    want: Spec | None
    """What is wanted."""
    stored: str | None = None
    """The name in the checkpoint, where it has the tensor."""

    def cells(self) -> tuple[str, ...]:
        """Return the columns of its line."""
        name = escape(self.name)
        if self.stored not in (None, self.name):
            name += f" <- {escape(self.stored or '')}"
        return self.kind, name, _text(self.got), _text(self.want)

    def describe(self) -> dict[str, object]:
        """Return it for JSON."""
        specs = {"got": self.got, "want": self.want}
        return {"kind": self.kind, "name": self.name, "stored": self.stored} | {
            side: spec and {"dtype": spec.dtype and spec.dtype.name, "shape": spec.shape}
            for side, spec in specs.items()
        }


@click.command(
    "match",
    short_help="Compare a checkpoint with what is wanted from it.",
    epilog="""\b
    Examples:
      ckptfmt match training/ other-run/
      ckptfmt match model.ckpt-1000 model.ckpt-1000.meta
      ckptfmt match bert_model.ckpt model.safetensors --propose plan.toml

    JSON: {"matched": {WANTED: STORED}, "mismatches": [{"kind", "name", "stored", "got": {"dtype", "shape"},
    "want": {"dtype", "shape"}}], "totals": {"matched", "missing", "shape", "dtype", "unused"}, "ok"}.
    "stored" and "got" are null of what is missing, "want" of what is unused; a dtype, a shape or a size is
    null where any will do. "ok" is what the exit code says.
    """,
)
@click.argument("path", metavar="CHECKPOINT")
@click.argument("expected", metavar="EXPECTED")
@click.option(
    "--propose",
    "plan_path",
    metavar="FILE",
    help="Write a plan (TOML) of likely renames, casts and transpositions to a new file, for you to review.",
)
@click.option("--expect-partial", is_flag=True, help="Tensors that are left unused are fine.")
@json_option
def command(path: str, expected: str, plan_path: str | None, expect_partial: bool, as_json: bool) -> int:
    """Tell how CHECKPOINT meets EXPECTED, as a restore by TensorFlow would, without reading a tensor.

    EXPECTED is another checkpoint, a .meta file (the variables that its Saver restores) or a safetensors
    file, told apart by what is in them. Two checkpoints of tf.train.Checkpoint are compared object by object,
    whatever their keys; else names count.

    Each tensor that does not match is one line: kind (missing, shape, dtype, unused), name, what the
    checkpoint has and what is wanted; off a terminal separated by tabs, the summary then goes to stderr. One
    wrong in shape and dtype has two lines. Where it is found under another name, that follows as
    "name <- name in the checkpoint". The exit code is 1 where there is any line, but with --expect-partial
    not for unused ones.
    """
    if plan_path is not None and LOCAL.path_type(plan_path) is not None:
        raise click.UsageError(f"--propose: {plan_path!r} exists and is not overwritten")
    result = ckptfmt.match(path, expected)
    ok = result.restorable if expect_partial else result.ok
    rows = list(_rows(result))
    totals = _totals(result)
    if as_json:
        write_json(
            {
                "matched": dict(result.matched),
                "mismatches": [row.describe() for row in rows],
                "totals": totals,
                "ok": ok,
            }
        )
    else:
        _write(rows, totals)
    if plan_path is not None:
        plan = result.propose()
        plan.write(plan_path)
        proposed = len(result.proposals)
        note(
            f"{plan_path}: {proposed:,} of {proposed + _left(result):,} proposed; review it before it is used"
        )
    return ExitCode.FINE if ok else ExitCode.FINDING


def _left(result: Match) -> int:
    """How many tensors that are missing or wrong have no proposal."""
    wanted = {*result.missing, *(misfit.name for misfit in (*result.wrong_shape, *result.wrong_dtype))}
    return len(wanted.difference(proposal.wanted for proposal in result.proposals))


def _rows(result: Match) -> Iterator[FindingRow]:
    for name in result.missing:
        yield FindingRow("missing", name, None, result.wanted[name])
    misfits: tuple[tuple[str, Mismatch], ...] = (
        *(("shape", misfit) for misfit in result.wrong_shape),
        *(("dtype", misfit) for misfit in result.wrong_dtype),
    )
    for kind, misfit in misfits:
        yield FindingRow(kind, misfit.name, misfit.got, misfit.want, misfit.stored)
    for name in result.unused:
        yield FindingRow("unused", name, result.stored[name], None, name)


def _totals(result: Match) -> dict[str, int]:
    return {
        "matched": len(result.matched),
        "missing": len(result.missing),
        "shape": len(result.wrong_shape),
        "dtype": len(result.wrong_dtype),
        "unused": len(result.unused),
    }


def _write(rows: list[FindingRow], totals: dict[str, int]) -> None:
    summary = ", ".join(f"{count:,} {kind}" for kind, count in totals.items() if count or kind == "matched")
    if on_terminal():
        if rows:
            heads = ("kind", "name", "got", "want")
            write_table(heads, [LEFT] * len(heads), [row.cells() for row in rows], ())
        write(f"{summary}\n")
    else:
        write_table((), (), (), ("\t".join(row.cells()) for row in rows))
        note(summary)


def _text(spec: Spec | None) -> str:
    return NOTHING if spec is None else str(spec)
