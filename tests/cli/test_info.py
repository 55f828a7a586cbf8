"""``ckptfmt PATH``, the verbs that people guess, and help, as users see them."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from ckptfmt import __version__
from ckptfmt.cli.app import GUESSES, VERBS
from tests.support.command_line import run, run_json
from tests.support.corpus import corpus_path
from tests.support.table_writer import write_bundle

DIGITS = "examples/digits"


def lines(path: object) -> dict[str, str]:
    result = run(path)
    assert result.exit_code == 0, result.stderr
    rows = [line.partition("  ") for line in result.stdout.splitlines() if not line.startswith(" ")]
    return {label: text.strip() for label, _, text in rows}


def test_a_path_alone_is_shown_on_one_screen() -> None:
    shown = lines(DIGITS)
    assert shown["kind"] == "TensorFlow checkpoint, V2, of objects"
    assert shown["model"] == "3,882 parameters, 15.2 KiB in 10 tensors"
    assert shown["beside"] == "ckpt-9, checkpoint"
    assert shown["next"] == "ckptfmt ls examples/digits"
    assert len(run(DIGITS).stdout.splitlines()) < 24
    assert run("info", DIGITS).stdout == run(DIGITS).stdout


def test_parts_add_up_to_the_checkpoint(tmp_path: Path) -> None:
    tensors = {
        "w": np.zeros((3, 4), np.float32),
        "w/Adam": np.zeros((3, 4), np.float32),
        "w/Adam_1": np.zeros((3, 4), np.float32),
        "w/ExponentialMovingAverage": np.zeros((3, 4), np.float32),
        "global_step": np.array(120, np.int64),
    }
    document = run_json(write_bundle(tmp_path / "model.ckpt-99", tensors))
    assert document["step"] == 120
    assert document["model"] == {"tensors": 1, "parameters": 12, "bytes": 48}
    assert document["optimizer"] == {"tensors": 2, "parameters": 24, "bytes": 96}
    assert document["averages"] == {"tensors": 1, "parameters": 12, "bytes": 48}
    assert document["rest"] == {"tensors": 1, "parameters": 1, "bytes": 8}
    assert document["dtypes"] == {"float32": 4, "int64": 1}
    assert run_json(write_bundle(tmp_path / "other-99"))["step"] == 99
    assert run_json(write_bundle(tmp_path / "other"))["step"] is None


def test_missing_data_is_said_with_the_exit_code_of_damage(tmp_path: Path) -> None:
    shutil.copy(f"{DIGITS}/ckpt-9.index", tmp_path / "ckpt-9.index")
    result = run(tmp_path / "ckpt-9")
    assert result.exit_code == 3
    assert f"1, of which {tmp_path}/ckpt-9.data-00000-of-00001 not there" in result.stdout
    data = Path(f"{DIGITS}/ckpt-9.data-00000-of-00001").read_bytes()
    (tmp_path / "ckpt-9.data-00000-of-00001").write_bytes(data[:-1])
    assert "file too short: got 4201 bytes" in lines(tmp_path / "ckpt-9")["integrity"]


@pytest.mark.parametrize(
    ("path", "wanted"),
    [
        ("tests/data/events", {"kind": "TensorBoard events", "runs": "3", "last step": "7"}),
        ("tests/data/records/train@2", {"kind": "TFRecord files", "files": "2"}),
        ("tests/data/records/sequences.tfrecord.gz", {"kind": "TFRecord file"}),
    ],
)
def test_other_kinds_of_files(path: str, wanted: dict[str, str]) -> None:
    shown = lines(path)
    assert {key: shown[key] for key in wanted} == wanted


@pytest.mark.corpus
@pytest.mark.parametrize(
    ("path", "wanted"),
    [
        ("unique_mnist", {"written by": "TensorFlow 1.5.0", "step": "20000", "data files": "1"}),
        ("overtopping_ema", {"kind": "SavedModel", "written by": "TensorFlow 1.15.0", "data files": "2"}),
        (
            "speech_frozen/conv_actions_frozen.pb",
            {"kind": "graph", "nodes": "33", "outputs": "labels_softmax"},
        ),
        ("serving_matrix", {"kind": "SavedModel", "signatures": "serving_default"}),
        ("dqn_v1", {"kind": "TensorFlow checkpoint, V1, of names"}),
    ],
)
def test_the_corpus(path: str, wanted: dict[str, str]) -> None:
    shown = lines(corpus_path(path))
    assert {key: shown[key] for key in wanted} == wanted


@pytest.mark.parametrize(
    ("typed", "verb"),
    [
        ("sl", "ls"),
        ("list", "ls"),
        ("dump", "show"),
        ("inspect", "info"),
        ("verfy", "verify"),
        ("evnets", "events"),
    ],
)
def test_near_verbs_are_suggested(typed: str, verb: str) -> None:
    result = run(typed, DIGITS)
    assert result.exit_code == 2
    assert f"no verb and no file is called {typed!r}; did you mean {verb!r}?" in result.stderr
    assert run("help", typed).exit_code == 2


def test_every_guess_leads_to_a_verb() -> None:
    assert all(verb in VERBS for guesses in GUESSES.values() for verb in guesses)
    assert VERBS.keys().isdisjoint(GUESSES)


def test_a_file_that_is_called_like_a_guess_is_a_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_bundle(tmp_path / "list")
    monkeypatch.chdir(tmp_path)
    assert lines("list")["path"] == "list"
    assert run("sub/list").exit_code == 4


@pytest.mark.parametrize("path", ["https://host/model.ckpt", "gs://bucket/model", "s3://bucket/model"])
def test_a_url_is_answered_in_one_sentence(path: str) -> None:
    result = run(path)
    assert result.exit_code != 0
    assert result.stdout == ""
    assert len(result.stderr.splitlines()) == 1
    assert path in result.stderr


def test_both_flags_show_the_version() -> None:
    assert run("-V").stdout == run("--version").stdout == f"ckptfmt {__version__}\n"
