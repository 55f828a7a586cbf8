"""Every path to every checkpoint of the corpus."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ckptfmt.checkpoint.directory import Directories
from ckptfmt.checkpoint.find import find_checkpoint
from ckptfmt.checkpoint.scan import scan
from ckptfmt.checkpoint.state_file import latest_checkpoint, read_checkpoint_state
from ckptfmt.errors import CheckpointNotFoundError, UnsupportedError
from ckptfmt.storage.local import LOCAL
from tests.support.corpus import CORPUS, entries, has_variables, load_manifest


def _paths(entry: dict[str, Any]) -> list[Path]:
    """Paths that all lead to the same checkpoint."""
    path = CORPUS / entry["path"]
    if entry["kind"] == "saved_model":
        variables = path / "variables"
        own = [
            CORPUS / file for file in entry["files"] if Path(file).parent == Path(entry["path"], "variables")
        ]
        return [path, path / "saved_model.pb", variables, variables / "variables", *own]
    beside = [
        file for file in path.parent.iterdir() if file.name.startswith(path.name.split("-?????-of-")[0])
    ]
    suffixes = (".index", ".meta", *(f".data-{i:05d}-of-{n:05d}" for n in (1, 2) for i in range(n)))
    own = [file for file in beside if str(file) in {f"{path}{suffix}" for suffix in suffixes}]
    if "?????" in path.name:
        own += [file for file in beside if "-of-" in file.name or file.suffix == ".meta"]
    return [path, *own]


@pytest.mark.parametrize("entry", entries("bundle_v2", "checkpoint_v1", "saved_model"))
def test_every_path_leads_to_the_checkpoint(entry: dict[str, Any]) -> None:
    if not has_variables(entry):
        with pytest.raises(CheckpointNotFoundError, match="a SavedModel without variables"):
            find_checkpoint(CORPUS / entry["path"])
        return
    found = [find_checkpoint(path) for path in _paths(entry)]
    assert len(set(found)) == 1
    assert found[0].format == ("v1" if entry["kind"] == "checkpoint_v1" else "v2")
    assert all(Path(table).is_file() for table in found[0].tables)
    assert not found[0].missing
    assert found[0] in scan(Directories(LOCAL), str(Path(found[0].prefix).parent)).checkpoints


def _directories(kind: str) -> list[Path]:
    return sorted({(CORPUS / entry["path"]).parent for entry in load_manifest() if entry["kind"] == kind})


@pytest.mark.corpus
@pytest.mark.skipif(not CORPUS.is_dir(), reason=f"no corpus at {CORPUS}; set CKPTFMT_CORPUS")
def test_every_directory_leads_to_its_only_or_latest_checkpoint() -> None:
    for directory in {*_directories("bundle_v2"), *_directories("checkpoint_v1")}:
        there = scan(Directories(LOCAL), str(directory)).checkpoints
        state = read_checkpoint_state(directory)
        if state is not None:
            latest = latest_checkpoint(directory)
            assert latest is not None
            assert latest == str(directory / Path(state.model_checkpoint_path).name)
            assert (
                find_checkpoint(directory).prefix
                == latest
                == find_checkpoint(directory / "checkpoint").prefix
            )
            assert state.existing
        elif len(there) == 1:
            assert find_checkpoint(directory) == there[0]
        else:
            with pytest.raises(
                CheckpointNotFoundError, match=f": {len(there)} checkpoints and no file 'checkpoint'"
            ):
                find_checkpoint(directory)


@pytest.mark.parametrize("entry", entries("frozen_graph", "graph_pbtxt", "events"))
def test_other_files_are_reported_as_what_they_are(entry: dict[str, Any]) -> None:
    words = {
        "frozen_graph": r"a GraphDef (\(a graph, perhaps frozen\)|as text)",
        "graph_pbtxt": "a GraphDef as text",
        "events": "a TensorBoard event file",
    }
    with pytest.raises(UnsupportedError, match=f": {words[entry['kind']]}, not a TensorFlow checkpoint: "):
        find_checkpoint(CORPUS / entry["path"])
