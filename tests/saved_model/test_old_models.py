"""SavedModels of TensorFlow 1: variables in V1, and Hub modules without Saver, tags and version."""

from __future__ import annotations

import io
from collections.abc import Callable
from contextlib import redirect_stderr
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import ckptfmt
from ckptfmt.proto import messages
from ckptfmt.proto.parse import format_text
from tests.support.command_line import run, run_json
from tests.support.memory_filesystem import MemoryFilesystem
from tests.support.v1_files import v1_table

Graph = Any
pytestmark = pytest.mark.tensorflow


def build(tf: ModuleType, *, saver: bool = True, parts: int = 1) -> tuple[Graph, Any, dict[str, np.ndarray]]:
    """Return a graph, its meta graph and the values of its variables."""
    tf1 = tf.compat.v1
    values = {
        "w": np.arange(6, dtype=np.float32).reshape(3, 2),
        "b": np.array([10, 20], np.float32),
        "spare": np.ones(5, np.float32),
    }
    with tf1.Graph().as_default() as graph:
        x = tf1.placeholder(tf.float32, [None, 3], name="x")
        partitioner = tf1.fixed_size_partitioner(parts, 0) if parts > 1 else None
        w = tf1.get_variable("w", [3, 2], partitioner=partitioner)
        b = tf1.get_variable("b", [2])
        tf1.get_variable("spare", [5])
        tf.nn.bias_add(tf.matmul(x, tf.convert_to_tensor(w)), b, name="y")
        if saver:
            made = tf1.train.Saver(sharded=False)
            meta = tf1.train.export_meta_graph(saver_def=made.as_saver_def())
        else:
            meta = tf1.train.export_meta_graph()
    for side, name, shape in (("inputs", "x", [None, 3]), ("outputs", "y", [None, 2])):
        info = getattr(meta.signature_def["serving_default"], side)[name]
        info.name, info.dtype = f"{name}:0", 1
        info.tensor_shape.CopyFrom(tf.TensorShape(shape).as_proto())
    return graph, meta, values


def write_model(folder: Path, meta: Any, *, text: bool = False, version: int = 1) -> None:
    folder.mkdir(exist_ok=True)
    model = messages.SavedModel(meta_graphs=[messages.MetaGraphDef.FromString(meta.SerializeToString())])
    if version:
        model.saved_model_schema_version = version
    if text:
        (folder / "saved_model.pbtxt").write_text(format_text(model))
    else:
        (folder / "saved_model.pb").write_bytes(model.SerializeToString())


def save_v1(tf: ModuleType, path: Path, values: dict[str, np.ndarray]) -> None:
    path.parent.mkdir(exist_ok=True)
    names = sorted(values)
    tf.raw_ops.SaveSlices(
        filename=str(path),
        tensor_names=names,
        shapes_and_slices=[""] * len(names),
        data=[values[name] for name in names],
    )


def expected(x: np.ndarray, values: dict[str, np.ndarray]) -> np.ndarray:
    return x @ values["w"] + values["b"]


def run_frozen(tf: ModuleType, path: Path, x: np.ndarray) -> np.ndarray:
    graph_def = tf.compat.v1.GraphDef.FromString(path.read_bytes())
    with tf.Graph().as_default() as graph:
        tf.import_graph_def(graph_def, name="")
        with tf.compat.v1.Session(graph=graph) as session:
            return np.asarray(session.run("y:0", {"x:0": x}))


X = np.array([[1, 2, 3], [4, 5, 6]], np.float32)

SHARDS = {
    "one file": ["variables"],
    "one shard": ["variables-00000-of-00001"],
    "two shards": ["variables-00000-of-00002", "variables-00001-of-00002"],
}


