"""Edits of SavedModels: TensorFlow loads what is written, in both ways, and computes what it should."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import ckptfmt
from ckptfmt.errors import (
    AlreadyExistsError,
    GraphError,
    NameConflictError,
    NameNotFoundError,
    NotWritableError,
    PathNotFoundError,
    UnsupportedError,
)
from ckptfmt.proto.parse import format_text
from ckptfmt.saved_model import writing
from tests.support.saved_models import (
    FEEDS,
    WORDS,
    check_equal,
    run,
    run_eagerly,
    run_in_session,
    save_classic,
    save_module,
    write_words,
)

pytestmark = pytest.mark.tensorflow


@pytest.fixture(scope="module")
def module(tensorflow: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of TensorFlow 2."""
    folder = tmp_path_factory.mktemp("module")
    return save_module(tensorflow, folder / "model", write_words(folder / "words"))


@pytest.fixture(scope="module", params=[False, True], ids=["references", "resources"])
def classic(
    request: pytest.FixtureRequest, tensorflow: ModuleType, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A model of TensorFlow 1."""
    folder = tmp_path_factory.mktemp("classic")
    words = write_words(folder / "words")
    return save_classic(tensorflow, folder / "model", words, resources=request.param)


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


# --- signatures --------------------------------------------------------------------------------------------


def test_signatures_of_tensorflow_2_are_renamed_and_removed(
    tensorflow: ModuleType, module: Path, tmp_path: Path
) -> None:
    before, source = run(tensorflow, module), files_of(module)
    model = ckptfmt.open_saved_model(module)
    model.with_signatures(rename={"serving_default": "score"}).write(tmp_path / "renamed")
    check_equal(
        run(tensorflow, tmp_path / "renamed"),
        {"score": before["serving_default"], "look_up": before["look_up"]},
    )
    swapped = {"serving_default": "look_up", "look_up": "serving_default"}
    model.with_signatures(rename=swapped).write(tmp_path / "swapped")
    check_equal(
        run(tensorflow, tmp_path / "swapped"),
        {"look_up": before["serving_default"], "serving_default": before["look_up"]},
    )
    model.with_signatures(remove="look_up").write(tmp_path / "removed")
    check_equal(run(tensorflow, tmp_path / "removed"), {"serving_default": before["serving_default"]})
    model.with_signatures({"look_up": None, "serving_default": None}).write(tmp_path / "none")
    assert run(tensorflow, tmp_path / "none") == {}
    # What is left of the objects still works.
    loaded = tensorflow.saved_model.load(str(tmp_path / "none"))
    np.testing.assert_array_equal(loaded.look_up(tensorflow.constant(FEEDS["words"])), [2, -1, 0])
    assert files_of(module) == source


def test_removed_signatures_leave_nothing_in_the_graph(module: Path, tmp_path: Path) -> None:
    model = ckptfmt.open_saved_model(module)
    with ckptfmt.open_saved_model(model.with_signatures(remove="look_up").write(tmp_path / "m")) as removed:
        assert "look_up_words" in model.meta_graph.graph
        assert "look_up_words" not in removed.meta_graph.graph
        gone = set(model.meta_graph.graph.functions) - set(removed.meta_graph.graph.functions)
        assert gone == set(model.functions) - set(removed.functions)
        assert ["signature_wrapper" in name for name in gone] == [True]
        # Objects keep their numbers: the checkpoint and Keras know them by these.
        assert len(model.message.meta_graphs[0].object_graph_def.nodes) == len(
            removed.message.meta_graphs[0].object_graph_def.nodes
        )


def test_signatures_of_tensorflow_2_get_other_inputs_and_outputs(
    tensorflow: ModuleType, module: Path, tmp_path: Path
) -> None:
    before = run(tensorflow, module)
    model = ckptfmt.open_saved_model(module)
    known = model.signatures["serving_default"]
    look_up = model.signatures["look_up"]
    edited = model.with_signatures(
        {
            # One output, under another name.
            "serving_default": {"outputs": {"winner": known.outputs["best"].tensor}},
            # Both functions at once, and a variable.
            "all": {
                "inputs": {
                    "x": known.inputs["x"],
                    "scale": "serving_default_scale",
                    "words": "look_up_words:0",
                },
                "outputs": {
                    "numbers": look_up.outputs["output_0"].tensor,
                    "scores": known.outputs["scores"],
                    "w": "w/Read/ReadVariableOp",
                    "x": "serving_default_x:0",
                },
            },
            "again": look_up,
            "raw": model.meta_graph.message.signature_def["look_up"],
        }
    )
    assert sorted(edited.signatures) == ["again", "all", "look_up", "raw", "serving_default"]
    edited.write(tmp_path / "m")
    numbers, scores = before["look_up"]["output_0"], before["serving_default"]
    check_equal(
        run(tensorflow, tmp_path / "m"),
        {
            "serving_default": {"winner": scores["best"]},
            "all": {
                "numbers": numbers,
                "scores": scores["scores"],
                "w": np.array([[1, 2], [3, 4]], np.float32),
                "x": FEEDS["x"],
            },
            **{name: {"output_0": numbers} for name in ("look_up", "again", "raw")},
        },
    )
    # TensorFlow itself can save it again, and its gradients flow.
    loaded = tensorflow.saved_model.load(str(tmp_path / "m"))
    tensorflow.saved_model.save(loaded, str(tmp_path / "again"), signatures=dict(loaded.signatures))
    check_equal(run(tensorflow, tmp_path / "again"), run(tensorflow, tmp_path / "m"))
    with tensorflow.GradientTape() as tape:
        arguments = {key: tensorflow.constant(FEEDS[key]) for key in ("x", "scale", "words")}
        total = tensorflow.reduce_sum(loaded.signatures["all"](**arguments)["scores"])
    assert tape.gradient(total, loaded.w) is not None


def test_parts_of_a_signature_that_are_not_given_stay(module: Path) -> None:
    model = ckptfmt.open_saved_model(module)
    known = model.signatures["serving_default"]
    scale = {"scale": np.float32(3)}
    given = {"inputs": known.inputs, "outputs": known.outputs, "method": "custom", "defaults": scale}
    edited = model.with_signatures({"serving_default": given})
    assert edited.signatures["serving_default"].defaults == scale
    fewer = edited.with_signatures({"serving_default": {"outputs": {"y": known.outputs["scores"]}}})
    changed = fewer.signatures["serving_default"]
    assert (changed.method, changed.inputs, changed.defaults) == ("custom", known.inputs, scale)
    assert list(changed.outputs) == ["y"]
    renamed = fewer.with_signatures({"serving_default": {"method": "other"}}).signatures["serving_default"]
    assert renamed == changed._replace(method="other")


def test_what_cannot_be_a_signature_is_refused_before_anything_is_written(
    module: Path, tmp_path: Path
) -> None:
    model = ckptfmt.open_saved_model(module)
    target = tmp_path / "m"
    outputs = {"y": model.signatures["serving_default"].outputs["best"].tensor}
    cases: list[tuple[type[Exception], str, ckptfmt.types.EditedModel]] = [
        (GraphError, "make it one of the inputs", model.with_signatures({"a": {"outputs": outputs}})),
        (NameNotFoundError, "no", model.with_signatures({"a": {"outputs": {"y": "MatMul:0"}}})),
        (NameNotFoundError, "did you mean 'look_up'", model.with_signatures(remove=["lok_up"])),
        (NameNotFoundError, "no signature", model.with_signatures(rename={"a": "b"})),
        (NameConflictError, "look_up", model.with_signatures(rename={"serving_default": "look_up"})),
        (ValueError, "keeps for itself", model.with_signatures(remove="__saved_model_init_op")),
    ]
    for kind, message, edited in cases:
        with pytest.raises(kind, match=message):
            edited.write(target)
        assert os.listdir(tmp_path) == []


def test_signatures_of_tensorflow_1(tensorflow: ModuleType, classic: Path, tmp_path: Path) -> None:
    before = run(tensorflow, classic, ["serve"])
    model = ckptfmt.open_saved_model(classic, tags="serve")
    model.with_signatures(
        {"loss": {"inputs": {"x": "x"}, "outputs": {"loss": "loss:0", "y": "y"}}, "look_up": None},
        rename={"serving_default": "predict"},
    ).write(tmp_path / "m")
    after = run(tensorflow, tmp_path / "m", ["serve"])
    check_equal({"predict": after["predict"]}, {"predict": before["serving_default"]})
    np.testing.assert_allclose(after["loss"]["loss"], np.mean(after["loss"]["y"] ** 2), rtol=1e-5)
    assert sorted(after) == ["loss", "predict"]
    # The other meta graph is untouched.
    check_equal(run(tensorflow, tmp_path / "m", ["train"]), before)
    with pytest.raises(GraphError, match=r"want those of one meta graph: train; serve"):
        ckptfmt.open_saved_model(classic).with_signatures(remove="look_up").write(tmp_path / "other")


def test_the_command_line_of_tensorflow_runs_an_edited_signature(module: Path, tmp_path: Path) -> None:
    model = ckptfmt.open_saved_model(module)
    best = model.signatures["serving_default"].outputs["best"]
    edited = model.with_signatures(
        {"winner": {"inputs": model.signatures["serving_default"].inputs, "outputs": {"winner": best}}}
    ).write(tmp_path / "m")
    program = "from tensorflow.python.tools.saved_model_cli import main; main()"
    arguments = ["run", "--dir", edited, "--tag_set", "serve", "--signature_def", "winner"]
    inputs = ["--input_exprs", "x=[[1., 2.], [3., -4.]];scale=2."]
    out = ["--outdir", str(tmp_path)]
    subprocess.run(
        [sys.executable, "-c", program, *arguments, *inputs, *out], check=True, capture_output=True
    )
    x = FEEDS["x"] @ np.array([[1, 2], [3, 4]]) + [1, -1]
    np.testing.assert_array_equal(np.load(tmp_path / "winner.npy"), x.argmax(1))


# --- tags and assets ---------------------------------------------------------------------------------------


def test_tags_change(tensorflow: ModuleType, module: Path, classic: Path, tmp_path: Path) -> None:
    ckptfmt.open_saved_model(module).with_tags(["serve", "gpu"]).write(tmp_path / "a")
    assert ckptfmt.open_saved_model(tmp_path / "a", tags=["gpu", "serve"]).meta_graph.tags == {"serve", "gpu"}
    check_equal(
        run_in_session(tensorflow, tmp_path / "a", ["serve", "gpu"]),
        run_in_session(tensorflow, module, ["serve"]),
    )
    model = ckptfmt.open_saved_model(classic, tags="train")
    with pytest.raises(GraphError, match="another meta graph has the tags serve"):
        model.with_tags("serve").write(tmp_path / "b")
    model.with_tags("other").write(tmp_path / "b")
    check_equal(
        run_in_session(tensorflow, tmp_path / "b", ["other"]), run_in_session(tensorflow, classic, ["train"])
    )


def test_assets_get_other_contents(
    tensorflow: ModuleType, module: Path, classic: Path, tmp_path: Path
) -> None:
    new = write_words(tmp_path / "new", WORDS[::-1])
    for number, path in enumerate((module, classic)):
        model = ckptfmt.open_saved_model(path, tags="serve")
        for content in (new, str(new), new.read_bytes()):
            target = tmp_path / f"{number}"
            model.with_assets({"words.txt": content}).write(target, overwrite=True)
            (values,) = run(tensorflow, target, ["serve"])["look_up"].values()
            np.testing.assert_array_equal(values, [0, -1, 2])
        with pytest.raises(NameNotFoundError, match=r"did you mean 'words\.txt'"):
            model.with_assets({"word.txt": new}).write(tmp_path / "x")
        with pytest.raises(PathNotFoundError):
            model.with_assets({"words.txt": tmp_path / "missing"}).write(tmp_path / "x")
    assert (module / "assets" / "words.txt").read_text().split() == WORDS


# --- variables ---------------------------------------------------------------------------------------------


def test_variables_get_other_values(tensorflow: ModuleType, module: Path, tmp_path: Path) -> None:
    model = ckptfmt.open_saved_model(module)
    w, b = np.float32([[0, 1], [1, 0]]), np.float32([5, 5])
    expected = {"scores": (FEEDS["x"] @ w + b) * 2, "best": (FEEDS["x"] @ w + b).argmax(1)}
    by_key = {f"{name}/.ATTRIBUTES/VARIABLE_VALUE": value for name, value in (("w", w), ("b", b))}
    tensorflow.train.Checkpoint(w=tensorflow.Variable(w), b=tensorflow.Variable(b)).write(str(tmp_path / "c"))
    with ckptfmt.open(tmp_path / "c") as training:
        given: list[Any] = [{"w": w, "b": b}, by_key, training, training.select("*"), [{"w": w}, {"b": b}]]
        for number, values in enumerate(given):
            written = tmp_path / f"m{number}"
            model.with_variables(values).write(written)
            check_equal({"a": run(tensorflow, written)["serving_default"]}, {"a": expected})
            tensorflow.saved_model.load(str(written))
    with ckptfmt.open_saved_model(tmp_path / "m0") as new:
        assert new.checkpoint is not None
        assert new.checkpoint.object_graph is not None
        assert new.checkpoint.verify().ok
    model.with_variables({"b": b}, keep_rest=True).write(tmp_path / "part")
    scores = run(tensorflow, tmp_path / "part")["serving_default"]["scores"]
    np.testing.assert_array_equal(scores, (FEEDS["x"] @ np.float32([[1, 2], [3, 4]]) + b) * 2)


def test_values_that_do_not_fit_are_listed_before_anything_is_written(module: Path, tmp_path: Path) -> None:
    model = ckptfmt.open_saved_model(module)
    w, b = np.zeros((2, 2), np.float32), np.zeros(2, np.float32)
    with pytest.raises(NameNotFoundError, match="no new values for 1 of 2 variables: 'b/"):
        model.with_variables({"w": w}).write(tmp_path / "m")
    with pytest.raises(TypeError, match=r"ckptfmt\.open\('ckpt'\)"):
        model.with_variables("ckpt")  # type: ignore[arg-type]
    with pytest.raises(NameNotFoundError, match="no variables 'v'"):
        model.with_variables({"v": w}, keep_rest=True).write(tmp_path / "m")
    with pytest.raises(
        GraphError, match=r"b/.*: got float64\[2\], want float32\[2\]; w/.*: got float32\[4\]"
    ):
        model.with_variables({"w": w.ravel(), "b": b.astype(float)}).write(tmp_path / "m")
    assert os.listdir(tmp_path) == []


def test_a_view_of_averages_replaces_variables(tensorflow: ModuleType, classic: Path, tmp_path: Path) -> None:
    model = ckptfmt.open_saved_model(classic, tags="serve")
    assert model.checkpoint is not None
    before = run(tensorflow, classic, ["serve"])
    ema = model.checkpoint.ema()
    model.with_variables(ema.select("w", "b"), keep_rest=True).write(tmp_path / "m")
    with ckptfmt.open_saved_model(tmp_path / "m", tags="serve") as new:
        np.testing.assert_array_equal(new.variables["w"], ema["w"])
        assert new.checkpoint is not None
        slices = [
            [part.region((4, 2)) for part in each.entries["parts"].slices]
            for each in (new.checkpoint, model.checkpoint)
        ]
        assert slices[0] == slices[1] != []
        parts = new.variables["parts/part_0"].sum() + new.variables["parts/part_1"].sum()
        expected = (FEEDS["x"] @ new.variables["w"] + new.variables["b"] + parts) * FEEDS["scale"]
    after = run(tensorflow, tmp_path / "m", ["serve"])
    np.testing.assert_allclose(after["serving_default"]["scores"], expected, rtol=1e-5)
    assert not np.allclose(after["serving_default"]["scores"], before["serving_default"]["scores"])


# --- models that only serve --------------------------------------------------------------------------------


def test_frozen_models_compute_the_same(
    tensorflow: ModuleType, module: Path, classic: Path, tmp_path: Path
) -> None:
    for number, path in enumerate((module, classic)):
        target = tmp_path / str(number)
        ckptfmt.open_saved_model(path, tags="serve").to_frozen().write(target)
        check_equal(run(tensorflow, target, ["serve"]), run(tensorflow, path, ["serve"]))
        with ckptfmt.open_saved_model(target) as frozen:
            assert frozen.meta_graph.graph.variables == ()
            assert list(frozen.assets) == ["words.txt"]
        assert sorted(os.listdir(target / "variables")) == []
        assert str(path).encode() not in (target / "saved_model.pb").read_bytes()
        # The vocabulary is read from the new directory, wherever that is.
        moved = target.rename(tmp_path / f"moved{number}")
        write_words(moved / "assets", WORDS[::-1])
        (values,) = run(tensorflow, moved, ["serve"])["look_up"].values()
        np.testing.assert_array_equal(values, [0, -1, 2])


def test_inputs_become_constants(tensorflow: ModuleType, module: Path, classic: Path, tmp_path: Path) -> None:
    for number, (path, name) in enumerate(((module, "serving_default_scale"), (classic, "scale:0"))):
        model = ckptfmt.open_saved_model(path, tags="serve")
        model.to_frozen(constants={name: np.float32(2)}).write(tmp_path / str(number))
        with ckptfmt.open_saved_model(tmp_path / str(number)) as frozen:
            assert list(frozen.signatures["serving_default"].inputs) == ["x"]
        check_equal(run(tensorflow, tmp_path / str(number)), run(tensorflow, path, ["serve"]))


def test_what_trains_a_model_is_removed(tensorflow: ModuleType, classic: Path, tmp_path: Path) -> None:
    model = ckptfmt.open_saved_model(classic, tags="train")
    model.without_training_nodes().with_tags("serve").write(tmp_path / "m")
    check_equal(run(tensorflow, tmp_path / "m", ["serve"]), run(tensorflow, classic, ["serve"]))
    with ckptfmt.open_saved_model(tmp_path / "m") as served:
        assert served.checkpoint is not None
        assert model.checkpoint is not None
        assert sorted(served.checkpoint) == ["b", "parts", "w"]
        assert len(model.checkpoint) > 10
        names = set(served.meta_graph.graph)
        assert {"x", "scores", "numbers", "w"} <= names
        assert not names & {"loss", "train", "Adam", "global_step", "w/Adam"}
        assert len(served.meta_graph.variables) == 4
    assert not (tmp_path / "m" / "fingerprint.pb").exists()
    # Its Saver works: the model can be restored from another checkpoint, and saved.
    v1 = tensorflow.compat.v1
    with tensorflow.Graph().as_default() as graph, v1.Session(graph=graph) as session:
        meta = v1.saved_model.load(session, ["serve"], str(tmp_path / "m"))
        saver = v1.train.Saver(saver_def=meta.saver_def)
        saver.save(session, str(tmp_path / "saved"), write_state=False)
    with ckptfmt.open(tmp_path / "saved") as saved, ckptfmt.open_saved_model(tmp_path / "m") as served:
        assert served.checkpoint is not None
        for name in saved:
            np.testing.assert_array_equal(saved[name], served.checkpoint[name])


def test_a_model_of_tensorflow_2_says_why_its_training_stays(module: Path, tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match=r"to_frozen\(\) leaves only"):
        ckptfmt.open_saved_model(module).without_training_nodes().write(tmp_path / "m")


def test_edits_add_up(tensorflow: ModuleType, classic: Path, tmp_path: Path) -> None:
    model = ckptfmt.open_saved_model(classic, tags="train")
    w = np.float32([[0, 1], [1, 0]])
    edited = (
        model.without_training_nodes()
        .with_variables({"w": w, "b": np.zeros(2, np.float32), "parts": np.zeros((4, 2), np.float32)})
        .with_signatures({"look_up": None})
        .to_frozen()
        .with_tags(["serve", "frozen"])
    )
    assert repr(edited) == f"<EditedModel {str(classic)!r}, 5 edits>"
    assert "serving_default" in edited._repr_html_()
    edited.write(tmp_path / "m")
    after = run(tensorflow, tmp_path / "m", ["serve", "frozen"])
    np.testing.assert_array_equal(after["serving_default"]["scores"], FEEDS["x"] @ w * 2)
    assert run_eagerly(tensorflow, tmp_path / "m").keys() == {"serving_default"}


# --- files -------------------------------------------------------------------------------------------------


def test_what_does_not_change_is_taken_over(tensorflow: ModuleType, module: Path, tmp_path: Path) -> None:
    source = tmp_path / "source"
    shutil.copytree(module, source)
    for name in ("assets.extra/deep/mine.txt", "debug/saved_model_debug_info.pb", "notes.txt", ".hidden"):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes(name.encode())
    (source / ".ckptfmt-0123456789abcdef.tmp").mkdir()
    before = files_of(source)
    model = ckptfmt.open_saved_model(source)
    new = Path(model.with_tags("other").write(tmp_path / "new"))
    after = files_of(new)
    changed = {"saved_model.pb", "fingerprint.pb"}
    assert after.keys() == before.keys()
    assert {name for name in before if before[name] != after[name]} == changed
    assert os.path.samefile(*(path / "variables/variables.data-00000-of-00001" for path in (source, new)))
    assert not os.path.samefile(source / "assets/words.txt", new / "assets/words.txt")
    copied = Path(model.with_tags("other").write(tmp_path / "copied", link=False))
    assert not os.path.samefile(*(path / "variables/variables.index" for path in (source, copied)))
    assert files_of(copied) == {**after, "fingerprint.pb": (copied / "fingerprint.pb").read_bytes()}
    # Without edits, the model is copied.
    assert files_of(Path(model.write(tmp_path / "same"))) == before
    frozen = Path(model.to_frozen().write(tmp_path / "frozen"))
    kept = {name for name in before if not name.startswith(("debug", "variables"))}
    assert set(files_of(frozen)) == kept


def test_fingerprints_are_never_stale(tensorflow: ModuleType, module: Path, tmp_path: Path) -> None:
    read = tensorflow.saved_model.experimental.read_fingerprint
    model = ckptfmt.open_saved_model(module)
    old = read(str(module))
    model.with_signatures(rename={"look_up": "find"}).write(tmp_path / "a")
    new = read(str(tmp_path / "a"))
    assert (new.graph_def_program_hash, new.checkpoint_hash, new.saved_object_graph_hash) == (
        old.graph_def_program_hash,
        old.checkpoint_hash,
        old.saved_object_graph_hash,
    )
    assert new.signature_def_hash != old.signature_def_hash
    w = np.zeros((2, 2), np.float32)
    model.with_variables({"w": w}, keep_rest=True).write(tmp_path / "b")
    new = read(str(tmp_path / "b"))
    assert new.saved_model_checksum == old.saved_model_checksum
    assert new.checkpoint_hash != old.checkpoint_hash


def test_the_model_itself_can_be_replaced_but_not_written_into(
    tensorflow: ModuleType, module: Path, tmp_path: Path
) -> None:
    source = tmp_path / "model"
    shutil.copytree(module, source)
    model = ckptfmt.open_saved_model(source)
    edited = model.with_signatures(remove="look_up")
    with pytest.raises(NotWritableError, match="within the model that is read"):
        edited.write(source / "new")
    with pytest.raises(AlreadyExistsError, match="overwrite=True"):
        edited.write(source)
    (tmp_path / "link").symlink_to("model")
    edited.write(tmp_path / "link", overwrite=True)
    assert list(run(tensorflow, source)) == ["serving_default"]
    assert sorted(os.listdir(tmp_path)) == ["link", "model"]


def test_models_of_links_are_written_as_files(tensorflow: ModuleType, module: Path, tmp_path: Path) -> None:
    # Caches of downloads keep files under other names, and whole directories may be elsewhere.
    (tmp_path / "blobs").mkdir()
    (tmp_path / "linked").mkdir()
    shutil.copytree(module / "variables", tmp_path / "variables")
    (tmp_path / "linked" / "variables").symlink_to("../variables")
    (tmp_path / "linked" / "loop").symlink_to("..")
    for name in ("saved_model.pb", "assets/words.txt"):
        shutil.copy(module / name, tmp_path / "blobs" / str(len(name)))
        link = tmp_path / "linked" / name
        link.parent.mkdir(exist_ok=True)
        link.symlink_to(tmp_path / "blobs" / str(len(name)))
    (tmp_path / "linked" / "loop").unlink()
    ckptfmt.open_saved_model(tmp_path / "linked").write(tmp_path / "new")
    assert not any(path.is_symlink() for path in (tmp_path / "new").rglob("*"))
    check_equal(run(tensorflow, tmp_path / "new"), run(tensorflow, module))


def test_text_stays_text(tensorflow: ModuleType, module: Path, tmp_path: Path) -> None:
    source = tmp_path / "source"
    shutil.copytree(module, source)
    model = ckptfmt.open_saved_model(module)
    (source / "saved_model.pbtxt").write_text(format_text(model.message))
    (source / "saved_model.pb").unlink()
    ckptfmt.open_saved_model(source).with_signatures(remove="look_up").write(tmp_path / "new")
    assert not (tmp_path / "new" / "saved_model.pb").exists()
    assert list(run(tensorflow, tmp_path / "new")) == ["serving_default"]


def test_a_message_of_2_gib_is_split(module: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = ckptfmt.open_saved_model(module)
    edited = model.with_signatures(remove="look_up")
    monkeypatch.setattr(writing, "MAX_BYTES", 1000)
    edited.write(tmp_path / "new")
    assert (tmp_path / "new" / "saved_model.cpb").exists()
    assert not (tmp_path / "new" / "fingerprint.pb").exists()
    with ckptfmt.open_saved_model(tmp_path / "new") as split:
        assert split.message == edited.message
        monkeypatch.undo()
        split.with_tags("small").write(tmp_path / "small")
    assert (tmp_path / "small" / "saved_model.pb").exists()
    assert not (tmp_path / "small" / "saved_model.cpb").exists()


# --- functions of objects ----------------------------------------------------------------------------------


def test_functions_of_objects_become_signatures(tensorflow: ModuleType, module: Path, tmp_path: Path) -> None:
    before = run(tensorflow, module)
    model = ckptfmt.open_saved_model(module).with_signatures(remove=["serving_default", "look_up"])
    bare = ckptfmt.open_saved_model(model.write(tmp_path / "bare"))
    assert list(bare.signatures) == []
    (trace,) = next(each for each in bare.object_functions if each.path == "look_up").traces
    bare.with_signatures({"serving_default": "score", "_find it": trace}).write(tmp_path / "m")
    check_equal(
        run(tensorflow, tmp_path / "m"),
        {"serving_default": before["serving_default"], "_find it": before["look_up"]},
    )
    with pytest.raises(NameNotFoundError, match="did you mean 'score'"):
        bare.with_signatures({"a": "scor"}).write(tmp_path / "x")


def test_a_function_with_several_traces_has_to_be_chosen(tensorflow: ModuleType, tmp_path: Path) -> None:
    tf = tensorflow

    class Layer(tf.Module):  # type: ignore[misc,name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.w = tf.Variable([2.0, 3.0])

        @tf.function  # type: ignore[untyped-decorator]
        def call(self, x: Any, training: bool = False) -> Any:
            return (x * self.w if training else x + self.w), tf.shape(x)

        @tf.function(input_signature=[])  # type: ignore[untyped-decorator]
        def nothing(self) -> None:
            self.w.assign([1.0, 1.0])

    class Model(tf.Module):  # type: ignore[misc,name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.layer = Layer()

    root = Model()
    x = tf.TensorSpec([None, 2], tf.float32)
    for training in (False, True):
        root.layer.call.get_concrete_function(x, training=training)
    tf.saved_model.save(root, str(tmp_path / "source"))
    model = ckptfmt.open_saved_model(tmp_path / "source")
    with pytest.raises(GraphError, match="has 2 traces: pass one of '__inference_call_"):
        model.with_signatures({"a": "layer/call"}).write(tmp_path / "x")
    with pytest.raises(GraphError, match="does not return a tensor"):
        model.with_signatures({"a": "layer/nothing"}).write(tmp_path / "x")
    traces = next(each for each in model.object_functions if each.path == "layer/call").traces
    model.with_signatures(dict(zip("ab", traces, strict=True))).write(tmp_path / "m")
    results = run(tf, tmp_path / "m")
    found = {results[name]["output_0"].tobytes() for name in "ab"}
    assert found == {(FEEDS["x"] * [2, 3]).astype("f").tobytes(), (FEEDS["x"] + [2, 3]).astype("f").tobytes()}
    np.testing.assert_array_equal(results["a"]["output_1"], [2, 2])


# --- Keras -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["export", "saved_model.save"])
def test_models_of_keras_are_edited(tensorflow: ModuleType, tmp_path: Path, how: str) -> None:
    tf = tensorflow
    keras = pytest.importorskip("keras", reason="needs Keras")
    if keras.backend.backend() != "tensorflow":
        pytest.skip("Keras runs on another backend")
    layers = [keras.layers.Input((2,), name="x"), keras.layers.Dense(3), keras.layers.Dense(2)]
    network = keras.Sequential(layers)
    source = tmp_path / "source"
    if how == "export":
        network.export(str(source), verbose=False)
    else:
        tf.saved_model.save(network, str(source))
    x = FEEDS["x"]
    model = ckptfmt.open_saved_model(source)
    (name,) = model.signatures["serving_default"].inputs

    def outputs(path: str, signature: str = "serving_default") -> Any:
        function = tf.saved_model.load(path).signatures[signature]
        (key,) = function.structured_input_signature[1]
        return function(**{key: tf.constant(x)})["output_0"].numpy()

    for weights in (network.get_weights(), [np.full_like(each, 0.5) for each in network.get_weights()]):
        network.set_weights(weights)
        expected = network(x).numpy()
        # Keras 3 exports each variable twice, under one name.
        values = {weight.path: each for weight, each in zip(network.weights, weights, strict=True)}
        edited = model.with_variables(values)
        np.testing.assert_allclose(outputs(edited.write(tmp_path / "a", overwrite=True)), expected, rtol=1e-5)
        frozen = edited.to_frozen().write(tmp_path / "b", overwrite=True)
        np.testing.assert_allclose(outputs(frozen), expected, rtol=1e-5)
        renamed = edited.with_signatures(
            {"classify": {"inputs": {"pixels": model.signatures["serving_default"].inputs[name]}}},
        )
        with pytest.raises(GraphError, match="no outputs"):
            renamed.write(tmp_path / "c")
        again = edited.with_signatures(
            {
                "classify": {
                    "inputs": {"pixels": model.signatures["serving_default"].inputs[name]},
                    "outputs": model.signatures["serving_default"].outputs,
                },
                "serving_default": None,
            }
        ).write(tmp_path / "c", overwrite=True)
        np.testing.assert_allclose(outputs(again, "classify"), expected, rtol=1e-5)
