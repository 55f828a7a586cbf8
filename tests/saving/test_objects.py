"""Object graphs in saved checkpoints: what ``tf.train.Checkpoint`` restores from them."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings

import ckptfmt
from ckptfmt.errors import GraphError, NameConflictError
from ckptfmt.object_graph.keys import OBJECT_GRAPH_KEY
from ckptfmt.saving.save import save
from tests.support.corpus import CORPUS, entries, has_variables
from tests.support.nested_values import CASES, Variables, structures
from tests.support.restoring import check_equal, keras_model, key, legacy_adam, restore, trained

NESTED: dict[str, Any] = {
    "model": {
        "layers": [{"w": np.array([[1, 2]], np.float32)}, {"w": np.array([3], np.float32)}],
        "scale": np.array(0.5),
    },
    "step": np.array(7),
    "names": np.array([b"a", b"bc"], object),
}


def files(prefix: str) -> list[bytes]:
    """Return the bytes of the index and of the data file of a checkpoint."""
    return [Path(prefix + end).read_bytes() for end in (".index", ".data-00000-of-00001")]


@pytest.mark.tensorflow
@pytest.mark.parametrize("case", CASES)
def test_nested_values_are_saved_as_tensorflow_does(
    tensorflow: ModuleType, tmp_path: Path, case: str
) -> None:
    check_same_files(tensorflow, tmp_path, CASES[case])


@pytest.mark.tensorflow
@given(nested=structures())
@settings(max_examples=40)
def test_any_nested_values_are_saved_as_tensorflow_does(
    tensorflow: ModuleType, tmp_path_factory: pytest.TempPathFactory, nested: dict[str, Any]
) -> None:
    check_same_files(tensorflow, tmp_path_factory.mktemp("t"), nested)


def check_same_files(tensorflow: ModuleType, folder: Path, nested: dict[str, Any]) -> None:
    """Assert that the files are TensorFlow's, with and without a counter."""
    program = tensorflow.train.Checkpoint(**Variables(tensorflow).of(nested))
    theirs = program.write(str(folder / "theirs"))
    assert files(save(folder / "ours", nested, objects=True)) == files(theirs)
    counted = program.save(str(folder / "counted"))
    assert files(save(folder / "ours-1", {**nested, "save_counter": 1}, objects=True)) == files(counted)


def test_a_nested_mapping_has_no_objects_unless_asked(tmp_path: Path) -> None:
    with ckptfmt.open(save(tmp_path / "plain", {"a": {"b": 1}})) as ckpt:
        assert list(ckpt) == ["a/b"]
        # A checkpoint of names becomes one of objects, its names split at slashes.
        with ckptfmt.open(save(tmp_path / "objects", ckpt, objects=True)) as objects:
            assert list(objects) == [OBJECT_GRAPH_KEY, key("a/b")]
            assert objects.object_graph is not None
            assert objects.object_graph["a/b"].keys == (key("a/b"),)
            with ckptfmt.open(save(tmp_path / "again", objects, objects=False)) as names:
                assert list(names) == [key("a/b")]
                assert names.object_graph is None


def test_what_tensorflow_cannot_track_is_named(tmp_path: Path) -> None:
    with pytest.raises(GraphError, match="'a/b': got NoneType"):
        save(tmp_path / "x", {"a": {"b": None}}, objects=True)
    assert not list(tmp_path.iterdir())


@pytest.fixture
def nested_checkpoint(tmp_path: Path) -> ckptfmt.Checkpoint:
    """A checkpoint of a nested mapping."""
    return ckptfmt.open(save(tmp_path / "nested", {**NESTED, "save_counter": 1}, objects=True))