@pytest.mark.parametrize("text", [False, True], ids=["pb", "pbtxt"])
@pytest.mark.parametrize("names", SHARDS.values(), ids=list(SHARDS))
def test_variables_in_v1_work_as_any_others(
    names: list[str], text: bool, tmp_path: Path, tensorflow: ModuleType
) -> None:
    folder = tmp_path / "model"
    _, meta, values = build(tensorflow)
    meta.meta_info_def.tags.append("serve")
    write_model(folder, meta, text=text)
    keys = sorted(values)
    for number, name in enumerate(names):
        part = {key: values[key] for key in keys[number :: len(names)]}
        save_v1(tensorflow, folder / "variables" / name, part)
    file = folder / ("saved_model.pbtxt" if text else "saved_model.pb")
    for path in (folder, file, folder / "variables"):
        with ckptfmt.open(path) as checkpoint:
            assert checkpoint.format == "v1"
            assert {name: array.tolist() for name, array in checkpoint.items()} == {
                name: array.tolist() for name, array in values.items()
            }
    with ckptfmt.open_saved_model(folder) as model:
        assert model.checkpoint is not None
        assert list(model.variables) == ["b", "spare", "w"]
        assert all(np.array_equal(model.variables[name], values[name]) for name in values)
        assert {n: a.tolist() for n, a in model.variables.read().items()} == {
            n: a.tolist() for n, a in values.items()
        }
        assert model.reach("serving_default")[:2] == (("b", "w"), 32)
        assert model.unreached()[:2] == (("spare",), 20)
        for variables in (model.variables, model.checkpoint):
            ckptfmt.freeze(model.meta_graph, variables, "y").write(tmp_path / "f.pb", overwrite=True)
            got = run_frozen(tensorflow, tmp_path / "f.pb", X)
            np.testing.assert_array_equal(got, expected(X, values))
    assert run("ls", folder).stdout.splitlines() == [
        "b\tfloat32\t[2]\t8",
        "spare\tfloat32\t[5]\t20",
        "w\tfloat32\t[3,2]\t24",
    ]
    assert "20" in run("show", folder, "b").stdout
    assert run("verify", folder).exit_code == 0
    document = run_json("model", folder)
    assert [(row["name"], row["stored"], row["used"]) for row in document["variables"]] == [
        ("b", True, True),
        ("spare", True, False),
        ("w", True, True),
    ]
    assert run("freeze", folder, "-o", tmp_path / "cli.pb").exit_code == 0
    np.testing.assert_array_equal(run_frozen(tensorflow, tmp_path / "cli.pb", X), expected(X, values))


def test_tensorflow_restores_the_same_from_v1(tmp_path: Path, tensorflow: ModuleType) -> None:
    tf1 = tensorflow.compat.v1
    folder = tmp_path / "model"
    _, meta, values = build(tensorflow)
    meta.meta_info_def.tags.append("serve")
    write_model(folder, meta)
    save_v1(tensorflow, folder / "variables" / "variables", values)
    with tf1.Graph().as_default(), tf1.Session() as session, redirect_stderr(io.StringIO()):
        tf1.saved_model.load(session, ["serve"], str(folder))
        theirs = session.run({name: f"{name}/Read/ReadVariableOp:0" for name in values})
        result = session.run("y:0", {"x:0": X})
    np.testing.assert_array_equal(result, expected(X, values))
    with ckptfmt.open_saved_model(folder) as model:
        for name, array in theirs.items():
            np.testing.assert_array_equal(model.variables[name], array)


