"""Training runs that a command looks into: read, and the tags that are found in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from itertools import islice
from typing import Any, NamedTuple

import numpy as np

import ckptfmt
from ckptfmt import EventLog, Scalars, errors
from ckptfmt.cli.failures import FAILURES, Problems, describe
from ckptfmt.cli.render.progress import ProgressBar
from ckptfmt.cli.render.values import number_json
from ckptfmt.text.patterns import matcher

KINDS = ("scalars", "histograms", "images", "audio", "text", "tensors")
"""What tags are of; hyperparameters belong to a run, though they are stored under tags."""

GAP = 1.5
"""A step is missing where the next one is more than so many usual distances away."""

MAX_GAPS = 20
"""Gaps of a tag that are listed."""

MAX_COMPARED = 1000
"""A tag that is not there is compared with so many, so that the error comes at once."""


class Runs(NamedTuple):
    """The runs below a path."""

    path: str
    read: dict[str, EventLog]
    """By name those that could be read."""
    unread: dict[str, tuple[str, BaseException]]
    """By name where the others are, and why they could not."""

    @property
    def many(self) -> bool:
        """Whether it must be said of a tag which run it is of."""
        return len(self.read) + len(self.unread) > 1


class Found(NamedTuple):
    """What is known of one tag of a run."""

    run: str
    tag: str
    kind: str
    series: Any
    """Its values; None where they could not be had."""
    place: str
    """Where it is from, see :func:`place_of`."""
    error: BaseException | None = None
    """Why they could not."""

    def describe(self) -> dict[str, object]:
        """Return it for JSON."""
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


def gaps(steps: np.ndarray[Any, Any]) -> list[list[int]]:
    """Return pairs of steps between which some are missing: more than the usual distance lies between."""
    known = np.unique(steps)
    # Without a sign, since steps may lie further apart than an int64 can say.
    distances = np.diff(known.astype(np.uint64)).astype(np.float64)
    if len(distances) < 2:
        return []
    wide = np.flatnonzero(distances > GAP * float(np.median(distances)))
    return [[int(known[i]), int(known[i + 1])] for i in wide[:MAX_GAPS].tolist()]


def restarts(steps: np.ndarray[Any, Any]) -> int:
    """Return how often the program began again: how often a step is less than the one before."""
    return int((steps[1:] < steps[:-1]).sum())


def find_places(path: str) -> dict[str, str]:
    """Return where the runs below a path are, by name; PathNotFoundError where there are none."""
    places = ckptfmt.find_runs(path)
    if not places:
        raise errors.PathNotFoundError("no event file in this directory or below", file=path)
    return places


def place_of(events: EventLog) -> str:
    """Return what errors that name no file are said to be of: the file of a run, or its directory."""
    return events.files[0] if len(events.files) == 1 else events.path


def read_runs(path: str, problems: Problems) -> Runs:
    """Read the runs below a path; one of several that cannot be read is told, and the others are there."""
    places = find_places(path)
    runs = Runs(path, {}, {})
    with ProgressBar("reading") as progress:
        for name, place in places.items():
            try:
                events = ckptfmt.open_events(place, strict=problems.strict)
                events.gather(progress)
            except FAILURES as error:
                if len(places) == 1:
                    raise
                problems.tell(error, place)
                runs.unread[name] = place, error
            else:
                runs.read[name] = events
    return runs


def find(runs: Runs, patterns: Sequence[str], problems: Problems) -> list[Found]:
    """Return the tags that match any pattern, all where there are none.

    A tag that holds values of several kinds is there for each. One whose values cannot be had is told.
    NameNotFoundError where a pattern matches nothing.
    """
    series = {run: _by_tag(events) for run, events in runs.read.items()}
    check_patterns(runs.path, [tag for by_tag in series.values() for tag in by_tag], patterns, "tag")
    matches = matcher(patterns) if patterns else None
    found = []
    for run, by_tag in series.items():
        place = place_of(runs.read[run])
        for tag, of_kind in by_tag.items():
            for kind, mapping in of_kind.items() if matches is None or matches(tag) else ():
                try:
                    found.append(Found(run, tag, kind, mapping[tag], place))
                except FAILURES as error:
                    problems.tell(error, place)
                    found.append(Found(run, tag, kind, None, place, error))
    return found


def _by_tag(events: EventLog) -> dict[str, dict[str, Mapping[str, Any]]]:
    """Of each tag, in the order in which they came, the mappings by kind that it is in."""
    by_tag: dict[str, dict[str, Mapping[str, Any]]] = {tag: {} for tag in events.tags}
    for kind in KINDS:
        # Once: it is made anew whenever it is asked for.
        mapping = getattr(events, kind)
        for tag in mapping:
            by_tag.setdefault(tag, {})[kind] = mapping
    return {tag: of_kind for tag, of_kind in by_tag.items() if of_kind}


def check_patterns(path: str, names: Sequence[str], patterns: Sequence[str], noun: str) -> None:
    """Raise NameNotFoundError where a pattern matches none of the names."""
    for pattern in patterns:
        if not any(map(matcher([pattern]), names)):
            close = get_close_matches(pattern, islice(dict.fromkeys(names), MAX_COMPARED), 3)
            raise errors.NameNotFoundError(pattern, file=path, close_matches=close, noun=noun)
