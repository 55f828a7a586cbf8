"""The corpus: checkpoints, graphs and event files of other people, which do not lie in this repository.

Its folder is ``../shared/corpus`` beside the repository, or what ``CKPTFMT_CORPUS`` says.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

CORPUS = Path(
    os.environ.get("CKPTFMT_CORPUS") or Path(__file__).parent.parent.parent.parent / "shared" / "corpus"
)

CHECKPOINT_KINDS = ("bundle_v2", "checkpoint_v1", "saved_model")
"""Kinds that may hold variables."""


def load_manifest() -> list[dict[str, Any]]:
    """Return the manifest's entries: ``name``, ``kind``, ``path``, ``files``, …; none if it is not there."""
    manifest = CORPUS / "MANIFEST.json"
    if not manifest.is_file():
        return []
    entries: list[dict[str, Any]] = json.loads(manifest.read_text(encoding="utf-8"))
    return entries


def load_expected(name: str) -> dict[str, Any]:
    """Return what TensorFlow says of an entry: names, dtypes, shapes and digests."""
    expected: dict[str, Any] = json.loads((CORPUS / "expected" / f"{name}.json").read_text(encoding="utf-8"))
    return expected


def entries(*kinds: str) -> list[Any]:
    """Return the entries of these kinds as parameters of a test, marked; a skipped one without a corpus."""
    found = [entry for entry in load_manifest() if entry["kind"] in kinds]
    if not found:
        reason = f"no corpus at {CORPUS}; set CKPTFMT_CORPUS"
        return [pytest.param(None, marks=[pytest.mark.corpus, pytest.mark.skip(reason=reason)], id="none")]
    return [pytest.param(entry, marks=pytest.mark.corpus, id=entry["name"]) for entry in found]


def has_variables(entry: dict[str, Any]) -> bool:
    """Whether an entry has a checkpoint in it."""
    return entry["kind"] != "saved_model" or any(file.endswith(".index") for file in entry["files"])