def test_a_saver_of_tensorflow_0_11_is_followed(tmp_path: Path, tensorflow: ModuleType) -> None:
    """Its ops are RestoreSlice, one a variable; it is sharded, and its variables are references."""
    tf, tf1 = tensorflow, tensorflow.compat.v1
    folder, values = tmp_path / "model", {"scope/kernel": np.arange(6, dtype=np.float32).reshape(3, 2)}
    with tf1.Graph().as_default() as graph:
        x = tf1.placeholder(tf.float32, [None, 3], name="x")
        variable = tf1.Variable(tf.zeros([3, 2]), name="kernel_of_the_graph", use_resource=False)
        tf.matmul(x, variable, name="y")
        pattern = tf1.constant("model", name="save/Const")
        restored = tf.raw_ops.RestoreSlice(
            file_pattern=pattern, tensor_name="scope/kernel", shape_and_slice="3 2 -:-", dt=tf.float32
        )
        with tf.control_dependencies([tf1.assign(variable, restored)]):
            shard = tf.no_op(name="save/restore_shard")
        with tf.control_dependencies([shard]):
            tf.no_op(name="save/restore_all")
        meta = tf1.train.export_meta_graph()
    saver = meta.saver_def
    saver.filename_tensor_name, saver.restore_op_name = "save/Const:0", "save/restore_all"
    saver.version, saver.sharded = saver.V1, True
    write_model(folder, meta, text=True)
    save_v1(tf, folder / "variables" / "variables-00000-of-00001", values)
    with tf1.Session(graph=graph) as session:
        session.run("save/restore_all", {"save/Const:0": f"{folder}/variables/variables-?????-of-00001"})
        theirs, result = session.run(["kernel_of_the_graph:0", "y:0"], {"x:0": X})
    with ckptfmt.open_saved_model(folder) as model:
        assert list(model.variables.sources) == ["kernel_of_the_graph"]
        np.testing.assert_array_equal(model.variables["kernel_of_the_graph"], theirs)
        ckptfmt.freeze(model.meta_graph, model.variables, "y").write(tmp_path / "f.pb")
    np.testing.assert_array_equal(run_frozen(tf, tmp_path / "f.pb", X), result)


def test_a_missing_shard_hides_only_its_own_variables(tmp_path: Path, tensorflow: ModuleType) -> None:
    _, meta, values = build(tensorflow)
    write_model(tmp_path, meta)
    first = tmp_path / "variables" / "variables-00000-of-00002"
    save_v1(tensorflow, first, {"w": values["w"], "b": values["b"]})
    with ckptfmt.open_saved_model(tmp_path) as model:
        assert sorted(model.variables) == ["b", "w"]
        assert len(model.variables) == 2
        assert "spare" not in model.variables
        with pytest.raises(ckptfmt.errors.NameNotFoundError, match=r"variable 'spare' has no value: "):
            model.variables["spare"]
    result = run("model", tmp_path)
    assert "variable 'spare' has no value" in result.stderr


def test_v1_variables_in_another_file_system(tensorflow: ModuleType) -> None:
    _, meta, _ = build(tensorflow)
    files = {
        "m/saved_model.pb": messages.SavedModel(
            saved_model_schema_version=1,
            meta_graphs=[messages.MetaGraphDef.FromString(meta.SerializeToString())],
        ).SerializeToString(),
        "m/variables/variables-00000-of-00001": v1_table(),
    }
    model = ckptfmt.open_saved_model("m", fs=MemoryFilesystem(files))
    assert model.checkpoint is not None
    assert sorted(model.checkpoint) == ["t", "u"]
    assert list(model.variables) == []  # the graph has others
    assert sorted(model.variables.sources) == ["b", "spare", "w"]


# --- Hub modules -----------------------------------------------------------------------------------------


def write_hub_module(
    tf: ModuleType, folder: Path, *, parts: int = 1, change: Callable[[Any], None] = lambda meta: None
) -> dict[str, np.ndarray]:
    """Write a module as tensorflow_hub 0.1 to 0.12 does for TensorFlow 1."""
    graph, meta, values = build(tf, saver=False, parts=parts)
    meta.ClearField("saver_def")
    meta.meta_info_def.ClearField("tags")
    change(meta)
    write_model(folder, meta, version=0)
    (folder / "tfhub_module.pb").write_bytes(b"\x08\x03")
    tf1 = tf.compat.v1
    with graph.as_default(), tf1.Session() as session, redirect_stderr(io.StringIO()):
        for variable in tf1.global_variables():
            whole = values[variable.op.name.split("/")[0]]
            info = variable._save_slice_info
            start = 0 if info is None else info.var_offset[0]
            session.run(variable.assign(whole[start : start + variable.shape[0]]))
        prefix = str(folder / "variables" / "variables")
        tf1.train.Saver().save(session, prefix, write_meta_graph=False, write_state=False)
    return values


