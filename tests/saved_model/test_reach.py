"""What of a model its signatures use, and what none of them does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import ckptfmt
from ckptfmt.errors import TensorNotFoundError
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
            ckptfmt.reach(model, "first"),
            ckptfmt.reach(model, "second"),
            ckptfmt.unreached(model),
        )
    assert (len(first.variables), first.nbytes, first.assets) == (1, 40, ())
    assert (len(second.variables), second.nbytes, second.assets) == (1, 12, ("words.txt",))
    assert rest.nbytes == 28
    assert rest.assets == ()
    assert len({*first.variables, *second.variables, *rest.variables}) == 3
    assert any("first" in name for name in first.functions)
    assert not any("first" in name for name in second.functions)
    assert any("restore" in name for name in rest.functions)
    with pytest.raises(TensorNotFoundError, match="no signature 'third'; did you mean 'first' or 'second'"):
        ckptfmt.reach(model, "third")


@pytest.mark.parametrize("entry", corpus_entries("saved_model"))
def test_what_is_used_and_what_is_not_are_all_there_is(entry: dict[str, Any]) -> None:
    try:
        model = ckptfmt.open_saved_model(CORPUS / entry["path"])
        signatures = model.signatures
    except ckptfmt.errors.CkptfmtError as error:
        pytest.skip(str(error))
    used = [ckptfmt.reach(model, name) for name in signatures]
    rest = ckptfmt.unreached(model)
    assert {name for each in [*used, rest] for name in each.variables} == set(model.variables)
    assert not {name for each in used for name in each.variables} & set(rest.variables)
    assert {name for each in [*used, rest] for name in each.assets} == set(model.assets)
    assert {name for each in [*used, rest] for name in each.functions} == set(
        model.meta_graph.graph.functions
    )
