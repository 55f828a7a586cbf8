"""Notebooks as people run them: in a kernel, and in IPython's completion."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest

import ckptfmt
from tests.support.html_pages import Page

ROOT = Path(__file__).parent.parent.parent
DIGITS = ROOT / "examples" / "digits"
PAGE = ROOT / "docs" / "notebooks.md"


@pytest.fixture(scope="module")
def executed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """What each line of the page's examples shows, when it ends a cell of its own."""
    nbclient = pytest.importorskip("nbclient", reason="nox -s notebook runs notebooks")
    pytest.importorskip("ipykernel", reason="nox -s notebook runs notebooks")
    nbformat = pytest.importorskip("nbformat")
    blocks = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    lines = [line.partition("  #")[0].strip() for block in blocks for line in block.splitlines()]
    lines = ["import warnings; warnings.simplefilter('error')", *filter(None, lines)]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(line) for line in lines])
    # A kernel of this environment, whatever others are installed.
    kernels = tmp_path_factory.mktemp("jupyter")
    spec = kernels / "kernels" / "here" / "kernel.json"
    spec.parent.mkdir(parents=True)
    command = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    spec.write_text(json.dumps({"argv": command, "display_name": "here", "language": "python"}))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JUPYTER_PATH", str(kernels))
        patch.setenv("PYTHONPATH", str(ROOT))
        nbclient.NotebookClient(
            notebook, timeout=120, kernel_name="here", resources={"metadata": {"path": str(ROOT)}}
        ).execute()
    nbformat.validate(notebook)
    return {
        cell.source: output.data
        for cell in notebook.cells
        for output in cell.outputs
        if output.output_type == "execute_result"
    }


@pytest.mark.filterwarnings("default")
def test_every_example_of_the_page_shows_a_card(executed: dict[str, dict[str, Any]]) -> None:
    assert len(executed) == 9
    for line, data in executed.items():
        page = Page(data["text/html"])
        assert page.text, line
        assert "ck-error" not in data["text/html"].partition("</style>")[2], line
    assert executed["ckpt"]["text/plain"].startswith("<Checkpoint ")
    assert Page(executed['events.images["pictures"][0]']["text/html"]).sources
    assert Page(executed['events.audio["sound"][0]']["text/html"]).sources


@pytest.mark.filterwarnings("default")
def test_tab_completes_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    interactive = pytest.importorskip("IPython.core.interactiveshell", reason="nox -s notebook has IPython")
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    shell = interactive.InteractiveShell.instance()
    with ckptfmt.open(DIGITS) as ckpt:
        shell.user_ns |= {"ckpt": ckpt, "objects": ckpt.object_graph}
        _, completed = shell.complete('ckpt["save_')
        assert [text.rpartition('"')[2] for text in completed] == ["save_counter/.ATTRIBUTES/VARIABLE_VALUE"]
        _, completed = shell.complete('objects["save_')
        assert [text.rpartition('"')[2] for text in completed] == ["save_counter"]
