"""What runs logged, written to files: scalars as a table and as a picture, and images."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import click

import ckptfmt
from ckptfmt import Scalars
from ckptfmt.cli.failures import FAILURES, Problems
from ckptfmt.cli.render.curves import picture
from ckptfmt.cli.render.output import note
from ckptfmt.cli.render.text import count_text
from ckptfmt.cli.verbs.events.runs import Found, Runs, check_patterns
from ckptfmt.storage.local import LOCAL
from ckptfmt.storage.output import check_target, make_directory, write_file
from ckptfmt.text.patterns import matcher

EXPORTS = (".csv", ".jsonl", ".parquet", ".arrow")
"""Ends of names of files that tables are written to."""

MAX_STEM = 120
"""Bytes of a tag in the name of a file, of which most systems allow 255."""

_UNSAFE = re.compile(r"[^\w.-]+")
"""What is not kept of a tag in the name of a file."""


@dataclass(frozen=True)
class Targets:
    """The files that a user asks for."""

    table: str | None
    wide: bool
    plot: str | None
    images: str | None
    """A directory."""
    overwrite: bool

    def __bool__(self) -> bool:
        return any(target is not None for target in (self.table, self.plot, self.images))

    def check(self) -> None:
        """Refuse those that cannot be written, before any is; see :func:`check_target`."""
        for target in (self.table, self.plot):
            if target is not None:
                check_target(target, overwrite=self.overwrite)
        if self.images is not None and LOCAL.path_type(self.images) not in (None, "directory"):
            raise click.UsageError(f"{self.images!r} exists and is not a directory")


def write_targets(
    targets: Targets, runs: Runs, found: Sequence[Found], patterns: Sequence[str], problems: Problems
) -> None:
    """Write all files, and say of each what is in it; none where it is clear that one cannot be written."""
    curves = [
        (f"{each.run}: {each.tag}" if runs.many else each.tag, each.series)
        for each in found
        if isinstance(each.series, Scalars)
    ]
    stems = _stems(found)
    if targets.table is not None or targets.plot is not None:
        patterns_of_scalars = _of_kind("scalars", runs.path, found, patterns)
    if targets.images is not None:
        _of_kind("images", runs.path, found, patterns)
        if not targets.overwrite:
            _check_images(targets.images, stems)
    # Drawn first: what it needs may not be installed.
    drawn = None if targets.plot is None else _drawn(targets.plot, curves)
    if targets.table is not None:
        _write_table(targets.table, runs, patterns_of_scalars, wide=targets.wide, overwrite=targets.overwrite)
        if targets.wide:
            what = count_text(len({each.tag for each in found if each.kind == "scalars"}), "tag")
        else:
            what = count_text(sum(len(series) for _, series in curves), "scalar")
        note(f"{targets.table}: {what} written")
    if targets.plot is not None and drawn is not None:
        write_file(targets.plot, [drawn], overwrite=targets.overwrite)
        note(f"{targets.plot}: {count_text(len(curves), 'curve')} drawn")
    if targets.images is not None:
        count = _write_images(targets.images, stems, problems, overwrite=targets.overwrite)
        note(f"{targets.images}: {count_text(count, 'image')} written")


def _of_kind(kind: str, path: str, found: Sequence[Found], patterns: Sequence[str]) -> list[str]:
    """Return the patterns that match tags of a kind; TensorNotFoundError where none of them does."""
    tags = [each.tag for each in found if each.kind == kind]
    matching = [pattern for pattern in patterns if any(map(matcher([pattern]), tags))]
    if not matching:
        check_patterns(path, tags, patterns, kind)
    return matching


def _write_table(target: str, runs: Runs, patterns: Sequence[str], *, wide: bool, overwrite: bool) -> None:
    if runs.many:
        ckptfmt.write_runs(runs.read, target, *patterns, wide=wide, overwrite=overwrite)
    else:
        (events,) = runs.read.values()
        events.write(target, *patterns, wide=wide, overwrite=overwrite)


def _drawn(target: str, curves: Sequence[tuple[str, Scalars]]) -> bytes:
    title = curves[0][0] if len(curves) == 1 else f"{len(curves)} curves"
    return picture(curves, title, os.path.splitext(target)[1].lower())


# --- images ------------------------------------------------------------------------------------------------


def _stems(found: Sequence[Found]) -> dict[str, Found]:
    """The tags of images by how the names of their files begin."""
    stems: dict[str, Found] = {}
    taken: set[str] = set()
    numbers: dict[str, int] = {}
    for each in found:
        if each.kind != "images" or each.error is not None:
            continue
        names = [_UNSAFE.sub("_", name) for name in (each.run, each.tag) if name != "."]
        stem = first = "_".join(names).lstrip(".").encode()[:MAX_STEM].decode(errors="ignore")
        # Some file systems make no difference between large and small letters.
        while stem.casefold() in taken:
            # Of another tag that looks the same.
            alike = first.casefold()
            numbers[alike] = numbers.get(alike, 1) + 1
            stem = f"{first}_{numbers[alike]}"
        taken.add(stem.casefold())
        stems[stem] = each
    return stems


def _check_images(target: str, stems: dict[str, Found]) -> None:
    """Refuse to write images of which there are some in the directory."""
    there = {name.rpartition("_")[0]: name for name in LOCAL.list_directory(target).files}
    for stem, each in stems.items():
        for row, step in enumerate(each.series.steps.tolist() if there else ()):
            if (known := there.get(_head(stem, row, step))) is not None:
                check_target(os.path.join(target, known), overwrite=False)


def _head(stem: str, row: int, step: int) -> str:
    """How the names of the images of a step begin: with the row, since a step may be written again."""
    return f"{stem}_{row:05d}_step{step}"


def _write_images(target: str, stems: dict[str, Found], problems: Problems, *, overwrite: bool) -> int:
    count = 0
    for name, data in _images(stems, problems):
        if not count:
            make_directory(target)
        write_file(os.path.join(target, name), [data], overwrite=overwrite)
        count += 1
    return count


def _images(stems: dict[str, Found], problems: Problems) -> Iterator[tuple[str, bytes]]:
    """Iterate over the names of files and what they hold; what cannot be read is told."""
    for stem, each in stems.items():
        for row, step in enumerate(each.series.steps.tolist()):
            try:
                images = each.series[row]
            except FAILURES as error:
                problems.tell(error, each.place)
                continue
            for number, image in enumerate(images):
                yield f"{_head(stem, row, step)}_{number}.{image.format or 'bin'}", image.data
