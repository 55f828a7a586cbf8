"""The runs below a path, read, and the tags in them that a user asks for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import ckptfmt
from ckptfmt import EventLog, Scalars, errors
from ckptfmt.cli.failures import FAILURES, Problems, describe
from ckptfmt.cli.options import given_limits
from ckptfmt.cli.render.progress import ProgressBar
from ckptfmt.cli.render.values import number_json
from ckptfmt.cli.verbs.events.steps import gaps, restarts
from ckptfmt.events.classify import KINDS
from ckptfmt.filetype.refusal import instead_in, with_hints
from ckptfmt.storage.local import LOCAL
from ckptfmt.text.closest import closest_names
from ckptfmt.text.patterns import matcher


class Runs(NamedTuple):
    """The runs below a path."""

    path: str
    read: dict[str, EventLog]
    """Runs that could be read, by name."""
    unread: dict[str, tuple[str, BaseException]]
    """The path of each other run, and why it could not be read, by name."""

    @property
    def are_several(self) -> bool:
        """Whether the output must say which run a tag is from."""
        return len(self.read) + len(self.unread) > 1


class TagEntry(NamedTuple):
    """A tag of a run, with its values of one kind."""

    run: str
    tag: str
    kind: str
    series: Any
    """Its values; None if they cannot be read."""
    source: str
    """The file or directory of the run: see :func:`source_of`."""
    error: BaseException | None = None
    """Why the values cannot be read."""

    def describe(self) -> dict[str, object]:
        """Return the entry for JSON, without values."""
        described: dict[str, object] = {"run": self.run, "tag": self.tag, "kind": self.kind}
        if self.error is not None:
            return described | {"error": describe(self.error)}
        steps = self.series.steps
        described |= {
            "plugin": self.series.metadata.plugin,
            "count": len(steps),
            "first_step": int(steps.min()) if len(steps) else None,
            "last_step": int(steps.max()) if len(steps) else None,
            "restarts": restarts(steps),
            "gaps": gaps(steps),
        }
        if isinstance(self.series, Scalars) and len(self.series):
            described["last"] = number_json(float(self.series.values[-1]))
        return described


def run_paths(path: str) -> dict[str, str]:
    """Return the paths of the runs below a path by name; PathNotFoundError if there are none."""
    paths = ckptfmt.find_runs(path, limits=given_limits())
    if not paths:
        what = with_hints("no event file in this directory or below", [instead_in(LOCAL, path) or ""])
        raise errors.PathNotFoundError(what, file=path)
    return paths


def source_of(events: EventLog) -> str:
    """Return the place of errors that do not name a file: the only file of a run, or its directory."""
    return events.files[0] if len(events.files) == 1 else events.path


def read_runs(path: str, problems: Problems) -> Runs:
    """Read the runs below a path. If one of several cannot be read, it is reported, and the rest are read."""
    paths = run_paths(path)
    runs = Runs(path, {}, {})
    with ProgressBar("reading") as progress:
        for name, run_path in paths.items():
            try:
                # The damage is reported from the log's list, so warnings would repeat it.
                events = ckptfmt.open_events(
                    run_path, strict=problems.strict, on_damage=lambda damage: None, limits=given_limits()
                )
                events.gather(progress)
            except FAILURES as error:
                if len(paths) == 1:
                    raise
                problems.report(error, run_path)
                runs.unread[name] = run_path, error
            else:
                runs.read[name] = events
    return runs


def find_tags(runs: Runs, patterns: Sequence[str], problems: Problems) -> list[TagEntry]:
    """Return the tags that match any pattern, or all without patterns.

    A tag with values of several kinds has an entry for each. Values that cannot be read are reported, and
    their entry has the error. Raises NameNotFoundError if a pattern matches nothing.
    """
    series = {run: _series_by_tag(events) for run, events in runs.read.items()}
    check_patterns(runs.path, [tag for by_tag in series.values() for tag in by_tag], patterns, "tag")
    matches = matcher(patterns) if patterns else None
    entries = []
    for run, by_tag in series.items():
        source = source_of(runs.read[run])
        for tag, by_kind in by_tag.items():
            for kind, mapping in by_kind.items() if matches is None or matches(tag) else ():
                try:
                    entries.append(TagEntry(run, tag, kind, mapping[tag], source))
                except FAILURES as error:
                    problems.report(error, source)
                    entries.append(TagEntry(run, tag, kind, None, source, error))
    return entries


def _series_by_tag(events: EventLog) -> dict[str, dict[str, Mapping[str, Any]]]:
    """Return each tag in the order of first values, with the mappings of its kinds."""
    by_tag: dict[str, dict[str, Mapping[str, Any]]] = {tag: {} for tag in events.tags}
    for kind in KINDS:
        mapping = getattr(events, kind)
        for tag in mapping:
            by_tag.setdefault(tag, {})[kind] = mapping
    return {tag: by_kind for tag, by_kind in by_tag.items() if by_kind}


def check_patterns(path: str, names: Sequence[str], patterns: Sequence[str], noun: str) -> None:
    """Raise NameNotFoundError if a pattern matches none of the names."""
    for pattern in patterns:
        if not any(map(matcher([pattern]), names)):
            close = closest_names(pattern, dict.fromkeys(names))
            raise errors.NameNotFoundError(pattern, file=path, close_matches=close, noun=noun)
