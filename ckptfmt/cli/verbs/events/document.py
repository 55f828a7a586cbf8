"""Runs and tags as a JSON document."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from ckptfmt import EventLog, HParams
from ckptfmt.cli.failures import FAILURES, Problems, describe
from ckptfmt.cli.render.values import number_json, values_json
from ckptfmt.cli.verbs.events.runs import Runs, TagEntry, source_of
from ckptfmt.cli.verbs.events.values import readable_values


def document(
    runs: Runs, entries: Sequence[TagEntry], problems: Problems, *, with_values: bool
) -> dict[str, object]:
    """Return runs and tags for JSON."""
    tags = []
    for entry in entries:
        described = entry.describe()
        if with_values and entry.error is None:
            described |= _describe_values(entry, problems)
        tags.append(described)
    described_runs = [_describe_run(name, events, problems) for name, events in runs.read.items()]
    described_runs += [
        {"run": name, "path": path, "error": describe(error)} for name, (path, error) in runs.unread.items()
    ]
    return {"path": runs.path, "runs": described_runs, "tags": tags}


def _describe_values(entry: TagEntry, problems: Problems) -> dict[str, object]:
    described: dict[str, object] = {
        "steps": entry.series.steps.tolist(),
        "wall_times": [number_json(wall_time) for wall_time in entry.series.wall_times.tolist()],
    }
    if entry.kind == "scalars":
        described["values"] = values_json(entry.series.values)
    elif entry.kind == "text":
        values = readable_values(entry, 0, problems)
        described["values"] = [None if texts is None else texts.tolist() for texts in values]
    return described


def _describe_run(name: str, events: EventLog, problems: Problems) -> dict[str, object]:
    described: dict[str, object] = {
        "run": name,
        "path": events.path,
        "files": list(events.files),
        "events": events.num_events,
        "version": events.version,
        "writer": events.writer,
        "graphs": events.others.get("graph_def", 0),
        "meta_graphs": events.others.get("meta_graph_def", 0),
        "hparams": None,
        "damage": [
            {"file": each.file, "offset": each.offset, "skipped": each.skipped, "error": describe(each.error)}
            for each in events.damage
        ],
        "incomplete": events.tails,
    }
    try:
        described["hparams"] = _describe_hparams(events.hparams)
    except FAILURES as error:
        problems.report(error, source_of(events))
        described["error"] = describe(error)
    return described


def _describe_hparams(hparams: HParams | None) -> dict[str, object] | None:
    if hparams is None:
        return None
    return {
        name: {key: number_json(item) for key, item in value.items()}
        if isinstance(value, dict)
        else number_json(value)
        for name, value in asdict(hparams).items()
    }
