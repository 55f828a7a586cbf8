"""``ckptfmt records``: what TFRecord files hold."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import click

from ckptfmt.cli.completion import complete_files
from ckptfmt.cli.failures import Problems
from ckptfmt.cli.options import comma_separated, json_option, limits_option, wide_option
from ckptfmt.cli.render.output import note, write, write_json
from ckptfmt.cli.render.progress import ProgressBar
from ckptfmt.cli.render.table import LEFT, RIGHT, write_table
from ckptfmt.cli.render.text import count_text, escape
from ckptfmt.cli.verb import Verb
from ckptfmt.cli.verbs.records.content import EVENT, Content, content_of
from ckptfmt.cli.verbs.records.examples import record_json, write_records
from ckptfmt.cli.verbs.records.files import RecordFile
from ckptfmt.cli.verbs.records.summary import FeatureSummary, Summary
from ckptfmt.errors import NameNotFoundError
from ckptfmt.record.batch import Record
from ckptfmt.record.files.find import find_record_files
from ckptfmt.storage.local import LOCAL
from ckptfmt.text.closest import closest_names
from ckptfmt.text.patterns import matcher

Numbered = tuple[int, Record, Content]
"""A record, its number among those of all files, and what it holds."""


@click.command(
    "records",
    cls=Verb,
    short_help="TFRecord files: their records, and the features of examples.",
    examples=[
        "ckptfmt records train.tfrecord",
        "ckptfmt records train@16 --features 'image/*'",
        "ckptfmt records training/ --head 3",
        "ckptfmt records train.tfrecord --record 7 --values",
    ],
    json_keys="""
    {"files": [{"file", "records", "bytes", "compression", "content": {KIND: COUNT}, "damage": [{"offset",
    "skipped", "error"}], "incomplete"}], "records", "features": [{"feature", "is_list", "dtype", "steps":
    [MIN, MAX], "length": [MIN, MAX], "records", "value"}]}.

    A file that cannot be read has "error". With --head or --record, there is one document for each record:
    {"record", "file", "offset", "bytes", "content", "features": {NAME: {"dtype", "values"}}, "feature_lists":
    {NAME: [{"dtype", "values"}]}}; "data" in place of features if it is not an example. Bytes are text if
    they are UTF-8, else {"base64": …}.
    """,
)
@click.argument("paths", nargs=-1, required=True, metavar="PATH...", shell_complete=complete_files)
@click.option("--head", type=click.IntRange(1), metavar="N", help="Show the first N records.")
@click.option(
    "--record",
    "numbers",
    type=click.IntRange(0),
    multiple=True,
    metavar="N",
    help="Show the record with this number, from 0; may be repeated.",
)
@click.option(
    "--features", "patterns", metavar="GLOB,GLOB", callback=comma_separated, help="Show only some features."
)
@click.option("--values", "with_values", is_flag=True, help="With --head or --record: show all values.")
@click.option("--strict", is_flag=True, help="Stop at damage, or at an incomplete last record.")
@wide_option
@json_option
@limits_option
def command(
    paths: tuple[str, ...],
    head: int | None,
    numbers: tuple[int, ...],
    patterns: list[str] | None,
    with_values: bool,
    strict: bool,
    as_json: bool,
) -> int:
    """Show what is in the TFRecord files at PATH.

    PATH is a file, uncompressed or compressed with GZIP or ZLIB, a pattern, a directory of such files, or
    train@4, which stands for train-00000-of-00004 … train-00003-of-00004. A missing shard is an error.

    Without options, files are listed with their records, bytes, compression and stretches of damage, and then
    the features of all examples: dtype, number of values (the smallest and the largest), number of records
    that have the feature, and its first values. With --head or --record, records are shown one by one.
    Records that are neither tf.train.Example nor SequenceExample are shown as bytes.

    Damage is skipped and reported on stderr, and the exit code is 3. The same goes for a file that cannot be
    read; the others are shown. With --strict, the first of these ends the command.
    """
    if with_values and head is None and not numbers:
        raise click.UsageError("--values requires --head or --record")
    problems = Problems(strict=strict)
    found = find_record_files(paths, LOCAL)
    files = [RecordFile(path, is_alone=len(found) == 1) for path in found]
    if head is not None or numbers:
        wanted = {*range(head or 0), *numbers}
        picked = _filtered(_picked(files, wanted, problems), patterns, files)
        if as_json:
            for each in picked:
                write_json(record_json(*each))
        else:
            write_records(picked, all_values=with_values)
        _check_numbers(numbers, files)
        return problems.code
    summary = _summarise(files, problems)
    features = list(summary.features())
    if patterns:
        _check_patterns(patterns, [each.name for each in features], files)
        matches = matcher(patterns)
        features = [each for each in features if matches(each.name)]
    if as_json:
        write_json(
            {
                "files": [file.to_json() for file in files],
                "records": sum(file.records for file in files),
                "features": [feature.to_json() for feature in features],
            }
        )
    else:
        _write_files(files)
        if features:
            write("\n")
            _write_features(features)
        _advise(files)
    return problems.code


# --- all records -------------------------------------------------------------------------------------------


def _summarise(files: Sequence[RecordFile], problems: Problems) -> Summary:
    """Read all records; return a summary of their features."""
    summary = Summary()
    sizes = [0 if (status := LOCAL.status(file.path)) is None else status.size for file in files]
    before, total = 0, sum(sizes)
    with ProgressBar("reading") as progress:
        for file, size in zip(files, sizes, strict=True):
            for record in file.read(problems):
                content = content_of(record)
                summary.add(content)
                file.kinds[content.kind] += 1
                if file.compression is None:
                    progress(before + record.offset, total)
            before += size
    return summary


def _write_files(files: Sequence[RecordFile]) -> None:
    rows = [
        [
            escape(file.path),
            "?" if file.error is not None else str(file.records),
            str(file.size),
            file.compression or "-",
            file.content,
            str(len(file.damage)) if file.damage else "-",
        ]
        for file in files
    ]
    heads = ["file", "records", "bytes", "compression", "content", "damage"]
    sides = [LEFT, RIGHT, RIGHT, LEFT, LEFT, RIGHT]
    write_table(heads, sides, rows, map("\t".join, rows))
    if len(files) > 1:
        note(f"{count_text(len(files), 'file')}, {count_text(sum(file.records for file in files), 'record')}")


def _write_features(features: Sequence[FeatureSummary]) -> None:
    with_lists = any(feature.is_list for feature in features)
    rows = []
    for feature in features:
        cells = [
            escape(feature.name),
            feature.dtype,
            str(feature.lengths),
            str(feature.records),
            feature.value,
        ]
        rows.append([*cells[:2], str(feature.steps), *cells[2:]] if with_lists else cells)
    heads, sides = ["feature", "dtype", "values", "records", "first"], [LEFT, LEFT, RIGHT, RIGHT, LEFT]
    if with_lists:
        heads.insert(2, "steps")
        sides.insert(2, RIGHT)
    write_table(heads, sides, rows, map("\t".join, rows))


def _advise(files: Sequence[RecordFile]) -> None:
    for file in files:
        if file.kinds.get(EVENT):
            note(f"{escape(file.path)}: an event file, which 'ckptfmt events' shows")


# --- some records ------------------------------------------------------------------------------------------


def _picked(files: Sequence[RecordFile], wanted: set[int], problems: Problems) -> Iterator[Numbered]:
    """Iterate over the records with these numbers, and read no further than the last of them."""
    last, number = max(wanted), 0
    for file in files:
        for record in file.read(problems):
            if number in wanted:
                yield number, record, content_of(record)
            if number == last:
                return
            number += 1


def _filtered(
    picked: Iterator[Numbered], patterns: Sequence[str] | None, files: Sequence[RecordFile]
) -> Iterator[Numbered]:
    """Leave out features that match no pattern; NameNotFoundError if a pattern matches none of them."""
    matches: Callable[[str], object] = matcher(patterns) if patterns else lambda name: True
    names: dict[str, None] = {}
    for number, record, content in picked:
        names |= dict.fromkeys(feature.name for feature in content.features())
        yield number, record, content.select(matches)
    _check_patterns(patterns or (), list(names), files)


def _check_patterns(patterns: Sequence[str], names: Sequence[str], files: Sequence[RecordFile]) -> None:
    for pattern in patterns:
        if not any(map(matcher([pattern]), names)):
            close = closest_names(pattern, names)
            raise NameNotFoundError(pattern, file=_place(files), close_matches=close, noun="feature")


def _check_numbers(numbers: Sequence[int], files: Sequence[RecordFile]) -> None:
    count = sum(file.records for file in files)
    for number in numbers:
        if number >= count:
            what = f"no record {number}: got {count_text(count, 'record')}, numbered from 0"
            raise NameNotFoundError(str(number), file=_place(files), noun="record", what=what)


def _place(files: Sequence[RecordFile]) -> str:
    return files[0].path if len(files) == 1 else f"{len(files)} files"
