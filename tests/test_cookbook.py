"""Every recipe of docs/cookbook.md runs as written, alone, and prints what the page shows."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np
import pytest

import ckptfmt
from tests.support.command_line import environment, shown_on_terminal
from tests.support.corpus import CORPUS

ROOT = Path(__file__).parent.parent
GOLDEN = ROOT / "tests" / "data" / "golden"
PAGE = (ROOT / "docs" / "cookbook.md").read_text(encoding="utf-8")

FILES = {
    "training": ROOT / "examples" / "digits",
    "saver": GOLDEN / "saver",
    "partitioned": GOLDEN / "partitioned_variable",
    "saved_model": GOLDEN / "saved_model" / "model",
    "dtypes": GOLDEN / "dtypes",
    "logs": ROOT / "tests" / "data" / "events",
    "data": ROOT / "tests" / "data" / "records",
    "averaged": CORPUS / "overtopping_ema",
    "keras2": CORPUS / "spam_keras",
    "frozen": CORPUS / "speech_frozen",
}
"""What the paths of the recipes stand for."""


class Recipe(NamedTuple):
    """A section of the page: what it needs, and its code with the output that is shown below it."""

    title: str
    needs: list[str]
    code: list[tuple[str, str, str | None]]  # language, code, output if one is shown


def recipes() -> list[Recipe]:
    """Return the recipes of the page."""
    found = []
    for section in re.split("^### ", PAGE, flags=re.MULTILINE)[1:]:
        needs = re.search("<!-- needs: (.+) -->", section)
        blocks = re.findall(
            r"^```(python|sh)\n(.*?)^```$(?:\n\n^```text\n(.*?)^```$)?", section, re.MULTILINE | re.DOTALL
        )
        code = [(language, text, shown or None) for language, text, shown in blocks]
        found.append(Recipe(section.partition("\n")[0], needs[1].split(", ") if needs else [], code))
    return found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder in which every path of the recipes exists, except those of a missing corpus."""
    for name, target in FILES.items():
        (tmp_path / name).symlink_to(target)
    damaged = tmp_path / "damaged"
    damaged.mkdir()
    for name in ("checkpoint", "ckpt-10.index", "ckpt-10.data-00000-of-00001"):
        shutil.copyfile(tmp_path / "training" / name, damaged / name)
    with ckptfmt.open(damaged) as ckpt:
        offset = ckpt.weights.entries["digits/conv2/kernel"].offset
    data = bytearray((damaged / "ckpt-10.data-00000-of-00001").read_bytes())
    assert offset is not None
    data[offset] ^= 1
    (damaged / "ckpt-10.data-00000-of-00001").write_bytes(data)
    return tmp_path


