"""Records one by one: the features of each as a table, as lines, or as JSON."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ckptfmt.cli.render.output import on_terminal, write, write_lines
from ckptfmt.cli.render.table import LEFT, RIGHT, draw_table
from ckptfmt.cli.render.text import escape, size_text
from ckptfmt.cli.render.values import bytes_json, quote, values_json
from ckptfmt.cli.verbs.records.content import SHOWN_CHARACTERS, Content, dtype_text, values_text
from ckptfmt.record.batch import Record

HEADS = ("feature", "dtype", "count", "values")


def write_records(records: Iterable[tuple[int, Record, Content]], *, all_values: bool) -> None:
    """Write records to stdout: a table each on a terminal, else a line for each feature after its number."""
    file = ""
    for number, record, content in records:
        rows = _rows(record, content, all_values=all_values)
        if on_terminal():
            if record.file != file:
                file = record.file
                write(f"{escape(file)}\n\n")  # on a line of its own: it may be longer than that
            write(f"record {number} @0x{record.offset:x}: {content.kind}, {size_text(len(record.view))}\n")
            draw_table(HEADS, [LEFT, LEFT, RIGHT, LEFT], rows)
            write("\n")
        else:
            write_lines("\t".join([str(number), *row]) for row in rows)


def _rows(record: Record, content: Content, *, all_values: bool) -> list[list[str]]:
    """Return name, dtype, number of values and values of each feature; of other bytes, their beginning."""
    if content.example is None:
        size = len(record.view)
        text = quote(record.data, None if all_values else SHOWN_CHARACTERS)
        return [["-", content.kind, str(size), text]]
    return [
        [
            escape(feature.title),
            dtype_text(feature.values),
            str(len(feature.values)),
            values_text(feature.values, all_of_them=all_values),
        ]
        for feature in content.features()
    ]


def record_json(number: int, record: Record, content: Content) -> dict[str, object]:
    """Return a record for JSON."""
    described: dict[str, object] = {
        "record": number,
        "file": record.file,
        "offset": record.offset,
        "bytes": len(record.view),
        "content": content.kind,
    }
    if content.example is None:
        return described | {"data": bytes_json(record.data)}
    context, lists = content.example
    return described | {
        "features": {name: _feature_json(values) for name, values in context.items()},
        "feature_lists": {name: [_feature_json(values) for values in steps] for name, steps in lists.items()},
    }


def _feature_json(values: np.ndarray[Any, Any]) -> dict[str, object]:
    return {"dtype": dtype_text(values), "values": values_json(values)}