def test_a_hub_module_is_read_by_every_function(tmp_path: Path, tensorflow: ModuleType) -> None:
    folder = tmp_path / "hub"
    values = write_hub_module(tensorflow, folder)
    data = (folder / "saved_model.pb").read_bytes()
    assert data[:1] == b"\x12"  # no schema version before the meta graph
    for source in (folder, folder / "saved_model.pb", data):
        assert "y" in ckptfmt.read_graph(source)
        assert ckptfmt.read_meta_graph(source, tags=[]).tags == frozenset()
    with ckptfmt.open_saved_model(folder) as model:
        assert list(model.variables) == ["b", "spare", "w"]
        assert all(np.array_equal(model.variables[name], values[name]) for name in values)
        assert model.reach("serving_default")[:2] == (("b", "w"), 32)
        assert model.unreached()[:2] == (("spare",), 20)
        ckptfmt.freeze(model.meta_graph, model.variables, "y").write(tmp_path / "f.pb")
    np.testing.assert_array_equal(run_frozen(tensorflow, tmp_path / "f.pb", X), expected(X, values))


def test_every_verb_takes_a_hub_module(tmp_path: Path, tensorflow: ModuleType) -> None:
    folder = tmp_path / "hub"
    write_hub_module(tensorflow, folder)
    for verb in (
        ["graph", folder],
        ["model", folder],
        ["ls", folder],
        ["ls", folder / "saved_model.pb"],
        ["verify", folder],
        ["show", folder, "w"],
        ["freeze", folder, "-o", tmp_path / "f.pb"],
        ["subgraph", folder, "-o", tmp_path / "s.pb", "--outputs", "y"],
    ):
        result = run(*verb)
        assert (result.exit_code, "ckptfmt:" in result.stderr) == (0, False), (verb, result.stderr)
    said = run("events", folder / "saved_model.pb").stderr
    assert "a SavedModel message, not a TensorBoard event file" in said


def test_parts_of_variables_are_restored_from_their_whole(tmp_path: Path, tensorflow: ModuleType) -> None:
    folder = tmp_path / "hub"
    values = write_hub_module(tensorflow, folder, parts=3)
    with ckptfmt.open_saved_model(folder) as model:
        assert list(model.variables) == ["b", "spare", "w/part_0", "w/part_1", "w/part_2"]
        read = model.variables.read(["w/part_2", "b"])
        np.testing.assert_array_equal(read["w/part_2"], values["w"][2:3])
        np.testing.assert_array_equal(read["b"], values["b"])
        for variables in (model.variables, model.checkpoint):
            assert variables is not None
            frozen = ckptfmt.freeze(model.meta_graph, variables, "y")
            frozen.write(tmp_path / "f.pb", overwrite=True)
            got = run_frozen(tensorflow, tmp_path / "f.pb", X)
            np.testing.assert_array_equal(got, expected(X, values))


def test_a_module_without_collections_has_the_variables_of_its_checkpoint(
    tmp_path: Path, tensorflow: ModuleType
) -> None:
    folder = tmp_path / "hub"

    def strip(meta: Any) -> None:
        meta.ClearField("collection_def")
        meta.graph_def.node.add(name="local", op="VarHandleOp").attr["dtype"].type = 1

    values = write_hub_module(tensorflow, folder, change=strip)
    with ckptfmt.open_saved_model(folder) as model:
        assert list(model.variables) == sorted(values)
        assert list(model.variables.sources) == sorted([*values, "local"])


def test_a_module_of_several_graphs_is_read_by_its_tags(tmp_path: Path, tensorflow: ModuleType) -> None:
    folder = tmp_path / "hub"
    write_hub_module(tensorflow, folder)
    model = messages.SavedModel.FromString((folder / "saved_model.pb").read_bytes())
    model.meta_graphs.add().CopyFrom(model.meta_graphs[0])
    model.meta_graphs[1].meta_info_def.tags.append("train")
    (folder / "saved_model.pb").write_bytes(model.SerializeToString())
    assert ckptfmt.read_meta_graph(folder, tags=[]).tags == frozenset()
    assert ckptfmt.read_graph(folder, tags="train").file is not None
    with ckptfmt.open_saved_model(folder, tags=[]) as chosen:
        assert list(chosen.variables) == ["b", "spare", "w"]
    assert run("graph", folder, "--tags", "train").exit_code == 0