def printed_by_python(code: str, folder: Path) -> str:
    """Return what a program prints that has warnings as errors, except those of TensorFlow's own imports."""
    warnings = ["-W", "error"] if "tensorflow" not in code and "keras" not in code else []
    done = subprocess.run(
        [sys.executable, *warnings, "-c", code],
        capture_output=True,
        cwd=folder,
        env=environment(TF_CPP_MIN_LOG_LEVEL="3", JAX_PLATFORMS="cpu"),
        encoding="utf-8",
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def printed_by_commands(lines: str) -> str:
    """Return what commands show on a terminal, after a check of their exit codes."""
    shown = ""
    for line in lines.splitlines():
        command, _, comment = line.partition("  # exit code ")
        words = shlex.split(command)
        assert words[0] == "ckptfmt", line
        code, output = shown_on_terminal(*words[1:])
        assert code == int(comment or 0), line
        shown += output
    return shown


def without_trailing_spaces(text: str) -> list[str]:
    """Return the lines of a text, as an editor would keep them."""
    return [line.rstrip() for line in text.rstrip().splitlines()]


@pytest.mark.parametrize("recipe", recipes(), ids=lambda recipe: recipe.title)
def test_recipe_runs_and_prints_what_is_shown(
    recipe: Recipe, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for need in recipe.needs:
        if not CORPUS.is_dir() if need == "corpus" else find_spec(need) is None:
            pytest.skip(f"needs {need}")
    monkeypatch.chdir(folder)
    assert recipe.code
    for language, code, shown in recipe.code:
        output = printed_by_python(code, folder) if language == "python" else printed_by_commands(code)
        if shown is not None:
            assert without_trailing_spaces(output) == without_trailing_spaces(shown)


def code_of(title: str) -> str:
    """Return the program of a recipe."""
    [code] = [code for recipe in recipes() if recipe.title == title for _, code, _ in recipe.code]
    return code


def test_converted_torch_model_computes_what_keras_does(folder: Path) -> None:
    if not all(map(find_spec, ("torch", "keras", "tensorflow"))):
        pytest.skip("needs torch, keras and tensorflow")
    check = """
import keras
import numpy as np

from_keras = keras.Sequential(
    [
        keras.layers.Input((8, 8, 1)),
        keras.layers.Conv2D(8, 3, padding="same", activation="relu", name="conv1"),
        keras.layers.Conv2D(16, 3, strides=2, padding="same", activation="relu", name="conv2"),
        keras.layers.BatchNormalization(name="norm"),
        keras.layers.Flatten(),
        keras.layers.Dense(10, name="logits"),
    ],
    name="digits",
)
with ckptfmt.open("training/") as ckpt:
    for variable in from_keras.weights:
        variable.assign(ckpt.weights[variable.path])
images = np.random.default_rng(0).normal(size=(5, 8, 8, 1)).astype(np.float32)
with torch.no_grad():
    computed = model.eval()(torch.from_numpy(images).permute(0, 3, 1, 2)).numpy()
np.testing.assert_allclose(computed, np.asarray(from_keras(images)), rtol=1e-4, atol=1e-4)
"""
    printed_by_python(code_of("TensorFlow checkpoint to PyTorch") + check, folder)


def test_keras_3_model_computes_what_the_saved_model_of_keras_2_does(folder: Path) -> None:
    if find_spec("tensorflow") is None or find_spec("keras") is None or not CORPUS.is_dir():
        pytest.skip("needs tensorflow, keras and the corpus")
    check = """
import numpy as np
import tensorflow as tf

words = np.random.default_rng(0).integers(0, 2003, (4, 20))
with tf.compat.v1.Session(graph=tf.Graph()) as session:
    signature = tf.compat.v1.saved_model.load(session, ["serve"], "keras2/").signature_def["serving_default"]
    [given], [wanted] = signature.inputs.values(), signature.outputs.values()
    want = session.run(wanted.name, {given.name: words})
np.testing.assert_allclose(np.asarray(model(words)), want, rtol=1e-5)
"""
    printed_by_python(code_of("Load a Keras 2 SavedModel into Keras 3") + check, folder)


def test_there_are_thirty_recipes_and_the_contents_list_them_all() -> None:
    titles = [recipe.title for recipe in recipes()]
    anchors = [re.sub(r"[^\w -]", "", title).lower().replace(" ", "-") for title in titles]
    rows = [line for line in PAGE.splitlines() if line.startswith("| [")]
    assert [link for row in rows for link in re.findall(r"\]\(#([^)]+)\)", row)[1:]] == anchors
    assert len(titles) == 30


def bfloat16_vector() -> Any:
    """Return the array of the recipe: the numbers at the limits of bfloat16, infinities and NaN."""
    return ckptfmt.open(FILES["dtypes"] / "ckpt")["bfloat16/vector"]


def test_numpy_gives_bfloat16_back_as_opaque_bytes(tmp_path: Path) -> None:
    array = bfloat16_vector()
    np.savez(tmp_path / "w.npz", w=array)
    opaque = np.load(tmp_path / "w.npz")["w"]
    assert opaque.dtype == "V2"
    assert opaque.view(ml_dtypes.bfloat16).tobytes() == array.tobytes()


def test_h5py_gives_bfloat16_back_as_opaque_bytes(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    array = bfloat16_vector()
    with h5py.File(tmp_path / "w.h5", "w") as file:
        file["w"] = array
        opaque = file["w"][:]
    assert opaque.dtype == "V2"
    assert opaque.view(ml_dtypes.bfloat16).tobytes() == array.tobytes()


def test_safetensors_keeps_bfloat16(tmp_path: Path) -> None:
    safetensors = pytest.importorskip("safetensors.numpy")
    array = bfloat16_vector()
    safetensors.save_file({"w": array}, tmp_path / "w.safetensors")
    returned = safetensors.load_file(tmp_path / "w.safetensors")["w"]
    assert (returned.dtype, returned.tobytes()) == (ml_dtypes.bfloat16, array.tobytes())


@pytest.mark.frameworks
def test_jax_keeps_bfloat16() -> None:
    jnp = pytest.importorskip("jax.numpy")
    array = bfloat16_vector()
    returned = np.asarray(jnp.asarray(array))
    assert (returned.dtype, returned.tobytes()) == (ml_dtypes.bfloat16, array.tobytes())


@pytest.mark.frameworks
def test_torch_refuses_bfloat16_and_takes_its_bits() -> None:
    torch = pytest.importorskip("torch")
    array = bfloat16_vector()
    with pytest.raises(TypeError):
        torch.from_numpy(array)
    tensor = torch.from_numpy(array.view("int16").copy()).view(torch.bfloat16)
    assert tensor.view(torch.int16).numpy().tobytes() == array.tobytes()
