"""``ckptfmt match``: how one checkpoint would restore into another."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import click

import ckptfmt
from ckptfmt import Match, Mismatch, Spec
from ckptfmt.cli.completion import complete_files
from ckptfmt.cli.failures import ExitCode
from ckptfmt.cli.options import given_limits, json_option, limits_option, overwrite_option, wide_option
from ckptfmt.cli.render.names import short_name
from ckptfmt.cli.render.output import note, on_terminal, write, write_json, write_lines
from ckptfmt.cli.render.table import LEFT, draw_table
from ckptfmt.cli.render.text import escape
from ckptfmt.cli.verb import Verb
from ckptfmt.storage.target import check_target

NOTHING = "-"
"""Shown for the side that does not have a tensor."""


class MismatchRow(NamedTuple):
    """One line: a tensor that does not match."""

    kind: str
    """``missing``, ``unused``, ``shape`` or ``dtype``."""
    name: str
    got: Spec | None
    """What the checkpoint has."""
    want: Spec | None
    """What is wanted."""
    stored: str | None = None
    """The name in the checkpoint; None if it does not have the tensor."""

    def cells(self) -> tuple[str, ...]:
        """Return the columns of the line."""
        name = escape(self.name)
        if self.stored not in (None, self.name):
            name += f" <- {escape(self.stored or '')}"
        return self.kind, name, _spec_text(self.got), _spec_text(self.want)

    def shortened(self, result: Match) -> MismatchRow:
        """Return the row with the names that it has on a terminal."""
        names = result.stored if self.kind == "unused" else result.wanted
        stored = None if self.stored is None else short_name(self.stored, result.stored)
        return self._replace(name=short_name(self.name, names), stored=stored)

    def describe(self) -> dict[str, object]:
        """Return the row for JSON."""
        specs = {"got": self.got, "want": self.want}
        return {"kind": self.kind, "name": self.name, "stored": self.stored} | {
            side: spec and {"dtype": spec.dtype and spec.dtype.name, "shape": spec.shape}
            for side, spec in specs.items()
        }


def _spec_text(spec: Spec | None) -> str:
    return NOTHING if spec is None else str(spec)


@click.command(
    "match",
    cls=Verb,
    short_help="Show how one checkpoint would restore into another.",
    examples=[
        "ckptfmt match training/ other-run/",
        "ckptfmt match model.ckpt-1000 model.ckpt-1000.meta",
        "ckptfmt match bert_model.ckpt model.safetensors --propose plan.toml",
    ],
    json_keys="""
    {"matched": {WANTED: STORED}, "mismatches": [{"kind", "name", "stored", "got": {"dtype", "shape"}, "want":
    {"dtype", "shape"}}], "totals": {"matched", "missing", "shape", "dtype", "unused"}, "ok"}.

    "stored" and "got" are null for a missing tensor, "want" for an unused one; a dtype, a shape or a size is
    null if any will do. "ok" is true if the exit code is 0.
    """,
)
@click.argument("path", metavar="CHECKPOINT", shell_complete=complete_files)
@click.argument("expected", metavar="EXPECTED", shell_complete=complete_files)
@click.option(
    "--propose",
    "plan_path",
    metavar="FILE",
    shell_complete=complete_files,
    help="Write a plan of likely renames, casts and transpositions.",
)
@overwrite_option
@click.option("--expect-partial", is_flag=True, help="Accept unused tensors.")
@wide_option
@json_option
@limits_option
def command(
    path: str, expected: str, plan_path: str | None, overwrite: bool, expect_partial: bool, as_json: bool
) -> int:
    """Show how CHECKPOINT would restore into EXPECTED in TensorFlow, without reading a tensor.

    EXPECTED is another checkpoint, a .meta file or a safetensors file. Each line is one tensor that does not
    match; the exit code is 1 if there are any.

    The content of EXPECTED tells what it is; a .meta file stands for the variables that its Saver restores.
    Two checkpoints of tf.train.Checkpoint are compared object by object, whatever their keys; any others are
    compared by name.

    A line has kind (missing, shape, dtype, unused), name, what the checkpoint has and what is wanted. A
    tensor of the wrong shape and the wrong dtype has two lines. If it has another name in the checkpoint,
    that follows as "name <- name in the checkpoint". Off a terminal the columns are separated by tabs, and
    the summary goes to stderr. With --expect-partial, lines of unused tensors do not count for the exit code.
    A plan that --propose writes is TOML, for you to review. It begins with a plan that ships (ckptfmt plans)
    if more matches so.
    """
    if overwrite and plan_path is None:
        raise click.UsageError("--overwrite requires --propose")
    if plan_path is not None:
        check_target(plan_path, overwrite=overwrite)
    result = ckptfmt.match(path, expected, limits=given_limits())
    ok = result.restorable if expect_partial else result.ok
    if as_json:
        write_json(_to_json(result, ok=ok))
    else:
        _write_text(result)
    if plan_path is not None:
        result.propose().write(plan_path, overwrite=overwrite)
        proposed, total = _proposed(result)
        by = f" by {result.layout} and by names" if result.layout else ""
        note(f"{plan_path}: {proposed:,} of {total:,} proposed{by}; review it before you use it")
    return ExitCode.FINE if ok else ExitCode.FINDING


def _proposed(result: Match) -> tuple[int, int]:
    """Return how many of the missing or mismatched tensors are proposed, and how many there are."""
    wanted = {*result.missing, *(misfit.name for misfit in (*result.wrong_shape, *result.wrong_dtype))}
    if result.layout is not None:
        return result.num_proposed, len(wanted)
    proposed = {proposal.wanted for proposal in result.proposals}
    return len(result.proposals), len(result.proposals) + len(wanted - proposed)


def _rows(result: Match) -> Iterator[MismatchRow]:
    for name in result.missing:
        yield MismatchRow("missing", name, None, result.wanted[name])
    misfits: tuple[tuple[str, Sequence[Mismatch]], ...] = (
        ("shape", result.wrong_shape),
        ("dtype", result.wrong_dtype),
    )
    for kind, misfits_of_kind in misfits:
        for misfit in misfits_of_kind:
            yield MismatchRow(kind, misfit.name, misfit.got, misfit.want, misfit.stored)
    for name in result.unused:
        yield MismatchRow("unused", name, result.stored[name], None, name)


def _totals(result: Match) -> dict[str, int]:
    return {
        "matched": len(result.matched),
        "missing": len(result.missing),
        "shape": len(result.wrong_shape),
        "dtype": len(result.wrong_dtype),
        "unused": len(result.unused),
    }


def _to_json(result: Match, *, ok: bool) -> dict[str, object]:
    return {
        "matched": dict(result.matched),
        "mismatches": [row.describe() for row in _rows(result)],
        "totals": _totals(result),
        "ok": ok,
    }


def _write_text(result: Match) -> None:
    """Write a table and the summary on a terminal, else lines, and the summary to stderr."""
    counts = _totals(result).items()
    summary = ", ".join(f"{count:,} {kind}" for kind, count in counts if count or kind == "matched")
    if on_terminal():
        rows = [row.shortened(result).cells() for row in _rows(result)]
        if rows:
            draw_table(("kind", "name", "got", "want"), (LEFT, LEFT, LEFT, LEFT), rows)
        write(f"{summary}\n")
    else:
        write_lines("\t".join(row.cells()) for row in _rows(result))
        note(summary)
