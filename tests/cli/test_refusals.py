"""Any kind of file given to any verb: it does its work, or says what the file is and what reads it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support.command_line import run, run_json
from tests.support.corpus import CORPUS
from tests.support.file_kinds import (
    ALL_VERBS,
    GRAPH_VERBS,
    OPEN,
    OPEN_SAVED_MODEL,
    SAMPLES,
    TENSOR_VERBS,
    Sample,
    model_variables,
)
from tests.support.golden import GOLDEN
from tests.support.table_writer import write_bundle

SAFETENSORS = (20).to_bytes(8, "little") + b'{"__metadata__":{}}  '


def arguments(verb: str, path: Path | str, elsewhere: Path) -> list[object]:
    """A command line that gives a path to a verb."""
    if verb == "show":
        return [verb, path, "w"]
    if verb == "plan":
        plan = elsewhere / "plan.toml"
        plan.write_text("version = 1\n")
        return [verb, path, plan]
    if verb == "match":
        return [verb, path, write_bundle(elsewhere / "other")]
    if verb == "match with":
        return ["match", write_bundle(elsewhere / "other"), path]
    if verb in ("freeze", "subgraph"):
        return [verb, path, "-o", elsewhere / "out.pb", "--outputs", "out"]
    return [verb, path]


def check_said(args: list[object], path: Path | str, says: tuple[str, ...]) -> None:
    """Check that a verb refuses a path, says why on one line, and has written nothing."""
    result = run(*args)
    assert result.exit_code in (3, 4), result.output
    assert result.stdout == "" or args[0] == "verify"
    said = result.stdout + result.stderr
    assert len(result.stderr.splitlines()) <= 1
    if os.path.basename(path) != "saved_model.pb":
        assert os.path.basename(path) in said
    for words in says:
        assert words in said
    assert run_json(*args, code=result.exit_code)["error"]["message"] in said


@pytest.mark.parametrize("verb", ALL_VERBS)
@pytest.mark.parametrize("sample", SAMPLES.values(), ids=list(SAMPLES))
def test_a_verb_does_its_work_or_says_which_does(sample: Sample, verb: str, tmp_path: Path) -> None:
    folder, elsewhere = tmp_path / "given", tmp_path / "elsewhere"
    folder.mkdir()
    elsewhere.mkdir()
    path = sample.make(folder)
    args = arguments(verb, path, elsewhere)
    if verb in sample.verbs:
        assert run(*args).exit_code in ((0, 1, 4) if verb == "show" or "match" in verb else (0,))
        return
    if sample.kind is not None and sample.kind.tensors is not None and verb in ("ls", "show", "match with"):
        # They read such files; this one only begins like one.
        result = run(*args)
        assert result.exit_code == 3, result.output
        assert os.path.basename(path) in result.stderr
        return
    says = sample.freeze if verb == "freeze" and sample.freeze else sample.says
    if sample is SAMPLES[".meta alone"]:  # looking for a checkpoint starts from its name
        says = tuple(words for words in says if (words == "MetaGraphDef") is (verb == "model"))[:1]
    check_said(args, path, says)


@pytest.mark.parametrize("verb", [verb for verb in ALL_VERBS if verb not in TENSOR_VERBS])
def test_verbs_that_are_not_about_tensors_alone_say_what_reads_safetensors(verb: str, tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(SAFETENSORS)
    path = tmp_path / "model.safetensors"
    check_said(arguments(verb, path, tmp_path), path, ("a safetensors file, not", "open_tensors reads it"))


# --- files that other programs wrote ---------------------------------------------------------------------

WRITTEN = {
    GOLDEN / "saved_model" / "model" / "fingerprint.pb": ("the fingerprint of a", *OPEN_SAVED_MODEL),
    GOLDEN / "saved_model" / "model" / "assets" / "vocabulary.txt": ("a text file, not",),
    CORPUS / "cartpole_policy" / "fingerprint.pb": ("the fingerprint of a SavedModel", *OPEN_SAVED_MODEL),
    CORPUS / "tfdf_adult_rf" / "keras_metadata.pb": ("the Keras 2 metadata", *OPEN_SAVED_MODEL),
    CORPUS / "lingvo" / "events.out.tfevents.test": (
        "a TensorBoard event file",
        "ckptfmt.open_events reads it",
    ),
}


@pytest.mark.parametrize("verb", [verb for verb in ALL_VERBS if verb != "match with"])
@pytest.mark.parametrize("path", WRITTEN, ids=lambda path: path.name)
def test_real_files_are_recognised(path: Path, verb: str, tmp_path: Path) -> None:
    if not path.exists():
        pytest.skip(f"no corpus at {CORPUS}; set CKPTFMT_CORPUS")
    check_said(arguments(verb, path, tmp_path), path, WRITTEN[path])


@pytest.mark.parametrize("verb", [*GRAPH_VERBS, "model"])
@pytest.mark.parametrize("name", ["v1_saver", "saver", "v1_sharded", "keras3", "partitioned_variable"])
def test_real_checkpoints_are_not_taken_for_graphs(name: str, verb: str, tmp_path: Path) -> None:
    for path in sorted((GOLDEN / name).iterdir()):
        if path.suffix == ".meta":
            assert verb == "model" or run(*arguments("graph", path, tmp_path)).exit_code == 0
        else:
            check_said(arguments(verb, path, tmp_path), path, ("checkpoint", *OPEN))


def test_the_error_for_variables_names_their_saved_model(tmp_path: Path) -> None:
    folder = model_variables(tmp_path)
    for path in (folder, folder / "variables", folder / "variables.index"):
        for verb in ("graph", "model"):
            assert run(verb, path).stderr.endswith(f"; its graph is in the SavedModel {tmp_path}\n")
