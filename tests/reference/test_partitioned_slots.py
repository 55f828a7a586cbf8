"""Slots of partitioned variables, as TensorFlow 1 saves them, are read as the tensors that they are."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

import ckptfmt
from ckptfmt import compat

tf = pytest.importorskip("tensorflow", reason="compares with TensorFlow, which is not installed")
pytestmark = pytest.mark.tensorflow
v1 = tf.compat.v1

OPTIMIZERS = {
    "Adagrad": (lambda: v1.train.AdagradOptimizer(0.1), {"Adagrad"}),
    "Adam": (lambda: v1.train.AdamOptimizer(0.1), {"Adam", "Adam_1"}),
    "Ftrl": (lambda: v1.train.FtrlOptimizer(0.1), {"Ftrl", "Ftrl_1"}),
    "Momentum": (lambda: v1.train.MomentumOptimizer(0.1, 0.9), {"Momentum"}),
    "RMSProp": (lambda: v1.train.RMSPropOptimizer(0.1, momentum=0.5), {"RMSProp", "RMSProp_1"}),
    "named": (lambda: v1.train.AdamOptimizer(0.1, name="opt/My_2"), {"opt/My_2", "opt/My_2_1"}),
}
"""Makers of optimizers, and the names of their slots."""


def save(
    prefix: Path,
    optimizer: str,
    scope: str,
    *,
    parts: int = 3,
    axis: int = 0,
    average: bool = False,
    version: int = 2,
) -> dict[str, np.ndarray]:
    """Save a model trained for a step, and return the value of each of its partitioned tensors."""
    make, slots = OPTIMIZERS[optimizer]
    with tf.Graph().as_default(), v1.Session() as session:
        partitioner = v1.fixed_size_partitioner(parts, axis=axis)
        with v1.variable_scope("net", partitioner=partitioner):
            shape = (25, 4) if axis == 0 else (4, 25)
            w = v1.get_variable("w", shape, initializer=v1.random_uniform_initializer(seed=1))
        v1.train.get_or_create_global_step()
        with v1.variable_scope(scope):
            step = [make().minimize(tf.reduce_sum(tf.square(tf.convert_to_tensor(w))))]
            if average:
                step.append(tf.train.ExponentialMovingAverage(0.9).apply(list(w)))
                slots = slots | {"ExponentialMovingAverage"}
        session.run(v1.global_variables_initializer())
        session.run(step)
        v1.train.Saver(write_version=version).save(session, str(prefix), write_meta_graph=False)
        wanted = {"net/w": session.run(tf.convert_to_tensor(w))}
        for slot in slots:
            variables = [f"{scope}/{part.op.name}/{slot}:0" for part in w]
            values = session.run([v for n in variables for v in v1.global_variables() if v.name == n])
            assert len(values) == parts
            wanted[f"net/w/{slot}"] = np.concatenate(values, axis)
    return wanted


def assert_read(prefix: Path, wanted: dict[str, np.ndarray]) -> None:
    """Assert that a checkpoint has these partitioned tensors and otherwise only scalars, and is intact."""
    for listed_first in (True, False):
        with ckptfmt.open(prefix) as ckpt:
            if listed_first:
                partitioned = [name for name in ckpt if ckpt.entries[name].shape]
                assert set(partitioned) == set(wanted)
                assert len(ckpt) == len(list(ckpt)) == len(ckpt.read()) == len(dict(ckpt))
            for name, value in wanted.items():
                assert name in ckpt
                assert np.array_equal(ckpt[name], value)
                assert np.array_equal(ckpt.slice(name)[3:20:2], value[3:20:2])
                assert ckpt.entries[name].shape == value.shape
                assert ckpt.entries[name].nbytes == value.nbytes
    ckpt = ckptfmt.open(prefix)
    report = ckpt.verify()
    assert report.ok
    assert not report.problems
    assert report.tensors == report.tensors_checked == len(ckpt)
    assert {n: a.tolist() for n, a in ckpt.read(list(wanted), copy=True).items()} == {
        n: a.tolist() for n, a in wanted.items()
    }
    reader = pickle.loads(pickle.dumps(ckpt.slice(next(reversed(wanted)))))
    assert np.array_equal(reader[...], list(wanted.values())[-1])
    assert set(ckpt.entries.to_columns()["name"]) == set(ckpt)


@pytest.mark.parametrize("version", [1, 2], ids=["v1", "v2"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_the_slots_of_every_optimizer_are_joined(tmp_path: Path, optimizer: str, version: int) -> None:
    wanted = save(tmp_path / "m", optimizer, "train", version=version)
    assert_read(tmp_path / "m", wanted)
    if optimizer != "named":
        assert set(ckptfmt.open(tmp_path / "m").model_variables()) == {"net/w"}


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("parts", [2, 11, 25])
@pytest.mark.parametrize("scope", ["t", "tr", "train", "train_", "train_op", "optimize/inner/and_more"])
def test_slots_are_joined_whatever_part_of_their_names_is_cut(
    tmp_path: Path, scope: str, parts: int, axis: int
) -> None:
    assert_read(tmp_path / "m", save(tmp_path / "m", "Adam", scope, parts=parts, axis=axis))


@pytest.mark.parametrize("version", [1, 2], ids=["v1", "v2"])
def test_moving_averages_are_joined_and_found_by_views(tmp_path: Path, version: int) -> None:
    wanted = save(tmp_path / "m", "Adam", "train", average=True, version=version)
    assert_read(tmp_path / "m", wanted)
    ckpt = ckptfmt.open(tmp_path / "m")
    average = wanted["net/w/ExponentialMovingAverage"]
    assert np.array_equal(ckpt.ema()["net/w"], average)
    assert list(ckpt.model_variables()) == ["net/w"]
    assert list(ckpt.select("net/w/*")) == sorted(name for name in wanted if name != "net/w")
    renamed = ckpt.renamed([("^net/", "")])
    assert np.array_equal(renamed.read(["w/Adam"])["w/Adam"], wanted["net/w/Adam"])
    assert np.array_equal(renamed.slice("w/Adam_1")[7], wanted["net/w/Adam_1"][7])


@pytest.mark.parametrize("version", [1, 2], ids=["v1", "v2"])
def test_the_stored_names_are_looked_up_as_in_tensorflow(tmp_path: Path, version: int) -> None:
    prefix = tmp_path / "m"
    save(prefix, "Adagrad", "train", version=version)
    theirs, ours = tf.train.load_checkpoint(str(prefix)), compat.load_checkpoint(str(prefix))
    shapes = theirs.get_variable_to_shape_map()
    assert "net/w/art_1/Adagrad" in shapes
    assert ours.get_variable_to_shape_map() == shapes
    assert compat.list_variables(str(prefix)) == tf.train.list_variables(str(prefix))
    part = "net/w/art_1/Adagrad"
    assert ours.has_tensor(part)
    # Of a V1 checkpoint, TensorFlow returns something all the same.
    for reader in (theirs, ours) if version == 2 else (ours,):
        with pytest.raises(ValueError, match="slices"):
            reader.get_tensor(part)
    ckpt = ckptfmt.open(prefix)
    assert part in ckpt
    assert part not in list(ckpt)
    assert np.array_equal(ckpt.slice(part)[9:17], ckpt["net/w/Adagrad"][9:17])
    with pytest.raises(
        ckptfmt.errors.CorruptError,
        match=r"a part of the slot 'net/w/Adagrad': .*; stored: 9,8:0,4; .*\[9:17, 0:4\]$",
    ):
        ckpt[part]


def write_parts(prefix: Path, parts: dict[str, str], value: np.ndarray) -> None:
    """Save parts of a value, each under a name with its slice, as a Saver does."""
    slices = [tuple(map(int, part.split(","))) for part in parts.values()]
    tf.raw_ops.SaveV2(
        prefix=str(prefix),
        tensor_names=list(parts),
        shape_and_slices=[f"{len(value)} {part}" for part in parts.values()],
        tensors=[tf.constant(value[start : start + size]) for start, size in slices],
    )


def test_slots_of_one_variable_in_two_scopes_keep_the_name_of_their_first_part(tmp_path: Path) -> None:
    value = np.arange(10.0, dtype=np.float32)
    parts = {"w/art_0/Adam": "0,5", "w/art_1/Adam": "5,5", "w/t_0/Adam": "0,5", "w/t_1/Adam": "5,5"}
    write_parts(tmp_path / "m", parts, value)
    for ckpt in (ckptfmt.open(tmp_path / "m"), ckptfmt.open(tmp_path / "m")):
        assert np.array_equal(ckpt["w/t_0/Adam"], value)
        assert list(ckpt) == ["w/art_0/Adam", "w/t_0/Adam"]
        assert np.array_equal(ckpt["w/art_0/Adam"], value)
        assert ckpt.verify().ok
        assert "w/Adam" not in ckpt


@pytest.mark.parametrize(
    "parts",
    [
        {"w/art_0/Adam": "0,5"},
        {"w/art_0/Adam": "0,5", "w/art_1/Adam": "5,4"},
        {"w/art_0/Adam": "0,5", "w/art_2/Adam": "5,5"},
        {"w/art_0/Adam": "0,5", "w/art_1/Other": "5,5"},
        {"w/art_0/Adam": "0,5", "v/art_1/Adam": "5,5"},
        {"w/art_0/Adam": "0,5", "w/t_1/Adam": "5,5"},
        {"w/a": "0,5", "w/b": "5,5"},
    ],
)
def test_parts_that_are_not_all_of_a_slot_stay_apart(tmp_path: Path, parts: dict[str, str]) -> None:
    value = np.arange(10.0, dtype=np.float32)
    write_parts(tmp_path / "m", parts, value)
    ckpt = ckptfmt.open(tmp_path / "m")
    assert list(ckpt) == sorted(parts)
    name = next(iter(parts))
    with pytest.raises(
        ckptfmt.errors.CorruptError, match=r"5 of 10 elements uncovered, .*stored: 0,5; .*\[0:5\]$"
    ):
        ckpt[name]
    assert np.array_equal(ckpt.slice(name)[0:5], value[:5])
    report = ckpt.verify()
    assert {problem.name for problem in report.problems} == set(parts)
