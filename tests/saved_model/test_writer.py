"""``SavedModelWriter`` and ``write_saved_model``: TensorFlow loads and runs what they write."""

from __future__ import annotations

import os
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

import ckptfmt
from ckptfmt.errors import (
    AlreadyExistsError,
    GraphError,
    NameConflictError,
    NameNotFoundError,
    PathNotFoundError,
    TensorNotFoundError,
)
from ckptfmt.proto import messages
from tests.support.memory_filesystem import MemoryFilesystem
from tests.support.saved_models import (
    FEEDS,
    WORDS,
    check_equal,
    run,
    run_in_session,
    save_classic,
    save_module,
    write_words,
)

pytestmark = pytest.mark.tensorflow

SIGNATURES = {
    "serving_default": {"inputs": {"x": "x:0", "scale": "scale"}, "outputs": {"scores": "scores:0"}},
    "look_up": {"inputs": {"words": "words"}, "outputs": {"numbers": "numbers"}},
}
"""The signatures of :func:`save_classic`, as people write them."""


@pytest.fixture(scope="module", params=[False, True], ids=["references", "resources"])
def classic(
    request: pytest.FixtureRequest, tensorflow: ModuleType, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A model of TensorFlow 1 as TensorFlow writes it, with the graph alone beside it."""
    folder = tmp_path_factory.mktemp("classic")
    words = write_words(folder / "words")
    model = save_classic(tensorflow, folder / "model", words, resources=request.param)
    ckptfmt.open_saved_model(model, tags="serve").meta_graph.graph.write(folder / "graph.pb")
    return model


def test_a_graph_and_a_checkpoint_make_a_model(tensorflow: ModuleType, classic: Path, tmp_path: Path) -> None:
    graph = ckptfmt.read_graph(classic.parent / "graph.pb")
    with ckptfmt.open(classic) as ckpt, ckptfmt.SavedModelWriter(tmp_path / "deep" / "m") as writer:
        writer.add_meta_graph(
            graph, ckpt, ["serve"], SIGNATURES, {"words_path:0": classic.parent / "words" / "words.txt"}
        )
    check_equal(run(tensorflow, tmp_path / "deep" / "m"), run(tensorflow, classic, ["serve"]))
    with ckptfmt.open_saved_model(tmp_path / "deep" / "m") as model, ckptfmt.open(classic) as ckpt:
        assert model.init_op is not None
        assert model.checkpoint is not None
        assert {name: model.checkpoint[name].tobytes() for name in model.checkpoint} == {
            name: ckpt[name].tobytes() for name in ckpt
        }
    # Whatever happens to the file that was given, the model has its own.
    moved = (tmp_path / "deep" / "m").rename(tmp_path / "moved")
    write_words(moved / "assets", WORDS[::-1])
    np.testing.assert_array_equal(run(tensorflow, moved)["look_up"]["numbers"], [0, -1, 2])


def test_the_checkpoint_is_the_one_that_tensorflow_writes(classic: Path, tmp_path: Path) -> None:
    model = ckptfmt.open_saved_model(classic, tags="serve")
    assert model.checkpoint is not None
    with ckptfmt.SavedModelWriter(tmp_path / "m") as writer:
        writer.add_meta_graph(model.meta_graph, model.checkpoint)
    for name in ("variables.index", "variables.data-00000-of-00001"):
        assert (tmp_path / "m/variables" / name).read_bytes() == (classic / "variables" / name).read_bytes()


def test_several_meta_graphs_share_variables(tensorflow: ModuleType, classic: Path, tmp_path: Path) -> None:
    train = ckptfmt.open_saved_model(classic, tags="train")
    serve = ckptfmt.open_saved_model(classic, tags="serve")
    assert train.checkpoint is not None
    with ckptfmt.SavedModelWriter(tmp_path / "m") as writer:
        writer.add_meta_graph(train.meta_graph, train.checkpoint, ["train"])
        writer.add_meta_graph(serve.meta_graph)
        with pytest.raises(GraphError, match="another meta graph has the tags serve"):
            writer.add_meta_graph(serve.meta_graph)
        with pytest.raises(NameConflictError, match="several values"):
            writer.add_meta_graph(serve.meta_graph, {"b": np.zeros(2, np.float32)}, "other")
    assert [meta.tags for meta in ckptfmt.open_saved_model(tmp_path / "m").meta_graphs] == [
        {"train"},
        {"serve"},
    ]
    for tags in (["serve"], ["train"]):
        check_equal(run(tensorflow, tmp_path / "m", tags), run(tensorflow, classic, tags))
    assert os.listdir(tmp_path / "m" / "assets") == ["words.txt"]


def test_a_model_of_tensorflow_2_is_written_again(tensorflow: ModuleType, tmp_path: Path) -> None:
    source = save_module(tensorflow, tmp_path / "source", write_words(tmp_path / "words"))
    with ckptfmt.open_saved_model(source) as model:
        assert model.checkpoint is not None
        default = model.signatures["serving_default"]
        best = {"inputs": default.inputs, "outputs": {"best": default.outputs["best"]}}
        with ckptfmt.SavedModelWriter(tmp_path / "m") as writer:
            writer.add_meta_graph(model.meta_graph, model.checkpoint, signatures={"best": best})
    before, after = run(tensorflow, source), run(tensorflow, tmp_path / "m")
    check_equal(after, {**before, "best": {"best": before["serving_default"]["best"]}})
    loaded = tensorflow.saved_model.load(str(tmp_path / "m"))
    np.testing.assert_array_equal(loaded.look_up(tensorflow.constant(FEEDS["words"])), [2, -1, 0])


def simple_graph(tf: ModuleType, folder: Path) -> ckptfmt.Graph:
    v1 = tf.compat.v1
    with tf.Graph().as_default() as graph:
        x = v1.placeholder(tf.float32, [None, 2], "x")
        w = v1.get_variable("net/w", [2, 3], use_resource=True)
        tf.matmul(x, w, name="y")
    tf.io.write_graph(graph.as_graph_def(), str(folder), "graph.pbtxt")
    return ckptfmt.read_graph(folder / "graph.pbtxt")


def test_simple_models_take_one_call(tensorflow: ModuleType, tmp_path: Path) -> None:
    graph = simple_graph(tensorflow, tmp_path)
    w = np.arange(6, dtype=np.float32).reshape(2, 3)
    expected = {"serving_default": {"y": FEEDS["x"] @ w}}
    for number, variables in enumerate(({"net/w": w}, {"net": {"w": w}}, [{"net/w": w}])):
        path = ckptfmt.write_saved_model(
            tmp_path / f"{number}", graph, variables, inputs={"x": "x:0"}, outputs={"y": "y"}
        )
        assert path == str(tmp_path / f"{number}")
        check_equal(run(tensorflow, Path(path)), expected)
    frozen = ckptfmt.freeze(graph, {"net/w": w}, "y")
    ckptfmt.write_saved_model(tmp_path / "frozen", frozen, inputs={"x": "x"}, outputs={"y": "y:0"}, tags="a")
    check_equal(run_in_session(tensorflow, tmp_path / "frozen", ["a"]), expected)


def test_simple_models_are_what_simple_save_writes(tensorflow: ModuleType, tmp_path: Path) -> None:
    v1 = tensorflow.compat.v1
    graph = simple_graph(tensorflow, tmp_path)
    w = np.ones((2, 3), np.float32)
    ckptfmt.write_saved_model(
        tmp_path / "ours", graph, {"net/w": w}, inputs={"x": "x:0"}, outputs={"y": "y:0"}
    )
    with tensorflow.Graph().as_default() as imported, v1.Session(graph=imported) as session:
        x = v1.placeholder(tensorflow.float32, [None, 2], "x")
        variable = v1.get_variable("net/w", initializer=w, use_resource=True)
        y = tensorflow.matmul(x, variable, name="y")
        session.run(variable.initializer)
        v1.saved_model.simple_save(session, str(tmp_path / "theirs"), {"x": x}, {"y": y})
    ours, theirs = (ckptfmt.open_saved_model(tmp_path / name) for name in ("ours", "theirs"))
    for mine, other in zip(
        ours.signatures["serving_default"][:3], theirs.signatures["serving_default"][:3], strict=True
    ):
        # A graph that was written alone does not say the shape of y.
        assert str(mine).replace("shape=None", "shape=(None, 3)") == str(other)
    assert ours.meta_graph.tags == theirs.meta_graph.tags
    names = ("variables/variables.index", "variables/variables.data-00000-of-00001")
    for name in names:
        assert (tmp_path / "ours" / name).read_bytes() == (tmp_path / "theirs" / name).read_bytes()


def test_what_does_not_fit_is_refused_before_anything_is_written(
    tensorflow: ModuleType, tmp_path: Path
) -> None:
    graph = simple_graph(tensorflow, tmp_path)
    w = np.ones((2, 3), np.float32)
    target = tmp_path / "m"
    with pytest.raises(TensorNotFoundError, match="'net/w', which is missing"):
        ckptfmt.write_saved_model(target, graph, {}, inputs={"x": "x"}, outputs={"y": "y"})
    with pytest.raises(TensorNotFoundError, match="'net/w', which is missing"):
        ckptfmt.write_saved_model(target, graph)
    with pytest.raises(GraphError, match=r"'net/w': got float64\[2,3\]"):
        ckptfmt.write_saved_model(target, graph, {"net/w": w.astype(float)})
    with pytest.raises(NameNotFoundError, match="z"):
        ckptfmt.write_saved_model(target, graph, {"net/w": w}, outputs={"z": "z:0"})
    with pytest.raises(PathNotFoundError):
        ckptfmt.write_saved_model(target, graph, {"net/w": w}, assets={"x:0": tmp_path / "missing"})
    with pytest.raises(NameNotFoundError, match="init"):
        ckptfmt.write_saved_model(target, graph, {"net/w": w}, init_op="init")
    with pytest.raises(GraphError, match=r"call add_meta_graph\(\)"), ckptfmt.SavedModelWriter(target):
        pass
    assert sorted(os.listdir(tmp_path)) == ["graph.pbtxt"]
    writer = ckptfmt.SavedModelWriter(target)
    writer.discard()
    writer.commit()
    with pytest.raises(ValueError, match="closed"):
        writer.add_meta_graph(graph, {"net/w": w})
    assert not target.exists()


def test_existing_directories_are_replaced_only_with_overwrite(
    tensorflow: ModuleType, tmp_path: Path
) -> None:
    graph = simple_graph(tensorflow, tmp_path)
    target = tmp_path / "m"
    target.mkdir()  # an empty one is fine
    for value in (1, 2):
        w = np.full((2, 3), value, np.float32)
        if value == 2:
            with pytest.raises(AlreadyExistsError, match="overwrite=True"):
                ckptfmt.write_saved_model(target, graph, {"net/w": w})
        ckptfmt.write_saved_model(target, graph, {"net/w": w}, overwrite=value == 2)
        with ckptfmt.open(target) as ckpt:
            assert ckpt["net/w"].max() == value
    (target / "notes.txt").write_text("mine")
    with pytest.raises(AlreadyExistsError, match=r"move 'notes\.txt' away"):
        ckptfmt.SavedModelWriter(target, overwrite=True)
    with pytest.raises(AlreadyExistsError, match="without a SavedModel"):
        ckptfmt.SavedModelWriter(tmp_path, overwrite=True)
    assert sorted(os.listdir(tmp_path)) == ["graph.pbtxt", "m"]


def test_models_are_written_to_other_file_systems(tensorflow: ModuleType, tmp_path: Path) -> None:
    graph = simple_graph(tensorflow, tmp_path)
    fs = MemoryFilesystem()
    w = np.ones((2, 3), np.float32)
    ckptfmt.write_saved_model("mem/m", graph, {"net/w": w}, outputs={"w": "net/w/Read/ReadVariableOp"}, fs=fs)
    assert sorted(fs.files) == [
        "mem/m/saved_model.pb",
        "mem/m/variables/variables.data-00000-of-00001",
        "mem/m/variables/variables.index",
    ]
    with ckptfmt.open_saved_model("mem/m", fs=fs) as model:
        np.testing.assert_array_equal(model.variables["net/w"], w)
        model.with_variables({"net/w": 2 * w}).write("mem/new", fs=fs)
        model.with_tags("local").write(tmp_path / "local")
    with ckptfmt.open_saved_model("mem/new", fs=fs) as model:
        np.testing.assert_array_equal(model.variables["net/w"], 2 * w)
    with ckptfmt.open_saved_model(tmp_path / "local", tags="local") as model:
        np.testing.assert_array_equal(model.variables["net/w"], w)


def test_numbers_of_python_get_the_dtype_of_their_variable(tmp_path: Path) -> None:
    node = messages.NodeDef(name="v", op="VarHandleOp")
    node.attr["dtype"].type = messages.DataType.DT_FLOAT
    node.attr["shape"].shape.dim.add(size=2)
    graph = ckptfmt.Graph(messages.GraphDef(node=[node]))
    path = ckptfmt.write_saved_model(tmp_path / "model", graph, {"v": [1, 2]})
    with ckptfmt.open(path) as written:
        assert (written["v"].dtype, written["v"].tolist()) == (np.float32, [1, 2])
    with pytest.raises(GraphError, match="variable 'v': got values of"):
        ckptfmt.write_saved_model(tmp_path / "other", graph, {"v": ["a", "b"]})
