"""The parts of a model that its signatures use, and the parts that none of them uses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import ckptfmt
from ckptfmt.errors import CorruptError, NameNotFoundError
from ckptfmt.proto import messages
from tests.support.corpus import CORPUS
from tests.support.corpus import entries as corpus_entries


@pytest.mark.tensorflow
def test_each_signature_uses_its_own_variables_functions_and_assets(tmp_path: Path) -> None:
    tf = pytest.importorskip("tensorflow", reason="compares with TensorFlow, which is not installed")
    (tmp_path / "words.txt").write_text("a\nb\n")

    class Model(tf.Module):  # type: ignore[misc,name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.one = tf.Variable(tf.zeros([10]), name="one")
            self.two = tf.Variable(tf.zeros([3]), name="two")
            self.idle = tf.Variable(tf.zeros([7]), name="idle")
            self.table = tf.lookup.StaticVocabularyTable(
                tf.lookup.TextFileInitializer(
                    str(tmp_path / "words.txt"),
                    *(tf.string, tf.lookup.TextFileIndex.WHOLE_LINE),
                    *(tf.int64, tf.lookup.TextFileIndex.LINE_NUMBER),
                ),
                1,
            )

        @tf.function(input_signature=[tf.TensorSpec([], tf.float32)])
        def first(self, x: Any) -> Any:
            return tf.reduce_sum(self.one) * x

        @tf.function(input_signature=[tf.TensorSpec([], tf.string)])
        def second(self, x: Any) -> Any:
            return tf.gather(self.two, self.table.lookup(x))

    module = Model()
    tf.saved_model.save(
        module, str(tmp_path / "model"), signatures={"first": module.first, "second": module.second}
    )
    with ckptfmt.open_saved_model(tmp_path / "model") as model:
        first, second, rest = (
            model.reach("first"),
            model.reach("second"),
            model.unreached(),
        )
    assert (len(first.variables), first.nbytes, first.assets) == (1, 40, ())
    assert (len(second.variables), second.nbytes, second.assets) == (1, 12, ("words.txt",))
    assert rest.nbytes == 28
    assert rest.assets == ()
    assert len({*first.variables, *second.variables, *rest.variables}) == 3
    assert any("first" in name for name in first.functions)
    assert not any("first" in name for name in second.functions)
    assert any("restore" in name for name in rest.functions)
    message = "no signature named 'third'; did you mean 'first' or 'second'"
    with pytest.raises(NameNotFoundError, match=message):
        model.reach("third")


@pytest.mark.parametrize("entry", corpus_entries("saved_model"))
def test_used_and_unused_parts_are_the_whole_model(entry: dict[str, Any]) -> None:
    try:
        whole = ckptfmt.open_saved_model(CORPUS / entry["path"])
    except ckptfmt.errors.CkptfmtError as error:
        pytest.skip(str(error))
    for meta in whole.meta_graphs:
        check_reach(whole.narrowed(meta))


def check_reach(model: ckptfmt.SavedModel) -> None:
    used = [model.reach(name) for name in model.signatures]
    rest = model.unreached()
    assert {name for each in [*used, rest] for name in each.variables} == set(model.variables)
    assert not {name for each in used for name in each.variables} & set(rest.variables)
    assert {name for each in [*used, rest] for name in each.assets} == set(model.assets)
    assert {name for each in [*used, rest] for name in each.functions} == set(
        model.meta_graph.graph.functions
    )


@pytest.mark.corpus
@pytest.mark.skipif(not CORPUS.is_dir(), reason=f"no corpus at {CORPUS}; set CKPTFMT_CORPUS")
def test_an_asset_read_by_a_custom_op_is_used() -> None:
    with ckptfmt.open_saved_model(CORPUS / "tfdf_adult_rf") as model:
        assert model.reach("serving_default").assets == ("done",)


def graph_of(*nodes: tuple[str, str, list[str]]) -> messages.SavedModel:
    saved = messages.SavedModel(saved_model_schema_version=1)
    meta = saved.meta_graphs.add()
    for name, op, inputs in nodes:
        meta.graph_def.node.add(name=name, op=op, input=inputs)
    meta.signature_def["s"].outputs["y"].name = "find:0"
    meta.asset_file_def.add(filename="words").tensor_info.name = "path:0"
    return saved


@pytest.mark.parametrize("table", ["HashTable", "HashTableV2", "MutableDenseHashTable", "MutableHashTableV2"])
def test_an_asset_that_fills_a_table_is_used_and_a_saved_variable_is_not(tmp_path: Path, table: str) -> None:
    saved = graph_of(
        ("table", table, []),
        ("path", "Const", []),
        ("find", "LookupTableFindV2", ["table", "key", "key"]),
        ("key", "Const", []),
        ("fill", "InitializeTableFromTextFileV2", ["table", "path"]),
        ("v", "VarHandleOp", []),
        ("restore", "RestoreAll", ["table", "v"]),
        ("save", "SaveAll", ["table", "v"]),
    )
    saver = saved.meta_graphs[0].saver_def
    saver.restore_op_name, saver.save_tensor_name = "restore", "save:0"
    (tmp_path / "saved_model.pb").write_bytes(saved.SerializeToString())
    model = ckptfmt.open_saved_model(tmp_path)
    assert model._usage.needed("s") == {"find", "key", "table", "fill", "path"}
    assert model.reach("s").assets == ("words",)
    assert model.unreached().assets == ()
    for old in (lambda: ckptfmt.reach(model, "s"), lambda: ckptfmt.reach(model=model, signature="s")):
        with pytest.warns(DeprecationWarning, match=r"ckptfmt\.reach is now ckptfmt\.SavedModel\.reach"):
            assert old() == model.reach("s")
    for old in (lambda: ckptfmt.unreached(model), lambda: ckptfmt.unreached(model=model)):
        with pytest.warns(DeprecationWarning, match="SavedModel.unreached"):
            assert old() == model.unreached()


def test_an_output_that_the_graph_lacks_is_corrupt(tmp_path: Path) -> None:
    (tmp_path / "saved_model.pb").write_bytes(graph_of(("x", "Const", [])).SerializeToString())
    model = ckptfmt.open_saved_model(tmp_path)
    for use in (lambda: model.reach("s"), lambda: model.unreached()):
        with pytest.raises(
            CorruptError, match="signature 's' returns 'y' from 'find:0', which does not exist"
        ):
            use()
