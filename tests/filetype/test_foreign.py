"""Files of other programs: each is called what it is, by every function and verb, with what reads it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import ckptfmt
from ckptfmt.errors import CkptfmtError, UnsupportedError
from ckptfmt.filetype.kinds import KINDS, Kind
from ckptfmt.filetype.paths import recognise_path
from ckptfmt.storage.local import LOCAL
from tests.support.command_line import run
from tests.support.file_kinds import SAMPLES, named
from tests.support.foreign_files import FILES, Content, make

CASES = [(what, name, content) for what, files in FILES.items() for name, content in files.items()]
EACH_FILE = pytest.mark.parametrize(
    ("what", "name", "content"), CASES, ids=[f"{what}: {name}" for what, name, _ in CASES]
)
OPENERS: dict[str, Callable[[Path], Any]] = {
    "open": ckptfmt.open,
    "read_graph": ckptfmt.read_graph,
    "read_meta_graph": ckptfmt.read_meta_graph,
    "open_saved_model": ckptfmt.open_saved_model,
    "open_events": lambda path: list(ckptfmt.open_events(path)),
    "open_records": lambda path: list(ckptfmt.open_records(path)),
}
LOGS = ("open_events", "open_records")


def may_be_records(path: Path) -> bool:
    """Whether a file may hold records or events: one that is compressed, or that has hardly been written."""
    return path.is_file() and (path.stat().st_size < 4 or path.read_bytes()[:2] == b"\x1f\x8b")


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.what)
def test_every_kind_has_a_test_file(kind: Kind) -> None:
    assert kind.what in FILES or any(sample.kind is kind for sample in SAMPLES.values())


@EACH_FILE
def test_a_file_is_recognised(what: str, name: str, content: Content, tmp_path: Path) -> None:
    kind = recognise_path(LOCAL, str(make(content, tmp_path / name)))
    assert kind is not None
    assert kind.what == what


@pytest.mark.parametrize("what", ["a Keras model (.keras)", "a Keras model in HDF5 (.h5)"])
def test_keras_files_are_sent_to_the_verb_that_brings_them_to_keras_3(what: str) -> None:
    assert "'ckptfmt convert' makes a model of Keras 2 one of Keras 3" in named(what).reader


@EACH_FILE
def test_every_function_says_what_a_file_is(what: str, name: str, content: Content, tmp_path: Path) -> None:
    path = make(content, tmp_path / name)
    reader = named(what).reader
    for opener, function in OPENERS.items():
        if opener in LOGS and may_be_records(path):
            continue
        with pytest.raises(CkptfmtError) as caught:
            function(path)
        assert caught.value.file == str(path)
        assert what in caught.value.what
        assert reader in caught.value.what
        assert isinstance(caught.value, UnsupportedError) or (opener in LOGS and path.is_dir())


@EACH_FILE
@pytest.mark.parametrize("verb", ["ls", "graph", "model", "events", "records"])
def test_every_verb_says_what_a_file_is(
    verb: str, what: str, name: str, content: Content, tmp_path: Path
) -> None:
    path = make(content, tmp_path / name)
    if verb in ("events", "records") and may_be_records(path):
        return
    if verb == "ls" and (named(what).tensors is not None or name.endswith(".safetensors.index.json")):
        return  # it lists the tensors
    result = run(verb, path)
    assert result.exit_code in (3, 4)
    (line,) = result.stderr.splitlines()
    assert str(path) in line
    assert what in line
    assert named(what).reader in line
