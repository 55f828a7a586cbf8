"""The cache of templates: what it keeps stays bounded, and what exceeds a bound is left to protobuf."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from ckptfmt.events.scalars import cache
from ckptfmt.events.scalars.cache import TemplateCache
from ckptfmt.proto import messages
from ckptfmt.record.batch import Batch
from tests.support.records import frame


def batch_of(bodies: Sequence[bytes]) -> Batch:
    """A batch of events without headers: each is nothing but its body."""
    frames = [frame(body) for body in bodies]
    return Batch(b"".join(frames), 0, np.cumsum([0, *map(len, frames)]))


def body(*tags: str, value: float = 1.0) -> bytes:
    event = messages.Event()
    for tag in tags:
        event.summary.value.add(tag=tag, simple_value=value)
    data: bytes = event.SerializeToString()
    return data


def match(templates: TemplateCache, *bodies: bytes) -> tuple[list[tuple[list[int], list[str]]], list[int]]:
    """The records of each group with the first tag of each, and the other records."""
    (size,) = {len(each) for each in bodies}
    groups, others = templates.match(batch_of(bodies), np.arange(len(bodies)), size)
    found = []
    for known, records, _, layouts in groups:
        found.append((records.tolist(), [known.layouts[layout].tags[0] for layout in layouts.tolist()]))
    return found, others.tolist()


# Three templates of one size: one scalar, or two whose tags have different lengths.
ONE, TWO, OTHER = body("x" * 12), body("ab", "c"), body("a", "bc")


def test_records_are_grouped_by_template_and_layout() -> None:
    assert len(ONE) == len(TWO) == len(OTHER)
    found, others = match(TemplateCache(), ONE, TWO, ONE, body("xy", "z"), OTHER, body("y" * 12))
    assert found == [([0, 2, 5], ["x" * 12, "x" * 12, "y" * 12]), ([1, 3], ["ab", "xy"])]
    # One body left is not worth a template.
    assert others == [4]


def test_a_known_template_needs_only_one_body() -> None:
    templates = TemplateCache()
    assert match(templates, ONE, ONE)[0]
    assert len(ONE) in templates
    assert match(templates, ONE) == ([([0], ["x" * 12])], [])


def test_bodies_without_a_template_are_not_remembered() -> None:
    templates = TemplateCache()
    unknown = [bytes(len(ONE))] * (cache.MAX_FAILURES + 3)
    assert match(templates, *unknown) == ([], list(range(len(unknown))))
    assert len(ONE) not in templates
    # After so many failures nothing more is tried in this batch.
    found, others = match(templates, *unknown, ONE, ONE)
    assert (found, len(others)) == ([], len(unknown) + 2)


def test_the_templates_of_a_size_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "MAX_TEMPLATES", 2)
    templates = TemplateCache()
    found, others = match(templates, *[ONE] * 3, *[TWO] * 3, *[OTHER] * 3)
    assert (len(found), others) == (2, [6, 7, 8])
    # One that fits nothing when it is tried makes room in the next batch.
    assert match(templates, TWO, OTHER, OTHER)[1] == [1, 2]
    found, others = match(templates, TWO, OTHER, OTHER)
    assert ([records for records, _ in found], others) == ([[0], [1, 2]], [])


def test_the_layouts_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "MAX_LAYOUTS", 6)
    bodies = [body(chr(ord("a") + number) * 12) for number in range(9)]
    templates = TemplateCache()
    found, others = match(templates, *bodies)
    assert (found[0][0], others) == ([0, 1, 2, 3, 4, 5], [6, 7, 8])
    found, others = match(templates, *reversed(bodies))
    assert (len(found[0][0]), others) == (6, [0, 1, 2])


def test_layouts_are_found_whether_compared_or_looked_up() -> None:
    tags = [chr(ord("a") + number % 20) * 12 for number in range(200)]
    found, others = match(TemplateCache(), *map(body, tags))
    assert (found, others) == ([(list(range(200)), tags)], [])
