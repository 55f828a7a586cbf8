"""``ckptfmt PATH``, the verbs that people guess, and help, as users see them."""

from __future__ import annotations

import json
import shlex
import shutil
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ckptfmt import __version__
from ckptfmt.cli.app import GUESSES, VERBS
from ckptfmt.proto import messages
from tests.support.command_line import run, run_json
from tests.support.corpus import CHECKPOINT_KINDS, CORPUS, corpus_path, entries, load_expected
from tests.support.event_log import VERSION, scalar, write_events
from tests.support.table_writer import encode_v1, write_bundle

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
    assert shown["in all"] == "11,586 parameters, 49.4 KiB in 31 tensors"
    assert shown["beside"] == "ckpt-9"
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
    assert f"1; missing: {tmp_path}/ckpt-9.data-00000-of-00001" in result.stdout
    data = Path(f"{DIGITS}/ckpt-9.data-00000-of-00001").read_bytes()
    (tmp_path / "ckpt-9.data-00000-of-00001").write_bytes(data[:-1])
    result = run(tmp_path / "ckpt-9")
    assert result.exit_code == 3
    assert "file too short: got 4201 bytes" in result.stdout
    assert not run_json(tmp_path / "ckpt-9", code=3)["complete"]


def test_a_data_file_that_is_too_short_is_said_with_the_exit_code_of_damage(tmp_path: Path) -> None:
    prefix = write_bundle(tmp_path / "model", {"w": np.zeros(10, np.float32)})
    data = Path(f"{prefix}.data-00000-of-00001")
    data.write_bytes(data.read_bytes()[:39])
    result = run(prefix)
    assert result.exit_code == 3
    assert "model.data-00000-of-00001 is too short: got 39 bytes, want 40" in result.stdout


def test_the_number_of_a_save_is_not_a_step(tmp_path: Path) -> None:
    shutil.copy(f"{DIGITS}/ckpt-9.index", tmp_path / "ckpt-9.index")
    assert run_json(f"{DIGITS}/ckpt-9")["step"] == 846
    assert run_json(tmp_path / "ckpt-9", code=3)["step"] is None


def test_a_model_without_its_variables_is_not_complete(tmp_path: Path) -> None:
    shutil.copy("tests/data/golden/saved_model/model/saved_model.pb", tmp_path)
    result = run(tmp_path)
    assert result.exit_code == 3
    assert "the model has variables, but their checkpoint is missing" in result.stdout
    check_next(run_json(tmp_path, code=3))


def test_a_version_that_is_empty_is_not_shown(tmp_path: Path) -> None:
    prefix = write_bundle(tmp_path / "model-1")
    meta = messages.MetaGraphDef()
    meta.meta_info_def.tensorflow_version = "1.15.0"
    (tmp_path / "model-1.meta").write_bytes(meta.SerializeToString())
    assert run_json(prefix)["written_by"] == "TensorFlow 1.15.0"
    (tmp_path / "model-1.meta").write_bytes(b"\x0a\x02\x2a\x00")  # the field is there, and empty
    assert run_json(prefix)["written_by"] is None
    model = messages.SavedModel(saved_model_schema_version=1)
    model.meta_graphs.add().meta_info_def.tags.append("serve")
    (tmp_path / "model").mkdir()
    (tmp_path / "model/saved_model.pb").write_bytes(model.SerializeToString())
    assert run_json(tmp_path / "model")["written_by"] is None


def test_damaged_events_are_said(tmp_path: Path) -> None:
    path = write_events(
        tmp_path / "events.out.tfevents.1.h", [VERSION, *(scalar("a", 1, n) for n in range(9))]
    )
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    result = run(tmp_path)
    assert result.exit_code == 3
    assert "1 damaged part" in result.stdout
    path.write_bytes(b"")
    assert lines(path)["kind"] == "TensorBoard events"


def test_a_compressed_file_that_is_damaged_is_an_error_on_one_line(tmp_path: Path) -> None:
    content = bytearray(Path("tests/data/records/sequences.tfrecord.gz").read_bytes())
    content[20:40] = bytes(20)
    (tmp_path / "sequences.tfrecord.gz").write_bytes(content)
    result = run(tmp_path / "sequences.tfrecord.gz")
    assert (result.exit_code, result.stdout, len(result.stderr.splitlines())) == (3, "", 1)


