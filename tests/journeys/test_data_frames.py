"""The scalars of training runs as a table of another program."""

from __future__ import annotations

import csv

import numpy as np
import pytest

from tests.support.journeys import Journey


def test_a_data_frame(journey: Journey) -> None:
    pytest.importorskip("pandas")
    journey.bring("tests/data/events/restarted", "run")
    frame = journey.python("import ckptfmt\nframe = ckptfmt.open_events('run').to_pandas(wide=True)")["frame"]
    assert "loss" in frame.columns
    assert frame.index.name == "step"
    assert journey.commands == 1


def test_a_file_for_a_spreadsheet(journey: Journey) -> None:
    journey.bring("tests/data/events", "runs")
    journey.shell("ckptfmt events runs --export runs.csv")
    with open("runs.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert {row["run"] for row in rows} == {"tf1", "tf2", "restarted"}
    assert all(np.isfinite(float(row["value"])) for row in rows)
    assert journey.commands == 1
