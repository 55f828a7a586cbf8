"""The files that a user asks for: scalars as a table and as a plot, and images."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import click
import numpy as np

from ckptfmt import Scalars
from ckptfmt.cli.failures import FAILURES, Problems
from ckptfmt.cli.render.curves import picture
from ckptfmt.cli.render.output import note
from ckptfmt.cli.render.text import count_text
from ckptfmt.cli.verbs.events.runs import Runs, TagEntry, check_patterns
from ckptfmt.errors import NameNotFoundError
from ckptfmt.events.classify import noun_of
from ckptfmt.events.scalar_table import write_runs
from ckptfmt.storage.local import LOCAL
from ckptfmt.storage.output import make_directory, write_file
from ckptfmt.storage.target import check_target
from ckptfmt.text.patterns import matcher
from ckptfmt.text.quoting import listed

MAX_STEM = 120
"""Bytes of a tag in a file name; most systems allow 255 for the whole name."""

_UNSAFE = re.compile(r"[^\w.-]+")
"""Characters of a tag that are replaced in a file name."""


@dataclass(frozen=True)
class Outputs:
    """The files that a user asks for; None for each one that was not requested."""

    table: str | None
    wide: bool
    plot: str | None
    images: str | None
    """A directory."""
    overwrite: bool

    def __bool__(self) -> bool:
        return any(path is not None for path in (self.table, self.plot, self.images))

    def check(self) -> None:
        """Refuse outputs that cannot be written, before any is written; see :func:`check_target`."""
        for target in (self.table, self.plot):
            if target is not None:
                check_target(target, overwrite=self.overwrite)
        if self.images is not None and LOCAL.path_type(self.images) not in (None, "directory"):
            raise click.UsageError(f"{self.images!r} exists and is not a directory")


def write_outputs(
    outputs: Outputs, runs: Runs, entries: Sequence[TagEntry], patterns: Sequence[str], problems: Problems
) -> None:
    """Write all files, and report each; none is written if it is clear that one cannot be."""
    curves = [
        (f"{each.run}: {each.tag}" if runs.are_several else each.tag, each.series)
        for each in entries
        if isinstance(each.series, Scalars)
    ]
    stems = _stems(entries)
    if outputs.table is not None or outputs.plot is not None:
        patterns_of_scalars = _patterns_of_kind("scalars", runs.path, entries, patterns)
    if outputs.images is not None:
        _patterns_of_kind("images", runs.path, entries, patterns)
        if not outputs.overwrite:
            _check_images(outputs.images, stems)
    if outputs.plot is not None:
        _check_curves(runs.path, entries, curves)
    # Draw first: the package that draws may be missing.
    drawn = None if outputs.plot is None else _drawn(outputs.plot, curves)
    if outputs.table is not None:
        _write_table(outputs.table, runs, patterns_of_scalars, wide=outputs.wide, overwrite=outputs.overwrite)
        if outputs.wide:
            what = count_text(len({each.tag for each in entries if each.kind == "scalars"}), "tag")
        else:
            what = count_text(sum(len(series) for _, series in curves), "scalar")
        note(f"{outputs.table}: {what} written")
    if outputs.plot is not None and drawn is not None:
        write_file(outputs.plot, [drawn], overwrite=outputs.overwrite)
        note(f"{outputs.plot}: {count_text(len(curves), 'curve')} drawn")
    if outputs.images is not None:
        count = _write_images(outputs.images, stems, problems, overwrite=outputs.overwrite)
        note(f"{outputs.images}: {count_text(count, 'image')} written")


def _patterns_of_kind(
    kind: str, path: str, entries: Sequence[TagEntry], patterns: Sequence[str]
) -> list[str]:
    """Return the patterns that match tags of a kind; NameNotFoundError if none does."""
    tags = [each.tag for each in entries if each.kind == kind]
    matching = [pattern for pattern in patterns if any(map(matcher([pattern]), tags))]
    if not matching:
        check_patterns(path, tags, patterns, noun_of(kind))
    return matching


def _check_curves(path: str, entries: Sequence[TagEntry], curves: Sequence[tuple[str, Scalars]]) -> None:
    """Raise NameNotFoundError if a plot would be empty."""
    if any(np.isfinite(series.values).any() for _, series in curves):
        return
    if curves:
        what = "nothing to draw: none of the scalars is a finite number"
    else:
        kinds = Counter(noun_of(each.kind) for each in entries)
        others = listed([count_text(count, noun) for noun, count in kinds.items()], quote=str)
        what = f"nothing to draw: no scalars, only {others}" if others else "nothing to draw: no scalars"
    raise NameNotFoundError("scalars", file=path, noun="tag", what=what)


def _write_table(target: str, runs: Runs, patterns: Sequence[str], *, wide: bool, overwrite: bool) -> None:
    if runs.are_several:
        write_runs(runs.read, target, *patterns, wide=wide, overwrite=overwrite)
    else:
        (events,) = runs.read.values()
        events.write_scalars(target, *patterns, wide=wide, overwrite=overwrite)


def _drawn(target: str, curves: Sequence[tuple[str, Scalars]]) -> bytes:
    title = curves[0][0] if len(curves) == 1 else f"{len(curves)} curves"
    return picture(curves, title, os.path.splitext(target)[1].lower())


# --- images ------------------------------------------------------------------------------------------------


def _stems(entries: Sequence[TagEntry]) -> dict[str, TagEntry]:
    """Return the entries of images by stem, the beginning of the names of their files; no two share one."""
    stems: dict[str, TagEntry] = {}
    taken: set[str] = set()
    numbers: dict[str, int] = {}
    for each in entries:
        if each.kind != "images" or each.error is not None:
            continue
        names = [_UNSAFE.sub("_", name) for name in (each.run, each.tag) if name != "."]
        stem = first = "_".join(names).lstrip(".").encode()[:MAX_STEM].decode(errors="ignore")
        # Some file systems do not distinguish upper and lower case.
        while stem.casefold() in taken:
            alike = first.casefold()
            numbers[alike] = numbers.get(alike, 1) + 1
            stem = f"{first}_{numbers[alike]}"
        taken.add(stem.casefold())
        stems[stem] = each
    return stems


def _check_images(target: str, stems: dict[str, TagEntry]) -> None:
    """Refuse if an image of one of the tags exists in the directory."""
    existing = {name.rpartition("_")[0]: name for name in LOCAL.list_directory(target).files}
    for stem, each in stems.items():
        for row, step in enumerate(each.series.steps.tolist() if existing else ()):
            if (known := existing.get(_head(stem, row, step))) is not None:
                check_target(os.path.join(target, known), overwrite=False)


def _head(stem: str, row: int, step: int) -> str:
    """Return the name of a step's images without their number. The row tells steps written twice apart."""
    return f"{stem}_{row:05d}_step{step}"


def _write_images(target: str, stems: dict[str, TagEntry], problems: Problems, *, overwrite: bool) -> int:
    count = 0
    for name, data in _images(stems, problems):
        if not count:
            make_directory(target)
        write_file(os.path.join(target, name), [data], overwrite=overwrite)
        count += 1
    return count


def _images(stems: dict[str, TagEntry], problems: Problems) -> Iterator[tuple[str, bytes]]:
    """Iterate over file names and their bytes; an image that cannot be read is reported."""
    for stem, each in stems.items():
        for row, step in enumerate(each.series.steps.tolist()):
            try:
                images = each.series[row]
            except FAILURES as error:
                problems.report(error, each.source)
                continue
            for number, image in enumerate(images):
                yield f"{_head(stem, row, step)}_{number}.{image.format or 'bin'}", image.data
