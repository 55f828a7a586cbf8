"""Pictures of graphs and of training runs, for a page or a report."""

from __future__ import annotations

import shutil
import xml.etree.ElementTree as ET

import pytest

from tests.support.journeys import Journey

MODEL = "tests/data/golden/saved_model/model"


@pytest.mark.parametrize(("target", "start"), [("dot", "digraph"), ("mermaid", "flowchart")])
def test_a_graph_as_text(journey: Journey, target: str, start: str) -> None:
    journey.bring(MODEL, "export")
    shown = journey.shell(f"ckptfmt graph export --to {target}").stdout
    assert shown.startswith(start)
    assert "MatMul" in shown
    assert journey.commands == 1


@pytest.mark.skipif(shutil.which("dot") is None, reason="Graphviz is not installed")
def test_a_graph_as_svg(journey: Journey) -> None:
    journey.bring(MODEL, "export")
    root = ET.fromstring(journey.shell("ckptfmt graph export --to svg").stdout)
    assert root.tag.endswith("svg")
    assert journey.commands == 1


@pytest.mark.skipif(shutil.which("dot") is not None, reason="Graphviz is installed")
def test_without_graphviz_one_sentence_says_what_to_do(journey: Journey) -> None:
    journey.bring(MODEL, "export")
    result = journey.shell("ckptfmt graph export --to svg", code=2)
    assert "Graphviz" in result.stderr
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize("suffix", ["svg", "png", "html"])
def test_curves(journey: Journey, suffix: str) -> None:
    pytest.importorskip("matplotlib")
    journey.bring("tests/data/events/tf2", "run")
    journey.shell(f"ckptfmt events run --plot curves.{suffix}")
    assert (journey.folder / f"curves.{suffix}").stat().st_size > 1000
    assert journey.commands == 1


def test_curves_of_nothing_are_an_error(journey: Journey) -> None:
    journey.bring("tests/data/events/tf2", "run")
    result = journey.shell("ckptfmt events run words --plot curves.svg", code=4)
    assert len(result.stderr.splitlines()) == 1
    assert not (journey.folder / "curves.svg").exists()
