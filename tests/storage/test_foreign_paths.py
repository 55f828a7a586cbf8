"""Paths that are not this machine's: every opener and verb says so in one sentence."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ckptfmt
from ckptfmt import compat
from ckptfmt.errors import CheckpointNotFoundError, NotWritableError, PathNotFoundError
from tests.support.command_line import run
from tests.support.event_log import frame, scalar
from tests.support.memory_filesystem import MemoryFilesystem
from tests.support.table_writer import encode_v1, write_bundle

NOT_READ = "remote paths are not read: copy the files here first"
NOT_EXPANDED = "'~' is not expanded: pass os.path.expanduser(path)"

OPENERS: dict[str, Callable[[str], Any]] = {
    "open": ckptfmt.open,
    "open_events": ckptfmt.open_events,
    "open_records": lambda path: list(ckptfmt.open_records(path)),
    "open_saved_model": ckptfmt.open_saved_model,
    "find_runs": ckptfmt.find_runs,
    "read_graph": ckptfmt.read_graph,
    "read_meta_graph": ckptfmt.read_meta_graph,
    "read_checkpoint_state": ckptfmt.read_checkpoint_state,
    "Plan.read": ckptfmt.Plan.read,
    "match": lambda path: ckptfmt.match(path, {"w": np.zeros(1)}),
    "load_checkpoint": compat.load_checkpoint,
    "NewCheckpointReader": compat.NewCheckpointReader,
    "summary_iterator": lambda path: list(compat.summary_iterator(path)),
}

VERBS = [
    *(["ls"], ["show", "w"], ["tree"], ["verify"], ["events"], ["graph"], ["model"]),
    *(["freeze", "-o", "out.pb"], ["match", "b"]),
]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("opener", OPENERS.values(), ids=OPENERS)
@pytest.mark.parametrize(
    ("path", "what"),
    [
        ("gs://bucket/model.ckpt-1", f"{NOT_READ}, for example with 'gsutil cp'"),
        ("~/model.ckpt-1", NOT_EXPANDED),
        ("~somebody/model.ckpt-1", NOT_EXPANDED),
        ("~", NOT_EXPANDED),
    ],
)
def test_every_opener_says_so(opener: Callable[[str], Any], path: str, what: str) -> None:
    with pytest.raises(PathNotFoundError) as caught:
        opener(path)
    assert caught.value.what == what
    assert (caught.value.file or "").startswith(path)


@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: verb[0])
@pytest.mark.parametrize(("path", "what"), [("gs://b/m", NOT_READ), ("~/m", NOT_EXPANDED)])
def test_every_verb_says_so(verb: list[str], path: str, what: str) -> None:
    result = run(verb[0], path, *verb[1:])
    assert result.exit_code == 4
    assert result.stderr.startswith(f"ckptfmt: {path}: {what}")
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "path",
    [
        *("s3://b/m", "s3a://b/m", "hdfs://host/m", "http://x/m", "https://huggingface.co/a/b", "hf://a/b"),
        *(
            "dbfs:/a/b",
            "abfs://c@a/m",
            "abfss://c@a/m",
            "wasbs://c@a/m",
            "S3://b/m",
            "file://host/m",
            "gs://",
        ),
        *("gs://b/m.index", "gs://b/dir/", "gs://b/m-*"),
    ],
)
def test_every_scheme_is_recognised(path: str) -> None:
    with pytest.raises(CheckpointNotFoundError, match=NOT_READ) as caught:
        ckptfmt.open(path)
    assert caught.value.file == path
    assert caught.value.tried == (path,)


@pytest.mark.parametrize("path", ["C:/models/m", "C:\\models\\m", "C://m", "a:b", "~m", "x~/m"])
def test_other_paths_are_missing_as_before(path: str) -> None:
    with pytest.raises(CheckpointNotFoundError, match="no checkpoint found: tried"):
        ckptfmt.open(path)


@pytest.mark.parametrize("path", ["gs://bucket/run", "~/run"])
def test_what_asks_whether_something_exists_says_no(path: str) -> None:
    assert ckptfmt.latest_checkpoint(path) is None
    assert compat.latest_checkpoint(path) is None
    assert compat.get_checkpoint_state(path) is None
    assert not compat.checkpoint_exists(path)


@pytest.mark.parametrize("directory", ["gs:", "~", "~somebody"])
def test_a_directory_of_such_a_name_is_a_directory(directory: str) -> None:
    Path(directory).mkdir()
    write_bundle(f"{directory}/m")
    for path in (f"{directory}/m", f"{directory}//m"):
        assert ckptfmt.open(path).verify().ok
    with pytest.raises(CheckpointNotFoundError, match=r"did you mean|available"):
        ckptfmt.open(f"{directory}/mm")


def test_a_name_may_begin_with_a_tilde() -> None:
    write_bundle("~m")
    assert ckptfmt.open("~m").verify().ok


@pytest.mark.parametrize(
    ("path", "what"),
    [
        ("gs://bucket/plan.toml", "remote paths are not written: write the file here, and copy it"),
        ("~/plan.toml", NOT_EXPANDED),
    ],
)
def test_writers_say_so_too(path: str, what: str) -> None:
    with pytest.raises(NotWritableError) as caught:
        ckptfmt.Plan([]).write(path)
    assert caught.value.what == what


def test_another_file_system_knows_its_own_paths() -> None:
    fs = MemoryFilesystem({"gs://bucket/v1": encode_v1()})
    assert list(ckptfmt.open("gs://bucket/v1", fs=fs)) == ["w"]
    with pytest.raises(CheckpointNotFoundError, match="no checkpoint found: tried"):
        ckptfmt.open("gs://bucket/v2", fs=fs)


@pytest.mark.parametrize("scheme", ["file://", "file://localhost", "FILE://"])
def test_file_urls_are_paths(scheme: str, tmp_path: Path) -> None:
    url = f"{scheme}{tmp_path.as_posix()}"
    Path("run").mkdir()
    write_bundle("run/m-0")
    Path("run/checkpoint").write_text('model_checkpoint_path: "m-0"')
    Path("run/v1-a").write_bytes(encode_v1())
    Path("run/events.out.tfevents.1.host").write_bytes(frame(scalar("loss", 0.5, 1).SerializeToString()))
    for path in ("run/m-0", "run/m-0.index", "run", "run/checkpoint", "run/v1-a", "run/v1-*", "*/v1-*"):
        ckpt = ckptfmt.open(f"{url}/{path}")
        assert ckpt.prefix.startswith(url)
        assert ckpt.verify().ok
    assert ckptfmt.latest_checkpoint(f"{url}/run") == os.path.join(f"{url}/run", "m-0")
    assert list(ckptfmt.open_events(f"{url}/run").scalars) == ["loss"]
    assert len(list(ckptfmt.open_records(f"{url}/run/events.*"))) == 1
    assert run("ls", f"{url}/run").exit_code == 0
    with pytest.raises(CheckpointNotFoundError, match=f"did you mean '{url}/run/m-0'"):
        ckptfmt.open(f"{url}/run/m-1")