def test_the_number_of_shards_is_not_a_step(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "export-00000-of-00001").write_bytes(encode_v1({"a": np.zeros(2, np.float32)}))
    assert run_json(tmp_path)["step"] is None
    (tmp_path / "sub/export-7-00000-of-00001").write_bytes(encode_v1({"a": np.zeros(2, np.float32)}))
    assert run_json(tmp_path / "sub")["step"] == 7


# --- directories -------------------------------------------------------------------------------------------


def test_a_directory_of_several_checkpoints_lists_them(tmp_path: Path) -> None:
    for step in (1, 2, 10):
        write_bundle(tmp_path / f"model-{step}")
    result = run(tmp_path)
    assert result.exit_code == 0, result.stderr
    document = run_json(tmp_path)
    assert document["kind"] == "directory"
    assert [each["path"] for each in document["contents"]] == ["model-1", "model-2", "model-10"]
    assert document["next"][0] == f"ckptfmt {tmp_path}/model-10"
    check_next(document)


def test_a_directory_shows_what_is_below_it(tmp_path: Path) -> None:
    shutil.copytree("tests/data/golden/saved_model/model", tmp_path / "models" / "net" / "1")
    shutil.copytree("tests/data/events", tmp_path / "logs")
    shutil.copytree(DIGITS, tmp_path / "my run")
    (tmp_path / ".hidden").mkdir()
    shutil.copytree(DIGITS, tmp_path / ".hidden" / "digits")
    (tmp_path / "a").mkdir()
    write_bundle(tmp_path / "a" / "ckpt")
    document = run_json(tmp_path)
    found = {each["path"]: each["kind"] for each in document["contents"]}
    assert found["models/net/1"] == "SavedModel"
    assert found["my run"] == found["a"] == "checkpoint"
    assert found["logs/tf1"] == "TensorBoard events"
    assert not any("hidden" in path for path in found)
    check_next(document)


def test_a_directory_of_nothing_known_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("hello")
    result = run(tmp_path)
    assert (result.exit_code, result.stdout) == (4, "")
    assert "none of its files belongs to one" in result.stderr


def test_a_state_file_without_its_checkpoint_is_an_error(tmp_path: Path) -> None:
    write_bundle(tmp_path / "model-1")
    (tmp_path / "checkpoint").write_text('model_checkpoint_path: "model-2"\n')
    result = run(tmp_path)
    assert result.exit_code == 4
    assert "model-1" in result.stderr


def test_many_runs_are_counted_and_some_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(3):
        write_events(tmp_path / str(number) / "events.out.tfevents.1.h", [VERSION, scalar("loss", 1, number)])
    document = run_json(tmp_path)
    assert [document[key] for key in ("runs", "files", "runs_read", "last_step")] == [3, 3, 3, 2]
    check_next(document)
    monkeypatch.setattr("ckptfmt.cli.verbs.info.document.MAX_RUNS", 2)
    document = run_json(tmp_path)
    assert [document[key] for key in ("runs", "files", "runs_read", "last_step")] == [3, 3, 2, 1]
    assert "those of 2 runs" in run(tmp_path).stdout
    monkeypatch.setattr("ckptfmt.cli.verbs.info.document.MAX_RUNS", 1)
    assert "those of 1 run;" in run(tmp_path).stdout


def test_steps_below_zero_are_shown_as_they_are(tmp_path: Path) -> None:
    write_events(tmp_path / "events.out.tfevents.1.h", [VERSION, scalar("loss", 1, -7)])
    assert run_json(tmp_path)["last_step"] == -7


# --- commands to try ---------------------------------------------------------------------------------------


def check_next(document: dict[str, Any]) -> None:
    """Run the commands that are suggested; a warning of ``verify`` is no failure."""
    assert document["next"]
    for command in document["next"]:
        program, *words = shlex.split(command)
        result = run(*words)
        assert (program, result.exit_code in (0, 1)) == ("ckptfmt", True), (command, result.stderr)


@pytest.mark.parametrize(
    "path",
    [
        DIGITS,
        f"{DIGITS}/ckpt-9.index",
        "tests/data/events",
        "tests/data/records/train@2",
        "tests/data/golden/saved_model/model",
        "examples",
    ],
)
def test_commands_to_try_work(path: str) -> None:
    check_next(run_json(path))