@pytest.mark.parametrize("entry", entries("bundle_v2", "saved_model"))
def test_a_copy_of_a_checkpoint_has_its_graph(entry: dict[str, Any], tmp_path: Path) -> None:
    if not has_variables(entry):
        pytest.skip("no checkpoint")
    with ckptfmt.open(CORPUS / entry["path"]) as ckpt:
        if ckpt.object_graph is None:
            pytest.skip("no object graph")
        with ckptfmt.open(save(tmp_path / "copy", ckpt)) as copy:
            assert copy[OBJECT_GRAPH_KEY] == ckpt[OBJECT_GRAPH_KEY]
        names = [name for name in ckpt if name != OBJECT_GRAPH_KEY]
        with ckptfmt.open(save(tmp_path / "selected", ckpt.select(*names))) as copy:
            assert copy.object_graph is not None
            assert copy.object_graph.encode() == ckpt.object_graph.encode()
        view = ckpt.select(*names[: len(names) // 2 + 1])
        with ckptfmt.open(save(tmp_path / "half", view)) as copy:
            assert copy.object_graph is not None
            assert not set(copy.object_graph.absent) - set(ckpt.object_graph.absent)
            # Every tf.train.Checkpoint looks for the counter of saves.
            assert set(copy) == {*view, OBJECT_GRAPH_KEY, *{key("save_counter")}.intersection(ckpt)}


@pytest.mark.tensorflow
def test_views_are_restored(
    tensorflow: ModuleType, nested_checkpoint: ckptfmt.Checkpoint, tmp_path: Path
) -> None:
    ckpt = nested_checkpoint
    view = ckpt.select("model/layers/1/*", "model/scale/*", "save_counter/*")
    renamed = view.renamed(
        {key("model/layers/0/w"): key("model/layers/1/w"), "factor": key("model/scale")}, keep_rest=True
    )
    prefix = save(tmp_path / "renamed", renamed)
    values = restore(tensorflow, prefix, {"model": {"layers": [{"w": np.zeros(1, np.float32)}]}})
    assert values[key("model/layers/0/w")].tolist() == [3]
    with ckptfmt.open(prefix) as copy:
        assert copy.object_graph is not None
        assert "model/scale" not in copy.object_graph
        assert set(copy) == {key("model/layers/0/w"), "factor", key("save_counter"), OBJECT_GRAPH_KEY}


@pytest.mark.tensorflow
def test_checkpoints_and_values_are_merged(
    tensorflow: ModuleType, nested_checkpoint: ckptfmt.Checkpoint, tmp_path: Path
) -> None:
    ckpt = nested_checkpoint
    other = ckptfmt.open(save(tmp_path / "other", {"head": {"w": 5.0}, "step": 1}, objects=True))
    parts = [ckpt, other.select("head/*"), {key("head/bias"): np.float32(6), "beside": 1}]
    values = restore(
        tensorflow,
        save(tmp_path / "merged", parts),
        {**NESTED, "head": {"w": np.array(0, np.float32), "bias": np.array(0, np.float32)}},
    )
    assert (values[key("head/w")], values[key("head/bias")], values[key("step")]) == (5, 6, 7)
    with pytest.raises(NameConflictError):
        save(tmp_path / "twice", [ckpt, other])
    # Below a name.
    prefix = save(tmp_path / "below", [{"teacher": other}, {key("save_counter"): np.int64(1)}])
    values = restore(
        tensorflow,
        prefix,
        {"teacher": {"head": {"w": np.array(0, np.float32)}, "step": np.array(0, np.int32)}},
    )
    assert values[key("teacher/head/w")] == 5
    with ckptfmt.open(prefix) as copy:
        assert set(copy) == {
            *(key(path) for path in ("teacher/head/w", "teacher/step", "save_counter")),
            OBJECT_GRAPH_KEY,
        }


@pytest.mark.tensorflow
def test_checkpoints_in_a_mapping_that_is_saved_as_objects(tensorflow: ModuleType, tmp_path: Path) -> None:
    inner = {"w": [np.array([5.0])], "b": np.array([6.0])}
    objects = ckptfmt.open(save(tmp_path / "objects", inner, objects=True))
    names = ckptfmt.open(save(tmp_path / "names", {"dense/w": np.array([7.0]), "b": np.array([8.0])}))

    def nested(teacher: Any, head: Any) -> dict[str, Any]:
        model = {"teacher": teacher, "head": head, "scale": np.array(2.0)}
        return {"model": model, "all": [teacher, {"w": np.array(3.0)}], "a/b": teacher, "save_counter": 1}

    prefix = save(tmp_path / "nested", nested(objects, names), objects=True)
    program = {"dense": {"w": np.array([7.0])}, "b": np.array([8.0])}
    variables = Variables(tensorflow)

    def zeros(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: zeros(each) for name, each in value.items()}
        if isinstance(value, list):
            return [zeros(each) for each in value]
        return variables.of(np.zeros_like(value))

    values = {name: zeros(value) for name, value in nested(inner, program).items() if name != "save_counter"}
    tensorflow.train.Checkpoint(**values).restore(prefix).assert_consumed()
    assert values["model"]["teacher"]["w"][0].numpy() == values["a/b"]["w"][0].numpy() == 5
    assert values["model"]["head"]["dense"]["w"].numpy() == 7
    assert (values["all"][0]["b"].numpy(), values["all"][1]["w"].numpy()) == (6, 3)
    with ckptfmt.open(prefix) as copy:
        assert copy[key("a.Sb/w/0")] == 5
        assert not [name for name in copy if OBJECT_GRAPH_KEY in name and name != OBJECT_GRAPH_KEY]


@pytest.mark.tensorflow
def test_a_trained_keras_model_without_its_optimizer(tensorflow: ModuleType, tmp_path: Path) -> None:
    old = keras_model("dense", 1)
    optimizer = trained(old, 1)
    prefix = tensorflow.train.Checkpoint(model=old, optimizer=optimizer).save(str(tmp_path / "old"))
    with ckptfmt.open(prefix) as ckpt:
        pruned = save(tmp_path / "model", ckpt.select(exclude=("optimizer/_variables/*", "optimizer/_[il]*")))
    model = keras_model("dense", 2)
    tensorflow.train.Checkpoint(model=model).restore(pruned).assert_existing_objects_matched()
    check_equal(model.weights, old.weights)


@pytest.mark.tensorflow
def test_slots_without_one_variable(tensorflow: ModuleType, tmp_path: Path) -> None:
    variables = {name: tensorflow.Variable([1.0, 2.0]) for name in "ab"}
    optimizer = legacy_adam(tensorflow, variables)
    prefix = tensorflow.train.Checkpoint(net=variables, optimizer=optimizer).save(str(tmp_path / "old"))
    with ckptfmt.open(prefix) as ckpt:
        pruned = save(tmp_path / "new", ckpt.select(exclude="net/b*"))
        m = ckpt[key("net/a/.OPTIMIZER_SLOT/optimizer/m")].tolist()
    only = {"a": tensorflow.Variable([0.0, 0.0])}
    optimizer = legacy_adam(tensorflow, only)
    tensorflow.train.Checkpoint(net=only, optimizer=optimizer).restore(pruned).assert_consumed()
    assert optimizer.get_slot(only["a"], "m").numpy().tolist() == m


def test_a_graph_that_the_caller_gives_is_kept(nested_checkpoint: ckptfmt.Checkpoint, tmp_path: Path) -> None:
    values = {name: nested_checkpoint[name] for name in nested_checkpoint}
    with ckptfmt.open(save(tmp_path / "copy", values)) as copy:
        assert copy[OBJECT_GRAPH_KEY] == nested_checkpoint[OBJECT_GRAPH_KEY]


@pytest.mark.tensorflow
def test_plans_keep_objects(tensorflow: ModuleType, tmp_path: Path) -> None:
    old = keras_model("dense", 1)
    prefix = tensorflow.train.Checkpoint(model=old).save(str(tmp_path / "old"))
    plan = ckptfmt.Plan.parse(
        """
        version = 1
        [[step]]
        rename = "^model/dense/"
        to = "model/encoder/"
        [[step]]
        cast = "model/encoder/*"
        dtype = "float64"
        [[step]]
        cast = "model/encoder/*"
        dtype = "float32"
        """
    )
    with ckptfmt.open(prefix) as ckpt:
        saved = save(tmp_path / "new", ckpt.apply(plan))
    model = keras_model("encoder", 2)
    tensorflow.train.Checkpoint(model=model).restore(saved).assert_consumed()
    check_equal(model.weights, old.weights)


@pytest.mark.tensorflow
def test_without_keys_a_checkpoint_has_no_graph_and_is_restored_by_name(
    tensorflow: ModuleType, tmp_path: Path
) -> None:
    def program() -> Any:
        return {name: tensorflow.Variable([1.0], name=name) for name in ("first", "second")}

    prefix = tensorflow.train.Checkpoint(net=program()).write(str(tmp_path / "old"))
    with ckptfmt.open(prefix) as ckpt:
        saved = save(tmp_path / "new", ckpt.by_full_name())
    with ckptfmt.open(saved) as copy:
        assert list(copy) == ["first", "second"]
    variables = program()
    variables["first"].assign([0.0])
    tensorflow.train.Checkpoint(net=variables).restore(saved).run_restore_ops()
    assert variables["first"].numpy() == [1]


@pytest.mark.tensorflow
def test_the_manager_of_tensorflow_continues_a_run_of_objects(tensorflow: ModuleType, tmp_path: Path) -> None:
    manager = ckptfmt.CheckpointManager(tmp_path)
    for step in (5, 10):
        manager.save({"net": {"w": np.float32(step)}}, step, objects=True)
    net = {"w": tensorflow.Variable(0.0)}
    program = tensorflow.train.Checkpoint(net=net)
    theirs = tensorflow.train.CheckpointManager(program, str(tmp_path), max_to_keep=5)
    assert theirs.latest_checkpoint == str(tmp_path / "ckpt-10")
    program.restore(theirs.latest_checkpoint).assert_consumed()
    assert net["w"].numpy() == 10
    assert program.save_counter.numpy() == 2
    theirs.save()
    assert len(manager.checkpoints) == 3


def functional_model(seed: int, *, with_first: bool = False) -> Any:
    """Return a trained functional model of Keras 3, maybe with one more layer at the beginning."""
    keras = pytest.importorskip("keras")
    x = inputs = keras.Input((5,))
    if with_first:
        x = keras.layers.Dense(5)(x)
    x = keras.layers.Dense(3, kernel_initializer=keras.initializers.RandomNormal(seed=seed))(x)
    model = keras.Model(inputs, keras.layers.Dense(2)(keras.layers.BatchNormalization()(x)))
    trained(model, seed)
    return model


@pytest.mark.tensorflow
def test_the_model_variables_of_a_functional_model(tensorflow: ModuleType, tmp_path: Path) -> None:
    old = functional_model(1)
    prefix = tensorflow.train.Checkpoint(model=old, optimizer=old.optimizer).save(str(tmp_path / "old"))
    with ckptfmt.open(prefix) as ckpt:
        plain = save(tmp_path / "plain", ckpt.model_variables())
        # For a model with one more layer. Most keys are below the optimizer; other paths lead over lists.
        assert ckpt.object_graph is not None
        names = {
            key(f"model/_operations/{number + 1}/{name}"): node.keys[0]
            for number in (1, 2, 3)
            for name, node in ckpt.object_graph[f"model/_operations/{number}"].children.items()
            if node.keys
        }
        assert len(names) == len(old.weights)
        shifted = save(tmp_path / "shifted", ckpt.renamed(names))
    same, longer = functional_model(2), functional_model(3, with_first=True)
    tensorflow.train.Checkpoint(model=same).read(plain).expect_partial()
    tensorflow.train.Checkpoint(model=longer).read(shifted).expect_partial()
    check_equal(same.weights, old.weights)
    check_equal(longer.weights[2:], old.weights)


@pytest.mark.tensorflow
def test_a_part_of_a_counted_checkpoint_matches_every_object(tensorflow: ModuleType, tmp_path: Path) -> None:
    first, second = tensorflow.Variable([1.0, 2.0]), tensorflow.Variable(3.0)
    saved = tensorflow.train.Checkpoint(model={"a": first}, other=second).save(str(tmp_path / "whole"))
    with ckptfmt.open(saved) as ckpt:
        part = save(tmp_path / "part", ckpt.select("model/*"))
        kept = save(tmp_path / "without", ckpt.select("model/*"), objects=False)
        below = save(tmp_path / "below", {"old": ckpt.select("model/*")}, objects=True)
    new = tensorflow.Variable([0.0, 0.0])
    program = tensorflow.train.Checkpoint(model={"a": new})
    program.restore(part).assert_consumed().assert_existing_objects_matched()
    assert new.numpy().tolist() == [1, 2]
    assert int(program.save_counter) == 1
    assert list(ckptfmt.open(kept)) == [key("model/a")]
    assert key("save_counter") not in ckptfmt.open(below)
