"""What paths lead to: files of every kind, files of the corpus, golden files, directories and prefixes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ckptfmt.filetype import kinds
from ckptfmt.filetype.kinds import EVENTS, Holds
from ckptfmt.filetype.paths import recognise_path
from ckptfmt.storage.local import LOCAL
from tests.support.corpus import CORPUS, entries
from tests.support.file_kinds import SAMPLES, Sample
from tests.support.golden import GOLDEN

WANTED = {
    "frozen_graph": Holds.GRAPH,
    "graph_pbtxt": Holds.GRAPH,
    "meta_graph": Holds.META_GRAPH,
    "saved_model": Holds.SAVED_MODEL,
    "checkpoint_v1": Holds.CHECKPOINT,
    "bundle_v2": Holds.CHECKPOINT,
}


@pytest.mark.parametrize("sample", SAMPLES.values(), ids=list(SAMPLES))
def test_every_sample_is_recognised(sample: Sample, tmp_path: Path) -> None:
    assert recognise_path(LOCAL, str(sample.make(tmp_path))) is sample.kind


@pytest.mark.parametrize("entry", entries(*WANTED, "events"))
def test_every_file_of_the_corpus_is_recognised(entry: dict[str, Any]) -> None:
    kind = recognise_path(LOCAL, str(CORPUS / entry["path"]))
    assert kind is not None
    assert kind is EVENTS if entry["kind"] == "events" else kind.holds is WANTED[entry["kind"]]
    if entry["kind"] == "saved_model":
        (message,) = (CORPUS / entry["path"]).glob("saved_model.pb*")
        kind = recognise_path(LOCAL, str(message))
        assert kind is not None
        assert kind.holds is Holds.SAVED_MODEL


def test_every_golden_file_is_of_a_checkpoint_or_beside_one() -> None:
    for path in GOLDEN.rglob("*"):
        kind = recognise_path(LOCAL, str(path))
        suffix = path.suffix
        if suffix == ".meta":
            assert kind is kinds.META_GRAPH
        elif suffix == ".index":
            assert kind is kinds.INDEX
        elif path.name == "checkpoint":
            assert kind is kinds.STATE


def test_a_message_of_another_program_is_of_no_kind(tmp_path: Path) -> None:
    (tmp_path / "debug_info").write_bytes(b"\x0a\x0b/usr/lib/x.py\x12\x00")
    assert recognise_path(LOCAL, str(tmp_path / "debug_info")) is None
