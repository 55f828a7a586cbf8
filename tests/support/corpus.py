"""The corpus: checkpoints, graphs and event files made by other people, kept outside this repository.

It is in the folder ``../shared/corpus`` next to the repository, or in the one that ``CKPTFMT_CORPUS`` names.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
from pathlib import Path
from typing import Any

import pytest

import ckptfmt
from ckptfmt.errors import CkptfmtError

CORPUS = Path(
    os.environ.get("CKPTFMT_CORPUS") or Path(__file__).parent.parent.parent.parent / "shared" / "corpus"
)

CHECKPOINT_KINDS = ("bundle_v2", "checkpoint_v1", "saved_model")
"""Kinds of entries that may hold variables."""

GRAPH_FILES = sorted(path for path in CORPUS.rglob("*") if path.suffix in (".pb", ".pbtxt", ".meta", ".txt"))
"""Files that may be graphs; some are not, and TensorFlow cannot read all of the others."""


def load_manifest() -> list[dict[str, Any]]:
    """Return the manifest's entries: ``name``, ``kind``, ``path``, ``files``, …; without a corpus, none."""
    manifest = CORPUS / "MANIFEST.json"
    if not manifest.is_file():
        return []
    entries: list[dict[str, Any]] = json.loads(manifest.read_text(encoding="utf-8"))
    return entries


def load_expected(name: str) -> dict[str, Any]:
    """Return what TensorFlow reads from an entry: names, dtypes, shapes and digests."""
    expected: dict[str, Any] = json.loads((CORPUS / "expected" / f"{name}.json").read_text(encoding="utf-8"))
    return expected


def entries(*kinds: str) -> list[Any]:
    """Return the entries of these kinds as marked parameters of a test; without a corpus, one to skip."""
    found = [entry for entry in load_manifest() if entry["kind"] in kinds]
    if not found:
        reason = f"no corpus at {CORPUS}; set CKPTFMT_CORPUS"
        return [pytest.param(None, marks=[pytest.mark.corpus, pytest.mark.skip(reason=reason)], id="none")]
    return [pytest.param(entry, marks=pytest.mark.corpus, id=entry["name"]) for entry in found]


def corpus_path(folder: str) -> Path:
    """Return the path of a folder of the corpus; the test is skipped if it is not there."""
    path = CORPUS / folder
    if not path.exists():
        pytest.skip(f"no {path}; set CKPTFMT_CORPUS")
    return path


@functools.cache
def read_graphs() -> dict[Path, ckptfmt.Graph]:
    """Return the graphs of the corpus that can be read, by file."""
    graphs = {}
    for path in GRAPH_FILES:
        with contextlib.suppress(CkptfmtError):
            graphs[path] = ckptfmt.read_graph(path)
    return graphs


def has_variables(entry: dict[str, Any]) -> bool:
    """Whether an entry holds a checkpoint."""
    return entry["kind"] != "saved_model" or any(file.endswith(".index") for file in entry["files"])
