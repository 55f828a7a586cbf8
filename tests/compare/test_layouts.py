"""Proposals that begin with a shipped plan, because names and shapes alone would not get so far."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import ckptfmt
from ckptfmt.compare import layouts
from tests.support.command_line import run
from tests.support.layouts import read_layout
from tests.support.table_writer import write_bundle

Shapes = dict[str, tuple[int, ...]]

KERAS: Shapes = {
    "net/conv1/kernel": (3, 3, 3, 8),
    "net/conv1/bias": (8,),
    "net/bn1/gamma": (8,),
    "net/bn1/beta": (8,),
    "net/bn1/moving_mean": (8,),
    "net/bn1/moving_variance": (8,),
    "net/depthwise/kernel": (3, 3, 8, 2),
    "net/conv2/kernel": (1, 1, 16, 6),
    "net/lstm/lstm_cell/kernel": (6, 20),
    "net/lstm/lstm_cell/recurrent_kernel": (5, 20),
    "net/lstm/lstm_cell/bias": (20,),
    "net/gru/gru_cell/kernel": (5, 12),
    "net/gru/gru_cell/recurrent_kernel": (4, 12),
    "net/gru/gru_cell/bias": (2, 12),
    "net/fc/kernel": (4, 7),
    "net/fc/bias": (7,),
    "net/fc/kernel/Adam": (4, 7),
    "global_step": (),
}

TORCH: Shapes = {
    "conv1.weight": (8, 3, 3, 3),
    "conv1.bias": (8,),
    "bn1.weight": (8,),
    "bn1.bias": (8,),
    "bn1.running_mean": (8,),
    "bn1.running_var": (8,),
    "bn1.num_batches_tracked": (),
    "depthwise.weight": (16, 1, 3, 3),
    "conv2.weight": (6, 16, 1, 1),
    **{f"lstm.weight_{x}_l0": (20, n) for x, n in (("ih", 6), ("hh", 5))},
    **{f"lstm.bias_{x}_l0": (20,) for x in ("ih", "hh")},
    **{f"gru.weight_{x}_l0": (12, n) for x, n in (("ih", 5), ("hh", 4))},
    **{f"gru.bias_{x}_l0": (12,) for x in ("ih", "hh")},
    "fc.weight": (7, 4),
    "fc.bias": (7,),
}


def write(path: Path, shapes: Shapes) -> str:
    rng = np.random.default_rng(7)
    arrays = {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    return write_bundle(path, arrays)


def wanted(shapes: Shapes) -> dict[str, np.ndarray]:
    return {n: np.zeros(s, np.int64 if n.endswith("tracked") else np.float32) for n, s in shapes.items()}


def test_a_model_of_layers_is_laid_out_for_pytorch(tmp_path: Path) -> None:
    stored = write(tmp_path / "m", KERAS)
    match = ckptfmt.match(stored, wanted(TORCH))
    assert match.layout == "keras-torch"
    assert match.num_proposed == len(TORCH)
    toml = match.propose().to_toml()
    assert 'include = "keras-torch"' in toml
    assert toml.count("[[step]]") == 1  # renames only
    plan = ckptfmt.Plan.parse(toml)
    assert plan == match.propose()
    with ckptfmt.open(stored) as ckpt:
        view = ckpt.apply(plan)
        assert ckptfmt.match(view, wanted(TORCH)).ok
        kernel, gru = ckpt["net/conv1/kernel"], ckpt["net/gru/gru_cell/kernel"]
        np.testing.assert_array_equal(view["conv1.weight"], kernel.transpose(3, 2, 0, 1))
        z, r, h = np.split(gru, 3, axis=1)
        np.testing.assert_array_equal(view["gru.weight_ih_l0"], np.concatenate([r, z, h], 1).T)
        np.testing.assert_array_equal(view["gru.bias_hh_l0"][:4], ckpt["net/gru/gru_cell/bias"][1, 4:8])
        assert not view["lstm.bias_hh_l0"].any()


def test_a_model_of_layers_is_laid_out_for_flax(tmp_path: Path) -> None:
    stored = write(
        tmp_path / "m", {"a/lstm/lstm_cell/kernel": (6, 20), "a/lstm/lstm_cell/recurrent_kernel": (5, 20)}
    )
    there = {f"params/lstm/cell/i{g}/kernel": np.zeros((6, 5), np.float32) for g in "ifgo"}
    match = ckptfmt.match(stored, there)
    assert match.layout == "keras-flax"
    with ckptfmt.open(stored) as ckpt:
        view = ckpt.apply(match.propose())
        np.testing.assert_array_equal(
            view["params/lstm/cell/ig/kernel"], ckpt["a/lstm/lstm_cell/kernel"][:, 10:15]
        )


def test_the_way_back_is_proposed_too(tmp_path: Path) -> None:
    names = ["net/conv1/kernel", "net/conv1/bias", "net/fc/kernel", "net/fc/bias"]
    stored = write(
        tmp_path / "m", {n: TORCH[n] for n in ("conv1.weight", "conv1.bias", "fc.weight", "fc.bias")}
    )
    match = ckptfmt.match(stored, wanted({name: KERAS[name] for name in names}))
    assert match.layout == "torch-keras"
    with ckptfmt.open(stored) as ckpt:
        view = ckpt.apply(match.propose())
        np.testing.assert_array_equal(view["net/conv1/kernel"], ckpt["conv1.weight"].transpose(2, 3, 1, 0))


@pytest.mark.tensorflow
def test_names_of_objects_are_laid_out_by_their_full_names(tmp_path: Path) -> None:
    tf = pytest.importorskip("tensorflow", reason="writes objects with TensorFlow, which is not installed")
    variables = {"conv1": tf.Variable(np.ones((3, 3, 3, 8), np.float32), name="conv1/kernel")}
    path = tf.train.Checkpoint(**variables).write(str(tmp_path / "c"))
    match = ckptfmt.match(path, wanted({"conv1.weight": (8, 3, 3, 3)}))
    assert match.layout == "keras-torch"
    with ckptfmt.open(path) as ckpt:
        plan = ckptfmt.Plan.parse(match.propose().to_toml())
        assert ckpt.apply(plan).entries["conv1.weight"].shape == (8, 3, 3, 3)


def test_without_more_to_gain_no_layout_is_proposed(tmp_path: Path) -> None:
    stored = write(tmp_path / "m", {"dense/kernel": (3, 4), "dense/bias": (4,)})
    match = ckptfmt.match(stored, {"dense.weight": (4, 3), "dense.bias": (4,)})
    assert match.layout is None
    assert match.num_proposed == 2
    assert "include" not in match.propose().to_toml()
    assert ckptfmt.match(stored, stored).layout is None


def test_very_many_tensors_are_not_laid_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layouts, "MAX_LAID_OUT", 3)
    match = ckptfmt.match(write(tmp_path / "m", KERAS), wanted(TORCH))
    assert match.layout is None
    assert match.propose().steps


def test_the_command_line_says_which_plan(tmp_path: Path) -> None:
    safetensors = pytest.importorskip("safetensors.numpy", reason="safetensors is not installed")
    safetensors.save_file(wanted(TORCH), tmp_path / "model.safetensors")
    plan = tmp_path / "plan.toml"
    result = run("match", write(tmp_path / "m", KERAS), tmp_path / "model.safetensors", "--propose", plan)
    assert result.exit_code == 1
    assert f"{plan}: 19 of 19 proposed by keras-torch and by names" in result.stderr
    assert ckptfmt.Plan.read(plan).include == "keras-torch"


@pytest.mark.parametrize(
    ("model", "plan"),
    [
        ("bert", "bert-hf"),
        ("albert", "albert-hf"),
        ("electra", "electra-hf"),
        ("t5", "t5-mesh-hf"),
        ("gpt2", "gpt2-hf"),
        ("slim_resnet", "slim-torchvision"),
        ("slim_mobilenet_v2_hf", "slim-hf"),
    ],
)
def test_the_plan_for_a_model_is_preferred_to_similar_names(tmp_path: Path, model: str, plan: str) -> None:
    # Similar names would pair nearly all tensors of BERT, but leave its square kernels as they are.
    layout = read_layout(model)
    source = {name: shape for name, shape in layout.source.items() if name != "global_step"}
    with ckptfmt.open(write(tmp_path / "model.ckpt", source)) as ckpt:
        wanted = {name: np.zeros(shape, np.float32) for name, shape in layout.target.items()}
        match = ckptfmt.match(ckpt, wanted)
        assert match.layout == plan
        proposed = match.propose()
        made = ckpt.apply(proposed)
        assert layout.target.keys() - made.keys() <= layout.tied
