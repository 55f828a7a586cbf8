"""SavedModels of many programs, edited and read back."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import ckptfmt
from ckptfmt.errors import CkptfmtError, FreezeWarning, GraphError, UnsupportedError
from ckptfmt.object_graph.keys import OBJECT_GRAPH_KEY
from tests.support.corpus import CORPUS
from tests.support.corpus import entries as corpus_entries


def opened(entry: dict[str, Any]) -> list[ckptfmt.SavedModel]:
    """Return a model once for each of its meta graphs."""
    try:
        model = ckptfmt.open_saved_model(CORPUS / entry["path"])
    except CkptfmtError as error:
        pytest.skip(str(error))
    return [ckptfmt.open_saved_model(model.directory, tags=meta.tags) for meta in model.meta_graphs]


@pytest.mark.parametrize("entry", corpus_entries("saved_model"))
def test_renamed_signatures_and_tags_are_all_that_changes(entry: dict[str, Any], tmp_path: Path) -> None:
    for number, model in enumerate(opened(entry)):
        names = {name: f"new {name}" for name in signatures_of(model)}
        path = Path(model.with_signatures(rename=names).with_tags("new").write(tmp_path / str(number)))
        with ckptfmt.open_saved_model(path, tags="new") as edited:
            assert {new: model.signatures[old] for old, new in names.items()} == signatures_of(edited)
            graph, same = (each.meta_graph.message.graph_def for each in (model, edited))
            assert graph.SerializeToString(deterministic=True) == same.SerializeToString(deterministic=True)
            assert edited.object_variables == model.object_variables
            assert [each.path for each in edited.object_functions if not has_signature(each)] == [
                each.path for each in model.object_functions if not has_signature(each)
            ]
            assert list(edited.assets) == list(model.assets)
            if model.checkpoint is not None:
                assert edited.checkpoint is not None
                assert edited.checkpoint.entries == model.checkpoint.entries
        left = {
            name
            for name in relative_files(Path(model.directory)) - relative_files(path)
            if not name.endswith(".pbtxt")
        }
        assert left <= {os.path.basename(model.file), "fingerprint.pb"}


def has_signature(function: ckptfmt.ObjectFunction) -> bool:
    return function.path is None or "signatures/" in function.path or function.path == "signatures"


def signatures_of(model: ckptfmt.SavedModel | ckptfmt.EditedModel) -> dict[str, ckptfmt.Signature]:
    """The signatures that users call; TensorFlow keeps others for itself."""
    return {name: each for name, each in model.signatures.items() if not name.startswith("__")}


def relative_files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("entry", corpus_entries("saved_model"))
def test_signatures_are_removed_one_after_the_other(entry: dict[str, Any], tmp_path: Path) -> None:
    for model in opened(entry):
        edited: ckptfmt.SavedModel | ckptfmt.EditedModel = model
        for name in signatures_of(model):
            others = {other: each for other, each in signatures_of(edited).items() if other != name}
            edited = edited.with_signatures(remove=name)
            assert signatures_of(edited) == others
            meta = edited.meta_graph
            for signature in others.values():
                for info in signature.outputs.values():
                    if isinstance(info.tensor, str):
                        assert info.tensor.partition(":")[0] in meta.graph


@pytest.mark.parametrize("entry", corpus_entries("saved_model"))
def test_values_are_written_as_they_were(entry: dict[str, Any], tmp_path: Path) -> None:
    (model, *_) = opened(entry)
    if model.checkpoint is None or sum(e.nbytes for e in model.checkpoint.entries.values()) > 30 << 20:
        pytest.skip("no variables, or large ones")
    edited = model.with_variables(model.checkpoint)
    if {"RestoreSlice", "Restore"} & set(model.meta_graph.graph.ops):
        with pytest.raises(UnsupportedError, match="V1 checkpoints only"):
            edited.write(tmp_path / "new")
        return
    edited.write(tmp_path / "new")
    with ckptfmt.open(tmp_path / "new") as new:
        assert list(new) == list(model.checkpoint)
        for name, array in new.items():
            np.testing.assert_array_equal(array, model.checkpoint[name])
            assert new.entries[name].slices == model.checkpoint.entries[name].slices
        if OBJECT_GRAPH_KEY in new:
            assert new[OBJECT_GRAPH_KEY].item() == model.checkpoint[OBJECT_GRAPH_KEY].item()
        assert new.verify().ok


@pytest.mark.parametrize("entry", corpus_entries("saved_model"))
def test_models_that_only_serve_have_the_same_signatures(entry: dict[str, Any], tmp_path: Path) -> None:
    for number, model in enumerate(opened(entry)):
        edits = {"frozen": model.to_frozen(), "served": model.without_training_nodes()}
        for name, edited in edits.items():
            target = tmp_path / f"{name}{number}"
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", FreezeWarning)
                    edited.write(target)
            except (GraphError, UnsupportedError):
                assert not target.exists()
                continue
            with ckptfmt.open_saved_model(target) as served:
                assert dict(served.signatures) == signatures_of(model)
                graph = served.meta_graph.graph
                assert name == "served" or graph.variables == ()
                needed = served.variables.sources.values()
                if model.checkpoint is not None:
                    assert {source.name for source in needed} == set(served.checkpoint or ())
                for each in served.signatures:
                    served.reach(each)


@pytest.mark.tensorflow
@pytest.mark.parametrize("entry", corpus_entries("saved_model"))
def test_tensorflow_runs_edited_signatures(
    entry: dict[str, Any], tensorflow: ModuleType, tmp_path: Path
) -> None:
    for number, model in enumerate(opened(entry)):
        name, *others = [*signatures_of(model), None]
        folder = Path(model.directory)
        if name is None or sum(p.stat().st_size for p in folder.rglob("*") if p.is_file()) > 20 << 20:
            pytest.skip("no signature, or a large model")
        (tags,) = [list(meta.tags) for meta in model.meta_graphs if meta is model.meta_graph]
        try:
            theirs = tensorflow.saved_model.load(str(folder), tags=tags).signatures[name]
            given = theirs.structured_input_signature[1]
            arguments = {key: zeros(tensorflow, spec) for key, spec in given.items()}
            expected = theirs(**arguments)
        except Exception as error:
            pytest.skip(f"TensorFlow does not run the model itself: {error!s:.100}")
        signature = model.signatures[name]
        output = min(signature.outputs)
        one = {"inputs": signature.inputs, "outputs": {f"only {output}": signature.outputs[output]}}
        edited = model.with_signatures(
            {"one": one}, rename={name: "new"}, remove=[o for o in others[:1] if o]
        )
        path = edited.write(tmp_path / str(number))
        signatures = tensorflow.saved_model.load(path, tags=tags).signatures
        for new, key in (("new", output), ("one", f"only {output}")):
            np.testing.assert_array_equal(signatures[new](**arguments)[key], expected[output])


def zeros(tf: ModuleType, spec: Any) -> Any:
    """A value for an input, with one element where any number may be."""
    sizes = [1] if spec.shape.rank is None else [1 if size is None else size for size in spec.shape]
    return (
        tf.constant(np.full(sizes, "a", object)) if spec.dtype == tf.string else tf.zeros(sizes, spec.dtype)
    )
