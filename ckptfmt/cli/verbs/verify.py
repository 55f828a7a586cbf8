"""``ckptfmt verify``: whether every byte of a checkpoint is intact."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from typing import Any

import click
import numpy as np

import ckptfmt
from ckptfmt import Checkpoint, Entry, Problem, Report, Tensors, errors
from ckptfmt.cli.completion import complete_files
from ckptfmt.cli.failures import FAILURES, ExitCode, Problems, describe
from ckptfmt.cli.options import given_limits, json_option, limits_option
from ckptfmt.cli.render.output import write, write_json
from ckptfmt.cli.render.progress import ProgressBar
from ckptfmt.cli.render.terminal import on_screen
from ckptfmt.cli.render.text import count_text, escape, one_line, size_text
from ckptfmt.cli.selection import Selection, selection_options
from ckptfmt.cli.several import all_option, expanded
from ckptfmt.cli.statistics import count_special
from ckptfmt.cli.verb import Verb

UNREADABLE = "unreadable"
NOT_FINITE = "not finite"

MAX_LINES = 20
"""Problems of one kind that are written as text."""


@click.command(
    "verify",
    cls=Verb,
    short_help="Check every checksum, size and offset.",
    examples=[
        "ckptfmt verify training/",
        "ckptfmt verify --all training/ other/ckpt-7",
        "ckptfmt verify export/ --weights --finite",
        "ckptfmt verify model.ckpt-1000 --json | jq '.problems[] | select(.severity == \"error\") | .name'",
    ],
    json_keys="""
    {"prefix", "format", "ok", "tensors", "tensors_checked", "parameters", "bytes_checked", "problems":
    [{"severity", "kind", "message", "file", "offset", "name"}], "problems_omitted"}.

    "ok" is true if every tensor was checked and is intact, whatever the warnings; "file", "offset" and "name"
    are null if a problem has none, and "parameters" if the index is damaged. The first 10,000 problems are
    listed. Several checkpoints are {"ok", "checkpoints": [...]}, and one that does not open has an "error".
    """,
)
@click.argument("paths", nargs=-1, required=True, metavar="PATH...", shell_complete=complete_files)
@all_option
@selection_options
@click.option("--finite", is_flag=True, help="Also look for NaN and infinite numbers.")
@json_option
@limits_option
def command(paths: tuple[str, ...], with_all: bool, selection: Selection, finite: bool, as_json: bool) -> int:
    """Check the checkpoint at PATH: every block and tensor checksum, every size against dtype and shape.

    Each problem is one line; the last line is the summary, OK or FAILED. The exit code is 0 if all is well, 1
    if there are only warnings, 3 if something is damaged.

    A problem is written as "error: KIND: ..." or "warning: KIND: ...". An error (block, entry, checksum,
    truncated, missing, unreadable, unsupported) means that something cannot be read, or would be read
    wrongly, and the exit code is 3. It is 4 if all errors are "unreadable": the operating system denies
    access to a file, and everything else is intact. With --finite a tensor that has NaN or infinite numbers
    is an error, too ("not finite"); if there is no other, the exit code is 1.

    A warning (overlap: tensors share bytes; orphan: bytes belong to no tensor; stale: a data file is not part
    of this checkpoint) does not keep anything from being read. With warnings alone the exit code is 1.

    With --weights or --ema only those tensors are checked, and not what else is in the files.

    Files are streamed: memory stays small, however large they are.
    """
    found = expanded(paths, with_all=with_all)
    is_single = len(paths) == len(found) == 1 and not with_all
    problems = Problems(strict=is_single)
    documents: list[dict[str, object]] = []
    for path in found:
        try:
            with ckptfmt.open(path, limits=given_limits()) as checkpoint:
                report = _check(checkpoint, selection, finite=finite)
                if as_json:
                    documents.append(_to_json(checkpoint, report, _parameters(selection.of(checkpoint))))
                else:
                    _write_problems(report)
                    write(f"{'' if is_single else f'{escape(checkpoint.prefix)}: '}{_summary(report)}\n")
        except FAILURES as error:
            problems.report(error, path)
            documents.append({"prefix": path, "ok": False, "error": describe(error)})
            continue
        problems.code = max(problems.code, _code_of(report))
    if as_json:
        document = {"ok": all(each["ok"] for each in documents), "checkpoints": documents}
        write_json(documents[0] if is_single else document)
    return problems.code


def _code_of(report: Report) -> ExitCode:
    kinds = _kinds(report)
    if _is_intact(report):
        return ExitCode.FINDING if report.problems else ExitCode.FINE
    return ExitCode.NOT_FOUND if kinds == {UNREADABLE} else ExitCode.DAMAGED


def _check(checkpoint: Checkpoint, selection: Selection, *, finite: bool) -> Report:
    """Check the files, or only the tensors chosen; problems have their names as chosen."""
    view = selection.of(checkpoint)
    is_whole = not selection.weights and not selection.ema
    if is_whole:
        with ProgressBar("verifying") as progress:
            report = checkpoint.verify(progress=progress)
        names = {} if view is checkpoint else {stored: name for name, stored in view._stored().items()}
        report.problems = [_renamed(problem, names) for problem in report.problems]
    else:
        report = Report(tensors=len(view))
    if finite or not is_whole:
        _read_all(view, report, finite=finite, is_whole=is_whole)
    return report


def _renamed(problem: Problem, names: Mapping[str | None, str]) -> Problem:
    return replace(problem, name=names.get(problem.name, problem.name)) if names else problem


def _read_all(view: Tensors, report: Report, *, finite: bool, is_whole: bool) -> None:
    """Read each tensor, which verifies its checksum; with ``finite``, look for NaN and infinite numbers."""
    damaged = frozenset(report.damaged)
    try:
        entries = dict(view.entries.items())
    except errors.CkptfmtError:
        if not is_whole:
            raise
        return  # the damage of the index is in the report
    done, size = 0, sum(entry.nbytes for entry in entries.values())
    with ProgressBar("reading") as progress:
        for name, entry in entries.items():
            stored = view.stored_name(name)
            if not is_whole or stored not in damaged:
                nan = inf = 0
                try:
                    for array in _pieces(view, name, entry) if is_whole else [view[name]]:
                        counts = count_special(array) if finite else (0, 0)
                        nan, inf = nan + counts[0], inf + counts[1]
                        # Memory then holds one piece at a time, also as pages of the mapped file.
                        del array
                except errors.CkptfmtError as error:
                    report.add_tensor(error, name)
                else:
                    if not is_whole:
                        report.tensors_checked += 1
                        report.bytes_checked += entry.nbytes
                    _note_special(nan, inf, entry, name, report)
                view._release(name)
            done += entry.nbytes
            progress(done, size)


def _pieces(view: Tensors, name: str, entry: Entry) -> Iterator[np.ndarray[Any, Any]]:
    """Iterate over the slices that a tensor is stored in, or yield it whole."""
    if not entry.slices:
        yield view[name]
    for part in entry.slices:
        yield view._region(name, part.region(entry.shape), verified=True)


def _note_special(nan: int, inf: int, entry: Entry, name: str, report: Report) -> None:
    """Note a tensor that has numbers which are not finite."""
    if nan or inf:
        found = [count_text(count, noun) for count, noun in ((nan, "NaN"), (inf, "infinite number")) if count]
        what = f"tensor {name!r}: {' and '.join(found)} in {math.prod(entry.shape):,} elements"
        report.add(NOT_FINITE, errors.CkptfmtError(what), name)


def _parameters(view: Tensors) -> int | None:
    """Return how many numbers the tensors have; None if the index is damaged."""
    try:
        entries = view.entries.values()
        return sum(math.prod(entry.shape) for entry in entries if entry.dtype.itemsize is not None)
    except errors.CkptfmtError:
        return None


def _to_json(checkpoint: Checkpoint, report: Report, parameters: int | None) -> dict[str, object]:
    return {
        "prefix": checkpoint.prefix,
        "format": checkpoint.format,
        "ok": _is_complete(report),
        "tensors": report.tensors,
        "tensors_checked": report.tensors_checked,
        "parameters": parameters,
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


def _is_intact(report: Report) -> bool:
    """Return whether every tensor was checked and is intact: what was not checked does not count as ok."""
    return _kinds(report) <= {NOT_FINITE} and report.tensors_checked == report.tensors


def _is_complete(report: Report) -> bool:
    """Return whether every tensor was checked, and nothing but warnings was found."""
    return report.ok and _is_intact(report)


def _kinds(report: Report) -> set[str]:
    """Return the kinds of errors."""
    return {problem.kind for problem in report.problems if problem.severity == "error"}


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
    return f"{_state(report)}: {', '.join(parts)}"


def _state(report: Report) -> str:
    if _is_complete(report):
        return "OK"
    if _is_intact(report):
        return "FAILED (not finite)"
    # If the operating system denies access to a file, nothing is known to be damaged.
    return f"FAILED ({'not readable' if _kinds(report) == {UNREADABLE} else 'damaged'})"