@pytest.mark.parametrize("name", ["my model", "it's", "a$b", "a\\b", "-model", "-"])
def test_commands_to_try_work_with_names_that_shells_treat_specially(tmp_path: Path, name: str) -> None:
    shutil.copytree(DIGITS, tmp_path / name)
    check_next(run_json(tmp_path / name))
    text = run(tmp_path / name).stdout
    assert run_json(tmp_path / name)["next"][0] in text


@pytest.mark.corpus
@pytest.mark.parametrize("entry", entries(*CHECKPOINT_KINDS))
def test_the_corpus_is_shown_truly(entry: dict[str, Any]) -> None:
    path = CORPUS / entry["path"]
    result = run(path)
    if result.exit_code == 0:
        assert len(result.stdout.splitlines()) <= 24
        document = run_json(path)
        check_next(document)
        if document.get("all"):
            expected = load_expected(entry["name"])
            expected = expected.get("tensors") or expected["variables"]["tensors"]
            numbers = [each for each in expected if each["dtype"] not in ("string", "variant")]
            assert document["all"]["tensors"] == len(expected)
            assert document["all"]["parameters"] == sum(prod(each["shape"]) for each in numbers)
            assert sum(document["dtypes"].values()) == len(expected)
            parts = [document[part] for part in ("model", "optimizer", "averages", "rest")]
            for what in ("tensors", "parameters", "bytes"):
                assert sum(part[what] for part in parts) == document["all"][what]


# --- several paths -----------------------------------------------------------------------------------------


def test_several_paths(tmp_path: Path) -> None:
    result = run(f"{DIGITS}/ckpt-9", tmp_path / "missing", "tests/data/events")
    assert result.exit_code == 4
    assert result.stdout.count("kind") == 2
    assert "missing" in result.stderr
    document = run_json(f"{DIGITS}/ckpt-9", tmp_path / "missing", code=4)
    assert [each.get("kind", "error" in each) for each in document["paths"]] == [
        "TensorFlow checkpoint, V2, of objects",
        True,
    ]


@pytest.mark.parametrize("verb", ["info", "ls", "verify"])
def test_the_files_that_a_shell_lists_for_a_pattern_are_one_checkpoint(verb: str) -> None:
    files = sorted(Path(DIGITS).glob("ckpt-9*"))
    assert len(files) == 2
    document = run_json(verb, *files)
    assert len(document["paths" if verb == "info" else "checkpoints"]) == 1


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
        ("vars", "ls"),
        ("Summary", "info"),
        ("version", "--version"),
    ],
)
def test_near_verbs_are_suggested(typed: str, verb: str) -> None:
    result = run(typed, DIGITS)
    assert result.exit_code == 2
    assert f"no verb and no file is called {typed!r}; did you mean {verb!r}?" in result.stderr
    assert run("help", typed).exit_code == 2


def test_a_word_that_is_like_no_verb_is_an_error() -> None:
    result = run("xyzzy")
    assert result.exit_code == 2
    assert "no verb and no file is called 'xyzzy'; ckptfmt --help lists the verbs" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [(["ls"], "missing PATH"), (["show", DIGITS], "ckptfmt ls PATH lists names"), (["info"], "PATH...")],
)
def test_what_is_missing_is_said(arguments: list[str], wanted: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert wanted in result.stderr


@pytest.mark.parametrize("words", [[DIGITS], ["ls", DIGITS], ["verify", DIGITS]])
def test_json_may_be_asked_for_before_the_verb(words: list[str]) -> None:
    assert run("--json", *words).stdout == run(*words, "--json").stdout


def test_every_guess_leads_to_a_verb() -> None:
    assert all(verb in VERBS or verb == "--version" for guesses in GUESSES.values() for verb in guesses)
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


def test_a_run_that_cannot_be_read_is_damage(tmp_path: Path) -> None:
    for name, source in (("good", "tf1"), ("bad", "tf2")):
        shutil.copytree(f"tests/data/events/{source}", tmp_path / name)
    for file in (tmp_path / "bad").iterdir():
        file.write_bytes(b"\xff" * 100)
    result = run(tmp_path, "--json")
    document = json.loads(result.stdout)
    assert (result.exit_code, document["complete"], document["runs"]) == (3, False, 2)
