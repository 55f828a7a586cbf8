"""TensorFlow restores what is saved from checkpoints of its own, renamed, pruned, merged, and in slices."""

from __future__ import annotations

import filecmp
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ckptfmt

tf = pytest.importorskip("tensorflow", reason="compares with TensorFlow, which is not installed")
pytestmark = pytest.mark.tensorflow
v1 = tf.compat.v1


def files(prefix: str) -> list[Path]:
    return sorted(Path(prefix).parent.glob(f"{Path(prefix).name}.[di]*"))


def assert_same_bytes(one: str, other: str) -> None:
    pairs = list(zip(files(one), files(other), strict=True))
    assert len(pairs) >= 2
    assert [pair for pair in pairs if not filecmp.cmp(*pair, shallow=False)] == []


def test_a_saver_restores_renamed_and_pruned_tensors(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    values = {f"old/{name}": rng.standard_normal((3, 4)).astype(np.float32) for name in "cab"}
    with tf.Graph().as_default(), v1.Session() as session:
        saver = v1.train.Saver({name: v1.Variable(value) for name, value in values.items()})
        session.run(v1.global_variables_initializer())
        old = saver.save(session, str(tmp_path / "old"), write_meta_graph=False)
    assert_same_bytes(old, ckptfmt.save(tmp_path / "same", ckptfmt.open(old)))
    view = ckptfmt.open(old).select("old/[ab]").renamed([("^old/", "new/")])
    new = ckptfmt.save(tmp_path / "new", view, num_shards=2)
    with tf.Graph().as_default(), v1.Session() as session:
        variables = {f"new/{name}": v1.Variable(np.zeros((3, 4), np.float32)) for name in "ab"}
        v1.train.Saver(variables).restore(session, new)
        for name, variable in variables.items():
            np.testing.assert_array_equal(session.run(variable), values[name.replace("new", "old")])


@pytest.mark.parametrize("sharded", [False, True])
@pytest.mark.parametrize("scope", ["", "train", "a_longer_scope"])
def test_partitioned_variables_and_their_slots_are_restored(
    tmp_path: Path, sharded: bool, scope: str
) -> None:
    def model() -> Any:
        with v1.variable_scope("net", partitioner=v1.fixed_size_partitioner(3)):
            w = v1.get_variable("w", (10, 4), initializer=v1.random_uniform_initializer(seed=1))
        with v1.variable_scope(scope) if scope else v1.variable_scope(v1.get_variable_scope()):
            step = v1.train.AdamOptimizer(0.1).minimize(tf.reduce_sum(tf.square(tf.convert_to_tensor(w))))
        return step, v1.train.Saver(sharded=sharded)

    with tf.Graph().as_default(), v1.Session() as session:
        step, saver = model()
        session.run(v1.global_variables_initializer())
        session.run(step)
        wanted = {v.name: session.run(v) for v in v1.global_variables()}
        old = saver.save(session, str(tmp_path / "old"), write_meta_graph=False)
    ckpt = ckptfmt.open(old)
    new = ckptfmt.save(tmp_path / "new", ckpt)
    assert_same_bytes(old, new)
    # Decoded and in slices again: TensorFlow finds the slots under the names that it looks for.
    again = ckptfmt.save(tmp_path / "again", ckpt.updated({"net/w": ckpt["net/w"] + 1}), num_shards=3)
    for prefix, change in ((new, 0), (again, 1)):
        with tf.Graph().as_default(), v1.Session() as session:
            _, saver = model()
            saver.restore(session, prefix)
            for variable in v1.global_variables():
                value = wanted[variable.name] + (
                    change if "/part_" in variable.name and "Adam" not in variable.name else 0
                )
                np.testing.assert_array_equal(session.run(variable), value, err_msg=variable.name)


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1)])
def test_merged_shards_keep_their_bytes(tmp_path: Path, order: tuple[int, ...]) -> None:
    parts = []
    for number in order:
        parts.append(str(tmp_path / f"part-{number}"))
        tensors = {f"t{number}": ("", np.full(4, number, np.int64))}
        if number < 2:
            tensors["sliced"] = (f"6 2 {3 * number},3:-", np.full((3, 2), number, np.float32))
        tf.raw_ops.SaveV2(
            prefix=parts[-1],
            tensor_names=list(tensors),
            shape_and_slices=[spec for spec, _ in tensors.values()],
            tensors=[value for _, value in tensors.values()],
        )
    old = str(tmp_path / "old")
    tf.raw_ops.MergeV2Checkpoints(checkpoint_prefixes=parts, destination_prefix=old)
    ckpt = ckptfmt.open(old)
    assert ckpt.num_shards == 3
    assert_same_bytes(old, ckptfmt.save(tmp_path / "new", ckpt))


def test_objects_are_restored_from_a_copy(tmp_path: Path) -> None:
    variables = {"w": tf.Variable(tf.range(6.0)), "b": tf.Variable([1, 2]), "s": tf.Variable("text")}
    old = tf.train.Checkpoint(model=tf.train.Checkpoint(**variables), step=tf.Variable(3)).save(
        str(tmp_path / "old")
    )
    ckpt = ckptfmt.open(old)
    new = ckptfmt.save(tmp_path / "new", ckpt)
    assert_same_bytes(old, new)
    key = "model/w/.ATTRIBUTES/VARIABLE_VALUE"
    new = ckptfmt.save(tmp_path / "other", ckpt.updated({key: np.arange(6.0) * 2}))
    w, b = tf.Variable(tf.zeros(6)), tf.Variable([0, 0])
    restored = tf.train.Checkpoint(
        model=tf.train.Checkpoint(w=w, b=b, s=tf.Variable("")), step=tf.Variable(0)
    )
    restored.restore(new).assert_consumed()
    np.testing.assert_array_equal(w.numpy(), np.arange(6.0) * 2)
    np.testing.assert_array_equal(b.numpy(), [1, 2])


def test_casts_and_computed_tensors_are_restored(tmp_path: Path) -> None:
    values = {"w": np.arange(6, dtype=np.float32), "step": np.array(3, np.int64)}
    new = ckptfmt.save(
        tmp_path / "new", ckptfmt.open(ckptfmt.save(tmp_path / "old", values)).cast("bfloat16")
    )
    reader = tf.train.load_checkpoint(new)
    assert reader.get_variable_to_dtype_map() == {"w": tf.bfloat16, "step": tf.int64}
    np.testing.assert_array_equal(reader.get_tensor("w").astype(np.float32), values["w"])
