"""``ckptfmt edit`` as its users see it."""

from __future__ import annotations

import os
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

import ckptfmt
from tests.support import golden
from tests.support.command_line import run, run_json
from tests.support.saved_models import save_classic, write_words

MODEL = golden.GOLDEN / "saved_model" / "model"


def test_a_signature_is_renamed_and_the_variables_are_linked(tmp_path: Path) -> None:
    before = {path: path.read_bytes() for path in MODEL.rglob("*") if path.is_file()}
    result = run("edit", MODEL, "-o", tmp_path / "new", "--rename", "serving_default=predict")
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == f"{tmp_path}/new: tags serve; signatures: predict\n"
    with ckptfmt.open_saved_model(tmp_path / "new") as model:
        assert list(model.signatures) == ["predict"]
        assert model.variables["w"].shape == (2, 3)
    files = ("variables/variables.index", "variables/variables.data-00000-of-00001")
    assert all((tmp_path / "new" / name).read_bytes() == (MODEL / name).read_bytes() for name in files)
    assert before == {path: path.read_bytes() for path in MODEL.rglob("*") if path.is_file()}


def test_a_signature_is_made_of_tensors(tmp_path: Path) -> None:
    tensors = ckptfmt.open_saved_model(MODEL).signatures["serving_default"]
    x, y = tensors.inputs["x"].tensor, next(iter(tensors.outputs.values())).tensor
    document = run_json(
        *("edit", MODEL, "-o", tmp_path / "new", "--signature", "score", "--remove", "serving_default"),
        *("--inputs", f"features={x}", "--outputs", f"scores={y}", "--set-tags", "serve,gpu"),
    )
    assert document == {
        "directory": str(tmp_path / "new"),
        "tags": ["gpu", "serve"],
        "signatures": {"score": {"inputs": {"features": x}, "outputs": {"scores": y}}},
    }


def test_values_come_from_a_checkpoint(tmp_path: Path) -> None:
    own = ckptfmt.open_saved_model(MODEL).checkpoint
    assert own is not None
    ckptfmt.save(tmp_path / "ckpt", own.updated({"w/.ATTRIBUTES/VARIABLE_VALUE": np.full((2, 3), 7)}))
    assert run("edit", MODEL, "-o", tmp_path / "new", "--variables", tmp_path / "ckpt").exit_code == 0
    with ckptfmt.open_saved_model(tmp_path / "new") as model:
        assert model.variables["w"].tolist() == [[7] * 3] * 2
    ckptfmt.save(tmp_path / "part", {"w/.ATTRIBUTES/VARIABLE_VALUE": np.full((2, 3), 8, np.float32)})
    lacking = run("edit", MODEL, "-o", tmp_path / "other", "--variables", tmp_path / "part")
    assert lacking.exit_code != 0
    assert not (tmp_path / "other").exists()
    kept = run("edit", MODEL, "-o", tmp_path / "other", "--variables", tmp_path / "part", "--keep-rest")
    assert kept.exit_code == 0
    with ckptfmt.open_saved_model(tmp_path / "other") as model:
        assert model.variables["w"].tolist() == [[8] * 3] * 2


def test_a_frozen_model_needs_no_variables(tmp_path: Path) -> None:
    assert run("edit", MODEL, "-o", tmp_path / "new", "--frozen").exit_code == 0
    with ckptfmt.open_saved_model(tmp_path / "new") as model:
        assert list(model.signatures) == ["serving_default"]
        assert not model.meta_graph.graph.variables


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        ([], 2, "nothing to change"),
        (["--inputs", "x=x:0"], 2, "need --signature"),
        (["--signature", "s"], 2, "needs --inputs"),
        (["--rename", "serving_defalt=x"], 4, "did you mean 'serving_default'"),
        (["--remove", "nothing"], 4, "nothing"),
        (["--ema"], 2, "need --variables"),
        (["--rename", "a"], 2, "want two names"),
    ],
)
def test_what_cannot_be_done_is_said_and_nothing_is_written(
    tmp_path: Path, options: list[str], code: int, message: str
) -> None:
    result = run("edit", MODEL, "-o", tmp_path / "new", *options)
    assert result.exit_code == code, result.stderr
    assert message in result.stderr
    assert not os.listdir(tmp_path)


def test_an_existing_directory_is_replaced_only_on_request(tmp_path: Path) -> None:
    arguments = ("edit", MODEL, "-o", tmp_path / "new", "--set-tags")
    assert run(*arguments, "a").exit_code == 0
    assert run(*arguments, "b").exit_code == 2
    assert run(*arguments, "b", "--overwrite").exit_code == 0
    assert ckptfmt.open_saved_model(tmp_path / "new").meta_graph.tags == {"b"}


def test_advice_is_that_of_the_command_line(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").write_text("mine")
    result = run("edit", MODEL, "-o", tmp_path / "other", "--set-tags", "a", "--overwrite")
    assert result.exit_code != 0
    assert "directory without a SavedModel, and --overwrite replaces nothing else" in result.stderr
    ckptfmt.save(tmp_path / "none", {"other": 1})
    result = run("edit", MODEL, "-o", tmp_path / "new", "--variables", tmp_path / "none")
    assert "pass --keep-rest to keep the old values" in result.stderr


@pytest.mark.tensorflow
def test_what_only_trains_needs_no_new_values(tensorflow: ModuleType, tmp_path: Path) -> None:
    source = save_classic(tensorflow, tmp_path / "model", write_words(tmp_path / "words"))
    options = ("--tags", "serve", "--variables", source, "--ema")
    result = run("edit", source, "-o", tmp_path / "new", *options, "--no-training")
    assert result.exit_code == 0, result.stderr
    with ckptfmt.open(source) as old, ckptfmt.open(tmp_path / "new") as new:
        assert sorted(new) == ["b", "parts", "w"]
        assert new["w"].tolist() == old["w/ExponentialMovingAverage"].tolist() != old["w"].tolist()
