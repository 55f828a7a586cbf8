"""Cells of a notebook that end with an object. tests/notebook/test_execution.py runs some in a kernel."""

from __future__ import annotations

import pytest

from tests.support.html_pages import Page
from tests.support.journeys import ROOT, Journey

START = f"""
import ckptfmt
ckpt = ckptfmt.open({str(ROOT / "examples" / "digits")!r})
events = ckptfmt.open_events({str(ROOT / "tests" / "data" / "events" / "tf2")!r})
model = ckptfmt.open_saved_model({str(ROOT / "tests" / "data" / "golden" / "saved_model" / "model")!r})
"""


@pytest.mark.parametrize(
    ("cell", "shown"),
    [
        ("ckpt", "save_counter"),
        ("ckpt.weights", "digits/conv1/kernel"),
        ("ckpt.weights.entries", "digits/conv1/kernel"),
        ("ckpt.object_graph", "optimizer"),
        ("ckpt.verify()", "OK"),
        ("ckptfmt.match(ckpt, ckpt)", "matched"),
        ("events", "loss"),
        ("events.scalars['loss']", "loss"),
        ("model", "serving_default"),
        ("model.meta_graph", "serving_default"),
        ("model.signatures", "serving_default"),
        ("model.variables", "w"),
    ],
)
def test_a_cell_shows_a_card(journey: Journey, cell: str, shown: str) -> None:
    journey.python(START)
    commands = journey.commands
    value = journey.python(f"value = {cell}")["value"]
    assert shown in Page(value._repr_html_()).text
    assert journey.commands == commands + 1
