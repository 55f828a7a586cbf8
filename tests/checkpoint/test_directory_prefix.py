"""Prefixes that end in a separator, which Keras makes for ``save_weights("weights/")``."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import numpy as np
import pytest

import ckptfmt
from ckptfmt import compat
from ckptfmt.checkpoint.find import find_checkpoint
from ckptfmt.errors import CheckpointNotFoundError
from tests.support.checkpoints import not_found, write_state
from tests.support.command_line import run
from tests.support.memory_filesystem import MemoryFilesystem
from tests.support.table_writer import write_bundle

W = np.arange(3, dtype=np.float32)
PREFIX = os.path.join("weights", "")
KERAS = ('model_checkpoint_path: "."', 'all_model_checkpoint_paths: "."')
"""What Keras writes."""

PATHS = ("weights", "weights/", "weights/.", "weights/.index", "weights/.data-00000-of-00001", "./weights/")


@pytest.fixture(autouse=True)
def weights(folder: Path) -> None:
    Path("weights").mkdir()
    write_bundle("weights/", {"w": W})


def opened(path: str) -> str:
    with ckptfmt.open(path) as ckpt:
        np.testing.assert_array_equal(ckpt["w"], W)
        assert ckpt.verify().ok
        np.testing.assert_array_equal(ckptfmt.open(ckpt.prefix)["w"], W)
        np.testing.assert_array_equal(pickle.loads(pickle.dumps(ckpt))["w"], W)
        return ckpt.prefix


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("has_state", [False, True])
def test_every_path_leads_to_it(path: str, has_state: bool) -> None:
    if has_state:
        write_state("weights", *KERAS)
        assert os.path.normpath(opened("weights/checkpoint")) == "weights"
    assert os.path.normpath(opened(path)) == "weights"
    for reader in (compat.NewCheckpointReader, compat.load_checkpoint):
        np.testing.assert_array_equal(reader(path).get_tensor("w"), W)
    for verb in (["ls", path], ["tree", path], ["show", path, "w"], ["verify", path]):
        assert run(*verb).exit_code == 0


@pytest.mark.parametrize("path", [".", "./", ".index", ".data-00000-of-00001", "checkpoint"])
def test_in_the_working_directory(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    write_state("weights", *KERAS)
    monkeypatch.chdir("weights")
    opened(path)
    assert opened(ckptfmt.latest_checkpoint(".") or "")
    assert opened(ckptfmt.latest_checkpoint("") or "")


def test_the_state_file_names_it() -> None:
    write_state("weights", *KERAS)
    state = ckptfmt.read_checkpoint_state("weights")
    assert state is not None
    # As TensorFlow spells it.
    assert state.latest == ckptfmt.latest_checkpoint("weights") == os.path.join("weights", ".")
    assert state.existing == (os.path.join("weights", "."),)
    assert opened(state.latest) == PREFIX
    assert compat.latest_checkpoint("weights") == state.latest
    assert compat.checkpoint_exists(state.latest)
    message = compat.get_checkpoint_state("weights")
    assert message is not None
    assert message.model_checkpoint_path == state.latest


@pytest.mark.parametrize(
    "stored", ["/old/machine/weights/.", "/old/weights/", "D:\\\\work\\\\.", "./", ".index"]
)
def test_the_state_file_may_come_from_elsewhere(stored: str) -> None:
    write_state("weights", f'model_checkpoint_path: "{stored}"')
    for path in ("weights", ckptfmt.latest_checkpoint("weights") or ""):
        assert os.path.normpath(opened(path)) == "weights"


def test_the_state_file_decides_among_several() -> None:
    write_bundle("weights/m-1", {"v": W})
    write_state("weights", 'model_checkpoint_path: "m-1"')
    for path in ("weights", "weights/", "weights/."):
        assert list(ckptfmt.open(path)) == ["v"]
    # TensorFlow's reader takes a prefix literally.
    assert compat.NewCheckpointReader("weights/").has_tensor("w")
    assert compat.load_checkpoint("weights/").has_tensor("v")
    write_state("weights", *KERAS)
    for path in ("weights", "weights/", "weights/."):
        assert list(ckptfmt.open(path)) == ["w"]


def test_without_a_state_file_the_separator_decides() -> None:
    write_bundle("weights/m-1", {"v": W})
    error = not_found("weights")
    assert f"name one: {PREFIX}, {PREFIX}m-1" in str(error)
    assert opened("weights/") == PREFIX
    write_state("weights", 'model_checkpoint_path: "missing"')
    assert opened("weights/") == PREFIX
    assert f"available: {PREFIX}, {PREFIX}m-1" in str(not_found("weights"))


def test_a_state_file_alone_leads_nowhere() -> None:
    for name in (".index", ".data-00000-of-00001"):
        Path("weights", name).unlink()
    write_state("weights", *KERAS)
    assert ckptfmt.latest_checkpoint("weights") is None
    for path in ("weights", "weights/", "weights/."):
        with pytest.raises(CheckpointNotFoundError, match=r"names '\.' as the latest checkpoint"):
            ckptfmt.open(path)


def test_its_data_files_alone_are_told() -> None:
    Path("weights/.index").unlink()
    assert ".data-00000-of-00001 exists, but .index does not" in str(not_found("weights"))


def test_a_copy_of_the_index_opens() -> None:
    os.rename("weights/.index", "weights/.index.bak")
    assert opened_copy("weights/.index.bak") == PREFIX


def opened_copy(path: str) -> str:
    files = find_checkpoint(path)
    assert files.tables == (path,)
    np.testing.assert_array_equal(ckptfmt.open(path)["w"], W)
    return files.prefix


def test_hidden_names_are_prefixes_like_others() -> None:
    write_bundle(".hidden", {"w": W})
    assert opened(".hidden") == ".hidden"
    Path("run").mkdir()
    write_bundle("run/.best", {"w": W})
    write_state("run", 'model_checkpoint_path: ".best"')
    assert opened("run") == os.path.join("run", ".best")


@pytest.mark.parametrize("root", ["/nowhere/weights", "gs://bucket/weights"])
def test_on_any_file_system(root: str) -> None:
    files = {f"{root}/{path.name}": path.read_bytes() for path in Path("weights").iterdir()}
    state = "\n".join(KERAS).encode()
    for more in ({}, {f"{root}/checkpoint": state}):
        fs = MemoryFilesystem({**files, **more})
        for path in (root, f"{root}/", f"{root}/.index"):
            np.testing.assert_array_equal(ckptfmt.open(path, fs=fs)["w"], W)
    latest = ckptfmt.latest_checkpoint(root, fs=fs)
    assert latest == f"{root}/."
    np.testing.assert_array_equal(ckptfmt.open(latest, fs=fs)["w"], W)
