"""``ckptfmt verify``: whether every byte of a checkpoint is intact."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict

import click

import ckptfmt
from ckptfmt import Checkpoint, Problem, Report
from ckptfmt.cli.failures import ExitCode
from ckptfmt.cli.options import given_limits, json_option, limits_option, path_argument
from ckptfmt.cli.render.output import write, write_json
from ckptfmt.cli.render.progress import ProgressBar
from ckptfmt.cli.render.terminal import on_screen
from ckptfmt.cli.render.text import count_text, one_line, size_text

MAX_LINES = 20
"""Problems of one kind that are written as text."""


@click.command(
    "verify",
    short_help="Check every checksum, size and offset.",
    epilog="""\b
    Examples:
      ckptfmt verify training/
      ckptfmt verify model.ckpt-1000 --json | jq '.problems[] | select(.severity == "error") | .name'

    JSON: {"prefix", "format", "ok", "tensors", "tensors_checked", "bytes_checked", "problems": [{"severity",
    "kind", "message", "file", "offset", "name"}], "problems_omitted"}. "ok" is true if every tensor was
    checked and is intact, whatever the warnings; "file", "offset" and "name" are null if a problem has none.
    The first 10,000 problems are listed.
    """,
)
@path_argument
@json_option
@limits_option
def command(path: str, as_json: bool) -> int:
    """Check the checkpoint at PATH: every block and tensor checksum, every size against dtype and shape.

    Each problem is one line, "error: KIND: ..." or "warning: KIND: ..."; the last line is the summary.

    An error (block, entry, checksum, truncated, missing, unreadable, unsupported) means that something cannot
    be read, or would be read wrongly, and the exit code is 3. It is 4 if all errors are "unreadable": the
    operating system denies access to a file, and everything else is intact.

    A warning (overlap: tensors share bytes; orphan: bytes belong to no tensor; stale: a data file is not part
    of this checkpoint) does not keep anything from being read. With warnings alone the exit code is 1.

    Files are streamed: memory stays small, however large they are.
    """
    with ckptfmt.open(path, limits=given_limits()) as checkpoint:
        with ProgressBar("verifying") as progress:
            report = checkpoint.verify(progress=progress)
        document = _to_json(checkpoint, report)
    if as_json:
        write_json(document)
    else:
        _write_problems(report)
        write(f"{_summary(report)}\n")
    if not _is_complete(report):
        return ExitCode.NOT_FOUND if _only_unreadable(report) else ExitCode.DAMAGED
    return ExitCode.FINDING if report.problems else ExitCode.FINE


def _to_json(checkpoint: Checkpoint, report: Report) -> dict[str, object]:
    return {
        "prefix": checkpoint.prefix,
        "format": checkpoint.format,
        "ok": _is_complete(report),
        "tensors": report.tensors,
        "tensors_checked": report.tensors_checked,
        "bytes_checked": report.bytes_checked,
        "problems": [asdict(problem) for problem in report.problems],
        "problems_omitted": report.omitted,
    }


def _write_problems(report: Report) -> None:
    """Write the first problems of each kind, and how many more there are of it."""
    counts: Counter[tuple[str, str]] = Counter()
    for problem in report.problems:
        of_kind = problem.severity, problem.kind
        counts[of_kind] += 1
        if counts[of_kind] <= MAX_LINES:
            write(on_screen(f"{_line(problem)}\n"))
    for (severity, kind), count in counts.items():
        if count > MAX_LINES:
            write(f"{severity}: {kind}: and {count - MAX_LINES:,} more; --json lists them\n")
    if report.omitted:
        write(f"and {count_text(report.omitted, 'problem')} after these\n")


def _is_complete(report: Report) -> bool:
    """Return whether every tensor was checked and is intact: what was not checked does not count as ok."""
    return report.ok and report.tensors_checked == report.tensors


def _only_unreadable(report: Report) -> bool:
    """Return whether all errors are the operating system's, so that nothing is known to be damaged."""
    return {problem.kind for problem in report.problems if problem.severity == "error"} == {"unreadable"}


def _line(problem: Problem) -> str:
    message = problem.message
    if problem.name is not None and repr(problem.name) not in message:
        message = f"tensor {problem.name!r}: {message}"
    return f"{problem.severity}: {problem.kind}: {one_line(message)}"


def _summary(report: Report) -> str:
    checked = f"{report.tensors_checked:,} of {count_text(report.tensors, 'tensor')} intact"
    parts = [checked, f"{size_text(report.bytes_checked)} checked"]
    failed = sum(problem.severity == "error" for problem in report.problems)
    if failed:
        parts.append(count_text(failed, "error"))
    if len(report.problems) > failed:
        parts.append(count_text(len(report.problems) - failed, "warning"))
    state = "ok" if _is_complete(report) else "not readable" if _only_unreadable(report) else "damaged"
    return f"{state}: {', '.join(parts)}"
