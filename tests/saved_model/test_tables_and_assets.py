"""Edits of SavedModels with mutable tables, files and variables without a fixed shape, run by TensorFlow."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import ckptfmt
from ckptfmt.errors import GraphError
from ckptfmt.proto import messages
from tests.support.saved_models import check_equal, run, save_classic, write_words

pytestmark = pytest.mark.tensorflow

KEYS, VALUES, OPEN = (
    f"{name}/.ATTRIBUTES/{kind}"
    for name, kind in (("table", "table-keys"), ("table", "table-values"), ("open", "VARIABLE_VALUE"))
)


@pytest.fixture(scope="module")
def tables(tensorflow: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of TensorFlow 2 with a mutable table, and with a signature that reads the path of a file."""
    tf = tensorflow
    folder = tmp_path_factory.mktemp("tables")

    class Model(tf.Module):  # type: ignore[name-defined,misc]
        def __init__(self) -> None:
            self.table = tf.lookup.experimental.MutableHashTable(tf.string, tf.int64, -1)
            self.table.insert(["a"], [7])
            self.open = tf.Variable(np.zeros((2, 2), np.float32), shape=tf.TensorShape([None, 2]))
            self.words = tf.saved_model.Asset(str(write_words(folder / "words")))

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="key")])  # type: ignore[untyped-decorator]
        def look_up(self, key: Any) -> Any:
            return {"value": self.table.lookup(key), "total": tf.reduce_sum(self.open)}

        @tf.function(input_signature=[])  # type: ignore[untyped-decorator]
        def read(self) -> Any:
            return {"content": tf.io.read_file(self.words.asset_path)}

    model = Model()
    tf.saved_model.save(model, folder / "model", signatures={"look_up": model.look_up, "read": model.read})
    return Path(folder / "model")


def look_up(tf: ModuleType, path: str | Path) -> tuple[list[int], float]:
    function = tf.saved_model.load(str(path)).signatures["look_up"]
    result = function(key=tf.constant(["a", "b"]))
    return result["value"].numpy().tolist(), float(result["total"])


def test_a_table_and_a_variable_grow(tensorflow: ModuleType, tables: Path, tmp_path: Path) -> None:
    new = {KEYS: ["b", "c", "a"], VALUES: [1, 2, 3], OPEN: np.ones((5, 2), np.float32)}
    with ckptfmt.open_saved_model(tables) as model:
        path = model.with_variables(new).write(tmp_path / "new")
        for wrong in (np.ones((5, 3), np.float32), "text"):
            with pytest.raises(GraphError, match=f"{OPEN}: got "):
                model.with_variables({OPEN: wrong}, keep_rest=True).write(tmp_path / "wrong")
    assert look_up(tensorflow, path) == ([3, 1], 10)


def test_a_model_of_tensorflow_2_is_written_anew_with_its_tables(
    tensorflow: ModuleType, tables: Path, tmp_path: Path
) -> None:
    with ckptfmt.open_saved_model(tables) as model:
        assert model.checkpoint is not None
        path = ckptfmt.write_saved_model(tmp_path / "new", model.meta_graph, model.checkpoint)
        with ckptfmt.open_saved_model(path) as new:
            assert list(new.checkpoint or ()) == list(model.checkpoint)
    assert look_up(tensorflow, path) == ([7, -1], 0)
    v1 = tensorflow.compat.v1
    with tensorflow.Graph().as_default(), v1.Session() as session:
        signature = v1.saved_model.load(session, ["serve"], path).signature_def["look_up"]
        fed = {signature.inputs["key"].name: ["a", "b"]}
        assert session.run(signature.outputs["value"].name, fed).tolist() == [7, -1]


def test_a_path_that_a_signature_reads_cannot_be_a_constant(
    tensorflow: ModuleType, tables: Path, tmp_path: Path
) -> None:
    with ckptfmt.open_saved_model(tables) as model:
        with pytest.raises(GraphError, match=r"path of asset 'words.txt'.* remove that signature"):
            model.to_frozen().write(tmp_path / "read")
        assert not (tmp_path / "read").exists()
        path = model.with_signatures(remove="read").to_frozen().write(tmp_path / "frozen")
    assert look_up(tensorflow, path) == ([7, -1], 0)


def test_new_values_come_before_variables_are_constants(tables: Path, tmp_path: Path) -> None:
    with ckptfmt.open_saved_model(tables) as model:
        frozen = model.with_signatures(remove="read").to_frozen()
        with pytest.raises(GraphError, match=r"call with_variables\(\) before to_frozen\(\)"):
            frozen.with_variables({OPEN: np.zeros((2, 2), np.float32)}).write(tmp_path / "new")


def test_files_that_only_a_collection_lists_stay(tensorflow: ModuleType, tmp_path: Path) -> None:
    source = save_classic(tensorflow, tmp_path / "model", write_words(tmp_path / "words"))
    expected = run(tensorflow, source, ["serve"])
    # As the oldest versions of TensorFlow list files.
    message = messages.SavedModel.FromString((source / "saved_model.pb").read_bytes())
    for meta in message.meta_graphs:
        del meta.asset_file_def[:]
    (source / "saved_model.pb").write_bytes(message.SerializeToString())
    more = tmp_path / "more.txt"
    more.write_text("more")
    with ckptfmt.open_saved_model(source, tags=["serve"]) as model:
        served = model.without_training_nodes().write(tmp_path / "served")
        added = model.with_assets({"words:0": more}).write(tmp_path / "added")
    check_equal(run(tensorflow, Path(served), ["serve"]), expected)
    with ckptfmt.open_saved_model(added, tags=["serve"]) as new:
        assert list(new.assets) == ["words.txt", "more.txt"]
        # TensorFlow reads the collection only if this list is empty.
        assert len(new.meta_graph.message.asset_file_def) == 2
